//! How many steps go into a chunk: enough that the host is not the bottleneck, few enough that no watchdog fires and no
//! interface freezes.

use std::collections::VecDeque;

use super::Gpu;
use crate::Result;

/// Chunks that may be under way before the host waits for the oldest.
const IN_FLIGHT: usize = 3;

pub(super) struct Pace {
    /// Steps a chunk, where the caller said so.
    fixed: Option<usize>,
    /// Seconds of device time a chunk may take.
    budget: f64,
    /// Seconds a step takes: guessed first, then measured.
    step: f64,
    in_flight: VecDeque<(wgpu::SubmissionIndex, usize)>,
    #[cfg(not(target_family = "wasm"))]
    last: Option<std::time::Instant>,
}

impl Pace {
    pub(super) fn new(is_software: bool, fixed: Option<usize>, flop: u64, dispatches: usize) -> Self {
        // First guesses of the budget, the speed and the cost of a dispatch; only the first chunks depend on them.
        let (budget, speed, dispatch) = if is_software { (0.25, 5e9, 40e-6) } else { (0.05, 1e12, 4e-6) };
        Self {
            fixed,
            budget,
            step: flop as f64 / speed + dispatches as f64 * dispatch,
            in_flight: VecDeque::with_capacity(IN_FLIGHT + 1),
            #[cfg(not(target_family = "wasm"))]
            last: None,
        }
    }

    /// Steps for the next chunk.
    pub(super) fn steps(&self) -> usize {
        self.fixed.unwrap_or((self.budget / self.step) as usize).max(1)
    }

    /// Notes a chunk of `steps`; if too many are under way, waits for the oldest and learns how long a step takes.
    pub(super) fn submitted(&mut self, gpu: &Gpu, submission: wgpu::SubmissionIndex, steps: usize) -> Result<()> {
        self.in_flight.push_back((submission, steps));
        if self.in_flight.len() <= IN_FLIGHT {
            return Ok(());
        }
        let Some((oldest, steps)) = self.in_flight.pop_front() else {
            return Ok(());
        };
        gpu.wait(oldest)?;
        self.learn(steps);
        Ok(())
    }

    /// Notes that nothing is under way any more: the time until the next chunk is not the device's.
    pub(super) fn drained(&mut self) {
        self.in_flight.clear();
        #[cfg(not(target_family = "wasm"))]
        {
            self.last = None;
        }
    }

    /// The device was busy all the time since the last wait, so that time is what `steps` took.
    #[cfg(not(target_family = "wasm"))]
    fn learn(&mut self, steps: usize) {
        let now = std::time::Instant::now();
        if let Some(last) = self.last.replace(now) {
            let measured = (now - last).as_secs_f64() / steps as f64;
            // Half of the old, so that one odd wait does not rule; at most twice as long a chunk as the last.
            self.step = (0.5 * (self.step + measured)).max(0.5 * self.step).max(1e-7);
        }
    }

    #[cfg(target_family = "wasm")]
    fn learn(&mut self, _: usize) {}
}
