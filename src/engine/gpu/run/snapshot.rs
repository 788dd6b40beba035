//! A copy of what training changes, made and given back on the device.

use crate::{
    engine::gpu::{device::Gpu, layout::buffers::Buffers},
    error::Result,
};

/// The parameters and the optimizer's state as they were at one step.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// Each buffer and its copy.
    pairs: Vec<[wgpu::Buffer; 2]>,
}

impl Snapshot {
    /// Room for a copy; of the gradients too, where they are accumulated over steps.
    pub(crate) async fn new(gpu: &Gpu, of: &Buffers, accumulates: bool) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        gpu.check_alive().await?;
        let mut pairs = Vec::new();
        for buffer in [&of.parameters, &of.state].into_iter().chain(accumulates.then_some(&of.partial_sums)) {
            pairs.push([buffer.clone(), gpu.buffer("kept", buffer.size(), usage).await?]);
        }
        Ok(Self { pairs })
    }

    /// The copies of the parameters, the state, and the gradients where they are accumulated, else any.
    pub(crate) fn buffers(&self) -> [&wgpu::Buffer; 3] {
        let kept = |number: usize| &self.pairs[number.min(self.pairs.len() - 1)][1];
        [kept(0), kept(1), kept(2)]
    }

    /// Copies what is there now.
    pub(crate) fn take(&self, gpu: &Gpu) {
        self.copy(gpu, |[there, kept]| (there, kept));
    }

    /// Copies it back.
    pub(crate) fn restore(&self, gpu: &Gpu) {
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
