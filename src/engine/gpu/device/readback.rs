//! Reads buffers back to the host. No other file maps memory.
//!
//! `futures-intrusive` turns the callbacks of wgpu into futures. It is no longer developed, so only this file and the
//! wait for the device on the web use it.

use std::{collections::VecDeque, sync::atomic::Ordering};

use bytemuck::Pod;
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::{
    engine::gpu::device::Gpu,
    error::{Error, Result},
};

/// Two staging buffers that the host can map: the host reads one while the device fills the other.
pub(crate) struct ReadbackBuffers {
    buffers: [wgpu::Buffer; 2],
}

/// A queue of reads through the same [`ReadbackBuffers`], the oldest first.
///
/// Dropping a queue unmaps the buffers of its pending reads, so that the buffers can be used again.
pub(crate) struct ReadbackQueue<'a, K> {
    gpu: &'a Gpu,
    buffers: &'a ReadbackBuffers,
    next_buffer: usize,
    pending: VecDeque<(K, PendingRead)>,
}

/// A read that the host has submitted and not yet finished.
struct PendingRead {
    device: wgpu::Device,
    buffer: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    bytes: u64,
    /// Whether the buffer must be unmapped.
    needs_unmap: bool,
}

impl ReadbackBuffers {
    /// Creates the buffers for reads of at most `bytes` bytes.
    pub(crate) async fn new(gpu: &Gpu, label: &str, bytes: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { buffers: [gpu.buffer(label, bytes, usage).await?, gpu.buffer(label, bytes, usage).await?] })
    }

    /// Creates a queue of reads through these buffers. `K` is the type of the keys by which the caller identifies a
    /// read.
    pub(crate) const fn queue<'a, K>(&'a self, gpu: &'a Gpu) -> ReadbackQueue<'a, K> {
        ReadbackQueue { gpu, buffers: self, next_buffer: 0, pending: VecDeque::new() }
    }
}

impl<K> ReadbackQueue<'_, K> {
    /// Starts to read `bytes` bytes at `offset` of `source`, after all submissions so far. If both buffers are in use,
    /// it first finishes the older read, and passes its values to `take`.
    pub(crate) async fn read<T: Pod>(
        &mut self,
        key: K,
        source: &wgpu::Buffer,
        (offset, bytes): (u64, u64),
        take: &mut impl FnMut(K, Vec<T>),
    ) -> Result<()> {
        if self.pending.len() == self.buffers.buffers.len() {
            self.finish_oldest(take).await?;
        }
        let read = PendingRead::start(self.gpu, source, offset, bytes, &self.buffers.buffers[self.next_buffer]);
        self.next_buffer = (self.next_buffer + 1) % self.buffers.buffers.len();
        self.pending.push_back((key, read));
        Ok(())
    }

    /// Finishes the pending reads, and passes their values to `take`.
    pub(crate) async fn finish<T: Pod>(mut self, take: &mut impl FnMut(K, Vec<T>)) -> Result<()> {
        while !self.pending.is_empty() {
            self.finish_oldest(take).await?;
        }
        self.gpu.check_after_poll().await
    }

    async fn finish_oldest<T: Pod>(&mut self, take: &mut impl FnMut(K, Vec<T>)) -> Result<()> {
        if let Some((key, read)) = self.pending.pop_front() {
            take(key, read.finish(self.gpu).await?);
        }
        Ok(())
    }
}

impl PendingRead {
    fn start(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, bytes: u64, staging: &wgpu::Buffer) -> Self {
        let mut encoder = gpu.encoder();
        encoder.copy_buffer_to_buffer(source, offset, staging, 0, bytes);
        let submission = gpu.submit(encoder);
        gpu.counts.maps.fetch_add(1, Ordering::Relaxed);
        let (sender, mapped) = oneshot_channel();
        // If the device was lost before the buffer was created, the buffer is invalid, and wgpu reports it here first.
        gpu.run_guarded("buffer mapping", || {
            staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
                let _ = sender.send(result);
            });
        });
        Self { device: gpu.device.clone(), buffer: staging.clone(), submission, mapped, bytes, needs_unmap: true }
    }

    async fn finish<T: Pod>(mut self, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.wait(self.submission.clone()).await?;
        match self.mapped.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.needs_unmap = false;
                return Err(readback_error(gpu, error.to_string()).await);
            }
            None => return Err(readback_error(gpu, "wgpu dropped the callback of the mapping".into()).await),
        }
        let reason = match self.buffer.get_mapped_range(0..self.bytes) {
            Ok(view) => {
                #[cfg(test)]
                crate::engine::gpu::device::mutant::record_read(&view);
                return Ok(bytemuck::pod_collect_to_vec(&view));
            }
            Err(error) => error.to_string(),
        };
        Err(readback_error(gpu, reason).await)
    }
}

/// Returns the error of a failed read. The usual cause is a lost device, which the mapping may report before any other
/// call.
async fn readback_error(gpu: &Gpu, reason: String) -> Error {
    let internal = Error::Internal { context: "readback".into(), reason };
    gpu.check_alive().await.err().unwrap_or(internal)
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        if self.needs_unmap {
            // On a lost device the buffer is invalid. The loss is reported elsewhere, so drop this error.
            let _scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            self.buffer.unmap();
        }
    }
}

/// Reads `values` values at the byte offset `offset` of a buffer, through a staging buffer for this read alone.
pub(crate) async fn read<T: Pod>(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, values: usize) -> Result<Vec<T>> {
    let bytes = (values * size_of::<T>()) as u64;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    gpu.check_alive().await?;
    let staging = gpu.buffer("readback", bytes, usage).await?;
    PendingRead::start(gpu, source, offset, bytes, &staging).finish(gpu).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::tests::gpus;

    #[test]
    fn reading_from_a_lost_device_returns_an_error_and_does_not_call_the_callers_error_handler() {
        for owned in gpus() {
            let gpu = Gpu::from_caller(owned.device.clone(), owned.queue.clone());
            gpu.device.on_uncaptured_error(std::sync::Arc::new(|error| panic!("the handler was called: {error}")));
            gpu.device.destroy();
            let result = pollster::block_on(async {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
                let source = gpu.buffer("source", 64, usage).await?;
                let readback = ReadbackBuffers::new(&gpu, "readback", 64).await?;
                let mut queue = readback.queue(&gpu);
                queue.read((), &source, (0, 64), &mut |(), _: Vec<f32>| {}).await?;
                queue.finish(&mut |(), _: Vec<f32>| {}).await
            });
            assert!(matches!(result, Err(Error::DeviceLost { .. })), "{}: {result:?}", gpu.info.name);
        }
    }
}
