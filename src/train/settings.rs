//! How a network is trained, as plain data.

use crate::{
    data::dataset::{Dataset, Targets},
    engine::config::TrainingConfig,
    error::{Error, Result},
    nn::{loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Plan,
};

/// The most rows of a batch: `measure` has one invocation for each, and 65,535 workgroups.
const MAX_BATCH_SIZE: usize = 1 << 21;

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerSettings {
    /// How many rows a step looks at. The last batch of an epoch may have fewer, unless [`TrainerSettings::drop_last`] is set.
    pub batch_size: usize,
    /// Whether an epoch ends before a last batch that would have fewer rows than the others, as PyTorch's `DataLoader` has it. The
    /// rows of that batch are not trained on in this epoch; with [`TrainerSettings::shuffle`] they are others in every epoch.
    /// `steps_per_epoch`, schedules per epoch, histories and reports count the steps that are left.
    pub drop_last: bool,
    /// The loss to minimize; by default one that fits the targets ([`Loss::Auto`]).
    pub loss: Loss,
    /// How a step changes the parameters.
    pub optimizer: Optimizer,
    /// How its rate changes from step to step.
    pub schedule: Schedule,
    /// How many batches' gradients make one update: their mean, as that of one batch so many times as large would be
    /// without the memory that it takes.
    pub gradient_accumulation: usize,
    /// Decides the first parameters and the order of the rows: the same on every device.
    pub seed: u64,
    /// Whether every epoch takes the rows in an order of its own, or always in that of the data set.
    pub shuffle: bool,
    /// Whether the rows of steps by hand have weights, as [`crate::train::Trainer::step_weighted`] takes them. Where the data set
    /// has some they have anyway.
    pub sample_weights: bool,
    /// The standard deviation of normal noise that every step on the data set or by hand adds to the features; 0 for none.
    /// It follows from the seed: the same on every device within rounding. Predictions, evaluations and gradients know
    /// no noise.
    pub input_noise_std: f64,
    /// How many steps the host hands to the device at once, at most 4096. Chosen by time unless given; results do not
    /// depend on it.
    pub steps_per_submission: Option<usize>,
    /// How a step is computed: as [`crate::train::Trainer::plan`] told before, for the same bits again, or as [`crate::plan::Tuner`]
    /// found. Planned unless given.
    pub plan: Option<Plan>,
}

impl Default for TrainerSettings {
    /// Batches of 32, a loss that fits the targets ([`Loss::Auto`]), stochastic gradient descent with a rate of 0.1, seed 0, shuffled, no noise; the short last batch of an epoch is
    /// trained on.
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
    /// The settings of a training on these targets, with the loss that is chosen for them.
    pub(crate) fn resolve_loss(self, network: &Network, targets: Option<&Targets>) -> Self {
        Self { loss: self.loss.resolve_auto(network, targets), ..self }
    }

    /// What an engine needs to know of them. Rows have weights if these settings or the data set say so.
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

    /// Refuses what cannot be trained.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        network.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.loss.check()?;
        if self.batch_size == 0 || self.batch_size > MAX_BATCH_SIZE {
            let expected = format!("1 to {MAX_BATCH_SIZE} rows");
            return Err(Error::InvalidSetting { name: "batch", expected, got: self.batch_size.to_string() });
        }
        if self.gradient_accumulation == 0 || u32::try_from(self.gradient_accumulation).is_err() {
            let (expected, got) = (format!("1 to {} batches", u32::MAX), self.gradient_accumulation.to_string());
            return Err(Error::InvalidSetting { name: "accumulate", expected, got });
        }
        if !(self.input_noise_std >= 0.0 && (self.input_noise_std as f32).is_finite()) {
            let (expected, got) = ("a finite number from 0 up".to_owned(), self.input_noise_std.to_string());
            return Err(Error::InvalidSetting { name: "input noise", expected, got });
        }
        if self.steps_per_submission == Some(0) {
            return Err(Error::InvalidSetting { name: "chunk", expected: "at least one step".into(), got: "0".into() });
        }
        if self.loss.needs_full_row() && network.outputs() == 1 {
            let expected = format!("at least 2 for {}; one output is for {}", self.loss, Loss::BinaryCrossEntropy);
            return Err(Error::InvalidSetting { name: "number of outputs", expected, got: "1".into() });
        }
        network.layers().last().map_or(Ok(()), |layer| self.loss.check_output(layer.activation))
    }
}
