// z = x W: a row of the batch a row, a neuron a column. The finish adds the bias.

fn forward_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, BATCH, 4u * l.output_stride, 4u * l.input_stride,
        Operand(input_offset(l, member, n), l.input_stride), Operand(weights_offset(l, member), l.output_stride), NO_ONES_ROW, 0u,
        l.sliced_k.x);
}

/// x[i..i+4][k..k+4], one column of x a column.
fn forward_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let at = p.a.offset + i * s + k / 4u;
    return transpose(mat4x4f(activations[at], activations[at + s], activations[at + 2u * s], activations[at + 3u * s]));
}

/// W[k..k+4][j..j+4], one row of W a column.
fn forward_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let at = p.b.offset + k * s + j / 4u;
    return mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]);
}
