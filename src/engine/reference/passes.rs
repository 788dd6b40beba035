//! The forward and the backward pass of the reference.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    engine::reference::{
        Reference, RunningStats,
        formulas::{
            Parameters, activate, forward, input_delta, loss_value, normalization_backward, normalize, output_delta,
            parameter_gradients,
        },
    },
    error::{Result, check_len},
    metrics::row_metrics::log_sum_exp,
    nn::{
        activation::Activation,
        normalization::{EPSILON, Normalization},
    },
};

/// The values of a layer in a forward pass.
#[derive(Default)]
pub(super) struct LayerTrace {
    /// The inputs of the activation: the pre-activations, after the normalization if the layer has one.
    pub(super) z: Vec<f64>,
    /// The outputs, after dropout.
    pub(super) a: Vec<f64>,
    /// The normalized values and the inverse standard deviations of [`normalize`]; empty without normalization.
    pub(super) normalized: Vec<f64>,
    pub(super) inverse_stds: Vec<f64>,
}

impl Reference {
    /// Returns the outputs, `[rows, outputs]`, for inputs `[rows, inputs]`.
    ///
    /// A prediction uses no dropout. Batch normalization uses the running statistics. If the output layer is a softmax,
    /// the outputs are probabilities.
    ///
    /// # Errors
    /// [`Error::Shape`] if `inputs` is empty or has an incomplete row.
    #[doc(alias = "forward")]
    pub fn predict(&self, inputs: &[f64]) -> Result<Vec<f64>> {
        Ok(self.activations(inputs)?.pop().unwrap_or_default())
    }

    /// Returns the outputs of every layer in a prediction, `[rows, outputs]` of the layer, for inputs `[rows, inputs]`.
    ///
    /// The last entry equals the result of [`Reference::predict`].
    ///
    /// # Errors
    /// [`Error::Shape`] if `inputs` is empty or has an incomplete row.
    pub fn activations(&self, inputs: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.row_count(inputs)?;
        let mut activations: Vec<Vec<f64>> = self.forward_all(inputs, false).into_iter().map(|layer| layer.a).collect();
        if let Some(y) = activations.last_mut().filter(|_| self.network.ends_with_softmax()) {
            for row in y.chunks_exact_mut(self.network.outputs()) {
                let normalizer = log_sum_exp(row.iter().copied());
                row.iter_mut().for_each(|y| *y = (*y - normalizer).exp());
            }
        }
        Ok(activations)
    }

    /// Returns the loss of a batch in training: batch normalization uses the statistics of the batch.
    ///
    /// # Shapes
    /// - `inputs`: `[rows, inputs]`
    /// - `targets`: `[rows, outputs]`
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs or targets does not match the network or the number of rows.
    pub fn loss(&self, inputs: &[f64], targets: &[f64]) -> Result<f64> {
        self.row_count(inputs)?;
        let y = self.forward_all(inputs, true).pop().map_or_else(Vec::new, |output_layer| output_layer.a);
        check_len("targets", y.len(), targets.len())?;
        Ok(loss_value(self.loss, self.network.outputs(), &y, targets, &[]))
    }

    /// Returns the gradients of the loss of a batch, layer by layer. They are not clipped.
    ///
    /// # Shapes
    /// - `inputs`: `[rows, inputs]`
    /// - `targets`: `[rows, outputs]`
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs or targets does not match the network or the number of rows.
    #[doc(alias = "backward")]
    #[doc(alias = "backpropagation")]
    pub fn gradients(&self, inputs: &[f64], targets: &[f64]) -> Result<Vec<Parameters>> {
        self.gradients_weighted(inputs, targets, &[])
    }

    /// Returns the gradients like [`Reference::gradients`], with one sample weight per row. An empty slice sets every
    /// sample weight to 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs, targets or sample weights does not match the network or the number of
    /// rows.
    pub fn gradients_weighted(
        &self,
        inputs: &[f64],
        targets: &[f64],
        sample_weights: &[f64],
    ) -> Result<Vec<Parameters>> {
        let rows = self.row_count(inputs)?;
        check_len("targets", rows * self.network.outputs(), targets.len())?;
        if !sample_weights.is_empty() {
            check_len("sample_weights", rows, sample_weights.len())?;
        }
        let (layers, traces) = (self.network.layers(), self.forward_all(inputs, true));
        let mut gradients = Vec::with_capacity(layers.len());
        let mut delta = Vec::new();
        for (l, layer) in layers.iter().enumerate().rev() {
            let LayerTrace { z, a, normalized, inverse_stds } = &traces[l];
            delta = match layers.get(l + 1) {
                None => output_delta(self.loss, layer, z, a, targets, sample_weights),
                Some(next) => {
                    // The derivative is at the output before dropout. That of a PReLU follows below.
                    let activation =
                        if layer.activation.has_parameters() { Activation::Identity } else { layer.activation };
                    let a: Vec<f64> = z.iter().map(|z| activation.apply(*z)).collect();
                    input_delta(next, &self.parameters[l + 1], &delta, activation, z, &a)
                }
            };
            if let Some(factors) = self.dropout_factors.get(l) {
                delta.iter_mut().zip(factors).for_each(|(delta, factor)| *delta *= factor);
            }
            let mut layer_gradients = Parameters::default();
            let parameters = &self.parameters[l];
            if layer.activation.has_parameters() {
                layer_gradients.prelu_slope = vec![0.0; layer.outputs];
                for (index, (delta, z)) in delta.iter_mut().zip(z).enumerate() {
                    let neuron = index % layer.outputs;
                    layer_gradients.prelu_slope[neuron] += *delta * z.min(0.0);
                    *delta *= if *z > 0.0 { 1.0 } else { parameters.prelu_slope[neuron] };
                }
            }
            if let Some(normalization) = layer.normalization {
                normalization_backward(
                    normalization,
                    &parameters.gamma,
                    (normalized, inverse_stds),
                    &mut delta,
                    &mut layer_gradients,
                );
            }
            let x = if l == 0 { inputs } else { &traces[l - 1].a };
            let Parameters { weight, bias, .. } = parameter_gradients(layer, x, &delta);
            gradients.push(Parameters { weight, bias, ..layer_gradients });
        }
        gradients.reverse();
        Ok(gradients)
    }

    /// Returns the number of rows in `inputs`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `inputs` is empty or has an incomplete row.
    pub(super) fn row_count(&self, inputs: &[f64]) -> Result<usize> {
        let rows = inputs.len().div_ceil(self.network.inputs()).max(1);
        check_len("inputs", rows * self.network.inputs(), inputs.len())?;
        Ok(rows)
    }

    /// Runs the forward pass, and returns the values of every layer. In training, batch normalization uses the
    /// statistics of the batch, otherwise the running statistics.
    pub(super) fn forward_all(&self, inputs: &[f64], is_training: bool) -> Vec<LayerTrace> {
        let mut traces: Vec<LayerTrace> = Vec::with_capacity(self.parameters.len());
        for (l, (layer, parameters)) in self.network.layers().iter().zip(&self.parameters).enumerate() {
            let x = traces.last().map_or(inputs, |previous| &previous.a);
            let mut trace = LayerTrace { z: forward(layer, parameters, x).0, ..LayerTrace::default() };
            if let Some(normalization) = layer.normalization {
                (trace.normalized, trace.inverse_stds) = if normalization == Normalization::Batch && !is_training {
                    let RunningStats { mean, var } = &self.running_stats[l];
                    let normalize_value = |(index, z): (usize, &f64)| {
                        let neuron = index % layer.outputs;
                        (z - mean[neuron]) / (var[neuron] + EPSILON).sqrt()
                    };
                    (trace.z.iter().enumerate().map(normalize_value).collect(), Vec::new())
                } else {
                    normalize(normalization, layer.outputs, &trace.z)
                };
                for (index, (z, normalized)) in trace.z.iter_mut().zip(&trace.normalized).enumerate() {
                    let neuron = index % layer.outputs;
                    *z = parameters.gamma[neuron] * normalized + parameters.beta[neuron];
                }
            }
            trace.a = activate(layer, parameters, &trace.z);
            if let Some(factors) = self.dropout_factors.get(l) {
                trace.a.iter_mut().zip(factors).for_each(|(a, factor)| *a *= factor);
            }
            traces.push(trace);
        }
        traces
    }
}
