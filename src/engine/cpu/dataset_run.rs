//! Runs of the CPU engine on a data set.

use std::{mem, ops::Range};

use crate::{
    data::{dataset::Dataset, features::Features, file_rows::FileRows, noise},
    engine::{
        cpu::engine::Engine,
        prefetch::{Round, Upcoming},
        step::{Course, Step},
    },
    train::run_report::Report,
};

/// So many values at most are read ahead of the steps that take them: 16 MiB of them, twice.
const READ_AHEAD: usize = 1 << 22;

/// The data set that a CPU engine learns from, and how it reads the rows.
#[derive(Clone, Copy)]
pub(crate) struct CpuDatasetRun<'a> {
    pub(crate) data: &'a Dataset,
    pub(crate) shuffle: bool,
    /// The standard deviation of the noise on the features.
    pub(crate) noise: f32,
    pub(crate) weighted: bool,
}

impl CpuDatasetRun<'_> {
    /// Takes steps of a course, after `before` updates.
    pub(crate) fn run(&self, engine: &mut Engine, course: Course, steps: Range<u64>, before: u64, report: &mut Report) {
        let data = self.data;
        let mut upcoming = Upcoming::new(course, self.shuffle, steps, before);
        if let Features::File(file) = data.rest()
            && upcoming.most() * data.inputs() <= READ_AHEAD
        {
            return rayon::scope(|_| self.run_from_a_file(file, engine, &mut upcoming, report));
        }
        let mut round = Round::default();
        // A step of XOR feels it if each row looks for them.
        let features = data.rest();
        while drawn(engine, &mut upcoming, &mut round) {
            for (step, rows) in round.steps() {
                let read = |i: usize, inputs: &mut [f32]| features.write(rows[i] as usize, inputs);
                self.step(engine, (step, rows), read, report);
            }
        }
    }

    /// The same where reading a row takes a while: another thread reads the next round's meanwhile.
    fn run_from_a_file(&self, file: &FileRows, engine: &mut Engine, upcoming: &mut Upcoming, report: &mut Report) {
        let columns = file.columns();
        let (mut round, mut next) = (Round::default(), Round::default());
        let (mut here, mut coming) = (Vec::new(), Vec::new());
        let read = |round: &Round, into: &mut Vec<f32>| {
            into.resize(round.rows().len() * columns, 0.0);
            file.write_all(round.rows().iter().map(|row| *row as usize).zip(into.chunks_exact_mut(columns)));
        };
        let mut has_next = drawn(engine, upcoming, &mut next);
        read(&next, &mut coming);
        while has_next {
            mem::swap(&mut round, &mut next);
            mem::swap(&mut here, &mut coming);
            has_next = drawn(engine, upcoming, &mut next);
            let train = || {
                let mut rest = here.as_slice();
                for (step, rows) in round.steps() {
                    let (features, behind) = rest.split_at(rows.len() * columns);
                    let copy = |i: usize, to: &mut [f32]| to.copy_from_slice(&features[i * columns..(i + 1) * columns]);
                    self.step(engine, (step, rows), copy, report);
                    rest = behind;
                }
            };
            rayon::join(train, || read(&next, &mut coming));
        }
    }

    /// A step on some rows, whose features are written by `features`, as they are in the data set.
    #[inline]
    fn step(
        &self,
        engine: &mut Engine,
        (step, rows): (&Step, &[u32]),
        features: impl Fn(usize, &mut [f32]) + Sync,
        report: &mut Report,
    ) {
        let Self { data, noise, weighted, .. } = *self;
        let is_plain = !weighted && noise == 0.0 && data.scaler().is_none();
        let write = |i: usize, inputs: &mut [f32], expected: &mut [f32]| {
            features(i, inputs);
            data.write_expected(rows[i] as usize, expected);
        };
        // A step of XOR feels it if each row asks whether there are weights, noise or scales.
        let outcome = if is_plain {
            engine.step(step, |i, inputs, expected| {
                write(i, inputs, expected);
                1.0
            })
        } else {
            engine.step(step, |i, inputs, expected| {
                write(i, inputs, expected);
                if let Some(scaler) = data.scaler() {
                    scaler.apply_to_rest(inputs);
                }
                if noise > 0.0 {
                    noise::add(noise, step.key, step.first + i as u32, inputs);
                }
                data.weight(rows[i] as usize)
            })
        };
        report.push(outcome.loss, outcome.right, step.rows);
    }
}

/// Draws the next steps, if there are any.
#[inline]
fn drawn(engine: &Engine, upcoming: &mut Upcoming, round: &mut Round) -> bool {
    let mut has_any = false;
    engine.in_vectors(
        #[inline(always)]
        || has_any = upcoming.draw(round),
    );
    has_any
}
