// Evaluates a custom function of the caller and its derivative at COUNT vec4s of points. The host compares the results
// with the Rust function. It generates `evaluate_function` and `evaluate_derivative`, which call the WGSL of the
// caller.

/// Four blocks of COUNT vec4s: the points and the targets, which the host writes, then the values and the derivatives.
@group(0) @binding(1) var<storage, read_write> points: array<vec4f>;

@compute @workgroup_size(64)
fn custom_check(@builtin(local_invocation_index) local: u32) {
    // rounds: COUNT / 64
    for (var i = local; i < COUNT; i += 64u) {
        let x = points[i];
        let t = points[COUNT + i];
        points[2u * COUNT + i] = evaluate_function(x, t);
        points[3u * COUNT + i] = evaluate_derivative(x, t);
    }
}
