//! Reading a buffer back: the one place that maps memory. `futures-intrusive` carries the answer of `map_async`; it is
//! dormant upstream, and nothing else of the crate knows of it.

use std::sync::atomic::Ordering;

use bytemuck::Pod;
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::Gpu;
use crate::{Error, Result};

/// A buffer that the host can map, made once and used again and again.
pub(super) struct Staging {
    buffer: wgpu::Buffer,
}

/// A read that is under way.
pub(super) struct Reading {
    submission: wgpu::SubmissionIndex,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    bytes: u64,
}

impl Staging {
    pub(super) async fn new(gpu: &Gpu, label: &str, bytes: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { buffer: gpu.buffer(label, bytes, usage).await? })
    }

    /// Starts to read `bytes` of `source` from `offset`, after all that was submitted so far.
    pub(super) fn start(&self, gpu: &Gpu, source: &wgpu::Buffer, offset: u64, bytes: u64) -> Reading {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(source, offset, &self.buffer, 0, bytes);
        let submission = gpu.queue.submit([encoder.finish()]);
        gpu.counts.maps.fetch_add(1, Ordering::Relaxed);
        let (sender, mapped) = oneshot_channel();
        self.buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |answer| {
            let _ = sender.send(answer);
        });
        Reading { submission, mapped, bytes }
    }

    /// The values that a read brought.
    pub(super) async fn finish<T: Pod>(&self, gpu: &Gpu, reading: Reading) -> Result<Vec<T>> {
        let Reading { submission, mapped, bytes } = reading;
        gpu.wait(submission)?;
        let failed = |why: String| gpu.check().err().unwrap_or(Error::Internal { what: "a read back".into(), why });
        match mapped.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(failed(error.to_string())),
            None => return Err(failed("wgpu dropped it".into())),
        }
        let values = match self.buffer.get_mapped_range(0..bytes) {
            Ok(view) => Ok(bytemuck::pod_collect_to_vec(&view)),
            Err(error) => Err(failed(error.to_string())),
        };
        self.buffer.unmap();
        values
    }
}

/// Reads values from `offset` bytes into a buffer, by a staging buffer of its own.
pub(super) async fn read<T: Pod>(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, values: usize) -> Result<Vec<T>> {
    let bytes = (values * size_of::<T>()) as u64;
    let staging = Staging::new(gpu, "read back", bytes).await?;
    let reading = staging.start(gpu, source, offset, bytes);
    staging.finish(gpu, reading).await
}
