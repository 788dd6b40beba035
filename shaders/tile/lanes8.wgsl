// A 16x64 tile a subgroup of 8 lanes, for software adapters with subgroups of 8: no workgroup memory, no barrier. A lane
// has 16 rows of two of the columns' vec4s. Of A each lane loads one 4x4 block, together 16 rows and 8 deep, and shuffles
// spread it: there a load is a loop over the lanes, and a shuffle by a constant is one instruction.

/// 16 rows of 4 columns.
struct Strip { r0: mat4x4f, r4: mat4x4f, r8: mat4x4f, r12: mat4x4f }

/// c + a b, for a column a of A whose 16 rows lie in the lanes 0 to 3.
fn near(c: Strip, a: vec4f, b: vec4f) -> Strip {
    return Strip(
        c.r0 + outer(subgroupShuffle(a, 0u), b), c.r4 + outer(subgroupShuffle(a, 1u), b),
        c.r8 + outer(subgroupShuffle(a, 2u), b), c.r12 + outer(subgroupShuffle(a, 3u), b));
}

/// The same for a column in the lanes 4 to 7; a shuffle that is no constant would be slow.
fn far(c: Strip, a: vec4f, b: vec4f) -> Strip {
    return Strip(
        c.r0 + outer(subgroupShuffle(a, 4u), b), c.r4 + outer(subgroupShuffle(a, 5u), b),
        c.r8 + outer(subgroupShuffle(a, 6u), b), c.r12 + outer(subgroupShuffle(a, 7u), b));
}

fn near_block(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return near(near(near(near(c, a[0], b[0]), a[1], b[1]), a[2], b[2]), a[3], b[3]);
}

fn far_block(c: Strip, a: mat4x4f, b: mat4x4f) -> Strip {
    return far(far(far(far(c, a[0], b[0]), a[1], b[1]), a[2], b[2]), a[3], b[3]);
}

fn finish_strip(p: Place, i: u32, j: u32, c: Strip) {
    finish_block(p, i, j, c.r0);
    finish_block(p, i + 4u, j, c.r4);
    finish_block(p, i + 8u, j, c.r8);
    finish_block(p, i + 12u, j, c.r12);
}

@compute @workgroup_size(8)
fn lanes8(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) lane: u32) {
    let p = place(group.x + group.y * groups.x, group.z);
    let across = (p.columns + 63u) / 64u;
    let i = p.tile / across * 16u;
    let j = p.tile % across * 64u + 4u * lane;
    var c0 = Strip();
    var c32 = Strip();
    for (var k = 0u; k < p.depth; k += 8u) {
        let a = left(p, i + 4u * (lane % 4u), k + 4u * (lane / 4u));
        c0 = near_block(c0, a, right(p, k, j));
        c32 = near_block(c32, a, right(p, k, j + 32u));
        if k + 4u < p.depth {
            c0 = far_block(c0, a, right(p, k + 4u, j));
            c32 = far_block(c32, a, right(p, k + 4u, j + 32u));
        }
    }
    finish_strip(p, i, j, c0);
    finish_strip(p, i, j + 32u, c32);
}
