// Every row of the data set, in the order of the epoch.

fn rows_of(model: u32) -> u32 {
    return DATA_ROWS;
}

fn row_at(places: vec4u, key: vec2u, model: u32) -> vec4u {
    var at = places;
    if SHUFFLE {
        at = permuted(places, key, DATA_ROWS, ORDER_WIDTH);
    }
    return at;
}
