//! A CPU engine together with the data set that it learns from.

use crate::{
    data::dataset::Dataset,
    engine::{
        config::TrainingConfig,
        cpu::{dataset_run::CpuDatasetRun, engine::Engine},
        step::{Batch, Course, Step, StepMetrics},
    },
    error::Result,
    nn::network::Network,
    plan::Plan,
    train::run_report::Report,
};

/// A network in training, what decides its steps, and its data set if it has one.
pub(crate) struct CpuTraining {
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) course: Course,
    data: Option<Dataset>,
    shuffle: bool,
    noise: f32,
    weighted: bool,
}

impl CpuTraining {
    /// A network with its initial parameters.
    pub(crate) fn new(config: TrainingConfig<'_>, data: Option<&Dataset>, course: Course) -> Result<Self> {
        let TrainingConfig { network, shuffle, noise, weighted, plan, .. } = config;
        let threads = plan.and_then(Plan::threads);
        let engine = Engine::new(network, &course, weighted, network.initial(course.seed)?, threads)?;
        if let Some(pinned) = plan {
            engine.plan(network, course.batch).check(pinned)?;
        }
        Ok(Self { engine, network: network.clone(), course, data: data.cloned(), shuffle, noise, weighted })
    }

    /// How steps are computed.
    pub(crate) fn plan(&self) -> Plan {
        self.engine.plan(&self.network, self.course.batch)
    }

    /// Takes the steps `first` to `first + steps` on the data set, after `before` updates, and adds their metrics to a report.
    pub(crate) fn run(&mut self, first: u64, before: u64, steps: usize, report: &mut Report) -> Result<()> {
        let Self { engine, course, data, shuffle, noise, weighted, .. } = self;
        let Some(data) = data else { return Ok(()) };
        let run = CpuDatasetRun { data, shuffle: *shuffle, noise: *noise, weighted: *weighted };
        let steps = first..first + steps as u64;
        engine.in_pool(|engine| run.run(engine, course.clone(), steps, before, report));
        data.check_read()
    }

    /// Takes one step on a batch of the caller.
    pub(crate) fn step(&mut self, batch: Batch<'_>, step: Step) -> StepMetrics {
        let outcome = self.engine.step(&step, rows_of(batch));
        StepMetrics { loss: outcome.loss, right: outcome.right, rows: step.rows, weight: batch.weight_of_rows() }
    }

    /// The gradients of the loss on a batch of the caller, flat. Nothing changes.
    pub(crate) fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Vec<f32> {
        self.engine.gradients(&step, rows_of(batch))
    }
}

/// Copies the rows of a batch of the caller to where the engine reads them.
fn rows_of(batch: Batch<'_>) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync + '_ {
    move |row, x, t| {
        x.copy_from_slice(&batch.inputs[row * x.len()..(row + 1) * x.len()]);
        t.copy_from_slice(&batch.expected[row * t.len()..(row + 1) * t.len()]);
        batch.weight(row)
    }
}
