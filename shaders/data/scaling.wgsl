// Features scale_features column by column: (v - shift) * factor. All shifts come first, then all factors, padded with 0 as the
// features are.

@group(0) @binding(8) var<storage, read> scaling: array<vec4f>;

fn scale_features(v: vec4f, column: u32) -> vec4f {
    return (v - scaling[column]) * scaling[INPUT_STRIDE + column];
}
