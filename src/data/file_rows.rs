//! Rows of features that stay in a file and are read when they are needed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use half::f16;
use rayon::prelude::*;

use crate::{
    data::features::{Features, MAX_EXACT_INTEGER},
    error::{Error, Result, first_non_finite, try_with_capacity},
};

/// How many bytes are read at once where numbers become others.
const CONVERSION_BYTES: usize = 8192;

/// How many bytes are read at once where all are: they stay in the cache between the read and the check.
const READ_BYTES: usize = 1 << 17;

/// Rows of many that lie no more bytes apart than this are read together: a call of the system takes as long as reading those.
const MAX_GAP_BYTES: usize = 4096;

/// How many bytes are read together at most: they are to stay in a cache until they are numbers.
const MAX_SPAN_BYTES: usize = 1 << 17;

/// So many rows of many are read by one thread, beside others.
const ROWS_PER_THREAD: usize = 1024;

/// Rows of features in a file, for data sets that are larger than the memory: a step reads the rows that it takes, and
/// what lies between those that are near each other. A clone is the same file.
///
/// [`Npy::rows_in`](crate::data::formats::Npy::rows_in) and [`Idx::rows_in`](crate::data::formats::Idx::rows_in) open files so; a
/// [`Dataset`](crate::data::Dataset) takes the rows as it takes a vector, and keeps its answers and weights in memory.
///
/// The file must not change meanwhile. If it ends early, or can no longer be read, the call that finds out returns
/// [`Error::Io`], and so does every later one.
#[derive(Debug, Clone)]
pub struct FileRows {
    source: Arc<RowFile>,
    /// What the values are multiplied by.
    scale: f32,
    rows: usize,
    columns: usize,
    /// The rows of the file that are meant, if not all of them as they stand.
    select: Option<Arc<Vec<u32>>>,
}

#[derive(Debug)]
struct RowFile {
    file: File,
    path: PathBuf,
    /// Where in the file the values begin.
    data_offset: u64,
    value_type: ValueType,
    /// What went wrong first: rows are read in the middle of steps, which end before they tell.
    first_error: OnceLock<Error>,
}

/// The type of the values in a file, as numpy's letters have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueType {
    /// `f`, `i`, `u`, or `b` for truth values.
    pub(crate) type_code: u8,
    /// How many bytes a value has.
    pub(crate) width: usize,
    /// Whether a value's last byte is its lowest.
    pub(crate) is_big_endian: bool,
}

impl ValueType {
    /// Whether these values stay bytes, on the device too: unsigned bytes and truth values.
    pub(crate) fn is_bytes(self) -> bool {
        self.width == 1 && self.type_code != b'i'
    }

    /// Converts values to f32, rounded where they are not exact.
    pub(crate) fn convert_f32(self, bytes: &[u8], into: &mut [f32]) {
        match (self.type_code, self.width) {
            (b'f', 2) => self.convert_each(bytes, into, |v| f16::from_le_bytes(v).to_f32()),
            (b'f', 4) => self.convert_each(bytes, into, f32::from_le_bytes),
            (b'f', _) => self.convert_each(bytes, into, |v| f64::from_le_bytes(v) as f32),
            (b'i', 1) => self.convert_each(bytes, into, |v| f32::from(i8::from_le_bytes(v))),
            (b'i', 2) => self.convert_each(bytes, into, |v| f32::from(i16::from_le_bytes(v))),
            (b'i', 4) => self.convert_each(bytes, into, |v| i32::from_le_bytes(v) as f32),
            (b'i', _) => self.convert_each(bytes, into, |v| i64::from_le_bytes(v) as f32),
            (_, 1) => self.convert_each(bytes, into, |[v]: [u8; 1]| f32::from(v)),
            (_, 2) => self.convert_each(bytes, into, |v| f32::from(u16::from_le_bytes(v))),
            (_, 4) => self.convert_each(bytes, into, |v| u32::from_le_bytes(v) as f32),
            _ => self.convert_each(bytes, into, |v| u64::from_le_bytes(v) as f32),
        }
    }

    /// The values of `bytes`: bytes stay bytes, all other numbers become f32.
    pub(crate) fn to_features(self, bytes: Vec<u8>) -> Result<Features> {
        if self.is_bytes() {
            return Ok(Features::bytes(bytes, 1.0));
        }
        let count = bytes.len() / self.width;
        let mut values = try_with_capacity(count, "the values of an array")?;
        values.resize(count, 0.0);
        self.convert_f32(&bytes, &mut values);
        if self.width < 4
            || (self.type_code, self.width) == (b'f', 4)
            || values.iter().all(|value| value.abs() < MAX_EXACT_INTEGER)
        {
            return Ok(Features::F32(values));
        }
        // Timestamps and identifiers that f32 cannot tell apart.
        let mut wide = vec![0.0; count];
        self.convert_f64(&bytes, &mut wide);
        let is_exact = wide.iter().zip(&values).all(|(wide, value)| *wide == f64::from(*value));
        Ok(if is_exact { Features::F32(values) } else { Features::F64(wide) })
    }

    /// Converts values of 4 or 8 bytes to f64.
    fn convert_f64(self, bytes: &[u8], into: &mut [f64]) {
        match (self.type_code, self.width) {
            (b'f', _) => self.convert_each(bytes, into, f64::from_le_bytes),
            (b'i', 4) => self.convert_each(bytes, into, |v| f64::from(i32::from_le_bytes(v))),
            (b'i', _) => self.convert_each(bytes, into, |v| i64::from_le_bytes(v) as f64),
            (_, 4) => self.convert_each(bytes, into, |v| f64::from(u32::from_le_bytes(v))),
            _ => self.convert_each(bytes, into, |v| u64::from_le_bytes(v) as f64),
        }
    }

    /// Converts values of `N` bytes, lowest byte first. One loop per type, so that the compiler can use vectors.
    fn convert_each<T, const N: usize>(self, bytes: &[u8], into: &mut [T], number: impl Fn([u8; N]) -> T) {
        let (values, _) = bytes.as_chunks::<N>();
        if self.is_big_endian {
            into.iter_mut().zip(values).for_each(|(to, value)| {
                let mut value = *value;
                value.reverse();
                *to = number(value);
            });
        } else {
            into.iter_mut().zip(values).for_each(|(to, value)| *to = number(*value));
        }
    }
}

impl FileRows {
    /// `rows` rows of `columns` values from some byte of a file on, all of which are there.
    pub(crate) fn new(path: &Path, file: File, begin: u64, kind: ValueType, [rows, columns]: [usize; 2]) -> Self {
        let path = path.to_path_buf();
        let source =
            Arc::new(RowFile { file, path, data_offset: begin, value_type: kind, first_error: OnceLock::new() });
        Self { source, scale: 1.0, rows, columns, select: None }
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has: the product of all sizes but the first.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// What the values of the file are multiplied by: 1 unless [`FileRows::with_scale`] has set it.
    pub const fn scale(&self) -> f32 {
        self.scale
    }

    /// The same rows, whose values the network sees multiplied by a number: 1/255 for images of bytes, 1/65535 for those of
    /// 16 bits. Bytes stay bytes, on the device too.
    /// ```no_run
    /// # use gradus::data::formats::Idx;
    /// let images = Idx::rows_in("train-images-idx3-ubyte")?.with_scale(1.0 / 255.0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[must_use]
    pub fn with_scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// What bytes are multiplied by, if the values are bytes; all others are f32 where they are read.
    pub(crate) fn byte_scale(&self) -> Option<f32> {
        self.source.value_type.is_bytes().then_some(self.scale)
    }

    /// Some of these rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let picked = rows.iter().map(|row| self.file_row(*row) as u32).collect();
        Self { rows: rows.len(), select: Some(Arc::new(picked)), ..self.clone() }
    }

    /// The number in the file of a row.
    fn file_row(&self, row: usize) -> usize {
        self.select.as_ref().map_or(row, |picked| picked[row] as usize)
    }

    /// What went wrong when rows were read, if anything did.
    pub(crate) fn check(&self) -> Result<()> {
        self.source.first_error.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Refuses values that are not finite as f32, in one pass over the file from start to end.
    pub(crate) fn check_finite(&self, what: &'static str) -> Result<()> {
        // Picked rows are rows of a file that was checked as a whole.
        // The largest integer of 64 bits, rounded up.
        let are_finite = self.source.value_type.type_code != b'f' && (self.scale * 1.9e19).is_finite();
        if are_finite || self.source.value_type.is_bytes() || self.select.is_some() {
            return Ok(());
        }
        // A row that memory cannot hold is refused before the file is read.
        try_with_capacity::<f32>(self.columns, "a row of a file")?;
        let RowFile { value_type: kind, .. } = *self.source;
        let all = self.rows * self.columns;
        let at_once = (READ_BYTES / kind.width).min(all);
        let mut bytes = try_with_capacity(at_once * kind.width, "a block of a file")?;
        bytes.resize(at_once * kind.width, 0);
        let mut numbers = vec![0.0; at_once];
        for first in (0..all).step_by(at_once.max(1)) {
            let count = at_once.min(all - first);
            let (bytes, numbers) = (&mut bytes[..count * kind.width], &mut numbers[..count]);
            self.source.read(first, bytes);
            self.check()?;
            kind.convert_f32(bytes, numbers);
            scale_values(numbers, self.scale);
            if let Some(at) = first_non_finite(numbers) {
                let (row, column) = ((first + at) / self.columns, (first + at) % self.columns);
                return Err(Error::NonFinite { name: what, row, column, value: numbers[at] });
            }
        }
        Ok(())
    }

    /// Writes a row as the bytes that it is.
    pub(crate) fn write_bytes(&self, row: usize, into: &mut [u8]) {
        self.source.read(self.file_row(row) * self.columns, into);
    }

    /// Writes a row as numbers.
    pub(crate) fn write(&self, row: usize, into: &mut [f32]) {
        self.source.write(self.file_row(row) * self.columns, self.scale, into);
    }

    /// Writes rows as numbers, each to its place: those that are near each other in the file are read together.
    pub(crate) fn write_all<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [f32])>) {
        let scale = self.scale;
        let alone = |source: &RowFile, first: usize, into: &mut [f32]| source.write(first, scale, into);
        self.write_in_file_order(rows, alone, |source, bytes, into| source.convert(bytes, scale, into));
    }

    /// Writes rows as the bytes that they are, like [`FileRows::write_all`].
    pub(crate) fn write_all_bytes<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [u8])>) {
        self.write_in_file_order(rows, RowFile::read, |_, bytes, into| into.copy_from_slice(bytes));
    }

    /// Writes rows in the order of the file: `alone` from there, or `read` from what was read with others.
    fn write_in_file_order<'a, T: Send + 'a>(
        &self,
        rows: impl Iterator<Item = (usize, &'a mut [T])>,
        alone: impl Fn(&RowFile, usize, &mut [T]) + Sync,
        read: impl Fn(&RowFile, &[u8], &mut [T]) + Sync,
    ) {
        let mut all: Vec<_> = rows.map(|(row, to)| (self.file_row(row), to)).collect();
        all.sort_unstable_by_key(|(row, _)| *row);
        all.par_chunks_mut(ROWS_PER_THREAD).for_each(|mut rest| {
            let mut span = Vec::new();
            while let Some((first, _)) = rest.first() {
                let first = *first;
                let (count, end) = self.count_near(first, rest[1..].iter().map(|(row, _)| *row));
                let (some, behind) = rest.split_at_mut(count);
                rest = behind;
                if let [(row, to)] = some {
                    alone(&self.source, *row * self.columns, to);
                    continue;
                }
                let bytes = self.row_bytes();
                span.resize((end - first) * bytes, 0);
                self.source.read(first * self.columns, &mut span);
                for (row, to) in some {
                    read(&self.source, &span[(*row - first) * bytes..][..bytes], to);
                }
            }
        });
    }

    /// How many rows are read together, `first` and those of `behind`, in the order of the file, that are near; and the row of
    /// the file after the last of them.
    fn count_near(&self, first: usize, behind: impl Iterator<Item = usize>) -> (usize, usize) {
        let (bytes, mut count, mut end) = (self.row_bytes(), 1, first + 1);
        for row in behind {
            if (row + 1 - end) * bytes > MAX_GAP_BYTES + bytes || (row + 1 - first) * bytes > MAX_SPAN_BYTES {
                break;
            }
            (count, end) = (count + 1, row + 1);
        }
        (count, end)
    }

    /// Bytes of a row in the file.
    fn row_bytes(&self) -> usize {
        self.columns * self.source.value_type.width
    }
}

/// The same rows of the same opened file, with the same scale.
impl PartialEq for FileRows {
    fn eq(&self, other: &Self) -> bool {
        let is_same = Arc::ptr_eq(&self.source, &other.source) && self.scale == other.scale;
        is_same && self.rows == other.rows && self.select == other.select
    }
}

/// The type of the values and their scale.
impl std::fmt::Display for FileRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ValueType { type_code: letter, width, .. } = self.source.value_type;
        match letter {
            _ if self.source.value_type.is_bytes() => f.write_str("bytes")?,
            letter => write!(f, "{}{}", char::from(letter), 8 * width)?,
        }
        if self.scale != 1.0 || self.source.value_type.is_bytes() {
            write!(f, " times {}", self.scale)?;
        }
        f.write_str(" in a file")
    }
}

impl RowFile {
    /// Writes the values from number `first` on as numbers, multiplied by a scale.
    fn write(&self, first: usize, scale: f32, into: &mut [f32]) {
        if self.is_native_f32() {
            self.read(first, bytemuck::cast_slice_mut(into));
            return scale_values(into, scale);
        }
        let mut piece = [0; CONVERSION_BYTES];
        let at_once = CONVERSION_BYTES / self.value_type.width;
        for (i, into) in into.chunks_mut(at_once).enumerate() {
            let piece = &mut piece[..into.len() * self.value_type.width];
            self.read(first + i * at_once, piece);
            self.convert(piece, scale, into);
        }
    }

    /// Writes values as numbers, multiplied by a scale.
    fn convert(&self, values: &[u8], scale: f32, into: &mut [f32]) {
        if self.is_native_f32() {
            bytemuck::cast_slice_mut(into).copy_from_slice(values);
        } else {
            self.value_type.convert_f32(values, into);
        }
        scale_values(into, scale);
    }

    /// Whether the values are f32 as they are in memory.
    fn is_native_f32(&self) -> bool {
        let ValueType { type_code: letter, width, is_big_endian } = self.value_type;
        letter == b'f' && width == 4 && is_big_endian == cfg!(target_endian = "big")
    }

    /// Reads the bytes of the values from number `first` on; zeros if it cannot.
    fn read(&self, first: usize, into: &mut [u8]) {
        let at = self.data_offset + (first * self.value_type.width) as u64;
        if let Err(error) = read_at(&self.file, into, at) {
            into.fill(0);
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("it ends before byte {}", at + into.len() as u64),
                _ => error.to_string(),
            };
            let _ = self.first_error.set(Error::Io { path: self.path.clone(), reason: why });
        }
    }
}

fn scale_values(values: &mut [f32], scale: f32) {
    if scale != 1.0 {
        values.iter_mut().for_each(|value| *value *= scale);
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut into: &mut [u8], mut at: u64) -> io::Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                into = &mut into[read..];
                at += read as u64;
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

    /// Against the definition of binary16 (IEEE 754), computed in f64.
    #[test]
    fn every_half_precision_number_is_converted_exactly() {
        for is_big_endian in [false, true] {
            let kind = ValueType { type_code: b'f', width: 2, is_big_endian };
            let to_bytes = if is_big_endian { u16::to_be_bytes } else { u16::to_le_bytes };
            let patterns = 0..=u16::MAX;
            let bytes: Vec<u8> = patterns.clone().flat_map(to_bytes).collect();
            let mut numbers = vec![0.0; 1 << 16];
            kind.convert_f32(&bytes, &mut numbers);
            for (pattern, number) in patterns.zip(numbers) {
                let sign = if pattern >> 15 == 1 { -1.0 } else { 1.0 };
                let (exponent, fraction) = (i32::from(pattern >> 10 & 0x1f), f64::from(pattern & 0x3ff));
                let expected = match exponent {
                    0 => sign * fraction * 2f64.powi(-24),
                    0x1f if fraction == 0.0 => sign * f64::INFINITY,
                    0x1f => f64::NAN,
                    _ => sign * (1024.0 + fraction) * 2f64.powi(exponent - 25),
                };
                let is_same = number.to_bits() == (expected as f32).to_bits() || number.is_nan() && expected.is_nan();
                assert!(is_same, "{pattern:#06x}: {number}, not {expected}");
            }
        }
    }

    /// In every block, and in rows that are longer than a block.
    #[test]
    fn the_first_value_that_is_not_finite_is_told_with_its_row_and_column() {
        let path = std::env::temp_dir().join(format!("gradus-file-rows-finite-{}", std::process::id()));
        let count = READ_BYTES / 8 + 30;
        for (at, columns) in
            [(0, 2), (5, 2), (READ_BYTES / 8 - 1, 2), (READ_BYTES / 8, 2), (count - 1, 1), (count - 1, count)]
        {
            // The last is more than f32 can hold, although it is finite as f64.
            for value in [f64::NAN, f64::NEG_INFINITY, 1e300] {
                let mut values = vec![f64::from(f32::MAX); count];
                values[at] = value;
                fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
                let kind = ValueType { type_code: b'f', width: 8, is_big_endian: false };
                let rows = FileRows::new(&path, File::open(&path).unwrap(), 0, kind, [count / columns, columns]);
                let found = rows.check_finite("features");
                let Err(Error::NonFinite { row, column, .. }) = found else { panic!("{found:?}") };
                assert_eq!((row, column), (at / columns, at % columns));
            }
        }
        fs::remove_file(path).unwrap();
    }

    /// Narrow rows, of which more lie near each other than are read together, rows that are no f32, and some that are longer
    /// than what is read together.
    #[test]
    fn rows_that_are_read_together_are_those_that_are_read_alone() {
        let path = std::env::temp_dir().join(format!("gradus-file-rows-{}", std::process::id()));
        let values: Vec<u8> = (0..3 * MAX_SPAN_BYTES + 7).map(|i| (i * 7 % 61) as u8).collect();
        fs::write(&path, &values).unwrap();
        let float = ValueType { type_code: b'f', width: 4, is_big_endian: cfg!(target_endian = "big") };
        for (kind, columns) in [
            (float, 5),
            (ValueType { is_big_endian: !float.is_big_endian, ..float }, 5),
            (ValueType { type_code: b'u', width: 1, ..float }, 9),
            (ValueType { width: 2, ..float }, 9),
            (ValueType { type_code: b'i', width: 2, is_big_endian: true }, 5),
            (float, MAX_SPAN_BYTES / 4 + 9),
        ] {
            let rows = (values.len() - 7) / (columns * kind.width);
            let all = FileRows::new(&path, File::open(&path).unwrap(), 7, kind, [rows, columns]);
            let picked = all.select(&(0..rows).rev().collect::<Vec<_>>());
            // All of them, some far apart, some twice, and none.
            for (count, stride) in [(rows, 1), (rows, 7), (rows / 3, 1001), (2 * rows, 1), (0, 1)] {
                let wanted: Vec<usize> = (0..count).map(|i| (i * stride) % rows).collect();
                for from in [&all, &picked] {
                    let wanted = || wanted.iter().copied();
                    let [mut together, mut alone] = [(); 2].map(|()| vec![0.0; count * columns]);
                    from.write_all(wanted().zip(together.chunks_exact_mut(columns)));
                    wanted().zip(alone.chunks_exact_mut(columns)).for_each(|(row, to)| from.write(row, to));
                    let [together, alone] = [together, alone].map(bytemuck::cast_vec::<f32, u32>);
                    assert!(together == alone, "{kind:?}, {columns} columns, {count} rows");
                    let bytes = columns * kind.width;
                    let [mut together, mut alone] = [(); 2].map(|()| vec![0; count * bytes]);
                    from.write_all_bytes(wanted().zip(together.chunks_exact_mut(bytes)));
                    wanted().zip(alone.chunks_exact_mut(bytes)).for_each(|(row, to)| from.write_bytes(row, to));
                    assert!(together == alone, "bytes of {kind:?}, {columns} columns, {count} rows");
                    from.check().unwrap();
                }
            }
        }
        fs::remove_file(path).unwrap();
    }
}
