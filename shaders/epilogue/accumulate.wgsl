// The gradient kept whole, laid out as the parameters: that of this batch, or added to those of the batches before

fn accumulate_epilogue(p: MatmulArgs, part: u32, i: u32, j: u32, v: vec4f) {
    if i <= layer(p.layer).inputs {
        let at = full_gradients_offset(p.member) + p.c_offset + i * (p.columns / 4u) + j / 4u;
        partial_sums[at] = v + select(partial_sums[at], vec4f(), current_step.clears_gradients == 1u);
    }
}
