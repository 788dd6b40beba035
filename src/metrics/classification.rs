//! What a network's classes are worth: a confusion matrix, and the shares that follow from it.

use std::{collections::BTreeMap, fmt};

use crate::{
    error::{Error, Result},
    metrics::{check_class, check_weight},
};

/// How the scores of many classes become one. With `tp` for the weight of the rows of a class that were answered rightly,
/// `fp` for that of the rows of others that were taken for it, and `fn` for that of its rows that were taken for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Average {
    /// The mean over the classes that are expected or predicted in some row, each as important as the others; over all labels,
    /// where a row may have several.
    Macro,
    /// The score of the sums of `tp`, `fp` and `fn` over all classes. Where each row has one class, the precision, the recall
    /// and f1 are all the accuracy; where a row may have several labels, they are not.
    Micro,
    /// The mean over the classes, each by the weight of the rows that expect it.
    Weighted,
    /// The score of class 1 against all others: where there are two, that of yes. None of labels, of which a row may have several.
    Binary,
}

impl Average {
    /// Every average, for tests to walk.
    pub const ALL: &[Self] = &[Self::Macro, Self::Micro, Self::Weighted, Self::Binary];
}

/// How much the rows weigh that expect one class and are taken for another. The shares are scikit-learn's, with
/// `zero_division=0`: what has nothing to divide by is 0.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct ConfusionMatrix {
    classes: usize,
    /// The weight at `(expected, predicted)`. Only what a row fell on is there: a network may have more classes than the
    /// square of them has room, and a class that is there counts in a mean even if its rows weigh nothing.
    weights: BTreeMap<(u32, u32), f64>,
}

/// A confusion as files hold it: the weight at each pair of classes.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    classes: usize,
    weights: Vec<(u32, u32, f64)>,
}

impl From<ConfusionMatrix> for Record {
    fn from(confusion: ConfusionMatrix) -> Self {
        let weights =
            confusion.weights.into_iter().map(|((expected, predicted), weight)| (expected, predicted, weight));
        Self { classes: confusion.classes, weights: weights.collect() }
    }
}

impl TryFrom<Record> for ConfusionMatrix {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self> {
        let most = 1 << 20;
        if record.classes > most {
            let (expected, got) = (format!("at most {most}"), record.classes.to_string());
            return Err(Error::InvalidSetting { name: "classes of a confusion matrix", expected, got });
        }
        let mut confusion = Self::new(record.classes);
        let mut add = |(expected, predicted, weight)| confusion.add(expected, predicted, weight);
        record.weights.into_iter().try_for_each(&mut add)?;
        Ok(confusion)
    }
}

/// What the rows of a class weigh.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClassSums {
    pub(crate) correct: f64,
    pub(crate) target: f64,
    pub(crate) predicted: f64,
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
    /// Of no row yet.
    pub const fn new(classes: usize) -> Self {
        Self { classes, weights: BTreeMap::new() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a class is not one of them, or if the weight is negative or not a
    /// finite number; nothing is added then.
    pub fn add(&mut self, target: u32, predicted: u32, weight: f64) -> Result<()> {
        check_class("expected class", target, self.classes)?;
        check_class("predicted class", predicted, self.classes)?;
        check_weight(weight)?;
        *self.weights.entry((target, predicted)).or_default() += weight;
        Ok(())
    }

    /// How many classes there are.
    pub const fn class_count(&self) -> usize {
        self.classes
    }

    /// How much the rows weigh that expect one class and are taken for the other: their number, where none has a weight.
    pub fn get(&self, target: u32, predicted: u32) -> f64 {
        self.weights.get(&(target, predicted)).copied().unwrap_or(0.0)
    }

    /// The matrix, `[expected][predicted]`: for each expected class what its rows were taken for.
    pub fn rows(&self) -> impl Iterator<Item = Vec<f64>> {
        let classes = self.classes as u32;
        (0..classes).map(move |expected| (0..classes).map(|predicted| self.get(expected, predicted)).collect())
    }

    /// Every pair of an expected and a predicted class that was added, and how much its rows weigh.
    #[cfg(feature = "plot")]
    pub(crate) fn weights(&self) -> impl Iterator<Item = (u32, u32, f64)> {
        self.weights.iter().map(|(&(expected, predicted), weight)| (expected, predicted, *weight))
    }

    /// The share of the rows that were answered rightly, from 0 to 1; NaN if no row weighs anything.
    pub fn accuracy(&self) -> f64 {
        let sums = self.class_sums();
        sums.iter().map(|class| class.correct).sum::<f64>() / sums.iter().map(|class| class.target).sum::<f64>()
    }

    /// The mean recall over the classes that are expected, from 0 to 1; NaN if no row weighs anything.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.class_sums().iter().filter(|class| class.target > 0.0).map(ClassSums::recall))
    }

    /// How many of those that were taken for a class are of it, from 0 to 1: `tp / (tp + fp)`.
    pub fn precision(&self, over: Average) -> f64 {
        average_scores(&self.class_sums(), over, ClassSums::precision)
    }

    /// How many of those of a class were taken for it, from 0 to 1: `tp / (tp + fn)`.
    pub fn recall(&self, over: Average) -> f64 {
        average_scores(&self.class_sums(), over, ClassSums::recall)
    }

    /// The harmonic mean of precision and recall, from 0 to 1: `2 tp / (2 tp + fp + fn)`.
    pub fn f1(&self, over: Average) -> f64 {
        average_scores(&self.class_sums(), over, ClassSums::f1)
    }

    /// [`ConfusionMatrix::precision`] of each class.
    pub fn precision_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::precision).collect()
    }

    /// [`ConfusionMatrix::recall`] of each class.
    pub fn recall_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::recall).collect()
    }

    /// [`ConfusionMatrix::f1`] of each class.
    pub fn f1_per_class(&self) -> Vec<f64> {
        self.class_sums().iter().map(ClassSums::f1).collect()
    }

    fn class_sums(&self) -> Vec<ClassSums> {
        let mut sums = vec![ClassSums::default(); self.classes];
        for (&(expected, predicted), weight) in &self.weights {
            let (expected, predicted) = (expected as usize, predicted as usize);
            sums[expected].target += weight;
            sums[predicted].predicted += weight;
            sums[expected].correct += if expected == predicted { *weight } else { 0.0 };
            (sums[expected].is_present, sums[predicted].is_present) = (true, true);
        }
        sums
    }
}

/// One score of the sums of all classes, or of all labels.
pub(crate) fn average_scores(sums: &[ClassSums], over: Average, score: fn(&ClassSums) -> f64) -> f64 {
    let sum = |of: fn(&ClassSums) -> f64| sums.iter().map(of).sum::<f64>();
    let expected = sum(|class| class.target);
    match over {
        Average::Macro if sums.iter().all(|class| !class.is_present) => 0.0,
        Average::Macro => mean(sums.iter().filter(|class| class.is_present).map(score)),
        Average::Weighted => ratio(sums.iter().map(|class| score(class) * class.target).sum(), expected),
        Average::Micro => {
            let (right, predicted) = (sum(|class| class.correct), sum(|class| class.predicted));
            score(&ClassSums { correct: right, target: expected, predicted, is_present: true })
        }
        Average::Binary => sums.get(1).map_or(0.0, score),
    }
}

/// The matrix as a table, a line for each expected class; classes that are neither expected nor predicted are left out.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = self.class_sums();
        let there = || (0..).zip(&sums).filter(|(_, class)| class.is_present).map(|(class, _)| class);
        let cell = |weight: f64| if weight.fract() == 0.0 { weight.to_string() } else { format!("{weight:.3}") };
        let widths = self.weights.values().map(|weight| cell(*weight).len());
        let width = widths.max().unwrap_or(0).max(self.classes.to_string().len());
        write!(f, "expected \\ predicted")?;
        there().try_for_each(|predicted: u32| write!(f, "  {predicted:>width$}"))?;
        for expected in there() {
            write!(f, "\n{expected:>20}")?;
            there().try_for_each(|predicted| write!(f, "  {:>width$}", cell(self.get(expected, predicted))))?;
        }
        Ok(())
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// The place of the first largest of several outputs; one that is NaN is never it, and 0 is where all are.
pub(crate) fn argmax(outputs: &[f32]) -> u32 {
    let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    outputs.iter().position(|y| *y == largest).unwrap_or(0) as u32
}

/// How many of several outputs come before the expected one: those that are larger, and of equals those behind it, as
/// scikit-learn's `top_k_accuracy_score` has it. NaN comes last.
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
    fn of_equals_the_first_is_predicted_and_the_last_ranks_first() {
        let outputs = [0.5, 2.0, -1.0, 2.0, 0.5];
        assert_eq!(argmax(&outputs), 1);
        assert_eq!([0, 1, 2, 3, 4].map(|expected| rank(&outputs, expected)), [3, 1, 4, 0, 2]);
        assert_eq!([0, 1].map(|expected| rank(&[0.0, -0.0], expected)), [1, 0], "both zeros are equal");
        assert_eq!((argmax(&[7.0]), rank(&[7.0], 0)), (0, 0));
    }

    #[test]
    fn nan_is_never_the_largest_and_ranks_last() {
        let outputs = [f32::NAN, 1.0, f32::NEG_INFINITY, f32::INFINITY];
        assert_eq!(argmax(&outputs), 3);
        assert_eq!([0, 1, 2, 3].map(|expected| rank(&outputs, expected)), [3, 1, 2, 0]);
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), 1);
        assert_eq!((argmax(&[f32::NAN; 3]), rank(&[f32::NAN; 3], 0)), (0, 2));
    }

    #[test]
    fn what_is_no_class_and_what_is_no_weight_is_refused() {
        let mut confusion = ConfusionMatrix::new(3);
        let mut refusal = |e, p, weight| confusion.add(e, p, weight).expect_err("it has to be refused").to_string();
        assert_eq!(refusal(3, 0, 1.0), "expected class: expected less than 3, got 3");
        assert_eq!(refusal(0, 4, 1.0), "predicted class: expected less than 3, got 4");
        for weight in [-0.5, f64::NAN, f64::INFINITY] {
            let text = format!("weight of a row: expected a finite number, at least 0, got {weight}");
            assert_eq!(refusal(0, 0, weight), text);
        }
        assert_eq!(confusion, ConfusionMatrix::new(3), "nothing was added");
    }

    #[test]
    fn without_rows_the_shares_of_nothing_are_zero_and_the_accuracies_nan() {
        for classes in [0, 1, 5] {
            let confusion = ConfusionMatrix::new(classes);
            for average in Average::ALL {
                assert_eq!(
                    [confusion.precision(*average), confusion.recall(*average), confusion.f1(*average)],
                    [0.0; 3]
                );
            }
            assert!(confusion.accuracy().is_nan() && confusion.balanced_accuracy().is_nan());
            assert_eq!(confusion.to_string(), "expected \\ predicted");
        }
    }

    #[test]
    fn a_table_shows_the_classes_that_are_there() {
        let mut confusion = ConfusionMatrix::new(12);
        for (expected, predicted, weight) in [(0, 0, 100.0), (0, 11, 2.0), (11, 11, 0.25), (3, 0, 1.0)] {
            confusion.add(expected, predicted, weight).expect("it is a row");
        }
        let table = "\
expected \\ predicted      0      3     11
                   0    100      0      2
                   3      1      0      0
                  11      0      0  0.250";
        assert_eq!(confusion.to_string(), table);
        assert_eq!((confusion.get(0, 11), confusion.get(5, 5)), (2.0, 0.0));
    }
}
