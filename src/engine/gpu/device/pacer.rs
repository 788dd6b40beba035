//! The pacing of chunks. A chunk has enough steps to keep the device busy, but too few to trigger a driver watchdog or
//! to freeze the user interface.

use std::collections::VecDeque;
#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

use crate::{engine::gpu::device::Gpu, error::Result};

/// The number of chunks in flight before the host waits for the oldest.
pub(crate) const MAX_CHUNKS_IN_FLIGHT: usize = 3;

/// A pacer, which chooses the number of steps per chunk from the measured time per step.
pub(crate) struct ChunkPacer {
    /// The number of steps per chunk, if the caller has set it.
    fixed_steps: Option<usize>,
    /// The device time that a chunk may take, in seconds.
    chunk_seconds: f64,
    /// The time of a step in seconds: first an estimate, then measured.
    step_seconds: f64,
    /// The submissions of the chunks in flight, with their numbers of steps.
    in_flight: VecDeque<(wgpu::SubmissionIndex, usize)>,
    /// The time since which the device is busy with the chunks in flight.
    #[cfg(not(target_family = "wasm"))]
    busy_since: Option<Instant>,
}

impl ChunkPacer {
    /// Creates a pacer for steps of `flop` floating-point operations in `dispatches` dispatches. The largest dispatch
    /// has `workgroups` workgroups.
    pub(crate) fn new(
        is_software: bool,
        fixed_steps: Option<usize>,
        flop: u64,
        (dispatches, workgroups): (usize, f64),
    ) -> Self {
        // Initial estimates: seconds per chunk, FLOP per second, and seconds per dispatch. Only the first chunks depend
        // on them, but the driver resets a GPU that one workgroup keeps busy for too long. On the web there is no clock
        // to replace the estimates.
        let (chunk_seconds, flop_per_second, dispatch_seconds) =
            if is_software { (0.25, 5e9, 40e-6) } else { (0.05, (1e10 * workgroups).min(1e12), 4e-6) };
        Self {
            fixed_steps,
            chunk_seconds,
            step_seconds: flop as f64 / flop_per_second + dispatches as f64 * dispatch_seconds,
            in_flight: VecDeque::with_capacity(MAX_CHUNKS_IN_FLIGHT + 1),
            #[cfg(not(target_family = "wasm"))]
            busy_since: None,
        }
    }

    /// Returns the number of steps for the next chunk.
    pub(crate) fn steps(&self) -> usize {
        self.fixed_steps.unwrap_or((self.chunk_seconds / self.step_seconds) as usize).max(1)
    }

    /// Starts the measurement of a series of chunks. The device must be idle.
    pub(crate) fn start(&mut self) {
        // A run that ended with an error may have left submissions.
        self.in_flight.clear();
        #[cfg(not(target_family = "wasm"))]
        {
            self.busy_since = Some(Instant::now());
        }
    }

    /// Adds a chunk of `steps` steps to the chunks in flight. If there are too many, it waits for the oldest and
    /// updates the time per step.
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

    /// Records that the device has finished all chunks.
    pub(crate) fn record_idle(&mut self) {
        let steps = self.in_flight.drain(..).map(|(_, steps)| steps).sum();
        self.update_step_seconds(steps);
        #[cfg(not(target_family = "wasm"))]
        {
            self.busy_since = None;
        }
    }

    /// Updates the time per step. The device was busy since the last wait, so the elapsed time is that of `steps`.
    #[cfg(not(target_family = "wasm"))]
    fn update_step_seconds(&mut self, steps: usize) {
        let Some(since) = self.busy_since.as_mut().filter(|_| steps > 0) else { return };
        let measured = since.elapsed().as_secs_f64() / steps as f64;
        *since = Instant::now();
        // The mean of the old and the new value limits the effect of one unusual wait. A chunk becomes at most twice as
        // long as the last one.
        self.step_seconds = (0.5 * (self.step_seconds + measured)).max(1e-7);
    }

    #[cfg(target_family = "wasm")]
    fn update_step_seconds(&mut self, _: usize) {}
}
