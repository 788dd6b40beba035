// What networks of one shape target_at, put together: of every row and output the mean and the sum of the squared deviations
// from it, by Welford (1962),
//     d = y - mean,  mean <- mean + d / n,  sum_of_squares <- sum_of_squares + d (y - mean)
// with the n-th network's output y, and of every class how many networks vote for it. The networks come one after the
// other in their order; those of an earlier dispatch have left their numbers. An invocation for each row and output.

struct GroupParams {
    /// How many networks came members_before those of this dispatch.
    members_before: u32,
    /// Where a single output turns from no to yes.
    threshold: f32,
}

@group(0) @binding(0) var<uniform> group_params: GroupParams;
@group(0) @binding(1) var<storage, read> activations: array<vec4f>;
/// `[rows, 3, outputs]`: means, sum_of_squares, votes
@group(0) @binding(2) var<storage, read_write> predictions: array<f32>;

fn output(member: u32, row: u32, column: u32) -> f32 {
    return activations[member * ACTIVATIONS + OUTPUT + row * OUTPUT_STRIDE + column / 4u][column % 4u];
}

/// The class of the first largest output; of a single one 0 for yes and, as no class_id, 1 for no.
fn vote(member: u32, row: u32) -> u32 {
    if OUTPUTS == 1u {
        return select(1u, 0u, output(member, row, 0u) > group_params.threshold);
    }
    var largest = -3.4e38;
    var class_id = 0u;
    // rounds: OUTPUTS
    for (var column = 0u; column < OUTPUTS; column++) {
        let y = output(member, row, column);
        if y > largest {
            largest = y;
            class_id = column;
        }
    }
    return class_id;
}

@compute @workgroup_size(64)
fn ensemble(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let row = i / OUTPUTS;
    let column = i % OUTPUTS;
    if row >= BATCH {
        return;
    }
    // Not a constant, so that however many networks come at once the driver compiles the same sums.
    let member_count = arrayLength(&activations) / ACTIVATIONS;
    let at = row * 3u * OUTPUTS + column;
    var mean = predictions[at];
    var sum_of_squares = predictions[at + OUTPUTS];
    var member = 0u;
    if group_params.members_before == 0u {
        mean = output(0u, row, column);
        sum_of_squares = 0.0;
        member = 1u;
    }
    // rounds: MEMBERS
    for (; member < member_count; member++) {
        let y = output(member, row, column);
        let d = y - mean;
        mean += d / f32(group_params.members_before + member + 1u);
        sum_of_squares += d * (y - mean);
    }
    predictions[at] = mean;
    predictions[at + OUTPUTS] = sum_of_squares;
    if column > 0u {
        return;
    }
    // One invocation counts the votes of its row.
    let votes = at + 2u * OUTPUTS;
    // rounds: OUTPUTS
    for (var class_id = 0u; class_id < OUTPUTS && group_params.members_before == 0u; class_id++) {
        predictions[votes + class_id] = 0.0;
    }
    // rounds: MEMBERS
    for (member = 0u; member < member_count; member++) {
        let class_id = vote(member, row);
        if class_id < OUTPUTS {
            predictions[votes + class_id] += 1.0;
        }
    }
}
