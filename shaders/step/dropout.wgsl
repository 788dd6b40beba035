// dropout: in a step, a share of a layer's outputs is 0 and the others are larger. `src/dropout.rs` is the same integer
// code and says where it comes from.

fn murmur_finalize(n: vec4u) -> vec4u {
    var h = (n ^ (n >> vec4u(16u))) * 0x85ebca6bu;
    h = (h ^ (h >> vec4u(13u))) * 0xc2b2ae35u;
    return h ^ (h >> vec4u(16u));
}

/// By what the outputs of a row of the batch at `column` and the three behind it are multiplied.
fn dropout_factors(number: u32, row: u32, column: u32) -> vec4f {
    let d = dropout(number);
    let neuron = vec4u(d.first_neuron + column) + vec4u(0u, 1u, 2u, 3u);
    let bits = murmur_finalize((murmur_finalize(vec4u((current_step.first_position + row) ^ current_step.shuffle_key.x)) + neuron * 0x9e3779b9u) ^ vec4u(current_step.shuffle_key.y));
    return select(vec4f(d.scale), vec4f(), bits < vec4u(d.threshold));
}

struct Dropout {
    /// An output is dropped if its random bits are below.
    threshold: u32,
    scale: f32,
    /// The number of the layer's first neuron among all.
    first_neuron: u32,
}
