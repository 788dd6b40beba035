// No product but the second pass of one that was computed in partial_sums: a vec4 of all of them is added up in their order, by `split`
// invocations where they are many, whose sums are added in a fixed order, too: halves onto halves.

var<workgroup> vec4_slices: array<vec4f, INVOCATIONS>;

/// The sum of the vec4_slices of a vec4, for the invocation that has the first.
fn sum_vec4_slices(v: vec4f, split: u32, local: u32) -> vec4f {
    vec4_slices[local] = v;
    // rounds: log2 split
    for (var half = split / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % split < half {
            vec4_slices[local] += vec4_slices[local + half];
        }
    }
    return vec4_slices[local];
}
