//! A population on a GPU: one engine per group of members. A group has as many members as the bindings of the device
//! can hold.

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

/// A population on a GPU. Its engines run one after the other.
pub(crate) struct GpuPopulation {
    engines: Vec<Engine>,
    /// The engine and the slot of every member.
    locations: Vec<[usize; 2]>,
}

impl GpuPopulation {
    /// Creates the engines with the initial parameters of every member. The engines share one copy of the data set.
    pub(crate) async fn new(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<Self> {
        let mut population = Self { engines: Vec::new(), locations: Vec::new() };
        for group in Self::divide_into_groups(gpu, config, data, generators)? {
            let (network, count) = (config.network, group.len());
            let seeds: Vec<u64> = group.iter().map(|generator| generator.seed).collect();
            let device_dataset = population.engines.first().and_then(Engine::training_dataset);
            let config = EngineConfig { device_dataset, ..EngineConfig::new(config, Some(data), group) };
            let mut engine = Engine::new(gpu, config).await?;
            let parameters =
                seeds.into_iter().map(|seed| network.initial_parameters(seed)).collect::<Result<Vec<_>>>()?;
            engine.set_parameters(&parameters.concat(), &network.initial_statistics().repeat(count));
            population.locations.extend((0..count).map(|slot| [population.engines.len(), slot]));
            population.engines.push(engine);
        }
        Ok(population)
    }

    /// Returns an estimate of the memory that all groups allocate, without allocating it.
    pub(crate) fn estimate(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<MemoryEstimate> {
        let mut estimate = MemoryEstimate::default();
        for group in Self::divide_into_groups(gpu, config, data, generators)? {
            let members = group.len();
            let layout = EngineLayout::new(gpu, EngineConfig::new(config, Some(data), group))?;
            // The groups share one copy of the data set.
            let is_new = |name: &str| estimate.group_sizes.is_empty() || name != "data set";
            let bytes: Vec<_> = layout.bytes().into_iter().filter(|(name, _)| is_new(name)).collect();
            bytes.into_iter().for_each(|(name, bytes)| estimate.add(name, bytes));
            estimate.group_sizes.push(members);
        }
        Ok(estimate)
    }

    /// Divides the members into groups that train in the same dispatches.
    ///
    /// A group has as many members as the device can hold: the number is halved until a group fits. All groups but the
    /// last have the same size.
    fn divide_into_groups(
        gpu: &Gpu,
        config: TrainingConfig<'_>,
        data: &Dataset,
        generators: Vec<StepGenerator>,
    ) -> Result<Vec<Vec<StepGenerator>>> {
        let mut group_size = generators.len().min(gpu.limits.max_compute_workgroups_per_dimension as usize).max(1);
        loop {
            let fits = |group: &[StepGenerator]| {
                EngineLayout::new(gpu, EngineConfig::new(config, Some(data), group.to_vec())).map(drop)
            };
            // The first group is the largest, and only the last can have another size, so checking these two is enough.
            let (first, last) = (generators.chunks(group_size).next(), generators.chunks(group_size).next_back());
            match first.into_iter().chain(last).try_for_each(fits) {
                Ok(()) => return Ok(generators.chunks(group_size).map(<[StepGenerator]>::to_vec).collect()),
                Err(Error::DeviceLimit { .. }) if group_size > 1 => group_size = group_size.div_ceil(2),
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs the steps `first..first + steps` of all members in training.
    pub(crate) async fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) -> Result<()> {
        for (number, engine) in self.engines.iter_mut().enumerate().filter(|(_, engine)| engine.active_slots() > 0) {
            let metrics = engine.run(first, first, steps).await?;
            let member_count = engine.member_count();
            for (member, [_, slot]) in self.locations.iter().enumerate().filter(|(_, [engine, _])| *engine == number) {
                if *slot >= engine.active_slots() {
                    continue;
                }
                for (step, metrics) in (first..).zip(metrics.chunks_exact(member_count)) {
                    let [loss, correct] = metrics[*slot];
                    reports[member].push(loss, f64::from(correct), engine.step_rows(*slot, step));
                }
            }
        }
        Ok(())
    }

    /// Stops the training of a member. It swaps its slot with the last active member of its engine, because active
    /// members must be in the first slots.
    pub(crate) async fn stop(&mut self, member: usize) -> Result<()> {
        let [engine, slot] = self.locations[member];
        self.engines[engine].stop(slot).await?;
        let last = self.engines[engine].active_slots();
        for location in self.locations.iter_mut().filter(|location| **location == [engine, last]) {
            *location = [engine, slot];
        }
        self.locations[member] = [engine, last];
        Ok(())
    }

    /// Returns the outputs of each member.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            let outputs = engine.predict(inputs).await?;
            let outputs_per_member = outputs.len() / engine.member_count();
            all.push(outputs.chunks_exact(outputs_per_member.max(1)).map(<[f32]>::to_vec).collect::<Vec<_>>());
        }
        Ok(self.locations.iter().map(|[engine, slot]| std::mem::take(&mut all[*engine][*slot])).collect())
    }

    /// Evaluates some members on the device, each on its subset.
    pub(crate) async fn evaluate(
        &mut self,
        data: &Dataset,
        tasks: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        let EvaluationSettings { network, loss, task } = settings;
        let mean_divisor = loss.mean_divisor(1, network.outputs());
        let mut all = vec![None; tasks.len()];
        let mut uploaded = None;
        for (number, engine) in self.engines.iter_mut().enumerate() {
            let here = || tasks.iter().enumerate().filter(|(_, task)| self.locations[task.member][0] == number);
            let slot = |task: &EvaluationTask<'_>| self.locations[task.member][1];
            let Some(last) = here().map(|(_, task)| slot(task)).max() else { continue };
            // A slot without a task evaluates a single row if other slots of the dispatch have subsets.
            let has_subsets = here().any(|(_, task)| task.subset.subset.is_some());
            let mut rows = vec![has_subsets.then(|| SubsetParams::all_rows(1)); last + 1];
            here().for_each(|(_, task)| rows[slot(task)] = task.subset.subset);
            let sums = engine.evaluate_metrics(data, uploaded.take(), &rows, task == Task::MultiLabel).await?;
            uploaded = engine.evaluated_dataset();
            for (i, EvaluationTask { member, subset }) in here() {
                let sums = &sums[self.locations[*member][1]];
                all[i] = Some(Metrics::from_sums(sums, mean_divisor, task, subset.target_stats.as_ref()));
            }
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Sets the learning rate of a member.
    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        let [engine, slot] = self.locations[member];
        self.engines[engine].set_learning_rate(slot, learning_rate);
    }

    /// Takes a snapshot of each of the given members.
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

    /// Restores the last snapshot of a member.
    pub(crate) fn restore(&self, member: usize, with_gradients: bool) {
        let [engine, slot] = self.locations[member];
        self.engines[engine].restore_slot(slot, with_gradients);
    }

    /// Returns the training state of a member.
    pub(crate) async fn training_state(&self, member: usize) -> Result<TrainingState> {
        let [engine, slot] = self.locations[member];
        self.engines[engine].training_state(slot).await
    }

    /// Returns the plan of the first group.
    pub(crate) fn plan(&self) -> Plan {
        self.engines[0].plan()
    }
}
