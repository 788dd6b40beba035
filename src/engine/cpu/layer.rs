//! What the ways of computing a step have in common: a layer, and what a thread takes in and brings out.

use crate::{
    engine::cpu::{
        elementwise::{slopes, times_slope},
        gemm::Matrix,
    },
    nn::{
        activation::Activation,
        dropout::Dropout,
        layout::{LayerTensors, Place, TensorLayout},
        network::Network,
        normalization::Norm,
        tensors::{TensorKind, TensorModule},
    },
    util::math::Fma,
};

/// Writes the inputs and the expected outputs of a row of the batch, and tells what it weighs.
pub(crate) type Fill<'a> = dyn Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + 'a;

/// A layer, and the columns of what it reads and writes.
pub(crate) struct Layer {
    pub(crate) place: Place,
    /// The tensors of the layer, and where they lie.
    tensors: Vec<TensorLayout>,
    pub(crate) activation: Activation,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) delta: usize,
    /// Where the slopes lie, if the values do not tell them.
    pub(crate) slope: Option<usize>,
    /// Which of its outputs are dropped in training.
    dropout: Option<Dropout>,
    /// The number of its first neuron among all, for dropout.
    first: usize,
    /// How its sums are normalised, and the column of what comes out; behind that one of a layer norm's inverse deviation.
    pub(crate) norm: Option<(Norm, usize)>,
    /// Whether something is trained between the sum of a neuron and its activation, or in the activation.
    pub(crate) learns_behind_the_sum: bool,
    /// Where a lane sums the gradients of the tensors behind the sum.
    pub(crate) sums_from: usize,
}

impl Layer {
    /// The layers of a network; `take` gives columns to what they read and write: inputs and a 1, outputs and a 1.
    pub(crate) fn all(network: &Network, from: usize, mut take: impl FnMut(usize) -> usize) -> Vec<Self> {
        let mut layers: Vec<Self> = Vec::with_capacity(network.layers().len());
        for (dense, LayerTensors { place, tensors }) in network.layers().iter().zip(network.layout().layers) {
            let to = take(place.outputs + 1);
            let from = layers.last().map_or(from, |before| before.to);
            let first = layers.last().map_or(0, |before| before.first + before.place.stride);
            let dropout = (dense.dropout > 0.0).then(|| Dropout::of(dense.dropout));
            let activation = dense.activation;
            let sums_from = layers.last().map_or(0, |before| before.sums_from + before.len_behind_the_sum());
            layers.push(Self {
                place,
                tensors,
                activation,
                from,
                to,
                delta: 0,
                slope: None,
                dropout,
                first,
                norm: dense.norm.map(|norm| (norm, 0)),
                learns_behind_the_sum: dense.learns_behind_the_sum(),
                sums_from,
            });
        }
        layers
    }

    /// Gives columns to the slopes and deltas of all layers.
    pub(crate) fn place_deltas(layers: &mut [Self], mut take: impl FnMut(usize) -> usize) {
        for layer in layers.iter_mut().filter(|l| l.dropout.is_some() || !l.activation.slope_is_by_value()) {
            layer.slope = Some(take(layer.place.outputs));
        }
        for layer in layers.iter_mut() {
            if let Some((_, normed)) = &mut layer.norm {
                *normed = take(layer.place.outputs + 1);
            }
        }
        for layer in layers {
            layer.delta = take(layer.place.outputs);
        }
    }

    /// Where a tensor lies, if the layer has it.
    pub(crate) fn tensor(&self, kind: TensorKind) -> Option<TensorLayout> {
        self.tensors.iter().find(|tensor| tensor.spec.kind == kind).copied()
    }

    /// The values of a per-neuron tensor, which is empty if the layer does not have it. Running statistics are among the
    /// flat statistics, the others among the flat parameters.
    pub(crate) fn vector<'a>(&self, flat: &'a [f32], kind: TensorKind) -> &'a [f32] {
        self.tensor(kind).map_or(&[], |tensor| &flat[tensor.offset..][..tensor.spec.len()])
    }

    /// The tensors that are trained behind the sum, in the order in which a lane sums their gradients.
    pub(crate) fn behind_the_sum(&self) -> impl Iterator<Item = &TensorLayout> {
        self.tensors
            .iter()
            .filter(|tensor| tensor.spec.kind.is_trained() && tensor.spec.kind.module() != TensorModule::Dense)
    }

    /// The number of values of [`Layer::behind_the_sum`].
    pub(crate) fn len_behind_the_sum(&self) -> usize {
        self.behind_the_sum().map(|tensor| tensor.spec.len()).sum()
    }

    /// The number of running statistics, padded.
    pub(crate) fn statistics(&self) -> usize {
        self.tensors.iter().filter(|tensor| !tensor.spec.kind.is_trained()).count() * self.place.stride
    }

    /// The slopes where the sums are `z`, for those whose values do not tell them.
    #[inline(always)]
    pub(crate) fn keep_slopes(&self, fma: Fma, z: &[f32], into: &mut [f32]) {
        if !self.activation.slope_is_by_value() {
            slopes(fma, self.activation, z, into);
        }
    }

    /// Drops some of the outputs `a` and of their slopes; `of` tells of each the neuron, counted from the layer's first,
    /// the place of its row in the epoch, and the epoch's key.
    #[inline(always)]
    pub(crate) fn drop_out(&self, a: &mut [f32], slopes: &mut [f32], of: impl Fn(usize) -> (usize, u32, [u32; 2])) {
        let Some(dropout) = self.dropout else { return };
        if self.activation.slope_is_by_value() {
            slopes.fill(1.0);
            times_slope(self.activation, a, &[], slopes);
        }
        for (at, (a, slope)) in a.iter_mut().zip(slopes).enumerate() {
            let (neuron, place, key) = of(at);
            let factor = dropout.factor(key, place, (self.first + neuron) as u32);
            (*a, *slope) = (factor * *a, factor * *slope);
        }
    }

    /// Multiplies `delta` by the slopes where the outputs are `a`.
    #[inline(always)]
    pub(crate) fn times_slope(&self, a: &[f32], kept: &[f32], delta: &mut [f32]) {
        if kept.is_empty() {
            times_slope(self.activation, a, kept, delta);
        } else {
            delta.iter_mut().zip(kept).for_each(|(d, slope)| *d *= slope);
        }
    }

    /// Of the numbers of a row, or of some rows side by side, those of the layer's neurons from `column` on.
    pub(crate) fn columns<'a>(&self, values: &'a [f32], column: Option<usize>, lanes: usize) -> &'a [f32] {
        column.map_or(&[], |column| &values[column * lanes..][..self.place.outputs * lanes])
    }

    /// The first `rows` rows of the weights; the one after the last weights is the biases.
    pub(crate) fn weights<'a>(&self, parameters: &'a [f32], rows: usize) -> Matrix<'a> {
        let Place { offset, outputs, stride, .. } = self.place;
        Matrix::new(&parameters[offset..], rows, outputs, stride)
    }
}

/// What one thread brings out of its rows.
#[derive(Clone, Default)]
pub(crate) struct Lane {
    pub(crate) loss: f64,
    /// The sum of the weights of the rows that were answered rightly.
    pub(crate) right: f64,
    /// The gradients, where every thread sums its own.
    pub(crate) sums: Vec<f32>,
    /// The gradients of what lies behind the biases, layer by layer.
    pub(crate) vectors: Vec<f32>,
    /// The running statistics of batch norms, and of the present batch the inverse deviations; the first lane's.
    pub(crate) statistics: Vec<f32>,
    pub(crate) inverses: Vec<f32>,
}
