//! Classification metrics: the confusion matrix, and the scores that follow from it.

use std::{collections::BTreeMap, fmt};

use crate::{
    error::{Error, Result},
    metrics::checks::{check_class, check_sample_weight},
};

/// The way to average the scores of several classes.
///
/// The formulas use three sums of sample weights per class. `tp` is the weight of the rows of the class that are
/// predicted correctly. `fp` is the weight of the rows of other classes that are predicted as the class. `fn` is the
/// weight of the rows of the class that are predicted as other classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Average {
    /// The unweighted mean over the classes that occur as a target or a prediction; over all labels for multi-label
    /// targets.
    Macro,
    /// The score of the sums of `tp`, `fp` and `fn` over all classes.
    ///
    /// With one class per row, the micro averages of precision, recall and F1 all equal the accuracy. For multi-label
    /// targets these metrics differ.
    Micro,
    /// The mean over the classes, weighted by the total sample weight of the rows with that target class.
    Weighted,
    /// The score of class 1, the positive class of a binary classification. `None` for multi-label targets.
    Binary,
}

impl Average {
    /// All variants, for tests.
    #[doc(hidden)]
    pub const ALL: &[Self] = &[Self::Macro, Self::Micro, Self::Weighted, Self::Binary];
}

/// A confusion matrix: the total sample weight of the rows for each pair of target and predicted class.
///
/// The scores equal those of scikit-learn with `zero_division=0`: a score with a zero denominator is 0.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct ConfusionMatrix {
    classes: usize,
    /// The weight of each pair `(target, predicted)` that occurs.
    ///
    /// The map is sparse, because a network may have too many classes for a square matrix. A pair with weight 0 is
    /// kept, because its classes count in macro averages.
    weights: BTreeMap<(u32, u32), f64>,
}

/// The form of a confusion matrix in files: one entry `(target, predicted, weight)` per pair.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    classes: usize,
    weights: Vec<(u32, u32, f64)>,
}

impl From<ConfusionMatrix> for Record {
    fn from(confusion: ConfusionMatrix) -> Self {
        let weights = confusion.weights.into_iter().map(|((target, predicted), weight)| (target, predicted, weight));
        Self { classes: confusion.classes, weights: weights.collect() }
    }
}

impl TryFrom<Record> for ConfusionMatrix {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self> {
        const MAX_CLASSES: usize = 1 << 20;
        if record.classes > MAX_CLASSES {
            let (expected, got) = (format!("at most {MAX_CLASSES}"), record.classes.to_string());
            return Err(Error::InvalidSetting { name: "classes of the confusion matrix", expected, got });
        }
        let mut confusion = Self::new(record.classes);
        for (target, predicted, weight) in record.weights {
            confusion.add(target, predicted, weight)?;
        }
        Ok(confusion)
    }
}

/// The sums of sample weights of one class, from which its scores follow.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClassSums {
    /// The weight of the rows of the class that are predicted correctly.
    pub(crate) correct: f64,
    /// The weight of the rows with this target class.
    pub(crate) target: f64,
    /// The weight of the rows with this predicted class.
    pub(crate) predicted: f64,
    /// Whether the class occurs as a target or a prediction, with any weight.
    pub(crate) is_present: bool,
}

impl ClassSums {
    pub(crate) fn precision(&self) -> f64 {
        ratio(self.correct, self.predicted)
    }

    pub(crate) fn recall(&self) -> f64 {
        ratio(self.correct, self.target)
    }

    pub(crate) fn f1(&self) -> f64 {
        ratio(2.0 * self.correct, self.target + self.predicted)
    }
}

impl ConfusionMatrix {
    /// Creates an empty confusion matrix.
    pub const fn new(classes: usize) -> Self {
        Self { classes, weights: BTreeMap::new() }
    }

    /// Adds a row with a target class, a predicted class and a sample weight. After an error the matrix is unchanged.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a class id is not below the number of classes.
    /// - [`Error::InvalidSetting`](crate::Error::InvalidSetting) if the weight is negative, NaN or infinite.
    pub fn add(&mut self, target: u32, predicted: u32, weight: f64) -> Result<()> {
        check_class("target class", target, self.classes)?;
        check_class("predicted class", predicted, self.classes)?;
        check_sample_weight(weight)?;
        *self.weights.entry((target, predicted)).or_default() += weight;
        Ok(())
    }

    /// Returns the number of classes.
    pub const fn class_count(&self) -> usize {
        self.classes
    }

    /// Returns the total sample weight of the rows with this target and predicted class. Without sample weights, this
    /// is the number of rows.
    pub fn get(&self, target: u32, predicted: u32) -> f64 {
        self.weights.get(&(target, predicted)).copied().unwrap_or(0.0)
    }

    /// Returns the rows of the matrix `[target][predicted]`, one per target class.
    pub fn rows(&self) -> impl Iterator<Item = Vec<f64>> {
        let classes = self.classes as u32;
        (0..classes).map(move |target| (0..classes).map(|predicted| self.get(target, predicted)).collect())
    }

    /// Returns every pair of target and predicted class that occurs, with its weight.
    #[cfg(feature = "plot")]
    pub(crate) fn weights(&self) -> impl Iterator<Item = (u32, u32, f64)> {
        self.weights.iter().map(|(&(target, predicted), weight)| (target, predicted, *weight))
    }

    /// Returns the fraction of correct rows, in [0, 1]; NaN if the total sample weight is 0.
    #[doc(alias = "accuracy_score")]
    pub fn accuracy(&self) -> f64 {
        let sums = self.class_sums();
        sums.iter().map(|class| class.correct).sum::<f64>() / sums.iter().map(|class| class.target).sum::<f64>()
    }

    /// Returns the mean recall over the target classes, in [0, 1]; NaN if the total sample weight is 0.
    #[doc(alias = "balanced_accuracy_score")]
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.class_sums().iter().filter(|class| class.target > 0.0).map(ClassSums::recall))
    }

    /// Returns the precision `tp / (tp + fp)`, in [0, 1]: the fraction of correct rows among the rows that are
    /// predicted as a class.
    #[doc(alias = "precision_score")]
    pub fn precision(&self, average: Average) -> f64 {
        self.average_score(average, ClassSums::precision)
    }

    /// Returns the recall `tp / (tp + fn)`, in [0, 1]: the fraction of correct rows among the rows of a class.
    #[doc(alias = "recall_score")]
    #[doc(alias = "sensitivity")]
    pub fn recall(&self, average: Average) -> f64 {
        self.average_score(average, ClassSums::recall)
    }

    /// Returns the F1 score `2 tp / (2 tp + fp + fn)`, in [0, 1]: the harmonic mean of precision and recall.
    #[doc(alias = "f1_score")]
    pub fn f1(&self, average: Average) -> f64 {
        self.average_score(average, ClassSums::f1)
    }

    /// Returns the [precision](ConfusionMatrix::precision) of each class.
    pub fn precision_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::precision).collect()
    }

    /// Returns the [recall](ConfusionMatrix::recall) of each class.
    pub fn recall_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::recall).collect()
    }

    /// Returns the [F1 score](ConfusionMatrix::f1) of each class.
    pub fn f1_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::f1).collect()
    }

    /// Returns the average of a score over the classes.
    pub(crate) fn average_score(&self, average: Average, score: fn(&ClassSums) -> f64) -> f64 {
        average_scores(&self.class_sums(), average, score)
    }

    fn class_sums(&self) -> Vec<ClassSums> {
        let mut sums = vec![ClassSums::default(); self.classes];
        for (&(target, predicted), weight) in &self.weights {
            let (target, predicted) = (target as usize, predicted as usize);
            sums[target].target += weight;
            sums[predicted].predicted += weight;
            sums[target].correct += if target == predicted { *weight } else { 0.0 };
            sums[target].is_present = true;
            sums[predicted].is_present = true;
        }
        sums
    }
}

/// Returns the average of a score over classes or labels.
pub(crate) fn average_scores(sums: &[ClassSums], average: Average, score: fn(&ClassSums) -> f64) -> f64 {
    let total = |quantity: fn(&ClassSums) -> f64| sums.iter().map(quantity).sum::<f64>();
    let target = total(|class| class.target);
    match average {
        Average::Macro if sums.iter().all(|class| !class.is_present) => 0.0,
        Average::Macro => mean(sums.iter().filter(|class| class.is_present).map(score)),
        Average::Weighted => ratio(sums.iter().map(|class| score(class) * class.target).sum(), target),
        Average::Micro => {
            let (correct, predicted) = (total(|class| class.correct), total(|class| class.predicted));
            score(&ClassSums { correct, target, predicted, is_present: true })
        }
        Average::Binary => sums.get(1).map_or(0.0, score),
    }
}

/// Writes the matrix as a table with one line per target class. The table omits classes that do not occur.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TITLE: &str = "target \\ predicted";
        let sums = self.class_sums();
        let present_classes = || (0u32..).zip(&sums).filter(|(_, class)| class.is_present).map(|(class, _)| class);
        let cell = |weight: f64| if weight.fract() == 0.0 { weight.to_string() } else { format!("{weight:.3}") };
        let cell_widths = self.weights.values().map(|weight| cell(*weight).len());
        let width = cell_widths.max().unwrap_or(0).max(self.classes.to_string().len());
        f.write_str(TITLE)?;
        for predicted in present_classes() {
            write!(f, "  {predicted:>width$}")?;
        }
        for target in present_classes() {
            write!(f, "\n{target:>title_width$}", title_width = TITLE.len())?;
            for predicted in present_classes() {
                write!(f, "  {:>width$}", cell(self.get(target, predicted)))?;
            }
        }
        Ok(())
    }
}

fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { 0.0 } else { numerator / denominator }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// Returns the index of the first largest output. It ignores NaN, and returns 0 if all outputs are NaN.
pub(crate) fn argmax(outputs: &[f32]) -> u32 {
    let max = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    outputs.iter().position(|y| *y == max).unwrap_or(0) as u32
}

/// Returns the rank of the target's output: the number of outputs that come before it.
///
/// An output comes before it if it is larger, or if it is equal and has a larger index, as in scikit-learn's
/// `top_k_accuracy_score`. NaN ranks last.
pub(crate) fn rank(outputs: &[f32], target: usize) -> u32 {
    let y = outputs[target];
    if y.is_nan() {
        return outputs.len() as u32 - 1;
    }
    let larger = outputs[..target].iter().filter(|other| **other > y).count();
    let not_smaller = outputs[target + 1..].iter().filter(|other| **other >= y).count();
    (larger + not_smaller) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_equal_output_and_rank_the_last() {
        let outputs = [0.5, 2.0, -1.0, 2.0, 0.5];
        assert_eq!(argmax(&outputs), 1);
        assert_eq!([0, 1, 2, 3, 4].map(|target| rank(&outputs, target)), [3, 1, 4, 0, 2]);
        assert_eq!([0, 1].map(|target| rank(&[0.0, -0.0], target)), [1, 0], "0 and -0 are equal");
        assert_eq!((argmax(&[7.0]), rank(&[7.0], 0)), (0, 0));
    }

    #[test]
    fn nan_is_never_the_argmax_and_ranks_last() {
        let outputs = [f32::NAN, 1.0, f32::NEG_INFINITY, f32::INFINITY];
        assert_eq!(argmax(&outputs), 3);
        assert_eq!([0, 1, 2, 3].map(|target| rank(&outputs, target)), [3, 1, 2, 0]);
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), 1);
        assert_eq!((argmax(&[f32::NAN; 3]), rank(&[f32::NAN; 3], 0)), (0, 2));
    }

    #[test]
    fn invalid_classes_and_sample_weights_return_an_error() {
        let mut confusion = ConfusionMatrix::new(3);
        let mut add_error =
            |target, predicted, weight| confusion.add(target, predicted, weight).expect_err("an error").to_string();
        assert_eq!(add_error(3, 0, 1.0), "target class: expected a class id below 3, got 3");
        assert_eq!(add_error(0, 4, 1.0), "predicted class: expected a class id below 3, got 4");
        for weight in [-0.5, f64::NAN, f64::INFINITY] {
            let text = format!("sample weight: expected a finite number >= 0, got {weight}");
            assert_eq!(add_error(0, 0, weight), text);
        }
        assert_eq!(confusion, ConfusionMatrix::new(3), "an error leaves the matrix unchanged");
    }

    #[test]
    fn an_empty_matrix_has_scores_of_zero_and_accuracies_of_nan() {
        for classes in [0, 1, 5] {
            let confusion = ConfusionMatrix::new(classes);
            for average in Average::ALL {
                assert_eq!(
                    [confusion.precision(*average), confusion.recall(*average), confusion.f1(*average)],
                    [0.0; 3]
                );
            }
            assert!(confusion.accuracy().is_nan() && confusion.balanced_accuracy().is_nan());
            assert_eq!(confusion.to_string(), "target \\ predicted");
        }
    }

    #[test]
    fn display_omits_classes_that_do_not_occur() {
        let mut confusion = ConfusionMatrix::new(12);
        for (target, predicted, weight) in [(0, 0, 100.0), (0, 11, 2.0), (11, 11, 0.25), (3, 0, 1.0)] {
            confusion.add(target, predicted, weight).expect("valid classes and weights");
        }
        let table = "\
target \\ predicted      0      3     11
                 0    100      0      2
                 3      1      0      0
                11      0      0  0.250";
        assert_eq!(confusion.to_string(), table);
        assert_eq!((confusion.get(0, 11), confusion.get(5, 5)), (2.0, 0.0));
    }
}
