//! The self-test: checks of all kernels on a device against the f64 reference, for applications and for the tests of
//! gradus.

pub(crate) mod case;
pub(crate) mod cases;
pub(crate) mod end_to_end;
#[cfg(test)]
pub(crate) mod mutants;
pub(crate) mod report;
pub(crate) mod run;
#[cfg(test)]
mod tests;
pub(crate) mod worst_error;

use std::fmt;

pub use report::{SelfTestCheck, SelfTestReport};

use crate::{
    device::Device,
    diagnostics::{case::Case, end_to_end::EndToEndCheck, worst_error::WorstError},
    error::{Error, Result},
    plan::matmul::Tile,
    util::blocking::blocking,
};

/// A check of the self-test.
pub(crate) struct Check {
    /// The name of the group of checks that it belongs to.
    pub(crate) group: &'static str,
    kind: CheckKind,
}

enum CheckKind {
    /// A training run of `steps` steps, compared with the reference.
    Case {
        case: Box<Case>,
        steps: usize,
    },
    EndToEnd(EndToEndCheck),
}

impl Check {
    /// Returns all checks for a device.
    pub(crate) fn all(device: &Device) -> Vec<Self> {
        let mut tiles = Tile::ALL.to_vec();
        // The CPU engine ignores tiles, but trains the networks of all of them.
        if let Some(gpu) = device.gpu() {
            tiles.retain(|tile| tile.runs_on(gpu));
        }
        let mut checks = Vec::new();
        for (group, case, steps) in cases::all(&tiles) {
            checks.push(Self { group, kind: CheckKind::Case { case: Box::new(case), steps } });
        }
        for check in EndToEndCheck::ALL {
            if device.is_gpu() || !check.needs_gpu() {
                checks.push(Self { group: check.group(), kind: CheckKind::EndToEnd(check) });
            }
        }
        checks
    }

    /// Runs the check and returns its worst error.
    ///
    /// # Errors
    /// The error that prevented a comparison.
    pub(crate) async fn run(&self, device: &Device) -> Result<WorstError> {
        let device = device.with_cleared_errors();
        let worst = match &self.kind {
            CheckKind::Case { case, steps } => case.run(device.gpu(), *steps).await?,
            CheckKind::EndToEnd(check) => check.run(&device).await?,
        };
        if let Some(gpu) = device.gpu() {
            gpu.check()?;
        }
        Ok(worst)
    }

    /// Runs the check and returns its entry in the report.
    pub(crate) async fn run_to_report(&self, device: &Device) -> SelfTestCheck {
        let (worst, failure) = match self.run(device).await {
            Ok(worst) => (worst, None),
            Err(error) => (WorstError::default(), Some(error)),
        };
        let passed = failure.is_none() && worst.passed();
        let WorstError { quantity, error, tolerance } = worst;
        SelfTestCheck { group: self.group, name: self.to_string(), quantity, error, tolerance, passed, failure }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CheckKind::Case { case, .. } => write!(f, "{case}"),
            CheckKind::EndToEnd(check) => f.write_str(&check.name()),
        }
    }
}

blocking! {
    /// Tests all computations of gradus on a device, and returns a report. Include the report in issues.
    ///
    /// The test compares every kernel, scheme, activation, loss and optimizer with the f64 reference, and repeats every
    /// training to compare its bits. It compares gradients with finite differences, and checks evaluations, ensembles
    /// and predictions.
    ///
    /// It takes some seconds, most of which the driver spends on compiling kernels. A failed check does not stop the
    /// test. A lost device or a timeout does.
    #[doc(alias = "selftest")]
    #[doc(alias = "diagnose")]
    pub fn self_test(device: &Device) -> SelfTestReport = self_test_async(device);
}

/// The asynchronous form of [`self_test`].
pub async fn self_test_async(device: &Device) -> SelfTestReport {
    let mut report = SelfTestReport::new(device);
    for check in Check::all(device) {
        let result = check.run_to_report(device).await;
        if matches!(result.failure, Some(Error::DeviceLost { .. } | Error::Timeout { .. })) {
            // The report does not list this check: a lost device says nothing about its kernels.
            report.aborted = result.failure;
            break;
        }
        report.checks.push(result);
    }
    report
}
