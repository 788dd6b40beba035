//! The training of one network.

use std::ops::Range;

#[cfg(not(target_family = "wasm"))]
use crate::plan::profile::KernelTime;
use crate::{
    data::dataset::Dataset,
    device::{Device, Machine},
    engine::{
        config::TrainingConfig,
        cpu::training::CpuTraining,
        gpu::run::{
            engine::Engine,
            engine_layout::{Metric, Setup},
        },
        recording_needs_gpu,
        state::Memory,
        step::{Batch, Course, Earlier, Step, StepMetrics},
    },
    error::Result,
    metrics::{Metrics, row_metrics::Judge},
    nn::layout::LayerParameters,
    plan::Plan,
    train::run_report::Report,
};

/// A network in training on a GPU or on the CPU.
#[allow(clippy::large_enum_variant, reason = "each trainer has one")]
pub(crate) enum TrainingBackend {
    Gpu(Engine),
    Cpu(CpuTraining),
}

/// How long the kernels of a step take.
#[cfg(not(target_family = "wasm"))]
#[derive(Default)]
pub(crate) struct KernelTimes {
    pub(crate) kernels: Vec<KernelTime>,
    /// Whether the clock of the device measured them.
    pub(crate) by_device: bool,
}

impl TrainingBackend {
    /// A network with its initial parameters, whose steps the course decides.
    pub(crate) async fn new(
        device: &Device,
        config: TrainingConfig<'_>,
        data: Option<&Dataset>,
        course: Course,
    ) -> Result<Self> {
        match &device.machine {
            Machine::Gpu(gpu) => {
                let (network, seed) = (config.network, course.seed);
                let mut engine = Engine::new(gpu, Setup::new(config, data, vec![course])).await?;
                // They are drawn last: what is refused takes no memory.
                engine.set_parameters(&network.initial(seed)?, &network.first_statistics());
                Ok(Self::Gpu(engine))
            }
            Machine::Cpu => CpuTraining::new(config, data, course).map(Self::Cpu),
        }
    }

    /// What decides the steps.
    pub(crate) const fn course(&self) -> &Course {
        match self {
            Self::Gpu(engine) => engine.course(),
            Self::Cpu(training) => &training.course,
        }
    }

    /// How steps are computed.
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(engine) => engine.plan(),
            Self::Cpu(training) => training.plan(),
        }
    }

    /// Every plan that may be the fastest, the one of the planner first.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn candidates(&self) -> Vec<Plan> {
        match self {
            Self::Gpu(engine) => engine.candidates(),
            Self::Cpu(training) => vec![training.plan()],
        }
    }

    /// Takes the steps `first` to `first + steps` on the data set, after `before` updates, and adds their metrics to a report.
    pub(crate) async fn run(&mut self, first: u64, before: u64, steps: usize, report: &mut Report) -> Result<()> {
        match self {
            Self::Gpu(engine) => {
                let metrics = engine.run(first, before, steps).await?;
                push_metrics(report, engine.course(), first, &metrics);
                Ok(())
            }
            Self::Cpu(training) => training.run(first, before, steps, report),
        }
    }

    /// Takes one step on a batch of the caller. A GPU tells its metrics later, in [`TrainingBackend::collect`].
    pub(crate) async fn step(&mut self, batch: Batch<'_>, step: Step) -> Result<Option<StepMetrics>> {
        match self {
            Self::Gpu(engine) => engine.step(batch, step).await.map(|()| None),
            Self::Cpu(training) => Ok(Some(training.step(batch, step))),
        }
    }

    /// Whether [`TrainingBackend::collect`] must be called before the next step on a batch of the caller.
    pub(crate) const fn is_full(&self) -> bool {
        match self {
            Self::Gpu(engine) => engine.is_full(),
            Self::Cpu(_) => false,
        }
    }

    /// The metrics of the steps on batches of the caller that the device has not told yet.
    pub(crate) async fn collect(&mut self) -> Result<Vec<StepMetrics>> {
        match self {
            Self::Gpu(engine) => {
                let metrics = engine.collect().await?.into_iter().map(|([loss, right], (rows, weight))| StepMetrics {
                    loss,
                    right: f64::from(right),
                    rows,
                    weight,
                });
                Ok(metrics.collect())
            }
            Self::Cpu(_) => Ok(Vec::new()),
        }
    }

    /// The gradients of the loss on a batch of the caller, flat. Nothing changes.
    pub(crate) async fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(engine) => engine.gradients(batch, step).await,
            Self::Cpu(training) => Ok(training.gradients(batch, step)),
        }
    }

    /// The outputs, row by row, for any number of rows of inputs.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(engine) => engine.predict(inputs).await,
            Self::Cpu(training) => Ok(training.engine.predict(inputs)),
        }
    }

    /// Evaluates the network on a data set by the judge of that data set.
    pub(crate) async fn evaluate(&mut self, data: &Dataset, mut judge: Judge<'_>) -> Result<Metrics> {
        match self {
            Self::Gpu(engine) => {
                let mut judged = Ok(());
                let take = |rows: Range<usize>, outputs: Vec<f32>| {
                    let more = judge.rows(rows, outputs);
                    judged = judged.clone().and(more);
                };
                engine.evaluate(data, take).await?;
                judged?;
                Ok(judge.metrics)
            }
            Self::Cpu(training) => judge.all(|inputs| training.engine.predict(inputs)),
        }
    }

    /// The parameters, layer by layer.
    pub(crate) async fn parameters(&self) -> Result<Vec<LayerParameters>> {
        match self {
            Self::Gpu(engine) => {
                Ok(engine.network().layers_of(&engine.parameters().await?, &engine.statistics().await?))
            }
            Self::Cpu(CpuTraining { engine, network, .. }) => {
                Ok(network.layers_of(engine.parameters(), engine.statistics()))
            }
        }
    }

    /// The moving average of the parameters, flat, if the optimizer has one.
    pub(crate) async fn average(&self) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Gpu(engine) => engine.average().await,
            Self::Cpu(training) => Ok(training.engine.average()),
        }
    }

    /// Sets the learning rate of the steps that follow.
    pub(crate) fn set_learning_rate(&mut self, rate: f64) {
        match self {
            Self::Gpu(engine) => engine.set_learning_rate(0, rate),
            Self::Cpu(training) => training.course.optimizer.learning_rate = rate,
        }
    }

    /// Sets what came before the steps.
    pub(crate) fn set_earlier(&mut self, earlier: Earlier) {
        match self {
            Self::Gpu(engine) => engine.set_earlier(earlier),
            Self::Cpu(training) => training.course.earlier = earlier,
        }
    }

    /// Sets flat parameters and running statistics, and resets the optimizer.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        match self {
            Self::Gpu(engine) => engine.set_parameters(flat, statistics),
            Self::Cpu(training) => training.engine.set_parameters(flat, statistics),
        }
    }

    /// Copies all that training changes, to go back to it.
    pub(crate) async fn keep(&mut self) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.keep().await,
            Self::Cpu(training) => {
                training.engine.keep();
                Ok(())
            }
        }
    }

    /// Goes back to the last copy, if there is one.
    pub(crate) fn restore(&mut self) {
        match self {
            Self::Gpu(engine) => engine.restore(),
            Self::Cpu(training) => training.engine.restore(),
        }
    }

    /// All that training changes.
    pub(crate) async fn memory(&self) -> Result<Memory> {
        match self {
            Self::Gpu(engine) => engine.memory(0).await,
            Self::Cpu(training) => Ok(training.engine.memory()),
        }
    }

    /// The last copy of it, if there is one.
    pub(crate) async fn kept_memory(&self) -> Result<Option<Memory>> {
        match self {
            Self::Gpu(engine) => engine.kept_memory().await,
            Self::Cpu(training) => Ok(training.engine.kept_memory()),
        }
    }

    /// Sets all that training changes.
    pub(crate) fn set_memory(&mut self, memory: &Memory) {
        match self {
            Self::Gpu(engine) => engine.set_memory(0, memory),
            Self::Cpu(training) => training.engine.set_memory(memory),
        }
    }

    /// The seconds that the kernels took to compile so far.
    pub(crate) const fn compile_seconds(&self) -> f64 {
        match self {
            Self::Gpu(engine) => engine.compile_seconds(),
            Self::Cpu(_) => 0.0,
        }
    }

    /// Whether steps are made of kernels that can be timed.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) const fn has_kernels(&self) -> bool {
        matches!(self, Self::Gpu(_))
    }

    /// How many of that many steps a profile takes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn profiled(&self, steps: usize) -> usize {
        match self {
            Self::Gpu(engine) => engine.profiled(steps),
            Self::Cpu(_) => steps.max(1),
        }
    }

    /// Takes the steps `first` to `first + steps`, after `before` updates, times each kernel, and adds the metrics to a report.
    /// The CPU takes none: see [`TrainingBackend::has_kernels`].
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn profile(
        &mut self,
        first: u64,
        before: u64,
        steps: usize,
        report: &mut Report,
    ) -> Result<KernelTimes> {
        match self {
            Self::Gpu(engine) => {
                let (kernels, metrics, by_device) = engine.profile(first, before, steps).await?;
                push_metrics(report, engine.course(), first, &metrics);
                Ok(KernelTimes { kernels, by_device })
            }
            Self::Cpu(_) => Ok(KernelTimes::default()),
        }
    }

    /// Records the steps `first` to `first + steps`, after `before` updates, into an encoder of the caller. `weights` has the sum
    /// of the weights of the rows of each step, if they have weights.
    pub(crate) fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        first: u64,
        before: u64,
        steps: usize,
        weights: &[f64],
    ) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.record(encoder, (first, before), steps, weights),
            Self::Cpu(_) => Err(recording_needs_gpu("a trainer on a GPU")),
        }
    }

    /// Records a prediction from one buffer of the caller into another.
    pub(crate) async fn record_prediction(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.predictor().await?.record(encoder, inputs, rows, outputs).await,
            Self::Cpu(_) => Err(recording_needs_gpu("a trainer on a GPU")),
        }
    }

    /// The buffer of the parameters. The CPU has none.
    pub(crate) const fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        match self {
            Self::Gpu(engine) => Some(engine.parameter_buffer()),
            Self::Cpu(_) => None,
        }
    }
}

/// Adds the metrics of the steps from `first` on, as a GPU tells them, to a report.
fn push_metrics(report: &mut Report, course: &Course, first: u64, metrics: &[Metric]) {
    for (step, [loss, right]) in (first..).zip(metrics) {
        report.push(*loss, f64::from(*right), course.span(step).1 as u32);
    }
}
