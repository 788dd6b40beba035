// Whole steps of the smallest networks: an invocation is a network, whose weights, activations and gradients stay in its
// registers. Row by row, as in the textbook.

/// 4x4 blocks of the weights, one row of W a column; those of the next layer follow.
var<private> weights: array<mat4x4f, BLOCKS>;
var<private> weight_gradients: array<mat4x4f, BLOCKS>;
/// Of all neurons, layer by layer.
var<private> biases: array<vec4f, NEURONS>;
var<private> bias_gradients: array<vec4f, NEURONS>;
var<private> row_deltas: array<vec4f, NEURONS>;
/// A row of inputs, and what every layer makes of it.
var<private> values: array<vec4f, INPUT_STRIDE + NEURONS>;

@compute @workgroup_size(INVOCATIONS)
fn single_invocation(@builtin(global_invocation_id) id: vec3u) {
    let member = id.x;
    if member < MEMBERS {
        load_all(member);
        // rounds: STEPS
        for (var n = 0u; n < STEPS; n++) {
            steps_done = n;
            current_step = step_at(member, n);
            // The table of the chunk's steps ends with one without rows.
            if current_step.rows == 0u {
                break;
            }
            weight_gradients = array<mat4x4f, BLOCKS>();
            bias_gradients = array<vec4f, NEURONS>();
            // rounds: BATCH
            for (var row = 0u; row < current_step.rows; row++) {
                process_row(row, member);
            }
            update_all(member);
        }
        store_all(member);
    }
}

/// Where the layer's neurons start among all.
fn neurons_of(l: Layer) -> u32 {
    return l.delta_offset / BATCH;
}

/// Where in `values` lies what the layer takes in.
fn values_of(l: Layer) -> u32 {
    return INPUT_STRIDE + neurons_of(l) - l.input_stride;
}

fn load(number: u32, member: u32) {
    let l = layer(number);
    let at = weights_offset(l, member);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let row = at + 4u * k * s + j;
            weights[l.first_workgroup + k * s + j] =
                mat4x4f(parameters[row], parameters[row + s], parameters[row + 2u * s], parameters[row + 3u * s]);
        }
        biases[neurons_of(l) + j] = parameters[at + l.inputs * s + j];
    }
}

fn read_row(row: u32, member: u32) {
    // rounds: INPUT_STRIDE
    for (var k = 0u; k < INPUT_STRIDE; k++) {
        values[k] = activations[input_offset(layer(0u), member, steps_done) + row * INPUT_STRIDE + k];
    }
}

/// a = activate(x W + b)
fn forward(number: u32) {
    let l = layer(number);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        var z = biases[neurons_of(l) + j];
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            z += weights[l.first_workgroup + k * l.output_stride + j] * values[values_of(l) + k];
        }
        let a = activate(number, z);
        values[INPUT_STRIDE + neurons_of(l) + j] = mask_padding(a, 4u * j, l.outputs);
        // The slope, until the delta takes its place.
        row_deltas[neurons_of(l) + j] = activate_derivative(number, z, a);
    }
}

/// delta = dLoss/dz of the last layer
fn output_delta(row: u32, member: u32) {
    let number = LAYERS - 1u;
    let l = layer(number);
    let at = row * l.output_stride;
    let n = neurons_of(l);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        activations[output_offset(l, member) + at + j] = values[INPUT_STRIDE + n + j];
    }
    let t = target_offset(member) + at;
    var softmax_terms = vec3f();
    if LOSS_NEEDS_FULL_ROW {
        softmax_terms = vec3f(log_sum_exp(output_offset(l, member) + at, l.outputs), row_sum(t, l.outputs));
    }
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        let y = values[INPUT_STRIDE + n + j];
        var delta = current_step.loss_scale * loss_derivative(y, activations[t + j], softmax_terms);
        if !LOSS_DERIVATIVE_IS_BY_Z {
            delta *= row_deltas[n + j];
        }
        delta *= sample_weight(t);
        row_deltas[n + j] = mask_padding(delta, 4u * j, l.outputs);
    }
}

/// dLoss/dW += x^T delta, dLoss/db += delta, and the delta of the layer before: delta W^T times its activation's slope
fn backward(number: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let n = neurons_of(l);
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        bias_gradients[n + j] += row_deltas[n + j];
    }
    // rounds: l.input_stride
    for (var k = 0u; k < l.input_stride; k++) {
        let x = values[values_of(l) + k];
        var delta = vec4f();
        // rounds: l.output_stride
        for (var j = 0u; j < s; j++) {
            weight_gradients[l.first_workgroup + k * s + j] += outer(x, row_deltas[n + j]);
            delta += row_deltas[n + j] * weights[l.first_workgroup + k * s + j];
        }
        if number > 0u {
            let before = n - l.input_stride + k;
            row_deltas[before] = mask_padding(delta * row_deltas[before], 4u * k, l.inputs);
        }
    }
}

fn update(number: u32, member: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let n = neurons_of(l);
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        let at = weights_offset(l, member) + j;
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let p = weights[l.first_workgroup + k * s + j];
            let g = weight_gradients[l.first_workgroup + k * s + j];
            let i = 4u * k;
            weights[l.first_workgroup + k * s + j] = mat4x4f(
                updated(l, i, at, p[0], g[0]), updated(l, i + 1u, at, p[1], g[1]),
                updated(l, i + 2u, at, p[2], g[2]), updated(l, i + 3u, at, p[3], g[3]));
        }
        biases[n + j] = optimize(biases[n + j], bias_gradients[n + j], at + l.inputs * s, BIAS_PENALTY_MASK, current_step);
    }
}

/// A row of weights; behind the last is the state of the biases, which have their own group_params.
fn updated(l: Layer, i: u32, at: u32, p: vec4f, g: vec4f) -> vec4f {
    var q = p;
    if i < l.inputs {
        q = optimize(p, g, at + i * l.output_stride, 1.0, current_step);
    }
    return q;
}

fn store(number: u32, member: u32) {
    let l = layer(number);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.inputs
        for (var i = 0u; i < l.inputs; i++) {
            parameters[weights_offset(l, member) + i * s + j] = weights[l.first_workgroup + i / 4u * s + j][i % 4u];
        }
        parameters[weights_offset(l, member) + l.inputs * s + j] = biases[neurons_of(l) + j];
    }
}
