// Answers that are class ids: a row of zeros with a one; a single output expects the id itself.

@group(0) @binding(4) var<storage, read> targets: array<u32>;

fn target_at(row: u32, column: u32) -> vec4f {
    let class_id = targets[row];
    if OUTPUTS == 1u {
        return vec4f(f32(class_id), 0.0, 0.0, 0.0);
    }
    return select(vec4f(), vec4f(1.0), vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) == vec4u(class_id));
}

/// The weight of a row, where the rows have weights: they lie behind the targets.
fn sample_weight_of(row: u32) -> f32 {
    return bitcast<f32>(targets[shard.rows + row]);
}
