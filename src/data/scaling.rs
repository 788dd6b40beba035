//! Scaling features column by column, so that all of them matter alike: learned once, applied where the rows are.

use std::borrow::Cow;

use crate::{
    data::{dataset::Dataset, features::round_to_f32},
    error::{Error, Result, check_finite, check_len},
};

/// What a [`Scaler`] makes of every column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Mean 0 and standard deviation 1 (scikit-learn's `StandardScaler`).
    Standard,
    /// Numbers from 0 to 1 (scikit-learn's `MinMaxScaler`).
    MinMax,
}

/// Turns each value `v` of a column into `(v - origin - shift) * factor`.
///
/// The origin is 0 unless the scaler learned from f64 columns whose values would be equal as f32, such as timestamps. It is
/// an f32 near those values, and is subtracted first, in f64 from f64 features, so that what is left has the resolution of
/// f32 around 0.
///
/// ```
/// use gradus::{data::{Scaler, Scaling}};
/// let scaler = Scaler::of_rows(Scaling::MinMax, 2, &[1.0, 0.0, 3.0, 10.0, 2.0, 5.0])?;
/// let mut row = [1.5, 20.0];
/// scaler.apply(&mut row)?;
/// assert_eq!(row, [0.25, 2.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct Scaler {
    /// One per column, or none at all if every origin is 0.
    origin: Vec<f32>,
    offset: Vec<f32>,
    scale: Vec<f32>,
}

/// A scaler as files hold it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origin: Vec<f32>,
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl From<Scaler> for Record {
    fn from(Scaler { origin, offset: shift, scale: factor }: Scaler) -> Self {
        Self { origin, offset: shift, scale: factor }
    }
}

impl TryFrom<Record> for Scaler {
    type Error = Error;

    fn try_from(Record { origin, offset: shift, scale: factor }: Record) -> Result<Self> {
        let scaler = Self::new(shift, factor)?;
        if !origin.is_empty() {
            check_len("origins of a scaler", scaler.columns(), origin.len())?;
            check_finite("origins of a scaler", origin.len(), &origin)?;
        }
        Ok(Self { origin, ..scaler })
    }
}

impl Scaler {
    /// With these numbers, two for each column.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not as many, [`Error::NonFinite`], [`Error::InvalidSetting`] if there are none.
    pub fn new(offset: impl Into<Vec<f32>>, scale: impl Into<Vec<f32>>) -> Result<Self> {
        let (shift, factor) = (offset.into(), scale.into());
        if shift.is_empty() {
            return Err(Error::InvalidSetting {
                name: "columns of a scaler",
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        check_len("factors of a scaler", shift.len(), factor.len())?;
        check_finite("shifts of a scaler", shift.len(), &shift)?;
        check_finite("factors of a scaler", factor.len(), &factor)?;
        Ok(Self { origin: Vec::new(), offset: shift, scale: factor })
    }

    /// Learned from the features of a data set, in f64; what scales them already does not count. A column that is the same
    /// everywhere keeps its factor of 1, as in scikit-learn. If the features are in a file that cannot be read any more,
    /// training on them says so.
    pub fn fit(scaling: Scaling, data: &Dataset) -> Self {
        Self::fit_columns(scaling, data.inputs(), data.rows(), data.features_f64(), |row, into| {
            data.write_raw_features(row, into);
        })
    }

    /// Learned from rows of so many columns.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into rows, [`Error::NonFinite`], [`Error::InvalidSetting`] for no columns.
    pub fn fit_rows(scaling: Scaling, columns: usize, rows: &[f32]) -> Result<Self> {
        if columns == 0 {
            return Err(Error::InvalidSetting {
                name: "columns of a scaler",
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        let count = rows.len() / columns;
        check_len("rows to learn a scaler from", count.max(1) * columns, rows.len())?;
        check_finite("rows to learn a scaler from", columns, rows)?;
        let write = |row: usize, into: &mut [f32]| into.copy_from_slice(&rows[row * columns..(row + 1) * columns]);
        Ok(Self::fit_columns(scaling, columns, count, None, write))
    }

    /// Learned from rows that `write` writes, or from the same rows in f64 if they are there.
    fn fit_columns(
        scaling: Scaling,
        columns: usize,
        rows: usize,
        wide: Option<&[f64]>,
        write: impl Fn(usize, &mut [f32]),
    ) -> Self {
        let walk = |each: &mut dyn FnMut(usize, f64)| {
            if let Some(wide) = wide {
                wide.iter().enumerate().for_each(|(at, value)| each(at % columns, *value));
                return;
            }
            let mut values = vec![0.0; columns];
            for row in 0..rows {
                write(row, &mut values);
                values.iter().enumerate().for_each(|(column, value)| each(column, f64::from(*value)));
            }
        };
        let origin = wide.map_or(Vec::new(), |wide| column_origins(wide, columns));
        let origin_of = |column: usize| origin.get(column).copied().map_or(0.0, f64::from);
        let mut shift = vec![0.0; columns];
        let mut spread = vec![0.0; columns];
        match scaling {
            Scaling::Standard => {
                let n = rows as f64;
                walk(&mut |column, value| shift[column] += value);
                shift.iter_mut().for_each(|sum| *sum /= n);
                walk(&mut |column, value| spread[column] += (value - shift[column]).powi(2));
                for (spread, mean) in spread.iter_mut().zip(&shift) {
                    let variance = *spread / n;
                    // What is no more than the rounding of the mean is no variance.
                    let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
                    *spread = if variance <= rounding { 0.0 } else { variance.sqrt() };
                }
            }
            Scaling::MinMax => {
                let mut most = vec![f64::NEG_INFINITY; columns];
                shift.fill(f64::INFINITY);
                walk(&mut |column, value| {
                    shift[column] = shift[column].min(value);
                    most[column] = most[column].max(value);
                });
                for ((spread, most), least) in spread.iter_mut().zip(most).zip(&shift) {
                    let range = most - least;
                    *spread = if range < 10.0 * f64::EPSILON { 0.0 } else { range };
                }
            }
        }
        let factor = |spread: f64| {
            let factor = (1.0 / spread) as f32;
            if factor.is_finite() { factor } else { 1.0 }
        };
        Self {
            offset: shift.into_iter().enumerate().map(|(column, shift)| (shift - origin_of(column)) as f32).collect(),
            origin,
            scale: spread.into_iter().map(factor).collect(),
        }
    }

    /// How many columns it scales.
    pub const fn columns(&self) -> usize {
        self.offset.len()
    }

    /// What is subtracted from each column before the shift; none at all if it is 0 for every column.
    pub fn origin(&self) -> &[f32] {
        &self.origin
    }

    /// What is taken from each column.
    pub fn offset(&self) -> &[f32] {
        &self.offset
    }

    /// By what each column is multiplied then.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Scales rows where they are.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into rows.
    pub fn transform(&self, rows: &mut [f32]) -> Result<()> {
        check_len("values to scale", rows.len() / self.columns() * self.columns(), rows.len())?;
        rows.chunks_exact_mut(self.columns()).for_each(|row| self.transform_row(row));
        Ok(())
    }

    /// Scales one row.
    #[inline]
    pub(crate) fn transform_row(&self, row: &mut [f32]) {
        self.subtract_origin(row);
        self.transform_without_origin(row);
    }

    /// Subtracts the origin from one row.
    #[inline]
    pub(crate) fn subtract_origin(&self, row: &mut [f32]) {
        for (value, origin) in row.iter_mut().zip(&self.origin) {
            *value -= origin;
        }
    }

    /// The same with the origin as a part of the shift, for values that are f32 already.
    pub(crate) fn merge_origin(&self) -> Self {
        let origin = self.origin.iter().copied().chain(std::iter::repeat(0.0));
        let shift = self.offset.iter().zip(origin).map(|(shift, origin)| shift + origin).collect();
        Self { origin: Vec::new(), offset: shift, scale: self.scale.clone() }
    }

    /// Scales rows of f64.
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into rows.
    pub fn transform_f64(&self, rows: &[f64]) -> Result<Vec<f32>> {
        check_len("values to scale", rows.len() / self.columns() * self.columns(), rows.len())?;
        let mut rest = self.subtract_origins(rows);
        rest.chunks_exact_mut(self.columns()).for_each(|row| self.transform_without_origin(row));
        Ok(rest)
    }

    /// What is left of rows of f64 without the origin.
    pub(crate) fn subtract_origins(&self, rows: &[f64]) -> Vec<f32> {
        if self.origin.is_empty() {
            return round_to_f32(rows);
        }
        let origin = self.origin.iter().copied().map(f64::from).cycle();
        rows.iter().zip(origin).map(|(value, origin)| (value - origin) as f32).collect()
    }

    /// Scales one row from which the origin is subtracted already, as the kernels do it.
    #[inline]
    pub(crate) fn transform_without_origin(&self, row: &mut [f32]) {
        for ((value, shift), factor) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
            *value = (*value - shift) * factor;
        }
    }
}

/// How many times its range a number may be from 0 before an offset is subtracted without a closer look: from here on, a
/// range has less than 2^14 different f32.
const MAX_DISTANCE_RATIO: f64 = 1024.0;

/// What has to be subtracted in f64 from values of this range, before they become f32, so that different ones stay
/// different: 0 if they do without it. The values are asked for only if their range does not decide it.
pub(crate) fn resolution_offset([least, most]: [f64; 2], values: impl FnOnce() -> Vec<f64>) -> f32 {
    let (range, largest) = (most - least, most.abs().max(least.abs()));
    if !range.is_finite() || largest <= 4.0 * range || range == 0.0 {
        return 0.0;
    }
    let collapses = || {
        let mut values = values();
        values.sort_unstable_by(f64::total_cmp);
        values.windows(2).any(|pair| pair[0] != pair[1] && pair[0] as f32 == pair[1] as f32)
    };
    if largest > MAX_DISTANCE_RATIO * range || collapses() { least as f32 } else { 0.0 }
}

/// Warns of columns whose values are so far from 0, compared with their range, that f32 cannot tell them apart: what their
/// caller had was rounded to a few values.
pub(crate) fn warn_of_lost_values(rows: &[f32], columns: usize) {
    // From here on, whole numbers are no f32.
    const MAX_EXACT_INTEGER: f32 = (1u32 << f32::MANTISSA_DIGITS) as f32;
    if rows.iter().fold(0.0f32, |most, value| most.max(value.abs())) < MAX_EXACT_INTEGER {
        return;
    }
    for column in 0..columns {
        let values = || rows.iter().skip(column).step_by(columns).copied();
        let (least, most) =
            values().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        let largest = most.abs().max(least.abs());
        if largest < MAX_EXACT_INTEGER || f64::from(largest) < MAX_DISTANCE_RATIO * (f64::from(most) - f64::from(least))
        {
            continue;
        }
        let mut distinct: Vec<f32> = values().collect();
        distinct.sort_unstable_by(f32::total_cmp);
        distinct.dedup();
        if distinct.len() * columns < rows.len() {
            log::warn!(
                "feature {column}: {} distinct values are left of {} rows near {largest:e}, where f32 are {} apart; pass the \
                 features as f64 and scale them, or subtract an offset before they become f32",
                distinct.len(),
                rows.len() / columns,
                f32::from_bits(largest.to_bits() + 1) - largest
            );
        }
    }
}

/// The origin of each column of rows of f64, or none at all if all are 0.
pub(crate) fn column_origins(rows: &[f64], columns: usize) -> Vec<f32> {
    let mut ranges = vec![[f64::INFINITY, f64::NEG_INFINITY]; columns];
    let mut are_inexact = vec![false; columns];
    for row in rows.chunks_exact(columns) {
        for ((value, range), is_inexact) in row.iter().zip(&mut ranges).zip(&mut are_inexact) {
            *range = [range[0].min(*value), range[1].max(*value)];
            *is_inexact |= f64::from(*value as f32) != *value;
        }
    }
    let origin = |column: usize| {
        let values = || rows.iter().skip(column).step_by(columns).copied().collect();
        if are_inexact[column] { resolution_offset(ranges[column], values) } else { 0.0 }
    };
    let origins: Vec<f32> = (0..columns).map(origin).collect();
    if origins.iter().all(|origin| *origin == 0.0) { Vec::new() } else { origins }
}

/// Raw inputs as the network sees them.
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
    use crate::data::features::Features;

    // scikit-learn 1.7.2's numbers for these rows; the second column is the same everywhere.
    const ROWS: [f32; 15] =
        [0.5, 3.0, -1e6, 1.5, 3.0, -1.000_001e6, -2.0, 3.0, -1.000_002e6, 4.0, 3.0, -9.99e5, 0.25, 3.0, -1e6];

    #[test]
    fn what_is_learned_is_what_scikit_learn_learns() {
        let standard = Scaler::fit_rows(Scaling::Standard, 3, &ROWS).unwrap();
        let near = |ours: &[f32], theirs: [f64; 3]| {
            ours.iter().zip(theirs).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-7 * b.abs())
        };
        assert!(near(standard.offset(), [0.85, 3.0, -999_800.6]), "{standard:?}");
        assert!(
            near(standard.scale(), [1.0 / 1.946_792_233_393_178_4, 1.0, 1.0 / 400.300_686_984_171_93]),
            "{standard:?}"
        );
        let min_max = Scaler::fit_rows(Scaling::MinMax, 3, &ROWS).unwrap();
        assert!(near(min_max.offset(), [-2.0, 3.0, -1_000_002.0]), "{min_max:?}");
        assert!(near(min_max.scale(), [1.0 / 6.0, 1.0, 1.0 / 1002.0]), "{min_max:?}");
        let mut rows = ROWS;
        min_max.transform(&mut rows).unwrap();
        assert!(near(&rows[..3], [2.5 / 6.0, 0.0, 2.0 / 1002.0]), "{rows:?}");
    }

    #[test]
    fn bytes_are_scaled_as_the_network_sees_them() {
        let features = Features::U8 { bytes: vec![0, 4, 8, 4, 2, 4], scale: 0.5 };
        let data = Dataset::new(3, features, &[0u32, 1, 0]).unwrap();
        let scaler = Scaler::fit(Scaling::MinMax, &data);
        assert_eq!((scaler.offset(), scaler.scale()), (&[0.0, 2.0][..], &[0.25, 1.0][..]));
        let scaled = data.with_scaler(&scaler).unwrap();
        let mut row = [0.0; 2];
        scaled.write_features(2, &mut row);
        assert_eq!(row, [0.25, 0.0]);
        assert_eq!(Scaler::fit(Scaling::MinMax, &scaled), scaler, "from the raw features");
        let (train, _) = scaled.split(&crate::data::split::Split { fraction: 0.3, stratified: false }, 0).unwrap();
        assert_eq!(train.scaler(), Some(&scaler), "a part is scaled as the whole");
    }

    #[test]
    fn what_is_no_scaler_is_refused() {
        assert!(Scaler::new([], []).is_err() && Scaler::new([1.0], []).is_err());
        assert!(Scaler::new([f32::NAN], [1.0]).is_err() && Scaler::new([0.0], [f32::INFINITY]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 0, &[]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 2, &[]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 2, &[1.0; 3]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 1, &[f32::NAN]).is_err());
        let scaler = Scaler::new([0.0; 2], [1.0; 2]).unwrap();
        assert!(scaler.transform(&mut [0.0; 3]).is_err() && scaler.transform(&mut []).is_ok());
        let data = Dataset::new(1, &[1.0], &[1.0]).unwrap();
        assert_eq!(data.with_scaler(&scaler).unwrap_err().to_string(), "columns of a scaler: expected 1 values, got 2");
    }
}
