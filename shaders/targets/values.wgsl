// Targets that are values, one per output.

/// The targets, each row padded to whole vec4s, then the sample weights of the rows, if the rows have weights.
@group(0) @binding(4) var<storage, read> targets: array<vec4f>;

/// Returns the targets of a row of the shard, at the vec4 `column`.
fn target_at(row: u32, column: u32) -> vec4f {
    return targets[row * OUTPUT_STRIDE + column];
}

/// Returns the sample weight of a row of the shard.
fn sample_weight_of(row: u32) -> f32 {
    return targets[shard.rows * OUTPUT_STRIDE + row / 4u][row % 4u];
}
