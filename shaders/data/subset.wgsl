// The rows of an epoch with one subset of the data set per member. `src/data/subset.rs` is the same integer code.

@group(0) @binding(3) var<storage, read> subsets: array<SubsetParams>;

/// `SubsetParams` in `src/data/subset.rs`.
struct SubsetParams {
    /// The number of rows of the subset, and the width of the grid for their permutation in an epoch.
    rows: u32,
    width: u32,
    /// The first position to skip, and the number of skipped positions.
    skip_from: u32,
    skip_count: u32,
    /// 0 for contiguous rows, 1 for permuted rows, 2 for rows drawn with replacement.
    mode: u32,
    /// The number of rows from which the subset is taken, and the width of their grid.
    source_rows: u32,
    source_width: u32,
    /// The index of the first row, which is added last.
    first_row: u32,
    key: vec2u,
}

/// Returns the number of rows per epoch of a member.
fn row_count(member: u32) -> u32 {
    return subsets[member].rows;
}

/// Returns the indices in the data set of the rows at four positions of an epoch.
fn row_at(positions: vec4u, key: vec2u, member: u32) -> vec4u {
    let s = subsets[member];
    var indices = positions;
    if SHUFFLE {
        indices = permute(positions, key, s.rows, s.width);
    }
    indices += select(vec4u(), vec4u(s.skip_count), indices >= vec4u(s.skip_from));
    if s.mode == 1u {
        indices = permute(indices, s.key, s.source_rows, s.source_width);
    } else if s.mode == 2u {
        indices = draw_with_replacement(indices, s);
    }
    return s.first_row + indices;
}

/// Returns one random row for each of four positions. Two random numbers are a cell of the grid; a cell outside of the
/// data set is drawn again.
fn draw_with_replacement(positions: vec4u, s: SubsetParams) -> vec4u {
    let height = (s.source_rows - 1u) / s.source_width + 1u;
    var found = vec4u(s.source_rows);
    // rounds: 128
    for (var round = 0u; round < 256u && any(found >= vec4u(s.source_rows)); round += 2u) {
        let x = ((mix_bits(positions, round, s.key) >> vec4u(16u)) * s.source_width) >> vec4u(16u);
        let y = ((mix_bits(positions, round + 1u, s.key) >> vec4u(16u)) * height) >> vec4u(16u);
        found = select(found, y * s.source_width + x, found >= vec4u(s.source_rows));
    }
    return found;
}
