// One training step up to the gradients in one dispatch: each workgroup takes several blocks of rows, one after the
// other, through the forward and the backward pass. The rows of a layer stay in workgroup memory, where the next matmul
// reads them. The gradients stay in registers until the end; then each workgroup stores a partial sum, and
// `tile/split_k_sum` adds these. An invocation computes one 4x4 block of each matmul. The host generates
// `process_block` and `store_all`.

/// The rows of a block for the next matmul: activations in the forward pass, deltas in the backward pass.
var<workgroup> staged_rows: array<vec4f, STAGED_VEC4S>;
/// dLoss/dW of the invocation's 4x4 blocks, some of each layer, one row of W per matrix column.
var<private> weight_gradients: array<mat4x4f, BLOCKS>;
/// dLoss/db, one vec4 per layer.
var<private> bias_gradients: array<vec4f, LAYERS>;

@compute @workgroup_size(INVOCATIONS)
fn fused(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    current_step = step_at(workgroup.z, 0u);
    // rounds: BATCH / BLOCK_ROWS / WORKGROUPS
    for (var first = workgroup.x * BLOCK_ROWS; first < BATCH; first += WORKGROUPS * BLOCK_ROWS) {
        process_block(first, workgroup.z, local);
    }
    store_all(workgroup.x, workgroup.z, local);
}

/// Returns the number of rows in the block that starts at row `first`.
fn rows_in_block(first: u32) -> u32 {
    return min(BLOCK_ROWS, BATCH - first);
}

/// Stages the inputs of the block that starts at row `first`.
fn stage_inputs(first: u32, member: u32, local: u32) {
    let start = input_offset(layer(0u), member, 0u) + first * INPUT_STRIDE;
    // All invocations must have completed the previous block.
    workgroupBarrier();
    // rounds: BLOCK_ROWS * INPUT_STRIDE / INVOCATIONS
    for (var i = local; i < rows_in_block(first) * INPUT_STRIDE; i += INVOCATIONS) {
        staged_rows[i] = activations[start + i];
    }
    workgroupBarrier();
}

/// Computes and stages the deltas of the last layer, for a loss that needs all outputs of a row.
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

/// Returns four staged rows of a vec4 column, one per matrix column.
fn staged_block(offset: u32, stride: u32) -> mat4x4f {
    return mat4x4f(
        staged_rows[offset],
        staged_rows[offset + stride],
        staged_rows[offset + 2u * stride],
        staged_rows[offset + 3u * stride]);
}

/// dLoss/dW += x^T delta and dLoss/db += delta, for the invocation's block number `block` of layer `number`.
fn add_gradients(number: u32, block: u32, first: u32, member: u32, local: u32) {
    let l = layer(number);
    let s = l.input_stride;
    let i = (block * INVOCATIONS + local) / l.output_stride;
    let j = (block * INVOCATIONS + local) % l.output_stride;
    if i < s {
        var w = mat4x4f();
        var b = vec4f();
        // rounds: BLOCK_ROWS / 4
        for (var r = 0u; r < rows_in_block(first); r += 4u) {
            let offset = input_offset(l, member, 0u) + (first + r) * s + i;
            let x = mat4x4f(
                activations[offset],
                activations[offset + s],
                activations[offset + 2u * s],
                activations[offset + 3u * s]);
            let delta = staged_block(r * l.output_stride + j, l.output_stride);
            w += block_product(x, delta);
            if i == 0u {
                b += delta * vec4f(1.0);
            }
        }
        weight_gradients[l.first_block + block] += w;
        bias_gradients[number] += b;
    }
}

/// Stores the gradients of the invocation's block number `block` of layer `number` among the partial sums.
fn store_gradients(number: u32, block: u32, workgroup: u32, member: u32, local: u32) {
    let l = layer(number);
    let s = l.output_stride;
    let i = 4u * ((block * INVOCATIONS + local) / s);
    let offset =
        (workgroup * MEMBERS + member) * PARAMETERS + l.weights_offset + (block * INVOCATIONS + local) % s;
    // The indices of `weight_gradients` must be constants, otherwise the compiler stores the array in memory.
    let w = weight_gradients[l.first_block + block];
    store_row(l, i, offset, w[0]);
    store_row(l, i + 1u, offset, w[1]);
    store_row(l, i + 2u, offset, w[2]);
    store_row(l, i + 3u, offset, w[3]);
    if i == 0u {
        partial_sums[offset + l.inputs * s] = bias_gradients[number];
    }
}

/// Stores row i of the weight gradients. The row after the last input contains the bias gradients, so padding is
/// skipped.
fn store_row(l: Layer, i: u32, offset: u32, v: vec4f) {
    if i < l.inputs {
        partial_sums[offset + i * l.output_stride] = v;
    }
}
