// dLoss/dx = delta W^T: a row of the batch a row, an input of the layer a column.

fn input_delta_place(number: u32, model: u32, n: u32) -> Place {
    let l = layer(number);
    return Place(number, model, BATCH, 4u * l.input_stride, 4u * l.output_stride,
        Operand(delta_of(l, model), l.output_stride), Operand(weight_of(l, model), l.output_stride), NO_ONES, 0u,
        l.splits.y);
}

/// delta[i..i+4][k..k+4], one column of delta a column.
fn input_delta_left(p: Place, i: u32, k: u32) -> mat4x4f {
    let s = p.left.stride;
    let at = p.left.at + i * s + k / 4u;
    return transpose(mat4x4f(deltas[at], deltas[at + s], deltas[at + 2u * s], deltas[at + 3u * s]));
}

/// W[j..j+4][k..k+4], one column of W a column.
fn input_delta_right(p: Place, k: u32, j: u32) -> mat4x4f {
    let s = p.right.stride;
    let at = p.right.at + j * s + k / 4u;
    return transpose(mat4x4f(parameters[at], parameters[at + s], parameters[at + 2u * s], parameters[at + 3u * s]));
}
