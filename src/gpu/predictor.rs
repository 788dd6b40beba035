//! Predictions: the forward pass alone, with arenas and a batch size of its own.

use std::collections::VecDeque;

use super::{
    Gpu,
    arenas::{Arenas, Members},
    buffers::Buffers,
    kernel::{Kernel, Set},
    plan::Plan,
    read_back::{Reading, Staging},
    tile::Tile,
};
use crate::{Network, Result, error::check_limit, network::padded_rows};

/// The forward pass alone, with arenas and a batch size of its own.
pub(super) struct Predictor {
    arenas: Arenas,
    kernels: Vec<Kernel>,
    group: wgpu::BindGroup,
    activations: wgpu::Buffer,
    stagings: [Staging; 2],
}

/// Rows and bytes that are predicted at once.
const PREDICTED: (usize, usize) = (4096, 16 << 20);

/// A block of rows of one model whose outputs are on their way to the host.
struct Block {
    model: usize,
    side: usize,
    reading: Reading,
}

impl Predictor {
    pub(super) async fn new(
        gpu: &Gpu,
        network: &Network,
        trained: &Arenas,
        (members, tile): (&Members, Tile),
        set: &Set,
        buffers: &Buffers,
    ) -> Result<Self> {
        let limit = gpu.limits.max_storage_buffer_binding_size.min(gpu.limits.max_buffer_size);
        let widths = trained.input_stride() + 2 * trained.output_stride();
        let hidden: usize = trained.layers[1..].iter().map(|l| l.input_stride).sum();
        let room = (limit as usize).min(PREDICTED.1) / (16 * (widths + hidden) * trained.models);
        let rows = (room / 4 * 4).clamp(4, PREDICTED.0);
        // One slot is enough: more would only take memory.
        let arenas = Arenas::new(network, rows, trained.models, 1, tile, 0);
        let plan = Plan::new(&arenas, members, tile, None, None);
        let [_, _, (name, bytes), ..] = arenas.bytes(members.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", bytes, limit)?;
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let activations = gpu.buffer(name, bytes, storage).await?;
        let deltas = gpu.buffer("spare", 16, storage).await?;
        let buffers = Buffers { activations, deltas, ..buffers.clone() };
        let group = set.bind(gpu, "prediction", &buffers.of_step()).await?;
        let mut kernels = Vec::new();
        for dispatch in &plan.predict {
            kernels.push(set.kernel(gpu, dispatch).await?);
        }
        let bytes = (16 * arenas.batch * arenas.output_stride()) as u64;
        let stagings = [Staging::new(gpu, "outputs", bytes).await?, Staging::new(gpu, "outputs", bytes).await?];
        Ok(Self { arenas, kernels, group, activations: buffers.activations, stagings })
    }

    pub(super) async fn predict(&self, gpu: &Gpu, inputs: &[f32]) -> Result<Vec<f32>> {
        let arenas = &self.arenas;
        let stride = 16 * arenas.output_stride() as u64;
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); arenas.models];
        let mut under_way = VecDeque::with_capacity(2);
        let mut side = 0;
        for block in inputs.chunks(arenas.batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            let block = padded_rows(block, arenas.inputs(), arenas.batch);
            for model in 0..arenas.models {
                let start = 16 * (model * arenas.activations) as u64;
                gpu.upload(&self.activations, start, bytemuck::cast_slice(&block));
            }
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_bind_group(0, &self.group, &[0]);
            self.kernels.iter().for_each(|kernel| kernel.record(&mut pass));
            drop(pass);
            gpu.queue.submit([encoder.finish()]);
            for model in 0..arenas.models {
                if under_way.len() == 2 {
                    let first = under_way.pop_front().unwrap_or_else(|| unreachable!("two are under way"));
                    self.take(gpu, first, &mut outputs).await?;
                }
                let start = 16 * (model * arenas.activations + arenas.output) as u64;
                let reading = self.stagings[side].start(gpu, &self.activations, start, rows as u64 * stride);
                under_way.push_back(Block { model, side, reading });
                side = 1 - side;
            }
        }
        for last in under_way {
            self.take(gpu, last, &mut outputs).await?;
        }
        Ok(outputs.concat())
    }

    /// Takes a block's outputs over to the host, without their padding.
    async fn take(&self, gpu: &Gpu, block: Block, outputs: &mut [Vec<f32>]) -> Result<()> {
        let values: Vec<f32> = self.stagings[block.side].finish(gpu, block.reading).await?;
        for row in values.chunks_exact(4 * self.arenas.output_stride()) {
            outputs[block.model].extend(&row[..self.arenas.outputs()]);
        }
        Ok(())
    }
}
