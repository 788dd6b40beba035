//! numpy's npy files, and the npz archives of them.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html> describes the format.

use std::{fs::File, io::Read, path::Path};

use crate::{
    data::{
        features::Features,
        file_rows::FileRows,
        formats::{npy_header::Header, zip::Archive},
    },
    error::{Error, Result, check_len, try_with_capacity},
    util::files::{format_error, io_error, read, write},
};

/// The most bytes of a file, and of an array in an archive once it is decompressed.
const MAX_FILE_BYTES: u64 = 1 << 32;

/// The most bytes that are read to find the header of a file whose rows stay there.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The values of an npy file and the sizes of the array that they are. Bytes stay bytes, all other numbers become f32.
///
/// ```no_run
/// # use gradus::{Dataset, data::formats::Npy};
/// let images = Npy::open("images.npy")?;
/// let labels = Npy::open_in("labels.npz", "arr_0")?;
/// let (rows, pixels) = (images.rows(), images.into_values().with_scale(1.0 / 255.0)?);
/// let data = Dataset::new(rows, pixels, labels.classes()?)?;
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Npy {
    shape: Vec<usize>,
    values: Features,
}

impl Npy {
    /// An array to be saved.
    ///
    /// # Shapes
    /// - values: as many as the product of the sizes, the last size the fastest
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values.
    pub fn new(sizes: impl Into<Vec<usize>>, values: impl Into<Features>) -> Result<Self> {
        let (sizes, values) = (sizes.into(), values.into());
        let expected = sizes.iter().try_fold(1usize, |len, size| len.checked_mul(*size)).unwrap_or(usize::MAX);
        check_len("values of an array", expected, values.value_count())?;
        Ok(Self { shape: sizes, values })
    }

    /// Reads an npy file of f16, f32, f64, integers of 8 to 64 bits, or truth values (as bytes of 0 and 1), in either byte
    /// order, row by row or column by column (Fortran order). Numbers that are not exact as f32 are rounded.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Format`] with the byte if it is no such file, is larger than 4 GiB, or
    /// does not have as many bytes as its header says.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_bytes(read(path, MAX_FILE_BYTES)?, &path.display().to_string())
    }

    /// Reads the content of an npy file. Errors call it `name`.
    ///
    /// # Errors
    /// As [`Npy::load`].
    pub fn from_bytes(content: impl Into<Vec<u8>>, name: &str) -> Result<Self> {
        let mut content = content.into();
        let Header { value_type: kind, is_fortran, shape: sizes, data_offset: values } = Header::read(&content, name)?;
        let len = sizes.iter().try_fold(1usize, |len, size| len.checked_mul(*size));
        let got = content.len() - values;
        if len.and_then(|len| len.checked_mul(kind.width)) != Some(got) {
            let expected = format_args!("{sizes:?} values of {} bytes", kind.width).to_string();
            return Err(format_error(
                &name,
                format_args!("byte {values}, the values"),
                expected,
                format_args!("{got} bytes"),
            ));
        }
        content.drain(..values);
        if is_fortran && !is_one_dimensional(&sizes) {
            content = to_row_major(&content, &sizes, kind.width)?;
        }
        Ok(Self { shape: sizes, values: kind.to_features(content)? })
    }

    /// Opens an npy file for its rows to be read when they are needed: it may be larger than the memory. Bytes and truth
    /// values stay bytes, on the device too. The first size is the number of rows.
    /// ```no_run
    /// # use gradus::{Dataset, data::formats::Npy};
    /// let images = Npy::rows_in("images.npy")?.with_scale(1.0 / 255.0);
    /// let labels = Npy::open("labels.npy")?;
    /// let data = Dataset::new(images.rows(), images, labels.classes()?)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Npy::load`], for a file of any size; and [`Error::Format`] for an array in Fortran order with more than one
    /// row and more than one column, and for one without values.
    pub fn rows_in(path: impl AsRef<Path>) -> Result<FileRows> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| io_error(path, &error))?;
        let mut head = Vec::new();
        let read = (&mut file).take(MAX_HEADER_BYTES).read_to_end(&mut head).and_then(|_| file.metadata());
        let bytes = read.map_err(|error| io_error(path, &error))?.len();
        let Header { value_type: kind, is_fortran, shape: sizes, data_offset: values } = Header::read(&head, &name)?;
        let place = format!("byte {values}, the values");
        if is_fortran && !is_one_dimensional(&sizes) {
            let got = "a Fortran-order array, column by column; save numpy.ascontiguousarray of it, or use Npy::open";
            return Err(format_error(&name, place, "values in row order", got));
        }
        let columns = sizes.iter().skip(1).try_fold(1usize, |len, size| len.checked_mul(*size));
        let (rows, columns) = (sizes.first().copied().unwrap_or(1), columns.unwrap_or(usize::MAX));
        let need = rows.checked_mul(columns).and_then(|len| len.checked_mul(kind.width)).map(|bytes| bytes as u64);
        let got = bytes.saturating_sub(values as u64);
        if need != Some(got) || got == 0 {
            let expected = format!("{sizes:?} values of {} bytes, at least one", kind.width);
            return Err(format_error(&name, place, expected, format_args!("{got} bytes")));
        }
        Ok(FileRows::new(path, file, values as u64, kind, [rows, columns]))
    }

    /// Reads the array called `name` (without .npy) from an npz archive, compressed or not.
    ///
    /// # Errors
    /// As [`Npy::load`], and [`Error::Format`] if the archive has no such array, is no such archive or damaged.
    pub fn load_npz(path: impl AsRef<Path>, name: &str) -> Result<Self> {
        let path = path.as_ref();
        Self::from_npz_bytes(&read(path, MAX_FILE_BYTES)?, name, &path.display().to_string())
    }

    /// Reads the array called `name` (without .npy) from the content of an npz archive. Errors call that `file`.
    ///
    /// # Errors
    /// As [`Npy::load_npz`].
    pub fn from_npz_bytes(content: &[u8], name: &str, file: &str) -> Result<Self> {
        let archive = Archive::read(content, file)?;
        let member = format!("{name}.npy");
        if !archive.names().any(|one| one == member) {
            let names: Vec<_> = archive.arrays().collect();
            return Err(format_error(
                &file,
                "arrays",
                format_args!("one called {name:?}"),
                crate::util::files::join_names(&names),
            ));
        }
        Self::from_bytes(archive.open(&member, MAX_FILE_BYTES)?, &format!("{file}, {member}"))
    }

    /// The names of the arrays in an npz archive, in its order.
    ///
    /// # Errors
    /// As [`Npy::load_npz`].
    pub fn npz_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = path.as_ref();
        Self::npz_names_from_bytes(&read(path, MAX_FILE_BYTES)?, &path.display().to_string())
    }

    /// The names of the arrays in the content of an npz archive. Errors call it `file`.
    ///
    /// # Errors
    /// As [`Npy::load_npz`].
    pub fn npz_names_from_bytes(content: &[u8], file: &str) -> Result<Vec<String>> {
        Ok(Archive::read(content, file)?.arrays().map(str::to_owned).collect())
    }

    /// Writes an npy file, row by row: of bytes, if these are bytes of scale 1, and otherwise of f32, multiplied by the scale. Its folder is made if need be.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; the old file is still there then.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (len, scale) = (self.values.value_count(), self.values.byte_scale());
        let is_bytes = scale == Some(1.0);
        let kind = if is_bytes {
            "|u1"
        } else if cfg!(target_endian = "big") {
            ">f4"
        } else {
            "<f4"
        };
        let sizes: String = self.shape.iter().map(|size| format!("{size}, ")).collect();
        // In Python one value in brackets is no tuple without the comma, and none takes no comma.
        let sizes = if self.shape.len() < 2 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}");
        // The values begin at a multiple of 64 bytes, after a line's end.
        let whole = (10 + header.len() + 1).next_multiple_of(64);
        let bytes = if is_bytes { len } else { 4 * len };
        let mut content = try_with_capacity(whole + bytes, "the content of an array's file")?;
        content.extend_from_slice(b"\x93NUMPY\x01\x00");
        let Ok(length) = u16::try_from(whole - 10) else {
            let (expected, got) = ("sizes that a header has room for".to_owned(), self.shape.len().to_string());
            return Err(Error::InvalidSetting { name: "sizes of an array", expected, got });
        };
        content.extend(length.to_le_bytes());
        content.extend(header.bytes());
        content.resize(whole - 1, b' ');
        content.push(b'\n');
        content.resize(whole + bytes, 0);
        let columns = if let Features::File(file) = &self.values { file.columns() } else { len };
        // Bytes that stand for other numbers than those of a file.
        let mut numbers = vec![0.0; if scale.is_some() && !is_bytes { columns } else { 0 }];
        let each = (if is_bytes { columns } else { 4 * columns }).max(1);
        for (row, into) in content[whole..].chunks_exact_mut(each).enumerate() {
            if numbers.is_empty() {
                self.values.write_bytes(row, columns, into);
            } else {
                self.values.write(row, &mut numbers);
                into.copy_from_slice(bytemuck::cast_slice(&numbers));
            }
        }
        self.values.check_read()?;
        write(path.as_ref(), &content)
    }

    /// The sizes, the slowest first; none for a single value.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The first size; 1 for a single value.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The values, the last size the fastest.
    pub fn values(&self) -> &Features {
        &self.values
    }

    /// The values, to be moved into a data set.
    pub fn into_values(self) -> Features {
        self.values
    }

    /// The values as class ids.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if one is not a whole number from 0 to below 2^24.
    pub fn class_ids(&self) -> Result<Vec<u32>> {
        self.values.classes()
    }
}

/// Whether at most one size is larger than 1: the values are in the same order row by row and column by column then.
fn is_one_dimensional(sizes: &[usize]) -> bool {
    sizes.iter().filter(|size| **size > 1).count() <= 1
}

/// Values of `width` bytes that lie with the first size the fastest, with the last the fastest.
fn to_row_major(content: &[u8], sizes: &[usize], width: usize) -> Result<Vec<u8>> {
    let mut into = try_with_capacity(content.len(), "an array in the order of its rows")?;
    let mut place = vec![0; sizes.len()];
    for _ in 0..content.len() / width {
        let at = place.iter().zip(sizes).rev().fold(0, |at, (place, size)| at * size + place);
        into.extend_from_slice(&content[at * width..(at + 1) * width]);
        for (place, size) in place.iter_mut().zip(sizes).rev() {
            *place += 1;
            if *place < *size {
                break;
            }
            *place = 0;
        }
    }
    Ok(into)
}
