//! Engines of a GPU, as many networks each as its bindings hold.

use super::{Course, Member, workers::is_weighted};
use crate::{
    Dataset, Error, Network, Plan, Report, Result,
    gpu::{
        Gpu,
        engine::{Engine, Setup},
    },
    memory::Memory,
};

/// Engines that take turns, and where each network is.
pub(super) struct Waves {
    engines: Vec<Engine>,
    /// Of every network the engine and the slot.
    places: Vec<[usize; 2]>,
}

impl Waves {
    pub(super) async fn new(
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

    pub(super) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
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

    pub(super) async fn stop(&mut self, member: usize) -> Result<()> {
        let [engine, slot] = self.places[member];
        self.engines[engine].stop(slot).await?;
        let last = self.engines[engine].slots();
        for place in self.places.iter_mut().filter(|place| **place == [engine, last]) {
            *place = [engine, slot];
        }
        self.places[member] = [engine, last];
        Ok(())
    }

    pub(super) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            let outputs = engine.predict(inputs).await?;
            let each = outputs.len() / engine.models();
            all.push(outputs.chunks_exact(each.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>());
        }
        Ok(self.places.iter().map(|[engine, slot]| std::mem::take(&mut all[*engine][*slot])).collect())
    }

    pub(super) async fn memory(&self, member: usize) -> Result<Memory> {
        let [engine, slot] = self.places[member];
        self.engines[engine].memory(slot).await
    }

    pub(super) fn plan(&self) -> Plan {
        self.engines[0].plan()
    }
}
