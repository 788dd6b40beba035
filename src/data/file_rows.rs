//! Rows of features that stay in a file until they are needed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use crate::{
    data::value_type::ValueType,
    error::{Error, Result, first_non_finite, try_with_capacity},
};

/// The number of bytes per read when a single row is converted to f32.
const CONVERSION_BYTES: usize = 8192;

/// The number of bytes per read when a whole file is checked. They stay in the cache between the read and the check.
const READ_BYTES: usize = 1 << 17;

/// The maximum gap between two rows that one read covers. A system call takes as long as reading this many bytes.
const MAX_GAP_BYTES: usize = 4096;

/// The maximum number of bytes that one read of several rows covers. They stay in the cache until they are converted.
const MAX_SPAN_BYTES: usize = 1 << 17;

/// The number of rows that one thread reads when several threads read rows.
const ROWS_PER_THREAD: usize = 1024;

/// Rows of features in a file, for data sets that do not fit into memory. A clone shares the open file.
///
/// Each step reads only its rows. Rows that are close to each other in the file are read together, with the bytes
/// between them.
///
/// [`FileRows::open_npy`] and [`FileRows::open_idx`] open a
/// file. A [`Dataset`](crate::data::Dataset) accepts the rows in place of a vector, and keeps its targets and sample
/// weights in memory.
///
/// The file must not change while it is in use. If the file is truncated or can no longer be read, the next call that
/// reads it returns [`Error::Io`], and so does every later call.
#[derive(Debug, Clone)]
pub struct FileRows {
    source: Arc<RowFile>,
    /// The factor of the values.
    scale: f32,
    rows: usize,
    columns: usize,
    /// The selected rows of the file; `None` for all rows in the order of the file.
    selected: Option<Arc<Vec<u32>>>,
}

#[derive(Debug)]
struct RowFile {
    file: File,
    path: PathBuf,
    /// The offset of the first value in the file, in bytes.
    data_offset: u64,
    value_type: ValueType,
    /// The first read error. Rows are read in the middle of a step, which completes before it returns the error.
    first_error: OnceLock<Error>,
}

impl FileRows {
    /// Creates rows from an open file that has `rows * columns` values from the byte `data_offset` on. The caller has
    /// checked the size of the file.
    pub(crate) fn new(
        path: &Path,
        file: File,
        data_offset: u64,
        value_type: ValueType,
        [rows, columns]: [usize; 2],
    ) -> Self {
        let path = path.to_path_buf();
        let source = Arc::new(RowFile { file, path, data_offset, value_type, first_error: OnceLock::new() });
        Self { source, scale: 1.0, rows, columns, selected: None }
    }

    /// Returns the number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of values per row: the product of all dimensions except the first.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the factor of the values. It is 1 unless [`FileRows::with_scale`] sets it.
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// Returns the rows with a factor by which all values are multiplied, for example 1/255 for 8-bit images or 1/65535
    /// for 16-bit images. Bytes stay bytes, also on the device.
    ///
    /// ```no_run
    /// # use gradus::data::FileRows;
    /// let images = FileRows::open_idx("train-images-idx3-ubyte")?.with_scale(1.0 / 255.0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[must_use]
    pub fn with_scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Returns the scale if the values are bytes. All other types are converted to f32 when they are read.
    pub(crate) fn byte_scale(&self) -> Option<f32> {
        self.source.value_type.is_bytes().then_some(self.scale)
    }

    /// Returns the given rows in the given order.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let selected = rows.iter().map(|row| self.file_row(*row) as u32).collect();
        Self { rows: rows.len(), selected: Some(Arc::new(selected)), ..self.clone() }
    }

    /// Returns the index of a row in the file.
    fn file_row(&self, row: usize) -> usize {
        self.selected.as_ref().map_or(row, |selected| selected[row] as usize)
    }

    /// Returns the first error that occurred when rows were read.
    pub(crate) fn check(&self) -> Result<()> {
        self.source.first_error.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Returns an error if a value is not finite as f32. Reads the file once from start to end.
    pub(crate) fn check_finite(&self, name: &'static str) -> Result<()> {
        // All integers are below 1.9e19, which is 2^64 rounded up. They are finite if this bound times the scale is
        // finite.
        let are_finite = self.source.value_type.type_code != b'f' && (self.scale * 1.9e19).is_finite();
        // Selected rows come from a file that was already checked completely.
        if are_finite || self.source.value_type.is_bytes() || self.selected.is_some() {
            return Ok(());
        }
        // Later reads need memory for a row; return an error before reading the file if there is none.
        try_with_capacity::<f32>(self.columns, "row of a file")?;
        let RowFile { value_type, .. } = *self.source;
        let value_count = self.rows * self.columns;
        let block_values = (READ_BYTES / value_type.width).min(value_count);
        let mut bytes = try_with_capacity(block_values * value_type.width, "block of a file")?;
        bytes.resize(block_values * value_type.width, 0);
        let mut numbers = vec![0.0; block_values];
        for first in (0..value_count).step_by(block_values.max(1)) {
            let count = block_values.min(value_count - first);
            let (bytes, numbers) = (&mut bytes[..count * value_type.width], &mut numbers[..count]);
            self.source.read(first, bytes);
            self.check()?;
            value_type.convert_f32(bytes, numbers);
            scale_values(numbers, self.scale);
            if let Some(index) = first_non_finite(numbers) {
                let (row, column) = ((first + index) / self.columns, (first + index) % self.columns);
                return Err(Error::NonFinite { name, row, column, value: numbers[index] });
            }
        }
        Ok(())
    }

    /// Writes the bytes of a row.
    pub(crate) fn write_bytes(&self, row: usize, into: &mut [u8]) {
        self.source.read(self.file_row(row) * self.columns, into);
    }

    /// Writes a row as f32.
    pub(crate) fn write(&self, row: usize, into: &mut [f32]) {
        self.source.write(self.file_row(row) * self.columns, self.scale, into);
    }

    /// Writes rows as f32, each to its slice. Rows that are close to each other in the file are read together.
    pub(crate) fn write_all<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [f32])>) {
        let scale = self.scale;
        let write_one = |source: &RowFile, first: usize, into: &mut [f32]| source.write(first, scale, into);
        self.write_in_file_order(rows, write_one, |source, bytes, into| source.convert(bytes, scale, into));
    }

    /// Writes the bytes of rows, like [`FileRows::write_all`].
    pub(crate) fn write_all_bytes<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [u8])>) {
        self.write_in_file_order(rows, RowFile::read, |_, bytes, into| into.copy_from_slice(bytes));
    }

    /// Writes rows in the order of the file. `write_one` reads and writes a single row; `convert` writes a row whose
    /// bytes were read together with other rows.
    fn write_in_file_order<'a, T: Send + 'a>(
        &self,
        rows: impl Iterator<Item = (usize, &'a mut [T])>,
        write_one: impl Fn(&RowFile, usize, &mut [T]) + Sync,
        convert: impl Fn(&RowFile, &[u8], &mut [T]) + Sync,
    ) {
        let mut all: Vec<_> = rows.map(|(row, to)| (self.file_row(row), to)).collect();
        all.sort_unstable_by_key(|(row, _)| *row);
        all.par_chunks_mut(ROWS_PER_THREAD).for_each(|mut rest| {
            let mut span = Vec::new();
            while let Some((first, _)) = rest.first() {
                let first = *first;
                let (count, end) = self.count_near(first, rest[1..].iter().map(|(row, _)| *row));
                let (near, remaining) = rest.split_at_mut(count);
                rest = remaining;
                if let [(row, to)] = near {
                    write_one(&self.source, *row * self.columns, to);
                    continue;
                }
                let bytes = self.row_bytes();
                span.resize((end - first) * bytes, 0);
                self.source.read(first * self.columns, &mut span);
                for (row, to) in near {
                    convert(&self.source, &span[(*row - first) * bytes..][..bytes], to);
                }
            }
        });
    }

    /// Returns how many rows to read together, and the row of the file after the last one. They are `first` and those
    /// rows of `following`, in the order of the file, that are close to it.
    fn count_near(&self, first: usize, following: impl Iterator<Item = usize>) -> (usize, usize) {
        let (bytes, mut count, mut end) = (self.row_bytes(), 1, first + 1);
        for row in following {
            if (row + 1 - end) * bytes > MAX_GAP_BYTES + bytes || (row + 1 - first) * bytes > MAX_SPAN_BYTES {
                break;
            }
            (count, end) = (count + 1, row + 1);
        }
        (count, end)
    }

    /// Returns the number of bytes per row in the file.
    fn row_bytes(&self) -> usize {
        self.columns * self.source.value_type.width
    }
}

/// Two values are equal if they have the same rows of the same open file and the same scale.
impl PartialEq for FileRows {
    fn eq(&self, other: &Self) -> bool {
        let is_same = Arc::ptr_eq(&self.source, &other.source) && self.scale == other.scale;
        is_same && self.rows == other.rows && self.selected == other.selected
    }
}

/// Prints the type of the values and their scale.
impl std::fmt::Display for FileRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ValueType { type_code, width, .. } = self.source.value_type;
        match type_code {
            _ if self.source.value_type.is_bytes() => f.write_str("bytes")?,
            type_code => write!(f, "{}{}", char::from(type_code), 8 * width)?,
        }
        if self.scale != 1.0 || self.source.value_type.is_bytes() {
            write!(f, " times {}", self.scale)?;
        }
        f.write_str(" in a file")
    }
}

impl RowFile {
    /// Reads the values from index `first` on, and writes them as f32 multiplied by `scale`.
    fn write(&self, first: usize, scale: f32, into: &mut [f32]) {
        if self.is_native_f32() {
            self.read(first, bytemuck::cast_slice_mut(into));
            return scale_values(into, scale);
        }
        let mut bytes = [0; CONVERSION_BYTES];
        let block_values = CONVERSION_BYTES / self.value_type.width;
        for (i, into) in into.chunks_mut(block_values).enumerate() {
            let bytes = &mut bytes[..into.len() * self.value_type.width];
            self.read(first + i * block_values, bytes);
            self.convert(bytes, scale, into);
        }
    }

    /// Converts the bytes of values to f32, multiplied by `scale`.
    fn convert(&self, bytes: &[u8], scale: f32, into: &mut [f32]) {
        if self.is_native_f32() {
            bytemuck::cast_slice_mut(into).copy_from_slice(bytes);
        } else {
            self.value_type.convert_f32(bytes, into);
        }
        scale_values(into, scale);
    }

    /// Returns whether the values are f32 in the byte order of the host.
    fn is_native_f32(&self) -> bool {
        let ValueType { type_code, width, is_big_endian } = self.value_type;
        type_code == b'f' && width == 4 && is_big_endian == cfg!(target_endian = "big")
    }

    /// Reads the bytes of the values from index `first` on. On failure it writes zeros and stores the error.
    fn read(&self, first: usize, into: &mut [u8]) {
        let offset = self.data_offset + (first * self.value_type.width) as u64;
        if let Err(error) = read_at(&self.file, into, offset) {
            into.fill(0);
            let reason = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("the file ends before byte {}", offset + into.len() as u64),
                _ => error.to_string(),
            };
            let _ = self.first_error.set(Error::Io { path: self.path.clone(), reason });
        }
    }
}

fn scale_values(values: &mut [f32], scale: f32) {
    if scale != 1.0 {
        values.iter_mut().for_each(|value| *value *= scale);
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                into = &mut into[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Covers every block, and rows that are longer than a block.
    #[test]
    fn check_finite_reports_row_and_column_of_the_first_non_finite_value() {
        let path = std::env::temp_dir().join(format!("gradus-file-rows-finite-{}", std::process::id()));
        let count = READ_BYTES / 8 + 30;
        for (index, columns) in
            [(0, 2), (5, 2), (READ_BYTES / 8 - 1, 2), (READ_BYTES / 8, 2), (count - 1, 1), (count - 1, count)]
        {
            // 1e300 is finite as f64, but not as f32.
            for value in [f64::NAN, f64::NEG_INFINITY, 1e300] {
                let mut values = vec![f64::from(f32::MAX); count];
                values[index] = value;
                fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
                let value_type = ValueType { type_code: b'f', width: 8, is_big_endian: false };
                let file = File::open(&path).unwrap();
                let rows = FileRows::new(&path, file, 0, value_type, [count / columns, columns]);
                let found = rows.check_finite("features");
                let Err(Error::NonFinite { row, column, .. }) = found else { panic!("{found:?}") };
                assert_eq!((row, column), (index / columns, index % columns));
            }
        }
        fs::remove_file(path).unwrap();
    }

    /// Covers narrow rows that need several reads, rows that are not f32, and rows longer than [`MAX_SPAN_BYTES`].
    #[test]
    fn rows_read_together_equal_rows_read_one_by_one() {
        let path = std::env::temp_dir().join(format!("gradus-file-rows-{}", std::process::id()));
        let values: Vec<u8> = (0..3 * MAX_SPAN_BYTES + 7).map(|i| (i * 7 % 61) as u8).collect();
        fs::write(&path, &values).unwrap();
        let float = ValueType { type_code: b'f', width: 4, is_big_endian: cfg!(target_endian = "big") };
        for (value_type, columns) in [
            (float, 5),
            (ValueType { is_big_endian: !float.is_big_endian, ..float }, 5),
            (ValueType { type_code: b'u', width: 1, ..float }, 9),
            (ValueType { width: 2, ..float }, 9),
            (ValueType { type_code: b'i', width: 2, is_big_endian: true }, 5),
            (float, MAX_SPAN_BYTES / 4 + 9),
        ] {
            let rows = (values.len() - 7) / (columns * value_type.width);
            let all = FileRows::new(&path, File::open(&path).unwrap(), 7, value_type, [rows, columns]);
            let selected = all.select(&(0..rows).rev().collect::<Vec<_>>());
            // All rows, rows far apart, repeated rows, and no rows.
            for (count, stride) in [(rows, 1), (rows, 7), (rows / 3, 1001), (2 * rows, 1), (0, 1)] {
                let wanted: Vec<usize> = (0..count).map(|i| (i * stride) % rows).collect();
                for from in [&all, &selected] {
                    let wanted = || wanted.iter().copied();
                    let [mut together, mut alone] = [(); 2].map(|()| vec![0.0; count * columns]);
                    from.write_all(wanted().zip(together.chunks_exact_mut(columns)));
                    wanted().zip(alone.chunks_exact_mut(columns)).for_each(|(row, to)| from.write(row, to));
                    let [together, alone] = [together, alone].map(bytemuck::cast_vec::<f32, u32>);
                    assert!(together == alone, "{value_type:?}, {columns} columns, {count} rows");
                    let bytes = columns * value_type.width;
                    let [mut together, mut alone] = [(); 2].map(|()| vec![0; count * bytes]);
                    from.write_all_bytes(wanted().zip(together.chunks_exact_mut(bytes)));
                    wanted().zip(alone.chunks_exact_mut(bytes)).for_each(|(row, to)| from.write_bytes(row, to));
                    assert!(together == alone, "bytes of {value_type:?}, {columns} columns, {count} rows");
                    from.check().unwrap();
                }
            }
        }
        fs::remove_file(path).unwrap();
    }
}
