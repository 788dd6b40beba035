//! The number of loop iterations per invocation of each kernel. llvmpipe ends every loop after 65,535 iterations, so a
//! plan must stay below this number. The final check of a loop's condition counts as one iteration.
//!
//! Each loop in `shaders/` declares its iterations in a comment `// rounds:` above it. A test adds the iterations of
//! all functions that a kernel calls, and compares the sums with the functions of this file.

use crate::{
    engine::gpu::{
        device::dispatch::WORKGROUP_SIZE,
        kernels::kernel_source::MAX_UNROLLED_LAYERS,
        layout::{arenas::Arenas, fused_blocks::FusedBlocks, matmul::MATMUL_KINDS, summed_outputs::SummedOutputs},
    },
    plan::matmul::{MatmulConfig, MatmulConfigs, Tile},
};

/// The iterations of a sum over a workgroup of 64 invocations, which adds the second half to the first half.
const REDUCTION_ITERATIONS: usize = WORKGROUP_SIZE.ilog2() as usize + 1;

/// Returns the iterations of three loops over the vec4s of a row's outputs: those of a row's loss, or of its softmax.
const fn row_iterations(output_stride: usize) -> usize {
    3 * (output_stride + 1)
}

/// Returns the iterations of `step/softmax_delta.wgsl` for one row: three loops for the terms of the softmax, one for
/// the deltas.
const fn softmax_delta_row(output_stride: usize) -> usize {
    4 * (output_stride + 1)
}

/// Returns the iterations of `step/step_table.wgsl`.
pub(crate) const fn step_table() -> usize {
    13
}

/// Returns an upper bound for the iterations of `data/row_order.wgsl`. It permutes a position until the result is a
/// row, rarely more than twice.
pub(crate) const fn find_rows() -> usize {
    768
}

/// Returns the iterations of `metrics/batch_metrics_small.wgsl`.
pub(crate) fn batch_metrics_small(arenas: &Arenas) -> usize {
    1 + arenas.padded_batch * (1 + row_iterations(arenas.output_stride()))
}

/// Returns the iterations of `metrics/batch_metrics.wgsl`.
pub(crate) fn batch_metrics(arenas: &Arenas) -> usize {
    row_iterations(arenas.output_stride()) + REDUCTION_ITERATIONS
}

/// Returns the iterations of `metrics/sum_metrics.wgsl`.
pub(crate) fn sum_metrics(arenas: &Arenas) -> usize {
    arenas.metrics_workgroups_per_step().div_ceil(WORKGROUP_SIZE) + 1 + REDUCTION_ITERATIONS
}

/// The iterations of `metrics/evaluation_sums.wgsl`, including those of an optional softmax.
pub(crate) struct EvaluationLoops {
    /// The iterations per row of an invocation.
    pub(crate) per_row: usize,
    /// The iterations that do not depend on the number of rows.
    pub(crate) fixed: usize,
}

impl EvaluationLoops {
    /// Returns the iterations for rows of `output_stride` vec4s.
    pub(crate) const fn new(output_stride: usize, summed: SummedOutputs) -> Self {
        let vec4s = summed.error_vec4s + summed.label_vec4s;
        Self { per_row: 1 + 2 * row_iterations(output_stride) + vec4s, fixed: 7 * summed.pairs() + 3 + 2 * vec4s }
    }

    /// Returns the iterations for a batch. An invocation processes every 64th row.
    pub(crate) fn per_batch(&self, arenas: &Arenas) -> usize {
        arenas.metrics_workgroups_per_step() * self.per_row + self.fixed
    }
}

/// Returns the iterations of `metrics/ensemble.wgsl`.
pub(crate) fn ensemble(arenas: &Arenas) -> usize {
    arenas.member_count * (arenas.outputs() + 3) + arenas.outputs() + 3
}

/// Returns the iterations of `entry/softmax_delta.wgsl`, which are at least those of `entry/softmax.wgsl`.
pub(crate) fn softmax_rows(arenas: &Arenas) -> usize {
    softmax_deltas(arenas, WORKGROUP_SIZE, WORKGROUP_SIZE)
}

/// Returns the iterations of `entry/gradient_norm.wgsl`.
pub(crate) fn gradient_norm(arenas: &Arenas) -> usize {
    arenas.parameters.div_ceil(WORKGROUP_SIZE * arenas.gradient_norm_workgroups()) + 1 + REDUCTION_ITERATIONS
}

/// Returns the iterations of `entry/update.wgsl`.
pub(crate) fn update(arenas: &Arenas) -> usize {
    arenas.gradient_norm_workgroups() + arenas.layers.len()
}

/// Returns the iterations of a kernel in `normalization/` whose workgroups process `vec4s` vec4s each.
pub(crate) fn pre_activation(arenas: &Arenas, vec4s: usize) -> usize {
    3 * vec4s.div_ceil(WORKGROUP_SIZE) + 4 * REDUCTION_ITERATIONS + arenas.layers.len()
}

/// Returns the iterations of `entry/grid.wgsl` for the layers `first` to `last`, without those of the tile.
pub(crate) const fn grid(first: usize, last: usize) -> usize {
    if first == last { 0 } else { last - first + 1 }
}

/// Returns the iterations of `per_matmul/split_k_sum.wgsl` for `slices` invocations per sum.
pub(crate) const fn split_k_sum(partial_sums: usize, slices: usize) -> usize {
    partial_sums.div_ceil(slices) + 2 + slices.ilog2() as usize
}

impl Tile {
    /// Returns the iterations of one tile of a matmul whose sums have `depth` terms.
    pub(crate) const fn loop_iterations(self, depth: usize) -> usize {
        match self {
            Self::Subgroup8(columns) => columns.div_ceil(32) * (columns / 2 + 1) + depth.div_ceil(256 / columns) + 1,
            Self::Register => depth.div_ceil(4) + 1,
            Self::SlicedK { slices, .. } => depth.div_ceil(4 * slices) + 1 + slices.ilog2() as usize + 1,
            Self::SharedMemory(_) => depth.div_ceil(16) * (1 + 4 + 1) + 1,
        }
    }
}

/// Returns the iterations of `step/softmax_delta.wgsl` for `rows` rows and `invocations` invocations.
fn softmax_deltas(arenas: &Arenas, rows: usize, invocations: usize) -> usize {
    1 + rows.div_ceil(invocations) * (1 + softmax_delta_row(arenas.output_stride()))
}

/// Returns the iterations of `entry/fused.wgsl` for blocks of `rows` rows, for all blocks of a workgroup.
pub(crate) fn fused(arenas: &Arenas, rows: usize, workgroups: usize, has_softmax: bool) -> usize {
    let FusedBlocks { invocations, register_blocks, .. } = FusedBlocks::new(arenas, rows);
    let staging = |stride: usize| 1 + (rows * stride).div_ceil(invocations);
    let matmuls: usize = arenas.layers.iter().map(|l| 2 + l.input_stride + l.output_stride).sum();
    let gradients = register_blocks.iter().sum::<usize>() * (1 + rows / 4);
    let mut per_block = 1 + staging(arenas.input_stride()) + matmuls + gradients;
    if has_softmax {
        per_block += softmax_deltas(arenas, rows, invocations) + staging(arenas.output_stride());
    }
    2 + arenas.padded_batch.div_ceil(rows).div_ceil(workgroups) * per_block
}

/// Returns the iterations of one step of `entry/single_workgroup.wgsl`.
pub(crate) fn single_workgroup_step(arenas: &Arenas, configs: &MatmulConfigs, has_softmax: bool) -> usize {
    let layers = arenas.layers.len();
    let mut iterations = 8;
    if layers > MAX_UNROLLED_LAYERS {
        iterations += 3 * (layers + 1);
    }
    for layer in 0..layers {
        for (kind, config) in MATMUL_KINDS.into_iter().zip(configs.for_layer(layer)) {
            let Some(MatmulConfig { tile, .. }) = config else { continue };
            let [rows, columns, depth] = arenas.matmul_dims(kind, layer);
            iterations += 1 + tile.workgroups(rows, columns) * (1 + tile.loop_iterations(depth));
        }
    }
    let invocations = configs.gradient.tile.invocations();
    if arenas.full_gradients.is_some() {
        let vec4s = arenas.parameters.div_ceil(invocations);
        iterations += 2 * vec4s + invocations + 3;
        // `penalty_mask_at` has a loop over the layers, which llvmpipe unrolls if it is short.
        iterations += if layers > 32 { vec4s * (layers + 1) } else { layers };
    }
    if has_softmax {
        iterations += softmax_deltas(arenas, arenas.padded_batch, invocations);
    }
    iterations
}

/// Returns the maximum number of steps per dispatch of `entry/single_workgroup.wgsl`, for a budget of iterations.
pub(crate) fn steps_per_dispatch(arenas: &Arenas, configs: &MatmulConfigs, budget: Option<usize>) -> usize {
    match budget {
        Some(budget) => budget / single_workgroup_step(arenas, configs, true),
        None => usize::MAX,
    }
}

/// Returns the iterations of one step of `entry/single_invocation.wgsl`, if the driver unrolls no loop.
pub(crate) fn single_invocation_step(arenas: &Arenas) -> usize {
    let blocks: usize = arenas.layers.iter().map(|l| (l.input_stride + 1) * (l.output_stride + 1)).sum();
    8 + 2 * blocks + arenas.padded_batch * (1 + arenas.input_stride() + 3 * blocks + 5 * arenas.output_stride())
}
