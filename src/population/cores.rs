//! Networks on the CPU, spread over its cores: small ones in groups, one in each lane of the vector registers, others each
//! with an engine of its own.

use rayon::prelude::*;

use super::{Course, Member, workers::is_weighted};
use crate::{
    Dataset, Network, Plan, Report, Result,
    cpu::{
        engine::Engine,
        group::{Group, Kind, Seat},
    },
    memory::Memory,
    trainer::Resident,
};

/// Fewer networks than this of a kind are better off alone (measured on a Zen 5).
const LEAST: usize = 3;

pub(super) struct Cores {
    classes: Vec<Class>,
    /// Where each network is.
    places: Vec<Place>,
    /// What [`Cores::keep`] kept of each.
    kept: Vec<Option<Kept>>,
    data: Dataset,
    shuffle: bool,
    noise: f32,
    weighted: bool,
}

/// Networks whose steps take the same places of their epochs.
struct Class {
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
    course: Course,
    since: u64,
    memory: Memory,
}

struct Alone {
    engine: Engine,
    course: Course,
    since: u64,
    is_training: bool,
}

/// A network as it was, and how many steps it had taken since its optimizer started.
struct Kept {
    since: u64,
    memory: Memory,
}

/// What one core takes on at a time.
enum Work<'a> {
    Group(&'a mut Group, &'a Kind),
    Alone(&'a mut Alone),
}

impl Cores {
    pub(super) fn new(network: &Network, data: &Dataset, members: &[Member], courses: Vec<Course>) -> Result<Self> {
        let (weighted, settings) = (is_weighted(data, members), &members[0].settings);
        let (shuffle, noise) = (settings.shuffle, settings.input_noise as f32);
        // The networks share the cores; one alone has no more than its own.
        let engine = |course: &Course, first| Engine::new(network, course, weighted, first, Some(1));
        let mut classes: Vec<(Class, Vec<usize>)> = Vec::new();
        for (number, course) in courses.iter().enumerate() {
            let is_same = |class: &Class| (class.course.rows, class.course.batch) == (course.rows, course.batch);
            match classes.iter_mut().find(|(class, _)| is_same(class)) {
                Some((_, all)) => all.push(number),
                None => {
                    let engine = engine(course, network.initial(course.seed)?);
                    if let Some(pinned) = &settings.plan {
                        engine.plan(network, course.batch).check(pinned)?;
                    }
                    let (kind, groups, course) = (None, Vec::new(), course.clone());
                    classes.push((Class { kind, groups, engine, course }, vec![number]));
                }
            }
        }
        let mut places: Vec<Option<Place>> = courses.iter().map(|_| None).collect();
        for (number, (class, all)) in classes.iter_mut().enumerate() {
            if all.len() >= LEAST {
                class.kind = Kind::new(network, &class.course, data, weighted, (shuffle, noise));
            }
            for &member in &*all {
                let course = courses[member].clone();
                let first = network.initial(course.seed)?;
                places[member] = Some(match &class.kind {
                    None => {
                        let engine = engine(&course, first);
                        Place::Alone(Box::new(Alone { engine, course, since: 0, is_training: true }))
                    }
                    Some(kind) => {
                        if class.groups.last().is_none_or(|group| group.seats().len() == kind.lanes()) {
                            class.groups.push(Group::new(kind));
                        }
                        let group = class.groups.len() - 1;
                        let lane = class.groups[group].seats().len();
                        class.engine.set_parameters(&first, &[]);
                        let memory = class.engine.memory();
                        class.groups[group].push(kind, Seat { member, course, since: 0 }, &memory);
                        Place::Lane { class: number, group, lane }
                    }
                });
            }
        }
        let kept = members.iter().map(|_| None).collect();
        let (classes, _): (Vec<_>, Vec<_>) = classes.into_iter().unzip();
        let places = places.into_iter().flatten().collect();
        Ok(Self { classes, places, kept, data: data.clone(), shuffle, noise, weighted })
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(super) fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) {
        let Self { classes, places, data, shuffle, noise, weighted, .. } = self;
        let resident = Resident { data, shuffle: *shuffle, noise: *noise, weighted: *weighted };
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
            Work::Alone(Alone { engine, course, since, .. }) => {
                for report in reports {
                    resident.run(engine, course.clone(), first..last, *since, report);
                }
                *since += steps as u64;
            }
        });
    }

    /// Stops a network.
    pub(super) fn stop(&mut self, member: usize) {
        if let Place::Alone(alone) = &mut self.places[member] {
            alone.is_training = false;
        } else if let Some((class, Seat { course, since, .. }, memory)) = self.leave(member) {
            self.places[member] = Place::Left(Box::new(Left { class, course, since, memory }));
        }
    }

    /// Takes a network out of its lane; none if it has none. The last one of its class takes the lane, so that all groups
    /// but the last stay full.
    fn leave(&mut self, member: usize) -> Option<(usize, Seat, Memory)> {
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
        Some((class, left.0, left.1))
    }

    /// The outputs of each network.
    pub(super) fn predict(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        (0..self.places.len()).into_par_iter().map(|member| self.predict_one(member, inputs)).collect()
    }

    /// The outputs of one network.
    pub(super) fn predict_one(&self, member: usize, inputs: &[f32]) -> Vec<f32> {
        let memory = self.memory(member);
        match &self.places[member] {
            Place::Alone(alone) => alone.engine.predict(inputs),
            Place::Lane { class, .. } => self.classes[*class].engine.predict_of(&memory.parameters, inputs),
            Place::Left(left) => self.classes[left.class].engine.predict_of(&memory.parameters, inputs),
        }
    }

    /// Sets the optimizer's learning rate of one network, which has to be one, for the steps that follow.
    pub(super) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        let course = match &mut self.places[member] {
            Place::Alone(alone) => &mut alone.course,
            Place::Lane { class, group, lane } => &mut self.classes[*class].groups[*group].seat_mut(*lane).course,
            Place::Left(left) => &mut left.course,
        };
        course.optimizer.learning_rate = rate;
    }

    /// Keeps the parameters and the optimizer's state that a network has now.
    pub(super) fn keep(&mut self, member: usize) {
        self.kept[member] = Some(Kept { since: self.since(member), memory: self.memory(member) });
    }

    /// Goes back to what was kept last of a network, if anything was.
    pub(super) fn restore(&mut self, member: usize) {
        let Some(Kept { since, memory }) = &self.kept[member] else { return };
        match &mut self.places[member] {
            Place::Alone(alone) => {
                alone.engine.set_memory(memory);
                alone.since = *since;
            }
            Place::Lane { class, group, lane } => {
                let Class { kind: Some(kind), groups, .. } = &mut self.classes[*class] else { return };
                groups[*group].set_memory(kind, *lane, memory);
                groups[*group].seat_mut(*lane).since = *since;
            }
            Place::Left(left) => (left.since, left.memory) = (*since, memory.clone()),
        }
    }

    pub(super) fn memory(&self, member: usize) -> Memory {
        match &self.places[member] {
            Place::Alone(alone) => alone.engine.memory(),
            Place::Left(left) => left.memory.clone(),
            Place::Lane { class, group, lane } => {
                let Class { kind, groups, engine, .. } = &self.classes[*class];
                kind.as_ref().map_or_else(|| engine.memory(), |kind| groups[*group].memory(kind, *lane))
            }
        }
    }

    fn since(&self, member: usize) -> u64 {
        match &self.places[member] {
            Place::Alone(alone) => alone.since,
            Place::Lane { class, group, lane } => self.classes[*class].groups[*group].seats()[*lane].since,
            Place::Left(left) => left.since,
        }
    }

    /// How the first network is computed alone: in a lane it gets the same bits.
    pub(super) fn plan(&self, network: &Network) -> Plan {
        let Class { engine, course, .. } = &self.classes[0];
        engine.plan(network, course.batch)
    }
}
