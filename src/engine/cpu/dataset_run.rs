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

/// The maximum number of values that one prefetch reads from a file: 16 MiB. Two prefetches are in memory at a time.
const MAX_PREFETCHED_VALUES: usize = 1 << 22;

/// The data set that a CPU engine trains on, and the settings of its rows.
#[derive(Clone, Copy)]
pub(crate) struct CpuDatasetRun<'a> {
    pub(crate) data: &'a Dataset,
    /// Whether each epoch visits the rows in a different order.
    pub(crate) shuffle: bool,
    /// The standard deviation of the noise on the features; 0 for none.
    pub(crate) input_noise_std: f32,
    pub(crate) has_sample_weights: bool,
}

impl CpuDatasetRun<'_> {
    /// Runs `steps` of a training run, and adds their metrics to `report`. `steps_since_reset` steps have run since the
    /// optimizer was reset.
    pub(crate) fn run(
        &self,
        engine: &mut Engine,
        generator: StepGenerator,
        steps: Range<u64>,
        steps_since_reset: u64,
        report: &mut RunReport,
    ) {
        let data = self.data;
        let mut prefetcher = StepPrefetcher::new(generator, self.shuffle, steps, steps_since_reset);
        if let Features::File(file) = data.features_without_origin()
            && prefetcher.max_rows() * data.inputs() <= MAX_PREFETCHED_VALUES
        {
            return rayon::scope(|_| self.run_from_file(file, engine, &mut prefetcher, report));
        }
        let mut prefetched = PrefetchedSteps::default();
        // Call this once: a call per row would slow down small steps such as XOR measurably.
        let features = data.features_without_origin();
        while prefetch_steps(engine, &mut prefetcher, &mut prefetched) {
            for (step, rows) in prefetched.steps() {
                let read = |i: usize, inputs: &mut [f32]| features.write(rows[i] as usize, inputs);
                self.run_step(engine, (step, rows), read, report);
            }
        }
    }

    /// Runs all steps of `prefetcher` on a file. While the engine trains, another thread reads the rows of the next
    /// prefetch, because reading takes time.
    fn run_from_file(
        &self,
        file: &FileRows,
        engine: &mut Engine,
        prefetcher: &mut StepPrefetcher,
        report: &mut RunReport,
    ) {
        let columns = file.columns();
        let (mut current, mut next) = (PrefetchedSteps::default(), PrefetchedSteps::default());
        let (mut current_features, mut next_features) = (Vec::new(), Vec::new());
        let read = |prefetched: &PrefetchedSteps, into: &mut Vec<f32>| {
            into.resize(prefetched.rows().len() * columns, 0.0);
            file.write_all(prefetched.rows().iter().map(|row| *row as usize).zip(into.chunks_exact_mut(columns)));
        };
        let mut has_next = prefetch_steps(engine, prefetcher, &mut next);
        read(&next, &mut next_features);
        while has_next {
            mem::swap(&mut current, &mut next);
            mem::swap(&mut current_features, &mut next_features);
            has_next = prefetch_steps(engine, prefetcher, &mut next);
            let train = || {
                let mut rest = current_features.as_slice();
                for (step, rows) in current.steps() {
                    let (features, after) = rest.split_at(rows.len() * columns);
                    let copy = |i: usize, to: &mut [f32]| to.copy_from_slice(&features[i * columns..(i + 1) * columns]);
                    self.run_step(engine, (step, rows), copy, report);
                    rest = after;
                }
            };
            rayon::join(train, || read(&next, &mut next_features));
        }
    }

    /// Runs a step on the given rows. `write_features` writes the unscaled features of a row, given its index in the
    /// batch.
    #[inline]
    fn run_step(
        &self,
        engine: &mut Engine,
        (step, rows): (&Step, &[u32]),
        write_features: impl Fn(usize, &mut [f32]) + Sync,
        report: &mut RunReport,
    ) {
        let Self { data, input_noise_std, has_sample_weights, .. } = *self;
        let is_plain = !has_sample_weights && input_noise_std == 0.0 && data.scaler().is_none();
        let write = |i: usize, inputs: &mut [f32], targets: &mut [f32]| {
            write_features(i, inputs);
            data.write_target(rows[i] as usize, targets);
        };
        // Checking for sample weights, noise and a scaler in every row would slow down small steps such as XOR
        // measurably.
        let metrics = if is_plain {
            engine.step(step, |i, inputs, targets| {
                write(i, inputs, targets);
                1.0
            })
        } else {
            engine.step(step, |i, inputs, targets| {
                write(i, inputs, targets);
                if let Some(scaler) = data.scaler() {
                    scaler.transform_without_origin(inputs);
                }
                if input_noise_std > 0.0 {
                    noise::add_noise(input_noise_std, step.shuffle_key, step.first_position + i as u32, inputs);
                }
                data.sample_weight(rows[i] as usize)
            })
        };
        report.push(metrics.loss, metrics.correct, step.rows);
    }
}

/// Prefetches the next steps, and returns whether there were any left.
#[inline]
fn prefetch_steps(engine: &Engine, prefetcher: &mut StepPrefetcher, prefetched: &mut PrefetchedSteps) -> bool {
    let mut has_any = false;
    engine.run_vectorized(
        #[inline(always)]
        || has_any = prefetcher.prefetch(prefetched),
    );
    has_any
}
