//! Whether everything that this crate computes is right on the device at hand: the walk over all kernels that the tests take,
//! as a library's function.

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
    plan::Tile,
    util::blocking::blocking,
};

/// One thing that is checked.
pub(crate) struct Check {
    /// The checks that it stands among.
    pub(crate) group: &'static str,
    kind: CheckKind,
}

enum CheckKind {
    /// A training beside the reference, of so many steps.
    Case(Box<Case>, usize),
    EndToEnd(EndToEndCheck),
}

impl Check {
    /// All that is checked on a device.
    pub(crate) fn all(device: &Device) -> Vec<Self> {
        let mut tiles = Tile::ALL.to_vec();
        // The CPU engine has its own ways, and takes the networks of all tiles.
        if let Some(gpu) = device.gpu() {
            tiles.retain(|tile| tile.runs_on(gpu));
        }
        let cases = cases::all(&tiles).into_iter();
        let cases = cases.map(|(part, case, steps)| Self { group: part, kind: CheckKind::Case(Box::new(case), steps) });
        let wholes = EndToEndCheck::ALL.into_iter().filter(|whole| device.is_gpu() || !whole.needs_gpu());
        cases.chain(wholes.map(|whole| Self { group: whole.group(), kind: CheckKind::EndToEnd(whole) })).collect()
    }

    /// # Errors
    /// What went wrong before there was something to compare.
    pub(crate) async fn run(&self, device: &Device) -> Result<WorstError> {
        let device = device.with_cleared_errors();
        let found = match &self.kind {
            CheckKind::Case(case, steps) => case.run(device.gpu(), *steps).await?,
            CheckKind::EndToEnd(whole) => whole.run(&device).await?,
        };
        if let Some(gpu) = device.gpu() {
            gpu.check()?;
        }
        Ok(found)
    }

    /// Runs it and says what came of it.
    pub(crate) async fn run_to_report(&self, device: &Device) -> SelfTestCheck {
        let (found, failure) = match self.run(device).await {
            Ok(found) => (found, None),
            Err(error) => (WorstError::default(), Some(error)),
        };
        let passed = failure.is_none() && found.passed();
        let WorstError { quantity: what, error, tolerance } = found;
        SelfTestCheck { group: self.group, name: self.to_string(), quantity: what, error, tolerance, passed, failure }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            CheckKind::Case(case, _) => write!(f, "{case}"),
            CheckKind::EndToEnd(whole) => f.write_str(&whole.name()),
        }
    }
}

blocking! {
    /// Whether everything that this crate computes is right on a device: every kernel, plan and member of the families
    /// against the reference and, trained again, against itself to the last bit, gradients against finite differences,
    /// a short training against its expected losses, and what evaluations, ensembles and predictions answer. Print what
    /// it returns and put it into an issue.
    ///
    /// It trains only networks of its own, and takes some seconds, most of which the driver compiles kernels. A check
    /// that fails does not end it; a device that is lost, or does not answer in time, does.
    pub fn self_test(device: &Device) -> SelfTestReport = self_test_async(device);
}

/// The asynchronous form of [`selftest`](self_test()).
pub async fn self_test_async(device: &Device) -> SelfTestReport {
    let mut report = SelfTestReport::new(device);
    for check in Check::all(device) {
        let finding = check.run_to_report(device).await;
        let ends = matches!(finding.failure, Some(Error::DeviceLost { .. } | Error::Timeout { .. }));
        if ends {
            // What a device that is gone says of the check is nothing.
            report.aborted = finding.failure;
            break;
        }
        report.checks.push(finding);
    }
    report
}
