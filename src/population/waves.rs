//! Engines of a GPU, as many networks each as its bindings hold.

use super::{
    Course, Member,
    tested::{Judging, Test},
    workers::is_weighted,
};
use crate::{
    Dataset, Error, Metrics, Network, Plan, Report, Result,
    gpu::{
        Gpu,
        engine::{Engine, Setup},
    },
    memory::Memory,
    rows::Subset,
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
                uploaded: waves.engines.first().and_then(Engine::resident),
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

    /// What some networks are worth, each on its rows, judged on the device.
    pub(super) async fn evaluate(
        &mut self,
        data: &Dataset,
        tests: &[Test<'_>],
        judging: Judging<'_>,
    ) -> Result<Vec<Metrics>> {
        let Judging { network, loss, classifies } = judging;
        let mean_over = loss.mean_over(1, network.outputs());
        let mut all = vec![None; tests.len()];
        let mut uploaded = None;
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let here = || tests.iter().enumerate().filter(|(_, test)| self.places[test.member][0] == number);
            let slot = |test: &Test<'_>| self.places[test.member][1];
            let Some(last) = here().map(|(_, test)| slot(test)).max() else { continue };
            // Where nobody is tested, a row is looked at if others have rows of their own.
            let has_subsets = here().any(|(_, test)| test.part.subset.is_some());
            let mut rows = vec![has_subsets.then(|| Subset::whole(1)); last + 1];
            here().for_each(|(_, test)| rows[slot(test)] = test.part.subset);
            let scores = engine.score(data, uploaded.take(), &rows).await?;
            uploaded = engine.scored();
            for (i, test) in here() {
                let answers = test.part.answers.as_ref();
                all[i] = Some(Metrics::of_score(&scores[slot(test)], mean_over, classifies, answers));
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    pub(super) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        let [engine, slot] = self.places[member];
        self.engines[engine].set_learning_rate(slot, rate);
    }

    pub(super) async fn keep(&mut self, members: &[usize]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let here = members.iter().map(|member| self.places[*member]).filter(|[engine, _]| *engine == number);
            let mut slots: Vec<usize> = here.map(|[_, slot]| slot).collect();
            slots.sort_unstable();
            if !slots.is_empty() {
                engine.keep_slots(&slots).await?;
            }
        }
        Ok(())
    }

    pub(super) fn restore(&self, member: usize) {
        let [engine, slot] = self.places[member];
        self.engines[engine].restore_slot(slot);
    }

    pub(super) async fn memory(&self, member: usize) -> Result<Memory> {
        let [engine, slot] = self.places[member];
        self.engines[engine].memory(slot).await
    }

    pub(super) fn plan(&self) -> Plan {
        self.engines[0].plan()
    }
}
