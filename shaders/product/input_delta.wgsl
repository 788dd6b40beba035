// dLoss/dx = delta W^T: a row of the batch a row, an input of the layer a column.

fn place(group: u32, model: u32) -> Place {
    let l = layer(LAYER);
    return Place(LAYER, model, group, BATCH, 4u * l.input_stride, 4u * l.output_stride,
        delta_of(l, model), l.output_stride, weight_of(l, model), l.output_stride, NO_ONES);
}

/// delta[i..i+4][k..k+4], one column of delta a column.
fn left(p: Place, i: u32, k: u32) -> mat4x4f {
    let at = p.left + i * p.left_stride + k / 4u;
    let s = p.left_stride;
    return transpose(mat4x4f(deltas[at], deltas[at + s], deltas[at + 2u * s], deltas[at + 3u * s]));
}

/// W[j..j+4][k..k+4], one column of W a column.
fn right(p: Place, k: u32, j: u32) -> mat4x4f {
    let at = p.right + j * p.right_stride + k / 4u;
    let s = p.right_stride;
    return transpose(mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]));
}
