//! A prefetcher of steps and their rows, for engines that train on the host or upload rows from there.

use std::ops::Range;

use crate::{
    data::permutation::{grid_width, permute_lanes},
    engine::step::{Step, StepGenerator},
};

/// The number of rows permuted together: two vector registers of AVX-512, because each round of the permutation depends
/// on the previous one.
const LANES: usize = 32;

/// The number of rows to prefetch at once, unless one batch is larger. It is large enough to fill the lanes even if
/// batches are small.
const PREFETCHED_ROWS: usize = 512;

/// A prefetcher of the steps of a run.
///
/// It computes [`crate::data::permutation::Permutation::row`] for many positions and epochs at a time, so that the
/// compiler can keep them in vectors.
pub(crate) struct StepPrefetcher {
    generator: StepGenerator,
    shuffle: bool,
    width: u32,
    height: u32,
    /// The steps that are not prefetched yet.
    remaining: Range<u64>,
    /// The number to add to a step number to get its `steps_since_reset`, modulo 2^64.
    update_offset: u64,
    /// The last prefetched step.
    last_step: Option<Step>,
}

/// Steps that were prefetched together, with the rows of each.
#[derive(Default)]
pub(crate) struct PrefetchedSteps {
    steps: Vec<Step>,
    rows: Vec<u32>,
}

impl PrefetchedSteps {
    /// Returns the rows of all steps, one after the other.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Iterates over the steps, with the rows of each.
    #[inline]
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Step, &[u32])> {
        let mut rest = self.rows.as_slice();
        self.steps.iter().map(move |step| {
            let (rows, after) = rest.split_at(step.rows as usize);
            rest = after;
            (step, rows)
        })
    }
}

/// Points of the permutation grids of some epochs, one per lane. A point outside of the data set is permuted again
/// until it is a row.
struct GridPoints {
    x: [u32; LANES],
    y: [u32; LANES],
    key: [[u32; LANES]; 2],
    /// The index of the point's row among the prefetched rows.
    destination: [u32; LANES],
}

impl StepPrefetcher {
    /// Creates a prefetcher of `steps`. Without `shuffle`, the rows keep the order of the data set.
    pub(crate) fn new(generator: StepGenerator, shuffle: bool, steps: Range<u64>, steps_since_reset: u64) -> Self {
        let update_offset = steps_since_reset.wrapping_sub(steps.start);
        let rows = generator.rows as u32;
        let width = grid_width(rows);
        Self {
            generator,
            shuffle,
            width,
            height: rows.div_ceil(width),
            remaining: steps,
            update_offset,
            last_step: None,
        }
    }

    /// Returns the maximum number of rows that one call of [`StepPrefetcher::prefetch`] returns.
    pub(crate) fn max_rows(&self) -> usize {
        PREFETCHED_ROWS.max(self.generator.batch_size)
    }

    /// Prefetches the next steps into the given buffer, and returns whether there were any left.
    #[inline(always)]
    pub(crate) fn prefetch(&mut self, PrefetchedSteps { steps, rows }: &mut PrefetchedSteps) -> bool {
        let count = ((PREFETCHED_ROWS / self.generator.batch_size).max(1) as u64)
            .min(self.remaining.end - self.remaining.start);
        steps.clear();
        for n in self.remaining.start..self.remaining.start + count {
            let steps_since_reset = n.wrapping_add(self.update_offset);
            self.last_step = match &self.last_step {
                Some(last) => Some(self.generator.next_step(last, n, steps_since_reset)),
                None => Some(self.generator.step(n, steps_since_reset)),
            };
            steps.extend(self.last_step);
        }
        self.remaining.start += count;
        rows.clear();
        if self.shuffle {
            rows.resize(steps.iter().map(|step| step.rows as usize).sum(), 0);
            self.shuffle_rows(steps, rows);
        } else {
            rows.extend(steps.iter().flat_map(|step| step.first_position..step.first_position + step.rows));
        }
        if let Some(subset) = &self.generator.subset {
            rows.iter_mut().for_each(|row| *row = subset.row(*row));
        }
        count > 0
    }

    #[inline(always)]
    fn shuffle_rows(&self, steps: &[Step], rows: &mut [u32]) {
        let mut lanes = GridPoints { x: [0; LANES], y: [0; LANES], key: [[0; LANES]; 2], destination: [0; LANES] };
        let (mut used, mut destination, grid_size) = (0, 0, [self.width, self.height]);
        for step in steps {
            let (mut x, mut y) = (step.first_position % self.width, step.first_position / self.width);
            for _ in 0..step.rows {
                (lanes.x[used], lanes.y[used], lanes.destination[used]) = (x, y, destination);
                (lanes.key[0][used], lanes.key[1][used]) = (step.shuffle_key[0], step.shuffle_key[1]);
                (x, y) = if x + 1 == self.width { (0, y + 1) } else { (x + 1, y) };
                destination += 1;
                used += 1;
                while used == LANES {
                    used = lanes.permute(self.generator.rows as u32, grid_size, used, rows);
                }
            }
        }
        while used > 0 {
            used = lanes.permute(self.generator.rows as u32, grid_size, used, rows);
        }
    }
}

impl GridPoints {
    /// Permutes the points in all lanes once and writes the rows of the first `used` lanes to `into`.
    ///
    /// Points that land outside of the data set have no row yet. They move to the first lanes, to be permuted again by
    /// the next call; the method returns their number.
    #[inline(always)]
    fn permute(&mut self, rows: u32, [width, height]: [u32; 2], used: usize, into: &mut [u32]) -> usize {
        let Self { x, y, key, destination } = self;
        permute_lanes(x, y, key, [width, height]);
        let mut outside = 0;
        for lane in 0..used {
            let row = y[lane] * width + x[lane];
            if row < rows {
                into[destination[lane] as usize] = row;
            } else {
                (x[outside], y[outside], destination[outside]) = (x[lane], y[lane], destination[lane]);
                (key[0][outside], key[1][outside]) = (key[0][lane], key[1][lane]);
                outside += 1;
            }
        }
        outside
    }
}

/// Returns the sum of the sample weights of each step in `steps`.
pub(crate) fn sum_step_weights(
    generator: &StepGenerator,
    shuffle: bool,
    weights: &[f32],
    steps: Range<u64>,
) -> Vec<f64> {
    let mut sums = Vec::with_capacity((steps.end - steps.start) as usize);
    let mut prefetcher = StepPrefetcher::new(generator.clone(), shuffle, steps, 0);
    let mut prefetched = PrefetchedSteps::default();
    while prefetcher.prefetch(&mut prefetched) {
        let sum = |rows: &[u32]| rows.iter().map(|row| f64::from(weights[*row as usize])).sum::<f64>();
        sums.extend(prefetched.steps().map(|(_, rows)| sum(rows)));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::permutation::Permutation;

    #[test]
    fn prefetched_steps_and_rows_equal_those_of_the_generator() {
        for (rows, batch) in [(1, 1), (4, 4), (5, 2), (32, 4), (100, 17), (1797, 600), (3000, 3000)] {
            let generator = StepGenerator { seed: 3, ..StepGenerator::plain(rows, batch) };
            for (shuffle, first) in [(true, 0), (true, 7), (false, 5)] {
                let mut prefetcher = StepPrefetcher::new(generator.clone(), shuffle, first..first + 300, first);
                let mut prefetched = PrefetchedSteps::default();
                let mut n = first;
                while prefetcher.prefetch(&mut prefetched) {
                    for (step, rows_of_step) in prefetched.steps() {
                        assert_eq!(*step, generator.step(n, n));
                        let order = Permutation::new(rows as u32, step.shuffle_key);
                        let positions = step.first_position..step.first_position + step.rows;
                        let expected: Vec<_> = positions.map(|p| if shuffle { order.row(p) } else { p }).collect();
                        assert_eq!(rows_of_step, expected, "{rows} rows, batch {batch}, step {n}, shuffled {shuffle}");
                        n += 1;
                    }
                }
                assert_eq!(n, first + 300);
            }
        }
    }
}
