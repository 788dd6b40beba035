// Some rows of the data set, for each network its own: `src/rows.rs` is the same integer code.

@group(0) @binding(3) var<storage, read> subsets: array<Subset>;

/// `Subset` in `src/rows.rs`.
struct Subset {
    /// How many there are, and the width of the grid in which an epoch shuffles them.
    rows: u32,
    width: u32,
    /// From this place on, so many are left out.
    skip_from: u32,
    skipped: u32,
    /// What then becomes of a place: it stays, is permuted, or is drawn.
    way: u32,
    /// Of how many rows it is one, and the width of their grid.
    of_rows: u32,
    of_width: u32,
    /// What is added at last.
    first: u32,
    key: vec2u,
}

fn rows_of(model: u32) -> u32 {
    return subsets[model].rows;
}

fn row_at(place: u32, key: vec2u, model: u32) -> u32 {
    let s = subsets[model];
    // A network with fewer rows than others has none at the last places of an evaluation.
    var at = min(place, s.rows - 1u);
    if SHUFFLE {
        at = permuted(place, key, s.rows, s.width);
    }
    at += select(0u, s.skipped, at >= s.skip_from);
    if s.way == 1u {
        at = permuted(at, s.key, s.of_rows, s.of_width);
    } else if s.way == 2u {
        at = drawn(at, s);
    }
    return s.first + at;
}

/// The point of the grid that two draws give, or the next two if it lies outside.
fn drawn(place: u32, s: Subset) -> u32 {
    let height = (s.of_rows - 1u) / s.of_width + 1u;
    var at = 0u;
    for (var round = 0u; round < 256u; round += 2u) {
        let x = ((mixed(place, round, s.key) >> 16u) * s.of_width) >> 16u;
        let y = ((mixed(place, round + 1u, s.key) >> 16u) * height) >> 16u;
        at = y * s.of_width + x;
        if at < s.of_rows {
            break;
        }
    }
    return at;
}
