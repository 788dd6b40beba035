//! The trainer: trains one network on a GPU or on the CPU engine.

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

use crate::{
    data::{
        dataset::{Dataset, Targets},
        scaling::scaler::Scaler,
    },
    device::Device,
    engine::{
        prefetch::sum_step_weights,
        step::{ResumeOffset, StepGenerator},
        training::TrainingBackend,
    },
    error::{Error, Result},
    nn::{loss::Loss, network::Network, task::Task},
    plan::Plan,
    train::{run_report::RunReport, settings::TrainerSettings, trainer::data::DataInfo},
    util::blocking::blocking,
};

/// A trainer: trains one network on a GPU or on the CPU engine.
///
/// Every method that waits for the device has an `_async` twin. On native platforms the twin also occupies its thread
/// while the device works, because no other thread polls the device.
///
/// After a device error, or if the future of a run is dropped, the device may have run some of the steps, and their
/// losses are lost. The parameters can still be read and set unless the device is lost.
pub struct Trainer {
    network: Network,
    settings: TrainerSettings,
    /// Whether gradus chose the loss for the targets ([`Loss::Auto`]).
    has_automatic_loss: bool,
    data: DataInfo,
    engine: TrainingBackend,
    counts: StepCounts,
    /// The most general task of the batches of all manual steps so far.
    manual_task: Option<Task>,
    /// The metrics of the manual steps that [`Trainer::take_report`] has not returned yet.
    pending_report: RunReport,
    last_loss: Option<f32>,
}

/// The step counters of a trainer.
#[derive(Clone, Copy, Default)]
struct StepCounts {
    /// Steps on the data set.
    dataset_steps: u64,
    /// All steps: on the data set and manual.
    total_steps: u64,
    /// All steps since the last reset of the optimizer.
    steps_since_reset: u64,
    /// The value of `steps_since_reset` at the last snapshot. `None` without a snapshot.
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
        /// Creates a trainer for a network and a data set, and copies the data set to the device.
        ///
        /// gradus checks the limits of the device before it allocates memory.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if a setting or the network is invalid.
        /// - [`Error::Shape`] or [`Error::ClassOutOfRange`] if the data set does not fit the network.
        /// - [`Error::DeviceLimit`] if a limit of the device is too small.
        /// - [`Error::InvalidPlan`] if [`TrainerSettings::plan`] was made for another device, driver, version, network
        ///   or batch size.
        /// - [`Error::Io`] if a file with rows cannot be read.
        /// - [`Error::OutOfMemory`] or [`Error::DeviceLost`] if the device fails.
        pub fn new(device: &Device, network: &Network, data: &Dataset, settings: TrainerSettings) -> Result<Self>
            = Self::new_async(device, network, Some(data), settings);

        /// Creates a trainer without a data set. Pass its batches to [`Trainer::step`].
        ///
        /// # Errors
        /// As [`Trainer::new`].
        pub fn without_dataset(device: &Device, network: &Network, settings: TrainerSettings) -> Result<Self>
            = Self::new_async(device, network, None, settings);
    }

    /// The asynchronous form of [`Trainer::new`], and of [`Trainer::without_dataset`] if `data` is `None`.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub async fn new_async(
        device: &Device,
        network: &Network,
        data: Option<&Dataset>,
        settings: TrainerSettings,
    ) -> Result<Self> {
        let has_automatic_loss = settings.loss == Loss::Auto;
        let settings = settings.resolve_loss(network, data.map(Dataset::targets));
        settings.check(network)?;
        if let Some(data) = data {
            data.check_shape(network.inputs(), network.outputs())?;
        }
        let task = Task::from_targets(network, settings.loss, data.map(Dataset::targets));
        let generator = initial_generator(&settings, network, data, task);
        generator.check(network)?;
        let config = settings.training_config(network, data);
        let engine = TrainingBackend::new(device, config, data, generator).await?;
        Ok(Self {
            network: network.clone(),
            data: DataInfo::new(config.has_sample_weights, task, data),
            settings,
            has_automatic_loss,
            engine,
            counts: StepCounts::default(),
            manual_task: None,
            pending_report: RunReport::default(),
            last_loss: None,
        })
    }

    /// Returns the scale of features from bytes. `None` if the features are not bytes.
    pub(crate) const fn byte_scale(&self) -> Option<f32> {
        self.data.byte_scale.scale
    }

    /// Sets the byte scale from `data` before the first manual step. Later data sets must have the same byte scale.
    pub(crate) fn set_byte_scale(&mut self, data: &Dataset) -> Result<()> {
        if self.counts.total_steps == 0 && !self.data.is_present {
            self.data.byte_scale = data.features().byte_scale().into();
        }
        data.check_scale(self.data.byte_scale.scale)
    }

    /// Returns the network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &TrainerSettings {
        &self.settings
    }

    /// Returns the plan: how the device computes a step.
    ///
    /// Set it as [`TrainerSettings::plan`] to reproduce the bits of this trainer. Its text can be saved and parsed.
    pub fn plan(&self) -> Plan {
        self.engine.plan()
    }

    /// Returns every plan that may be the fastest. The plan of the planner comes first.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn candidate_plans(&self) -> Vec<Plan> {
        self.engine.candidate_plans()
    }

    /// Returns the number of steps per epoch.
    pub const fn steps_per_epoch(&self) -> usize {
        self.step_generator().steps_per_epoch() as usize
    }

    blocking! {
        /// Runs `steps` training steps on the data set, and waits for the last one.
        ///
        /// Epochs follow each other without a break. All steps run on the device.
        ///
        /// # Errors
        /// - [`Error::Diverged`] if the loss of a step is NaN or infinite. [`Trainer::take_report`] then returns all
        ///   losses.
        /// - [`Error::InvalidState`] if the trainer has no data set.
        /// - [`Error::InvalidSetting`] if `steps` is greater than 2^32 - 1.
        /// - [`Error::Io`] if a file with rows can no longer be read.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
        pub fn run(&mut self, steps: usize) -> Result<RunReport> = self.run_async(steps);
    }

    /// The asynchronous form of [`Trainer::run`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<RunReport> {
        self.check_data()?;
        if steps > u32::MAX as usize {
            let expected = format!("at most {} per call", u32::MAX);
            return Err(Error::InvalidSetting { name: "steps", expected, got: steps.to_string() });
        }
        self.collect_metrics_async().await?;
        let StepCounts { dataset_steps: first, steps_since_reset, .. } = self.counts;
        // Count the steps first: after an error or a dropped future the device may still have run them.
        self.counts.add(steps as u64);
        let mut report = RunReport::new(self.data.task.has_accuracy());
        self.engine.run(first, steps_since_reset, steps, &mut report).await?;
        report.batch_weights = self.step_weights(first, report.losses.len());
        if let Err(diverged) = self.check_finite_losses(&report) {
            self.append(&report);
            return Err(diverged);
        }
        Ok(report)
    }

    blocking! {
        /// Runs the remaining steps of the current epoch. After [`Trainer::new`] this is a whole epoch.
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
        let steps_per_epoch = self.step_generator().steps_per_epoch();
        self.run_async((steps_per_epoch - self.counts.dataset_steps % steps_per_epoch) as usize).await
    }

    /// Returns the scaler of the inputs, if there is one; see [`Dataset::with_scaler`].
    pub fn scaler(&self) -> Option<&Scaler> {
        self.data.scaler.as_deref()
    }

    /// Returns the maximum number of rows of a manual step.
    pub(crate) const fn max_manual_rows(&self) -> usize {
        self.step_generator().batch_size
    }

    /// Returns the targets of the data set.
    pub(crate) fn targets(&self) -> Option<Arc<Targets>> {
        self.data.targets.clone()
    }

    /// Returns the number of steps on the data set so far, without manual steps.
    pub const fn dataset_steps(&self) -> u64 {
        self.counts.dataset_steps
    }

    /// Returns the time in seconds that the host waited for the driver to compile the kernels of this trainer.
    ///
    /// It is 0 on the CPU engine, and for kernels that the device has compiled before. Some drivers compile a kernel
    /// when its first step runs.
    pub const fn compile_seconds(&self) -> f64 {
        self.engine.compile_seconds()
    }

    /// Returns the sums of the sample weights of the steps `first..first + steps` on the data set. Empty without sample
    /// weights.
    fn step_weights(&self, first: u64, steps: usize) -> Vec<f64> {
        let Some(weights) = &self.data.sample_weights else { return Vec::new() };
        sum_step_weights(self.step_generator(), self.settings.shuffle, weights, first..first + steps as u64)
    }

    /// Returns an error if there is no data set.
    fn check_data(&self) -> Result<()> {
        if self.data.is_present {
            return Ok(());
        }
        let message = "this trainer has no data set; create it with Trainer::new, or pass batches to Trainer::step";
        Err(Error::InvalidState { message: message.to_owned() })
    }

    /// Returns the generator of the steps.
    const fn step_generator(&self) -> &StepGenerator {
        self.engine.step_generator()
    }

    /// Returns an error if a loss in the report of the last steps is NaN or infinite.
    fn check_finite_losses(&mut self, report: &RunReport) -> Result<()> {
        self.last_loss = report.losses.last().copied().or(self.last_loss);
        let Some(index) = report.losses.iter().position(|loss| !loss.is_finite()) else { return Ok(()) };
        let step = self.counts.total_steps - report.losses.len() as u64 + index as u64;
        let hint = self.data.max_abs.divergence_hint(step == 0);
        Err(Error::Diverged { step, loss: report.losses[index], hint })
    }
}

/// Writes the network, the loss, the optimizer and the batch size in one line, for example
/// `4-16-3, softmax_cross_entropy, adam with learning rate 0.003, batch size 8`. A loss that gradus chose for the
/// targets ([`Loss::Auto`]) is marked.
impl std::fmt::Display for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.network.inputs())?;
        self.network.layers().iter().try_for_each(|layer| write!(f, "-{}", layer.outputs))?;
        let TrainerSettings { loss, optimizer, batch_size, .. } = &self.settings;
        let mark = if self.has_automatic_loss { " (chosen for the targets)" } else { "" };
        let (name, learning_rate) = (optimizer.name(), optimizer.learning_rate);
        write!(f, ", {loss}{mark}, {name} with learning rate {learning_rate}, batch size {batch_size}")
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, settings, counts, .. } = self;
        let mut output = f.debug_struct("Trainer");
        output.field("network", network).field("settings", settings).field("total_steps", &counts.total_steps);
        output.finish_non_exhaustive()
    }
}

/// Returns the generator of the steps of a new trainer with these settings.
fn initial_generator(
    settings: &TrainerSettings,
    network: &Network,
    data: Option<&Dataset>,
    task: Task,
) -> StepGenerator {
    let batch_size = match data {
        Some(data) if !settings.drop_last => settings.batch_size.min(data.rows()),
        Some(_) | None => settings.batch_size,
    };
    StepGenerator {
        rows: data.map_or(settings.batch_size, Dataset::rows),
        subset: None,
        batch_size,
        outputs: network.outputs(),
        loss: settings.loss,
        optimizer: settings.optimizer,
        schedule: settings.schedule.clone(),
        gradient_accumulation: settings.gradient_accumulation as u64,
        seed: settings.seed,
        dropout: None,
        is_multi_label: task == Task::MultiLabel,
        drop_last: settings.drop_last && data.is_some(),
        resume_offset: ResumeOffset::default(),
    }
}
