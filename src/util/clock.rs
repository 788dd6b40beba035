//! Time that passes, where there is a clock: the web has none.

#[cfg(not(target_family = "wasm"))]
use std::time::Instant;

/// A clock, where there is one.
#[derive(Debug)]
pub(crate) struct Clock {
    #[cfg(not(target_family = "wasm"))]
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(not(target_family = "wasm"))]
            start: Instant::now(),
        }
    }

    /// Seconds since it was started; 0 where there is none.
    pub(crate) fn seconds(&self) -> f64 {
        #[cfg(not(target_family = "wasm"))]
        return self.start.elapsed().as_secs_f64();
        #[cfg(target_family = "wasm")]
        return 0.0;
    }
}
