//! Predictions: the forward pass alone, with arenas and a batch size of its own.

use super::{
    Gpu,
    arenas::{Arenas, Members},
    buffers::Buffers,
    dispatches::Dispatches,
    kernel::{Kernel, Set},
    planner,
    read_back::Pipe,
};
use crate::{Network, Result, error::check_limit, network::padded_rows};

pub(super) struct Predictor {
    arenas: Arenas,
    kernels: Vec<Kernel>,
    group: wgpu::BindGroup,
    activations: wgpu::Buffer,
    outputs: Pipe,
}

/// Rows and bytes that are predicted at once.
const PREDICTED: (usize, usize) = (4096, 16 << 20);

impl Predictor {
    pub(super) async fn new(
        gpu: &Gpu,
        network: &Network,
        trained: &Arenas,
        members: &Members,
        set: &Set,
        buffers: &Buffers,
    ) -> Result<Self> {
        let widths = trained.input_stride() + 2 * trained.output_stride();
        let hidden: usize = trained.layers[1..].iter().map(|l| l.input_stride).sum();
        let room = gpu.most_bytes().min(PREDICTED.1) / (16 * (widths + hidden) * trained.models);
        let rows = (room / 4 * 4).clamp(4, PREDICTED.0);
        // With no room to spare the window has one slot: more would only take memory.
        let arenas = Arenas::new(network, rows, trained.models, 1, None, 0, false);
        let plan = Dispatches::predict(&arenas, members, &planner::layered(gpu, &arenas));
        plan.iter().try_for_each(|dispatch| dispatch.check(gpu))?;
        let [_, _, (_, bytes), ..] = arenas.bytes(members.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", bytes, gpu.most_bytes() as u64)?;
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        gpu.check_alive().await?;
        let activations = gpu.buffer("prediction", bytes, storage).await?;
        let [deltas, parts] = [gpu.buffer("spare", 16, storage).await?, gpu.buffer("spare", 16, storage).await?];
        let buffers = Buffers { activations, deltas, parts, ..buffers.clone() };
        let group = set.bind(gpu, "prediction", &buffers.of_step()).await?;
        let kernels = set.kernels(gpu, &plan).await?;
        let outputs = Pipe::new(gpu, "outputs", (16 * arenas.batch * arenas.output_stride()) as u64).await?;
        Ok(Self { arenas, kernels, group, activations: buffers.activations, outputs })
    }

    /// The outputs for rows of inputs, those of one model after the other's.
    pub(super) async fn predict(&self, gpu: &Gpu, inputs: &[f32]) -> Result<Vec<f32>> {
        let arenas = &self.arenas;
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); arenas.models];
        let mut take = |model: usize, values: Vec<f32>| {
            values.chunks_exact(stride).for_each(|row| outputs[model].extend(&row[..columns]));
        };
        let mut flow = self.outputs.flow(gpu);
        for block in inputs.chunks(arenas.batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            let block = padded_rows(block, arenas.inputs(), arenas.batch);
            for model in 0..arenas.models {
                let start = 16 * (model * arenas.activations) as u64;
                gpu.upload(&self.activations, start, bytemuck::cast_slice(&block));
            }
            gpu.compute(|pass| {
                pass.set_bind_group(0, &self.group, &[0]);
                self.kernels.iter().for_each(|kernel| kernel.record(pass));
            });
            for model in 0..arenas.models {
                let start = 16 * (model * arenas.activations + arenas.output) as u64;
                let bytes = (rows * stride * size_of::<f32>()) as u64;
                flow.read(model, &self.activations, (start, bytes), &mut take).await?;
            }
        }
        flow.finish(&mut take).await?;
        Ok(outputs.concat())
    }
}
