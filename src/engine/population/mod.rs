//! The training of many networks of one shape.

pub(crate) mod cpu;
pub(crate) mod evaluation;
pub(crate) mod gpu;
pub(crate) mod memory_estimate;

use crate::engine::population::{
    cpu::Cores,
    evaluation::{Judging, Test},
    gpu::Waves,
};
pub use memory_estimate::Estimate;

use crate::{
    data::dataset::Dataset,
    device::{Device, Machine},
    engine::{config::TrainingConfig, state::Memory, step::Course},
    error::Result,
    metrics::Metrics,
    plan::Plan,
    train::run_report::Report,
};

/// Networks in training on a GPU or on the cores of the CPU.
pub(crate) enum PopulationBackend {
    Gpu(Waves),
    Cpu(Cores),
}

impl PopulationBackend {
    pub(crate) async fn new(
        device: &Device,
        config: TrainingConfig<'_>,
        data: &Dataset,
        courses: Vec<Course>,
    ) -> Result<Self> {
        match &device.machine {
            Machine::Gpu(gpu) => Waves::new(gpu, config, data, courses).await.map(Self::Gpu),
            Machine::Cpu => Cores::new(config, data, courses).map(Self::Cpu),
        }
    }

    /// What [`PopulationBackend::new`] would allocate.
    pub(crate) fn estimate(
        device: &Device,
        config: TrainingConfig<'_>,
        data: &Dataset,
        courses: Vec<Course>,
    ) -> Result<Estimate> {
        match &device.machine {
            Machine::Gpu(gpu) => Waves::estimate(gpu, config, data, courses),
            Machine::Cpu => Ok(Cores::estimate(config, &courses)),
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
    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
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
        tests: &[Test<'_>],
        judging: Judging<'_>,
    ) -> Result<Vec<Metrics>> {
        match self {
            Self::Gpu(waves) => waves.evaluate(data, tests, judging).await,
            Self::Cpu(cores) => cores.evaluate(data, tests, judging),
        }
    }

    pub(crate) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        match self {
            Self::Gpu(waves) => waves.set_learning_rate(member, rate),
            Self::Cpu(cores) => cores.set_learning_rate(member, rate),
        }
    }

    /// Keeps networks as they are.
    pub(crate) async fn keep(&mut self, members: &[usize]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.keep(members).await,
            Self::Cpu(cores) => {
                members.iter().for_each(|member| cores.keep(*member));
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

    pub(crate) async fn memory(&self, member: usize) -> Result<Memory> {
        match self {
            Self::Gpu(waves) => waves.memory(member).await,
            Self::Cpu(cores) => Ok(cores.memory(member)),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(waves) => waves.plan(),
            Self::Cpu(cores) => cores.plan(),
        }
    }
}
