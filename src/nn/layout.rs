//! Parameters: layer by layer as PyTorch lays them out, and where each lies in the one flat vector of all of them.

use crate::nn::{
    network::Dense,
    tensors::{TensorKind, TensorSpec},
};

/// The parameters of one dense layer, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerParameters {
    /// `[outputs, inputs]`, row by row: the weights of one neuron after the other.
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    /// `[outputs]`: what a norm multiplies by; empty without one.
    pub gamma: Vec<f32>,
    /// `[outputs]`: what a norm adds; empty without one.
    pub beta: Vec<f32>,
    /// `[outputs]`: the learned slopes of [`crate::nn::Activation::Prelu`]; empty for others.
    pub prelu_slope: Vec<f32>,
    /// `[outputs]`: the running mean of a batch norm; empty for others.
    pub running_mean: Vec<f32>,
    /// `[outputs]`: its running variance.
    pub running_var: Vec<f32>,
}

impl LayerParameters {
    /// Weights and biases, and no more.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { weight, bias, ..Self::default() }
    }
}

/// Floats between the starts of two layers' parameters are a multiple of this: 256 bytes, WebGPU's offset alignment.
pub(crate) const ALIGNMENT: usize = 64;

/// `n` rounded up to whole `vec4`s, or to whole 4x4 blocks.
pub(crate) const fn pad_to_vec4(n: usize) -> usize {
    n.next_multiple_of(4)
}

/// Rows of `columns` values, each padded with 0 to whole `vec4`s, and rows of 0 up to `batch`.
pub(crate) fn pad_rows(values: &[f32], columns: usize, batch: usize) -> Vec<f32> {
    let stride = pad_to_vec4(columns);
    let mut rows = vec![0.0; batch * stride];
    for (to, from) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    rows
}

/// Where one layer's parameters lie in the flat vector, as [`crate::train::Trainer::parameter_buffer`] holds it: `inputs` rows of
/// weights, then the row of biases and what else there is for each neuron, each row `outputs` long and padded to `stride`; the rows are padded to a multiple of 4.
/// All padding is 0. The weight from input `i` to neuron `j` is number `offset + i * stride + j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerLayout {
    /// The number of the first weight.
    pub offset: usize,
    /// Rows of weights.
    pub inputs: usize,
    /// Weights of a row.
    pub outputs: usize,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// How many rows lie behind the weights: the biases, the gains and shifts of a norm, the slopes of a prelu.
    pub vector_rows: usize,
}

impl LayerLayout {
    /// Where the weight from input `i` to neuron `j` lies; `i = inputs` is the bias.
    pub(crate) const fn weight_offset(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.stride + j
    }
}

/// Where a tensor lies: a trained one in the flat parameters, the others in the flat running statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TensorLayout {
    pub(crate) spec: TensorSpec,
    /// The number of its first value.
    pub(crate) offset: usize,
}

/// The layout of one layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerTensors {
    pub(crate) layout: LayerLayout,
    pub(crate) tensors: Vec<TensorLayout>,
}

impl LayerTensors {
    /// Where a tensor lies, if the layer has it.
    pub(crate) fn find(&self, kind: TensorKind) -> Option<TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.spec.kind == kind).copied()
    }

    /// The tensors that are trained, or the running statistics.
    fn filter_trained(&self, is_trained: bool) -> impl Iterator<Item = &TensorLayout> {
        self.tensors.iter().filter(move |tensor| tensor.spec.kind.is_trained() == is_trained)
    }

    /// Writes the values of a layer into a flat vector.
    fn write(&self, values: &LayerParameters, is_trained: bool, flat: &mut [f32]) {
        for TensorLayout { spec, offset } in self.filter_trained(is_trained) {
            let values = values.tensor(spec.kind);
            for column in 0..spec.columns {
                for row in 0..spec.rows {
                    flat[offset + row * self.layout.stride + column] = values[column * spec.rows + row];
                }
            }
        }
    }

    /// Reads the values of a layer from a flat vector.
    fn read(&self, flat: &[f32], is_trained: bool, values: &mut LayerParameters) {
        for TensorLayout { spec, offset } in self.filter_trained(is_trained) {
            let values = values.tensor_mut(spec.kind);
            values.clear();
            values.reserve_exact(spec.len());
            for column in 0..spec.columns {
                for row in 0..spec.rows {
                    values.push(flat[offset + row * self.layout.stride + column]);
                }
            }
        }
    }
}

/// The layout of all parameters and running statistics of one network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) to_layers: Vec<LayerTensors>,
    /// Floats in the flat parameters.
    pub(crate) len: usize,
    /// Floats in the flat running statistics.
    pub(crate) statistics: usize,
}

impl Layout {
    pub(crate) fn new(layers: &[Dense]) -> Self {
        let mut layout = Self { to_layers: Vec::with_capacity(layers.len()), len: 0, statistics: 0 };
        for layer in layers {
            let stride = pad_to_vec4(layer.outputs);
            let start = layout.len;
            let mut rows = 0;
            let mut tensors = Vec::new();
            for spec in layer.tensors() {
                if spec.kind.is_trained() {
                    tensors.push(TensorLayout { spec, offset: start + rows * stride });
                    rows += spec.rows;
                } else {
                    tensors.push(TensorLayout { spec, offset: layout.statistics });
                    layout.statistics += spec.rows * stride;
                }
            }
            let Dense { inputs, outputs, .. } = *layer;
            let place = LayerLayout { offset: start, inputs, outputs, stride, vector_rows: rows - inputs };
            layout.len = (start + pad_to_vec4(rows) * stride).next_multiple_of(ALIGNMENT);
            layout.to_layers.push(LayerTensors { layout: place, tensors });
        }
        layout
    }

    /// Where the parameters of each layer lie.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &LayerLayout> + Clone {
        self.to_layers.iter().map(|layer| &layer.layout)
    }

    /// The flat parameters of layers in PyTorch's layout.
    pub(crate) fn to_flat(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.write_flat(layers, true, self.len)
    }

    /// The flat running statistics: of each batch normalization the means, then the variances, padded.
    pub(crate) fn flat_statistics(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.write_flat(layers, false, self.statistics)
    }

    fn write_flat(&self, layers: &[LayerParameters], is_trained: bool, len: usize) -> Vec<f32> {
        let mut flat = vec![0.0; len];
        for (layer, values) in self.to_layers.iter().zip(layers) {
            layer.write(values, is_trained, &mut flat);
        }
        flat
    }

    /// The layers, in PyTorch's layout, of flat parameters; without running statistics.
    pub(crate) fn to_layers(&self, flat: &[f32]) -> Vec<LayerParameters> {
        let mut layers = vec![LayerParameters::default(); self.to_layers.len()];
        for (layer, values) in self.to_layers.iter().zip(&mut layers) {
            layer.read(flat, true, values);
        }
        layers
    }

    /// Puts flat running statistics into the layers.
    pub(crate) fn set_statistics(&self, flat: &[f32], layers: &mut [LayerParameters]) {
        for (layer, values) in self.to_layers.iter().zip(layers) {
            layer.read(flat, false, values);
        }
    }
}
