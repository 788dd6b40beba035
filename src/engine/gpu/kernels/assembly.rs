//! The text of a kernel: concatenated WGSL files, and in front of them what is generated. That is constants, one `switch` for
//! each function that depends on the layer, and the calls of a step. Names at module scope may stand in any order.

use std::{fmt::Write, ops::RangeInclusive};

use crate::{
    engine::gpu::{
        kernels::kernel_source::{BindingSet, KernelSource, MatmulInstance, Piece, instantiate, source_of},
        layout::{
            arenas::{Arenas, KernelConfig},
            matmul::Epilogue,
        },
    },
    nn::{activation::Activation, dropout::Dropout, loss::Loss},
};

/// A kernel's text while it is made.
pub(crate) struct Assembly<'a> {
    arenas: &'a Arenas,
    config: &'a KernelConfig,
    source: &'a KernelSource,
    /// The layers that the kernel describes.
    layers: RangeInclusive<usize>,
    text: String,
    /// Each file once.
    pieces: Vec<Piece>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(arenas: &'a Arenas, config: &'a KernelConfig, source: &'a KernelSource) -> Self {
        let layers = source.described_layers(arenas.layers.len());
        Self { arenas, config, source, layers, text: String::new(), pieces: Vec::new() }
    }

    /// Makes all of it.
    pub(crate) fn text(mut self) -> String {
        self.counts();
        self.flags();
        self.numbers();
        self.layer();
        self.activations();
        self.loss();
        match self.source.bindings {
            BindingSet::Step => {
                self.derivatives();
                self.update();
                self.vector_offsets();
                self.dropout_factors();
                self.add(Piece::Shared(shader!("metrics/sample_weight")));
            }
            BindingSet::Window => self.add(Piece::Shared(shader!("metrics/sample_weight"))),
            // A table of steps knows no rows.
            BindingSet::StepTable => {}
        }
        self.text += &self.source.calls;
        for MatmulInstance { matmul, .. } in &self.source.matmuls {
            self.add_all(&[matmul.kind.wgsl(), matmul.epilogue.wgsl()]);
        }
        if self.source.has_epilogue(Epilogue::Accumulate) {
            self.add(Piece::Shared(shader!("step/full_gradients")));
        }
        self.add(Piece::Shared(shader!("step/layout")));
        for piece in &self.source.pieces {
            self.add(*piece);
        }
        self.add(Piece::Shared(self.source.bindings.wgsl()));
        self.join();
        self.text
    }

    fn add(&mut self, piece: Piece) {
        if !self.pieces.contains(&piece) {
            self.pieces.push(piece);
        }
    }

    fn add_all(&mut self, files: &[&'static str]) {
        for file in files {
            self.add(Piece::Shared(file));
        }
    }

    /// Appends the files.
    fn join(&mut self) {
        for piece in &self.pieces {
            self.text += "\n";
            match piece {
                Piece::Shared(file) => self.text += &source_of(file),
                Piece::PerMatmul(file) => {
                    let template = source_of(file);
                    for matmul in &self.source.matmuls {
                        self.text += &instantiate(&template, matmul);
                    }
                }
            }
        }
    }

    fn count(&mut self, name: &str, value: usize) {
        let _ = writeln!(self.text, "const {name}: u32 = {value}u;");
    }

    fn flag(&mut self, name: &str, value: bool) {
        let _ = writeln!(self.text, "const {name}: bool = {value};");
    }

    fn number(&mut self, name: &str, value: f32) {
        let _ = writeln!(self.text, "const {name}: f32 = {value:?}f;");
    }

    fn counts(&mut self) {
        let (arenas, rows) = (self.arenas, self.config.dataset_rows);
        let counts = [
            ("MEMBERS", arenas.member_count),
            ("BATCH", arenas.padded_batch),
            ("WINDOW", arenas.window_steps),
            ("METRICS_RING", arenas.metrics_ring),
            ("LAYERS", arenas.layers.len()),
            ("PARAMETERS", arenas.parameters),
            ("STATE_STRIDE", arenas.member_count * arenas.parameters),
            ("ACTIVATIONS", arenas.activations),
            ("DELTAS", arenas.deltas),
            ("SLOT_STRIDE", arenas.slot_stride),
            ("TARGET", arenas.target_offset),
            ("SAMPLE_WEIGHT", arenas.sample_weight_offset.unwrap_or(0)),
            ("OUTPUT", arenas.output_offset),
            ("INPUT_STRIDE", arenas.input_stride()),
            ("OUTPUT_STRIDE", arenas.output_stride()),
            ("OUTPUTS", arenas.outputs()),
            ("METRICS_WORKGROUPS", arenas.metrics_workgroups_per_step()),
            ("DATASET_ROWS", rows),
            ("GRID_WIDTH", crate::data::permutation::grid_width(rows as u32) as usize),
            ("PERMUTATION_ROUNDS", crate::data::permutation::ROUNDS as usize),
        ];
        for (name, value) in counts.iter().chain(&self.source.constants) {
            self.count(name, *value);
        }
        if let Some(kept) = arenas.full_gradients {
            self.full_gradient_constants(
                kept,
                arenas.gradient_norm_workgroups(),
                self.config.gradient_accumulation as f32,
            );
        } else if self.source.pre_activation_layer.is_some() {
            // The kernel reaches nothing of a kept gradient, but its files have to be valid.
            self.full_gradient_constants(0, 1, 1.0);
        }
    }

    /// The constants of `shaders/step/full_gradients.wgsl`.
    fn full_gradient_constants(&mut self, kept: usize, norms: usize, accumulated: f32) {
        self.count("FULL_GRADIENTS", kept);
        self.count("NORM_WORKGROUPS", norms);
        self.number("ACCUMULATED_BATCHES", accumulated);
        self.flag("CLIPS_NORM", self.arenas.full_gradients.is_some() && self.config.optimizer.clip_norm.is_some());
    }

    fn flags(&mut self) {
        let (members, source) = (self.config, self.source);
        for (name, value) in &source.flags {
            self.flag(name, *value);
        }
        self.flag("SHUFFLE", members.shuffle);
        self.flag("HAS_SAMPLE_WEIGHTS", self.arenas.sample_weight_offset.is_some());
        self.flag("HAS_LABELS", members.is_multi_label);
        self.flag("STORES_DELTAS", source.stores_deltas);
        self.flag("LOSS_DERIVATIVE_IS_BY_Z", members.loss.required_output_activation().is_some());
        self.flag("LOSS_NEEDS_FULL_ROW", members.loss.needs_full_row());
    }

    fn numbers(&mut self) {
        let members = self.config;
        self.number("BYTE_SCALE", members.byte_scale);
        self.number("NOISE_STD", members.input_noise_std);
        self.number("DECISION_THRESHOLD", members.loss.decision_threshold());
        self.number("BIAS_PENALTY_MASK", if members.optimizer.regularize_biases { 1.0 } else { 0.0 });
    }

    /// The function `layer`: what the kernels know of each layer.
    fn layer(&mut self) {
        let all: Vec<String> = (0..self.arenas.layers.len()).map(|number| self.layer_value(number)).collect();
        if !self.source.has_layer_table(all.len()) {
            self.text += &switch("layer(l: u32) -> Layer", &all);
            return;
        }
        let rows = &all[self.layers.clone()];
        let (first, count, rows) = (self.layers.start(), rows.len(), rows.join(",\n    "));
        let _ = write!(
            self.text,
            "var<private> layer_table: array<Layer, {count}> = array<Layer, {count}>(\n    {rows});\n\
             fn layer(l: u32) -> Layer {{\n    return layer_table[l - {first}u];\n}}\n"
        );
    }

    fn layer_value(&self, number: usize) -> String {
        let l = &self.arenas.layers[number];
        let first = self.source.first_workgroups.get(number).copied().unwrap_or(0);
        let [x, y, z] = self.source.sliced_k.get(number).copied().unwrap_or([1; 3]);
        let numbers = [
            l.layout.inputs,
            l.layout.outputs,
            l.input_offset,
            l.input_stride,
            l.input_slot_stride,
            l.output_offset,
            l.output_stride,
            l.output_slot_stride,
            l.layout.offset / 4,
            l.delta_offset,
            l.layout.vector_rows,
            first,
        ];
        format!("Layer({}, vec3u({x}u, {y}u, {z}u))", numbers.map(|n| format!("{n}u")).join(", "))
    }

    /// A function of the layer's number `l`. The kernel calls it only for the layers that it describes.
    fn layer_switch(&mut self, signature: &str, bodies: &[String]) {
        let last = *self.layers.end();
        let seen: Vec<String> = (0..bodies.len())
            .map(|l| if self.layers.contains(&l) { bodies[l].clone() } else { bodies[last].clone() })
            .collect();
        self.text += &switch(signature, &seen);
    }

    fn activations(&mut self) {
        let activations = &self.config.activations;
        let values: Vec<String> = activations.iter().map(|a| call_text(a, "", "z")).collect();
        let slopes: Vec<String> = activations.iter().map(derivative_call).collect();
        self.layer_switch("activate(l: u32, z: vec4f) -> vec4f", &values);
        self.layer_switch("activate_derivative(l: u32, z: vec4f, a: vec4f) -> vec4f", &slopes);
        for activation in activations {
            self.add_all(activation.wgsl());
        }
    }

    fn loss(&mut self) {
        let loss = self.config.loss;
        for (function, end) in [("loss", ""), ("loss_derivative", "_derivative")] {
            let body = match (loss, loss.parameter()) {
                (Loss::Custom(custom), _) => format!("{}{end}(y, t)", custom.name()),
                (loss, Some(number)) => format!("{}{end}(y, t, softmax_terms, {:?}f)", loss.name(), number as f32),
                (loss, None) => format!("{}{end}(y, t, softmax_terms)", loss.name()),
            };
            self.text +=
                &function_text(&format!("{function}(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f"), &body);
        }
        self.add_all(loss.wgsl());
    }

    /// The slope of an activation on the way back, from its value `a`. Where the value does not tell the slope, the slope was
    /// stored in the place of the delta.
    fn derivatives(&mut self) {
        let activations = self.config.activations.iter().enumerate();
        let slopes: Vec<String> = activations
            .map(
                |(l, a)| {
                    if self.config.stores_derivative(l) { "deltas[stored]".to_owned() } else { derivative_call(a) }
                },
            )
            .collect();
        self.layer_switch("backward_derivative(l: u32, a: vec4f, stored: u32) -> vec4f", &slopes);
    }

    /// The function `optimize`: the rule, and around it what changes the gradient or the parameter.
    fn update(&mut self) {
        let optimizer = &self.config.optimizer;
        let rule = optimizer.rule;
        for (name, value) in rule.kernel_flags() {
            self.flag(name, *value);
        }
        for (index, name) in rule.coefficient_names().iter().enumerate() {
            self.count(&format!("{}_{name}", rule.name().to_uppercase()), index);
        }
        self.add_all(rule.wgsl());
        let mut parameter = "p".to_owned();
        let mut gradient = "g".to_owned();
        if optimizer.clip_value.is_some() {
            gradient = format!("clip_by_value({gradient}, step)");
            self.add(Piece::Shared(shader!("optimizer/clip_value")));
        }
        if optimizer.has_penalties() {
            self.flag("DECOUPLED", optimizer.decoupled_weight_decay);
            gradient = format!("add_penalty({gradient}, {parameter}, penalty_mask, step)");
            parameter = format!("apply_decay({parameter}, penalty_mask, step)");
            self.add(Piece::Shared(shader!("optimizer/penalty")));
        }
        let mut new = format!("{}({parameter}, {gradient}, i, step)", rule.name());
        if optimizer.ema_decay.is_some() {
            self.count("EMA_STATE", rule.state_per_parameter());
            new = format!("ema({new}, i, step)");
            self.add(Piece::Shared(shader!("optimizer/ema")));
        }
        self.text +=
            &function_text("optimize(p: vec4f, g: vec4f, i: u32, penalty_mask: f32, step: Step) -> vec4f", &new);
    }

    /// Where the vectors behind the weights lie, and what a norm keeps.
    fn vector_offsets(&mut self) {
        let (arenas, members) = (self.arenas, self.config);
        if !arenas.has_per_neuron_parameters() {
            return;
        }
        let places: Vec<String> =
            arenas.layers.iter().map(|l| format!("{}u", l.normalized_offset.unwrap_or(0))).collect();
        self.layer_switch("layer_normalized_offset(l: u32) -> u32", &places);
        self.count("RUNNING_STATS", members.optimizer.state_per_parameter() * arenas.member_count * arenas.parameters);
        self.count("RUNNING_STATS_STRIDE", arenas.statistics);
        self.number("EPSILON", crate::nn::normalization::EPSILON as f32);
        self.number("RUNNING_MOMENTUM", crate::nn::normalization::MOMENTUM as f32);
        self.flag("IS_TRAINING", !self.source.is_prediction);
        self.add(Piece::Shared(shader!("normalization/offsets")));
    }

    /// What the outputs of a layer are multiplied by, where a share of them is dropped.
    fn dropout_factors(&mut self) {
        let drops_between = self.source.pre_activation_layer.is_some_and(|layer| self.config.has_dropout(layer));
        if self.source.pre_activation_layer.is_some() {
            let body = if drops_between { "dropout_factors(LAYER, i, column)" } else { "vec4f(1.0)" };
            self.text += &function_text("layer_dropout_factors(i: u32, column: u32) -> vec4f", body);
        }
        if !drops_between && !self.source.has_epilogue(Epilogue::ForwardDropout) {
            return;
        }
        self.add(Piece::Shared(shader!("step/dropout")));
        let mut dropouts = Vec::new();
        for (share, layer) in self.config.dropouts.iter().zip(&self.arenas.layers) {
            let Dropout { threshold: below, scale, .. } = Dropout::with_probability(*share);
            let first = 4 * layer.delta_offset / self.arenas.padded_batch;
            dropouts.push(if self.config.has_member_dropouts && *share > 0.0 {
                format!("Dropout(current_step.dropout_threshold, current_step.dropout_scale, {first}u)")
            } else {
                format!("Dropout({below}u, {scale:?}f, {first}u)")
            });
        }
        self.layer_switch("dropout(l: u32) -> Dropout", &dropouts);
    }
}

/// A call of an activation, or of what ends in `_gradient`, with its parameter.
fn call_text(activation: &Activation, end: &str, argument: &str) -> String {
    if *activation == Activation::Softmax {
        // The loss takes the sums.
        return format!("identity{end}({argument})");
    }
    let name = activation.name();
    match activation.parameter() {
        // The layer learns it. Here it only has to be valid.
        Some(number) if activation.has_parameters() => format!("{name}{end}({argument}, vec4f({:?}f))", number as f32),
        Some(number) => format!("{name}{end}({argument}, {:?}f)", number as f32),
        None => format!("{name}{end}({argument})"),
    }
}

/// A call of the derivative of an activation.
fn derivative_call(activation: &Activation) -> String {
    call_text(activation, "_derivative", if activation.derivative_from_output() { "a" } else { "z" })
}

/// A function that returns `body`.
fn function_text(signature: &str, body: &str) -> String {
    format!("fn {signature} {{\n    return {body};\n}}\n")
}

/// A function of the number `l` that returns one of `bodies`; with a constant `l` the driver folds it. Each body stands once,
/// however many numbers have it.
pub(crate) fn switch(signature: &str, bodies: &[String]) -> String {
    let Some(last) = bodies.last() else { return String::new() };
    let mut cases: Vec<(&String, Vec<String>)> = Vec::new();
    for (number, body) in bodies.iter().enumerate().filter(|(_, body)| *body != last) {
        match cases.iter_mut().find(|(other, _)| *other == body) {
            Some((_, numbers)) => numbers.push(format!("{number}u")),
            None => cases.push((body, vec![format!("{number}u")])),
        }
    }
    if cases.is_empty() {
        // Without a choice the driver has nothing to fold.
        return function_text(signature, last);
    }
    let mut text = format!("fn {signature} {{\n    switch l {{\n");
    for (body, numbers) in cases {
        let _ = writeln!(text, "        case {}: {{ return {body}; }}", numbers.join(", "));
    }
    let _ = writeln!(text, "        default: {{ return {last}; }}\n    }}\n}}");
    text
}
