// Where the vectors lie that a layer learns beside weights and biases, and what is kept for their gradients. The
// assembler generates `layer_normalized_offset`.

const GAMMA: u32 = 1u;
const BETA: u32 = 2u;
/// A layer has gain and shift, or slopes.
const PRELU_SLOPE: u32 = 1u;

/// Where a vector of a layer inputs in `parameters`.
fn vector_offset(number: u32, vector: u32, member: u32) -> u32 {
    let l = layer(number);
    return weights_offset(l, member) + (l.inputs + vector) * l.output_stride;
}

/// Where in `activations` the sums of a layer start before its norm, and its normalized sums behind it; for learned slopes, what
/// their gradients are summed from.
fn normalized_offset(number: u32, member: u32) -> u32 {
    return member * ACTIVATIONS + layer_normalized_offset(number);
}
