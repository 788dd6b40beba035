// The product as it is, or a part of it: gradients laid out as the parameters for who asks for them, or what
// `tile/sum` adds up and finishes

fn store_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    partial_sums[partial_sum_offset(p, part, i, j)] = v;
}
