//! Where everything lies on the device: one arena a role, laid out for a network, a batch size and a number of models.

use crate::{
    engine::gpu::{device::binding_limit, layout::matmul::Product},
    error::{Result, check_limit},
    nn::{
        activation::Activation,
        layout::{Place, padded},
        loss::Loss,
        network::Network,
        normalization::Norm,
        tensors::TensorKind,
    },
    optim::optimizer::Optimizer,
    plan::{Scheme, Way},
};

/// The members of the families that a network's kernels are linked from.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    pub(crate) activations: Vec<Activation>,
    /// Whether predictions do.
    pub(crate) ends_with_softmax: bool,
    /// Of each layer's outputs, the share that is dropped.
    pub(crate) dropouts: Vec<f64>,
    pub(crate) norms: Vec<Option<Norm>>,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    /// How many batches make an update.
    pub(crate) accumulate: u64,
    pub(crate) shuffle: bool,
    /// Rows of the data set, 1 where there is none.
    pub(crate) data_rows: usize,
    /// What a feature that is a byte is multiplied by.
    pub(crate) scale: f32,
    /// The standard deviation of the noise on the features, 0 for none.
    pub(crate) noise: f32,
    /// Whether features are scaled column by column.
    pub(crate) is_scaled: bool,
    /// Whether each network has rows of its own.
    pub(crate) has_subsets: bool,
    /// Whether the rows of a step lie on the device as it takes them.
    pub(crate) streams: bool,
    /// Whether each network drops a share of its own where the network drops any.
    pub(crate) has_dropouts: bool,
    /// Whether each output is a label, and a row is right if all of them are.
    pub(crate) labels: bool,
}

impl Members {
    /// Of a network in training without data.
    pub(crate) fn of(network: &Network, loss: Loss, optimizer: Optimizer) -> Self {
        Self {
            activations: network.layers().iter().map(|l| l.activation).collect(),
            ends_with_softmax: network.ends_with_softmax(),
            dropouts: network.layers().iter().map(|l| l.dropout).collect(),
            norms: network.layers().iter().map(|l| l.norm).collect(),
            loss,
            optimizer,
            accumulate: 1,
            shuffle: true,
            data_rows: 1,
            scale: 1.0,
            noise: 0.0,
            is_scaled: false,
            has_subsets: false,
            streams: false,
            has_dropouts: false,
            labels: false,
        }
    }

    pub(crate) fn drops(&self, layer: usize) -> bool {
        self.dropouts[layer] > 0.0
    }

    /// Whether a layer's slopes are kept on the way forward.
    pub(crate) fn keeps_slope(&self, layer: usize) -> bool {
        self.drops(layer) || self.norms[layer].is_some() || !self.activations[layer].slope_is_by_value()
    }
}

/// The layout of the arenas. Offsets, strides and lengths count `vec4`s of one network, unless they say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Arenas {
    /// How many networks of one shape train together.
    pub(crate) models: usize,
    /// Rows of a batch, padded to whole blocks.
    pub(crate) batch: usize,
    /// How many steps' rows are gathered at once, a slot each.
    pub(crate) window: usize,
    /// How many the window might have.
    pub(crate) room: usize,
    /// How many steps' metrics are kept until they are read.
    pub(crate) ring: usize,
    /// A slot holds the inputs, the expected outputs at `expected`, and the outputs at `output`; where rows have weights,
    /// also those, as far apart as the outputs.
    pub(crate) slot: usize,
    pub(crate) expected: usize,
    pub(crate) output: usize,
    /// How far behind the expected outputs of a row its weight lies, if rows have weights.
    pub(crate) weight: Option<usize>,
    pub(crate) parameters: usize,
    pub(crate) activations: usize,
    pub(crate) deltas: usize,
    pub(crate) layers: Vec<LayerPlace>,
    /// What products that are computed in parts store until they are added up, and behind it, if they are kept, the whole
    /// gradients and the parts of their norm.
    pub(crate) parts: usize,
    /// Running means and variances, behind the planes of the optimizer's state.
    pub(crate) statistics: usize,
    /// Whether a walk that holds the network in registers can train it.
    pub(crate) fits_registers: bool,
    /// How many times the parameters' length lies before the whole gradients; none if they are not kept.
    pub(crate) kept: Option<usize>,
}

/// How much of a network is trained, and on what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Rows of a batch.
    pub(crate) rows: usize,
    /// How many networks of one shape train together.
    pub(crate) models: usize,
    /// How many steps' metrics are kept until they are read.
    pub(crate) ring: usize,
    /// The most bytes an arena may have.
    pub(crate) limit: usize,
    /// Whether gradients are kept until they are whole, and the update comes after them all.
    pub(crate) keeps_gradients: bool,
    /// Whether rows have weights.
    pub(crate) weighted: bool,
}

/// `Layer` in `shaders/table.wgsl`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerPlace {
    /// Where its parameters lie, in floats.
    pub(crate) place: Place,
    pub(crate) input: usize,
    pub(crate) input_stride: usize,
    pub(crate) input_slot: usize,
    pub(crate) output: usize,
    pub(crate) output_stride: usize,
    pub(crate) output_slot: usize,
    pub(crate) delta: usize,
    /// In `activations`, not `Layer`'s: what a norm or a learned slope keeps of the way forward, if there is one.
    pub(crate) normed: Option<usize>,
    /// Of running statistics, where its mean starts; the variance follows.
    pub(crate) running: Option<usize>,
}

/// How many bytes the window may take: enough for many small steps, little beside the parameters of a large network.
const WINDOW_BYTES: usize = 16 << 20;
/// The most steps a window may have.
const WINDOW: usize = 64;
/// The same where a dispatch takes many steps, so that what surrounds it does not weigh.
const TINY_WINDOW: usize = 4096;
const VEC4: usize = size_of::<[f32; 4]>();

impl Arenas {
    /// The layout for a batch, of a scheme whose dispatches take one step and store no parts of products. The window is as
    /// long as the limit lets it.
    pub(crate) fn new(network: &Network, extent: Extent) -> Self {
        let Extent { rows, models, ring, limit, keeps_gradients, weighted } = extent;
        let batch = padded(rows);
        let vec4s = |n: usize| padded(n) / 4;
        let (input, output) = (batch * vec4s(network.inputs()), batch * vec4s(network.outputs()));
        let slot = input + 2 * output + if weighted { output } else { 0 };
        let hidden: usize = network.layers().iter().map(|l| batch * vec4s(l.outputs)).sum::<usize>() - output;
        let room = (limit / VEC4 / models).saturating_sub(hidden).min(WINDOW_BYTES / VEC4 / models);
        let room = (room / slot).max(1);
        let layout = network.layout();
        let mut arenas = Self {
            models,
            batch,
            window: room.min(WINDOW),
            room,
            ring,
            slot,
            expected: input,
            output: input + output,
            weight: weighted.then_some(2 * output),
            parameters: layout.len / 4,
            activations: 0,
            deltas: 0,
            layers: Vec::with_capacity(layout.layers.len()),
            parts: 0,
            kept: None,
            statistics: layout.statistics / 4,
            fits_registers: !keeps_gradients && network.layers().iter().all(|layer| layer.dropout == 0.0),
        };
        arenas.lay_out_layers(network);
        if keeps_gradients {
            arenas.keep_gradients();
        }
        arenas
    }

    /// The same layout for the dispatches of a scheme.
    pub(crate) fn with_scheme(mut self, scheme: &Scheme) -> Self {
        // A dispatch that takes several steps must not run over the window's end.
        let (most, walk) = match scheme {
            Scheme::Tiny { steps, .. } | Scheme::Lane { steps, .. } => (TINY_WINDOW, *steps),
            Scheme::Layered(_) | Scheme::Fused { .. } | Scheme::Cpu(_) => (WINDOW, 1),
        };
        self.set_window((self.room.min(most) / walk * walk).max(walk));
        self.parts = self.parts_of(scheme);
        if self.kept.is_some() {
            self.keep_gradients();
        }
        self
    }

    /// Lays out what the layers write: in `activations` the outputs of hidden layers behind the window, then what norms and
    /// learned slopes keep; and the deltas.
    fn lay_out_layers(&mut self, network: &Network) {
        self.activations = self.window * self.slot;
        let layout = network.layout();
        for (i, (dense, tensors)) in network.layers().iter().zip(&layout.layers).enumerate() {
            let is_last = i + 1 == network.layers().len();
            let stride = tensors.place.stride / 4;
            self.layers.push(LayerPlace {
                place: tensors.place,
                input: self.layers.last().map_or(0, |before| before.output),
                input_stride: padded(dense.inputs) / 4,
                input_slot: if i == 0 { self.slot } else { 0 },
                output: if is_last { self.output } else { self.activations },
                output_stride: stride,
                output_slot: if is_last { self.slot } else { 0 },
                delta: self.deltas,
                normed: None,
                running: tensors.find(TensorKind::RunningMean).map(|running| running.offset / 4),
            });
            self.activations += if is_last { 0 } else { self.batch * stride };
            self.deltas += self.batch * stride;
        }
        for (layer, dense) in self.layers.iter_mut().zip(network.layers()) {
            if dense.learns_behind_the_sum() {
                // A norm's inverse deviations, a vec4 for each row or the columns', lie behind.
                layer.normed = Some(self.activations);
                self.activations += self.batch * layer.output_stride + self.batch.max(layer.output_stride);
            }
        }
    }

    /// Sets how many steps' rows are gathered at once, and moves what lies behind the window.
    fn set_window(&mut self, window: usize) {
        let (before, after) = (self.window * self.slot, window * self.slot);
        let moved = |offset: usize| offset - before + after;
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter_mut().enumerate() {
            if i > 0 {
                layer.input = moved(layer.input);
            }
            if i < last {
                layer.output = moved(layer.output);
            }
            layer.normed = layer.normed.map(moved);
        }
        self.activations = moved(self.activations);
        self.window = window;
    }

    /// Makes room for the whole gradients behind the parts of products.
    fn keep_gradients(&mut self) {
        let before = self.parts.div_ceil(self.parameters);
        self.kept = Some(before);
        // Each workgroup of the norm leaves two sums of squares.
        self.parts = (before + 1) * self.parameters + 2 * self.norms();
    }

    /// Rows, columns and depth of a layer's product, all of it whole blocks.
    pub(crate) fn size(&self, product: Product, layer: usize) -> [usize; 3] {
        let l = &self.layers[layer];
        let (inputs, outputs) = (4 * l.input_stride, 4 * l.output_stride);
        match product {
            Product::Forward => [self.batch, outputs, inputs],
            Product::InputDelta => [self.batch, inputs, outputs],
            Product::Gradient => [padded(l.place.inputs + 1), outputs, self.batch],
        }
    }

    /// The `vec4`s of a layer's product.
    pub(crate) fn part(&self, product: Product, layer: usize) -> usize {
        let [rows, columns, _] = self.size(product, layer);
        rows * columns / 4
    }

    /// Whether there is work between a layer's sum and its activation, or beside it.
    pub(crate) fn has_vectors(&self) -> bool {
        self.layers.iter().any(|layer| layer.normed.is_some())
    }

    /// How many workgroups of 64 share the norm of the gradients.
    pub(crate) fn norms(&self) -> usize {
        self.parameters.div_ceil(4 * 64).clamp(1, 64)
    }

    /// The `vec4`s of what a scheme stores in parts.
    pub(crate) fn parts_of(&self, scheme: &Scheme) -> usize {
        let stored = |way: &Way, part: usize| if way.parts > 1 { way.parts * part } else { 0 };
        match scheme {
            Scheme::Layered(ways) => {
                let layers = |product, ways: &[Way], first: usize| {
                    let each = ways.iter().zip(first..).map(move |(way, layer)| stored(way, self.part(product, layer)));
                    each.max().unwrap_or(0)
                };
                let deltas =
                    layers(Product::Forward, &ways.forward, 0).max(layers(Product::InputDelta, &ways.input_delta, 1));
                deltas.max(stored(&ways.gradients, self.parameters))
            }
            Scheme::Fused { groups, .. } => groups * self.parameters,
            Scheme::Cpu(_) | Scheme::Tiny { .. } | Scheme::Lane { .. } => 0,
        }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].place.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].place.outputs
    }

    pub(crate) fn input_stride(&self) -> usize {
        padded(self.inputs()) / 4
    }

    pub(crate) fn output_stride(&self) -> usize {
        padded(self.outputs()) / 4
    }

    /// How many workgroups judge the rows of one step.
    pub(crate) fn measures(&self) -> usize {
        self.batch.div_ceil(64)
    }

    /// The arenas' names and lengths in bytes, all models together.
    pub(crate) fn bytes(&self, optimizer: Optimizer) -> [(&'static str, u64); 7] {
        // In 64 bits, since on the web `usize` has 32.
        let models = self.models as u64;
        let vec4s = |n: usize| (models * n as u64 * VEC4 as u64).max(VEC4 as u64);
        let pairs = models * (self.ring + self.window * self.measures()) as u64;
        [
            ("parameters", vec4s(self.parameters)),
            ("optimizer state", vec4s(self.parameters * optimizer.planes() + self.statistics)),
            ("activations", vec4s(self.activations)),
            ("deltas", vec4s(self.deltas)),
            ("parts of sums", vec4s(self.parts)),
            ("rows", models * (self.window * self.batch * size_of::<u32>()) as u64),
            ("metrics", pairs * size_of::<[f32; 2]>() as u64),
        ]
    }

    /// Refuses what the device's limits cannot hold, before anything is allocated.
    pub(crate) fn check(&self, optimizer: Optimizer, limits: &wgpu::Limits) -> Result<()> {
        for (name, need) in self.bytes(optimizer) {
            check_limit(name, "max_storage_buffer_binding_size", need, binding_limit(limits))?;
            check_limit(name, "max_buffer_size", need, limits.max_buffer_size)?;
        }
        Ok(())
    }
}
