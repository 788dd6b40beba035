//! A population on the CPU, distributed over the cores.
//!
//! Small networks train in lane groups: each member uses one SIMD lane. Every other member has a separate engine.

use rayon::prelude::*;

use crate::{
    data::dataset::Dataset,
    engine::{
        config::TrainingConfig,
        cpu::{
            dataset_run::CpuDatasetRun,
            engine::Engine,
            group::{
                config::{GroupConfig, grouped_count},
                lane_group::LaneGroup,
                member::GroupMember,
            },
        },
        population::{
            evaluation::{EvaluationSettings, EvaluationTask},
            memory_estimate::MemoryEstimate,
        },
        state::TrainingState,
        step::StepGenerator,
    },
    error::Result,
    metrics::{Metrics, row_metrics::HostEvaluator},
    nn::network::Network,
    plan::Plan,
    train::run_report::RunReport,
};

/// A population on the CPU.
pub(crate) struct CpuPopulation {
    classes: Vec<MemberClass>,
    /// The location of each member.
    locations: Vec<MemberLocation>,
    /// The last snapshot of each member, from [`CpuPopulation::take_snapshot`].
    snapshots: Vec<Option<TrainingState>>,
    data: Dataset,
    shuffle: bool,
    input_noise_std: f32,
    has_sample_weights: bool,
}

/// The members whose steps have the same positions in their epochs, and the same dropout.
struct MemberClass {
    network: Network,
    /// The configuration of the lane groups; `None` if the members cannot share a group.
    group_config: Option<GroupConfig>,
    groups: Vec<LaneGroup>,
    /// An engine for predictions with the parameters of any member in a lane.
    engine: Engine,
    /// The generator of the first member.
    generator: StepGenerator,
}

/// The location of a member.
enum MemberLocation {
    /// The member has a separate engine.
    Standalone(Box<StandaloneMember>),
    /// The member trains in a SIMD lane of a group.
    Lane { class: usize, group: usize, lane: usize },
    /// The member was in a lane until it stopped.
    Stopped(Box<StoppedMember>),
}

/// A member that was removed from its lane when it stopped.
struct StoppedMember {
    class: usize,
    state: TrainingState,
}

/// A member with a separate engine.
struct StandaloneMember {
    engine: Engine,
    generator: StepGenerator,
    is_training: bool,
}

/// A unit of work for one core.
enum CpuTask<'a> {
    Group(&'a mut LaneGroup, &'a GroupConfig),
    Standalone(&'a mut StandaloneMember),
}

/// Adds a member to the last group, or to a new group if that one is full. Returns the indices of the group and the
/// lane.
fn add_to_group(
    groups: &mut Vec<LaneGroup>,
    config: &GroupConfig,
    member: GroupMember,
    state: &TrainingState,
) -> [usize; 2] {
    if groups.last().is_none_or(|group| group.members().len() == config.lanes()) {
        groups.push(LaneGroup::new(config));
    }
    let group = groups.len() - 1;
    let lane = groups[group].members().len();
    groups[group].push(config, member, state);
    [group, lane]
}

/// Builds an engine with the initial parameters of a member. It has one thread, because the members share the cores.
fn build_engine(network: &Network, generator: &StepGenerator, has_sample_weights: bool) -> Result<Engine> {
    Engine::new(network, generator, has_sample_weights, network.initial_parameters(generator.seed)?, Some(1))
}

impl CpuPopulation {
    /// Creates a population with the initial parameters of every member. Each generator decides the steps of one
    /// member.
    pub(crate) fn new(config: TrainingConfig<'_>, data: &Dataset, generators: Vec<StepGenerator>) -> Result<Self> {
        let TrainingConfig { shuffle, input_noise_std, has_sample_weights, .. } = config;
        let dataset_run = CpuDatasetRun { data, shuffle, input_noise_std, has_sample_weights };
        let mut classes = Self::classes(config, &generators)?;
        let mut table = None;
        let mut locations: Vec<Option<MemberLocation>> = generators.iter().map(|_| None).collect();
        for (class_index, (class, members)) in classes.iter_mut().enumerate() {
            let grouped_count = grouped_count(members.len(), rayon::current_num_threads());
            if grouped_count > 0 {
                class.group_config = GroupConfig::new(&class.network, &class.generator, &dataset_run, &mut table);
            }
            for (position, &member) in members.iter().enumerate() {
                let generator = generators[member].clone();
                locations[member] = Some(match class.group_config.as_ref().filter(|_| position < grouped_count) {
                    None => {
                        let engine = build_engine(&class.network, &generator, has_sample_weights)?;
                        MemberLocation::Standalone(Box::new(StandaloneMember { engine, generator, is_training: true }))
                    }
                    Some(config) => {
                        class.engine.set_parameters(&class.network.initial_parameters(generator.seed)?, &[]);
                        let group_member = GroupMember { member, generator, steps_since_reset: 0 };
                        let [group, lane] =
                            add_to_group(&mut class.groups, config, group_member, &class.engine.training_state());
                        MemberLocation::Lane { class: class_index, group, lane }
                    }
                });
            }
        }
        let snapshots = generators.iter().map(|_| None).collect();
        let (classes, _): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let locations = locations.into_iter().flatten().collect();
        Ok(Self { classes, locations, snapshots, data: data.clone(), shuffle, input_noise_std, has_sample_weights })
    }

    /// Sorts the members into classes. Returns each class with the indices of its members.
    fn classes(config: TrainingConfig<'_>, generators: &[StepGenerator]) -> Result<Vec<(MemberClass, Vec<usize>)>> {
        let mut classes: Vec<(MemberClass, Vec<usize>)> = Vec::new();
        for (member, generator) in generators.iter().enumerate() {
            // A lane group has one dropout configuration for all of its members.
            let class_key = |generator: &StepGenerator| (generator.rows, generator.batch_size, generator.dropout);
            let is_same = |class: &MemberClass| class_key(&class.generator) == class_key(generator);
            match classes.iter_mut().find(|(class, _)| is_same(class)) {
                Some((_, members)) => members.push(member),
                None => {
                    let mut network = config.network.clone();
                    if let Some(dropout) = generator.dropout {
                        network = network.with_dropout(dropout.p);
                    }
                    let engine = build_engine(&network, generator, config.has_sample_weights)?;
                    if let Some(pinned) = config.plan {
                        engine.plan(&network, generator.batch_size).check(pinned)?;
                    }
                    let (groups, generator) = (Vec::new(), generator.clone());
                    classes
                        .push((MemberClass { network, group_config: None, groups, engine, generator }, vec![member]));
                }
            }
        }
        Ok(classes)
    }

    /// Returns an estimate of the memory that [`CpuPopulation::new`] allocates: for each member its training state and
    /// the rows of a batch.
    pub(crate) fn estimate(config: TrainingConfig<'_>, generators: &[StepGenerator]) -> MemoryEstimate {
        let (network, optimizer) = (config.network, generators[0].optimizer);
        let neurons: usize = network.layers().iter().map(|layer| layer.outputs).sum();
        // Each neuron stores its output, derivative and delta.
        let row_len = network.inputs() + network.outputs() + 3 * neurons + usize::from(config.has_sample_weights);
        let row_values: usize = generators.iter().map(|generator| generator.batch_size * row_len).sum();
        let floats = |count: usize| 4 * count as u64;
        let parameters = generators.len() * (2 + optimizer.state_per_parameter()) * network.layout().len;
        let parts = vec![("networks", floats(parameters)), ("rows of the batches", floats(row_values))];
        MemoryEstimate { parts, group_sizes: vec![generators.len()] }
    }

    /// Returns the training data set.
    pub(crate) const fn data(&self) -> &Dataset {
        &self.data
    }

    /// Runs the steps `first..first + steps` of all members in training, and adds their metrics to `reports`, one per
    /// member.
    pub(crate) fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) {
        let Self { classes, locations, data, shuffle, input_noise_std, has_sample_weights, .. } = self;
        let dataset_run = CpuDatasetRun {
            data,
            shuffle: *shuffle,
            input_noise_std: *input_noise_std,
            has_sample_weights: *has_sample_weights,
        };
        let last = first + steps as u64;
        let mut reports: Vec<Option<&mut RunReport>> = reports.iter_mut().map(Some).collect();
        let mut tasks: Vec<(CpuTask<'_>, Vec<&mut RunReport>)> = Vec::new();
        for MemberClass { group_config, groups, .. } in classes {
            for (group, config) in groups.iter_mut().zip(group_config.iter().cycle()) {
                let group_reports = group.members().iter().filter_map(|member| reports[member.member].take()).collect();
                tasks.push((CpuTask::Group(group, config), group_reports));
            }
        }
        for (location, report) in locations.iter_mut().zip(reports) {
            if let (MemberLocation::Standalone(standalone), Some(report)) = (location, report)
                && standalone.is_training
            {
                tasks.push((CpuTask::Standalone(standalone), vec![report]));
            }
        }
        tasks.into_par_iter().for_each(|(task, mut reports)| match task {
            CpuTask::Group(group, config) => group.run(config, first, steps as u64, &mut reports),
            CpuTask::Standalone(StandaloneMember { engine, generator, .. }) => {
                for report in reports {
                    dataset_run.run(engine, generator.clone(), first..last, first, report);
                }
            }
        });
    }

    /// Stops the training of a member.
    pub(crate) fn stop(&mut self, member: usize) {
        if let MemberLocation::Standalone(standalone) = &mut self.locations[member] {
            standalone.is_training = false;
        } else if let Some(stopped) = self.remove_from_lane(member) {
            self.locations[member] = MemberLocation::Stopped(Box::new(stopped));
        }
    }

    /// Removes a member from its lane and returns it, or returns `None` if it has no lane. The last member of the class
    /// moves into the lane, so that all groups but the last stay full.
    fn remove_from_lane(&mut self, member: usize) -> Option<StoppedMember> {
        let MemberLocation::Lane { class, group, lane } = self.locations[member] else { return None };
        let MemberClass { group_config, groups, .. } = &mut self.classes[class];
        let config = group_config.as_ref()?;
        let mut removed = groups.last_mut()?.pop(config)?;
        if groups.last()?.members().is_empty() {
            groups.pop();
        }
        if removed.member.member != member {
            self.locations[removed.member.member] = MemberLocation::Lane { class, group, lane };
            removed = groups[group].replace(config, lane, removed);
        }
        Some(StoppedMember { class, state: removed.state })
    }

    /// Returns the outputs of each member.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        (0..self.locations.len()).into_par_iter().map(|member| self.predict_member(member, inputs)).collect()
    }

    /// Returns the outputs of one member.
    pub(crate) fn predict_member(&self, member: usize, inputs: &[f32]) -> Vec<f32> {
        let state = self.training_state(member);
        match &self.locations[member] {
            MemberLocation::Standalone(standalone) => standalone.engine.predict(inputs),
            MemberLocation::Lane { class, .. } => self.classes[*class].engine.predict_with(&state.parameters, inputs),
            MemberLocation::Stopped(stopped) => {
                self.classes[stopped.class].engine.predict_with(&state.parameters, inputs)
            }
        }
    }

    /// Sets the learning rate of one member for all later steps. The learning rate must be valid.
    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        let generator = match &mut self.locations[member] {
            MemberLocation::Standalone(standalone) => &mut standalone.generator,
            MemberLocation::Lane { class, group, lane } => {
                &mut self.classes[*class].groups[*group].member_mut(*lane).generator
            }
            MemberLocation::Stopped(_) => return,
        };
        generator.optimizer.learning_rate = learning_rate;
    }

    /// Takes a snapshot of the training state of a member.
    pub(crate) fn take_snapshot(&mut self, member: usize) {
        self.snapshots[member] = Some(self.training_state(member));
    }

    /// Restores the last snapshot of a member if there is one. Without `with_gradients`, its accumulated gradients are
    /// cleared.
    pub(crate) fn restore(&mut self, member: usize, with_gradients: bool) {
        let Some(mut state) = self.snapshots[member].clone() else { return };
        if !with_gradients {
            state.accumulated_gradients.iter_mut().for_each(|gradients| gradients.fill(0.0));
        }
        match &mut self.locations[member] {
            MemberLocation::Standalone(standalone) => standalone.engine.set_training_state(&state),
            MemberLocation::Stopped(stopped) => stopped.state = state,
            MemberLocation::Lane { class, group, lane } => {
                let MemberClass { group_config, groups, .. } = &mut self.classes[*class];
                group_config.iter().for_each(|config| groups[*group].set_training_state(config, *lane, &state));
            }
        }
    }

    /// Evaluates some members, each on its subset.
    pub(crate) fn evaluate(
        &self,
        data: &Dataset,
        tasks: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        let EvaluationSettings { network, loss, .. } = settings;
        let evaluate = |task: &EvaluationTask<'_>| {
            let rows = task.subset.host_rows.as_ref().unwrap_or(data);
            let evaluator = HostEvaluator::new(loss, settings.task, rows, network);
            evaluator.evaluate_all(|inputs| self.predict_member(task.member, inputs))
        };
        tasks.par_iter().map(evaluate).collect()
    }

    /// Returns the training state of a member.
    pub(crate) fn training_state(&self, member: usize) -> TrainingState {
        match &self.locations[member] {
            MemberLocation::Standalone(standalone) => standalone.engine.training_state(),
            MemberLocation::Stopped(stopped) => stopped.state.clone(),
            MemberLocation::Lane { class, group, lane } => {
                let MemberClass { group_config, groups, engine, .. } = &self.classes[*class];
                let lane_state = |config| groups[*group].training_state(config, *lane);
                group_config.as_ref().map_or_else(|| engine.training_state(), lane_state)
            }
        }
    }

    /// Returns the plan of the first member as if it trained standalone. In a lane it computes the same bits.
    pub(crate) fn plan(&self) -> Plan {
        let MemberClass { network, engine, generator, .. } = &self.classes[0];
        engine.plan(network, generator.batch_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Device,
        nn::{activation::Activation, loss::Loss},
        optim::optimizer::Optimizer,
        train::{settings::TrainerSettings, trainer::Trainer},
    };

    #[test]
    fn members_snapshot_restore_and_set_rates_independently() {
        let pseudo_random = |count: usize| (0..count).map(|i| (i as f32 * 12.9898).sin()).collect::<Vec<_>>();
        let classes: Vec<u32> = (0..53).map(|row| row * 7 % 3).collect();
        let data = Dataset::new(53, pseudo_random(53 * 5), classes).unwrap();
        let network = Network::new(5).dense(6, Activation::Tanh).dense(3, Activation::Identity);
        for (accumulate, count) in [(1, 37), (3, 37), (3, 2)] {
            // Restoring resets the number of updates in a trainer but not in a population, so use settings that do not
            // depend on it.
            let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::momentum(0.05, 0.9));
            let settings = |seed| TrainerSettings {
                batch_size: 8,
                loss,
                optimizer,
                gradient_accumulation: accumulate,
                seed,
                ..TrainerSettings::default()
            };
            let plain = StepGenerator {
                outputs: 3,
                loss,
                optimizer,
                gradient_accumulation: accumulate as u64,
                ..StepGenerator::plain(53, 8)
            };
            let generators: Vec<StepGenerator> =
                (0..count).map(|seed| StepGenerator { seed, ..plain.clone() }).collect();
            let common = settings(0);
            let mut population =
                CpuPopulation::new(common.training_config(&network, Some(&data)), &data, generators).unwrap();
            let mut trainers: Vec<Trainer> = (0..count)
                .map(|seed| {
                    let settings = TrainerSettings { plan: Some(population.plan()), ..settings(seed) };
                    Trainer::new(&Device::cpu(), &network, &data, settings).unwrap()
                })
                .collect();
            let run = |population: &mut CpuPopulation, trainers: &mut [Trainer], steps: [u64; 2], stopped: &[usize]| {
                let mut reports = vec![RunReport::new(true); trainers.len()];
                population.run(steps[0], steps[1] as usize, &mut reports);
                for (member, trainer) in trainers.iter_mut().enumerate() {
                    if stopped.contains(&member) {
                        assert!(reports[member].losses.is_empty());
                    } else {
                        assert_eq!(
                            reports[member],
                            trainer.run(steps[1] as usize).unwrap(),
                            "member {member} of {count}"
                        );
                    }
                    let parameters = network.layers_from_flat(&population.training_state(member).parameters, &[]);
                    assert_eq!(parameters, trainer.parameters().unwrap(), "member {member} of {count}");
                }
            };
            run(&mut population, &mut trainers, [0, 6], &[]);
            population.take_snapshot(1);
            trainers[1].snapshot().unwrap();
            population.stop(0);
            run(&mut population, &mut trainers, [6, 6], &[0]);
            population.restore(1, true);
            trainers[1].restore().unwrap();
            for member in [0, 1, trainers.len() - 1] {
                population.set_learning_rate(member, 0.05);
                trainers[member].set_learning_rate(0.05).unwrap();
            }
            run(&mut population, &mut trainers, [12, 6], &[0]);
            population.restore(1, true);
            trainers[1].restore().unwrap();
            run(&mut population, &mut trainers, [18, 4], &[0]);
            let inputs = pseudo_random(4 * 5);
            for (member, outputs) in population.predict(&inputs).into_iter().enumerate() {
                assert_eq!(outputs, trainers[member].predict(&inputs).unwrap());
            }
        }
    }
}
