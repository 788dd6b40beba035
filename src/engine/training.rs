//! The training of one network, on a GPU or on the CPU.

use std::ops::Range;

#[cfg(not(target_family = "wasm"))]
use crate::plan::profile::KernelTime;
use crate::{
    data::dataset::Dataset,
    device::{Backend, Device},
    engine::{
        config::TrainingConfig,
        cpu::training::CpuTraining,
        gpu::run::{
            engine::Engine,
            engine_layout::{EngineConfig, RawStepMetrics},
        },
        recording_needs_gpu,
        state::TrainingState,
        step::{Batch, ResumeOffset, Step, StepGenerator, StepMetrics},
    },
    error::Result,
    metrics::{Metrics, row_metrics::HostEvaluator},
    nn::parameters::LayerParameters,
    plan::Plan,
    train::run_report::RunReport,
};

/// A network in training on a GPU or on the CPU.
#[allow(clippy::large_enum_variant, reason = "a trainer holds exactly one")]
pub(crate) enum TrainingBackend {
    Gpu(Engine),
    Cpu(CpuTraining),
}

/// The measured times of the kernels of a step.
#[cfg(not(target_family = "wasm"))]
#[derive(Default)]
pub(crate) struct KernelTimes {
    pub(crate) kernels: Vec<KernelTime>,
    /// Whether device timestamps measured them, and not the clock of the host.
    pub(crate) uses_device_timestamps: bool,
}

impl TrainingBackend {
    /// Creates the backend for a network with its initial parameters. `generator` decides the steps.
    pub(crate) async fn new(
        device: &Device,
        config: TrainingConfig<'_>,
        data: Option<&Dataset>,
        generator: StepGenerator,
    ) -> Result<Self> {
        match &device.backend {
            Backend::Gpu(gpu) => {
                let (network, seed) = (config.network, generator.seed);
                let mut engine = Engine::new(gpu, EngineConfig::new(config, data, vec![generator])).await?;
                // Draw the parameters last, so that a rejected configuration allocates no memory for them.
                engine.set_parameters(&network.initial_parameters(seed)?, &network.initial_statistics());
                Ok(Self::Gpu(engine))
            }
            Backend::Cpu => CpuTraining::new(config, data, generator).map(Self::Cpu),
        }
    }

    /// Returns the generator of the steps.
    pub(crate) const fn step_generator(&self) -> &StepGenerator {
        match self {
            Self::Gpu(engine) => engine.step_generator(),
            Self::Cpu(training) => &training.generator,
        }
    }

    /// Returns the plan of the steps.
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(engine) => engine.plan(),
            Self::Cpu(training) => training.plan(),
        }
    }

    /// Returns every plan that may be the fastest. The plan of the planner comes first.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn candidate_plans(&self) -> Vec<Plan> {
        match self {
            Self::Gpu(engine) => engine.candidate_plans(),
            Self::Cpu(training) => vec![training.plan()],
        }
    }

    /// Runs the steps `first..first + steps` on the data set and adds their metrics to `report`. `steps_since_reset`
    /// steps have run since the optimizer was reset.
    pub(crate) async fn run(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
        report: &mut RunReport,
    ) -> Result<()> {
        match self {
            Self::Gpu(engine) => {
                let metrics = engine.run(first, steps_since_reset, steps).await?;
                push_metrics(report, engine.step_generator(), first, &metrics);
                Ok(())
            }
            Self::Cpu(training) => training.run(first, steps_since_reset, steps, report),
        }
    }

    /// Runs one manual step. The CPU returns its metrics; a GPU returns `None`, and
    /// [`TrainingBackend::collect_metrics`] returns them later.
    pub(crate) async fn step(&mut self, batch: Batch<'_>, step: Step) -> Result<Option<StepMetrics>> {
        match self {
            Self::Gpu(engine) => engine.step(batch, step).await.map(|()| None),
            Self::Cpu(training) => Ok(Some(training.step(batch, step))),
        }
    }

    /// Returns whether [`TrainingBackend::collect_metrics`] must be called before the next manual step.
    pub(crate) const fn must_collect(&self) -> bool {
        match self {
            Self::Gpu(engine) => engine.must_collect(),
            Self::Cpu(_) => false,
        }
    }

    /// Waits for the pending manual steps and returns their metrics.
    pub(crate) async fn collect_metrics(&mut self) -> Result<Vec<StepMetrics>> {
        match self {
            Self::Gpu(engine) => {
                let metrics = engine.collect_metrics().await?.into_iter().map(|([loss, correct], (rows, weight))| {
                    StepMetrics { loss, correct: f64::from(correct), rows, sample_weight_sum: weight }
                });
                Ok(metrics.collect())
            }
            Self::Cpu(_) => Ok(Vec::new()),
        }
    }

    /// Returns the flat gradients of the loss on a batch of the caller. The training state does not change.
    pub(crate) async fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(engine) => engine.gradients(batch, step).await,
            Self::Cpu(training) => Ok(training.gradients(batch, step)),
        }
    }

    /// Returns the outputs, row by row, for any number of rows of inputs.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(engine) => engine.predict(inputs).await,
            Self::Cpu(training) => Ok(training.engine.predict(inputs)),
        }
    }

    /// Evaluates the network on a data set. `evaluator` must have been made for the same data set.
    pub(crate) async fn evaluate(&mut self, data: &Dataset, mut evaluator: HostEvaluator<'_>) -> Result<Metrics> {
        match self {
            Self::Gpu(engine) => {
                let mut result = Ok(());
                let add_rows = |rows: Range<usize>, outputs: Vec<f32>| {
                    let added = evaluator.add_rows(rows, outputs);
                    result = result.clone().and(added);
                };
                engine.predict_dataset(data, add_rows).await?;
                result?;
                Ok(evaluator.metrics)
            }
            Self::Cpu(training) => evaluator.evaluate_all(|inputs| training.engine.predict(inputs)),
        }
    }

    /// Returns the parameters, layer by layer.
    pub(crate) async fn parameters(&self) -> Result<Vec<LayerParameters>> {
        match self {
            Self::Gpu(engine) => {
                Ok(engine.network().layers_from_flat(&engine.parameters().await?, &engine.statistics().await?))
            }
            Self::Cpu(CpuTraining { engine, network, .. }) => {
                Ok(network.layers_from_flat(engine.parameters(), engine.statistics()))
            }
        }
    }

    /// Returns the flat EMA of the parameters if the optimizer keeps one.
    pub(crate) async fn ema_parameters(&self) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Gpu(engine) => engine.ema_parameters().await,
            Self::Cpu(training) => Ok(training.engine.ema_parameters()),
        }
    }

    /// Sets the learning rate of all later steps.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        match self {
            Self::Gpu(engine) => engine.set_learning_rate(0, learning_rate),
            Self::Cpu(training) => training.generator.optimizer.learning_rate = learning_rate,
        }
    }

    /// Sets the updates and epochs that ran before a resumed training; schedules and optimizers count on from them.
    pub(crate) fn set_resume_offset(&mut self, resume_offset: ResumeOffset) {
        match self {
            Self::Gpu(engine) => engine.set_resume_offset(resume_offset),
            Self::Cpu(training) => training.generator.resume_offset = resume_offset,
        }
    }

    /// Sets the flat parameters and running statistics, and resets the optimizer.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        match self {
            Self::Gpu(engine) => engine.set_parameters(flat, statistics),
            Self::Cpu(training) => training.engine.set_parameters(flat, statistics),
        }
    }

    /// Takes a snapshot of the training state. It replaces the previous snapshot.
    pub(crate) async fn take_snapshot(&mut self) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.take_snapshot().await,
            Self::Cpu(training) => {
                training.engine.take_snapshot();
                Ok(())
            }
        }
    }

    /// Restores the snapshot if there is one.
    pub(crate) fn restore(&mut self) {
        match self {
            Self::Gpu(engine) => engine.restore(),
            Self::Cpu(training) => training.engine.restore(),
        }
    }

    /// Returns the training state.
    pub(crate) async fn training_state(&self) -> Result<TrainingState> {
        match self {
            Self::Gpu(engine) => engine.training_state(0).await,
            Self::Cpu(training) => Ok(training.engine.training_state()),
        }
    }

    /// Returns the training state of the snapshot if there is one.
    pub(crate) async fn snapshot_state(&self) -> Result<Option<TrainingState>> {
        match self {
            Self::Gpu(engine) => engine.snapshot_state().await,
            Self::Cpu(training) => Ok(training.engine.snapshot_state()),
        }
    }

    /// Sets the training state.
    pub(crate) fn set_training_state(&mut self, state: &TrainingState) {
        match self {
            Self::Gpu(engine) => engine.set_training_state(0, state),
            Self::Cpu(training) => training.engine.set_training_state(state),
        }
    }

    /// Returns the seconds spent on compiling kernels so far; 0 on the CPU.
    pub(crate) const fn compile_seconds(&self) -> f64 {
        match self {
            Self::Gpu(engine) => engine.compile_seconds(),
            Self::Cpu(_) => 0.0,
        }
    }

    /// Returns whether the steps consist of kernels that can be timed.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) const fn has_kernels(&self) -> bool {
        matches!(self, Self::Gpu(_))
    }

    /// Returns the number of steps that a profile runs if the caller asks for `steps`.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn profiled_steps(&self, steps: usize) -> usize {
        match self {
            Self::Gpu(engine) => engine.profiled_steps(steps),
            Self::Cpu(_) => steps.max(1),
        }
    }

    /// Runs the steps `first..first + steps`, times each kernel, and adds the metrics to `report`. The CPU runs no
    /// step: see [`TrainingBackend::has_kernels`].
    #[cfg(not(target_family = "wasm"))]
    pub(crate) async fn profile(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
        report: &mut RunReport,
    ) -> Result<KernelTimes> {
        match self {
            Self::Gpu(engine) => {
                let (kernels, metrics, by_device) = engine.profile(first, steps_since_reset, steps).await?;
                push_metrics(report, engine.step_generator(), first, &metrics);
                Ok(KernelTimes { kernels, uses_device_timestamps: by_device })
            }
            Self::Cpu(_) => Ok(KernelTimes::default()),
        }
    }

    /// Records the steps `first..first + steps` into an encoder of the caller. `weights` holds the sum of the sample
    /// weights of each step; it is empty without sample weights.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) on the CPU.
    pub(crate) fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
        weights: &[f64],
    ) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.record(encoder, (first, steps_since_reset), steps, weights),
            Self::Cpu(_) => Err(recording_needs_gpu("trainer")),
        }
    }

    /// Records a prediction from one buffer of the caller into another.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) on the CPU.
    pub(crate) async fn record_prediction(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        match self {
            Self::Gpu(engine) => engine.predictor().await?.record(encoder, inputs, rows, outputs).await,
            Self::Cpu(_) => Err(recording_needs_gpu("trainer")),
        }
    }

    /// Returns the buffer of the parameters, or `None` on the CPU.
    pub(crate) const fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        match self {
            Self::Gpu(engine) => Some(engine.parameter_buffer()),
            Self::Cpu(_) => None,
        }
    }
}

/// Adds the metrics that a GPU read back, those of step `first` first, to a report.
fn push_metrics(report: &mut RunReport, generator: &StepGenerator, first: u64, metrics: &[RawStepMetrics]) {
    for (step, [loss, correct]) in (first..).zip(metrics) {
        report.push(*loss, f64::from(*correct), generator.batch_span(step).1 as u32);
    }
}
