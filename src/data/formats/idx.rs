//! IDX files, the format of MNIST, optionally gzip-compressed. A file contains a magic number with the type of the
//! values and the number of dimensions, then the size of each dimension, then the values. All numbers are big-endian.
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
        file_rows::FileRows,
        formats::{gzip::gzip_reader, signature},
        value_type::ValueType,
    },
    error::{Error, Result},
    util::files::{format_error, io_error},
};

/// The maximum number of values of a file. The largest common IDX files (EMNIST) have about 550 million values.
const MAX_VALUES: usize = 1 << 30;

/// The maximum number of bytes that are allocated before a value was read, because the header may be wrong.
const INITIAL_CAPACITY: usize = 1 << 20;

/// An array from an IDX file: its shape and its values.
///
/// Unsigned bytes stay bytes. All other types become f32, or f64 if the array contains a value >= 2^24 and f32 cannot
/// represent every value exactly. [`ImageSet::from_idx`](crate::data::formats::ImageSet::from_idx) loads images and
/// labels.
#[doc(alias = "MNIST")]
#[derive(Debug, Clone, PartialEq)]
pub struct Idx {
    /// The shape: `[rows, height, width]` for images, `[rows]` for labels.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub values: Features,
}

impl FileRows {
    /// Opens an uncompressed file without reading its values, so that it may be larger than the memory. The first
    /// dimension is the number of rows.
    ///
    /// ```no_run
    /// # use gradus::{Dataset, data::{FileRows, formats::Idx}};
    /// let images = FileRows::open_idx("train-images-idx3-ubyte")?.with_scale(1.0 / 255.0);
    /// let labels = Idx::load("train-labels-idx1-ubyte")?;
    /// let data = Dataset::new(images.rows(), images, labels.class_ids()?)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is compressed or not an IDX file, or has a different number of values than its
    /// header states.
    pub fn open_idx(path: impl AsRef<Path>) -> Result<FileRows> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| io_error(path, &error))?;
        let Header { value_type, shape, len, data_offset } = Header::read(&mut file, &name, usize::MAX)?;
        let file_bytes = file.metadata().map_err(|error| io_error(path, &error))?.len();
        let expected_bytes = len.checked_mul(value_type.width).and_then(|bytes| data_offset.checked_add(bytes as u64));
        if expected_bytes != Some(file_bytes) {
            let location = format!("byte {data_offset}, the values");
            let expected = format!("{len} values of {} bytes", value_type.width);
            let got = format!("{} bytes", file_bytes.saturating_sub(data_offset));
            return Err(format_error(&name, location, expected, got));
        }
        Ok(FileRows::new(path, file, data_offset, value_type, [shape[0], len / shape[0]]))
    }
}

impl Idx {
    /// Loads a file of unsigned or signed bytes, 16-bit or 32-bit integers, f32 or f64 (types 0x08, 0x09, 0x0B, 0x0C,
    /// 0x0D and 0x0E). The file may be gzip-compressed, which gradus recognizes by the content, not by the name.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is not an IDX file, has more than 2^30 values, or has a different number of values
    /// than its header states. Locations are offsets in the decompressed content.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|error| io_error(path, &error))?;
        Self::from_reader(file, &path.display().to_string())
    }

    /// Reads the content of a file, which may be gzip-compressed. Error messages contain `name`.
    ///
    /// # Errors
    /// Returns the errors of [`Idx::load`].
    pub fn from_reader(from: impl Read, name: &str) -> Result<Self> {
        let unreadable = |error: io::Error| Error::Io { path: PathBuf::from(name), reason: error.to_string() };
        let mut from = gzip_reader(from).map_err(unreadable)?;
        let Header { value_type, shape, len, data_offset } = Header::read(&mut from, name, MAX_VALUES)?;
        let expected_bytes = len * value_type.width;
        let (location, expected) = (format!("byte {data_offset}, the values"), format!("{expected_bytes} bytes"));
        let mut bytes = Vec::with_capacity(expected_bytes.min(INITIAL_CAPACITY));
        // Read one byte more than expected, to detect content after the values.
        if let Err(error) = from.take(expected_bytes as u64 + 1).read_to_end(&mut bytes) {
            let got = format!("{} bytes, then: {error}", bytes.len());
            return Err(read_error(name, &location, &expected, &error, &got));
        }
        if bytes.len() > expected_bytes {
            return Err(format_error(&name, location, expected, format_args!("more than {expected_bytes}")));
        }
        if bytes.len() < expected_bytes {
            return Err(format_error(&name, location, expected, bytes.len()));
        }
        Ok(Self { shape, values: Features::from_array(value_type, bytes)? })
    }

    /// Returns the values as class ids, for example the labels of MNIST.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a value is not an integer in [0, 2^24), or in [0, 2^32 - 1) for values in f64.
    #[doc(alias = "labels")]
    pub fn class_ids(&self) -> Result<Vec<u32>> {
        self.values.class_ids()
    }
}

/// The header of a file.
struct Header {
    value_type: ValueType,
    shape: Vec<usize>,
    /// The number of values: the product of the shape.
    len: usize,
    /// The offset of the first value, in bytes.
    data_offset: u64,
}

impl Header {
    /// Reads the header. Returns an error if the array has no values, or more than `max_values`.
    fn read(from: &mut impl Read, name: &str, max_values: usize) -> Result<Self> {
        let location = "byte 0, the magic number";
        let mut magic = [0; 4];
        if let Err(error) = from.read_exact(&mut magic) {
            return Err(truncation_error(name, location, &error));
        }
        // The magic number: two zeros, the type of the values, and the number of dimensions.
        let (Some(value_type), [0, 0, _, dimensions @ 1..=255]) = (value_type(magic[2]), magic) else {
            let mut head = magic.to_vec();
            let _ = from.take((signature::HEAD_BYTES - magic.len()) as u64).read_to_end(&mut head);
            let expected =
                "an IDX file (0x0000TTNN: type 0x08, 0x09, 0x0b, 0x0c, 0x0d or 0x0e, and at least 1 dimension)";
            let got = match signature::recognize(&head) {
                Some(format) => format.to_owned(),
                None => format!("{:#010x}", u32::from_be_bytes(magic)),
            };
            return Err(format_error(&name, location, expected, got));
        };
        let dimensions = u32::from(dimensions);
        let mut shape = Vec::new();
        for dimension in 1..=dimensions {
            shape.push(read_size(from, name, 4 * dimension)? as usize);
        }
        let location = "byte 4, the shape";
        let got = format!("{shape:?}");
        match shape.iter().try_fold(1usize, |len, size| len.checked_mul(*size)) {
            Some(0) => Err(format_error(&name, location, "sizes >= 1", got)),
            Some(len) if len <= max_values => {
                Ok(Self { value_type, shape, len, data_offset: u64::from(4 * (dimensions + 1)) })
            }
            _ => Err(format_error(&name, location, format_args!("at most {max_values} values"), got)),
        }
    }
}

/// Returns the type of the values for a type number of the magic number.
fn value_type(number: u8) -> Option<ValueType> {
    let (type_code, width) = match number {
        0x08 => (b'u', 1),
        0x09 => (b'i', 1),
        0x0b => (b'i', 2),
        0x0c => (b'i', 4),
        0x0d => (b'f', 4),
        0x0e => (b'f', 8),
        _ => return None,
    };
    Some(ValueType { type_code, width, is_big_endian: true })
}

/// Reads the size of a dimension, which is at the byte `offset` of the file.
fn read_size(from: &mut impl Read, name: &str, offset: u32) -> Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).map_err(|error| truncation_error(name, &format!("byte {offset}, a size"), &error))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Returns the error for four bytes of the header that could not be read.
fn truncation_error(name: &str, location: &str, error: &io::Error) -> Error {
    let got = match error.kind() {
        ErrorKind::UnexpectedEof => "the end of the file".to_owned(),
        _ => error.to_string(),
    };
    read_error(name, location, "4 bytes", error, &got)
}

/// Returns [`Error::Format`] if the content is truncated or cannot be decompressed, and [`Error::Io`] for errors of the
/// operating system.
fn read_error(name: &str, location: &str, expected: &str, error: &io::Error, got: &str) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            format_error(&name, location, expected, got)
        }
        _ => Error::Io { path: PathBuf::from(name), reason: error.to_string() },
    }
}
