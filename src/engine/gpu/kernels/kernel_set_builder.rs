//! The builder of a network's dispatches. Other files of this folder add the dispatches of each scheme.

use std::ops::RangeInclusive;

use crate::engine::gpu::{
    kernels::{
        assembly::Assembly,
        kernel_source::{BindingSet, KernelSource, Piece},
    },
    layout::{
        arenas::Arenas,
        kernel_config::KernelConfig,
        matmul::{Epilogue, MatmulKind},
    },
};

/// The purpose of dispatches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelPurpose {
    /// Training steps, which change the parameters and the optimizer state.
    Training,
    /// Gradients for the host. Parameters and states do not change.
    Gradients,
    /// Outputs without a loss.
    Prediction,
}

/// Builds the dispatches of a network.
pub(crate) struct KernelSetBuilder<'a> {
    pub(crate) arenas: &'a Arenas,
    pub(crate) config: &'a KernelConfig,
    pub(crate) purpose: KernelPurpose,
}

impl KernelSetBuilder<'_> {
    /// Returns the number of the last layer.
    pub(crate) fn last_layer(&self) -> usize {
        self.arenas.layers.len() - 1
    }

    /// Returns a kernel without matmuls that uses these layers; `None` for all layers.
    pub(crate) fn source(
        &self,
        bindings: BindingSet,
        pieces: Vec<Piece>,
        used_layers: Option<RangeInclusive<usize>>,
    ) -> KernelSource {
        let is_prediction = self.purpose == KernelPurpose::Prediction;
        KernelSource { is_prediction, used_layers, ..KernelSource::new(bindings, pieces) }
    }

    /// Returns the WGSL text of a kernel.
    pub(crate) fn assemble(&self, source: &KernelSource) -> String {
        Assembly::new(self.arenas, self.config, source).text()
    }

    /// Returns the epilogue of a layer's forward matmul in a training run.
    pub(crate) fn output_epilogue(&self, layer: usize) -> Epilogue {
        let config = self.config;
        if layer == self.last_layer() {
            return if config.loss.needs_full_row() { Epilogue::Forward } else { Epilogue::OutputDelta };
        }
        if config.normalizations[layer].is_some() {
            Epilogue::BeforeNormalization
        } else if config.activations[layer].has_parameters() {
            Epilogue::ForwardPrelu
        } else if config.has_dropout(layer) {
            Epilogue::ForwardDropout
        } else if config.stores_derivative(layer) {
            Epilogue::ForwardDerivative
        } else {
            Epilogue::Forward
        }
    }

    /// Returns the epilogue of a layer's forward matmul in a prediction.
    pub(crate) fn prediction_epilogue(&self, layer: usize) -> Epilogue {
        if self.config.normalizations[layer].is_some() {
            Epilogue::BeforeNormalization
        } else if self.config.activations[layer].has_parameters() {
            Epilogue::ForwardPrelu
        } else {
            Epilogue::Forward
        }
    }

    /// Returns the epilogue of the gradients: the update or, with full gradients, their accumulation.
    pub(crate) const fn gradient_epilogue(&self) -> Epilogue {
        if self.arenas.full_gradients.is_some() { Epilogue::Accumulate } else { Epilogue::Update }
    }

    /// Returns the floating-point operations of a layer's matmul per step, for all members.
    pub(crate) fn matmul_flop(&self, kind: MatmulKind, layer: usize) -> u64 {
        let l = &self.arenas.layers[layer];
        if kind == MatmulKind::InputDelta && layer == 0 {
            // No layer needs the deltas of the inputs.
            return 0;
        }
        2 * self.arenas.padded_batch as u64
            * l.layout.inputs as u64
            * l.layout.outputs as u64
            * self.arenas.member_count as u64
    }
}
