//! Who trains the networks: a GPU or the cores of the CPU.

use super::{
    Course, Estimate, Member,
    cores::Cores,
    tested::{Judging, Test},
    waves::Waves,
};
use crate::{Dataset, Device, Metrics, Network, Plan, Report, Result, device::Machine, memory::Memory};

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

    /// What [`Workers::new`] would allocate.
    pub(super) fn estimate(
        device: &Device,
        network: &Network,
        data: &Dataset,
        members: &[Member],
        courses: Vec<Course>,
    ) -> Result<Estimate> {
        match &device.machine {
            Machine::Gpu(gpu) => Waves::estimate(gpu, network, data, members, courses),
            Machine::Cpu => Ok(Cores::estimate(network, data, members, &courses)),
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(super) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.run(first, steps, reports).await,
            Self::Cpu(cores) => {
                cores.run(first, steps, reports);
                cores.data().check_read()
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

    /// What some networks are worth, each on its rows of a data set.
    pub(super) async fn evaluate(
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

    pub(super) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        match self {
            Self::Gpu(waves) => waves.set_learning_rate(member, rate),
            Self::Cpu(cores) => cores.set_learning_rate(member, rate),
        }
    }

    /// Keeps networks as they are.
    pub(super) async fn keep(&mut self, members: &[usize]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.keep(members).await,
            Self::Cpu(cores) => {
                members.iter().for_each(|member| cores.keep(*member));
                Ok(())
            }
        }
    }

    /// Puts a network back to what was kept of it last.
    pub(super) fn restore(&mut self, member: usize, with_gradients: bool) {
        match self {
            Self::Gpu(waves) => waves.restore(member, with_gradients),
            Self::Cpu(cores) => cores.restore(member, with_gradients),
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
