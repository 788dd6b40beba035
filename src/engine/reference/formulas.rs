//! The formulas of a training step, one function each.

use crate::{
    metrics::row_metrics::log_sum_exp,
    nn::{
        activation::Activation,
        dense::Dense,
        loss::Loss,
        normalization::{EPSILON, Normalization},
        parameters::LayerParameters,
    },
    optim::optimizer::Optimizer,
};

/// The parameters of one layer in f64, or their gradients.
///
/// [`LayerParameters`] holds the same tensors in f32.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// The weights, `[outputs, inputs]`, row by row: all weights of a neuron are adjacent.
    pub weight: Vec<f64>,
    /// The biases, `[outputs]`.
    pub bias: Vec<f64>,
    /// The scales of a normalization, `[outputs]`; empty without normalization.
    #[doc(alias = "gain")]
    pub gamma: Vec<f64>,
    /// The offsets of a normalization, `[outputs]`; empty without normalization.
    #[doc(alias = "shift")]
    pub beta: Vec<f64>,
    /// The learned negative slopes of [`Activation::Prelu`], `[outputs]`; empty for other activations.
    pub prelu_slope: Vec<f64>,
}

impl Parameters {
    /// Returns the results of `f`, which is called once for each vector.
    pub(crate) fn map(&self, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let Self { weight, bias, gamma, beta, prelu_slope } = self;
        Self { weight: f(weight), bias: f(bias), gamma: f(gamma), beta: f(beta), prelu_slope: f(prelu_slope) }
    }

    /// Returns each vector, with whether it is the weight.
    pub(crate) fn vectors(&self) -> [(bool, &Vec<f64>); 5] {
        let Self { weight, bias, gamma, beta, prelu_slope } = self;
        [(true, weight), (false, bias), (false, gamma), (false, beta), (false, prelu_slope)]
    }

    /// Returns each vector, in the order of [`Parameters::vectors`].
    pub(crate) fn vectors_mut(&mut self) -> [&mut Vec<f64>; 5] {
        let Self { weight, bias, gamma, beta, prelu_slope } = self;
        [weight, bias, gamma, beta, prelu_slope]
    }
}

impl From<&LayerParameters> for Parameters {
    /// Converts the trained parameters of a layer from f32. Running statistics are not part of the result.
    fn from(layer: &LayerParameters) -> Self {
        let LayerParameters { weight, bias, gamma, beta, prelu_slope, .. } = layer;
        Self {
            weight: to_f64(weight),
            bias: to_f64(bias),
            gamma: to_f64(gamma),
            beta: to_f64(beta),
            prelu_slope: to_f64(prelu_slope),
        }
    }
}

/// Converts values from f32 to f64.
pub(crate) fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Computes the pre-activations and the outputs of a dense layer: `z = x W^T + b` and `a = activation(z)`.
///
/// Returns `(z, a)`. The formula is that of PyTorch's `nn.Linear`, followed by an activation.
///
/// # Shapes
/// - `x`: `[rows, inputs]`
/// - `z` and `a`: `[rows, outputs]`
#[doc(alias = "linear")]
#[doc(alias = "dense")]
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

/// Computes the outputs of a layer from its pre-activations: `a = activation(z)`.
///
/// [`Activation::Prelu`] uses the learned slope of each neuron for `z < 0` (He et al. 2015). Without learned slopes in
/// `parameters` the slope is 1.
///
/// # Shapes
/// - `z` and the result: `[rows, outputs]`
pub fn activate(layer: &Dense, parameters: &Parameters, z: &[f64]) -> Vec<f64> {
    let slope = |index: usize| parameters.prelu_slope.get(index % layer.outputs).copied().unwrap_or(1.0);
    let mut a = Vec::with_capacity(z.len());
    for (index, z) in z.iter().enumerate() {
        let is_scaled = layer.activation.has_parameters() && *z < 0.0;
        a.push(if is_scaled { slope(index) * z } else { layer.activation.apply(*z) });
    }
    a
}

/// Normalizes pre-activations: `(z - mean) / sqrt(variance + 1e-5)`.
///
/// [`Normalization::Layer`] takes mean and variance over each row (Ba et al. 2016). [`Normalization::Batch`] takes them
/// over each column (Ioffe and Szegedy 2015). The variance is the biased one, with the number of values as the divisor.
///
/// Returns the normalized values and the inverse standard deviations `1 / sqrt(variance + 1e-5)`.
///
/// # Shapes
/// - `z` and the normalized values: `[rows, outputs]`
/// - inverse standard deviations: `[rows]` for layer normalization, `[outputs]` for batch normalization
#[doc(alias = "layer_norm")]
#[doc(alias = "batch_norm")]
pub fn normalize(normalization: Normalization, outputs: usize, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let groups = NormalizationGroups { normalization, outputs };
    let (means, variances) = moments(normalization, outputs, z);
    let inverse_stds: Vec<f64> = variances.iter().map(|variance| 1.0 / (variance + EPSILON).sqrt()).collect();
    let mut normalized = Vec::with_capacity(z.len());
    for (index, z) in z.iter().enumerate() {
        let group = groups.group_of(index);
        normalized.push((z - means[group]) * inverse_stds[group]);
    }
    (normalized, inverse_stds)
}

/// The groups of values that share a mean and a variance, in a matrix `[rows, outputs]`.
#[derive(Clone, Copy)]
struct NormalizationGroups {
    normalization: Normalization,
    outputs: usize,
}

impl NormalizationGroups {
    /// Returns the number of groups among `len` values.
    const fn count(self, len: usize) -> usize {
        match self.normalization {
            Normalization::Layer => len / self.outputs,
            Normalization::Batch => self.outputs,
        }
    }

    /// Returns the group of a value.
    const fn group_of(self, index: usize) -> usize {
        match self.normalization {
            Normalization::Layer => index / self.outputs,
            Normalization::Batch => index % self.outputs,
        }
    }
}

/// Returns the means and the biased variances of the groups of a normalization.
pub(crate) fn moments(normalization: Normalization, outputs: usize, z: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let groups = NormalizationGroups { normalization, outputs };
    let group_count = groups.count(z.len());
    let group_size = (z.len() / group_count) as f64;
    let mut means = vec![0.0; group_count];
    for (index, z) in z.iter().enumerate() {
        means[groups.group_of(index)] += z / group_size;
    }
    let mut variances = vec![0.0; group_count];
    for (index, z) in z.iter().enumerate() {
        let group = groups.group_of(index);
        variances[group] += (z - means[group]).powi(2) / group_size;
    }
    (means, variances)
}

/// Computes the gradients of a normalization `y = gamma n + beta`, where `n` are the values of [`normalize`].
///
/// `delta` is `dLoss/dy` before the call and `dLoss/dz` after it:
///
/// ```text
/// dgamma = column sums of delta n
/// dbeta  = column sums of delta
/// d      = gamma delta
/// dz     = (d - mean(d) - n mean(d n)) / sqrt(variance + 1e-5)
/// ```
///
/// The means are over the same groups as in [`normalize`] (Ioffe and Szegedy 2015, section 3). `gradients` receives
/// `dgamma` and `dbeta`.
///
/// # Shapes
/// - `gamma`: `[outputs]`
/// - `normalized` and `delta`: `[rows, outputs]`
/// - `inverse_stds`: as returned by [`normalize`]
pub fn normalization_backward(
    normalization: Normalization,
    gamma: &[f64],
    (normalized, inverse_stds): (&[f64], &[f64]),
    delta: &mut [f64],
    gradients: &mut Parameters,
) {
    let outputs = gamma.len();
    let groups = NormalizationGroups { normalization, outputs };
    let group_count = groups.count(delta.len());
    let group_size = (delta.len() / group_count) as f64;
    (gradients.gamma, gradients.beta) = (vec![0.0; outputs], vec![0.0; outputs]);
    let (mut delta_means, mut product_means) = (vec![0.0; group_count], vec![0.0; group_count]);
    for (index, d) in delta.iter_mut().enumerate() {
        let (group, neuron) = (groups.group_of(index), index % outputs);
        gradients.gamma[neuron] += *d * normalized[index];
        gradients.beta[neuron] += *d;
        *d *= gamma[neuron];
        delta_means[group] += *d / group_size;
        product_means[group] += *d * normalized[index] / group_size;
    }
    for (index, d) in delta.iter_mut().enumerate() {
        let group = groups.group_of(index);
        *d = inverse_stds[group] * (*d - delta_means[group] - normalized[index] * product_means[group]);
    }
}

/// Computes the loss of a batch: the sum of the losses of all outputs, divided by [`Loss::mean_divisor`].
///
/// ```text
/// loss = sum over rows (sample weight * sum over outputs loss(y, t)) / mean_divisor
/// ```
///
/// The divisor counts rows, not sample weights. [`Loss::value`] defines the loss of one output.
///
/// # Shapes
/// - outputs `y` and targets `t`: `[rows, outputs]`
/// - `sample_weights`: `[rows]`, or empty if every sample weight is 1
#[doc(alias = "criterion")]
pub fn loss_value(loss: Loss, outputs: usize, y: &[f64], t: &[f64], sample_weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (row, (y, t)) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).enumerate() {
        let normalizer = log_sum_exp(y.iter().copied());
        let row_loss = y.iter().zip(t).map(|(y, t)| loss.value(*y, *t, normalizer, outputs)).sum::<f64>();
        sum += sample_weights.get(row).unwrap_or(&1.0) * row_loss;
    }
    sum / loss.mean_divisor(y.len() / outputs, outputs) as f64
}

/// Computes the delta of the output layer, `dLoss/dz`, for the loss of [`loss_value`].
///
/// ```text
/// delta = sample weight * dloss(y, t)/dy * activation'(z) / mean_divisor
/// ```
///
/// For a loss with a required output activation, such as softmax and cross-entropy, [`Loss::derivative`] is already
/// `dloss/dz`. The factor `activation'(z)` is then omitted.
///
/// # Shapes
/// - pre-activations `z`, outputs `y`, targets `t` and the result: `[rows, outputs]`
/// - `sample_weights`: `[rows]`, or empty if every sample weight is 1
pub fn output_delta(loss: Loss, layer: &Dense, z: &[f64], y: &[f64], t: &[f64], sample_weights: &[f64]) -> Vec<f64> {
    let scale = 1.0 / loss.mean_divisor(y.len() / layer.outputs, layer.outputs) as f64;
    let mut delta = Vec::with_capacity(y.len());
    let rows = z.chunks_exact(layer.outputs).zip(y.chunks_exact(layer.outputs)).zip(t.chunks_exact(layer.outputs));
    for (row, ((z, y), t)) in rows.enumerate() {
        let scale = scale * sample_weights.get(row).unwrap_or(&1.0);
        let normalizer_and_target_sum = (log_sum_exp(y.iter().copied()), t.iter().sum());
        for ((z, y), t) in z.iter().zip(y).zip(t) {
            let activation_derivative = match loss.required_output_activation() {
                Some(_) => 1.0,
                None => layer.activation.derivative(*z, *y),
            };
            let loss_derivative = loss.derivative(*y, *t, normalizer_and_target_sum, layer.outputs);
            delta.push(loss_derivative * activation_derivative * scale);
        }
    }
    delta
}

/// Computes the delta of the previous layer, `dLoss/dz = (delta W) activation'(z)` (Rumelhart, Hinton and Williams
/// 1986).
///
/// `layer`, `parameters` and `delta` belong to one layer. `previous_activation`, its pre-activations `z` and its
/// outputs `x` belong to the layer before it.
///
/// # Shapes
/// - `delta`: `[rows, outputs]`
/// - `z`, `x` and the result: `[rows, inputs]`
#[doc(alias = "backpropagation")]
pub fn input_delta(
    layer: &Dense,
    parameters: &Parameters,
    delta: &[f64],
    previous_activation: Activation,
    z: &[f64],
    x: &[f64],
) -> Vec<f64> {
    let mut result = Vec::with_capacity(x.len());
    for (row, delta) in delta.chunks_exact(layer.outputs).enumerate() {
        for i in 0..layer.inputs {
            let index = row * layer.inputs + i;
            let sum: f64 = delta.iter().enumerate().map(|(j, d)| d * parameters.weight[j * layer.inputs + i]).sum();
            result.push(sum * previous_activation.derivative(z[index], x[index]));
        }
    }
    result
}

/// Computes the gradients of the weights and biases of a layer: `dW = delta^T x`, and `db` = the column sums of
/// `delta`.
///
/// The other vectors of the result are empty. [`normalization_backward`] computes the gradients of `gamma` and `beta`.
///
/// # Shapes
/// - `x`: `[rows, inputs]`
/// - `delta`: `[rows, outputs]`
pub fn parameter_gradients(layer: &Dense, x: &[f64], delta: &[f64]) -> Parameters {
    let (weight, bias) = (vec![0.0; layer.inputs * layer.outputs], vec![0.0; layer.outputs]);
    let mut gradients = Parameters { weight, bias, ..Parameters::default() };
    let rows = x.chunks_exact(layer.inputs);
    for (x, delta) in rows.zip(delta.chunks_exact(layer.outputs)) {
        for (j, d) in delta.iter().enumerate() {
            gradients.bias[j] += d;
            for (i, x) in x.iter().enumerate() {
                gradients.weight[j * layer.inputs + i] += d * x;
            }
        }
    }
    gradients
}

/// Updates parameters with their gradients by the rule of an optimizer; see [`Optimizer::apply`] for the formula.
///
/// `t` is the number of the update, counted from 1. `is_bias` is true for every vector but the weights: the optimizer
/// may exclude these vectors from regularization. `state` holds the optimizer state of each parameter; all values of
/// one parameter are adjacent.
///
/// # Panics
/// If `parameters` is empty.
pub fn update(
    optimizer: &Optimizer,
    t: u64,
    is_bias: bool,
    parameters: &mut [f64],
    gradients: &[f64],
    state: &mut [f64],
) {
    let state_len = state.len() / parameters.len();
    for (i, (p, g)) in parameters.iter_mut().zip(gradients).enumerate() {
        *p = optimizer.apply(1.0, t, is_bias, *p, *g, &mut state[i * state_len..(i + 1) * state_len]);
    }
}

/// Returns the sums of two lists of gradients, layer by layer.
pub(crate) fn add_gradients(mut sums: Vec<Parameters>, gradients: &[Parameters]) -> Vec<Parameters> {
    for (layer_sums, layer_gradients) in sums.iter_mut().zip(gradients) {
        for (sums, (_, gradients)) in layer_sums.vectors_mut().into_iter().zip(layer_gradients.vectors()) {
            for (sum, gradient) in sums.iter_mut().zip(gradients) {
                *sum += gradient;
            }
        }
    }
    sums
}

/// Returns the mean of the gradients of several batches, clipped to a gradient norm of at most `max_norm`.
///
/// The factor of the clipping is `min(1, max_norm / (norm + 1e-6))`, as in PyTorch's `clip_grad_norm_`. The norm is
/// over all parameters of the network.
pub(crate) fn clip_mean_gradient(mut sums: Vec<Parameters>, batches: u64, max_norm: Option<f64>) -> Vec<Parameters> {
    let sum_squares = |layer: &Parameters| layer.vectors().into_iter().flat_map(|(_, v)| v).map(|g| g * g).sum::<f64>();
    let norm = sums.iter().map(sum_squares).sum::<f64>().sqrt() / batches as f64;
    let factor = max_norm.map_or(1.0, |max_norm| (max_norm / (norm + 1e-6)).min(1.0)) / batches as f64;
    for layer in &mut sums {
        for gradient in layer.vectors_mut().into_iter().flatten() {
            *gradient *= factor;
        }
    }
    sums
}
