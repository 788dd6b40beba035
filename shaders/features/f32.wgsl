// Features that are numbers already, padded to whole vec4s.

@group(0) @binding(3) var<storage, read> features: array<vec4f>;

fn feature(row: u32, column: u32) -> vec4f {
    return features[row * INPUT_STRIDE + column];
}
