// No product but the second pass of one that was computed in parts: a vec4 of all of them is added up in their order, by `split`
// invocations where they are many, whose sums are added in a fixed order, too: halves onto halves.

var<workgroup> shares: array<vec4f, LANES>;

/// The sum of the shares of a vec4, for the invocation that has the first.
fn sum_of_shares(v: vec4f, split: u32, lane: u32) -> vec4f {
    shares[lane] = v;
    // rounds: log2 split
    for (var half = split / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane % split < half {
            shares[lane] += shares[lane + half];
        }
    }
    return shares[lane];
}
