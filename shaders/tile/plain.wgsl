// An 8x8 tile an invocation, all in registers: no workgroup memory, no barrier, no subgroup. For software adapters,
// whose workgroup memory is ordinary memory and whose barriers are expensive.

@compute @workgroup_size(8)
fn plain(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
         @builtin(local_invocation_index) lane: u32) {
    let p = place(group.x + group.y * groups.x, group.z);
    let across = (p.columns + 7u) / 8u;
    let tile = p.tile * 8u + lane;
    let i = tile / across * 8u;
    let j = tile % across * 8u;
    var c00 = mat4x4f();
    var c04 = mat4x4f();
    var c40 = mat4x4f();
    var c44 = mat4x4f();
    for (var k = 0u; k < p.depth; k += 4u) {
        let a0 = left(p, i, k);
        let a4 = left(p, i + 4u, k);
        let b0 = right(p, k, j);
        let b4 = right(p, k, j + 4u);
        c00 += product(a0, b0);
        c04 += product(a0, b4);
        c40 += product(a4, b0);
        c44 += product(a4, b4);
    }
    finish_block(p, i, j, c00);
    finish_block(p, i, j + 4u, c04);
    finish_block(p, i + 4u, j, c40);
    finish_block(p, i + 4u, j + 4u, c44);
}
