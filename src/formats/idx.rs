//! IDX files, the format of MNIST: a magic number that says the type of the values and how many sizes follow, then the
//! sizes, then the values; every number big-endian. Plain, or compressed by gzip.
//!
//! <http://yann.lecun.com/exdb/mnist> describes the format.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::{failed, wrong};
use crate::{Error, FileRows, Result, file_rows::Kind};

/// The most values a file may hold; the largest IDX sets in use (EMNIST) have about 550 million.
const MOST: usize = 1 << 30;

/// How much memory is taken before the first value was seen.
const FIRST: usize = 1 << 20;

/// The values of an IDX file: bytes, and the sizes of the array that they are.
///
/// [`ImageSet::of_idx`](crate::ImageSet::of_idx) makes a data set of two such files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The sizes, the slowest first: `[rows, height, width]` for images, `[rows]` for labels.
    pub sizes: Vec<usize>,
    /// The values, row by row.
    pub bytes: Vec<u8>,
}

impl Idx {
    /// Reads a file. A name that ends in `.gz` is a compressed one.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Format`] if it is no IDX file of unsigned bytes, has more than 2^30 of
    /// them or other than its sizes say. Places are bytes of the file when it is no longer compressed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = BufReader::new(File::open(path).map_err(|error| failed(path, &error))?);
        let name = path.display().to_string();
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
            Self::read(MultiGzDecoder::new(file), &name)
        } else {
            Self::read(file, &name)
        }
    }

    /// Opens a file, which is not compressed, for its rows to be read when they are needed: it may be larger than the
    /// memory. The first size is the number of rows. Labels are read by [`Idx::open`].
    /// ```no_run
    /// # use gradus::{Dataset, Idx};
    /// let images = Idx::rows_in("train-images-idx3-ubyte")?;
    /// let labels = Idx::open("train-labels-idx1-ubyte")?;
    /// let data = Dataset::new(images.rows(), images, labels.bytes)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Idx::open`], for a file of any size.
    pub fn rows_in(path: impl AsRef<Path>) -> Result<FileRows> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| failed(path, &error))?;
        let Header { sizes, len, begin } = Header::read(&mut file, &name, usize::MAX)?;
        let bytes = file.metadata().map_err(|error| failed(path, &error))?.len();
        if begin.checked_add(len as u64) != Some(bytes) {
            let place = format!("byte {begin}, the values");
            return Err(wrong(&name, place, format_args!("{len} bytes"), bytes.saturating_sub(begin)));
        }
        Ok(FileRows::new(path, file, begin, Kind::BYTE, [sizes[0], len / sizes[0]]))
    }

    /// Reads a file's content, which is not compressed. Errors call it `name`.
    ///
    /// # Errors
    /// As [`Idx::open`].
    pub fn read(mut from: impl Read, name: &str) -> Result<Self> {
        let Header { sizes, len, begin } = Header::read(&mut from, name, MOST)?;
        let (place, expected) = (format!("byte {begin}, the values"), format!("{len} bytes"));
        let mut bytes = Vec::with_capacity(len.min(FIRST));
        // One byte more than there should be, to see whether the file ends where it says.
        if let Err(error) = from.take(len as u64 + 1).read_to_end(&mut bytes) {
            let got = format!("{} and then: {error}", bytes.len());
            return Err(broken(name, &place, &expected, &error, &got));
        }
        match bytes.len() {
            got if got == len => Ok(Self { sizes, bytes }),
            got if got > len => Err(wrong(&name, place, expected, "more")),
            got => Err(wrong(&name, place, expected, got)),
        }
    }
}

/// What begins a file.
struct Header {
    sizes: Vec<usize>,
    /// Their product.
    len: usize,
    /// Where the values begin.
    begin: u64,
}

impl Header {
    /// Of an array of so many values at most.
    fn read(from: &mut impl Read, name: &str, most: usize) -> Result<Self> {
        let magic = word(from, name, 0, "the magic number")?;
        // Two zeros, the type of the values (8 is an unsigned byte), and how many sizes there are.
        let rank = magic & 0xff;
        if magic >> 8 != 8 || rank == 0 {
            let expected = "0x00000801 to 0x000008ff, for an array of unsigned bytes";
            return Err(wrong(&name, "byte 0, the magic number", expected, format_args!("{magic:#010x}")));
        }
        let mut sizes = Vec::new();
        for at in 1..=rank {
            sizes.push(word(from, name, 4 * at, "a size")? as usize);
        }
        let place = "byte 4, the sizes";
        match sizes.iter().try_fold(1usize, |len, size| len.checked_mul(*size)) {
            Some(0) => Err(wrong(&name, place, "none that is 0", format_args!("{sizes:?}"))),
            Some(len) if len <= most => Ok(Self { sizes, len, begin: u64::from(4 * (rank + 1)) }),
            _ => Err(wrong(&name, place, format_args!("at most {most} values"), format_args!("{sizes:?}"))),
        }
    }
}

fn word(from: &mut impl Read, name: &str, at: u32, what: &str) -> Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).map_err(|error| {
        let got = match error.kind() {
            ErrorKind::UnexpectedEof => "the end of the file".to_owned(),
            _ => error.to_string(),
        };
        broken(name, &format!("byte {at}, {what}"), "4 bytes", &error, &got)
    })?;
    Ok(u32::from_be_bytes(bytes))
}

/// What cannot be decompressed or ends early is the file's fault, everything else the system's.
fn broken(name: &str, place: &str, expected: &str, error: &io::Error, got: &str) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            wrong(&name, place, expected, got)
        }
        _ => Error::File { path: PathBuf::from(name), why: error.to_string() },
    }
}
