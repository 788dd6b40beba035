//! The layout of all parameters of a network in one flat vector.

use crate::nn::{
    dense::Dense,
    parameters::LayerParameters,
    tensors::{TensorKind, TensorSpec},
};

/// The alignment of the parameters of a layer in floats: 256 bytes, the offset alignment of WebGPU.
pub(crate) const ALIGNMENT: usize = 64;

/// Rounds `n` up to a multiple of 4, the size of a `vec4` and of a side of a 4x4 block.
pub(crate) const fn pad_to_vec4(n: usize) -> usize {
    n.next_multiple_of(4)
}

/// Returns rows of `columns` values, each padded with 0 to a multiple of 4 values, followed by rows of 0 up to
/// `batch_size` rows.
pub(crate) fn pad_rows(values: &[f32], columns: usize, batch_size: usize) -> Vec<f32> {
    let stride = pad_to_vec4(columns);
    let mut rows = vec![0.0; batch_size * stride];
    for (to, from) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    rows
}

/// The layout of the parameters of one layer in the flat vector of
/// [`Trainer::parameter_buffer`](crate::train::Trainer::parameter_buffer).
///
/// The layer has `inputs` rows of weights. After them come `vector_rows` rows with one value per neuron: the biases,
/// the factors and offsets of a normalization, and the slopes of a PReLU. Each row has `outputs` values, padded to
/// `stride` values. The number of rows is padded to a multiple of 4. All padding is 0.
///
/// The weight from input `i` to neuron `j` has the index `offset + i * stride + j`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerLayout {
    /// The index of the first weight in the flat vector.
    pub offset: usize,
    /// The number of rows of weights, one per input.
    pub inputs: usize,
    /// The number of values per row, one per neuron.
    pub outputs: usize,
    /// The distance between the starts of two rows, in values.
    pub stride: usize,
    /// The number of rows after the weights, each with one value per neuron.
    pub vector_rows: usize,
}

impl LayerLayout {
    /// Returns the index of the weight from input `i` to neuron `j`, or of the bias of neuron `j` for `i = inputs`.
    pub(crate) const fn weight_offset(&self, i: usize, j: usize) -> usize {
        self.offset + i * self.stride + j
    }
}

/// The position of a tensor: in the flat parameters if it is trained, otherwise in the flat running statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TensorLayout {
    pub(crate) spec: TensorSpec,
    /// The index of the first value.
    pub(crate) offset: usize,
}

/// The layout of one layer and of each of its tensors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LayerTensors {
    pub(crate) layout: LayerLayout,
    pub(crate) tensors: Vec<TensorLayout>,
}

impl LayerTensors {
    /// Returns the layout of a tensor, or `None` if the layer does not have it.
    pub(crate) fn find(&self, kind: TensorKind) -> Option<TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.spec.kind == kind).copied()
    }

    /// Returns the trained tensors if `is_trained` is true, otherwise the running statistics.
    fn filter_trained(&self, is_trained: bool) -> impl Iterator<Item = &TensorLayout> {
        self.tensors.iter().filter(move |tensor| tensor.spec.kind.is_trained() == is_trained)
    }

    /// Writes the trained tensors of a layer, or its running statistics, to a flat vector.
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

    /// Reads the trained tensors of a layer, or its running statistics, from a flat vector.
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

/// The layout of all parameters and running statistics of a network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    pub(crate) layer_tensors: Vec<LayerTensors>,
    /// The number of floats in the flat parameters.
    pub(crate) len: usize,
    /// The number of floats in the flat running statistics.
    pub(crate) statistics: usize,
}

impl Layout {
    /// Creates the layout of a network with these layers.
    pub(crate) fn new(layers: &[Dense]) -> Self {
        let mut layout = Self { layer_tensors: Vec::with_capacity(layers.len()), len: 0, statistics: 0 };
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
            let layer_layout = LayerLayout { offset: start, inputs, outputs, stride, vector_rows: rows - inputs };
            layout.len = (start + pad_to_vec4(rows) * stride).next_multiple_of(ALIGNMENT);
            layout.layer_tensors.push(LayerTensors { layout: layer_layout, tensors });
        }
        layout
    }

    /// Returns the layout of the parameters of each layer.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &LayerLayout> + Clone {
        self.layer_tensors.iter().map(|layer| &layer.layout)
    }

    /// Returns the flat parameters of layers in the layout of PyTorch.
    pub(crate) fn to_flat(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.write_flat(layers, true, self.len)
    }

    /// Returns the flat running statistics: for each batch normalization the means, then the variances, padded.
    pub(crate) fn flat_statistics(&self, layers: &[LayerParameters]) -> Vec<f32> {
        self.write_flat(layers, false, self.statistics)
    }

    /// Returns a flat vector of `len` values with the trained tensors or the running statistics.
    fn write_flat(&self, layers: &[LayerParameters], is_trained: bool, len: usize) -> Vec<f32> {
        let mut flat = vec![0.0; len];
        for (layer, values) in self.layer_tensors.iter().zip(layers) {
            layer.write(values, is_trained, &mut flat);
        }
        flat
    }

    /// Returns the layers of flat parameters in the layout of PyTorch, without running statistics.
    pub(crate) fn to_layers(&self, flat: &[f32]) -> Vec<LayerParameters> {
        let mut layers = vec![LayerParameters::default(); self.layer_tensors.len()];
        for (layer, values) in self.layer_tensors.iter().zip(&mut layers) {
            layer.read(flat, true, values);
        }
        layers
    }

    /// Copies flat running statistics into the layers.
    pub(crate) fn set_statistics(&self, flat: &[f32], layers: &mut [LayerParameters]) {
        for (layer, values) in self.layer_tensors.iter().zip(layers) {
            layer.read(flat, false, values);
        }
    }
}
