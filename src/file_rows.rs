//! Rows of features that stay in a file and are read when they are needed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use crate::{Error, Result, error::room};

/// How many bytes are read at once where numbers become others.
const PIECE: usize = 8192;

/// How many bytes are read at once where all are.
const BLOCK: usize = 1 << 20;

/// Rows of features in a file, for data sets that are larger than the memory: a step reads the rows that it takes, and no
/// others. A clone is the same file.
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
        let Source { kind, scale, .. } = *self.source;
        let first = self.number(row) * self.columns;
        if kind.letter == b'f' && kind.width == 4 && kind.is_big_endian == cfg!(target_endian = "big") {
            return self.source.read(first, bytemuck::cast_slice_mut(into));
        }
        let mut piece = [0; PIECE];
        let at_once = PIECE / kind.width;
        for (i, into) in into.chunks_mut(at_once).enumerate() {
            let piece = &mut piece[..into.len() * kind.width];
            self.source.read(first + i * at_once, piece);
            if kind.width == 1 && kind.letter != b'i' {
                // Not one by one by its kind, so that the compiler can keep them in vectors.
                into.iter_mut().zip(&*piece).for_each(|(to, byte)| *to = f32::from(*byte) * scale);
                continue;
            }
            for (to, value) in into.iter_mut().zip(piece.chunks_exact(kind.width)) {
                *to = kind.number(value) * scale;
            }
        }
    }
}

/// The same rows of the same opened file.
impl PartialEq for FileRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.rows == other.rows && self.picked == other.picked
    }
}

impl Source {
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
