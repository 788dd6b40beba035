//! What a network's labels are worth, where a row may have several: scikit-learn's metrics of indicator matrices.

use crate::metrics::classification::{Average, ClassSums, average_scores};

/// What the rows weigh in which a network and its targets agree about labels.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelMetrics {
    /// Of each label what the rows weigh that have it, that are predicted to have it, and both.
    sums: Vec<LabelSums>,
    /// What the rows weigh whose labels are all right, and all rows.
    correct: f64,
    weight: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelSums {
    pub(crate) target: f64,
    pub(crate) predicted: f64,
    pub(crate) both: f64,
}

impl LabelMetrics {
    /// Of no row yet.
    pub(crate) fn new(labels: usize) -> Self {
        Self { sums: vec![LabelSums::default(); labels], ..Self::default() }
    }

    /// From sums over rows.
    pub(crate) const fn from_sums(sums: Vec<LabelSums>, right: f64, weight: f64) -> Self {
        Self { sums, correct: right, weight }
    }

    /// Adds a row: its outputs, each of which says yes above the threshold, and its targets.
    pub(crate) fn add_row(&mut self, y: &[f32], t: &[f32], threshold: f32, weight: f64) {
        let mut is_right = true;
        for (sums, (y, t)) in self.sums.iter_mut().zip(y.iter().zip(t)) {
            let (predicted, expected) = (*y > threshold, *t > 0.5);
            let of = |counts: bool| if counts { weight } else { 0.0 };
            sums.target += of(expected);
            sums.predicted += of(predicted);
            sums.both += of(expected && predicted);
            is_right &= expected == predicted;
        }
        self.correct += if is_right { weight } else { 0.0 };
        self.weight += weight;
    }

    /// The fraction of rows whose labels are all right.
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct / self.weight
    }

    /// The fraction of labels that are right, over all rows.
    pub(crate) fn label_accuracy(&self) -> f64 {
        let wrong: f64 = self.sums.iter().map(|sums| sums.target + sums.predicted - 2.0 * sums.both).sum();
        1.0 - wrong / (self.weight * self.sums.len() as f64)
    }

    /// A score of the labels; none of [`Average::Binary`], since there is no class 1.
    pub(crate) fn average_scores(&self, over: Average, score: fn(&ClassSums) -> f64) -> Option<f64> {
        let of = |label: &LabelSums| ClassSums {
            correct: label.both,
            target: label.target,
            predicted: label.predicted,
            is_present: true,
        };
        let sums: Vec<ClassSums> = self.sums.iter().map(of).collect();
        (over != Average::Binary).then(|| average_scores(&sums, over, score))
    }
}
