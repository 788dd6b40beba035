//! What a row of outputs is worth against the expected ones: its loss and whether it answers right.

use std::ops::Range;

use crate::{
    data::dataset::{Dataset, Targets},
    error::Result,
    metrics::{
        Metrics,
        classification::{argmax, rank},
    },
    nn::{loss::Loss, network::Network, task::Task},
};

/// [`right_of_columns`] of labels. Apart, so that steps on classes do not feel it: a step of XOR takes 4 % longer otherwise.
#[cold]
#[inline(never)]
fn correct_labels_by_column<'a>(
    loss: Loss,
    y: impl Iterator<Item = &'a [f32]>,
    t: impl Iterator<Item = &'a [f32]>,
) -> [u32; LANES] {
    let mut right = [1; LANES];
    for (y, t) in y.zip(t) {
        for ((right, y), t) in right.iter_mut().zip(y).zip(t) {
            *right &= u32::from((*y > loss.decision_threshold()) == (*t > 0.5));
        }
    }
    right
}

/// Independent sums or maxima, so that the compiler can keep them in the lanes of a vector.
const LANES: usize = 16;

/// One output has to be on the right side of the loss's threshold, and so do all of several that are `labels`; of others the
/// largest has to be the expected one, and of equals the first counts.
#[inline(always)]
pub(crate) fn is_correct(loss: Loss, is_multi_label: bool, y: &[f32], t: &[f32]) -> bool {
    match (y, t) {
        _ if is_multi_label => y.iter().zip(t).all(|(y, t)| (*y > loss.decision_threshold()) == (*t > 0.5)),
        ([y], [t]) => (*y > loss.decision_threshold()) == (*t > 0.5),
        _ => index_of_max(y) == index_of_max(t),
    }
}

/// Which rows are right, 1 or 0, that stand side by side: `y` and `t` are the columns of `outputs` outputs, each with a
/// number of every row.
#[inline(always)]
pub(crate) fn correct_by_column<'a>(
    (loss, labels): (Loss, bool),
    outputs: usize,
    y: impl Iterator<Item = &'a [f32]>,
    t: impl Iterator<Item = &'a [f32]>,
) -> [u32; LANES] {
    #[inline(always)]
    fn predict_classes<'a>(columns: impl Iterator<Item = &'a [f32]>, outputs: usize, threshold: f32) -> [u32; LANES] {
        let (mut found, mut largest) = ([0; LANES], [f32::NEG_INFINITY; LANES]);
        for (column, values) in (0..).zip(columns) {
            if outputs == 1 {
                for (found, value) in found.iter_mut().zip(values) {
                    *found = u32::from(*value > threshold);
                }
                continue;
            }
            for ((found, largest), value) in found.iter_mut().zip(&mut largest).zip(values) {
                (*found, *largest) = if *value > *largest { (column, *value) } else { (*found, *largest) };
            }
        }
        found
    }
    if labels {
        return correct_labels_by_column(loss, y, t);
    }
    let (mut right, expected) =
        (predict_classes(y, outputs, loss.decision_threshold()), predict_classes(t, outputs, 0.5));
    for (answer, expected) in right.iter_mut().zip(expected) {
        *answer = u32::from(*answer == expected);
    }
    right
}

/// The place of the first largest value; 0 where all of them are NaN.
#[inline(always)]
fn index_of_max(values: &[f32]) -> u32 {
    // Looked for a second time: lanes that keep a value and its place stay no vectors on AVX2.
    let most = fold_indexed(values, f32::NEG_INFINITY, |_, value| value, |a, b| if b > a { b } else { a });
    let at = fold_indexed(values, u32::MAX, |place, value| if value == most { place } else { u32::MAX }, u32::min);
    if at == u32::MAX { 0 } else { at }
}

/// What `both` makes of `of` all places and values, beginning with `none`.
#[inline(always)]
fn fold_indexed<T: Copy>(values: &[f32], none: T, of: impl Fn(u32, f32) -> T, both: impl Fn(T, T) -> T) -> T {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let behind = (values.len() - rest.len()) as u32;
    let all = (behind..).zip(rest).fold(none, |all, (place, value)| both(all, of(place, *value)));
    if chunks.is_empty() {
        return all;
    }
    let mut lanes = [none; LANES];
    for (first, chunk) in (0..).step_by(LANES).zip(chunks) {
        for lane in 0..LANES {
            lanes[lane] = both(lanes[lane], of(first + lane as u32, chunk[lane]));
        }
    }
    both(reduce_lanes(lanes, &both), all)
}

/// What `both` makes of all lanes, half to half.
#[inline(always)]
fn reduce_lanes<T: Copy>(mut lanes: [T; LANES], both: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = both(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Calls a function with, behind its other arguments, that of the loss of one output, which is a constant there: so none
/// chooses at every output.
macro_rules! with_loss {
    ($function:ident($loss:expr, $y:expr, $($argument:expr),*)) => {
        with_loss!($function, $loss, $y, ($($argument),*),
            Loss::Auto | Loss::Mse => Loss::Mse,
            Loss::L1 => Loss::L1,
            Loss::Huber { delta } => Loss::Huber { delta },
            Loss::LogCosh => Loss::LogCosh,
            Loss::BinaryCrossEntropy => Loss::BinaryCrossEntropy,
            Loss::BinaryCrossEntropyWithLogits => Loss::BinaryCrossEntropyWithLogits,
            Loss::Hinge => Loss::Hinge,
            Loss::Poisson => Loss::Poisson,
            Loss::RelativeL2 => Loss::RelativeL2,
            Loss::Custom(custom) => Loss::Custom(custom),
        )
    };
    ($function:ident, $loss:expr, $y:expr, $arguments:tt, $($constant:pat => $value:expr),* $(,)?) => {
        match $loss {
            $($constant => with_loss!(@ $function, $y, $arguments, |y, t| $value.value(y, t, 0.0, 0)),)*
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
                let (normalizer, outputs) = (log_sum_exp($y.iter().map(|y| f64::from(*y))), $y.len());
                with_loss!(@ $function, $y, $arguments, |y, t| $loss.value(y, t, normalizer, outputs))
            }
        }
    };
    (@ $function:ident, $y:expr, ($($argument:expr),*), |$one:ident, $other:ident| $value:expr) => {
        $function($y, $($argument,)* #[inline(always)] |$one, $other| $value)
    };
}

/// The loss of one row, summed over its outputs, before the mean.
#[inline(always)]
pub(crate) fn row_loss(loss: Loss, y: &[f32], t: &[f32]) -> f64 {
    #[inline(always)]
    fn sum_losses(y: &[f32], t: &[f32], loss: impl Fn(f64, f64) -> f64) -> f64 {
        let one = |(y, t): (&f32, &f32)| loss(f64::from(*y), f64::from(*t));
        let ((ys, y), (ts, t)) = (y.as_chunks::<LANES>(), t.as_chunks::<LANES>());
        let rest: f64 = y.iter().zip(t).map(one).sum();
        if ys.is_empty() {
            return rest;
        }
        let mut lanes = [0.0; LANES];
        for (y, t) in ys.iter().zip(ts) {
            for lane in 0..LANES {
                lanes[lane] += one((&y[lane], &t[lane]));
            }
        }
        reduce_lanes(lanes, |a, b| a + b) + rest
    }
    with_loss!(sum_losses(loss, y, t))
}

/// Adds to each of `into` the loss of one output by itself, for a loss that does not look at the row.
#[inline(always)]
pub(crate) fn add_losses(loss: Loss, y: &[f32], t: &[f32], into: &mut [f64]) {
    #[inline(always)]
    fn add_each_loss(y: &[f32], t: &[f32], into: &mut [f64], loss: impl Fn(f64, f64) -> f64) {
        for (sum, (y, t)) in into.iter_mut().zip(y.iter().zip(t)) {
            *sum += loss(f64::from(*y), f64::from(*t));
        }
    }
    with_loss!(add_each_loss(loss, y, t, into));
}

/// `ln(sum e^y)` of a row of logits; with the largest taken out first, nothing overflows.
#[inline(always)]
pub(crate) fn log_sum_exp(y: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = y.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + y.map(|y| (y - largest).exp()).sum::<f64>().ln()
}

/// Judges the outputs for the rows of a data set.
pub(crate) struct HostEvaluator<'a> {
    loss: Loss,
    data: &'a Dataset,
    inputs: usize,
    outputs: usize,
    task: Task,
    ends_with_softmax: bool,
    pub(crate) metrics: Metrics,
}

impl<'a> HostEvaluator<'a> {
    pub(crate) fn new(loss: Loss, task: Task, data: &'a Dataset, network: &Network) -> Self {
        let has_values = matches!(data.targets(), Targets::Values(_));
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let classes = (task == Task::Classification).then_some(outputs.max(2));
        let mut metrics = Metrics::new(classes, has_values.then_some(outputs));
        if task == Task::MultiLabel {
            metrics = metrics.with_labels(outputs);
        }
        let ends_with_softmax = network.ends_with_softmax();
        Self { loss, data, inputs, outputs, task, ends_with_softmax, metrics }
    }

    /// Judges what predicts on the host, on all rows, some after the other.
    pub(crate) fn evaluate_all(mut self, predict: impl Fn(&[f32]) -> Vec<f32>) -> Result<Metrics> {
        // So many rows are held as f32 at once: some 16 MiB.
        let at_once = ((4 << 20) / (self.inputs + self.outputs)).clamp(1, 16_384);
        for first in (0..self.data.rows()).step_by(at_once) {
            let rows = first..(first + at_once).min(self.data.rows());
            let mut features = vec![0.0; rows.len() * self.inputs];
            let each = rows.clone().zip(features.chunks_exact_mut(self.inputs));
            each.for_each(|(row, to)| self.data.write_features(row, to));
            self.data.check_read()?;
            self.add_rows(rows, predict(&features))?;
        }
        Ok(self.metrics)
    }

    /// Adds the outputs for some rows.
    pub(crate) fn add_rows(&mut self, rows: Range<usize>, answers: Vec<f32>) -> Result<()> {
        // The loss is of logits, and these are as good as any: softmax forgets what is added to all of them. Not max(): that
        // would turn NaN into a number.
        let logit = |y: &f32| if *y < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { *y }.ln();
        let logits: Vec<f32> = answers.iter().filter(|_| self.ends_with_softmax).map(logit).collect();
        let judged = if self.ends_with_softmax { &logits } else { &answers };
        let (outputs, mean_over) = (self.outputs, self.loss.mean_divisor(1, self.outputs) as f64);
        let (mut squared, mut absolute) = (vec![0.0; outputs], vec![0.0; outputs]);
        let mut expected = vec![0.0; outputs];
        let both = judged.chunks_exact(outputs).zip(answers.chunks_exact(outputs));
        for (row, (y, answer)) in rows.clone().zip(both) {
            self.data.write_target(row, &mut expected);
            let (loss, weight) =
                (row_loss(self.loss, y, &expected) / mean_over, f64::from(self.data.sample_weight(row)));
            if self.task == Task::Classification {
                let [predicted, right] = match (y, expected.as_slice()) {
                    ([y], [t]) => [u32::from(*y > self.loss.decision_threshold()), u32::from(*t > 0.5)],
                    _ => [argmax(y), argmax(&expected)],
                };
                let rank = if outputs == 1 { u32::from(predicted != right) } else { rank(y, right as usize) };
                self.metrics.add_row(right, predicted, rank, loss as f32, weight)?;
            } else {
                self.metrics.add_loss(loss * weight, weight)?;
                self.metrics.add_labels(y, &expected, self.loss.decision_threshold(), weight);
            }
            for ((squared, absolute), (y, t)) in squared.iter_mut().zip(&mut absolute).zip(answer.iter().zip(&expected))
            {
                let error = f64::from(*y) - f64::from(*t);
                *squared += weight * error * error;
                *absolute += weight * error.abs();
            }
        }
        if let Targets::Values(values) = self.data.targets() {
            let weights = self.data.sample_weights().map(|weights| weights[rows.clone()].iter().map(|w| f64::from(*w)));
            let weights: Option<Vec<f64>> = weights.map(Iterator::collect);
            let expected = &values[rows.start * outputs..rows.end * outputs];
            self.metrics.add_outputs(expected, weights.as_deref(), &squared, &absolute)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_output_is_judged_by_its_side_of_the_threshold() {
        assert!(is_correct(Loss::Mse, false, &[0.7], &[1.0]) && is_correct(Loss::Mse, false, &[0.5], &[0.0]));
        assert!(
            is_correct(Loss::Hinge, false, &[0.1], &[1.0])
                && is_correct(Loss::BinaryCrossEntropyWithLogits, false, &[-0.1], &[0.0])
        );
        assert!(!is_correct(Loss::Mse, false, &[0.5], &[1.0]) && !is_correct(Loss::Mse, false, &[f32::NAN], &[1.0]));
    }

    #[test]
    fn several_outputs_are_judged_by_the_first_largest() {
        for outputs in [2, 3, 16, 17, 40] {
            for class in 0..outputs {
                let mut expected = vec![0.0; outputs];
                expected[class] = 1.0;
                let mut y = vec![-2.0; outputs];
                y[class] = -1.0;
                assert!(is_correct(Loss::Mse, false, &y, &expected), "{outputs} outputs, class {class}");
                y[outputs - 1] = -1.0;
                assert!(
                    is_correct(Loss::Mse, false, &y, &expected),
                    "of equals the first: {outputs} outputs, class {class}"
                );
                y[(class + 1) % outputs] = 0.0;
                assert!(!is_correct(Loss::Mse, false, &y, &expected), "{outputs} outputs, class {class}");
            }
        }
    }

    #[test]
    fn labels_are_judged_by_the_side_of_each() {
        let (loss, t) = (Loss::BinaryCrossEntropy, [1.0, 0.0, 1.0]);
        assert!(is_correct(loss, true, &[0.6, 0.4, 0.9], &t));
        assert!(!is_correct(loss, true, &[0.4, 0.4, 0.9], &t) && is_correct(loss, false, &[0.95, 0.4, 0.9], &t));
        assert!(
            is_correct(Loss::Hinge, true, &[0.1, -0.1, 0.2], &t) && !is_correct(loss, true, &[0.6, f32::NAN, 0.5], &t)
        );
    }

    #[test]
    fn rows_side_by_side_are_judged_as_one_by_one() {
        let number = |i: usize| if i % 7 == 3 { f32::NAN } else { (i * i % 5) as f32 / 4.0 };
        for (outputs, lanes) in [(1, 8), (2, 1), (3, 4), (10, 16), (40, 16)] {
            let y: Vec<f32> = (0..outputs * lanes).map(number).collect();
            let t: Vec<f32> = (0..outputs * lanes).map(|i| number(i + 1)).collect();
            let row = |of: &[f32], i: usize| of[i..].iter().step_by(lanes).copied().collect::<Vec<_>>();
            for (used, labels) in (1..=lanes).flat_map(|used| [(used, false), (used, true)]) {
                let right = (0..used).filter(|i| is_correct(Loss::Mse, labels, &row(&y, *i), &row(&t, *i))).count();
                assert_eq!(
                    correct_by_column((Loss::Mse, labels), outputs, y.chunks(lanes), t.chunks(lanes))[..used]
                        .iter()
                        .sum::<u32>(),
                    right as u32,
                    "{outputs} outputs, {used} of {lanes}, labels {labels}"
                );
            }
        }
    }

    #[test]
    fn a_row_of_any_length_is_summed_and_nan_stays() {
        let sum = |len: usize| (0..len).map(|i| (i as f64).powi(2)).sum::<f64>();
        for len in [1, 3, 16, 17, 100] {
            let y: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(row_loss(Loss::Mse, &y, &vec![0.0; len]), sum(len));
            for loss in Loss::ALL {
                assert!(row_loss(*loss, &vec![f32::NAN; len], &vec![1.0; len]).is_nan(), "{loss}, {len} outputs");
            }
        }
        let uniform = row_loss(Loss::SoftmaxCrossEntropy, &[1e4; 8], &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!((uniform - 8f64.ln()).abs() < 1e-9);
    }
}
