// A step in one dispatch: a workgroup takes some blocks of rows, one after the other, through all layers, forward and back. What
// a layer makes of a block stays in workgroup memory, where the next product takes it from, and what all blocks add to the
// gradients stays in registers, until `tile/sum` adds up a part a workgroup. An invocation has a 4x4 block of each product.

/// The rows that the next product takes in: activations on the way forward, deltas on the way back.
var<workgroup> staged_rows: array<vec4f, STAGED_VEC4S>;
/// 4x4 blocks of dLoss/dW, one row of it a column, some of each layer; and dLoss/db, a vec4 of each layer.
var<private> weight_gradients: array<mat4x4f, BLOCKS>;
var<private> bias_gradients: array<vec4f, LAYERS>;

@compute @workgroup_size(INVOCATIONS)
fn fused(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(group.z, 0u);
    // rounds: BATCH / BLOCK_ROWS / WORKGROUPS
    for (var first = group.x * BLOCK_ROWS; first < BATCH; first += WORKGROUPS * BLOCK_ROWS) {
        process_block(first, group.z, local);
    }
    store_all(group.x, group.z, local);
}

/// How many of the rows from `first` on there are.
fn rows_in_block(first: u32) -> u32 {
    return min(BLOCK_ROWS, BATCH - first);
}

fn stage_inputs(first: u32, member: u32, local: u32) {
    let start = input_offset(layer(0u), member, 0u) + first * INPUT_STRIDE;
    // The block before is not needed any more.
    workgroupBarrier();
    // rounds: BLOCK_ROWS * INPUT_STRIDE / INVOCATIONS
    for (var i = local; i < rows_in_block(first) * INPUT_STRIDE; i += INVOCATIONS) {
        staged_rows[i] = activations[start + i];
    }
    workgroupBarrier();
}

/// Where a loss that looks at a whole row made them.
fn stage_deltas(first: u32, member: u32, local: u32) {
    storageBarrier();
    softmax_deltas(first, BLOCK_ROWS, member, local);
    storageBarrier();
    let l = layer(LAYERS - 1u);
    // rounds: BLOCK_ROWS * l.output_stride / INVOCATIONS
    for (var i = local; i < rows_in_block(first) * l.output_stride; i += INVOCATIONS) {
        staged_rows[i] = deltas[delta_offset(l, member) + first * l.output_stride + i];
    }
    workgroupBarrier();
}

/// Four rows of what is staged_rows, a row a column.
fn staged_block(at: u32, stride: u32) -> mat4x4f {
    return mat4x4f(staged_rows[at], staged_rows[at + stride], staged_rows[at + 2u * stride], staged_rows[at + 3u * stride]);
}

/// dLoss/dW += x^T delta and dLoss/db += delta: of the layer's blocks the invocation's own with this number.
fn add_gradients(number: u32, own: u32, first: u32, member: u32, local: u32) {
    let l = layer(number);
    let s = l.input_stride;
    let i = (own * INVOCATIONS + local) / l.output_stride;
    let j = (own * INVOCATIONS + local) % l.output_stride;
    if i < s {
        var w = mat4x4f();
        var b = vec4f();
        // rounds: BLOCK_ROWS / 4
        for (var r = 0u; r < rows_in_block(first); r += 4u) {
            let at = input_offset(l, member, 0u) + (first + r) * s + i;
            let x = mat4x4f(activations[at], activations[at + s], activations[at + 2u * s], activations[at + 3u * s]);
            let delta = staged_block(r * l.output_stride + j, l.output_stride);
            w += block_product(x, delta);
            if i == 0u {
                b += delta * vec4f(1.0);
            }
        }
        weight_gradients[l.first_workgroup + own] += w;
        bias_gradients[number] += b;
    }
}

fn store_gradients(number: u32, own: u32, group: u32, member: u32, local: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let i = 4u * ((own * INVOCATIONS + local) / s);
    let at = (group * MEMBERS + member) * PARAMETERS + l.weights_offset + (own * INVOCATIONS + local) % s;
    // Were an index no constant, the gradients would lie in memory.
    let w = weight_gradients[l.first_workgroup + own];
    store_row(l, i, at, w[0]);
    store_row(l, i + 1u, at, w[1]);
    store_row(l, i + 2u, at, w[2]);
    store_row(l, i + 3u, at, w[3]);
    if i == 0u {
        partial_sums[at + l.inputs * s] = bias_gradients[number];
    }
}

/// Behind the last input lies the part of the biases.
fn store_row(l: Layer, i: u32, at: u32, v: vec4f) {
    if i < l.inputs {
        partial_sums[at + i * l.output_stride] = v;
    }
}
