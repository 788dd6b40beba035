// The result of the matmul, unchanged: the partial sums of split-K, which `tile/split_k_sum` adds, or gradients with
// the layout of the parameters, which the host reads.

/// Stores the result at row i and columns j to j + 3.
fn store_epilogue(p: MatmulArgs, partial_index: u32, i: u32, j: u32, v: vec4f) {
    partial_sums[partial_sum_offset(p, partial_index, i, j)] = v;
}
