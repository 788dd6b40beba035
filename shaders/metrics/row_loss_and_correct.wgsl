// The loss of one row, before the mean, and 1 if its prediction is correct, otherwise 0; both times the sample weight.

/// Returns the loss and the correctness of the row whose outputs start at offset y of `activations`, and its targets at
/// offset t.
///
/// A single output is correct if it is on the same side of DECISION_THRESHOLD as its target of 0.5. Several outputs are
/// correct if the largest output and the largest target have the same index, the first one of equals. With labels,
/// every output has to be on the side of its target.
fn row_loss_and_correct(y: u32, t: u32) -> vec2f {
    // Only the derivative of the loss needs the sum of the targets.
    var softmax_terms = vec3f();
    if LOSS_NEEDS_FULL_ROW {
        softmax_terms = vec3f(log_sum_exp(y, OUTPUTS), 0.0);
    }
    var sum = vec4f();
    var largest = vec2f(-3.4e38);
    var largest_index = vec2u(0u);
    var incorrect = vec4f();
    // rounds: OUTPUTS / 4
    for (var j = 0u; j < OUTPUTS; j += 4u) {
        let y4 = activations[y + j / 4u];
        let t4 = activations[t + j / 4u];
        // WGSL compilers may assume that there is no NaN, so the bits show whether an output is finite. An output that
        // is not finite replaces its loss, so that the loss of the step is not finite either.
        let is_finite = (bitcast<vec4u>(y4) & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
        sum += mask_padding(select(y4, loss(y4, t4, softmax_terms), is_finite), j, OUTPUTS);
        let masked_y = mask_padding_min(y4, j, OUTPUTS);
        let masked_t = mask_padding_min(t4, j, OUTPUTS);
        incorrect += select(vec4f(), vec4f(1.0), (masked_y > vec4f(DECISION_THRESHOLD)) != (masked_t > vec4f(0.5)));
        update_argmax(vec2f(masked_y.x, masked_t.x), j, &largest, &largest_index);
        update_argmax(vec2f(masked_y.y, masked_t.y), j + 1u, &largest, &largest_index);
        update_argmax(vec2f(masked_y.z, masked_t.z), j + 2u, &largest, &largest_index);
        update_argmax(vec2f(masked_y.w, masked_t.w), j + 3u, &largest, &largest_index);
    }
    let weight = sample_weight(t);
    sum *= weight;
    var is_correct = largest_index.x == largest_index.y;
    if OUTPUTS == 1u {
        is_correct = (largest.x > DECISION_THRESHOLD) == (largest.y > 0.5);
    }
    if HAS_LABELS {
        is_correct = dot(incorrect, vec4f(1.0)) == 0.0;
    }
    return vec2f(sum.x + sum.y + sum.z + sum.w, select(0.0, weight, is_correct));
}

/// Updates the largest output and the largest target, and their indices, by the pair v at index `index`.
fn update_argmax(v: vec2f, index: u32, largest: ptr<function, vec2f>, largest_index: ptr<function, vec2u>) {
    *largest_index = select(*largest_index, vec2u(index), v > *largest);
    *largest = max(v, *largest);
}
