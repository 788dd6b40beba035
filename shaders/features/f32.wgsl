// Features stored as f32.

/// The features, each row padded to whole vec4s.
@group(0) @binding(3) var<storage, read> features: array<vec4f>;

/// Returns the features of a row of the shard, at the vec4 `column`.
fn feature(row: u32, column: u32) -> vec4f {
    return features[row * INPUT_STRIDE + column];
}
