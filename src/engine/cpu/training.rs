//! The training of one network on the CPU: an engine, with the steps and the data set of the training.

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

/// A network in training on the CPU, with its generator of steps and its data set, if there is one.
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
    /// Creates the training of a network with its initial parameters.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`](crate::Error::InvalidPlan) if the plan of `config` does not fit.
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if the host cannot allocate the memory.
    pub(crate) fn new(config: TrainingConfig<'_>, data: Option<&Dataset>, generator: StepGenerator) -> Result<Self> {
        let TrainingConfig { network, shuffle, input_noise_std, has_sample_weights, plan, .. } = config;
        let parameters = network.initial_parameters(generator.seed)?;
        let threads = plan.and_then(Plan::threads);
        let engine = Engine::new(network, &generator, has_sample_weights, parameters, threads)?;
        if let Some(requested_plan) = plan {
            engine.plan(network, generator.batch_size).check(requested_plan)?;
        }
        Ok(Self {
            engine,
            network: network.clone(),
            generator,
            data: data.cloned(),
            shuffle,
            input_noise_std,
            has_sample_weights,
        })
    }

    /// Returns the plan of the steps.
    pub(crate) fn plan(&self) -> Plan {
        self.engine.plan(&self.network, self.generator.batch_size)
    }

    /// Runs the steps `first..first + steps` on the data set and adds their metrics to `report`. `steps_since_reset`
    /// steps have run since the optimizer was reset. Without a data set it does nothing.
    pub(crate) fn run(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
        report: &mut RunReport,
    ) -> Result<()> {
        let Self { engine, generator, data, shuffle, input_noise_std, has_sample_weights, .. } = self;
        let Some(data) = data else { return Ok(()) };
        let run = CpuDatasetRun {
            data,
            shuffle: *shuffle,
            input_noise_std: *input_noise_std,
            has_sample_weights: *has_sample_weights,
        };
        let steps = first..first + steps as u64;
        engine.in_pool(|engine| run.run(engine, generator.clone(), steps, steps_since_reset, report));
        data.check_read()
    }

    /// Runs one step on a batch of the caller.
    pub(crate) fn step(&mut self, batch: Batch<'_>, step: Step) -> StepMetrics {
        let metrics = self.engine.step(&step, batch_reader(batch));
        StepMetrics {
            loss: metrics.loss,
            correct: metrics.correct,
            rows: step.rows,
            sample_weight_sum: batch.weight_sum(),
        }
    }

    /// Returns the flat gradients of the loss on a batch of the caller. The training state does not change.
    pub(crate) fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Vec<f32> {
        self.engine.gradients(&step, batch_reader(batch))
    }
}

/// Returns a function that reads the rows of a batch of the caller.
fn batch_reader(batch: Batch<'_>) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + '_ {
    move |row, inputs, targets| {
        inputs.copy_from_slice(&batch.inputs[row * inputs.len()..(row + 1) * inputs.len()]);
        targets.copy_from_slice(&batch.targets[row * targets.len()..(row + 1) * targets.len()]);
        batch.sample_weight(row)
    }
}
