// softmax(y) = e^y / sum e^y over the outputs of a row, in their place

fn softmax_row(row: u32, outputs: u32, output_stride: u32) {
    let softmax_terms = log_sum_exp(row, outputs);
    // rounds: output_stride
    for (var j = 0u; j < output_stride; j++) {
        // As in the loss: 0 for the largest.
        let below = min(activations[row + j] - softmax_terms.x, vec4f());
        activations[row + j] = mask_padding(exp(below - softmax_terms.y), 4u * j, outputs);
    }
}
