//! The metrics of a single row: its loss, and whether its prediction is correct.

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

/// The number of independent sums or maxima, which the compiler can keep in SIMD lanes.
const LANES: usize = 16;

/// Returns whether the outputs `y` of a row are correct for its targets `t`.
///
/// A single output, and each output of a multi-label row, must be on the same side of the decision threshold as its
/// target. Otherwise the largest output must have the index of the largest target; of equal values the first counts.
#[inline(always)]
pub(crate) fn is_correct(loss: Loss, is_multi_label: bool, y: &[f32], t: &[f32]) -> bool {
    match (y, t) {
        _ if is_multi_label => y.iter().zip(t).all(|(y, t)| (*y > loss.decision_threshold()) == (*t > 0.5)),
        ([y], [t]) => (*y > loss.decision_threshold()) == (*t > 0.5),
        _ => index_of_max(y) == index_of_max(t),
    }
}

/// Returns 1 for each correct row and 0 for each incorrect row, of at most [`LANES`] rows that are stored by column.
///
/// `y` and `t` yield one slice per output, with one value per row.
#[inline(always)]
pub(crate) fn correct_by_column<'a>(
    (loss, is_multi_label): (Loss, bool),
    outputs: usize,
    y: impl Iterator<Item = &'a [f32]>,
    t: impl Iterator<Item = &'a [f32]>,
) -> [u32; LANES] {
    #[inline(always)]
    fn predict_classes<'a>(columns: impl Iterator<Item = &'a [f32]>, outputs: usize, threshold: f32) -> [u32; LANES] {
        let (mut classes, mut max) = ([0; LANES], [f32::NEG_INFINITY; LANES]);
        for (column, values) in (0..).zip(columns) {
            if outputs == 1 {
                for (class, value) in classes.iter_mut().zip(values) {
                    *class = u32::from(*value > threshold);
                }
                continue;
            }
            for ((class, max), value) in classes.iter_mut().zip(&mut max).zip(values) {
                (*class, *max) = if *value > *max { (column, *value) } else { (*class, *max) };
            }
        }
        classes
    }
    if is_multi_label {
        return correct_labels_by_column(loss, y, t);
    }
    let (mut correct, targets) =
        (predict_classes(y, outputs, loss.decision_threshold()), predict_classes(t, outputs, 0.5));
    for (prediction, target) in correct.iter_mut().zip(targets) {
        *prediction = u32::from(*prediction == target);
    }
    correct
}

/// Computes [`correct_by_column`] for multi-label rows. A separate function, because inlining it makes a step of XOR,
/// which has classes, 4% slower.
#[cold]
#[inline(never)]
fn correct_labels_by_column<'a>(
    loss: Loss,
    y: impl Iterator<Item = &'a [f32]>,
    t: impl Iterator<Item = &'a [f32]>,
) -> [u32; LANES] {
    let mut correct = [1; LANES];
    for (y, t) in y.zip(t) {
        for ((correct, y), t) in correct.iter_mut().zip(y).zip(t) {
            *correct &= u32::from((*y > loss.decision_threshold()) == (*t > 0.5));
        }
    }
    correct
}

/// Returns the index of the first largest value; 0 if all values are NaN.
#[inline(always)]
fn index_of_max(values: &[f32]) -> u32 {
    // Find the maximum first and its index second: on AVX2, lanes that keep both a value and its index are not
    // vectorized.
    let max = fold_indexed(values, f32::NEG_INFINITY, |_, value| value, |a, b| if b > a { b } else { a });
    let index = fold_indexed(values, u32::MAX, |index, value| if value == max { index } else { u32::MAX }, u32::min);
    if index == u32::MAX { 0 } else { index }
}

/// Maps every index and value with `map`, and combines the results with `combine`, starting from `initial`.
#[inline(always)]
fn fold_indexed<T: Copy>(values: &[f32], initial: T, map: impl Fn(u32, f32) -> T, combine: impl Fn(T, T) -> T) -> T {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let rest_offset = (values.len() - rest.len()) as u32;
    let rest_result =
        (rest_offset..).zip(rest).fold(initial, |result, (index, value)| combine(result, map(index, *value)));
    if chunks.is_empty() {
        return rest_result;
    }
    let mut lanes = [initial; LANES];
    for (offset, chunk) in (0..).step_by(LANES).zip(chunks) {
        for lane in 0..LANES {
            lanes[lane] = combine(lanes[lane], map(offset + lane as u32, chunk[lane]));
        }
    }
    combine(reduce_lanes(lanes, &combine), rest_result)
}

/// Combines all lanes pairwise: the first half with the second half, until one value is left.
#[inline(always)]
fn reduce_lanes<T: Copy>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Calls a function with the loss of one output as its last argument. Each variant of [`Loss`] gets a closure with a
/// constant loss, so that the called function does not choose the loss again for every output.
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
    (@ $function:ident, $y:expr, ($($argument:expr),*), |$output:ident, $target:ident| $value:expr) => {
        $function($y, $($argument,)* #[inline(always)] |$output, $target| $value)
    };
}

/// Returns the sum of the losses of the outputs of a row, without the division by the number of outputs.
#[inline(always)]
pub(crate) fn row_loss(loss: Loss, y: &[f32], t: &[f32]) -> f64 {
    #[inline(always)]
    fn sum_losses(y: &[f32], t: &[f32], loss: impl Fn(f64, f64) -> f64) -> f64 {
        let output_loss = |(y, t): (&f32, &f32)| loss(f64::from(*y), f64::from(*t));
        let ((y_chunks, y_rest), (t_chunks, t_rest)) = (y.as_chunks::<LANES>(), t.as_chunks::<LANES>());
        let rest: f64 = y_rest.iter().zip(t_rest).map(output_loss).sum();
        if y_chunks.is_empty() {
            return rest;
        }
        let mut lanes = [0.0; LANES];
        for (y, t) in y_chunks.iter().zip(t_chunks) {
            for lane in 0..LANES {
                lanes[lane] += output_loss((&y[lane], &t[lane]));
            }
        }
        reduce_lanes(lanes, |a, b| a + b) + rest
    }
    with_loss!(sum_losses(loss, y, t))
}

/// Adds the loss of each output to the sum with the same index. The loss must not depend on the other outputs of the
/// row.
#[inline(always)]
pub(crate) fn add_losses(loss: Loss, y: &[f32], t: &[f32], sums: &mut [f64]) {
    #[inline(always)]
    fn add_each_loss(y: &[f32], t: &[f32], sums: &mut [f64], loss: impl Fn(f64, f64) -> f64) {
        for (sum, (y, t)) in sums.iter_mut().zip(y.iter().zip(t)) {
            *sum += loss(f64::from(*y), f64::from(*t));
        }
    }
    with_loss!(add_each_loss(loss, y, t, sums));
}

/// Returns `ln(sum e^y)` of the logits of a row. Subtracting the largest logit first prevents overflow.
#[inline(always)]
pub(crate) fn log_sum_exp(y: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = y.clone().fold(f64::NEG_INFINITY, f64::max);
    max + y.map(|y| (y - max).exp()).sum::<f64>().ln()
}

/// Computes the metrics of a data set on the host, from the outputs of a network.
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

    /// Returns the metrics of all rows of the data set, with the outputs of `predict`.
    pub(crate) fn evaluate_all(mut self, predict: impl Fn(&[f32]) -> Vec<f32>) -> Result<Metrics> {
        // The features and outputs of a batch take at most about 16 MiB.
        const MAX_BATCH_VALUES: usize = 4 << 20;
        let batch_size = (MAX_BATCH_VALUES / (self.inputs + self.outputs)).clamp(1, 16_384);
        for first in (0..self.data.rows()).step_by(batch_size) {
            let rows = first..(first + batch_size).min(self.data.rows());
            let mut features = vec![0.0; rows.len() * self.inputs];
            for (row, row_features) in rows.clone().zip(features.chunks_exact_mut(self.inputs)) {
                self.data.write_features(row, row_features);
            }
            self.data.check_read()?;
            self.add_rows(rows, predict(&features))?;
        }
        Ok(self.metrics)
    }

    /// Adds the outputs of some rows.
    pub(crate) fn add_rows(&mut self, rows: Range<usize>, outputs: Vec<f32>) -> Result<()> {
        // The loss needs logits. ln(softmax) restores them up to a constant, which does not change the softmax.
        // max() would hide NaN.
        let logit = |y: &f32| if *y < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { *y }.ln();
        let logits: Vec<f32> = if self.ends_with_softmax { outputs.iter().map(logit).collect() } else { Vec::new() };
        let loss_inputs = if self.ends_with_softmax { &logits } else { &outputs };
        let (width, mean_divisor) = (self.outputs, self.loss.mean_divisor(1, self.outputs) as f64);
        let (mut squared, mut absolute) = (vec![0.0; width], vec![0.0; width]);
        let mut targets = vec![0.0; width];
        let row_values = loss_inputs.chunks_exact(width).zip(outputs.chunks_exact(width));
        for (row, (y, row_outputs)) in rows.clone().zip(row_values) {
            self.data.write_target(row, &mut targets);
            let loss = row_loss(self.loss, y, &targets) / mean_divisor;
            let weight = f64::from(self.data.sample_weight(row));
            if self.task == Task::Classification {
                let [predicted, target] = match (y, targets.as_slice()) {
                    ([y], [t]) => [u32::from(*y > self.loss.decision_threshold()), u32::from(*t > 0.5)],
                    _ => [argmax(y), argmax(&targets)],
                };
                let rank = if width == 1 { u32::from(predicted != target) } else { rank(y, target as usize) };
                self.metrics.add_row(target, predicted, rank, loss as f32, weight)?;
            } else {
                self.metrics.add_loss(loss * weight, weight)?;
                self.metrics.add_labels(y, &targets, self.loss.decision_threshold(), weight);
            }
            for (output, (y, t)) in row_outputs.iter().zip(&targets).enumerate() {
                let error = f64::from(*y) - f64::from(*t);
                squared[output] += weight * error * error;
                absolute[output] += weight * error.abs();
            }
        }
        if let Targets::Values(values) = self.data.targets() {
            let weights: Option<Vec<f64>> = self
                .data
                .sample_weights()
                .map(|weights| weights[rows.clone()].iter().map(|weight| f64::from(*weight)).collect());
            let targets = &values[rows.start * width..rows.end * width];
            self.metrics.add_outputs(targets, weights.as_deref(), &squared, &absolute)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_output_is_correct_on_the_target_side_of_the_threshold() {
        assert!(is_correct(Loss::Mse, false, &[0.7], &[1.0]) && is_correct(Loss::Mse, false, &[0.5], &[0.0]));
        assert!(is_correct(Loss::Hinge, false, &[0.1], &[1.0]));
        assert!(is_correct(Loss::BinaryCrossEntropyWithLogits, false, &[-0.1], &[0.0]));
        assert!(!is_correct(Loss::Mse, false, &[0.5], &[1.0]) && !is_correct(Loss::Mse, false, &[f32::NAN], &[1.0]));
    }

    #[test]
    fn several_outputs_are_correct_if_the_first_largest_is_the_target() {
        for outputs in [2, 3, 16, 17, 40] {
            for class in 0..outputs {
                let mut targets = vec![0.0; outputs];
                targets[class] = 1.0;
                let mut y = vec![-2.0; outputs];
                y[class] = -1.0;
                assert!(is_correct(Loss::Mse, false, &y, &targets), "{outputs} outputs, class {class}");
                y[outputs - 1] = -1.0;
                assert!(
                    is_correct(Loss::Mse, false, &y, &targets),
                    "{outputs} outputs, class {class}, and an equal last output"
                );
                y[(class + 1) % outputs] = 0.0;
                assert!(
                    !is_correct(Loss::Mse, false, &y, &targets),
                    "{outputs} outputs, class {class}, and a larger next output"
                );
            }
        }
    }

    #[test]
    fn a_multi_label_row_is_correct_if_every_label_is_correct() {
        let (loss, t) = (Loss::BinaryCrossEntropy, [1.0, 0.0, 1.0]);
        assert!(is_correct(loss, true, &[0.6, 0.4, 0.9], &t));
        assert!(!is_correct(loss, true, &[0.4, 0.4, 0.9], &t) && is_correct(loss, false, &[0.95, 0.4, 0.9], &t));
        assert!(is_correct(Loss::Hinge, true, &[0.1, -0.1, 0.2], &t));
        assert!(!is_correct(loss, true, &[0.6, f32::NAN, 0.5], &t));
    }

    #[test]
    fn rows_by_column_are_correct_if_each_row_alone_is() {
        let value = |i: usize| if i % 7 == 3 { f32::NAN } else { (i * i % 5) as f32 / 4.0 };
        for (outputs, stride) in [(1, 8), (2, 1), (3, 4), (10, 16), (40, 16)] {
            let y: Vec<f32> = (0..outputs * stride).map(value).collect();
            let t: Vec<f32> = (0..outputs * stride).map(|i| value(i + 1)).collect();
            let row = |columns: &[f32], i: usize| columns[i..].iter().step_by(stride).copied().collect::<Vec<_>>();
            for (rows, is_multi_label) in (1..=stride).flat_map(|rows| [(rows, false), (rows, true)]) {
                let expected =
                    (0..rows).filter(|i| is_correct(Loss::Mse, is_multi_label, &row(&y, *i), &row(&t, *i))).count();
                let correct =
                    correct_by_column((Loss::Mse, is_multi_label), outputs, y.chunks(stride), t.chunks(stride));
                assert_eq!(
                    correct[..rows].iter().sum::<u32>(),
                    expected as u32,
                    "{outputs} outputs, {rows} of {stride} rows, is_multi_label {is_multi_label}"
                );
            }
        }
    }

    #[test]
    fn the_loss_of_a_row_is_the_sum_over_its_outputs_and_keeps_nan() {
        let sum_of_squares = |len: usize| (0..len).map(|i| (i as f64).powi(2)).sum::<f64>();
        for len in [1, 3, 16, 17, 100] {
            let y: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(row_loss(Loss::Mse, &y, &vec![0.0; len]), sum_of_squares(len));
            for loss in Loss::ALL {
                assert!(row_loss(*loss, &vec![f32::NAN; len], &vec![1.0; len]).is_nan(), "{loss}, {len} outputs");
            }
        }
        let uniform = row_loss(Loss::SoftmaxCrossEntropy, &[1e4; 8], &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!((uniform - 8f64.ln()).abs() < 1e-9);
    }
}
