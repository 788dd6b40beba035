// Features stored as bytes: x = byte BYTE_SCALE.

/// The features, four per word, each row padded to whole words.
@group(0) @binding(3) var<storage, read> features: array<u32>;

/// Returns the features of a row of the shard, at the vec4 `column`.
fn feature(row: u32, column: u32) -> vec4f {
    let word = vec4u(features[row * INPUT_STRIDE + column]);
    let bytes = (word >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
    return vec4f(bytes) * BYTE_SCALE;
}
