//! How good a network is on a data set, in 64 bits, from the few facts a row or an output that a device has found: the
//! outputs themselves need not come back.

pub(crate) mod classification;
pub(crate) mod labels;
pub(crate) mod regression;
pub(crate) mod row_metrics;

use crate::metrics::{
    classification::ClassSums,
    labels::{LabelMetrics, LabelSums},
};
pub use classification::{Average, ConfusionMatrix};
pub use regression::RegressionMetrics;

use crate::{
    error::{Error, Result},
    nn::task::Task,
};

/// How good a network is on a data set: its loss, and what its answers are worth. Every row counts by its weight, which
/// is 1 where it has none.
///
/// What has no meaning for a network is none: r² where it tells classes, an accuracy where it tells values.
///
/// The loss and the targets decide what there is:
///
/// | targets | loss and outputs | metrics |
/// |---|---|---|
/// | class ids | any | of classes |
/// | values, each row with one largest | softmax losses | of classes |
/// | 0 and 1, one output or exactly one 1 in each row | binary cross-entropy, hinge; sigmoid outputs under any loss | of classes |
/// | 0 and 1, any number of ones in a row | binary cross-entropy, hinge; several outputs | of labels |
/// | other values | any | of values alone |
///
/// Metrics of labels are those of scikit-learn for indicator matrices: [`Metrics::accuracy`] is the fraction of the rows
/// whose labels are all right, [`Metrics::label_accuracy`] that of the labels; precision, recall and f1 have averages over
/// the labels, and there is no confusion matrix. An output says yes above [`Loss::decision_threshold`](crate::nn::Loss::decision_threshold). Rows
/// without a label among labels count as any other. Where the training set has rows with several labels, all rows are labels.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The sum of the rows' losses, by their weights.
    #[serde(with = "crate::util::number")]
    loss: f64,
    /// The sum of the rows' weights.
    weight: f64,
    /// What the rows weigh that were answered rightly, where that alone was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correct: Option<f64>,
    /// Where a row may have several labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<LabelMetrics>,
    confusion_matrix: Option<ConfusionMatrix>,
    /// `[classes]`: what the rows weigh whose expected class has this rank.
    rank_weights: Vec<f64>,
    regression: Option<RegressionMetrics>,
}

impl Metrics {
    /// The mean loss; NaN if no row weighs anything.
    pub fn loss(&self) -> f64 {
        self.loss / self.weight
    }

    /// Which classes were expected and which predicted; none where the networks of a [`crate::population::Population`] were judged on a
    /// GPU, where right answers are counted alone, and where a row may have several labels.
    pub const fn confusion_matrix(&self) -> Option<&ConfusionMatrix> {
        self.confusion_matrix.as_ref()
    }

    /// How far the outputs are from the answers.
    pub const fn regression(&self) -> Option<&RegressionMetrics> {
        self.regression.as_ref()
    }

    /// As [`ConfusionMatrix::accuracy`]. Where a row may have several labels, the fraction of the rows whose labels are all right
    /// (scikit-learn's `accuracy_score`, subset accuracy).
    pub fn accuracy(&self) -> Option<f64> {
        if let Some(labels) = &self.labels {
            return Some(labels.accuracy());
        }
        self.correct.map(|right| right / self.weight).or_else(|| self.confusion_matrix().map(ConfusionMatrix::accuracy))
    }

    /// The fraction of the labels of all rows that are right, from 0 to 1: `1 - hamming_loss` of scikit-learn. None unless a row
    /// may have several labels; NaN if no row weighs anything.
    pub fn label_accuracy(&self) -> Option<f64> {
        self.labels.as_ref().map(LabelMetrics::label_accuracy)
    }

    /// As [`ConfusionMatrix::balanced_accuracy`].
    pub fn balanced_accuracy(&self) -> Option<f64> {
        self.confusion_matrix().map(ConfusionMatrix::balanced_accuracy)
    }

    /// The share of the rows whose expected class has one of the `k` largest outputs, from 0 to 1; NaN if no row weighs
    /// anything.
    ///
    /// Of equal outputs the last comes first here, as in scikit-learn, and the first in [`Metrics::accuracy`]: where
    /// outputs are equal the top 1 may differ from it.
    pub fn top_k_accuracy(&self, k: usize) -> Option<f64> {
        let within = |ranks: &[f64]| ranks.iter().fold(0.0, |sum, weight| sum + weight);
        let top = &self.rank_weights[..k.min(self.rank_weights.len())];
        self.confusion_matrix().map(|_| within(top) / within(&self.rank_weights))
    }

    /// As [`ConfusionMatrix::precision`], or the same of labels, of which there is no [`Average::Binary`].
    pub fn precision(&self, average: Average) -> Option<f64> {
        let of_labels = |labels: &LabelMetrics| labels.average_scores(average, ClassSums::precision);
        self.labels
            .as_ref()
            .map_or_else(|| self.confusion_matrix().map(|confusion| confusion.precision(average)), of_labels)
    }

    /// As [`ConfusionMatrix::recall`], or the same of labels, of which there is no [`Average::Binary`].
    pub fn recall(&self, average: Average) -> Option<f64> {
        let of_labels = |labels: &LabelMetrics| labels.average_scores(average, ClassSums::recall);
        self.labels
            .as_ref()
            .map_or_else(|| self.confusion_matrix().map(|confusion| confusion.recall(average)), of_labels)
    }

    /// As [`ConfusionMatrix::f1`], or the same of labels, of which there is no [`Average::Binary`].
    pub fn f1(&self, average: Average) -> Option<f64> {
        let of_labels = |labels: &LabelMetrics| labels.average_scores(average, ClassSums::f1);
        self.labels.as_ref().map_or_else(|| self.confusion_matrix().map(|confusion| confusion.f1(average)), of_labels)
    }

    /// As [`RegressionMetrics::r2`].
    pub fn r2(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::r2)
    }

    /// As [`RegressionMetrics::mean_squared_error`].
    pub fn mean_squared_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::mean_squared_error)
    }

    /// As [`RegressionMetrics::mean_absolute_error`].
    pub fn mean_absolute_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::mean_absolute_error)
    }

    /// As [`RegressionMetrics::root_mean_squared_error`].
    pub fn root_mean_squared_error(&self) -> Option<f64> {
        self.regression().map(RegressionMetrics::root_mean_squared_error)
    }
}

/// What a device has added up about a network's outputs for some rows: `shaders/metrics/evaluation_sums.wgsl`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricSums {
    /// The sum of the rows' losses, by their weights.
    loss: f64,
    /// What the rows weigh that were answered rightly, and all of them.
    correct: f64,
    weight: f64,
    /// Of each output that is a value, the errors.
    squared_errors: Vec<f64>,
    absolute_errors: Vec<f64>,
    /// Of each label, where the outputs are labels.
    label_sums: Vec<LabelSums>,
}

impl MetricSums {
    /// As they lie on the device, for so many outputs, which may be labels.
    pub(crate) fn new(numbers: &[f32], outputs: usize, is_multi_label: bool) -> Self {
        let [loss, right, weight] = [numbers[0], numbers[1], numbers[2]].map(f64::from);
        // Behind the errors of values lie the sums of labels, which only values have.
        let fours = (numbers.len() - 4) / if is_multi_label { 20 } else { 8 };
        let (errors, labels) = numbers[4..].split_at(8 * fours);
        // Four outputs' numbers of one kind lie before those of the next.
        let of = |numbers: &[f32], kinds: usize, kind: usize| -> Vec<f64> {
            let of_kind = numbers.chunks_exact(4 * kinds).flat_map(|all| &all[4 * kind..][..4]);
            of_kind.take(outputs).map(|number| f64::from(*number)).collect()
        };
        let [expected, predicted, both] = [0, 1, 2].map(|kind| of(labels, 3, kind));
        let sums = |((expected, predicted), both)| LabelSums { target: expected, predicted, both };
        let labels = expected.into_iter().zip(predicted).zip(both).map(sums).collect();
        Self {
            loss,
            correct: right,
            weight,
            squared_errors: of(errors, 2, 0),
            absolute_errors: of(errors, 2, 1),
            label_sums: labels,
        }
    }
}

/// How they are gathered: rows, or outputs of many rows, in any number of calls.
impl Metrics {
    /// Of no row yet: of a network that tells `classes`, or of one whose `outputs` are values, or of both.
    pub(crate) fn new(classes: Option<usize>, outputs: Option<usize>) -> Self {
        Self {
            confusion_matrix: classes.map(ConfusionMatrix::new),
            rank_weights: vec![0.0; classes.unwrap_or(0)],
            regression: outputs.map(RegressionMetrics::new),
            ..Self::default()
        }
    }

    /// The same of a network each of whose outputs is a label.
    pub(crate) fn with_labels(self, labels: usize) -> Self {
        Self { labels: Some(LabelMetrics::new(labels)), ..self }
    }

    /// Adds the labels of a row, if there are any: its outputs, the threshold above which they say yes, and its targets.
    pub(crate) fn add_labels(&mut self, y: &[f32], t: &[f32], threshold: f32, weight: f64) {
        if let Some(labels) = &mut self.labels {
            labels.add_row(y, t, threshold, weight);
        }
    }

    /// From a score of a network on rows, whose answers, if they are values, are these. The mean of a row's loss goes over
    /// so many numbers.
    pub(crate) fn from_sums(
        score: &MetricSums,
        mean_over: usize,
        task: Task,
        targets: Option<&RegressionMetrics>,
    ) -> Self {
        let MetricSums { loss, correct: right, weight, .. } = *score;
        let loss = loss / mean_over as f64;
        let regression =
            targets.map(|answers| answers.clone().add_errors(&score.squared_errors, &score.absolute_errors));
        let labels =
            (task == Task::MultiLabel).then(|| LabelMetrics::from_sums(score.label_sums.clone(), right, weight));
        let right = (task == Task::Classification).then_some(right);
        Self { loss, weight, correct: right, labels, regression, ..Self::default() }
    }

    /// Adds a row of a network that tells classes. `rank` is that of the expected class, as [`rank`] finds it; of a
    /// single output it is 0 where the prediction is right, else 1.
    pub(crate) fn add_row(&mut self, target: u32, predicted: u32, rank: u32, loss: f32, weight: f64) -> Result<()> {
        if let Some(confusion) = &mut self.confusion_matrix {
            check_class("rank of the expected class", rank, confusion.class_count())?;
            confusion.add(target, predicted, weight)?;
            self.rank_weights[rank as usize] += weight;
        }
        self.add_loss(f64::from(loss) * weight, weight)
    }

    /// Adds the loss of rows that [`Metrics::add_row`] does not see: the sum of their losses by their weights, and the sum
    /// of their weights.
    pub(crate) fn add_loss(&mut self, loss: f64, weight: f64) -> Result<()> {
        check_weight(weight)?;
        self.loss += loss;
        self.weight += weight;
        Ok(())
    }

    /// Adds the outputs of rows, as [`RegressionMetrics::add`] does.
    pub(crate) fn add_outputs(
        &mut self,
        answers: &[f32],
        weights: Option<&[f64]>,
        squared: &[f64],
        absolute: &[f64],
    ) -> Result<()> {
        self.regression.as_mut().map_or(Ok(()), |regression| regression.add(answers, weights, squared, absolute))
    }
}

/// `Ok` for what a row may weigh.
fn check_weight(weight: f64) -> Result<()> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    let expected = "a finite number, at least 0".to_owned();
    Err(Error::InvalidSetting { name: "weight of a row", expected, got: weight.to_string() })
}

/// `Ok` if `class` is one of `classes`.
fn check_class(what: &'static str, class: u32, classes: usize) -> Result<()> {
    if (class as usize) < classes {
        return Ok(());
    }
    Err(Error::InvalidSetting { name: what, expected: format!("less than {classes}"), got: class.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::metrics::classification::{argmax, rank};

    /// How far 64 bits may be from scikit-learn's, relative to 1 or to what is larger.
    const TOLERANCE: f64 = 1e-12;

    fn cases(json: &str) -> Vec<Value> {
        let Value::Array(cases) = serde_json::from_str(json).expect("it is JSON") else { panic!("it is a list") };
        cases
    }

    /// A number; NaN where scikit-learn calls it undefined.
    fn number(value: &Value) -> f64 {
        if value.is_null() { f64::NAN } else { value.as_f64().expect("a number") }
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().expect("a list").iter().map(number).collect()
    }

    fn f32s(value: &Value) -> Vec<f32> {
        numbers(value).into_iter().map(|value| value as f32).collect()
    }

    fn rows(value: &Value) -> Vec<Vec<f32>> {
        value.as_array().expect("a list").iter().map(f32s).collect()
    }

    fn weights(case: &Value) -> Option<Vec<f64>> {
        (!case["weights"].is_null()).then(|| numbers(&case["weights"]))
    }

    #[track_caller]
    fn check(case: &Value, what: &str, found: &[f64], targets: &[f64]) {
        let is_near =
            |(a, b): (&f64, &f64)| (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
        let all = found.len() == targets.len() && found.iter().zip(targets).all(is_near);
        assert!(all, "{}: {what}: found {found:?}, scikit-learn {targets:?}", case["name"]);
    }

    /// The metrics of rows that are gathered at once, and in three parts.
    fn gathered(
        rows: usize,
        new: impl Fn() -> Metrics,
        add: impl Fn(&mut Metrics, std::ops::Range<usize>),
    ) -> [Metrics; 2] {
        let mut whole = new();
        add(&mut whole, 0..rows);
        let mut parts = new();
        for part in [0..rows / 3, rows / 3..rows / 2, rows / 2..rows] {
            add(&mut parts, part);
        }
        [whole, parts]
    }

    #[test]
    fn classes_are_worth_what_scikit_learn_says() {
        let cases = cases(include_str!("../../tests/metrics/classification.json"));
        assert_eq!(cases.len(), 17);
        for case in &cases {
            let (outputs, expected, losses) =
                (rows(&case["outputs"]), numbers(&case["expected"]), f32s(&case["losses"]));
            let (weights, predictions) = (weights(case), numbers(&case["predicted"]));
            let add = |metrics: &mut Metrics, rows: std::ops::Range<usize>| {
                for row in rows {
                    let expected = expected[row] as u32;
                    let (predicted, rank) = match (&*outputs[row], case["threshold"].as_f64()) {
                        (outputs, None) => (argmax(outputs), rank(outputs, expected as usize)),
                        (outputs, Some(threshold)) => {
                            let predicted = u32::from(f64::from(outputs[0]) > threshold);
                            (predicted, u32::from(predicted != expected))
                        }
                    };
                    assert_eq!(f64::from(predicted), predictions[row], "{}: row {row}", case["name"]);
                    let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                    metrics.add_row(expected, predicted, rank, losses[row], weight).expect("it is a row");
                }
            };
            let classes = case["classes"].as_u64().expect("a number") as usize;
            for metrics in gathered(expected.len(), || Metrics::new(Some(classes), None), add) {
                check_classes(case, &metrics);
            }
        }
    }

    fn check_classes(case: &Value, metrics: &Metrics) {
        let confusion = metrics.confusion_matrix().expect("it tells classes");
        let matrix: Vec<_> = case["confusion"].as_array().expect("a list").iter().map(numbers).collect();
        check(case, "confusion", &confusion.rows().flatten().collect::<Vec<_>>(), &matrix.concat());
        check(case, "loss", &[metrics.loss()], &[number(&case["loss"])]);
        check(case, "accuracy", &[metrics.accuracy().unwrap()], &[number(&case["accuracy"])]);
        let balanced = metrics.balanced_accuracy().unwrap();
        check(case, "balanced accuracy", &[balanced], &[number(&case["balanced_accuracy"])]);
        let top_k: Vec<_> = (1..=confusion.class_count()).map(|k| metrics.top_k_accuracy(k).unwrap()).collect();
        if case["top_k"].is_null() {
            check(case, "top k", &top_k, &[number(&case["accuracy"]), 1.0]);
        } else {
            check(case, "top k", &top_k, &numbers(&case["top_k"]));
        }
        let beyond = [metrics.top_k_accuracy(0).unwrap(), metrics.top_k_accuracy(usize::MAX).unwrap()];
        check(case, "top none and all", &beyond, &[0.0, 1.0]);
        for (average, name) in Average::ALL.iter().zip(["macro", "micro", "weighted", "binary"]) {
            let found =
                [metrics.precision(*average), metrics.recall(*average), metrics.f1(*average)].map(Option::unwrap);
            check(case, name, &found, &["precision", "recall", "f1"].map(|metric| number(&case[metric][name])));
        }
        check(case, "precisions", &confusion.precision_per_class(), &numbers(&case["precision"]["each"]));
        check(case, "recalls", &confusion.recall_per_class(), &numbers(&case["recall"]["each"]));
        check(case, "f1s", &confusion.f1_per_class(), &numbers(&case["f1"]["each"]));
        assert_eq!((metrics.r2(), metrics.mean_absolute_error()), (None, None));
    }

    #[test]
    fn labels_are_worth_what_scikit_learn_says() {
        let cases = cases(include_str!("../../tests/metrics/labels.json"));
        assert_eq!(cases.len(), 8);
        for case in &cases {
            let (answers, outputs, weights) = (rows(&case["answers"]), rows(&case["outputs"]), weights(case));
            let threshold = case["threshold"].as_f64().expect("a number") as f32;
            let labels = answers[0].len();
            let add = |metrics: &mut Metrics, rows: std::ops::Range<usize>| {
                for row in rows {
                    let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                    metrics.add_loss(0.5 * weight, weight).expect("it is a loss");
                    metrics.add_labels(&outputs[row], &answers[row], threshold, weight);
                }
            };
            for metrics in gathered(answers.len(), || Metrics::new(None, None).with_labels(labels), add) {
                let accuracies = [metrics.accuracy(), metrics.label_accuracy()].map(Option::unwrap);
                check(case, "accuracies", &accuracies, &["accuracy", "label_accuracy"].map(|name| number(&case[name])));
                for (average, name) in Average::ALL.iter().zip(["macro", "micro", "weighted"]) {
                    let found = [metrics.precision(*average), metrics.recall(*average), metrics.f1(*average)];
                    let expected = ["precision", "recall", "f1"].map(|metric| number(&case[metric][name]));
                    check(case, name, &found.map(Option::unwrap), &expected);
                }
                let binary = [Metrics::precision, Metrics::recall, Metrics::f1].map(|of| of(&metrics, Average::Binary));
                assert_eq!(binary, [None; 3]);
                assert_eq!(
                    (metrics.confusion_matrix(), metrics.balanced_accuracy(), metrics.top_k_accuracy(1)),
                    (None, None, None)
                );
                let text = serde_json::to_string(&metrics).expect("text");
                assert_eq!(serde_json::from_str::<Metrics>(&text).expect("metrics"), metrics);
            }
        }
        // Metrics that were saved before there were labels.
        let old =
            r#"{"loss":1.0,"weight":2.0,"correct":1.0,"confusion_matrix":null,"rank_weights":[],"regression":null}"#;
        let old: Metrics = serde_json::from_str(old).expect("metrics");
        assert_eq!((old.accuracy(), old.label_accuracy()), (Some(0.5), None));
    }

    #[test]
    fn values_are_worth_what_scikit_learn_says() {
        let cases = cases(include_str!("../../tests/metrics/regression.json"));
        assert_eq!(cases.len(), 10);
        for case in &cases {
            let (answers, outputs, weights) = (rows(&case["answers"]), rows(&case["outputs"]), weights(case));
            let add = |metrics: &mut Metrics, rows: std::ops::Range<usize>| {
                let (mut squared, mut absolute) = (vec![0.0; answers[0].len()], vec![0.0; answers[0].len()]);
                for row in rows.clone() {
                    let weight = weights.as_ref().map_or(1.0, |weights| weights[row]);
                    for (output, (y, t)) in outputs[row].iter().zip(&answers[row]).enumerate() {
                        let error = f64::from(*y) - f64::from(*t);
                        squared[output] += weight * error * error;
                        absolute[output] += weight * error.abs();
                    }
                }
                let weights = weights.as_ref().map(|weights| &weights[rows.clone()]);
                let weight = weights.map_or(rows.len() as f64, |weights| weights.iter().sum());
                let loss = squared.iter().sum::<f64>() / squared.len() as f64;
                metrics.add_loss(loss, weight).expect("it is a loss");
                metrics.add_outputs(&answers[rows].concat(), weights, &squared, &absolute).expect("they are rows");
            };
            for metrics in gathered(answers.len(), || Metrics::new(None, Some(answers[0].len())), add) {
                check_values(case, &metrics);
            }
        }
    }

    fn check_values(case: &Value, metrics: &Metrics) {
        let regression = metrics.regression().expect("it tells values");
        let each: Vec<_> = (0..regression.outputs()).map(|output| regression.r2_for_output(output).unwrap()).collect();
        check(case, "r2 of each", &each, &numbers(&case["r2_each"]));
        let found = [
            ("r2", metrics.r2()),
            ("mean_squared_error", metrics.mean_squared_error()),
            ("mean_absolute_error", metrics.mean_absolute_error()),
            ("root_mean_squared_error", metrics.root_mean_squared_error()),
        ];
        found.into_iter().for_each(|(name, value)| check(case, name, &[value.unwrap()], &[number(&case[name])]));
        check(case, "loss", &[metrics.loss()], &[number(&case["mean_squared_error"])]);
        assert_eq!((metrics.accuracy(), metrics.top_k_accuracy(1), metrics.f1(Average::Macro)), (None, None, None));
    }

    #[test]
    fn a_row_that_is_refused_leaves_nothing_behind() {
        let mut metrics = Metrics::new(Some(3), None);
        let refusals = [(3, 0, 0, 1.0), (0, 3, 0, 1.0), (0, 0, 3, 1.0), (0, 0, 0, -1.0), (0, 0, 0, f64::NAN)];
        for (expected, predicted, rank, weight) in refusals {
            let refusal = metrics.add_row(expected, predicted, rank, 1.0, weight).expect_err("it has to be refused");
            assert!(matches!(refusal, Error::InvalidSetting { .. }), "{refusal}");
        }
        assert!(metrics.add_loss(1.0, f64::INFINITY).is_err());
        assert_eq!(metrics, Metrics::new(Some(3), None));
        assert!(metrics.loss().is_nan() && metrics.top_k_accuracy(1).is_some_and(f64::is_nan));
    }
}
