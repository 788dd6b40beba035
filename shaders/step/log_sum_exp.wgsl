// ln(sum e^y) of a row of outputs, as its largest m and ln(sum e^(y - m)), in which nothing overflows

fn log_sum_exp(row: u32, outputs: u32) -> vec2f {
    var top = vec4f(-3.4e38);
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        top = max(top, mask_padding_min(activations[row + j / 4u], j, outputs));
    }
    let largest = max(max(top.x, top.y), max(top.z, top.w));
    var sum = vec4f();
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        sum += mask_padding(exp(activations[row + j / 4u] - largest), j, outputs);
    }
    return vec2f(largest, log(sum.x + sum.y + sum.z + sum.w));
}

/// The sum of a row of expected outputs.
fn row_sum(row: u32, outputs: u32) -> f32 {
    var sum = vec4f();
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        sum += mask_padding(activations[row + j / 4u], j, outputs);
    }
    return sum.x + sum.y + sum.z + sum.w;
}

/// v with the smallest number in the padding, so that no maximum is found there.
fn mask_padding_min(v: vec4f, column: u32, columns: u32) -> vec4f {
    return select(vec4f(-3.4e38), v, vec4u(column) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}
