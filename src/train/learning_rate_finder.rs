//! The learning-rate range test (Smith 2017): a rate that grows from step to step, and what the loss makes of it.

use crate::{
    data::dataset::Dataset,
    device::Device,
    error::{Error, Result},
    nn::network::Network,
    optim::schedule::Schedule,
    train::{settings::TrainerSettings, trainer::Trainer},
    util::blocking::blocking,
};

/// Takes a few steps with growing rates, to find one to train with.
///
/// ```no_run
/// # use gradus::{Dataset, Device, Network, Optimizer, Settings, train::RangeTest};
/// # fn example(device: &Device, network: &Network, data: &Dataset, settings: Settings) -> gradus::Result<()> {
/// let rates = RangeTest::default().run(device, network, data, settings)?;
/// println!("{:?}", rates.suggestion);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRateFinder {
    /// The first learning rate, above 0.
    pub min_learning_rate: f64,
    /// The last; each step multiplies the rate by the same number.
    pub max_learning_rate: f64,
    /// How many steps, at least 2.
    pub steps: usize,
    /// How much of the old the moving average of the losses keeps at each step, from 0 to below 1. It is divided by
    /// `1 - smoothing^steps`, so that it does not start at 0.
    pub smoothing: f64,
}

impl Default for LearningRateFinder {
    /// 100 steps from 1e-6 to 10, smoothed by 0.9.
    fn default() -> Self {
        Self { min_learning_rate: 1e-6, max_learning_rate: 10.0, steps: 100, smoothing: 0.9 }
    }
}

/// What a range test found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LearningRateCurve {
    /// The learning rate of each step, and the smoothed loss before it.
    pub points: Vec<(f64, f64)>,
    /// The rate at which the loss fell fastest by the rate's logarithm; none if it never fell.
    pub suggestion: Option<f64>,
}

/// Where the smoothed loss is so many times the least so far, the test ends: it would only grow.
const MAX_LOSS_RATIO: f64 = 4.0;

impl LearningRateFinder {
    blocking! {
        /// Takes steps with growing rates on a trainer of its own; the optimizer's rate and the schedule do not matter.
        /// It ends before the last rate where the loss has grown fourfold, or is no number any more.
        ///
        /// # Errors
        /// As [`Trainer::new`] and [`Trainer::run`], but for [`Error::Diverged`]; [`Error::InvalidSetting`] for numbers that
        /// make no test.
        pub fn run(&self, device: &Device, network: &Network, data: &Dataset, settings: TrainerSettings) -> Result<LearningRateCurve>
            = self.run_async(device, network, data, settings);
    }

    /// The asynchronous form of [`LearningRateFinder::run`].
    ///
    /// # Errors
    /// As [`LearningRateFinder::run`].
    pub async fn run_async(
        &self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: TrainerSettings,
    ) -> Result<LearningRateCurve> {
        self.check()?;
        let settings = TrainerSettings { schedule: Schedule::Constant, ..settings };
        let mut trainer = Trainer::new_async(device, network, Some(data), settings).await?;
        let (mut points, mut mean, mut least) = (Vec::new(), 0.0, f64::INFINITY);
        for step in 0..self.steps {
            trainer.set_learning_rate(self.learning_rate_at(step))?;
            let report = match trainer.run_async(1).await {
                Err(Error::Diverged { .. }) => break,
                report => report?,
            };
            mean = self.smoothing * mean + (1.0 - self.smoothing) * report.mean_loss();
            let smoothed = mean / (1.0 - libm::pow(self.smoothing, (step + 1) as f64));
            points.push((self.learning_rate_at(step), smoothed));
            least = least.min(smoothed);
            // Losses below 0 grow from there.
            if smoothed - least > (MAX_LOSS_RATIO - 1.0) * least.abs() {
                break;
            }
        }
        Ok(LearningRateCurve { suggestion: steepest_descent(&points), points })
    }

    fn learning_rate_at(&self, step: usize) -> f64 {
        self.min_learning_rate
            * libm::pow(self.max_learning_rate / self.min_learning_rate, step as f64 / (self.steps - 1) as f64)
    }

    fn check(&self) -> Result<()> {
        let wrong = |what, expected: &str, got: String| {
            Err(Error::InvalidSetting { name: what, expected: expected.into(), got })
        };
        if !(self.min_learning_rate > 0.0 && self.min_learning_rate.is_finite()) {
            return wrong("first rate of a range test", "a finite number above 0", self.min_learning_rate.to_string());
        }
        if !(self.max_learning_rate > self.min_learning_rate && self.max_learning_rate.is_finite()) {
            return wrong(
                "last rate of a range test",
                "a finite number above the first",
                self.max_learning_rate.to_string(),
            );
        }
        if self.steps < 2 {
            return wrong("steps of a range test", "at least 2", self.steps.to_string());
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return wrong("smoothing of a range test", "a number from 0 to below 1", self.smoothing.to_string());
        }
        Ok(())
    }
}

/// The rate at which the loss falls fastest by the rate's logarithm, over a step before and one after.
fn steepest_descent(points: &[(f64, f64)]) -> Option<f64> {
    let slope = |three: &[(f64, f64)]| (three[2].1 - three[0].1) / (three[2].0 / three[0].0).ln();
    let slopes = points.windows(3).map(|three| (slope(three), three[1].0));
    slopes.filter(|(slope, _)| *slope < 0.0).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, rate)| rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_descent_is_suggested() {
        let points = |losses: &[f64]| -> Vec<(f64, f64)> {
            (0..).zip(losses).map(|(i, loss)| (10f64.powi(i - 6), *loss)).collect()
        };
        assert_eq!(steepest_descent(&points(&[2.0, 2.0, 1.9, 1.5, 0.8, 0.7, 5.0])), Some(1e-3));
        for none in [&[][..], &[1.0], &[2.0, 1.0], &[1.0; 9], &[1.0, 2.0, 3.0]] {
            assert_eq!(steepest_descent(&points(none)), None);
        }
    }

    #[test]
    fn rates_grow_from_the_first_to_the_last() {
        let test = LearningRateFinder { min_learning_rate: 1e-4, max_learning_rate: 1.0, steps: 5, smoothing: 0.0 };
        let rates: Vec<_> = (0..5).map(|step| test.learning_rate_at(step)).collect();
        for (rate, expected) in rates.iter().zip([1e-4, 1e-3, 1e-2, 1e-1, 1.0]) {
            assert!((rate / expected - 1.0).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn numbers_that_make_no_test_are_refused() {
        let test = LearningRateFinder::default();
        assert_eq!(test.check(), Ok(()));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(LearningRateFinder { min_learning_rate: bad, ..test }.check().is_err(), "{bad}");
            assert!(LearningRateFinder { max_learning_rate: bad, ..test }.check().is_err(), "{bad}");
        }
        for bad in [1.0, -0.1, f64::NAN] {
            assert!(LearningRateFinder { smoothing: bad, ..test }.check().is_err(), "{bad}");
        }
        assert!(LearningRateFinder { steps: 1, ..test }.check().is_err());
    }
}
