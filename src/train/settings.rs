//! The settings of a trainer, as plain data.

use crate::{
    data::dataset::{Dataset, Targets},
    engine::config::TrainingConfig,
    error::{Error, Result},
    nn::{loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Plan,
};

/// The maximum batch size. The kernel `batch_metrics` has one invocation per row, and a dispatch at most 65,535 workgroups.
const MAX_BATCH_SIZE: usize = 1 << 21;

/// The settings of a [`Trainer`](crate::Trainer): batch size, loss, optimizer, schedule and seed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerSettings {
    /// The batch size: rows per training step. The last batch of an epoch may be smaller, unless
    /// [`drop_last`](Self::drop_last) is set.
    pub batch_size: usize,
    /// Whether to drop the last batch of an epoch if it is smaller than the others, as PyTorch's `DataLoader` does.
    ///
    /// The epoch does not train on the rows of that batch. With [`shuffle`](Self::shuffle) these are different rows in
    /// every epoch. `steps_per_epoch`, schedules per epoch, histories and reports do not count the dropped batch.
    pub drop_last: bool,
    /// The loss to minimize. The default chooses a loss for the targets ([`Loss::Auto`]).
    pub loss: Loss,
    /// The optimizer, with its learning rate.
    pub optimizer: Optimizer,
    /// The schedule, which multiplies the learning rate of each step by a factor.
    pub schedule: Schedule,
    /// The number of batches per update. The update uses the mean of their gradients, so it equals one update with a
    /// batch that is larger by this factor, but needs no more memory.
    pub gradient_accumulation: usize,
    /// The seed for the initial parameters and the order of the rows. The same seed gives the same values on every
    /// device.
    pub seed: u64,
    /// Whether to shuffle the rows in every epoch. Otherwise every epoch uses the order of the data set.
    pub shuffle: bool,
    /// Whether manual steps accept sample weights; see [`Trainer::step_weighted`](crate::Trainer::step_weighted). A
    /// data set with sample weights enables them too.
    pub sample_weights: bool,
    /// The standard deviation of the normal noise that every training step adds to the features; 0 for no noise.
    ///
    /// The noise follows from the seed and is the same on every device within rounding. Predictions, evaluations and
    /// gradients use no noise.
    pub input_noise_std: f64,
    /// The number of steps that the host submits to the device at once. By default gradus chooses it by the time of a
    /// step.
    ///
    /// gradus limits the number to 4096, and to less on small devices. Results do not depend on it.
    pub steps_per_submission: Option<usize>,
    /// The plan: how the device computes a step. By default gradus chooses one.
    ///
    /// A plan from [`Trainer::plan`](crate::Trainer::plan) reproduces the bits of that trainer.
    /// [`Tuner`](crate::plan::Tuner) finds the fastest plan.
    pub plan: Option<Plan>,
}

impl Default for TrainerSettings {
    /// Returns settings with batches of 32 rows, [`Loss::Auto`], SGD with a learning rate of 0.1, seed 0 and shuffling.
    fn default() -> Self {
        let (loss, optimizer, schedule) = (Loss::Auto, Optimizer::sgd(0.1), Schedule::Constant);
        Self {
            batch_size: 32,
            drop_last: false,
            loss,
            optimizer,
            schedule,
            gradient_accumulation: 1,
            seed: 0,
            shuffle: true,
            sample_weights: false,
            input_noise_std: 0.0,
            steps_per_submission: None,
            plan: None,
        }
    }
}

impl TrainerSettings {
    /// Replaces [`Loss::Auto`] by the loss that fits the network and the targets.
    pub(crate) fn resolve_loss(self, network: &Network, targets: Option<&Targets>) -> Self {
        Self { loss: self.loss.resolve_auto(network, targets), ..self }
    }

    /// Returns the configuration of an engine. Sample weights are enabled by these settings or by the data set.
    pub(crate) fn training_config<'a>(&'a self, network: &'a Network, data: Option<&Dataset>) -> TrainingConfig<'a> {
        TrainingConfig {
            network,
            shuffle: self.shuffle,
            input_noise_std: self.input_noise_std as f32,
            has_sample_weights: self.sample_weights || data.is_some_and(|data| data.sample_weights().is_some()),
            steps_per_submission: self.steps_per_submission,
            plan: self.plan.as_ref(),
        }
    }

    /// Returns an error if `network` cannot be trained with these settings.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        network.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.loss.check()?;
        if self.batch_size == 0 || self.batch_size > MAX_BATCH_SIZE {
            let expected = format!("1 to {MAX_BATCH_SIZE}");
            return Err(Error::InvalidSetting { name: "batch_size", expected, got: self.batch_size.to_string() });
        }
        if self.gradient_accumulation == 0 || u32::try_from(self.gradient_accumulation).is_err() {
            let (expected, got) = (format!("1 to {}", u32::MAX), self.gradient_accumulation.to_string());
            return Err(Error::InvalidSetting { name: "gradient_accumulation", expected, got });
        }
        if !(self.input_noise_std >= 0.0 && (self.input_noise_std as f32).is_finite()) {
            let (expected, got) = ("a finite number >= 0".to_owned(), self.input_noise_std.to_string());
            return Err(Error::InvalidSetting { name: "input_noise_std", expected, got });
        }
        if self.steps_per_submission == Some(0) {
            return Err(Error::InvalidSetting {
                name: "steps_per_submission",
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        if self.loss.needs_full_row() && network.outputs() == 1 {
            let expected = format!("at least 2 for {}", self.loss);
            let got = format!("1; use {} for a single output", Loss::BinaryCrossEntropy);
            return Err(Error::InvalidSetting { name: "number of outputs", expected, got });
        }
        network.layers().last().map_or(Ok(()), |layer| self.loss.check_output(layer.activation))
    }
}
