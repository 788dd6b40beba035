//! Learning-rate schedules: by what the optimizer's rate is multiplied at every update.

use std::f64::consts::PI;

use crate::error::{Error, Result};

/// How the learning rate changes from update to update, as a factor of the optimizer's rate. `t` counts updates from 0.
///
/// A schedule that has an end keeps its last factor after it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// `factor^floor(t / every)` (PyTorch's `StepLR`).
    Step {
        /// After how many updates the rate falls, again and again.
        step_size: u64,
        /// What is left of it then, from 0 to 1.
        factor: f64,
    },
    /// `factor^n` from the `n`-th of the given updates on (PyTorch's `MultiStepLR`).
    MultiStep {
        /// At which updates the rate falls, in any order.
        milestones: Vec<u64>,
        /// What is left of it then, from 0 to 1.
        factor: f64,
    },
    /// `factor^t` (PyTorch's `ExponentialLR`).
    Exponential {
        /// What every update leaves of the rate, from 0 to 1.
        factor: f64,
    },
    /// `(1 - t / steps)^power`, and 0 from `steps` on (PyTorch's `PolynomialLR`).
    Polynomial {
        /// After how many updates the rate is 0.
        total_steps: u64,
        /// 1 for a straight line.
        power: f64,
    },
    /// `minimum + (1 - minimum) (1 + cos(pi t / period)) / 2` (Loshchilov and Hutter 2017). Without restarts the rate
    /// stays at the minimum from `period` on (PyTorch's `CosineAnnealingLR`, which would rise again). With restarts `t`
    /// is counted from the last one (PyTorch's `CosineAnnealingWarmRestarts`).
    CosineAnnealing {
        /// How many updates the way down takes, the first time.
        period: u64,
        /// How many times as long each period is as the one before it; `None` if it does not start again.
        period_factor: Option<u64>,
        /// The share of the rate at which it ends, from 0 to 1.
        min_factor: f64,
    },
    /// Half a cosine from `start` up to 1, which it reaches at `t = warm_up steps - 1`, then another one down to `end`
    /// at `t = steps - 1` (Smith and Topin 2019; PyTorch's `OneCycleLR`, its momentum apart).
    OneCycle {
        /// How many updates it takes in all.
        total_steps: u64,
        /// The share of the updates that go up, from 0 to 1.
        warmup_fraction: f64,
        /// The first factor, from 0 to 1: PyTorch's `1 / div_factor`.
        start_factor: f64,
        /// The last factor, from 0 to 1: PyTorch's `1 / (div_factor final_div_factor)`.
        end_factor: f64,
    },
    /// `(1 + t scale)^-power`. scikit-learn's `invscaling` is this [per epoch](Schedule::PerEpoch), `scale` being the
    /// number of rows.
    InverseScaling {
        /// How fast `t` runs.
        scale: f64,
        /// How much it matters.
        power: f64,
    },
    /// `start + (1 - start) t / steps` below `steps`, then another schedule, counted from 0 (PyTorch's `LinearLR` in a
    /// `SequentialLR`).
    Warmup {
        /// After how many updates the whole rate is reached.
        steps: u64,
        /// The first factor, from 0 to 1.
        start_factor: f64,
        /// What comes then.
        schedule: Box<Schedule>,
    },
    /// Another schedule, whose `t` counts epochs (PyTorch's, where `step()` is called after every epoch). An update of several
    /// batches is of the epoch in which the first of them lies.
    PerEpoch(Box<Schedule>),
}

impl Schedule {
    /// The rate falls to a tenth every so many updates.
    pub const fn step(every: u64) -> Self {
        Self::Step { step_size: every, factor: 0.1 }
    }

    /// The rate falls to a tenth at each of these updates.
    pub fn multi_step(at: impl Into<Vec<u64>>) -> Self {
        Self::MultiStep { milestones: at.into(), factor: 0.1 }
    }

    /// The rate is multiplied by `factor` after every update.
    pub const fn exponential(factor: f64) -> Self {
        Self::Exponential { factor }
    }

    /// The rate falls to 0 in a straight line.
    pub const fn polynomial(steps: u64) -> Self {
        Self::Polynomial { total_steps: steps, power: 1.0 }
    }

    /// The rate falls to 0 along a cosine and stays there.
    pub const fn cosine(period: u64) -> Self {
        Self::CosineAnnealing { period, period_factor: None, min_factor: 0.0 }
    }

    /// The rate falls towards 0 along a cosine, again and again.
    pub const fn cosine_restarts(period: u64) -> Self {
        Self::CosineAnnealing { period, period_factor: Some(1), min_factor: 0.0 }
    }

    /// The rate rises from 1/25 for 30% of the updates and falls to 1/250,000.
    pub const fn one_cycle(steps: u64) -> Self {
        Self::OneCycle { total_steps: steps, warmup_fraction: 0.3, start_factor: 1.0 / 25.0, end_factor: 1.0 / 25e4 }
    }

    /// The rate falls as `1 / sqrt(1 + t scale)`.
    pub const fn inverse_scaling(scale: f64) -> Self {
        Self::InverseScaling { scale, power: 0.5 }
    }

    /// The rate rises from a third in a straight line before this schedule begins.
    pub fn with_warmup(self, steps: u64) -> Self {
        Self::Warmup { steps, start_factor: 1.0 / 3.0, schedule: Box::new(self) }
    }

    /// This schedule, counted in epochs.
    pub fn per_epoch(self) -> Self {
        Self::PerEpoch(Box::new(self))
    }

    /// One of each, for tests to walk.
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

    /// The factor of the rate at update `update`, counted from 0. A period or an epoch of 0 updates counts as one of 1.
    pub fn factor(&self, update: u64, updates_per_epoch: u64) -> f64 {
        self.factor_at_step(update, 1, updates_per_epoch)
    }

    /// The same where `steps` steps make an update, and `steps_per_epoch` an epoch, whose ends may lie within an update.
    pub(crate) fn factor_at_step(&self, update: u64, steps: u64, steps_per_epoch: u64) -> f64 {
        let t = update as f64;
        match self {
            Self::Constant => 1.0,
            Self::Step { step_size: every, factor } => libm::pow(*factor, (update / every.max(&1)) as f64),
            Self::MultiStep { milestones: at, factor } => {
                let passed = at.iter().filter(|&&at| at <= update).count();
                libm::pow(*factor, passed as f64)
            }
            Self::Exponential { factor } => libm::pow(*factor, t),
            Self::Polynomial { total_steps: steps, .. } if update >= *steps => 0.0,
            Self::Polynomial { total_steps: steps, power } => libm::pow(1.0 - t / *steps as f64, *power),
            Self::CosineAnnealing { period, period_factor: growth, min_factor: minimum } => {
                let (t, period) = restart_position(update, (*period).max(1), *growth);
                cosine(1.0, *minimum, t as f64, period as f64)
            }
            Self::OneCycle { total_steps: steps, warmup_fraction: warm_up, start_factor: start, end_factor: end } => {
                let (top, last) = (warm_up * *steps as f64 - 1.0, *steps as f64 - 1.0);
                if t <= top { cosine(*start, 1.0, t, top) } else { cosine(1.0, *end, t - top, last - top) }
            }
            Self::InverseScaling { scale, power } => libm::pow(1.0 + t * scale, -power),
            Self::Warmup { steps, start_factor: start, .. } if update < *steps => {
                start + (1.0 - start) * (t / *steps as f64)
            }
            Self::Warmup { steps: before, schedule: then, .. } => {
                then.factor_at_step(update - before, steps, steps_per_epoch)
            }
            Self::PerEpoch(schedule) => {
                let epoch = u128::from(update) * u128::from(steps) / u128::from(steps_per_epoch.max(1));
                schedule.factor(u64::try_from(epoch).unwrap_or(u64::MAX), 1)
            }
        }
    }

    /// Whether it counts epochs from the end of a warm-up on.
    pub(crate) fn counts_epochs_after_warmup(&self) -> bool {
        let Self::Warmup { schedule: then, .. } = self else { return false };
        matches!(**then, Self::PerEpoch(_)) || then.counts_epochs_after_warmup()
    }

    /// Refuses what gives no rate, or one that grows beyond the optimizer's.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Constant => Ok(()),
            Self::Step { step_size: every, factor } => {
                check_at_least_one("updates between two steps of the schedule", *every)?;
                check_fraction("factor of the schedule", *factor)
            }
            Self::MultiStep { factor, .. } | Self::Exponential { factor } => {
                check_fraction("factor of the schedule", *factor)
            }
            Self::Polynomial { total_steps: steps, power } => {
                check_at_least_one("steps of the schedule", *steps)?;
                check_not_negative("power of the schedule", *power)
            }
            Self::CosineAnnealing { period, period_factor: growth, min_factor: minimum } => {
                check_at_least_one("period of the schedule", *period)?;
                check_at_least_one("growth of the schedule's period", growth.unwrap_or(1))?;
                check_fraction("minimum of the schedule", *minimum)
            }
            Self::OneCycle { total_steps: steps, warmup_fraction: warm_up, start_factor: start, end_factor: end } => {
                check_at_least_one("steps of the schedule", *steps)?;
                check_fraction("warm-up of the schedule", *warm_up)?;
                check_fraction("start of the schedule", *start)?;
                check_fraction("end of the schedule", *end)
            }
            Self::InverseScaling { scale, power } => {
                check_not_negative("scale of the schedule", *scale)?;
                check_not_negative("power of the schedule", *power)
            }
            Self::Warmup { start_factor: start, schedule: then, .. } => {
                check_fraction("start of the schedule", *start)?;
                then.check()
            }
            Self::PerEpoch(schedule) => schedule.check(),
        }
    }
}

/// How many updates ago a schedule last started again, and how long the period is that started there.
fn restart_position(update: u64, period: u64, growth: Option<u64>) -> (u64, u64) {
    match growth {
        None => (update, period),
        Some(0 | 1) => (update % period, period),
        Some(growth) => {
            let (mut t, mut period) = (update, period);
            while t >= period {
                t -= period;
                period = period.saturating_mul(growth);
            }
            (t, period)
        }
    }
}

/// Half a cosine from one factor to another, which it keeps from `t = period` on.
fn cosine(from: f64, to: f64, t: f64, period: f64) -> f64 {
    if t < period { to + (from - to) * (1.0 + libm::cos(PI * t / period)) / 2.0 } else { to }
}

fn check_at_least_one(what: &'static str, got: u64) -> Result<()> {
    if got > 0 {
        Ok(())
    } else {
        Err(Error::InvalidSetting { name: what, expected: "at least 1".into(), got: got.to_string() })
    }
}

fn check_fraction(what: &'static str, got: f64) -> Result<()> {
    let fits = (0.0..=1.0).contains(&got);
    let refusal =
        || Error::InvalidSetting { name: what, expected: "a number from 0 to 1".into(), got: got.to_string() };
    if fits { Ok(()) } else { Err(refusal()) }
}

fn check_not_negative(what: &'static str, got: f64) -> Result<()> {
    let fits = got.is_finite() && got >= 0.0;
    let refusal =
        || Error::InvalidSetting { name: what, expected: "a finite number from 0 up".into(), got: got.to_string() };
    if fits { Ok(()) } else { Err(refusal()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schedules at the edge of what is allowed.
    fn edges() -> Vec<Schedule> {
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
    fn every_factor_is_a_share_however_late() {
        // The examples end at 50 or 60, the edges at 1 or 10.
        let late = [u64::MAX / 2 - 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for schedule in Schedule::examples().into_iter().chain(edges()) {
            schedule.check().unwrap();
            for update in (0..200).chain(late) {
                for updates_per_epoch in [0, 1, 7, u64::MAX] {
                    let factor = schedule.factor(update, updates_per_epoch);
                    assert!((0.0..=1.0).contains(&factor), "{schedule:?} is {factor} at {update}");
                }
            }
        }
    }

    #[test]
    fn a_schedule_keeps_its_last_factor() {
        for (schedule, end, last) in [
            (Schedule::multi_step([15, 40]), 40, 0.01),
            (Schedule::polynomial(50), 50, 0.0),
            (Schedule::CosineAnnealing { period: 50, period_factor: None, min_factor: 0.25 }, 50, 0.25),
            (Schedule::one_cycle(60), 59, 1.0 / 25e4),
            (Schedule::Constant.with_warmup(10), 10, 1.0),
            (Schedule::polynomial(50).with_warmup(10).per_epoch(), 60 * 7, 0.0),
        ] {
            assert!((schedule.factor(end - 1, 7) - last).abs() > 1e-9, "{schedule:?} before {end}");
            for update in [end, end + 1, end + 100, u64::MAX / 2] {
                assert!((schedule.factor(update, 7) - last).abs() < 1e-15, "{schedule:?} at {update}");
            }
        }
    }

    #[test]
    fn what_gives_no_rate_is_refused() {
        let factors =
            |factor| [Schedule::Step { step_size: 1, factor }, Schedule::MultiStep { milestones: vec![1], factor }];
        let mut refused = vec![
            Schedule::step(0),
            Schedule::polynomial(0),
            Schedule::cosine(0),
            Schedule::CosineAnnealing { period: 1, period_factor: Some(0), min_factor: 0.0 },
            Schedule::one_cycle(0),
        ];
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            refused.extend(factors(bad));
            refused.push(Schedule::exponential(bad));
            refused.push(Schedule::CosineAnnealing { period: 1, period_factor: None, min_factor: bad });
            refused.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: bad,
                start_factor: 0.1,
                end_factor: 0.1,
            });
            refused.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: 0.3,
                start_factor: bad,
                end_factor: 0.1,
            });
            refused.push(Schedule::OneCycle {
                total_steps: 10,
                warmup_fraction: 0.3,
                start_factor: 0.1,
                end_factor: bad,
            });
            refused.push(Schedule::Warmup { steps: 10, start_factor: bad, schedule: Box::new(Schedule::Constant) });
        }
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            refused.push(Schedule::Polynomial { total_steps: 10, power: bad });
            refused.push(Schedule::InverseScaling { scale: bad, power: 0.5 });
            refused.push(Schedule::InverseScaling { scale: 1.0, power: bad });
        }
        for schedule in refused {
            for schedule in [schedule.clone(), schedule.clone().with_warmup(5), schedule.per_epoch()] {
                assert!(matches!(schedule.check(), Err(Error::InvalidSetting { .. })), "{schedule:?}");
                let factor = schedule.factor(100, 10);
                assert_eq!(factor.to_bits(), schedule.factor(100, 10).to_bits(), "it comes back");
            }
        }
        let text = Schedule::exponential(1.5).check().unwrap_err().to_string();
        assert_eq!(text, "factor of the schedule: expected a number from 0 to 1, got 1.5");
    }
}
