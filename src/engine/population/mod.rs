//! The training of many networks of one shape.

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

/// Networks in training on a GPU or on the cores of the CPU.
pub(crate) enum PopulationBackend {
    Gpu(GpuPopulation),
    Cpu(CpuPopulation),
}

impl PopulationBackend {
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

    /// What [`PopulationBackend::new`] would allocate.
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

    /// Whether the host evaluates the networks, so that it needs the rows of each by themselves.
    pub(crate) const fn evaluates_on_host(&self) -> bool {
        match self {
            Self::Gpu(_) => false,
            Self::Cpu(_) => true,
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.run(first, steps, reports).await,
            Self::Cpu(cores) => {
                cores.run(first, steps, reports);
                cores.data().check_read()
            }
        }
    }

    pub(crate) async fn stop(&mut self, member: usize) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.stop(member).await,
            Self::Cpu(cores) => {
                cores.stop(member);
                Ok(())
            }
        }
    }

    /// The outputs of each network.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(waves) => waves.predict(inputs).await,
            Self::Cpu(cores) => Ok(cores.predict(inputs)),
        }
    }

    /// What some networks are worth, each on its rows of a data set.
    pub(crate) async fn evaluate(
        &mut self,
        data: &Dataset,
        tests: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        match self {
            Self::Gpu(waves) => waves.evaluate(data, tests, settings).await,
            Self::Cpu(cores) => cores.evaluate(data, tests, settings),
        }
    }

    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        match self {
            Self::Gpu(waves) => waves.set_learning_rate(member, learning_rate),
            Self::Cpu(cores) => cores.set_learning_rate(member, learning_rate),
        }
    }

    /// Keeps networks as they are.
    pub(crate) async fn take_snapshot(&mut self, members: &[usize]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.take_snapshot(members).await,
            Self::Cpu(cores) => {
                members.iter().for_each(|member| cores.take_snapshot(*member));
                Ok(())
            }
        }
    }

    /// Puts a network back to what was kept of it last.
    pub(crate) fn restore(&mut self, member: usize, with_gradients: bool) {
        match self {
            Self::Gpu(waves) => waves.restore(member, with_gradients),
            Self::Cpu(cores) => cores.restore(member, with_gradients),
        }
    }

    pub(crate) async fn training_state(&self, member: usize) -> Result<TrainingState> {
        match self {
            Self::Gpu(waves) => waves.training_state(member).await,
            Self::Cpu(cores) => Ok(cores.training_state(member)),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(waves) => waves.plan(),
            Self::Cpu(cores) => cores.plan(),
        }
    }
}
