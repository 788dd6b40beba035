//! Rows of features that stay in a file and are read when they are needed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use crate::{Error, Result, error::room};

/// How many bytes are read at once where numbers become others.
const PIECE: usize = 8192;

/// How many bytes are read at once where all are.
const BLOCK: usize = 1 << 20;

/// Rows of many that lie no more bytes apart than this are read together: a call of the system takes as long as reading those.
const GAP: usize = 4096;

/// How many bytes are read together at most: they are to stay in a cache until they are numbers.
const SPAN: usize = 1 << 17;

/// So many rows of many are read by one thread, beside others.
const SHARE: usize = 1024;

/// Rows of features in a file, for data sets that are larger than the memory: a step reads the rows that it takes, and
/// what lies between those that are near each other. A clone is the same file.
///
/// [`Npy::rows_in`](crate::Npy::rows_in) and [`Idx::rows_in`](crate::Idx::rows_in) open files so; a
/// [`Dataset`](crate::Dataset) takes the rows as it takes a vector, and keeps its answers and weights in memory.
///
/// The file must not change meanwhile. If it ends early, or can no longer be read, the call that finds out returns
/// [`Error::File`], and so does every later one.
#[derive(Debug, Clone)]
pub struct FileRows {
    source: Arc<Source>,
    rows: usize,
    columns: usize,
    /// The rows of the file that are meant, if not all of them as they stand.
    picked: Option<Arc<Vec<u32>>>,
}

#[derive(Debug)]
struct Source {
    file: File,
    path: PathBuf,
    /// Where in the file the values begin.
    begin: u64,
    kind: Kind,
    scale: f32,
    /// What went wrong first: rows are read in the middle of steps, which end before they tell.
    fault: OnceLock<Error>,
}

/// The type of the values in a file, as numpy's letters have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `f`, `i`, `u`, or `b` for truth values.
    pub(crate) letter: u8,
    /// How many bytes a value has.
    pub(crate) width: usize,
    /// Whether a value's last byte is its lowest.
    pub(crate) is_big_endian: bool,
}

impl Kind {
    pub(crate) const BYTE: Self = Self { letter: b'u', width: 1, is_big_endian: false };

    /// What bytes are multiplied by, if these values stay bytes.
    pub(crate) fn scale_of_bytes(self) -> Option<f32> {
        match (self.letter, self.width) {
            (b'u', 1) => Some(1.0 / 255.0),
            (b'b', _) => Some(1.0),
            _ => None,
        }
    }

    /// The value of `width` bytes, rounded to an f32 if it is none.
    #[inline]
    pub(crate) fn number(self, value: &[u8]) -> f32 {
        // From the lowest byte up, in the first places.
        let mut bytes = [0; 8];
        bytes[..self.width].copy_from_slice(value);
        if self.is_big_endian {
            bytes[..self.width].reverse();
        }
        let unsigned = u64::from_le_bytes(bytes);
        let above = 64 - 8 * self.width as u32;
        match (self.letter, self.width) {
            (b'f', 4) => f32::from_bits(unsigned as u32),
            (b'f', _) => f64::from_bits(unsigned) as f32,
            // Shifted up and down again, so that the sign fills what is above.
            (b'i', _) => (((unsigned << above) as i64) >> above) as f32,
            _ => unsigned as f32,
        }
    }
}

impl FileRows {
    /// `rows` rows of `columns` values from some byte of a file on, all of which are there.
    pub(crate) fn new(path: &Path, file: File, begin: u64, kind: Kind, [rows, columns]: [usize; 2]) -> Self {
        let (path, scale) = (path.to_path_buf(), kind.scale_of_bytes().unwrap_or(1.0));
        let source = Arc::new(Source { file, path, begin, kind, scale, fault: OnceLock::new() });
        Self { source, rows, columns, picked: None }
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many values a row has: the product of all sizes but the first.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// What bytes are multiplied by, if the values are bytes; all others are f32 where they are read.
    pub(crate) fn scale_of_bytes(&self) -> Option<f32> {
        self.source.kind.scale_of_bytes().map(|_| self.source.scale)
    }

    /// Some of these rows.
    pub(crate) fn picked(&self, rows: &[usize]) -> Self {
        let picked = rows.iter().map(|row| self.number(*row) as u32).collect();
        Self { rows: rows.len(), picked: Some(Arc::new(picked)), ..self.clone() }
    }

    /// The number in the file of a row.
    fn number(&self, row: usize) -> usize {
        self.picked.as_ref().map_or(row, |picked| picked[row] as usize)
    }

    /// What went wrong when rows were read, if anything did.
    pub(crate) fn check(&self) -> Result<()> {
        self.source.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Refuses values that are not finite.
    pub(crate) fn check_finite(&self, what: &'static str) -> Result<()> {
        // Those that were picked are some of those that were looked at.
        if self.source.kind.letter != b'f' || self.picked.is_some() {
            return Ok(());
        }
        let (width, columns) = (self.source.kind.width, self.columns);
        let at_once = (BLOCK / (width * columns).max(1)).max(1);
        let mut values = room((at_once * columns).saturating_mul(width), "a row of a file")?;
        values.resize(at_once * columns * width, 0);
        for first in (0..self.rows).step_by(at_once) {
            let block = &mut values[..at_once.min(self.rows - first) * columns * width];
            self.source.read(first * columns, block);
            self.check()?;
            let mut numbers = block.chunks_exact(width).map(|value| self.source.kind.number(value));
            if let Some(at) = numbers.position(|value| !value.is_finite()) {
                let value = self.source.kind.number(&block[at * width..(at + 1) * width]);
                return Err(Error::NonFinite { what, row: first + at / columns, column: at % columns, value });
            }
        }
        Ok(())
    }

    /// Writes a row as the bytes that it is.
    pub(crate) fn write_bytes(&self, row: usize, into: &mut [u8]) {
        self.source.read(self.number(row) * self.columns, into);
    }

    /// Writes a row as numbers.
    pub(crate) fn write(&self, row: usize, into: &mut [f32]) {
        self.source.write(self.number(row) * self.columns, into);
    }

    /// Writes rows as numbers, each to its place: those that are near each other in the file are read together.
    pub(crate) fn write_all<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [f32])>) {
        self.in_order(rows, Source::write, Source::numbers);
    }

    /// Writes rows as the bytes that they are, like [`FileRows::write_all`].
    pub(crate) fn write_all_bytes<'a>(&self, rows: impl Iterator<Item = (usize, &'a mut [u8])>) {
        self.in_order(rows, Source::read, |_, bytes, into| into.copy_from_slice(bytes));
    }

    /// Writes rows in the order of the file: `alone` from there, or `read` from what was read with others.
    fn in_order<'a, T: Send + 'a>(
        &self,
        rows: impl Iterator<Item = (usize, &'a mut [T])>,
        alone: impl Fn(&Source, usize, &mut [T]) + Sync,
        read: impl Fn(&Source, &[u8], &mut [T]) + Sync,
    ) {
        let mut all: Vec<_> = rows.map(|(row, to)| (self.number(row), to)).collect();
        all.sort_unstable_by_key(|(row, _)| *row);
        all.par_chunks_mut(SHARE).for_each(|mut rest| {
            let mut span = Vec::new();
            while let Some((first, _)) = rest.first() {
                let first = *first;
                let (count, end) = self.near(first, rest[1..].iter().map(|(row, _)| *row));
                let (some, behind) = rest.split_at_mut(count);
                rest = behind;
                if let [(row, to)] = some {
                    alone(&self.source, *row * self.columns, to);
                    continue;
                }
                let bytes = self.bytes();
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
    fn near(&self, first: usize, behind: impl Iterator<Item = usize>) -> (usize, usize) {
        let (bytes, mut count, mut end) = (self.bytes(), 1, first + 1);
        for row in behind {
            if (row + 1 - end) * bytes > GAP + bytes || (row + 1 - first) * bytes > SPAN {
                break;
            }
            (count, end) = (count + 1, row + 1);
        }
        (count, end)
    }

    /// Bytes of a row in the file.
    fn bytes(&self) -> usize {
        self.columns * self.source.kind.width
    }
}

/// The same rows of the same opened file.
impl PartialEq for FileRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.rows == other.rows && self.picked == other.picked
    }
}

impl Source {
    /// Writes the values from number `first` on as numbers.
    fn write(&self, first: usize, into: &mut [f32]) {
        if self.is_plain() {
            return self.read(first, bytemuck::cast_slice_mut(into));
        }
        let mut piece = [0; PIECE];
        let at_once = PIECE / self.kind.width;
        for (i, into) in into.chunks_mut(at_once).enumerate() {
            let piece = &mut piece[..into.len() * self.kind.width];
            self.read(first + i * at_once, piece);
            self.numbers(piece, into);
        }
    }

    /// Writes values as numbers.
    fn numbers(&self, values: &[u8], into: &mut [f32]) {
        let Self { kind, scale, .. } = *self;
        if self.is_plain() {
            bytemuck::cast_slice_mut(into).copy_from_slice(values);
        } else if kind.width == 1 && kind.letter != b'i' {
            // Not one by one by its kind, so that the compiler can keep them in vectors.
            into.iter_mut().zip(values).for_each(|(to, byte)| *to = f32::from(*byte) * scale);
        } else {
            let values = values.chunks_exact(kind.width);
            into.iter_mut().zip(values).for_each(|(to, value)| *to = kind.number(value) * scale);
        }
    }

    /// Whether the values are f32 as they are in memory.
    fn is_plain(&self) -> bool {
        let Kind { letter, width, is_big_endian } = self.kind;
        letter == b'f' && width == 4 && is_big_endian == cfg!(target_endian = "big")
    }

    /// Reads the bytes of the values from number `first` on; zeros if it cannot.
    fn read(&self, first: usize, into: &mut [u8]) {
        let at = self.begin + (first * self.kind.width) as u64;
        if let Err(error) = read_at(&self.file, into, at) {
            into.fill(0);
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => format!("it ends before byte {}", at + into.len() as u64),
                _ => error.to_string(),
            };
            let _ = self.fault.set(Error::File { path: self.path.clone(), why });
        }
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

    /// Narrow rows, of which more lie near each other than are read together, rows that are no f32, and some that are longer
    /// than what is read together.
    #[test]
    fn rows_that_are_read_together_are_those_that_are_read_alone() {
        let path = std::env::temp_dir().join(format!("gradus-file-rows-{}", std::process::id()));
        let values: Vec<u8> = (0..3 * SPAN + 7).map(|i| (i * 7 % 61) as u8).collect();
        fs::write(&path, &values).unwrap();
        let float = Kind { letter: b'f', width: 4, is_big_endian: cfg!(target_endian = "big") };
        for (kind, columns) in [
            (float, 5),
            (Kind { is_big_endian: !float.is_big_endian, ..float }, 5),
            (Kind::BYTE, 9),
            (float, SPAN / 4 + 9),
        ] {
            let rows = (values.len() - 7) / (columns * kind.width);
            let all = FileRows::new(&path, File::open(&path).unwrap(), 7, kind, [rows, columns]);
            let picked = all.picked(&(0..rows).rev().collect::<Vec<_>>());
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
