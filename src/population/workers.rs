//! Who trains the networks: a GPU or the cores of the CPU.

use super::{Course, Member, cores::Cores, waves::Waves};
use crate::{Dataset, Device, Network, Plan, Report, Result, device::Machine, memory::Memory};

pub(super) enum Workers {
    Gpu(Waves),
    Cpu(Cores),
}

impl Workers {
    pub(super) async fn new(
        device: &Device,
        network: &Network,
        data: &Dataset,
        members: &[Member],
        courses: Vec<Course>,
    ) -> Result<Self> {
        match &device.machine {
            Machine::Gpu(gpu) => Waves::new(gpu, network, data, members, courses).await.map(Self::Gpu),
            Machine::Cpu => Cores::new(network, data, members, courses).map(Self::Cpu),
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(super) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.run(first, steps, reports).await,
            Self::Cpu(cores) => {
                cores.run(first, steps, reports);
                Ok(())
            }
        }
    }

    pub(super) async fn stop(&mut self, member: usize) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.stop(member).await,
            Self::Cpu(cores) => {
                cores.stop(member);
                Ok(())
            }
        }
    }

    /// The outputs of each network.
    pub(super) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(waves) => waves.predict(inputs).await,
            Self::Cpu(cores) => Ok(cores.predict(inputs)),
        }
    }

    pub(super) async fn memory(&self, member: usize) -> Result<Memory> {
        match self {
            Self::Gpu(waves) => waves.memory(member).await,
            Self::Cpu(cores) => Ok(cores.memory(member)),
        }
    }

    pub(super) fn plan(&self) -> Plan {
        match self {
            Self::Gpu(waves) => waves.plan(),
            Self::Cpu(cores) => cores.plan(),
        }
    }
}

pub(super) fn is_weighted(data: &Dataset, members: &[Member]) -> bool {
    members[0].settings.weighted || data.weights().is_some()
}
