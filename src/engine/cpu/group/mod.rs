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
            group::{aligned::AlignedFloats, members::GroupMember, sampling::SampledSteps, step::StepsTask},
            small_network::SmallNetwork,
        },
        step::StepGenerator,
    },
    nn::{layout::Layout, network::Network},
    optim::{coefficients::UpdateCoefficients, optimizer::Optimizer},
    train::run_report::RunReport,
};

/// The lanes of the longest vector registers.
const LANES: usize = 16;

/// Rows that each network draws ahead.
const MAX_SAMPLED_ROWS: usize = 128;

/// The most floats of the registers of a batch: a fifth of the L2 cache of a Zen 5, where that was measured. With more, as
/// of 16-32-10 on 32 rows, the rows fill the lanes of one network as well.
const MAX_REGISTER_FLOATS: usize = 48 * 1024;

/// Floats of the largest table of rows.
const MAX_TABLE_FLOATS: usize = 1 << 24;

/// What networks have in common that may stand side by side.
pub(crate) struct GroupConfig {
    arch: Arch,
    lanes: usize,
    /// In how many lanes one of them alone has its rows.
    single_member_lanes: usize,
    small_network: SmallNetwork,
    /// Any one of them.
    generator: StepGenerator,
    shuffle: bool,
    input_noise_std: f32,
    /// The rows of the data set as they stand in the first columns: features, a 1, what is expected, the weight.
    table: Arc<Vec<f32>>,
    layout: PackedLayout,
}

/// Where the parameters lie: here without padding but for one register in which all padding is, since all of it is alike.
struct PackedLayout {
    /// Of each parameter here, in a flat vector.
    flat_offsets: Vec<usize>,
    /// Where a layer's parameters begin here.
    layer_offsets: Vec<usize>,
    /// Floats in a flat vector.
    flat_len: usize,
    /// How much of the penalties each parameter here feels, in every lane.
    penalty_mask: Vec<f32>,
}

/// As many networks as a vector register has lanes, or fewer.
pub(crate) struct LaneGroup {
    members: Vec<GroupMember>,
    /// A register for each parameter, as for all that follow.
    parameters: AlignedFloats,
    /// The gradients of the last batch.
    gradient_sums: AlignedFloats,
    /// Those of several batches, or that have to be whole before an update.
    gradients: AlignedFloats,
    /// What the optimizer keeps: all planes of a parameter stand together.
    optimizer_state: AlignedFloats,
    /// All about the rows of a batch.
    registers: AlignedFloats,
    /// One row's features, or its outputs and the expected ones.
    row_buffer: Vec<f32>,
    sampled: SampledSteps,
    coefficients: LaneCoefficients,
    /// Whether they stay as they are.
    is_constant: bool,
    /// That of one of the networks; if any has penalties, of one that has: it does as well for those where they are 0.
    optimizer: Optimizer,
    /// What the steps that are drawn brought, step by step.
    step_metrics: Vec<[(f32, f64); LANES]>,
}

/// The numbers of the optimizers of all lanes.
#[derive(Clone, Copy, Default)]
struct LaneCoefficients([[f32; LANES]; size_of::<UpdateCoefficients>() / size_of::<f32>()]);

impl LaneCoefficients {
    fn set(&mut self, lane: usize, coefficients: UpdateCoefficients) {
        let numbers: [f32; size_of::<UpdateCoefficients>() / size_of::<f32>()] = bytemuck::cast(coefficients);
        self.0.iter_mut().zip(numbers).for_each(|(of_all, number)| of_all[lane] = number);
    }

    #[inline(always)]
    const fn get(&self, lane: usize) -> UpdateCoefficients {
        let [learning_rate, c0, c1, c2, c3, c4, c5, decay, l1, clip_value, clip_norm, average] = &self.0;
        UpdateCoefficients {
            learning_rate: learning_rate[lane],
            coefficients: [c0[lane], c1[lane], c2[lane], c3[lane], c4[lane], c5[lane]],
            decay: decay[lane],
            l1: l1[lane],
            clip_value: clip_value[lane],
            clip_norm: clip_norm[lane],
            ema_weight: average[lane],
        }
    }
}

/// Asks for the number of lanes.
struct LaneCount;

impl WithSimd for LaneCount {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// How many of so many networks should stand in groups: a group takes about as long as a quarter to three quarters of its
/// networks do one after the other (measured on a Zen 5), and not all of them need to share a core.
pub(crate) fn grouped_count(networks: usize, threads: usize) -> usize {
    let lanes = Arch::new().dispatch(LaneCount);
    match (networks, networks % lanes) {
        (few, _) if few < threads * lanes / 4 => 0,
        (all, rest) if rest >= lanes / 2 => all,
        (all, rest) => all - rest,
    }
}

impl GroupConfig {
    /// What networks have in common whose courses differ in seeds and in numbers of the optimizer alone. None where they
    /// are better off alone: if rows fill the lanes, and if one is not [`SmallNetwork`], as none with norms or learned slopes is.
    /// `table` is that of all kinds of a data set.
    pub(crate) fn new(
        network: &Network,
        generator: &StepGenerator,
        data: &Dataset,
        has_sample_weights: bool,
        (shuffle, noise): (bool, f32),
        table: &mut Option<Arc<Vec<f32>>>,
    ) -> Option<Self> {
        let small = SmallNetwork::new(
            network,
            (generator.loss, generator.is_multi_label),
            generator.batch_size,
            has_sample_weights,
        )?;
        let arch = Arch::new();
        let (lanes, sums) = (arch.dispatch(LaneCount), small.arch.dispatch(LaneCount));
        let width = network.inputs() + 1 + network.outputs() + usize::from(has_sample_weights);
        let is_covered = (4..=LANES).contains(&lanes)
            && generator.batch_size <= small.block_rows
            && small.registers_per_group * generator.batch_size * lanes <= MAX_REGISTER_FLOATS
            && data.rows().saturating_mul(width) <= MAX_TABLE_FLOATS;
        is_covered.then(|| Self {
            arch,
            lanes,
            single_member_lanes: sums,
            small_network: small,
            generator: generator.clone(),
            shuffle,
            input_noise_std: noise,
            table: table.get_or_insert_with(|| Arc::new(build_row_table(network, data, width))).clone(),
            layout: PackedLayout::new(&network.layout(), &generator.optimizer, lanes),
        })
    }

    /// How many networks stand in a group.
    pub(crate) const fn lanes(&self) -> usize {
        self.lanes
    }

    /// Registers of each plane: one for each parameter, and one for the padding.
    fn parameter_registers(&self) -> usize {
        self.layout.flat_offsets.len() + 1
    }

    fn state_per_parameter(&self) -> usize {
        self.generator.optimizer.state_per_parameter()
    }

    /// Whether gradients are kept beyond their batch, or until all of them are known.
    fn stores_gradients(&self) -> bool {
        self.generator.gradient_accumulation > 1 || self.generator.optimizer.needs_full_gradients()
    }
}

fn build_row_table(network: &Network, data: &Dataset, width: usize) -> Vec<f32> {
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let mut table = vec![1.0; data.rows() * width];
    for (number, row) in table.chunks_exact_mut(width).enumerate() {
        data.write_features(number, &mut row[..inputs]);
        data.write_target(number, &mut row[inputs + 1..][..outputs]);
        row[inputs + 1 + outputs..].fill(data.sample_weight(number));
    }
    table
}

impl PackedLayout {
    fn new(layout: &Layout, optimizer: &Optimizer, lanes: usize) -> Self {
        let (mut flat, mut layers, mut reach) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &layout.to_layers {
            layers.push(flat.len());
            for tensor in layer.tensors.iter().filter(|tensor| tensor.spec.kind.is_trained()) {
                for row in 0..tensor.spec.rows {
                    let start = tensor.offset + row * layer.layout.stride;
                    flat.extend(start..start + tensor.spec.columns);
                }
                let is_spared = !tensor.spec.kind.is_weight() && !optimizer.regularize_biases;
                reach.extend(vec![if is_spared { 0.0 } else { 1.0 }; tensor.spec.len() * lanes]);
            }
        }
        reach.extend(vec![1.0; lanes]);
        Self { flat_offsets: flat, layer_offsets: layers, flat_len: layout.len, penalty_mask: reach }
    }
}

impl LaneGroup {
    /// One without networks.
    pub(crate) fn new(kind: &GroupConfig) -> Self {
        let floats = kind.parameter_registers() * kind.lanes;
        let kept = if kind.stores_gradients() { floats } else { 0 };
        let batch = kind.generator.batch_size;
        Self {
            members: Vec::with_capacity(kind.lanes),
            parameters: AlignedFloats::new(floats),
            gradient_sums: AlignedFloats::new(floats),
            gradients: AlignedFloats::new(kept),
            optimizer_state: AlignedFloats::new(floats * kind.state_per_parameter()),
            registers: AlignedFloats::new(kind.small_network.registers_per_group * batch * kind.lanes),
            row_buffer: vec![0.0; kind.small_network.inputs.max(2 * kind.small_network.outputs)],
            sampled: SampledSteps::new(&kind.generator),
            coefficients: LaneCoefficients::default(),
            is_constant: false,
            optimizer: kind.generator.optimizer,
            step_metrics: Vec::new(),
        }
    }

    /// Takes the steps `first` to `first + steps` with all networks; `reports` are theirs.
    pub(crate) fn run(&mut self, kind: &GroupConfig, first: u64, steps: u64, reports: &mut [&mut RunReport]) {
        let ahead = (MAX_SAMPLED_ROWS / kind.generator.batch_size).max(1) as u64;
        self.sampled.seeds = [0; LANES];
        for (lane, seat) in self.members.iter().enumerate() {
            self.sampled.seeds[lane] = crate::data::permutation::mix_seed(seat.generator.seed);
            self.coefficients.set(lane, seat.generator.update_coefficients(seat.steps_since_reset));
        }
        let mut optimizers = self.members.iter().map(|seat| seat.generator.optimizer);
        self.optimizer = optimizers.find(Optimizer::has_penalties).unwrap_or(kind.generator.optimizer);
        self.is_constant = self.members.iter().all(|seat| seat.generator.is_constant());
        for report in &mut *reports {
            report.reserve(steps as usize);
        }
        let mut n = first;
        while n < first + steps {
            let some = n..(n + ahead).min(first + steps);
            n = some.end;
            kind.arch.dispatch(StepsTask { config: kind, group: self, steps: some.clone() });
            let rows = self.sampled.steps.iter().map(|step| step.rows as u32);
            for (lane, report) in reports.iter_mut().enumerate() {
                report.losses.extend(self.step_metrics.iter().map(|told| told[lane].0));
                report.correct.extend(self.step_metrics.iter().map(|told| told[lane].1));
                report.batch_sizes.extend(rows.clone());
            }
        }
    }
}
