// Some rows of the data set, for each network its own: `src/rows.rs` is the same integer code.

@group(0) @binding(3) var<storage, read> subsets: array<SubsetParams>;

/// `SubsetParams` in `src/rows.rs`.
struct SubsetParams {
    /// How many there are, and the width of the grid in which an epoch shuffles them.
    rows: u32,
    width: u32,
    /// From this place on, so many are left out.
    skip_from: u32,
    skip_count: u32,
    /// What then becomes of a place: it stays, is permute, or is draw_with_replacement.
    mode: u32,
    /// Of how many rows it is one, and the width of their grid.
    source_rows: u32,
    source_width: u32,
    /// What is added at last.
    first_row: u32,
    key: vec2u,
}

fn row_count(member: u32) -> u32 {
    return subsets[member].rows;
}

fn row_at(places: vec4u, key: vec2u, member: u32) -> vec4u {
    let s = subsets[member];
    var at = places;
    if SHUFFLE {
        at = permute(places, key, s.rows, s.width);
    }
    at += select(vec4u(), vec4u(s.skip_count), at >= vec4u(s.skip_from));
    if s.mode == 1u {
        at = permute(at, s.key, s.source_rows, s.source_width);
    } else if s.mode == 2u {
        at = draw_with_replacement(at, s);
    }
    return s.first_row + at;
}

/// The points of the grid that two draws give each, or the next two for those that lie outside.
fn draw_with_replacement(places: vec4u, s: SubsetParams) -> vec4u {
    let height = (s.source_rows - 1u) / s.source_width + 1u;
    var found = vec4u(s.source_rows);
    // rounds: 128
    for (var round = 0u; round < 256u && any(found >= vec4u(s.source_rows)); round += 2u) {
        let x = ((mix_bits(places, round, s.key) >> vec4u(16u)) * s.source_width) >> vec4u(16u);
        let y = ((mix_bits(places, round + 1u, s.key) >> vec4u(16u)) * height) >> vec4u(16u);
        found = select(found, y * s.source_width + x, found >= vec4u(s.source_rows));
    }
    return found;
}
