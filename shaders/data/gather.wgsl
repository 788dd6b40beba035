// Copies the rows of each step from the data set to the step's slot of the window: the features, then the targets, as
// f32, padded with 0 to whole vec4s. One invocation per vec4.

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
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
        let shard_row = rows[(slot * MEMBERS + id.z) * BATCH + row] - shard.first;
        // The dispatch of another shard copies this row. For a row before the shard, the difference wraps around.
        if shard_row >= shard.rows {
            return;
        }
        if column < INPUT_STRIDE {
            v = feature(shard_row, column);
            v = scale_features(v, column);
            v = add_noise(v, step_in_slot(slot, id.z), row, column);
        } else {
            v = target_at(shard_row, column - INPUT_STRIDE);
            if HAS_SAMPLE_WEIGHTS {
                weight = sample_weight_of(shard_row);
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
