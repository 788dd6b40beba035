//! Networks on the CPU, spread over its cores: small ones in groups, one in each lane of the vector registers, others each
//! with an engine of its own.

use rayon::prelude::*;

use crate::{
    data::dataset::Dataset,
    engine::{
        config::TrainingConfig,
        cpu::{
            dataset_run::CpuDatasetRun,
            engine::Engine,
            group,
            group::{GroupConfig, LaneGroup, members::GroupMember},
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

/// The networks of a population, and where each of them is.
pub(crate) struct CpuPopulation {
    classes: Vec<MemberClass>,
    /// Where each network is.
    locations: Vec<MemberLocation>,
    /// What [`CpuPopulation::take_snapshot`] kept of each.
    snapshots: Vec<Option<TrainingState>>,
    data: Dataset,
    shuffle: bool,
    input_noise_std: f32,
    has_sample_weights: bool,
}

/// Networks whose steps take the same places of their epochs.
struct MemberClass {
    network: Network,
    /// If they stand in lanes.
    group_config: Option<GroupConfig>,
    groups: Vec<LaneGroup>,
    /// One of them, for predictions with the parameters of any.
    engine: Engine,
    generator: StepGenerator,
}

enum MemberLocation {
    Standalone(Box<StandaloneMember>),
    Lane { class: usize, group: usize, lane: usize },
    Stopped(Box<StoppedMember>),
}

/// A network that was stopped, and so has no lane.
struct StoppedMember {
    class: usize,
    state: TrainingState,
}

struct StandaloneMember {
    engine: Engine,
    generator: StepGenerator,
    is_training: bool,
}

/// What one core takes on at a time.
enum CpuTask<'a> {
    Group(&'a mut LaneGroup, &'a GroupConfig),
    Standalone(&'a mut StandaloneMember),
}

/// Adds a network to the last group, or to a new one if that is full: the group and the lane.
fn add_to_group(
    groups: &mut Vec<LaneGroup>,
    kind: &GroupConfig,
    member: GroupMember,
    state: &TrainingState,
) -> [usize; 2] {
    if groups.last().is_none_or(|group| group.members().len() == kind.lanes()) {
        groups.push(LaneGroup::new(kind));
    }
    let group = groups.len() - 1;
    let lane = groups[group].members().len();
    groups[group].push(kind, member, state);
    [group, lane]
}

/// An engine with the initial parameters of a network. The networks share the cores, so that one has a single thread.
fn build_engine(network: &Network, generator: &StepGenerator, has_sample_weights: bool) -> Result<Engine> {
    Engine::new(network, generator, has_sample_weights, network.initial_parameters(generator.seed)?, Some(1))
}

impl CpuPopulation {
    /// Networks with their initial parameters, each with the steps that its course decides.
    pub(crate) fn new(config: TrainingConfig<'_>, data: &Dataset, generators: Vec<StepGenerator>) -> Result<Self> {
        let TrainingConfig { shuffle, input_noise_std: noise, has_sample_weights: weighted, .. } = config;
        let mut classes = Self::classes(config, &generators)?;
        let mut table = None;
        let mut places: Vec<Option<MemberLocation>> = generators.iter().map(|_| None).collect();
        for (number, (class, all)) in classes.iter_mut().enumerate() {
            let worth = group::grouped_count(all.len(), rayon::current_num_threads());
            if worth > 0 {
                class.group_config =
                    GroupConfig::new(&class.network, &class.generator, data, weighted, (shuffle, noise), &mut table);
            }
            for (place, &member) in all.iter().enumerate() {
                let course = generators[member].clone();
                places[member] = Some(match class.group_config.as_ref().filter(|_| place < worth) {
                    None => {
                        let engine = build_engine(&class.network, &course, weighted)?;
                        MemberLocation::Standalone(Box::new(StandaloneMember {
                            engine,
                            generator: course,
                            is_training: true,
                        }))
                    }
                    Some(kind) => {
                        class.engine.set_parameters(&class.network.initial_parameters(course.seed)?, &[]);
                        let seat = GroupMember { member, generator: course, steps_since_reset: 0 };
                        let [group, lane] = add_to_group(&mut class.groups, kind, seat, &class.engine.training_state());
                        MemberLocation::Lane { class: number, group, lane }
                    }
                });
            }
        }
        let kept = generators.iter().map(|_| None).collect();
        let (classes, _): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let places = places.into_iter().flatten().collect();
        Ok(Self {
            classes,
            locations: places,
            snapshots: kept,
            data: data.clone(),
            shuffle,
            input_noise_std: noise,
            has_sample_weights: weighted,
        })
    }

    /// The classes of the networks, each with the numbers of its networks.
    fn classes(config: TrainingConfig<'_>, generators: &[StepGenerator]) -> Result<Vec<(MemberClass, Vec<usize>)>> {
        let mut classes: Vec<(MemberClass, Vec<usize>)> = Vec::new();
        for (number, course) in generators.iter().enumerate() {
            // What is dropped is told to a whole group.
            let of = |course: &StepGenerator| (course.rows, course.batch_size, course.dropout);
            let is_same = |class: &MemberClass| of(&class.generator) == of(course);
            match classes.iter_mut().find(|(class, _)| is_same(class)) {
                Some((_, all)) => all.push(number),
                None => {
                    let mut network = config.network.clone();
                    if let Some(dropout) = course.dropout {
                        network = network.with_dropout(dropout.p);
                    }
                    let engine = build_engine(&network, course, config.has_sample_weights)?;
                    if let Some(pinned) = config.plan {
                        engine.plan(&network, course.batch_size).check(pinned)?;
                    }
                    let (kind, groups, course) = (None, Vec::new(), course.clone());
                    classes.push((
                        MemberClass { network, group_config: kind, groups, engine, generator: course },
                        vec![number],
                    ));
                }
            }
        }
        Ok(classes)
    }

    /// About what [`CpuPopulation::new`] allocates: for each network what training changes, and room for the rows of a batch.
    pub(crate) fn estimate(config: TrainingConfig<'_>, generators: &[StepGenerator]) -> MemoryEstimate {
        let (network, optimizer) = (config.network, generators[0].optimizer);
        let neurons: usize = network.layers().iter().map(|layer| layer.outputs).sum();
        // Of each neuron the output, its slope and the delta.
        let row = network.inputs() + network.outputs() + 3 * neurons + usize::from(config.has_sample_weights);
        let rows: usize = generators.iter().map(|course| course.batch_size * row).sum();
        let floats = |count: usize| 4 * count as u64;
        let networks = generators.len() * (2 + optimizer.state_per_parameter()) * network.layout().len;
        let parts = vec![("networks", floats(networks)), ("rows of the batches", floats(rows))];
        MemoryEstimate { parts, group_sizes: vec![generators.len()] }
    }

    pub(crate) const fn data(&self) -> &Dataset {
        &self.data
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(crate) fn run(&mut self, first: u64, steps: usize, reports: &mut [RunReport]) {
        let Self {
            classes,
            locations: places,
            data,
            shuffle,
            input_noise_std: noise,
            has_sample_weights: weighted,
            ..
        } = self;
        let resident =
            CpuDatasetRun { data, shuffle: *shuffle, input_noise_std: *noise, has_sample_weights: *weighted };
        let last = first + steps as u64;
        let mut reports: Vec<Option<&mut RunReport>> = reports.iter_mut().map(Some).collect();
        let mut all: Vec<(CpuTask<'_>, Vec<&mut RunReport>)> = Vec::new();
        for MemberClass { group_config: kind, groups, .. } in classes {
            for (group, kind) in groups.iter_mut().zip(kind.iter().cycle()) {
                let theirs = group.members().iter().filter_map(|seat| reports[seat.member].take()).collect();
                all.push((CpuTask::Group(group, kind), theirs));
            }
        }
        for (place, report) in places.iter_mut().zip(reports) {
            if let (MemberLocation::Standalone(alone), Some(report)) = (place, report)
                && alone.is_training
            {
                all.push((CpuTask::Standalone(alone), vec![report]));
            }
        }
        all.into_par_iter().for_each(|(work, mut reports)| match work {
            CpuTask::Group(group, kind) => group.run(kind, first, steps as u64, &mut reports),
            CpuTask::Standalone(StandaloneMember { engine, generator: course, .. }) => {
                for report in reports {
                    resident.run(engine, course.clone(), first..last, first, report);
                }
            }
        });
    }

    /// Stops a network.
    pub(crate) fn stop(&mut self, member: usize) {
        if let MemberLocation::Standalone(alone) = &mut self.locations[member] {
            alone.is_training = false;
        } else if let Some((class, memory)) = self.remove_from_lane(member) {
            self.locations[member] = MemberLocation::Stopped(Box::new(StoppedMember { class, state: memory }));
        }
    }

    /// Takes a network out of its lane; none if it has none. The last one of its class takes the lane, so that all groups
    /// but the last stay full.
    fn remove_from_lane(&mut self, member: usize) -> Option<(usize, TrainingState)> {
        let MemberLocation::Lane { class, group, lane } = self.locations[member] else { return None };
        let MemberClass { group_config: kind, groups, .. } = &mut self.classes[class];
        let kind = kind.as_ref()?;
        let mut left = groups.last_mut()?.pop(kind)?;
        if groups.last()?.members().is_empty() {
            groups.pop();
        }
        if left.0.member != member {
            self.locations[left.0.member] = MemberLocation::Lane { class, group, lane };
            left = groups[group].replace(kind, lane, left);
        }
        Some((class, left.1))
    }

    /// The outputs of each network.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        (0..self.locations.len()).into_par_iter().map(|member| self.predict_member(member, inputs)).collect()
    }

    /// The outputs of one network.
    pub(crate) fn predict_member(&self, member: usize, inputs: &[f32]) -> Vec<f32> {
        let memory = self.training_state(member);
        match &self.locations[member] {
            MemberLocation::Standalone(alone) => alone.engine.predict(inputs),
            MemberLocation::Lane { class, .. } => self.classes[*class].engine.predict_with(&memory.parameters, inputs),
            MemberLocation::Stopped(left) => self.classes[left.class].engine.predict_with(&memory.parameters, inputs),
        }
    }

    /// Sets the optimizer's learning rate of one network, which has to be one, for the steps that follow.
    pub(crate) fn set_learning_rate(&mut self, member: usize, learning_rate: f64) {
        let course = match &mut self.locations[member] {
            MemberLocation::Standalone(alone) => &mut alone.generator,
            MemberLocation::Lane { class, group, lane } => {
                &mut self.classes[*class].groups[*group].member_mut(*lane).generator
            }
            MemberLocation::Stopped(_) => return,
        };
        course.optimizer.learning_rate = learning_rate;
    }

    /// Keeps the parameters and the optimizer's state that a network has now.
    pub(crate) fn take_snapshot(&mut self, member: usize) {
        self.snapshots[member] = Some(self.training_state(member));
    }

    /// Goes back to what was kept last of a network, if anything was.
    pub(crate) fn restore(&mut self, member: usize, with_gradients: bool) {
        let Some(mut memory) = self.snapshots[member].clone() else { return };
        if !with_gradients {
            memory.accumulated_gradients.iter_mut().for_each(|gradients| gradients.fill(0.0));
        }
        match &mut self.locations[member] {
            MemberLocation::Standalone(alone) => alone.engine.set_training_state(&memory),
            MemberLocation::Stopped(left) => left.state = memory,
            MemberLocation::Lane { class, group, lane } => {
                let MemberClass { group_config: kind, groups, .. } = &mut self.classes[*class];
                kind.iter().for_each(|kind| groups[*group].set_training_state(kind, *lane, &memory));
            }
        }
    }

    /// What some networks are worth, each on its rows.
    pub(crate) fn evaluate(
        &self,
        data: &Dataset,
        tests: &[EvaluationTask<'_>],
        settings: EvaluationSettings<'_>,
    ) -> Result<Vec<Metrics>> {
        let EvaluationSettings { network, loss, task } = settings;
        let judged = |test: &EvaluationTask<'_>| {
            let judge = HostEvaluator::new(loss, task, test.subset.host_rows.as_ref().unwrap_or(data), network);
            judge.evaluate_all(|inputs| self.predict_member(test.member, inputs))
        };
        tests.par_iter().map(judged).collect()
    }

    pub(crate) fn training_state(&self, member: usize) -> TrainingState {
        match &self.locations[member] {
            MemberLocation::Standalone(alone) => alone.engine.training_state(),
            MemberLocation::Stopped(left) => left.state.clone(),
            MemberLocation::Lane { class, group, lane } => {
                let MemberClass { group_config: kind, groups, engine, .. } = &self.classes[*class];
                kind.as_ref().map_or_else(|| engine.training_state(), |kind| groups[*group].training_state(kind, *lane))
            }
        }
    }

    /// How the first network is computed alone: in a lane it gets the same bits.
    pub(crate) fn plan(&self) -> Plan {
        let MemberClass { network, engine, generator: course, .. } = &self.classes[0];
        engine.plan(network, course.batch_size)
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
    fn each_network_is_set_kept_and_restored_by_itself() {
        let numbers = |count: usize| (0..count).map(|i| (i as f32 * 12.9898).sin()).collect::<Vec<_>>();
        let classes: Vec<u32> = (0..53).map(|row| row * 7 % 3).collect();
        let data = Dataset::new(53, numbers(53 * 5), classes).unwrap();
        let network = Network::new(5).dense(6, Activation::Tanh).dense(3, Activation::Identity);
        for (accumulate, count) in [(1, 37), (3, 37), (3, 2)] {
            // Nothing of it changes with the number of updates, which a trainer alone takes back and a population does not.
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
            let courses: Vec<StepGenerator> = (0..count).map(|seed| StepGenerator { seed, ..plain.clone() }).collect();
            let common = settings(0);
            let mut cores = CpuPopulation::new(common.training_config(&network, Some(&data)), &data, courses).unwrap();
            let mut alone: Vec<Trainer> = (0..count)
                .map(|seed| {
                    let settings = TrainerSettings { plan: Some(cores.plan()), ..settings(seed) };
                    Trainer::new(&Device::cpu(), &network, &data, settings).unwrap()
                })
                .collect();
            let run = |cores: &mut CpuPopulation, alone: &mut [Trainer], steps: [u64; 2], still: &[usize]| {
                let mut reports = vec![RunReport::new(true); alone.len()];
                cores.run(steps[0], steps[1] as usize, &mut reports);
                for (member, trainer) in alone.iter_mut().enumerate() {
                    if still.contains(&member) {
                        assert!(reports[member].losses.is_empty());
                    } else {
                        assert_eq!(reports[member], trainer.run(steps[1] as usize).unwrap(), "{member} of {count}");
                    }
                    let parameters = network.layers_from_flat(&cores.training_state(member).parameters, &[]);
                    assert_eq!(parameters, trainer.parameters().unwrap(), "{member} of {count}");
                }
            };
            run(&mut cores, &mut alone, [0, 6], &[]);
            cores.take_snapshot(1);
            alone[1].snapshot().unwrap();
            cores.stop(0);
            run(&mut cores, &mut alone, [6, 6], &[0]);
            cores.restore(1, true);
            alone[1].restore().unwrap();
            for member in [0, 1, alone.len() - 1] {
                cores.set_learning_rate(member, 0.05);
                alone[member].set_learning_rate(0.05).unwrap();
            }
            run(&mut cores, &mut alone, [12, 6], &[0]);
            cores.restore(1, true);
            alone[1].restore().unwrap();
            run(&mut cores, &mut alone, [18, 4], &[0]);
            let inputs = numbers(4 * 5);
            for (member, outputs) in cores.predict(&inputs).into_iter().enumerate() {
                assert_eq!(outputs, alone[member].predict(&inputs).unwrap());
            }
        }
    }
}
