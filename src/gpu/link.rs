//! The linker: joins WGSL files into one module and prints what ties them together, which is nothing but constants and
//! one `switch` per family. Module-scope names of WGSL may come in any order, so joining is linking.

use std::fmt::Write;

use super::arenas::{Arenas, Members};

/// One module of `pieces`, in front of them what the network's arenas and members make of them.
pub(crate) fn link(arenas: &Arenas, members: &Members, layer: Option<usize>, pieces: &[&str]) -> String {
    let mut text = constants(arenas, members, layer);
    text += &switch(
        "layer(l: u32) -> Layer",
        arenas.layers.iter().map(|l| {
            let numbers = [
                l.inputs,
                l.outputs,
                l.input,
                l.input_stride,
                l.input_slot,
                l.output,
                l.output_stride,
                l.output_slot,
                l.weight,
                l.delta,
                l.first_group,
            ];
            format!("Layer({})", numbers.map(|n| format!("{n}u")).join(", "))
        }),
    );
    let activations = || members.activations.iter();
    text += &switch("activate(l: u32, z: vec4f) -> vec4f", activations().map(|a| format!("{}(z)", a.name())));
    text += &switch(
        "activate_gradient(l: u32, a: vec4f) -> vec4f",
        activations().map(|a| format!("{}_gradient(a)", a.name())),
    );
    let (loss, optimizer) = (members.loss.name(), members.optimizer.name());
    let alias = |signature: &str, body: String| switch(signature, std::iter::once(body));
    text += &alias("loss(y: vec4f, t: vec4f, normalizer: vec2f) -> vec4f", format!("{loss}(y, t, normalizer)"));
    text += &alias(
        "loss_gradient(y: vec4f, t: vec4f, normalizer: vec2f) -> vec4f",
        format!("{loss}_gradient(y, t, normalizer)"),
    );
    if pieces.contains(&shader!("step")) {
        text +=
            &alias("optimize(p: vec4f, g: vec4f, i: u32, step: Step) -> vec4f", format!("{optimizer}(p, g, i, step)"));
        text += members.optimizer.wgsl();
    }
    let mut used: Vec<_> = activations().map(|a| a.wgsl()).collect();
    used.sort_unstable();
    used.dedup();
    for piece in used.iter().chain(&[members.loss.wgsl(), shader!("table")]).chain(pieces) {
        text += "\n";
        text += piece;
    }
    text
}

fn constants(arenas: &Arenas, members: &Members, layer: Option<usize>) -> String {
    let mut text = String::new();
    let mut numbers = vec![
        ("MODELS", arenas.models),
        ("BATCH", arenas.batch),
        ("WINDOW", arenas.window),
        ("RING", arenas.ring),
        ("LAYERS", arenas.layers.len()),
        ("PARAMETERS", arenas.parameters),
        ("ACTIVATIONS", arenas.activations),
        ("DELTAS", arenas.deltas),
        ("SLOT", arenas.slot),
        ("EXPECTED", arenas.expected),
        ("OUTPUT", arenas.output),
        ("INPUT_STRIDE", arenas.input_stride()),
        ("OUTPUT_STRIDE", arenas.output_stride()),
        ("OUTPUTS", arenas.outputs()),
        ("MEASURES", arenas.measures()),
        ("DATA_ROWS", members.data_rows),
        ("ORDER_WIDTH", crate::order::width(members.data_rows as u32) as usize),
        ("ORDER_ROUNDS", crate::order::ROUNDS as usize),
    ];
    numbers.extend(layer.map(|layer| ("LAYER", layer)));
    for (name, value) in numbers {
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    for (name, value) in [
        ("SHUFFLE", members.shuffle),
        ("LOSS_GRADIENT_IS_BY_Z", members.loss.output_activation().is_some()),
        ("LOSS_NEEDS_NORMALIZER", members.loss.looks_at_the_row()),
    ] {
        let _ = writeln!(text, "const {name}: bool = {value};");
    }
    let _ = writeln!(text, "const SCALE: f32 = {:?}f;", members.scale);
    text
}

/// A function of the number `l` that returns one of `bodies`; with a constant `l` the driver folds it.
fn switch(signature: &str, bodies: impl ExactSizeIterator<Item = String>) -> String {
    let last = bodies.len() - 1;
    let mut text = format!("fn {signature} {{\n");
    if last > 0 {
        text += "    switch l {\n";
    }
    for (i, body) in bodies.enumerate() {
        let _ = match (i == last, last) {
            (true, 0) => writeln!(text, "    return {body};"),
            (true, _) => writeln!(text, "        default: {{ return {body}; }}\n    }}"),
            (false, _) => writeln!(text, "        case {i}u: {{ return {body}; }}"),
        };
    }
    text + "}\n"
}
