//! The dispatches around the steps: which rows they take, what these are, and what the network made of them. They go over a
//! window of steps at once, or over the batches of an evaluation.

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
                arenas::{Arenas, KernelConfig, MAX_FORWARD_ROWS},
                chunk::ChunkDims,
                summed_outputs::SummedOutputs,
            },
        },
        step::Step,
    },
    nn::{layout::pad_to_vec4, network::Network},
};

/// What brings the batches of a data set that networks are tested on, and adds up what their outputs are worth.
#[derive(Debug, Clone)]
pub(crate) struct EvaluationKernels {
    pub(crate) find_rows: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) sum_metrics: Dispatch,
}

impl EvaluationKernels {
    pub(crate) fn new(arenas: &Arenas, config: &KernelConfig, data: &Dataset) -> Self {
        let maker = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Prediction };
        let [order, gather] = maker.gather_dispatches(
            Some(data.features_without_origin()),
            Some(data.targets()),
            shader!("data/evaluation_window"),
        );
        Self {
            find_rows: order,
            gather,
            sum_metrics: maker.evaluation(SummedOutputs::new(
                arenas.output_stride(),
                data.targets(),
                config.is_multi_label,
            )),
        }
    }
}

/// How many rows a device can judge at once.
pub(crate) fn max_evaluated_rows(gpu: &Gpu, network: &Network, data: &Dataset, is_multi_label: bool) -> usize {
    let stride = pad_to_vec4(network.outputs()) / 4;
    let Some(budget) = gpu.max_loop_iterations else { return MAX_FORWARD_ROWS };
    let loops = EvaluationLoops::new(stride, SummedOutputs::new(stride, data.targets(), is_multi_label));
    let rows_of_one = (budget.saturating_sub(loops.fixed) / loops.each_row).max(1);
    (WORKGROUP_SIZE * rows_of_one).min(MAX_FORWARD_ROWS)
}

/// How many pairs of numbers `shaders/metrics/evaluation_sums.wgsl` keeps for a network.
pub(crate) fn metric_pairs(arenas: &Arenas, targets: &Targets, is_multi_label: bool) -> usize {
    SummedOutputs::new(arenas.output_stride(), targets, is_multi_label).pairs()
}

impl KernelSetBuilder<'_> {
    /// The kernel that makes the table of a chunk of so many steps at most, and some without rows behind it.
    pub(crate) fn build_step_table(
        &self,
        ChunkDims { max_steps: chunk, padding_steps: behind, .. }: ChunkDims,
    ) -> Dispatch {
        let (models, entries) = (self.arenas.member_count, (chunk + behind) * self.arenas.member_count);
        let source = self.source(BindingSet::StepTable, Vec::new(), Some(0..=0));
        Dispatch {
            name: "steps".to_owned(),
            entry_point: "build_step_table",
            source: self.assemble(&KernelSource { constants: vec![("PADDING_STEPS", behind)], ..source }),
            workgroups: fold_workgroups(entries.div_ceil(WORKGROUP_SIZE), 1),
            loop_iterations: loop_counts::step_table(),
            max_steps: chunk,
            flop: 0,
            bytes: (models * size_of::<Step>()) as u64,
        }
    }

    /// The kernels that find the rows of a window, and bring them; `steps` is the file that says which step lies where.
    pub(crate) fn gather_dispatches(
        &self,
        features: Option<&Features>,
        targets: Option<&Targets>,
        steps: &'static str,
    ) -> [Dispatch; 2] {
        let (arenas, members) = (self.arenas, self.config);
        let is_bytes = features.is_some_and(|features| features.byte_scale().is_some());
        let answer = match targets {
            Some(Targets::Classes(_)) => shader!("targets/classes"),
            Some(Targets::Values(_)) | None => shader!("targets/values"),
        };
        let mut gather = vec![
            shader!("data/gather"),
            if is_bytes { shader!("features/u8") } else { shader!("features/f32") },
            answer,
            if members.is_scaled { shader!("data/scaling") } else { shader!("data/scaling_none") },
            steps,
        ];
        if members.input_noise_std > 0.0 {
            gather.extend([shader!("data/noise"), shader!("math/sin_cos"), shader!("math/ln_1p")]);
        } else {
            gather.push(shader!("data/noise_none"));
        }
        let window = arenas.window_steps;
        let over = arenas.slot_workgroups(arenas.row_invocations(), window);
        let order = if members.is_streamed {
            self.window_dispatch("stream", over, 0, &[shader!("data/stream")])
        } else {
            let pieces = [shader!("data/row_order"), self.subset_source(), shader!("data/permutation"), steps];
            self.window_dispatch("row_order", over, loop_counts::find_rows(), &pieces)
        };
        [order, self.window_dispatch("gather", arenas.slot_workgroups(arenas.gather_vec4s(), window), 0, &gather)]
    }

    /// Which rows each network has.
    fn subset_source(&self) -> &'static str {
        if self.config.has_subsets { shader!("data/subset") } else { shader!("data/all_rows") }
    }

    /// The kernel that judges the rows of a window, and what adds its parts up where it needs more than a workgroup for a
    /// step.
    pub(crate) fn batch_metrics(&self) -> (Dispatch, Option<Dispatch>) {
        let (arenas, window, epochs) = (self.arenas, self.arenas.window_steps, shader!("data/training_window"));
        let judge = [shader!("metrics/row_loss_and_correct"), shader!("step/log_sum_exp"), epochs];
        if arenas.metrics_workgroups_per_step() == 1 {
            let loops = loop_counts::batch_metrics_small(arenas);
            let pieces = [&[shader!("metrics/batch_metrics_small")], &judge[..]].concat();
            return (
                self.window_dispatch("batch_metrics_small", arenas.slot_workgroups(1, window), loops, &pieces),
                None,
            );
        }
        let pieces = [&[shader!("metrics/batch_metrics"), shader!("metrics/workgroup_sum")], &judge[..]].concat();
        let measure = self.window_dispatch(
            "batch_metrics",
            arenas.metrics_workgroups(window),
            loop_counts::batch_metrics(arenas),
            &pieces,
        );
        let pieces = [shader!("metrics/sum_metrics"), shader!("metrics/workgroup_sum"), epochs];
        let total = self.window_dispatch(
            "sum_metrics",
            arenas.sum_workgroups(window),
            loop_counts::sum_metrics(arenas),
            &pieces,
        );
        (measure, Some(total))
    }

    /// The kernel that adds up what outputs are worth.
    fn evaluation(&self, scored: SummedOutputs) -> Dispatch {
        let arenas = self.arenas;
        let pieces = [
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
                ("ERROR_VEC4S", scored.errors),
                ("METRIC_PAIRS", scored.pairs()),
                ("LABEL_VEC4S", scored.labels),
            ],
            flags: vec![("APPLIES_SOFTMAX", self.config.ends_with_softmax && scored.errors > 0)],
            ..self.source(BindingSet::Window, shared_pieces(pieces), Some(0..=0))
        };
        let loops = EvaluationLoops::new(arenas.output_stride(), scored).of_batch(arenas);
        self.slot_dispatch("evaluation_sums", [1, 1, arenas.member_count as u32], loops, &source)
    }

    fn window_dispatch(&self, entry: &'static str, groups: [u32; 3], loops: usize, files: &[&'static str]) -> Dispatch {
        let pieces = files.iter().copied().map(Piece::Shared).collect();
        self.slot_dispatch(entry, groups, loops, &self.source(BindingSet::Window, pieces, Some(0..=0)))
    }

    fn slot_dispatch(&self, entry: &'static str, groups: [u32; 3], loops: usize, source: &KernelSource) -> Dispatch {
        let arenas = self.arenas;
        let bytes = match entry {
            "row_order" | "stream" => 4 * arenas.padded_batch,
            "gather" => 2 * 16 * arenas.gather_vec4s(),
            _ => 2 * 16 * arenas.padded_batch * arenas.output_stride(),
        };
        Dispatch {
            name: entry.to_owned(),
            entry_point: entry,
            source: self.assemble(source),
            workgroups: groups,
            loop_iterations: loops,
            max_steps: arenas.window_steps,
            flop: 0,
            bytes: bytes as u64,
        }
    }
}

impl KernelSet {
    /// The caller's rows into the arena of a prediction, and its outputs into the caller's.
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
        let numbers = [("pack", arenas.input_stride()), ("unpack", arenas.outputs())];
        numbers.map(|(entry, each)| Dispatch {
            name: entry.to_owned(),
            entry_point: entry,
            source: constants.clone() + &source_of(shader!("data/pack")),
            workgroups: fold_workgroups((arenas.padded_batch * each).div_ceil(WORKGROUP_SIZE), 1),
            loop_iterations: 0,
            max_steps: 1,
            flop: 0,
            bytes: (8 * 4 * arenas.padded_batch * each) as u64,
        })
    }
}

impl Arenas {
    /// The `vec4`s that `gather` writes a slot.
    pub(crate) fn gather_vec4s(&self) -> usize {
        self.padded_batch * (self.input_stride() + self.output_stride())
    }

    /// How many invocations find the rows of a slot: one for four of them.
    pub(crate) fn row_invocations(&self) -> usize {
        self.padded_batch / 4
    }

    /// Workgroups of 64 for `each` invocations in each of `slots` slots.
    pub(crate) fn slot_workgroups(&self, each: usize, slots: usize) -> [u32; 3] {
        fold_workgroups((each * slots).div_ceil(64), self.member_count)
    }

    /// Workgroups of `measure` for `slots` slots.
    pub(crate) fn metrics_workgroups(&self, slots: usize) -> [u32; 3] {
        [self.metrics_workgroups_per_step() as u32, slots as u32, self.member_count as u32]
    }

    /// Workgroups of `total` for `slots` slots.
    pub(crate) const fn sum_workgroups(&self, slots: usize) -> [u32; 3] {
        [1, slots as u32, self.member_count as u32]
    }
}
