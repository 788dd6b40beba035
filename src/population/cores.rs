//! Networks on the CPU, spread over its cores.

use rayon::prelude::*;

use super::{
    Course, Estimate, Member,
    tested::{Judging, Test},
    workers::is_weighted,
};
use crate::{
    Dataset, Metrics, Network, Plan, Report, Result, cpu::engine::Engine, judge::Judge, memory::Memory,
    trainer::Resident,
};

/// Networks on the CPU, each with an engine of its own.
pub(super) struct Cores {
    all: Vec<One>,
    data: Dataset,
    shuffle: bool,
    noise: f32,
    weighted: bool,
}

struct One {
    engine: Engine,
    course: Course,
    is_training: bool,
}

impl Cores {
    pub(super) fn new(network: &Network, data: &Dataset, members: &[Member], courses: Vec<Course>) -> Result<Self> {
        let weighted = is_weighted(data, members);
        let one = |(course, member): (Course, &Member)| {
            let network = &member.network(network);
            let first = network.initial(member.settings.seed)?;
            // The networks share the cores; one alone has no more than its own.
            let engine = Engine::new(network, &course, weighted, first, Some(1));
            if let Some(pinned) = &member.settings.plan {
                engine.plan(network, course.batch).check(pinned)?;
            }
            Ok(One { engine, course, is_training: true })
        };
        let all = courses.into_iter().zip(members).map(one).collect::<Result<_>>()?;
        let settings = &members[0].settings;
        let (shuffle, noise) = (settings.shuffle, settings.input_noise as f32);
        Ok(Self { all, data: data.clone(), shuffle, noise, weighted })
    }

    /// About what [`Cores::new`] allocates: for each network what training changes, and room for the rows of a batch.
    pub(super) fn estimate(network: &Network, data: &Dataset, members: &[Member], courses: &[Course]) -> Estimate {
        let (layout, optimizer) = (network.layout(), members[0].settings.optimizer);
        let neurons: usize = network.layers().iter().map(|layer| layer.outputs).sum();
        // Of each neuron the output, its slope and the delta.
        let row = network.inputs() + network.outputs() + 3 * neurons + usize::from(is_weighted(data, members));
        let rows: usize = courses.iter().map(|course| course.batch * row).sum();
        let floats = |count: usize| 4 * count as u64;
        let networks = members.len() * (2 + optimizer.planes()) * layout.len;
        let parts = vec![("networks", floats(networks)), ("rows of the batches", floats(rows))];
        Estimate { parts, at_once: vec![members.len()] }
    }

    /// Takes the steps `first` to `first + steps` with all networks in training.
    pub(super) fn run(&mut self, first: u64, steps: usize, reports: &mut [Report]) {
        let Self { all, data, shuffle, noise, weighted } = self;
        let resident = Resident { data, shuffle: *shuffle, noise: *noise, weighted: *weighted };
        all.par_iter_mut().zip(reports).filter(|(one, _)| one.is_training).for_each(|(one, report)| {
            resident.run(&mut one.engine, one.course.clone(), first..first + steps as u64, first, report);
        });
    }

    pub(super) fn stop(&mut self, member: usize) {
        self.all[member].is_training = false;
    }

    /// The outputs of each network.
    pub(super) fn predict(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        self.all.par_iter().map(|one| one.engine.predict(inputs)).collect()
    }

    /// What some networks are worth, each on its rows.
    pub(super) fn evaluate(&self, data: &Dataset, tests: &[Test<'_>], judging: Judging<'_>) -> Result<Vec<Metrics>> {
        let Judging { network, loss, classifies } = judging;
        let judged = |test: &Test<'_>| {
            let judge = Judge::new(loss, classifies, test.part.alone.as_ref().unwrap_or(data), network);
            judge.all(|inputs| self.predict_one(test.member, inputs))
        };
        tests.par_iter().map(judged).collect()
    }

    fn predict_one(&self, member: usize, inputs: &[f32]) -> Vec<f32> {
        self.all[member].engine.predict(inputs)
    }

    pub(super) fn set_learning_rate(&mut self, member: usize, rate: f64) {
        self.all[member].course.optimizer.learning_rate = rate;
    }

    pub(super) fn keep(&mut self, member: usize) {
        self.all[member].engine.keep();
    }

    pub(super) fn restore(&mut self, member: usize) {
        self.all[member].engine.restore();
    }

    pub(super) fn memory(&self, member: usize) -> Memory {
        self.all[member].engine.memory()
    }

    pub(super) fn plan(&self, network: &Network) -> Plan {
        self.all[0].engine.plan(network, self.all[0].course.batch)
    }
}
