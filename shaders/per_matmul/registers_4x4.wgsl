// A template, for each matmul of a kernel: the end of the outputs that `tile/registers_4x4` keeps.

fn product_finish_registers(p: Place, part: u32, at: vec2u, c: Registers) {
    product_finish_block(p, part, at.x, at.y, c.c);
}
