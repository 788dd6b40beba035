//! What makes the dispatches of a network. The files beside this one add the dispatches of each scheme.

use std::ops::RangeInclusive;

use crate::engine::gpu::{
    kernels::kernel_source::{BindingSet, KernelSource, Piece},
    layout::{
        arenas::{Arenas, Members},
        matmul::{Finish, Product},
    },
};

/// What dispatches are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Training,
    /// Changes nothing.
    Gradients,
    Prediction,
}

/// Makes the dispatches of a network.
pub(crate) struct Maker<'a> {
    pub(crate) arenas: &'a Arenas,
    pub(crate) members: &'a Members,
    pub(crate) purpose: Purpose,
}

impl Maker<'_> {
    pub(crate) fn last(&self) -> usize {
        self.arenas.layers.len() - 1
    }

    /// A kernel without matmuls that looks at some layers or, without a range, at all layers.
    pub(crate) fn source(
        &self,
        bindings: BindingSet,
        pieces: Vec<Piece>,
        looks_at: Option<RangeInclusive<usize>>,
    ) -> KernelSource {
        let predicts = self.purpose == Purpose::Prediction;
        KernelSource { predicts, looks_at, ..KernelSource::new(bindings, pieces) }
    }

    pub(crate) fn assembled(&self, source: &KernelSource) -> String {
        source.assemble(self.arenas, self.members)
    }

    /// The epilogue of a layer's outputs in a training.
    pub(crate) fn output(&self, layer: usize) -> Finish {
        let members = self.members;
        if layer == self.last() {
            return if members.loss.looks_at_the_row() { Finish::Forward } else { Finish::OutputDelta };
        }
        if members.norms[layer].is_some() {
            Finish::BeforeNorm
        } else if members.activations[layer].is_learned() {
            Finish::ForwardPrelu
        } else if members.drops(layer) {
            Finish::ForwardDropout
        } else if members.keeps_slope(layer) {
            Finish::ForwardSlope
        } else {
            Finish::Forward
        }
    }

    /// The epilogue of a layer's outputs in a prediction.
    pub(crate) fn predicted_output(&self, layer: usize) -> Finish {
        if self.members.norms[layer].is_some() {
            Finish::BeforeNorm
        } else if self.members.activations[layer].is_learned() {
            Finish::ForwardPrelu
        } else {
            Finish::Forward
        }
    }

    /// The epilogue of the gradients: the update, or they are kept until all are there.
    pub(crate) const fn last_finish(&self) -> Finish {
        if self.arenas.kept.is_some() { Finish::Accumulate } else { Finish::Update }
    }

    /// The floating-point operations of a product, for one step.
    pub(crate) fn flop(&self, product: Product, layer: usize) -> u64 {
        let l = &self.arenas.layers[layer];
        if product == Product::InputDelta && layer == 0 {
            // Nobody needs it.
            return 0;
        }
        2 * self.arenas.batch as u64 * l.place.inputs as u64 * l.place.outputs as u64 * self.arenas.models as u64
    }
}
