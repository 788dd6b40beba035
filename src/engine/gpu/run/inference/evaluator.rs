//! A data set on the device that networks are tested on, a batch after the other: either their outputs come back, or what
//! these are worth.

use std::{collections::VecDeque, ops::Range};

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::gpu::{
        data::{
            dataset::{DeviceDataset, Shard, bind_window, upload_subsets},
            stream,
            stream::RowStream,
        },
        device::{
            Gpu,
            pacer::MAX_CHUNKS_IN_FLIGHT,
            pipeline::{BindingLayout, Kernel},
            readback::read,
        },
        kernels::windows::{EvaluationKernels, max_evaluated_rows, metric_pairs},
        layout::{
            arenas::KernelConfig,
            buffers::{ARENA_USAGES, Buffers},
        },
        run::inference::{
            forward::{ForwardLayout, ForwardPass},
            predictor::Predictor,
        },
    },
    error::Result,
    metrics::MetricSums,
    nn::network::Network,
};

/// Whether a device holds a data set.
pub(crate) enum DatasetLocation {
    OnDevice(DeviceDataset),
    /// It may.
    MayUpload,
    /// It shall not.
    MustStream,
}

/// Where the rows of a data set come from.
enum RowSource {
    Resident(DeviceDataset),
    Streamed(RowStream),
}

impl RowSource {
    /// `room`: how many rows are brought at once where they are streamed.
    async fn new(
        gpu: &Gpu,
        data: &Dataset,
        location: DatasetLocation,
        (room, weighted): (usize, bool),
    ) -> Result<Self> {
        gpu.check_alive().await?;
        Ok(match location {
            DatasetLocation::OnDevice(uploaded) => Self::Resident(uploaded),
            DatasetLocation::MayUpload => Self::Resident(DeviceDataset::new(gpu, data, weighted).await?),
            DatasetLocation::MustStream => Self::Streamed(RowStream::new(gpu, data, room, weighted).await?),
        })
    }

    fn shards(&self) -> &[Shard] {
        match self {
            Self::Resident(uploaded) => &uploaded.shards,
            Self::Streamed(stream) => stream.shards(),
        }
    }
}

/// Brings the rows of a data set to where a predictor wants them.
pub(crate) struct BatchLoader {
    data: Dataset,
    source: RowSource,
    /// How many rows are brought at once.
    batch_size: usize,
    find_rows: Kernel,
    gather: Kernel,
    /// One a shard.
    bind_groups: Vec<wgpu::BindGroup>,
    /// Where each network has rows of its own: what says which, and what is bound where a kernel has to know it.
    subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    /// Which batch it is.
    cursor: wgpu::Buffer,
}

impl BatchLoader {
    /// Uploads a data set, unless it is there, for a predictor of single networks.
    pub(crate) async fn new(
        gpu: &Gpu,
        forward: &ForwardPass,
        config: &KernelConfig,
        data: &Dataset,
        location: DatasetLocation,
    ) -> Result<Self> {
        let source = RowSource::new(gpu, data, location, (forward.arenas.padded_batch, false)).await?;
        let pass = EvaluationKernels::new(&forward.arenas, &evaluation_config(config, data, false, false), data);
        let spares = Buffers::minimal(gpu).await?;
        Ok(Self::with_source(gpu, forward, &pass, data, source, (false, spares)).await?.0)
    }

    /// The same, where need be with rows of its own for each network, and what its kernels are bound by.
    async fn with_source(
        gpu: &Gpu,
        forward: &ForwardPass,
        pass: &EvaluationKernels,
        data: &Dataset,
        source: RowSource,
        (has_subsets, buffers): (bool, Buffers),
    ) -> Result<(Self, BindingLayout)> {
        let arenas = &forward.arenas;
        [&pass.find_rows, &pass.gather].into_iter().try_for_each(|dispatch| gpu.check_dispatch(dispatch))?;
        let rows = gpu.buffer("rows", (4 * arenas.padded_batch * arenas.member_count) as u64, ARENA_USAGES).await?;
        let buffers = Buffers { rows, activations: forward.activations.clone(), ..buffers };
        let mut shards = source.shards().to_vec();
        let subsets = if has_subsets {
            Some(upload_subsets(gpu, &vec![SubsetParams::all_rows(1); arenas.member_count]).await?)
        } else {
            None
        };
        if let Some(subsets) = &subsets {
            // These kernels look at no features: what says which rows to take lies in their place.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (set, mut groups) = bind_window(gpu, arenas, &buffers, &shards, data.scaler()).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, groups.pop()?)));
        let [order, gather] = [set.kernel(gpu, &pass.find_rows).await?, set.kernel(gpu, &pass.gather).await?];
        let data = data.clone();
        Ok((
            Self {
                data,
                source,
                batch_size: arenas.padded_batch,
                find_rows: order,
                gather,
                bind_groups: groups,
                subsets,
                cursor: buffers.cursors,
            },
            set,
        ))
    }

    /// Whether it is of this data set.
    pub(crate) fn is_for(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    /// The outputs of a single network for all rows, some rows after the other.
    pub(crate) async fn predict_dataset(
        &self,
        gpu: &Gpu,
        predictor: &Predictor,
        take: impl FnMut(Range<usize>, Vec<f32>),
    ) -> Result<()> {
        let forward = predictor.forward();
        let bring = |batch| {
            self.load_batch(gpu, batch, (1, &[]), |pass| forward.record(pass));
        };
        predictor.predict_batches(self.data.rows(), take, bring).await?;
        self.data.check_read()
    }

    /// Brings a batch of rows for so many networks, for each of its own if there are `subsets`, and does with it what
    /// follows.
    fn load_batch(
        &self,
        gpu: &Gpu,
        batch: usize,
        (models, subsets): (usize, &[SubsetParams]),
        then: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> wgpu::SubmissionIndex {
        gpu.upload(&self.cursor, 0, bytemuck::cast_slice(&[batch as u32, 0]));
        let mut groups = &*self.bind_groups;
        if let RowSource::Streamed(stream) = &self.source {
            stream.upload_batch(gpu, (self.batch_size, batch), subsets);
            groups = &groups[stream.current()..=stream.current()];
        }
        gpu.compute(|pass| {
            for (i, group) in groups.iter().enumerate() {
                if i == 0 {
                    pass.set_bind_group(0, self.subset_bind_group().unwrap_or(group), &[0]);
                    self.find_rows.record_workgroups(pass, self.find_rows.workgroups_for(models));
                }
                pass.set_bind_group(0, group, &[0]);
                self.gather.record_workgroups(pass, self.gather.workgroups_for(models));
            }
            then(pass);
        })
    }

    /// What says which rows to take, where it is bound apart from the rows.
    fn subset_bind_group(&self) -> Option<&wgpu::BindGroup> {
        self.subsets.as_ref().map(|(_, group)| group)
    }
}

/// What the kernels over a data set that networks are tested on are assembled from.
fn evaluation_config(config: &KernelConfig, data: &Dataset, has_subsets: bool, streams: bool) -> KernelConfig {
    let scale = data.features_without_origin().byte_scale().unwrap_or(1.0);
    let (data_rows, is_scaled) = (data.rows(), data.scaler().is_some());
    KernelConfig {
        shuffle: false,
        dataset_rows: data_rows,
        byte_scale: scale,
        input_noise_std: 0.0,
        is_scaled,
        has_subsets,
        is_streamed: streams,
        ..config.clone()
    }
}

/// Tells what many networks are worth on a data set.
pub(crate) struct DeviceEvaluator {
    forward: ForwardPass,
    batch_loader: BatchLoader,
    kernel: Kernel,
    /// What it adds up.
    metric_sums: wgpu::Buffer,
    /// Whether outputs are labels.
    is_multi_label: bool,
}

impl DeviceEvaluator {
    /// For networks of one shape; see [`BatchLoader`].
    pub(crate) async fn new(
        gpu: &Gpu,
        (network, models): (&Network, usize),
        config: &KernelConfig,
        (set, buffers): (&BindingLayout, &Buffers),
        data: &Dataset,
        location: DatasetLocation,
        (has_subsets, labels): (bool, bool),
    ) -> Result<Self> {
        let members = &KernelConfig { is_multi_label: labels, ..config.clone() };
        // The loss takes logits.
        let of_logits = KernelConfig { ends_with_softmax: false, ..members.clone() };
        let weighted = data.sample_weights().is_some();
        let mut rows = data.rows().min(max_evaluated_rows(gpu, network, data, labels));
        let streams = has_subsets && matches!(location, DatasetLocation::MustStream);
        if streams {
            // Each network brings rows of its own: four of each at least.
            rows = rows.min(4 * stream::batches_per_shard(gpu, data, 4 * models, weighted)?);
        }
        let design = ForwardLayout::new(gpu, network, models, &of_logits, (rows.next_multiple_of(4), weighted))?;
        let forward = ForwardPass::new(gpu, design, set, buffers).await?;
        let room = forward.arenas.padded_batch * if streams { models } else { 1 };
        let source = RowSource::new(gpu, data, location, (room, weighted)).await?;
        let pass =
            EvaluationKernels::new(&forward.arenas, &evaluation_config(members, data, has_subsets, streams), data);
        gpu.check_dispatch(&pass.sum_metrics)?;
        let pairs = metric_pairs(&forward.arenas, data.targets(), labels);
        let scores = gpu.buffer("scores", (8 * pairs * models) as u64, ARENA_USAGES).await?;
        let bound = Buffers { metrics: scores.clone(), ..Buffers::minimal(gpu).await? };
        let (evaluator, set) =
            BatchLoader::with_source(gpu, &forward, &pass, data, source, (has_subsets, bound)).await?;
        let kernel = set.kernel(gpu, &pass.sum_metrics).await?;
        Ok(Self { forward, batch_loader: evaluator, kernel, metric_sums: scores, is_multi_label: labels })
    }

    pub(crate) fn is_for(&self, data: &Dataset, has_subsets: bool, is_multi_label: bool) -> bool {
        self.batch_loader.is_for(data)
            && self.is_multi_label == is_multi_label
            && self.batch_loader.subsets.is_some() == has_subsets
    }

    pub(crate) const fn device_dataset(&self) -> Option<&DeviceDataset> {
        match &self.batch_loader.source {
            RowSource::Resident(uploaded) => Some(uploaded),
            RowSource::Streamed(_) => None,
        }
    }

    /// What the first networks are worth, as many as there are `rows`, on these rows. One read back.
    pub(crate) async fn evaluate(&self, gpu: &Gpu, rows: &[Option<SubsetParams>]) -> Result<Vec<MetricSums>> {
        let Self { forward, batch_loader: evaluator, kernel, metric_sums: scores, is_multi_label: labels } = self;
        let (arenas, data) = (&forward.arenas, &evaluator.data);
        let subsets: Vec<_> =
            rows.iter().map(|rows| rows.unwrap_or_else(|| SubsetParams::all_rows(data.rows() as u32))).collect();
        let mut own: &[SubsetParams] = &[];
        if let Some((buffer, _)) = &evaluator.subsets {
            gpu.upload(buffer, 0, bytemuck::cast_slice(&subsets));
            own = &subsets;
        }
        let mut encoder = gpu.encoder();
        encoder.clear_buffer(scores, 0, None);
        gpu.submit(encoder);
        let mut in_flight = VecDeque::new();
        let most = subsets.iter().map(|subset| subset.rows as usize).max().unwrap_or(0);
        for batch in 0..most.div_ceil(arenas.padded_batch) {
            if in_flight.len() > MAX_CHUNKS_IN_FLIGHT
                && let Some(oldest) = in_flight.pop_front()
            {
                gpu.wait(oldest).await?;
            }
            in_flight.push_back(evaluator.load_batch(gpu, batch, (rows.len(), own), |pass| {
                forward.record_members(pass, rows.len());
                pass.set_bind_group(0, evaluator.subset_bind_group().unwrap_or(&evaluator.bind_groups[0]), &[0]);
                kernel.record_workgroups(pass, kernel.workgroups_for(rows.len()));
            }));
        }
        let pairs = metric_pairs(arenas, data.targets(), *labels);
        let numbers: Vec<f32> = read(gpu, scores, 0, 2 * pairs * rows.len()).await?;
        data.check_read()?;
        let score = |numbers| MetricSums::new(numbers, arenas.outputs(), *labels);
        Ok(numbers.chunks_exact(2 * pairs).map(score).collect())
    }
}
