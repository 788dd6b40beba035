// dropout: in a step, a share of a layer's outputs is 0 and the others are larger. `src/dropout.rs` is the same integer
// code and says where it comes from.

fn finished(n: vec4u) -> vec4u {
    var h = (n ^ (n >> vec4u(16u))) * 0x85ebca6bu;
    h = (h ^ (h >> vec4u(13u))) * 0xc2b2ae35u;
    return h ^ (h >> vec4u(16u));
}

/// By what the outputs of a row of the batch at `column` and the three behind it are multiplied.
fn kept_share(number: u32, row: u32, column: u32) -> vec4f {
    let d = dropout(number);
    let neuron = vec4u(d.first + column) + vec4u(0u, 1u, 2u, 3u);
    let bits = finished((finished(vec4u((current.first_position + row) ^ current.shuffle_key.x)) + neuron * 0x9e3779b9u) ^ vec4u(current.shuffle_key.y));
    return select(vec4f(d.scale), vec4f(), bits < vec4u(d.below));
}

struct Dropout {
    /// An output is dropped if its random bits are below.
    below: u32,
    scale: f32,
    /// The number of the layer's first neuron among all.
    first: u32,
}
