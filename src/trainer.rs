//! A network that learns: the same calls on a GPU and on the CPU.

use crate::{
    Dataset, Device, Error, Evaluation, LayerParameters, Loss, Network, Optimizer, Report, Result, cpu,
    device::Machine,
    error::check_finite,
    gpu::engine::{Engine, Setup},
    judge::{is_right, loss_of_row},
    order::Order,
    step::{Course, Step},
};

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many rows a step looks at. The last batch of an epoch may have fewer.
    pub batch: usize,
    /// What is made small.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// Decides the first parameters and the order of the rows: the same on every device.
    pub seed: u64,
    /// Whether every epoch takes the rows in an order of its own, or always in that of the data set.
    pub shuffle: bool,
    /// How many steps the host hands to the device at once. Chosen by time unless given; results do not depend on it.
    pub chunk: Option<usize>,
}

impl Default for Settings {
    /// Batches of 32, mean squared error, stochastic gradient descent with a rate of 0.1, seed 0, shuffled.
    fn default() -> Self {
        let (loss, optimizer) = (Loss::Mse, Optimizer::sgd(0.1));
        Self { batch: 32, loss, optimizer, seed: 0, shuffle: true, chunk: None }
    }
}

/// A network in training on a device. Every method that waits for the device has an `_async` twin; on native platforms
/// that one, too, occupies its thread while the device works, since nothing else would poll it.
pub struct Trainer {
    network: Network,
    settings: Settings,
    course: Course,
    data: Option<Dataset>,
    engine: Worker,
    /// Steps done on the resident data.
    done: u64,
    /// Steps done, by hand or not.
    total: u64,
    /// Steps by hand that [`Trainer::losses`] has not told yet.
    untold: Report,
    /// The rows of the steps by hand whose metrics the device still has.
    unread: Vec<u32>,
    last_loss: Option<f32>,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it for each trainer")]
enum Worker {
    Gpu(Engine),
    Cpu(cpu::engine::Engine),
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
        check(network, &settings)?;
        data.map_or(Ok(()), |data| data.check_for(network.inputs(), network.outputs()))?;
        let course = Course {
            rows: data.map_or(settings.batch, Dataset::rows),
            batch: data.map_or(settings.batch, |data| settings.batch.min(data.rows())),
            outputs: network.outputs(),
            loss: settings.loss,
            optimizer: settings.optimizer,
            seed: settings.seed,
        };
        let first = network.initial(settings.seed);
        let engine = match &device.machine {
            Machine::Gpu(gpu) => {
                let (shuffle, chunk) = (settings.shuffle, settings.chunk);
                let setup = Setup { network, courses: vec![course], data, shuffle, chunk, tile: None };
                let mut engine = Engine::new(gpu, setup).await?;
                engine.set_parameters(&first);
                Worker::Gpu(engine)
            }
            Machine::Cpu => {
                let engine = cpu::engine::Engine::new(network, course.loss, course.optimizer, course.batch, first);
                Worker::Cpu(engine)
            }
        };
        let (network, data) = (network.clone(), data.cloned());
        let (untold, unread) = (Report::default(), Vec::new());
        Ok(Self { network, settings, course, data, engine, done: 0, total: 0, untold, unread, last_loss: None })
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
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
        let Some(data) = self.data.clone() else {
            let expected = "a data set, as Trainer::new takes one".to_owned();
            return Err(Error::Setting { what: "steps on resident data", expected, got: "none".into() });
        };
        self.collect_async().await?;
        let course = self.course;
        let step_at = |i: usize| course.step(self.done + i as u64, 0);
        let mut report = Report::default();
        match &mut self.engine {
            Worker::Gpu(engine) => {
                let metrics = engine.run(self.done, steps).await?;
                for (i, [loss, right]) in metrics.into_iter().enumerate() {
                    report.push(loss, right as u32, step_at(i).rows);
                }
            }
            Worker::Cpu(engine) => engine.in_pool(|engine| {
                for step in (0..steps).map(step_at) {
                    let order = Order::new(course.rows as u32, step.key);
                    let outcome = engine.step(&step, |i, inputs, expected| {
                        let place = step.first + i as u32;
                        let row = if self.settings.shuffle { order.row(place) } else { place } as usize;
                        data.write_features(row, inputs);
                        data.write_expected(row, expected);
                    });
                    report.push(outcome.loss, outcome.right, step.rows);
                }
            }),
        }
        self.done += steps as u64;
        self.note(&report)?;
        Ok(report)
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
        let step = self.check_batch(inputs, expected)?;
        let is_full = matches!(&self.engine, Worker::Gpu(engine) if engine.is_full());
        if is_full {
            self.collect_async().await?;
        }
        match &mut self.engine {
            Worker::Gpu(engine) => {
                engine.step(inputs, expected)?;
                self.unread.push(step.rows);
            }
            Worker::Cpu(engine) => {
                let outcome = engine.step(&step, brought(inputs, expected));
                let mut report = Report::default();
                report.push(outcome.loss, outcome.right, step.rows);
                self.tell(&report)?;
            }
        }
        Ok(())
    }

    /// [`Trainer::losses`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn losses_async(&mut self) -> Result<Report> {
        self.collect_async().await?;
        Ok(std::mem::take(&mut self.untold))
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

    /// [`Trainer::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.check_inputs(inputs)?;
        match &mut self.engine {
            Worker::Gpu(engine) => engine.predict(inputs).await,
            Worker::Cpu(engine) => Ok(engine.predict(inputs)),
        }
    }

    /// [`Trainer::evaluate`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Evaluation> {
        /// Features and outputs of so many rows are held at once.
        const ROWS: usize = 16_384;
        let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
        data.check_for(inputs, outputs)?;
        let mut expected = vec![0.0; outputs];
        let (mut loss, mut right) = (0.0, 0);
        for first in (0..data.rows()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(data.rows());
            let mut features = vec![0.0; rows.len() * inputs];
            rows.clone().zip(features.chunks_exact_mut(inputs)).for_each(|(row, to)| data.write_features(row, to));
            let answers = self.predict_async(&features).await?;
            for (row, y) in rows.zip(answers.chunks_exact(outputs)) {
                data.write_expected(row, &mut expected);
                loss += loss_of_row(self.course.loss, y, &expected);
                right += usize::from(is_right(y, &expected));
            }
        }
        let mean_over = self.course.loss.mean_over(data.rows(), outputs);
        Ok(Evaluation { loss: loss / mean_over as f64, accuracy: right as f64 / data.rows() as f64 })
    }

    /// [`Trainer::parameters`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn parameters_async(&mut self) -> Result<Vec<LayerParameters>> {
        let layout = self.network.layout();
        Ok(match &self.engine {
            Worker::Gpu(engine) => layout.layers(&engine.parameters().await?),
            Worker::Cpu(engine) => layout.layers(engine.parameters()),
        })
    }

    /// Sets weights and biases; the optimizer starts anew.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not this network's, [`Error::NonFinite`].
    pub fn set_parameters(&mut self, layers: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(layers)?;
        for (layer, of) in layers.iter().zip(self.network.layers()) {
            check_finite("weights", of.inputs, &layer.weight)?;
            check_finite("biases", of.outputs, &layer.bias)?;
        }
        let flat = self.network.layout().flat(layers);
        match &mut self.engine {
            Worker::Gpu(engine) => engine.set_parameters(&flat),
            Worker::Cpu(engine) => {
                engine.parameters_mut().copy_from_slice(&flat);
                engine.reset_state();
            }
        }
        Ok(())
    }

    /// [`Trainer::gradients`], asynchronously.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn gradients_async(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<LayerParameters>> {
        let step = self.check_batch(inputs, expected)?;
        let flat = match &mut self.engine {
            Worker::Gpu(engine) => engine.gradients(inputs, expected).await?,
            Worker::Cpu(engine) => engine.gradients(&step, brought(inputs, expected)),
        };
        Ok(self.network.layout().layers(&flat))
    }

    fn check_inputs(&self, inputs: &[f32]) -> Result<usize> {
        let columns = self.network.inputs();
        let rows = inputs.len() / columns;
        crate::error::check_len("inputs", rows.max(1) * columns, inputs.len())?;
        check_finite("inputs", columns, inputs)?;
        Ok(rows)
    }

    fn check_batch(&self, inputs: &[f32], expected: &[f32]) -> Result<Step> {
        let rows = self.check_inputs(inputs)?;
        if rows > self.course.batch {
            let expected = format!("1 to {}", self.course.batch);
            return Err(Error::Setting { what: "rows of a batch", expected, got: rows.to_string() });
        }
        crate::error::check_len("expected outputs", rows * self.network.outputs(), expected.len())?;
        check_finite("expected outputs", self.network.outputs(), expected)?;
        Ok(self.course.step_of(rows))
    }

    /// Reads the metrics of the steps by hand that the device still has.
    async fn collect_async(&mut self) -> Result<()> {
        if let Worker::Gpu(engine) = &mut self.engine {
            let metrics = engine.collect().await?;
            let mut report = Report::default();
            for ([loss, right], rows) in metrics.into_iter().zip(self.unread.drain(..)) {
                report.push(loss, right as u32, rows);
            }
            self.tell(&report)?;
        }
        Ok(())
    }

    /// Keeps what steps by hand brought until it is asked for.
    fn tell(&mut self, report: &Report) -> Result<()> {
        self.untold.losses.extend(&report.losses);
        self.untold.right.extend(&report.right);
        self.untold.rows.extend(&report.rows);
        self.note(report)
    }

    /// Notes the steps of a report and refuses a loss that is not a finite number.
    fn note(&mut self, report: &Report) -> Result<()> {
        let first = self.total;
        self.total += report.losses.len() as u64;
        self.last_loss = report.losses.last().copied().or(self.last_loss);
        match report.losses.iter().position(|loss| !loss.is_finite()) {
            None => Ok(()),
            Some(at) => Err(Error::Diverged { step: first + at as u64, loss: report.losses[at] }),
        }
    }
}

/// Copies the rows of a batch of the caller's to where the CPU engine wants them.
fn brought<'a>(inputs: &'a [f32], expected: &'a [f32]) -> impl Fn(usize, &mut [f32], &mut [f32]) + Sync + 'a {
    |row, x, t| {
        x.copy_from_slice(&inputs[row * x.len()..(row + 1) * x.len()]);
        t.copy_from_slice(&expected[row * t.len()..(row + 1) * t.len()]);
    }
}

/// Refuses what cannot be trained.
fn check(network: &Network, settings: &Settings) -> Result<()> {
    network.check()?;
    settings.optimizer.check()?;
    if settings.batch == 0 || settings.batch > 1 << 24 {
        let expected = "1 to 16777216 rows".to_owned();
        return Err(Error::Setting { what: "batch", expected, got: settings.batch.to_string() });
    }
    if settings.chunk == Some(0) {
        return Err(Error::Setting { what: "chunk", expected: "at least one step".into(), got: "0".into() });
    }
    let output = network.layers().last().map(|layer| layer.activation);
    match settings.loss.output_activation() {
        Some(demanded) if output != Some(demanded) => Err(Error::Setting {
            what: "activation of the output layer",
            expected: format!("{demanded} for {}", settings.loss),
            got: output.map_or_else(String::new, |a| a.to_string()),
        }),
        _ => Ok(()),
    }
}
