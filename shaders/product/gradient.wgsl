// dLoss/dW = x^T delta for all layers in one dispatch: an input a row, a neuron a column, and one row more for the
// biases, whose input is 1.

fn place(group: u32, model: u32) -> Place {
    var number = 0u;
    for (; number + 1u < LAYERS; number++) {
        if group < layer(number + 1u).first_group {
            break;
        }
    }
    let l = layer(number);
    return Place(number, model, group - l.first_group, (l.inputs + 4u) / 4u * 4u, 4u * l.output_stride, BATCH,
        input_of(l, model), l.input_stride, delta_of(l, model), l.output_stride, l.inputs);
}

/// x[k..k+4][i..i+4], one row of x a column; the column after the last input is 1.
fn left(p: Place, i: u32, k: u32) -> mat4x4f {
    let at = p.left + k * p.left_stride + i / 4u;
    let s = p.left_stride;
    let one = vec4u(i) + vec4u(0u, 1u, 2u, 3u) == vec4u(p.ones);
    return mat4x4f(
        select(activations[at], vec4f(1.0), one),
        select(activations[at + s], vec4f(1.0), one),
        select(activations[at + 2u * s], vec4f(1.0), one),
        select(activations[at + 3u * s], vec4f(1.0), one));
}

/// delta[k..k+4][j..j+4], one row of delta a column.
fn right(p: Place, k: u32, j: u32) -> mat4x4f {
    let at = p.right + k * p.right_stride + j / 4u;
    let s = p.right_stride;
    return mat4x4f(deltas[at], deltas[at + s], deltas[at + 2u * s], deltas[at + 3u * s]);
}
