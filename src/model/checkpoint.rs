//! A training as it is put aside and taken up again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    engine::step::ResumeOffset,
    error::{Error, Result, check_len},
    model::{
        Model, TRAINING_PREFIX,
        records::{CustomFunctions, SettingsRecord},
        tensor_names::TensorNames,
        tensors,
        tensors::{Reader, Writer},
    },
    nn::{layout::LayerParameters, network::Network, tensors::TensorKind},
    optim::optimizer::Optimizer,
    train::{history::History, settings::TrainerSettings},
};

/// A training as it stands after some step: [`Trainer::checkpoint`](crate::train::Trainer::checkpoint) makes one, and
/// [`Trainer::resume`](crate::train::Trainer::resume) goes on from it as if nothing had been between, with the same bits where
/// the plan in its settings can be kept: on the same device, driver, number of threads and version of this crate. To go on
/// elsewhere, within rounding, the plan is taken out.
///
/// ```no_run
/// # use gradus::{Checkpoint, Dataset, Device, Fit, Trainer};
/// # fn go_on(device: &Device, data: &Dataset) -> gradus::Result<()> {
/// let mut checkpoint = Checkpoint::load("training.safetensors")?;
/// checkpoint.settings.plan = None; // it may have been another machine
/// let mut trainer = Trainer::resume(device, &checkpoint, Some(data))?;
/// Fit::new(10).after(checkpoint.history).run(&mut trainer)?;
/// # Ok(()) }
/// ```
///
/// # Files
///
/// A file is that of its [`Model`], which [`Model::load`] reads, with more tensors and more metadata: the optimizer's state,
/// gradients that wait for more batches, what early stopping has kept, and the epochs so far, as JSON. The same content gives
/// the same bytes. The data set is not in it, and the losses of steps by hand that nobody has asked for are forgotten.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The network, its parameters as they are now, and what scales its inputs.
    pub model: Model,
    /// How it is trained, with the learning rate of now and the plan.
    pub settings: TrainerSettings,
    /// The epochs so far: empty unless they are put here, as [`Checkpoint::with_history`] does.
    pub history: History,
    pub(crate) counts: CheckpointCounts,
    pub(crate) position: TrainingPosition,
    pub(crate) state: OptimizerState,
    /// What [`Trainer::snapshot`](crate::train::Trainer::snapshot) has kept.
    pub(crate) snapshot: Option<Snapshot>,
}

/// Where a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointCounts {
    /// The rows of the data set, if there is one.
    pub(crate) dataset_rows: Option<usize>,
    /// Steps on the data set, all steps, and those since the optimizer started.
    pub(crate) dataset_steps: u64,
    pub(crate) total_steps: u64,
    pub(crate) steps_since_reset: u64,
    pub(crate) last_loss: Option<f32>,
    /// How those steps were taken; none in files that were written before it was stored, whose settings say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<TrainingPosition>,
}

/// How the steps of a training were taken, and where in the data set they ended. The settings of a checkpoint may ask for
/// another way to go on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainingPosition {
    /// The rows of a batch, at most those of the data set.
    pub(crate) batch_size: usize,
    pub(crate) drop_last: bool,
    pub(crate) gradient_accumulation: usize,
    /// The optimizer of the state.
    pub(crate) optimizer: Optimizer,
    /// How many epochs are over, and how many rows of the next one were taken.
    pub(crate) epoch: u64,
    pub(crate) row_in_epoch: u64,
    /// The updates and epochs before the batch size or the accumulation was changed last.
    pub(crate) resume_offset: ResumeOffset,
}

impl TrainingPosition {
    /// As the settings say it: what is true of files that do not store it.
    fn from_settings(settings: &TrainerSettings, counts: &CheckpointCounts) -> Self {
        let batch = counts.dataset_rows.map_or(settings.batch_size, |rows| settings.batch_size.min(rows)).max(1);
        let steps = counts.dataset_rows.map_or(1, |rows| rows.div_ceil(batch)).max(1) as u64;
        Self {
            batch_size: batch,
            drop_last: false,
            gradient_accumulation: settings.gradient_accumulation,
            optimizer: settings.optimizer,
            epoch: counts.dataset_steps / steps,
            row_in_epoch: counts.dataset_steps % steps * batch as u64,
            resume_offset: ResumeOffset::default(),
        }
    }

    /// Refuses what no training has done.
    fn check(&self, counts: &CheckpointCounts) -> Result<()> {
        self.optimizer.check()?;
        let rows = counts.dataset_rows.map_or(u64::MAX, |rows| rows as u64);
        let ResumeOffset { updates, epochs } = self.resume_offset;
        let is_possible = self.batch_size > 0
            && self.gradient_accumulation > 0
            && self.epoch <= counts.dataset_steps
            && self.row_in_epoch < rows
            && updates.max(epochs) <= 1 << 53;
        if is_possible {
            return Ok(());
        }
        let (expected, got) = ("one within the data set and the steps taken".to_owned(), format!("{self:?}"));
        Err(Error::InvalidSetting { name: "position of a checkpoint", expected, got })
    }
}

/// What an optimizer keeps, each laid out as the parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OptimizerState {
    pub(crate) vectors: Vec<Vec<LayerParameters>>,
    /// Those that are being accumulated; none if they are not.
    pub(crate) accumulated_gradients: Option<Vec<LayerParameters>>,
}

/// A training as it was at an earlier step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) parameters: Vec<LayerParameters>,
    pub(crate) state: OptimizerState,
    pub(crate) steps_since_reset: u64,
}

/// What a file says of a training.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingRecord {
    settings: SettingsRecord,
    counts: CheckpointCounts,
    /// The steps since the optimizer started when something was kept, if it was.
    snapshot_steps: Option<u64>,
}

/// What the names of the tensors begin with that were kept.
const SNAPSHOT_PREFIX: &str = "training.snapshot.";

/// The tensor whose bytes are the history, as JSON: beside the settings it would soon be more than a header may hold.
const HISTORY_TENSOR: &str = "training.history";

impl Checkpoint {
    /// The same with the epochs so far.
    #[must_use]
    pub fn with_history(mut self, history: &History) -> Self {
        self.history = history.clone();
        self
    }

    /// How many steps were taken, on the data set and by hand.
    pub const fn total_steps(&self) -> u64 {
        self.counts.total_steps
    }

    /// Writes it to a file. The file is there whole afterwards, or what was there before.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`Model::to_bytes`], since the fields may have changed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::util::files::write(path.as_ref(), &self.to_bytes()?)
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// As [`Model::to_bytes`], since the fields may have changed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let network = &self.model.network;
        self.check()?;
        let (mut writer, names) = (Writer::default(), TensorNames::sequential(network));
        self.state.write(&mut writer, TRAINING_PREFIX, network, &names)?;
        if let Some(kept) = &self.snapshot {
            writer.add_layers(SNAPSHOT_PREFIX, network, &names, &kept.parameters)?;
            kept.state.write(&mut writer, SNAPSHOT_PREFIX, network, &names)?;
        }
        let history = serde_json::to_vec(&self.history)
            .map_err(|error| Error::Internal { context: "a history as JSON".into(), reason: error.to_string() })?;
        writer.add_bytes(HISTORY_TENSOR, &history);
        let training = TrainingRecord {
            settings: SettingsRecord::from_settings(&self.settings),
            counts: CheckpointCounts { position: self.stored_position(), ..self.counts },
            snapshot_steps: self.snapshot.as_ref().map(|kept| kept.steps_since_reset),
        };
        self.model.to_bytes_with(writer, Some(training))
    }

    /// Refuses parts that do not fit together, of which a caller may have changed some.
    pub(crate) fn check(&self) -> Result<()> {
        self.model.check()?;
        self.settings.check(&self.model.network)?;
        let taken = self.position;
        taken.check(&self.counts)?;
        self.check_optimizer(&taken.optimizer)?;
        self.state.check(&self.model, &taken)?;
        if let Some(kept) = &self.snapshot {
            self.model.network.check_parameters(&kept.parameters)?;
            kept.state.check(&self.model, &taken)?;
        }
        let CheckpointCounts { dataset_steps: done, total_steps: total, steps_since_reset: since, .. } = self.counts;
        let steps = [done, since, self.snapshot.as_ref().map_or(0, |kept| kept.steps_since_reset), total];
        // So many are exact in f64 as well, and nobody takes them.
        let most = total.min(1 << 53);
        match steps.into_iter().find(|steps| *steps > most) {
            None => Ok(()),
            Some(got) => {
                let (expected, got) = (format!("at most {most}"), got.to_string());
                Err(Error::InvalidSetting { name: "steps of a checkpoint", expected, got })
            }
        }
    }

    /// What its file says of how its steps were taken: nothing if it came from a file that says nothing and nothing was changed.
    fn stored_position(&self) -> Option<TrainingPosition> {
        let is_old = self.counts.position.is_none()
            && self.position == TrainingPosition::from_settings(&self.settings, &self.counts);
        (!is_old).then_some(self.position)
    }

    /// Refuses settings whose optimizer cannot go on from the state of another one.
    fn check_optimizer(&self, of_state: &Optimizer) -> Result<()> {
        let wanted = &self.settings.optimizer;
        let is_same = wanted.rule.name() == of_state.rule.name()
            && wanted.state_per_parameter() == of_state.state_per_parameter();
        if is_same {
            return Ok(());
        }
        let name = |optimizer: &Optimizer| {
            let average = if optimizer.ema_decay.is_some() { " with an average of the parameters" } else { "" };
            format!("{}{average}", optimizer.rule.name())
        };
        let expected = format!(
            "{}, whose state the checkpoint holds (to go on with another optimizer, make a new Trainer and call \
             Trainer::set_parameters with Checkpoint::model's parameters)",
            name(of_state)
        );
        Err(Error::InvalidSetting { name: "optimizer of a checkpoint's settings", expected, got: name(wanted) })
    }

    /// Reads a file of [`Checkpoint::save`].
    ///
    /// # Errors
    /// As [`Model::load`]; [`Error::Format`] also for the file of a model alone.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with_custom(path, &CustomFunctions::default())
    }

    /// [`Checkpoint::load`] for a network or a loss with formulas of the caller's own.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_with_custom(path: impl AsRef<Path>, custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &tensors::read(path, crate::model::MAX_FILE_BYTES)?, custom_functions)
    }

    /// A checkpoint of the bytes of [`Checkpoint::to_bytes`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read("bytes", bytes, &CustomFunctions::default())
    }

    fn read(file: &str, bytes: &[u8], custom_functions: &CustomFunctions<'_>) -> Result<Self> {
        let mut reader = Reader::new(file, bytes)?;
        let (model, training) = Model::read_with::<TrainingRecord>(file, &mut reader, custom_functions)?;
        let Some(TrainingRecord { settings, counts, snapshot_steps: kept }) = training else {
            let got = "a model, which Model::load reads";
            return Err(crate::util::files::format_error(&file, "metadata", "a checkpoint", got));
        };
        let history = serde_json::from_slice(reader.read_bytes(HISTORY_TENSOR)?).map_err(|error| {
            crate::util::files::format_error(&file, format_args!("tensor {HISTORY_TENSOR}"), "a history as JSON", error)
        })?;
        let network = &model.network;
        let settings = settings.into_settings(network, custom_functions)?;
        let names = TensorNames::sequential(network);
        let taken = counts.position.unwrap_or_else(|| TrainingPosition::from_settings(&settings, &counts));
        taken.check(&counts)?;
        let state = OptimizerState::read(&mut reader, TRAINING_PREFIX, network, &names, &taken)?;
        let kept = match kept {
            None => None,
            Some(since) => Some(Snapshot {
                parameters: reader.read_layers(SNAPSHOT_PREFIX, network, &names, true)?,
                state: OptimizerState::read(&mut reader, SNAPSHOT_PREFIX, network, &names, &taken)?,
                steps_since_reset: since,
            }),
        };
        reader.check_all_read(network, &names, None)?;
        let checkpoint = Self { model, settings, history, counts, position: taken, state, snapshot: kept };
        checkpoint.check()?;
        Ok(checkpoint)
    }
}

impl OptimizerState {
    fn write<'a>(
        &'a self,
        writer: &mut Writer<'a>,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
    ) -> Result<()> {
        for (i, plane) in self.vectors.iter().enumerate() {
            writer.add_layers(&format!("{prefix}state.{i}."), network, names, plane)?;
        }
        let gradients = self.accumulated_gradients.as_ref();
        match gradients {
            Some(gradients) => writer.add_layers(&gradients_prefix(prefix), network, names, gradients),
            None => Ok(()),
        }
    }

    /// Refuses what is not that of a model and settings, which a caller may have changed.
    fn check(&self, model: &Model, position: &TrainingPosition) -> Result<()> {
        check_len("planes of the optimizer's state", position.optimizer.state_per_parameter(), self.vectors.len())?;
        let len_of = |layer: &LayerParameters, kind: TensorKind| {
            if kind.is_trained() { layer.tensor(kind).len() } else { 0 }
        };
        let count = |layers: &[LayerParameters]| -> Vec<_> {
            layers.iter().map(|layer| TensorKind::ALL.map(|kind| len_of(layer, kind))).collect()
        };
        let expected = count(&model.parameters);
        let wrong = |what, expected: &str, got: &str| {
            Err(Error::InvalidSetting { name: what, expected: expected.to_owned(), got: got.to_owned() })
        };
        if self.vectors.iter().chain(&self.accumulated_gradients).any(|layers| count(layers) != expected) {
            return wrong("optimizer's state", "that of the model's layers", "another network's");
        }
        match (position.gradient_accumulation > 1, self.accumulated_gradients.is_some()) {
            (true, false) => wrong("gradients of the batches so far", "some, where batches are accumulated", "none"),
            (false, true) => wrong("gradients of the batches so far", "none, where no batches are accumulated", "some"),
            _ => Ok(()),
        }
    }

    fn read(
        reader: &mut Reader<'_>,
        prefix: &str,
        network: &Network,
        names: &TensorNames,
        position: &TrainingPosition,
    ) -> Result<Self> {
        let planes = 0..position.optimizer.state_per_parameter();
        let plane = |i| reader.read_layers(&format!("{prefix}state.{i}."), network, names, false);
        let planes = planes.map(plane).collect::<Result<_>>()?;
        let accumulates = position.gradient_accumulation > 1;
        let gradients =
            accumulates.then(|| reader.read_layers(&gradients_prefix(prefix), network, names, false)).transpose()?;
        Ok(Self { vectors: planes, accumulated_gradients: gradients })
    }
}

fn gradients_prefix(prefix: &str) -> String {
    format!("{prefix}gradients.")
}
