// dLoss/dW = x^T delta: one row per input, one column per neuron. The biases act as weights of one more input, which is
// always 1: their gradient is the last row.

/// Returns the matmul of layer `number` in the n-th step of the dispatch.
fn gradient_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, (l.inputs + 4u) / 4u * 4u, 4u * l.output_stride, BATCH,
        Operand(input_offset(l, member, n), l.input_stride),
        Operand(delta_offset(l, member), l.output_stride),
        l.inputs, l.weights_offset, l.sliced_k.z);
}

/// Returns x[k..k+4][i..i+4], one row of x per matrix column. The column after the last input is 1.
fn gradient_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let offset = p.a.offset + k * s + i / 4u;
    let is_one = vec4u(i) + vec4u(0u, 1u, 2u, 3u) == vec4u(p.ones_row);
    return mat4x4f(
        select(activations[offset], vec4f(1.0), is_one),
        select(activations[offset + s], vec4f(1.0), is_one),
        select(activations[offset + 2u * s], vec4f(1.0), is_one),
        select(activations[offset + 3u * s], vec4f(1.0), is_one));
}

/// Returns delta[k..k+4][j..j+4], one row of delta per matrix column.
fn gradient_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let offset = p.b.offset + k * s + j / 4u;
    return mat4x4f(deltas[offset], deltas[offset + s], deltas[offset + 2u * s], deltas[offset + 3u * s]);
}
