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
    if row < step_in(slot, id.z).rows {
        let at = rows[(slot * MODELS + id.z) * BATCH + row] - shard.first;
        // Another shard's dispatch brings it; before the shard the difference wraps around.
        if at >= shard.rows {
            return;
        }
        if column < INPUT_STRIDE {
            v = feature(at, column);
            v = scaled(v, column);
            v = noisy(v, step_in(slot, id.z), row, column);
        } else {
            v = answer(at, column - INPUT_STRIDE);
            if HAS_WEIGHTS {
                weight = sample_weight_of(at);
            }
        }
    }
    if column < INPUT_STRIDE {
        activations[row_of(slot, id.z, 0u, row, INPUT_STRIDE) + column] = v;
    } else {
        activations[row_of(slot, id.z, EXPECTED, row, OUTPUT_STRIDE) + column - INPUT_STRIDE] = v;
    }
    if HAS_WEIGHTS && column == INPUT_STRIDE {
        activations[row_of(slot, id.z, EXPECTED + WEIGHT, row, OUTPUT_STRIDE)] = vec4f(weight);
    }
}
