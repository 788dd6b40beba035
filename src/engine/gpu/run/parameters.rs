//! The parameters, running statistics and snapshots of all networks, read and written by the host.

use crate::{
    engine::gpu::{
        device::readback::read,
        layout::buffers::Buffers,
        run::{engine::Engine, snapshot::Snapshot},
    },
    error::Result,
};

impl Engine {
    /// Sets the parameters and the running statistics of all models, flat, and forgets the optimizer's state.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.buffers.parameters, 0, bytemuck::cast_slice(flat));
        let mut encoder = self.gpu.encoder();
        encoder.clear_buffer(&self.buffers.state, 0, None);
        if self.kernel_config.optimizer.ema_decay.is_some() {
            // The average starts as the parameters.
            let Buffers { parameters, state, .. } = &self.buffers;
            encoder.copy_buffer_to_buffer(parameters, 0, state, self.ema_offset(), parameters.size());
        }
        self.gpu.submit(encoder);
        if !statistics.is_empty() {
            self.gpu.upload(&self.buffers.state, self.statistics_offset(), bytemuck::cast_slice(statistics));
        }
    }

    /// Where the average of the parameters lies in the state, in bytes: behind what the rule keeps.
    fn ema_offset(&self) -> u64 {
        self.buffers.parameters.size() * self.kernel_config.optimizer.rule.state_per_parameter() as u64
    }

    /// Where the running statistics lie, in bytes: behind the planes of the optimizer.
    pub(crate) fn statistics_offset(&self) -> u64 {
        self.buffers.parameters.size() * self.kernel_config.optimizer.state_per_parameter() as u64
    }

    /// The running statistics of all models, flat.
    pub(crate) async fn statistics(&self) -> Result<Vec<f32>> {
        match 4 * self.arenas.statistics * self.arenas.member_count {
            0 => Ok(Vec::new()),
            len => read(&self.gpu, &self.buffers.state, self.statistics_offset(), len).await,
        }
    }

    pub(crate) const fn parameter_buffer(&self) -> &wgpu::Buffer {
        &self.buffers.parameters
    }

    /// The parameters of all models, flat.
    pub(crate) async fn parameters(&self) -> Result<Vec<f32>> {
        read(&self.gpu, &self.buffers.parameters, 0, 4 * self.arenas.parameters * self.arenas.member_count).await
    }

    /// The average of the parameters of all models, flat; none if none is kept.
    pub(crate) async fn ema_parameters(&self) -> Result<Option<Vec<f32>>> {
        if self.kernel_config.optimizer.ema_decay.is_none() {
            return Ok(None);
        }
        let len = 4 * self.arenas.parameters * self.arenas.member_count;
        read(&self.gpu, &self.buffers.state, self.ema_offset(), len).await.map(Some)
    }

    /// Keeps the parameters and the optimizer's state of all models as they are now.
    pub(crate) async fn take_snapshot(&mut self) -> Result<()> {
        let kept = self.allocate_snapshot().await?;
        kept.take(&self.gpu);
        Ok(())
    }

    /// The room for what is kept, which is made if there is none.
    pub(crate) async fn allocate_snapshot(&mut self) -> Result<Snapshot> {
        let kept = match self.snapshot.take() {
            Some(kept) => kept,
            None => Snapshot::new(&self.gpu, &self.buffers, self.generators[0].gradient_accumulation > 1).await?,
        };
        Ok(self.snapshot.insert(kept).clone())
    }

    /// Goes back to what was kept last, if anything was.
    pub(crate) fn restore(&self) {
        if let Some(kept) = &self.snapshot {
            kept.restore(&self.gpu);
        }
    }
}
