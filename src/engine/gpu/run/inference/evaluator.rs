//! Predictions and evaluations on a data set, batch by batch. The host reads back either the outputs or the sums of the
//! metrics.

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
            buffers::{ARENA_USAGES, Buffers},
            kernel_config::KernelConfig,
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

/// The location of a data set for an evaluation.
pub(crate) enum DatasetLocation {
    /// The device already holds the data set.
    OnDevice(DeviceDataset),
    /// The data set may be uploaded to the device.
    MayUpload,
    /// The data set must be streamed.
    MustStream,
}

/// The source of the rows of a data set.
enum RowSource {
    OnDevice(DeviceDataset),
    Streamed(RowStream),
}

impl RowSource {
    /// Uploads the data set, or creates a stream whose shards have room for `shard_rows` rows.
    async fn new(
        gpu: &Gpu,
        data: &Dataset,
        location: DatasetLocation,
        (shard_rows, has_sample_weights): (usize, bool),
    ) -> Result<Self> {
        gpu.check_alive().await?;
        Ok(match location {
            DatasetLocation::OnDevice(dataset) => Self::OnDevice(dataset),
            DatasetLocation::MayUpload => Self::OnDevice(DeviceDataset::new(gpu, data, has_sample_weights).await?),
            DatasetLocation::MustStream => {
                Self::Streamed(RowStream::new(gpu, data, shard_rows, has_sample_weights).await?)
            }
        })
    }

    fn shards(&self) -> &[Shard] {
        match self {
            Self::OnDevice(dataset) => &dataset.shards,
            Self::Streamed(stream) => stream.shards(),
        }
    }
}

/// The kernels that gather the rows of a data set into the arena of a forward pass, batch by batch.
pub(crate) struct BatchLoader {
    data: Dataset,
    source: RowSource,
    /// The number of rows per batch.
    batch_size: usize,
    find_rows: Kernel,
    gather: Kernel,
    /// The bind groups, one per shard.
    bind_groups: Vec<wgpu::BindGroup>,
    /// The buffer of the members' subsets, and the bind group of the kernels that read it, if members are evaluated on
    /// subsets.
    subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    /// The number of the batch.
    cursor: wgpu::Buffer,
}

impl BatchLoader {
    /// Creates a loader for the predictor of one member. It uploads the data set if the device does not hold it yet.
    pub(crate) async fn new(
        gpu: &Gpu,
        forward: &ForwardPass,
        config: &KernelConfig,
        data: &Dataset,
        location: DatasetLocation,
    ) -> Result<Self> {
        let source = RowSource::new(gpu, data, location, (forward.arenas.padded_batch, false)).await?;
        let kernels = EvaluationKernels::new(&forward.arenas, &evaluation_config(config, data, false, false), data);
        let buffers = Buffers::minimal(gpu).await?;
        let (loader, _) = Self::with_source(gpu, forward, &kernels, data, source, (false, buffers)).await?;
        Ok(loader)
    }

    /// Creates a loader from a source of rows, with a subset per member if `has_subsets` is set. Also returns the
    /// binding layout of its kernels.
    async fn with_source(
        gpu: &Gpu,
        forward: &ForwardPass,
        kernels: &EvaluationKernels,
        data: &Dataset,
        source: RowSource,
        (has_subsets, buffers): (bool, Buffers),
    ) -> Result<(Self, BindingLayout)> {
        let arenas = &forward.arenas;
        [&kernels.find_rows, &kernels.gather].into_iter().try_for_each(|dispatch| gpu.check_dispatch(dispatch))?;
        let rows = gpu.buffer("rows", (4 * arenas.padded_batch * arenas.member_count) as u64, ARENA_USAGES).await?;
        let buffers = Buffers { rows, activations: forward.activations.clone(), ..buffers };
        let mut shards = source.shards().to_vec();
        let subsets = if has_subsets {
            Some(upload_subsets(gpu, &vec![SubsetParams::all_rows(1); arenas.member_count]).await?)
        } else {
            None
        };
        if let Some(subsets) = &subsets {
            // The kernels that read the subsets read no features, so the subsets use the binding of the features.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (binding_layout, mut bind_groups) = bind_window(gpu, arenas, &buffers, &shards, data.scaler()).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, bind_groups.pop()?)));
        let loader = Self {
            data: data.clone(),
            source,
            batch_size: arenas.padded_batch,
            find_rows: binding_layout.kernel(gpu, &kernels.find_rows).await?,
            gather: binding_layout.kernel(gpu, &kernels.gather).await?,
            bind_groups,
            subsets,
            cursor: buffers.cursors,
        };
        Ok((loader, binding_layout))
    }

    /// Returns whether this is a loader of `data`.
    pub(crate) fn is_for(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    /// Computes the outputs of one member for all rows. `take` receives a range of rows and their outputs, batch by
    /// batch.
    pub(crate) async fn predict_dataset(
        &self,
        gpu: &Gpu,
        predictor: &Predictor,
        take: impl FnMut(Range<usize>, Vec<f32>),
    ) -> Result<()> {
        let forward = predictor.forward();
        let submit_batch = |batch| {
            self.submit_batch(gpu, batch, (1, &[]), |pass| forward.record(pass));
        };
        predictor.predict_batches(self.data.rows(), take, submit_batch).await?;
        self.data.check_read()
    }

    /// Submits the kernels that gather a batch for `member_count` members, followed by the commands of `record`.
    /// `subsets` are the subsets of the members; if empty, all members share the rows.
    fn submit_batch(
        &self,
        gpu: &Gpu,
        batch: usize,
        (member_count, subsets): (usize, &[SubsetParams]),
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> wgpu::SubmissionIndex {
        gpu.upload(&self.cursor, 0, bytemuck::cast_slice(&[batch as u32, 0]));
        let mut bind_groups = &*self.bind_groups;
        if let RowSource::Streamed(stream) = &self.source {
            stream.upload_batch(gpu, (self.batch_size, batch), subsets);
            bind_groups = &bind_groups[stream.current()..=stream.current()];
        }
        gpu.compute(|pass| {
            for (shard, group) in bind_groups.iter().enumerate() {
                if shard == 0 {
                    pass.set_bind_group(0, self.subset_bind_group().unwrap_or(group), &[0]);
                    self.find_rows.record_workgroups(pass, self.find_rows.workgroups_for(member_count));
                }
                pass.set_bind_group(0, group, &[0]);
                self.gather.record_workgroups(pass, self.gather.workgroups_for(member_count));
            }
            record(pass);
        })
    }

    /// Returns the bind group of the subsets, if members are evaluated on subsets.
    fn subset_bind_group(&self) -> Option<&wgpu::BindGroup> {
        self.subsets.as_ref().map(|(_, group)| group)
    }
}

/// Returns the configuration of the kernels of an evaluation on `data`. `config` is that of the training.
fn evaluation_config(config: &KernelConfig, data: &Dataset, has_subsets: bool, is_streamed: bool) -> KernelConfig {
    KernelConfig {
        shuffle: false,
        dataset_rows: data.rows(),
        byte_scale: data.features_without_origin().byte_scale().unwrap_or(1.0),
        input_noise_std: 0.0,
        is_scaled: data.scaler().is_some(),
        has_subsets,
        is_streamed,
        ..config.clone()
    }
}

/// The evaluation of the members of an engine on a data set.
pub(crate) struct DeviceEvaluator {
    forward: ForwardPass,
    batch_loader: BatchLoader,
    kernel: Kernel,
    /// The sums of the metrics, per member.
    metric_sums: wgpu::Buffer,
    /// Whether the targets are multi-label.
    is_multi_label: bool,
}

impl DeviceEvaluator {
    /// Creates an evaluator for `member_count` members. It uploads the data set if the device does not hold it yet.
    ///
    /// `buffers` are the buffers of the engine, and `step_layout` is the layout of its step kernels.
    pub(crate) async fn new(
        gpu: &Gpu,
        (network, member_count): (&Network, usize),
        config: &KernelConfig,
        (step_layout, buffers): (&BindingLayout, &Buffers),
        data: &Dataset,
        location: DatasetLocation,
        (has_subsets, is_multi_label): (bool, bool),
    ) -> Result<Self> {
        let config = &KernelConfig { is_multi_label, ..config.clone() };
        // A softmax loss is computed from the logits.
        let logits_config = KernelConfig { ends_with_softmax: false, ..config.clone() };
        let has_sample_weights = data.sample_weights().is_some();
        let mut rows = data.rows().min(max_evaluated_rows(gpu, network, data, is_multi_label));
        let streams_subsets = has_subsets && matches!(location, DatasetLocation::MustStream);
        if streams_subsets {
            // A shard must hold at least four rows of every member.
            rows = rows.min(4 * stream::batches_per_shard(gpu, data, 4 * member_count, has_sample_weights)?);
        }
        let batch = (rows.next_multiple_of(4), has_sample_weights);
        let layout = ForwardLayout::new(gpu, network, member_count, &logits_config, batch)?;
        let forward = ForwardPass::new(gpu, layout, step_layout, buffers).await?;
        let shard_rows = forward.arenas.padded_batch * if streams_subsets { member_count } else { 1 };
        let source = RowSource::new(gpu, data, location, (shard_rows, has_sample_weights)).await?;
        let evaluation_config = evaluation_config(config, data, has_subsets, streams_subsets);
        let kernels = EvaluationKernels::new(&forward.arenas, &evaluation_config, data);
        gpu.check_dispatch(&kernels.sum_metrics)?;
        let pairs = metric_pairs(&forward.arenas, data.targets(), is_multi_label);
        let metric_sums = gpu.buffer("metric sums", (8 * pairs * member_count) as u64, ARENA_USAGES).await?;
        let window_buffers = Buffers { metrics: metric_sums.clone(), ..Buffers::minimal(gpu).await? };
        let (batch_loader, window_layout) =
            BatchLoader::with_source(gpu, &forward, &kernels, data, source, (has_subsets, window_buffers)).await?;
        let kernel = window_layout.kernel(gpu, &kernels.sum_metrics).await?;
        Ok(Self { forward, batch_loader, kernel, metric_sums, is_multi_label })
    }

    /// Returns whether this evaluator can evaluate `data` with these options.
    pub(crate) fn is_for(&self, data: &Dataset, has_subsets: bool, is_multi_label: bool) -> bool {
        self.batch_loader.is_for(data)
            && self.is_multi_label == is_multi_label
            && self.batch_loader.subsets.is_some() == has_subsets
    }

    /// Returns the data set on the device, unless it is streamed.
    pub(crate) const fn device_dataset(&self) -> Option<&DeviceDataset> {
        match &self.batch_loader.source {
            RowSource::OnDevice(dataset) => Some(dataset),
            RowSource::Streamed(_) => None,
        }
    }

    /// Computes the metrics of the first `subsets.len()` members, with a single readback. `None` evaluates a member on
    /// all rows.
    pub(crate) async fn evaluate(&self, gpu: &Gpu, subsets: &[Option<SubsetParams>]) -> Result<Vec<MetricSums>> {
        let Self { forward, batch_loader, kernel, metric_sums, is_multi_label } = self;
        let (arenas, data, member_count) = (&forward.arenas, &batch_loader.data, subsets.len());
        let all_rows = SubsetParams::all_rows(data.rows() as u32);
        let subsets: Vec<_> = subsets.iter().map(|subset| subset.unwrap_or(all_rows)).collect();
        let mut member_subsets: &[SubsetParams] = &[];
        if let Some((buffer, _)) = &batch_loader.subsets {
            gpu.upload(buffer, 0, bytemuck::cast_slice(&subsets));
            member_subsets = &subsets;
        }
        let mut encoder = gpu.encoder();
        encoder.clear_buffer(metric_sums, 0, None);
        gpu.submit(encoder);
        let mut in_flight = VecDeque::new();
        let max_rows = subsets.iter().map(|subset| subset.rows as usize).max().unwrap_or(0);
        for batch in 0..max_rows.div_ceil(arenas.padded_batch) {
            if in_flight.len() > MAX_CHUNKS_IN_FLIGHT
                && let Some(oldest) = in_flight.pop_front()
            {
                gpu.wait(oldest).await?;
            }
            in_flight.push_back(batch_loader.submit_batch(gpu, batch, (member_count, member_subsets), |pass| {
                forward.record_members(pass, member_count);
                let bind_group = batch_loader.subset_bind_group().unwrap_or(&batch_loader.bind_groups[0]);
                pass.set_bind_group(0, bind_group, &[0]);
                kernel.record_workgroups(pass, kernel.workgroups_for(member_count));
            }));
        }
        let pairs = metric_pairs(arenas, data.targets(), *is_multi_label);
        let sums: Vec<f32> = read(gpu, metric_sums, 0, 2 * pairs * member_count).await?;
        data.check_read()?;
        let member_sums = |sums| MetricSums::new(sums, arenas.outputs(), *is_multi_label);
        Ok(sums.chunks_exact(2 * pairs).map(member_sums).collect())
    }
}
