// A keyed bijection of the numbers below `rows`, four at a time: `src/order.rs` is the same integer code and says where it
// comes from. A number is one long chain of products, which a processor computes beside those of others in the same time.

fn mix_bits(coordinate: vec4u, round: u32, key: vec2u) -> vec4u {
    var h = (coordinate ^ vec4u(key.x)) + (round + 1u) * 0x9e3779b9u;
    h = ((h ^ (h >> vec4u(16u))) * 0x85ebca6bu) ^ vec4u(key.y);
    h = (h ^ (h >> vec4u(13u))) * 0xc2b2ae35u;
    return h ^ (h >> vec4u(16u));
}

fn rotate(x: vec4u, random: vec4u, size: u32) -> vec4u {
    let sum = x + (((random >> vec4u(16u)) * size) >> vec4u(16u));
    return select(sum - size, sum, sum < vec4u(size));
}

/// What stands at four places; `width` is that of the grid of all rows.
fn permute(places: vec4u, key: vec2u, rows: u32, width: u32) -> vec4u {
    let height = (rows - 1u) / width + 1u;
    var at = places;
    // Those that have come to a row wait for the others.
    var found = vec4u(rows);
    // rounds: 3
    loop {
        var x = at % width;
        var y = at / width;
        // rounds: PERMUTATION_ROUNDS / 2
        for (var round = 0u; round < PERMUTATION_ROUNDS; round += 2u) {
            x = rotate(x, mix_bits(y, round, key), width);
            y = rotate(y, mix_bits(x, round + 1u, key), height);
        }
        at = y * width + x;
        found = select(found, at, found >= vec4u(rows));
        if all(found < vec4u(rows)) {
            break;
        }
    }
    return found;
}
