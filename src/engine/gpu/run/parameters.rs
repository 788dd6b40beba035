//! The parameters, running statistics and snapshots of all members.

use crate::{
    engine::gpu::{
        device::readback::read,
        layout::buffers::Buffers,
        run::{engine::Engine, snapshot::Snapshot},
    },
    error::Result,
};

impl Engine {
    /// Sets the parameters and the running statistics of all members, and clears the optimizer state. Both are in the
    /// order of their buffers.
    pub(crate) fn set_parameters(&mut self, parameters: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.buffers.parameters, 0, bytemuck::cast_slice(parameters));
        let mut encoder = self.gpu.encoder();
        encoder.clear_buffer(&self.buffers.state, 0, None);
        if self.kernel_config.optimizer.ema_decay.is_some() {
            // The EMA starts at the parameters.
            let Buffers { parameters, state, .. } = &self.buffers;
            encoder.copy_buffer_to_buffer(parameters, 0, state, self.ema_offset(), parameters.size());
        }
        self.gpu.submit(encoder);
        if !statistics.is_empty() {
            self.gpu.upload(&self.buffers.state, self.statistics_offset(), bytemuck::cast_slice(statistics));
        }
    }

    /// Returns the offset in bytes of the EMA in the state buffer: after the state vectors of the update rule.
    fn ema_offset(&self) -> u64 {
        self.buffers.parameters.size() * self.kernel_config.optimizer.rule.state_per_parameter() as u64
    }

    /// Returns the offset in bytes of the running statistics in the state buffer: after all state vectors.
    pub(crate) fn statistics_offset(&self) -> u64 {
        self.buffers.parameters.size() * self.kernel_config.optimizer.state_per_parameter() as u64
    }

    /// Returns the running statistics of all members, in the order of the buffer.
    pub(crate) async fn statistics(&self) -> Result<Vec<f32>> {
        match 4 * self.arenas.statistics * self.arenas.member_count {
            0 => Ok(Vec::new()),
            len => read(&self.gpu, &self.buffers.state, self.statistics_offset(), len).await,
        }
    }

    pub(crate) const fn parameter_buffer(&self) -> &wgpu::Buffer {
        &self.buffers.parameters
    }

    /// Returns the parameters of all members, in the order of the buffer.
    pub(crate) async fn parameters(&self) -> Result<Vec<f32>> {
        read(&self.gpu, &self.buffers.parameters, 0, 4 * self.arenas.parameters * self.arenas.member_count).await
    }

    /// Returns the EMA of the parameters of all members, in the order of the buffer; `None` if the optimizer has no
    /// EMA.
    pub(crate) async fn ema_parameters(&self) -> Result<Option<Vec<f32>>> {
        if self.kernel_config.optimizer.ema_decay.is_none() {
            return Ok(None);
        }
        let len = 4 * self.arenas.parameters * self.arenas.member_count;
        read(&self.gpu, &self.buffers.state, self.ema_offset(), len).await.map(Some)
    }

    /// Takes a snapshot of the parameters and the optimizer state of all members.
    pub(crate) async fn take_snapshot(&mut self) -> Result<()> {
        self.allocate_snapshot().await?.take(&self.gpu);
        Ok(())
    }

    /// Returns the buffers of the snapshot; allocates them at the first call.
    pub(crate) async fn allocate_snapshot(&mut self) -> Result<Snapshot> {
        let snapshot = match self.snapshot.take() {
            Some(snapshot) => snapshot,
            None => Snapshot::new(&self.gpu, &self.buffers, self.generators[0].gradient_accumulation > 1).await?,
        };
        Ok(self.snapshot.insert(snapshot).clone())
    }

    /// Restores the last snapshot, if there is one.
    pub(crate) fn restore(&self) {
        if let Some(snapshot) = &self.snapshot {
            snapshot.restore(&self.gpu);
        }
    }
}
