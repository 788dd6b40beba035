// Every row of the data set, in the order of the epoch.

fn row_count(member: u32) -> u32 {
    return DATASET_ROWS;
}

fn row_at(places: vec4u, key: vec2u, member: u32) -> vec4u {
    var at = places;
    if SHUFFLE {
        at = permute(places, key, DATASET_ROWS, GRID_WIDTH);
    }
    return at;
}
