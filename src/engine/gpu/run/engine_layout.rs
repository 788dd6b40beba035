//! The configuration and the layout of an engine. The layout is computed before anything is allocated on the device.

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::{
        config::TrainingConfig,
        gpu::{
            data::{
                dataset::{DeviceDataset, rows_bytes, rows_per_shard},
                stream,
            },
            device::Gpu,
            kernels::kernel_set::KernelSet,
            layout::{
                arenas::{ArenaDims, Arenas},
                buffers::Buffers,
                chunk::{ChunkDims, ScheduleGroups},
                kernel_config::KernelConfig,
            },
            plan::planner,
        },
        step::StepGenerator,
    },
    error::Result,
    nn::network::Network,
    optim::optimizer::Optimizer,
    plan::{Plan, key::PlanKey, scheme::Scheme},
};

/// The loss of a step and the weighted number of its correct rows, as the metrics kernels write them.
pub(crate) type RawStepMetrics = [f32; 2];

/// The maximum bytes of the metrics ring.
const MAX_METRICS_BYTES: usize = 64 << 20;

/// The configuration of an engine: a network, a step generator per member, and a data set.
#[derive(Clone)]
pub(crate) struct EngineConfig<'a> {
    pub(crate) network: &'a Network,
    /// The step generators, one per member.
    pub(crate) generators: Vec<StepGenerator>,
    pub(crate) data: Option<&'a Dataset>,
    /// The same data set on the device, if it is already uploaded.
    pub(crate) device_dataset: Option<DeviceDataset>,
    /// Whether to stream the data set even if it fits into the memory limit.
    pub(crate) must_stream: bool,
    pub(crate) shuffle: bool,
    /// The number of steps per chunk; `None` chooses it by the time of a step.
    pub(crate) steps_per_submission: Option<usize>,
    /// The plan; `None` lets the planner choose.
    pub(crate) plan: Option<&'a Plan>,
    /// Whether rows have sample weights.
    pub(crate) has_sample_weights: bool,
    /// The standard deviation of the noise on the features of the data set; 0 for no noise.
    pub(crate) input_noise_std: f32,
}

impl<'a> EngineConfig<'a> {
    /// Creates the configuration of members with the same training configuration, and a data set that is not uploaded
    /// yet.
    pub(crate) fn new(config: TrainingConfig<'a>, data: Option<&'a Dataset>, generators: Vec<StepGenerator>) -> Self {
        let TrainingConfig { network, shuffle, input_noise_std, has_sample_weights, steps_per_submission, plan } =
            config;
        Self {
            network,
            generators,
            data,
            device_dataset: None,
            must_stream: false,
            shuffle,
            steps_per_submission,
            plan,
            has_sample_weights,
            input_noise_std,
        }
    }
}

/// The layout of an engine: the sizes of its buffers and the sources of its kernels.
pub(crate) struct EngineLayout<'a> {
    pub(crate) config: EngineConfig<'a>,
    pub(crate) kernel_config: KernelConfig,
    pub(crate) scheme: Scheme,
    pub(crate) arenas: Arenas,
    pub(crate) kernel_set: KernelSet,
    pub(crate) schedule_groups: ScheduleGroups,
    pub(crate) chunk_dims: ChunkDims,
}

impl<'a> EngineLayout<'a> {
    /// Computes the layout of an engine, without allocating anything on the device.
    ///
    /// # Errors
    /// [`Error::InvalidPlan`](crate::Error::InvalidPlan) if the plan does not match the network, the batch size or the
    /// device.
    /// [`Error::DeviceLimit`](crate::Error::DeviceLimit) if the layout exceeds a limit of the device.
    pub(crate) fn new(gpu: &Gpu, config: EngineConfig<'a>) -> Result<Self> {
        let EngineConfig { network, ref generators, data, shuffle, plan, has_sample_weights, input_noise_std, .. } =
            config;
        let first = &generators[0];
        // The kernels include the penalty if any member has one. For the other members its factors are 0.
        let penalized = generators.iter().map(|generator| generator.optimizer).find(Optimizer::has_penalties);
        let optimizer = penalized.unwrap_or(first.optimizer);
        let stores_full_gradients = first.gradient_accumulation > 1
            || first.optimizer.needs_full_gradients()
            || network.has_per_neuron_parameters();
        let dims = ArenaDims {
            batch_size: first.batch_size,
            member_count: generators.len(),
            metrics_ring: metrics_ring_steps(gpu, generators),
            max_arena_bytes: gpu.max_binding_bytes(),
            stores_full_gradients,
            has_sample_weights,
        };
        let arenas = Arenas::new(network, dims);
        let scheme = match plan {
            Some(plan) => {
                plan_key(gpu, network, first.batch_size).check(&plan.key)?;
                plan.scheme.clone()
            }
            None => planner::choose_scheme(gpu, &arenas),
        };
        let arenas = arenas.with_scheme(&scheme);
        let byte_scale = data.and_then(|data| data.features_without_origin().byte_scale()).unwrap_or(1.0);
        let is_streamed = config.device_dataset.is_none()
            && data.is_some_and(|data| config.must_stream || stream::must_stream(gpu, data, has_sample_weights));
        let kernel_config = KernelConfig {
            gradient_accumulation: first.gradient_accumulation,
            shuffle,
            dataset_rows: data.map_or(1, Dataset::rows),
            byte_scale,
            input_noise_std,
            is_scaled: data.is_some_and(|data| data.scaler().is_some()),
            has_subsets: !is_streamed && generators.iter().any(|generator| generator.subset.is_some()),
            is_streamed,
            is_multi_label: first.is_multi_label,
            has_member_dropouts: generators.iter().any(|generator| generator.dropout.is_some()),
            ..KernelConfig::new(network, first.loss, optimizer)
        };
        planner::check_scheme(gpu, &scheme, &arenas)?;
        let (features, targets) = (data.map(Dataset::features), data.map(Dataset::targets));
        let schedule_groups = ScheduleGroups::new(generators);
        let mut chunk_dims = ChunkDims::new(gpu, &arenas, schedule_groups.count());
        match data {
            Some(data) if is_streamed => {
                let rows_per_step = arenas.member_count * arenas.padded_batch;
                let steps_per_shard = stream::batches_per_shard(gpu, data, rows_per_step, has_sample_weights)?;
                chunk_dims.max_steps = chunk_dims.max_steps.min(steps_per_shard);
            }
            // Only check that the device can hold the data set.
            Some(data) => drop(rows_per_shard(gpu, data, has_sample_weights)?),
            None => {}
        }
        let kernel_set = KernelSet::new(&arenas, &kernel_config, &scheme, features, targets, chunk_dims);
        arenas.check(kernel_config.optimizer, &gpu.limits)?;
        kernel_set.check(gpu)?;
        Buffers::check(gpu, chunk_dims)?;
        Ok(Self { config, kernel_config, scheme, arenas, kernel_set, schedule_groups, chunk_dims })
    }

    /// Returns the name and the bytes of each allocation of a training run on the device.
    pub(crate) fn bytes(&self) -> Vec<(&'static str, u64)> {
        let Self { config, kernel_config, arenas, chunk_dims, .. } = self;
        let mut all = arenas.arena_bytes(kernel_config.optimizer).to_vec();
        all.extend(Buffers::tables(*chunk_dims));
        let metrics_bytes = arenas.member_count * arenas.metrics_ring * size_of::<RawStepMetrics>();
        all.push(("metrics readback", metrics_bytes as u64));
        if kernel_config.has_subsets {
            all.push(("subsets", (arenas.member_count * size_of::<SubsetParams>()) as u64));
        }
        if let Some(data) = config.data.filter(|_| config.device_dataset.is_none()) {
            all.push(if kernel_config.is_streamed {
                let shard_rows = chunk_dims.max_steps * arenas.member_count * arenas.padded_batch;
                ("streamed rows", stream::ring_bytes(data, shard_rows, config.has_sample_weights))
            } else {
                ("data set", rows_bytes(data, data.rows(), config.has_sample_weights))
            });
        }
        all
    }
}

/// Returns the number of steps whose metrics fit into the ring. The host reads it by halves: a half holds about an
/// epoch, unless the metrics of all members then exceed [`MAX_METRICS_BYTES`].
fn metrics_ring_steps(gpu: &Gpu, generators: &[StepGenerator]) -> usize {
    let epoch = generators.iter().map(StepGenerator::steps_per_epoch).max().unwrap_or(1) as usize;
    let half = epoch.next_power_of_two().clamp(1 << 12, 1 << 16);
    let max_half_bytes = (gpu.max_binding_bytes() / 2).min(MAX_METRICS_BYTES) / 2;
    2 * half.min(max_half_bytes / generators.len() / size_of::<RawStepMetrics>()).max(1)
}

/// Returns the key of the plans for a network, a batch size and a device.
pub(crate) fn plan_key(gpu: &Gpu, network: &Network, batch_size: usize) -> PlanKey {
    let info = &gpu.info;
    let device = format!("{}, {}", info.name, info.backend);
    PlanKey::new(device, format!("{} {}", info.driver, info.driver_info), network, batch_size)
}
