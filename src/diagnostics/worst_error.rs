//! The worst error of the comparisons of a check.

use std::{fmt::Display, ops::RangeInclusive};

/// The comparison of a check with the largest error relative to its tolerance.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct WorstError {
    /// The name of the compared quantity; empty before the first comparison.
    pub(crate) quantity: String,
    /// The maximum difference, relative to the maximum absolute value of the reference.
    pub(crate) error: f64,
    pub(crate) tolerance: f64,
}

impl WorstError {
    /// Returns whether every comparison was within its tolerance, and there was at least one.
    pub(crate) fn passed(&self) -> bool {
        self.error_ratio() <= 1.0 && !self.quantity.is_empty()
    }

    /// Returns the error divided by the tolerance.
    pub(crate) fn error_ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.tolerance }
    }

    /// Compares values of the device with those of the reference.
    pub(crate) fn compare(&mut self, quantity: impl Display, actual: &[f32], reference: &[f64], tolerance: f64) {
        self.compare_with_floor(quantity, actual, reference, 1e-6, tolerance);
    }

    /// Like [`WorstError::compare`], but the errors are relative to a value that is at least `min_scale`.
    pub(crate) fn compare_with_floor(
        &mut self,
        quantity: impl Display,
        actual: &[f32],
        reference: &[f64],
        min_scale: f64,
        tolerance: f64,
    ) {
        let scale = reference.iter().fold(min_scale, |max: f64, value| max.max(value.abs()));
        let relative_error = |(actual, reference): (&f32, &f64)| {
            let error = (f64::from(*actual) - reference).abs() / scale;
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let error = actual.iter().zip(reference).map(relative_error).fold(0.0, f64::max);
        self.add(quantity, if actual.len() == reference.len() { error } else { f64::INFINITY }, tolerance);
    }

    /// Compares a count, or an f32 sum of weights, with its range.
    pub(crate) fn compare_count(&mut self, quantity: impl Display, actual: f64, range: RangeInclusive<f64>) {
        let (min, max) = range.into_inner();
        let error = (min - actual).max(actual - max);
        self.add(quantity, if error.is_nan() { f64::INFINITY } else { error.max(0.0) }, 1e-4 * max.max(1.0));
    }

    /// Compares values that must be equal. The error is the number of different values.
    pub(crate) fn compare_equal<T: PartialEq>(&mut self, quantity: impl Display, actual: &[T], expected: &[T]) {
        let different = actual.iter().zip(expected).filter(|(actual, expected)| actual != expected).count();
        self.add(quantity, (different + actual.len().abs_diff(expected.len())) as f64, 0.5);
    }

    fn add(&mut self, quantity: impl Display, error: f64, tolerance: f64) {
        let new = Self { quantity: String::new(), error, tolerance };
        if self.quantity.is_empty() || new.error_ratio() > self.error_ratio() {
            *self = Self { quantity: quantity.to_string(), ..new };
        }
    }
}
