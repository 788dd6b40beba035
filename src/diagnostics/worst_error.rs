//! What the comparisons of a check came to.

use std::fmt::Display;

/// The worst of what a check has compared: what lies furthest from the reference, in units of what is let through.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct WorstError {
    pub(crate) quantity: String,
    /// The largest difference, in units of the reference's largest entry.
    pub(crate) error: f64,
    pub(crate) tolerance: f64,
}

impl WorstError {
    /// Whether everything was within its tolerance, and anything was compared at all.
    pub(crate) fn passed(&self) -> bool {
        self.error_ratio() <= 1.0 && !self.quantity.is_empty()
    }

    /// The error in units of the tolerance.
    pub(crate) fn error_ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.tolerance }
    }

    /// Compares numbers with those of the reference.
    pub(crate) fn compare(&mut self, what: impl Display, ours: &[f32], theirs: &[f64], tolerance: f64) {
        self.compare_with_floor(what, ours, theirs, 1e-6, tolerance);
    }

    /// The same where the largest entry counts as no smaller than `least`.
    pub(crate) fn compare_with_floor(
        &mut self,
        what: impl Display,
        ours: &[f32],
        theirs: &[f64],
        min: f64,
        tolerance: f64,
    ) {
        let largest = theirs.iter().fold(min, |most: f64, v| most.max(v.abs()));
        let far = |(ours, theirs): (&f32, &f64)| {
            let error = (f64::from(*ours) - theirs).abs() / largest;
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let error = ours.iter().zip(theirs).map(far).fold(0.0, f64::max);
        self.add(what, if ours.len() == theirs.len() { error } else { f64::INFINITY }, tolerance);
    }

    /// Counts, or sums of weights in f32, that may be no other than from `least` to `most`.
    pub(crate) fn compare_count(&mut self, what: impl Display, ours: f64, min: f64, max: f64) {
        let beyond = (min - ours).max(ours - max);
        self.add(what, if beyond.is_nan() { f64::INFINITY } else { beyond.max(0.0) }, 1e-4 * max.max(1.0));
    }

    /// What has to be the same to the last bit.
    pub(crate) fn compare_equal<T: PartialEq>(&mut self, what: impl Display, ours: &[T], theirs: &[T]) {
        let differ = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count();
        self.add(what, (differ + ours.len().abs_diff(theirs.len())) as f64, 0.5);
    }

    fn add(&mut self, what: impl Display, error: f64, tolerance: f64) {
        let found = Self { quantity: String::new(), error, tolerance };
        if self.quantity.is_empty() || found.error_ratio() > self.error_ratio() {
            *self = Self { quantity: what.to_string(), ..found };
        }
    }
}
