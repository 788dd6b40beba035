// ln(sum e^y) over a row of outputs y, as the maximum m and ln(sum e^(y - m)). No term overflows, because y - m <= 0.

/// Returns m and ln(sum e^(y - m)) of the row that starts at offset `row_start` of `activations`.
fn log_sum_exp(row_start: u32, outputs: u32) -> vec2f {
    var max4 = vec4f(-3.4e38);
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        max4 = max(max4, mask_padding_min(activations[row_start + j / 4u], j, outputs));
    }
    let row_max = max(max(max4.x, max4.y), max(max4.z, max4.w));
    var sum = vec4f();
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        sum += mask_padding(exp(activations[row_start + j / 4u] - row_max), j, outputs);
    }
    return vec2f(row_max, log(sum.x + sum.y + sum.z + sum.w));
}

/// Returns the sum of the row of targets that starts at offset `row_start` of `activations`.
fn row_sum(row_start: u32, outputs: u32) -> f32 {
    var sum = vec4f();
    // rounds: outputs / 4
    for (var j = 0u; j < outputs; j += 4u) {
        sum += mask_padding(activations[row_start + j / 4u], j, outputs);
    }
    return sum.x + sum.y + sum.z + sum.w;
}

/// Returns the columns `column` to `column + 3`, with -3.4e38 in the padding, so that the padding is never the maximum.
fn mask_padding_min(v: vec4f, column: u32, columns: u32) -> vec4f {
    return select(vec4f(-3.4e38), v, vec4u(column) + vec4u(0u, 1u, 2u, 3u) < vec4u(columns));
}
