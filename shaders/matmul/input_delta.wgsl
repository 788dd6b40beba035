// dLoss/dx = delta W^T: a row of the batch a row, an input of the layer a column.

fn input_delta_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, BATCH, 4u * l.input_stride, 4u * l.output_stride,
        Operand(delta_offset(l, member), l.output_stride), Operand(weights_offset(l, member), l.output_stride), NO_ONES_ROW, 0u,
        l.sliced_k.y);
}

/// delta[i..i+4][k..k+4], one column of delta a column.
fn input_delta_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let at = p.a.offset + i * s + k / 4u;
    return transpose(mat4x4f(deltas[at], deltas[at + s], deltas[at + 2u * s], deltas[at + 3u * s]));
}

/// W[j..j+4][k..k+4], one column of W a column.
fn input_delta_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let at = p.b.offset + j * s + k / 4u;
    return transpose(mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]));
}
