//! Runs of the CPU engine on a data set.

use std::{mem, ops::Range};

use crate::{
    data::{dataset::Dataset, features::Features, file_rows::FileRows, noise},
    engine::{
        cpu::engine::Engine,
        prefetch::{PrefetchedSteps, StepPrefetcher},
        step::{Step, StepGenerator},
    },
    train::run_report::RunReport,
};

/// So many values at most are read ahead of the steps that take them: 16 MiB of them, twice.
const MAX_PREFETCHED_VALUES: usize = 1 << 22;

/// The data set that a CPU engine learns from, and how it reads the rows.
#[derive(Clone, Copy)]
pub(crate) struct CpuDatasetRun<'a> {
    pub(crate) data: &'a Dataset,
    pub(crate) shuffle: bool,
    /// The standard deviation of the noise on the features.
    pub(crate) input_noise_std: f32,
    pub(crate) has_sample_weights: bool,
}

impl CpuDatasetRun<'_> {
    /// Takes steps of a course, after `before` updates.
    pub(crate) fn run(
        &self,
        engine: &mut Engine,
        generator: StepGenerator,
        steps: Range<u64>,
        steps_since_reset: u64,
        report: &mut RunReport,
    ) {
        let data = self.data;
        let mut upcoming = StepPrefetcher::new(generator, self.shuffle, steps, steps_since_reset);
        if let Features::File(file) = data.features_without_origin()
            && upcoming.max_rows() * data.inputs() <= MAX_PREFETCHED_VALUES
        {
            return rayon::scope(|_| self.run_from_file(file, engine, &mut upcoming, report));
        }
        let mut round = PrefetchedSteps::default();
        // A step of XOR feels it if each row looks for them.
        let features = data.features_without_origin();
        while prefetch_steps(engine, &mut upcoming, &mut round) {
            for (step, rows) in round.steps() {
                let read = |i: usize, inputs: &mut [f32]| features.write(rows[i] as usize, inputs);
                self.run_step(engine, (step, rows), read, report);
            }
        }
    }

    /// The same where reading a row takes a while: another thread reads the next round's meanwhile.
    fn run_from_file(
        &self,
        file: &FileRows,
        engine: &mut Engine,
        prefetcher: &mut StepPrefetcher,
        report: &mut RunReport,
    ) {
        let columns = file.columns();
        let (mut round, mut next) = (PrefetchedSteps::default(), PrefetchedSteps::default());
        let (mut here, mut coming) = (Vec::new(), Vec::new());
        let read = |round: &PrefetchedSteps, into: &mut Vec<f32>| {
            into.resize(round.rows().len() * columns, 0.0);
            file.write_all(round.rows().iter().map(|row| *row as usize).zip(into.chunks_exact_mut(columns)));
        };
        let mut has_next = prefetch_steps(engine, prefetcher, &mut next);
        read(&next, &mut coming);
        while has_next {
            mem::swap(&mut round, &mut next);
            mem::swap(&mut here, &mut coming);
            has_next = prefetch_steps(engine, prefetcher, &mut next);
            let train = || {
                let mut rest = here.as_slice();
                for (step, rows) in round.steps() {
                    let (features, behind) = rest.split_at(rows.len() * columns);
                    let copy = |i: usize, to: &mut [f32]| to.copy_from_slice(&features[i * columns..(i + 1) * columns]);
                    self.run_step(engine, (step, rows), copy, report);
                    rest = behind;
                }
            };
            rayon::join(train, || read(&next, &mut coming));
        }
    }

    /// A step on some rows, whose features are written by `features`, as they are in the data set.
    #[inline]
    fn run_step(
        &self,
        engine: &mut Engine,
        (step, rows): (&Step, &[u32]),
        features: impl Fn(usize, &mut [f32]) + Sync,
        report: &mut RunReport,
    ) {
        let Self { data, input_noise_std: noise, has_sample_weights: weighted, .. } = *self;
        let is_plain = !weighted && noise == 0.0 && data.scaler().is_none();
        let write = |i: usize, inputs: &mut [f32], expected: &mut [f32]| {
            features(i, inputs);
            data.write_target(rows[i] as usize, expected);
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
                    scaler.transform_without_origin(inputs);
                }
                if noise > 0.0 {
                    noise::add_noise(noise, step.shuffle_key, step.first_position + i as u32, inputs);
                }
                data.sample_weight(rows[i] as usize)
            })
        };
        report.push(outcome.loss, outcome.correct, step.rows);
    }
}

/// Draws the next steps, if there are any.
#[inline]
fn prefetch_steps(engine: &Engine, prefetcher: &mut StepPrefetcher, prefetched: &mut PrefetchedSteps) -> bool {
    let mut has_any = false;
    engine.run_vectorized(
        #[inline(always)]
        || has_any = prefetcher.prefetch(prefetched),
    );
    has_any
}
