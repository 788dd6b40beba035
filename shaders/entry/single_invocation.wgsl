// Complete training steps of the smallest networks: one invocation per member, which has the weights, activations and
// gradients in its registers. It processes one row at a time. The host generates `load_all`, `process_row`,
// `update_all` and `store_all`, which call the functions of each layer.

/// The weights in 4x4 blocks, one row of W per matrix column, layer after layer.
var<private> weights: array<mat4x4f, BLOCKS>;
/// dLoss/dW, in the same blocks.
var<private> weight_gradients: array<mat4x4f, BLOCKS>;
/// The biases of all neurons, layer after layer, in vec4s.
var<private> biases: array<vec4f, NEURONS>;
/// dLoss/db.
var<private> bias_gradients: array<vec4f, NEURONS>;
/// The derivatives of the activations for the current row, until the deltas replace them.
var<private> row_deltas: array<vec4f, NEURONS>;
/// The inputs of the current row, then the outputs of all layers.
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
            // The step table ends with steps without rows.
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

/// Returns the index of the layer's first neurons in `biases`.
fn neuron_offset(l: Layer) -> u32 {
    return l.delta_offset / BATCH;
}

/// Returns the index of the layer's inputs in `values`.
fn input_value_offset(l: Layer) -> u32 {
    return INPUT_STRIDE + neuron_offset(l) - l.input_stride;
}

/// Loads the weights and biases of layer `number`.
fn load(number: u32, member: u32) {
    let l = layer(number);
    let offset = weights_offset(l, member);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let row = offset + 4u * k * s + j;
            weights[l.first_block + k * s + j] =
                mat4x4f(parameters[row], parameters[row + s], parameters[row + 2u * s], parameters[row + 3u * s]);
        }
        biases[neuron_offset(l) + j] = parameters[offset + l.inputs * s + j];
    }
}

/// Loads the inputs of a row of the batch.
fn read_row(row: u32, member: u32) {
    // rounds: INPUT_STRIDE
    for (var k = 0u; k < INPUT_STRIDE; k++) {
        values[k] = activations[input_offset(layer(0u), member, steps_done) + row * INPUT_STRIDE + k];
    }
}

/// Computes a = activate(x W + b) and its derivative.
fn forward(number: u32) {
    let l = layer(number);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        var z = biases[neuron_offset(l) + j];
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            z += weights[l.first_block + k * l.output_stride + j] * values[input_value_offset(l) + k];
        }
        let a = activate(number, z);
        values[INPUT_STRIDE + neuron_offset(l) + j] = mask_padding(a, 4u * j, l.outputs);
        row_deltas[neuron_offset(l) + j] = activate_derivative(number, z, a);
    }
}

/// Stores the outputs of the row and computes delta = dLoss/dz of the last layer.
fn output_delta(row: u32, member: u32) {
    let number = LAYERS - 1u;
    let l = layer(number);
    let offset = row * l.output_stride;
    let n = neuron_offset(l);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        activations[output_offset(l, member) + offset + j] = values[INPUT_STRIDE + n + j];
    }
    let t = target_offset(member) + offset;
    var softmax_terms = vec3f();
    if LOSS_NEEDS_FULL_ROW {
        softmax_terms = vec3f(log_sum_exp(output_offset(l, member) + offset, l.outputs), row_sum(t, l.outputs));
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

/// Adds x^T delta to dLoss/dW and delta to dLoss/db. Computes the delta of the previous layer: delta W^T times the
/// derivative of its activation.
fn backward(number: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let n = neuron_offset(l);
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        bias_gradients[n + j] += row_deltas[n + j];
    }
    // rounds: l.input_stride
    for (var k = 0u; k < l.input_stride; k++) {
        let x = values[input_value_offset(l) + k];
        var delta = vec4f();
        // rounds: l.output_stride
        for (var j = 0u; j < s; j++) {
            weight_gradients[l.first_block + k * s + j] += outer(x, row_deltas[n + j]);
            delta += row_deltas[n + j] * weights[l.first_block + k * s + j];
        }
        if number > 0u {
            let previous = n - l.input_stride + k;
            row_deltas[previous] = mask_padding(delta * row_deltas[previous], 4u * k, l.inputs);
        }
    }
}

/// Updates the weights and biases of layer `number`.
fn update(number: u32, member: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let n = neuron_offset(l);
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        let offset = weights_offset(l, member) + j;
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let p = weights[l.first_block + k * s + j];
            let g = weight_gradients[l.first_block + k * s + j];
            let i = 4u * k;
            weights[l.first_block + k * s + j] = mat4x4f(
                update_row(l, i, offset, p[0], g[0]), update_row(l, i + 1u, offset, p[1], g[1]),
                update_row(l, i + 2u, offset, p[2], g[2]), update_row(l, i + 3u, offset, p[3], g[3]));
        }
        biases[n + j] =
            optimize(biases[n + j], bias_gradients[n + j], offset + l.inputs * s, BIAS_PENALTY_MASK, current_step);
    }
}

/// Returns the updated row i of the weights. Padding rows do not change: the row after the last input has the optimizer
/// state of the biases.
fn update_row(l: Layer, i: u32, offset: u32, p: vec4f, g: vec4f) -> vec4f {
    var q = p;
    if i < l.inputs {
        q = optimize(p, g, offset + i * l.output_stride, 1.0, current_step);
    }
    return q;
}

/// Stores the weights and biases of layer `number`.
fn store(number: u32, member: u32) {
    let l = layer(number);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.inputs
        for (var i = 0u; i < l.inputs; i++) {
            parameters[weights_offset(l, member) + i * s + j] = weights[l.first_block + i / 4u * s + j][i % 4u];
        }
        parameters[weights_offset(l, member) + l.inputs * s + j] = biases[neuron_offset(l) + j];
    }
}
