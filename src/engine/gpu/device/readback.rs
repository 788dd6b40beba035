//! Reading buffers back: the one place that maps memory. `futures-intrusive` carries the answers of wgpu's callbacks; it
//! is dormant upstream, and nothing else of the crate knows of it.

use std::{collections::VecDeque, sync::atomic::Ordering};

use bytemuck::Pod;
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::{
    engine::gpu::device::Gpu,
    error::{Error, Result},
};

/// Two buffers that the host can map, made once: one is read while the other is filled.
pub(crate) struct ReadbackBuffers {
    buffers: [wgpu::Buffer; 2],
}

/// Reads through a pipe, oldest first. Reads that are dropped before they are finished leave the pipe as it was.
pub(crate) struct ReadbackQueue<'a, K> {
    gpu: &'a Gpu,
    buffers: &'a ReadbackBuffers,
    next_buffer: usize,
    pending: VecDeque<(K, PendingRead)>,
}

/// A read that is under way.
struct PendingRead {
    device: wgpu::Device,
    buffer: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    bytes: u64,
    /// Whether the buffer has to be unmapped.
    needs_unmap: bool,
}

impl ReadbackBuffers {
    /// A pipe for reads of up to `bytes`.
    pub(crate) async fn new(gpu: &Gpu, label: &str, bytes: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { buffers: [gpu.buffer(label, bytes, usage).await?, gpu.buffer(label, bytes, usage).await?] })
    }

    /// Reads through this pipe; `K` is what the caller calls each read by.
    pub(crate) const fn queue<'a, K>(&'a self, gpu: &'a Gpu) -> ReadbackQueue<'a, K> {
        ReadbackQueue { gpu, buffers: self, next_buffer: 0, pending: VecDeque::new() }
    }
}

impl<K> ReadbackQueue<'_, K> {
    /// Starts to read `bytes` of `source` from `offset`, after all that was submitted so far. If both sides of the pipe
    /// are taken, the older read is finished first, and `take` gets its values.
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
        let reading = PendingRead::start(self.gpu, source, offset, bytes, &self.buffers.buffers[self.next_buffer]);
        self.next_buffer = (self.next_buffer + 1) % self.buffers.buffers.len();
        self.pending.push_back((key, reading));
        Ok(())
    }

    /// Finishes the reads that are still under way.
    pub(crate) async fn finish<T: Pod>(mut self, take: &mut impl FnMut(K, Vec<T>)) -> Result<()> {
        while !self.pending.is_empty() {
            self.finish_oldest(take).await?;
        }
        self.gpu.check_after_poll().await
    }

    async fn finish_oldest<T: Pod>(&mut self, take: &mut impl FnMut(K, Vec<T>)) -> Result<()> {
        if let Some((key, reading)) = self.pending.pop_front() {
            take(key, reading.finish(self.gpu).await?);
        }
        Ok(())
    }
}

impl PendingRead {
    fn start(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, bytes: u64, into: &wgpu::Buffer) -> Self {
        let mut encoder = gpu.encoder();
        encoder.copy_buffer_to_buffer(source, offset, into, 0, bytes);
        let submission = gpu.submit(encoder);
        gpu.counts.maps.fetch_add(1, Ordering::Relaxed);
        let (sender, mapped) = oneshot_channel();
        // Made while the device was lost, the buffer is invalid, of which this is the first word.
        gpu.run_guarded("a map", || {
            into.map_async(wgpu::MapMode::Read, 0..bytes, move |answer| {
                let _ = sender.send(answer);
            });
        });
        Self { device: gpu.device.clone(), buffer: into.clone(), submission, mapped, bytes, needs_unmap: true }
    }

    async fn finish<T: Pod>(mut self, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.wait(self.submission.clone()).await?;
        match self.mapped.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                self.needs_unmap = false;
                return Err(readback_error(gpu, error.to_string()).await);
            }
            None => return Err(readback_error(gpu, "wgpu dropped it".into()).await),
        }
        let failure = match self.buffer.get_mapped_range(0..self.bytes) {
            Ok(view) => {
                #[cfg(test)]
                crate::engine::gpu::device::mutant::record_read(&view);
                return Ok(bytemuck::pod_collect_to_vec(&view));
            }
            Err(error) => error.to_string(),
        };
        Err(readback_error(gpu, failure).await)
    }
}

/// Why a read back failed: mostly because the device is gone, which the map may learn before anybody else does.
async fn readback_error(gpu: &Gpu, why: String) -> Error {
    let bug = Error::Internal { context: "a read back".into(), reason: why };
    gpu.check_alive().await.err().unwrap_or(bug)
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        if self.needs_unmap {
            // On a device that was lost the buffer is gone, which is known already: nobody has to hear of it.
            let _scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            self.buffer.unmap();
        }
    }
}

/// Reads values from `offset` bytes into a buffer, by a pipe of its own.
pub(crate) async fn read<T: Pod>(gpu: &Gpu, source: &wgpu::Buffer, offset: u64, values: usize) -> Result<Vec<T>> {
    let bytes = (values * size_of::<T>()) as u64;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    gpu.check_alive().await?;
    let staging = gpu.buffer("read back", bytes, usage).await?;
    PendingRead::start(gpu, source, offset, bytes, &staging).finish(gpu).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::tests::gpus;

    #[test]
    fn what_is_made_as_the_device_is_lost_is_read_without_a_word_to_the_callers_handler() {
        for own in gpus() {
            let gpu = Gpu::from_caller(own.device.clone(), own.queue.clone());
            gpu.device.on_uncaptured_error(std::sync::Arc::new(|error| panic!("the handler heard of it: {error}")));
            gpu.device.destroy();
            let answer = pollster::block_on(async {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
                let (source, pipe) =
                    (gpu.buffer("source", 64, usage).await?, ReadbackBuffers::new(&gpu, "pipe", 64).await?);
                let mut flow = pipe.queue(&gpu);
                flow.read((), &source, (0, 64), &mut |(), _: Vec<f32>| {}).await?;
                flow.finish(&mut |(), _: Vec<f32>| {}).await
            });
            assert!(matches!(answer, Err(Error::DeviceLost { .. })), "{}: {answer:?}", gpu.info.name);
        }
    }
}
