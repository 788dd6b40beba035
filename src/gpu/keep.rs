//! What training changes: copied and given back on the device, and told to the host and back.

use super::{Gpu, buffers::Buffers, engine::Engine, read_back::read};
use crate::{Result, memory::Memory};

/// The parameters and the optimizer's state as they were at one step.
pub(super) struct Kept {
    /// Each buffer and its copy.
    pairs: Vec<[wgpu::Buffer; 2]>,
}

impl Kept {
    /// Room for a copy; of the gradients too, where they are accumulated over steps.
    pub(super) async fn new(gpu: &Gpu, of: &Buffers, accumulates: bool) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        gpu.check_alive().await?;
        let mut pairs = Vec::new();
        for buffer in [&of.parameters, &of.state].into_iter().chain(accumulates.then_some(&of.parts)) {
            pairs.push([buffer.clone(), gpu.buffer("kept", buffer.size(), usage).await?]);
        }
        Ok(Self { pairs })
    }

    /// The copies of the parameters, the state, and the gradients if they are accumulated.
    pub(super) fn buffers(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        self.pairs.iter().map(|[_, kept]| kept)
    }

    /// Copies what is there now.
    pub(super) fn take(&self, gpu: &Gpu) {
        self.copy(gpu, |[there, kept]| (there, kept));
    }

    /// Copies it back.
    pub(super) fn give_back(&self, gpu: &Gpu) {
        self.copy(gpu, |[there, kept]| (kept, there));
    }

    fn copy(&self, gpu: &Gpu, way: impl Fn(&[wgpu::Buffer; 2]) -> (&wgpu::Buffer, &wgpu::Buffer)) {
        let mut encoder = gpu.encoder();
        for pair in &self.pairs {
            let (from, to) = way(pair);
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        }
        gpu.submit(encoder);
    }
}

impl Engine {
    /// All that training has changed so far, of a single model.
    pub(crate) async fn memory(&self) -> Result<Memory> {
        let Buffers { parameters, state, parts, .. } = &self.buffers;
        self.unpacked(parameters, state, self.gradients_at().map(|_| parts)).await
    }

    /// All of it as it was kept last.
    pub(crate) async fn kept_memory(&self) -> Result<Option<Memory>> {
        let buffers: Vec<_> = self.kept.iter().flat_map(Kept::buffers).collect();
        let [parameters, state, parts @ ..] = &buffers[..] else { return Ok(None) };
        self.unpacked(parameters, state, parts.first().copied()).await.map(Some)
    }

    async fn unpacked(
        &self,
        parameters: &wgpu::Buffer,
        state: &wgpu::Buffer,
        parts: Option<&wgpu::Buffer>,
    ) -> Result<Memory> {
        let (gpu, len) = (&self.gpu, 4 * self.arenas.parameters);
        let statistics = 4 * self.arenas.statistics;
        let planes = self.members.optimizer.planes() * len;
        let flat = read(gpu, parameters, 0, len).await?;
        let mut kept: Vec<f32> =
            if planes + statistics > 0 { read(gpu, state, 0, planes + statistics).await? } else { Vec::new() };
        let gradients = match (parts, self.gradients_at()) {
            (Some(parts), Some(at)) => Some(read(gpu, parts, at, len).await?),
            _ => None,
        };
        let statistics = kept.split_off(planes);
        let planes = kept.chunks_exact(len).map(<[f32]>::to_vec).collect();
        Ok(Memory { parameters: flat, statistics, planes, gradients })
    }

    /// Puts all that training changes where it was, of a single model.
    pub(crate) fn set_memory(&self, memory: &Memory) {
        let upload = |buffer, at, values: &[f32]| self.gpu.upload(buffer, at, bytemuck::cast_slice(values));
        let Buffers { parameters, state, parts, .. } = &self.buffers;
        upload(parameters, 0, &memory.parameters);
        for (i, plane) in memory.planes.iter().enumerate() {
            upload(state, i as u64 * parameters.size(), plane);
        }
        if !memory.statistics.is_empty() {
            upload(state, self.statistics_at(), &memory.statistics);
        }
        if let (Some(at), Some(gradients)) = (self.gradients_at(), &memory.gradients) {
            upload(parts, at, gradients);
        }
    }

    /// Where the gradients lie in the parts, in bytes, that wait for more batches.
    fn gradients_at(&self) -> Option<u64> {
        let before = self.arenas.kept.filter(|_| self.courses[0].accumulate > 1)?;
        Some(before as u64 * self.buffers.parameters.size())
    }
}
