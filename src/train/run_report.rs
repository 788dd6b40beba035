//! The report of training steps: their losses, correct rows and batch sizes.

/// The report of training steps, one entry per step.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunReport {
    /// The loss of each step, which the optimizer minimizes. It is computed before the update of the step.
    ///
    /// With sample weights it is the sum of the weighted losses divided by the number of rows, not by the sum of the
    /// weights.
    pub losses: Vec<f32>,
    /// The number of correct rows of each step, or the sum of their sample weights. It is counted before the update of
    /// the step.
    ///
    /// With one output, a row is correct if the output and the target are on the same side of
    /// [`Loss::decision_threshold`](crate::nn::Loss::decision_threshold). With several outputs, a row is correct if the
    /// maximum output and the maximum target have the same index. A row with several labels is correct if all labels
    /// are. For a regression the numbers have no meaning.
    pub correct: Vec<f64>,
    /// The number of rows of each step.
    pub batch_sizes: Vec<u32>,
    /// The sum of the sample weights of each step; empty without sample weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) batch_weights: Vec<f64>,
    /// Whether [`correct`](Self::correct) has a meaning: the targets of all steps are classes or labels.
    pub(crate) is_classification: bool,
}

impl RunReport {
    /// Returns the mean loss over all rows: `sum(w_i loss_i) / sum(w_i)` with sample weights `w_i`.
    ///
    /// [`Metrics::loss`](crate::metrics::Metrics::loss), scikit-learn and Keras use the same mean. It is NaN if there
    /// is no step, or if all sample weights are 0.
    pub fn mean_loss(&self) -> f64 {
        let batches = self.losses.iter().zip(&self.batch_sizes);
        let sum: f64 = batches.map(|(loss, rows)| f64::from(*loss) * f64::from(*rows)).sum();
        if self.batch_weights.is_empty() {
            sum / self.rows() as f64
        } else {
            sum / self.batch_weights.iter().sum::<f64>()
        }
    }

    /// Returns the sum of the sample weights of each step. Without sample weights every row has the weight 1.
    fn step_weights(&self) -> impl Iterator<Item = f64> + '_ {
        let rows = if self.batch_weights.is_empty() { self.batch_sizes.as_slice() } else { &[] };
        self.batch_weights.iter().copied().chain(rows.iter().map(|rows| f64::from(*rows)))
    }

    /// Returns the fraction of correct rows, from 0 to 1, like
    /// [`Metrics::accuracy`](crate::metrics::Metrics::accuracy).
    ///
    /// With sample weights it is the sum of the weights of the correct rows divided by the sum of all weights; NaN if
    /// all weights are 0. It is `None` for a regression, or if there is no step.
    ///
    /// It is also `None` for manual steps on rows with several labels, unless the trainer has a data set of such rows.
    /// Use [`Trainer::evaluate`](crate::train::Trainer::evaluate) instead.
    pub fn accuracy(&self) -> Option<f64> {
        let accuracy = || self.correct.iter().sum::<f64>() / self.step_weights().sum::<f64>();
        (self.is_classification && self.rows() > 0).then(accuracy)
    }

    /// Returns the number of rows of all steps.
    pub fn rows(&self) -> u64 {
        self.batch_sizes.iter().map(|rows| u64::from(*rows)).sum()
    }

    /// Creates an empty report.
    pub(crate) fn new(is_classification: bool) -> Self {
        Self { is_classification, ..Self::default() }
    }

    /// Reserves memory for `steps` more steps.
    pub(crate) fn reserve(&mut self, steps: usize) {
        self.losses.reserve(steps);
        self.correct.reserve(steps);
        self.batch_sizes.reserve(steps);
    }

    /// Appends the steps of another report.
    pub(crate) fn extend(&mut self, other: &Self) {
        if !other.losses.is_empty() {
            self.is_classification = other.is_classification && (self.losses.is_empty() || self.is_classification);
        }
        if !(self.batch_weights.is_empty() && other.batch_weights.is_empty()) {
            self.batch_weights = self.step_weights().chain(other.step_weights()).collect();
        }
        self.losses.extend(&other.losses);
        self.correct.extend(&other.correct);
        self.batch_sizes.extend(&other.batch_sizes);
    }

    /// Keeps only the last `steps` steps.
    pub(crate) fn truncate_to_last(&mut self, steps: usize) {
        let removed = self.losses.len().saturating_sub(steps);
        self.losses.drain(..removed);
        self.correct.drain(..removed);
        self.batch_sizes.drain(..removed);
        self.batch_weights.drain(..removed.min(self.batch_weights.len()));
    }

    /// Appends one step without sample weights.
    pub(crate) fn push(&mut self, loss: f32, correct: f64, rows: u32) {
        self.losses.push(loss);
        self.correct.push(correct);
        self.batch_sizes.push(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_loss_is_weighted_by_sample_weights() {
        let mut report = RunReport::new(false);
        report.push(4.0, 0.0, 2);
        assert_eq!(report.mean_loss(), 4.0);
        // Two rows with weights 1 and 3 and losses 2 and 4: the optimizer minimizes (2 + 12) / 2 rows.
        let mut weighted = RunReport::new(false);
        weighted.push(7.0, 0.0, 2);
        weighted.batch_weights.push(4.0);
        assert_eq!(weighted.mean_loss(), 14.0 / 4.0);
        report.extend(&weighted);
        assert_eq!((report.batch_weights.as_slice(), report.mean_loss()), (&[2.0, 4.0][..], 22.0 / 6.0));
        report.truncate_to_last(1);
        assert_eq!(report.mean_loss(), 14.0 / 4.0);
    }

    #[test]
    fn accuracy_is_weighted_by_sample_weights() {
        let mut report = RunReport::new(true);
        report.push(1.0, 1.0, 2);
        assert_eq!(report.accuracy(), Some(0.5));
        // Two rows with weights 1 and 3; the second is correct.
        let mut weighted = RunReport::new(true);
        weighted.push(1.0, 3.0, 2);
        weighted.batch_weights.push(4.0);
        assert_eq!(weighted.accuracy(), Some(0.75));
        report.extend(&weighted);
        assert_eq!(report.accuracy(), Some(4.0 / 6.0));
        let mut zero_weights = RunReport::new(true);
        zero_weights.push(0.0, 0.0, 2);
        zero_weights.batch_weights.push(0.0);
        assert!(zero_weights.accuracy().is_some_and(f64::is_nan));
    }

    /// Earlier versions stored the correct rows in checkpoints as integers.
    #[test]
    fn integer_counts_can_be_deserialized() {
        let text = r#"{"losses":[0.5],"correct":[3],"batch_sizes":[4],"is_classification":true}"#;
        let report: RunReport = serde_json::from_str(text).expect("a valid report");
        assert_eq!((report.correct.as_slice(), report.accuracy()), (&[3.0][..], Some(0.75)));
    }

    #[test]
    fn truncate_keeps_the_last_steps() {
        let mut report = RunReport::new(true);
        (0..5).for_each(|step| report.push(step as f32, f64::from(step), 10 * step));
        report.truncate_to_last(7);
        assert_eq!(report.batch_sizes.len(), 5);
        report.truncate_to_last(2);
        assert_eq!((report.losses, report.correct, report.batch_sizes), (vec![3.0, 4.0], vec![3.0, 4.0], vec![30, 40]));
    }
}
