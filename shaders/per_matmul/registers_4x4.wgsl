// The epilogue of the outputs of `tile/registers_4x4`. A template, instantiated once per matmul.

/// Applies the epilogue to the block at row `position.x` and column `position.y`.
fn matmul_epilogue_registers(p: MatmulArgs, partial_index: u32, position: vec2u, c: Registers) {
    matmul_epilogue_block(p, partial_index, position.x, position.y, c.c);
}
