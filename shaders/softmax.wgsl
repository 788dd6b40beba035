// softmax(y) = e^y / sum e^y over the outputs of a row, in their place

fn softmax_of_row(row: u32, outputs: u32, output_stride: u32) {
    let normalizer = normalizer_of(row, outputs);
    // rounds: output_stride
    for (var j = 0u; j < output_stride; j++) {
        // As in the loss: 0 for the largest.
        let below = min(activations[row + j] - normalizer.x, vec4f());
        activations[row + j] = keep(exp(below - normalizer.y), 4u * j, outputs);
    }
}
