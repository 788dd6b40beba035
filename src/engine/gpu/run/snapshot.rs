//! A snapshot of everything that training changes, taken and restored on the device.

use crate::{
    engine::gpu::{device::Gpu, layout::buffers::Buffers},
    error::Result,
};

/// A copy of the parameters and the optimizer state after one step. A clone refers to the same buffers.
#[derive(Clone)]
pub(crate) struct Snapshot {
    /// The original buffers, each with its copy.
    pairs: Vec<[wgpu::Buffer; 2]>,
}

impl Snapshot {
    /// Allocates the buffers of a snapshot. With `accumulates`, the snapshot includes the gradients accumulated over
    /// steps.
    pub(crate) async fn new(gpu: &Gpu, buffers: &Buffers, accumulates: bool) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        gpu.check_alive().await?;
        let gradients = accumulates.then_some(&buffers.partial_sums);
        let mut pairs = Vec::new();
        for buffer in [&buffers.parameters, &buffers.state].into_iter().chain(gradients) {
            pairs.push([buffer.clone(), gpu.buffer("snapshot", buffer.size(), usage).await?]);
        }
        Ok(Self { pairs })
    }

    /// Returns the copies of the parameters, the state and the partial sums. Without accumulated gradients there is no
    /// copy of the partial sums, and the last buffer is the copy of the state, which the caller must ignore.
    pub(crate) fn buffers(&self) -> [&wgpu::Buffer; 3] {
        let copy = |index: usize| &self.pairs[index.min(self.pairs.len() - 1)][1];
        [copy(0), copy(1), copy(2)]
    }

    /// Copies the current values into the snapshot.
    pub(crate) fn take(&self, gpu: &Gpu) {
        self.copy(gpu, |[original, copy]| (original, copy));
    }

    /// Copies the values of the snapshot back.
    pub(crate) fn restore(&self, gpu: &Gpu) {
        self.copy(gpu, |[original, copy]| (copy, original));
    }

    /// Copies all buffers; `direction` returns the source and the destination of a pair.
    fn copy(&self, gpu: &Gpu, direction: impl Fn(&[wgpu::Buffer; 2]) -> (&wgpu::Buffer, &wgpu::Buffer)) {
        let mut encoder = gpu.encoder();
        for pair in &self.pairs {
            let (from, to) = direction(pair);
            encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        }
        gpu.submit(encoder);
    }
}
