// A template, for each matmul of a kernel: a matmul of the rows that a workgroup of `entry/fused` holds.

/// C = A B for the rows of A that are held, in whose place come those of C.
fn product_block(p: Place, first: u32, lane: u32) {
    let depth = p.depth / 4u;
    let across = p.columns / 4u;
    let i = lane / across * 4u;
    let j = lane % across;
    let is_there = i < rows_from(first);
    var c = mat4x4f();
    if is_there {
        // rounds: p.depth / 4
        for (var k = 0u; k < depth; k++) {
            c += product_right(p, 4u * k, 4u * j) * held_block(i * depth + k, depth);
        }
    }
    workgroupBarrier();
    if is_there {
        held[i * across + j] = product_finish(p, 0u, first + i, 4u * j, c[0]);
        held[(i + 1u) * across + j] = product_finish(p, 0u, first + i + 1u, 4u * j, c[1]);
        held[(i + 2u) * across + j] = product_finish(p, 0u, first + i + 2u, 4u * j, c[2]);
        held[(i + 3u) * across + j] = product_finish(p, 0u, first + i + 3u, 4u * j, c[3]);
    }
    workgroupBarrier();
}
