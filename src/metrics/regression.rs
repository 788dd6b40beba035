//! Regression metrics: squared and absolute errors, and the coefficient of determination.

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Result, check_finite, check_len},
    metrics::checks::check_sample_weight,
};

/// Regression metrics, equal to those of scikit-learn.
///
/// Each metric is the mean over the outputs. In the formulas, `y` is an output, `t` its target and `w` the sample
/// weight of the row.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionMetrics {
    rows: usize,
    /// The total sample weight of all rows.
    weight: f64,
    outputs: Vec<OutputErrors>,
}

/// The sums of one output over all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputErrors {
    /// `sum w (y - t)^2`
    #[serde(with = "crate::util::number")]
    squared_errors: f64,
    /// `sum w |y - t|`
    #[serde(with = "crate::util::number")]
    absolute_errors: f64,
    /// `sum w t / sum w`
    target_mean: f64,
    /// `sum w (t - mean)^2`
    target_squares: f64,
}

impl OutputErrors {
    /// Adds the sums of later rows with total weight `weight` to the sums of rows with total weight `before`.
    ///
    /// The formulas are those of Chan, Golub and LeVeque (1979). They never subtract two large numbers, so equal
    /// targets have `target_squares` of exactly 0.
    fn merge(&mut self, before: f64, later: &Self, weight: f64) {
        self.squared_errors += later.squared_errors;
        self.absolute_errors += later.absolute_errors;
        if weight > 0.0 {
            let (shift, fraction) = (later.target_mean - self.target_mean, weight / (before + weight));
            self.target_mean += shift * fraction;
            self.target_squares += later.target_squares + shift * shift * before * fraction;
        }
    }
}

impl RegressionMetrics {
    /// Creates metrics without rows.
    pub fn new(outputs: usize) -> Self {
        Self { outputs: vec![OutputErrors::default(); outputs], ..Self::default() }
    }

    /// Creates the metrics of rows of a data set with all errors 0; [`RegressionMetrics::add_errors`] adds the errors.
    ///
    /// `None` if the targets are class ids.
    pub(crate) fn from_rows(data: &Dataset, rows: &[usize]) -> Result<Option<Self>> {
        let Targets::Values(values) = data.targets() else { return Ok(None) };
        let outputs = values.len() / data.rows();
        let targets: Vec<f32> =
            rows.iter().flat_map(|row| &values[row * outputs..(row + 1) * outputs]).copied().collect();
        let weights: Vec<f64> = rows.iter().map(|row| f64::from(data.sample_weight(*row))).collect();
        let (mut metrics, no_errors) = (Self::new(outputs), vec![0.0; outputs]);
        metrics.add(&targets, Some(&weights), &no_errors, &no_errors)?;
        Ok(Some(metrics))
    }

    /// Adds the targets of rows, and the sums of their errors. After an error the metrics are unchanged.
    ///
    /// # Shapes
    /// - `targets`: `[rows, outputs]`, row by row
    /// - `weights`: `[rows]`, the sample weights; `None` for weights of 1
    /// - `squared`: `[outputs]`, the sums of `w (y - t)^2` over the rows
    /// - `absolute`: `[outputs]`, the sums of `w |y - t|` over the rows
    ///
    /// # Errors
    /// - [`Error::Shape`](crate::Error::Shape) if an argument has the wrong number of values.
    /// - [`Error::NonFinite`](crate::Error::NonFinite) if a target is NaN or infinite.
    /// - [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a weight is negative, NaN or infinite.
    pub fn add(&mut self, targets: &[f32], weights: Option<&[f64]>, squared: &[f64], absolute: &[f64]) -> Result<()> {
        let outputs = self.outputs.len();
        let rows = targets.len() / outputs.max(1);
        check_len("targets", rows * outputs, targets.len())?;
        check_finite("targets", outputs, targets)?;
        check_len("sums of squared errors", outputs, squared.len())?;
        check_len("sums of absolute errors", outputs, absolute.len())?;
        if let Some(weights) = weights {
            check_len("sample weights", rows, weights.len())?;
            weights.iter().try_for_each(|weight| check_sample_weight(*weight))?;
        }
        for (row, row_targets) in targets.chunks_exact(outputs.max(1)).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[row]);
            for (output, target) in self.outputs.iter_mut().zip(row_targets) {
                let row_sums = OutputErrors { target_mean: f64::from(*target), ..OutputErrors::default() };
                output.merge(self.weight, &row_sums, weight);
            }
            self.weight += weight;
        }
        self.rows += rows;
        *self = std::mem::take(self).add_errors(squared, absolute);
        Ok(())
    }

    /// Adds the sums of errors of rows whose targets are already added.
    pub(crate) fn add_errors(mut self, squared: &[f64], absolute: &[f64]) -> Self {
        for (output, (squared, absolute)) in self.outputs.iter_mut().zip(squared.iter().zip(absolute)) {
            output.squared_errors += squared;
            output.absolute_errors += absolute;
        }
        self
    }

    /// Returns the number of outputs.
    pub const fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Returns the coefficient of determination r²: the mean of [`RegressionMetrics::r2_for_output`] over the outputs.
    #[doc(alias = "r2_score")]
    #[doc(alias = "R-squared")]
    pub fn r2(&self) -> f64 {
        self.mean_over_outputs(|output| self.output_r2(output))
    }

    /// Returns the coefficient of determination of one output: `1 - sum w (y - t)^2 / sum w (t - mean of t)^2`.
    ///
    /// It is 1 for perfect predictions, and 0 for predictions as good as always predicting the mean of the targets. If
    /// all targets are equal, it is 1 if every prediction is perfect, and 0 otherwise. It is NaN for fewer than 2 rows
    /// or a total sample weight of 0. `None` if `output` is not below the number of outputs.
    pub fn r2_for_output(&self, output: usize) -> Option<f64> {
        self.outputs.get(output).map(|output| self.output_r2(output))
    }

    /// Returns the mean of `(y - t)^2`; NaN if the total sample weight is 0.
    #[doc(alias = "mse")]
    pub fn mean_squared_error(&self) -> f64 {
        self.mean_over_outputs(|output| output.squared_errors / self.weight)
    }

    /// Returns the mean of `|y - t|`; NaN if the total sample weight is 0.
    #[doc(alias = "mae")]
    pub fn mean_absolute_error(&self) -> f64 {
        self.mean_over_outputs(|output| output.absolute_errors / self.weight)
    }

    /// Returns the mean over the outputs of the square root of the mean squared error; NaN if the total sample weight
    /// is 0.
    #[doc(alias = "rmse")]
    pub fn root_mean_squared_error(&self) -> f64 {
        self.mean_over_outputs(|output| (output.squared_errors / self.weight).sqrt())
    }

    fn mean_over_outputs(&self, score: impl Fn(&OutputErrors) -> f64) -> f64 {
        self.outputs.iter().map(score).sum::<f64>() / self.outputs.len() as f64
    }

    fn output_r2(&self, output: &OutputErrors) -> f64 {
        let OutputErrors { squared_errors, target_squares, .. } = *output;
        if squared_errors.is_nan() || self.rows < 2 || self.weight == 0.0 {
            f64::NAN
        } else if squared_errors == 0.0 {
            1.0
        } else if target_squares == 0.0 {
            0.0
        } else {
            1.0 - squared_errors / target_squares
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_targets_with_any_weights_have_an_r2_of_exactly_zero() {
        let targets = [0.1; 9];
        let weights: Vec<f64> = (0..9).map(|i| 0.1 + f64::from(i) / 7.0).collect();
        let mut at_once = RegressionMetrics::new(1);
        at_once.add(&targets, Some(&weights), &[0.5], &[0.5]).expect("valid rows");
        let mut in_chunks = RegressionMetrics::new(1);
        for weights in weights.chunks(4) {
            in_chunks.add(&targets[..weights.len()], Some(weights), &[0.125], &[0.125]).expect("valid rows");
        }
        assert_eq!([at_once.r2(), in_chunks.r2()], [0.0; 2]);
    }

    #[test]
    fn r2_of_targets_far_from_zero_is_accurate() {
        let mut metrics = RegressionMetrics::new(1);
        let targets: Vec<f32> = (0..1000).map(|i| 1e6 + (i % 2) as f32).collect();
        metrics.add(&targets, None, &[125.0], &[0.0]).expect("valid rows");
        assert!((metrics.r2() - 0.5).abs() < 1e-9, "{}", metrics.r2());
    }

    #[test]
    fn a_total_weight_of_zero_gives_nan() {
        let mut metrics = RegressionMetrics::new(2);
        assert!(metrics.r2().is_nan() && metrics.mean_squared_error().is_nan());
        metrics.add(&[1.0, 2.0, 3.0, 4.0], Some(&[0.0, 0.0]), &[0.0; 2], &[0.0; 2]).expect("valid rows");
        assert!(metrics.r2().is_nan() && metrics.mean_absolute_error().is_nan());
        assert_eq!((metrics.r2_for_output(2), metrics.outputs()), (None, 2));
    }

    #[test]
    fn nan_outputs_give_nan_even_for_equal_targets() {
        let mut metrics = RegressionMetrics::new(1);
        metrics.add(&[1.0, 1.0], None, &[f64::NAN], &[f64::NAN]).expect("valid rows");
        assert!(metrics.r2().is_nan() && metrics.root_mean_squared_error().is_nan());
    }

    #[test]
    fn wrong_lengths_and_invalid_values_return_an_error() {
        let mut metrics = RegressionMetrics::new(2);
        let mut add_error = |targets: &[f32], weights: &[f64], sums: &[f64]| {
            metrics.add(targets, Some(weights), sums, &[0.0; 2]).expect_err("an error").to_string()
        };
        assert_eq!(add_error(&[1.0; 3], &[1.0], &[0.0; 2]), "targets: expected 2 values, got 3");
        assert_eq!(add_error(&[1.0; 4], &[1.0], &[0.0; 2]), "sample weights: expected 2 values, got 1");
        assert_eq!(add_error(&[1.0; 2], &[1.0], &[0.0; 3]), "sums of squared errors: expected 2 values, got 3");
        let nan = "targets: row 0, column 1: expected a finite number, got NaN";
        assert_eq!(add_error(&[1.0, f32::NAN], &[1.0], &[0.0; 2]), nan);
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let text = format!("sample weight: expected a finite number >= 0, got {weight}");
            assert_eq!(add_error(&[1.0; 4], &[1.0, weight], &[0.0; 2]), text);
        }
        assert_eq!(metrics, RegressionMetrics::new(2), "an error leaves the metrics unchanged");
        assert!(RegressionMetrics::new(0).add(&[1.0], None, &[], &[]).is_err());
    }
}
