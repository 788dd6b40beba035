//! How many steps go into a chunk: enough that the host is not the bottleneck, few enough that no watchdog fires and no
//! interface freezes.

use std::collections::VecDeque;
#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

use crate::{engine::gpu::device::Gpu, error::Result};

/// Chunks that may be under way before the host waits for the oldest.
pub(crate) const IN_FLIGHT: usize = 3;

pub(crate) struct Pace {
    /// Steps a chunk, where the caller said so.
    fixed: Option<usize>,
    /// Seconds of device time a chunk may take.
    budget: f64,
    /// Seconds a step takes: guessed first, then measured.
    step: f64,
    in_flight: VecDeque<(wgpu::SubmissionIndex, usize)>,
    /// Since when the device is busy with the chunks in flight.
    #[cfg(not(target_family = "wasm"))]
    since: Option<Instant>,
}

impl Pace {
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
            fixed,
            budget,
            step: flop as f64 / speed + dispatches as f64 * dispatch,
            in_flight: VecDeque::with_capacity(IN_FLIGHT + 1),
            #[cfg(not(target_family = "wasm"))]
            since: None,
        }
    }

    /// Steps for the next chunk.
    pub(crate) fn steps(&self) -> usize {
        self.fixed.unwrap_or((self.budget / self.step) as usize).max(1)
    }

    /// Notes that chunks follow, one after the other, on a device that is idle.
    pub(crate) fn start(&mut self) {
        // What a run left that ended with an error.
        self.in_flight.clear();
        #[cfg(not(target_family = "wasm"))]
        {
            self.since = Some(Instant::now());
        }
    }

    /// Notes a chunk of `steps`; if too many are under way, waits for the oldest and learns how long a step takes.
    pub(crate) async fn submitted(&mut self, gpu: &Gpu, submission: wgpu::SubmissionIndex, steps: usize) -> Result<()> {
        self.in_flight.push_back((submission, steps));
        if self.in_flight.len() > IN_FLIGHT
            && let Some((oldest, steps)) = self.in_flight.pop_front()
        {
            gpu.wait(oldest).await?;
            self.learn(steps);
        }
        Ok(())
    }

    /// Notes that all chunks are done.
    pub(crate) fn drained(&mut self) {
        let steps = self.in_flight.drain(..).map(|(_, steps)| steps).sum();
        self.learn(steps);
        #[cfg(not(target_family = "wasm"))]
        {
            self.since = None;
        }
    }

    /// The device was busy since the last wait, so that time is what `steps` took.
    #[cfg(not(target_family = "wasm"))]
    fn learn(&mut self, steps: usize) {
        let Some(since) = self.since.as_mut().filter(|_| steps > 0) else { return };
        let measured = since.elapsed().as_secs_f64() / steps as f64;
        *since = Instant::now();
        // Half of the old, so that one odd wait does not rule; at most twice as long a chunk as the last.
        self.step = (0.5 * (self.step + measured)).max(1e-7);
    }

    #[cfg(target_family = "wasm")]
    fn learn(&mut self, _: usize) {}
}
