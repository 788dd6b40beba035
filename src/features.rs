//! What a network is shown: rows of numbers or of bytes, in memory or in a file.

use crate::{
    Error, FileRows, Result,
    error::{check_finite, room},
};

/// What a network is shown, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Numbers as they are.
    F32(Vec<f32>),
    /// Bytes, read as `byte * scale`.
    U8 {
        /// The bytes.
        bytes: Vec<u8>,
        /// What each is multiplied by: 1/255 unless set otherwise.
        scale: f32,
    },
    /// Rows that stay in their file.
    File(FileRows),
}

/// Data comes as a vector, or as a slice, array or vector that is borrowed.
macro_rules! from_values {
    ($family:ident, $value:ty, $make:expr) => {
        impl From<Vec<$value>> for $family {
            fn from(values: Vec<$value>) -> Self {
                $make(values)
            }
        }
        impl From<&Vec<$value>> for $family {
            fn from(values: &Vec<$value>) -> Self {
                $make(values.clone())
            }
        }
        impl From<&[$value]> for $family {
            fn from(values: &[$value]) -> Self {
                $make(values.to_vec())
            }
        }
        impl<const N: usize> From<&[$value; N]> for $family {
            fn from(values: &[$value; N]) -> Self {
                $make(values.to_vec())
            }
        }
    };
}
pub(crate) use from_values;

from_values!(Features, f32, Self::F32);
from_values!(Features, u8, |bytes| Self::U8 { bytes, scale: 1.0 / 255.0 });

impl From<FileRows> for Features {
    fn from(rows: FileRows) -> Self {
        Self::File(rows)
    }
}

impl Features {
    /// How many values there are.
    pub(crate) fn values(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8 { bytes, .. } => bytes.len(),
            Self::File(file) => file.rows() * file.columns(),
        }
    }

    /// What bytes are multiplied by, if these are bytes.
    pub(crate) fn scale_of_bytes(&self) -> Option<f32> {
        match self {
            Self::F32(_) => None,
            Self::U8 { scale, .. } => Some(*scale),
            Self::File(file) => file.scale_of_bytes(),
        }
    }

    /// Refuses what is not finite.
    pub(crate) fn check(&self, columns: usize) -> Result<()> {
        match self {
            Self::F32(values) => check_finite(WHAT, columns, values),
            Self::U8 { scale, .. } if scale.is_finite() => Ok(()),
            Self::U8 { scale, .. } => {
                let expected = "a finite number".to_owned();
                Err(Error::Setting { what: "scale of bytes", expected, got: scale.to_string() })
            }
            Self::File(file) => file.check_finite(WHAT),
        }
    }

    /// What went wrong when rows were read, if anything did.
    pub(crate) fn check_read(&self) -> Result<()> {
        if let Self::File(file) = self { file.check() } else { Ok(()) }
    }

    /// Some rows, in the order given.
    pub(crate) fn select(&self, rows: &[usize], columns: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(select(values, rows, columns)),
            Self::U8 { bytes, scale } => Self::U8 { bytes: select(bytes, rows, columns), scale: *scale },
            Self::File(file) => Self::File(file.picked(rows)),
        }
    }

    /// The same in memory.
    pub(crate) fn in_memory(self) -> Result<Self> {
        let Self::File(file) = &self else { return Ok(self) };
        let (rows, columns) = (file.rows(), file.columns().max(1));
        let all = if let Some(scale) = file.scale_of_bytes() {
            let mut bytes = room(self.values(), WHAT)?;
            bytes.resize(self.values(), 0);
            bytes.chunks_exact_mut(columns).zip(0..rows).for_each(|(to, row)| file.write_bytes(row, to));
            Self::U8 { bytes, scale }
        } else {
            let mut values = room(self.values(), WHAT)?;
            values.resize(self.values(), 0.0);
            values.chunks_exact_mut(columns).zip(0..rows).for_each(|(to, row)| file.write(row, to));
            Self::F32(values)
        };
        file.check().map(|()| all)
    }

    /// All of them as numbers.
    pub(crate) fn into_numbers(self) -> Result<Vec<f32>> {
        Ok(match self.in_memory()? {
            Self::U8 { bytes, scale } => bytes.into_iter().map(|byte| f32::from(byte) * scale).collect(),
            Self::F32(values) => values,
            Self::File(_) => unreachable!("read above"),
        })
    }

    /// The stored values as class ids, one each. Bytes are ids whatever their scale is.
    pub(crate) fn classes(&self) -> Result<Vec<u32>> {
        let read;
        let mut values = self;
        if let Self::File(_) = values {
            read = values.clone().in_memory()?;
            values = &read;
        }
        let values = match values {
            Self::U8 { bytes, .. } => return Ok(bytes.iter().map(|byte| u32::from(*byte)).collect()),
            Self::F32(values) => values,
            Self::File(_) => unreachable!("read above"),
        };
        match values.iter().position(|value| !(0.0..EXACT).contains(value) || value.fract() != 0.0) {
            None => Ok(values.iter().map(|value| *value as u32).collect()),
            Some(at) => {
                let expected = format!("whole numbers from 0 to below {EXACT}");
                let got = format!("{} at {at}", values[at]);
                Err(Error::Setting { what: "class ids of an array", expected, got })
            }
        }
    }

    /// Writes a row as numbers.
    #[inline]
    pub(crate) fn write(&self, row: usize, into: &mut [f32]) {
        let span = row * into.len()..(row + 1) * into.len();
        match self {
            Self::F32(values) => into.copy_from_slice(&values[span]),
            Self::U8 { bytes, scale } => {
                for (to, byte) in into.iter_mut().zip(&bytes[span]) {
                    *to = f32::from(*byte) * scale;
                }
            }
            Self::File(file) => file.write(row, into),
        }
    }

    /// Writes a row as it is to be on a device: f32, or the bytes if they are bytes.
    pub(crate) fn write_bytes(&self, row: usize, columns: usize, into: &mut [u8]) {
        let span = row * columns..(row + 1) * columns;
        match self {
            Self::F32(values) => into[..4 * columns].copy_from_slice(bytemuck::cast_slice(&values[span])),
            Self::U8 { bytes, .. } => into[..columns].copy_from_slice(&bytes[span]),
            Self::File(file) if file.scale_of_bytes().is_some() => file.write_bytes(row, &mut into[..columns]),
            Self::File(file) => {
                let mut values = vec![0.0; columns];
                file.write(row, &mut values);
                into[..4 * columns].copy_from_slice(bytemuck::cast_slice(&values));
            }
        }
    }
}

/// Below this, every whole number is an f32; from here on, an integer of a file may have been rounded to its neighbor.
const EXACT: f32 = (1 << 24) as f32;

/// What errors call them.
const WHAT: &str = "features";

/// Some rows of so many values, in the order given.
pub(crate) fn select<T: Copy>(values: &[T], rows: &[usize], columns: usize) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * columns..(row + 1) * columns]).copied().collect()
}
