//! The 4x4 blocks that a workgroup of the fused scheme computes.

use crate::engine::gpu::layout::arenas::Arenas;

/// The size of a workgroup of the fused scheme. Its invocations compute 4x4 blocks of the matmuls of a block of rows.
pub(crate) struct FusedBlocks {
    /// The number of invocations: one per 4x4 block of the widest matmul.
    pub(crate) invocations: usize,
    /// The number of 4x4 gradient blocks of each layer that an invocation holds in registers.
    pub(crate) register_blocks: Vec<usize>,
    /// The size of the workgroup memory, in bytes.
    pub(crate) bytes: u32,
}

impl FusedBlocks {
    /// Computes the size for blocks of `rows` rows.
    pub(crate) fn new(arenas: &Arenas, rows: usize) -> Self {
        let invocations = (rows / 4 * max_layer_vec4s(arenas)).next_multiple_of(32);
        let register_blocks =
            arenas.layers.iter().map(|l| (l.input_stride * l.output_stride).div_ceil(invocations)).collect();
        Self { invocations, register_blocks, bytes: (16 * rows * max_layer_vec4s(arenas)) as u32 }
    }
}

/// Returns the maximum number of vec4s per row of the inputs and of the layers' outputs.
pub(crate) fn max_layer_vec4s(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride.max(l.output_stride)).max().unwrap_or(1)
}
