//! IDX files, the format of MNIST: a magic number that says the type of the values and how many sizes follow, then the
//! sizes, then the values; every number big-endian. Plain, or compressed by gzip.
//!
//! <http://yann.lecun.com/exdb/mnist> describes the format.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

use crate::{
    data::{
        features::Features,
        file_rows::{FileRows, ValueType},
        formats::{gzip::gzip_reader, signature},
    },
    error::{Error, Result},
    util::files::{format_error, io_error},
};

/// The most values a file may hold; the largest IDX sets in use (EMNIST) have about 550 million.
const MAX_VALUES: usize = 1 << 30;

/// How much memory is taken before the first value was seen.
const INITIAL_CAPACITY: usize = 1 << 20;

/// The values of an IDX file and the sizes of the array that they are. Unsigned bytes stay bytes, all other numbers become
/// f32.
///
/// [`ImageSet::from_idx`](crate::data::formats::ImageSet::from_idx) makes a data set of two such files.
#[derive(Debug, Clone, PartialEq)]
pub struct Idx {
    /// The sizes, the slowest first: `[rows, height, width]` for images, `[rows]` for labels.
    pub sizes: Vec<usize>,
    /// The values, row by row.
    pub values: Features,
}

impl Idx {
    /// Reads a file of unsigned or signed bytes, 16-bit or 32-bit integers, f32 or f64 (types 0x08, 0x09, 0x0B, 0x0C, 0x0D and
    /// 0x0E), plain or compressed by gzip. Compression is recognized by the content, not by the name. Numbers that are not
    /// exact as f32 are rounded.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is no IDX file, has more than 2^30 values or a different
    /// number of values than its sizes say. Locations are bytes of the decompressed content.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| io_error(path, &error))?;
        Self::from_reader(file, &path.display().to_string())
    }

    /// Opens a file, which is not compressed, for its rows to be read when they are needed: it may be larger than the
    /// memory. The first size is the number of rows. Labels are read by [`Idx::load`].
    /// ```no_run
    /// # use gradus::{Dataset, data::formats::Idx};
    /// let images = Idx::rows_in("train-images-idx3-ubyte")?.with_scale(1.0 / 255.0);
    /// let labels = Idx::open("train-labels-idx1-ubyte")?;
    /// let data = Dataset::new(images.rows(), images, labels.classes()?)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Idx::load`], for a file of any size; and [`Error::Format`] for a compressed file, whose rows cannot be read one
    /// by one.
    pub fn rows_in(path: impl AsRef<Path>) -> Result<FileRows> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| io_error(path, &error))?;
        let Header { value_type: kind, shape: sizes, len, data_offset: begin } =
            Header::read(&mut file, &name, usize::MAX)?;
        let bytes = file.metadata().map_err(|error| io_error(path, &error))?.len();
        let need = len.checked_mul(kind.width).and_then(|len| begin.checked_add(len as u64));
        if need != Some(bytes) {
            let place = format!("byte {begin}, the values");
            let expected = format_args!("{len} values of {} bytes", kind.width).to_string();
            return Err(format_error(&name, place, expected, format_args!("{} bytes", bytes.saturating_sub(begin))));
        }
        Ok(FileRows::new(path, file, begin, kind, [sizes[0], len / sizes[0]]))
    }

    /// Reads a file's content, plain or compressed by gzip. Errors call it `name`.
    ///
    /// # Errors
    /// As [`Idx::load`].
    pub fn from_reader(from: impl Read, name: &str) -> Result<Self> {
        let unreadable = |error: io::Error| Error::Io { path: PathBuf::from(name), reason: error.to_string() };
        let mut from = gzip_reader(from).map_err(unreadable)?;
        let Header { value_type: kind, shape: sizes, len, data_offset: begin } =
            Header::read(&mut from, name, MAX_VALUES)?;
        let whole = len * kind.width;
        let (place, expected) = (format!("byte {begin}, the values"), format!("{whole} bytes"));
        let mut bytes = Vec::with_capacity(whole.min(INITIAL_CAPACITY));
        // One byte more than there should be, to see whether the file ends where it says.
        if let Err(error) = from.take(whole as u64 + 1).read_to_end(&mut bytes) {
            let got = format!("{} and then: {error}", bytes.len());
            return Err(read_error(name, &place, &expected, &error, &got));
        }
        match bytes.len() {
            got if got == whole => Ok(Self { sizes, values: kind.to_features(bytes)? }),
            got if got > whole => Err(format_error(&name, place, expected, "more")),
            got => Err(format_error(&name, place, expected, got)),
        }
    }

    /// The values as class ids, such as the labels of MNIST.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if one is not a whole number from 0 to below 2^24.
    pub fn classes(&self) -> Result<Vec<u32>> {
        self.values.classes()
    }
}

/// What begins a file.
struct Header {
    value_type: ValueType,
    shape: Vec<usize>,
    /// Their product.
    len: usize,
    /// Where the values begin.
    data_offset: u64,
}

impl Header {
    /// Of an array of so many values at most.
    fn read(from: &mut impl Read, name: &str, max: usize) -> Result<Self> {
        let mut magic = [0; 4];
        let place = "byte 0, the magic number";
        if let Err(error) = from.read_exact(&mut magic) {
            return Err(truncation_error(name, place, &error));
        }
        // Two zeros, the type of the values, and how many sizes there are.
        let (Some(kind), [0, 0, _, rank @ 1..=255]) = (value_type(magic[2]), magic) else {
            let mut head = magic.to_vec();
            let _ = from.take((signature::HEAD_BYTES - magic.len()) as u64).read_to_end(&mut head);
            let expected = "an IDX file (0x0000TTNN: type 0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e, and at least 1 size)";
            let got = match signature::recognize(&head) {
                Some(format) => format.to_owned(),
                None => format!("{:#010x}", u32::from_be_bytes(magic)),
            };
            return Err(format_error(&name, place, expected, got));
        };
        let rank = u32::from(rank);
        let mut sizes = Vec::new();
        for at in 1..=rank {
            sizes.push(read_u32(from, name, 4 * at, "a size")? as usize);
        }
        let place = "byte 4, the sizes";
        match sizes.iter().try_fold(1usize, |len, size| len.checked_mul(*size)) {
            Some(0) => Err(format_error(&name, place, "none that is 0", format_args!("{sizes:?}"))),
            Some(len) if len <= max => {
                Ok(Self { value_type: kind, shape: sizes, len, data_offset: u64::from(4 * (rank + 1)) })
            }
            _ => Err(format_error(&name, place, format_args!("at most {max} values"), format_args!("{sizes:?}"))),
        }
    }
}

/// The type of the values by its number in the magic number.
fn value_type(number: u8) -> Option<ValueType> {
    let (letter, width) = match number {
        0x08 => (b'u', 1),
        0x09 => (b'i', 1),
        0x0b => (b'i', 2),
        0x0c => (b'i', 4),
        0x0d => (b'f', 4),
        0x0e => (b'f', 8),
        _ => return None,
    };
    Some(ValueType { type_code: letter, width, is_big_endian: true })
}

fn read_u32(from: &mut impl Read, name: &str, at: u32, what: &str) -> Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).map_err(|error| truncation_error(name, &format!("byte {at}, {what}"), &error))?;
    Ok(u32::from_be_bytes(bytes))
}

/// The error of four bytes that could not be read.
fn truncation_error(name: &str, place: &str, error: &io::Error) -> Error {
    let got = match error.kind() {
        ErrorKind::UnexpectedEof => "the end of the file".to_owned(),
        _ => error.to_string(),
    };
    read_error(name, place, "4 bytes", error, &got)
}

/// What cannot be decompressed or ends early is the file's fault, everything else the system's.
fn read_error(name: &str, place: &str, expected: &str, error: &io::Error, got: &str) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            format_error(&name, place, expected, got)
        }
        _ => Error::Io { path: PathBuf::from(name), reason: error.to_string() },
    }
}
