//! Metrics of multi-label targets, equal to those of scikit-learn for indicator matrices.

use crate::metrics::classification::{Average, ClassSums, average_scores};

/// Sums of sample weights, from which the multi-label metrics follow.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelMetrics {
    /// `[labels]`: the sums of each label.
    sums: Vec<LabelSums>,
    /// The total sample weight of the rows whose labels are all correct.
    correct: f64,
    /// The total sample weight of all rows.
    weight: f64,
}

/// The total sample weights of one label.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelSums {
    /// The weight of the rows whose target has the label.
    pub(crate) target: f64,
    /// The weight of the rows whose prediction has the label.
    pub(crate) predicted: f64,
    /// The weight of the rows whose target and prediction have the label.
    pub(crate) both: f64,
}

impl LabelMetrics {
    /// Creates metrics without rows.
    pub(crate) fn new(labels: usize) -> Self {
        Self { sums: vec![LabelSums::default(); labels], ..Self::default() }
    }

    /// Creates metrics from the sums of each label, the weight of the correct rows and the weight of all rows.
    pub(crate) const fn from_sums(sums: Vec<LabelSums>, correct: f64, weight: f64) -> Self {
        Self { sums, correct, weight }
    }

    /// Adds a row with outputs `y` and targets `t`. An output above `threshold` predicts its label.
    pub(crate) fn add_row(&mut self, y: &[f32], t: &[f32], threshold: f32, weight: f64) {
        let mut is_correct = true;
        for (sums, (y, t)) in self.sums.iter_mut().zip(y.iter().zip(t)) {
            let (is_predicted, is_target) = (*y > threshold, *t > 0.5);
            let weight_if = |condition: bool| if condition { weight } else { 0.0 };
            sums.target += weight_if(is_target);
            sums.predicted += weight_if(is_predicted);
            sums.both += weight_if(is_target && is_predicted);
            is_correct &= is_target == is_predicted;
        }
        self.correct += if is_correct { weight } else { 0.0 };
        self.weight += weight;
    }

    /// Returns the fraction of rows whose labels are all correct.
    pub(crate) fn accuracy(&self) -> f64 {
        self.correct / self.weight
    }

    /// Returns the fraction of correct labels over all rows.
    pub(crate) fn label_accuracy(&self) -> f64 {
        let incorrect: f64 = self.sums.iter().map(|sums| sums.target + sums.predicted - 2.0 * sums.both).sum();
        1.0 - incorrect / (self.weight * self.sums.len() as f64)
    }

    /// Returns the average of a score over the labels. `None` for [`Average::Binary`], because labels have no class 1.
    pub(crate) fn average_score(&self, average: Average, score: fn(&ClassSums) -> f64) -> Option<f64> {
        if average == Average::Binary {
            return None;
        }
        let class_sums = |label: &LabelSums| ClassSums {
            correct: label.both,
            target: label.target,
            predicted: label.predicted,
            is_present: true,
        };
        let sums: Vec<ClassSums> = self.sums.iter().map(class_sums).collect();
        Some(average_scores(&sums, average, score))
    }
}
