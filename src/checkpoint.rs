//! A training as it is put aside and taken up again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Formulas, History, LayerParameters, Model, Names, Network, Result, Settings,
    error::check_len,
    formats::{
        self,
        records::SettingsRecord,
        tensors::{self, Reader, Writer},
    },
    model::TRAINING,
};

/// A training as it stands after some step: [`Trainer::checkpoint`](crate::Trainer::checkpoint) makes one, and
/// [`Trainer::resume`](crate::Trainer::resume) goes on from it as if nothing had been between, with the same bits where
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
    pub settings: Settings,
    /// The epochs so far: empty unless they are put here, as [`Checkpoint::with_history`] does.
    pub history: History,
    pub(crate) counts: Counts,
    pub(crate) state: State,
    /// What [`Trainer::keep`](crate::Trainer::keep) has kept.
    pub(crate) kept: Option<Kept>,
}

/// Where a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// The rows of the data set, if there is one.
    pub(crate) rows: Option<usize>,
    /// Steps on the data set, all steps, and those since the optimizer started.
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) since: u64,
    pub(crate) last_loss: Option<f32>,
}

/// What an optimizer keeps, each laid out as the parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) planes: Vec<Vec<LayerParameters>>,
    /// Those that are being accumulated; none if they are not.
    pub(crate) gradients: Option<Vec<LayerParameters>>,
}

/// A training as it was at an earlier step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) parameters: Vec<LayerParameters>,
    pub(crate) state: State,
    pub(crate) since: u64,
}

/// What a file says of a training.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingRecord {
    settings: SettingsRecord,
    counts: Counts,
    /// The steps since the optimizer started when something was kept, if it was.
    kept: Option<u64>,
}

/// What the names of the tensors begin with that were kept.
const KEPT: &str = "training.kept.";

/// The tensor whose bytes are the history, as JSON: beside the settings it would soon be more than a header may hold.
const HISTORY: &str = "training.history";

impl Checkpoint {
    /// The same with the epochs so far.
    #[must_use]
    pub fn with_history(mut self, history: &History) -> Self {
        self.history = history.clone();
        self
    }

    /// How many steps were taken, on the data set and by hand.
    pub const fn steps(&self) -> u64 {
        self.counts.total
    }

    /// Writes it to a file. The file is there whole afterwards, or what was there before.
    ///
    /// # Errors
    /// [`Error::File`], and as [`Model::to_bytes`], since the fields may have changed.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        formats::write(path.as_ref(), &self.to_bytes()?)
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// As [`Model::to_bytes`], since the fields may have changed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let network = &self.model.network;
        self.check()?;
        let (mut writer, names) = (Writer::default(), Names::sequential(network));
        self.state.write(&mut writer, TRAINING, network, &names)?;
        if let Some(kept) = &self.kept {
            writer.layers(KEPT, network, &names, &kept.parameters)?;
            kept.state.write(&mut writer, KEPT, network, &names)?;
        }
        let history = serde_json::to_vec(&self.history)
            .map_err(|error| Error::Internal { what: "a history as JSON".into(), why: error.to_string() })?;
        writer.bytes_of(HISTORY, &history);
        let training = TrainingRecord {
            settings: SettingsRecord::of(&self.settings),
            counts: self.counts,
            kept: self.kept.as_ref().map(|kept| kept.since),
        };
        self.model.to_bytes_with(writer, Some(training))
    }

    /// Refuses parts that do not fit together, of which a caller may have changed some.
    pub(crate) fn check(&self) -> Result<()> {
        self.model.check()?;
        self.settings.check(&self.model.network)?;
        self.state.check(&self.model, &self.settings)?;
        if let Some(kept) = &self.kept {
            self.model.network.check_parameters(&kept.parameters)?;
            kept.state.check(&self.model, &self.settings)?;
        }
        let Counts { done, total, since, .. } = self.counts;
        let steps = [done, since, self.kept.as_ref().map_or(0, |kept| kept.since), total];
        // So many are exact in f64 as well, and nobody takes them.
        let most = total.min(1 << 53);
        match steps.into_iter().find(|steps| *steps > most) {
            None => Ok(()),
            Some(got) => {
                let (expected, got) = (format!("at most {most}"), got.to_string());
                Err(Error::Setting { what: "steps of a checkpoint", expected, got })
            }
        }
    }

    /// Reads a file of [`Checkpoint::save`].
    ///
    /// # Errors
    /// As [`Model::load`]; [`Error::Format`] also for the file of a model alone.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, &Formulas::default())
    }

    /// [`Checkpoint::load`] for a network or a loss with formulas of the caller's own.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_with(path: impl AsRef<Path>, formulas: &Formulas<'_>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(&path.display().to_string(), &tensors::read(path, crate::model::MOST)?, formulas)
    }

    /// A checkpoint of the bytes of [`Checkpoint::to_bytes`].
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read("bytes", bytes, &Formulas::default())
    }

    fn read(file: &str, bytes: &[u8], formulas: &Formulas<'_>) -> Result<Self> {
        let mut reader = Reader::new(file, bytes)?;
        let (model, training) = Model::read_with::<TrainingRecord>(file, &mut reader, formulas)?;
        let Some(TrainingRecord { settings, counts, kept }) = training else {
            let got = "a model, which Model::load reads";
            return Err(formats::wrong(&file, "metadata", "a checkpoint", got));
        };
        let history = serde_json::from_slice(reader.bytes_of(HISTORY)?)
            .map_err(|error| formats::wrong(&file, format_args!("tensor {HISTORY}"), "a history as JSON", error))?;
        let network = &model.network;
        let settings = settings.settings(network, formulas)?;
        let names = Names::sequential(network);
        let state = State::read(&mut reader, TRAINING, network, &names, &settings)?;
        let kept = match kept {
            None => None,
            Some(since) => Some(Kept {
                parameters: reader.layers(KEPT, network, &names, true)?,
                state: State::read(&mut reader, KEPT, network, &names, &settings)?,
                since,
            }),
        };
        reader.finish(network, &names, None)?;
        let checkpoint = Self { model, settings, history, counts, state, kept };
        checkpoint.check()?;
        Ok(checkpoint)
    }
}

impl State {
    fn write<'a>(&'a self, writer: &mut Writer<'a>, prefix: &str, network: &Network, names: &Names) -> Result<()> {
        for (i, plane) in self.planes.iter().enumerate() {
            writer.layers(&format!("{prefix}state.{i}."), network, names, plane)?;
        }
        let gradients = self.gradients.as_ref();
        gradients.map_or(Ok(()), |gradients| writer.layers(&gradients_of(prefix), network, names, gradients))
    }

    /// Refuses what is not that of a model and settings, which a caller may have changed.
    fn check(&self, model: &Model, settings: &Settings) -> Result<()> {
        check_len("planes of the optimizer's state", settings.optimizer.planes(), self.planes.len())?;
        let count = |layers: &[LayerParameters]| -> Vec<_> {
            layers.iter().map(|layer| (layer.weight.len(), layer.vectors().map(Vec::len).sum::<usize>())).collect()
        };
        let expected = count(&model.parameters);
        let wrong = |what, expected: &str, got: &str| {
            Err(Error::Setting { what, expected: expected.to_owned(), got: got.to_owned() })
        };
        if self.planes.iter().chain(&self.gradients).any(|layers| count(layers) != expected) {
            return wrong("optimizer's state", "that of the model's layers", "another network's");
        }
        match (settings.accumulate > 1, self.gradients.is_some()) {
            (true, false) => wrong("gradients of the batches so far", "some, where batches are accumulated", "none"),
            (false, true) => wrong("gradients of the batches so far", "none, where no batches are accumulated", "some"),
            _ => Ok(()),
        }
    }

    fn read(
        reader: &mut Reader<'_>,
        prefix: &str,
        network: &Network,
        names: &Names,
        settings: &Settings,
    ) -> Result<Self> {
        let planes = 0..settings.optimizer.planes();
        let plane = |i| reader.layers(&format!("{prefix}state.{i}."), network, names, false);
        let planes = planes.map(plane).collect::<Result<_>>()?;
        let accumulates = settings.accumulate > 1;
        let gradients = accumulates.then(|| reader.layers(&gradients_of(prefix), network, names, false)).transpose()?;
        Ok(Self { planes, gradients })
    }
}

fn gradients_of(prefix: &str) -> String {
    format!("{prefix}gradients.")
}
