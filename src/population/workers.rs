//! Who trains the networks: engines of a GPU, as many networks each as its bindings hold, or a CPU engine for each.

use rayon::prelude::*;

use super::{Course, Member};
use crate::{
    Dataset, Device, Error, Network, Plan, Report, Result, cpu,
    device::Machine,
    gpu::{
        Gpu,
        engine::{Engine, Setup},
    },
    memory::Memory,
    trainer::Resident,
};

pub(super) enum Workers {
    Gpu(Waves),
    Cpu(Vec<One>, Dataset),
}

/// Engines that take turns, and where each network is.
pub(super) struct Waves {
    engines: Vec<Engine>,
    /// Of every network the engine and the slot.
    places: Vec<[usize; 2]>,
}

/// One network on the CPU.
pub(super) struct One {
    engine: cpu::engine::Engine,
    course: Course,
    member: Member,
    is_training: bool,
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
            Machine::Cpu => {
                let weighted = is_weighted(data, members);
                let one = |(course, member): (Course, &Member)| {
                    let first = network.initial(member.settings.seed)?;
                    // The networks share the cores; one alone has no more than its own.
                    let engine = cpu::engine::Engine::new(network, &course, weighted, first, Some(1));
                    if let Some(pinned) = &member.settings.plan {
                        engine.plan(network, course.batch).check(pinned)?;
                    }
                    Ok(One { engine, course, member: member.clone(), is_training: true })
                };
                let all = courses.into_iter().zip(members).map(one).collect::<Result<_>>()?;
                Ok(Self::Cpu(all, data.clone()))
            }
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(super) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.run(first, steps, reports).await,
            Self::Cpu(all, data) => {
                all.par_iter_mut().zip(reports).filter(|(one, _)| one.is_training).for_each(|(one, report)| {
                    let settings = &one.member.settings;
                    let (shuffle, noise) = (settings.shuffle, settings.input_noise as f32);
                    let weighted = settings.weighted || data.weights().is_some();
                    let resident = Resident { data, shuffle, noise, weighted };
                    let steps = first..first + steps as u64;
                    resident.run(&mut one.engine, one.course.clone(), steps, first, report);
                });
                Ok(())
            }
        }
    }

    pub(super) async fn stop(&mut self, member: usize) -> Result<()> {
        match self {
            Self::Gpu(waves) => waves.stop(member).await,
            Self::Cpu(all, _) => {
                all[member].is_training = false;
                Ok(())
            }
        }
    }

    /// The outputs of each network.
    pub(super) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Gpu(waves) => waves.predict(inputs).await,
            Self::Cpu(all, _) => Ok(all.par_iter().map(|one| one.engine.predict(inputs)).collect()),
        }
    }

    pub(super) async fn memory(&self, member: usize) -> Result<Memory> {
        match self {
            Self::Gpu(waves) => {
                let [engine, slot] = waves.places[member];
                waves.engines[engine].memory(slot).await
            }
            Self::Cpu(all, _) => Ok(all[member].engine.memory()),
        }
    }

    pub(super) fn plan(&self, network: &Network) -> Plan {
        match self {
            Self::Gpu(waves) => waves.engines[0].plan(),
            Self::Cpu(all, _) => all[0].engine.plan(network, all[0].course.batch),
        }
    }
}

impl Waves {
    async fn new(
        gpu: &Gpu,
        network: &Network,
        data: &Dataset,
        members: &[Member],
        courses: Vec<Course>,
    ) -> Result<Self> {
        let settings = &members[0].settings;
        let most = (gpu.limits.max_compute_workgroups_per_dimension as usize).min(courses.len());
        let mut at_once = most.max(1);
        let mut waves = Self { engines: Vec::new(), places: Vec::new() };
        let mut rest = courses.as_slice();
        while !rest.is_empty() {
            let some = &rest[..at_once.min(rest.len())];
            let setup = Setup {
                network,
                courses: some.to_vec(),
                data: Some(data),
                shuffle: settings.shuffle,
                chunk: settings.chunk,
                plan: settings.plan.as_ref(),
                weighted: is_weighted(data, members),
                noise: settings.input_noise as f32,
            };
            match Engine::new(gpu, setup).await {
                // Nothing was allocated: fewer may fit.
                Err(Error::Limit { .. }) if at_once > 1 => at_once = at_once.div_ceil(2),
                Err(error) => return Err(error),
                Ok(mut engine) => {
                    let first = waves.places.len();
                    let seeds = members[first..first + some.len()].iter().map(|member| member.settings.seed);
                    let all = seeds.map(|seed| network.initial(seed)).collect::<Result<Vec<_>>>()?;
                    engine.set_parameters(&all.concat(), &network.first_statistics().repeat(some.len()));
                    waves.places.extend((0..some.len()).map(|slot| [waves.engines.len(), slot]));
                    waves.engines.push(engine);
                    rest = &rest[some.len()..];
                }
            }
        }
        Ok(waves)
    }

    async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate().filter(|(_, engine)| engine.slots() > 0) {
            let metrics = engine.run(first, first, steps).await?;
            let models = engine.models();
            for (member, [_, slot]) in self.places.iter().enumerate().filter(|(_, [engine, _])| *engine == number) {
                if *slot >= engine.slots() {
                    continue;
                }
                for (step, of_all) in (first..).zip(metrics.chunks_exact(models)) {
                    let [loss, right] = of_all[*slot];
                    reports[member].push(loss, right as u32, engine.rows_of(*slot, step));
                }
            }
        }
        Ok(())
    }

    async fn stop(&mut self, member: usize) -> Result<()> {
        let [engine, slot] = self.places[member];
        self.engines[engine].stop(slot).await?;
        let last = self.engines[engine].slots();
        for place in self.places.iter_mut().filter(|place| **place == [engine, last]) {
            *place = [engine, slot];
        }
        self.places[member] = [engine, last];
        Ok(())
    }

    async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            let outputs = engine.predict(inputs).await?;
            let each = outputs.len() / engine.models();
            all.push(outputs.chunks_exact(each.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>());
        }
        Ok(self.places.iter().map(|[engine, slot]| std::mem::take(&mut all[*engine][*slot])).collect())
    }
}

fn is_weighted(data: &Dataset, members: &[Member]) -> bool {
    members[0].settings.weighted || data.weights().is_some()
}
