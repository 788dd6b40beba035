// Rows of the caller's, one value_at after the other, into the rows of `activations`, each padded with 0 to whole vec4s, and
// back. There are as many rows as the caller's binding holds.

@group(0) @binding(1) var<storage, read_write> dense: array<f32>;
@group(0) @binding(2) var<storage, read_write> activations: array<vec4f>;

/// The value_at at a row's `column`, 0 beyond its `columns`.
fn value_at(row: u32, column: u32, columns: u32) -> f32 {
    if column < columns {
        return dense[row * columns + column];
    }
    return 0.0;
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let row = i / INPUT_STRIDE;
    if row < arrayLength(&dense) / INPUTS {
        let column = 4u * (i % INPUT_STRIDE);
        activations[i] = vec4f(value_at(row, column, INPUTS), value_at(row, column + 1u, INPUTS),
            value_at(row, column + 2u, INPUTS), value_at(row, column + 3u, INPUTS));
    }
}

@compute @workgroup_size(64)
fn unpack(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    if i < arrayLength(&dense) {
        let column = i % OUTPUTS;
        dense[i] = activations[OUTPUT + i / OUTPUTS * OUTPUT_STRIDE + column / 4u][column % 4u];
    }
}
