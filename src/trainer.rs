//! A network that learns: the same calls on a GPU and on the CPU.

use std::{borrow::Cow, ops::Range, sync::Arc};

use crate::{
    Activation, Answers, Dataset, Device, Error, LayerParameters, Loss, Metrics, Network, Optimizer, Plan, Report,
    Result, Scaler, Settings, cpu,
    dataset::check_weights,
    device::Machine,
    error::check_finite,
    gpu::engine::{Engine, Metric, Setup},
    judge::Judge,
    order::Upcoming,
    step::{Batch, Course, Step},
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
    course: Course,
    has_data: bool,
    /// Whether rows have weights.
    weighted: bool,
    scaler: Option<Arc<Scaler>>,
    /// Whether the answers of the steps are classes or yes and no, and not just numbers.
    classifies: bool,
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
        settings.check(network)?;
        data.map_or(Ok(()), |data| data.check_for(network.inputs(), network.outputs()))?;
        let course = Course {
            rows: data.map_or(settings.batch, Dataset::rows),
            batch: data.map_or(settings.batch, |data| settings.batch.min(data.rows())),
            outputs: network.outputs(),
            loss: settings.loss,
            optimizer: settings.optimizer,
            schedule: settings.schedule.clone(),
            accumulate: settings.accumulate as u64,
            seed: settings.seed,
        };
        let weighted = settings.weighted || data.is_some_and(|data| data.weights().is_some());
        // The first parameters are drawn last: what cannot be is refused before they take memory.
        let engine = match &device.machine {
            Machine::Gpu(gpu) => {
                let (shuffle, chunk) = (settings.shuffle, settings.chunk);
                let setup = Setup {
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
                let engine = cpu::engine::Engine::new(network, &course, weighted, first);
                if let Some(pinned) = &settings.plan {
                    engine.plan(network, course.batch).check(pinned)?;
                }
                Worker::Cpu(engine, data.cloned())
            }
        };
        let classifies = classifies(network, course.loss, data.map(Dataset::answers));
        let untold = Report::of(classifies);
        let (network, has_data) = (network.clone(), data.is_some());
        Ok(Self {
            network,
            settings,
            course,
            has_data,
            weighted,
            scaler: data.and_then(Dataset::scaler).cloned().map(Arc::new),
            classifies,
            engine,
            done: 0,
            total: 0,
            since: 0,
            untold,
            last_loss: None,
            kept: None,
        })
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

    /// [`Trainer::run`], asynchronously.
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
        let mut report = Report::of(self.classifies);
        let noise = self.settings.input_noise as f32;
        let is_plain = !self.weighted && noise == 0.0 && self.scaler.is_none();
        match &mut self.engine {
            Worker::Gpu(engine) => {
                let metrics = engine.run(first, before, steps).await?;
                push_all(&mut report, &course, first, metrics);
            }
            Worker::Cpu(engine, data) => engine.in_pool(|engine| {
                let Some(data) = data else { return };
                let mut upcoming = Upcoming::new(course, shuffle, first..first + steps as u64, before);
                for _ in 0..steps {
                    if upcoming.is_empty() {
                        engine.in_vectors(
                            #[inline(always)]
                            || upcoming.draw(),
                        );
                    }
                    let Some((step, rows)) = upcoming.next() else { return };
                    let write = |i: usize, inputs: &mut [f32], expected: &mut [f32]| {
                        data.write_raw_features(rows[i] as usize, inputs);
                        data.write_expected(rows[i] as usize, expected);
                    };
                    // A step of XOR feels it if each row asks whether there are weights, noise or scales.
                    let outcome = if is_plain {
                        engine.step(step, |i, inputs, expected| {
                            write(i, inputs, expected);
                            1.0
                        })
                    } else {
                        engine.step(step, |i, inputs, expected| {
                            write(i, inputs, expected);
                            if let Some(scaler) = data.scaler() {
                                scaler.apply_to_row(inputs);
                            }
                            if noise > 0.0 {
                                cpu::noise::add(noise, step.key, step.first + i as u32, inputs);
                            }
                            data.weight(rows[i] as usize)
                        })
                    };
                    report.push(outcome.loss, outcome.right, step.rows);
                }
            }),
        }
        if let Err(diverged) = self.check_losses(&report) {
            self.untold.extend(&report);
            return Err(diverged);
        }
        Ok(report)
    }

    /// Takes steps on the data set, timing each kernel, and then as many again, timed together: in all twice as many, and
    /// one before them. Where kernels take many steps at once, `steps` should be many; a profile takes 4096 at most, fewer on small devices.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    #[cfg(not(target_family = "wasm"))]
    pub fn profile(&mut self, steps: usize) -> Result<Profile> {
        pollster::block_on(self.run_async(1))?;
        let most = if let Worker::Gpu(engine) = &self.engine { engine.chunk() } else { usize::MAX };
        let steps = steps.clamp(1, most);
        let mut kernels = Vec::new();
        let mut by_device = false;
        if let Worker::Gpu(engine) = &mut self.engine {
            let metrics;
            (kernels, metrics, by_device) = pollster::block_on(engine.profile(self.done, self.since, steps))?;
            let mut report = Report::of(self.classifies);
            push_all(&mut report, &self.course, self.done, metrics);
            self.count(steps as u64);
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

    /// [`Trainer::epoch`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn epoch_async(&mut self) -> Result<Report> {
        let all = self.course.steps_per_epoch();
        self.run_async((all - self.done % all) as usize).await
    }

    /// [`Trainer::step`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn step_async(&mut self, inputs: &[f32], expected: &[f32]) -> Result<()> {
        self.step_on(Batch { inputs, expected, weights: None }).await
    }

    /// [`Trainer::step_weighted`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn step_weighted_async(&mut self, inputs: &[f32], expected: &[f32], weights: &[f32]) -> Result<()> {
        self.step_on(Batch { inputs, expected, weights: Some(weights) }).await
    }

    async fn step_on(&mut self, batch: Batch<'_>) -> Result<()> {
        let step = self.check_batch(&batch)?;
        let inputs = scaled(self.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        if matches!(&self.engine, Worker::Gpu(engine) if engine.is_full()) {
            self.collect_async().await?;
        }
        let noisy = self.noisy(batch.inputs, step.key);
        let batch = Batch { inputs: noisy.as_deref().unwrap_or(batch.inputs), ..batch };
        (self.total, self.since) = (self.total + 1, self.since + 1);
        match &mut self.engine {
            Worker::Gpu(engine) => engine.step(batch, step).await,
            Worker::Cpu(engine, _) => {
                let outcome = engine.step(&step, brought(batch));
                let mut report = Report::of(self.classifies);
                report.push(outcome.loss, outcome.right, step.rows);
                self.tell(&report)
            }
        }
    }

    /// [`Trainer::losses`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn losses_async(&mut self) -> Result<Report> {
        self.collect_async().await?;
        let empty = Report::of(self.classifies);
        Ok(std::mem::replace(&mut self.untold, empty))
    }

    /// [`Trainer::loss`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::loss`].
    pub async fn loss_async(&mut self) -> Result<f32> {
        self.collect_async().await?;
        let none = || Error::Setting { what: "loss", expected: "at least one step".into(), got: "none yet".into() };
        self.last_loss.ok_or_else(none)
    }

    /// Records steps on the data set into the caller's encoder, on the caller's device ([`Device::from_wgpu`]): when the
    /// caller submits it, they are taken. Nothing is waited for, no thread is started and no handler is touched. Recordings
    /// have to be submitted in the order in which they were made, and before another call of this trainer that trains or
    /// reads; [`Trainer::losses`] tells their losses, of the last 2048 or more that were not asked for.
    ///
    /// # Errors
    /// [`Error::Setting`] on the CPU, without a data set, or for no step or more than fit ([`Settings::chunk`] or 4096).
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, steps: usize) -> Result<()> {
        self.check_data()?;
        let Worker::Gpu(engine) = &mut self.engine else { return Err(no_gpu("recording")) };
        engine.record(encoder, (self.done, self.since), steps)?;
        self.count(steps as u64);
        Ok(())
    }

    /// Records the outputs for `rows` rows of the caller's buffer into another buffer of the caller's, both f32 one after the
    /// other, row by row, and both with the usage `STORAGE`. Nothing is read back.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`, or longer
    /// - outputs: `[rows, outputs]`, or longer
    ///
    /// # Errors
    /// [`Error::Setting`] on the CPU, for a buffer of another usage, or for no row or more than 4096 (fewer for wide
    /// networks; it says how many), [`Error::Shape`] for a buffer that is too short, [`Error::Limit`].
    pub async fn record_prediction_async(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        let Worker::Gpu(engine) = &mut self.engine else { return Err(no_gpu("recording")) };
        engine.predictor().await?.record(encoder, inputs, rows, outputs).await
    }

    /// The buffer of all weights and biases, to be bound and read in shaders of the caller's; none on the CPU. Where each
    /// layer's lie, [`Network::places`] says.
    pub const fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        match &self.engine {
            Worker::Gpu(engine) => Some(engine.parameter_buffer()),
            Worker::Cpu(..) => None,
        }
    }

    /// [`Trainer::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        let inputs = scaled(self.scaler.as_deref(), inputs);
        self.outputs(&inputs).await
    }

    /// The outputs for inputs that are scaled already.
    async fn outputs(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        match &mut self.engine {
            Worker::Gpu(engine) => engine.predict(inputs).await,
            Worker::Cpu(engine, _) => Ok(engine.predict(inputs)),
        }
    }

    /// What scales its inputs, if anything does: see [`Dataset::with_scaling`].
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    /// [`Trainer::evaluate`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Metrics> {
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        data.check_for(inputs, outputs)?;
        // What brings no scaling of its own is scaled as the training data.
        let own = match &self.scaler {
            Some(scaler) if data.scaler().is_none() => Some(data.clone().with_scaling(scaler)?),
            _ => None,
        };
        let data = own.as_ref().unwrap_or(data);
        let is_class = classifies(&self.network, self.course.loss, Some(data.answers()));
        let mut judge = Judge::new(self.course.loss, is_class, data, outputs);
        let ends_with_softmax = self.network.ends_with_softmax();
        let mut judged = Ok(());
        let mut take = |rows: Range<usize>, mut y: Vec<f32>| {
            if ends_with_softmax {
                // The loss is of logits, and these are as good as any: softmax forgets what is added to all of them.
                y.iter_mut().for_each(|y| *y = y.max(f32::MIN_POSITIVE).ln());
            }
            let more = judge.rows(rows, &y);
            judged = judged.clone().and(more);
        };
        match &mut self.engine {
            Worker::Gpu(engine) => engine.evaluate(data, take).await?,
            Worker::Cpu(engine, _) => {
                // So many rows are held as f32 at once: some 16 MiB.
                let at_once = ((4 << 20) / (inputs + outputs)).clamp(1, 16_384);
                for first in (0..data.rows()).step_by(at_once) {
                    let rows = first..(first + at_once).min(data.rows());
                    let mut features = vec![0.0; rows.len() * inputs];
                    let each = rows.clone().zip(features.chunks_exact_mut(inputs));
                    each.for_each(|(row, to)| data.write_features(row, to));
                    take(rows, engine.predict(&features));
                }
            }
        }
        judged?;
        Ok(judge.metrics)
    }

    /// [`Trainer::parameters`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn parameters_async(&self) -> Result<Vec<LayerParameters>> {
        let layout = self.network.layout();
        let (mut layers, statistics) = match &self.engine {
            Worker::Gpu(engine) => (layout.layers(&engine.parameters().await?), engine.statistics().await?),
            Worker::Cpu(engine, _) => (layout.layers(engine.parameters()), engine.statistics().to_vec()),
        };
        self.network.put_statistics(&statistics, &mut layers);
        Ok(layers)
    }

    /// [`Trainer::averaged_parameters`], asynchronously.
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
            engine.set_learning_rate(rate);
        }
        Ok(())
    }

    /// Sets weights and biases; the optimizer starts anew.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not this network's, [`Error::NonFinite`].
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

    /// [`Trainer::keep`], asynchronously.
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
    /// The learning rate stays as it is, and so does the place in the data set.
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

    /// Whether [`Trainer::keep`] has kept something.
    pub(crate) const fn has_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// How many steps were taken on the data set.
    pub const fn steps(&self) -> u64 {
        self.done
    }

    /// The learning rate of the last update, with the schedule's factor; before the first, that of the first.
    pub fn last_learning_rate(&self) -> f64 {
        let factor = self.course.factor(self.since.saturating_sub(1));
        factor * self.course.optimizer.learning_rate
    }

    /// [`Trainer::gradients`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn gradients_async(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<LayerParameters>> {
        self.gradients_on(Batch { inputs, expected, weights: None }).await
    }

    /// [`Trainer::gradients_weighted`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::step_weighted`].
    pub async fn gradients_weighted_async(
        &mut self,
        inputs: &[f32],
        expected: &[f32],
        weights: &[f32],
    ) -> Result<Vec<LayerParameters>> {
        self.gradients_on(Batch { inputs, expected, weights: Some(weights) }).await
    }

    async fn gradients_on(&mut self, batch: Batch<'_>) -> Result<Vec<LayerParameters>> {
        let step = self.check_batch(&batch)?;
        let inputs = scaled(self.scaler.as_deref(), batch.inputs);
        let batch = Batch { inputs: &inputs, ..batch };
        let flat = match &mut self.engine {
            Worker::Gpu(engine) => engine.gradients(batch, step).await?,
            Worker::Cpu(engine, _) => engine.gradients(&step, brought(batch)),
        };
        Ok(self.network.layout().layers(&flat))
    }

    fn check_data(&self) -> Result<()> {
        let expected = "a data set, as Trainer::new takes one".to_owned();
        let none = Error::Setting { what: "steps on resident data", expected, got: "none".into() };
        if self.has_data { Ok(()) } else { Err(none) }
    }

    /// The inputs of a step by hand with noise, if there is noise.
    fn noisy(&self, inputs: &[f32], key: [u32; 2]) -> Option<Vec<f32>> {
        let deviation = self.settings.input_noise as f32;
        (deviation > 0.0).then(|| {
            let mut noisy = inputs.to_vec();
            let rows = noisy.chunks_exact_mut(self.network.inputs());
            (0..).zip(rows).for_each(|(place, row)| cpu::noise::add(deviation, key, place, row));
            noisy
        })
    }

    /// Counts steps on the data set.
    const fn count(&mut self, steps: u64) {
        (self.done, self.total, self.since) = (self.done + steps, self.total + steps, self.since + steps);
    }

    fn check_batch(&self, batch: &Batch<'_>) -> Result<Step> {
        let Batch { inputs, expected, weights } = *batch;
        let rows = self.network.check_inputs(inputs)?;
        if rows > self.course.batch {
            let expected = format!("1 to {}", self.course.batch);
            return Err(Error::Setting { what: "rows of a batch", expected, got: rows.to_string() });
        }
        crate::error::check_len("expected outputs", rows * self.network.outputs(), expected.len())?;
        check_finite("expected outputs", self.network.outputs(), expected)?;
        if let Some(weights) = weights {
            if !self.weighted {
                let expected = "Settings::weighted, or a data set with weights".to_owned();
                return Err(Error::Setting { what: "weights of a batch", expected, got: "neither".into() });
            }
            check_weights(rows, weights)?;
        }
        Ok(self.course.step_of(rows, self.since))
    }

    /// Reads the metrics of the steps by hand that the device still has.
    async fn collect_async(&mut self) -> Result<()> {
        let Worker::Gpu(engine) = &mut self.engine else { return Ok(()) };
        let mut report = Report::of(self.classifies);
        for ([loss, right], rows) in engine.collect().await? {
            report.push(loss, right as u32, rows);
        }
        self.tell(&report)
    }

    /// Keeps what the last steps, by hand, brought until it is asked for.
    fn tell(&mut self, report: &Report) -> Result<()> {
        self.untold.extend(report);
        self.check_losses(report)
    }

    /// Refuses a loss of the last steps that is not a finite number.
    fn check_losses(&mut self, report: &Report) -> Result<()> {
        self.last_loss = report.losses.last().copied().or(self.last_loss);
        match report.losses.iter().position(|loss| !loss.is_finite()) {
            None => Ok(()),
            Some(at) => {
                let first = self.total - report.losses.len() as u64;
                Err(Error::Diverged { step: first + at as u64, loss: report.losses[at] })
            }
        }
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, settings, total, .. } = self;
        let mut about = f.debug_struct("Trainer");
        about.field("network", network).field("settings", settings).field("steps", total).finish_non_exhaustive()
    }
}

/// Raw inputs as the network sees them.
fn scaled<'a>(scaler: Option<&Scaler>, inputs: &'a [f32]) -> Cow<'a, [f32]> {
    let mut inputs = Cow::Borrowed(inputs);
    if let Some(scaler) = scaler {
        inputs.to_mut().chunks_exact_mut(scaler.columns()).for_each(|row| scaler.apply_to_row(row));
    }
    inputs
}

fn no_gpu(what: &'static str) -> Error {
    Error::Setting { what, expected: "a trainer on a GPU".into(), got: "the CPU".into() }
}

/// Adds what the device told of the steps from `first` on.
fn push_all(report: &mut Report, course: &Course, first: u64, metrics: Vec<Metric>) {
    for (step, [loss, right]) in (first..).zip(metrics) {
        report.push(loss, right as u32, course.span(step).1 as u32);
    }
}

/// Whether the network answers with classes, or with yes or no: in a regression no answer is right or wrong.
fn classifies(network: &Network, loss: Loss, answers: Option<&Answers>) -> bool {
    let output = network.layers().last().map(|layer| layer.activation);
    let has_classes = matches!(answers, Some(Answers::Classes(_)));
    has_classes || loss.classifies() || output == Some(Activation::Sigmoid)
}

/// Copies the rows of a batch of the caller's to where the CPU engine wants them.
fn brought(batch: Batch<'_>) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + '_ {
    move |row, x, t| {
        x.copy_from_slice(&batch.inputs[row * x.len()..(row + 1) * x.len()]);
        t.copy_from_slice(&batch.expected[row * t.len()..(row + 1) * t.len()]);
        batch.weight(row)
    }
}
