//! A training as it is put aside and taken up again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    engine::step::Earlier,
    error::{Error, Result, check_len},
    model::{
        Model, TRAINING,
        records::{Formulas, SettingsRecord},
        tensor_names::Names,
        tensors,
        tensors::{Reader, Writer},
    },
    nn::{layout::LayerParameters, network::Network, tensors::TensorKind},
    optim::optimizer::Optimizer,
    train::{history::History, settings::Settings},
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
    pub settings: Settings,
    /// The epochs so far: empty unless they are put here, as [`Checkpoint::with_history`] does.
    pub history: History,
    pub(crate) counts: Counts,
    pub(crate) taken: Taken,
    pub(crate) state: State,
    /// What [`Trainer::keep`](crate::train::Trainer::keep) has kept.
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
    /// How those steps were taken; none in files that were written before it was stored, whose settings say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<Taken>,
}

/// How the steps of a training were taken, and where in the data set they ended. The settings of a checkpoint may ask for
/// another way to go on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taken {
    /// The rows of a batch, at most those of the data set.
    pub(crate) batch: usize,
    pub(crate) drop_last: bool,
    pub(crate) accumulate: usize,
    /// The optimizer of the state.
    pub(crate) optimizer: Optimizer,
    /// How many epochs are over, and how many rows of the next one were taken.
    pub(crate) epoch: u64,
    pub(crate) row: u64,
    /// The updates and epochs before the batch size or the accumulation was changed last.
    pub(crate) earlier: Earlier,
}

impl Taken {
    /// As the settings say it: what is true of files that do not store it.
    fn of(settings: &Settings, counts: &Counts) -> Self {
        let batch = counts.rows.map_or(settings.batch, |rows| settings.batch.min(rows)).max(1);
        let steps = counts.rows.map_or(1, |rows| rows.div_ceil(batch)).max(1) as u64;
        Self {
            batch,
            drop_last: false,
            accumulate: settings.accumulate,
            optimizer: settings.optimizer,
            epoch: counts.done / steps,
            row: counts.done % steps * batch as u64,
            earlier: Earlier::default(),
        }
    }

    /// Refuses what no training has done.
    fn check(&self, counts: &Counts) -> Result<()> {
        self.optimizer.check()?;
        let rows = counts.rows.map_or(u64::MAX, |rows| rows as u64);
        let Earlier { updates, epochs } = self.earlier;
        let is_possible = self.batch > 0
            && self.accumulate > 0
            && self.epoch <= counts.done
            && self.row < rows
            && updates.max(epochs) <= 1 << 53;
        if is_possible {
            return Ok(());
        }
        let (expected, got) = ("one within the data set and the steps taken".to_owned(), format!("{self:?}"));
        Err(Error::Setting { what: "position of a checkpoint", expected, got })
    }
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
        crate::util::files::write(path.as_ref(), &self.to_bytes()?)
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
            counts: Counts { taken: self.stored(), ..self.counts },
            kept: self.kept.as_ref().map(|kept| kept.since),
        };
        self.model.to_bytes_with(writer, Some(training))
    }

    /// Refuses parts that do not fit together, of which a caller may have changed some.
    pub(crate) fn check(&self) -> Result<()> {
        self.model.check()?;
        self.settings.check(&self.model.network)?;
        let taken = self.taken;
        taken.check(&self.counts)?;
        self.check_optimizer(&taken.optimizer)?;
        self.state.check(&self.model, &taken)?;
        if let Some(kept) = &self.kept {
            self.model.network.check_parameters(&kept.parameters)?;
            kept.state.check(&self.model, &taken)?;
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

    /// What its file says of how its steps were taken: nothing if it came from a file that says nothing and nothing was changed.
    fn stored(&self) -> Option<Taken> {
        let is_old = self.counts.taken.is_none() && self.taken == Taken::of(&self.settings, &self.counts);
        (!is_old).then_some(self.taken)
    }

    /// Refuses settings whose optimizer cannot go on from the state of another one.
    fn check_optimizer(&self, of_state: &Optimizer) -> Result<()> {
        let wanted = &self.settings.optimizer;
        let is_same = wanted.rule.name() == of_state.rule.name() && wanted.planes() == of_state.planes();
        if is_same {
            return Ok(());
        }
        let name = |optimizer: &Optimizer| {
            let average = if optimizer.average.is_some() { " with an average of the parameters" } else { "" };
            format!("{}{average}", optimizer.rule.name())
        };
        let expected = format!(
            "{}, whose state the checkpoint holds (to go on with another optimizer, make a new Trainer and call \
             Trainer::set_parameters with Checkpoint::model's parameters)",
            name(of_state)
        );
        Err(Error::Setting { what: "optimizer of a checkpoint's settings", expected, got: name(wanted) })
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
            return Err(crate::util::files::wrong(&file, "metadata", "a checkpoint", got));
        };
        let history = serde_json::from_slice(reader.bytes_of(HISTORY)?).map_err(|error| {
            crate::util::files::wrong(&file, format_args!("tensor {HISTORY}"), "a history as JSON", error)
        })?;
        let network = &model.network;
        let settings = settings.settings(network, formulas)?;
        let names = Names::sequential(network);
        let taken = counts.taken.unwrap_or_else(|| Taken::of(&settings, &counts));
        taken.check(&counts)?;
        let state = State::read(&mut reader, TRAINING, network, &names, &taken)?;
        let kept = match kept {
            None => None,
            Some(since) => Some(Kept {
                parameters: reader.layers(KEPT, network, &names, true)?,
                state: State::read(&mut reader, KEPT, network, &names, &taken)?,
                since,
            }),
        };
        reader.finish(network, &names, None)?;
        let checkpoint = Self { model, settings, history, counts, taken, state, kept };
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
        match gradients {
            Some(gradients) => writer.layers(&gradients_of(prefix), network, names, gradients),
            None => Ok(()),
        }
    }

    /// Refuses what is not that of a model and settings, which a caller may have changed.
    fn check(&self, model: &Model, taken: &Taken) -> Result<()> {
        check_len("planes of the optimizer's state", taken.optimizer.planes(), self.planes.len())?;
        let len_of = |layer: &LayerParameters, kind: TensorKind| {
            if kind.is_trained() { layer.tensor(kind).len() } else { 0 }
        };
        let count = |layers: &[LayerParameters]| -> Vec<_> {
            layers.iter().map(|layer| TensorKind::ALL.map(|kind| len_of(layer, kind))).collect()
        };
        let expected = count(&model.parameters);
        let wrong = |what, expected: &str, got: &str| {
            Err(Error::Setting { what, expected: expected.to_owned(), got: got.to_owned() })
        };
        if self.planes.iter().chain(&self.gradients).any(|layers| count(layers) != expected) {
            return wrong("optimizer's state", "that of the model's layers", "another network's");
        }
        match (taken.accumulate > 1, self.gradients.is_some()) {
            (true, false) => wrong("gradients of the batches so far", "some, where batches are accumulated", "none"),
            (false, true) => wrong("gradients of the batches so far", "none, where no batches are accumulated", "some"),
            _ => Ok(()),
        }
    }

    fn read(reader: &mut Reader<'_>, prefix: &str, network: &Network, names: &Names, taken: &Taken) -> Result<Self> {
        let planes = 0..taken.optimizer.planes();
        let plane = |i| reader.layers(&format!("{prefix}state.{i}."), network, names, false);
        let planes = planes.map(plane).collect::<Result<_>>()?;
        let accumulates = taken.accumulate > 1;
        let gradients = accumulates.then(|| reader.layers(&gradients_of(prefix), network, names, false)).transpose()?;
        Ok(Self { planes, gradients })
    }
}

fn gradients_of(prefix: &str) -> String {
    format!("{prefix}gradients.")
}
