// The epilogue of the outputs of `tile/registers_8x8`. A template, instantiated once per matmul.

/// Applies the epilogue to the four blocks whose first one is at row `position.x` and column `position.y`.
fn matmul_epilogue_registers(p: MatmulArgs, partial_index: u32, position: vec2u, c: Registers) {
    matmul_epilogue_block(p, partial_index, position.x, position.y, c.c00);
    matmul_epilogue_block(p, partial_index, position.x, position.y + 4u * HALF_VEC4S, c.c04);
    matmul_epilogue_block(p, partial_index, position.x + 4u * HALF_VEC4S, position.y, c.c40);
    matmul_epilogue_block(p, partial_index, position.x + 4u * HALF_VEC4S, position.y + 4u * HALF_VEC4S, c.c44);
}
