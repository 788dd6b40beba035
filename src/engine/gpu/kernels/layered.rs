//! The layered scheme: a dispatch for each matmul, and for what stands between the matmuls.

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
    plan::MatmulConfigs,
};

impl KernelSetBuilder<'_> {
    /// A step, or its gradients: a dispatch for each matmul, two for a matmul in parts.
    pub(crate) fn layered_dispatches(&self, configs: &MatmulConfigs, last: Epilogue) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, way) in configs.forward.iter().enumerate() {
            let matmul = Matmul { kind: MatmulKind::Forward, epilogue: self.output_epilogue(layer) };
            all.extend(self.grid_dispatches(matmul, layer..=layer, *way));
            all.extend(self.normalization_dispatch(layer));
        }
        if self.config.loss.needs_full_row() {
            all.push(self.per_row_dispatch(
                "softmax_delta",
                "softmax_delta_rows",
                [shader!("entry/softmax_delta"), shader!("step/softmax_delta")],
            ));
        }
        for (before, way) in configs.input_delta.iter().enumerate().rev() {
            let is_learned = self.config.activations[before].has_parameters();
            let finish = if is_learned { Epilogue::InputDeltaPrelu } else { Epilogue::InputDelta };
            let matmul = Matmul { kind: MatmulKind::InputDelta, epilogue: finish };
            all.extend(self.grid_dispatches(matmul, before + 1..=before + 1, *way));
            all.extend(self.per_neuron_gradient_dispatches(before));
        }
        let gradients = Matmul { kind: MatmulKind::Gradient, epilogue: last };
        all.extend(self.grid_dispatches(gradients, 0..=self.last_layer(), configs.gradient));
        all
    }

    /// Outputs without a loss.
    pub(crate) fn predicted_dispatches(&self, configs: &MatmulConfigs) -> Vec<Dispatch> {
        let mut all = Vec::new();
        for (layer, way) in configs.forward.iter().enumerate() {
            let matmul = Matmul { kind: MatmulKind::Forward, epilogue: self.prediction_epilogue(layer) };
            all.extend(self.grid_dispatches(matmul, layer..=layer, *way));
            all.extend(self.normalization_dispatch(layer));
        }
        if self.config.ends_with_softmax {
            all.push(self.per_row_dispatch("softmax", "softmax", [shader!("entry/softmax"), shader!("step/softmax")]));
        }
        all
    }

    /// An invocation for each row of outputs, which looks at all of the row.
    fn per_row_dispatch(&self, name: &str, entry: &'static str, files: [&'static str; 2]) -> Dispatch {
        let [first, second] = files;
        let pieces = shared_pieces([first, second, shader!("step/log_sum_exp")]);
        let source = self.source(BindingSet::Step, pieces, Some(self.last_layer()..=self.last_layer()));
        Dispatch {
            name: name.to_owned(),
            entry_point: entry,
            source: self.assemble(&KernelSource { constants: vec![("INVOCATIONS", WORKGROUP_SIZE)], ..source }),
            workgroups: fold_workgroups(self.arenas.metrics_workgroups_per_step(), self.arenas.member_count),
            loop_iterations: loop_counts::softmax_rows(self.arenas),
            max_steps: 1,
            flop: 0,
            bytes: (3 * 16 * self.arenas.padded_batch * self.arenas.output_stride()) as u64,
        }
    }

    /// Appends to a step whose gradients are kept their norm, if it is clipped, and the update.
    pub(crate) fn append_update(&self, mut step: Vec<Dispatch>) -> Vec<Dispatch> {
        if self.arenas.full_gradients.is_some() {
            if self.config.optimizer.clip_norm.is_some() {
                step.push(self.gradient_norm_dispatch());
            }
            step.push(self.update_dispatch());
        }
        step
    }

    fn gradient_norm_dispatch(&self) -> Dispatch {
        Dispatch {
            name: "norm of the gradients".to_owned(),
            entry_point: "gradient_norm",
            source: self.full_gradient_source(shader!("entry/gradient_norm")),
            workgroups: fold_workgroups(self.arenas.gradient_norm_workgroups(), self.arenas.member_count),
            loop_iterations: loop_counts::gradient_norm(self.arenas),
            max_steps: 1,
            flop: 0,
            bytes: (16 * self.arenas.parameters) as u64,
        }
    }

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

    fn full_gradient_source(&self, entry: &'static str) -> String {
        let source = self.source(BindingSet::Step, shared_pieces([entry, shader!("step/full_gradients")]), None);
        self.assemble(&KernelSource { constants: vec![("INVOCATIONS", WORKGROUP_SIZE)], ..source })
    }

    /// The norm of a layer, between its sum and its activation.
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

    /// On the way back, what a layer learns beside weights and biases, and what its norm makes of the delta.
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

    /// A workgroup for each row of the batch, which goes over the neurons of a layer.
    fn per_row_of_layer(&self, layer: usize, entry: &'static str) -> Dispatch {
        let groups = fold_workgroups(self.arenas.padded_batch, self.arenas.member_count);
        self.pre_activation_dispatch(layer, entry, groups, self.arenas.layers[layer].output_stride)
    }

    /// A workgroup for each vec4 of a layer's neurons, which goes over the rows of the batch.
    fn per_column_of_layer(&self, layer: usize, entry: &'static str) -> Dispatch {
        let groups = [self.arenas.layers[layer].output_stride as u32, 1, self.arenas.member_count as u32];
        self.pre_activation_dispatch(layer, entry, groups, self.arenas.padded_batch)
    }

    /// Workgroups that go over so many numbers each, between the sum and the activation of a layer or beside them.
    fn pre_activation_dispatch(&self, layer: usize, entry: &'static str, groups: [u32; 3], over: usize) -> Dispatch {
        let place = &self.arenas.layers[layer];
        let norm = match self.config.normalizations[layer] {
            Some(Normalization::Batch) => shader!("normalization/batch"),
            Some(Normalization::Layer) | None => shader!("normalization/layer"),
        };
        let pieces = shared_pieces([shader!("normalization/common"), norm, shader!("step/full_gradients")]);
        let source = KernelSource {
            constants: vec![
                ("INVOCATIONS", WORKGROUP_SIZE),
                ("LAYER", layer),
                ("RUNNING_STATS_LAYER", place.running_stats_offset.unwrap_or(0)),
            ],
            flags: vec![("UPDATES_RUNNING_STATS", self.purpose == KernelPurpose::Training)],
            pre_activation_layer: Some(layer),
            ..self.source(BindingSet::Step, pieces, Some(layer..=layer))
        };
        Dispatch {
            name: format!("{entry} {layer}"),
            entry_point: entry,
            source: self.assemble(&source),
            workgroups: groups,
            loop_iterations: loop_counts::pre_activation(self.arenas, over),
            max_steps: 1,
            flop: 0,
            bytes: (5 * 16 * self.arenas.padded_batch * place.output_stride) as u64,
        }
    }
}
