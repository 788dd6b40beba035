// The order of the rows in an epoch: a keyed bijection of the numbers below `rows`, a generalized Feistel cipher (Black
// and Rogaway 2002). `src/data/permutation.rs` is the same integer code. One number is a long chain of dependent
// multiplications, so a processor computes four numbers in the time of one.

/// Returns a hash of four coordinates, a round and the key.
fn mix_bits(coordinate: vec4u, round: u32, key: vec2u) -> vec4u {
    var h = (coordinate ^ vec4u(key.x)) + (round + 1u) * 0x9e3779b9u;
    h = ((h ^ (h >> vec4u(16u))) * 0x85ebca6bu) ^ vec4u(key.y);
    h = (h ^ (h >> vec4u(13u))) * 0xc2b2ae35u;
    return h ^ (h >> vec4u(16u));
}

/// Returns (x + r) mod size, where r is a number below `size` from the random bits.
fn rotate(x: vec4u, random: vec4u, size: u32) -> vec4u {
    let sum = x + (((random >> vec4u(16u)) * size) >> vec4u(16u));
    return select(sum - size, sum, sum < vec4u(size));
}

/// Returns the numbers at four positions of the permutation of the numbers below `rows`. `width` is the width of the
/// grid that contains them. A result outside of the data set is permuted again until it is a row.
fn permute(positions: vec4u, key: vec2u, rows: u32, width: u32) -> vec4u {
    let height = (rows - 1u) / width + 1u;
    var cell = positions;
    // A result that is a row stays, while the others are permuted again.
    var found = vec4u(rows);
    // rounds: 3
    loop {
        var x = cell % width;
        var y = cell / width;
        // rounds: PERMUTATION_ROUNDS / 2
        for (var round = 0u; round < PERMUTATION_ROUNDS; round += 2u) {
            x = rotate(x, mix_bits(y, round, key), width);
            y = rotate(y, mix_bits(x, round + 1u, key), height);
        }
        cell = y * width + x;
        found = select(found, cell, found >= vec4u(rows));
        if all(found < vec4u(rows)) {
            break;
        }
    }
    return found;
}
