// The product as it is, or a part of it: gradients laid out as the parameters for who asks for them, or what
// `tile/sum` adds up and finishes

fn store_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    parts[stored_at(p, part, i, j)] = v;
}
