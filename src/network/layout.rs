//! Parameters: layer by layer as PyTorch lays them out, and where each lies in the one flat vector of all of them.

/// The parameters of one dense layer, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerParameters {
    /// `[outputs, inputs]`, row by row: the weights of one neuron after the other.
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    /// `[outputs]`: what a norm multiplies by; empty without one.
    pub gain: Vec<f32>,
    /// `[outputs]`: what a norm adds; empty without one.
    pub shift: Vec<f32>,
    /// `[outputs]`: the learned slopes of [`crate::Activation::Prelu`]; empty for others.
    pub slope: Vec<f32>,
    /// `[outputs]`: the running mean of a batch norm; empty for others.
    pub running_mean: Vec<f32>,
    /// `[outputs]`: its running variance.
    pub running_variance: Vec<f32>,
}

impl LayerParameters {
    /// Weights and biases, and no more.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { weight, bias, ..Self::default() }
    }

    /// The vectors behind the weights that have a number for each neuron, in the order in which they lie.
    pub(crate) fn vectors(&self) -> impl Iterator<Item = &Vec<f32>> {
        [&self.bias, &self.gain, &self.shift, &self.slope].into_iter().filter(|vector| !vector.is_empty())
    }
}

/// Floats between the starts of two layers' parameters are a multiple of this: 256 bytes, WebGPU's offset alignment.
pub(super) const ALIGNMENT: usize = 64;

/// `n` rounded up to whole `vec4`s, or to whole 4x4 blocks.
pub(crate) const fn padded(n: usize) -> usize {
    n.next_multiple_of(4)
}

/// Rows of `columns` values, each padded with 0 to whole `vec4`s, and rows of 0 up to `batch`.
pub(crate) fn padded_rows(values: &[f32], columns: usize, batch: usize) -> Vec<f32> {
    let stride = padded(columns);
    let mut rows = vec![0.0; batch * stride];
    for (to, from) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    rows
}

/// Where one layer's parameters lie in the flat vector, as [`crate::Trainer::parameter_buffer`] holds it: `inputs` rows of
/// weights, then the row of biases and what else there is for each neuron, each row `outputs` long and padded to `stride`; the rows are padded to a multiple of 4.
/// All padding is 0. The weight from input `i` to neuron `j` is number `offset + i * stride + j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The number of the first weight.
    pub offset: usize,
    /// Rows of weights.
    pub inputs: usize,
    /// Weights of a row.
    pub outputs: usize,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// How many rows lie behind the weights: the biases, the gains and shifts of a norm, the slopes of a prelu.
    pub vectors: usize,
}

impl Place {
    /// Where the weight from input `i` to neuron `j` lies; `i = inputs` is the bias.
    pub(crate) const fn at(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.stride + j
    }
}

/// The layout of all parameters of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    /// Floats in the flat vector.
    pub(crate) len: usize,
}

impl Layout {
    /// The flat vector of layers in PyTorch's layout.
    pub(crate) fn flat(&self, layers: &[LayerParameters]) -> Vec<f32> {
        let mut flat = vec![0.0; self.len];
        for (place, layer) in self.places.iter().zip(layers) {
            for j in 0..place.outputs {
                for i in 0..place.inputs {
                    flat[place.at(i, j)] = layer.weight[j * place.inputs + i];
                }
                for (k, vector) in layer.vectors().enumerate() {
                    flat[place.at(place.inputs + k, j)] = vector[j];
                }
            }
        }
        flat
    }

    /// The layers, in PyTorch's layout, of a flat vector.
    pub(crate) fn layers(&self, flat: &[f32]) -> Vec<LayerParameters> {
        let layer = |place: &Place| {
            let neuron = |j| (0..place.inputs).map(move |i| flat[place.at(i, j)]);
            let vector = |k: Option<usize>| match k {
                Some(k) => (0..place.outputs).map(|j| flat[place.at(place.inputs + k, j)]).collect(),
                None => Vec::new(),
            };
            let (has_norm, learns) = (place.vectors > 2, place.vectors.is_multiple_of(2));
            LayerParameters {
                weight: (0..place.outputs).flat_map(neuron).collect(),
                bias: vector(Some(0)),
                gain: vector(has_norm.then_some(1)),
                shift: vector(has_norm.then_some(2)),
                slope: vector(learns.then_some(place.vectors - 1)),
                ..LayerParameters::default()
            }
        };
        self.places.iter().map(layer).collect()
    }
}
