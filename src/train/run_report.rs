//! What training and evaluation tell.

/// What some steps brought, one entry each.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunReport {
    /// The loss of each step's batch, before its update: what the optimizer minimizes. Where rows have weights it is the sum of
    /// the rows' weighted losses over the number of rows, and not over the sum of the weights.
    pub losses: Vec<f32>,
    /// How many rows of each step's batch were answered rightly, before its update: one output on the right side of a
    /// half, or the largest of several where the largest is expected, or all of several that are labels
    /// ([`Metrics`](crate::metrics::Metrics) says when). Where rows have weights, the sum of the weights of these rows. Of no meaning in a
    /// regression.
    pub correct: Vec<f64>,
    /// How many rows each step's batch had.
    pub batch_sizes: Vec<u32>,
    /// The sum of the weights of each step's rows; empty where rows have no weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) batch_weights: Vec<f64>,
    /// Whether right answers mean something: the targets of all steps are classes or labels.
    pub(crate) is_classification: bool,
}

impl RunReport {
    /// The mean loss over all rows, `sum(w_i loss_i) / sum(w_i)` where rows have weights `w_i`: the same mean as that of an
    /// evaluation ([`Metrics::loss`](crate::metrics::Metrics::loss)), scikit-learn and Keras. NaN if there was no step, or if all of their
    /// rows weigh 0.
    pub fn mean_loss(&self) -> f64 {
        let sum: f64 = self.losses.iter().zip(&self.batch_sizes).map(|(l, n)| f64::from(*l) * f64::from(*n)).sum();
        if self.batch_weights.is_empty() {
            sum / self.rows() as f64
        } else {
            sum / self.batch_weights.iter().sum::<f64>()
        }
    }

    /// The sum of the weights of each step's rows; every row without a weight weighs 1.
    fn step_weights(&self) -> impl Iterator<Item = f64> + '_ {
        let rows = if self.batch_weights.is_empty() { self.batch_sizes.as_slice() } else { &[] };
        self.batch_weights.iter().copied().chain(rows.iter().map(|rows| f64::from(*rows)))
    }

    /// The fraction of all rows that were answered rightly, from 0 to 1; where rows have weights, the sum of the weights of those
    /// rows divided by the sum of all weights, as in an evaluation ([`Metrics::accuracy`](crate::metrics::Metrics::accuracy)). None in a
    /// regression, or if there was no step; NaN if all rows weigh 0. None of steps with batches of the caller, too, where a row has
    /// several labels, unless the trainer has a data set of such rows: [`Trainer::evaluate`](crate::train::Trainer::evaluate) has it.
    pub fn accuracy(&self) -> Option<f64> {
        let accuracy = || self.correct.iter().sum::<f64>() / self.step_weights().sum::<f64>();
        (self.is_classification && self.rows() > 0).then(accuracy)
    }

    /// How many rows all steps had together.
    pub fn rows(&self) -> u64 {
        self.batch_sizes.iter().map(|n| u64::from(*n)).sum()
    }

    /// Of no step yet.
    pub(crate) fn new(classifies: bool) -> Self {
        Self { is_classification: classifies, ..Self::default() }
    }

    /// Makes room for so many steps more.
    pub(crate) fn reserve(&mut self, steps: usize) {
        self.losses.reserve(steps);
        self.correct.reserve(steps);
        self.batch_sizes.reserve(steps);
    }

    /// Adds the steps of another report.
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

    /// Forgets all but the last steps.
    pub(crate) fn truncate_to_last(&mut self, steps: usize) {
        let before = self.losses.len().saturating_sub(steps);
        self.losses.drain(..before);
        self.correct.drain(..before);
        self.batch_sizes.drain(..before);
        self.batch_weights.drain(..before.min(self.batch_weights.len()));
    }

    pub(crate) fn push(&mut self, loss: f32, right: f64, rows: u32) {
        self.losses.push(loss);
        self.correct.push(right);
        self.batch_sizes.push(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_the_mean_by_the_weights_of_the_rows() {
        let mut report = RunReport::new(false);
        report.push(4.0, 0.0, 2);
        assert_eq!(report.mean_loss(), 4.0);
        // Two rows of weights 1 and 3 with losses 2 and 4: (2 + 12) / 2 rows is what the optimizer minimizes.
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
    fn an_accuracy_counts_each_row_by_its_weight() {
        let mut report = RunReport::new(true);
        report.push(1.0, 1.0, 2);
        assert_eq!(report.accuracy(), Some(0.5));
        // Rows of weights 1 and 3, the second of which is right.
        let mut weighted = RunReport::new(true);
        weighted.push(1.0, 3.0, 2);
        weighted.batch_weights.push(4.0);
        assert_eq!(weighted.accuracy(), Some(0.75));
        report.extend(&weighted);
        assert_eq!(report.accuracy(), Some(4.0 / 6.0));
        let mut weightless = RunReport::new(true);
        weightless.push(0.0, 0.0, 2);
        weightless.batch_weights.push(0.0);
        assert!(weightless.accuracy().is_some_and(f64::is_nan));
    }

    /// Reports of checkpoints that were saved when the counts were integers.
    #[test]
    fn counts_of_old_files_are_read() {
        let text = r#"{"losses":[0.5],"correct":[3],"batch_sizes":[4],"is_classification":true}"#;
        let report: RunReport = serde_json::from_str(text).expect("a report");
        assert_eq!((report.correct.as_slice(), report.accuracy()), (&[3.0][..], Some(0.75)));
    }

    #[test]
    fn the_last_steps_are_kept() {
        let mut report = RunReport::new(true);
        (0..5).for_each(|n| report.push(n as f32, f64::from(n), 10 * n));
        report.truncate_to_last(7);
        assert_eq!(report.batch_sizes.len(), 5);
        report.truncate_to_last(2);
        assert_eq!((report.losses, report.correct, report.batch_sizes), (vec![3.0, 4.0], vec![3.0, 4.0], vec![30, 40]));
    }
}
