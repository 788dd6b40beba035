//! How often an invocation of each kernel goes round its loops. llvmpipe ends every loop after 65,535 rounds, so a plan has to
//! know. The end of a loop is a round too: there the invocation finds that it is done.
//!
//! Each loop in `shaders/` declares its rounds in a comment `// rounds:` above it. A test adds them up along the calls of every
//! kernel and compares the sums with the functions of this file.

use crate::{
    engine::gpu::{
        device::dispatch::WORKGROUP_SIZE,
        kernels::kernel_source::MAX_UNROLLED_LAYERS,
        layout::{arenas::Arenas, fused_blocks::FusedBlocks, matmul::MATMUL_KINDS, summed_outputs::SummedOutputs},
    },
    plan::{MatmulConfig, MatmulConfigs, Tile},
};

/// A workgroup of 64 adds up its sums by halves.
const REDUCTION_ROUNDS: usize = WORKGROUP_SIZE.ilog2() as usize + 1;

/// Three loops over a row's outputs, which are so many vec4s: as many as it takes to measure a row, or to make a softmax of it.
const fn row_rounds(output_stride: usize) -> usize {
    3 * (output_stride + 1)
}

/// A row of `step/softmax_delta.wgsl`: three loops make its normalizer, and one its deltas.
const fn of_softmax_delta(output_stride: usize) -> usize {
    4 * (output_stride + 1)
}

/// `step/step_table.wgsl`
pub(crate) const fn step_table() -> usize {
    13
}

/// `data/row_order.wgsl`. A place walks round the grid of rows until it hits one, seldom more than once or twice.
pub(crate) const fn find_rows() -> usize {
    768
}

/// `metrics/batch_metrics_small.wgsl`
pub(crate) fn batch_metrics_small(arenas: &Arenas) -> usize {
    1 + arenas.padded_batch * (1 + row_rounds(arenas.output_stride()))
}

/// `metrics/batch_metrics.wgsl`
pub(crate) fn batch_metrics(arenas: &Arenas) -> usize {
    row_rounds(arenas.output_stride()) + REDUCTION_ROUNDS
}

/// `metrics/sum_metrics.wgsl`
pub(crate) fn sum_metrics(arenas: &Arenas) -> usize {
    arenas.metrics_workgroups_per_step().div_ceil(WORKGROUP_SIZE) + 1 + REDUCTION_ROUNDS
}

/// The rounds of `metrics/evaluation_sums.wgsl`, of which a softmax may be made.
pub(crate) struct EvaluationLoops {
    /// For each row of an invocation.
    pub(crate) each_row: usize,
    /// Whatever the rows.
    pub(crate) fixed: usize,
}

impl EvaluationLoops {
    pub(crate) const fn new(output_stride: usize, scored: SummedOutputs) -> Self {
        let again = scored.errors + scored.labels;
        Self { each_row: 1 + 2 * row_rounds(output_stride) + again, fixed: 7 * scored.pairs() + 3 + 2 * again }
    }

    /// For a batch of rows, of which an invocation has every 64th.
    pub(crate) fn of_batch(&self, arenas: &Arenas) -> usize {
        arenas.metrics_workgroups_per_step() * self.each_row + self.fixed
    }
}

/// `metrics/ensemble.wgsl`
pub(crate) fn ensemble(arenas: &Arenas) -> usize {
    arenas.member_count * (arenas.outputs() + 3) + arenas.outputs() + 3
}

/// `entry/softmax_delta.wgsl` and `entry/softmax.wgsl`
pub(crate) fn softmax_rows(arenas: &Arenas) -> usize {
    softmax_deltas(arenas, WORKGROUP_SIZE, WORKGROUP_SIZE)
}

/// `entry/gradient_norm.wgsl`
pub(crate) fn gradient_norm(arenas: &Arenas) -> usize {
    arenas.parameters.div_ceil(WORKGROUP_SIZE * arenas.gradient_norm_workgroups()) + 1 + REDUCTION_ROUNDS
}

/// `entry/update.wgsl`
pub(crate) fn update(arenas: &Arenas) -> usize {
    arenas.gradient_norm_workgroups() + arenas.layers.len()
}

/// `norm/*.wgsl`, whose workgroups go over so many numbers each.
pub(crate) fn pre_activation(arenas: &Arenas, over: usize) -> usize {
    3 * over.div_ceil(WORKGROUP_SIZE) + 4 * REDUCTION_ROUNDS + arenas.layers.len()
}

/// `entry/grid.wgsl` for the layers from `first` to `last`, around the tile.
pub(crate) const fn grid(first: usize, last: usize) -> usize {
    if first == last { 0 } else { last - first + 1 }
}

/// `tile/split_k_sum.wgsl`
pub(crate) const fn sum(summed: usize, split: usize) -> usize {
    summed.div_ceil(split) + 2 + split.ilog2() as usize
}

impl Tile {
    /// The rounds of one tile of a matmul of this depth.
    pub(crate) const fn loop_iterations(self, depth: usize) -> usize {
        match self {
            Self::Subgroup8(columns) => columns.div_ceil(32) * (columns / 2 + 1) + depth.div_ceil(256 / columns) + 1,
            Self::Register => depth.div_ceil(4) + 1,
            Self::SlicedK { slices: split, .. } => depth.div_ceil(4 * split) + 1 + split.ilog2() as usize + 1,
            Self::SharedMemory(_) => depth.div_ceil(16) * (1 + 4 + 1) + 1,
        }
    }
}

/// `step/softmax_delta.wgsl` for so many rows, which as many invocations as there are lanes share.
fn softmax_deltas(arenas: &Arenas, rows: usize, lanes: usize) -> usize {
    1 + rows.div_ceil(lanes) * (1 + of_softmax_delta(arenas.output_stride()))
}

/// `entry/fused.wgsl`, for all of a workgroup's blocks of rows.
pub(crate) fn fused(arenas: &Arenas, rows: usize, groups: usize, softmax: bool) -> usize {
    let FusedBlocks { invocations: lanes, register_blocks: owned, .. } = FusedBlocks::new(arenas, rows);
    let held = |stride: usize| 1 + (rows * stride).div_ceil(lanes);
    let matmuls: usize = arenas.layers.iter().map(|l| 2 + l.input_stride + l.output_stride).sum();
    let gradients = owned.iter().sum::<usize>() * (1 + rows / 4);
    let mut each = 1 + held(arenas.input_stride()) + matmuls + gradients;
    if softmax {
        each += softmax_deltas(arenas, rows, lanes) + held(arenas.output_stride());
    }
    2 + arenas.padded_batch.div_ceil(rows).div_ceil(groups) * each
}

/// A step of `entry/single_workgroup.wgsl`
pub(crate) fn single_workgroup_step(arenas: &Arenas, configs: &MatmulConfigs, softmax: bool) -> usize {
    let layers = arenas.layers.len();
    let mut loops = 8;
    if layers > MAX_UNROLLED_LAYERS {
        loops += 3 * (layers + 1);
    }
    for layer in 0..layers {
        for (product, way) in MATMUL_KINDS.into_iter().zip(configs.for_layer(layer)) {
            let Some(MatmulConfig { tile, .. }) = way else { continue };
            let [height, columns, depth] = arenas.matmul_dims(product, layer);
            loops += 1 + tile.workgroups(height, columns) * (1 + tile.loop_iterations(depth));
        }
    }
    let lanes = configs.gradient.tile.invocations();
    if arenas.full_gradients.is_some() {
        let each = arenas.parameters.div_ceil(lanes);
        // Whether penalties reach a parameter is asked of each layer: a loop that llvmpipe unrolls if it is short.
        loops += 2 * each + lanes + 3;
        loops += if layers > 32 { each * (layers + 1) } else { layers };
    }
    if softmax {
        loops += softmax_deltas(arenas, arenas.padded_batch, lanes);
    }
    loops
}

/// How many steps of a walk an invocation can take in one dispatch.
pub(crate) fn steps_per_dispatch(arenas: &Arenas, configs: &MatmulConfigs, budget: Option<usize>) -> usize {
    match budget {
        Some(budget) => budget / single_workgroup_step(arenas, configs, true),
        None => usize::MAX,
    }
}

/// A step of `entry/single_invocation.wgsl`, if the driver unrolls no loop.
pub(crate) fn single_invocation_step(arenas: &Arenas) -> usize {
    let blocks: usize = arenas.layers.iter().map(|l| (l.input_stride + 1) * (l.output_stride + 1)).sum();
    8 + 2 * blocks + arenas.padded_batch * (1 + arenas.input_stride() + 3 * blocks + 5 * arenas.output_stride())
}
