//! The rows of the members of a lane group.
//!
//! [`SampledSteps`] computes the same permutations as [`crate::engine::prefetch::StepPrefetcher`], with the key of
//! another member in each lane.

use std::ops::Range;

use crate::{
    data::permutation::{epoch_key_from, grid_width, permute_lanes},
    engine::{
        cpu::group::{
            config::{GroupConfig, LANES, MAX_SAMPLED_ROWS},
            member::GroupMember,
        },
        step::StepGenerator,
    },
};

/// Steps that were sampled together, with their rows.
pub(crate) struct SampledSteps {
    /// The mixed seed of each member, from which the keys of its epochs follow.
    pub(crate) seeds: [u64; LANES],
    pub(crate) steps: Vec<StepSpan>,
    /// The index in the data set of each row of the steps, with one value per lane.
    pub(crate) rows: Vec<u32>,
    grid_width: u32,
    grid_height: u32,
}

/// The positions of the rows of a step in its epoch, and the keys of the epoch.
#[derive(Clone, Copy)]
pub(crate) struct StepSpan {
    pub(crate) first_position: usize,
    pub(crate) rows: usize,
    /// The key of each member, in two halves.
    pub(crate) keys: [[u32; LANES]; 2],
}

/// Up to `P` points of the permutation grids: `N` points per position of an epoch, one per lane. A point outside of the
/// data set is permuted again until it is a row.
struct PermutationPoints<const N: usize, const P: usize> {
    x: [u32; P],
    y: [u32; P],
    keys: [[u32; P]; 2],
    used: usize,
}

impl SampledSteps {
    /// Creates an empty list of steps for members whose epochs have as many rows as those of `generator`.
    pub(crate) fn new(generator: &StepGenerator) -> Self {
        let grid_width = grid_width(generator.rows as u32);
        let grid_height = (generator.rows as u32).div_ceil(grid_width);
        Self { seeds: [0; LANES], steps: Vec::new(), rows: Vec::new(), grid_width, grid_height }
    }

    /// Replaces the steps by `steps`, and samples their rows for all members.
    #[inline(always)]
    pub(crate) fn sample(&mut self, config: &GroupConfig, members: &[GroupMember], steps: Range<u64>) {
        let (generator, lanes) = (&config.generator, config.lanes);
        self.steps.clear();
        let mut current_epoch = None;
        let mut keys = [[0; LANES]; 2];
        for n in steps {
            let epoch = n / generator.steps_per_epoch();
            if current_epoch != Some(epoch) {
                current_epoch = Some(epoch);
                for (lane, seed) in self.seeds.iter().enumerate() {
                    [keys[0][lane], keys[1][lane]] = epoch_key_from(*seed, epoch);
                }
            }
            let (first_position, rows) = generator.batch_span(n);
            self.steps.push(StepSpan { first_position, rows, keys });
        }
        self.rows.clear();
        self.rows.reserve(MAX_SAMPLED_ROWS.max(generator.batch_size) * lanes);
        if !config.shuffle {
            let positions = self.steps.iter().flat_map(|step| step.first_position..step.first_position + step.rows);
            self.rows.extend(positions.flat_map(|position| std::iter::repeat_n(position as u32, lanes)));
        } else {
            match lanes {
                16 => self.shuffle::<16, 64>(generator.rows as u32),
                8 => self.shuffle::<8, 32>(generator.rows as u32),
                _ => self.shuffle::<4, 16>(generator.rows as u32),
            }
        }
        for (lane, member) in members.iter().enumerate() {
            if let Some(subset) = &member.generator.subset {
                self.rows[lane..].iter_mut().step_by(lanes).for_each(|row| *row = subset.row(*row));
            }
        }
    }

    /// Appends the rows of all steps, in the order of the permutation of each member.
    #[inline(always)]
    fn shuffle<const N: usize, const P: usize>(&mut self, rows: u32) {
        let grid_size = [self.grid_width, self.grid_height];
        let mut points = PermutationPoints::<N, P> { x: [0; P], y: [0; P], keys: [[0; P]; 2], used: 0 };
        for step in &self.steps {
            let first = step.first_position as u32;
            let (mut x, mut y) = (first % self.grid_width, first / self.grid_width);
            for _ in 0..step.rows {
                points.push(x, y, &step.keys);
                (x, y) = if x + 1 == self.grid_width { (0, y + 1) } else { (x + 1, y) };
                if points.used == P {
                    self.rows.extend(points.find_rows(rows, grid_size));
                    points.used = 0;
                }
            }
        }
        if points.used > 0 {
            let used = points.used;
            self.rows.extend(&points.find_rows(rows, grid_size)[..used]);
        }
    }
}

impl<const N: usize, const P: usize> PermutationPoints<N, P> {
    /// Adds the points of one position of the epoch, one per lane.
    #[inline(always)]
    fn push(&mut self, x: u32, y: u32, keys: &[[u32; LANES]; 2]) {
        let Self { x: all_x, y: all_y, keys: all_keys, used } = self;
        all_x[*used..][..N].fill(x);
        all_y[*used..][..N].fill(y);
        all_keys[0][*used..][..N].copy_from_slice(&keys[0][..N]);
        all_keys[1][*used..][..N].copy_from_slice(&keys[1][..N]);
        *used += N;
    }

    /// Permutes the points until each has reached a row, and returns the rows. Points that have already reached a row
    /// are permuted again without effect.
    #[inline(always)]
    fn find_rows(&mut self, rows: u32, [width, height]: [u32; 2]) -> [u32; P] {
        let Self { x, y, keys, .. } = self;
        let mut found = [u32::MAX; P];
        loop {
            permute_lanes(x, y, keys, [width, height]);
            let mut outside = 0;
            for lane in 0..P {
                let row = y[lane] * width + x[lane];
                found[lane] = if found[lane] < rows { found[lane] } else { row };
                outside |= u32::from(found[lane] >= rows);
            }
            if outside == 0 {
                return found;
            }
        }
    }
}
