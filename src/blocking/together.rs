//! Of many networks.

use crate::{
    Consensus, Dataset, Device, Ensemble, Findings, Fit, Halving, History, KFold, LayerParameters, Member, Metrics,
    Model, Network, Population, Report, Result, Rows, Scores, Search, Settings, cross_val_score_async,
};
#[cfg(doc)]
use crate::{Error, Predictor, Trainer};

impl Population {
    /// Networks of one shape, on a data set that moves to the device now and stays there.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no member, or one that cannot be trained with the first, with what differs, or rows that
    /// are none; and as [`Trainer::new`], before anything is allocated. Where bindings are too small for all of them, some
    /// follow the others.
    pub fn new(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self> {
        pollster::block_on(Self::new_async(device, network, data, members))
    }

    /// Takes that many steps with every network in training, each in the order of its own rows, and waits for the last one.
    /// Gives what each has told, empty for those that are not in training. One whose loss is no finite number is stopped.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::File`] if rows are in a file that can no longer be read, and
    /// [`Error::Setting`] for more than 2^32 steps.
    pub fn run(&mut self, steps: usize) -> Result<Vec<Report>> {
        pollster::block_on(self.run_async(steps))
    }

    /// Takes a network out of training: from here on it costs nothing, and keeps its parameters.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn stop(&mut self, member: usize) -> Result<()> {
        pollster::block_on(self.stop_async(member))
    }

    /// The outputs of every network, `[rows, outputs]` each, for raw inputs `[rows, inputs]` of any number of rows.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        pollster::block_on(self.predict_async(inputs))
    }

    /// What every network is worth on a data set, which stays on the device until another one is asked for; there it is
    /// judged, in 32 bits, and a few numbers a network come back. It is scaled as the training data are, unless it brings a
    /// scaling of its own.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`]; [`Error::Limit`] where it does not fit.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Vec<Metrics>> {
        pollster::block_on(self.evaluate_async(data))
    }

    /// What every network is worth on rows of the data set that it learns from: for each network its own, such as
    /// [`Rows::left_out`] of its rows.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many as networks, [`Error::Setting`] for rows that are none, and as
    /// [`Population::evaluate`].
    pub fn evaluate_rows(&mut self, rows: &[Rows]) -> Result<Vec<Metrics>> {
        pollster::block_on(self.evaluate_rows_async(rows))
    }

    /// Keeps some networks, with the state of their optimizers, as they are now, on the device, for
    /// [`Population::restore`]. What was kept of them before is replaced.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, [`Error::OutOfMemory`] and [`Error::DeviceLost`].
    pub fn keep(&mut self, members: &[usize]) -> Result<()> {
        pollster::block_on(self.keep_async(members))
    }

    /// Weights and biases of a network, layer by layer.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, and as [`Trainer::parameters`].
    pub fn parameters(&self, member: usize) -> Result<Vec<LayerParameters>> {
        pollster::block_on(self.parameters_async(member))
    }

    /// A network with its parameters and what scales its inputs, as if it had been trained alone.
    ///
    /// # Errors
    /// As [`Population::parameters`]; [`Error::NonFinite`] for one that has diverged.
    pub fn model(&self, member: usize) -> Result<Model> {
        pollster::block_on(self.model_async(member))
    }

    /// Some of the networks, put together on a device, which may be another one; they vote if they were trained to tell classes.
    /// [`Population::in_training`] gives those that did not stop; after early stopping that may be none. Training goes on
    /// without them.
    ///
    /// # Errors
    /// As [`Population::model`] and [`Ensemble::new`].
    pub fn ensemble(&self, device: &Device, members: impl IntoIterator<Item = usize>) -> Result<Ensemble> {
        pollster::block_on(self.ensemble_async(device, members))
    }
}

impl Ensemble {
    /// The networks of models that differ in their parameters and notes alone. Where the device's bindings are too small for
    /// all of them, some follow the others, and the answers have the same bits.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no model, or one whose layers or scaling are not those of the first; and as
    /// [`Predictor::of`], before anything is allocated.
    pub fn new(device: &Device, models: &[Model]) -> Result<Self> {
        pollster::block_on(Self::new_async(device, models))
    }

    /// What the networks answer together to raw inputs `[rows, inputs]` of any number of rows from 1 up.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn predict(&mut self, inputs: &[f32]) -> Result<Consensus> {
        pollster::block_on(self.predict_async(inputs))
    }
}

impl Search {
    /// Trains all combinations as `fit` says, whose validation is the search's, and judges each by what it was worth at last,
    /// or after its best epoch where there is early stopping. One that diverges, and is not put back there, is the worst.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not said what validates or twice, and as [`Population::new`] and [`Fit::run_together`].
    pub fn train(&self, device: &Device, network: &Network, data: &Dataset, fit: &Fit) -> Result<Findings> {
        pollster::block_on(self.train_async(device, network, data, fit))
    }

    /// Trains all combinations for a few steps, drops the worse, and goes on with the others.
    ///
    /// # Errors
    /// As [`Search::train`]; [`Error::Setting`] for a halving that is none.
    pub fn halve(&self, device: &Device, network: &Network, data: &Dataset, halving: &Halving) -> Result<Findings> {
        pollster::block_on(self.halve_async(device, network, data, halving))
    }
}

impl Fit {
    /// Takes the networks of a population that are in training through the epochs, together and each with decisions of its
    /// own: one that gets no better or diverges leaves its place and costs nothing more, and ends as after its best epoch,
    /// if that was asked for. Where epochs have different lengths, a network that has done its last is stopped as well, so
    /// that it takes no more steps. An epoch's seconds are those of all networks together.
    ///
    /// What is decided is what a trainer alone would decide from the same numbers; those of a validation are added up on the
    /// device, in 32 bits. The histories have the population's order.
    ///
    /// # Errors
    /// As [`Population::run`] and [`Population::evaluate`]; [`Error::Setting`] for deciders that cannot decide, for
    /// [`Fit::every`] and [`Fit::after`], and where rows that validate are missing.
    pub fn run_together(&self, population: &mut Population) -> Result<Vec<History>> {
        pollster::block_on(self.run_together_async(population))
    }
}

/// Trains a network for each fold of a data set on the other folds, all of them together, and gives what each is worth on its
/// own: after the last epoch or the best, as `fit` says, whose validation are the folds. Where the answers are classes, every fold
/// has the same share of each class, as in scikit-learn ([`KFold`]). Where the data set is scaled, it
/// is as it was given: its scaling has seen all folds.
///
/// # Errors
/// [`Error::Setting`] for less than 2 folds, more than rows or, stratified, more than rows of every class, for a quantity to watch
/// that the network and the data do not have, and as [`Population::new`] and [`Fit::run_together`].
pub fn cross_val_score(
    device: &Device,
    network: &Network,
    data: &Dataset,
    settings: &Settings,
    folds: &KFold,
    fit: &Fit,
) -> Result<Scores> {
    pollster::block_on(cross_val_score_async(device, network, data, settings, folds, fit))
}
