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
            group::{Group, Kind, members::Seat},
        },
        population::{
            evaluation::{Judging, Test},
            memory_estimate::Estimate,
        },
        state::Memory,
        step::Course,
    },
    error::Result,
    metrics::{Metrics, row_metrics::Judge},
    nn::network::Network,
    plan::Plan,
    train::run_report::Report,
};

/// The networks of a population, and where each of them is.
pub(crate) struct Cores {
    classes: Vec<Class>,
    /// Where each network is.
    places: Vec<Place>,
    /// What [`Cores::keep`] kept of each.
    kept: Vec<Option<Memory>>,
    data: Dataset,
    shuffle: bool,
    noise: f32,
    weighted: bool,
}

/// Networks whose steps take the same places of their epochs.
struct Class {
    network: Network,
    /// If they stand in lanes.
    kind: Option<Kind>,
    groups: Vec<Group>,
    /// One of them, for predictions with the parameters of any.
    engine: Engine,
    course: Course,
}

enum Place {
    Alone(Box<Alone>),
    Lane { class: usize, group: usize, lane: usize },
    Left(Box<Left>),
}

/// A network that was stopped, and so has no lane.
struct Left {
    class: usize,
    memory: Memory,
}

struct Alone {
    engine: Engine,
    course: Course,
    is_training: bool,
}

/// What one core takes on at a time.
enum Work<'a> {
    Group(&'a mut Group, &'a Kind),
    Alone(&'a mut Alone),
}

/// Adds a network to the last group, or to a new one if that is full: the group and the lane.
fn add_to_group(groups: &mut Vec<Group>, kind: &Kind, seat: Seat, memory: &Memory) -> [usize; 2] {
    if groups.last().is_none_or(|group| group.seats().len() == kind.lanes()) {
        groups.push(Group::new(kind));
    }
    let group = groups.len() - 1;
    let lane = groups[group].seats().len();
    groups[group].push(kind, seat, memory);
    [group, lane]
}

/// An engine with the initial parameters of a network. The networks share the cores, so that one has a single thread.
fn engine_of(network: &Network, course: &Course, weighted: bool) -> Result<Engine> {
    Engine::new(network, course, weighted, network.initial(course.seed)?, Some(1))
}

impl Cores {
    /// Networks with their initial parameters, each with the steps that its course decides.
    pub(crate) fn new(config: TrainingConfig<'_>, data: &Dataset, courses: Vec<Course>) -> Result<Self> {
        let TrainingConfig { shuffle, noise, weighted, .. } = config;
        let mut classes = Self::classes(config, &courses)?;
        let mut table = None;
        let mut places: Vec<Option<Place>> = courses.iter().map(|_| None).collect();
        for (number, (class, all)) in classes.iter_mut().enumerate() {
            let worth = group::worth(all.len(), rayon::current_num_threads());
            if worth > 0 {
                class.kind = Kind::new(&class.network, &class.course, data, weighted, (shuffle, noise), &mut table);
            }
            for (place, &member) in all.iter().enumerate() {
                let course = courses[member].clone();
                places[member] = Some(match class.kind.as_ref().filter(|_| place < worth) {
                    None => {
                        let engine = engine_of(&class.network, &course, weighted)?;
                        Place::Alone(Box::new(Alone { engine, course, is_training: true }))
                    }
                    Some(kind) => {
                        class.engine.set_parameters(&class.network.initial(course.seed)?, &[]);
                        let seat = Seat { member, course, since: 0 };
                        let [group, lane] = add_to_group(&mut class.groups, kind, seat, &class.engine.memory());
                        Place::Lane { class: number, group, lane }
                    }
                });
            }
        }
        let kept = courses.iter().map(|_| None).collect();
        let (classes, _): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let places = places.into_iter().flatten().collect();
        Ok(Self { classes, places, kept, data: data.clone(), shuffle, noise, weighted })
    }

    /// The classes of the networks, each with the numbers of its networks.
    fn classes(config: TrainingConfig<'_>, courses: &[Course]) -> Result<Vec<(Class, Vec<usize>)>> {
        let mut classes: Vec<(Class, Vec<usize>)> = Vec::new();
        for (number, course) in courses.iter().enumerate() {
            // What is dropped is told to a whole group.
            let of = |course: &Course| (course.rows, course.batch, course.dropout);
            let is_same = |class: &Class| of(&class.course) == of(course);
            match classes.iter_mut().find(|(class, _)| is_same(class)) {
                Some((_, all)) => all.push(number),
                None => {
                    let mut network = config.network.clone();
                    if let Some(dropout) = course.dropout {
                        network = network.dropping(dropout.share);
                    }
                    let engine = engine_of(&network, course, config.weighted)?;
                    if let Some(pinned) = config.plan {
                        engine.plan(&network, course.batch).check(pinned)?;
                    }
                    let (kind, groups, course) = (None, Vec::new(), course.clone());
                    classes.push((Class { network, kind, groups, engine, course }, vec![number]));
                }
            }
        }
        Ok(classes)
    }

    /// About what [`Cores::new`] allocates: for each network what training changes, and room for the rows of a batch.
    pub(crate) fn estimate(config: TrainingConfig<'_>, courses: &[Course]) -> Estimate {
        let (network, optimizer) = (config.network, courses[0].optimizer);
        let neurons: usize = network.layers().iter().map(|layer| layer.outputs).sum();
        // Of each neuron the output, its slope and the delta.
        let row = network.inputs() + network.outputs() + 3 * neurons + usize::from(config.weighted);
        let rows: usize = courses.iter().map(|course| course.batch * row).sum();
        let floats = |count: usize| 4 * count as u64;
        let networks = courses.len() * (2 + optimizer.planes()) * network.layout().len;
        let parts = vec![("networks", floats(networks)), ("rows of the batches", floats(rows))];
        Estimate { parts, at_once: vec![courses.len()] }
    }

    pub(crate) const fn data(&self) -> &Dataset {
        &self.data
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(crate) fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) {
        let Self { classes, places, data, shuffle, noise, weighted, .. } = self;
        let resident = CpuDatasetRun { data, shuffle: *shuffle, noise: *noise, weighted: *weighted };
        let last = first + steps as u64;
        let mut reports: Vec<Option<&mut Report>> = reports.iter_mut().map(Some).collect();
        let mut all: Vec<(Work<'_>, Vec<&mut Report>)> = Vec::new();
        for Class { kind, groups, .. } in classes {
            for (group, kind) in groups.iter_mut().zip(kind.iter().cycle()) {
                let theirs = group.seats().iter().filter_map(|seat| reports[seat.member].take()).collect();
                all.push((Work::Group(group, kind), theirs));
            }
        }
        for (place, report) in places.iter_mut().zip(reports) {
            if let (Place::Alone(alone), Some(report)) = (place, report)
                && alone.is_training
            {
                all.push((Work::Alone(alone), vec![report]));
            }
        }
        all.into_par_iter().for_each(|(work, mut reports)| match work {
            Work::Group(group, kind) => group.run(kind, first, steps as u64, &mut reports),
            Work::Alone(Alone { engine, course, .. }) => {
                for report in reports {
                    resident.run(engine, course.clone(), first..last, first, report);
                }
            }
        });
    }

    /// Stops a network.
    pub(crate) fn stop(&mut self, member: usize) {
        if let Place::Alone(alone) = &mut self.places[member] {
            alone.is_training = false;
        } else if let Some((class, memory)) = self.leave(member) {
            self.places[member] = Place::Left(Box::new(Left { class, memory }));
        }
    }

    /// Takes a network out of its lane; none if it has none. The last one of its class takes the lane, so that all groups
    /// but the last stay full.
    fn leave(&mut self, member: usize) -> Option<(usize, Memory)> {
        let Place::Lane { class, group, lane } = self.places[member] else { return None };
        let Class { kind, groups, .. } = &mut self.classes[class];
        let kind = kind.as_ref()?;
        let mut left = groups.last_mut()?.pop(kind)?;
        if groups.last()?.seats().is_empty() {
            groups.pop();
        }
        if left.0.member != member {
            self.places[left.0.member] = Place::Lane { class, group, lane };
            left = groups[group].replace(kind, lane, left);
        }
        Some((class, left.1))
    }

    /// The outputs of each network.
    pub(crate) fn predict(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        (0..self.places.len()).into_par_iter().map(|member| self.predict_one(member, inputs)).collect()
    }

    /// The outputs of one network.
    pub(crate) fn predict_one(&self, member: usize, inputs: &[f32]) -> Vec<f32> {
        let memory = self.memory(member);
        match &self.places[member] {
            Place::Alone(alone) => alone.engine.predict(inputs),
            Place::Lane { class, .. } => self.classes[*class].engine.predict_of(&memory.parameters, inputs),
            Place::Left(left) => self.classes[left.class].engine.predict_of(&memory.parameters, inputs),
        }
    }

    /// Sets the optimizer's learning rate of one network, which has to be one, for the steps that follow.
    pub(crate) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        let course = match &mut self.places[member] {
            Place::Alone(alone) => &mut alone.course,
            Place::Lane { class, group, lane } => &mut self.classes[*class].groups[*group].seat_mut(*lane).course,
            Place::Left(_) => return,
        };
        course.optimizer.learning_rate = rate;
    }

    /// Keeps the parameters and the optimizer's state that a network has now.
    pub(crate) fn keep(&mut self, member: usize) {
        self.kept[member] = Some(self.memory(member));
    }

    /// Goes back to what was kept last of a network, if anything was.
    pub(crate) fn restore(&mut self, member: usize, with_gradients: bool) {
        let Some(mut memory) = self.kept[member].clone() else { return };
        if !with_gradients {
            memory.gradients.iter_mut().for_each(|gradients| gradients.fill(0.0));
        }
        match &mut self.places[member] {
            Place::Alone(alone) => alone.engine.set_memory(&memory),
            Place::Left(left) => left.memory = memory,
            Place::Lane { class, group, lane } => {
                let Class { kind, groups, .. } = &mut self.classes[*class];
                kind.iter().for_each(|kind| groups[*group].set_memory(kind, *lane, &memory));
            }
        }
    }

    /// What some networks are worth, each on its rows.
    pub(crate) fn evaluate(&self, data: &Dataset, tests: &[Test<'_>], judging: Judging<'_>) -> Result<Vec<Metrics>> {
        let Judging { network, loss, task } = judging;
        let judged = |test: &Test<'_>| {
            let judge = Judge::new(loss, task, test.part.alone.as_ref().unwrap_or(data), network);
            judge.all(|inputs| self.predict_one(test.member, inputs))
        };
        tests.par_iter().map(judged).collect()
    }

    pub(crate) fn memory(&self, member: usize) -> Memory {
        match &self.places[member] {
            Place::Alone(alone) => alone.engine.memory(),
            Place::Left(left) => left.memory.clone(),
            Place::Lane { class, group, lane } => {
                let Class { kind, groups, engine, .. } = &self.classes[*class];
                kind.as_ref().map_or_else(|| engine.memory(), |kind| groups[*group].memory(kind, *lane))
            }
        }
    }

    /// How the first network is computed alone: in a lane it gets the same bits.
    pub(crate) fn plan(&self) -> Plan {
        let Class { network, engine, course, .. } = &self.classes[0];
        engine.plan(network, course.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Device,
        nn::{activation::Activation, loss::Loss},
        optim::optimizer::Optimizer,
        train::{settings::Settings, trainer::Trainer},
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
            let settings = |seed| Settings { batch: 8, loss, optimizer, accumulate, seed, ..Settings::default() };
            let plain = Course { outputs: 3, loss, optimizer, accumulate: accumulate as u64, ..Course::plain(53, 8) };
            let courses: Vec<Course> = (0..count).map(|seed| Course { seed, ..plain.clone() }).collect();
            let common = settings(0);
            let mut cores = Cores::new(common.training_config(&network, Some(&data)), &data, courses).unwrap();
            let mut alone: Vec<Trainer> = (0..count)
                .map(|seed| {
                    let settings = Settings { plan: Some(cores.plan()), ..settings(seed) };
                    Trainer::new(&Device::cpu(), &network, &data, settings).unwrap()
                })
                .collect();
            let run = |cores: &mut Cores, alone: &mut [Trainer], steps: [u64; 2], still: &[usize]| {
                let mut reports = vec![Report::of(true); alone.len()];
                cores.run(steps[0], steps[1] as usize, &mut reports);
                for (member, trainer) in alone.iter_mut().enumerate() {
                    if still.contains(&member) {
                        assert!(reports[member].losses.is_empty());
                    } else {
                        assert_eq!(reports[member], trainer.run(steps[1] as usize).unwrap(), "{member} of {count}");
                    }
                    let parameters = network.layers_of(&cores.memory(member).parameters, &[]);
                    assert_eq!(parameters, trainer.parameters().unwrap(), "{member} of {count}");
                }
            };
            run(&mut cores, &mut alone, [0, 6], &[]);
            cores.keep(1);
            alone[1].keep().unwrap();
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
