//! The dispatches around the steps: they find and gather the rows, and compute metrics of the outputs. Each processes a
//! window of steps, or a batch of an evaluation.

use crate::{
    data::{
        dataset::{Dataset, Targets},
        features::Features,
    },
    engine::{
        gpu::{
            device::{
                Gpu,
                dispatch::{Dispatch, WORKGROUP_SIZE, fold_workgroups},
            },
            kernels::{
                kernel_set::KernelSet,
                kernel_set_builder::{KernelPurpose, KernelSetBuilder},
                kernel_source::{BindingSet, KernelSource, Piece, shared_pieces, source_of},
                loop_counts,
                loop_counts::EvaluationLoops,
            },
            layout::{
                arenas::{Arenas, MAX_FORWARD_ROWS},
                chunk::ChunkDims,
                kernel_config::KernelConfig,
                summed_outputs::SummedOutputs,
            },
        },
        step::Step,
    },
    nn::{layout::pad_to_vec4, network::Network},
};

/// The dispatches of an evaluation: they gather a batch of rows, and sum the metrics of the outputs.
#[derive(Debug, Clone)]
pub(crate) struct EvaluationKernels {
    pub(crate) find_rows: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) sum_metrics: Dispatch,
}

impl EvaluationKernels {
    /// Creates the dispatches for a data set.
    pub(crate) fn new(arenas: &Arenas, config: &KernelConfig, data: &Dataset) -> Self {
        let builder = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Prediction };
        let [find_rows, gather] = builder.gather_dispatches(
            Some(data.features_without_origin()),
            Some(data.targets()),
            shader!("data/evaluation_window"),
        );
        let summed = SummedOutputs::new(arenas.output_stride(), data.targets(), config.is_multi_label);
        Self { find_rows, gather, sum_metrics: builder.evaluation_dispatch(summed) }
    }
}

/// Returns the maximum number of rows that a device can evaluate in one dispatch.
pub(crate) fn max_evaluated_rows(gpu: &Gpu, network: &Network, data: &Dataset, is_multi_label: bool) -> usize {
    let stride = pad_to_vec4(network.outputs()) / 4;
    let Some(budget) = gpu.max_loop_iterations else { return MAX_FORWARD_ROWS };
    let loops = EvaluationLoops::new(stride, SummedOutputs::new(stride, data.targets(), is_multi_label));
    let rows_per_invocation = (budget.saturating_sub(loops.fixed) / loops.per_row).max(1);
    (WORKGROUP_SIZE * rows_per_invocation).min(MAX_FORWARD_ROWS)
}

/// Returns the number of pairs of sums per member in `shaders/metrics/evaluation_sums.wgsl`.
pub(crate) fn metric_pairs(arenas: &Arenas, targets: &Targets, is_multi_label: bool) -> usize {
    SummedOutputs::new(arenas.output_stride(), targets, is_multi_label).pairs()
}

impl KernelSetBuilder<'_> {
    /// Returns the dispatch that builds the step table of a chunk, with its padding steps.
    pub(crate) fn build_step_table(&self, ChunkDims { max_steps, padding_steps, .. }: ChunkDims) -> Dispatch {
        let member_count = self.arenas.member_count;
        let entries = (max_steps + padding_steps) * member_count;
        let source = self.source(BindingSet::StepTable, Vec::new(), Some(0..=0));
        Dispatch {
            name: "build_step_table".to_owned(),
            entry_point: "build_step_table",
            source: self.assemble(&KernelSource { constants: vec![("PADDING_STEPS", padding_steps)], ..source }),
            workgroups: fold_workgroups(entries.div_ceil(WORKGROUP_SIZE), 1),
            loop_iterations: loop_counts::step_table(),
            max_steps,
            flop: 0,
            bytes: (member_count * size_of::<Step>()) as u64,
        }
    }

    /// Returns the dispatches that find and gather the rows of a window. The WGSL file `window_file` defines the step
    /// of each slot.
    pub(crate) fn gather_dispatches(
        &self,
        features: Option<&Features>,
        targets: Option<&Targets>,
        window_file: &'static str,
    ) -> [Dispatch; 2] {
        let (arenas, config) = (self.arenas, self.config);
        let is_bytes = features.is_some_and(|features| features.byte_scale().is_some());
        let target_file = match targets {
            Some(Targets::Classes(_)) => shader!("targets/classes"),
            Some(Targets::Values(_)) | None => shader!("targets/values"),
        };
        let mut gather = vec![
            shader!("data/gather"),
            if is_bytes { shader!("features/u8") } else { shader!("features/f32") },
            target_file,
            if config.is_scaled { shader!("data/scaling") } else { shader!("data/scaling_none") },
            window_file,
        ];
        if config.input_noise_std > 0.0 {
            gather.extend([shader!("data/noise"), shader!("math/sin_cos"), shader!("math/ln_1p")]);
        } else {
            gather.push(shader!("data/noise_none"));
        }
        let window_steps = arenas.window_steps;
        let workgroups = arenas.slot_workgroups(arenas.row_invocations(), window_steps);
        let find_rows = if config.is_streamed {
            self.window_dispatch("stream", workgroups, 0, &[shader!("data/stream")])
        } else {
            let files = [shader!("data/row_order"), self.subset_source(), shader!("data/permutation"), window_file];
            self.window_dispatch("row_order", workgroups, loop_counts::find_rows(), &files)
        };
        let workgroups = arenas.slot_workgroups(arenas.gather_vec4s(), window_steps);
        [find_rows, self.window_dispatch("gather", workgroups, 0, &gather)]
    }

    /// Returns the WGSL file that defines the rows of each member.
    fn subset_source(&self) -> &'static str {
        if self.config.has_subsets { shader!("data/subset") } else { shader!("data/all_rows") }
    }

    /// Returns the dispatch that computes the metrics of the steps of a window, and the one that adds the metrics of
    /// several workgroups, if a step needs more than one.
    pub(crate) fn batch_metrics(&self) -> (Dispatch, Option<Dispatch>) {
        let arenas = self.arenas;
        let window_steps = arenas.window_steps;
        let window_file = shader!("data/training_window");
        let row_files = [shader!("metrics/row_loss_and_correct"), shader!("step/log_sum_exp"), window_file];
        if arenas.metrics_workgroups_per_step() == 1 {
            let iterations = loop_counts::batch_metrics_small(arenas);
            let files = [&[shader!("metrics/batch_metrics_small")], &row_files[..]].concat();
            let workgroups = arenas.slot_workgroups(1, window_steps);
            return (self.window_dispatch("batch_metrics_small", workgroups, iterations, &files), None);
        }
        let files = [&[shader!("metrics/batch_metrics"), shader!("metrics/workgroup_sum")], &row_files[..]].concat();
        let batch_metrics = self.window_dispatch(
            "batch_metrics",
            arenas.metrics_workgroups(window_steps),
            loop_counts::batch_metrics(arenas),
            &files,
        );
        let files = [shader!("metrics/sum_metrics"), shader!("metrics/workgroup_sum"), window_file];
        let sum_metrics = self.window_dispatch(
            "sum_metrics",
            arenas.sum_workgroups(window_steps),
            loop_counts::sum_metrics(arenas),
            &files,
        );
        (batch_metrics, Some(sum_metrics))
    }

    /// Returns the dispatch that adds the metrics of a batch to the sums of an evaluation.
    fn evaluation_dispatch(&self, summed: SummedOutputs) -> Dispatch {
        let arenas = self.arenas;
        let files = [
            shader!("metrics/evaluation_sums"),
            shader!("metrics/label_sums"),
            shader!("metrics/row_loss_and_correct"),
            shader!("step/log_sum_exp"),
            shader!("step/softmax"),
            shader!("metrics/workgroup_sum"),
            shader!("data/evaluation_window"),
            self.subset_source(),
            shader!("data/permutation"),
        ];
        let source = KernelSource {
            constants: vec![
                ("ERROR_VEC4S", summed.error_vec4s),
                ("METRIC_PAIRS", summed.pairs()),
                ("LABEL_VEC4S", summed.label_vec4s),
            ],
            flags: vec![("APPLIES_SOFTMAX", self.config.ends_with_softmax && summed.error_vec4s > 0)],
            ..self.source(BindingSet::Window, shared_pieces(files), Some(0..=0))
        };
        let iterations = EvaluationLoops::new(arenas.output_stride(), summed).per_batch(arenas);
        self.slot_dispatch("evaluation_sums", [1, 1, arenas.member_count as u32], iterations, &source)
    }

    /// Returns the dispatch of a kernel over a window that consists of these WGSL files.
    fn window_dispatch(
        &self,
        entry_point: &'static str,
        workgroups: [u32; 3],
        loop_iterations: usize,
        files: &[&'static str],
    ) -> Dispatch {
        let pieces = files.iter().copied().map(Piece::Shared).collect();
        let source = self.source(BindingSet::Window, pieces, Some(0..=0));
        self.slot_dispatch(entry_point, workgroups, loop_iterations, &source)
    }

    /// Returns the dispatch of a kernel over a window.
    fn slot_dispatch(
        &self,
        entry_point: &'static str,
        workgroups: [u32; 3],
        loop_iterations: usize,
        source: &KernelSource,
    ) -> Dispatch {
        let arenas = self.arenas;
        let bytes = match entry_point {
            "row_order" | "stream" => 4 * arenas.padded_batch,
            "gather" => 2 * 16 * arenas.gather_vec4s(),
            _ => 2 * 16 * arenas.padded_batch * arenas.output_stride(),
        };
        Dispatch {
            name: entry_point.to_owned(),
            entry_point,
            source: self.assemble(source),
            workgroups,
            loop_iterations,
            max_steps: arenas.window_steps,
            flop: 0,
            bytes: bytes as u64,
        }
    }
}

impl KernelSet {
    /// Returns two dispatches for predictions: one copies rows of the caller to the arena, the other copies the outputs
    /// to the caller's buffer.
    pub(crate) fn packing_dispatches(arenas: &Arenas) -> [Dispatch; 2] {
        let constants = [
            ("INPUTS", arenas.inputs()),
            ("INPUT_STRIDE", arenas.input_stride()),
            ("OUTPUTS", arenas.outputs()),
            ("OUTPUT_STRIDE", arenas.output_stride()),
            ("OUTPUT", arenas.output_offset),
        ];
        let constants: String =
            constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
        let invocations_per_row = [("pack", arenas.input_stride()), ("unpack", arenas.outputs())];
        invocations_per_row.map(|(entry_point, per_row)| Dispatch {
            name: entry_point.to_owned(),
            entry_point,
            source: constants.clone() + &source_of(shader!("data/pack")),
            workgroups: fold_workgroups((arenas.padded_batch * per_row).div_ceil(WORKGROUP_SIZE), 1),
            loop_iterations: 0,
            max_steps: 1,
            flop: 0,
            bytes: (8 * 4 * arenas.padded_batch * per_row) as u64,
        })
    }
}

impl Arenas {
    /// Returns the number of vec4s per slot that `gather` writes.
    pub(crate) fn gather_vec4s(&self) -> usize {
        self.padded_batch * (self.input_stride() + self.output_stride())
    }

    /// Returns the number of invocations per slot that find the rows: one per four rows.
    pub(crate) fn row_invocations(&self) -> usize {
        self.padded_batch / 4
    }

    /// Returns the workgroups of 64 invocations for `slots` slots with `invocations` invocations each.
    pub(crate) fn slot_workgroups(&self, invocations: usize, slots: usize) -> [u32; 3] {
        fold_workgroups((invocations * slots).div_ceil(64), self.member_count)
    }

    /// Returns the workgroups of `batch_metrics` for `slots` slots.
    pub(crate) fn metrics_workgroups(&self, slots: usize) -> [u32; 3] {
        [self.metrics_workgroups_per_step() as u32, slots as u32, self.member_count as u32]
    }

    /// Returns the workgroups of `sum_metrics` for `slots` slots.
    pub(crate) const fn sum_workgroups(&self, slots: usize) -> [u32; 3] {
        [1, slots as u32, self.member_count as u32]
    }
}
