//! A network that learns: the same calls on a GPU and on the CPU.

pub(crate) mod checkpoint;
pub(crate) mod data;
pub(crate) mod evaluate;
pub(crate) mod histograms;
pub(crate) mod manual;
pub(crate) mod parameters;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod profile;
pub(crate) mod record;

use std::sync::Arc;

use crate::train::trainer::data::DataInfo;

use crate::{
    data::{
        dataset::{Dataset, Targets},
        scaling::Scaler,
    },
    device::Device,
    engine::{prefetch::sum_step_weights, step::StepGenerator, training::TrainingBackend},
    error::{Error, Result},
    nn::{loss::Loss, network::Network, task::Task},
    plan::Plan,
    train::{run_report::RunReport, settings::TrainerSettings},
    util::blocking::blocking,
};

/// A network in training on a device. Every method that waits for the device has an `_async` twin; on native platforms
/// that one, too, occupies its thread while the device works, since nothing else would poll it.
///
/// After an error of the device, or if the future of a run is dropped, some of its steps may have been taken and their
/// losses are lost; parameters can still be read and set, unless the device is gone.
pub struct Trainer {
    network: Network,
    settings: TrainerSettings,
    /// Whether the loss was chosen for the targets.
    has_automatic_loss: bool,
    data: DataInfo,
    engine: TrainingBackend,
    counts: StepCounts,
    /// What the targets of all batches of the caller so far are.
    manual_task: Option<Task>,
    /// The steps on batches of the caller that [`Trainer::take_report`] has not returned yet.
    pending_report: RunReport,
    last_loss: Option<f32>,
}

/// How many steps a trainer has taken.
#[derive(Clone, Copy, Default)]
struct StepCounts {
    /// The steps on the data set.
    dataset_steps: u64,
    /// All steps, on the data set and on batches of the caller.
    total_steps: u64,
    /// All steps since the optimizer was reset.
    steps_since_reset: u64,
    /// The steps since the reset when the last snapshot was taken, if there is a snapshot.
    snapshot_steps: Option<u64>,
}

impl StepCounts {
    /// Counts steps on the data set.
    const fn add(&mut self, steps: u64) {
        self.dataset_steps += steps;
        self.total_steps += steps;
        self.steps_since_reset += steps;
    }
}

impl Trainer {
    blocking! {
        /// A trainer of a network on a data set, which moves to the device now and stays there.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] for settings or a network that cannot be used, [`Error::Shape`] and [`Error::ClassOutOfRange`] if
        /// the data set does not fit the network, [`Error::DeviceLimit`] if the device is too small, before anything is
        /// allocated, [`Error::InvalidPlan`] for a [`TrainerSettings::plan`] that is for something else, [`Error::Io`] if rows are
        /// in a file that cannot be read, [`Error::OutOfMemory`], and [`Error::DeviceLost`].
        pub fn new(device: &Device, network: &Network, data: &Dataset, settings: TrainerSettings) -> Result<Self>
            = Self::new_async(device, network, Some(data), settings);

        /// A trainer without a data set: its batches are brought by hand, with [`Trainer::step`].
        ///
        /// # Errors
        /// As [`Trainer::new`].
        pub fn without_dataset(device: &Device, network: &Network, settings: TrainerSettings) -> Result<Self>
            = Self::new_async(device, network, None, settings);
    }

    /// [`Trainer::new`], or [`Trainer::without_dataset`] without data.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub async fn new_async(
        device: &Device,
        network: &Network,
        data: Option<&Dataset>,
        settings: TrainerSettings,
    ) -> Result<Self> {
        let has_chosen_loss = settings.loss == Loss::Auto;
        let settings = settings.resolve_loss(network, data.map(Dataset::targets));
        settings.check(network)?;
        if let Some(data) = data {
            data.check_shape(network.inputs(), network.outputs())?;
        }
        let task = Task::from_targets(network, settings.loss, data.map(Dataset::targets));
        let course = initial_generator(&settings, network, data, task);
        course.check(network)?;
        let config = settings.training_config(network, data);
        let engine = TrainingBackend::new(device, config, data, course).await?;
        Ok(Self {
            network: network.clone(),
            data: DataInfo::new(config.has_sample_weights, task, data),
            settings,
            has_automatic_loss: has_chosen_loss,
            engine,
            counts: StepCounts::default(),
            manual_task: None,
            pending_report: RunReport::default(),
            last_loss: None,
        })
    }

    /// What the bytes are multiplied by that it learns from.
    pub(crate) const fn byte_scale(&self) -> Option<f32> {
        self.data.byte_scale.scale
    }

    /// Takes the scale of bytes from the first batches by hand; later ones have to have the same.
    pub(crate) fn set_byte_scale(&mut self, data: &Dataset) -> Result<()> {
        if self.counts.total_steps == 0 && !self.data.is_present {
            self.data.byte_scale = data.features().byte_scale().into();
        }
        data.check_scale(self.data.byte_scale.scale)
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The settings.
    pub const fn settings(&self) -> &TrainerSettings {
        &self.settings
    }

    /// How a step is computed here: printed, saved, and given again as [`TrainerSettings::plan`] it gives the same bits.
    pub fn plan(&self) -> Plan {
        self.engine.plan()
    }

    /// Every plan that may be the fastest here, the planner's own first.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn candidate_plans(&self) -> Vec<Plan> {
        self.engine.candidate_plans()
    }

    /// How many steps pass over the data set once.
    pub const fn steps_per_epoch(&self) -> usize {
        self.step_generator().steps_per_epoch() as usize
    }

    blocking! {
        /// Takes that many steps on the data set, all on the device; epochs follow one another. Waits for the last one.
        ///
        /// # Errors
        /// [`Error::Diverged`] if a step's loss is not a finite number ([`Trainer::take_report`] then gives all of them),
        /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Io`] if rows are in a file that can no longer be read,
        /// and [`Error::InvalidSetting`] if there is no data set or there are more than 2^32 steps.
        pub fn run(&mut self, steps: usize) -> Result<RunReport> = self.run_async(steps);
    }

    /// The asynchronous form of [`Trainer::run`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<RunReport> {
        self.check_data()?;
        if steps > u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::InvalidSetting { name: "steps of a run", expected, got: steps.to_string() });
        }
        self.collect_metrics_async().await?;
        let StepCounts { dataset_steps: first, steps_since_reset: before, .. } = self.counts;
        // Counted before they are taken: if an error or a dropped future ends the run, the device may have taken them.
        self.counts.add(steps as u64);
        let mut report = RunReport::new(self.data.task.has_accuracy());
        self.engine.run(first, before, steps, &mut report).await?;
        report.batch_weights = self.step_weights(first, report.losses.len());
        if let Err(diverged) = self.check_finite_losses(&report) {
            self.append(&report);
            return Err(diverged);
        }
        Ok(report)
    }

    blocking! {
        /// Takes the steps that are left of the current epoch: all of them after [`Trainer::new`].
        ///
        /// # Errors
        /// As [`Trainer::run`].
        pub fn run_epoch(&mut self) -> Result<RunReport> = self.run_epoch_async();
    }

    /// The asynchronous form of [`Trainer::run_epoch`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run_epoch_async(&mut self) -> Result<RunReport> {
        let all = self.step_generator().steps_per_epoch();
        self.run_async((all - self.counts.dataset_steps % all) as usize).await
    }

    /// What scales its inputs, if anything does: see [`Dataset::with_scaler`].
    pub fn scaler(&self) -> Option<&Scaler> {
        self.data.scaler.as_deref()
    }

    /// The most rows of a step by hand.
    pub(crate) const fn max_manual_rows(&self) -> usize {
        self.step_generator().batch_size
    }

    /// The answers of its data set.
    pub(crate) fn targets(&self) -> Option<Arc<Targets>> {
        self.data.targets.clone()
    }

    /// How many steps were taken on the data set.
    pub const fn dataset_steps(&self) -> u64 {
        self.counts.dataset_steps
    }

    /// The seconds for which the device's driver compiled the kernels of this trainer's steps so far, and for which the host waited;
    /// 0 on the CPU, and for kernels that the device has compiled before. Some drivers compile in the first step.
    pub const fn compile_seconds(&self) -> f64 {
        self.engine.compile_seconds()
    }

    /// The sum of the weights of the rows of each of these steps on the data set; empty where rows have no weights.
    fn step_weights(&self, first: u64, steps: usize) -> Vec<f64> {
        let Some(weights) = &self.data.sample_weights else { return Vec::new() };
        sum_step_weights(self.step_generator(), self.settings.shuffle, weights, first..first + steps as u64)
    }

    fn check_data(&self) -> Result<()> {
        let expected = "a data set, as Trainer::new takes one".to_owned();
        let none = Error::InvalidSetting { name: "steps on resident data", expected, got: "none".into() };
        if self.data.is_present { Ok(()) } else { Err(none) }
    }

    /// What decides the steps.
    const fn step_generator(&self) -> &StepGenerator {
        self.engine.step_generator()
    }

    /// Refuses a loss of the last steps that is not a finite number.
    fn check_finite_losses(&mut self, report: &RunReport) -> Result<()> {
        self.last_loss = report.losses.last().copied().or(self.last_loss);
        match report.losses.iter().position(|loss| !loss.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let first = self.counts.total_steps - report.losses.len() as u64;
                let step = first + at as u64;
                Err(Error::Diverged {
                    step,
                    loss: report.losses[at],
                    hint: self.data.max_abs.divergence_hint(step == 0),
                })
            }
        }
    }
}

/// The network, the loss, the optimizer and the batch in a line: `4-16-3, softmax_cross_entropy, adam with rate 0.003, batches
/// of 8`. A loss that was chosen for the targets ([`Loss::Auto`]) is marked.
impl std::fmt::Display for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.network.inputs())?;
        self.network.layers().iter().try_for_each(|layer| write!(f, "-{}", layer.outputs))?;
        let TrainerSettings { loss, optimizer, batch_size: batch, .. } = &self.settings;
        let chosen = if self.has_automatic_loss { " (chosen for the targets)" } else { "" };
        let (name, rate) = (optimizer.name(), optimizer.learning_rate);
        write!(f, ", {loss}{chosen}, {name} with rate {rate}, batches of {batch}")
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, settings, counts, .. } = self;
        let (mut about, steps) = (f.debug_struct("Trainer"), &counts.total_steps);
        about.field("network", network).field("settings", settings).field("steps", steps).finish_non_exhaustive()
    }
}

/// What decides the steps of a trainer with these settings, until something is changed.
fn initial_generator(
    settings: &TrainerSettings,
    network: &Network,
    data: Option<&Dataset>,
    task: Task,
) -> StepGenerator {
    let mut batch = settings.batch_size;
    if let Some(data) = data.filter(|_| !settings.drop_last) {
        batch = batch.min(data.rows());
    }
    StepGenerator {
        rows: data.map_or(settings.batch_size, Dataset::rows),
        subset: None,
        batch_size: batch,
        outputs: network.outputs(),
        loss: settings.loss,
        optimizer: settings.optimizer,
        schedule: settings.schedule.clone(),
        gradient_accumulation: settings.gradient_accumulation as u64,
        seed: settings.seed,
        dropout: None,
        is_multi_label: task == Task::MultiLabel,
        drop_last: settings.drop_last && data.is_some(),
        resume_offset: Default::default(),
    }
}
