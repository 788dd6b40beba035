// The rows of the data set that each step of the window takes. A keyed bijection gives the row at any place of the
// epoch: `src/order.rs` is the same integer code and says where it comes from.

fn mixed(coordinate: u32, round: u32, key: vec2u) -> u32 {
    var h = (coordinate ^ key.x) + (round + 1u) * 0x9e3779b9u;
    h = ((h ^ (h >> 16u)) * 0x85ebca6bu) ^ key.y;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

fn turned(x: u32, random: u32, size: u32) -> u32 {
    let sum = x + (((random >> 16u) * size) >> 16u);
    return select(sum - size, sum, sum < size);
}

fn row_at(place: u32, key: vec2u) -> u32 {
    let height = (DATA_ROWS - 1u) / ORDER_WIDTH + 1u;
    var at = place;
    loop {
        var x = at % ORDER_WIDTH;
        var y = at / ORDER_WIDTH;
        for (var round = 0u; round < ORDER_ROUNDS; round += 2u) {
            x = turned(x, mixed(y, round, key), ORDER_WIDTH);
            y = turned(y, mixed(x, round + 1u, key), height);
        }
        at = y * ORDER_WIDTH + x;
        if at < DATA_ROWS {
            break;
        }
    }
    return at;
}

@compute @workgroup_size(64)
fn order(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let i = id.x + id.y * groups.x * 64u;
    let slot = i / BATCH;
    let row = i % BATCH;
    if slot < WINDOW {
        let step = step_in(slot, id.z);
        if row < step.rows {
            var at = step.first + row;
            if SHUFFLE {
                at = row_at(at, step.key);
            }
            rows[(slot * MODELS + id.z) * BATCH + row] = at;
        }
    }
}
