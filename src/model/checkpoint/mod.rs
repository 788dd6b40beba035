//! Checkpoints: the complete state of a training run, and its file.

pub(crate) mod optimizer_state;
pub(crate) mod position;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{
        MAX_FILE_BYTES, Model, TRAINING_PREFIX,
        checkpoint::{
            optimizer_state::{OptimizerState, Snapshot},
            position::{CheckpointCounts, MAX_STEPS, TrainingPosition},
        },
        records::{CustomFunctions, SettingsRecord},
        tensor_names::TensorNames,
        tensors::{self, Reader, Writer},
    },
    optim::optimizer::Optimizer,
    train::{history::History, settings::TrainerSettings},
    util::files::{self, format_error},
};

/// A checkpoint: the complete state of a training run after a step.
///
/// [`Trainer::checkpoint`](crate::train::Trainer::checkpoint) takes one, and
/// [`Trainer::resume`](crate::train::Trainer::resume) continues from it. The resumed training gives the same bits as an
/// uninterrupted one on the same device, driver, number of threads and version of gradus. To resume elsewhere, within
/// rounding, set the plan to `None`.
///
/// ```no_run
/// # use gradus::{Checkpoint, Dataset, Device, Trainer, TrainingLoop};
/// # fn resume(device: &Device, data: &Dataset) -> gradus::Result<()> {
/// let mut checkpoint = Checkpoint::load("training.safetensors")?;
/// checkpoint.settings.plan = None; // The file may be from another machine.
/// let mut trainer = Trainer::resume(device, &checkpoint, Some(data))?;
/// TrainingLoop::new(10).resume_from(checkpoint.history).run(&mut trainer)?;
/// # Ok(()) }
/// ```
///
/// # Files
///
/// The file of a checkpoint is the file of its [`Model`] with more tensors and metadata, so [`Model::load`] reads it
/// too. It adds the optimizer state, accumulated gradients, the snapshot of early stopping, and the history as JSON.
/// The same content gives the same bytes. The file contains neither the data set nor the losses of manual steps that
/// were not taken with [`Trainer::take_report`](crate::train::Trainer::take_report).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The network with its current parameters and the scaler of its inputs.
    pub model: Model,
    /// The settings of the training, with the current learning rate and the plan.
    pub settings: TrainerSettings,
    /// The history of the training. It is empty unless the caller sets it, for example with
    /// [`Checkpoint::with_history`].
    pub history: History,
    pub(crate) counts: CheckpointCounts,
    pub(crate) position: TrainingPosition,
    pub(crate) state: OptimizerState,
    /// The snapshot of [`Trainer::snapshot`](crate::train::Trainer::snapshot), if there is one.
    pub(crate) snapshot: Option<Snapshot>,
}

/// The metadata of a training run in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingRecord {
    settings: SettingsRecord,
    counts: CheckpointCounts,
    /// The steps since the reset of the optimizer at the snapshot, if there is one.
    snapshot_steps: Option<u64>,
}

/// The prefix of the names of the snapshot's tensors.
const SNAPSHOT_PREFIX: &str = "training.snapshot.";

/// The tensor that holds the history as JSON. In the metadata a long history would exceed the maximum size of a header.
const HISTORY_TENSOR: &str = "training.history";

impl Checkpoint {
    /// Sets the history.
    #[must_use]
    pub fn with_history(mut self, history: &History) -> Self {
        self.history = history.clone();
        self
    }

    /// Returns the number of all steps so far, on the data set and manual.
    pub const fn total_steps(&self) -> u64 {
        self.counts.total_steps
    }

    /// Saves the checkpoint to a file. Saving is atomic: after an interruption the file holds either the complete old
    /// or the complete new content.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be written.
    /// - The errors of [`Checkpoint::to_bytes`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write(path.as_ref(), &self.to_bytes()?)
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// The errors of [`Model::to_bytes`], and [`Error::InvalidSetting`] or [`Error::InvalidState`] if the fields do not
    /// fit together. The caller may have changed them.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let network = &self.model.network;
        self.check()?;
        let (mut writer, names) = (Writer::default(), TensorNames::sequential(network));
        self.state.write(&mut writer, TRAINING_PREFIX, network, &names)?;
        if let Some(snapshot) = &self.snapshot {
            writer.add_layers(SNAPSHOT_PREFIX, network, &names, &snapshot.parameters)?;
            snapshot.state.write(&mut writer, SNAPSHOT_PREFIX, network, &names)?;
        }
        let history = serde_json::to_vec(&self.history)
            .map_err(|error| Error::Internal { context: "history as JSON".into(), reason: error.to_string() })?;
        writer.add_bytes(HISTORY_TENSOR, &history);
        let training = TrainingRecord {
            settings: SettingsRecord::from_settings(&self.settings),
            counts: CheckpointCounts { position: self.stored_position(), ..self.counts },
            snapshot_steps: self.snapshot.as_ref().map(|snapshot| snapshot.steps_since_reset),
        };
        self.model.to_bytes_with(writer, Some(training))
    }

    /// Returns an error if the fields do not fit together. The caller may have changed them.
    pub(crate) fn check(&self) -> Result<()> {
        self.model.check()?;
        self.settings.check(&self.model.network)?;
        self.position.check(&self.counts)?;
        self.check_optimizer(&self.position.optimizer)?;
        self.state.check(&self.model.parameters, &self.position)?;
        if let Some(snapshot) = &self.snapshot {
            self.model.network.check_parameters(&snapshot.parameters)?;
            snapshot.state.check(&self.model.parameters, &self.position)?;
        }
        let CheckpointCounts { dataset_steps, total_steps, steps_since_reset, .. } = self.counts;
        let snapshot_steps = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.steps_since_reset);
        let max_steps = total_steps.min(MAX_STEPS);
        for (count, steps) in [
            ("dataset_steps", dataset_steps),
            ("steps_since_reset", steps_since_reset),
            ("snapshot_steps", snapshot_steps),
            ("total_steps", total_steps),
        ] {
            if steps > max_steps {
                let expected = format!("at most {max_steps} (total_steps is {total_steps})");
                let got = format!("{count} {steps}");
                return Err(Error::InvalidSetting { name: "checkpoint steps", expected, got });
            }
        }
        Ok(())
    }

    /// Returns the position to store in the file. It is `None` for an unchanged checkpoint from a file that has none,
    /// so that the bytes stay the same.
    fn stored_position(&self) -> Option<TrainingPosition> {
        let follows_from_settings = self.counts.position.is_none()
            && self.position == TrainingPosition::from_settings(&self.settings, &self.counts);
        (!follows_from_settings).then_some(self.position)
    }

    /// Returns an error if the optimizer of the settings cannot continue with the state of `state_optimizer`.
    fn check_optimizer(&self, state_optimizer: &Optimizer) -> Result<()> {
        let optimizer = &self.settings.optimizer;
        let is_same = optimizer.rule.name() == state_optimizer.rule.name()
            && optimizer.state_per_parameter() == state_optimizer.state_per_parameter();
        if is_same {
            return Ok(());
        }
        let describe = |optimizer: &Optimizer| {
            let ema = if optimizer.ema_decay.is_some() { " with EMA" } else { "" };
            format!("{}{ema}", optimizer.rule.name())
        };
        let expected = format!("{} as in the checkpoint", describe(state_optimizer));
        let got = format!(
            "{}; for another optimizer, create a new Trainer and call Trainer::set_parameters with the parameters of the \
             model",
            describe(optimizer)
        );
        Err(Error::InvalidSetting { name: "checkpoint optimizer", expected, got })
    }

    /// Loads a checkpoint from a file of [`Checkpoint::save`].
    ///
    /// # Errors
    /// - [`Error::Format`] if the file is not a checkpoint, for example if it is the file of a model.
    /// - The errors of [`Model::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with_custom(path, &CustomFunctions::default())
    }

    /// Loads a checkpoint with custom activations or a custom loss from a file of [`Checkpoint::save`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    #[doc(alias = "custom_objects")]
    pub fn load_with_custom(path: impl AsRef<Path>, custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &tensors::read(path, MAX_FILE_BYTES)?, custom_functions)
    }

    /// Reads a checkpoint from the bytes of [`Checkpoint::to_bytes`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read("bytes", bytes, &CustomFunctions::default())
    }

    fn read(file: &str, bytes: &[u8], custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let mut reader = Reader::new(file, bytes)?;
        let (model, training) = Model::read_with::<TrainingRecord>(file, &mut reader, custom_functions)?;
        let Some(TrainingRecord { settings, counts, snapshot_steps }) = training else {
            let got = "a model; load it with Model::load";
            return Err(format_error(&file, "metadata", "a checkpoint", got));
        };
        let history = serde_json::from_slice(reader.read_bytes(HISTORY_TENSOR)?).map_err(|error| {
            let got = format_args!("an error: {error}");
            format_error(&file, format_args!("tensor {HISTORY_TENSOR}"), "a history as JSON", got)
        })?;
        let network = &model.network;
        let settings = settings.into_settings(network, custom_functions)?;
        let names = TensorNames::sequential(network);
        let position = counts.position.unwrap_or_else(|| TrainingPosition::from_settings(&settings, &counts));
        position.check(&counts)?;
        let state = OptimizerState::read(&mut reader, TRAINING_PREFIX, network, &names, &position)?;
        let mut snapshot = None;
        if let Some(steps_since_reset) = snapshot_steps {
            snapshot = Some(Snapshot {
                parameters: reader.read_parameters(SNAPSHOT_PREFIX, network, &names)?,
                state: OptimizerState::read(&mut reader, SNAPSHOT_PREFIX, network, &names, &position)?,
                steps_since_reset,
            });
        }
        reader.check_all_read(network, &names, None)?;
        let checkpoint = Self { model, settings, history, counts, position, state, snapshot };
        checkpoint.check()?;
        Ok(checkpoint)
    }
}
