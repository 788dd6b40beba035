//! The buffers of a training: one a role, allocated once.

use super::{Gpu, arenas::Arenas, kernel::PAIR};
use crate::{Optimizer, Result, error::check_limit, step::Step};

/// What an arena may be used for: kernels, and copies either way.
pub(super) const ARENA: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_DST).union(wgpu::BufferUsages::COPY_SRC);

/// The most steps a chunk has, and the most bytes of its table of steps.
const CHUNK: (usize, usize) = (4096, 4 << 20);
/// How many windows a chunk has even if its table takes more: a submission for a few steps of many networks, or a dispatch
/// that may take more of them than there are, costs more than the table.
const WINDOWS: usize = 3;
/// Steps without rows behind a chunk's last, at most: kernels run in whole workgroups and dispatches over several steps, so
/// that they may look at as many more, but never beyond the window.
pub(super) const BEHIND: usize = 64;
/// Bytes between two cursors: the largest alignment that a device may ask of a dynamic offset.
pub(super) const CURSOR: usize = 256;

/// What kernels are bound to. A clone is the same buffers.
#[derive(Clone)]
pub(super) struct Buffers {
    /// The most steps a chunk has.
    pub(super) chunk: usize,
    /// How many steps without rows stand behind its last.
    pub(super) behind: usize,
    pub(super) parameters: wgpu::Buffer,
    pub(super) state: wgpu::Buffer,
    pub(super) activations: wgpu::Buffer,
    pub(super) deltas: wgpu::Buffer,
    pub(super) rows: wgpu::Buffer,
    pub(super) metrics: wgpu::Buffer,
    /// A row for every step of a chunk and model.
    pub(super) steps: wgpu::Buffer,
    /// Where each step of a chunk stands, at the dynamic offsets of its bindings.
    pub(super) cursors: wgpu::Buffer,
    pub(super) parts: wgpu::Buffer,
}

/// The most steps a chunk has on a device: so long are the tables of steps and cursors.
fn chunk(gpu: &Gpu, arenas: &Arenas) -> usize {
    let steps = |bytes: usize| (bytes / (arenas.models * size_of::<Step>())).saturating_sub(behind(arenas));
    let wanted = steps(CHUNK.1).max(WINDOWS * arenas.window);
    wanted.min(steps(gpu.most_bytes())).clamp(1, CHUNK.0)
}

fn behind(arenas: &Arenas) -> usize {
    BEHIND.min(arenas.window)
}

/// Bytes of the step table.
fn table(chunk: usize, arenas: &Arenas) -> u64 {
    ((chunk + behind(arenas)) * arenas.models * size_of::<Step>()) as u64
}

impl Buffers {
    /// Refuses a device that cannot hold the tables; the arenas check themselves.
    pub(super) fn check(gpu: &Gpu, arenas: &Arenas) -> Result<()> {
        let chunk = chunk(gpu, arenas);
        check_limit("steps", "max_storage_buffer_binding_size", table(chunk, arenas), gpu.most_bytes() as u64)?;
        check_limit("cursors", "max_buffer_size", (chunk * CURSOR) as u64, gpu.limits.max_buffer_size)
    }

    pub(super) async fn new(gpu: &Gpu, arenas: &Arenas, optimizer: Optimizer) -> Result<Self> {
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let [parameters, state, activations, deltas, parts, rows, metrics] = arenas.bytes(optimizer);
        let role = async |(name, bytes)| gpu.buffer(name, bytes, ARENA).await;
        let chunk = chunk(gpu, arenas);
        let buffers = Self {
            chunk,
            behind: behind(arenas),
            parameters: role(parameters).await?,
            state: role(state).await?,
            activations: role(activations).await?,
            deltas: role(deltas).await?,
            rows: role(rows).await?,
            metrics: role(metrics).await?,
            steps: role(("steps", table(chunk, arenas))).await?,
            cursors: gpu.buffer("cursors", (chunk * CURSOR) as u64, uniform).await?,
            parts: role(parts).await?,
        };
        gpu.upload(&buffers.cursors, 0, &cursor_table(chunk, arenas.window));
        Ok(buffers)
    }

    /// The table of one step, its cursor, and the smallest buffers for all else: kernels are bound to what they do not use.
    pub(super) async fn spares(gpu: &Gpu) -> Result<Self> {
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
    pub(super) const fn of_step(&self) -> [&wgpu::Buffer; 7] {
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
