// The sum of all gradients' squares, a part for each workgroup, behind the gradients.

var<workgroup> sums: array<Squares, LANES>;

@compute @workgroup_size(LANES)
fn norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let step = step_of(group.z, 0u);
    if step.applies_update == 1u {
        current = step;
        sums[lane] = squares(group.z, group.x * LANES + lane, NORMS * LANES);
        // rounds: 6
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                sums[lane] = added_squares(sums[lane], sums[lane + half]);
            }
        }
        if lane == 0u {
            let at = kept_at(MODELS) + 2u * (group.z * NORMS + group.x);
            parts[at] = sums[0].plain;
            parts[at + 1u] = sums[0].smaller;
        }
    }
}
