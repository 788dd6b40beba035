// What networks of one shape answer, put together: of every row and output the mean and the sum of the squared deviations
// from it, by Welford (1962),
//     d = y - mean,  mean <- mean + d / n,  squares <- squares + d (y - mean)
// with the n-th network's output y, and of every class how many networks vote for it. The networks come one after the
// other in their order; those of an earlier dispatch have left their numbers. An invocation for each row and output.

struct Turn {
    /// How many networks came before those of this dispatch.
    before: u32,
    /// Where a single output turns from no to yes.
    threshold: f32,
}

@group(0) @binding(0) var<uniform> turn: Turn;
@group(0) @binding(1) var<storage, read> activations: array<vec4f>;
/// `[rows, 3, outputs]`: means, squares, votes
@group(0) @binding(2) var<storage, read_write> answers: array<f32>;

fn output(model: u32, row: u32, column: u32) -> f32 {
    return activations[model * ACTIVATIONS + OUTPUT + row * OUTPUT_STRIDE + column / 4u][column % 4u];
}

/// The class of the first largest output; of a single one 0 for yes and, as no place, 1 for no.
fn vote(model: u32, row: u32) -> u32 {
    if OUTPUTS == 1u {
        return select(1u, 0u, output(model, row, 0u) > turn.threshold);
    }
    var largest = -3.4e38;
    var place = 0u;
    // rounds: OUTPUTS
    for (var column = 0u; column < OUTPUTS; column++) {
        let y = output(model, row, column);
        if y > largest {
            largest = y;
            place = column;
        }
    }
    return place;
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
    let models = arrayLength(&activations) / ACTIVATIONS;
    let at = row * 3u * OUTPUTS + column;
    var mean = answers[at];
    var squares = answers[at + OUTPUTS];
    var model = 0u;
    if turn.before == 0u {
        mean = output(0u, row, column);
        squares = 0.0;
        model = 1u;
    }
    // rounds: MODELS
    for (; model < models; model++) {
        let y = output(model, row, column);
        let d = y - mean;
        mean += d / f32(turn.before + model + 1u);
        squares += d * (y - mean);
    }
    answers[at] = mean;
    answers[at + OUTPUTS] = squares;
    if column > 0u {
        return;
    }
    // One invocation counts the votes of its row.
    let votes = at + 2u * OUTPUTS;
    // rounds: OUTPUTS
    for (var place = 0u; place < OUTPUTS && turn.before == 0u; place++) {
        answers[votes + place] = 0.0;
    }
    // rounds: MODELS
    for (model = 0u; model < models; model++) {
        let place = vote(model, row);
        if place < OUTPUTS {
            answers[votes + place] += 1.0;
        }
    }
}
