//! The linker: joins WGSL files into one module and prints what ties them together, which is nothing but constants, one
//! `switch` per family, and the calls of a walk, one a line. Module-scope names of WGSL may come in any order, so joining is linking.
//!
//! WGSL has no generic functions. What a file says below the line [`GENERIC`] is meant for each product of a kernel: it is
//! repeated, and `product_` becomes the product's own name. One function for all products that chooses by a number
//! would be folded by the driver as well, but not before it has copied every choice everywhere: a step of two layers
//! took llvmpipe 9 s to compile.

use std::{fmt::Write, ops::RangeInclusive};

use super::{
    arenas::{Arenas, LayerPlace, Members},
    product::{Finish, Product},
};
use crate::{Activation, Loss, Optimizer, dropout::Dropout, norm};

/// Whether a line belongs to what is linked: one that ends in `// weighted` is there for rows with weights alone, one in
/// `// labels` for outputs that are a label each, one in
/// `// noisy` for inputs with noise, one in `// scaled` for those that are scaled, one in `// laid down` where the next
/// product does not find in workgroup memory what it takes in. Networks without do not pay for them, nor know of them.
fn belongs(line: &str, arenas: &Arenas, members: &Members, parts: &Parts<'_>) -> bool {
    let line = line.trim_end();
    let kinds = [
        ("// weighted", arenas.weight.is_some()),
        ("// labels", members.labels),
        ("// noisy", members.noise > 0.0),
        ("// scaled", members.is_scaled),
        ("// laid down", !parts.pieces.contains(&shader!("entry/fused"))),
    ];
    kinds.into_iter().all(|(end, is_there)| is_there || !line.ends_with(end))
}

/// What is linked for a file: its text. Tests may put another in its place.
#[cfg(not(test))]
pub(super) const fn text_of(piece: &str) -> std::borrow::Cow<'_, str> {
    std::borrow::Cow::Borrowed(piece)
}
#[cfg(test)]
pub(super) use super::mutant::text_of;

/// Below this line a file is for each product of a kernel.
const GENERIC: &str = "// For each product of a kernel:\n";

/// What a kernel is linked from, beside the network's members.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Its own constants.
    pub(super) constants: Vec<(&'static str, usize)>,
    /// Its products, each with the name it has there and with what becomes of it.
    pub(super) products: Vec<(&'static str, Product, Finish)>,
    /// The first workgroup of each layer, or the first block of its weights.
    pub(super) firsts: Vec<usize>,
    /// Functions of calls with one layer after the other.
    pub(super) walk: String,
    /// How many invocations share the sums of an output, for each layer and product; 1 if not given.
    pub(super) splits: Vec<[usize; 3]>,
    pub(super) pieces: Vec<&'a str>,
    /// Whether it is for a prediction, which keeps nothing for the way back.
    pub(super) predicts: bool,
    /// The layers that the kernel looks at, if it does not look at all of them.
    pub(super) looks_at: Option<RangeInclusive<usize>>,
}

/// The most layers whose calls a walk writes out one after the other, with the layer's number as a constant: a driver folds all
/// that depends on it. It copies the products into every call first, so that the time to compile grows faster than the number
/// of layers (4 layers of width 16 took llvmpipe 13 s). Deeper networks are walked through in loops.
pub(super) const UNROLLED: usize = 3;

/// The most layers among which the function `layer` chooses by a `switch`, which a driver copies into every call. Where there are
/// more it looks into a table, or the time to compile would grow with the square of the number of layers (9 layers of width 4
/// took llvmpipe 16 s). In the loops of a walk a table is faster from the first layer on.
const LISTED: usize = 6;

/// Whether the function `layer` looks into a table.
fn has_table(arenas: &Arenas, parts: &Parts<'_>) -> bool {
    let is_walk = parts.pieces.contains(&shader!("entry/walk"));
    arenas.layers.len() > if is_walk { UNROLLED } else { LISTED }
}

/// The layers whose descriptions a kernel contains. In a deep network a kernel of few layers has those alone, or all kernels of a
/// plan together would grow with the square of the number of layers.
fn looks_at(arenas: &Arenas, parts: &Parts<'_>) -> RangeInclusive<usize> {
    parts.looks_at.clone().filter(|_| has_table(arenas, parts)).unwrap_or(0..=arenas.layers.len() - 1)
}

/// The function `layer`: what the kernels know of each layer.
fn layers(arenas: &Arenas, parts: &Parts<'_>, looks_at: &RangeInclusive<usize>) -> String {
    let layer = |(i, l): (usize, &LayerPlace)| {
        let numbers = [
            l.place.inputs,
            l.place.outputs,
            l.input,
            l.input_stride,
            l.input_slot,
            l.output,
            l.output_stride,
            l.output_slot,
            l.place.offset / 4,
            l.delta,
            l.place.vectors,
            parts.firsts.get(i).copied().unwrap_or(0),
        ];
        let [x, y, z] = parts.splits.get(i).copied().unwrap_or([1; 3]);
        format!("Layer({}, vec3u({x}u, {y}u, {z}u))", numbers.map(|n| format!("{n}u")).join(", "))
    };
    let all = arenas.layers.iter().enumerate();
    if !has_table(arenas, parts) {
        return switch("layer(l: u32) -> Layer", all.map(layer));
    }
    let first = *looks_at.start();
    let rows: Vec<_> = all.filter(|(i, _)| looks_at.contains(i)).map(layer).collect();
    let count = rows.len();
    format!(
        "var<private> layer_table: array<Layer, {count}> = array<Layer, {count}>(\n    {});\n\
         fn layer(l: u32) -> Layer {{\n    return layer_table[l - {first}u];\n}}\n",
        rows.join(",\n    ")
    )
}

/// One module, in front of it what the network's arenas and members make of it.
pub(super) fn link(arenas: &Arenas, members: &Members, parts: &Parts<'_>) -> String {
    let mut text = constants(arenas, members, &parts.constants);
    let looks_at = looks_at(arenas, parts);
    text += &layers(arenas, parts, &looks_at);
    let of_layers =
        |signature: &str, bodies: &mut dyn Iterator<Item = String>| switch_of_layers(signature, bodies, &looks_at);
    let activations = || members.activations.iter();
    let of = |a: &Activation, what: &str, by: &str| match a.parameter() {
        // The loss takes the sums.
        _ if *a == Activation::Softmax => format!("identity{what}({by})"),
        // It is learned where it is used; here it only has to be valid.
        Some(number) if a.is_learned() => format!("{}{what}({by}, vec4f({:?}f))", a.name(), number as f32),
        Some(number) => format!("{}{what}({by}, {:?}f)", a.name(), number as f32),
        None => format!("{}{what}({by})", a.name()),
    };
    text += &of_layers("activate(l: u32, z: vec4f) -> vec4f", &mut activations().map(|a| of(a, "", "z")));
    let gradient = |a: &Activation| of(a, "_gradient", if a.slope_is_by_value() { "a" } else { "z" });
    text += &of_layers("activate_gradient(l: u32, z: vec4f, a: vec4f) -> vec4f", &mut activations().map(gradient));
    let alias = |signature: &str, body: String| switch(signature, std::iter::once(body));
    for (function, end) in [("loss", ""), ("loss_gradient", "_gradient")] {
        let body = match (members.loss, members.loss.parameter()) {
            (Loss::Custom(custom), _) => format!("{}{end}(y, t)", custom.name()),
            (loss, Some(number)) => format!("{}{end}(y, t, normalizer, {:?}f)", loss.name(), number as f32),
            (loss, None) => format!("{}{end}(y, t, normalizer)", loss.name()),
        };
        text += &alias(&format!("{function}(y: vec4f, t: vec4f, normalizer: vec3f) -> vec4f"), body);
    }
    let mut used: Vec<_> = activations().flat_map(|a| a.wgsl()).chain(members.loss.wgsl()).copied().collect();
    if parts.pieces.contains(&shader!("step")) {
        // Where the value does not tell the slope, it lies in the delta's place.
        let slope = |(l, a): (usize, &Activation)| {
            if members.keeps_slope(l) { "deltas[kept]".to_owned() } else { gradient(a) }
        };
        text += &of_layers("slope_of(l: u32, a: vec4f, kept: u32) -> vec4f", &mut activations().enumerate().map(slope));
        let (kinds, update, pieces) = update(&members.optimizer);
        text += &kinds;
        text += &alias("optimize(p: vec4f, g: vec4f, i: u32, reach: f32, step: Step) -> vec4f", update);
        used.extend(pieces);
    }
    text += &parts.walk;
    // What makes the table of steps knows no rows.
    if arenas.weight.is_some() && !parts.pieces.contains(&shader!("steps")) {
        used.push(shader!("weight"));
    }
    if parts.pieces.contains(&shader!("noise")) {
        used.extend([shader!("math/circle"), shader!("math/log_one_plus")]);
    }
    used.extend(parts.products.iter().flat_map(|(_, product, finish)| [product.wgsl(), finish.wgsl()]));
    let finishes = |finish: Finish| parts.products.iter().any(|(_, _, other)| *other == finish);
    if finishes(Finish::Accumulate) {
        used.push(shader!("whole"));
    }
    let is_between = parts.pieces.contains(&shader!("norm/vectors"));
    if arenas.has_vectors() && parts.pieces.contains(&shader!("step")) {
        text += &vectors(arenas, members, &looks_at);
        let _ = writeln!(text, "const TRAINS: bool = {};", !parts.predicts);
        used.push(shader!("norm/places"));
    }
    if is_between {
        let drops = parts.constants.iter().any(|(name, layer)| *name == "LAYER" && members.drops(*layer));
        let body = if drops { "kept_share(LAYER, i, column)" } else { "vec4f(1.0)" };
        text += &alias("share_of(i: u32, column: u32) -> vec4f", body.to_owned());
    }
    if finishes(Finish::ForwardDropout) || (is_between && text.contains("kept_share(")) {
        used.push(shader!("dropout"));
        text += &of_layers(
            "dropout(l: u32) -> Dropout",
            &mut members.dropouts.iter().zip(&arenas.layers).map(|(share, layer)| {
                let (Dropout { below, scale }, first) = (Dropout::of(*share), 4 * layer.delta / arenas.batch);
                if members.has_dropouts && *share > 0.0 {
                    return format!("Dropout(current.below, current.kept, {first}u)");
                }
                format!("Dropout({below}u, {scale:?}f, {first}u)")
            }),
        );
    }
    used.sort_unstable();
    used.dedup();
    for piece in used.iter().chain(&[shader!("table")]).chain(&parts.pieces) {
        let piece: String =
            text_of(piece).split_inclusive('\n').filter(|line| belongs(line, arenas, members, parts)).collect();
        let (once, each) = piece.split_once(GENERIC).unwrap_or((&piece, ""));
        text += "\n";
        text += once;
        for (name, product, finish) in parts.products.iter().filter(|_| !each.is_empty()) {
            text += &each
                .replace("product_left(", &format!("{}_left(", product.name()))
                .replace("product_right(", &format!("{}_right(", product.name()))
                .replace("product_place(", &format!("{}_place(", product.name()))
                .replace("product_finish(", &format!("{}_finish(", finish.name()))
                .replace("product_", &format!("{name}_"));
        }
    }
    text
}

fn constants(arenas: &Arenas, members: &Members, own: &[(&'static str, usize)]) -> String {
    let mut text = String::new();
    let numbers = [
        ("MODELS", arenas.models),
        ("BATCH", arenas.batch),
        ("WINDOW", arenas.window),
        ("RING", arenas.ring),
        ("LAYERS", arenas.layers.len()),
        ("PARAMETERS", arenas.parameters),
        ("PLANE", arenas.models * arenas.parameters),
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
    let weight = arenas.weight.map(|weight| ("WEIGHT", weight));
    for (name, value) in numbers.iter().chain(&weight).chain(own) {
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    if let Some(kept) = arenas.kept {
        let accumulated = members.accumulate;
        let _ = writeln!(text, "const KEPT: u32 = {kept}u;\nconst NORMS: u32 = {}u;", arenas.norms());
        let _ = writeln!(text, "const ACCUMULATED: f32 = {accumulated}.0;");
        let _ = writeln!(text, "const CLIPS: bool = {};", members.optimizer.clip_norm.is_some());
    }
    for (name, value) in [
        ("SHUFFLE", members.shuffle),
        ("LOSS_GRADIENT_IS_BY_Z", members.loss.output_activation().is_some()),
        ("LOSS_NEEDS_NORMALIZER", members.loss.looks_at_the_row()),
    ] {
        let _ = writeln!(text, "const {name}: bool = {value};");
    }
    for (name, value) in [
        ("SCALE", members.scale),
        ("THRESHOLD", members.loss.threshold()),
        ("BIAS_REACH", f32::from(u8::from(members.optimizer.penalizes_biases))),
    ]
    .into_iter()
    .chain((members.noise > 0.0).then_some(("NOISE", members.noise)))
    {
        let _ = writeln!(text, "const {name}: f32 = {value:?}f;");
    }
    text
}

/// Where the vectors behind the weights lie, and what a norm keeps.
fn vectors(arenas: &Arenas, members: &Members, looks_at: &RangeInclusive<usize>) -> String {
    let normed = arenas.layers.iter().map(|l| format!("{}u", l.normed.unwrap_or(0)));
    let mut text = switch_of_layers("normed_place(l: u32) -> u32", normed, looks_at);
    let planes = members.optimizer.planes() * arenas.models * arenas.parameters;
    for (name, value) in [("RUNNING", planes), ("STATISTICS", arenas.statistics)] {
        let _ = writeln!(text, "const {name}: u32 = {value}u;");
    }
    for (name, value) in [("EPSILON", norm::EPSILON), ("RUNNING_MOMENTUM", norm::MOMENTUM)] {
        let _ = writeln!(text, "const {name}: f32 = {:?}f;", value as f32);
    }
    text
}

/// What tells the kinds of the optimizer apart, the call of its functions around each other, and their files.
fn update(optimizer: &Optimizer) -> (String, String, Vec<&'static str>) {
    let rule = optimizer.rule;
    let mut kinds = String::new();
    for (name, value) in rule.kinds() {
        let _ = writeln!(kinds, "const {name}: bool = {value};");
    }
    for (index, name) in rule.coefficient_names().iter().enumerate() {
        let _ = writeln!(kinds, "const {}_{name}: u32 = {index}u;", rule.name().to_uppercase());
    }
    let (mut p, mut g) = ("p".to_owned(), "g".to_owned());
    let mut pieces = rule.wgsl().to_vec();
    if optimizer.clip_value.is_some() {
        g = format!("clipped({g}, step)");
        pieces.push(shader!("optimizer/clip"));
    }
    if optimizer.penalizes() {
        let _ = writeln!(kinds, "const DECOUPLED: bool = {};", optimizer.decoupled);
        g = format!("penalized({g}, {p}, reach, step)");
        p = format!("decayed({p}, reach, step)");
        pieces.push(shader!("optimizer/penalty"));
    }
    let mut new = format!("{}({p}, {g}, i, step)", rule.name());
    if optimizer.average.is_some() {
        let _ = writeln!(kinds, "const AVERAGE: u32 = {}u;", rule.planes());
        new = format!("averaged({new}, i, step)");
        pieces.push(shader!("optimizer/average"));
    }
    (kinds, new, pieces)
}

/// [`switch`] over the layers, of which a kernel asks only for those that it looks at.
fn switch_of_layers(signature: &str, bodies: impl Iterator<Item = String>, looks_at: &RangeInclusive<usize>) -> String {
    let bodies: Vec<_> = bodies.collect();
    let seen = |l: usize| if looks_at.contains(&l) { l } else { *looks_at.end() };
    switch(signature, (0..bodies.len()).map(|l| bodies[seen(l)].clone()))
}

/// A function of the number `l` that returns one of `bodies`; with a constant `l` the driver folds it. Each body is written once,
/// however many numbers have it.
pub(super) fn switch(signature: &str, bodies: impl Iterator<Item = String>) -> String {
    let mut cases: Vec<(String, Vec<String>)> = Vec::new();
    let mut last = String::new();
    for (number, body) in bodies.enumerate() {
        match cases.iter_mut().find(|(other, _)| *other == body) {
            Some((_, numbers)) => numbers.push(format!("{number}u")),
            None => cases.push((body.clone(), vec![format!("{number}u")])),
        }
        last = body;
    }
    cases.retain(|(body, _)| *body != last);
    let mut text = format!("fn {signature} {{\n");
    if cases.is_empty() {
        // Without a choice the driver has nothing to fold.
        return text + &format!("    return {last};\n}}\n");
    }
    text += "    switch l {\n";
    for (body, numbers) in cases {
        let _ = writeln!(text, "        case {}: {{ return {body}; }}", numbers.join(", "));
    }
    let _ = writeln!(text, "        default: {{ return {last}; }}\n    }}");
    text + "}\n"
}
