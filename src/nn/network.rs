//! A network as plain data: its layers, and what its parameters start as.

use crate::nn::{
    layout::{LayerLayout, LayerParameters, Layout, pad_to_vec4},
    tensors::{InitialValues, TensorKind, TensorSpec},
};

use crate::{
    error::{Error, Result, check_finite, check_len},
    nn::{activation::Activation, dropout::Dropout, init::Init, normalization::Normalization},
    util::rng::Rng,
};

/// A multilayer perceptron: an input and a chain of dense layers, each `activation(x W + b)`.
///
/// ```
/// use gradus::{Activation, Network};
/// let network = Network::new(784).dense(30, Activation::Sigmoid).dense(10, Activation::Sigmoid);
/// assert_eq!(network.parameter_count(), 784 * 30 + 30 + 30 * 10 + 10);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    inputs: usize,
    layers: Vec<Dense>,
    /// Asked for before the first layer: refused, as inputs are never dropped.
    input_dropout: f64,
    /// The same.
    input_normalization: bool,
}

/// A dense layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dense {
    /// How many numbers come in: the width of the layer before.
    pub inputs: usize,
    /// How many neurons it has.
    pub outputs: usize,
    /// What each neuron does with its sum.
    pub activation: Activation,
    /// Which share of its outputs is dropped in every step of training, at random; the others are multiplied by
    /// `1 / (1 - dropout)`, so that predictions need nothing (Srivastava et al. 2014, in its inverted form).
    pub dropout: f64,
    /// How its sums are normalised before the activation.
    pub normalization: Option<Normalization>,
    /// Where the first weights come from.
    pub weight_init: Init,
    /// Where the first biases come from.
    pub bias_init: Init,
}

impl Network {
    /// The most layers a network may have, and the most neurons a layer.
    const MAX_LAYERS_AND_NEURONS: (usize, usize) = (256, 1 << 20);

    /// A network that takes `inputs` numbers, still without a layer.
    pub const fn new(inputs: usize) -> Self {
        Self { inputs, layers: Vec::new(), input_dropout: 0.0, input_normalization: false }
    }

    /// Adds a dense layer of `outputs` neurons; its weights start as [`Init::default_for`] its activation says, its biases at 0.
    /// In networks of sines the weights follow [`Init::Siren`] in every layer, the linear one at the end included.
    #[must_use]
    pub fn dense(mut self, outputs: usize, activation: Activation) -> Self {
        let weight = Init::default_after(self.layers.last().map(|layer| layer.activation), activation);
        self.layers.push(Dense {
            inputs: self.outputs(),
            outputs,
            activation,
            dropout: 0.0,
            normalization: None,
            weight_init: weight,
            bias_init: Init::Zeros,
        });
        self
    }

    /// Drops a share of the outputs of the layer added last in every step of training, never in a prediction. See
    /// [`Dense::dropout`](field@Dense::dropout).
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.dropout = p,
            None => self.input_dropout = p,
        }
        self
    }

    /// The same with another share in every layer that drops any.
    pub(crate) fn with_dropout(mut self, p: f64) -> Self {
        self.layers.iter_mut().filter(|layer| layer.dropout != 0.0).for_each(|layer| layer.dropout = p);
        self
    }

    /// Normalises the sums of the layer added last over its neurons; see [`Normalization::Layer`].
    #[must_use]
    pub fn layer_norm(self) -> Self {
        self.set_normalization(Normalization::Layer)
    }

    /// Normalises the sums of the layer added last over the rows of a batch; see [`Normalization::Batch`].
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

    /// Whether predictions end with a softmax.
    pub(crate) fn ends_with_softmax(&self) -> bool {
        self.layers.last().is_some_and(|layer| layer.activation == Activation::Softmax)
    }

    /// Whether a network learns more than weights and biases.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(Dense::has_per_neuron_parameters)
    }

    /// Whether a layer normalizes over the rows of a batch.
    pub(crate) fn has_batch_norm(&self) -> bool {
        self.layers.iter().any(|layer| layer.normalization == Some(Normalization::Batch))
    }

    /// Sets where the first weights and biases of all layers added so far come from.
    #[must_use]
    pub fn init(mut self, weight: Init, bias: Init) -> Self {
        for layer in &mut self.layers {
            (layer.weight_init, layer.bias_init) = (weight, bias);
        }
        self
    }

    /// Sets where each layer's first weights and biases come from, of all layers added so far.
    #[must_use]
    pub fn init_with(mut self, mut f: impl FnMut(&Dense) -> (Init, Init)) -> Self {
        for layer in &mut self.layers {
            (layer.weight_init, layer.bias_init) = f(layer);
        }
        self
    }

    /// How many numbers come in.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many numbers come out.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |layer| layer.outputs)
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// How many weights and biases there are, and gains, shifts and slopes.
    pub fn parameter_count(&self) -> usize {
        let mut count: usize = 0;
        for tensor in self.layers.iter().flat_map(Dense::tensors).filter(|tensor| tensor.kind.is_trained()) {
            count = count.saturating_add(tensor.rows.saturating_mul(tensor.columns));
        }
        count
    }

    /// Where each layer's parameters lie in the flat vector of all of them.
    pub fn parameter_layout(&self) -> Vec<LayerLayout> {
        self.layout().layers().copied().collect()
    }

    /// The floating-point operations of one training step on `rows`: forward, deltas and gradients.
    pub fn flop_per_step(&self, batch_size: usize) -> u64 {
        let products = |l: &Dense| l.inputs as f64 * l.outputs as f64;
        let all: f64 = self.layers.iter().map(products).sum();
        (batch_size as f64 * (6.0 * all - 2.0 * self.layers.first().map_or(0.0, products))) as u64
    }

    /// Refuses a network that cannot be built.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what, expected: String, got: usize| {
            Err(Error::InvalidSetting { name: what, expected, got: got.to_string() })
        };
        let (layers, width) = Self::MAX_LAYERS_AND_NEURONS;
        if self.layers.is_empty() || self.layers.len() > layers {
            return wrong("number of layers", format!("1 to {layers}"), self.layers.len());
        }
        let widths = std::iter::once(self.inputs).chain(self.layers.iter().map(|l| l.outputs));
        for got in widths {
            if got == 0 || got > width {
                return wrong("width of a layer", format!("1 to {width}"), got);
            }
        }
        for layer in &self.layers {
            layer.activation.check()?;
        }
        let hidden = &self.layers[..self.layers.len() - 1];
        if let Some(wrong) = hidden.iter().map(|layer| layer.dropout).find(|share| !(0.0..1.0).contains(share)) {
            let expected = "a share from 0 to below 1".to_owned();
            return Err(Error::InvalidSetting { name: "dropout", expected, got: wrong.to_string() });
        }
        let elsewhere = [self.input_dropout, self.layers[hidden.len()].dropout];
        if let Some(wrong) = elsewhere.into_iter().find(|share| *share != 0.0) {
            let expected = "none of the inputs and none of the last layer's outputs".to_owned();
            return Err(Error::InvalidSetting { name: "dropout", expected, got: wrong.to_string() });
        }
        let last = &self.layers[hidden.len()];
        let refused = |what, expected: &str, got: String| {
            Err(Error::InvalidSetting { name: what, expected: expected.into(), got })
        };
        if self.input_normalization || last.normalization.is_some() {
            let got = if self.input_normalization { "the inputs" } else { "the last layer" };
            return refused("norm", "one of a hidden layer", got.to_owned());
        }
        if hidden.iter().any(|layer| layer.activation == Activation::Softmax) {
            return refused("softmax", "the output layer", "a hidden one".to_owned());
        }
        if last.activation.has_parameters() {
            return refused("activation of the output layer", "one that learns nothing", last.activation.to_string());
        }
        if let Some(l) =
            hidden.iter().find(|l| l.activation.has_parameters() && (l.normalization.is_some() || l.dropout > 0.0))
        {
            let got = if l.normalization.is_some() { "with a norm" } else { "with dropout" };
            return refused("prelu", "a layer without norm and dropout", got.to_owned());
        }
        for init in self.layers.iter().flat_map(|l| [l.weight_init, l.bias_init]) {
            let deviation = init.std(1, 1);
            if !(deviation as f32).is_finite() || deviation < 0.0 {
                let expected = "a finite spread from 0 up".to_owned();
                return Err(Error::InvalidSetting { name: "initial parameters", expected, got: format!("{init:?}") });
            }
        }
        Ok(())
    }

    /// The running statistics that are there at first, flat as [`Network::statistics`] has them.
    pub(crate) fn initial_statistics(&self) -> Vec<f32> {
        let layout = self.layout();
        let mut flat = vec![0.0; layout.statistics];
        for tensor in layout.to_layers.iter().flat_map(|layer| &layer.tensors).filter(|t| !t.spec.kind.is_trained()) {
            if let InitialValues::Constant(value) = tensor.spec.initial_values {
                // Padding starts as the values do, which no result depends on.
                flat[tensor.offset..][..pad_to_vec4(tensor.spec.columns)].fill(value);
            }
        }
        flat
    }

    /// The running statistics of all batch normalizations, flat.
    pub(crate) fn statistics(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.layout().flat_statistics(layers)
    }

    /// The layers of flat parameters and running statistics.
    pub(crate) fn layers_from_flat(&self, flat: &[f32], statistics: &[f32]) -> Vec<LayerParameters> {
        let layout = self.layout();
        let mut layers = layout.to_layers(flat);
        layout.set_statistics(statistics, &mut layers);
        layers
    }

    /// What dropout multiplies the outputs of each layer by, for rows from place `first` on of an epoch with this key.
    pub(crate) fn dropout_factors(&self, key: [u32; 2], first: u32, rows: u32) -> Vec<Vec<f64>> {
        let mut neurons = 0;
        let layers = self.layers.iter().map(|layer| {
            let dropout = Dropout::with_probability(layer.dropout);
            let (from, to) = (neurons, neurons + layer.outputs as u32);
            neurons += pad_to_vec4(layer.outputs) as u32;
            let outputs = (0..rows).flat_map(|row| (from..to).map(move |neuron| (row, neuron)));
            outputs.map(|(row, neuron)| f64::from(dropout.factor(key, first + row, neuron))).collect()
        });
        layers.collect()
    }

    /// How many rows the inputs are; refuses those that are no rows of finite numbers.
    pub(crate) fn check_inputs(&self, inputs: &[f32]) -> Result<usize> {
        let rows = inputs.len() / self.inputs;
        check_len("inputs", rows.max(1) * self.inputs, inputs.len())?;
        check_finite("inputs", self.inputs, inputs)?;
        Ok(rows)
    }

    /// Where every layer's parameters lie.
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.layers)
    }

    /// The first parameters for a seed, flat; padding is 0.
    pub(crate) fn initial_parameters(&self, seed: u64) -> Result<Vec<f32>> {
        // They stand in memory twice here; where that cannot be, it is an error and no abort.
        let layout = self.layout();
        let bytes = 8 * layout.len;
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return Err(Error::OutOfMemory { context: format!("{bytes} bytes for the first parameters") });
        }
        let mut draws = Rng::new(seed);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (number, dense) in self.layers.iter().enumerate() {
            let mut first = LayerParameters::default();
            for tensor in dense.tensors() {
                let values = first.tensor_mut(tensor.kind);
                match tensor.initial_values {
                    InitialValues::Constant(value) => values.resize(tensor.len(), value),
                    InitialValues::Random(init) => {
                        let init = if number == 0 { init.for_first_layer(dense.inputs) } else { init };
                        values.resize(tensor.len(), 0.0);
                        init.fill(&mut draws, dense.inputs, dense.outputs, values);
                    }
                }
            }
            layers.push(first);
        }
        Ok(layout.to_flat(&layers))
    }

    /// Refuses parameters that are not this network's.
    pub(crate) fn check_parameters(&self, layers: &[LayerParameters]) -> Result<()> {
        check_len("layers of parameters", self.layers.len(), layers.len())?;
        for (i, (layer, given)) in self.layers.iter().zip(layers).enumerate() {
            let tensors = layer.tensors();
            for kind in TensorKind::ALL {
                let len = tensors.iter().find(|tensor| tensor.kind == kind).map_or(0, TensorSpec::len);
                check_len(&format!("{} of layer {i}", kind.plural()), len, given.tensor(kind).len())?;
            }
            for tensor in &tensors {
                let columns = if tensor.kind.is_weight() { tensor.rows } else { tensor.columns };
                check_finite(tensor.kind.plural(), columns, given.tensor(tensor.kind))?;
            }
            if let Some(wrong) = given.running_var.iter().find(|variance| **variance < 0.0) {
                let expected = "from 0 up".to_owned();
                return Err(Error::InvalidSetting { name: "running variance", expected, got: wrong.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network::new(5).dense(7, Activation::Relu).dense(3, Activation::Sigmoid)
    }

    #[test]
    fn parameters_go_into_the_flat_vector_and_come_back() {
        let layout = network().layout();
        let flat = network().initial_parameters(3).unwrap();
        assert_eq!(layout.to_flat(&layout.to_layers(&flat)), flat);
        assert_eq!(
            flat.iter().filter(|p| **p != 0.0).count(),
            5 * 7 + 7 * 3,
            "weights are drawn, biases and padding are 0"
        );
        assert!(layout.layers().all(|p| p.offset % crate::nn::layout::ALIGNMENT == 0));
    }

    #[test]
    fn a_seed_gives_the_same_parameters_on_every_platform() {
        let drawn = |init| {
            Network::new(2).dense(2, Activation::Tanh).init(init, Init::Zeros).initial_parameters(1).unwrap()[0]
                .to_bits()
        };
        let first: Vec<u32> = Init::ALL.iter().map(|init| drawn(*init)).collect();
        assert_eq!(first, FIRST_DRAWS);
    }

    /// The bits of the first weight of a 2-2 layer with seed 1, for every member of `Init::ALL`.
    const FIRST_DRAWS: [u32; 10] =
        [0, 1061381894, 1057470812, 1066019743, 1061155163, 1061381894, 1057470812, 1050643361, 1061155163, 1023362510];

    /// Sitzmann et al. 2020: built by default, and by the name, with a first layer, hidden ones and a linear end.
    #[test]
    fn layers_of_sines_start_as_the_paper_says() {
        let sine = |frequency| Activation::Sine { frequency };
        let plain = |frequency: f64, last| {
            Network::new(100).dense(200, sine(frequency)).dense(150, sine(frequency)).dense(300, last)
        };
        for frequency in [30.0, 5.0] {
            for last in [Activation::Identity, Activation::Sigmoid, sine(frequency)] {
                let built = plain(frequency, last);
                let named = built.clone().init(Init::Siren { frequency }, Init::Zeros);
                assert_eq!(built, named);
                let layers = built.layout().to_layers(&built.initial_parameters(3).unwrap());
                let limits = [0.01, (6f64 / 200.0).sqrt() / frequency, (6f64 / 150.0).sqrt() / frequency];
                for (layer, limit) in layers.iter().zip(limits) {
                    let largest = layer.weight.iter().map(|weight| f64::from(weight.abs())).fold(0.0, f64::max);
                    assert!(largest <= limit && largest > 0.999 * limit, "{last}: {largest}, not {limit}");
                    assert!(layer.bias.iter().all(|bias| *bias == 0.0));
                }
            }
        }
        // What follows a sine with an initialization of its own keeps it, and so does what follows no sine.
        let weights = |network: Network| network.layers().last().unwrap().weight_init;
        assert_eq!(weights(plain(30.0, Activation::Relu)), Init::HeUniform);
        let mixed = plain(30.0, Activation::Tanh).dense(1, Activation::Identity);
        assert_eq!(weights(mixed), Init::GlorotUniform);
    }

    #[test]
    fn what_is_drawn_has_the_deviation_that_is_documented() {
        for init in Init::ALL {
            let network = Network::new(200).dense(300, Activation::Tanh).init(*init, *init);
            let weights = &network.layout().to_layers(&network.initial_parameters(5).unwrap())[0].weight;
            let deviation = (weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64).sqrt();
            let expected = match init {
                Init::Siren { .. } => 1.0 / 200.0 / 3f64.sqrt(),
                init => init.std(200, 300),
            };
            assert!((deviation - expected).abs() <= 0.01 * expected, "{init:?}: {deviation} instead of {expected}");
        }
    }
}
