// A step in one dispatch: a workgroup takes some blocks of rows, one after the other, through all layers, forward and back. What
// a layer makes of a block stays in workgroup memory, where the next product takes it from, and what all blocks add to the
// gradients stays in registers, until `tile/sum` adds up a part a workgroup. An invocation has a 4x4 block of each product.

/// The rows that the next product takes in: activations on the way forward, deltas on the way back.
var<workgroup> held: array<vec4f, HELD>;
/// 4x4 blocks of dLoss/dW, one row of it a column, some of each layer; and dLoss/db, a vec4 of each layer.
var<private> weight_gradients: array<mat4x4f, BLOCKS>;
var<private> bias_gradients: array<vec4f, LAYERS>;

@compute @workgroup_size(LANES)
fn fused(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    current = step_of(group.z, 0u);
    // rounds: BATCH / ROWS / GROUPS
    for (var first = group.x * ROWS; first < BATCH; first += GROUPS * ROWS) {
        take_rows(first, group.z, lane);
    }
    store_all(group.x, group.z, lane);
}

/// How many of the rows from `first` on there are.
fn rows_from(first: u32) -> u32 {
    return min(ROWS, BATCH - first);
}

fn hold_inputs(first: u32, model: u32, lane: u32) {
    let start = input_of(layer(0u), model, 0u) + first * INPUT_STRIDE;
    // The block before is not needed any more.
    workgroupBarrier();
    // rounds: ROWS * INPUT_STRIDE / LANES
    for (var i = lane; i < rows_from(first) * INPUT_STRIDE; i += LANES) {
        held[i] = activations[start + i];
    }
    workgroupBarrier();
}

/// Where a loss that looks at a whole row made them.
fn hold_deltas(first: u32, model: u32, lane: u32) {
    storageBarrier();
    softmax_deltas(first, ROWS, model, lane);
    storageBarrier();
    let l = layer(LAYERS - 1u);
    // rounds: ROWS * l.output_stride / LANES
    for (var i = lane; i < rows_from(first) * l.output_stride; i += LANES) {
        held[i] = deltas[delta_of(l, model) + first * l.output_stride + i];
    }
    workgroupBarrier();
}

/// Four rows of what is held, a row a column.
fn held_block(at: u32, stride: u32) -> mat4x4f {
    return mat4x4f(held[at], held[at + stride], held[at + 2u * stride], held[at + 3u * stride]);
}

/// dLoss/dW += x^T delta and dLoss/db += delta: of the layer's blocks the invocation's own with this number.
fn add_gradients(number: u32, own: u32, first: u32, model: u32, lane: u32) {
    let l = layer(number);
    let s = l.input_stride;
    let i = (own * LANES + lane) / l.output_stride;
    let j = (own * LANES + lane) % l.output_stride;
    if i < s {
        var w = mat4x4f();
        var b = vec4f();
        // rounds: ROWS / 4
        for (var r = 0u; r < rows_from(first); r += 4u) {
            let at = input_of(l, model, 0u) + (first + r) * s + i;
            let x = mat4x4f(activations[at], activations[at + s], activations[at + 2u * s], activations[at + 3u * s]);
            let delta = held_block(r * l.output_stride + j, l.output_stride);
            w += block_product(x, delta);
            if i == 0u {
                b += delta * vec4f(1.0);
            }
        }
        weight_gradients[l.first + own] += w;
        bias_gradients[number] += b;
    }
}

fn store_gradients(number: u32, own: u32, group: u32, model: u32, lane: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let i = 4u * ((own * LANES + lane) / s);
    let at = (group * MODELS + model) * PARAMETERS + l.weight + (own * LANES + lane) % s;
    // Were an index no constant, the gradients would lie in memory.
    let w = weight_gradients[l.first + own];
    store_row(l, i, at, w[0]);
    store_row(l, i + 1u, at, w[1]);
    store_row(l, i + 2u, at, w[2]);
    store_row(l, i + 3u, at, w[3]);
    if i == 0u {
        parts[at + l.inputs * s] = bias_gradients[number];
    }
}

/// Behind the last input lies the part of the biases.
fn store_row(l: Layer, i: u32, at: u32, v: vec4f) {
    if i < l.inputs {
        parts[at + i * l.output_stride] = v;
    }
}
