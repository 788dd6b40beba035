//! The steps that come next, and the rows that each takes, for what trains on the host or brings rows from there.

use std::ops::Range;

use crate::{
    data::permutation::{grid_width, permute_lanes},
    engine::step::{Step, StepGenerator},
};

/// Rows that are computed side by side: two vector registers of AVX-512, since each round waits for the one before.
const LANES: usize = 32;

/// Rows of a round, or those of one larger batch: so many that small batches fill the lanes too.
const PREFETCHED_ROWS: usize = 512;

/// The steps of a run, drawn round by round: [`crate::data::permutation::Permutation::row`] for many places and epochs at a time, so that the
/// compiler can keep them in vectors.
pub(crate) struct StepPrefetcher {
    generator: StepGenerator,
    shuffle: bool,
    width: u32,
    height: u32,
    /// The steps that are still to be drawn.
    remaining: Range<u64>,
    /// How many more updates were made before each than steps on the data.
    update_offset: u64,
    /// The last that was drawn.
    last_step: Option<Step>,
}

/// Some steps that were drawn together, and the rows that each takes.
#[derive(Default)]
pub(crate) struct PrefetchedSteps {
    steps: Vec<Step>,
    rows: Vec<u32>,
}

impl PrefetchedSteps {
    /// The rows of all its steps, one behind the other.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Each step, and its rows.
    #[inline]
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&Step, &[u32])> {
        let mut rest = self.rows.as_slice();
        self.steps.iter().map(move |step| {
            let (rows, behind) = rest.split_at(step.rows as usize);
            rest = behind;
            (step, rows)
        })
    }
}

/// Points of the grids of some epochs on their way to their rows.
struct GridPoints {
    x: [u32; LANES],
    y: [u32; LANES],
    key: [[u32; LANES]; 2],
    /// Which row of those that are drawn it will be.
    destination: [u32; LANES],
}

impl StepPrefetcher {
    /// The given steps of a course; not shuffled, the rows stand in the order of the data set.
    pub(crate) fn new(generator: StepGenerator, shuffle: bool, steps: Range<u64>, steps_since_reset: u64) -> Self {
        let ahead = steps_since_reset.wrapping_sub(steps.start);
        let rows = generator.rows as u32;
        let width = grid_width(rows);
        Self {
            generator,
            shuffle,
            width,
            height: rows.div_ceil(width),
            remaining: steps,
            update_offset: ahead,
            last_step: None,
        }
    }

    /// How many rows a round has at most.
    pub(crate) fn max_rows(&self) -> usize {
        PREFETCHED_ROWS.max(self.generator.batch_size)
    }

    /// Draws the next round, and says whether it has any steps: none are left when all were drawn.
    #[inline(always)]
    pub(crate) fn prefetch(&mut self, PrefetchedSteps { steps, rows }: &mut PrefetchedSteps) -> bool {
        let count = ((PREFETCHED_ROWS / self.generator.batch_size).max(1) as u64)
            .min(self.remaining.end - self.remaining.start);
        steps.clear();
        for n in self.remaining.start..self.remaining.start + count {
            let before = n.wrapping_add(self.update_offset);
            self.last_step = match &self.last_step {
                Some(last) => Some(self.generator.next_step(last, n, before)),
                None => Some(self.generator.step(n, before)),
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
            rows.iter_mut().for_each(|place| *place = subset.row(*place));
        }
        count > 0
    }

    #[inline(always)]
    fn shuffle_rows(&self, steps: &[Step], rows: &mut [u32]) {
        let mut lanes = GridPoints { x: [0; LANES], y: [0; LANES], key: [[0; LANES]; 2], destination: [0; LANES] };
        let (mut used, mut to, size) = (0, 0, [self.width, self.height]);
        for step in steps {
            let (mut x, mut y) = (step.first_position % self.width, step.first_position / self.width);
            for _ in 0..step.rows {
                (lanes.x[used], lanes.y[used], lanes.destination[used]) = (x, y, to);
                (lanes.key[0][used], lanes.key[1][used]) = (step.shuffle_key[0], step.shuffle_key[1]);
                (x, y) = if x + 1 == self.width { (0, y + 1) } else { (x + 1, y) };
                to += 1;
                used += 1;
                while used == LANES {
                    used = lanes.permute(self.generator.rows as u32, size, used, rows);
                }
            }
        }
        while used > 0 {
            used = lanes.permute(self.generator.rows as u32, size, used, rows);
        }
    }
}

impl GridPoints {
    /// Takes the points in all lanes through the rounds. The rows of the `used` ones are found, but for those outside,
    /// which move to the first lanes to go round again: so many are returned.
    #[inline(always)]
    fn permute(&mut self, rows: u32, [width, height]: [u32; 2], used: usize, into: &mut [u32]) -> usize {
        let Self { x, y, key, destination: to } = self;
        permute_lanes(x, y, key, [width, height]);
        let mut outside = 0;
        for lane in 0..used {
            let at = y[lane] * width + x[lane];
            if at < rows {
                into[to[lane] as usize] = at;
            } else {
                (x[outside], y[outside], to[outside]) = (x[lane], y[lane], to[lane]);
                (key[0][outside], key[1][outside]) = (key[0][lane], key[1][lane]);
                outside += 1;
            }
        }
        outside
    }
}

/// The sum of the weights of the rows of each of these steps.
pub(crate) fn sum_step_weights(
    generator: &StepGenerator,
    shuffle: bool,
    weights: &[f32],
    steps: Range<u64>,
) -> Vec<f64> {
    let mut sums = Vec::with_capacity((steps.end - steps.start) as usize);
    let mut upcoming = StepPrefetcher::new(generator.clone(), shuffle, steps, 0);
    let mut round = PrefetchedSteps::default();
    while upcoming.prefetch(&mut round) {
        let sum = |rows: &[u32]| rows.iter().map(|row| f64::from(weights[*row as usize])).sum::<f64>();
        sums.extend(round.steps().map(|(_, rows)| sum(rows)));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::permutation::Permutation;

    #[test]
    fn a_schedule_has_the_rows_of_every_step() {
        for (rows, batch) in [(1, 1), (4, 4), (5, 2), (32, 4), (100, 17), (1797, 600), (3000, 3000)] {
            let course = StepGenerator { seed: 3, ..StepGenerator::plain(rows, batch) };
            for (shuffle, first) in [(true, 0), (true, 7), (false, 5)] {
                let mut upcoming = StepPrefetcher::new(course.clone(), shuffle, first..first + 300, first);
                let mut round = PrefetchedSteps::default();
                let mut n = first;
                while upcoming.prefetch(&mut round) {
                    for (step, drawn) in round.steps() {
                        assert_eq!(*step, course.step(n, n));
                        let order = Permutation::new(rows as u32, step.shuffle_key);
                        let places = step.first_position..step.first_position + step.rows;
                        let expected: Vec<_> = places.map(|p| if shuffle { order.row(p) } else { p }).collect();
                        assert_eq!(drawn, expected, "{rows} rows, batch {batch}, step {n}, shuffled {shuffle}");
                        n += 1;
                    }
                }
                assert_eq!(n, first + 300);
            }
        }
    }
}
