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
#[cfg(feature = "csv")]
mod table;

use std::{
    fmt::Debug,
    fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use gradus::Result;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gradus-data-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file, in folders that are made if need be.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// It is refused in words that have all of these in them.
#[track_caller]
fn refused<T: Debug>(result: Result<T>, words: &[&str]) {
    let error = result.expect_err("it should be refused").to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in: {error}"));
}
