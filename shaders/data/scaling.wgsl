// x <- (x - offset) * scale for the features x, column by column.

/// The offsets of all columns, then their scales, each padded with 0 to whole vec4s like the features.
@group(0) @binding(8) var<storage, read> scaling: array<vec4f>;

/// Returns the scaled features v of the vec4 `column`.
fn scale_features(v: vec4f, column: u32) -> vec4f {
    return (v - scaling[column]) * scaling[INPUT_STRIDE + column];
}
