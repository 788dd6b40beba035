//! Elapsed time. On the web there is no clock, and every time is 0.

#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

/// A stopwatch; on the web it does nothing.
#[derive(Debug)]
pub(crate) struct Clock {
    #[cfg(not(target_family = "wasm"))]
    start: Instant,
}

impl Clock {
    /// Starts the stopwatch.
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(not(target_family = "wasm"))]
            start: Instant::now(),
        }
    }

    /// Returns the seconds since the start; always 0 on the web.
    pub(crate) fn seconds(&self) -> f64 {
        #[cfg(not(target_family = "wasm"))]
        return self.start.elapsed().as_secs_f64();
        #[cfg(target_family = "wasm")]
        return 0.0;
    }
}
