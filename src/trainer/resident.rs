//! Steps of the CPU engine on a data set.

use std::ops::Range;

use crate::{Dataset, Report, cpu, step::Course, upcoming::Upcoming};

/// On what a CPU engine takes its steps, and how.
#[derive(Clone, Copy)]
pub(crate) struct Resident<'a> {
    pub(crate) data: &'a Dataset,
    pub(crate) shuffle: bool,
    /// The standard deviation of the noise on the features.
    pub(crate) noise: f32,
    pub(crate) weighted: bool,
}

impl Resident<'_> {
    /// Takes steps of a course, after `before` updates.
    pub(crate) fn run(
        &self,
        engine: &mut cpu::engine::Engine,
        course: Course,
        steps: Range<u64>,
        before: u64,
        report: &mut Report,
    ) {
        let Self { data, shuffle, noise, weighted } = *self;
        let is_plain = !weighted && noise == 0.0 && data.scaler().is_none();
        let mut upcoming = Upcoming::new(course, shuffle, steps.clone(), before);
        for _ in steps {
            if upcoming.is_empty() {
                engine.in_vectors(
                    #[inline(always)]
                    || upcoming.draw(),
                );
            }
            let Some((step, rows)) = upcoming.next() else { return };
            let write = |i: usize, inputs: &mut [f32], expected: &mut [f32]| {
                data.write_raw_features(rows[i] as usize, inputs);
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
                        scaler.apply_to_row(inputs);
                    }
                    if noise > 0.0 {
                        cpu::noise::add(noise, step.key, step.first + i as u32, inputs);
                    }
                    data.weight(rows[i] as usize)
                })
            };
            report.push(outcome.loss, outcome.right, step.rows);
        }
    }
}
