//! Engines of a GPU, as many networks each as its bindings hold.

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::{
        config::TrainingConfig,
        gpu::{
            device::Gpu,
            run::{
                engine::Engine,
                engine_layout::{Draft, Setup},
            },
        },
        population::{
            evaluation::{Judging, Test},
            memory_estimate::Estimate,
        },
        state::Memory,
        step::Course,
    },
    error::{Error, Result},
    metrics::Metrics,
    nn::task::Task,
    plan::Plan,
    train::run_report::Report,
};

/// Engines that take turns, and where each network is.
pub(crate) struct Waves {
    engines: Vec<Engine>,
    /// Of every network the engine and the slot.
    places: Vec<[usize; 2]>,
}

impl Waves {
    pub(crate) async fn new(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        courses: Vec<Course>,
    ) -> Result<Self> {
        let mut waves = Self { engines: Vec::new(), places: Vec::new() };
        for courses in Self::divided(gpu, config, data, courses)? {
            let (network, count) = (config.network, courses.len());
            let seeds: Vec<u64> = courses.iter().map(|course| course.seed).collect();
            let uploaded = waves.engines.first().and_then(Engine::resident);
            let setup = Setup { uploaded, ..Setup::new(config, Some(data), courses) };
            let mut engine = Engine::new(gpu, setup).await?;
            let all = seeds.into_iter().map(|seed| network.initial(seed)).collect::<Result<Vec<_>>>()?;
            engine.set_parameters(&all.concat(), &network.first_statistics().repeat(count));
            waves.places.extend((0..count).map(|slot| [waves.engines.len(), slot]));
            waves.engines.push(engine);
        }
        Ok(waves)
    }

    /// What all waves allocate, nothing of which is done.
    pub(crate) fn estimate(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        courses: Vec<Course>,
    ) -> Result<Estimate> {
        let mut estimate = Estimate::default();
        for courses in Self::divided(gpu, config, data, courses)? {
            let networks = courses.len();
            let draft = Draft::new(gpu, Setup::new(config, Some(data), courses))?;
            // The waves share the data set.
            let is_new = |name: &str| estimate.at_once.is_empty() || name != "data set";
            let bytes: Vec<_> = draft.bytes().into_iter().filter(|(name, _)| is_new(name)).collect();
            bytes.into_iter().for_each(|(name, bytes)| estimate.add(name, bytes));
            estimate.at_once.push(networks);
        }
        Ok(estimate)
    }

    /// The networks that train at once, wave by wave: as many as the device can hold, all but the last of one size.
    fn divided(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        courses: Vec<Course>,
    ) -> Result<Vec<Vec<Course>>> {
        let mut at_once = courses.len().min(gpu.limits.max_compute_workgroups_per_dimension as usize).max(1);
        loop {
            let fits = |some: &[Course]| Draft::new(gpu, Setup::new(config, Some(data), some.to_vec())).map(drop);
            // The first is the largest, and the last alone is of another size.
            let (first, last) = (courses.chunks(at_once).next(), courses.chunks(at_once).next_back());
            match first.into_iter().chain(last).try_for_each(fits) {
                Ok(()) => return Ok(courses.chunks(at_once).map(<[Course]>::to_vec).collect()),
                Err(Error::Limit { .. }) if at_once > 1 => at_once = at_once.div_ceil(2),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate().filter(|(_, engine)| engine.slots() > 0) {
            let metrics = engine.run(first, first, steps).await?;
            let models = engine.models();
            for (member, [_, slot]) in self.places.iter().enumerate().filter(|(_, [engine, _])| *engine == number) {
                if *slot >= engine.slots() {
                    continue;
                }
                for (step, of_all) in (first..).zip(metrics.chunks_exact(models)) {
                    let [loss, right] = of_all[*slot];
                    reports[member].push(loss, f64::from(right), engine.rows_of(*slot, step));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn stop(&mut self, member: usize) -> Result<()> {
        let [engine, slot] = self.places[member];
        self.engines[engine].stop(slot).await?;
        let last = self.engines[engine].slots();
        for place in self.places.iter_mut().filter(|place| **place == [engine, last]) {
            *place = [engine, slot];
        }
        self.places[member] = [engine, last];
        Ok(())
    }

    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            let outputs = engine.predict(inputs).await?;
            let each = outputs.len() / engine.models();
            all.push(outputs.chunks_exact(each.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>());
        }
        Ok(self.places.iter().map(|[engine, slot]| std::mem::take(&mut all[*engine][*slot])).collect())
    }

    /// What some networks are worth, each on its rows, judged on the device.
    pub(crate) async fn evaluate(
        &mut self,
        data: &Dataset,
        tests: &[Test<'_>],
        judging: Judging<'_>,
    ) -> Result<Vec<Metrics>> {
        let Judging { network, loss, task } = judging;
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
            let scores = engine.score(data, uploaded.take(), &rows, task == Task::MultiLabel).await?;
            uploaded = engine.scored();
            for (i, test) in here() {
                let answers = test.part.answers.as_ref();
                all[i] = Some(Metrics::of_score(&scores[slot(test)], mean_over, task, answers));
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    pub(crate) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        let [engine, slot] = self.places[member];
        self.engines[engine].set_learning_rate(slot, rate);
    }

    pub(crate) async fn keep(&mut self, members: &[usize]) -> Result<()> {
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

    pub(crate) fn restore(&self, member: usize, with_gradients: bool) {
        let [engine, slot] = self.places[member];
        self.engines[engine].restore_slot(slot, with_gradients);
    }

    pub(crate) async fn memory(&self, member: usize) -> Result<Memory> {
        let [engine, slot] = self.places[member];
        self.engines[engine].memory(slot).await
    }

    pub(crate) fn plan(&self) -> Plan {
        self.engines[0].plan()
    }
}
