// z = x W, without the bias, which the epilogue adds. One row per row of the batch, one column per neuron.

/// Returns the matmul of layer `number` in the n-th step of the dispatch.
fn forward_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, BATCH, 4u * l.output_stride, 4u * l.input_stride,
        Operand(input_offset(l, member, n), l.input_stride),
        Operand(weights_offset(l, member), l.output_stride),
        NO_ONES_ROW, 0u, l.sliced_k.x);
}

/// Returns x[i..i+4][k..k+4], one column of x per matrix column.
fn forward_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let offset = p.a.offset + i * s + k / 4u;
    return transpose(mat4x4f(
        activations[offset], activations[offset + s], activations[offset + 2u * s], activations[offset + 3u * s]));
}

/// Returns W[k..k+4][j..j+4], one row of W per matrix column.
fn forward_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let offset = p.b.offset + k * s + j / 4u;
    return mat4x4f(
        parameters[offset], parameters[offset + s], parameters[offset + 2u * s], parameters[offset + 3u * s]);
}
