// dLoss/dx = delta W^T: one row per row of the batch, one column per input of the layer.

/// Returns the matmul of layer `number` in the n-th step of the dispatch.
fn input_delta_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, BATCH, 4u * l.input_stride, 4u * l.output_stride,
        Operand(delta_offset(l, member), l.output_stride),
        Operand(weights_offset(l, member), l.output_stride),
        NO_ONES_ROW, 0u, l.sliced_k.y);
}

/// Returns delta[i..i+4][k..k+4], one column of delta per matrix column.
fn input_delta_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let offset = p.a.offset + i * s + k / 4u;
    return transpose(mat4x4f(deltas[offset], deltas[offset + s], deltas[offset + 2u * s], deltas[offset + 3u * s]));
}

/// Returns W[j..j+4][k..k+4], one column of W per matrix column.
fn input_delta_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let offset = p.b.offset + j * s + k / 4u;
    return transpose(mat4x4f(
        parameters[offset], parameters[offset + s], parameters[offset + 2u * s], parameters[offset + 3u * s]));
}
