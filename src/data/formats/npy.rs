//! npy files of numpy, and npz archives of them.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html> describes the format.

use std::{fs::File, io::Read, path::Path};

use crate::{
    data::{
        features::Features,
        file_rows::FileRows,
        formats::{npy_header::Header, signature, zip::Archive},
    },
    error::{Error, Result, check_len, try_with_capacity},
    util::files::{format_error, io_error, join_names, read, write},
};

/// The maximum size of a file, and of a decompressed array in an archive, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 32;

/// The maximum number of bytes that are read to find the header of a file whose rows stay in the file.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// An array from an npy file: its shape and its values.
///
/// Unsigned bytes and bools stay bytes. All other types become f32, or f64 if the array contains a value >= 2^24 and
/// f32 cannot represent every value exactly.
///
/// ```no_run
/// # use gradus::{Dataset, data::formats::Npy};
/// let images = Npy::load("images.npy")?;
/// let labels = Npy::load_npz("labels.npz", "arr_0")?;
/// let (rows, pixels) = (images.rows(), images.into_values().with_scale(1.0 / 255.0)?);
/// let data = Dataset::new(rows, pixels, labels.class_ids()?)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "numpy")]
#[derive(Debug, Clone, PartialEq)]
pub struct Npy {
    shape: Vec<usize>,
    values: Features,
}

impl FileRows {
    /// Opens an npy file without reading its values, so that it may be larger than the memory. The first dimension is
    /// the number of rows. Bytes and bools stay bytes, also on the device.
    ///
    /// ```no_run
    /// # use gradus::{Dataset, data::{FileRows, formats::Npy}};
    /// let images = FileRows::open_npy("images.npy")?.with_scale(1.0 / 255.0);
    /// let labels = Npy::load("labels.npy")?;
    /// let data = Dataset::new(images.rows(), images, labels.class_ids()?)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is not an npy file of numbers, has no values, has a different number of bytes than
    /// its header states, or has several rows and columns in Fortran order.
    #[doc(alias = "memmap")]
    pub fn open_npy(path: impl AsRef<Path>) -> Result<FileRows> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| io_error(path, &error))?;
        let mut head = Vec::new();
        let metadata = (&mut file).take(MAX_HEADER_BYTES).read_to_end(&mut head).and_then(|_| file.metadata());
        let file_bytes = metadata.map_err(|error| io_error(path, &error))?.len();
        let Header { value_type, is_fortran, shape, data_offset } = Header::read(&head, &name)?;
        let location = format!("byte {data_offset}, the values");
        if is_fortran && !is_one_dimensional(&shape) {
            let got = "Fortran order (column by column); save numpy.ascontiguousarray(array), or use Npy::load";
            return Err(format_error(&name, location, "C order (row by row)", got));
        }
        let rows = shape.first().copied().unwrap_or(1);
        let columns = checked_product(shape.get(1..).unwrap_or_default()).unwrap_or(usize::MAX);
        let expected_bytes = rows.checked_mul(columns).and_then(|len| len.checked_mul(value_type.width));
        let data_bytes = file_bytes.saturating_sub(data_offset as u64);
        if expected_bytes.map(|bytes| bytes as u64) != Some(data_bytes) || data_bytes == 0 {
            let expected = format!("{shape:?} values of {} bytes, and at least 1 value", value_type.width);
            return Err(format_error(&name, location, expected, format_args!("{data_bytes} bytes")));
        }
        Ok(FileRows::new(path, file, data_offset as u64, value_type, [rows, columns]))
    }
}

impl Npy {
    /// Creates an array to save.
    ///
    /// # Shapes
    /// - values: as many as the product of `shape`, in C order (the last index changes fastest)
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values differs from the product of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, values: impl Into<Features>) -> Result<Self> {
        let (shape, values) = (shape.into(), values.into());
        let expected = checked_product(&shape).unwrap_or(usize::MAX);
        check_len("Npy::new", expected, values.value_count())?;
        Ok(Self { shape, values })
    }

    /// Loads an npy file of f16, f32, f64, integers of 8 to 64 bits, or bools, in either byte order, and in C or
    /// Fortran order. Bools become bytes of 0 and 1.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is not an npy file of numbers, is larger than 4 GiB, or has a different number of
    /// bytes than its header states.
    #[doc(alias = "numpy.load")]
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(read(path, MAX_FILE_BYTES)?, &path.display().to_string())
    }

    /// Parses the content of an npy file. Error messages contain `name`.
    ///
    /// # Errors
    /// Returns the errors of [`Npy::load`].
    pub fn from_bytes(content: impl Into<Vec<u8>>, name: &str) -> Result<Self> {
        let mut content = content.into();
        let Header { value_type, is_fortran, shape, data_offset } = Header::read(&content, name)?;
        let data_bytes = content.len() - data_offset;
        if checked_product(&shape).and_then(|len| len.checked_mul(value_type.width)) != Some(data_bytes) {
            let location = format!("byte {data_offset}, the values");
            let expected = format!("{shape:?} values of {} bytes", value_type.width);
            return Err(format_error(&name, location, expected, format_args!("{data_bytes} bytes")));
        }
        content.drain(..data_offset);
        if is_fortran && !is_one_dimensional(&shape) {
            content = to_c_order(&content, &shape, value_type.width)?;
        }
        Ok(Self { shape, values: Features::from_array(value_type, content)? })
    }

    /// Loads the array `name` (without `.npy`) from an npz archive, which may be compressed.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is not a valid npz archive, contains no array `name`, or if that array is not a
    /// valid npy file; see [`Npy::load`].
    pub fn load_npz(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref();
        Self::from_npz_bytes(&read(path, MAX_FILE_BYTES)?, name, &path.display().to_string())
    }

    /// Parses the array `name` (without `.npy`) in the content of an npz archive. Error messages contain `file`.
    ///
    /// # Errors
    /// Returns the errors of [`Npy::load_npz`].
    pub fn from_npz_bytes(content: &[u8], name: &str, file: &str) -> Result<Self> {
        let archive = Archive::read(content, file)?;
        let member = format!("{name}.npy");
        if !archive.names().any(|listed| listed == member) {
            let names: Vec<_> = archive.arrays().collect();
            return Err(format_error(&file, "arrays", format_args!("an array {name:?}"), join_names(&names)));
        }
        Self::from_bytes(archive.open(&member, MAX_FILE_BYTES)?, &format!("{file}, {member}"))
    }

    /// Returns the names of the arrays in an npz archive, in the order of the archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    /// [`Error::Format`] if the file is not a valid npz archive, or is larger than 4 GiB.
    pub fn npz_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = path.as_ref();
        Self::npz_names_from_bytes(&read(path, MAX_FILE_BYTES)?, &path.display().to_string())
    }

    /// Returns the names of the arrays in the content of an npz archive. Error messages contain `file`.
    ///
    /// # Errors
    /// [`Error::Format`] if the content is not a valid npz archive.
    pub fn npz_names_from_bytes(content: &[u8], file: &str) -> Result<Vec<String>> {
        Ok(Archive::read(content, file)?.arrays().map(str::to_owned).collect())
    }

    /// Saves the array as an npy file in C order, and creates the folder if it does not exist.
    ///
    /// Bytes of scale 1 are saved as bytes. All other values are saved as f32, multiplied by their scale. Saving is
    /// atomic.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written. The old file then still exists.
    /// [`Error::InvalidSetting`] if the shape does not fit into the header.
    /// [`Error::OutOfMemory`] if the host cannot allocate the content of the file.
    #[doc(alias = "numpy.save")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (len, scale) = (self.values.value_count(), self.values.byte_scale());
        let is_bytes = scale == Some(1.0);
        let value_width = if is_bytes { 1 } else { 4 };
        let header = self.header(is_bytes)?;
        let data_bytes = value_width * len;
        let mut content = try_with_capacity(header.len() + data_bytes, "the content of an npy file")?;
        content.extend_from_slice(&header);
        content.resize(header.len() + data_bytes, 0);
        let columns = if let Features::File(file) = &self.values { file.columns() } else { len };
        let is_scaled = scale.is_some() && !is_bytes;
        let mut scaled_row = vec![0.0; if is_scaled { columns } else { 0 }];
        let row_bytes = (value_width * columns).max(1);
        for (row, into) in content[header.len()..].chunks_exact_mut(row_bytes).enumerate() {
            if is_scaled {
                self.values.write(row, &mut scaled_row);
                into.copy_from_slice(bytemuck::cast_slice(&scaled_row));
            } else {
                self.values.write_bytes(row, columns, into);
            }
        }
        self.values.check_read()?;
        write(path.as_ref(), &content)
    }

    /// Returns the header for this array, whose values are bytes or f32.
    fn header(&self, is_bytes: bool) -> Result<Vec<u8>> {
        let descr = if is_bytes {
            "|u1"
        } else if cfg!(target_endian = "big") {
            ">f4"
        } else {
            "<f4"
        };
        let sizes: String = self.shape.iter().map(|size| format!("{size}, ")).collect();
        // In Python, a tuple of one value needs a comma after it, and an empty tuple may have none.
        let sizes = if self.shape.len() < 2 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
        let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
        let (version, length_bytes) = ([1u8, 0], 2);
        let text_offset = signature::NPY.len() + version.len() + length_bytes;
        // Spaces and a line feed pad the header to a multiple of 64 bytes.
        let data_offset = (text_offset + dictionary.len() + 1).next_multiple_of(64);
        let Ok(text_bytes) = u16::try_from(data_offset - text_offset) else {
            let (expected, got) =
                ("a header of at most 65535 bytes".to_owned(), (data_offset - text_offset).to_string());
            return Err(Error::InvalidSetting { name: "shape of an npy file", expected, got });
        };
        let mut header = [signature::NPY, &version, &text_bytes.to_le_bytes(), dictionary.as_bytes()].concat();
        header.resize(data_offset - 1, b' ');
        header.push(b'\n');
        Ok(header)
    }

    /// Returns the size of each dimension; empty for a single value.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the size of the first dimension; 1 for a single value.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Returns the values in C order.
    pub fn values(&self) -> &Features {
        &self.values
    }

    /// Returns the values in C order, and consumes the array.
    pub fn into_values(self) -> Features {
        self.values
    }

    /// Returns the values as class ids.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a value is not an integer in [0, 2^24), or in [0, 2^32 - 1) for values in f64.
    #[doc(alias = "labels")]
    pub fn class_ids(&self) -> Result<Vec<u32>> {
        self.values.class_ids()
    }
}

/// Returns the product of the sizes; `None` if it overflows.
fn checked_product(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size))
}

/// Returns whether at most one size is larger than 1. C order and Fortran order are then the same.
fn is_one_dimensional(shape: &[usize]) -> bool {
    shape.iter().filter(|size| **size > 1).count() <= 1
}

/// Reorders values of `width` bytes from Fortran order to C order.
fn to_c_order(content: &[u8], shape: &[usize], width: usize) -> Result<Vec<u8>> {
    let mut reordered = try_with_capacity(content.len(), "an array in C order")?;
    let mut indices = vec![0; shape.len()];
    for _ in 0..content.len() / width {
        // In Fortran order the first index changes fastest.
        let source = indices.iter().zip(shape).rev().fold(0, |source, (index, size)| source * size + index);
        reordered.extend_from_slice(&content[source * width..(source + 1) * width]);
        // Advance to the next element in C order, in which the last index changes fastest.
        for (index, size) in indices.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < *size {
                break;
            }
            *index = 0;
        }
    }
    Ok(reordered)
}
