//! The training of a population: many networks of one shape, on a GPU or on the CPU.

pub(crate) mod cpu;
pub(crate) mod evaluation;
pub(crate) mod gpu;
pub(crate) mod memory_estimate;

use crate::engine::population::{
    cpu::CpuPopulation,
    evaluation::{EvaluationSettings, EvaluationTask},
    gpu::GpuPopulation,
};
pub use memory_estimate::MemoryEstimate;

use crate::{
    data::dataset::Dataset,
    device::{Backend, Device},
    engine::{config::TrainingConfig, state::TrainingState, step::StepGenerator},
    error::Result,
    metrics::Metrics,
    plan::Plan,
    train::run_report::RunReport,
};

/// A population in training, on a GPU or on the population of the CPU.
pub(crate) enum PopulationBackend {
    Gpu(GpuPopulation),
    Cpu(CpuPopulation),
}

impl PopulationBackend {
    /// Creates the backend with the initial parameters of every member. Each generator decides the steps of one member.
    pub(crate) async fn new(
        device: &Device,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<Self> {
        match &device.backend {
            Backend::Gpu(gpu) => GpuPopulation::new(gpu, config, data, generators).await.map(Self::Gpu),
            Backend::Cpu => CpuPopulation::new(config, data, generators).map(Self::Cpu),
        }
    }

    /// Returns an estimate of the memory that [`PopulationBackend::new`] would allocate, without allocating it.
    pub(crate) fn estimate(
        device: &Device,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<MemoryEstimate> {
        match &device.backend {
            Backend::Gpu(gpu) => GpuPopulation::estimate(gpu, config, data, generators),
            Backend::Cpu => Ok(CpuPopulation::estimate(config, &generators)),
        }
    }

    /// Returns whether the host evaluates the members. It then needs a data set with the rows of each evaluation
    /// subset.
    pub(crate) const fn evaluates_on_host(&self) -> bool {
        match self {
            Self::Gpu(_) => false,
            Self::Cpu(_) => true,
        }
    }

    /// Runs the steps `first..first + steps` of all members in training, and adds their metrics to `reports`, one per
    /// member.
    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) -> Result<()> {
        match self {
            Self::Gpu(population) => population.run(first, steps, reports).await,
            Self::Cpu(population) => {
                population.run(first, steps, reports);
                population.data().check_read()
            }
        }
    }

    /// Stops the training of a member.
    pub(crate) async fn stop(&mut self, member: usize) -> Result<()> {
        match self {
            Self::Gpu(population) => population.stop(member).await,
            Self::Cpu(population) => {
                population.stop(member);
                Ok(())
            }
        }
    }

    /// Returns the outputs of each member, stopped members included.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(population) => population.predict(inputs).await,
            Self::Cpu(population) => Ok(population.predict(inputs)),
        }
    }

    /// Evaluates some members, each on its subset of a data set, and returns one entry per task.
    pub(crate) async fn evaluate(
        &mut self,
        data: &Dataset,
        tasks: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        match self {
            Self::Gpu(population) => population.evaluate(data, tasks, settings).await,
            Self::Cpu(population) => population.evaluate(data, tasks, settings),
        }
    }

    /// Sets the learning rate of a member for all later steps.
    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        match self {
            Self::Gpu(population) => population.set_learning_rate(member, learning_rate),
            Self::Cpu(population) => population.set_learning_rate(member, learning_rate),
        }
    }

    /// Takes a snapshot of each of the given members.
    pub(crate) async fn take_snapshot(&mut self, members: &[usize]) -> Result<()> {
        match self {
            Self::Gpu(population) => population.take_snapshot(members).await,
            Self::Cpu(population) => {
                members.iter().for_each(|member| population.take_snapshot(*member));
                Ok(())
            }
        }
    }

    /// Restores the last snapshot of a member if there is one. If `with_gradients` is true, its accumulated
    /// gradients are restored; otherwise they are cleared.
    pub(crate) fn restore(&mut self, member: usize, with_gradients: bool) {
        match self {
            Self::Gpu(population) => population.restore(member, with_gradients),
            Self::Cpu(population) => population.restore(member, with_gradients),
        }
    }

    /// Returns the training state of a member.
    pub(crate) async fn training_state(&self, member: usize) -> Result<TrainingState> {
        match self {
            Self::Gpu(population) => population.training_state(member).await,
            Self::Cpu(population) => Ok(population.training_state(member)),
        }
    }

    /// Returns the plan of the steps.
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(population) => population.plan(),
            Self::Cpu(population) => population.plan(),
        }
    }
}
