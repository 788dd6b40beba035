// The mean and the sum of squared deviations of the members' outputs, per row and output, by the algorithm of Welford
// (1962):
//     d = y - mean,  mean <- mean + d / n,  sum_of_squares <- sum_of_squares + d (y - mean)
// for the output y of the n-th member. Also counts the votes for each class. Members are added in order; a dispatch
// continues the numbers of the previous one. One invocation per row and output.

struct GroupParams {
    /// The number of members in the previous dispatches.
    members_before: u32,
    /// A single output above the threshold is a vote for "yes".
    threshold: f32,
}

@group(0) @binding(0) var<uniform> group_params: GroupParams;
@group(0) @binding(1) var<storage, read> activations: array<vec4f>;
/// `[rows, 3, outputs]`: means, sums of squared deviations, votes.
@group(0) @binding(2) var<storage, read_write> predictions: array<f32>;

/// Returns one output of a member.
fn output(member: u32, row: u32, column: u32) -> f32 {
    return activations[member * ACTIVATIONS + OUTPUT + row * OUTPUT_STRIDE + column / 4u][column % 4u];
}

/// Returns the class with the largest output, the first one of equals. For a single output, returns 0 for "yes"; 1,
/// which is no class, for "no".
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
fn ensemble(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) workgroup_count: vec3u) {
    let i = id.x + id.y * workgroup_count.x * 64u;
    let row = i / OUTPUTS;
    let column = i % OUTPUTS;
    if row >= BATCH {
        return;
    }
    // The member count is not a constant, so the driver compiles the same sums, with the same rounding, for any count.
    let member_count = arrayLength(&activations) / ACTIVATIONS;
    let offset = row * 3u * OUTPUTS + column;
    var mean = predictions[offset];
    var sum_of_squares = predictions[offset + OUTPUTS];
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
    predictions[offset] = mean;
    predictions[offset + OUTPUTS] = sum_of_squares;
    if column > 0u {
        return;
    }
    // The invocation of the first output counts the votes of its row.
    let votes = offset + 2u * OUTPUTS;
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
