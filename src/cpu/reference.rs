//! A trainer in plain f64 loops, straight from the formulas: the judge of every faster one. It is written to be read.
//!
//! All matrices lie row by row, and weights are `[outputs, inputs]`, as in PyTorch; `rows` is how many a batch has.

use crate::{
    Activation, Dense, LayerParameters, Loss, Network, Optimizer, Result,
    error::{Error, check_len},
    judge::normalizer,
};

/// The weights and biases of one layer, or their gradients.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// `[outputs, inputs]`, row by row: the weights of one neuron after the other.
    pub weight: Vec<f64>,
    /// `[outputs]`
    pub bias: Vec<f64>,
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
    let a = z.iter().map(|z| layer.activation.apply(*z)).collect();
    (z, a)
}

/// The loss of a batch: the mean, over what [`Loss::mean_over`] says, of the outputs `y` against the expected `t`, that of
/// a row times its weight.
///
/// # Shapes
/// - y and t: `[rows, outputs]`
/// - weights: `[rows]`, or empty where each is 1
pub fn loss_value(loss: Loss, outputs: usize, y: &[f64], t: &[f64], weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (row, (y, t)) in y.chunks_exact(outputs).zip(t.chunks_exact(outputs)).enumerate() {
        let normalizer = normalizer(y.iter().copied());
        let of_row = y.iter().zip(t).map(|(y, t)| loss.apply(*y, *t, normalizer, outputs)).sum::<f64>();
        sum += weights.get(row).unwrap_or(&1.0) * of_row;
    }
    sum / loss.mean_over(y.len() / outputs, outputs) as f64
}

/// `dLoss/dz` of the output layer, the mean's divisor and the weights included.
///
/// # Shapes
/// - z, y, t and the delta: `[rows, outputs]`
/// - weights: `[rows]`, or empty where each is 1
pub fn output_delta(loss: Loss, layer: &Dense, z: &[f64], y: &[f64], t: &[f64], weights: &[f64]) -> Vec<f64> {
    let scale = 1.0 / loss.mean_over(y.len() / layer.outputs, layer.outputs) as f64;
    let mut delta = Vec::with_capacity(y.len());
    let rows = z.chunks_exact(layer.outputs).zip(y.chunks_exact(layer.outputs)).zip(t.chunks_exact(layer.outputs));
    for (row, ((z, y), t)) in rows.enumerate() {
        let scale = scale * weights.get(row).unwrap_or(&1.0);
        let normalizer = normalizer(y.iter().copied());
        for ((z, y), t) in z.iter().zip(y).zip(t) {
            let slope = match loss.output_activation() {
                Some(_) => 1.0,
                None => layer.activation.gradient(*z, *y),
            };
            delta.push(loss.gradient(*y, *t, normalizer, layer.outputs) * slope * scale);
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
            result.push(sum * before.gradient(z[at], x[at]));
        }
    }
    result
}

/// `dW = delta^T x`, and `db` = the column sums of delta.
///
/// # Shapes
/// - x: `[rows, inputs]`
/// - delta: `[rows, outputs]`
pub fn gradient(layer: &Dense, x: &[f64], delta: &[f64]) -> Parameters {
    let mut sums = Parameters { weight: vec![0.0; layer.inputs * layer.outputs], bias: vec![0.0; layer.outputs] };
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

/// A network in training, in f64.
#[derive(Debug, Clone)]
pub struct Reference {
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
    parameters: Vec<Parameters>,
    /// What the optimizer keeps for the weights and biases of each layer.
    states: Vec<Parameters>,
    updates: u64,
}

impl Reference {
    /// A trainer that starts from `parameters`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the network cannot be built or its last activation is not the one that the loss demands,
    /// [`Error::Shape`] if the parameters are not this network's.
    pub fn new(network: &Network, loss: Loss, optimizer: Optimizer, parameters: &[LayerParameters]) -> Result<Self> {
        network.check()?;
        optimizer.check()?;
        network.check_parameters(parameters)?;
        let last = network.layers().last().map(|layer| layer.activation);
        if let (Some(expected), Some(got)) = (loss.output_activation(), last)
            && expected != got
        {
            let (expected, got) = (format!("{expected}, as {loss} demands"), got.to_string());
            return Err(Error::Setting { what: "activation of the output layer", expected, got });
        }
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let kept = |values: &[f32]| {
            let planes = optimizer.planes();
            let mut state = vec![0.0; values.len() * planes];
            // The average starts as the first parameters.
            if optimizer.average.is_some() {
                let averages = state.iter_mut().skip(planes - 1).step_by(planes);
                averages.zip(values).for_each(|(average, p)| *average = f64::from(*p));
            }
            state
        };
        Ok(Self {
            network: network.clone(),
            loss,
            optimizer,
            parameters: parameters
                .iter()
                .map(|l| Parameters { weight: wide(&l.weight), bias: wide(&l.bias) })
                .collect(),
            states: parameters.iter().map(|l| Parameters { weight: kept(&l.weight), bias: kept(&l.bias) }).collect(),
            updates: 0,
        })
    }

    /// One step on a batch; the loss before the update.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`
    /// - expected: `[rows, outputs]`
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers do not make whole rows, as many here as there; so for the methods below.
    pub fn step(&mut self, inputs: &[f64], expected: &[f64]) -> Result<f64> {
        self.step_weighted(inputs, expected, &[])
    }

    /// The same with a weight for each row, or with none.
    pub fn step_weighted(&mut self, inputs: &[f64], expected: &[f64], weights: &[f64]) -> Result<f64> {
        let y = self.predict(inputs)?;
        let gradients = self.gradients_weighted(inputs, expected, weights)?;
        let loss = loss_value(self.loss, self.network.outputs(), &y, expected, weights);
        self.updates += 1;
        for ((p, g), s) in self.parameters.iter_mut().zip(&gradients).zip(&mut self.states) {
            update(&self.optimizer, self.updates, false, &mut p.weight, &g.weight, &mut s.weight);
            update(&self.optimizer, self.updates, true, &mut p.bias, &g.bias, &mut s.bias);
        }
        Ok(loss)
    }

    /// The outputs, `[rows, outputs]`, for inputs `[rows, inputs]`.
    pub fn predict(&self, inputs: &[f64]) -> Result<Vec<f64>> {
        self.rows(inputs)?;
        Ok(self.pass(inputs).pop().map_or_else(Vec::new, |(_, a)| a))
    }

    /// The loss of a batch.
    pub fn loss(&self, inputs: &[f64], expected: &[f64]) -> Result<f64> {
        let y = self.predict(inputs)?;
        check_len("expected outputs", y.len(), expected.len())?;
        Ok(loss_value(self.loss, self.network.outputs(), &y, expected, &[]))
    }

    /// The gradients of the loss of a batch, layer by layer.
    pub fn gradients(&self, inputs: &[f64], expected: &[f64]) -> Result<Vec<Parameters>> {
        self.gradients_weighted(inputs, expected, &[])
    }

    /// The same with a weight for each row, or with none.
    pub fn gradients_weighted(&self, inputs: &[f64], expected: &[f64], weights: &[f64]) -> Result<Vec<Parameters>> {
        let rows = self.rows(inputs)?;
        check_len("expected outputs", rows * self.network.outputs(), expected.len())?;
        if !weights.is_empty() {
            check_len("weights of rows", rows, weights.len())?;
        }
        let (layers, passed) = (self.network.layers(), self.pass(inputs));
        let mut gradients = Vec::with_capacity(layers.len());
        let mut delta = Vec::new();
        for (l, layer) in layers.iter().enumerate().rev() {
            let (z, a) = &passed[l];
            delta = match layers.get(l + 1) {
                None => output_delta(self.loss, layer, z, a, expected, weights),
                Some(next) => input_delta(next, &self.parameters[l + 1], &delta, layer.activation, z, a),
            };
            let x = if l == 0 { inputs } else { &passed[l - 1].1 };
            gradients.push(gradient(layer, x, &delta));
        }
        gradients.reverse();
        Ok(gradients)
    }

    /// The parameters, layer by layer.
    pub fn parameters(&self) -> &[Parameters] {
        &self.parameters
    }

    /// The exponential moving average of the parameters, if the optimizer keeps one.
    pub fn averaged_parameters(&self) -> Option<Vec<Parameters>> {
        self.optimizer.average?;
        let planes = self.optimizer.planes();
        // It is the last of a parameter's numbers.
        let last = |state: &[f64]| state.iter().skip(planes - 1).step_by(planes).copied().collect();
        Some(self.states.iter().map(|s| Parameters { weight: last(&s.weight), bias: last(&s.bias) }).collect())
    }

    /// Sets the optimizer's learning rate for the steps that follow.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate: rate, ..self.optimizer };
        optimizer.check()?;
        self.optimizer = optimizer;
        Ok(())
    }

    /// How many rows the inputs are.
    fn rows(&self, inputs: &[f64]) -> Result<usize> {
        let rows = inputs.len().div_ceil(self.network.inputs()).max(1);
        check_len("inputs", rows * self.network.inputs(), inputs.len())?;
        Ok(rows)
    }

    /// Every layer's sums and outputs.
    fn pass(&self, inputs: &[f64]) -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut passed: Vec<(Vec<f64>, Vec<f64>)> = Vec::with_capacity(self.parameters.len());
        for (layer, parameters) in self.network.layers().iter().zip(&self.parameters) {
            let x = passed.last().map_or(inputs, |(_, a)| a);
            let za = forward(layer, parameters, x);
            passed.push(za);
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;

    /// Numbers between -1 and 1 without a pattern.
    fn numbers(len: usize) -> Vec<f64> {
        (0..len).map(|i| (i as f64 * 12.9898).sin()).collect()
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for activation in Activation::ALL {
            // The relative loss's gradient is not its slope, on purpose.
            for loss in Loss::ALL.iter().filter(|loss| **loss != Loss::RelativeL2) {
                let last = loss.output_activation().unwrap_or(*activation);
                let network = Network::new(3).dense(5, Activation::Tanh).dense(4, *activation).dense(2, last);
                let network = network.init(Init::Normal { deviation: 0.7 }, Init::Normal { deviation: 0.3 });
                let first = network.layout().layers(&network.initial(4).unwrap());
                let mut trainer = Reference::new(&network, *loss, Optimizer::sgd(0.1), &first).unwrap();
                let (x, t) = (numbers(7 * 3), [1.0, 0.0, 0.0, 1.0].repeat(4)[..14].to_vec());
                let gradients = trainer.gradients(&x, &t).unwrap();
                for (l, gradient) in gradients.iter().enumerate() {
                    let given = gradient.weight.iter().chain(&gradient.bias);
                    for (i, given) in given.enumerate() {
                        let mut moved = |by: f64| {
                            let layer = &mut trainer.parameters[l];
                            let split = layer.weight.len();
                            *(if i < split { &mut layer.weight[i] } else { &mut layer.bias[i - split] }) += by;
                            trainer.loss(&x, &t).unwrap()
                        };
                        let step = 1e-5;
                        let (up, down) = (moved(step), moved(-2.0 * step));
                        moved(step);
                        let slope = (up - down) / (2.0 * step);
                        assert!(
                            (given - slope).abs() < 1e-8,
                            "{activation}, {loss}, layer {l}, parameter {i}: {given} {slope}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn sizes_and_activations_that_do_not_fit_are_refused() {
        let network = Network::new(2).dense(1, Activation::Relu);
        let first = network.layout().layers(&network.initial(0).unwrap());
        let new =
            |loss, parameters: &[LayerParameters]| Reference::new(&network, loss, Optimizer::sgd(0.1), parameters);
        assert!(matches!(new(Loss::Mse, &[]), Err(Error::Shape { .. })));
        assert!(matches!(new(Loss::SoftmaxCrossEntropy, &first), Err(Error::Setting { .. })));
        let trainer = new(Loss::Mse, &first).unwrap();
        assert!(matches!(trainer.predict(&[1.0; 3]), Err(Error::Shape { .. })));
        assert!(matches!(trainer.gradients(&[1.0; 4], &[0.0]), Err(Error::Shape { .. })));
    }
}
