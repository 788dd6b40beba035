// softmax(y) = e^y / sum e^y over the outputs y of a row, which it replaces.

/// Replaces the row of `activations` that starts at offset `row_start` by its softmax.
fn softmax_row(row_start: u32, outputs: u32, output_stride: u32) {
    let softmax_terms = log_sum_exp(row_start, outputs);
    // rounds: output_stride
    for (var j = 0u; j < output_stride; j++) {
        // At most 0, as in the loss. Without the bound a compiler might add the maximum to the logarithm, which loses
        // digits.
        let shifted = min(activations[row_start + j] - softmax_terms.x, vec4f());
        activations[row_start + j] = mask_padding(exp(shifted - softmax_terms.y), 4u * j, outputs);
    }
}
