//! A trainer in plain f64 loops, straight from the formulas: the judge of every faster one. It is written to be read.
//!
//! All matrices lie row by row, and weights are `[outputs, inputs]`, as in PyTorch; `rows` is how many a batch has.

pub(crate) mod formulas;

pub use formulas::{
    Parameters, activate, forward, input_delta, loss_value, normalization_backward, normalize, output_delta,
    parameter_gradients, update,
};

use crate::engine::reference::formulas::{add_gradients, clip_mean_gradient, moments};

#[cfg(doc)]
use crate::error::Error;
use crate::{
    error::{Result, check_len},
    metrics::row_metrics::log_sum_exp,
    nn::{
        activation::Activation,
        layout::LayerParameters,
        loss::Loss,
        network::Network,
        normalization::{EPSILON, MOMENTUM, Normalization},
    },
    optim::optimizer::Optimizer,
};

/// A network in training, in f64.
#[derive(Debug, Clone)]
pub struct Reference {
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    parameters: Vec<Parameters>,
    /// What the optimizer keeps for the weights and biases of each layer.
    optimizer_states: Vec<Parameters>,
    updates: u64,
    /// How many batches make an update, how many of the next one's there were, and the sums of their gradients.
    gradient_accumulation: u64,
    accumulated_batches: u64,
    gradient_sums: Vec<Parameters>,
    /// What the outputs of each layer are multiplied by in the present step: nothing, or dropout's factors.
    dropout_factors: Vec<Vec<f64>>,
    /// The running mean and variance of each layer's sums, for batch norms.
    running_stats: Vec<(Vec<f64>, Vec<f64>)>,
}

/// What a layer has made of a batch.
#[derive(Default)]
struct LayerTrace {
    /// What the activation took, and what came out.
    y: Vec<f64>,
    a: Vec<f64>,
    /// Of a norm, as [`normalised`] gives it.
    normalized: Vec<f64>,
    inverse_stds: Vec<f64>,
}

impl Reference {
    /// A trainer that starts from `parameters`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the network cannot be built or its last activation is not the one that the loss demands,
    /// [`Error::Shape`] if the parameters are not this network's.
    pub fn new(network: &Network, loss: Loss, optimizer: Optimizer, parameters: &[LayerParameters]) -> Result<Self> {
        network.check()?;
        optimizer.check()?;
        network.check_parameters(parameters)?;
        network.layers().last().map_or(Ok(()), |layer| loss.check_output(layer.activation))?;
        let kept = |values: &[f64]| {
            let planes = optimizer.state_per_parameter();
            let mut state = vec![0.0; values.len() * planes];
            // The average starts as the first parameters.
            if optimizer.ema_decay.is_some() {
                let averages = state.iter_mut().skip(planes - 1).step_by(planes);
                averages.zip(values).for_each(|(average, p)| *average = *p);
            }
            state
        };
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let running = parameters.iter().map(|l| (wide(&l.running_mean), wide(&l.running_var))).collect();
        let parameters: Vec<_> = parameters.iter().map(Parameters::from).collect();
        Ok(Self {
            network: network.clone(),
            loss,
            optimizer,
            optimizer_states: parameters.iter().map(|l| l.map(kept)).collect(),
            parameters,
            running_stats: running,
            updates: 0,
            gradient_accumulation: 1,
            accumulated_batches: 0,
            gradient_sums: Vec::new(),
            dropout_factors: Vec::new(),
        })
    }

    /// The same with an update from the mean gradient of every so many batches.
    #[must_use]
    pub const fn with_gradient_accumulation(mut self, batches: u64) -> Self {
        self.gradient_accumulation = batches;
        self
    }

    /// One step on a batch; the loss before the update.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`
    /// - expected: `[rows, outputs]`
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers do not make whole rows, as many here as there; so for the methods below.
    pub fn step(&mut self, inputs: &[f64], targets: &[f64]) -> Result<f64> {
        self.step_weighted(inputs, targets, &[])
    }

    /// The same with a weight for each row, or with none.
    pub fn step_weighted(&mut self, inputs: &[f64], targets: &[f64], weights: &[f64]) -> Result<f64> {
        let gradients = self.gradients_weighted(inputs, targets, weights)?;
        let y = self.forward_all(inputs, true).pop().map_or_else(Vec::new, |passed| passed.a);
        let loss = loss_value(self.loss, self.network.outputs(), &y, targets, weights);
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
        for ((p, g), s) in self.parameters.iter_mut().zip(&gradients).zip(&mut self.optimizer_states) {
            let vectors = p.vectors_mut().into_iter().zip(g.vectors()).zip(s.vectors_mut());
            for ((p, (is_weight, g)), s) in vectors.filter(|((p, _), _)| !p.is_empty()) {
                update(&self.optimizer, self.updates, !is_weight, p, g, s);
            }
        }
        Ok(loss)
    }

    /// A step in which the outputs of each layer are multiplied by `factors`: `[rows, outputs]` of the layer, 0 where
    /// dropout drops one. As [`Reference::step_weighted`] otherwise.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not factors for every output.
    pub fn step_with_dropout(
        &mut self,
        inputs: &[f64],
        targets: &[f64],
        weights: &[f64],
        factors: Vec<Vec<f64>>,
    ) -> Result<f64> {
        let rows = self.row_count(inputs)?;
        check_len("layers of factors", self.network.layers().len(), factors.len())?;
        for (layer, factors) in self.network.layers().iter().zip(&factors) {
            check_len("factors of a layer", rows * layer.outputs, factors.len())?;
        }
        self.dropout_factors = factors;
        let loss = self.step_weighted(inputs, targets, weights);
        self.dropout_factors.clear();
        loss
    }

    /// The outputs, `[rows, outputs]`, for inputs `[rows, inputs]`.
    pub fn predict(&self, inputs: &[f64]) -> Result<Vec<f64>> {
        Ok(self.activations(inputs)?.pop().unwrap_or_default())
    }

    /// What every layer gives in a prediction, the outputs last.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`
    /// - the result: `[rows, outputs]` of each layer
    pub fn activations(&self, inputs: &[f64]) -> Result<Vec<Vec<f64>>> {
        self.row_count(inputs)?;
        let mut all: Vec<Vec<f64>> = self.forward_all(inputs, false).into_iter().map(|passed| passed.a).collect();
        if let Some(y) = all.last_mut().filter(|_| self.network.ends_with_softmax()) {
            for row in y.chunks_exact_mut(self.network.outputs()) {
                let normalizer = log_sum_exp(row.iter().copied());
                row.iter_mut().for_each(|y| *y = (*y - normalizer).exp());
            }
        }
        Ok(all)
    }

    /// The loss of a batch, as a step has it: a batch norm takes the batch's own statistics.
    pub fn loss(&self, inputs: &[f64], targets: &[f64]) -> Result<f64> {
        self.row_count(inputs)?;
        let y = self.forward_all(inputs, true).pop().map_or_else(Vec::new, |passed| passed.a);
        check_len("expected outputs", y.len(), targets.len())?;
        Ok(loss_value(self.loss, self.network.outputs(), &y, targets, &[]))
    }

    /// The gradients of the loss of a batch, layer by layer.
    pub fn gradients(&self, inputs: &[f64], targets: &[f64]) -> Result<Vec<Parameters>> {
        self.gradients_weighted(inputs, targets, &[])
    }

    /// The same with a weight for each row, or with none.
    pub fn gradients_weighted(&self, inputs: &[f64], targets: &[f64], weights: &[f64]) -> Result<Vec<Parameters>> {
        let rows = self.row_count(inputs)?;
        check_len("expected outputs", rows * self.network.outputs(), targets.len())?;
        if !weights.is_empty() {
            check_len("weights of rows", rows, weights.len())?;
        }
        let (layers, passed) = (self.network.layers(), self.forward_all(inputs, true));
        let mut gradients = Vec::with_capacity(layers.len());
        let mut delta = Vec::new();
        for (l, layer) in layers.iter().enumerate().rev() {
            let LayerTrace { y, a, normalized: normed, inverse_stds: inverses } = &passed[l];
            delta = match layers.get(l + 1) {
                None => output_delta(self.loss, layer, y, a, targets, weights),
                Some(next) => {
                    // The slope is that of the output before dropout, and a learned one comes below.
                    let before =
                        if layer.activation.has_parameters() { Activation::Identity } else { layer.activation };
                    let a: Vec<f64> = y.iter().map(|y| before.apply(*y)).collect();
                    input_delta(next, &self.parameters[l + 1], &delta, before, y, &a)
                }
            };
            if let Some(factors) = self.dropout_factors.get(l) {
                delta.iter_mut().zip(factors).for_each(|(delta, factor)| *delta *= factor);
            }
            let mut vectors = Parameters::default();
            let own = &self.parameters[l];
            if layer.activation.has_parameters() {
                vectors.prelu_slope = vec![0.0; layer.outputs];
                for (at, (delta, y)) in delta.iter_mut().zip(y).enumerate() {
                    let j = at % layer.outputs;
                    vectors.prelu_slope[j] += *delta * y.min(0.0);
                    *delta *= if *y > 0.0 { 1.0 } else { own.prelu_slope[j] };
                }
            }
            if let Some(norm) = layer.normalization {
                normalization_backward(norm, &own.gamma, (normed, inverses), &mut delta, &mut vectors);
            }
            let x = if l == 0 { inputs } else { &passed[l - 1].a };
            let Parameters { weight, bias, .. } = parameter_gradients(layer, x, &delta);
            gradients.push(Parameters { weight, bias, ..vectors });
        }
        gradients.reverse();
        Ok(gradients)
    }

    /// The parameters, layer by layer.
    pub fn parameters(&self) -> &[Parameters] {
        &self.parameters
    }

    /// The exponential moving average of the parameters, if the optimizer keeps one.
    pub fn ema_parameters(&self) -> Option<Vec<Parameters>> {
        self.optimizer.ema_decay?;
        let planes = self.optimizer.state_per_parameter();
        // It is the last of a parameter's numbers.
        let last = |state: &[f64]| state.iter().skip(planes - 1).step_by(planes).copied().collect();
        Some(self.optimizer_states.iter().map(|s| s.map(last)).collect())
    }

    /// Sets the optimizer's learning rate for the steps that follow.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if it is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate, ..self.optimizer };
        optimizer.check()?;
        self.optimizer = optimizer;
        Ok(())
    }

    /// How many rows the inputs are.
    fn row_count(&self, inputs: &[f64]) -> Result<usize> {
        let rows = inputs.len().div_ceil(self.network.inputs()).max(1);
        check_len("inputs", rows * self.network.inputs(), inputs.len())?;
        Ok(rows)
    }

    /// What every layer makes of a batch, in training or in a prediction.
    fn forward_all(&self, inputs: &[f64], trains: bool) -> Vec<LayerTrace> {
        let mut all: Vec<LayerTrace> = Vec::with_capacity(self.parameters.len());
        for (l, (layer, parameters)) in self.network.layers().iter().zip(&self.parameters).enumerate() {
            let x = all.last().map_or(inputs, |passed| &passed.a);
            let mut passed = LayerTrace { y: forward(layer, parameters, x).0, ..LayerTrace::default() };
            if let Some(norm) = layer.normalization {
                (passed.normalized, passed.inverse_stds) = if norm == Normalization::Batch && !trains {
                    let (means, variances) = &self.running_stats[l];
                    let of = |(at, z): (usize, &f64)| {
                        let j = at % layer.outputs;
                        (z - means[j]) / (variances[j] + EPSILON).sqrt()
                    };
                    (passed.y.iter().enumerate().map(of).collect(), Vec::new())
                } else {
                    normalize(norm, layer.outputs, &passed.y)
                };
                for (at, (y, normed)) in passed.y.iter_mut().zip(&passed.normalized).enumerate() {
                    let j = at % layer.outputs;
                    *y = parameters.gamma[j] * normed + parameters.beta[j];
                }
            }
            passed.a = activate(layer, parameters, &passed.y);
            if let Some(factors) = self.dropout_factors.get(l) {
                passed.a.iter_mut().zip(factors).for_each(|(a, factor)| *a *= factor);
            }
            all.push(passed);
        }
        all
    }

    /// The running mean and variance of a layer with a batch norm.
    pub fn running_stats(&self, layer: usize) -> (&[f64], &[f64]) {
        (&self.running_stats[layer].0, &self.running_stats[layer].1)
    }

    /// Moves the running statistics towards those of a batch.
    fn update_running_stats(&mut self, inputs: &[f64]) {
        if self.network.layers().iter().all(|layer| layer.normalization != Some(Normalization::Batch)) {
            return;
        }
        let passed = self.forward_all(inputs, true);
        for (l, layer) in
            self.network.layers().iter().enumerate().filter(|(_, l)| l.normalization == Some(Normalization::Batch))
        {
            let x = if l == 0 { inputs } else { &passed[l - 1].a };
            let (z, _) = forward(layer, &self.parameters[l], x);
            let (means, variances) = moments(Normalization::Batch, layer.outputs, &z);
            let rows = (z.len() / layer.outputs) as f64;
            let unbiased = if rows > 1.0 { rows / (rows - 1.0) } else { 1.0 };
            for (j, (mean, variance)) in means.iter().zip(&variances).enumerate() {
                let (running_mean, running_variance) = &mut self.running_stats[l];
                running_mean[j] += MOMENTUM * (mean - running_mean[j]);
                running_variance[j] += MOMENTUM * (unbiased * variance - running_variance[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, nn::init::Init};

    /// Numbers between -1 and 1 without a pattern.
    fn numbers(len: usize) -> Vec<f64> {
        (0..len).map(|i| (i as f64 * 12.9898).sin()).collect()
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for activation in Activation::ALL {
            // The relative loss's gradient is not its slope, on purpose.
            for loss in Loss::ALL.iter().filter(|loss| **loss != Loss::RelativeL2) {
                let last = loss.required_output_activation().unwrap_or(*activation);
                let network = Network::new(3).dense(5, Activation::Tanh).dense(4, *activation).dense(2, last);
                let network = network.init(Init::Normal { std: 0.7 }, Init::Normal { std: 0.3 });
                let first = network.layout().to_layers(&network.initial_parameters(4).unwrap());
                let mut trainer = Reference::new(&network, *loss, Optimizer::sgd(0.1), &first).unwrap();
                // Rows of no class and of more than one, too.
                let (x, t) = (numbers(7 * 3), [1.0, 0.0, 0.0, 1.0, 0.5, 1.0, 0.0].repeat(2));
                let gradients = trainer.gradients(&x, &t).unwrap();
                compare_slopes(&mut trainer, &gradients, (&x, &t), &format!("{activation}, {loss}"));
            }
        }
    }

    #[test]
    fn gradients_of_norms_and_learned_slopes_are_the_slopes_of_the_loss() {
        let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
        for network in [
            Network::new(3).dense(5, tanh).layer_norm().dense(4, Activation::Gelu).batch_norm().dense(2, tanh),
            Network::new(3).dense(5, prelu).dense(4, prelu).dense(2, tanh),
        ] {
            let network = network.init(Init::Normal { std: 0.7 }, Init::Normal { std: 0.3 });
            let mut first = network.layout().to_layers(&network.initial_parameters(4).unwrap());
            network.layout().set_statistics(&network.initial_statistics(), &mut first);
            for (i, vector) in
                first.iter_mut().flat_map(|l| [&mut l.gamma, &mut l.beta, &mut l.prelu_slope]).enumerate()
            {
                vector.iter_mut().enumerate().for_each(|(j, v)| *v += 0.1 * (3 * i + j) as f32);
            }
            let mut trainer = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &first).unwrap();
            let (x, t) = (numbers(7 * 3), numbers(14));
            let gradients = trainer.gradients(&x, &t).unwrap();
            assert_eq!(gradients.len(), 3);
            compare_slopes(&mut trainer, &gradients, (&x, &t), &format!("{network:?}"));
        }
    }

    /// Fails unless the gradients are what finite differences of the loss give.
    fn compare_slopes(trainer: &mut Reference, gradients: &[Parameters], (x, t): (&[f64], &[f64]), what: &str) {
        for (l, gradient) in gradients.iter().enumerate() {
            for (kind, (_, given)) in gradient.vectors().into_iter().enumerate() {
                assert_eq!(given.len(), trainer.parameters[l].vectors()[kind].1.len(), "{what}, layer {l}");
                for (i, given) in given.iter().enumerate() {
                    let mut moved = |by: f64| {
                        trainer.parameters[l].vectors_mut()[kind][i] += by;
                        trainer.loss(x, t).unwrap()
                    };
                    let step = 1e-5;
                    let (up, down) = (moved(step), moved(-2.0 * step));
                    moved(step);
                    let slope = (up - down) / (2.0 * step);
                    assert!(
                        (given - slope).abs() < 1e-8,
                        "{what}, layer {l}, kind {kind}, parameter {i}: {given} {slope}"
                    );
                }
            }
        }
    }

    #[test]
    fn sizes_and_activations_that_do_not_fit_are_refused() {
        let network = Network::new(2).dense(1, Activation::Relu);
        let first = network.layout().to_layers(&network.initial_parameters(0).unwrap());
        let new =
            |loss, parameters: &[LayerParameters]| Reference::new(&network, loss, Optimizer::sgd(0.1), parameters);
        assert!(matches!(new(Loss::Mse, &[]), Err(Error::Shape { .. })));
        assert!(matches!(new(Loss::SoftmaxCrossEntropy, &first), Err(Error::InvalidSetting { .. })));
        let trainer = new(Loss::Mse, &first).unwrap();
        assert!(matches!(trainer.predict(&[1.0; 3]), Err(Error::Shape { .. })));
        assert!(matches!(trainer.gradients(&[1.0; 4], &[0.0]), Err(Error::Shape { .. })));
    }
}
