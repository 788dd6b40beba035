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

@compute @workgroup_size(LANES)
fn lane(@builtin(global_invocation_id) id: vec3u) {
    let model = id.x;
    if model < MODELS {
        load_all(model);
        // rounds: WALK
        for (var n = 0u; n < WALK; n++) {
            walked = n;
            current = step_of(model, n);
            // The table of the chunk's steps ends with one without rows.
            if current.rows == 0u {
                break;
            }
            weight_gradients = array<mat4x4f, BLOCKS>();
            bias_gradients = array<vec4f, NEURONS>();
            // rounds: BATCH
            for (var row = 0u; row < current.rows; row++) {
                take_row(row, model);
            }
            update_all(model);
        }
        store_all(model);
    }
}

/// Where the layer's neurons start among all.
fn neurons_of(l: Layer) -> u32 {
    return l.delta / BATCH;
}

/// Where in `values` lies what the layer takes in.
fn values_of(l: Layer) -> u32 {
    return INPUT_STRIDE + neurons_of(l) - l.input_stride;
}

fn load(number: u32, model: u32) {
    let l = layer(number);
    let at = weight_of(l, model);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let row = at + 4u * k * s + j;
            weights[l.first + k * s + j] =
                mat4x4f(parameters[row], parameters[row + s], parameters[row + 2u * s], parameters[row + 3u * s]);
        }
        biases[neurons_of(l) + j] = parameters[at + l.inputs * s + j];
    }
}

fn read_row(row: u32, model: u32) {
    // rounds: INPUT_STRIDE
    for (var k = 0u; k < INPUT_STRIDE; k++) {
        values[k] = activations[input_of(layer(0u), model, walked) + row * INPUT_STRIDE + k];
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
            z += weights[l.first + k * l.output_stride + j] * values[values_of(l) + k];
        }
        let a = activate(number, z);
        values[INPUT_STRIDE + neurons_of(l) + j] = keep(a, 4u * j, l.outputs);
        // The slope, until the delta takes its place.
        row_deltas[neurons_of(l) + j] = activate_gradient(number, z, a);
    }
}

/// delta = dLoss/dz of the last layer
fn output_delta(row: u32, model: u32) {
    let number = LAYERS - 1u;
    let l = layer(number);
    let at = row * l.output_stride;
    let n = neurons_of(l);
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        activations[output_of(l, model) + at + j] = values[INPUT_STRIDE + n + j];
    }
    let t = expected_of(model) + at;
    var normalizer = vec3f();
    if LOSS_NEEDS_NORMALIZER {
        normalizer = vec3f(normalizer_of(output_of(l, model) + at, l.outputs), sum_of_row(t, l.outputs));
    }
    // rounds: l.output_stride
    for (var j = 0u; j < l.output_stride; j++) {
        let y = values[INPUT_STRIDE + n + j];
        var delta = current.loss_scale * loss_gradient(y, activations[t + j], normalizer);
        if !LOSS_GRADIENT_IS_BY_Z {
            delta *= row_deltas[n + j];
        }
        delta *= row_weight(t);
        row_deltas[n + j] = keep(delta, 4u * j, l.outputs);
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
            weight_gradients[l.first + k * s + j] += outer(x, row_deltas[n + j]);
            delta += row_deltas[n + j] * weights[l.first + k * s + j];
        }
        if number > 0u {
            let before = n - l.input_stride + k;
            row_deltas[before] = keep(delta * row_deltas[before], 4u * k, l.inputs);
        }
    }
}

fn update(number: u32, model: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let n = neurons_of(l);
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        let at = weight_of(l, model) + j;
        // rounds: l.input_stride
        for (var k = 0u; k < l.input_stride; k++) {
            let p = weights[l.first + k * s + j];
            let g = weight_gradients[l.first + k * s + j];
            let i = 4u * k;
            weights[l.first + k * s + j] = mat4x4f(
                updated(l, i, at, p[0], g[0]), updated(l, i + 1u, at, p[1], g[1]),
                updated(l, i + 2u, at, p[2], g[2]), updated(l, i + 3u, at, p[3], g[3]));
        }
        biases[n + j] = optimize(biases[n + j], bias_gradients[n + j], at + l.inputs * s, BIAS_REACH, current);
    }
}

/// A row of weights; behind the last is the state of the biases, which have their own turn.
fn updated(l: Layer, i: u32, at: u32, p: vec4f, g: vec4f) -> vec4f {
    var q = p;
    if i < l.inputs {
        q = optimize(p, g, at + i * l.output_stride, 1.0, current);
    }
    return q;
}

fn store(number: u32, model: u32) {
    let l = layer(number);
    let s = l.output_stride;
    // rounds: l.output_stride
    for (var j = 0u; j < s; j++) {
        // rounds: l.inputs
        for (var i = 0u; i < l.inputs; i++) {
            parameters[weight_of(l, model) + i * s + j] = weights[l.first + i / 4u * s + j][i % 4u];
        }
        parameters[weight_of(l, model) + l.inputs * s + j] = biases[neurons_of(l) + j];
    }
}
