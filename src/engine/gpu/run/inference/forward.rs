//! The forward pass alone, of networks of one shape: arenas and a batch size of its own, and its kernels.

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
            arenas::{ArenaDims, Arenas, KernelConfig, MAX_FORWARD_ROWS},
            buffers::{ARENA_USAGES, Buffers},
        },
        plan::planner,
    },
    error::{Result, check_limit},
    nn::{loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

const MAX_FORWARD_BYTES: usize = 16 << 20;
const MAX_TOTAL_FORWARD_BYTES: usize = 16 * MAX_FORWARD_BYTES;

/// What a forward pass of some networks needs, which the device was found to have. Nothing is allocated yet.
pub(crate) struct ForwardLayout {
    pub(crate) arenas: Arenas,
    dispatches: Vec<Dispatch>,
    /// Of the parameters, of the running statistics with what an optimizer keeps, and of the arena.
    bytes: [u64; 3],
}

/// The kernels of a forward pass, and what they are bound to.
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
    /// Of `models` networks that are in training, with their members; a batch has `rows` rows at most, which have room for
    /// weights if need be.
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        member_count: usize,
        config: &KernelConfig,
        (rows, weighted): (usize, bool),
    ) -> Result<Self> {
        let vec4s = |n: usize| n.div_ceil(4);
        let hidden: usize = network.layers().iter().map(|l| vec4s(l.outputs)).sum();
        // Beside the outputs there is room for the expected ones.
        let widths = vec4s(network.inputs()) + hidden + (2 + usize::from(weighted)) * vec4s(network.outputs());
        let arenas = |most: usize, models: usize, rows: usize| {
            let rows = (most / (16 * widths * models) / 4 * 4).clamp(4, rows.max(4));
            // With no room to spare the window has one slot: more would only take memory.
            let extent = ArenaDims {
                batch_size: rows,
                member_count: models,
                metrics_ring: 1,
                max_arena_bytes: 0,
                stores_full_gradients: false,
                has_sample_weights: weighted,
            };
            Arenas::new(network, extent)
        };
        // The ways decide on the last bits: they are those of one network alone, whatever is predicted beside it.
        let ways = planner::layered_configs(gpu, &arenas(MAX_FORWARD_BYTES, 1, MAX_FORWARD_ROWS));
        let arenas = arenas(
            gpu.max_binding_bytes().min(MAX_FORWARD_BYTES.saturating_mul(member_count).min(MAX_TOTAL_FORWARD_BYTES)),
            member_count,
            rows,
        );
        let dispatches = KernelSet::prediction_dispatches(&arenas, config, &ways);
        dispatches.iter().try_for_each(|dispatch| gpu.check_dispatch(dispatch))?;
        let [(_, parameters), (_, state), (_, activations), ..] = arenas.arena_bytes(config.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", activations, gpu.max_binding_bytes() as u64)?;
        Ok(Self { arenas, dispatches, bytes: [parameters, state, activations] })
    }

    /// Of `models` networks with parameters of their own and nothing else of a training.
    pub(crate) fn standalone(gpu: &Gpu, network: &Network, member_count: usize, rows: usize) -> Result<Self> {
        // Neither says anything about the way forward.
        let members = KernelConfig::new(network, Loss::Mse, Optimizer::sgd(0.0));
        let design = Self::new(gpu, network, member_count, &members, (rows, false))?;
        for (name, bytes) in ["parameters", "running statistics"].into_iter().zip(design.bytes) {
            check_limit(name, "max_storage_buffer_binding_size", bytes, gpu.max_binding_bytes() as u64)?;
        }
        Ok(design)
    }
}

impl ForwardPass {
    /// Of networks whose parameters and running statistics lie in these buffers.
    pub(crate) async fn new(gpu: &Gpu, design: ForwardLayout, set: &BindingLayout, buffers: &Buffers) -> Result<Self> {
        let ForwardLayout { arenas, dispatches, bytes: [.., activations] } = design;
        gpu.check_alive().await?;
        let activations = gpu.buffer("prediction", activations, ARENA_USAGES).await?;
        let [deltas, parts] =
            [gpu.buffer("spare", 16, ARENA_USAGES).await?, gpu.buffer("spare", 16, ARENA_USAGES).await?];
        let buffers = Buffers { activations, deltas, partial_sums: parts, ..buffers.clone() };
        let group = set.bind(gpu, "prediction", &buffers.step_bindings()).await?;
        let kernels = set.kernels(gpu, &dispatches).await?;
        let (gpu, Buffers { parameters, state, activations, .. }) = (gpu.clone(), buffers);
        Ok(Self { gpu, arenas, activations, kernels, bind_group: group, parameters, state })
    }

    /// Of networks with these parameters and running statistics, flat, those of one after the other's.
    pub(crate) async fn standalone(gpu: &Gpu, design: ForwardLayout, flat: &[f32], statistics: &[f32]) -> Result<Self> {
        gpu.check_alive().await?;
        let [parameters, state, _] = design.bytes;
        let parameters = gpu.buffer("parameters", parameters, ARENA_USAGES).await?;
        let state = gpu.buffer("running statistics", state, ARENA_USAGES).await?;
        let buffers = Buffers { parameters, state, ..Buffers::minimal(gpu).await? };
        let set = BindingLayout::new(gpu, "prediction", STEP_BINDINGS).await?;
        let forward = Self::new(gpu, design, &set, &buffers).await?;
        forward.set_parameters(flat, statistics);
        Ok(forward)
    }

    /// Sets the parameters and the running statistics, flat, of networks that are not in training.
    pub(crate) fn set_parameters(&self, flat: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.parameters, 0, bytemuck::cast_slice(flat));
        self.gpu.upload(&self.state, 0, bytemuck::cast_slice(statistics));
    }

    /// Records the pass: from the inputs in the arena of each network to the outputs there.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_members(pass, self.arenas.member_count);
    }

    /// The same of the first networks alone.
    pub(crate) fn record_members(&self, pass: &mut wgpu::ComputePass<'_>, member_count: usize) {
        pass.set_bind_group(0, &self.bind_group, &[0]);
        self.kernels.iter().for_each(|kernel| kernel.record_workgroups(pass, kernel.workgroups_for(member_count)));
    }
}
