// Every row of the data set, in the order of the epoch.

fn rows_of(model: u32) -> u32 {
    return DATA_ROWS;
}

fn row_at(place: u32, key: vec2u, model: u32) -> u32 {
    var at = place;
    if SHUFFLE {
        at = permuted(place, key, DATA_ROWS, ORDER_WIDTH);
    }
    return at;
}
