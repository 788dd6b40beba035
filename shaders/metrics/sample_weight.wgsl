// The sample weight of a row, which multiplies its loss and its delta. `data/gather` stores it SAMPLE_WEIGHT vec4s
// after the targets of the row, if the rows have weights.

/// Returns the weight of the row whose targets start at offset t of `activations`; 1 if the rows have no weights.
fn sample_weight(t: u32) -> f32 {
    var weight = 1.0;
    if HAS_SAMPLE_WEIGHTS {
        weight = activations[t + SAMPLE_WEIGHT].x;
    }
    return weight;
}
