// A sum over a workgroup of 64, in a fixed order: halves onto halves

var<workgroup> sums: array<vec2f, 64>;

/// The sum of all invocations' `v`, for invocation 0.
fn over_workgroup(v: vec2f, lane: u32) -> vec2f {
    sums[lane] = v;
    // rounds: 6
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    return sums[lane];
}
