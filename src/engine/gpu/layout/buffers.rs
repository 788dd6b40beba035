//! The buffers of a training: one a role, allocated once.

use crate::{
    engine::{
        gpu::{
            device::{Gpu, pipeline::PAIR},
            layout::{arenas::Arenas, chunk::Length},
        },
        step::Step,
    },
    error::{Result, check_limit},
    optim::optimizer::Optimizer,
};

/// What an arena may be used for: kernels, and copies either way.
pub(crate) const ARENA: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// Bytes between two cursors: the largest alignment that a device may ask of a dynamic offset.
pub(crate) const CURSOR: usize = 256;

/// What kernels are bound to. A clone is the same buffers.
#[derive(Clone)]
pub(crate) struct Buffers {
    /// The most steps a chunk has.
    pub(crate) chunk: usize,
    /// How many steps without rows stand behind its last.
    pub(crate) behind: usize,
    pub(crate) parameters: wgpu::Buffer,
    pub(crate) state: wgpu::Buffer,
    pub(crate) activations: wgpu::Buffer,
    pub(crate) deltas: wgpu::Buffer,
    pub(crate) rows: wgpu::Buffer,
    pub(crate) metrics: wgpu::Buffer,
    /// A row for every step of a chunk and model.
    pub(crate) steps: wgpu::Buffer,
    /// Where each step of a chunk stands, at the dynamic offsets of its bindings.
    pub(crate) cursors: wgpu::Buffer,
    pub(crate) parts: wgpu::Buffer,
}

impl Buffers {
    /// Refuses a device that cannot hold the tables; the arenas check themselves.
    pub(crate) fn check(gpu: &Gpu, length: Length) -> Result<()> {
        length.check(gpu)?;
        check_limit("cursors", "max_buffer_size", (length.chunk * CURSOR) as u64, gpu.limits.max_buffer_size)
    }

    /// The tables' names and bytes.
    pub(crate) fn tables(length: Length) -> impl Iterator<Item = (&'static str, u64)> {
        length.bytes().into_iter().chain([("cursors", (length.chunk * CURSOR) as u64)])
    }

    pub(crate) async fn new(gpu: &Gpu, arenas: &Arenas, optimizer: Optimizer, length: Length) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let [parameters, state, activations, deltas, parts, rows, metrics] = arenas.bytes(optimizer);
        let role = async |(name, bytes)| gpu.buffer(name, bytes, ARENA).await;
        let Length { chunk, behind, .. } = length;
        let [(name, table), ..] = length.bytes();
        let buffers = Self {
            chunk,
            behind,
            parameters: role(parameters).await?,
            state: role(state).await?,
            activations: role(activations).await?,
            deltas: role(deltas).await?,
            rows: role(rows).await?,
            metrics: role(metrics).await?,
            steps: role((name, table)).await?,
            cursors: gpu.buffer("cursors", (chunk * CURSOR) as u64, uniform).await?,
            parts: role(parts).await?,
        };
        gpu.upload(&buffers.cursors, 0, &cursor_table(chunk, arenas.window));
        Ok(buffers)
    }

    /// The table of one step, its cursor, and the smallest buffers for all else: kernels are bound to what they do not use.
    pub(crate) async fn spares(gpu: &Gpu) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let spare = gpu.buffer("spare", 16, ARENA).await?;
        Ok(Self {
            chunk: 1,
            behind: 0,
            steps: gpu.buffer("steps", size_of::<Step>() as u64, ARENA).await?,
            cursors: gpu.buffer("cursors", PAIR, uniform).await?,
            parameters: spare.clone(),
            state: spare.clone(),
            activations: spare.clone(),
            deltas: spare.clone(),
            rows: spare.clone(),
            metrics: spare.clone(),
            parts: spare,
        })
    }

    /// The bindings of `shaders/step.wgsl`, in order.
    pub(crate) const fn of_step(&self) -> [&wgpu::Buffer; 7] {
        let Self { cursors, steps, parameters, state, activations, deltas, parts, .. } = self;
        [cursors, steps, parameters, state, activations, deltas, parts]
    }
}

/// `Cursor` of `shaders/table.wgsl` for every step of a chunk, each at its dynamic offset.
fn cursor_table(steps: usize, window: usize) -> Vec<u8> {
    let mut table = vec![0; steps * CURSOR];
    for (step, cursor) in table.chunks_exact_mut(CURSOR).enumerate() {
        let pair = [step as u32, (step % window) as u32];
        cursor[..PAIR as usize].copy_from_slice(bytemuck::cast_slice(&pair));
    }
    table
}
