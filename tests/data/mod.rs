//! Data from files: every format is read correctly, invalid content is an error with its location, and no truncated
//! file causes a panic.

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

/// Panics unless `result` is an error whose message contains all of `parts`.
#[track_caller]
fn expect_error<T: Debug>(result: Result<T>, parts: &[&str]) {
    let error = result.expect_err("an error").to_string();
    parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} is not in: {error}"));
}
