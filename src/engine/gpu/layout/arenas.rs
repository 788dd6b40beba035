//! The layout of the arenas of a device, for a network, a batch size and a number of members. There is one arena per
//! role.

use crate::{
    engine::gpu::{device::binding_limit, layout::matmul::MatmulKind},
    error::{Result, check_limit},
    nn::{
        layout::{LayerLayout, pad_to_vec4},
        network::Network,
        tensors::TensorKind,
    },
    optim::optimizer::Optimizer,
    plan::{matmul::MatmulConfig, scheme::Scheme},
};

/// The maximum number of rows of a forward pass without training.
pub(crate) const MAX_FORWARD_ROWS: usize = 4096;

/// The layout of the arenas. Offsets, strides and lengths count `vec4`s of one member, unless their docs say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Arenas {
    /// The number of networks of one shape that train together.
    pub(crate) member_count: usize,
    /// The number of rows of a batch, padded to a multiple of 4.
    pub(crate) padded_batch: usize,
    /// The number of slots of the window: steps whose rows are gathered at once.
    pub(crate) window_steps: usize,
    /// The maximum number of slots that fit.
    pub(crate) max_window_steps: usize,
    /// The number of steps in the metrics ring, which holds metrics until the host reads them.
    pub(crate) metrics_ring: usize,
    /// The length of a slot. It contains the inputs, the targets, the outputs and, if rows have weights, a block of the
    /// size of the outputs with the sample weight of each row.
    pub(crate) slot_stride: usize,
    /// The offset of the targets in a slot.
    pub(crate) target_offset: usize,
    /// The offset of the outputs in a slot.
    pub(crate) output_offset: usize,
    /// The distance from the targets of a row to its sample weight, if rows have weights.
    pub(crate) sample_weight_offset: Option<usize>,
    /// The length of the parameters.
    pub(crate) parameters: usize,
    /// The length of the activations, with the window.
    pub(crate) activations: usize,
    /// The length of the deltas.
    pub(crate) deltas: usize,
    pub(crate) layers: Vec<LayerOffsets>,
    /// The length of the partial sums of split-K. In schemes with full gradients, it includes the gradients and the
    /// partial sums of their norm, which follow.
    pub(crate) partial_sums: usize,
    /// The length of the running means and variances, which follow the optimizer state.
    pub(crate) statistics: usize,
    /// Whether the single-invocation scheme supports the network: it needs no full gradients and has no dropout.
    pub(crate) fits_registers: bool,
    /// The offset of the full gradients in the partial sums, as a multiple of the length of the parameters; `None`
    /// without full gradients.
    pub(crate) full_gradients: Option<usize>,
}

/// The dimensions of the arenas, besides those of the network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArenaDims {
    /// The number of rows of a batch.
    pub(crate) batch_size: usize,
    /// The number of networks of one shape that train together.
    pub(crate) member_count: usize,
    /// The number of steps in the metrics ring, which holds metrics until the host reads them.
    pub(crate) metrics_ring: usize,
    /// The maximum size of an arena, in bytes.
    pub(crate) max_arena_bytes: usize,
    /// Whether gradients are stored complete before the update.
    pub(crate) stores_full_gradients: bool,
    /// Whether rows have sample weights.
    pub(crate) has_sample_weights: bool,
}

/// The layout of a layer. The offsets and strides are those of `Layer` in `shaders/step/layout.wgsl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerOffsets {
    /// The layout of its parameters, in f32 values.
    pub(crate) layout: LayerLayout,
    pub(crate) input_offset: usize,
    pub(crate) input_stride: usize,
    pub(crate) input_slot_stride: usize,
    pub(crate) output_offset: usize,
    pub(crate) output_stride: usize,
    pub(crate) output_slot_stride: usize,
    pub(crate) delta_offset: usize,
    /// The offset in `activations` of the values that a normalization or PReLU stores for the backward pass.
    pub(crate) normalized_offset: Option<usize>,
    /// The offset of its running mean among the running statistics; the running variance follows.
    pub(crate) running_stats_offset: Option<usize>,
}

/// The maximum size of the window in bytes: enough for many small steps, and little compared with a large network.
const MAX_WINDOW_BYTES: usize = 16 << 20;
/// The maximum number of slots of the window.
const MAX_WINDOW_STEPS: usize = 64;
/// The maximum number of slots if a dispatch runs many steps. A long window makes the time of the other dispatches
/// negligible.
const MAX_MULTI_STEP_WINDOW_STEPS: usize = 4096;
const VEC4_BYTES: usize = size_of::<[f32; 4]>();

impl Arenas {
    /// Creates the layout for a scheme with one step per dispatch and without split-K. The window is as long as the
    /// limits allow.
    pub(crate) fn new(network: &Network, dims: ArenaDims) -> Self {
        let ArenaDims {
            batch_size,
            member_count,
            metrics_ring,
            max_arena_bytes,
            stores_full_gradients,
            has_sample_weights,
        } = dims;
        let padded_batch = pad_to_vec4(batch_size);
        let vec4s = |n: usize| pad_to_vec4(n) / 4;
        let input = padded_batch * vec4s(network.inputs());
        let output = padded_batch * vec4s(network.outputs());
        let slot_stride = input + 2 * output + if has_sample_weights { output } else { 0 };
        let hidden: usize = network.layers().iter().map(|l| padded_batch * vec4s(l.outputs)).sum::<usize>() - output;
        let max_window_vec4s = (max_arena_bytes / VEC4_BYTES / member_count)
            .saturating_sub(hidden)
            .min(MAX_WINDOW_BYTES / VEC4_BYTES / member_count);
        let max_window_steps = (max_window_vec4s / slot_stride).max(1);
        let layout = network.layout();
        let mut arenas = Self {
            member_count,
            padded_batch,
            window_steps: max_window_steps.min(MAX_WINDOW_STEPS),
            max_window_steps,
            metrics_ring,
            slot_stride,
            target_offset: input,
            output_offset: input + output,
            sample_weight_offset: has_sample_weights.then_some(2 * output),
            parameters: layout.len / 4,
            activations: 0,
            deltas: 0,
            layers: Vec::with_capacity(layout.layer_tensors.len()),
            partial_sums: 0,
            full_gradients: None,
            statistics: layout.statistics / 4,
            fits_registers: !stores_full_gradients && network.layers().iter().all(|layer| layer.dropout == 0.0),
        };
        arenas.set_layers(network);
        if stores_full_gradients {
            arenas.reserve_full_gradients();
        }
        arenas
    }

    /// Changes the layout to that of a scheme.
    pub(crate) fn with_scheme(mut self, scheme: &Scheme) -> Self {
        // A dispatch with several steps must not cross the end of the window.
        let (max_steps, steps_per_dispatch) = match scheme {
            Scheme::SingleWorkgroup { steps, .. } | Scheme::SingleInvocation { steps, .. } => {
                (MAX_MULTI_STEP_WINDOW_STEPS, *steps)
            }
            Scheme::Layered(_) | Scheme::Fused { .. } | Scheme::Cpu(_) => (MAX_WINDOW_STEPS, 1),
        };
        let whole_dispatches = self.max_window_steps.min(max_steps) / steps_per_dispatch;
        self.set_window((whole_dispatches * steps_per_dispatch).max(steps_per_dispatch));
        self.partial_sums = self.partial_sums_len(scheme);
        if self.full_gradients.is_some() {
            self.reserve_full_gradients();
        }
        self
    }

    /// Computes the offsets of the layers. In `activations`, the window comes first, then the outputs of the hidden
    /// layers, then the values of normalizations and PReLUs.
    fn set_layers(&mut self, network: &Network) {
        self.activations = self.window_steps * self.slot_stride;
        let layout = network.layout();
        for (i, (dense, tensors)) in network.layers().iter().zip(&layout.layer_tensors).enumerate() {
            let is_last = i + 1 == network.layers().len();
            let stride = tensors.layout.stride / 4;
            self.layers.push(LayerOffsets {
                layout: tensors.layout,
                input_offset: self.layers.last().map_or(0, |previous| previous.output_offset),
                input_stride: pad_to_vec4(dense.inputs) / 4,
                input_slot_stride: if i == 0 { self.slot_stride } else { 0 },
                output_offset: if is_last { self.output_offset } else { self.activations },
                output_stride: stride,
                output_slot_stride: if is_last { self.slot_stride } else { 0 },
                delta_offset: self.deltas,
                normalized_offset: None,
                running_stats_offset: tensors.find(TensorKind::RunningMean).map(|tensor| tensor.offset / 4),
            });
            self.activations += if is_last { 0 } else { self.padded_batch * stride };
            self.deltas += self.padded_batch * stride;
        }
        for (layer, dense) in self.layers.iter_mut().zip(network.layers()) {
            if dense.has_per_neuron_parameters() {
                // The reciprocal stds of the normalization follow: one vec4 per row, or one row of neurons.
                layer.normalized_offset = Some(self.activations);
                self.activations +=
                    self.padded_batch * layer.output_stride + self.padded_batch.max(layer.output_stride);
            }
        }
    }

    /// Sets the number of slots of the window, and moves the offsets after the window.
    fn set_window(&mut self, window_steps: usize) {
        let (before, after) = (self.window_steps * self.slot_stride, window_steps * self.slot_stride);
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
        self.window_steps = window_steps;
    }

    /// Reserves space for the full gradients after the partial sums.
    fn reserve_full_gradients(&mut self) {
        let offset = self.partial_sums.div_ceil(self.parameters);
        self.full_gradients = Some(offset);
        // Each workgroup of the gradient norm stores two vec4s with sums of squares.
        self.partial_sums = (offset + 1) * self.parameters + 2 * self.gradient_norm_workgroups();
    }

    /// Returns the rows, columns and depth of a layer's matmul, all of them multiples of 4.
    pub(crate) fn matmul_dims(&self, kind: MatmulKind, layer: usize) -> [usize; 3] {
        let l = &self.layers[layer];
        let (inputs, outputs) = (4 * l.input_stride, 4 * l.output_stride);
        match kind {
            MatmulKind::Forward => [self.padded_batch, outputs, inputs],
            MatmulKind::InputDelta => [self.padded_batch, inputs, outputs],
            MatmulKind::Gradient => [pad_to_vec4(l.layout.inputs + 1), outputs, self.padded_batch],
        }
    }

    /// Returns the number of `vec4`s in the result of a layer's matmul.
    pub(crate) fn matmul_vec4s(&self, kind: MatmulKind, layer: usize) -> usize {
        let [rows, columns, _] = self.matmul_dims(kind, layer);
        rows * columns / 4
    }

    /// Returns whether a layer has a normalization or PReLU.
    pub(crate) fn has_per_neuron_parameters(&self) -> bool {
        self.layers.iter().any(|layer| layer.normalized_offset.is_some())
    }

    /// Returns the number of workgroups of 64 invocations that compute the gradient norm.
    pub(crate) fn gradient_norm_workgroups(&self) -> usize {
        self.parameters.div_ceil(4 * 64).clamp(1, 64)
    }

    /// Returns the length of the partial sums that a scheme stores.
    pub(crate) fn partial_sums_len(&self, scheme: &Scheme) -> usize {
        let stored_vec4s = |config: &MatmulConfig, vec4s: usize| {
            if config.split_k > 1 { config.split_k * vec4s } else { 0 }
        };
        match scheme {
            Scheme::Layered(configs) => {
                let max_over_layers = |kind, configs: &[MatmulConfig], first_layer: usize| {
                    let per_layer = configs
                        .iter()
                        .zip(first_layer..)
                        .map(move |(config, layer)| stored_vec4s(config, self.matmul_vec4s(kind, layer)));
                    per_layer.max().unwrap_or(0)
                };
                let forward = max_over_layers(MatmulKind::Forward, &configs.forward, 0);
                let input_delta = max_over_layers(MatmulKind::InputDelta, &configs.input_delta, 1);
                let gradient = stored_vec4s(&configs.gradient, self.parameters);
                forward.max(input_delta).max(gradient)
            }
            Scheme::Fused { workgroups, .. } => workgroups * self.parameters,
            Scheme::Cpu(_) | Scheme::SingleWorkgroup { .. } | Scheme::SingleInvocation { .. } => 0,
        }
    }

    /// Returns the number of inputs of the network.
    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].layout.inputs
    }

    /// Returns the number of outputs of the network.
    pub(crate) fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].layout.outputs
    }

    /// Returns the number of vec4s per row of inputs.
    pub(crate) fn input_stride(&self) -> usize {
        pad_to_vec4(self.inputs()) / 4
    }

    /// Returns the number of vec4s per row of outputs.
    pub(crate) fn output_stride(&self) -> usize {
        pad_to_vec4(self.outputs()) / 4
    }

    /// Returns the number of workgroups of 64 invocations that compute the metrics of one step, one invocation per row.
    pub(crate) fn metrics_workgroups_per_step(&self) -> usize {
        self.padded_batch.div_ceil(64)
    }

    /// Returns the names and the sizes in bytes of the arenas, for all members together.
    pub(crate) fn arena_bytes(&self, optimizer: Optimizer) -> [(&'static str, u64); 7] {
        // u64, because `usize` has 32 bits on the web.
        let member_count = self.member_count as u64;
        let vec4s = |n: usize| (member_count * n as u64 * VEC4_BYTES as u64).max(VEC4_BYTES as u64);
        let pairs = member_count * (self.metrics_ring + self.window_steps * self.metrics_workgroups_per_step()) as u64;
        [
            ("parameters", vec4s(self.parameters)),
            ("optimizer state", vec4s(self.parameters * optimizer.state_per_parameter() + self.statistics)),
            ("activations", vec4s(self.activations)),
            ("deltas", vec4s(self.deltas)),
            ("partial sums", vec4s(self.partial_sums)),
            ("rows", member_count * (self.window_steps * self.padded_batch * size_of::<u32>()) as u64),
            ("metrics", pairs * size_of::<[f32; 2]>() as u64),
        ]
    }

    /// Returns an error if an arena exceeds a limit of the device. Call it before the allocation.
    pub(crate) fn check(&self, optimizer: Optimizer, limits: &wgpu::Limits) -> Result<()> {
        for (name, bytes) in self.arena_bytes(optimizer) {
            check_limit(name, "max_storage_buffer_binding_size", bytes, binding_limit(limits))?;
            check_limit(name, "max_buffer_size", bytes, limits.max_buffer_size)?;
        }
        Ok(())
    }
}
