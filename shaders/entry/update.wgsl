// The parameters changed by gradients that were kept whole.

@compute @workgroup_size(LANES)
fn update(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * groups.x) * LANES + lane;
    current = step_of(group.z, 0u);
    if current.applies_update == 1u && i < PARAMETERS {
        var sum = Squares();
        // rounds: NORMS
        for (var n = 0u; CLIPS && n < NORMS; n++) {
            let at = kept_at(MODELS) + 2u * (group.z * NORMS + n);
            sum = added_squares(sum, Squares(parts[at], parts[at + 1u]));
        }
        update_whole(group.z, i, clipping(sum));
    }
}
