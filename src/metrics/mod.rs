//! Metrics of a network on a data set, computed in f64.
//!
//! On a GPU, the device computes these sums for populations, so that their outputs stay on the device. The host computes
//! the metrics of a single network from its outputs.

pub(crate) mod checks;
pub(crate) mod classification;
pub(crate) mod labels;
pub(crate) mod regression;
pub(crate) mod row_metrics;
#[cfg(test)]
mod tests;

pub use classification::{Average, ConfusionMatrix};
pub use regression::RegressionMetrics;

use crate::{
    error::Result,
    metrics::{
        checks::{check_class, check_sample_weight},
        classification::ClassSums,
        labels::{LabelMetrics, LabelSums},
    },
    nn::task::Task,
};

/// The metrics of a network on a data set: its loss, and the classification or regression metrics of its predictions.
///
/// Every row counts by its sample weight, which is 1 without sample weights. A metric that does not apply is `None`,
/// for example r² for classes, or accuracy for values.
///
/// The loss and the targets decide which metrics apply:
///
/// | targets | loss and outputs | metrics |
/// |---|---|---|
/// | class ids | any | classification |
/// | values; each row has one largest value | softmax losses | classification |
/// | 0 and 1; one output, or exactly one 1 per row | binary cross-entropy, hinge, or any loss with sigmoid outputs | classification |
/// | 0 and 1; any number of ones per row | binary cross-entropy or hinge, with several outputs | multi-label |
/// | other values | any | regression only |
///
/// Multi-label metrics equal those of scikit-learn for indicator matrices:
///
/// - [`Metrics::accuracy`] is the fraction of rows whose labels are all correct.
/// - [`Metrics::label_accuracy`] is the fraction of correct labels.
/// - Precision, recall and F1 are averages over the labels. There is no confusion matrix.
///
/// An output above [`Loss::decision_threshold`](crate::nn::Loss::decision_threshold) predicts its label. Rows without
/// labels count like other rows. If the training set has a row with several labels, the targets of all rows are labels.
#[doc(alias = "classification_report")]
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The sum of the losses of the rows, each multiplied by its sample weight.
    #[serde(with = "crate::util::number")]
    loss: f64,
    /// The total sample weight of all rows.
    weight: f64,
    /// The total sample weight of the correct rows. `None` if the confusion matrix or the labels have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correct: Option<f64>,
    /// The sums of the labels, for multi-label targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<LabelMetrics>,
    confusion_matrix: Option<ConfusionMatrix>,
    /// `[classes]`: the total sample weight of the rows whose target class has this [`rank`](classification::rank).
    rank_weights: Vec<f64>,
    regression: Option<RegressionMetrics>,
}

impl Metrics {
    /// Returns the mean loss; NaN if the total sample weight is 0.
    pub fn loss(&self) -> f64 {
        self.loss / self.weight
    }

    /// Returns the confusion matrix of the target and predicted classes.
    ///
    /// `None` for multi-label targets, and for a [`Population`](crate::population::Population) that is evaluated on a
    /// GPU, which only sums the weights of the correct rows.
    pub const fn confusion_matrix(&self) -> Option<&ConfusionMatrix> {
        self.confusion_matrix.as_ref()
    }

    /// Returns the regression metrics. `None` if the targets are class ids.
    pub const fn regression(&self) -> Option<&RegressionMetrics> {
        self.regression.as_ref()
    }

    /// Returns the fraction of the sample weights of correct rows, or the subset accuracy of multi-label targets.
    ///
    /// Subset accuracy is the fraction of rows whose labels are all correct, as scikit-learn's `accuracy_score`
    /// computes it.
    #[doc(alias = "accuracy_score")]
    #[doc(alias = "subset_accuracy")]
    pub fn accuracy(&self) -> Option<f64> {
        if let Some(labels) = &self.labels {
            return Some(labels.accuracy());
        }
        match self.correct {
            Some(correct) => Some(correct / self.weight),
            None => self.confusion_matrix().map(ConfusionMatrix::accuracy),
        }
    }

    /// Returns the fraction of correct labels over all rows, in [0, 1]: `1 - hamming_loss` of scikit-learn.
    ///
    /// `None` unless the targets are multi-label; NaN if the total sample weight is 0.
    #[doc(alias = "hamming_loss")]
    pub fn label_accuracy(&self) -> Option<f64> {
        self.labels.as_ref().map(LabelMetrics::label_accuracy)
    }

    /// Returns [`ConfusionMatrix::balanced_accuracy`].
    #[doc(alias = "balanced_accuracy_score")]
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.confusion_matrix().map(ConfusionMatrix::balanced_accuracy)
    }

    /// Returns the fraction of rows whose target class has one of the `k` largest outputs, in [0, 1].
    ///
    /// NaN if the total sample weight is 0. Among equal outputs, the last one ranks first, as in scikit-learn's
    /// `top_k_accuracy_score`, but [`Metrics::accuracy`] takes the first one. With equal outputs, the top-1 accuracy
    /// may therefore differ from the accuracy.
    #[doc(alias = "top_k_accuracy_score")]
    pub fn top_k_accuracy(&self, k: usize) -> Option<f64> {
        let sum = |weights: &[f64]| weights.iter().fold(0.0, |sum, weight| sum + weight);
        let top_weights = &self.rank_weights[..k.min(self.rank_weights.len())];
        self.confusion_matrix().map(|_| sum(top_weights) / sum(&self.rank_weights))
    }

    /// Returns [`ConfusionMatrix::precision`], or the precision of multi-label targets.
    ///
    /// `None` for [`Average::Binary`] with multi-label targets.
    #[doc(alias = "precision_score")]
    pub fn precision(&self, average: Average) -> Option<f64> {
        self.average_score(average, ClassSums::precision)
    }

    /// Returns [`ConfusionMatrix::recall`], or the recall of multi-label targets.
    ///
    /// `None` for [`Average::Binary`] with multi-label targets.
    #[doc(alias = "recall_score")]
    pub fn recall(&self, average: Average) -> Option<f64> {
        self.average_score(average, ClassSums::recall)
    }

    /// Returns [`ConfusionMatrix::f1`], or the F1 score of multi-label targets.
    ///
    /// `None` for [`Average::Binary`] with multi-label targets.
    #[doc(alias = "f1_score")]
    pub fn f1(&self, average: Average) -> Option<f64> {
        self.average_score(average, ClassSums::f1)
    }

    fn average_score(&self, average: Average, score: fn(&ClassSums) -> f64) -> Option<f64> {
        match (&self.labels, &self.confusion_matrix) {
            (Some(labels), _) => labels.average_score(average, score),
            (None, Some(confusion)) => Some(confusion.average_score(average, score)),
            (None, None) => None,
        }
    }

    /// Returns [`RegressionMetrics::r2`].
    #[doc(alias = "r2_score")]
    pub fn r2(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::r2)
    }

    /// Returns [`RegressionMetrics::mean_squared_error`].
    #[doc(alias = "mse")]
    pub fn mean_squared_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::mean_squared_error)
    }

    /// Returns [`RegressionMetrics::mean_absolute_error`].
    #[doc(alias = "mae")]
    pub fn mean_absolute_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::mean_absolute_error)
    }

    /// Returns [`RegressionMetrics::root_mean_squared_error`].
    #[doc(alias = "rmse")]
    pub fn root_mean_squared_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::root_mean_squared_error)
    }
}

/// The sums that a device computes over rows: the output of `shaders/metrics/evaluation_sums.wgsl`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricSums {
    /// The sum of the losses of the rows, each multiplied by its sample weight.
    loss: f64,
    /// The total sample weight of the correct rows.
    correct: f64,
    /// The total sample weight of all rows.
    weight: f64,
    /// `[outputs]`: the weighted sums of squared errors.
    squared_errors: Vec<f64>,
    /// `[outputs]`: the weighted sums of absolute errors.
    absolute_errors: Vec<f64>,
    /// `[labels]`: the sums of each label; empty unless the targets are multi-label.
    label_sums: Vec<LabelSums>,
}

impl MetricSums {
    /// Reads the sums of a network with `outputs` outputs from the layout of the device.
    ///
    /// The layout is loss, correct weight, total weight and one unused value. Then follow, for every 4 outputs, 4
    /// squared and 4 absolute errors. With multi-label targets, 12 values follow for every 4 outputs: the `target`,
    /// `predicted` and `both` sums of [`LabelSums`].
    pub(crate) fn new(values: &[f32], outputs: usize, is_multi_label: bool) -> Self {
        const HEADER_VALUES: usize = 4;
        let [loss, correct, weight] = [values[0], values[1], values[2]].map(f64::from);
        let values_per_vec4 = if is_multi_label { 20 } else { 8 };
        let vec4s = (values.len() - HEADER_VALUES) / values_per_vec4;
        let (errors, labels) = values[HEADER_VALUES..].split_at(8 * vec4s);
        // Every 4 outputs have `quantities` vec4s, one after the other.
        let select = |values: &[f32], quantities: usize, quantity: usize| -> Vec<f64> {
            let of_quantity = values.chunks_exact(4 * quantities).flat_map(|chunk| &chunk[4 * quantity..][..4]);
            of_quantity.take(outputs).map(|value| f64::from(*value)).collect()
        };
        let [targets, predicted, both] = [0, 1, 2].map(|quantity| select(labels, 3, quantity));
        let label_sums = |((target, predicted), both)| LabelSums { target, predicted, both };
        Self {
            loss,
            correct,
            weight,
            squared_errors: select(errors, 2, 0),
            absolute_errors: select(errors, 2, 1),
            label_sums: targets.into_iter().zip(predicted).zip(both).map(label_sums).collect(),
        }
    }
}

/// Accumulation of rows, in any number of calls.
impl Metrics {
    /// Creates metrics without rows: of `classes` classes, of `outputs` values, or of both.
    pub(crate) fn new(classes: Option<usize>, outputs: Option<usize>) -> Self {
        Self {
            confusion_matrix: classes.map(ConfusionMatrix::new),
            rank_weights: vec![0.0; classes.unwrap_or(0)],
            regression: outputs.map(RegressionMetrics::new),
            ..Self::default()
        }
    }

    /// Adds multi-label metrics, with one label per output.
    pub(crate) fn with_labels(self, labels: usize) -> Self {
        Self { labels: Some(LabelMetrics::new(labels)), ..self }
    }

    /// Adds the labels of a row with outputs `y` and targets `t`; does nothing unless the targets are multi-label.
    pub(crate) fn add_labels(&mut self, y: &[f32], t: &[f32], threshold: f32, weight: f64) {
        if let Some(labels) = &mut self.labels {
            labels.add_row(y, t, threshold, weight);
        }
    }

    /// Creates the metrics from the sums that a device computed.
    ///
    /// The loss of a row is the mean over `mean_divisor` values. `targets` are the statistics of the targets, if they
    /// are values.
    pub(crate) fn from_sums(
        sums: &MetricSums,
        mean_divisor: usize,
        task: Task,
        targets: Option<&RegressionMetrics>,
    ) -> Self {
        let MetricSums { loss, correct, weight, .. } = *sums;
        let regression = targets.map(|targets| targets.clone().add_errors(&sums.squared_errors, &sums.absolute_errors));
        let (correct, labels) = match task {
            Task::Classification => (Some(correct), None),
            Task::MultiLabel => (None, Some(LabelMetrics::from_sums(sums.label_sums.clone(), correct, weight))),
            Task::Regression => (None, None),
        };
        Self { loss: loss / mean_divisor as f64, weight, correct, labels, regression, ..Self::default() }
    }

    /// Adds a row of a classification.
    ///
    /// `rank` is the [`rank`](classification::rank) of the target class. With a single output it is 0 if the prediction
    /// is correct, and 1 otherwise.
    pub(crate) fn add_row(&mut self, target: u32, predicted: u32, rank: u32, loss: f32, weight: f64) -> Result<()> {
        if let Some(confusion) = &mut self.confusion_matrix {
            check_class("rank of the target class", rank, confusion.class_count())?;
            confusion.add(target, predicted, weight)?;
            self.rank_weights[rank as usize] += weight;
        }
        self.add_loss(f64::from(loss) * weight, weight)
    }

    /// Adds the loss of rows that are not added by [`Metrics::add_row`]: the weighted sum of their losses, and their
    /// total sample weight.
    pub(crate) fn add_loss(&mut self, loss: f64, weight: f64) -> Result<()> {
        check_sample_weight(weight)?;
        self.loss += loss;
        self.weight += weight;
        Ok(())
    }

    /// Adds the targets and errors of rows, as [`RegressionMetrics::add`] does; does nothing for class ids.
    pub(crate) fn add_outputs(
        &mut self,
        targets: &[f32],
        weights: Option<&[f64]>,
        squared: &[f64],
        absolute: &[f64],
    ) -> Result<()> {
        self.regression.as_mut().map_or(Ok(()), |regression| regression.add(targets, weights, squared, absolute))
    }
}
