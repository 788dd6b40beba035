// Where the vectors lie that a layer learns beside weights and biases, and what is kept for their gradients. The
// assembler generates `normed_place`.

const GAIN: u32 = 1u;
const SHIFT: u32 = 2u;
/// A layer has gain and shift, or slopes.
const SLOPE: u32 = 1u;

/// Where a vector of a layer starts in `parameters`.
fn vector_of(number: u32, vector: u32, model: u32) -> u32 {
    let l = layer(number);
    return weight_of(l, model) + (l.inputs + vector) * l.output_stride;
}

/// Where in `activations` the sums of a layer start before its norm, and its normed sums behind it; for learned slopes, what
/// their gradients are summed from.
fn normed_of(number: u32, model: u32) -> u32 {
    return model * ACTIVATIONS + normed_place(number);
}
