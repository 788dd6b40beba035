// The gradient kept whole, laid out as the parameters: that of this batch, or added to those of the batches before

fn accumulate_finish(p: Place, part: u32, i: u32, j: u32, v: vec4f) {
    if i <= layer(p.layer).inputs {
        let at = kept_at(p.model) + p.stored + i * (p.columns / 4u) + j / 4u;
        parts[at] = v + select(parts[at], vec4f(), current.clears_gradients == 1u);
    }
}
