//! Where the time of a step goes.

use std::fmt;

/// How long each kernel of a step takes, as [`Trainer::profile`](crate::train::Trainer::profile) measured it. Its text is a
/// table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// One row a kernel, in the order in which they run.
    pub kernels: Vec<KernelTime>,
    /// Seconds a step by the wall clock, when steps run as they do in training.
    pub seconds_per_step: f64,
    /// Whether the device took the times. Otherwise each dispatch was waited for by itself, and the time of an empty
    /// submission was taken off: on small kernels that is a rough measure.
    pub uses_device_timestamps: bool,
}

/// How long one kernel takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// What it computes, and in which tile.
    pub kernel: String,
    /// Seconds a step.
    pub seconds_per_step: f64,
    /// The floating-point operations of its products, a step.
    pub flop: u64,
    /// The bytes it has to read and write at least, a step.
    pub bytes: u64,
}

impl Profile {
    /// The sum of all kernels, in seconds a step.
    pub fn kernel_seconds(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.seconds_per_step).sum()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>12} {:>6} {:>10} {:>10}", "kernel", "us a step", "%", "GFLOP/s", "GB/s")?;
        for KernelTime { kernel, seconds_per_step: seconds, flop, bytes } in &self.kernels {
            let [rate, width] = [*flop, *bytes].map(|n| n as f64 / seconds.max(1e-12) / 1e9);
            let share = 100.0 * seconds / self.kernel_seconds().max(1e-12);
            writeln!(f, "{kernel:<40} {:>12.3} {share:>6.1} {rate:>10.2} {width:>10.2}", seconds * 1e6)?;
        }
        let (sum, step) = (self.kernel_seconds() * 1e6, self.seconds_per_step * 1e6);
        let gap = 100.0 * (step - sum) / step.max(1e-12);
        let clock = if self.uses_device_timestamps { "the device's clock" } else { "the host's clock" };
        writeln!(f, "all kernels {sum:.3} us by {clock}; a step takes {step:.3} us, {gap:.0} % of it outside of them")
    }
}
