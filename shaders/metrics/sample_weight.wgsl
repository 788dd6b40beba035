// The weight of a row: its loss and its delta are multiplied by it. `gather` stores it SAMPLE_WEIGHT vec4s behind the row's expected
// outputs, if the rows have weights.

/// The weight of the row whose expected outputs start at `t`; 1 if the rows have no weights.
fn sample_weight(t: u32) -> f32 {
    var weight = 1.0;
    if HAS_SAMPLE_WEIGHTS {
        weight = activations[t + SAMPLE_WEIGHT].x;
    }
    return weight;
}
