//! How networks are to be trained on a device, found out before anything is allocated.

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
                arenas::{ArenaDims, Arenas, KernelConfig},
                buffers::Buffers,
                chunk::{ChunkDims, ScheduleGroups},
            },
            plan::planner,
        },
        step::StepGenerator,
    },
    error::Result,
    nn::network::Network,
    optim::optimizer::Optimizer,
    plan::{Plan, PlanKey, Scheme},
};

/// Loss and right answers of a step, as `total` writes them.
pub(crate) type RawStepMetrics = [f32; 2];

/// The most bytes that the metrics of many networks take until they are read.
const MAX_METRICS_BYTES: usize = 64 << 20;

/// What is trained: networks of one shape, each with its course, on one data set.
#[derive(Clone)]
pub(crate) struct EngineConfig<'a> {
    pub(crate) network: &'a Network,
    /// One a model.
    pub(crate) generators: Vec<StepGenerator>,
    pub(crate) data: Option<&'a Dataset>,
    /// The same on the device, if it is there already.
    pub(crate) device_dataset: Option<DeviceDataset>,
    /// Whether the device shall not hold it, even if it could.
    pub(crate) must_stream: bool,
    pub(crate) shuffle: bool,
    /// Steps a chunk; by time if not given.
    pub(crate) steps_per_submission: Option<usize>,
    /// The planner's own if not given.
    pub(crate) plan: Option<&'a Plan>,
    /// Whether rows have weights.
    pub(crate) has_sample_weights: bool,
    /// The standard deviation of the noise on the features of the data set.
    pub(crate) input_noise_std: f32,
}

impl<'a> EngineConfig<'a> {
    /// Networks that are trained alike on one data set, which the device does not hold yet.
    pub(crate) fn new(config: TrainingConfig<'a>, data: Option<&'a Dataset>, generators: Vec<StepGenerator>) -> Self {
        let TrainingConfig {
            network,
            shuffle,
            input_noise_std: noise,
            has_sample_weights: weighted,
            steps_per_submission: chunk,
            plan,
        } = config;
        Self {
            network,
            generators,
            data,
            device_dataset: None,
            must_stream: false,
            shuffle,
            steps_per_submission: chunk,
            plan,
            has_sample_weights: weighted,
            input_noise_std: noise,
        }
    }
}

/// What is allocated for a setup, and what runs on it.
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
    /// Finds out how these networks are trained, and refuses what the device cannot hold.
    pub(crate) fn new(gpu: &Gpu, config: EngineConfig<'a>) -> Result<Self> {
        let EngineConfig {
            network,
            generators: ref courses,
            data,
            shuffle,
            plan,
            has_sample_weights: weighted,
            input_noise_std: noise,
            ..
        } = config;
        let course = courses[0].clone();
        // A penalty of 0 changes nothing, but one that is not linked cannot be another.
        let penalized = courses.iter().map(|course| course.optimizer).find(Optimizer::has_penalties);
        let optimizer = penalized.unwrap_or(course.optimizer);
        let epoch = courses.iter().map(StepGenerator::steps_per_epoch).max().unwrap_or(1) as usize;
        let ring = epoch.next_power_of_two().clamp(1 << 12, 1 << 16);
        let ring = 2 * ring
            .min((gpu.max_binding_bytes() / 2).min(MAX_METRICS_BYTES) / 2 / courses.len() / size_of::<RawStepMetrics>())
            .max(1);
        let keeps_gradients = course.gradient_accumulation > 1
            || course.optimizer.needs_full_gradients()
            || network.has_per_neuron_parameters();
        let extent = ArenaDims {
            batch_size: course.batch_size,
            member_count: courses.len(),
            metrics_ring: ring,
            max_arena_bytes: gpu.max_binding_bytes(),
            stores_full_gradients: keeps_gradients,
            has_sample_weights: weighted,
        };
        let arenas = Arenas::new(network, extent);
        let scheme = match plan {
            Some(plan) => {
                plan_key(gpu, network, course.batch_size).check(&plan.key)?;
                plan.scheme.clone()
            }
            None => planner::choose_scheme(gpu, &arenas),
        };
        let arenas = arenas.with_scheme(&scheme);
        let scale = data.and_then(|data| data.features_without_origin().byte_scale()).unwrap_or(1.0);
        let streams = config.device_dataset.is_none()
            && data.is_some_and(|data| config.must_stream || stream::must_stream(gpu, data, weighted));
        let members = KernelConfig {
            gradient_accumulation: course.gradient_accumulation,
            shuffle,
            dataset_rows: data.map_or(1, Dataset::rows),
            byte_scale: scale,
            input_noise_std: noise,
            is_scaled: data.is_some_and(|data| data.scaler().is_some()),
            has_subsets: !streams && courses.iter().any(|course| course.subset.is_some()),
            is_streamed: streams,
            is_multi_label: course.is_multi_label,
            has_member_dropouts: courses.iter().any(|course| course.dropout.is_some()),
            ..KernelConfig::new(network, course.loss, optimizer)
        };
        planner::check_scheme(gpu, &scheme, &arenas)?;
        let (features, answers) = (data.map(Dataset::features), data.map(Dataset::targets));
        let tempos = ScheduleGroups::new(courses);
        let mut length = ChunkDims::new(gpu, &arenas, tempos.count());
        match data {
            Some(data) if streams => {
                let rows = arenas.member_count * arenas.padded_batch;
                length.max_steps = length.max_steps.min(stream::batches_per_shard(gpu, data, rows, weighted)?);
            }
            Some(data) => drop(rows_per_shard(gpu, data, weighted)?),
            None => {}
        }
        let dispatches = KernelSet::new(&arenas, &members, &scheme, features, answers, length);
        arenas.check(members.optimizer, &gpu.limits)?;
        dispatches.check(gpu)?;
        Buffers::check(gpu, length)?;
        Ok(Self {
            config,
            kernel_config: members,
            scheme,
            arenas,
            kernel_set: dispatches,
            schedule_groups: tempos,
            chunk_dims: length,
        })
    }

    /// What a training allocates on the device: names and bytes.
    pub(crate) fn bytes(&self) -> Vec<(&'static str, u64)> {
        let Self { config: setup, kernel_config: members, arenas, chunk_dims: length, .. } = self;
        let mut all = arenas.arena_bytes(members.optimizer).to_vec();
        all.extend(Buffers::tables(*length));
        all.push((
            "losses that are read",
            (arenas.member_count * arenas.metrics_ring * size_of::<RawStepMetrics>()) as u64,
        ));
        if members.has_subsets {
            all.push(("rows of each network", (arenas.member_count * size_of::<SubsetParams>()) as u64));
        }
        if let Some(data) = setup.data.filter(|_| setup.device_dataset.is_none()) {
            let weighted = setup.has_sample_weights;
            all.push(if members.is_streamed {
                let rows = length.max_steps * arenas.member_count * arenas.padded_batch;
                ("rows on their way", stream::ring_bytes(data, rows, weighted))
            } else {
                ("data set", rows_bytes(data, data.rows(), weighted))
            });
        }
        all
    }
}

/// What a plan of this network is made for on a device.
pub(crate) fn plan_key(gpu: &Gpu, network: &Network, batch: usize) -> PlanKey {
    let info = &gpu.info;
    let device = format!("{}, {}", info.name, info.backend);
    PlanKey::new(device, format!("{} {}", info.driver, info.driver_info), network, batch)
}
