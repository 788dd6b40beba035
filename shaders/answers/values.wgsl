// Answers that are the expected outputs themselves, padded to whole vec4s.

@group(0) @binding(4) var<storage, read> answers: array<vec4f>;

fn answer(row: u32, column: u32) -> vec4f {
    return answers[row * OUTPUT_STRIDE + column];
}

/// The weight of a row, where the rows have weights: they lie behind the answers.
fn sample_weight_of(row: u32) -> f32 {
    return answers[shard.rows * OUTPUT_STRIDE + row / 4u][row % 4u];
}
