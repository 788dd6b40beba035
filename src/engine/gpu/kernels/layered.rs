//! The layered scheme: one dispatch per matmul and per operation between matmuls.

use crate::{
    engine::gpu::{
        device::dispatch::{Dispatch, WORKGROUP_SIZE, fold_workgroups},
        kernels::{
            kernel_set_builder::{KernelPurpose, KernelSetBuilder},
            kernel_source::{BindingSet, KernelSource, shared_pieces},
            loop_counts,
        },
        layout::matmul::{Epilogue, Matmul, MatmulKind},
    },
    nn::normalization::Normalization,
    plan::matmul::MatmulConfigs,
};

impl KernelSetBuilder<'_> {
    /// Returns the dispatches of a training step, or of its gradients: one per matmul, two for split-K.
    pub(crate) fn layered_dispatches(&self, configs: &MatmulConfigs, gradient_epilogue: Epilogue) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, config) in configs.forward.iter().enumerate() {
            let matmul = Matmul { kind: MatmulKind::Forward, epilogue: self.output_epilogue(layer) };
            all.extend(self.grid_dispatches(matmul, layer..=layer, *config));
            all.extend(self.normalization_dispatch(layer));
        }
        if self.config.loss.needs_full_row() {
            all.push(self.per_row_dispatch(
                "softmax_delta",
                "softmax_delta_rows",
                [shader!("entry/softmax_delta"), shader!("step/softmax_delta")],
            ));
        }
        for (previous, config) in configs.input_delta.iter().enumerate().rev() {
            let is_prelu = self.config.activations[previous].has_parameters();
            let epilogue = if is_prelu { Epilogue::InputDeltaPrelu } else { Epilogue::InputDelta };
            let matmul = Matmul { kind: MatmulKind::InputDelta, epilogue };
            all.extend(self.grid_dispatches(matmul, previous + 1..=previous + 1, *config));
            all.extend(self.per_neuron_gradient_dispatches(previous));
        }
        let gradients = Matmul { kind: MatmulKind::Gradient, epilogue: gradient_epilogue };
        all.extend(self.grid_dispatches(gradients, 0..=self.last_layer(), configs.gradient));
        all
    }

    /// Returns the dispatches of a prediction.
    pub(crate) fn prediction_dispatches(&self, configs: &MatmulConfigs) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, config) in configs.forward.iter().enumerate() {
            let matmul = Matmul { kind: MatmulKind::Forward, epilogue: self.prediction_epilogue(layer) };
            all.extend(self.grid_dispatches(matmul, layer..=layer, *config));
            all.extend(self.normalization_dispatch(layer));
        }
        if self.config.ends_with_softmax {
            all.push(self.per_row_dispatch("softmax", "softmax", [shader!("entry/softmax"), shader!("step/softmax")]));
        }
        all
    }

    /// Returns a dispatch with one invocation per row of outputs.
    fn per_row_dispatch(&self, name: &str, entry_point: &'static str, files: [&'static str; 2]) -> Dispatch {
        let [first, second] = files;
        let pieces = shared_pieces([first, second, shader!("step/log_sum_exp")]);
        let source = self.source(BindingSet::Step, pieces, Some(self.last_layer()..=self.last_layer()));
        Dispatch {
            name: name.to_owned(),
            entry_point,
            source: self.assemble(&KernelSource { constants: vec![("INVOCATIONS", WORKGROUP_SIZE)], ..source }),
            workgroups: fold_workgroups(self.arenas.metrics_workgroups_per_step(), self.arenas.member_count),
            loop_iterations: loop_counts::softmax_rows(self.arenas),
            max_steps: 1,
            flop: 0,
            bytes: (3 * 16 * self.arenas.padded_batch * self.arenas.output_stride()) as u64,
        }
    }

    /// Appends the update to a step with full gradients, and before it the gradient norm if it is clipped.
    pub(crate) fn append_update(&self, mut step: Vec<Dispatch>) -> Vec<Dispatch> {
        if self.arenas.full_gradients.is_some() {
            if self.config.optimizer.clip_norm.is_some() {
                step.push(self.gradient_norm_dispatch());
            }
            step.push(self.update_dispatch());
        }
        step
    }

    /// Returns the dispatch that sums the squares of the full gradients.
    fn gradient_norm_dispatch(&self) -> Dispatch {
        Dispatch {
            name: "gradient norm".to_owned(),
            entry_point: "gradient_norm",
            source: self.full_gradient_source(shader!("entry/gradient_norm")),
            workgroups: fold_workgroups(self.arenas.gradient_norm_workgroups(), self.arenas.member_count),
            loop_iterations: loop_counts::gradient_norm(self.arenas),
            max_steps: 1,
            flop: 0,
            bytes: (16 * self.arenas.parameters) as u64,
        }
    }

    /// Returns the dispatch that updates the parameters from full gradients.
    fn update_dispatch(&self) -> Dispatch {
        Dispatch {
            name: "update".to_owned(),
            entry_point: "update",
            source: self.full_gradient_source(shader!("entry/update")),
            workgroups: fold_workgroups(self.arenas.parameters.div_ceil(WORKGROUP_SIZE), self.arenas.member_count),
            loop_iterations: loop_counts::update(self.arenas),
            max_steps: 1,
            flop: 0,
            bytes: (16 * self.arenas.parameters * 3) as u64,
        }
    }

    /// Returns the WGSL of a kernel on full gradients.
    fn full_gradient_source(&self, entry: &'static str) -> String {
        let source = self.source(BindingSet::Step, shared_pieces([entry, shader!("step/full_gradients")]), None);
        self.assemble(&KernelSource { constants: vec![("INVOCATIONS", WORKGROUP_SIZE)], ..source })
    }

    /// Returns the dispatch that normalizes the pre-activations of a layer and applies its activation.
    fn normalization_dispatch(&self, layer: usize) -> Option<Dispatch> {
        let dispatch = match self.config.normalizations[layer]? {
            Normalization::Layer => self.per_row_of_layer(layer, "layer_norm"),
            Normalization::Batch if self.purpose == KernelPurpose::Prediction => {
                self.per_column_of_layer(layer, "batch_norm_running")
            }
            Normalization::Batch => self.per_column_of_layer(layer, "batch_norm"),
        };
        Some(dispatch)
    }

    /// Returns the dispatches of a layer's backward pass for the parameters of its normalization or PReLU, and for the
    /// delta of its normalization.
    fn per_neuron_gradient_dispatches(&self, layer: usize) -> Vec<Dispatch> {
        match self.config.normalizations[layer] {
            Some(Normalization::Layer) => {
                vec![
                    self.per_column_of_layer(layer, "normalization_gradients"),
                    self.per_row_of_layer(layer, "layer_norm_delta"),
                ]
            }
            Some(Normalization::Batch) => vec![self.per_column_of_layer(layer, "batch_norm_delta")],
            None if self.config.activations[layer].has_parameters() => {
                vec![self.per_column_of_layer(layer, "prelu_slope_gradients")]
            }
            None => Vec::new(),
        }
    }

    /// Returns a dispatch with one workgroup per row of the batch, which processes the neurons of a layer.
    fn per_row_of_layer(&self, layer: usize, entry_point: &'static str) -> Dispatch {
        let workgroups = fold_workgroups(self.arenas.padded_batch, self.arenas.member_count);
        self.pre_activation_dispatch(layer, entry_point, workgroups, self.arenas.layers[layer].output_stride)
    }

    /// Returns a dispatch with one workgroup per vec4 of a layer's neurons, which processes the rows of the batch.
    fn per_column_of_layer(&self, layer: usize, entry_point: &'static str) -> Dispatch {
        let workgroups = [self.arenas.layers[layer].output_stride as u32, 1, self.arenas.member_count as u32];
        self.pre_activation_dispatch(layer, entry_point, workgroups, self.arenas.padded_batch)
    }

    /// Returns a dispatch of a layer's normalization or PReLU, whose workgroups process `vec4s` vec4s each.
    fn pre_activation_dispatch(
        &self,
        layer: usize,
        entry_point: &'static str,
        workgroups: [u32; 3],
        vec4s: usize,
    ) -> Dispatch {
        let offsets = &self.arenas.layers[layer];
        let normalization = match self.config.normalizations[layer] {
            Some(Normalization::Batch) => shader!("normalization/batch"),
            Some(Normalization::Layer) | None => shader!("normalization/layer"),
        };
        let pieces = shared_pieces([shader!("normalization/common"), normalization, shader!("step/full_gradients")]);
        let source = KernelSource {
            constants: vec![
                ("INVOCATIONS", WORKGROUP_SIZE),
                ("LAYER", layer),
                ("RUNNING_STATS_LAYER", offsets.running_stats_offset.unwrap_or(0)),
            ],
            flags: vec![("UPDATES_RUNNING_STATS", self.purpose == KernelPurpose::Training)],
            pre_activation_layer: Some(layer),
            ..self.source(BindingSet::Step, pieces, Some(layer..=layer))
        };
        Dispatch {
            name: format!("{entry_point} {layer}"),
            entry_point,
            source: self.assemble(&source),
            workgroups,
            loop_iterations: loop_counts::pre_activation(self.arenas, vec4s),
            max_steps: 1,
            flop: 0,
            bytes: (5 * 16 * self.arenas.padded_batch * offsets.output_stride) as u64,
        }
    }
}
