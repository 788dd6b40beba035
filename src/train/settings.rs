//! How a network is trained, as plain data.

use crate::{
    data::dataset::{Answers, Dataset},
    engine::config::TrainingConfig,
    error::{Error, Result},
    nn::{loss::Loss, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Plan,
};

/// The most rows of a batch: `measure` has one invocation for each, and 65,535 workgroups.
const MOST_ROWS: usize = 1 << 21;

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many rows a step looks at. The last batch of an epoch may have fewer, unless [`Settings::drop_last`] is set.
    pub batch: usize,
    /// Whether an epoch ends before a last batch that would have fewer rows than the others, as PyTorch's `DataLoader` has it. The
    /// rows of that batch are not trained on in this epoch; with [`Settings::shuffle`] they are others in every epoch.
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
    pub accumulate: usize,
    /// Decides the first parameters and the order of the rows: the same on every device.
    pub seed: u64,
    /// Whether every epoch takes the rows in an order of its own, or always in that of the data set.
    pub shuffle: bool,
    /// Whether the rows of steps by hand have weights, as [`crate::train::Trainer::step_weighted`] takes them. Where the data set
    /// has some they have anyway.
    pub weighted: bool,
    /// The standard deviation of normal noise that every step on the data set or by hand adds to the features; 0 for none.
    /// It follows from the seed: the same on every device within rounding. Predictions, evaluations and gradients know
    /// no noise.
    pub input_noise: f64,
    /// How many steps the host hands to the device at once, at most 4096. Chosen by time unless given; results do not
    /// depend on it.
    pub chunk: Option<usize>,
    /// How a step is computed: as [`crate::train::Trainer::plan`] told before, for the same bits again, or as [`crate::plan::Tuner`]
    /// found. Planned unless given.
    pub plan: Option<Plan>,
}

impl Default for Settings {
    /// Batches of 32, a loss that fits the targets ([`Loss::Auto`]), stochastic gradient descent with a rate of 0.1, seed 0, shuffled, no noise; the short last batch of an epoch is
    /// trained on.
    fn default() -> Self {
        let (loss, optimizer, schedule) = (Loss::Auto, Optimizer::sgd(0.1), Schedule::Constant);
        Self {
            batch: 32,
            drop_last: false,
            loss,
            optimizer,
            schedule,
            accumulate: 1,
            seed: 0,
            shuffle: true,
            weighted: false,
            input_noise: 0.0,
            chunk: None,
            plan: None,
        }
    }
}

impl Settings {
    /// The settings of a training on these targets, with the loss that is chosen for them.
    pub(crate) fn chosen(self, network: &Network, answers: Option<&Answers>) -> Self {
        Self { loss: self.loss.chosen(network, answers), ..self }
    }

    /// What an engine needs to know of them. Rows have weights if these settings or the data set say so.
    pub(crate) fn training_config<'a>(&'a self, network: &'a Network, data: Option<&Dataset>) -> TrainingConfig<'a> {
        TrainingConfig {
            network,
            shuffle: self.shuffle,
            noise: self.input_noise as f32,
            weighted: self.weighted || data.is_some_and(|data| data.weights().is_some()),
            chunk: self.chunk,
            plan: self.plan.as_ref(),
        }
    }

    /// Refuses what cannot be trained.
    pub(crate) fn check(&self, network: &Network) -> Result<()> {
        network.check()?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.loss.check()?;
        if self.batch == 0 || self.batch > MOST_ROWS {
            let expected = format!("1 to {MOST_ROWS} rows");
            return Err(Error::Setting { what: "batch", expected, got: self.batch.to_string() });
        }
        if self.accumulate == 0 || u32::try_from(self.accumulate).is_err() {
            let (expected, got) = (format!("1 to {} batches", u32::MAX), self.accumulate.to_string());
            return Err(Error::Setting { what: "accumulate", expected, got });
        }
        if !(self.input_noise >= 0.0 && (self.input_noise as f32).is_finite()) {
            let (expected, got) = ("a finite number from 0 up".to_owned(), self.input_noise.to_string());
            return Err(Error::Setting { what: "input noise", expected, got });
        }
        if self.chunk == Some(0) {
            return Err(Error::Setting { what: "chunk", expected: "at least one step".into(), got: "0".into() });
        }
        if self.loss.looks_at_the_row() && network.outputs() == 1 {
            let expected = format!("at least 2 for {}; one output is for {}", self.loss, Loss::BinaryCrossEntropy);
            return Err(Error::Setting { what: "number of outputs", expected, got: "1".into() });
        }
        network.layers().last().map_or(Ok(()), |layer| self.loss.check_output(layer.activation))
    }
}
