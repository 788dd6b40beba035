//! Small networks side by side: each has a lane of the vector registers for itself, so that even one with two neurons and
//! four rows leaves none empty. Its steps stay in the cache, and what the host does for a step it does for all of them.
//!
//! Each ends with the bits that [`crate::engine::cpu::small_network`] gives it alone: the same operations on its numbers in the same order, and
//! the gradients of the rows summed as the lanes of a register are there. The columns are the same, too, with a register
//! for each row of the batch:
//!
//! ```text
//! column 1, row 1 | column 1, row 2 | ... | column 2, row 1 | ...
//! ```

pub(crate) mod aligned;
pub(crate) mod members;
pub(crate) mod sampling;
pub(crate) mod step;
#[cfg(test)]
mod tests;
pub(crate) mod update;

use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};

use crate::{
    data::dataset::Dataset,
    engine::{
        cpu::{
            group::{aligned::Lines, members::Seat, sampling::Drawn, step::Work},
            small_network::Small,
        },
        step::Course,
    },
    nn::{layout::Layout, network::Network},
    optim::{coefficients::Numbers, optimizer::Optimizer},
    train::run_report::Report,
};

/// The lanes of the longest vector registers.
const LANES: usize = 16;

/// Rows that each network draws ahead.
const AHEAD: usize = 128;

/// The most floats of the registers of a batch: a fifth of the L2 cache of a Zen 5, where that was measured. With more, as
/// of 16-32-10 on 32 rows, the rows fill the lanes of one network as well.
const MOST_FLOATS: usize = 48 * 1024;

/// Floats of the largest table of rows.
const MOST_OF_TABLE: usize = 1 << 24;

/// What networks have in common that may stand side by side.
pub(crate) struct Kind {
    arch: Arch,
    lanes: usize,
    /// In how many lanes one of them alone has its rows.
    sums: usize,
    small: Small,
    /// Any one of them.
    course: Course,
    shuffle: bool,
    noise: f32,
    /// The rows of the data set as they stand in the first columns: features, a 1, what is expected, the weight.
    table: Arc<Vec<f32>>,
    places: Places,
}

/// Where the parameters lie: here without padding but for one register in which all padding is, since all of it is alike.
struct Places {
    /// Of each parameter here, in a flat vector.
    flat: Vec<usize>,
    /// Where a layer's parameters begin here.
    layers: Vec<usize>,
    /// Floats in a flat vector.
    len: usize,
    /// How much of the penalties each parameter here feels, in every lane.
    reach: Vec<f32>,
}

/// As many networks as a vector register has lanes, or fewer.
pub(crate) struct Group {
    seats: Vec<Seat>,
    /// A register for each parameter, as for all that follow.
    parameters: Lines,
    /// The gradients of the last batch.
    sums: Lines,
    /// Those of several batches, or that have to be whole before an update.
    gradients: Lines,
    /// What the optimizer keeps: all planes of a parameter stand together.
    state: Lines,
    /// All about the rows of a batch.
    registers: Lines,
    /// One row's features, or its outputs and the expected ones.
    row: Vec<f32>,
    drawn: Drawn,
    numbers: Lanes,
    /// Whether they stay as they are.
    is_steady: bool,
    /// That of one of the networks; if any has penalties, of one that has: it does as well for those where they are 0.
    optimizer: Optimizer,
    /// What the steps that are drawn brought, step by step.
    told: Vec<[(f32, f64); LANES]>,
}

/// The numbers of the optimizers of all lanes.
#[derive(Clone, Copy, Default)]
struct Lanes([[f32; LANES]; size_of::<Numbers>() / size_of::<f32>()]);

impl Lanes {
    fn set(&mut self, lane: usize, numbers: Numbers) {
        let numbers: [f32; size_of::<Numbers>() / size_of::<f32>()] = bytemuck::cast(numbers);
        self.0.iter_mut().zip(numbers).for_each(|(of_all, number)| of_all[lane] = number);
    }

    #[inline(always)]
    const fn of(&self, lane: usize) -> Numbers {
        let [learning_rate, c0, c1, c2, c3, c4, c5, decay, l1, clip_value, clip_norm, average] = &self.0;
        Numbers {
            learning_rate: learning_rate[lane],
            coefficients: [c0[lane], c1[lane], c2[lane], c3[lane], c4[lane], c5[lane]],
            decay: decay[lane],
            l1: l1[lane],
            clip_value: clip_value[lane],
            clip_norm: clip_norm[lane],
            average: average[lane],
        }
    }
}

/// Asks for the number of lanes.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// How many of so many networks should stand in groups: a group takes about as long as a quarter to three quarters of its
/// networks do one after the other (measured on a Zen 5), and not all of them need to share a core.
pub(crate) fn worth(networks: usize, threads: usize) -> usize {
    let lanes = Arch::new().dispatch(Width);
    match (networks, networks % lanes) {
        (few, _) if few < threads * lanes / 4 => 0,
        (all, rest) if rest >= lanes / 2 => all,
        (all, rest) => all - rest,
    }
}

impl Kind {
    /// What networks have in common whose courses differ in seeds and in numbers of the optimizer alone. None where they
    /// are better off alone: if rows fill the lanes, and if one is not [`Small`], as none with norms or learned slopes is.
    /// `table` is that of all kinds of a data set.
    pub(crate) fn new(
        network: &Network,
        course: &Course,
        data: &Dataset,
        weighted: bool,
        (shuffle, noise): (bool, f32),
        table: &mut Option<Arc<Vec<f32>>>,
    ) -> Option<Self> {
        let small = Small::new(network, (course.loss, course.labels), course.batch, weighted)?;
        let arch = Arch::new();
        let (lanes, sums) = (arch.dispatch(Width), small.arch.dispatch(Width));
        let width = network.inputs() + 1 + network.outputs() + usize::from(weighted);
        let is_covered = (4..=LANES).contains(&lanes)
            && course.batch <= small.block
            && small.columns * course.batch * lanes <= MOST_FLOATS
            && data.rows().saturating_mul(width) <= MOST_OF_TABLE;
        is_covered.then(|| Self {
            arch,
            lanes,
            sums,
            small,
            course: course.clone(),
            shuffle,
            noise,
            table: table.get_or_insert_with(|| Arc::new(table_of(network, data, width))).clone(),
            places: Places::new(&network.layout(), &course.optimizer, lanes),
        })
    }

    /// How many networks stand in a group.
    pub(crate) const fn lanes(&self) -> usize {
        self.lanes
    }

    /// Registers of each plane: one for each parameter, and one for the padding.
    fn registers(&self) -> usize {
        self.places.flat.len() + 1
    }

    fn planes(&self) -> usize {
        self.course.optimizer.planes()
    }

    /// Whether gradients are kept beyond their batch, or until all of them are known.
    fn keeps_gradients(&self) -> bool {
        self.course.accumulate > 1 || self.course.optimizer.needs_whole_gradients()
    }
}

fn table_of(network: &Network, data: &Dataset, width: usize) -> Vec<f32> {
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let mut table = vec![1.0; data.rows() * width];
    for (number, row) in table.chunks_exact_mut(width).enumerate() {
        data.write_features(number, &mut row[..inputs]);
        data.write_expected(number, &mut row[inputs + 1..][..outputs]);
        row[inputs + 1 + outputs..].fill(data.weight(number));
    }
    table
}

impl Places {
    fn new(layout: &Layout, optimizer: &Optimizer, lanes: usize) -> Self {
        let (mut flat, mut layers, mut reach) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &layout.layers {
            layers.push(flat.len());
            for tensor in layer.tensors.iter().filter(|tensor| tensor.spec.kind.is_trained()) {
                for row in 0..tensor.spec.rows {
                    let start = tensor.offset + row * layer.place.stride;
                    flat.extend(start..start + tensor.spec.columns);
                }
                let is_spared = !tensor.spec.kind.is_weight() && !optimizer.penalizes_biases;
                reach.extend(vec![if is_spared { 0.0 } else { 1.0 }; tensor.spec.len() * lanes]);
            }
        }
        reach.extend(vec![1.0; lanes]);
        Self { flat, layers, len: layout.len, reach }
    }
}

impl Group {
    /// One without networks.
    pub(crate) fn new(kind: &Kind) -> Self {
        let floats = kind.registers() * kind.lanes;
        let kept = if kind.keeps_gradients() { floats } else { 0 };
        let batch = kind.course.batch;
        Self {
            seats: Vec::with_capacity(kind.lanes),
            parameters: Lines::new(floats),
            sums: Lines::new(floats),
            gradients: Lines::new(kept),
            state: Lines::new(floats * kind.planes()),
            registers: Lines::new(kind.small.columns * batch * kind.lanes),
            row: vec![0.0; kind.small.inputs.max(2 * kind.small.outputs)],
            drawn: Drawn::new(&kind.course),
            numbers: Lanes::default(),
            is_steady: false,
            optimizer: kind.course.optimizer,
            told: Vec::new(),
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks; `reports` are theirs.
    pub(crate) fn run(&mut self, kind: &Kind, first: u64, steps: u64, reports: &mut [&mut Report]) {
        let ahead = (AHEAD / kind.course.batch).max(1) as u64;
        self.drawn.seeds = [0; LANES];
        for (lane, seat) in self.seats.iter().enumerate() {
            self.drawn.seeds[lane] = crate::data::permutation::mixed_seed(seat.course.seed);
            self.numbers.set(lane, seat.course.numbers(seat.since));
        }
        let mut optimizers = self.seats.iter().map(|seat| seat.course.optimizer);
        self.optimizer = optimizers.find(Optimizer::penalizes).unwrap_or(kind.course.optimizer);
        self.is_steady = self.seats.iter().all(|seat| seat.course.is_steady());
        for report in &mut *reports {
            report.reserve(steps as usize);
        }
        let mut n = first;
        while n < first + steps {
            let some = n..(n + ahead).min(first + steps);
            n = some.end;
            kind.arch.dispatch(Work { kind, group: self, steps: some.clone() });
            let rows = self.drawn.steps.iter().map(|step| step.rows as u32);
            for (lane, report) in reports.iter_mut().enumerate() {
                report.losses.extend(self.told.iter().map(|told| told[lane].0));
                report.right.extend(self.told.iter().map(|told| told[lane].1));
                report.rows.extend(rows.clone());
            }
        }
    }
}
