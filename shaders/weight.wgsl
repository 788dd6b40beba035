// What a row weighs: so many times its loss and its delta count. `gather` puts it WEIGHT vec4s behind the row's expected
// outputs.

/// `t` is where the row's expected outputs start.
fn row_weight(t: u32) -> f32 {
    return activations[t + WEIGHT].x;
}
