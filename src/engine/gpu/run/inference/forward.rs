//! The forward pass without training, for members of one shape: its arenas, its batch size and its kernels.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            bindings::STEP_BINDINGS,
            dispatch::Dispatch,
            pipeline::{BindingLayout, Kernel},
        },
        kernels::kernel_set::KernelSet,
        layout::{
            arenas::{ArenaDims, Arenas, MAX_FORWARD_ROWS},
            buffers::{ARENA_USAGES, Buffers},
            kernel_config::KernelConfig,
        },
        plan::planner,
    },
    error::{Result, check_limit},
    nn::{loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

/// The maximum bytes of the activations of one member; it limits the batch size.
const MAX_FORWARD_BYTES: usize = 16 << 20;
/// The maximum bytes of the activations of all members.
const MAX_TOTAL_FORWARD_BYTES: usize = 16 * MAX_FORWARD_BYTES;

/// The layout of a forward pass, checked against the device limits. Nothing is allocated on the device yet.
pub(crate) struct ForwardLayout {
    pub(crate) arenas: Arenas,
    dispatches: Vec<Dispatch>,
    /// The bytes of the parameters, of the state (optimizer state and running statistics), and of the activations.
    bytes: [u64; 3],
}

/// The kernels of a forward pass with their buffers.
pub(crate) struct ForwardPass {
    pub(crate) gpu: Gpu,
    pub(crate) arenas: Arenas,
    pub(crate) activations: wgpu::Buffer,
    kernels: Vec<Kernel>,
    bind_group: wgpu::BindGroup,
    parameters: wgpu::Buffer,
    state: wgpu::Buffer,
}

impl ForwardLayout {
    /// Computes the layout for `member_count` members of an engine. A batch has at most `rows` rows, with sample
    /// weights if `has_sample_weights` is set.
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        member_count: usize,
        config: &KernelConfig,
        (rows, has_sample_weights): (usize, bool),
    ) -> Result<Self> {
        let vec4s = |n: usize| n.div_ceil(4);
        let hidden: usize = network.layers().iter().map(|l| vec4s(l.outputs)).sum();
        // A row needs its outputs, its targets and, if it has one, its sample weight.
        let output_rows = 2 + usize::from(has_sample_weights);
        let row_vec4s = vec4s(network.inputs()) + hidden + output_rows * vec4s(network.outputs());
        let arenas = |max_bytes: usize, member_count: usize, rows: usize| {
            let batch_size = (max_bytes / (16 * row_vec4s * member_count) / 4 * 4).clamp(4, rows.max(4));
            // With 0 bytes for the arena, the window has only one slot. A forward pass needs no more.
            let dims = ArenaDims {
                batch_size,
                member_count,
                metrics_ring: 1,
                max_arena_bytes: 0,
                stores_full_gradients: false,
                has_sample_weights,
            };
            Arenas::new(network, dims)
        };
        // The tiles determine the last bits of the outputs. Choose them for one member with a full batch, so that a
        // prediction does not depend on the number of members or rows.
        let configs = planner::layered_configs(gpu, &arenas(MAX_FORWARD_BYTES, 1, MAX_FORWARD_ROWS));
        let max_bytes = MAX_FORWARD_BYTES.saturating_mul(member_count).min(MAX_TOTAL_FORWARD_BYTES);
        let arenas = arenas(gpu.max_binding_bytes().min(max_bytes), member_count, rows);
        let dispatches = KernelSet::prediction_dispatches(&arenas, config, &configs);
        dispatches.iter().try_for_each(|dispatch| gpu.check_dispatch(dispatch))?;
        let [(_, parameters), (_, state), (_, activations), ..] = arenas.arena_bytes(config.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", activations, gpu.max_binding_bytes() as u64)?;
        Ok(Self { arenas, dispatches, bytes: [parameters, state, activations] })
    }

    /// Computes the layout for `member_count` networks without an engine.
    pub(crate) fn standalone(gpu: &Gpu, network: &Network, member_count: usize, rows: usize) -> Result<Self> {
        // The forward pass depends neither on the loss nor on the optimizer.
        let config = KernelConfig::new(network, Loss::Mse, Optimizer::sgd(0.0));
        let layout = Self::new(gpu, network, member_count, &config, (rows, false))?;
        for (name, bytes) in ["parameters", "running statistics"].into_iter().zip(layout.bytes) {
            check_limit(name, "max_storage_buffer_binding_size", bytes, gpu.max_binding_bytes() as u64)?;
        }
        Ok(layout)
    }
}

impl ForwardPass {
    /// Creates the forward pass of members whose parameters and running statistics are in `buffers`.
    pub(crate) async fn new(
        gpu: &Gpu,
        layout: ForwardLayout,
        binding_layout: &BindingLayout,
        buffers: &Buffers,
    ) -> Result<Self> {
        let ForwardLayout { arenas, dispatches, bytes: [.., activations_bytes] } = layout;
        gpu.check_alive().await?;
        let activations = gpu.buffer("prediction", activations_bytes, ARENA_USAGES).await?;
        // The forward pass uses neither deltas nor partial sums, but the layout needs bindings for them.
        let deltas = gpu.buffer("placeholder", 16, ARENA_USAGES).await?;
        let partial_sums = gpu.buffer("placeholder", 16, ARENA_USAGES).await?;
        let buffers = Buffers { activations, deltas, partial_sums, ..buffers.clone() };
        let bind_group = binding_layout.bind(gpu, "prediction", &buffers.step_bindings()).await?;
        let kernels = binding_layout.kernels(gpu, &dispatches).await?;
        let Buffers { parameters, state, activations, .. } = buffers;
        Ok(Self { gpu: gpu.clone(), arenas, activations, kernels, bind_group, parameters, state })
    }

    /// Creates the forward pass of networks without an engine. `parameters` and `statistics` hold the values of all
    /// networks, network by network.
    pub(crate) async fn standalone(
        gpu: &Gpu,
        layout: ForwardLayout,
        parameters: &[f32],
        statistics: &[f32],
    ) -> Result<Self> {
        gpu.check_alive().await?;
        let [parameters_bytes, state_bytes, _] = layout.bytes;
        let buffers = Buffers {
            parameters: gpu.buffer("parameters", parameters_bytes, ARENA_USAGES).await?,
            state: gpu.buffer("running statistics", state_bytes, ARENA_USAGES).await?,
            ..Buffers::minimal(gpu).await?
        };
        let binding_layout = BindingLayout::new(gpu, "prediction", STEP_BINDINGS).await?;
        let forward = Self::new(gpu, layout, &binding_layout, &buffers).await?;
        forward.set_parameters(parameters, statistics);
        Ok(forward)
    }

    /// Sets the parameters and the running statistics of networks without an engine.
    pub(crate) fn set_parameters(&self, parameters: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.parameters, 0, bytemuck::cast_slice(parameters));
        self.gpu.upload(&self.state, 0, bytemuck::cast_slice(statistics));
    }

    /// Records the forward pass of all members: from the inputs in their arenas to the outputs there.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_members(pass, self.arenas.member_count);
    }

    /// Records the forward pass of the first `member_count` members.
    pub(crate) fn record_members(&self, pass: &mut wgpu::ComputePass<'_>, member_count: usize) {
        pass.set_bind_group(0, &self.bind_group, &[0]);
        self.kernels.iter().for_each(|kernel| kernel.record_workgroups(pass, kernel.workgroups_for(member_count)));
    }
}
