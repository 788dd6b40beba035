//! Where everything lies on the device: one arena a role, laid out for a network, a batch size and a number of models.

use crate::{
    engine::gpu::{device::binding_limit, layout::matmul::MatmulKind},
    error::{Result, check_limit},
    nn::{
        activation::Activation,
        layout::{LayerLayout, pad_to_vec4},
        loss::Loss,
        network::Network,
        normalization::Normalization,
        tensors::TensorKind,
    },
    optim::optimizer::Optimizer,
    plan::{MatmulConfig, Scheme},
};

/// Rows that are predicted at once, and the bytes that they may take of one network and of all of them.
pub(crate) const MAX_FORWARD_ROWS: usize = 4096;

/// The members of the families that a network's kernels are linked from.
#[derive(Debug, Clone)]
pub(crate) struct KernelConfig {
    pub(crate) activations: Vec<Activation>,
    /// Whether predictions do.
    pub(crate) ends_with_softmax: bool,
    /// Of each layer's outputs, the share that is dropped.
    pub(crate) dropouts: Vec<f64>,
    pub(crate) normalizations: Vec<Option<Normalization>>,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    /// How many batches make an update.
    pub(crate) gradient_accumulation: u64,
    pub(crate) shuffle: bool,
    /// Rows of the data set, 1 where there is none.
    pub(crate) dataset_rows: usize,
    /// What a feature that is a byte is multiplied by.
    pub(crate) byte_scale: f32,
    /// The standard deviation of the noise on the features, 0 for none.
    pub(crate) input_noise_std: f32,
    /// Whether features are scaled column by column.
    pub(crate) is_scaled: bool,
    /// Whether each network has rows of its own.
    pub(crate) has_subsets: bool,
    /// Whether the rows of a step lie on the device as it takes them.
    pub(crate) is_streamed: bool,
    /// Whether each network drops a share of its own where the network drops any.
    pub(crate) has_member_dropouts: bool,
    /// Whether each output is a label, and a row is right if all of them are.
    pub(crate) is_multi_label: bool,
}

impl KernelConfig {
    /// Of a network in training without data.
    pub(crate) fn new(network: &Network, loss: Loss, optimizer: Optimizer) -> Self {
        Self {
            activations: network.layers().iter().map(|l| l.activation).collect(),
            ends_with_softmax: network.ends_with_softmax(),
            dropouts: network.layers().iter().map(|l| l.dropout).collect(),
            normalizations: network.layers().iter().map(|l| l.normalization).collect(),
            loss,
            optimizer,
            gradient_accumulation: 1,
            shuffle: true,
            dataset_rows: 1,
            byte_scale: 1.0,
            input_noise_std: 0.0,
            is_scaled: false,
            has_subsets: false,
            is_streamed: false,
            has_member_dropouts: false,
            is_multi_label: false,
        }
    }

    pub(crate) fn has_dropout(&self, layer: usize) -> bool {
        self.dropouts[layer] > 0.0
    }

    /// Whether a layer's slopes are kept on the way forward.
    pub(crate) fn stores_derivative(&self, layer: usize) -> bool {
        self.has_dropout(layer)
            || self.normalizations[layer].is_some()
            || !self.activations[layer].derivative_from_output()
    }
}

/// The layout of the arenas. Offsets, strides and lengths count `vec4`s of one network, unless they say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Arenas {
    /// How many networks of one shape train together.
    pub(crate) member_count: usize,
    /// Rows of a batch, padded to whole blocks.
    pub(crate) padded_batch: usize,
    /// How many steps' rows are gathered at once, a slot each.
    pub(crate) window_steps: usize,
    /// How many the window might have.
    pub(crate) max_window_steps: usize,
    /// How many steps' metrics are kept until they are read.
    pub(crate) metrics_ring: usize,
    /// A slot holds the inputs, the expected outputs at `expected`, and the outputs at `output`; where rows have weights,
    /// also those, as far apart as the outputs.
    pub(crate) slot_stride: usize,
    pub(crate) target_offset: usize,
    pub(crate) output_offset: usize,
    /// How far behind the expected outputs of a row its weight lies, if rows have weights.
    pub(crate) sample_weight_offset: Option<usize>,
    pub(crate) parameters: usize,
    pub(crate) activations: usize,
    pub(crate) deltas: usize,
    pub(crate) layers: Vec<LayerOffsets>,
    /// What products that are computed in parts store until they are added up, and behind it, if they are kept, the whole
    /// gradients and the parts of their norm.
    pub(crate) partial_sums: usize,
    /// Running means and variances, behind the planes of the optimizer's state.
    pub(crate) statistics: usize,
    /// Whether a walk that holds the network in registers can train it.
    pub(crate) fits_registers: bool,
    /// How many times the parameters' length lies before the whole gradients; none if they are not kept.
    pub(crate) full_gradients: Option<usize>,
}

/// How much of a network is trained, and on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArenaDims {
    /// Rows of a batch.
    pub(crate) batch_size: usize,
    /// How many networks of one shape train together.
    pub(crate) member_count: usize,
    /// How many steps' metrics are kept until they are read.
    pub(crate) metrics_ring: usize,
    /// The most bytes an arena may have.
    pub(crate) max_arena_bytes: usize,
    /// Whether gradients are kept until they are whole, and the update comes after them all.
    pub(crate) stores_full_gradients: bool,
    /// Whether rows have weights.
    pub(crate) has_sample_weights: bool,
}

/// `Layer` in `shaders/step/layout.wgsl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerOffsets {
    /// Where its parameters lie, in floats.
    pub(crate) layout: LayerLayout,
    pub(crate) input_offset: usize,
    pub(crate) input_stride: usize,
    pub(crate) input_slot_stride: usize,
    pub(crate) output_offset: usize,
    pub(crate) output_stride: usize,
    pub(crate) output_slot_stride: usize,
    pub(crate) delta_offset: usize,
    /// In `activations`, not `Layer`'s: what a norm or a learned slope keeps of the way forward, if there is one.
    pub(crate) normalized_offset: Option<usize>,
    /// Of running statistics, where its mean starts; the variance follows.
    pub(crate) running_stats_offset: Option<usize>,
}

/// How many bytes the window may take: enough for many small steps, little beside the parameters of a large network.
const MAX_WINDOW_BYTES: usize = 16 << 20;
/// The most steps a window may have.
const MAX_WINDOW_STEPS: usize = 64;
/// The same where a dispatch takes many steps, so that what surrounds it does not weigh.
const MAX_MULTI_STEP_WINDOW_STEPS: usize = 4096;
const VEC4_BYTES: usize = size_of::<[f32; 4]>();

impl Arenas {
    /// The layout for a batch, of a scheme whose dispatches take one step and store no parts of products. The window is as
    /// long as the limit lets it.
    pub(crate) fn new(network: &Network, dims: ArenaDims) -> Self {
        let ArenaDims {
            batch_size: rows,
            member_count: models,
            metrics_ring: ring,
            max_arena_bytes: limit,
            stores_full_gradients: keeps_gradients,
            has_sample_weights: weighted,
        } = dims;
        let batch = pad_to_vec4(rows);
        let vec4s = |n: usize| pad_to_vec4(n) / 4;
        let (input, output) = (batch * vec4s(network.inputs()), batch * vec4s(network.outputs()));
        let slot = input + 2 * output + if weighted { output } else { 0 };
        let hidden: usize = network.layers().iter().map(|l| batch * vec4s(l.outputs)).sum::<usize>() - output;
        let room = (limit / VEC4_BYTES / models).saturating_sub(hidden).min(MAX_WINDOW_BYTES / VEC4_BYTES / models);
        let room = (room / slot).max(1);
        let layout = network.layout();
        let mut arenas = Self {
            member_count: models,
            padded_batch: batch,
            window_steps: room.min(MAX_WINDOW_STEPS),
            max_window_steps: room,
            metrics_ring: ring,
            slot_stride: slot,
            target_offset: input,
            output_offset: input + output,
            sample_weight_offset: weighted.then_some(2 * output),
            parameters: layout.len / 4,
            activations: 0,
            deltas: 0,
            layers: Vec::with_capacity(layout.to_layers.len()),
            partial_sums: 0,
            full_gradients: None,
            statistics: layout.statistics / 4,
            fits_registers: !keeps_gradients && network.layers().iter().all(|layer| layer.dropout == 0.0),
        };
        arenas.set_layers(network);
        if keeps_gradients {
            arenas.reserve_full_gradients();
        }
        arenas
    }

    /// The same layout for the dispatches of a scheme.
    pub(crate) fn with_scheme(mut self, scheme: &Scheme) -> Self {
        // A dispatch that takes several steps must not run over the window's end.
        let (most, walk) = match scheme {
            Scheme::SingleWorkgroup { steps, .. } | Scheme::SingleInvocation { steps, .. } => {
                (MAX_MULTI_STEP_WINDOW_STEPS, *steps)
            }
            Scheme::Layered(_) | Scheme::Fused { .. } | Scheme::Cpu(_) => (MAX_WINDOW_STEPS, 1),
        };
        self.set_window((self.max_window_steps.min(most) / walk * walk).max(walk));
        self.partial_sums = self.partial_sums_len(scheme);
        if self.full_gradients.is_some() {
            self.reserve_full_gradients();
        }
        self
    }

    /// Lays out what the layers write: in `activations` the outputs of hidden layers behind the window, then what norms and
    /// learned slopes keep; and the deltas.
    fn set_layers(&mut self, network: &Network) {
        self.activations = self.window_steps * self.slot_stride;
        let layout = network.layout();
        for (i, (dense, tensors)) in network.layers().iter().zip(&layout.to_layers).enumerate() {
            let is_last = i + 1 == network.layers().len();
            let stride = tensors.layout.stride / 4;
            self.layers.push(LayerOffsets {
                layout: tensors.layout,
                input_offset: self.layers.last().map_or(0, |before| before.output_offset),
                input_stride: pad_to_vec4(dense.inputs) / 4,
                input_slot_stride: if i == 0 { self.slot_stride } else { 0 },
                output_offset: if is_last { self.output_offset } else { self.activations },
                output_stride: stride,
                output_slot_stride: if is_last { self.slot_stride } else { 0 },
                delta_offset: self.deltas,
                normalized_offset: None,
                running_stats_offset: tensors.find(TensorKind::RunningMean).map(|running| running.offset / 4),
            });
            self.activations += if is_last { 0 } else { self.padded_batch * stride };
            self.deltas += self.padded_batch * stride;
        }
        for (layer, dense) in self.layers.iter_mut().zip(network.layers()) {
            if dense.has_per_neuron_parameters() {
                // A norm's inverse deviations, a vec4 for each row or the columns', lie behind.
                layer.normalized_offset = Some(self.activations);
                self.activations +=
                    self.padded_batch * layer.output_stride + self.padded_batch.max(layer.output_stride);
            }
        }
    }

    /// Sets how many steps' rows are gathered at once, and moves what lies behind the window.
    fn set_window(&mut self, window: usize) {
        let (before, after) = (self.window_steps * self.slot_stride, window * self.slot_stride);
        let moved = |offset: usize| offset - before + after;
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            if i > 0 {
                layer.input_offset = moved(layer.input_offset);
            }
            if i < last {
                layer.output_offset = moved(layer.output_offset);
            }
            layer.normalized_offset = layer.normalized_offset.map(moved);
        }
        self.activations = moved(self.activations);
        self.window_steps = window;
    }

    /// Makes room for the whole gradients behind the parts of products.
    fn reserve_full_gradients(&mut self) {
        let before = self.partial_sums.div_ceil(self.parameters);
        self.full_gradients = Some(before);
        // Each workgroup of the norm leaves two sums of squares.
        self.partial_sums = (before + 1) * self.parameters + 2 * self.gradient_norm_workgroups();
    }

    /// Rows, columns and depth of a layer's product, all of it whole blocks.
    pub(crate) fn matmul_dims(&self, product: MatmulKind, layer: usize) -> [usize; 3] {
        let l = &self.layers[layer];
        let (inputs, outputs) = (4 * l.input_stride, 4 * l.output_stride);
        match product {
            MatmulKind::Forward => [self.padded_batch, outputs, inputs],
            MatmulKind::InputDelta => [self.padded_batch, inputs, outputs],
            MatmulKind::Gradient => [pad_to_vec4(l.layout.inputs + 1), outputs, self.padded_batch],
        }
    }

    /// The `vec4`s of a layer's product.
    pub(crate) fn matmul_vec4s(&self, product: MatmulKind, layer: usize) -> usize {
        let [rows, columns, _] = self.matmul_dims(product, layer);
        rows * columns / 4
    }

    /// Whether there is work between a layer's sum and its activation, or beside it.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(|layer| layer.normalized_offset.is_some())
    }

    /// How many workgroups of 64 share the norm of the gradients.
    pub(crate) fn gradient_norm_workgroups(&self) -> usize {
        self.parameters.div_ceil(4 * 64).clamp(1, 64)
    }

    /// The `vec4`s of what a scheme stores in parts.
    pub(crate) fn partial_sums_len(&self, scheme: &Scheme) -> usize {
        let stored = |way: &MatmulConfig, part: usize| if way.split_k > 1 { way.split_k * part } else { 0 };
        match scheme {
            Scheme::Layered(ways) => {
                let layers = |product, ways: &[MatmulConfig], first: usize| {
                    let each = ways
                        .iter()
                        .zip(first..)
                        .map(move |(way, layer)| stored(way, self.matmul_vec4s(product, layer)));
                    each.max().unwrap_or(0)
                };
                let deltas = layers(MatmulKind::Forward, &ways.forward, 0).max(layers(
                    MatmulKind::InputDelta,
                    &ways.input_delta,
                    1,
                ));
                deltas.max(stored(&ways.gradient, self.parameters))
            }
            Scheme::Fused { workgroups: groups, .. } => groups * self.parameters,
            Scheme::Cpu(_) | Scheme::SingleWorkgroup { .. } | Scheme::SingleInvocation { .. } => 0,
        }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].layout.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].layout.outputs
    }

    pub(crate) fn input_stride(&self) -> usize {
        pad_to_vec4(self.inputs()) / 4
    }

    pub(crate) fn output_stride(&self) -> usize {
        pad_to_vec4(self.outputs()) / 4
    }

    /// How many workgroups judge the rows of one step.
    pub(crate) fn metrics_workgroups_per_step(&self) -> usize {
        self.padded_batch.div_ceil(64)
    }

    /// The arenas' names and lengths in bytes, all models together.
    pub(crate) fn arena_bytes(&self, optimizer: Optimizer) -> [(&'static str, u64); 7] {
        // In 64 bits, since on the web `usize` has 32.
        let models = self.member_count as u64;
        let vec4s = |n: usize| (models * n as u64 * VEC4_BYTES as u64).max(VEC4_BYTES as u64);
        let pairs = models * (self.metrics_ring + self.window_steps * self.metrics_workgroups_per_step()) as u64;
        [
            ("parameters", vec4s(self.parameters)),
            ("optimizer state", vec4s(self.parameters * optimizer.state_per_parameter() + self.statistics)),
            ("activations", vec4s(self.activations)),
            ("deltas", vec4s(self.deltas)),
            ("parts of sums", vec4s(self.partial_sums)),
            ("rows", models * (self.window_steps * self.padded_batch * size_of::<u32>()) as u64),
            ("metrics", pairs * size_of::<[f32; 2]>() as u64),
        ]
    }

    /// Refuses what the device's limits cannot hold, before anything is allocated.
    pub(crate) fn check(&self, optimizer: Optimizer, limits: &wgpu::Limits) -> Result<()> {
        for (name, need) in self.arena_bytes(optimizer) {
            check_limit(name, "max_storage_buffer_binding_size", need, binding_limit(limits))?;
            check_limit(name, "max_buffer_size", need, limits.max_buffer_size)?;
        }
        Ok(())
    }
}
