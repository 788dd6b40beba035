//! The report of the self-test.

use std::fmt;

use crate::{device::Device, error::Error};

/// The version of wgpu that this crate is built on.
const WGPU_VERSION: &str = "30";

/// The report of a [`self_test`](crate::diagnostics::self_test()). Its text is a page of Markdown for issues: the
/// device, the checks and the failures.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelfTestReport {
    /// The properties of gradus, the system and the device: names and values, in the order of the page.
    pub about: Vec<(&'static str, String)>,
    /// The checks, in the order in which they ran.
    pub checks: Vec<SelfTestCheck>,
    /// The error that aborted the test before its last check: a lost device or a timeout.
    pub aborted: Option<Error>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelfTestCheck {
    /// The group of checks that it belongs to.
    pub group: &'static str,
    /// The name of the check: its scheme, network, loss, optimizer and options.
    pub name: String,
    /// The compared quantity with the largest error relative to its tolerance.
    pub quantity: String,
    /// The error of that quantity, relative to the maximum absolute value of its tensor. For counts it is absolute.
    pub error: f64,
    /// The tolerance of the error.
    pub tolerance: f64,
    /// Whether every quantity was within its tolerance.
    pub passed: bool,
    /// The error that prevented a comparison, for example a kernel that the driver rejected.
    pub failure: Option<Error>,
}

impl SelfTestReport {
    /// Creates a report of a device, without checks.
    pub(crate) fn new(device: &Device) -> Self {
        Self { about: describe_device(device), checks: Vec::new(), aborted: None }
    }

    /// Returns whether all checks ran and passed.
    pub fn passed(&self) -> bool {
        self.aborted.is_none() && self.failures().next().is_none()
    }

    /// Returns the checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &SelfTestCheck> {
        self.checks.iter().filter(|check| !check.passed)
    }

    /// Returns the groups of the checks, in the order in which they ran.
    fn groups(&self) -> Vec<&'static str> {
        let mut groups = Vec::new();
        for check in &self.checks {
            if !groups.contains(&check.group) {
                groups.push(check.group);
            }
        }
        groups
    }
}

impl SelfTestCheck {
    /// Returns the error divided by the tolerance. The check failed if it exceeds 1.
    pub fn error_ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.tolerance }
    }
}

impl fmt::Display for SelfTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, failed) = (self.checks.len(), self.failures().count());
        let verdict = match (&self.aborted, failed) {
            (Some(error), _) => format!("aborted after {all} checks, {failed} of them failed: {error}"),
            (None, 0) => format!("all {all} checks passed"),
            (None, failed) => format!("{failed} of {all} checks failed"),
        };
        writeln!(f, "## gradus self-test: {verdict}\n")?;
        for (name, value) in &self.about {
            writeln!(f, "- {name}: {value}")?;
        }
        writeln!(f, "\n| group | passed | largest error | error / tolerance | quantity |\n|---|---|---|---|---|")?;
        for group in self.groups() {
            let checks = || self.checks.iter().filter(|check| check.group == group);
            let (count, passed) = (checks().count(), checks().filter(|check| check.passed).count());
            let compared = checks().filter(|check| check.failure.is_none());
            match compared.max_by(|a, b| a.error_ratio().total_cmp(&b.error_ratio())) {
                Some(worst) => writeln!(
                    f,
                    "| {group} | {passed} of {count} | {:.1e} | {:.0}% | {}: {} |",
                    worst.error,
                    100.0 * worst.error_ratio(),
                    worst.name,
                    worst.quantity
                )?,
                None => writeln!(f, "| {group} | {passed} of {count} | | | |")?,
            }
        }
        if failed > 0 {
            writeln!(f, "\nFailed:\n")?;
        }
        self.failures().try_for_each(|check| writeln!(f, "- {check}"))
    }
}

impl fmt::Display for SelfTestCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, name, quantity, error, tolerance, failure, .. } = self;
        write!(f, "{group}: {name}: ")?;
        match failure {
            // The errors of wgpu have several lines; a list item has one.
            Some(error) => f.write_str(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").as_str()),
            None if quantity.is_empty() => f.write_str("no quantity was compared"),
            None => write!(f, "{quantity}: error {error:.1e}, tolerance {tolerance:.1e}"),
        }
    }
}

/// Returns the properties of gradus, the system and the device.
fn describe_device(device: &Device) -> Vec<(&'static str, String)> {
    let mut about = vec![
        ("gradus", format!("{}, wgpu {WGPU_VERSION}", env!("CARGO_PKG_VERSION"))),
        ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("device", device.to_string()),
    ];
    let Some(gpu) = device.gpu() else { return about };
    let (info, limits, features) = (&gpu.info, &gpu.limits, gpu.device.features());
    let driver = format!("{} {}", info.driver, info.driver_info).replace('\n', " ");
    about.push(("driver", driver.trim().to_owned()));
    about.push(("ids", format!("vendor {:#06x}, device {:#06x}", info.vendor, info.device)));
    let limits = [
        ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
        ("max_buffer_size", limits.max_buffer_size),
        ("max_storage_buffers_per_shader_stage", limits.max_storage_buffers_per_shader_stage.into()),
        ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup.into()),
        ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size.into()),
        ("max_compute_workgroups_per_dimension", limits.max_compute_workgroups_per_dimension.into()),
    ];
    let text = limits.map(|(name, value)| format!("{name} {value}"));
    about.push(("limits", text.join(", ")));
    let sizes = format!("subgroups of {} to {}", info.subgroup_min_size, info.subgroup_max_size);
    let used = [
        (wgpu::Features::SUBGROUP, sizes.as_str()),
        (wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES, "timestamp queries"),
    ];
    let used: Vec<_> = used.iter().filter(|(feature, _)| features.contains(*feature)).map(|(_, name)| *name).collect();
    about.push(("features", if used.is_empty() { "none".to_owned() } else { used.join(", ") }));
    about
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wgpu_version_matches_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("\nwgpu = {{ version = \"{WGPU_VERSION}.")));
    }
}
