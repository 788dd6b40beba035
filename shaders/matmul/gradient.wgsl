// dLoss/dW = x^T delta: an input a row, a neuron a column, and one row more for the biases, whose input is 1.

fn gradient_args(number: u32, member: u32, n: u32) -> MatmulArgs {
    let l = layer(number);
    return MatmulArgs(number, member, (l.inputs + 4u) / 4u * 4u, 4u * l.output_stride, BATCH,
        Operand(input_offset(l, member, n), l.input_stride), Operand(delta_offset(l, member), l.output_stride), l.inputs, l.weights_offset,
        l.sliced_k.z);
}

/// x[k..k+4][i..i+4], one row of x a column; the column after the last input is 1.
fn gradient_a(p: MatmulArgs, i: u32, k: u32) -> mat4x4f {
    let s = p.a.stride;
    let at = p.a.offset + k * s + i / 4u;
    let one = vec4u(i) + vec4u(0u, 1u, 2u, 3u) == vec4u(p.ones_row);
    return mat4x4f(
        select(activations[at], vec4f(1.0), one),
        select(activations[at + s], vec4f(1.0), one),
        select(activations[at + 2u * s], vec4f(1.0), one),
        select(activations[at + 3u * s], vec4f(1.0), one));
}

/// delta[k..k+4][j..j+4], one row of delta a column.
fn gradient_b(p: MatmulArgs, k: u32, j: u32) -> mat4x4f {
    let s = p.b.stride;
    let at = p.b.offset + k * s + j / 4u;
    return mat4x4f(deltas[at], deltas[at + s], deltas[at + 2u * s], deltas[at + 3u * s]);
}
