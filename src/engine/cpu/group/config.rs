//! The configuration of a lane group: the network, the rows of the data set, and the layout of the parameters.

use std::sync::Arc;

use pulp::{Arch, Simd, WithSimd};

use crate::{
    data::dataset::Dataset,
    engine::{
        cpu::{
            dataset_run::CpuDatasetRun,
            small_network::{SmallNetwork, SmallNetworkConfig},
        },
        step::StepGenerator,
    },
    nn::{layout::Layout, network::Network},
    optim::optimizer::Optimizer,
};

/// The number of lanes of the longest vector registers (AVX-512).
pub(crate) const LANES: usize = 16;

/// The number of rows that each member samples at once, unless one batch is larger.
pub(crate) const MAX_SAMPLED_ROWS: usize = 128;

/// The maximum number of floats in the registers of a batch: a fifth of the L2 cache of a Zen 5, on which it was
/// measured. Larger networks, for example 16-32-10 with 32 rows, fill the lanes with their rows.
const MAX_REGISTER_FLOATS: usize = 48 * 1024;

/// The maximum number of floats in a table of rows.
const MAX_TABLE_FLOATS: usize = 1 << 24;

/// The configuration that all members of a lane group share.
pub(crate) struct GroupConfig {
    pub(crate) arch: Arch,
    /// The number of lanes, which is the maximum number of members.
    pub(crate) lanes: usize,
    /// The number of lanes that a standalone member uses for its rows.
    pub(crate) standalone_lanes: usize,
    pub(crate) small_network: SmallNetwork,
    /// The generator of one of the members. The others may differ in seed, subset, schedule and values of the
    /// optimizer.
    pub(crate) generator: StepGenerator,
    pub(crate) shuffle: bool,
    pub(crate) input_noise_std: f32,
    /// The rows of the data set in the layout of the first columns: features, 1, targets and sample weight.
    pub(crate) table: Arc<Vec<f32>>,
    pub(crate) layout: PackedLayout,
}

/// The layout of the parameters in a lane group.
///
/// It has one register per parameter and no padding, except for one last register. That register represents all padding
/// of the flat parameters, because all padding values are equal.
pub(crate) struct PackedLayout {
    /// The offset of each parameter in the flat parameters.
    pub(crate) flat_offsets: Vec<usize>,
    /// The index of the first parameter of each layer.
    pub(crate) layer_offsets: Vec<usize>,
    /// The number of floats in the flat parameters.
    pub(crate) flat_len: usize,
    /// 1 for each regularized parameter and 0 for each excluded one, in every lane.
    pub(crate) penalty_mask: Vec<f32>,
}

/// A task that returns the number of lanes of an instruction set.
struct LaneCount;

impl WithSimd for LaneCount {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Returns how many of `members` members should train in lane groups.
///
/// A group takes a quarter to three quarters of the time of its standalone members (measured on a Zen 5). With few
/// members, groups would leave cores idle. Members of a last group that would fill less than half of its lanes train
/// standalone too.
pub(crate) fn grouped_count(members: usize, threads: usize) -> usize {
    let lanes = Arch::new().dispatch(LaneCount);
    let rest = members % lanes;
    if members < threads * lanes / 4 {
        0
    } else if rest >= lanes / 2 {
        members
    } else {
        members - rest
    }
}

impl GroupConfig {
    /// Creates the configuration for members whose generators differ from `generator` only in seed, subset, schedule
    /// and values of the optimizer. All configurations of a data set share `table`; the first one creates it.
    ///
    /// Returns `None` if standalone members are faster, or if the network is not a [`SmallNetwork`].
    pub(crate) fn new(
        network: &Network,
        generator: &StepGenerator,
        dataset_run: &CpuDatasetRun<'_>,
        table: &mut Option<Arc<Vec<f32>>>,
    ) -> Option<Self> {
        let CpuDatasetRun { data, shuffle, input_noise_std, has_sample_weights } = *dataset_run;
        let small_config = SmallNetworkConfig {
            loss: generator.loss,
            is_multi_label: generator.is_multi_label,
            rows: generator.batch_size,
            has_sample_weights,
        };
        let small_network = SmallNetwork::new(network, &small_config)?;
        let arch = Arch::new();
        let (lanes, standalone_lanes) = (arch.dispatch(LaneCount), small_network.arch.dispatch(LaneCount));
        let width = network.inputs() + 1 + network.outputs() + usize::from(has_sample_weights);
        let is_supported = (4..=LANES).contains(&lanes)
            && generator.batch_size <= small_network.block_rows
            && small_network.registers_per_group * generator.batch_size * lanes <= MAX_REGISTER_FLOATS
            && data.rows().saturating_mul(width) <= MAX_TABLE_FLOATS;
        is_supported.then(|| Self {
            arch,
            lanes,
            standalone_lanes,
            small_network,
            generator: generator.clone(),
            shuffle,
            input_noise_std,
            table: table.get_or_insert_with(|| Arc::new(build_row_table(network, data, width))).clone(),
            layout: PackedLayout::new(&network.layout(), &generator.optimizer, lanes),
        })
    }

    /// Returns the maximum number of members in a group.
    pub(crate) const fn lanes(&self) -> usize {
        self.lanes
    }

    /// Returns the number of registers in each vector of parameter length: one per parameter, and one for the padding.
    pub(crate) fn parameter_registers(&self) -> usize {
        self.layout.flat_offsets.len() + 1
    }

    /// Returns the number of state vectors.
    pub(crate) fn state_per_parameter(&self) -> usize {
        self.generator.optimizer.state_per_parameter()
    }

    /// Returns whether a group stores gradients: for gradient accumulation, or because the update needs the full
    /// gradients.
    pub(crate) fn stores_gradients(&self) -> bool {
        self.generator.gradient_accumulation > 1 || self.generator.optimizer.needs_full_gradients()
    }
}

/// Builds [`GroupConfig::table`] with `width` values per row.
fn build_row_table(network: &Network, data: &Dataset, width: usize) -> Vec<f32> {
    let (inputs, outputs) = (network.inputs(), network.outputs());
    let mut table = vec![1.0; data.rows() * width];
    for (index, row) in table.chunks_exact_mut(width).enumerate() {
        data.write_features(index, &mut row[..inputs]);
        data.write_target(index, &mut row[inputs + 1..][..outputs]);
        row[inputs + 1 + outputs..].fill(data.sample_weight(index));
    }
    table
}

impl PackedLayout {
    /// Creates the layout for a flat layout.
    fn new(layout: &Layout, optimizer: &Optimizer, lanes: usize) -> Self {
        let (mut flat_offsets, mut layer_offsets, mut penalty_mask) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &layout.layer_tensors {
            layer_offsets.push(flat_offsets.len());
            for tensor in layer.tensors.iter().filter(|tensor| tensor.spec.kind.is_trained()) {
                for row in 0..tensor.spec.rows {
                    let start = tensor.offset + row * layer.layout.stride;
                    flat_offsets.extend(start..start + tensor.spec.columns);
                }
                let is_excluded = !tensor.spec.kind.is_weight() && !optimizer.regularize_biases;
                let mask = if is_excluded { 0.0 } else { 1.0 };
                penalty_mask.extend(vec![mask; tensor.spec.len() * lanes]);
            }
        }
        // The register of the padding.
        penalty_mask.extend(vec![1.0; lanes]);
        Self { flat_offsets, layer_offsets, flat_len: layout.len, penalty_mask }
    }
}
