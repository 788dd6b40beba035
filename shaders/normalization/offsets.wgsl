// The offsets of the per-neuron parameters of a layer, and of the values that their gradients need. The host generates
// `layer_normalized_offset`.

/// The rows of a layer's parameters after its weights, counted from the biases: gamma and beta of a normalization.
const GAMMA: u32 = 1u;
const BETA: u32 = 2u;
/// The row of the PReLU slopes. A layer has either a normalization or PReLU.
const PRELU_SLOPE: u32 = 1u;

/// Returns the offset in `parameters` of a row of per-neuron parameters of layer `number`.
fn vector_offset(number: u32, vector: u32, member: u32) -> u32 {
    let l = layer(number);
    return weights_offset(l, member) + (l.inputs + vector) * l.output_stride;
}

/// Returns the offset in `activations` of the pre-activations of layer `number`, which the normalized values replace.
/// For PReLU, it is the offset of the values whose sum over the rows is the gradient of the slopes.
fn normalized_offset(number: u32, member: u32) -> u32 {
    return member * ACTIVATIONS + layer_normalized_offset(number);
}
