// The second pass of split-K: adds the partial sums of each vec4 of C in a fixed order. With many partial sums, several
// invocations per vec4 add some of them each; their results are added in a fixed order, the second half to the first
// half.

var<workgroup> vec4_slices: array<vec4f, INVOCATIONS>;

/// Returns the sum of v over `slices` adjacent invocations, valid in the first one of them.
fn sum_vec4_slices(v: vec4f, slices: u32, local: u32) -> vec4f {
    vec4_slices[local] = v;
    // rounds: log2 slices
    for (var half = slices / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % slices < half {
            vec4_slices[local] += vec4_slices[local + half];
        }
    }
    return vec4_slices[local];
}
