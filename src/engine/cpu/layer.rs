//! The types that all ways of computing a step share: a layer, the rows of a thread, and the results of a thread.

use std::ops::Range;

use crate::{
    engine::{
        cpu::{
            elementwise::{derivatives, multiply_by_derivative},
            gemm::Matrix,
        },
        step::Step,
    },
    nn::{
        activation::Activation,
        dropout::Dropout,
        layout::{LayerLayout, LayerTensors, TensorLayout},
        network::Network,
        normalization::Normalization,
        tensors::{TensorKind, TensorModule},
    },
    util::math::Fma,
};

/// A function that writes the inputs and the targets of a row of the batch, and returns its sample weight.
pub(crate) type RowReader<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + 'a;

/// The rows of a batch that one thread processes.
pub(crate) struct ThreadRows<'a> {
    pub(crate) step: &'a Step,
    pub(crate) read_row: &'a RowReader<'a>,
    /// The range of the rows in the batch.
    pub(crate) rows: Range<usize>,
}

/// The values that determine whether an output is dropped; see [`Dropout::factor`].
pub(crate) struct DropoutIndex {
    /// The index of the neuron in its layer.
    pub(crate) neuron: usize,
    /// The position of the row in its epoch.
    pub(crate) position: u32,
    /// The key of the epoch.
    pub(crate) key: [u32; 2],
}

/// The distances between the weights that a matmul with SIMD registers reads. Each sum of the matmul is one output.
#[derive(Clone, Copy)]
pub(crate) struct WeightStrides {
    /// The distance from a weight to the weight of the next term of its sum.
    pub(crate) term: usize,
    /// The distance from a weight to the weight of the same term in the next sum.
    pub(crate) sum: usize,
}

/// The normalization of a layer, and the column of its normalized values.
#[derive(Clone, Copy)]
pub(crate) struct NormalizationColumns {
    pub(crate) kind: Normalization,
    /// The first column of the normalized values. In layer normalization, the column after them holds the inverse
    /// standard deviation of the row.
    pub(crate) offset: usize,
}

/// A layer, with the columns that it reads and writes.
pub(crate) struct Layer {
    pub(crate) layout: LayerLayout,
    /// The tensors of the layer, with their offsets.
    tensors: Vec<TensorLayout>,
    pub(crate) activation: Activation,
    pub(crate) input_offset: usize,
    pub(crate) output_offset: usize,
    pub(crate) delta_offset: usize,
    /// The column of the derivatives, if they do not follow from the outputs.
    pub(crate) derivative_offset: Option<usize>,
    /// The dropout of the outputs in training.
    dropout: Option<Dropout>,
    /// The index of the first neuron among all neurons of the network, for dropout.
    first_neuron: usize,
    pub(crate) normalization: Option<NormalizationColumns>,
    /// Whether the layer has trained parameters between the pre-activation and the output: gamma, beta or PReLU slopes.
    pub(crate) has_per_neuron_parameters: bool,
    /// The offset of the gradients of these parameters in [`ThreadResult::vector_gradients`].
    pub(crate) vector_gradient_offset: usize,
}

impl Layer {
    /// Creates the layers of a network. The columns of the inputs start at `input_offset`. `allocate` allocates the
    /// given number of columns and returns the first one; each layer gets columns for its outputs and a constant 1.
    pub(crate) fn for_network(
        network: &Network,
        input_offset: usize,
        mut allocate: impl FnMut(usize) -> usize,
    ) -> Vec<Self> {
        let mut layers: Vec<Self> = Vec::with_capacity(network.layers().len());
        for (dense, LayerTensors { layout, tensors }) in network.layers().iter().zip(network.layout().layer_tensors) {
            let output_offset = allocate(layout.outputs + 1);
            let previous = layers.last();
            let layer = Self {
                layout,
                tensors,
                activation: dense.activation,
                input_offset: previous.map_or(input_offset, |previous| previous.output_offset),
                output_offset,
                delta_offset: 0,
                derivative_offset: None,
                dropout: (dense.dropout > 0.0).then(|| Dropout::with_probability(dense.dropout)),
                first_neuron: previous.map_or(0, |previous| previous.first_neuron + previous.layout.stride),
                normalization: dense.normalization.map(|kind| NormalizationColumns { kind, offset: 0 }),
                has_per_neuron_parameters: dense.has_per_neuron_parameters(),
                vector_gradient_offset: previous
                    .map_or(0, |previous| previous.vector_gradient_offset + previous.per_neuron_len()),
            };
            layers.push(layer);
        }
        layers
    }

    /// Allocates columns for the derivatives, the normalized values and the deltas of all layers.
    pub(crate) fn assign_delta_offsets(layers: &mut [Self], mut allocate: impl FnMut(usize) -> usize) {
        for layer in layers.iter_mut().filter(|l| l.dropout.is_some() || !l.activation.derivative_from_output()) {
            layer.derivative_offset = Some(allocate(layer.layout.outputs));
        }
        for layer in layers.iter_mut() {
            if let Some(normalization) = &mut layer.normalization {
                normalization.offset = allocate(layer.layout.outputs + 1);
            }
        }
        for layer in layers {
            layer.delta_offset = allocate(layer.layout.outputs);
        }
    }

    /// Returns the layout of a tensor if the layer has it.
    pub(crate) fn tensor(&self, kind: TensorKind) -> Option<TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.spec.kind == kind).copied()
    }

    /// Returns the values of a per-neuron tensor, which is empty if the layer does not have it. Running statistics are
    /// part of the flat statistics, all other tensors of the flat parameters.
    pub(crate) fn per_neuron_values<'a>(&self, flat: &'a [f32], kind: TensorKind) -> &'a [f32] {
        self.tensor(kind).map_or(&[], |tensor| &flat[tensor.offset..][..tensor.spec.len()])
    }

    /// Returns the trained per-neuron tensors, in the order of their gradients in [`ThreadResult::vector_gradients`].
    pub(crate) fn per_neuron_tensors(&self) -> impl Iterator<Item = &TensorLayout> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.spec.kind.is_trained() && tensor.spec.kind.module() != TensorModule::Dense)
    }

    /// Returns the number of values of [`Layer::per_neuron_tensors`].
    pub(crate) fn per_neuron_len(&self) -> usize {
        self.per_neuron_tensors().map(|tensor| tensor.spec.len()).sum()
    }

    /// Returns the number of running statistics, with padding.
    pub(crate) fn statistics_len(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.spec.kind.is_trained()).count() * self.layout.stride
    }

    /// Stores the derivatives at the pre-activations `z`, unless they follow from the outputs.
    #[inline(always)]
    pub(crate) fn store_derivatives(&self, fma: Fma, z: &[f32], into: &mut [f32]) {
        if !self.activation.derivative_from_output() {
            derivatives(fma, self.activation, z, into);
        }
    }

    /// Multiplies the outputs `a` and their derivatives by the dropout factors. `index_of` returns the dropout index of
    /// each value.
    #[inline(always)]
    pub(crate) fn apply_dropout(
        &self,
        a: &mut [f32],
        derivatives: &mut [f32],
        index_of: impl Fn(usize) -> DropoutIndex,
    ) {
        let Some(dropout) = self.dropout else { return };
        if self.activation.derivative_from_output() {
            derivatives.fill(1.0);
            multiply_by_derivative(self.activation, a, &[], derivatives);
        }
        for (i, (a, derivative)) in a.iter_mut().zip(derivatives).enumerate() {
            let DropoutIndex { neuron, position, key } = index_of(i);
            let factor = dropout.factor(key, position, (self.first_neuron + neuron) as u32);
            (*a, *derivative) = (factor * *a, factor * *derivative);
        }
    }

    /// Multiplies `delta` by the derivatives: by the stored ones if there are any, otherwise by those at the outputs
    /// `a`.
    #[inline(always)]
    pub(crate) fn multiply_by_derivative(&self, a: &[f32], derivatives: &[f32], delta: &mut [f32]) {
        if derivatives.is_empty() {
            multiply_by_derivative(self.activation, a, derivatives, delta);
        } else {
            delta.iter_mut().zip(derivatives).for_each(|(d, derivative)| *d *= derivative);
        }
    }

    /// Returns the values of the columns of this layer that start at `column`, for `lanes` rows side by side; empty if
    /// `column` is `None`.
    pub(crate) fn columns<'a>(&self, values: &'a [f32], column: Option<usize>, lanes: usize) -> &'a [f32] {
        column.map_or(&[], |column| &values[column * lanes..][..self.layout.outputs * lanes])
    }

    /// Returns the first `rows` rows of the weights. The row after the last weight row is the bias.
    pub(crate) fn weights<'a>(&self, parameters: &'a [f32], rows: usize) -> Matrix<'a> {
        let LayerLayout { offset, outputs, stride, .. } = self.layout;
        Matrix::new(&parameters[offset..], rows, outputs, stride)
    }
}

/// The results of one thread for its rows.
#[derive(Clone, Default)]
pub(crate) struct ThreadResult {
    pub(crate) loss: f64,
    /// The sum of the sample weights of the correct rows.
    pub(crate) correct: f64,
    /// The gradients of the parameters, if every thread sums gradients.
    pub(crate) gradients: Vec<f32>,
    /// The gradients of the per-neuron parameters, layer by layer.
    pub(crate) vector_gradients: Vec<f32>,
    /// The running statistics of batch normalization. Only the first thread uses them.
    pub(crate) statistics: Vec<f32>,
    /// The inverse standard deviations of the current batch in batch normalization.
    pub(crate) inverse_stds: Vec<f32>,
}
