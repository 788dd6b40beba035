// The epilogue of the outputs of `tile/registers_8x4`. A template, instantiated once per matmul.

/// Applies the epilogue to the two blocks whose first one is at row `position.x` and column `position.y`.
fn matmul_epilogue_registers(p: MatmulArgs, partial_index: u32, position: vec2u, c: Registers) {
    matmul_epilogue_block(p, partial_index, position.x, position.y, c.c0);
    matmul_epilogue_block(p, partial_index, position.x + 4u * HALF_VEC4S, position.y, c.c4);
}
