//! What training changes, told to the host and taken back.

use super::{buffers::Buffers, engine::Engine, keep::Kept, read_back::read};
use crate::{Result, memory::Memory};

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
