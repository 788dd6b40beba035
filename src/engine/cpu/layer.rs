//! What the ways of computing a step have in common: a layer, and what a thread takes in and brings out.

use crate::{
    engine::cpu::{
        elementwise::{derivatives, multiply_by_derivative},
        gemm::Matrix,
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

/// Writes the inputs and the expected outputs of a row of the batch, and tells what it weighs.
pub(crate) type RowReader<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + 'a;

/// A layer, and the columns of what it reads and writes.
pub(crate) struct Layer {
    pub(crate) layout: LayerLayout,
    /// The tensors of the layer, and where they lie.
    tensors: Vec<TensorLayout>,
    pub(crate) activation: Activation,
    pub(crate) input_offset: usize,
    pub(crate) output_offset: usize,
    pub(crate) delta_offset: usize,
    /// Where the slopes lie, if the values do not tell them.
    pub(crate) derivative_offset: Option<usize>,
    /// Which of its outputs are dropped in training.
    dropout: Option<Dropout>,
    /// The number of its first neuron among all, for dropout.
    first_neuron: usize,
    /// How its sums are normalised, and the column of what comes out; behind that one of a layer norm's inverse deviation.
    pub(crate) normalization: Option<(Normalization, usize)>,
    /// Whether something is trained between the sum of a neuron and its activation, or in the activation.
    pub(crate) has_per_neuron_parameters: bool,
    /// Where a lane sums the gradients of the tensors behind the sum.
    pub(crate) vector_gradient_offset: usize,
}

impl Layer {
    /// The layers of a network; `take` gives columns to what they read and write: inputs and a 1, outputs and a 1.
    pub(crate) fn for_network(network: &Network, from: usize, mut take: impl FnMut(usize) -> usize) -> Vec<Self> {
        let mut layers: Vec<Self> = Vec::with_capacity(network.layers().len());
        for (dense, LayerTensors { layout: place, tensors }) in network.layers().iter().zip(network.layout().to_layers)
        {
            let to = take(place.outputs + 1);
            let from = layers.last().map_or(from, |before| before.output_offset);
            let first = layers.last().map_or(0, |before| before.first_neuron + before.layout.stride);
            let dropout = (dense.dropout > 0.0).then(|| Dropout::with_probability(dense.dropout));
            let activation = dense.activation;
            let sums_from = layers.last().map_or(0, |before| before.vector_gradient_offset + before.per_neuron_len());
            layers.push(Self {
                layout: place,
                tensors,
                activation,
                input_offset: from,
                output_offset: to,
                delta_offset: 0,
                derivative_offset: None,
                dropout,
                first_neuron: first,
                normalization: dense.normalization.map(|norm| (norm, 0)),
                has_per_neuron_parameters: dense.has_per_neuron_parameters(),
                vector_gradient_offset: sums_from,
            });
        }
        layers
    }

    /// Gives columns to the slopes and deltas of all layers.
    pub(crate) fn assign_delta_offsets(layers: &mut [Self], mut take: impl FnMut(usize) -> usize) {
        for layer in layers.iter_mut().filter(|l| l.dropout.is_some() || !l.activation.derivative_from_output()) {
            layer.derivative_offset = Some(take(layer.layout.outputs));
        }
        for layer in layers.iter_mut() {
            if let Some((_, normed)) = &mut layer.normalization {
                *normed = take(layer.layout.outputs + 1);
            }
        }
        for layer in layers {
            layer.delta_offset = take(layer.layout.outputs);
        }
    }

    /// Where a tensor lies, if the layer has it.
    pub(crate) fn tensor(&self, kind: TensorKind) -> Option<TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.spec.kind == kind).copied()
    }

    /// The values of a per-neuron tensor, which is empty if the layer does not have it. Running statistics are among the
    /// flat statistics, the others among the flat parameters.
    pub(crate) fn per_neuron_values<'a>(&self, flat: &'a [f32], kind: TensorKind) -> &'a [f32] {
        self.tensor(kind).map_or(&[], |tensor| &flat[tensor.offset..][..tensor.spec.len()])
    }

    /// The tensors that are trained behind the sum, in the order in which a lane sums their gradients.
    pub(crate) fn per_neuron_tensors(&self) -> impl Iterator<Item = &TensorLayout> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.spec.kind.is_trained() && tensor.spec.kind.module() != TensorModule::Dense)
    }

    /// The number of values of [`Layer::per_neuron_tensors`].
    pub(crate) fn per_neuron_len(&self) -> usize {
        self.per_neuron_tensors().map(|tensor| tensor.spec.len()).sum()
    }

    /// The number of running statistics, padded.
    pub(crate) fn statistics_len(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.spec.kind.is_trained()).count() * self.layout.stride
    }

    /// The slopes where the sums are `z`, for those whose values do not tell them.
    #[inline(always)]
    pub(crate) fn store_derivatives(&self, fma: Fma, z: &[f32], into: &mut [f32]) {
        if !self.activation.derivative_from_output() {
            derivatives(fma, self.activation, z, into);
        }
    }

    /// Drops some of the outputs `a` and of their slopes; `of` tells of each the neuron, counted from the layer's first,
    /// the place of its row in the epoch, and the epoch's key.
    #[inline(always)]
    pub(crate) fn apply_dropout(
        &self,
        a: &mut [f32],
        slopes: &mut [f32],
        of: impl Fn(usize) -> (usize, u32, [u32; 2]),
    ) {
        let Some(dropout) = self.dropout else { return };
        if self.activation.derivative_from_output() {
            slopes.fill(1.0);
            multiply_by_derivative(self.activation, a, &[], slopes);
        }
        for (at, (a, slope)) in a.iter_mut().zip(slopes).enumerate() {
            let (neuron, place, key) = of(at);
            let factor = dropout.factor(key, place, (self.first_neuron + neuron) as u32);
            (*a, *slope) = (factor * *a, factor * *slope);
        }
    }

    /// Multiplies `delta` by the slopes where the outputs are `a`.
    #[inline(always)]
    pub(crate) fn multiply_by_derivative(&self, a: &[f32], derivatives: &[f32], delta: &mut [f32]) {
        if derivatives.is_empty() {
            multiply_by_derivative(self.activation, a, derivatives, delta);
        } else {
            delta.iter_mut().zip(derivatives).for_each(|(d, slope)| *d *= slope);
        }
    }

    /// Of the numbers of a row, or of some rows side by side, those of the layer's neurons from `column` on.
    pub(crate) fn columns<'a>(&self, values: &'a [f32], column: Option<usize>, lanes: usize) -> &'a [f32] {
        column.map_or(&[], |column| &values[column * lanes..][..self.layout.outputs * lanes])
    }

    /// The first `rows` rows of the weights; the one after the last weights is the biases.
    pub(crate) fn weights<'a>(&self, parameters: &'a [f32], rows: usize) -> Matrix<'a> {
        let LayerLayout { offset, outputs, stride, .. } = self.layout;
        Matrix::new(&parameters[offset..], rows, outputs, stride)
    }
}

/// What one thread brings out of its rows.
#[derive(Clone, Default)]
pub(crate) struct ThreadResult {
    pub(crate) loss: f64,
    /// The sum of the weights of the rows that were answered rightly.
    pub(crate) correct: f64,
    /// The gradients, where every thread sums its own.
    pub(crate) gradients: Vec<f32>,
    /// The gradients of what lies behind the biases, layer by layer.
    pub(crate) vector_gradients: Vec<f32>,
    /// The running statistics of batch norms, and of the present batch the inverse deviations; the first lane's.
    pub(crate) statistics: Vec<f32>,
    pub(crate) inverse_stds: Vec<f32>,
}
