// Copies dense rows of the caller to `activations`, and outputs back to dense rows. In `activations`, each row is
// padded with 0 to whole vec4s. The size of the caller's buffer defines the number of rows.

@group(0) @binding(1) var<storage, read_write> dense: array<f32>;
@group(0) @binding(2) var<storage, read_write> activations: array<vec4f>;

/// Returns the value of a dense row at `column`; 0 from `columns` on.
fn value_at(row: u32, column: u32, columns: u32) -> f32 {
    if column < columns {
        return dense[row * columns + column];
    }
    return 0.0;
}

/// Copies the inputs, `[rows, INPUTS]`: one invocation per vec4.
@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    let row = i / INPUT_STRIDE;
    if row < arrayLength(&dense) / INPUTS {
        let column = 4u * (i % INPUT_STRIDE);
        activations[i] = vec4f(value_at(row, column, INPUTS), value_at(row, column + 1u, INPUTS),
            value_at(row, column + 2u, INPUTS), value_at(row, column + 3u, INPUTS));
    }
}

/// Copies the outputs, `[rows, OUTPUTS]`: one invocation per value.
@compute @workgroup_size(64)
fn unpack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    if i < arrayLength(&dense) {
        let column = i % OUTPUTS;
        dense[i] = activations[OUTPUT + i / OUTPUTS * OUTPUT_STRIDE + column / 4u][column % 4u];
    }
}
