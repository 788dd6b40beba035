//! How far the outputs of a network are from the values that were expected.

use crate::{
    data::dataset::{Dataset, Targets},
    error::{Result, check_finite, check_len},
    metrics::check_weight,
};

/// How far the outputs of a network are from the values that were expected, as scikit-learn has it: each metric is the
/// mean over the outputs, and each row counts by its weight `w`. `y` is what an output is, `t` what it should be.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegressionMetrics {
    rows: usize,
    /// The sum of the rows' weights.
    weight: f64,
    outputs: Vec<OutputErrors>,
}

/// Of one output, over all rows.
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
    /// Adds answers that weigh `weight` to those that weigh `before`, by Chan, Golub and LeVeque (1979): nothing large
    /// is taken from something large, and the spread of equal answers is 0 to the last bit.
    fn merge(&mut self, before: f64, later: &Self, weight: f64) {
        self.squared_errors += later.squared_errors;
        self.absolute_errors += later.absolute_errors;
        if weight > 0.0 {
            let (shift, share) = (later.target_mean - self.target_mean, weight / (before + weight));
            self.target_mean += shift * share;
            self.target_squares += later.target_squares + shift * shift * before * share;
        }
    }
}

impl RegressionMetrics {
    /// Of no row yet.
    pub fn new(outputs: usize) -> Self {
        Self { outputs: vec![OutputErrors::default(); outputs], ..Self::default() }
    }

    /// Of some rows of a data set, as if every output were right; none if its answers are classes.
    pub(crate) fn from_rows(data: &Dataset, rows: &[usize]) -> Result<Option<Self>> {
        let Targets::Values(values) = data.targets() else { return Ok(None) };
        let outputs = values.len() / data.rows();
        let answers: Vec<f32> =
            rows.iter().flat_map(|row| &values[row * outputs..(row + 1) * outputs]).copied().collect();
        let weights: Vec<f64> = rows.iter().map(|row| f64::from(data.sample_weight(*row))).collect();
        let (mut all, none) = (Self::new(outputs), vec![0.0; outputs]);
        all.add(&answers, Some(&weights), &none, &none)?;
        Ok(Some(all))
    }

    /// Adds rows by what they should be, and by the sums of how far they are from it.
    ///
    /// # Shapes
    /// - answers: `[rows, outputs]`, row by row
    /// - weights: `[rows]`, all 1 if there are none
    /// - squared: `[outputs]`, the sums of `w (y - t)^2` over the rows
    /// - absolute: `[outputs]`, the sums of `w |y - t|` over the rows
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if one is of another size, [`Error::NonFinite`](crate::Error::NonFinite) if
    /// an answer is not a finite number, [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a weight is negative or not a
    /// finite number; nothing is added then.
    pub fn add(&mut self, targets: &[f32], weights: Option<&[f64]>, squared: &[f64], absolute: &[f64]) -> Result<()> {
        let outputs = self.outputs.len();
        let rows = targets.len() / outputs.max(1);
        check_len("answers", rows * outputs, targets.len())?;
        check_finite("answers", outputs, targets)?;
        check_len("sums of squared errors", outputs, squared.len())?;
        check_len("sums of absolute errors", outputs, absolute.len())?;
        if let Some(weights) = weights {
            check_len("weights of the rows", rows, weights.len())?;
            weights.iter().try_for_each(|weight| check_weight(*weight))?;
        }
        for (row, answers) in targets.chunks_exact(outputs.max(1)).enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[row]);
            for (output, answer) in self.outputs.iter_mut().zip(answers) {
                let answer = OutputErrors { target_mean: f64::from(*answer), ..OutputErrors::default() };
                output.merge(self.weight, &answer, weight);
            }
            self.weight += weight;
        }
        self.rows += rows;
        *self = std::mem::take(self).add_errors(squared, absolute);
        Ok(())
    }

    /// With more errors, of rows that were added without.
    pub(crate) fn add_errors(mut self, squared: &[f64], absolute: &[f64]) -> Self {
        for (output, (squared, absolute)) in self.outputs.iter_mut().zip(squared.iter().zip(absolute)) {
            output.squared_errors += squared;
            output.absolute_errors += absolute;
        }
        self
    }

    /// How many outputs there are.
    pub const fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The coefficient of determination, the mean of [`RegressionMetrics::r2_for_output`] over the outputs.
    pub fn r2(&self) -> f64 {
        self.mean_over_outputs(|output| self.output_r2(output))
    }

    /// The coefficient of determination of one output, none if it is not there:
    /// `1 - sum w (y - t)^2 / sum w (t - mean of t)^2`. 1 is perfect, 0 no better than always telling the mean.
    ///
    /// Where all answers are the same it is 1 if every row is perfect, else 0. NaN if there are less than two rows, or
    /// none that weighs anything.
    pub fn r2_for_output(&self, output: usize) -> Option<f64> {
        self.outputs.get(output).map(|output| self.output_r2(output))
    }

    /// The mean of `(y - t)^2`; NaN if no row weighs anything, as all that follow.
    pub fn mean_squared_error(&self) -> f64 {
        self.mean_over_outputs(|output| output.squared_errors / self.weight)
    }

    /// The mean of `|y - t|`.
    pub fn mean_absolute_error(&self) -> f64 {
        self.mean_over_outputs(|output| output.absolute_errors / self.weight)
    }

    /// The mean over the outputs of the roots of their mean squared errors.
    pub fn root_mean_squared_error(&self) -> f64 {
        self.mean_over_outputs(|output| (output.squared_errors / self.weight).sqrt())
    }

    fn mean_over_outputs(&self, score: impl Fn(&OutputErrors) -> f64) -> f64 {
        self.outputs.iter().map(score).sum::<f64>() / self.outputs.len() as f64
    }

    fn output_r2(&self, output: &OutputErrors) -> f64 {
        match (output.squared_errors, output.target_squares) {
            (squared, _) if squared.is_nan() || self.rows < 2 || self.weight == 0.0 => f64::NAN,
            (0.0, _) => 1.0,
            (_, 0.0) => 0.0,
            (squared, spread) => 1.0 - squared / spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_equal_answers_is_zero_whatever_they_weigh() {
        let answers = [0.1; 9];
        let weights: Vec<f64> = (0..9).map(|i| 0.1 + f64::from(i) / 7.0).collect();
        let mut whole = RegressionMetrics::new(1);
        whole.add(&answers, Some(&weights), &[0.5], &[0.5]).expect("they are rows");
        let mut parts = RegressionMetrics::new(1);
        for weights in weights.chunks(4) {
            parts.add(&answers[..weights.len()], Some(weights), &[0.125], &[0.125]).expect("they are rows");
        }
        assert_eq!([whole.r2(), parts.r2()], [0.0; 2]);
    }

    #[test]
    fn what_is_far_from_zero_keeps_its_spread() {
        let mut far = RegressionMetrics::new(1);
        let answers: Vec<f32> = (0..1000).map(|i| 1e6 + (i % 2) as f32).collect();
        far.add(&answers, None, &[125.0], &[0.0]).expect("they are rows");
        assert!((far.r2() - 0.5).abs() < 1e-9, "{}", far.r2());
    }

    #[test]
    fn without_a_weight_nothing_is_known() {
        let mut nothing = RegressionMetrics::new(2);
        assert!(nothing.r2().is_nan() && nothing.mean_squared_error().is_nan());
        nothing.add(&[1.0, 2.0, 3.0, 4.0], Some(&[0.0, 0.0]), &[0.0; 2], &[0.0; 2]).expect("they are rows");
        assert!(nothing.r2().is_nan() && nothing.mean_absolute_error().is_nan());
        assert_eq!((nothing.r2_for_output(2), nothing.outputs()), (None, 2));
    }

    #[test]
    fn outputs_that_are_nan_are_not_hidden_by_equal_answers() {
        let mut lost = RegressionMetrics::new(1);
        lost.add(&[1.0, 1.0], None, &[f64::NAN], &[f64::NAN]).expect("they are rows");
        assert!(lost.r2().is_nan() && lost.root_mean_squared_error().is_nan());
    }

    #[test]
    fn other_sizes_and_what_is_no_weight_are_refused() {
        let mut regression = RegressionMetrics::new(2);
        let mut refusal = |answers: &[f32], weights: &[f64], sums: &[f64]| {
            regression.add(answers, Some(weights), sums, &[0.0; 2]).expect_err("it has to be refused").to_string()
        };
        assert_eq!(refusal(&[1.0; 3], &[1.0], &[0.0; 2]), "answers: expected 2 values, got 3");
        assert_eq!(refusal(&[1.0; 4], &[1.0], &[0.0; 2]), "weights of the rows: expected 2 values, got 1");
        assert_eq!(refusal(&[1.0; 2], &[1.0], &[0.0; 3]), "sums of squared errors: expected 2 values, got 3");
        let nan = "answers: row 0, column 1: expected a finite number, got NaN";
        assert_eq!(refusal(&[1.0, f32::NAN], &[1.0], &[0.0; 2]), nan);
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let text = format!("weight of a row: expected a finite number, at least 0, got {weight}");
            assert_eq!(refusal(&[1.0; 4], &[1.0, weight], &[0.0; 2]), text);
        }
        assert_eq!(regression, RegressionMetrics::new(2), "nothing was added");
        assert!(RegressionMetrics::new(0).add(&[1.0], None, &[], &[]).is_err());
    }
}
