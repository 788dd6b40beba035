// A template, for each matmul of a kernel: the end of the outputs that `tile/registers_4x4` keeps.

fn matmul_epilogue_registers(p: MatmulArgs, part: u32, at: vec2u, c: Registers) {
    matmul_epilogue_block(p, part, at.x, at.y, c.c);
}
