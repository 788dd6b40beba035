//! What a network is shown: rows of numbers or of bytes, in memory or in a file.

use crate::{
    data::file_rows::FileRows,
    error::{Error, Result, check_finite, try_with_capacity},
};

/// What a network is shown, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Numbers as they are.
    F32(Vec<f32>),
    /// Bytes, read as `byte * scale`; see [`Features::bytes`].
    U8 {
        /// The bytes.
        bytes: Vec<u8>,
        /// What each is multiplied by: 1 for a vector or an array of bytes, 1/255 for the images of an
        /// [`ImageSet`](crate::data::formats::ImageSet).
        scale: f32,
    },
    /// Numbers in f64. A [`Dataset`](crate::data::Dataset) keeps them beside the f32 that a network computes with, so that a
    /// [`Scaler`](crate::data::Scaler) that learns from them keeps apart what would be equal as f32, such as timestamps.
    F64(Vec<f64>),
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
from_values!(Features, f64, Self::F64);
from_values!(Features, u8, |bytes| Self::U8 { bytes, scale: 1.0 });

impl From<FileRows> for Features {
    fn from(rows: FileRows) -> Self {
        Self::File(rows)
    }
}

impl Features {
    /// Bytes that the network sees as `byte * scale`. They stay bytes on the device, a quarter of the memory of f32.
    ///
    /// A vector or an array of bytes alone becomes features of scale 1, so that a table of ages keeps its values, as in
    /// numpy. Images are divided by 255, as torchvision's `ToTensor` does it, with the scale `1.0 / 255.0`;
    /// [`ImageSet`](crate::data::formats::ImageSet) sets it itself.
    ///
    /// Whoever trains with a scale predicts with the same one: rows of bytes of another scale are refused, and a prediction
    /// for rows of f32 takes `byte * scale`, which [`Model::byte_scale`](crate::model::Model::byte_scale) keeps in the file.
    /// ```
    /// # use gradus::{Dataset, Features};
    /// let pixels = Dataset::new(1, Features::bytes([0, 255], 1.0 / 255.0), &[0u32])?;
    /// assert_eq!(pixels.row(0)?, [0.0, 1.0]);
    /// let ages = Dataset::new(1, &[18u8, 65], &[0u32])?;
    /// assert_eq!(ages.row(0)?, [18.0, 65.0]);
    /// assert_eq!(ages.to_string(), "1 row of 2 features (bytes times 1), with class ids");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn bytes(bytes: impl Into<Vec<u8>>, scale: f32) -> Self {
        Self::U8 { bytes: bytes.into(), scale }
    }

    /// The same values with another scale: bytes, or rows in a file.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for f32 in memory, which have no scale.
    pub fn with_scale(self, scale: f32) -> Result<Self> {
        match self {
            Self::F32(_) | Self::F64(_) => {
                let expected = "bytes, or rows in a file".to_owned();
                Err(Error::InvalidSetting {
                    name: "features to scale",
                    expected,
                    got: "f32; multiply them instead".into(),
                })
            }
            Self::U8 { bytes, .. } => Ok(Self::U8 { bytes, scale }),
            Self::File(file) => Ok(Self::File(file.with_scale(scale))),
        }
    }

    /// How many values there are.
    pub(crate) fn value_count(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U8 { bytes, .. } => bytes.len(),
            Self::File(file) => file.rows() * file.columns(),
        }
    }

    /// What bytes are multiplied by, if these are bytes.
    pub(crate) fn byte_scale(&self) -> Option<f32> {
        match self {
            Self::F32(_) | Self::F64(_) => None,
            Self::U8 { scale, .. } => Some(*scale),
            Self::File(file) => file.byte_scale(),
        }
    }

    /// Refuses what is not finite.
    pub(crate) fn check(&self, columns: usize) -> Result<()> {
        match self {
            Self::F32(values) => check_finite(FEATURES_NAME, columns, values),
            Self::F64(values) => check_finite(FEATURES_NAME, columns, &round_to_f32(values)),
            Self::U8 { scale, .. } => check_scale(*scale),
            Self::File(file) => check_scale(file.scale()).and_then(|()| file.check_finite(FEATURES_NAME)),
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
            Self::F64(values) => Self::F64(select(values, rows, columns)),
            Self::U8 { bytes, scale } => Self::U8 { bytes: select(bytes, rows, columns), scale: *scale },
            Self::File(file) => Self::File(file.select(rows)),
        }
    }

    /// The same in memory.
    pub(crate) fn into_memory(self) -> Result<Self> {
        let Self::File(file) = &self else { return Ok(self) };
        let (rows, columns) = (file.rows(), file.columns().max(1));
        let all = if let Some(scale) = file.byte_scale() {
            let mut bytes = try_with_capacity(self.value_count(), FEATURES_NAME)?;
            bytes.resize(self.value_count(), 0);
            bytes.chunks_exact_mut(columns).zip(0..rows).for_each(|(to, row)| file.write_bytes(row, to));
            Self::U8 { bytes, scale }
        } else {
            let mut values = try_with_capacity(self.value_count(), FEATURES_NAME)?;
            values.resize(self.value_count(), 0.0);
            values.chunks_exact_mut(columns).zip(0..rows).for_each(|(to, row)| file.write(row, to));
            Self::F32(values)
        };
        file.check().map(|()| all)
    }

    /// All of them as numbers.
    pub(crate) fn into_f32(self) -> Result<Vec<f32>> {
        Ok(match self.into_memory()? {
            Self::U8 { bytes, scale } => bytes.into_iter().map(|byte| f32::from(byte) * scale).collect(),
            Self::F32(values) => values,
            Self::F64(values) => round_to_f32(&values),
            Self::File(_) => unreachable!("read above"),
        })
    }

    /// The stored values as class ids, one each. Bytes are ids whatever their scale is.
    pub(crate) fn classes(&self) -> Result<Vec<u32>> {
        match self {
            Self::U8 { bytes, .. } => Ok(bytes.iter().map(|byte| u32::from(*byte)).collect()),
            Self::F32(values) => class_ids(values.iter().copied().map(f64::from), f64::from(MAX_EXACT_INTEGER)),
            Self::F64(values) => class_ids(values.iter().copied(), f64::from(u32::MAX)),
            Self::File(_) => self.clone().into_memory()?.classes(),
        }
    }

    /// Writes a row as numbers.
    #[inline]
    pub(crate) fn write(&self, row: usize, into: &mut [f32]) {
        let span = row * into.len()..(row + 1) * into.len();
        match self {
            Self::F32(values) => into.copy_from_slice(&values[span]),
            Self::F64(values) => write_rounded(&values[span], into),
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
            Self::F64(values) => {
                into[..4 * columns].copy_from_slice(bytemuck::cast_slice(&round_to_f32(&values[span])))
            }
            Self::U8 { bytes, .. } => into[..columns].copy_from_slice(&bytes[span]),
            Self::File(file) if file.byte_scale().is_some() => file.write_bytes(row, &mut into[..columns]),
            Self::File(file) => {
                let mut values = vec![0.0; columns];
                file.write(row, &mut values);
                into[..4 * columns].copy_from_slice(bytemuck::cast_slice(&values));
            }
        }
    }
}

/// Refuses bytes of another scale than a network has learned from.
pub(crate) fn check_same_scale(learned: Option<f32>, features: &Features) -> Result<()> {
    match (learned, features.byte_scale()) {
        (Some(learned), Some(scale)) if learned != scale => {
            let expected = format!("{learned}, as in the data that the network was trained on");
            let got = format!("{scale}; use Features::bytes or with_scale to set it");
            Err(Error::InvalidSetting { name: "scale of bytes", expected, got })
        }
        _ => Ok(()),
    }
}

/// The scale of the bytes that a network has learned from, and whether a prediction for other numbers was warned of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ByteScale {
    pub(crate) scale: Option<f32>,
    has_warned: bool,
}

impl From<Option<f32>> for ByteScale {
    fn from(scale: Option<f32>) -> Self {
        Self { scale, has_warned: false }
    }
}

impl ByteScale {
    /// Logs a warning, once, where inputs cannot be bytes times the scale: some lie outside of 0 to 255 times it, or all are
    /// fractions of what a single step of a byte is, as if they had been divided once more.
    pub(crate) fn warn_if_unscaled(&mut self, inputs: &[f32]) {
        let Some(scale) = self.scale.filter(|scale| *scale != 0.0 && !self.has_warned) else { return };
        if let Some((least, most)) = unscaled_range(scale, inputs) {
            self.has_warned = true;
            log::warn!(
                "the network was trained on bytes times {scale}, which lie between 0 and {}, and is asked about numbers \
                 from {least} to {most}; expected byte * {scale}",
                255.0 * scale
            );
        }
    }
}

/// The least and the largest of inputs that cannot be bytes times a scale.
fn unscaled_range(scale: f32, inputs: &[f32]) -> Option<(f32, f32)> {
    let (least, most) = inputs.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
    let (low, high) = ((least / scale).min(most / scale), (least / scale).max(most / scale));
    let is_outside = low < -0.5 || high > 255.5;
    let is_divided = high <= 1.001 && inputs.iter().any(|input| (0.001..0.999).contains(&(input / scale)));
    (!inputs.is_empty() && (is_outside || is_divided)).then_some((least, most))
}

fn check_scale(scale: f32) -> Result<()> {
    // The largest byte is to be finite, too.
    if (255.0 * scale).is_finite() {
        return Ok(());
    }
    Err(Error::InvalidSetting { name: "scale of bytes", expected: "a finite number".into(), got: scale.to_string() })
}

/// What the features are, without their number: shown where a data set is printed.
impl std::fmt::Display for Features {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::F32(_) => f.write_str("f32"),
            Self::F64(_) => f.write_str("f64"),
            Self::U8 { scale, .. } => write!(f, "bytes times {scale}"),
            Self::File(file) => write!(f, "{file}"),
        }
    }
}

/// Below this, every whole number is an f32; from here on, an integer of a file may have been rounded to its neighbor.
pub(crate) const MAX_EXACT_INTEGER: f32 = (1 << 24) as f32;

/// Whole numbers below a limit as class ids.
fn class_ids(values: impl Iterator<Item = f64>, limit: f64) -> Result<Vec<u32>> {
    let id = |(at, value): (usize, f64)| {
        if (0.0..limit).contains(&value) && value.fract() == 0.0 {
            return Ok(value as u32);
        }
        let (expected, got) = (format!("whole numbers from 0 to below {limit}"), format!("{value} at {at}"));
        Err(Error::InvalidSetting { name: "class ids of an array", expected, got })
    };
    values.enumerate().map(id).collect()
}

/// Writes values as f32. A data set never asks for it, and the other features are written faster without it in between.
#[cold]
#[inline(never)]
fn write_rounded(values: &[f64], into: &mut [f32]) {
    into.iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
}

/// Values as f32.
pub(crate) fn round_to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// What errors call them.
const FEATURES_NAME: &str = "features";

/// Some rows of so many values, in the order given.
pub(crate) fn select<T: Copy>(values: &[T], rows: &[usize], columns: usize) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * columns..(row + 1) * columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_are_no_bytes_times_the_scale_are_noticed() {
        let pixel = 1.0 / 255.0;
        let noticed = |scale: f32, inputs: &[f32]| unscaled_range(scale, inputs).is_some();
        assert!(!noticed(pixel, &[0.0, 0.2, 1.0]) && !noticed(pixel, &[0.0, 0.0]) && !noticed(pixel, &[]));
        assert!(!noticed(1.0, &[18.0, 65.0]) && !noticed(1.0, &[0.0, 1.0]) && !noticed(-1.0, &[-18.0, -65.0]));
        assert!(noticed(pixel, &[0.0, 51.0, 255.0]), "not divided");
        assert!(noticed(pixel, &[0.0, 0.2 / 255.0]), "divided twice");
        assert!(noticed(1.0, &[0.0, 0.2, 1.0]), "divided, although it was trained on the bytes themselves");
        assert!(noticed(pixel, &[-0.5, 0.5]) && noticed(-1.0, &[18.0, 65.0]));
    }
}
