// softmax(y) = e^y / sum e^y over the outputs of a row, in their place

fn softmax_of_row(row: u32, outputs: u32, output_stride: u32) {
    let normalizer = normalizer_of(row, outputs);
    for (var j = 0u; j < output_stride; j++) {
        activations[row + j] = keep(exp((activations[row + j] - normalizer.x) - normalizer.y), 4u * j, outputs);
    }
}
