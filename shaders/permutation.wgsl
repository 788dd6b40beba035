// A keyed bijection of the numbers below `rows`: `src/order.rs` is the same integer code and says where it comes from.

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

/// What stands at a place; `width` is that of the grid of all rows.
fn permuted(place: u32, key: vec2u, rows: u32, width: u32) -> u32 {
    let height = (rows - 1u) / width + 1u;
    var at = place;
    loop {
        var x = at % width;
        var y = at / width;
        for (var round = 0u; round < ORDER_ROUNDS; round += 2u) {
            x = turned(x, mixed(y, round, key), width);
            y = turned(y, mixed(x, round + 1u, key), height);
        }
        at = y * width + x;
        if at < rows {
            break;
        }
    }
    return at;
}
