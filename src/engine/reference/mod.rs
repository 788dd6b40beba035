//! The reference: a trainer in plain f64 loops, written directly from the formulas.
//!
//! gradus tests every faster engine against it. Read it to learn how a step works: [`Reference`] is the trainer, and
//! the functions of this module are its formulas.
//!
//! All matrices are stored row by row. Weights are `[outputs, inputs]`, as in PyTorch. `rows` is the number of rows in
//! a batch. Names in formulas: `x` inputs, `z` pre-activations, `a` or `y` outputs, `t` targets, `delta` is `dLoss/dz`.
//!
//! ```
//! use gradus::{Activation, Loss, Network, Optimizer, nn::LayerParameters, reference::Reference};
//! let network = Network::new(1).dense(1, Activation::Identity);
//! let initial = [LayerParameters::new(vec![1.0], vec![0.0])];
//! let mut reference = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.25), &initial)?;
//! // The output is 1 and the target 3: the loss is 4, and both gradients are 2 (1 - 3) = -4.
//! assert_eq!(reference.step(&[1.0], &[3.0])?, 4.0);
//! assert_eq!(reference.parameters()[0].weight, [2.0]);
//! # Ok::<(), gradus::Error>(())
//! ```

pub(crate) mod formulas;
pub(crate) mod passes;

pub use formulas::{
    Parameters, activate, forward, input_delta, loss_value, normalization_backward, normalize, output_delta,
    parameter_gradients, update,
};

#[cfg(doc)]
use crate::error::Error;
use crate::{
    engine::reference::formulas::{add_gradients, clip_mean_gradient, moments, to_f64},
    error::{Result, check_len},
    nn::{
        loss::Loss,
        network::Network,
        normalization::{MOMENTUM, Normalization},
        parameters::LayerParameters,
    },
    optim::optimizer::Optimizer,
};

/// A trainer of one network in f64, without a data set: the caller passes every batch.
///
/// It supports every network, loss and optimizer of gradus. It is slow, because it favors readable code over speed.
#[derive(Debug, Clone)]
pub struct Reference {
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    parameters: Vec<Parameters>,
    /// The optimizer state of each layer. The values of one parameter are adjacent.
    optimizer_states: Vec<Parameters>,
    /// The number of updates so far.
    updates: u64,
    /// The number of batches per update.
    gradient_accumulation: u64,
    /// The number of batches since the last update.
    accumulated_batches: u64,
    /// The sums of the gradients of these batches, layer by layer.
    gradient_sums: Vec<Parameters>,
    /// The dropout factors of the outputs of each layer in the current step; empty without dropout.
    dropout_factors: Vec<Vec<f64>>,
    /// The running statistics of each layer; empty vectors for layers without batch normalization.
    running_stats: Vec<RunningStats>,
}

/// The running statistics of a layer with batch normalization.
#[derive(Debug, Clone)]
struct RunningStats {
    mean: Vec<f64>,
    var: Vec<f64>,
}

impl Reference {
    /// Creates a trainer that starts with the given parameters.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the network or the optimizer is invalid, or if the loss does not allow the
    /// activation of the output layer.
    /// [`Error::Shape`] if the shapes of the parameters do not match the network.
    pub fn new(network: &Network, loss: Loss, optimizer: Optimizer, parameters: &[LayerParameters]) -> Result<Self> {
        network.check()?;
        optimizer.check()?;
        network.check_parameters(parameters)?;
        if let Some(output_layer) = network.layers().last() {
            loss.check_output(output_layer.activation)?;
        }
        let initial_state = |values: &[f64]| {
            let state_len = optimizer.state_per_parameter();
            let mut state = vec![0.0; values.len() * state_len];
            // The EMA is the last state value of a parameter. It starts as the initial parameter.
            if optimizer.ema_decay.is_some() {
                for (state, value) in state.chunks_exact_mut(state_len).zip(values) {
                    state[state_len - 1] = *value;
                }
            }
            state
        };
        let running_stats = |layer: &LayerParameters| RunningStats {
            mean: to_f64(&layer.running_mean),
            var: to_f64(&layer.running_var),
        };
        let running_stats = parameters.iter().map(running_stats).collect();
        let parameters: Vec<_> = parameters.iter().map(Parameters::from).collect();
        Ok(Self {
            network: network.clone(),
            loss,
            optimizer,
            optimizer_states: parameters.iter().map(|layer| layer.map(initial_state)).collect(),
            parameters,
            running_stats,
            updates: 0,
            gradient_accumulation: 1,
            accumulated_batches: 0,
            gradient_sums: Vec::new(),
            dropout_factors: Vec::new(),
        })
    }

    /// Sets the number of batches per update; the default is 1.
    ///
    /// Each update uses the mean of the gradients of these batches, as
    /// [`TrainerSettings::gradient_accumulation`](crate::TrainerSettings::gradient_accumulation) does.
    #[must_use]
    pub const fn with_gradient_accumulation(mut self, batches: u64) -> Self {
        self.gradient_accumulation = batches;
        self
    }

    /// Trains on one batch, and returns the loss before the update.
    ///
    /// A step computes the gradients with [`Reference::gradients`]. It clips them to the gradient norm of the
    /// optimizer, and updates every parameter with [`Optimizer::apply`].
    ///
    /// # Shapes
    /// - `inputs`: `[rows, inputs]`
    /// - `targets`: `[rows, outputs]`
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs or targets does not match the network or the number of rows.
    #[doc(alias = "train_step")]
    pub fn step(&mut self, inputs: &[f64], targets: &[f64]) -> Result<f64> {
        self.step_weighted(inputs, targets, &[])
    }

    /// Trains on one batch like [`Reference::step`], with one sample weight per row. An empty slice sets every sample
    /// weight to 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs, targets or sample weights does not match the network or the number of
    /// rows.
    pub fn step_weighted(&mut self, inputs: &[f64], targets: &[f64], sample_weights: &[f64]) -> Result<f64> {
        let gradients = self.gradients_weighted(inputs, targets, sample_weights)?;
        let y = self.forward_all(inputs, true).pop().map_or_else(Vec::new, |output_layer| output_layer.a);
        let loss = loss_value(self.loss, self.network.outputs(), &y, targets, sample_weights);
        self.update_running_stats(inputs);
        let sums = std::mem::take(&mut self.gradient_sums);
        let sums = if sums.is_empty() { gradients } else { add_gradients(sums, &gradients) };
        self.accumulated_batches += 1;
        if self.accumulated_batches < self.gradient_accumulation {
            self.gradient_sums = sums;
            return Ok(loss);
        }
        let gradients =
            clip_mean_gradient(sums, std::mem::take(&mut self.accumulated_batches), self.optimizer.clip_norm);
        self.updates += 1;
        for ((parameters, gradients), states) in
            self.parameters.iter_mut().zip(&gradients).zip(&mut self.optimizer_states)
        {
            let vectors = parameters.vectors_mut().into_iter().zip(gradients.vectors()).zip(states.vectors_mut());
            for ((values, (is_weight, gradients)), state) in vectors {
                if !values.is_empty() {
                    update(&self.optimizer, self.updates, !is_weight, values, gradients, state);
                }
            }
        }
        Ok(loss)
    }

    /// Trains on one batch like [`Reference::step_weighted`], with given dropout factors.
    ///
    /// `factors` has one matrix `[rows, outputs]` per layer, which the outputs of the layer are multiplied by. A factor
    /// is 0 for a dropped output, and `1 / (1 - p)` for any other output (inverted dropout, Srivastava et al. 2014).
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of inputs, targets, sample weights or factors does not match the network or the
    /// number of rows.
    pub fn step_with_dropout(
        &mut self,
        inputs: &[f64],
        targets: &[f64],
        sample_weights: &[f64],
        factors: Vec<Vec<f64>>,
    ) -> Result<f64> {
        let rows = self.row_count(inputs)?;
        check_len("matrices of dropout factors", self.network.layers().len(), factors.len())?;
        for (index, (layer, factors)) in self.network.layers().iter().zip(&factors).enumerate() {
            check_len(&format!("dropout factors of layer {index}"), rows * layer.outputs, factors.len())?;
        }
        self.dropout_factors = factors;
        let loss = self.step_weighted(inputs, targets, sample_weights);
        self.dropout_factors.clear();
        loss
    }

    /// Returns the parameters, layer by layer.
    pub fn parameters(&self) -> &[Parameters] {
        &self.parameters
    }

    /// Returns the exponential moving average (EMA) of the parameters, layer by layer, or `None` if the optimizer keeps
    /// no EMA. See [`Optimizer::ema`].
    pub fn ema_parameters(&self) -> Option<Vec<Parameters>> {
        self.optimizer.ema_decay?;
        let state_len = self.optimizer.state_per_parameter();
        // The EMA is the last state value of a parameter.
        let ema = |state: &[f64]| state.iter().skip(state_len - 1).step_by(state_len).copied().collect();
        Some(self.optimizer_states.iter().map(|layer| layer.map(ema)).collect())
    }

    /// Sets the learning rate of all later updates.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the learning rate is negative or not finite.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate, ..self.optimizer };
        optimizer.check()?;
        self.optimizer = optimizer;
        Ok(())
    }

    /// Returns the running mean and the running variance of a layer with batch normalization, each `[outputs]`.
    ///
    /// Both are empty for any other layer. After each batch the mean moves by a tenth towards the mean of the batch,
    /// and the variance by a tenth towards the unbiased variance (PyTorch's `BatchNorm1d` with `momentum` 0.1).
    ///
    /// # Panics
    /// If the network has no layer of this index.
    pub fn running_stats(&self, layer: usize) -> (&[f64], &[f64]) {
        let RunningStats { mean, var } = &self.running_stats[layer];
        (mean, var)
    }

    /// Moves the running statistics towards the statistics of a batch.
    fn update_running_stats(&mut self, inputs: &[f64]) {
        if !self.network.has_batch_norm() {
            return;
        }
        let traces = self.forward_all(inputs, true);
        for (l, layer) in self.network.layers().iter().enumerate() {
            if layer.normalization != Some(Normalization::Batch) {
                continue;
            }
            let x = if l == 0 { inputs } else { &traces[l - 1].a };
            let (z, _) = forward(layer, &self.parameters[l], x);
            let (means, variances) = moments(Normalization::Batch, layer.outputs, &z);
            let rows = (z.len() / layer.outputs) as f64;
            let bessel_correction = if rows > 1.0 { rows / (rows - 1.0) } else { 1.0 };
            let RunningStats { mean, var } = &mut self.running_stats[l];
            for (j, (batch_mean, batch_variance)) in means.iter().zip(&variances).enumerate() {
                mean[j] += MOMENTUM * (batch_mean - mean[j]);
                var[j] += MOMENTUM * (bessel_correction * batch_variance - var[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Error,
        nn::{activation::Activation, init::Init},
    };

    /// Returns numbers in [-1, 1] without a visible pattern.
    fn pseudo_random(len: usize) -> Vec<f64> {
        (0..len).map(|i| (i as f64 * 12.9898).sin()).collect()
    }

    #[test]
    fn gradients_match_finite_differences_of_the_loss() {
        for activation in Activation::ALL {
            // The gradient of the relative loss treats its denominator as a constant.
            for loss in Loss::ALL.iter().filter(|loss| **loss != Loss::RelativeL2) {
                let output_activation = loss.required_output_activation().unwrap_or(*activation);
                let network =
                    Network::new(3).dense(5, Activation::Tanh).dense(4, *activation).dense(2, output_activation);
                let network = network.init(Init::Normal { std: 0.7 }, Init::Normal { std: 0.3 });
                let initial = network.layout().to_layers(&network.initial_parameters(4).unwrap());
                let mut reference = Reference::new(&network, *loss, Optimizer::sgd(0.1), &initial).unwrap();
                // Some rows have no class, and some have several classes.
                let (x, t) = (pseudo_random(7 * 3), [1.0, 0.0, 0.0, 1.0, 0.5, 1.0, 0.0].repeat(2));
                let gradients = reference.gradients(&x, &t).unwrap();
                assert_matches_finite_differences(
                    &mut reference,
                    &gradients,
                    (&x, &t),
                    &format!("{activation}, {loss}"),
                );
            }
        }
    }

    #[test]
    fn gradients_of_normalization_and_prelu_match_finite_differences_of_the_loss() {
        let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
        for network in [
            Network::new(3).dense(5, tanh).layer_norm().dense(4, Activation::Gelu).batch_norm().dense(2, tanh),
            Network::new(3).dense(5, prelu).dense(4, prelu).dense(2, tanh),
        ] {
            let network = network.init(Init::Normal { std: 0.7 }, Init::Normal { std: 0.3 });
            let mut initial = network.layout().to_layers(&network.initial_parameters(4).unwrap());
            network.layout().set_statistics(&network.initial_statistics(), &mut initial);
            let vectors = initial.iter_mut().flat_map(|l| [&mut l.gamma, &mut l.beta, &mut l.prelu_slope]);
            for (i, vector) in vectors.enumerate() {
                vector.iter_mut().enumerate().for_each(|(j, v)| *v += 0.1 * (3 * i + j) as f32);
            }
            let mut reference = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &initial).unwrap();
            let (x, t) = (pseudo_random(7 * 3), pseudo_random(14));
            let gradients = reference.gradients(&x, &t).unwrap();
            assert_eq!(gradients.len(), 3);
            assert_matches_finite_differences(&mut reference, &gradients, (&x, &t), &format!("{network:?}"));
        }
    }

    /// Asserts that the gradients match central differences of the loss.
    fn assert_matches_finite_differences(
        reference: &mut Reference,
        gradients: &[Parameters],
        (x, t): (&[f64], &[f64]),
        case: &str,
    ) {
        for (l, layer) in gradients.iter().enumerate() {
            for (kind, (_, gradients)) in layer.vectors().into_iter().enumerate() {
                assert_eq!(gradients.len(), reference.parameters[l].vectors()[kind].1.len(), "{case}, layer {l}");
                for (i, gradient) in gradients.iter().enumerate() {
                    let mut loss_after_moving_by = |distance: f64| {
                        reference.parameters[l].vectors_mut()[kind][i] += distance;
                        reference.loss(x, t).unwrap()
                    };
                    let step = 1e-5;
                    let (above, below) = (loss_after_moving_by(step), loss_after_moving_by(-2.0 * step));
                    loss_after_moving_by(step);
                    let difference = (above - below) / (2.0 * step);
                    assert!(
                        (gradient - difference).abs() < 1e-8,
                        "{case}, layer {l}, vector {kind}, parameter {i}: gradient {gradient}, difference {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn wrong_shapes_and_output_activations_return_an_error() {
        let network = Network::new(2).dense(1, Activation::Relu);
        let initial = network.layout().to_layers(&network.initial_parameters(0).unwrap());
        let new =
            |loss, parameters: &[LayerParameters]| Reference::new(&network, loss, Optimizer::sgd(0.1), parameters);
        assert!(matches!(new(Loss::Mse, &[]), Err(Error::Shape { .. })));
        assert!(matches!(new(Loss::SoftmaxCrossEntropy, &initial), Err(Error::InvalidSetting { .. })));
        let reference = new(Loss::Mse, &initial).unwrap();
        assert!(matches!(reference.predict(&[1.0; 3]), Err(Error::Shape { .. })));
        assert!(matches!(reference.gradients(&[1.0; 4], &[0.0]), Err(Error::Shape { .. })));
    }
}
