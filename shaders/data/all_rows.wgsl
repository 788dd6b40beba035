// The rows of an epoch without a subset: all rows of the data set, shuffled or in order.

/// Returns the number of rows per epoch of a member.
fn row_count(member: u32) -> u32 {
    return DATASET_ROWS;
}

/// Returns the indices in the data set of the rows at four positions of an epoch.
fn row_at(positions: vec4u, key: vec2u, member: u32) -> vec4u {
    var indices = positions;
    if SHUFFLE {
        indices = permute(positions, key, DATASET_ROWS, GRID_WIDTH);
    }
    return indices;
}
