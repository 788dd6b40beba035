//! A CPU engine together with the data set that it learns from.

use crate::{
    data::dataset::Dataset,
    engine::{
        config::TrainingConfig,
        cpu::{dataset_run::CpuDatasetRun, engine::Engine},
        step::{Batch, Step, StepGenerator, StepMetrics},
    },
    error::Result,
    nn::network::Network,
    plan::Plan,
    train::run_report::RunReport,
};

/// A network in training, what decides its steps, and its data set if it has one.
pub(crate) struct CpuTraining {
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) generator: StepGenerator,
    data: Option<Dataset>,
    shuffle: bool,
    input_noise_std: f32,
    has_sample_weights: bool,
}

impl CpuTraining {
    /// A network with its initial parameters.
    pub(crate) fn new(config: TrainingConfig<'_>, data: Option<&Dataset>, generator: StepGenerator) -> Result<Self> {
        let TrainingConfig { network, shuffle, input_noise_std: noise, has_sample_weights: weighted, plan, .. } =
            config;
        let threads = plan.and_then(Plan::threads);
        let engine = Engine::new(network, &generator, weighted, network.initial_parameters(generator.seed)?, threads)?;
        if let Some(pinned) = plan {
            engine.plan(network, generator.batch_size).check(pinned)?;
        }
        Ok(Self {
            engine,
            network: network.clone(),
            generator,
            data: data.cloned(),
            shuffle,
            input_noise_std: noise,
            has_sample_weights: weighted,
        })
    }

    /// How steps are computed.
    pub(crate) fn plan(&self) -> Plan {
        self.engine.plan(&self.network, self.generator.batch_size)
    }

    /// Takes the steps `first` to `first + steps` on the data set, after `before` updates, and adds their metrics to a report.
    pub(crate) fn run(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
        report: &mut RunReport,
    ) -> Result<()> {
        let Self {
            engine, generator: course, data, shuffle, input_noise_std: noise, has_sample_weights: weighted, ..
        } = self;
        let Some(data) = data else { return Ok(()) };
        let run = CpuDatasetRun { data, shuffle: *shuffle, input_noise_std: *noise, has_sample_weights: *weighted };
        let steps = first..first + steps as u64;
        engine.in_pool(|engine| run.run(engine, course.clone(), steps, steps_since_reset, report));
        data.check_read()
    }

    /// Takes one step on a batch of the caller.
    pub(crate) fn step(&mut self, batch: Batch<'_>, step: Step) -> StepMetrics {
        let outcome = self.engine.step(&step, batch_reader(batch));
        StepMetrics {
            loss: outcome.loss,
            correct: outcome.correct,
            rows: step.rows,
            sample_weight_sum: batch.weight_sum(),
        }
    }

    /// The gradients of the loss on a batch of the caller, flat. Nothing changes.
    pub(crate) fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Vec<f32> {
        self.engine.gradients(&step, batch_reader(batch))
    }
}

/// Copies the rows of a batch of the caller to where the engine reads them.
fn batch_reader(batch: Batch<'_>) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + '_ {
    move |row, x, t| {
        x.copy_from_slice(&batch.inputs[row * x.len()..(row + 1) * x.len()]);
        t.copy_from_slice(&batch.targets[row * t.len()..(row + 1) * t.len()]);
        batch.sample_weight(row)
    }
}
