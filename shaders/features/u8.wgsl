// Features that are bytes, four in a word and padded to whole words, read as byte * BYTE_SCALE.

@group(0) @binding(3) var<storage, read> features: array<u32>;

fn feature(row: u32, column: u32) -> vec4f {
    let word = vec4u(features[row * INPUT_STRIDE + column]);
    let four = (word >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
    return vec4f(four) * BYTE_SCALE;
}
