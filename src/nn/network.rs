//! A network as plain data: its layers and the initial values of its parameters.

use crate::{
    error::{Error, Result},
    nn::{
        activation::Activation,
        dense::Dense,
        dropout::Dropout,
        init::Init,
        layout::{LayerLayout, Layout, pad_to_vec4},
        normalization::Normalization,
        parameters::LayerParameters,
        tensors::InitialValues,
    },
    util::rng::Rng,
};

mod checks;

/// A multilayer perceptron: a chain of dense layers, each of which computes `activation(x W + b)`.
///
/// A network holds no parameters. gradus checks it when it creates a trainer or a predictor.
///
/// ```
/// use gradus::{Activation, Network};
/// let network = Network::new(784).dense(30, Activation::Sigmoid).dense(10, Activation::Sigmoid);
/// assert_eq!(network.parameter_count(), 784 * 30 + 30 + 30 * 10 + 10);
/// ```
#[doc(alias = "mlp")]
#[doc(alias = "Sequential")]
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    inputs: usize,
    layers: Vec<Dense>,
    /// The dropout probability of a call before the first layer. The check returns an error unless it is 0.
    input_dropout: f64,
    /// Whether a normalization was added before the first layer. The check returns an error if it is set.
    input_normalization: bool,
}

impl Network {
    /// Creates a network with `inputs` inputs and no layers.
    pub const fn new(inputs: usize) -> Self {
        Self { inputs, layers: Vec::new(), input_dropout: 0.0, input_normalization: false }
    }

    /// Adds a dense layer with `outputs` neurons.
    ///
    /// Its weights use [`Init::default_for`] the activation, and its biases start at 0. After a layer of sines, a layer
    /// uses [`Init::Siren`] instead of [`Init::GlorotUniform`].
    #[doc(alias = "Linear")]
    #[must_use]
    pub fn dense(mut self, outputs: usize, activation: Activation) -> Self {
        let weight_init = Init::default_after(self.layers.last().map(|layer| layer.activation), activation);
        self.layers.push(Dense {
            inputs: self.outputs(),
            outputs,
            activation,
            dropout: 0.0,
            normalization: None,
            weight_init,
            bias_init: Init::Zeros,
        });
        self
    }

    /// Adds dropout with probability `p` to the outputs of the last added layer; see
    /// [`Dense::dropout`](field@Dense::dropout).
    ///
    /// Only hidden layers can have dropout.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.dropout = p,
            None => self.input_dropout = p,
        }
        self
    }

    /// Replaces the dropout probability of every layer with dropout.
    pub(crate) fn with_dropout(mut self, p: f64) -> Self {
        for layer in &mut self.layers {
            if layer.dropout != 0.0 {
                layer.dropout = p;
            }
        }
        self
    }

    /// Adds layer normalization to the last added layer; see [`Normalization::Layer`].
    ///
    /// Only hidden layers can have a normalization.
    #[must_use]
    pub fn layer_norm(self) -> Self {
        self.set_normalization(Normalization::Layer)
    }

    /// Adds batch normalization to the last added layer; see [`Normalization::Batch`].
    ///
    /// Only hidden layers can have a normalization.
    #[must_use]
    pub fn batch_norm(self) -> Self {
        self.set_normalization(Normalization::Batch)
    }

    fn set_normalization(mut self, normalization: Normalization) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.normalization = Some(normalization),
            None => self.input_normalization = true,
        }
        self
    }

    /// Returns whether the output layer is a softmax.
    pub(crate) fn ends_with_softmax(&self) -> bool {
        self.layers.last().is_some_and(|layer| layer.activation == Activation::Softmax)
    }

    /// Returns whether a layer has trained parameters other than weights and biases.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(Dense::has_per_neuron_parameters)
    }

    /// Returns whether a layer has batch normalization.
    pub(crate) fn has_batch_norm(&self) -> bool {
        self.layers.iter().any(|layer| layer.normalization == Some(Normalization::Batch))
    }

    /// Sets the initializers of the weights and biases of all layers added so far.
    #[must_use]
    pub fn init(mut self, weight: Init, bias: Init) -> Self {
        for layer in &mut self.layers {
            (layer.weight_init, layer.bias_init) = (weight, bias);
        }
        self
    }

    /// Sets the initializers of each layer added so far. `f` returns the initializer of the weights and that of the
    /// biases.
    #[must_use]
    pub fn init_with(mut self, mut f: impl FnMut(&Dense) -> (Init, Init)) -> Self {
        for layer in &mut self.layers {
            (layer.weight_init, layer.bias_init) = f(layer);
        }
        self
    }

    /// Returns the number of inputs.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns the number of outputs: the number of neurons of the output layer.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |layer| layer.outputs)
    }

    /// Returns the layers, from the first hidden layer to the output layer.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// Returns the number of trained parameters: weights, biases, the parameters of normalizations and PReLU slopes.
    pub fn parameter_count(&self) -> usize {
        let mut count: usize = 0;
        for tensor in self.layers.iter().flat_map(Dense::tensors).filter(|tensor| tensor.kind.is_trained()) {
            count = count.saturating_add(tensor.rows.saturating_mul(tensor.columns));
        }
        count
    }

    /// Returns the layout of the parameters of each layer in the flat vector of all parameters.
    pub fn parameter_layout(&self) -> Vec<LayerLayout> {
        self.layout().layers().copied().collect()
    }

    /// Returns the number of floating-point operations of the matrix multiplications in a training step with
    /// `batch_size` rows.
    ///
    /// A layer needs `2 batch_size inputs outputs` operations for each of the forward pass, the deltas and the
    /// gradients. The first layer needs no deltas of its inputs.
    #[doc(alias = "flops")]
    pub fn flop_per_step(&self, batch_size: usize) -> u64 {
        let weights = |layer: &Dense| layer.inputs as f64 * layer.outputs as f64;
        let all_weights: f64 = self.layers.iter().map(weights).sum();
        let first_weights = self.layers.first().map_or(0.0, weights);
        (batch_size as f64 * (6.0 * all_weights - 2.0 * first_weights)) as u64
    }

    /// Returns the initial running statistics, in the flat layout of [`Network::statistics`].
    pub(crate) fn initial_statistics(&self) -> Vec<f32> {
        let layout = self.layout();
        let mut flat = vec![0.0; layout.statistics];
        for tensor in layout.layer_tensors.iter().flat_map(|layer| &layer.tensors).filter(|t| !t.spec.kind.is_trained())
        {
            if let InitialValues::Constant(value) = tensor.spec.initial_values {
                // The padding gets the same value; no result depends on it.
                flat[tensor.offset..][..pad_to_vec4(tensor.spec.columns)].fill(value);
            }
        }
        flat
    }

    /// Returns the flat running statistics of all batch normalizations.
    pub(crate) fn statistics(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.layout().flat_statistics(layers)
    }

    /// Returns the layers of flat parameters and flat running statistics.
    pub(crate) fn layers_from_flat(&self, flat: &[f32], statistics: &[f32]) -> Vec<LayerParameters> {
        let layout = self.layout();
        let mut layers = layout.to_layers(flat);
        layout.set_statistics(statistics, &mut layers);
        layers
    }

    /// Returns the dropout factors of the outputs of each layer, `[rows, outputs]`.
    ///
    /// They hold for `rows` rows from the position `first` on, in the epoch with this key.
    pub(crate) fn dropout_factors(&self, key: [u32; 2], first: u32, rows: u32) -> Vec<Vec<f64>> {
        let mut first_neuron = 0;
        let mut factors = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let dropout = Dropout::with_probability(layer.dropout);
            let neurons = first_neuron..first_neuron + layer.outputs as u32;
            first_neuron += pad_to_vec4(layer.outputs) as u32;
            let mut layer_factors = Vec::with_capacity(rows as usize * layer.outputs);
            for row in 0..rows {
                for neuron in neurons.clone() {
                    layer_factors.push(f64::from(dropout.factor(key, first + row, neuron)));
                }
            }
            factors.push(layer_factors);
        }
        factors
    }

    /// Returns the layout of all parameters and running statistics.
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.layers)
    }

    /// Returns the flat initial parameters for a seed; padding is 0.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the host cannot allocate them.
    pub(crate) fn initial_parameters(&self, seed: u64) -> Result<Vec<f32>> {
        // This function holds the parameters twice. A failed allocation would abort, so try it here first.
        let layout = self.layout();
        let bytes = 8 * layout.len;
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return Err(Error::OutOfMemory { context: format!("initial parameters of {bytes} bytes") });
        }
        let mut rng = Rng::new(seed);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, dense) in self.layers.iter().enumerate() {
            let mut parameters = LayerParameters::default();
            for tensor in dense.tensors() {
                let values = parameters.tensor_mut(tensor.kind);
                match tensor.initial_values {
                    InitialValues::Constant(value) => values.resize(tensor.len(), value),
                    InitialValues::Random(init) => {
                        let init = if index == 0 { init.for_first_layer(dense.inputs) } else { init };
                        values.resize(tensor.len(), 0.0);
                        init.fill(&mut rng, dense.inputs, dense.outputs, values);
                    }
                }
            }
            layers.push(parameters);
        }
        Ok(layout.to_flat(&layers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layout::ALIGNMENT;

    fn network() -> Network {
        Network::new(5).dense(7, Activation::Relu).dense(3, Activation::Sigmoid)
    }

    #[test]
    fn parameters_survive_the_round_trip_through_the_flat_vector() {
        let layout = network().layout();
        let flat = network().initial_parameters(3).unwrap();
        assert_eq!(layout.to_flat(&layout.to_layers(&flat)), flat);
        assert_eq!(
            flat.iter().filter(|p| **p != 0.0).count(),
            5 * 7 + 7 * 3,
            "weights are random, biases and padding are 0"
        );
        assert!(layout.layers().all(|layer| layer.offset % ALIGNMENT == 0));
    }

    #[test]
    fn a_seed_gives_the_same_parameters_on_every_platform() {
        let first_weight = |init| {
            Network::new(2).dense(2, Activation::Tanh).init(init, Init::Zeros).initial_parameters(1).unwrap()[0]
                .to_bits()
        };
        let bits: Vec<u32> = Init::ALL.iter().map(|init| first_weight(*init)).collect();
        assert_eq!(bits, FIRST_WEIGHT_BITS);
    }

    /// The bits of the first weight of a layer with 2 inputs and 2 neurons, seed 1, for every value of `Init::ALL`.
    const FIRST_WEIGHT_BITS: [u32; 10] =
        [0, 1061381894, 1057470812, 1066019743, 1061155163, 1061381894, 1057470812, 1050643361, 1061155163, 1023362510];

    /// Sitzmann et al. 2020. The default and [`Init::Siren`] give the same layers: the first, a hidden and the output
    /// layer.
    #[test]
    fn default_init_of_sine_layers_has_the_limits_of_the_paper() {
        let sine = |frequency| Activation::Sine { frequency };
        let sine_network = |frequency: f64, last| {
            Network::new(100).dense(200, sine(frequency)).dense(150, sine(frequency)).dense(300, last)
        };
        for frequency in [30.0, 5.0] {
            for last in [Activation::Identity, Activation::Sigmoid, sine(frequency)] {
                let default = sine_network(frequency, last);
                let explicit = default.clone().init(Init::Siren { frequency }, Init::Zeros);
                assert_eq!(default, explicit);
                let layers = default.layout().to_layers(&default.initial_parameters(3).unwrap());
                let limits = [0.01, (6f64 / 200.0).sqrt() / frequency, (6f64 / 150.0).sqrt() / frequency];
                for (layer, limit) in layers.iter().zip(limits) {
                    let largest = layer.weight.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max);
                    let is_close_to_limit = largest <= limit && largest > 0.999 * limit;
                    assert!(is_close_to_limit, "{last}: expected at most {limit}, got {largest}");
                    assert!(layer.bias.iter().all(|bias| *bias == 0.0));
                }
            }
        }
        // Activations with a different default keep it after a sine, and so do layers without a sine before them.
        let last_init = |network: Network| network.layers().last().unwrap().weight_init;
        assert_eq!(last_init(sine_network(30.0, Activation::Relu)), Init::HeUniform);
        let mixed = sine_network(30.0, Activation::Tanh).dense(1, Activation::Identity);
        assert_eq!(last_init(mixed), Init::GlorotUniform);
    }

    #[test]
    fn initial_values_have_the_documented_standard_deviation() {
        for init in Init::ALL {
            let network = Network::new(200).dense(300, Activation::Tanh).init(*init, *init);
            let weights = &network.layout().to_layers(&network.initial_parameters(5).unwrap())[0].weight;
            let std = (weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64).sqrt();
            let expected = match init {
                Init::Siren { .. } => 1.0 / 200.0 / 3f64.sqrt(),
                init => init.std(200, 300),
            };
            assert!((std - expected).abs() <= 0.01 * expected, "{init:?}: expected {expected}, got {std}");
        }
    }
}
