// z = x W: a row of the batch a row, a neuron a column. The finish adds the bias.

fn place(group: u32, model: u32) -> Place {
    let l = layer(LAYER);
    return Place(LAYER, model, group, BATCH, 4u * l.output_stride, 4u * l.input_stride,
        input_of(l, model), l.input_stride, weight_of(l, model), l.output_stride, NO_ONES);
}

/// x[i..i+4][k..k+4], one column of x a column.
fn left(p: Place, i: u32, k: u32) -> mat4x4f {
    let at = p.left + i * p.left_stride + k / 4u;
    let s = p.left_stride;
    return transpose(mat4x4f(activations[at], activations[at + s], activations[at + 2u * s], activations[at + 3u * s]));
}

/// W[k..k+4][j..j+4], one row of W a column.
fn right(p: Place, k: u32, j: u32) -> mat4x4f {
    let at = p.right + k * p.right_stride + j / 4u;
    let s = p.right_stride;
    return mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]);
}
