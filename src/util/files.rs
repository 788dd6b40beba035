//! Reads and writes files. Content is untrusted: readers check every size before they allocate memory, and errors name
//! the location in the file. Saving is atomic.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::{Error, Result};

/// Reads a file of at most `max` bytes into memory.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read.
/// [`Error::Format`] if it has more than `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let open = || -> io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut content = Vec::new();
        content.try_reserve(bytes.min(max) as usize)?;
        // Read one byte more than allowed: the file may grow, and a pipe does not report its length.
        file.take(max + 1).read_to_end(&mut content)?;
        Ok((content, bytes))
    };
    let (content, bytes) = open().map_err(|error| io_error(path, &error))?;
    if content.len() as u64 > max {
        let got = bytes.max(content.len() as u64);
        return Err(format_error(&path.display(), "size", format_args!("at most {max} bytes"), got));
    }
    Ok(content)
}

/// Writes a file atomically: after an interruption it holds either the complete old or the complete new content.
/// Creates the folder if it does not exist.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written. The old file then still exists.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    static TEMPORARY_FILE_COUNT: AtomicU64 = AtomicU64::new(0);
    // Replace the target of a symbolic link, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder =
        target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let name = target.file_name().unwrap_or_default().to_os_string();
    let save = || {
        // Renaming would replace a device such as /dev/null by a regular file.
        let old = fs::metadata(&target).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "expected a regular file, got a folder or a device",
            ));
        }
        fs::create_dir_all(&folder)?;
        let (temporary, file) = loop {
            let mut name = name.clone();
            name.push(format!(".{}-{}.new", process::id(), TEMPORARY_FILE_COUNT.fetch_add(1, Ordering::Relaxed)));
            let temporary = folder.join(name);
            match File::create_new(&temporary) {
                Ok(file) => break (temporary, file),
                // A killed process left the file, or another process owns it: process ids are not unique where
                // containers share a folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let fill = || {
            // Keep the permissions, so that nobody gains access to the content.
            old.as_ref().map_or(Ok(()), |old| file.set_permissions(old.permissions()))?;
            (&file).write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &target)
        };
        let written = fill();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        // Sync the folder, because a power failure may undo the renaming. Not every system supports this, so ignore
        // errors.
        let _ = File::open(&folder).and_then(|folder| folder.sync_all());
        written
    };
    save().map_err(|error| io_error(path, &error))
}

/// Returns the error for invalid content at a location in a file.
pub(crate) fn format_error(
    file: &dyn Display,
    location: impl Display,
    expected: impl Display,
    got: impl Display,
) -> Error {
    let (file, location) = (file.to_string(), location.to_string());
    Error::Format { file, location, expected: expected.to_string(), got: got.to_string() }
}

/// Joins names for an error message: the first 12, and the total if there are more.
pub(crate) fn join_names(names: &[impl AsRef<str>]) -> String {
    const MAX_LISTED_NAMES: usize = 12;
    let mut text = names.iter().take(MAX_LISTED_NAMES).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        count if count > MAX_LISTED_NAMES => text.push_str(&format!(", ... ({count} in total)")),
        _ => {}
    }
    text
}

/// Returns the error of the operating system for a file.
pub(crate) fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::Io { path: PathBuf::from(path), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_replaces_the_file_and_read_limits_its_size() {
        let folder = std::env::temp_dir().join(format!("gradus-formats-{}", process::id()));
        let path = folder.join("deeper").join("file");
        for content in [&b"first"[..], b"", b"second"] {
            write(&path, content).unwrap();
            assert_eq!(read(&path, 6).unwrap(), content);
        }
        let refused = read(&path, 5).unwrap_err();
        assert_eq!(refused.to_string(), format!("{}: size: expected at most 5 bytes, got 6", path.display()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file remains");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            write(&path, b"second").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "the permissions are kept");
        }
        // Temporary files of a killed process with the same id are skipped and kept.
        let left: Vec<_> = (0..9).map(|n| path.with_file_name(format!("file.{}-{n}.new", process::id()))).collect();
        left.iter().for_each(|file| fs::write(file, b"left").unwrap());
        write(&path, b"second").unwrap();
        left.iter().for_each(|file| fs::remove_file(file).unwrap());
        for invalid in [path.join("below a file"), folder.clone()] {
            assert!(matches!(write(&invalid, b"third"), Err(Error::Io { .. })), "{invalid:?}");
            assert!(matches!(read(&invalid, 5), Err(Error::Io { .. })), "{invalid:?}");
        }
        assert_eq!(read(&path, 6).unwrap(), b"second");
        fs::remove_dir_all(folder).unwrap();
    }
}
