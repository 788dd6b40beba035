// Sliced-K: several invocations per 4x4 block, each with every slices-th term of its sums. Their results are added in a
// fixed order, the second half to the first half. For matmuls with few outputs and long sums.

var<workgroup> block_slices: array<mat4x4f, INVOCATIONS>;

/// Returns the sum of c over `slices` adjacent invocations, valid in the first one of them.
fn sum_block_slices(c: mat4x4f, slices: u32, local: u32) -> mat4x4f {
    workgroupBarrier();
    block_slices[local] = c;
    // rounds: log2 slices
    for (var half = slices / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % slices < half {
            block_slices[local] += block_slices[local + half];
        }
    }
    return block_slices[local];
}
