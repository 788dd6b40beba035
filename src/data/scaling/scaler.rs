//! The scaler: one offset and one scale per column.

use std::borrow::Cow;

use crate::{
    data::features::round_to_f32,
    error::{Error, Result, check_finite, check_len},
};

/// A scaler, which replaces each value `v` of a column by `(v - origin - offset) * scale`.
///
/// The origin is 0, unless the scaler was fitted to a column of f64 values that would be equal as f32, such as
/// timestamps. Then it is an f32 near these values. It is subtracted first, in f64 if the features are f64, so that the
/// differences have the resolution of f32 near 0.
///
/// ```
/// use gradus::data::{Scaler, Scaling};
/// let scaler = Scaler::fit_rows(Scaling::MinMax, 2, &[1.0, 0.0, 3.0, 10.0, 2.0, 5.0])?;
/// let mut row = [1.5, 20.0];
/// scaler.transform(&mut row)?;
/// assert_eq!(row, [0.25, 2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "StandardScaler")]
#[doc(alias = "MinMaxScaler")]
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Scaler {
    /// One origin per column, or an empty vector if every origin is 0.
    origin: Vec<f32>,
    offset: Vec<f32>,
    scale: Vec<f32>,
}

/// A scaler in the format of files.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origin: Vec<f32>,
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl From<Scaler> for Record {
    fn from(Scaler { origin, offset, scale }: Scaler) -> Self {
        Self { origin, offset, scale }
    }
}

impl TryFrom<Record> for Scaler {
    type Error = Error;

    fn try_from(Record { origin, offset, scale }: Record) -> Result<Self> {
        let scaler = Self::new(offset, scale)?;
        if !origin.is_empty() {
            check_len("scaler origin", scaler.columns(), origin.len())?;
            check_finite("scaler origin", origin.len(), &origin)?;
        }
        Ok(Self { origin, ..scaler })
    }
}

impl Scaler {
    /// Creates a scaler from one offset and one scale per column.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of offsets and scales differ.
    /// [`Error::NonFinite`] if an offset or a scale is not finite.
    /// [`Error::InvalidSetting`] if there are no columns.
    pub fn new(offset: impl Into<Vec<f32>>, scale: impl Into<Vec<f32>>) -> Result<Self> {
        let (offset, scale) = (offset.into(), scale.into());
        if offset.is_empty() {
            let (expected, got) = ("at least 1 column".to_owned(), "0".to_owned());
            return Err(Error::InvalidSetting { name: "Scaler::new", expected, got });
        }
        check_len("scaler scale", offset.len(), scale.len())?;
        check_finite("scaler offset", offset.len(), &offset)?;
        check_finite("scaler scale", scale.len(), &scale)?;
        Ok(Self { origin: Vec::new(), offset, scale })
    }

    /// Creates a scaler from finite values, one per column. `origin` is empty if every origin is 0.
    pub(super) const fn from_parts(origin: Vec<f32>, offset: Vec<f32>, scale: Vec<f32>) -> Self {
        Self { origin, offset, scale }
    }

    /// Returns the number of columns.
    pub const fn columns(&self) -> usize {
        self.offset.len()
    }

    /// Returns the origin of each column, which is subtracted before the offset. The slice is empty if every origin is
    /// 0.
    pub fn origin(&self) -> &[f32] {
        &self.origin
    }

    /// Returns the offset of each column, which is subtracted from the values.
    #[doc(alias = "mean_")]
    #[doc(alias = "shift")]
    pub fn offset(&self) -> &[f32] {
        &self.offset
    }

    /// Returns the scale of each column, by which the differences are multiplied.
    #[doc(alias = "scale_")]
    #[doc(alias = "factor")]
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Scales rows in place.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not a multiple of the number of columns.
    pub fn transform(&self, rows: &mut [f32]) -> Result<()> {
        check_len("Scaler::transform", rows.len() / self.columns() * self.columns(), rows.len())?;
        rows.chunks_exact_mut(self.columns()).for_each(|row| self.transform_row(row));
        Ok(())
    }

    /// Returns the scaled values of rows in f64. The origin is subtracted in f64.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of values is not a multiple of the number of columns.
    pub fn transform_f64(&self, rows: &[f64]) -> Result<Vec<f32>> {
        check_len("Scaler::transform_f64", rows.len() / self.columns() * self.columns(), rows.len())?;
        let mut scaled = self.subtract_origins(rows);
        scaled.chunks_exact_mut(self.columns()).for_each(|row| self.transform_without_origin(row));
        Ok(scaled)
    }

    /// Scales one row in place.
    #[inline]
    pub(crate) fn transform_row(&self, row: &mut [f32]) {
        self.subtract_origin(row);
        self.transform_without_origin(row);
    }

    /// Scales one row, from which the origin was already subtracted, in place. The kernels compute the same.
    #[inline]
    pub(crate) fn transform_without_origin(&self, row: &mut [f32]) {
        for ((value, offset), scale) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
            *value = (*value - offset) * scale;
        }
    }

    /// Subtracts the origin from one row in f32.
    #[inline]
    pub(crate) fn subtract_origin(&self, row: &mut [f32]) {
        for (value, origin) in row.iter_mut().zip(&self.origin) {
            *value -= origin;
        }
    }

    /// Returns rows in f64 minus the origin, rounded to f32.
    pub(crate) fn subtract_origins(&self, rows: &[f64]) -> Vec<f32> {
        if self.origin.is_empty() {
            return round_to_f32(rows);
        }
        let origin = self.origin.iter().copied().map(f64::from).cycle();
        rows.iter().zip(origin).map(|(value, origin)| (value - origin) as f32).collect()
    }

    /// Returns the scaler with the origin added to the offset, for values that are already f32.
    pub(crate) fn merge_origin(&self) -> Self {
        let origin = self.origin.iter().copied().chain(std::iter::repeat(0.0));
        let offset = self.offset.iter().zip(origin).map(|(offset, origin)| offset + origin).collect();
        Self { origin: Vec::new(), offset, scale: self.scale.clone() }
    }
}

/// Returns the inputs as the network reads them: scaled, if there is a scaler.
pub(crate) fn transform_inputs<'a>(scaler: Option<&Scaler>, inputs: &'a [f32]) -> Cow<'a, [f32]> {
    let mut inputs = Cow::Borrowed(inputs);
    if let Some(scaler) = scaler {
        inputs.to_mut().chunks_exact_mut(scaler.columns()).for_each(|row| scaler.transform_row(row));
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_offsets_and_scales_return_an_error() {
        assert!(Scaler::new([], []).is_err() && Scaler::new([1.0], []).is_err());
        assert!(Scaler::new([f32::NAN], [1.0]).is_err() && Scaler::new([0.0], [f32::INFINITY]).is_err());
    }

    #[test]
    fn transform_returns_an_error_for_an_incomplete_row() {
        let scaler = Scaler::new([0.0; 2], [1.0; 2]).unwrap();
        assert!(scaler.transform(&mut [0.0; 3]).is_err() && scaler.transform(&mut []).is_ok());
        assert!(scaler.transform_f64(&[0.0; 3]).is_err() && scaler.transform_f64(&[]).is_ok());
    }
}
