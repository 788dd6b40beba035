// The rows of each step's batch from the data set into its slot of the window, as f32, padded with 0: the features, and
// behind them the expected outputs.

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let width = INPUT_STRIDE + OUTPUT_STRIDE;
    let column = i % width;
    let row = i / width % BATCH;
    let slot = i / width / BATCH;
    if slot >= WINDOW {
        return;
    }
    var v = vec4f();
    var weight = 0.0;
    if row < step_in_slot(slot, id.z).rows {
        let at = rows[(slot * MEMBERS + id.z) * BATCH + row] - shard.first;
        // Another shard's dispatch brings it; before the shard the difference wraps around.
        if at >= shard.rows {
            return;
        }
        if column < INPUT_STRIDE {
            v = feature(at, column);
            v = scale_features(v, column);
            v = add_noise(v, step_in_slot(slot, id.z), row, column);
        } else {
            v = target_at(at, column - INPUT_STRIDE);
            if HAS_SAMPLE_WEIGHTS {
                weight = sample_weight_of(at);
            }
        }
    }
    if column < INPUT_STRIDE {
        activations[row_offset(slot, id.z, 0u, row, INPUT_STRIDE) + column] = v;
    } else {
        activations[row_offset(slot, id.z, TARGET, row, OUTPUT_STRIDE) + column - INPUT_STRIDE] = v;
    }
    if HAS_SAMPLE_WEIGHTS && column == INPUT_STRIDE {
        activations[row_offset(slot, id.z, TARGET + SAMPLE_WEIGHT, row, OUTPUT_STRIDE)] = vec4f(weight);
    }
}
