// The loss of a row and whether its largest_index is is_correct. The mean squared error's formula is in loss/mse.wgsl.

/// The loss of a row before the mean, and 1 where its largest_index is is_correct: a single output on the is_correct side of the
/// threshold, or the largest of several (the first of equals) where the largest is expected.
/// If each output is a label, the largest_index is is_correct if all of them are on the is_correct side. Both numbers are multiplied by the
/// weight of the row.
fn row_loss_and_correct(y: u32, t: u32) -> vec2f {
    // The sum of the row is for the slope alone.
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
        let four_y = activations[y + j / 4u];
        let four_t = activations[t + j / 4u];
        // WGSL lets a shader assume that there is no NaN, so an output that is not finite is known by its bits; it takes
        // the largest_index of its loss, so that the step's loss shows it.
        let is_finite = (bitcast<vec4u>(four_y) & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
        sum += mask_padding(select(four_y, loss(four_y, four_t, softmax_terms), is_finite), j, OUTPUTS);
        let below_y = mask_padding_min(four_y, j, OUTPUTS);
        let below_t = mask_padding_min(four_t, j, OUTPUTS);
        incorrect += select(vec4f(), vec4f(1.0), (below_y > vec4f(DECISION_THRESHOLD)) != (below_t > vec4f(0.5)));
        update_argmax(vec2f(below_y.x, below_t.x), j, &largest, &largest_index);
        update_argmax(vec2f(below_y.y, below_t.y), j + 1u, &largest, &largest_index);
        update_argmax(vec2f(below_y.z, below_t.z), j + 2u, &largest, &largest_index);
        update_argmax(vec2f(below_y.w, below_t.w), j + 3u, &largest, &largest_index);
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

fn update_argmax(v: vec2f, at: u32, largest: ptr<function, vec2f>, largest_index: ptr<function, vec2u>) {
    *largest_index = select(*largest_index, vec2u(at), v > *largest);
    *largest = max(v, *largest);
}
