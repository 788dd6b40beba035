// A 32x32 tile a workgroup of 64 invocations, each with a 4x4 block of it. Both operands pass through workgroup memory,
// 32 deep, so that each is read from the arenas once a tile. For GPUs.

/// [k][i / 4] and [k][j / 4].
var<workgroup> lefts: array<vec4f, 256>;
var<workgroup> rights: array<vec4f, 256>;

@compute @workgroup_size(64)
fn staged(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) lane: u32) {
    let p = place(group.x + group.y * groups.x, group.z);
    let across = (p.columns + 31u) / 32u;
    let i = p.tile / across * 32u;
    let j = p.tile % across * 32u;
    let x = lane % 8u;
    let y = lane / 8u;
    var c = mat4x4f();
    for (var k = 0u; k < p.depth; k += 32u) {
        var a = mat4x4f();
        var b = mat4x4f();
        if k + 4u * y < p.depth {
            a = left(p, i + 4u * x, k + 4u * y);
            b = right(p, k + 4u * y, j + 4u * x);
        }
        workgroupBarrier();
        let at = 32u * y + x;
        lefts[at] = a[0];
        lefts[at + 8u] = a[1];
        lefts[at + 16u] = a[2];
        lefts[at + 24u] = a[3];
        rights[at] = b[0];
        rights[at + 8u] = b[1];
        rights[at + 16u] = b[2];
        rights[at + 24u] = b[3];
        workgroupBarrier();
        for (var q = 0u; q < 256u; q += 8u) {
            c += outer(lefts[q + y], rights[q + x]);
        }
    }
    finish_block(p, i + 4u * y, j + 4u * x, c);
}
