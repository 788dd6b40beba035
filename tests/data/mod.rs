//! Data from files: every format read right, and everything that is no such file refused with its place. No cut of a
//! file panics.

#[cfg(feature = "ndarray")]
mod arrays;
mod encoder;
#[cfg(feature = "images")]
mod folder;
mod idx;
#[cfg(feature = "npy")]
mod npy;
mod number_formats;
#[cfg(feature = "csv")]
mod table;

use std::fmt::Debug;

use gradus::Result;

/// It is refused in words that have all of these in them.
#[track_caller]
fn refused<T: Debug>(result: Result<T>, words: &[&str]) {
    let error = result.expect_err("it should be refused").to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in: {error}"));
}
