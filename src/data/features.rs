//! Features: rows of numbers or bytes, in memory or in a file.

use crate::{
    data::{file_rows::FileRows, value_type::ValueType},
    error::{Error, Result, check_finite, try_with_capacity},
};

/// The features of a data set: the inputs of the network, row by row.
#[doc(alias = "inputs")]
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Numbers in f32.
    F32(Vec<f32>),
    /// Bytes that the network reads as `byte * scale`; see [`Features::bytes`].
    U8 {
        /// The bytes.
        bytes: Vec<u8>,
        /// The factor of each byte. It is 1 for a vector or an array of bytes, and 1/255 for an
        /// [`ImageSet`](crate::data::formats::ImageSet).
        scale: f32,
    },
    /// Numbers in f64. The network computes with f32, but a [`Dataset`](crate::data::Dataset) also keeps the f64
    /// values. A [`Scaler`](crate::data::Scaler) fitted to them distinguishes values that are equal as f32, such as
    /// timestamps.
    F64(Vec<f64>),
    /// Rows that stay in a file until they are needed.
    File(FileRows),
}

/// Implements `From` for a vector, and for a borrowed vector, slice or array.
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
    /// Creates features from bytes that the network reads as `byte * scale`. On the device they stay bytes, which need
    /// a quarter of the memory of f32.
    ///
    /// `From` converts a vector or an array of bytes to features of scale 1, so that a table of ages keeps its values,
    /// as in numpy. For images use the scale `1.0 / 255.0`, like torchvision's `ToTensor`.
    /// [`ImageSet`](crate::data::formats::ImageSet) sets this scale itself.
    ///
    /// Predictions need the scale of the training data. gradus returns an error for bytes with a different scale. If
    /// inputs are f32, pass `byte * scale`; saved models contain the scale as
    /// [`Model::byte_scale`](crate::model::Model::byte_scale).
    ///
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

    /// Converts the bytes of an array in a file to features. Unsigned bytes and bools stay bytes. All other types
    /// become f32, or f64 if the array contains a value >= 2^24 and f32 cannot represent every value exactly.
    pub(crate) fn from_array(value_type: ValueType, bytes: Vec<u8>) -> Result<Self> {
        if value_type.is_bytes() {
            return Ok(Self::bytes(bytes, 1.0));
        }
        let count = bytes.len() / value_type.width;
        let mut values = try_with_capacity(count, "values of an array")?;
        values.resize(count, 0.0);
        value_type.convert_f32(&bytes, &mut values);
        let is_f32 = (value_type.type_code, value_type.width) == (b'f', 4);
        if is_f32 || value_type.width < 4 || values.iter().all(|value| value.abs() < MAX_EXACT_INTEGER) {
            return Ok(Self::F32(values));
        }
        // Keep f64 if f32 rounds large values, because timestamps and identifiers could become equal.
        let mut exact = vec![0.0; count];
        value_type.convert_f64(&bytes, &mut exact);
        let is_lossless = exact.iter().zip(&values).all(|(exact, value)| *exact == f64::from(*value));
        Ok(if is_lossless { Self::F32(values) } else { Self::F64(exact) })
    }

    /// Returns the same bytes or rows in a file with a different scale.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the features are f32 or f64 in memory, which have no scale.
    pub fn with_scale(self, scale: f32) -> Result<Self> {
        match self {
            Self::F32(_) | Self::F64(_) => {
                let (expected, got) =
                    ("bytes or rows in a file".to_owned(), format!("{self}; multiply the values instead"));
                Err(Error::InvalidSetting { name: "Features::with_scale", expected, got })
            }
            Self::U8 { bytes, .. } => Ok(Self::U8 { bytes, scale }),
            Self::File(file) => Ok(Self::File(file.with_scale(scale))),
        }
    }

    /// Returns the number of values in all rows.
    pub(crate) fn value_count(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U8 { bytes, .. } => bytes.len(),
            Self::File(file) => file.rows() * file.columns(),
        }
    }

    /// Returns the scale if the features are bytes.
    pub(crate) fn byte_scale(&self) -> Option<f32> {
        match self {
            Self::F32(_) | Self::F64(_) => None,
            Self::U8 { scale, .. } => Some(*scale),
            Self::File(file) => file.byte_scale(),
        }
    }

    /// Returns an error if a value or the scale is not finite.
    pub(crate) fn check(&self, columns: usize) -> Result<()> {
        match self {
            Self::F32(values) => check_finite(FEATURES_NAME, columns, values),
            Self::F64(values) => check_finite(FEATURES_NAME, columns, &round_to_f32(values)),
            Self::U8 { scale, .. } => check_scale(*scale),
            Self::File(file) => check_scale(file.scale()).and_then(|()| file.check_finite(FEATURES_NAME)),
        }
    }

    /// Returns the first error that occurred when rows were read from a file.
    pub(crate) fn check_read(&self) -> Result<()> {
        if let Self::File(file) = self { file.check() } else { Ok(()) }
    }

    /// Returns the given rows in the given order.
    pub(crate) fn select(&self, rows: &[usize], columns: usize) -> Self {
        match self {
            Self::F32(values) => Self::F32(select(values, rows, columns)),
            Self::F64(values) => Self::F64(select(values, rows, columns)),
            Self::U8 { bytes, scale } => Self::U8 { bytes: select(bytes, rows, columns), scale: *scale },
            Self::File(file) => Self::File(file.select(rows)),
        }
    }

    /// Reads the rows into memory if they are in a file.
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

    /// Converts all values to f32 in memory.
    pub(crate) fn into_f32(self) -> Result<Vec<f32>> {
        Ok(match self.into_memory()? {
            Self::U8 { bytes, scale } => bytes.into_iter().map(|byte| f32::from(byte) * scale).collect(),
            Self::F32(values) => values,
            Self::F64(values) => round_to_f32(&values),
            Self::File(_) => unreachable!("into_memory returns no file"),
        })
    }

    /// Returns one class id per value. Bytes are class ids without their scale.
    pub(crate) fn class_ids(&self) -> Result<Vec<u32>> {
        match self {
            Self::U8 { bytes, .. } => Ok(bytes.iter().map(|byte| u32::from(*byte)).collect()),
            Self::F32(values) => class_ids(values.iter().copied().map(f64::from), f64::from(MAX_EXACT_INTEGER)),
            Self::F64(values) => class_ids(values.iter().copied(), f64::from(u32::MAX)),
            Self::File(_) => self.clone().into_memory()?.class_ids(),
        }
    }

    /// Writes a row as f32.
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

    /// Writes a row in the format of the device: the bytes themselves, or the bytes of f32 values.
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

/// Returns an error if the features are bytes whose scale differs from the scale of the training data.
pub(crate) fn check_same_scale(trained_scale: Option<f32>, features: &Features) -> Result<()> {
    match (trained_scale, features.byte_scale()) {
        (Some(trained_scale), Some(scale)) if trained_scale != scale => {
            let expected = format!("{trained_scale} as in the training data");
            let got = format!("{scale}; set it with Features::bytes or with_scale");
            Err(Error::InvalidSetting { name: "byte scale", expected, got })
        }
        _ => Ok(()),
    }
}

/// The scale of the bytes in the training data, and whether gradus already warned about inputs that do not match it.
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
    /// Logs a warning once if the inputs cannot be bytes times the scale. Either some inputs are outside of 0 to 255
    /// times the scale, or all inputs are fractions of the scale, as if they had been divided twice.
    pub(crate) fn warn_if_unscaled(&mut self, inputs: &[f32]) {
        let Some(scale) = self.scale.filter(|scale| *scale != 0.0 && !self.has_warned) else { return };
        if let Some((min, max)) = unscaled_range(scale, inputs) {
            self.has_warned = true;
            log::warn!(
                "inputs do not match the training data: expected byte * {scale} in [0, {}], got numbers from {min} to {max}",
                255.0 * scale
            );
        }
    }
}

/// Returns the minimum and maximum of the inputs if they cannot be bytes times `scale`.
fn unscaled_range(scale: f32, inputs: &[f32]) -> Option<(f32, f32)> {
    let (min, max) = inputs.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
    // The scale may be negative.
    let (min_byte, max_byte) = ((min / scale).min(max / scale), (min / scale).max(max / scale));
    let is_outside = min_byte < -0.5 || max_byte > 255.5;
    let is_divided = max_byte <= 1.001 && inputs.iter().any(|input| (0.001..0.999).contains(&(input / scale)));
    (!inputs.is_empty() && (is_outside || is_divided)).then_some((min, max))
}

fn check_scale(scale: f32) -> Result<()> {
    // The largest byte times the scale must also be finite.
    if (255.0 * scale).is_finite() {
        return Ok(());
    }
    Err(Error::InvalidSetting { name: "byte scale", expected: "a finite number".into(), got: scale.to_string() })
}

/// Prints the type of the values and their scale, but not their number.
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

/// 2^24. f32 represents every integer below it exactly; a larger integer of a file may have been rounded.
pub(crate) const MAX_EXACT_INTEGER: f32 = (1 << 24) as f32;

/// Converts integers in `[0, limit)` to class ids.
fn class_ids(values: impl Iterator<Item = f64>, limit: f64) -> Result<Vec<u32>> {
    let to_id = |(index, value): (usize, f64)| {
        if (0.0..limit).contains(&value) && value.fract() == 0.0 {
            return Ok(value as u32);
        }
        let (expected, got) = (format!("integers in [0, {limit})"), format!("{value} at index {index}"));
        Err(Error::InvalidSetting { name: "class ids", expected, got })
    };
    values.enumerate().map(to_id).collect()
}

/// Writes values as f32. This function is not inlined, because data sets never call it, and inlining it would slow down
/// the other branches of [`Features::write`].
#[cold]
#[inline(never)]
fn write_rounded(values: &[f64], into: &mut [f32]) {
    into.iter_mut().zip(values).for_each(|(to, value)| *to = *value as f32);
}

/// Rounds values to f32.
pub(crate) fn round_to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The name of features in error messages.
const FEATURES_NAME: &str = "features";

/// Returns the given rows, each with `columns` values, in the given order.
pub(crate) fn select<T: Copy>(values: &[T], rows: &[usize], columns: usize) -> Vec<T> {
    rows.iter().flat_map(|row| &values[row * columns..(row + 1) * columns]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unscaled_range_detects_inputs_that_are_not_bytes_times_the_scale() {
        let pixel = 1.0 / 255.0;
        let detected = |scale: f32, inputs: &[f32]| unscaled_range(scale, inputs).is_some();
        assert!(!detected(pixel, &[0.0, 0.2, 1.0]) && !detected(pixel, &[0.0, 0.0]) && !detected(pixel, &[]));
        assert!(!detected(1.0, &[18.0, 65.0]) && !detected(1.0, &[0.0, 1.0]) && !detected(-1.0, &[-18.0, -65.0]));
        assert!(detected(pixel, &[0.0, 51.0, 255.0]), "not divided");
        assert!(detected(pixel, &[0.0, 0.2 / 255.0]), "divided twice");
        assert!(detected(1.0, &[0.0, 0.2, 1.0]), "divided, although the scale is 1");
        assert!(detected(pixel, &[-0.5, 0.5]) && detected(-1.0, &[18.0, 65.0]));
    }
}
