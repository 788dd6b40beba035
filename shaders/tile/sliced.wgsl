// A 4x4 block for `split` invocations, each with some of the terms of its sums, which are then added in a fixed order:
// halves onto halves. For products with few outputs and long sums.

var<workgroup> slices: array<mat4x4f, LANES>;

/// The sum of the slices of a block, for the invocation that has the first.
fn sum_of_slices(c: mat4x4f, split: u32, lane: u32) -> mat4x4f {
    workgroupBarrier();
    slices[lane] = c;
    // rounds: log2 split
    for (var half = split / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane % split < half {
            slices[lane] += slices[lane + half];
        }
    }
    return slices[lane];
}
