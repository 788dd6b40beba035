//! The learning-rate range test (Smith 2017): the learning rate grows from step to step while the loss is recorded.

use crate::{
    data::dataset::Dataset,
    device::Device,
    error::{Error, Result},
    nn::network::Network,
    optim::schedule::Schedule,
    train::{settings::TrainerSettings, trainer::Trainer},
    util::blocking::blocking,
};

/// A learning-rate range test: trains a few steps with growing learning rates and suggests one.
///
/// ```no_run
/// # use gradus::{Dataset, Device, Network, TrainerSettings, train::LearningRateFinder};
/// # fn example(device: &Device, network: &Network, data: &Dataset, settings: TrainerSettings) -> gradus::Result<()> {
/// let curve = LearningRateFinder::default().run(device, network, data, settings)?;
/// println!("{:?}", curve.suggestion);
/// # Ok(()) }
/// ```
#[doc(alias = "lr_find")]
#[doc(alias = "range test")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRateFinder {
    /// The learning rate of the first step, greater than 0.
    pub min_learning_rate: f64,
    /// The learning rate of the last step. Each step multiplies the rate by the same factor.
    pub max_learning_rate: f64,
    /// The number of steps, at least 2.
    pub steps: usize,
    /// The decay of the moving average of the losses, in `[0, 1)`; 0 does not smooth. The average is divided by
    /// `1 - smoothing^steps`, which corrects its bias toward 0.
    pub smoothing: f64,
}

impl Default for LearningRateFinder {
    /// Returns a test of 100 steps from 1e-6 to 10, with a smoothing of 0.9.
    fn default() -> Self {
        Self { min_learning_rate: 1e-6, max_learning_rate: 10.0, steps: 100, smoothing: 0.9 }
    }
}

/// The result of a [`LearningRateFinder`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LearningRateCurve {
    /// One `(learning rate, smoothed loss)` pair per step. The loss is computed before the update of the step.
    pub points: Vec<(f64, f64)>,
    /// The learning rate at the steepest descent of the loss over the logarithm of the rate. `None` if the loss never
    /// fell.
    pub suggestion: Option<f64>,
}

/// The test ends when the smoothed loss exceeds its minimum by this factor, because it only grows from there.
const MAX_LOSS_RATIO: f64 = 4.0;

impl LearningRateFinder {
    blocking! {
        /// Runs the test with a new trainer. It ignores the learning rate of the optimizer and the schedule.
        ///
        /// The test ends early if the loss grows to four times its minimum, or diverges.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if a field of the finder is out of range.
        /// - The errors of [`Trainer::new`] and [`Trainer::run`], except [`Error::Diverged`].
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
        let (mut points, mut mean, mut min_loss) = (Vec::new(), 0.0, f64::INFINITY);
        for step in 0..self.steps {
            trainer.set_learning_rate(self.learning_rate_at(step))?;
            let report = match trainer.run_async(1).await {
                Err(Error::Diverged { .. }) => break,
                report => report?,
            };
            mean = self.smoothing * mean + (1.0 - self.smoothing) * report.mean_loss();
            let smoothed_loss = mean / (1.0 - libm::pow(self.smoothing, (step + 1) as f64));
            points.push((self.learning_rate_at(step), smoothed_loss));
            min_loss = min_loss.min(smoothed_loss);
            // The difference, not the ratio, so that negative losses work too.
            if smoothed_loss - min_loss > (MAX_LOSS_RATIO - 1.0) * min_loss.abs() {
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
        let invalid =
            |name, expected: &str, got: String| Err(Error::InvalidSetting { name, expected: expected.into(), got });
        if !(self.min_learning_rate > 0.0 && self.min_learning_rate.is_finite()) {
            return invalid(
                "LearningRateFinder::min_learning_rate",
                "a finite number > 0",
                self.min_learning_rate.to_string(),
            );
        }
        if !(self.max_learning_rate > self.min_learning_rate && self.max_learning_rate.is_finite()) {
            return invalid(
                "LearningRateFinder::max_learning_rate",
                &format!("a finite number > min_learning_rate ({})", self.min_learning_rate),
                self.max_learning_rate.to_string(),
            );
        }
        if self.steps < 2 {
            return invalid("LearningRateFinder::steps", "at least 2", self.steps.to_string());
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return invalid("LearningRateFinder::smoothing", "a number in [0, 1)", self.smoothing.to_string());
        }
        Ok(())
    }
}

/// Returns the learning rate where the loss falls fastest over the logarithm of the rate, by central differences.
fn steepest_descent(points: &[(f64, f64)]) -> Option<f64> {
    let slope = |window: &[(f64, f64)]| (window[2].1 - window[0].1) / (window[2].0 / window[0].0).ln();
    let slopes = points.windows(3).map(|window| (slope(window), window[1].0));
    slopes.filter(|(slope, _)| *slope < 0.0).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, rate)| rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_is_at_steepest_descent() {
        let points = |losses: &[f64]| -> Vec<(f64, f64)> {
            (0..).zip(losses).map(|(i, loss)| (10f64.powi(i - 6), *loss)).collect()
        };
        assert_eq!(steepest_descent(&points(&[2.0, 2.0, 1.9, 1.5, 0.8, 0.7, 5.0])), Some(1e-3));
        for none in [&[][..], &[1.0], &[2.0, 1.0], &[1.0; 9], &[1.0, 2.0, 3.0]] {
            assert_eq!(steepest_descent(&points(none)), None);
        }
    }

    #[test]
    fn learning_rates_grow_from_min_to_max() {
        let test = LearningRateFinder { min_learning_rate: 1e-4, max_learning_rate: 1.0, steps: 5, smoothing: 0.0 };
        let rates: Vec<_> = (0..5).map(|step| test.learning_rate_at(step)).collect();
        for (rate, expected) in rates.iter().zip([1e-4, 1e-3, 1e-2, 1e-1, 1.0]) {
            assert!((rate / expected - 1.0).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn invalid_settings_are_errors() {
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
