//! Learning rate schedules: the factor by which each update multiplies the learning rate of the optimizer.

use std::f64::consts::PI;

use crate::{
    error::Result,
    optim::bounds::{check_at_least_one, check_not_negative, check_number},
};

/// A learning rate schedule: a factor in [0, 1] per update, which multiplies the learning rate of the optimizer.
///
/// In the formulas `t` is the number of the update, counted from 0. A schedule with an end keeps its last factor after
/// it. Names such as `StepLR` refer to `torch.optim.lr_scheduler`.
///
/// ```
/// use gradus::Schedule;
/// let schedule = Schedule::cosine(1000).with_warmup(100);
/// assert_eq!(schedule.factor(100, 10), 1.0);
/// assert_eq!(schedule.factor(1100, 10), 0.0);
/// ```
#[doc(alias = "lr_scheduler")]
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// The constant factor 1.
    Constant,
    /// The factor `factor^floor(t / step_size)` (`StepLR`).
    Step {
        /// The number of updates between two multiplications, at least 1.
        step_size: u64,
        /// The factor of each multiplication, in [0, 1].
        #[doc(alias = "gamma")]
        factor: f64,
    },
    /// The factor `factor^n`, where `n` is the number of milestones `<= t` (`MultiStepLR`).
    MultiStep {
        /// The updates that multiply the learning rate by the factor, in any order.
        milestones: Vec<u64>,
        /// The factor of each milestone, in [0, 1].
        #[doc(alias = "gamma")]
        factor: f64,
    },
    /// The factor `factor^t` (`ExponentialLR`).
    Exponential {
        /// The factor per update, in [0, 1].
        #[doc(alias = "gamma")]
        factor: f64,
    },
    /// The factor `(1 - t / total_steps)^power`, and 0 for `t >= total_steps` (`PolynomialLR`).
    Polynomial {
        /// The number of updates until the factor is 0, at least 1.
        total_steps: u64,
        /// The exponent, a finite number >= 0; 1 for a linear decrease.
        power: f64,
    },
    /// The factor `min_factor + (1 - min_factor) (1 + cos(pi t / period)) / 2` (Loshchilov and Hutter 2017).
    ///
    /// Without restarts the factor stays at `min_factor` for `t >= period` (`CosineAnnealingLR`, which rises again).
    /// With restarts `t` is counted from the last restart (`CosineAnnealingWarmRestarts`).
    CosineAnnealing {
        /// The number of updates in the first period, at least 1 (`T_max`, `T_0`).
        #[doc(alias = "T_max")]
        period: u64,
        /// The factor by which each period is longer than the previous one, at least 1 (`T_mult`), or `None` for no
        /// restarts.
        #[doc(alias = "T_mult")]
        period_factor: Option<u64>,
        /// The minimum factor, in [0, 1] (`eta_min`, divided by the learning rate).
        #[doc(alias = "eta_min")]
        min_factor: f64,
    },
    /// The one-cycle schedule (Smith and Topin 2019; `OneCycleLR` without its momentum).
    ///
    /// The factor rises along half a cosine from `start_factor` to 1 at `t = warmup_fraction total_steps - 1`. It then
    /// falls along half a cosine to `end_factor` at `t = total_steps - 1`.
    OneCycle {
        /// The number of updates, at least 1.
        total_steps: u64,
        /// The fraction of the updates in which the factor rises, in [0, 1] (`pct_start`).
        #[doc(alias = "pct_start")]
        warmup_fraction: f64,
        /// The first factor, in [0, 1] (`1 / div_factor`).
        #[doc(alias = "div_factor")]
        start_factor: f64,
        /// The last factor, in [0, 1] (`1 / (div_factor final_div_factor)`).
        #[doc(alias = "final_div_factor")]
        end_factor: f64,
    },
    /// The factor `(1 + t scale)^-power`.
    ///
    /// For `learning_rate="invscaling"` of scikit-learn, use this schedule [per epoch](Schedule::PerEpoch), with the
    /// number of rows as `scale`.
    #[doc(alias = "invscaling")]
    InverseScaling {
        /// The factor of `t`, a finite number >= 0.
        scale: f64,
        /// The exponent, a finite number >= 0.
        #[doc(alias = "power_t")]
        power: f64,
    },
    /// A linear warmup `start_factor + (1 - start_factor) t / steps` for `t < steps`, followed by another schedule,
    /// which counts its updates from 0 (`LinearLR` in a `SequentialLR`).
    #[doc(alias = "LinearLR")]
    Warmup {
        /// The number of updates of the warmup.
        steps: u64,
        /// The first factor, in [0, 1].
        start_factor: f64,
        /// The schedule after the warmup.
        schedule: Box<Schedule>,
    },
    /// A schedule whose `t` counts epochs, as in PyTorch if `step()` is called after every epoch.
    ///
    /// With gradient accumulation, an update belongs to the epoch of its first batch.
    PerEpoch(Box<Schedule>),
}

impl Schedule {
    /// Creates a schedule that multiplies the learning rate by 0.1 every `step_size` updates; see [`Schedule::Step`].
    pub const fn step(step_size: u64) -> Self {
        Self::Step { step_size, factor: 0.1 }
    }

    /// Creates a schedule that multiplies the learning rate by 0.1 at each milestone; see [`Schedule::MultiStep`].
    pub fn multi_step(milestones: impl Into<Vec<u64>>) -> Self {
        Self::MultiStep { milestones: milestones.into(), factor: 0.1 }
    }

    /// Creates a schedule that multiplies the learning rate by `factor` after every update; see
    /// [`Schedule::Exponential`].
    pub const fn exponential(factor: f64) -> Self {
        Self::Exponential { factor }
    }

    /// Creates a schedule that decreases the learning rate linearly to 0 over `total_steps` updates; see
    /// [`Schedule::Polynomial`].
    #[doc(alias = "linear")]
    pub const fn polynomial(total_steps: u64) -> Self {
        Self::Polynomial { total_steps, power: 1.0 }
    }

    /// Creates a schedule that decreases the learning rate to 0 along half a cosine over `period` updates, without
    /// restarts; see [`Schedule::CosineAnnealing`].
    pub const fn cosine(period: u64) -> Self {
        Self::CosineAnnealing { period, period_factor: None, min_factor: 0.0 }
    }

    /// Creates a schedule that decreases the learning rate toward 0 along half a cosine, and restarts every `period`
    /// updates; see [`Schedule::CosineAnnealing`].
    pub const fn cosine_restarts(period: u64) -> Self {
        Self::CosineAnnealing { period, period_factor: Some(1), min_factor: 0.0 }
    }

    /// Creates a one-cycle schedule with the defaults of PyTorch: it rises from 1/25 over 30% of the updates, and then
    /// falls to 1/250,000; see [`Schedule::OneCycle`].
    pub const fn one_cycle(total_steps: u64) -> Self {
        Self::OneCycle { total_steps, warmup_fraction: 0.3, start_factor: 1.0 / 25.0, end_factor: 1.0 / 25e4 }
    }

    /// Creates a schedule with the factor `1 / sqrt(1 + t scale)`; see [`Schedule::InverseScaling`].
    pub const fn inverse_scaling(scale: f64) -> Self {
        Self::InverseScaling { scale, power: 0.5 }
    }

    /// Puts a linear warmup before this schedule. The factor rises from 1/3, the default of PyTorch, to 1 over `steps`
    /// updates.
    pub fn with_warmup(self, steps: u64) -> Self {
        Self::Warmup { steps, start_factor: 1.0 / 3.0, schedule: Box::new(self) }
    }

    /// Makes this schedule count epochs instead of updates.
    pub fn per_epoch(self) -> Self {
        Self::PerEpoch(Box::new(self))
    }

    /// Returns at least one schedule of every variant, for tests.
    #[doc(hidden)]
    pub fn examples() -> Vec<Self> {
        vec![
            Self::Constant,
            Self::step(20),
            Self::multi_step([15, 40]),
            Self::exponential(0.95),
            Self::polynomial(50),
            Self::cosine(50),
            Self::CosineAnnealing { period: 10, period_factor: Some(2), min_factor: 0.01 },
            Self::one_cycle(60),
            Self::inverse_scaling(0.1),
            Self::cosine(50).with_warmup(10),
            Self::step(3).per_epoch(),
        ]
    }

    /// Returns the factor of the learning rate for update `update`, counted from 0.
    ///
    /// A period or an epoch of 0 updates acts as one of 1 update.
    pub fn factor(&self, update: u64, updates_per_epoch: u64) -> f64 {
        self.factor_at_step(update, 1, updates_per_epoch)
    }

    /// Returns the factor for update `update`, where an update has `steps_per_update` steps and an epoch has
    /// `steps_per_epoch` steps. An epoch may end within an update.
    pub(crate) fn factor_at_step(&self, update: u64, steps_per_update: u64, steps_per_epoch: u64) -> f64 {
        let t = update as f64;
        match self {
            Self::Constant => 1.0,
            Self::Step { step_size, factor } => libm::pow(*factor, (update / step_size.max(&1)) as f64),
            Self::MultiStep { milestones, factor } => {
                let passed = milestones.iter().filter(|milestone| **milestone <= update).count();
                libm::pow(*factor, passed as f64)
            }
            Self::Exponential { factor } => libm::pow(*factor, t),
            Self::Polynomial { total_steps, .. } if update >= *total_steps => 0.0,
            Self::Polynomial { total_steps, power } => libm::pow(1.0 - t / *total_steps as f64, *power),
            Self::CosineAnnealing { period, period_factor, min_factor } => {
                let Restart { updates_since, period } = last_restart(update, (*period).max(1), *period_factor);
                half_cosine(1.0, *min_factor, updates_since as f64, period as f64)
            }
            Self::OneCycle { total_steps, warmup_fraction, start_factor, end_factor } => {
                let (peak, end) = (warmup_fraction * *total_steps as f64 - 1.0, *total_steps as f64 - 1.0);
                if t <= peak {
                    half_cosine(*start_factor, 1.0, t, peak)
                } else {
                    half_cosine(1.0, *end_factor, t - peak, end - peak)
                }
            }
            Self::InverseScaling { scale, power } => libm::pow(1.0 + t * scale, -power),
            Self::Warmup { steps, start_factor, .. } if update < *steps => {
                start_factor + (1.0 - start_factor) * (t / *steps as f64)
            }
            Self::Warmup { steps, schedule, .. } => {
                schedule.factor_at_step(update - steps, steps_per_update, steps_per_epoch)
            }
            Self::PerEpoch(schedule) => {
                let epoch = u128::from(update) * u128::from(steps_per_update) / u128::from(steps_per_epoch.max(1));
                schedule.factor(u64::try_from(epoch).unwrap_or(u64::MAX), 1)
            }
        }
    }

    /// Returns whether the schedule counts epochs from the end of a warmup.
    pub(crate) fn counts_epochs_after_warmup(&self) -> bool {
        let Self::Warmup { schedule, .. } = self else { return false };
        matches!(**schedule, Self::PerEpoch(_)) || schedule.counts_epochs_after_warmup()
    }

    /// Returns an error if a number is out of its range, so that a factor could be NaN or greater than 1.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) with the name of the field.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Constant => Ok(()),
            Self::Step { step_size, factor } => {
                check_at_least_one("schedule: step_size", *step_size)?;
                check_fraction("schedule: factor", *factor)
            }
            Self::MultiStep { factor, .. } | Self::Exponential { factor } => {
                check_fraction("schedule: factor", *factor)
            }
            Self::Polynomial { total_steps, power } => {
                check_at_least_one("schedule: total_steps", *total_steps)?;
                check_not_negative("schedule: power", *power)
            }
            Self::CosineAnnealing { period, period_factor, min_factor } => {
                check_at_least_one("schedule: period", *period)?;
                check_at_least_one("schedule: period_factor", period_factor.unwrap_or(1))?;
                check_fraction("schedule: min_factor", *min_factor)
            }
            Self::OneCycle { total_steps, warmup_fraction, start_factor, end_factor } => {
                check_at_least_one("schedule: total_steps", *total_steps)?;
                check_fraction("schedule: warmup_fraction", *warmup_fraction)?;
                check_fraction("schedule: start_factor", *start_factor)?;
                check_fraction("schedule: end_factor", *end_factor)
            }
            Self::InverseScaling { scale, power } => {
                check_not_negative("schedule: scale", *scale)?;
                check_not_negative("schedule: power", *power)
            }
            Self::Warmup { start_factor, schedule, .. } => {
                check_fraction("schedule: start_factor", *start_factor)?;
                schedule.check()
            }
            Self::PerEpoch(schedule) => schedule.check(),
        }
    }
}

/// The last restart of a cosine schedule before an update.
struct Restart {
    /// The number of updates since the restart.
    updates_since: u64,
    /// The number of updates in the period that began with the restart.
    period: u64,
}

fn last_restart(update: u64, period: u64, period_factor: Option<u64>) -> Restart {
    match period_factor {
        None => Restart { updates_since: update, period },
        Some(0 | 1) => Restart { updates_since: update % period, period },
        Some(period_factor) => {
            let mut restart = Restart { updates_since: update, period };
            while restart.updates_since >= restart.period {
                restart.updates_since -= restart.period;
                restart.period = restart.period.saturating_mul(period_factor);
            }
            restart
        }
    }
}

/// Returns the value at `t` of half a cosine that goes from `from` at 0 to `to` at `period`, and stays there.
fn half_cosine(from: f64, to: f64, t: f64, period: f64) -> f64 {
    if t < period { to + (from - to) * (1.0 + libm::cos(PI * t / period)) / 2.0 } else { to }
}

/// Checks that `got` is in `[0, 1]`.
fn check_fraction(name: &'static str, got: f64) -> Result<()> {
    check_number(name, got, (0.0..=1.0).contains(&got), "a number in [0, 1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Returns schedules with the smallest and largest valid numbers.
    fn edge_cases() -> Vec<Schedule> {
        vec![
            Schedule::multi_step([]),
            Schedule::exponential(0.0),
            Schedule::exponential(1.0),
            Schedule::Polynomial { total_steps: 1, power: 0.0 },
            Schedule::cosine(1),
            Schedule::cosine_restarts(1),
            Schedule::CosineAnnealing { period: 1, period_factor: Some(2), min_factor: 1.0 },
            Schedule::CosineAnnealing { period: u64::MAX, period_factor: Some(u64::MAX), min_factor: 0.0 },
            Schedule::one_cycle(1),
            Schedule::one_cycle(u64::MAX),
            Schedule::OneCycle { total_steps: 10, warmup_fraction: 0.0, start_factor: 0.0, end_factor: 0.0 },
            Schedule::OneCycle { total_steps: 10, warmup_fraction: 0.1, start_factor: 0.0, end_factor: 0.0 },
            Schedule::OneCycle { total_steps: 10, warmup_fraction: 1.0, start_factor: 0.0, end_factor: 1.0 },
            Schedule::InverseScaling { scale: f64::MAX, power: f64::MAX },
            Schedule::InverseScaling { scale: f64::MAX, power: 0.0 },
            Schedule::Constant.with_warmup(0),
            Schedule::Constant.with_warmup(u64::MAX),
        ]
    }

    #[test]
    fn every_factor_is_in_0_to_1_even_in_late_updates() {
        // The examples end at update 50 or 60, the edge cases at 1 or 10.
        let late = [u64::MAX / 2 - 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for schedule in Schedule::examples().into_iter().chain(edge_cases()) {
            schedule.check().unwrap();
            for update in (0..200).chain(late) {
                for updates_per_epoch in [0, 1, 7, u64::MAX] {
                    let factor = schedule.factor(update, updates_per_epoch);
                    assert!((0.0..=1.0).contains(&factor), "{schedule:?}: factor {factor} at update {update}");
                }
            }
        }
    }

    #[test]
    fn schedule_keeps_its_last_factor_after_its_end() {
        for (schedule, end, last) in [
            (Schedule::multi_step([15, 40]), 40, 0.01),
            (Schedule::polynomial(50), 50, 0.0),
            (Schedule::CosineAnnealing { period: 50, period_factor: None, min_factor: 0.25 }, 50, 0.25),
            (Schedule::one_cycle(60), 59, 1.0 / 25e4),
            (Schedule::Constant.with_warmup(10), 10, 1.0),
            (Schedule::polynomial(50).with_warmup(10).per_epoch(), 60 * 7, 0.0),
        ] {
            let before_end = schedule.factor(end - 1, 7);
            assert!((before_end - last).abs() > 1e-9, "{schedule:?}: last factor before update {end}");
            for update in [end, end + 1, end + 100, u64::MAX / 2] {
                assert!((schedule.factor(update, 7) - last).abs() < 1e-15, "{schedule:?}: update {update}");
            }
        }
    }

    #[test]
    fn invalid_numbers_return_an_error_and_do_not_panic() {
        let factors =
            |factor| [Schedule::Step { step_size: 1, factor }, Schedule::MultiStep { milestones: vec![1], factor }];
        let mut invalid = vec![
            Schedule::step(0),
            Schedule::polynomial(0),
            Schedule::cosine(0),
            Schedule::CosineAnnealing { period: 1, period_factor: Some(0), min_factor: 0.0 },
            Schedule::one_cycle(0),
        ];
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            invalid.extend(factors(bad));
            invalid.push(Schedule::exponential(bad));
            invalid.push(Schedule::CosineAnnealing { period: 1, period_factor: None, min_factor: bad });
            invalid.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: bad,
                start_factor: 0.1,
                end_factor: 0.1,
            });
            invalid.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: 0.3,
                start_factor: bad,
                end_factor: 0.1,
            });
            invalid.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: 0.3,
                start_factor: 0.1,
                end_factor: bad,
            });
            invalid.push(Schedule::Warmup { steps: 10, start_factor: bad, schedule: Box::new(Schedule::Constant) });
        }
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            invalid.push(Schedule::Polynomial { total_steps: 10, power: bad });
            invalid.push(Schedule::InverseScaling { scale: bad, power: 0.5 });
            invalid.push(Schedule::InverseScaling { scale: 1.0, power: bad });
        }
        for schedule in invalid {
            for schedule in [schedule.clone(), schedule.clone().with_warmup(5), schedule.per_epoch()] {
                assert!(matches!(schedule.check(), Err(Error::InvalidSetting { .. })), "{schedule:?}");
                // Even an invalid schedule returns a factor, and the same one every time.
                let factor = schedule.factor(100, 10);
                assert_eq!(factor.to_bits(), schedule.factor(100, 10).to_bits(), "{schedule:?}");
            }
        }
        let text = Schedule::exponential(1.5).check().unwrap_err().to_string();
        assert_eq!(text, "schedule: factor: expected a number in [0, 1], got 1.5");
    }
}
