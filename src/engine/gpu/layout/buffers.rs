//! The buffers of a training: one a role, allocated once.

use crate::{
    engine::{
        gpu::{
            device::{Gpu, bindings::PAIR_BYTES},
            layout::{arenas::Arenas, chunk::ChunkDims},
        },
        step::Step,
    },
    error::{Result, check_limit},
    optim::optimizer::Optimizer,
};

/// What an arena may be used for: kernels, and copies either way.
pub(crate) const ARENA_USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// Bytes between two cursors: the largest alignment that a device may ask of a dynamic offset.
pub(crate) const CURSOR_STRIDE: usize = 256;

/// What kernels are bound to. A clone is the same buffers.
#[derive(Clone)]
pub(crate) struct Buffers {
    /// The most steps a chunk has.
    pub(crate) max_chunk_steps: usize,
    /// How many steps without rows stand behind its last.
    pub(crate) padding_steps: usize,
    pub(crate) parameters: wgpu::Buffer,
    pub(crate) state: wgpu::Buffer,
    pub(crate) activations: wgpu::Buffer,
    pub(crate) deltas: wgpu::Buffer,
    pub(crate) rows: wgpu::Buffer,
    pub(crate) metrics: wgpu::Buffer,
    /// A row for every step of a chunk and model.
    pub(crate) step_table: wgpu::Buffer,
    /// Where each step of a chunk stands, at the dynamic offsets of its bindings.
    pub(crate) cursors: wgpu::Buffer,
    pub(crate) partial_sums: wgpu::Buffer,
}

impl Buffers {
    /// Refuses a device that cannot hold the tables; the arenas check themselves.
    pub(crate) fn check(gpu: &Gpu, length: ChunkDims) -> Result<()> {
        length.check(gpu)?;
        check_limit("cursors", "max_buffer_size", (length.max_steps * CURSOR_STRIDE) as u64, gpu.limits.max_buffer_size)
    }

    /// The tables' names and bytes.
    pub(crate) fn tables(length: ChunkDims) -> impl Iterator<Item = (&'static str, u64)> {
        length.bytes().into_iter().chain([("cursors", (length.max_steps * CURSOR_STRIDE) as u64)])
    }

    pub(crate) async fn new(gpu: &Gpu, arenas: &Arenas, optimizer: Optimizer, length: ChunkDims) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let [parameters, state, activations, deltas, parts, rows, metrics] = arenas.arena_bytes(optimizer);
        let role = async |(name, bytes)| gpu.buffer(name, bytes, ARENA_USAGES).await;
        let ChunkDims { max_steps: chunk, padding_steps: behind, .. } = length;
        let [(name, table), ..] = length.bytes();
        let buffers = Self {
            max_chunk_steps: chunk,
            padding_steps: behind,
            parameters: role(parameters).await?,
            state: role(state).await?,
            activations: role(activations).await?,
            deltas: role(deltas).await?,
            rows: role(rows).await?,
            metrics: role(metrics).await?,
            step_table: role((name, table)).await?,
            cursors: gpu.buffer("cursors", (chunk * CURSOR_STRIDE) as u64, uniform).await?,
            partial_sums: role(parts).await?,
        };
        gpu.upload(&buffers.cursors, 0, &cursor_table(chunk, arenas.window_steps));
        Ok(buffers)
    }

    /// The table of one step, its cursor, and the smallest buffers for all else: kernels are bound to what they do not use.
    pub(crate) async fn minimal(gpu: &Gpu) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let spare = gpu.buffer("spare", 16, ARENA_USAGES).await?;
        Ok(Self {
            max_chunk_steps: 1,
            padding_steps: 0,
            step_table: gpu.buffer("steps", size_of::<Step>() as u64, ARENA_USAGES).await?,
            cursors: gpu.buffer("cursors", PAIR_BYTES, uniform).await?,
            parameters: spare.clone(),
            state: spare.clone(),
            activations: spare.clone(),
            deltas: spare.clone(),
            rows: spare.clone(),
            metrics: spare.clone(),
            partial_sums: spare,
        })
    }

    /// The bindings of `shaders/step/step.wgsl`, in order.
    pub(crate) const fn step_bindings(&self) -> [&wgpu::Buffer; 7] {
        let Self { cursors, step_table: steps, parameters, state, activations, deltas, partial_sums: parts, .. } = self;
        [cursors, steps, parameters, state, activations, deltas, parts]
    }
}

/// `Cursor` of `shaders/step/layout.wgsl` for every step of a chunk, each at its dynamic offset.
fn cursor_table(steps: usize, window: usize) -> Vec<u8> {
    let mut table = vec![0; steps * CURSOR_STRIDE];
    for (step, cursor) in table.chunks_exact_mut(CURSOR_STRIDE).enumerate() {
        let pair = [step as u32, (step % window) as u32];
        cursor[..PAIR_BYTES as usize].copy_from_slice(bytemuck::cast_slice(&pair));
    }
    table
}
