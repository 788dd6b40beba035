//! Profiles: the measured times of the kernels of a step.

use std::fmt;

/// The measured times of the kernels of a step; see [`Trainer::profile`](crate::train::Trainer::profile).
///
/// Its `Display` text is a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// One entry per kernel, in execution order.
    pub kernels: Vec<KernelTime>,
    /// Wall-clock seconds per step during normal training.
    pub seconds_per_step: f64,
    /// Whether the times of the kernels are device timestamps.
    ///
    /// Otherwise the host waits for each dispatch and subtracts the time of an empty submission, which is imprecise for
    /// small kernels.
    pub uses_device_timestamps: bool,
}

/// The measured time of a kernel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The kernel with its layer and its tile.
    pub kernel: String,
    /// Seconds per step.
    pub seconds_per_step: f64,
    /// The floating-point operations of the matmuls, per step.
    pub flop: u64,
    /// The minimum number of bytes that the kernel reads and writes, per step.
    pub bytes: u64,
}

impl Profile {
    /// Returns the sum of the times of all kernels, in seconds per step.
    pub fn kernel_seconds(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.seconds_per_step).sum()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>12} {:>6} {:>10} {:>10}", "kernel", "us per step", "%", "GFLOP/s", "GB/s")?;
        for KernelTime { kernel, seconds_per_step, flop, bytes } in &self.kernels {
            let [gflops, gb_per_s] = [*flop, *bytes].map(|count| count as f64 / seconds_per_step.max(1e-12) / 1e9);
            let percentage = 100.0 * seconds_per_step / self.kernel_seconds().max(1e-12);
            let microseconds = seconds_per_step * 1e6;
            writeln!(f, "{kernel:<40} {microseconds:>12.3} {percentage:>6.1} {gflops:>10.2} {gb_per_s:>10.2}")?;
        }
        let (kernels, step) = (self.kernel_seconds() * 1e6, self.seconds_per_step * 1e6);
        let outside = 100.0 * (step - kernels) / step.max(1e-12);
        let clock = if self.uses_device_timestamps { "device" } else { "host" };
        writeln!(
            f,
            "all kernels: {kernels:.3} us ({clock} clock); step: {step:.3} us, {outside:.0}% outside of the kernels"
        )
    }
}
