//! How many steps go into a chunk: enough that the host is not the bottleneck, few enough that no watchdog fires and no
//! interface freezes.

use std::collections::VecDeque;
#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

use crate::{engine::gpu::device::Gpu, error::Result};

/// Chunks that may be under way before the host waits for the oldest.
pub(crate) const MAX_CHUNKS_IN_FLIGHT: usize = 3;

pub(crate) struct ChunkPacer {
    /// Steps a chunk, where the caller said so.
    fixed_steps: Option<usize>,
    /// Seconds of device time a chunk may take.
    chunk_seconds: f64,
    /// Seconds a step takes: guessed first, then measured.
    step_seconds: f64,
    in_flight: VecDeque<(wgpu::SubmissionIndex, usize)>,
    /// Since when the device is busy with the chunks in flight.
    #[cfg(not(target_family = "wasm"))]
    busy_since: Option<Instant>,
}

impl ChunkPacer {
    /// Of steps of so many FLOP in so many dispatches, the widest of so many workgroups.
    pub(crate) fn new(
        is_software: bool,
        fixed: Option<usize>,
        flop: u64,
        (dispatches, workgroups): (usize, f64),
    ) -> Self {
        // First guesses of the budget, the speed and the cost of a dispatch; only the first chunks depend on them, but a GPU
        // that one workgroup keeps for too long is reset. No chunk is learned from on the web.
        let (budget, speed, dispatch) =
            if is_software { (0.25, 5e9, 40e-6) } else { (0.05, (1e10 * workgroups).min(1e12), 4e-6) };
        Self {
            fixed_steps: fixed,
            chunk_seconds: budget,
            step_seconds: flop as f64 / speed + dispatches as f64 * dispatch,
            in_flight: VecDeque::with_capacity(MAX_CHUNKS_IN_FLIGHT + 1),
            #[cfg(not(target_family = "wasm"))]
            busy_since: None,
        }
    }

    /// Steps for the next chunk.
    pub(crate) fn steps(&self) -> usize {
        self.fixed_steps.unwrap_or((self.chunk_seconds / self.step_seconds) as usize).max(1)
    }

    /// Notes that chunks follow, one after the other, on a device that is idle.
    pub(crate) fn start(&mut self) {
        // What a run left that ended with an error.
        self.in_flight.clear();
        #[cfg(not(target_family = "wasm"))]
        {
            self.busy_since = Some(Instant::now());
        }
    }

    /// Notes a chunk of `steps`; if too many are under way, waits for the oldest and learns how long a step takes.
    pub(crate) async fn record_submission(
        &mut self,
        gpu: &Gpu,
        submission: wgpu::SubmissionIndex,
        steps: usize,
    ) -> Result<()> {
        self.in_flight.push_back((submission, steps));
        if self.in_flight.len() > MAX_CHUNKS_IN_FLIGHT
            && let Some((oldest, steps)) = self.in_flight.pop_front()
        {
            gpu.wait(oldest).await?;
            self.update_step_seconds(steps);
        }
        Ok(())
    }

    /// Notes that all chunks are done.
    pub(crate) fn record_idle(&mut self) {
        let steps = self.in_flight.drain(..).map(|(_, steps)| steps).sum();
        self.update_step_seconds(steps);
        #[cfg(not(target_family = "wasm"))]
        {
            self.busy_since = None;
        }
    }

    /// The device was busy since the last wait, so that time is what `steps` took.
    #[cfg(not(target_family = "wasm"))]
    fn update_step_seconds(&mut self, steps: usize) {
        let Some(since) = self.busy_since.as_mut().filter(|_| steps > 0) else { return };
        let measured = since.elapsed().as_secs_f64() / steps as f64;
        *since = Instant::now();
        // Half of the old, so that one odd wait does not rule; at most twice as long a chunk as the last.
        self.step_seconds = (0.5 * (self.step_seconds + measured)).max(1e-7);
    }

    #[cfg(target_family = "wasm")]
    fn learn(&mut self, _: usize) {}
}
