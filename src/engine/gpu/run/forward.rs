//! The forward pass alone, of networks of one shape: arenas and a batch size of its own, and its kernels.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            pipeline::{Kernel, STEP, Set},
        },
        kernels::kernel_set::{Dispatch, Dispatches},
        layout::{
            arenas::{Arenas, Extent, Members},
            buffers::{ARENA, Buffers},
        },
        plan::planner,
    },
    error::{Result, check_limit},
    nn::{loss::Loss, network::Network},
    optim::optimizer::Optimizer,
};

/// Rows that are predicted at once, and the bytes that they may take of one network and of all of them.
pub(crate) const ROWS: usize = 4096;
const BYTES: usize = 16 << 20;
const MOST_BYTES: usize = 16 * BYTES;

/// What a forward pass of some networks needs, which the device was found to have. Nothing is allocated yet.
pub(crate) struct Design {
    pub(crate) arenas: Arenas,
    dispatches: Vec<Dispatch>,
    /// Of the parameters, of the running statistics with what an optimizer keeps, and of the arena.
    bytes: [u64; 3],
}

/// The kernels of a forward pass, and what they are bound to.
pub(crate) struct Forward {
    pub(crate) gpu: Gpu,
    pub(crate) arenas: Arenas,
    pub(crate) activations: wgpu::Buffer,
    kernels: Vec<Kernel>,
    group: wgpu::BindGroup,
    parameters: wgpu::Buffer,
    state: wgpu::Buffer,
}

impl Design {
    /// Of `models` networks that are in training, with their members; a batch has `rows` rows at most, which have room for
    /// weights if need be.
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        models: usize,
        members: &Members,
        (rows, weighted): (usize, bool),
    ) -> Result<Self> {
        let vec4s = |n: usize| n.div_ceil(4);
        let hidden: usize = network.layers().iter().map(|l| vec4s(l.outputs)).sum();
        // Beside the outputs there is room for the expected ones.
        let widths = vec4s(network.inputs()) + hidden + (2 + usize::from(weighted)) * vec4s(network.outputs());
        let arenas = |most: usize, models: usize, rows: usize| {
            let rows = (most / (16 * widths * models) / 4 * 4).clamp(4, rows.max(4));
            // With no room to spare the window has one slot: more would only take memory.
            let extent = Extent { rows, models, ring: 1, limit: 0, keeps_gradients: false, weighted };
            Arenas::new(network, extent)
        };
        // The ways decide on the last bits: they are those of one network alone, whatever is predicted beside it.
        let ways = planner::layered(gpu, &arenas(BYTES, 1, ROWS));
        let arenas = arenas(gpu.most_bytes().min(BYTES.saturating_mul(models).min(MOST_BYTES)), models, rows);
        let dispatches = Dispatches::predict(&arenas, members, &ways);
        dispatches.iter().try_for_each(|dispatch| dispatch.check(gpu))?;
        let [(_, parameters), (_, state), (_, activations), ..] = arenas.bytes(members.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", activations, gpu.most_bytes() as u64)?;
        Ok(Self { arenas, dispatches, bytes: [parameters, state, activations] })
    }

    /// Of `models` networks with parameters of their own and nothing else of a training.
    pub(crate) fn alone(gpu: &Gpu, network: &Network, models: usize, rows: usize) -> Result<Self> {
        // Neither says anything about the way forward.
        let members = Members::of(network, Loss::Mse, Optimizer::sgd(0.0));
        let design = Self::new(gpu, network, models, &members, (rows, false))?;
        for (name, bytes) in ["parameters", "running statistics"].into_iter().zip(design.bytes) {
            check_limit(name, "max_storage_buffer_binding_size", bytes, gpu.most_bytes() as u64)?;
        }
        Ok(design)
    }
}

impl Forward {
    /// Of networks whose parameters and running statistics lie in these buffers.
    pub(crate) async fn new(gpu: &Gpu, design: Design, set: &Set, buffers: &Buffers) -> Result<Self> {
        let Design { arenas, dispatches, bytes: [.., activations] } = design;
        gpu.check_alive().await?;
        let activations = gpu.buffer("prediction", activations, ARENA).await?;
        let [deltas, parts] = [gpu.buffer("spare", 16, ARENA).await?, gpu.buffer("spare", 16, ARENA).await?];
        let buffers = Buffers { activations, deltas, parts, ..buffers.clone() };
        let group = set.bind(gpu, "prediction", &buffers.of_step()).await?;
        let kernels = set.kernels(gpu, &dispatches).await?;
        let (gpu, Buffers { parameters, state, activations, .. }) = (gpu.clone(), buffers);
        Ok(Self { gpu, arenas, activations, kernels, group, parameters, state })
    }

    /// Of networks with these parameters and running statistics, flat, those of one after the other's.
    pub(crate) async fn alone(gpu: &Gpu, design: Design, flat: &[f32], statistics: &[f32]) -> Result<Self> {
        gpu.check_alive().await?;
        let [parameters, state, _] = design.bytes;
        let parameters = gpu.buffer("parameters", parameters, ARENA).await?;
        let state = gpu.buffer("running statistics", state, ARENA).await?;
        let buffers = Buffers { parameters, state, ..Buffers::spares(gpu).await? };
        let set = Set::new(gpu, "prediction", STEP).await?;
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
        self.record_over(pass, self.arenas.models);
    }

    /// The same of the first networks alone.
    pub(crate) fn record_over(&self, pass: &mut wgpu::ComputePass<'_>, models: usize) {
        pass.set_bind_group(0, &self.group, &[0]);
        self.kernels.iter().for_each(|kernel| kernel.record_over(pass, kernel.groups_over(models)));
    }
}
