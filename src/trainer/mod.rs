//! A network that learns: the same calls on a GPU and on the CPU.

mod answers;
mod by_hand;
mod checkpoint;
mod histograms;
mod record;
mod resident;

use std::sync::Arc;

pub(crate) use resident::Resident;

use crate::{
    Answers, Dataset, Device, Error, LayerParameters, Loss, Network, Optimizer, Plan, Report, Result, Scaler, Settings,
    blocking::blocking,
    cpu,
    dataset::Largest,
    device::Machine,
    features::ByteScale,
    gpu::{
        draft::{Metric, Setup},
        engine::Engine,
    },
    step::Course,
    task::Task,
    upcoming::weights_of_steps,
};
#[cfg(not(target_family = "wasm"))]
use crate::{KernelTime, PlanRow, Profile};

/// A network in training on a device. Every method that waits for the device has an `_async` twin; on native platforms
/// that one, too, occupies its thread while the device works, since nothing else would poll it.
///
/// After an error of the device, or if the future of a run is dropped, some of its steps may have been taken and their
/// losses are lost; parameters can still be read and set, unless the device is gone.
pub struct Trainer {
    network: Network,
    settings: Settings,
    /// Whether the loss was chosen for the targets.
    has_chosen_loss: bool,
    course: Course,
    has_data: bool,
    /// Whether rows have weights, and those of the data set.
    weighted: bool,
    weights: Option<Arc<Vec<f32>>>,
    /// The answers of the data set.
    answers: Option<Arc<Answers>>,
    scaler: Option<Arc<Scaler>>,
    byte_scale: ByteScale,
    /// Of the data set.
    largest: Largest,
    /// What the targets of the data set are, and of all batches by hand so far.
    task: Task,
    task_by_hand: Option<Task>,
    engine: Worker,
    /// Steps done on the resident data.
    done: u64,
    /// Steps done, by hand or not.
    total: u64,
    /// How many of them since the optimizer started anew.
    since: u64,
    /// Steps by hand that [`Trainer::losses`] has not told yet.
    untold: Report,
    last_loss: Option<f32>,
    /// [`Trainer::since`](field@Self::since) of the parameters that were kept last.
    kept: Option<u64>,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it for each trainer")]
enum Worker {
    Gpu(Engine),
    /// With the data set, which lies on the device otherwise.
    Cpu(cpu::engine::Engine, Option<Dataset>),
}

impl Trainer {
    blocking! {
        /// A trainer of a network on a data set, which moves to the device now and stays there.
        ///
        /// # Errors
        /// [`Error::Setting`] for settings or a network that cannot be used, [`Error::Shape`] and [`Error::Class`] if
        /// the data set does not fit the network, [`Error::Limit`] if the device is too small, before anything is
        /// allocated, [`Error::Plan`] for a [`Settings::plan`] that is for something else, [`Error::File`] if rows are
        /// in a file that cannot be read, [`Error::OutOfMemory`], and [`Error::DeviceLost`].
        pub fn new(device: &Device, network: &Network, data: &Dataset, settings: Settings) -> Result<Self>
            = Self::new_async(device, network, Some(data), settings);

        /// A trainer without a data set: its batches are brought by hand, with [`Trainer::step`].
        ///
        /// # Errors
        /// As [`Trainer::new`].
        pub fn by_hand(device: &Device, network: &Network, settings: Settings) -> Result<Self>
            = Self::new_async(device, network, None, settings);
    }

    /// [`Trainer::new`], or [`Trainer::by_hand`] without data.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub async fn new_async(
        device: &Device,
        network: &Network,
        data: Option<&Dataset>,
        settings: Settings,
    ) -> Result<Self> {
        let has_chosen_loss = settings.loss == Loss::Auto;
        let settings = settings.chosen(network, data.map(Dataset::answers));
        settings.check(network)?;
        data.map_or(Ok(()), |data| data.check_for(network.inputs(), network.outputs()))?;
        let task = Task::of(network, settings.loss, data.map(Dataset::answers));
        let course = Course {
            rows: data.map_or(settings.batch, Dataset::rows),
            subset: None,
            batch: data.filter(|_| !settings.drop_last).map_or(settings.batch, |data| settings.batch.min(data.rows())),
            outputs: network.outputs(),
            loss: settings.loss,
            optimizer: settings.optimizer,
            schedule: settings.schedule.clone(),
            accumulate: settings.accumulate as u64,
            seed: settings.seed,
            dropout: None,
            labels: task == Task::MultiLabel,
            drop_last: settings.drop_last && data.is_some(),
            earlier: Default::default(),
        };
        course.check(network)?;
        let weighted = settings.weighted || data.is_some_and(|data| data.weights().is_some());
        // The first parameters are drawn last: what cannot be is refused before they take memory.
        let engine = match &device.machine {
            Machine::Gpu(gpu) => {
                let (shuffle, chunk) = (settings.shuffle, settings.chunk);
                let setup = Setup {
                    uploaded: None,
                    streams: false,
                    network,
                    courses: vec![course.clone()],
                    data,
                    shuffle,
                    chunk,
                    plan: settings.plan.as_ref(),
                    weighted,
                    noise: settings.input_noise as f32,
                };
                let mut engine = Engine::new(gpu, setup).await?;
                engine.set_parameters(&network.initial(settings.seed)?, &network.first_statistics());
                Worker::Gpu(engine)
            }
            Machine::Cpu => {
                let first = network.initial(settings.seed)?;
                let engine = cpu::engine::Engine::new(
                    network,
                    &course,
                    weighted,
                    first,
                    settings.plan.as_ref().and_then(Plan::threads),
                )?;
                if let Some(pinned) = &settings.plan {
                    engine.plan(network, course.batch).check(pinned)?;
                }
                Worker::Cpu(engine, data.cloned())
            }
        };
        let (network, has_data) = (network.clone(), data.is_some());
        Ok(Self {
            network,
            settings,
            has_chosen_loss,
            course,
            has_data,
            weighted,
            weights: data.and_then(Dataset::shared_weights),
            answers: data.map(Dataset::shared_answers),
            scaler: data.and_then(Dataset::scaler).cloned().map(Arc::new),
            byte_scale: data.and_then(|data| data.features().scale_of_bytes()).into(),
            largest: data.map(Dataset::largest).unwrap_or_default(),
            task,
            task_by_hand: None,
            engine,
            done: 0,
            total: 0,
            since: 0,
            untold: Report::default(),
            last_loss: None,
            kept: None,
        })
    }

    /// What the bytes are multiplied by that it learns from.
    pub(crate) const fn byte_scale(&self) -> Option<f32> {
        self.byte_scale.scale
    }

    /// Takes the scale of bytes from the first batches by hand; later ones have to have the same.
    pub(crate) fn learn_scale(&mut self, data: &Dataset) -> Result<()> {
        if self.total == 0 && !self.has_data {
            self.byte_scale = data.features().scale_of_bytes().into();
        }
        data.check_scale(self.byte_scale.scale)
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How a step is computed here: printed, saved, and given again as [`Settings::plan`] it gives the same bits.
    pub fn plan(&self) -> Plan {
        match &self.engine {
            Worker::Gpu(engine) => engine.plan(),
            Worker::Cpu(engine, _) => engine.plan(&self.network, self.course.batch),
        }
    }

    /// Every plan that may be the fastest here, the planner's own first.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn candidates(&self) -> Vec<Plan> {
        match &self.engine {
            Worker::Gpu(engine) => engine.candidates(),
            Worker::Cpu(..) => vec![self.plan()],
        }
    }

    /// How many steps pass over the data set once.
    pub const fn steps_per_epoch(&self) -> usize {
        self.course.steps_per_epoch() as usize
    }

    blocking! {
        /// Takes that many steps on the data set, all on the device; epochs follow one another. Waits for the last one.
        ///
        /// # Errors
        /// [`Error::Diverged`] if a step's loss is not a finite number ([`Trainer::losses`] then gives all of them),
        /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::File`] if rows are in a file that can no longer be read,
        /// and [`Error::Setting`] if there is no data set or there are more than 2^32 steps.
        pub fn run(&mut self, steps: usize) -> Result<Report> = self.run_async(steps);
    }

    /// The asynchronous form of [`Trainer::run`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<Report> {
        self.check_data()?;
        if steps > u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::Setting { what: "steps of a run", expected, got: steps.to_string() });
        }
        self.collect_async().await?;
        let (course, shuffle, first, before) = (self.course.clone(), self.settings.shuffle, self.done, self.since);
        // Noted before they are taken: if an error or a dropped future ends the run, the device may have taken them.
        self.count(steps as u64);
        let mut report = Report::of(self.task.has_accuracy());
        let noise = self.settings.input_noise as f32;
        match &mut self.engine {
            Worker::Gpu(engine) => {
                let metrics = engine.run(first, before, steps).await?;
                push_all(&mut report, &course, first, metrics);
            }
            Worker::Cpu(engine, data) => {
                let Some(data) = data else { return Ok(report) };
                let how = Resident { data, shuffle, noise, weighted: self.weighted };
                let steps = first..first + steps as u64;
                engine.in_pool(|engine| how.run(engine, course, steps, before, &mut report));
                data.check_read()?;
            }
        }
        report.weights = self.weights_of(first, report.losses.len());
        if let Err(diverged) = self.check_losses(&report) {
            self.remember(&report);
            return Err(diverged);
        }
        Ok(report)
    }

    /// Takes steps on the data set, timing each kernel, and then as many again, timed together: in all twice as many, and
    /// one before them. Where kernels take many steps at once, `steps` should be many; of more than one submission should have, a
    /// profile takes fewer.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    #[cfg(not(target_family = "wasm"))]
    pub fn profile(&mut self, steps: usize) -> Result<Profile> {
        pollster::block_on(self.run_async(1))?;
        let steps = if let Worker::Gpu(engine) = &self.engine { engine.profiled(steps) } else { steps.max(1) };
        let (first, before) = (self.done, self.since);
        let mut kernels = Vec::new();
        let mut by_device = false;
        if let Worker::Gpu(engine) = &mut self.engine {
            let taken = pollster::block_on(engine.profile(first, before, steps));
            // Whatever ended the profile, the device may have taken them.
            self.count(steps as u64);
            let metrics;
            (kernels, metrics, by_device) = taken?;
            let mut report = Report::of(self.task.has_accuracy());
            push_all(&mut report, &self.course, first, metrics);
            report.weights = self.weights_of(first, report.losses.len());
            self.tell(&report)?;
        }
        let start = std::time::Instant::now();
        pollster::block_on(self.run_async(steps))?;
        let step = start.elapsed().as_secs_f64() / steps as f64;
        if let Worker::Cpu(..) = self.engine {
            let row = |row: &PlanRow| KernelTime {
                kernel: row.kernel.clone(),
                seconds: step,
                flop: row.flop,
                bytes: row.bytes,
            };
            kernels = self.plan().rows().iter().map(row).collect();
        }
        Ok(Profile { kernels, step, by_device })
    }

    blocking! {
        /// Takes the steps that are left of the current epoch: all of them after [`Trainer::new`].
        ///
        /// # Errors
        /// As [`Trainer::run`].
        pub fn epoch(&mut self) -> Result<Report> = self.epoch_async();
    }

    /// The asynchronous form of [`Trainer::epoch`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn epoch_async(&mut self) -> Result<Report> {
        let all = self.course.steps_per_epoch();
        self.run_async((all - self.done % all) as usize).await
    }

    /// What scales its inputs, if anything does: see [`Dataset::with_scaling`].
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    blocking! {
        /// Weights and biases, layer by layer.
        ///
        /// # Errors
        /// [`Error::DeviceLost`], [`Error::Timeout`].
        pub fn parameters(&self) -> Result<Vec<LayerParameters>> = self.parameters_async();
    }

    /// The asynchronous form of [`Trainer::parameters`].
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn parameters_async(&self) -> Result<Vec<LayerParameters>> {
        Ok(match &self.engine {
            Worker::Gpu(engine) => self.network.layers_of(&engine.parameters().await?, &engine.statistics().await?),
            Worker::Cpu(engine, _) => self.network.layers_of(engine.parameters(), engine.statistics()),
        })
    }

    blocking! {
        /// The exponential moving average of weights and biases, layer by layer.
        ///
        /// # Errors
        /// [`Error::Setting`] if the optimizer keeps none ([`crate::Optimizer::average`]), and as
        /// [`Trainer::parameters`].
        pub fn averaged_parameters(&self) -> Result<Vec<LayerParameters>> = self.averaged_parameters_async();
    }

    /// The asynchronous form of [`Trainer::averaged_parameters`].
    ///
    /// # Errors
    /// As [`Trainer::averaged_parameters`].
    pub async fn averaged_parameters_async(&self) -> Result<Vec<LayerParameters>> {
        let flat = match &self.engine {
            Worker::Gpu(engine) => engine.average().await?,
            Worker::Cpu(engine, _) => engine.average(),
        };
        let none = || Error::Setting {
            what: "averaged parameters",
            expected: "an optimizer that keeps an average".into(),
            got: "one that does not".into(),
        };
        Ok(self.network.layout().layers(&flat.ok_or_else(none)?))
    }

    /// The optimizer's learning rate, without the schedule's factor.
    pub const fn learning_rate(&self) -> f64 {
        self.course.optimizer.learning_rate
    }

    /// Sets the optimizer's learning rate for the steps that follow; a schedule goes on multiplying it.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate: rate, ..self.course.optimizer };
        optimizer.check()?;
        (self.course.optimizer, self.settings.optimizer) = (optimizer, optimizer);
        if let Worker::Gpu(engine) = &mut self.engine {
            engine.set_learning_rate(0, rate);
        }
        Ok(())
    }

    /// Sets weights and biases; the optimizer and the schedule start anew, and the place in the data set stays.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not this network's, [`Error::NonFinite`], [`Error::Setting`] for a running variance below 0.
    pub fn set_parameters(&mut self, layers: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(layers)?;
        let (flat, statistics) = (self.network.layout().flat(layers), self.network.statistics(layers));
        self.since = 0;
        match &mut self.engine {
            Worker::Gpu(engine) => engine.set_parameters(&flat, &statistics),
            Worker::Cpu(engine, _) => {
                engine.set_parameters(&flat, &statistics);
            }
        }
        Ok(())
    }

    blocking! {
        /// Keeps weights, biases and the optimizer's state as they are now, on the device, for [`Trainer::restore`].
        /// What was kept before is replaced.
        ///
        /// # Errors
        /// [`Error::OutOfMemory`] and [`Error::DeviceLost`].
        pub fn keep(&mut self) -> Result<()> = self.keep_async();
    }

    /// The asynchronous form of [`Trainer::keep`].
    ///
    /// # Errors
    /// As [`Trainer::keep`].
    pub async fn keep_async(&mut self) -> Result<()> {
        match &mut self.engine {
            Worker::Gpu(engine) => engine.keep().await?,
            Worker::Cpu(engine, _) => engine.keep(),
        }
        self.kept = Some(self.since);
        Ok(())
    }

    /// Goes back to the parameters and the optimizer's state that [`Trainer::keep`] kept last, again and again if need be.
    /// The schedule goes back with them; the learning rate that it multiplies stays as it is, and so does the place in the data
    /// set.
    ///
    /// # Errors
    /// [`Error::Setting`] if none were kept.
    pub fn restore(&mut self) -> Result<()> {
        let none = || Error::Setting {
            what: "parameters to restore",
            expected: "some that Trainer::keep has kept".into(),
            got: "none".into(),
        };
        self.since = self.kept.ok_or_else(none)?;
        match &mut self.engine {
            Worker::Gpu(engine) => engine.restore(),
            Worker::Cpu(engine, _) => engine.restore(),
        }
        Ok(())
    }

    /// The most rows of a step by hand.
    pub(crate) const fn most_rows(&self) -> usize {
        self.course.batch
    }

    /// The answers of its data set.
    pub(crate) fn answers(&self) -> Option<Arc<Answers>> {
        self.answers.clone()
    }

    /// Whether [`Trainer::keep`] has kept something.
    pub(crate) const fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// How many steps were taken on the data set.
    pub const fn steps(&self) -> u64 {
        self.done
    }

    /// The seconds for which the device's driver compiled the kernels of this trainer's steps so far, and for which the host waited;
    /// 0 on the CPU, and for kernels that the device has compiled before. Some drivers compile in the first step.
    pub const fn compile_seconds(&self) -> f64 {
        match &self.engine {
            Worker::Gpu(engine) => engine.compile_seconds(),
            Worker::Cpu(..) => 0.0,
        }
    }

    /// The learning rate of the last update, with the schedule's factor; before the first, that of the first.
    pub fn last_learning_rate(&self) -> f64 {
        let factor = self.course.factor(self.since.saturating_sub(1));
        factor * self.course.optimizer.learning_rate
    }

    /// The sum of the weights of the rows of each of these steps on the data set; empty where rows have no weights.
    fn weights_of(&self, first: u64, steps: usize) -> Vec<f64> {
        let weights = self.weights.as_ref();
        let sums = |weights: &Arc<Vec<f32>>| {
            weights_of_steps(&self.course, self.settings.shuffle, weights, first..first + steps as u64)
        };
        weights.map_or_else(Vec::new, sums)
    }

    fn check_data(&self) -> Result<()> {
        let expected = "a data set, as Trainer::new takes one".to_owned();
        let none = Error::Setting { what: "steps on resident data", expected, got: "none".into() };
        if self.has_data { Ok(()) } else { Err(none) }
    }

    /// Counts steps on the data set.
    const fn count(&mut self, steps: u64) {
        (self.done, self.total, self.since) = (self.done + steps, self.total + steps, self.since + steps);
    }

    /// Refuses a loss of the last steps that is not a finite number.
    fn check_losses(&mut self, report: &Report) -> Result<()> {
        self.last_loss = report.losses.last().copied().or(self.last_loss);
        match report.losses.iter().position(|loss| !loss.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let first = self.total - report.losses.len() as u64;
                let step = first + at as u64;
                Err(Error::Diverged { step, loss: report.losses[at], hint: self.largest.hint(step == 0) })
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
        let Settings { loss, optimizer, batch, .. } = &self.settings;
        let chosen = if self.has_chosen_loss { " (chosen for the targets)" } else { "" };
        let (name, rate) = (optimizer.name(), optimizer.learning_rate);
        write!(f, ", {loss}{chosen}, {name} with rate {rate}, batches of {batch}")
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, settings, total, .. } = self;
        let mut about = f.debug_struct("Trainer");
        about.field("network", network).field("settings", settings).field("steps", total).finish_non_exhaustive()
    }
}

/// Adds what the device told of the steps from `first` on.
fn push_all(report: &mut Report, course: &Course, first: u64, metrics: Vec<Metric>) {
    for (step, [loss, right]) in (first..).zip(metrics) {
        report.push(loss, f64::from(right), course.span(step).1 as u32);
    }
}
