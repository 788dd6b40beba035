//! The blocks that a workgroup of the fused scheme computes.

use crate::engine::gpu::layout::arenas::Arenas;

/// What a workgroup of a fused step has: 4x4 blocks of each matmul of a block of rows.
pub(crate) struct FusedBlocks {
    /// Its invocations: as many as the widest matmul has blocks.
    pub(crate) invocations: usize,
    /// How many blocks of each layer's gradients an invocation keeps in registers.
    pub(crate) register_blocks: Vec<usize>,
    /// Bytes of workgroup memory.
    pub(crate) bytes: u32,
}

impl FusedBlocks {
    pub(crate) fn new(arenas: &Arenas, rows: usize) -> Self {
        let lanes = (rows / 4 * max_layer_vec4s(arenas)).next_multiple_of(32);
        let owned = arenas.layers.iter().map(|l| (l.input_stride * l.output_stride).div_ceil(lanes)).collect();
        Self { invocations: lanes, register_blocks: owned, bytes: (16 * rows * max_layer_vec4s(arenas)) as u32 }
    }
}

/// The vec4s of the widest layer.
pub(crate) fn max_layer_vec4s(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride.max(l.output_stride)).max().unwrap_or(1)
}
