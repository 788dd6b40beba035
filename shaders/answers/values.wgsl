// Answers that are the expected outputs themselves, padded to whole vec4s.

fn answer(row: u32, column: u32) -> vec4f {
    let at = 4u * (row * OUTPUT_STRIDE + column);
    return bitcast<vec4f>(vec4u(answers[at], answers[at + 1u], answers[at + 2u], answers[at + 3u]));
}
