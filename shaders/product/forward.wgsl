// z = x W: a row of the batch a row, a neuron a column. The finish adds the bias.

fn forward_place(number: u32, model: u32, n: u32) -> Place {
    let l = layer(number);
    return Place(number, model, BATCH, 4u * l.output_stride, 4u * l.input_stride,
        Operand(input_of(l, model, n), l.input_stride), Operand(weight_of(l, model), l.output_stride), NO_ONES, 0u,
        l.splits.x);
}

/// x[i..i+4][k..k+4], one column of x a column.
fn forward_left(p: Place, i: u32, k: u32) -> mat4x4f {
    let s = p.left.stride;
    let at = p.left.at + i * s + k / 4u;
    return transpose(mat4x4f(activations[at], activations[at + s], activations[at + 2u * s], activations[at + 3u * s]));
}

/// W[k..k+4][j..j+4], one row of W a column.
fn forward_right(p: Place, k: u32, j: u32) -> mat4x4f {
    let s = p.right.stride;
    let at = p.right.at + k * s + j / 4u;
    return mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]);
}
