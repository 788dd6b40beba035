//! The formulas of a step, one function each.

use crate::{
    metrics::row_metrics::log_sum_exp,
    nn::{
        activation::Activation,
        layout::LayerParameters,
        loss::Loss,
        network::Dense,
        normalization::{EPSILON, Normalization},
    },
    optim::optimizer::Optimizer,
};

/// The weights and biases of one layer, or their gradients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// `[outputs, inputs]`, row by row: the weights of one neuron after the other.
    pub weight: Vec<f64>,
    /// `[outputs]`
    pub bias: Vec<f64>,
    /// `[outputs]`: what a norm multiplies by; empty without one.
    pub gamma: Vec<f64>,
    /// `[outputs]`: what a norm adds; empty without one.
    pub beta: Vec<f64>,
    /// `[outputs]`: learned slopes; empty without them.
    pub prelu_slope: Vec<f64>,
}

impl Parameters {
    /// The same of each of the vectors.
    pub(crate) fn map(&self, of: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let Self { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = self;
        Self { weight: of(weight), bias: of(bias), gamma: of(gain), beta: of(shift), prelu_slope: of(slope) }
    }

    /// All of them, and whether it is the weights.
    pub(crate) fn vectors(&self) -> [(bool, &Vec<f64>); 5] {
        let Self { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = self;
        [(true, weight), (false, bias), (false, gain), (false, shift), (false, slope)]
    }

    pub(crate) fn vectors_mut(&mut self) -> [&mut Vec<f64>; 5] {
        let Self { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = self;
        [weight, bias, gain, shift, slope]
    }
}

impl From<&LayerParameters> for Parameters {
    fn from(layer: &LayerParameters) -> Self {
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let LayerParameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope, .. } = layer;
        Self { weight: wide(weight), bias: wide(bias), gamma: wide(gain), beta: wide(shift), prelu_slope: wide(slope) }
    }
}

/// `z = x W^T + b` and `a = activation(z)`, in this order.
///
/// # Shapes
/// - x: `[rows, inputs]`
/// - z and a: `[rows, outputs]`
pub fn forward(layer: &Dense, parameters: &Parameters, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut z = Vec::with_capacity(x.len() / layer.inputs * layer.outputs);
    for x in x.chunks_exact(layer.inputs) {
        for (weight, bias) in parameters.weight.chunks_exact(layer.inputs).zip(&parameters.bias) {
            z.push(weight.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias);
        }
    }
    let a = activate(layer, parameters, &z);
    (z, a)
}

/// The activation of `z`, `[rows, outputs]`; where slopes are learned, each neuron has its own.
pub fn activate(layer: &Dense, parameters: &Parameters, z: &[f64]) -> Vec<f64> {
    let slope = |i: usize| parameters.prelu_slope.get(i % layer.outputs).copied().unwrap_or(1.0);
    let apply = |(i, z): (usize, &f64)| {
        if layer.activation.has_parameters() && *z < 0.0 { slope(i) * z } else { layer.activation.apply(*z) }
    };
    z.iter().enumerate().map(apply).collect()
}

/// `(z - mean) / sqrt(variance + epsilon)` over each of some groups of the sums, and one over those roots: a group is a
/// row or a column, as [`Normalization`] says.
///
/// # Shapes
/// - z and the first result: `[rows, outputs]`
/// - the second result: `[rows]` or `[outputs]`
pub fn normalize(normalization: Normalization, outputs: usize, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (group, groups) = normalization_groups(normalization, outputs, z.len());
    let (means, variances) = moments(normalization, outputs, z);
    let inverses: Vec<f64> = (0..groups).map(|g| 1.0 / (variances[g] + EPSILON).sqrt()).collect();
    let normed = z.iter().enumerate().map(|(at, z)| (z - means[group(at)]) * inverses[group(at)]);
    (normed.collect(), inverses)
}

/// To which group each number belongs, and how many groups there are.
fn normalization_groups(normalization: Normalization, outputs: usize, len: usize) -> (impl Fn(usize) -> usize, usize) {
    let is_layer = normalization == Normalization::Layer;
    let group = move |at: usize| if is_layer { at / outputs } else { at % outputs };
    (group, if is_layer { len / outputs } else { outputs })
}

/// Mean and variance of each group.
pub(crate) fn moments(normalization: Normalization, outputs: usize, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (group, groups) = normalization_groups(normalization, outputs, z.len());
    let count = (z.len() / groups) as f64;
    let mut means = vec![0.0; groups];
    z.iter().enumerate().for_each(|(at, z)| means[group(at)] += z / count);
    let mut variances = vec![0.0; groups];
    z.iter().enumerate().for_each(|(at, z)| variances[group(at)] += (z - means[group(at)]).powi(2) / count);
    (means, variances)
}

/// What a norm makes of `delta`, `dLoss/dy` of `y = gain normed + shift`: `dLoss/dz` in its place, and the gradients of gain
/// and shift, which go into `gradients`.
///
/// # Shapes
/// - delta, normed: `[rows, outputs]`
/// - inverses: as `normalised` gives them
pub fn normalization_backward(
    normalization: Normalization,
    gain: &[f64],
    (normed, inverses): (&[f64], &[f64]),
    delta: &mut [f64],
    gradients: &mut Parameters,
) {
    let outputs = gain.len();
    let (group, groups) = normalization_groups(normalization, outputs, delta.len());
    let count = (delta.len() / groups) as f64;
    (gradients.gamma, gradients.beta) = (vec![0.0; outputs], vec![0.0; outputs]);
    let (mut means, mut slopes) = (vec![0.0; groups], vec![0.0; groups]);
    for (at, d) in delta.iter_mut().enumerate() {
        let j = at % outputs;
        gradients.gamma[j] += *d * normed[at];
        gradients.beta[j] += *d;
        *d *= gain[j];
        means[group(at)] += *d / count;
        slopes[group(at)] += *d * normed[at] / count;
    }
    for (at, d) in delta.iter_mut().enumerate() {
        let g = group(at);
        *d = inverses[g] * (*d - means[g] - normed[at] * slopes[g]);
    }
}

/// The loss of a batch: the mean, over what [`Loss::mean_divisor`] says, of the outputs `y` against the expected `t`, that of
/// a row times its weight.
///
/// # Shapes
/// - y and t: `[rows, outputs]`
/// - weights: `[rows]`, or empty where each is 1
pub fn loss_value(loss: Loss, outputs: usize, y: &[f64], t: &[f64], weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (row, (y, t)) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).enumerate() {
        let normalizer = log_sum_exp(y.iter().copied());
        let of_row = y.iter().zip(t).map(|(y, t)| loss.value(*y, *t, normalizer, outputs)).sum::<f64>();
        sum += weights.get(row).unwrap_or(&1.0) * of_row;
    }
    sum / loss.mean_divisor(y.len() / outputs, outputs) as f64
}

/// `dLoss/dz` of the output layer, the mean's divisor and the weights included.
///
/// # Shapes
/// - z, y, t and the delta: `[rows, outputs]`
/// - weights: `[rows]`, or empty where each is 1
pub fn output_delta(loss: Loss, layer: &Dense, z: &[f64], y: &[f64], t: &[f64], weights: &[f64]) -> Vec<f64> {
    let scale = 1.0 / loss.mean_divisor(y.len() / layer.outputs, layer.outputs) as f64;
    let mut delta = Vec::with_capacity(y.len());
    let rows = z.chunks_exact(layer.outputs).zip(y.chunks_exact(layer.outputs)).zip(t.chunks_exact(layer.outputs));
    for (row, ((z, y), t)) in rows.enumerate() {
        let scale = scale * weights.get(row).unwrap_or(&1.0);
        let of_row = (log_sum_exp(y.iter().copied()), t.iter().sum());
        for ((z, y), t) in z.iter().zip(y).zip(t) {
            let slope = match loss.required_output_activation() {
                Some(_) => 1.0,
                None => layer.activation.derivative(*z, *y),
            };
            delta.push(loss.derivative(*y, *t, of_row, layer.outputs) * slope * scale);
        }
    }
    delta
}

/// `delta W` times the slope of the activation before: `dLoss/dz` of the layer before `layer`, whose sums were `z`
/// and whose outputs were `x`.
///
/// # Shapes
/// - delta: `[rows, outputs]`
/// - z, x and the result: `[rows, inputs]`
pub fn input_delta(
    layer: &Dense,
    parameters: &Parameters,
    delta: &[f64],
    before: Activation,
    z: &[f64],
    x: &[f64],
) -> Vec<f64> {
    let mut result = Vec::with_capacity(x.len());
    for (row, delta) in delta.chunks_exact(layer.outputs).enumerate() {
        for i in 0..layer.inputs {
            let at = row * layer.inputs + i;
            let sum: f64 = delta.iter().enumerate().map(|(j, d)| d * parameters.weight[j * layer.inputs + i]).sum();
            result.push(sum * before.derivative(z[at], x[at]));
        }
    }
    result
}

/// `dW = delta^T x`, and `db` = the column sums of delta.
///
/// # Shapes
/// - x: `[rows, inputs]`
/// - delta: `[rows, outputs]`
pub fn parameter_gradients(layer: &Dense, x: &[f64], delta: &[f64]) -> Parameters {
    let (weight, bias) = (vec![0.0; layer.inputs * layer.outputs], vec![0.0; layer.outputs]);
    let mut sums = Parameters { weight, bias, ..Parameters::default() };
    let rows = x.chunks_exact(layer.inputs);
    for (x, delta) in rows.zip(delta.chunks_exact(layer.outputs)) {
        for (j, d) in delta.iter().enumerate() {
            sums.bias[j] += d;
            for (i, x) in x.iter().enumerate() {
                sums.weight[j * layer.inputs + i] += d * x;
            }
        }
    }
    sums
}

/// Changes `parameters` by their gradients in update `t`, from 1; `state` holds the optimizer's numbers for each, side by
/// side. See [`Optimizer::apply`].
pub fn update(
    optimizer: &Optimizer,
    t: u64,
    is_bias: bool,
    parameters: &mut [f64],
    gradients: &[f64],
    state: &mut [f64],
) {
    let planes = state.len() / parameters.len();
    for (i, (p, g)) in parameters.iter_mut().zip(gradients).enumerate() {
        *p = optimizer.apply(1.0, t, is_bias, *p, *g, &mut state[i * planes..(i + 1) * planes]);
    }
}

/// The sums of gradients and more of them.
pub(crate) fn add_gradients(mut sums: Vec<Parameters>, gradients: &[Parameters]) -> Vec<Parameters> {
    for (sum, more) in sums.iter_mut().zip(gradients) {
        for (sum, (_, more)) in sum.vectors_mut().into_iter().zip(more.vectors()) {
            sum.iter_mut().zip(more).for_each(|(sum, g)| *sum += g);
        }
    }
    sums
}

/// The mean of the gradients of so many batches, all of them together no longer than `most`.
pub(crate) fn clip_mean_gradient(mut sums: Vec<Parameters>, batches: u64, max: Option<f64>) -> Vec<Parameters> {
    let squares = |layer: &Parameters| layer.vectors().into_iter().flat_map(|(_, v)| v).map(|g| g * g).sum::<f64>();
    let all = |sums: &[Parameters]| sums.iter().map(squares).sum::<f64>();
    let length = all(&sums).sqrt() / batches as f64;
    let factor = max.map_or(1.0, |most| (most / (length + 1e-6)).min(1.0)) / batches as f64;
    for sum in &mut sums {
        sum.vectors_mut().into_iter().flatten().for_each(|g| *g *= factor);
    }
    sums
}
