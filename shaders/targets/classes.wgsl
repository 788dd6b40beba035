// Targets that are class indices: one-hot rows, or the index itself for a single output.

/// The class of each row, then the sample weights of the rows as f32 bits, if the rows have weights.
@group(0) @binding(4) var<storage, read> targets: array<u32>;

/// Returns the targets of a row of the shard, at the vec4 `column`.
fn target_at(row: u32, column: u32) -> vec4f {
    let class_id = targets[row];
    if OUTPUTS == 1u {
        return vec4f(f32(class_id), 0.0, 0.0, 0.0);
    }
    return select(vec4f(), vec4f(1.0), vec4u(4u * column) + vec4u(0u, 1u, 2u, 3u) == vec4u(class_id));
}

/// Returns the sample weight of a row of the shard.
fn sample_weight_of(row: u32) -> f32 {
    return bitcast<f32>(targets[shard.rows + row]);
}
