// A template, for each matmul of a kernel: the end of the outputs that `tile/registers_8x8` keeps.

fn matmul_epilogue_registers(p: MatmulArgs, part: u32, at: vec2u, c: Registers) {
    matmul_epilogue_block(p, part, at.x, at.y, c.c00);
    matmul_epilogue_block(p, part, at.x, at.y + 4u * HALF, c.c04);
    matmul_epilogue_block(p, part, at.x + 4u * HALF, at.y, c.c40);
    matmul_epilogue_block(p, part, at.x + 4u * HALF, at.y + 4u * HALF, c.c44);
}
