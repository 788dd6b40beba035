// Dropout (Srivastava et al. 2014): with probability p an output is multiplied by 0, otherwise by 1 / (1 - p).
// `src/nn/dropout.rs` is the same integer code. The host generates `dropout(number)` with the numbers of each layer.

/// Returns the final mix of MurmurHash3 (32 bits) for four numbers.
fn murmur_finalize(n: vec4u) -> vec4u {
    var h = (n ^ (n >> vec4u(16u))) * 0x85ebca6bu;
    h = (h ^ (h >> vec4u(13u))) * 0xc2b2ae35u;
    return h ^ (h >> vec4u(16u));
}

/// Returns the factors of the outputs `column` to `column + 3` of layer `number` in a row of the batch.
fn dropout_factors(number: u32, row: u32, column: u32) -> vec4f {
    let d = dropout(number);
    let neuron = vec4u(d.first_neuron + column) + vec4u(0u, 1u, 2u, 3u);
    let bits = murmur_finalize(
        (murmur_finalize(vec4u((current_step.first_position + row) ^ current_step.shuffle_key.x))
            + neuron * 0x9e3779b9u)
            ^ vec4u(current_step.shuffle_key.y));
    return select(vec4f(d.scale), vec4f(), bits < vec4u(d.threshold));
}

struct Dropout {
    /// An output is dropped if its 32 random bits are below the threshold.
    threshold: u32,
    /// The factor 1 / (1 - p) of the other outputs.
    scale: f32,
    /// The index of the layer's first neuron among the padded neurons of all layers.
    first_neuron: u32,
}
