// Features that are numbers already, padded to whole vec4s.

fn feature(row: u32, column: u32) -> vec4f {
    let at = 4u * (row * INPUT_STRIDE + column);
    return bitcast<vec4f>(vec4u(features[at], features[at + 1u], features[at + 2u], features[at + 3u]));
}
