//! What a selftest found, as a page.

use std::fmt;

use crate::{device::Device, error::Error};

/// The version of wgpu that this crate is built on.
const WGPU_VERSION: &str = "30";

/// What [`selftest`](crate::diagnostics::self_test) found on a device. Its text is a page of markdown that tells all there is to know for who reads it
/// in an issue: what the device is, what was checked, and what failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelfTestReport {
    /// What the device is, and what was tested on it: names and values, in the order in which they are printed.
    pub about: Vec<(&'static str, String)>,
    /// One a check, in the order in which they were made.
    pub checks: Vec<SelfTestCheck>,
    /// Why it ended before all checks were made, if it did: the device was lost, or did not answer in time.
    pub aborted: Option<Error>,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SelfTestCheck {
    /// The checks that it stands among.
    pub group: &'static str,
    /// What was checked: how it was computed, of which network, with which members of the families.
    pub name: String,
    /// Which of the numbers that were compared lies furthest away, in units of its tolerance.
    pub quantity: String,
    /// How far it lies away, in units of the largest entry of its tensor; for counts, by how many.
    pub error: f64,
    /// How far it may.
    pub tolerance: f64,
    /// Whether everything was within its tolerance.
    pub passed: bool,
    /// Why there is nothing to compare, if there is not: a kernel was refused, say.
    pub failure: Option<Error>,
}

impl SelfTestReport {
    /// Of a device on which nothing was checked yet.
    pub(crate) fn new(device: &Device) -> Self {
        Self { about: describe_device(device), checks: Vec::new(), aborted: None }
    }

    /// Whether all checks were made and passed.
    pub fn passed(&self) -> bool {
        self.aborted.is_none() && self.failures().next().is_none()
    }

    /// The checks that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &SelfTestCheck> {
        self.checks.iter().filter(|finding| !finding.passed)
    }

    /// The parts, in the order in which they are first checked.
    fn groups(&self) -> Vec<&'static str> {
        let mut parts = Vec::new();
        for finding in &self.checks {
            if !parts.contains(&finding.group) {
                parts.push(finding.group);
            }
        }
        parts
    }
}

impl SelfTestCheck {
    /// The error in units of the tolerance: above 1 the check failed.
    pub fn error_ratio(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { self.error / self.tolerance }
    }
}

impl fmt::Display for SelfTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, failed) = (self.checks.len(), self.failures().count());
        let verdict = match (&self.aborted, failed) {
            (Some(error), _) => format!("ended after {all} checks, {failed} of them failed: {error}"),
            (None, 0) => format!("all {all} checks passed"),
            (None, failed) => format!("{failed} of {all} checks failed"),
        };
        writeln!(f, "## gradus selftest: {verdict}\n")?;
        for (name, value) in &self.about {
            writeln!(f, "- {name}: {value}")?;
        }
        writeln!(f, "\n| checks | passed | largest error | of its tolerance | where |\n|---|---|---|---|---|")?;
        for part in self.groups() {
            let some = || self.checks.iter().filter(|finding| finding.group == part);
            let (count, passed) = (some().count(), some().filter(|finding| finding.passed).count());
            let worst = some().filter(|finding| finding.failure.is_none());
            match worst.max_by(|one, other| one.error_ratio().total_cmp(&other.error_ratio())) {
                Some(worst) => writeln!(
                    f,
                    "| {part} | {passed} of {count} | {:.1e} | {:.0} % | {}: {} |",
                    worst.error,
                    100.0 * worst.error_ratio(),
                    worst.name,
                    worst.quantity
                )?,
                None => writeln!(f, "| {part} | {passed} of {count} | | | |")?,
            }
        }
        if failed > 0 {
            writeln!(f, "\nFailed:\n")?;
        }
        self.failures().try_for_each(|finding| writeln!(f, "- {finding}"))
    }
}

impl fmt::Display for SelfTestCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group: part, name: check, quantity: what, error, tolerance, failure, .. } = self;
        write!(f, "{part}: {check}: ")?;
        match failure {
            // wgpu says it in many lines.
            Some(error) => f.write_str(error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").as_str()),
            None if what.is_empty() => f.write_str("nothing was compared"),
            None => write!(f, "{what} off by {error:.1e}, tolerance {tolerance:.1e}"),
        }
    }
}

/// What a device is.
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
        (wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES, "times of dispatches"),
    ];
    let used: Vec<_> = used.iter().filter(|(feature, _)| features.contains(*feature)).map(|(_, name)| *name).collect();
    about.push(("features", if used.is_empty() { "none that is used".to_owned() } else { used.join(", ") }));
    about
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_wgpu_is_that_of_the_manifest() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("\nwgpu = {{ version = \"{WGPU_VERSION}.")));
    }
}
