// A 4x4 block for `split` invocations, each with some of the terms of its sums, which are then added in a fixed order:
// halves onto halves. For products with few outputs and long sums.

var<workgroup> block_slices: array<mat4x4f, INVOCATIONS>;

/// The sum of the block_slices of a block, for the invocation that has the first.
fn sum_block_slices(c: mat4x4f, split: u32, local: u32) -> mat4x4f {
    workgroupBarrier();
    block_slices[local] = c;
    // rounds: log2 split
    for (var half = split / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % split < half {
            block_slices[local] += block_slices[local + half];
        }
    }
    return block_slices[local];
}
