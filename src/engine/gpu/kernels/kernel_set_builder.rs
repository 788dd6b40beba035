//! What makes the dispatches of a network. The files beside this one add the dispatches of each scheme.

use std::ops::RangeInclusive;

use crate::engine::gpu::{
    kernels::{
        assembly::Assembly,
        kernel_source::{BindingSet, KernelSource, Piece},
    },
    layout::{
        arenas::{Arenas, KernelConfig},
        matmul::{Epilogue, MatmulKind},
    },
};

/// What dispatches are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelPurpose {
    Training,
    /// Changes nothing.
    Gradients,
    Prediction,
}

/// Makes the dispatches of a network.
pub(crate) struct KernelSetBuilder<'a> {
    pub(crate) arenas: &'a Arenas,
    pub(crate) config: &'a KernelConfig,
    pub(crate) purpose: KernelPurpose,
}

impl KernelSetBuilder<'_> {
    pub(crate) fn last_layer(&self) -> usize {
        self.arenas.layers.len() - 1
    }

    /// A kernel without matmuls that looks at some layers or, without a range, at all layers.
    pub(crate) fn source(
        &self,
        bindings: BindingSet,
        pieces: Vec<Piece>,
        looks_at: Option<RangeInclusive<usize>>,
    ) -> KernelSource {
        let predicts = self.purpose == KernelPurpose::Prediction;
        KernelSource { is_prediction: predicts, used_layers: looks_at, ..KernelSource::new(bindings, pieces) }
    }

    pub(crate) fn assemble(&self, source: &KernelSource) -> String {
        Assembly::new(self.arenas, self.config, source).text()
    }

    /// The epilogue of a layer's outputs in a training.
    pub(crate) fn output_epilogue(&self, layer: usize) -> Epilogue {
        let members = self.config;
        if layer == self.last_layer() {
            return if members.loss.needs_full_row() { Epilogue::Forward } else { Epilogue::OutputDelta };
        }
        if members.normalizations[layer].is_some() {
            Epilogue::BeforeNormalization
        } else if members.activations[layer].has_parameters() {
            Epilogue::ForwardPrelu
        } else if members.has_dropout(layer) {
            Epilogue::ForwardDropout
        } else if members.stores_derivative(layer) {
            Epilogue::ForwardDerivative
        } else {
            Epilogue::Forward
        }
    }

    /// The epilogue of a layer's outputs in a prediction.
    pub(crate) fn prediction_epilogue(&self, layer: usize) -> Epilogue {
        if self.config.normalizations[layer].is_some() {
            Epilogue::BeforeNormalization
        } else if self.config.activations[layer].has_parameters() {
            Epilogue::ForwardPrelu
        } else {
            Epilogue::Forward
        }
    }

    /// The epilogue of the gradients: the update, or they are kept until all are there.
    pub(crate) const fn gradient_epilogue(&self) -> Epilogue {
        if self.arenas.full_gradients.is_some() { Epilogue::Accumulate } else { Epilogue::Update }
    }

    /// The floating-point operations of a product, for one step.
    pub(crate) fn matmul_flop(&self, product: MatmulKind, layer: usize) -> u64 {
        let l = &self.arenas.layers[layer];
        if product == MatmulKind::InputDelta && layer == 0 {
            // Nobody needs it.
            return 0;
        }
        2 * self.arenas.padded_batch as u64
            * l.layout.inputs as u64
            * l.layout.outputs as u64
            * self.arenas.member_count as u64
    }
}
