//! The rows that the networks of a group take: what [`crate::engine::prefetch::StepPrefetcher`] draws for one, here with a key in each lane.

use std::ops::Range;

use crate::{
    data::permutation::{epoch_key_from, grid_width, permute_lanes},
    engine::{
        cpu::group::{GroupConfig, LANES, MAX_SAMPLED_ROWS, members::GroupMember},
        step::StepGenerator,
    },
};

/// Steps that are drawn.
pub(crate) struct SampledSteps {
    /// What the keys of the epochs come from.
    pub(crate) seeds: [u64; LANES],
    pub(crate) steps: Vec<StepSpan>,
    /// The row of the data set, for each row of the steps and each lane.
    pub(crate) rows: Vec<u32>,
    grid_width: u32,
    grid_height: u32,
}

/// Where in the epoch's order a step begins, how many rows it takes, and the keys of the epoch.
#[derive(Clone, Copy)]
pub(crate) struct StepSpan {
    pub(crate) first_position: usize,
    pub(crate) rows: usize,
    pub(crate) keys: [[u32; LANES]; 2],
}

/// Points of the grids on their way to their rows: `P` of them, `N` for a place.
struct PermutationPoints<const N: usize, const P: usize> {
    x: [u32; P],
    y: [u32; P],
    keys: [[u32; P]; 2],
    used: usize,
}

impl SampledSteps {
    pub(crate) fn new(generator: &StepGenerator) -> Self {
        let width = grid_width(generator.rows as u32);
        let height = (generator.rows as u32).div_ceil(width);
        Self { seeds: [0; LANES], steps: Vec::new(), rows: Vec::new(), grid_width: width, grid_height: height }
    }

    /// Draws steps, at the most as many as [`AHEAD`] rows make.
    #[inline(always)]
    pub(crate) fn sample(&mut self, kind: &GroupConfig, seats: &[GroupMember], steps: Range<u64>) {
        let (course, lanes) = (&kind.generator, kind.lanes);
        self.steps.clear();
        let mut epoch = None;
        let mut keys = [[0; LANES]; 2];
        for n in steps {
            let this = n / course.steps_per_epoch();
            if epoch != Some(this) {
                epoch = Some(this);
                for (lane, seed) in self.seeds.iter().enumerate() {
                    [keys[0][lane], keys[1][lane]] = epoch_key_from(*seed, this);
                }
            }
            let (first, rows) = course.batch_span(n);
            self.steps.push(StepSpan { first_position: first, rows, keys });
        }
        self.rows.clear();
        self.rows.reserve(MAX_SAMPLED_ROWS.max(course.batch_size) * lanes);
        if !kind.shuffle {
            let places = self.steps.iter().flat_map(|step| step.first_position..step.first_position + step.rows);
            self.rows.extend(places.flat_map(|place| std::iter::repeat_n(place as u32, lanes)));
        } else {
            match lanes {
                16 => self.shuffle::<16, 64>(course.rows as u32),
                8 => self.shuffle::<8, 32>(course.rows as u32),
                _ => self.shuffle::<4, 16>(course.rows as u32),
            }
        }
        for (lane, seat) in seats.iter().enumerate() {
            if let Some(subset) = &seat.generator.subset {
                self.rows[lane..].iter_mut().step_by(lanes).for_each(|place| *place = subset.row(*place));
            }
        }
    }

    #[inline(always)]
    fn shuffle<const N: usize, const P: usize>(&mut self, rows: u32) {
        let size = [self.grid_width, self.grid_height];
        let mut points = PermutationPoints::<N, P> { x: [0; P], y: [0; P], keys: [[0; P]; 2], used: 0 };
        for step in &self.steps {
            let first = step.first_position as u32;
            let (mut x, mut y) = (first % self.grid_width, first / self.grid_width);
            for _ in 0..step.rows {
                points.push(x, y, &step.keys);
                (x, y) = if x + 1 == self.grid_width { (0, y + 1) } else { (x + 1, y) };
                if points.used == P {
                    self.rows.extend(points.find_rows(rows, size));
                    points.used = 0;
                }
            }
        }
        if points.used > 0 {
            let used = points.used;
            self.rows.extend(&points.find_rows(rows, size)[..used]);
        }
    }
}

impl<const N: usize, const P: usize> PermutationPoints<N, P> {
    /// Puts the same place of every lane's order behind the others.
    #[inline(always)]
    fn push(&mut self, x: u32, y: u32, keys: &[[u32; LANES]; 2]) {
        let Self { x: all_x, y: all_y, keys: all, used } = self;
        all_x[*used..][..N].fill(x);
        all_y[*used..][..N].fill(y);
        all[0][*used..][..N].copy_from_slice(&keys[0][..N]);
        all[1][*used..][..N].copy_from_slice(&keys[1][..N]);
        *used += N;
    }

    /// The rows that stand at the points: once through the rounds, and those outside again, while the others turn idly.
    #[inline(always)]
    fn find_rows(&mut self, rows: u32, [width, height]: [u32; 2]) -> [u32; P] {
        let Self { x, y, keys, .. } = self;
        let mut found = [u32::MAX; P];
        loop {
            permute_lanes(x, y, keys, [width, height]);
            let mut outside = 0;
            for lane in 0..P {
                let at = y[lane] * width + x[lane];
                found[lane] = if found[lane] < rows { found[lane] } else { at };
                outside |= u32::from(found[lane] >= rows);
            }
            if outside == 0 {
                return found;
            }
        }
    }
}
