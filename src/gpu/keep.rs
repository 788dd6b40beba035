//! A copy of what training changes, made and given back on the device.

use super::{Gpu, buffers::Buffers};
use crate::Result;

/// The parameters and the optimizer's state as they were at one step.
pub(super) struct Kept {
    parameters: wgpu::Buffer,
    state: wgpu::Buffer,
}

impl Kept {
    pub(super) async fn new(gpu: &Gpu, of: &Buffers) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        gpu.check_alive().await?;
        Ok(Self {
            parameters: gpu.buffer("kept parameters", of.parameters.size(), usage).await?,
            state: gpu.buffer("kept state", of.state.size(), usage).await?,
        })
    }

    /// Copies what is there now.
    pub(super) fn take(&self, gpu: &Gpu, from: &Buffers) {
        copy(gpu, [(&from.parameters, &self.parameters), (&from.state, &self.state)]);
    }

    /// Copies it back.
    pub(super) fn give_back(&self, gpu: &Gpu, to: &Buffers) {
        copy(gpu, [(&self.parameters, &to.parameters), (&self.state, &to.state)]);
    }
}

fn copy(gpu: &Gpu, pairs: [(&wgpu::Buffer, &wgpu::Buffer); 2]) {
    let mut encoder = gpu.encoder();
    for (from, to) in pairs {
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
    }
    gpu.submit(encoder);
}
