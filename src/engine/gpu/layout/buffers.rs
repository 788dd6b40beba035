//! The buffers of a training run. gradus allocates one buffer per role, once.

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

/// The usages of an arena: kernels bind it, and copies read and write it.
pub(crate) const ARENA_USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// The distance between two cursors in bytes: the largest alignment that WebGPU devices require of a dynamic offset.
pub(crate) const CURSOR_STRIDE: usize = 256;

/// The buffers that kernels bind. A clone refers to the same buffers.
#[derive(Clone)]
pub(crate) struct Buffers {
    /// The maximum number of steps in a chunk.
    pub(crate) max_chunk_steps: usize,
    /// The number of padding steps, which have no rows, after the last step of a chunk.
    pub(crate) padding_steps: usize,
    pub(crate) parameters: wgpu::Buffer,
    pub(crate) state: wgpu::Buffer,
    pub(crate) activations: wgpu::Buffer,
    pub(crate) deltas: wgpu::Buffer,
    pub(crate) rows: wgpu::Buffer,
    pub(crate) metrics: wgpu::Buffer,
    /// One [`Step`] per step of a chunk and member.
    pub(crate) step_table: wgpu::Buffer,
    /// One cursor per step of a chunk, at multiples of [`CURSOR_STRIDE`].
    pub(crate) cursors: wgpu::Buffer,
    pub(crate) partial_sums: wgpu::Buffer,
}

impl Buffers {
    /// Returns an error if the tables of a chunk exceed a limit of the device. [`Arenas::check`] checks the arenas.
    pub(crate) fn check(gpu: &Gpu, chunk: ChunkDims) -> Result<()> {
        chunk.check(gpu)?;
        check_limit("cursors", "max_buffer_size", (chunk.max_steps * CURSOR_STRIDE) as u64, gpu.limits.max_buffer_size)
    }

    /// Returns the names and the sizes in bytes of the tables of a chunk.
    pub(crate) fn tables(chunk: ChunkDims) -> impl Iterator<Item = (&'static str, u64)> {
        chunk.bytes().into_iter().chain([("cursors", (chunk.max_steps * CURSOR_STRIDE) as u64)])
    }

    /// Allocates all buffers and writes the cursors.
    pub(crate) async fn new(gpu: &Gpu, arenas: &Arenas, optimizer: Optimizer, chunk: ChunkDims) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let [parameters, state, activations, deltas, partial_sums, rows, metrics] = arenas.arena_bytes(optimizer);
        let allocate = async |(name, bytes)| gpu.buffer(name, bytes, ARENA_USAGES).await;
        let ChunkDims { max_steps, padding_steps, .. } = chunk;
        let [step_table, ..] = chunk.bytes();
        let buffers = Self {
            max_chunk_steps: max_steps,
            padding_steps,
            parameters: allocate(parameters).await?,
            state: allocate(state).await?,
            activations: allocate(activations).await?,
            deltas: allocate(deltas).await?,
            rows: allocate(rows).await?,
            metrics: allocate(metrics).await?,
            step_table: allocate(step_table).await?,
            cursors: gpu.buffer("cursors", (max_steps * CURSOR_STRIDE) as u64, uniform).await?,
            partial_sums: allocate(partial_sums).await?,
        };
        gpu.upload(&buffers.cursors, 0, &cursor_table(max_steps, arenas.window_steps));
        Ok(buffers)
    }

    /// Allocates a step table of one step, its cursor, and one small buffer for all other roles. A kernel needs a
    /// buffer for every binding, even for those that it does not use.
    pub(crate) async fn minimal(gpu: &Gpu) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let unused = gpu.buffer("unused", 16, ARENA_USAGES).await?;
        Ok(Self {
            max_chunk_steps: 1,
            padding_steps: 0,
            step_table: gpu.buffer("step table", size_of::<Step>() as u64, ARENA_USAGES).await?,
            cursors: gpu.buffer("cursors", PAIR_BYTES, uniform).await?,
            parameters: unused.clone(),
            state: unused.clone(),
            activations: unused.clone(),
            deltas: unused.clone(),
            rows: unused.clone(),
            metrics: unused.clone(),
            partial_sums: unused,
        })
    }

    /// Returns the buffers of the bindings in `shaders/step/step.wgsl`, in order.
    pub(crate) const fn step_bindings(&self) -> [&wgpu::Buffer; 7] {
        let Self { cursors, step_table, parameters, state, activations, deltas, partial_sums, .. } = self;
        [cursors, step_table, parameters, state, activations, deltas, partial_sums]
    }
}

/// Returns one `Cursor` of `shaders/step/layout.wgsl` per step of a chunk, at multiples of [`CURSOR_STRIDE`].
fn cursor_table(steps: usize, window_steps: usize) -> Vec<u8> {
    let mut table = vec![0; steps * CURSOR_STRIDE];
    for (step, cursor) in table.chunks_exact_mut(CURSOR_STRIDE).enumerate() {
        let pair = [step as u32, (step % window_steps) as u32];
        cursor[..PAIR_BYTES as usize].copy_from_slice(bytemuck::cast_slice(&pair));
    }
    table
}
