//! Files in and out. Nothing in a file is trusted: no memory is taken for a size that was not checked, and what is wrong
//! is told with its place. What is saved is there whole, or the old file is.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::error::{Error, Result};

/// Reads a file of at most `most` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>> {
    let open = || -> io::Result<(Vec<u8>, u64)> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut content = Vec::new();
        content.try_reserve(bytes.min(max) as usize)?;
        // One more than may be: a file may grow, and a pipe does not say how long it is.
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

/// Writes a file: whatever happens, afterwards the old content is there, or all of the new. Its folder is made if need be.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    static TEMPORARY_FILE_COUNT: AtomicU64 = AtomicU64::new(0);
    // What a link leads to is to be replaced, not the link.
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = whole.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let name = whole.file_name().unwrap_or_default().to_os_string();
    let save = || {
        // A folder, or a device such as /dev/null: what it would be replaced by is not what was there.
        let old = fs::metadata(&whole).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what is there is no regular file"));
        }
        fs::create_dir_all(&folder)?;
        let (beside, file) = loop {
            let mut name = name.clone();
            name.push(format!(".{}-{}.new", process::id(), TEMPORARY_FILE_COUNT.fetch_add(1, Ordering::Relaxed)));
            let beside = folder.join(name);
            match File::create_new(&beside) {
                Ok(file) => break (beside, file),
                // Left by a process that was killed, or another's: a number is not unique where containers share a folder.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        let fill = || {
            // Who may not read the old file may not read the new one.
            old.as_ref().map_or(Ok(()), |old| file.set_permissions(old.permissions()))?;
            (&file).write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, &whole)
        };
        let written = fill();
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        // Or a power failure may undo the renaming. Not every system can do this with a folder.
        let _ = File::open(&folder).and_then(|folder| folder.sync_all());
        written
    };
    save().map_err(|error| io_error(path, &error))
}

/// What is wrong in a file, and where.
pub(crate) fn format_error(
    file: &dyn Display,
    place: impl Display,
    expected: impl Display,
    got: impl Display,
) -> Error {
    let (file, place) = (file.to_string(), place.to_string());
    Error::Format { file, location: place, expected: expected.to_string(), got: got.to_string() }
}

/// Names for an error: the first few, and how many there are.
pub(crate) fn join_names(names: &[impl AsRef<str>]) -> String {
    const MAX_LISTED_NAMES: usize = 12;
    let mut text = names.iter().take(MAX_LISTED_NAMES).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        count if count > MAX_LISTED_NAMES => text.push_str(&format!(", ... ({count} in all)")),
        _ => {}
    }
    text
}

/// What the system says against a file.
pub(crate) fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::Io { path: PathBuf::from(path), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_read_back_up_to_a_size() {
        let folder = std::env::temp_dir().join(format!("gradus-formats-{}", process::id()));
        let path = folder.join("deeper").join("file");
        for content in [&b"first"[..], b"", b"second"] {
            write(&path, content).unwrap();
            assert_eq!(read(&path, 6).unwrap(), content);
        }
        let refused = read(&path, 5).unwrap_err();
        assert_eq!(refused.to_string(), format!("{}: size: expected at most 5 bytes, got 6", path.display()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            write(&path, b"second").unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "it stays as private as it was"
            );
        }
        // What a killed process of the same number has left is in nobody's way, and stays.
        let left: Vec<_> = (0..9).map(|n| path.with_file_name(format!("file.{}-{n}.new", process::id()))).collect();
        left.iter().for_each(|file| fs::write(file, b"left").unwrap());
        write(&path, b"second").unwrap();
        left.iter().for_each(|file| fs::remove_file(file).unwrap());
        for nowhere in [path.join("below a file"), folder.clone()] {
            assert!(matches!(write(&nowhere, b"third"), Err(Error::Io { .. })), "{nowhere:?}");
            assert!(matches!(read(&nowhere, 5), Err(Error::Io { .. })), "{nowhere:?}");
        }
        assert_eq!(read(&path, 6).unwrap(), b"second");
        fs::remove_dir_all(folder).unwrap();
    }
}
