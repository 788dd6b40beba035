// A sum over a workgroup of 64 invocations, in a fixed order: the second half is added to the first half.

var<workgroup> sums: array<vec2f, 64>;

/// Returns the sum of v over all invocations, valid in invocation 0.
fn workgroup_sum(v: vec2f, local: u32) -> vec2f {
    sums[local] = v;
    // rounds: 6
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    return sums[local];
}
