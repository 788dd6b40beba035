// The loss of a row and whether its answer is right. The mean squared error's formula is in loss/mse.wgsl.

/// The loss of a row before the mean, and 1 where its answer is right: a single output on the right side of the
/// threshold, or the largest of several (the first of equals) where the largest is expected.
/// If each output is a label, the answer is right if all of them are on the right side. Both numbers are multiplied by the
/// weight of the row.
fn judge(y: u32, t: u32) -> vec2f {
    // The sum of the row is for the slope alone.
    var normalizer = vec3f();
    if LOSS_NEEDS_NORMALIZER {
        normalizer = vec3f(normalizer_of(y, OUTPUTS), 0.0);
    }
    var sum = vec4f();
    var top = vec2f(-3.4e38);
    var answer = vec2u(0u);
    var wrong = vec4f();
    // rounds: OUTPUTS / 4
    for (var j = 0u; j < OUTPUTS; j += 4u) {
        let four_y = activations[y + j / 4u];
        let four_t = activations[t + j / 4u];
        // WGSL lets a shader assume that there is no NaN, so an output that is not finite is known by its bits; it takes
        // the place of its loss, so that the step's loss shows it.
        let is_finite = (bitcast<vec4u>(four_y) & vec4u(0x7f800000u)) != vec4u(0x7f800000u);
        sum += keep(select(four_y, loss(four_y, four_t, normalizer), is_finite), j, OUTPUTS);
        let below_y = kept_below(four_y, j, OUTPUTS);
        let below_t = kept_below(four_t, j, OUTPUTS);
        wrong += select(vec4f(), vec4f(1.0), (below_y > vec4f(THRESHOLD)) != (below_t > vec4f(0.5)));
        first_largest(vec2f(below_y.x, below_t.x), j, &top, &answer);
        first_largest(vec2f(below_y.y, below_t.y), j + 1u, &top, &answer);
        first_largest(vec2f(below_y.z, below_t.z), j + 2u, &top, &answer);
        first_largest(vec2f(below_y.w, below_t.w), j + 3u, &top, &answer);
    }
    let weight = row_weight(t);
    sum *= weight;
    var right = answer.x == answer.y;
    if OUTPUTS == 1u {
        right = (top.x > THRESHOLD) == (top.y > 0.5);
    }
    if HAS_LABELS {
        right = dot(wrong, vec4f(1.0)) == 0.0;
    }
    return vec2f(sum.x + sum.y + sum.z + sum.w, select(0.0, weight, right));
}

fn first_largest(v: vec2f, at: u32, top: ptr<function, vec2f>, place: ptr<function, vec2u>) {
    *place = select(*place, vec2u(at), v > *top);
    *top = max(v, *top);
}
