//! The WGSL text of a kernel: generated code, then WGSL files. The generated code consists of constants, one `switch`
//! for each function that depends on the layer, and the calls of a step. WGSL allows declarations at module scope in
//! any order.

use std::{fmt::Write, ops::RangeInclusive};

use crate::{
    engine::gpu::{
        kernels::{
            kernel_source::{BindingSet, KernelSource, MatmulInstance, Piece, instantiate, source_of},
            wgsl_text::{call_text, derivative_call, function_text, switch},
        },
        layout::{arenas::Arenas, kernel_config::KernelConfig, matmul::Epilogue},
    },
    nn::{dropout::Dropout, loss::Loss},
};

/// The text of a kernel during its assembly.
pub(crate) struct Assembly<'a> {
    arenas: &'a Arenas,
    config: &'a KernelConfig,
    source: &'a KernelSource,
    /// The layers whose layout the kernel contains.
    layers: RangeInclusive<usize>,
    text: String,
    /// The WGSL files, each one once.
    pieces: Vec<Piece>,
}

impl<'a> Assembly<'a> {
    /// Starts the assembly of a kernel.
    pub(crate) fn new(arenas: &'a Arenas, config: &'a KernelConfig, source: &'a KernelSource) -> Self {
        let layers = source.described_layers(arenas.layers.len());
        Self { arenas, config, source, layers, text: String::new(), pieces: Vec::new() }
    }

    /// Returns the complete text.
    pub(crate) fn text(mut self) -> String {
        self.add_u32_constants();
        self.add_bool_constants();
        self.add_f32_constants();
        self.add_layer_function();
        self.add_activations();
        self.add_loss();
        match self.source.bindings {
            BindingSet::Step => {
                self.add_backward_derivatives();
                self.add_update();
                self.add_vector_offsets();
                self.add_dropout();
                self.add(Piece::Shared(shader!("metrics/sample_weight")));
            }
            BindingSet::Window => self.add(Piece::Shared(shader!("metrics/sample_weight"))),
            // The step table has no rows.
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
        self.append_files();
        self.text
    }

    /// Adds a file, unless it was added before.
    fn add(&mut self, piece: Piece) {
        if !self.pieces.contains(&piece) {
            self.pieces.push(piece);
        }
    }

    /// Adds files that the kernel contains once.
    fn add_all(&mut self, files: &[&'static str]) {
        for file in files {
            self.add(Piece::Shared(file));
        }
    }

    /// Appends the files, and instantiates the templates.
    fn append_files(&mut self) {
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

    /// Appends a constant of type u32.
    fn u32_constant(&mut self, name: &str, value: usize) {
        let _ = writeln!(self.text, "const {name}: u32 = {value}u;");
    }

    /// Appends a constant of type bool.
    fn bool_constant(&mut self, name: &str, value: bool) {
        let _ = writeln!(self.text, "const {name}: bool = {value};");
    }

    /// Appends a constant of type f32.
    fn f32_constant(&mut self, name: &str, value: f32) {
        let _ = writeln!(self.text, "const {name}: f32 = {value:?}f;");
    }

    /// Appends the constants of type u32.
    fn add_u32_constants(&mut self) {
        let (arenas, rows) = (self.arenas, self.config.dataset_rows);
        let constants = [
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
        for (name, value) in constants.iter().chain(&self.source.constants) {
            self.u32_constant(name, *value);
        }
        if let Some(offset) = arenas.full_gradients {
            let norm_workgroups = arenas.gradient_norm_workgroups();
            self.full_gradient_constants(offset, norm_workgroups, self.config.gradient_accumulation as f32);
        } else if self.source.pre_activation_layer.is_some() {
            // The kernel never uses full gradients, but its files must be valid.
            self.full_gradient_constants(0, 1, 1.0);
        }
    }

    /// Appends the constants of `shaders/step/full_gradients.wgsl`.
    fn full_gradient_constants(&mut self, offset: usize, norm_workgroups: usize, accumulated_batches: f32) {
        self.u32_constant("FULL_GRADIENTS", offset);
        self.u32_constant("NORM_WORKGROUPS", norm_workgroups);
        self.f32_constant("ACCUMULATED_BATCHES", accumulated_batches);
        self.bool_constant(
            "CLIPS_NORM",
            self.arenas.full_gradients.is_some() && self.config.optimizer.clip_norm.is_some(),
        );
    }

    /// Appends the constants of type bool.
    fn add_bool_constants(&mut self) {
        let (config, source) = (self.config, self.source);
        for (name, value) in &source.flags {
            self.bool_constant(name, *value);
        }
        self.bool_constant("SHUFFLE", config.shuffle);
        self.bool_constant("HAS_SAMPLE_WEIGHTS", self.arenas.sample_weight_offset.is_some());
        self.bool_constant("HAS_LABELS", config.is_multi_label);
        self.bool_constant("STORES_DELTAS", source.stores_deltas);
        self.bool_constant("LOSS_DERIVATIVE_IS_BY_Z", config.loss.required_output_activation().is_some());
        self.bool_constant("LOSS_NEEDS_FULL_ROW", config.loss.needs_full_row());
    }

    /// Appends the constants of type f32.
    fn add_f32_constants(&mut self) {
        let config = self.config;
        self.f32_constant("BYTE_SCALE", config.byte_scale);
        self.f32_constant("NOISE_STD", config.input_noise_std);
        self.f32_constant("DECISION_THRESHOLD", config.loss.decision_threshold());
        self.f32_constant("BIAS_PENALTY_MASK", if config.optimizer.regularize_biases { 1.0 } else { 0.0 });
    }

    /// Appends the function `layer`, which returns the layout of a layer.
    fn add_layer_function(&mut self) {
        let all: Vec<String> = (0..self.arenas.layers.len()).map(|layer| self.layer_value(layer)).collect();
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

    /// Returns the WGSL value of the struct `Layer` for a layer.
    fn layer_value(&self, layer: usize) -> String {
        let l = &self.arenas.layers[layer];
        let first_block = self.source.first_blocks.get(layer).copied().unwrap_or(0);
        let [x, y, z] = self.source.sliced_k.get(layer).copied().unwrap_or([1; 3]);
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
            first_block,
        ];
        format!("Layer({}, vec3u({x}u, {y}u, {z}u))", numbers.map(|n| format!("{n}u")).join(", "))
    }

    /// Appends a function of the layer number `l`. The kernel calls it only for the layers whose layout it contains, so
    /// other layers return the value of the last one of these.
    fn layer_switch(&mut self, signature: &str, bodies: &[String]) {
        let last = *self.layers.end();
        let used: Vec<String> = (0..bodies.len())
            .map(|l| if self.layers.contains(&l) { bodies[l].clone() } else { bodies[last].clone() })
            .collect();
        self.text += &switch(signature, &used);
    }

    /// Appends the functions `activate` and `activate_derivative`.
    fn add_activations(&mut self) {
        let activations = &self.config.activations;
        let values: Vec<String> = activations.iter().map(|a| call_text(a, "", "z")).collect();
        let derivatives: Vec<String> = activations.iter().map(derivative_call).collect();
        self.layer_switch("activate(l: u32, z: vec4f) -> vec4f", &values);
        self.layer_switch("activate_derivative(l: u32, z: vec4f, a: vec4f) -> vec4f", &derivatives);
        for activation in activations {
            self.add_all(activation.wgsl());
        }
    }

    /// Appends the functions `loss` and `loss_derivative`.
    fn add_loss(&mut self) {
        let loss = self.config.loss;
        for (function, suffix) in [("loss", ""), ("loss_derivative", "_derivative")] {
            let body = match (loss, loss.parameter()) {
                (Loss::Custom(custom), _) => format!("{}{suffix}(y, t)", custom.name()),
                (loss, Some(number)) => format!("{}{suffix}(y, t, softmax_terms, {:?}f)", loss.name(), number as f32),
                (loss, None) => format!("{}{suffix}(y, t, softmax_terms)", loss.name()),
            };
            self.text +=
                &function_text(&format!("{function}(y: vec4f, t: vec4f, softmax_terms: vec3f) -> vec4f"), &body);
        }
        self.add_all(loss.wgsl());
    }

    /// Appends the function `backward_derivative`: the derivative of an activation from its value `a`, or the
    /// derivative that the forward pass has stored in `deltas`.
    fn add_backward_derivatives(&mut self) {
        let activations = self.config.activations.iter().enumerate();
        let derivatives: Vec<String> = activations
            .map(
                |(l, a)| {
                    if self.config.stores_derivative(l) { "deltas[stored]".to_owned() } else { derivative_call(a) }
                },
            )
            .collect();
        self.layer_switch("backward_derivative(l: u32, a: vec4f, stored: u32) -> vec4f", &derivatives);
    }

    /// Appends the function `optimize`: the update rule, with clipping, penalties, weight decay and the EMA.
    fn add_update(&mut self) {
        let optimizer = &self.config.optimizer;
        let rule = optimizer.rule;
        for (name, value) in rule.kernel_flags() {
            self.bool_constant(name, *value);
        }
        for (index, name) in rule.coefficient_names().iter().enumerate() {
            self.u32_constant(&format!("{}_{name}", rule.name().to_uppercase()), index);
        }
        self.add_all(rule.wgsl());
        let mut parameter = "p".to_owned();
        let mut gradient = "g".to_owned();
        if optimizer.clip_value.is_some() {
            gradient = format!("clip_by_value({gradient}, step)");
            self.add(Piece::Shared(shader!("optimizer/clip_value")));
        }
        if optimizer.has_penalties() {
            self.bool_constant("DECOUPLED", optimizer.decoupled_weight_decay);
            gradient = format!("add_penalty({gradient}, {parameter}, penalty_mask, step)");
            parameter = format!("apply_decay({parameter}, penalty_mask, step)");
            self.add(Piece::Shared(shader!("optimizer/penalty")));
        }
        let mut update = format!("{}({parameter}, {gradient}, i, step)", rule.name());
        if optimizer.ema_decay.is_some() {
            self.u32_constant("EMA_STATE", rule.state_per_parameter());
            update = format!("ema({update}, i, step)");
            self.add(Piece::Shared(shader!("optimizer/ema")));
        }
        self.text +=
            &function_text("optimize(p: vec4f, g: vec4f, i: u32, penalty_mask: f32, step: Step) -> vec4f", &update);
    }

    /// Appends the offsets and constants of normalizations and PReLUs.
    fn add_vector_offsets(&mut self) {
        let (arenas, config) = (self.arenas, self.config);
        if !arenas.has_per_neuron_parameters() {
            return;
        }
        let offsets: Vec<String> =
            arenas.layers.iter().map(|l| format!("{}u", l.normalized_offset.unwrap_or(0))).collect();
        self.layer_switch("layer_normalized_offset(l: u32) -> u32", &offsets);
        self.u32_constant(
            "RUNNING_STATS",
            config.optimizer.state_per_parameter() * arenas.member_count * arenas.parameters,
        );
        self.u32_constant("RUNNING_STATS_STRIDE", arenas.statistics);
        self.f32_constant("EPSILON", crate::nn::normalization::EPSILON as f32);
        self.f32_constant("RUNNING_MOMENTUM", crate::nn::normalization::MOMENTUM as f32);
        self.bool_constant("IS_TRAINING", !self.source.is_prediction);
        self.add(Piece::Shared(shader!("normalization/offsets")));
    }

    /// Appends the dropout of each layer.
    fn add_dropout(&mut self) {
        let has_pre_activation_dropout =
            self.source.pre_activation_layer.is_some_and(|layer| self.config.has_dropout(layer));
        if self.source.pre_activation_layer.is_some() {
            let body = if has_pre_activation_dropout { "dropout_factors(LAYER, i, column)" } else { "vec4f(1.0)" };
            self.text += &function_text("layer_dropout_factors(i: u32, column: u32) -> vec4f", body);
        }
        if !has_pre_activation_dropout && !self.source.has_epilogue(Epilogue::ForwardDropout) {
            return;
        }
        self.add(Piece::Shared(shader!("step/dropout")));
        let mut dropouts = Vec::new();
        for (p, layer) in self.config.dropouts.iter().zip(&self.arenas.layers) {
            let Dropout { threshold, scale, .. } = Dropout::with_probability(*p);
            let first_neuron = 4 * layer.delta_offset / self.arenas.padded_batch;
            dropouts.push(if self.config.has_member_dropouts && *p > 0.0 {
                format!("Dropout(current_step.dropout_threshold, current_step.dropout_scale, {first_neuron}u)")
            } else {
                format!("Dropout({threshold}u, {scale:?}f, {first_neuron}u)")
            });
        }
        self.layer_switch("dropout(l: u32) -> Dropout", &dropouts);
    }
}
