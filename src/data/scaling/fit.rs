//! Fits scalers to the columns of a data set, with the statistics of scikit-learn.

use crate::{
    data::{
        dataset::Dataset,
        scaling::{resolution::column_origins, scaler::Scaler},
    },
    error::{Error, Result, check_finite, check_len},
};

/// The range to which a [`Scaler`] maps the values of each column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Mean 0 and standard deviation 1 (scikit-learn's `StandardScaler`).
    #[doc(alias = "StandardScaler")]
    Standard,
    /// Minimum 0 and maximum 1 (scikit-learn's `MinMaxScaler`).
    #[doc(alias = "MinMaxScaler")]
    MinMax,
}

impl Scaler {
    /// Fits a scaler to the features of a data set. It computes the statistics in f64, and ignores the scaler that the
    /// data set may already have.
    ///
    /// A constant column gets the scale 1, as in scikit-learn. If the features are in a file that can no longer be
    /// read, the next call that trains on the data set returns the error.
    pub fn fit(scaling: Scaling, data: &Dataset) -> Self {
        let write_row = |row: usize, into: &mut [f32]| data.write_raw_features(row, into);
        let (rows, columns) = (data.rows(), data.inputs());
        fit_columns(scaling, &FitData { rows, columns, values_f64: data.features_f64(), write_row })
    }

    /// Fits a scaler to rows with `columns` values each.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no values, or if their number is not a multiple of `columns`.
    /// [`Error::NonFinite`] if a value is not finite.
    /// [`Error::InvalidSetting`] if `columns` is 0.
    pub fn fit_rows(scaling: Scaling, columns: usize, rows: &[f32]) -> Result<Self> {
        if columns == 0 {
            let (expected, got) = ("at least 1 column".to_owned(), "0".to_owned());
            return Err(Error::InvalidSetting { name: "Scaler::fit_rows", expected, got });
        }
        let count = rows.len() / columns;
        check_len("Scaler::fit_rows", count.max(1) * columns, rows.len())?;
        check_finite("Scaler::fit_rows", columns, rows)?;
        let write_row = |row: usize, into: &mut [f32]| into.copy_from_slice(&rows[row * columns..(row + 1) * columns]);
        Ok(fit_columns(scaling, &FitData { rows: count, columns, values_f64: None, write_row }))
    }
}

fn fit_columns<W: Fn(usize, &mut [f32])>(scaling: Scaling, data: &FitData<'_, W>) -> Scaler {
    let ColumnStatistics { offset, spread } = match scaling {
        Scaling::Standard => data.mean_and_std(),
        Scaling::MinMax => data.min_and_range(),
    };
    let origin = data.values_f64.map_or(Vec::new(), |values| column_origins(values, data.columns));
    let origins = origin.iter().copied().map(f64::from).chain(std::iter::repeat(0.0));
    let offset = offset.into_iter().zip(origins).map(|(offset, origin)| (offset - origin) as f32).collect();
    let scale = spread.into_iter().map(scale_of_spread).collect();
    Scaler::from_parts(origin, offset, scale)
}

/// Returns the factor that maps the spread of a column to 1; 1 for a constant column.
fn scale_of_spread(spread: f64) -> f32 {
    let scale = (1.0 / spread) as f32;
    if scale.is_finite() { scale } else { 1.0 }
}

/// The rows that a scaler is fitted to.
struct FitData<'a, W> {
    rows: usize,
    columns: usize,
    /// The values in f64, if the caller passed f64.
    values_f64: Option<&'a [f64]>,
    /// Writes the row of an index as f32.
    write_row: W,
}

/// Two statistics of each column. The spread of a constant column is 0.
struct ColumnStatistics {
    /// The mean or the minimum.
    offset: Vec<f64>,
    /// The standard deviation or the range.
    spread: Vec<f64>,
}

impl<W: Fn(usize, &mut [f32])> FitData<'_, W> {
    /// Calls `visit` with the column and the value of each value, row by row. It passes the f64 values if there are
    /// any.
    fn for_each_value(&self, mut visit: impl FnMut(usize, f64)) {
        if let Some(values) = self.values_f64 {
            for (index, value) in values.iter().enumerate() {
                visit(index % self.columns, *value);
            }
            return;
        }
        let mut values = vec![0.0; self.columns];
        for row in 0..self.rows {
            (self.write_row)(row, &mut values);
            for (column, value) in values.iter().enumerate() {
                visit(column, f64::from(*value));
            }
        }
    }

    fn mean_and_std(&self) -> ColumnStatistics {
        let n = self.rows as f64;
        let mut mean = vec![0.0f64; self.columns];
        self.for_each_value(|column, value| mean[column] += value);
        for sum in &mut mean {
            *sum /= n;
        }
        let mut std = vec![0.0f64; self.columns];
        self.for_each_value(|column, value| std[column] += (value - mean[column]).powi(2));
        for (std, mean) in std.iter_mut().zip(&mean) {
            let variance = *std / n;
            // A variance within the rounding error of the mean counts as 0, as in scikit-learn.
            let rounding_error = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
            *std = if variance <= rounding_error { 0.0 } else { variance.sqrt() };
        }
        ColumnStatistics { offset: mean, spread: std }
    }

    fn min_and_range(&self) -> ColumnStatistics {
        let mut min = vec![f64::INFINITY; self.columns];
        let mut max = vec![f64::NEG_INFINITY; self.columns];
        self.for_each_value(|column, value| {
            min[column] = min[column].min(value);
            max[column] = max[column].max(value);
        });
        // A range below 10 EPSILON counts as 0, as in scikit-learn.
        let range = |(min, max): (&f64, f64)| if max - min < 10.0 * f64::EPSILON { 0.0 } else { max - min };
        let spread = min.iter().zip(max).map(range).collect();
        ColumnStatistics { offset: min, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{features::Features, split::Split};

    // The expected numbers are those of scikit-learn 1.7.2 for these rows. The second column is constant.
    const ROWS: [f32; 15] =
        [0.5, 3.0, -1e6, 1.5, 3.0, -1.000_001e6, -2.0, 3.0, -1.000_002e6, 4.0, 3.0, -9.99e5, 0.25, 3.0, -1e6];

    #[test]
    fn fit_rows_matches_scikit_learn() {
        let standard = Scaler::fit_rows(Scaling::Standard, 3, &ROWS).unwrap();
        let is_close = |got: &[f32], expected: [f64; 3]| {
            got.iter().zip(expected).all(|(got, expected)| (f64::from(*got) - expected).abs() <= 1e-7 * expected.abs())
        };
        assert!(is_close(standard.offset(), [0.85, 3.0, -999_800.6]), "{standard:?}");
        assert!(
            is_close(standard.scale(), [1.0 / 1.946_792_233_393_178_4, 1.0, 1.0 / 400.300_686_984_171_93]),
            "{standard:?}"
        );
        let min_max = Scaler::fit_rows(Scaling::MinMax, 3, &ROWS).unwrap();
        assert!(is_close(min_max.offset(), [-2.0, 3.0, -1_000_002.0]), "{min_max:?}");
        assert!(is_close(min_max.scale(), [1.0 / 6.0, 1.0, 1.0 / 1002.0]), "{min_max:?}");
        let mut rows = ROWS;
        min_max.transform(&mut rows).unwrap();
        assert!(is_close(&rows[..3], [2.5 / 6.0, 0.0, 2.0 / 1002.0]), "{rows:?}");
    }

    #[test]
    fn fit_uses_bytes_times_their_scale_and_ignores_the_scaler_of_the_data_set() {
        let features = Features::U8 { bytes: vec![0, 4, 8, 4, 2, 4], scale: 0.5 };
        let data = Dataset::new(3, features, &[0u32, 1, 0]).unwrap();
        let scaler = Scaler::fit(Scaling::MinMax, &data);
        assert_eq!((scaler.offset(), scaler.scale()), (&[0.0, 2.0][..], &[0.25, 1.0][..]));
        let scaled = data.with_scaler(&scaler).unwrap();
        let mut row = [0.0; 2];
        scaled.write_features(2, &mut row);
        assert_eq!(row, [0.25, 0.0]);
        assert_eq!(Scaler::fit(Scaling::MinMax, &scaled), scaler, "fitted to the unscaled features");
        let (train, _) = scaled.split(&Split { fraction: 0.3, stratified: false }, 0).unwrap();
        assert_eq!(train.scaler(), Some(&scaler), "a part of a data set keeps the scaler");
    }

    #[test]
    fn fit_rows_returns_an_error_without_complete_finite_rows() {
        assert!(Scaler::fit_rows(Scaling::Standard, 0, &[]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 2, &[]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 2, &[1.0; 3]).is_err());
        assert!(Scaler::fit_rows(Scaling::Standard, 1, &[f32::NAN]).is_err());
    }

    #[test]
    fn with_scaler_returns_an_error_for_a_different_number_of_columns() {
        let scaler = Scaler::new([0.0; 2], [1.0; 2]).unwrap();
        let data = Dataset::new(1, &[1.0], &[1.0]).unwrap();
        assert_eq!(data.with_scaler(&scaler).unwrap_err().to_string(), "scaler columns: expected 1 values, got 2");
    }
}
