//! Engines of a GPU, as many networks each as its bindings hold.

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::{
        config::TrainingConfig,
        gpu::{
            device::Gpu,
            run::{
                engine::Engine,
                engine_layout::{EngineConfig, EngineLayout},
            },
        },
        population::{
            evaluation::{EvaluationSettings, EvaluationTask},
            memory_estimate::MemoryEstimate,
        },
        state::TrainingState,
        step::StepGenerator,
    },
    error::{Error, Result},
    metrics::Metrics,
    nn::task::Task,
    plan::Plan,
    train::run_report::RunReport,
};

/// Engines that take turns, and where each network is.
pub(crate) struct GpuPopulation {
    engines: Vec<Engine>,
    /// Of every network the engine and the slot.
    locations: Vec<[usize; 2]>,
}

impl GpuPopulation {
    pub(crate) async fn new(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<Self> {
        let mut waves = Self { engines: Vec::new(), locations: Vec::new() };
        for courses in Self::divide_into_groups(gpu, config, data, generators)? {
            let (network, count) = (config.network, courses.len());
            let seeds: Vec<u64> = courses.iter().map(|course| course.seed).collect();
            let uploaded = waves.engines.first().and_then(Engine::training_dataset);
            let setup = EngineConfig { device_dataset: uploaded, ..EngineConfig::new(config, Some(data), courses) };
            let mut engine = Engine::new(gpu, setup).await?;
            let all = seeds.into_iter().map(|seed| network.initial_parameters(seed)).collect::<Result<Vec<_>>>()?;
            engine.set_parameters(&all.concat(), &network.initial_statistics().repeat(count));
            waves.locations.extend((0..count).map(|slot| [waves.engines.len(), slot]));
            waves.engines.push(engine);
        }
        Ok(waves)
    }

    /// What all waves allocate, nothing of which is done.
    pub(crate) fn estimate(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<MemoryEstimate> {
        let mut estimate = MemoryEstimate::default();
        for courses in Self::divide_into_groups(gpu, config, data, generators)? {
            let networks = courses.len();
            let draft = EngineLayout::new(gpu, EngineConfig::new(config, Some(data), courses))?;
            // The waves share the data set.
            let is_new = |name: &str| estimate.group_sizes.is_empty() || name != "data set";
            let bytes: Vec<_> = draft.bytes().into_iter().filter(|(name, _)| is_new(name)).collect();
            bytes.into_iter().for_each(|(name, bytes)| estimate.add(name, bytes));
            estimate.group_sizes.push(networks);
        }
        Ok(estimate)
    }

    /// The networks that train at once, wave by wave: as many as the device can hold, all but the last of one size.
    fn divide_into_groups(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<Vec<Vec<StepGenerator>>> {
        let mut at_once = generators.len().min(gpu.limits.max_compute_workgroups_per_dimension as usize).max(1);
        loop {
            let fits = |some: &[StepGenerator]| {
                EngineLayout::new(gpu, EngineConfig::new(config, Some(data), some.to_vec())).map(drop)
            };
            // The first is the largest, and the last alone is of another size.
            let (first, last) = (generators.chunks(at_once).next(), generators.chunks(at_once).next_back());
            match first.into_iter().chain(last).try_for_each(fits) {
                Ok(()) => return Ok(generators.chunks(at_once).map(<[StepGenerator]>::to_vec).collect()),
                Err(Error::DeviceLimit { .. }) if at_once > 1 => at_once = at_once.div_ceil(2),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate().filter(|(_, engine)| engine.active_slots() > 0) {
            let metrics = engine.run(first, first, steps).await?;
            let models = engine.member_count();
            for (member, [_, slot]) in self.locations.iter().enumerate().filter(|(_, [engine, _])| *engine == number) {
                if *slot >= engine.active_slots() {
                    continue;
                }
                for (step, of_all) in (first..).zip(metrics.chunks_exact(models)) {
                    let [loss, right] = of_all[*slot];
                    reports[member].push(loss, f64::from(right), engine.step_rows(*slot, step));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn stop(&mut self, member: usize) -> Result<()> {
        let [engine, slot] = self.locations[member];
        self.engines[engine].stop(slot).await?;
        let last = self.engines[engine].active_slots();
        for place in self.locations.iter_mut().filter(|place| **place == [engine, last]) {
            *place = [engine, slot];
        }
        self.locations[member] = [engine, last];
        Ok(())
    }

    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            let outputs = engine.predict(inputs).await?;
            let each = outputs.len() / engine.member_count();
            all.push(outputs.chunks_exact(each.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>());
        }
        Ok(self.locations.iter().map(|[engine, slot]| std::mem::take(&mut all[*engine][*slot])).collect())
    }

    /// What some networks are worth, each on its rows, judged on the device.
    pub(crate) async fn evaluate(
        &mut self,
        data: &Dataset,
        tests: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        let EvaluationSettings { network, loss, task } = settings;
        let mean_over = loss.mean_divisor(1, network.outputs());
        let mut all = vec![None; tests.len()];
        let mut uploaded = None;
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let here = || tests.iter().enumerate().filter(|(_, test)| self.locations[test.member][0] == number);
            let slot = |test: &EvaluationTask<'_>| self.locations[test.member][1];
            let Some(last) = here().map(|(_, test)| slot(test)).max() else { continue };
            // Where nobody is tested, a row is looked at if others have rows of their own.
            let has_subsets = here().any(|(_, test)| test.subset.subset.is_some());
            let mut rows = vec![has_subsets.then(|| SubsetParams::all_rows(1)); last + 1];
            here().for_each(|(_, test)| rows[slot(test)] = test.subset.subset);
            let scores = engine.evaluate_metrics(data, uploaded.take(), &rows, task == Task::MultiLabel).await?;
            uploaded = engine.evaluated_dataset();
            for (i, test) in here() {
                let answers = test.subset.target_stats.as_ref();
                all[i] = Some(Metrics::from_sums(&scores[slot(test)], mean_over, task, answers));
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        let [engine, slot] = self.locations[member];
        self.engines[engine].set_learning_rate(slot, learning_rate);
    }

    pub(crate) async fn take_snapshot(&mut self, members: &[usize]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let here = members.iter().map(|member| self.locations[*member]).filter(|[engine, _]| *engine == number);
            let mut slots: Vec<usize> = here.map(|[_, slot]| slot).collect();
            slots.sort_unstable();
            if !slots.is_empty() {
                engine.snapshot_slots(&slots).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn restore(&self, member: usize, with_gradients: bool) {
        let [engine, slot] = self.locations[member];
        self.engines[engine].restore_slot(slot, with_gradients);
    }

    pub(crate) async fn training_state(&self, member: usize) -> Result<TrainingState> {
        let [engine, slot] = self.locations[member];
        self.engines[engine].training_state(slot).await
    }

    pub(crate) fn plan(&self) -> Plan {
        self.engines[0].plan()
    }
}
