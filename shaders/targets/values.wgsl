// Answers that are the expected outputs themselves, padded to whole vec4s.

@group(0) @binding(4) var<storage, read> targets: array<vec4f>;

fn target_at(row: u32, column: u32) -> vec4f {
    return targets[row * OUTPUT_STRIDE + column];
}

/// The weight of a row, where the rows have weights: they lie behind the targets.
fn sample_weight_of(row: u32) -> f32 {
    return targets[shard.rows * OUTPUT_STRIDE + row / 4u][row % 4u];
}
