// A formula of the caller's own evaluate_function at some points, to be compared with what Rust says. The host writes `evaluate_function` and
// `evaluate_derivative`, which call it.

/// COUNT points, as many expected outputs, and behind them the values and the slopes there.
@group(0) @binding(1) var<storage, read_write> points: array<vec4f>;

@compute @workgroup_size(64)
fn custom_check(@builtin(local_invocation_index) local: u32) {
    // rounds: COUNT / 64
    for (var i = local; i < COUNT; i += 64u) {
        let at = points[i];
        let expected = points[COUNT + i];
        points[2u * COUNT + i] = evaluate_function(at, expected);
        points[3u * COUNT + i] = evaluate_derivative(at, expected);
    }
}
