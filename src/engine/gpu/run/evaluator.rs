//! A data set on the device that networks are tested on, a batch after the other: either their outputs come back, or what
//! these are worth.

use std::{collections::VecDeque, ops::Range};

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::gpu::{
        data::{
            dataset::{Shard, Uploaded, bind_window, upload_subsets},
            stream,
            stream::Stream,
        },
        device::{
            Gpu,
            pacer::IN_FLIGHT,
            pipeline::{Kernel, Set},
            readback::read,
        },
        kernels::windows::{Pass, score_pairs, scored_at_once},
        layout::{
            arenas::Members,
            buffers::{ARENA, Buffers},
        },
        run::{
            forward::{Design, Forward},
            predictor::Predictor,
        },
    },
    error::Result,
    metrics::Score,
    nn::network::Network,
};

/// Whether a device holds a data set.
pub(crate) enum Held {
    Already(Uploaded),
    /// It may.
    NotYet,
    /// It shall not.
    Never,
}

/// Where the rows of a data set come from.
enum Source {
    Resident(Uploaded),
    Streamed(Stream),
}

impl Source {
    /// `room`: how many rows are brought at once where they are streamed.
    async fn new(gpu: &Gpu, data: &Dataset, held: Held, (room, weighted): (usize, bool)) -> Result<Self> {
        gpu.check_alive().await?;
        Ok(match held {
            Held::Already(uploaded) => Self::Resident(uploaded),
            Held::NotYet => Self::Resident(Uploaded::new(gpu, data, weighted).await?),
            Held::Never => Self::Streamed(Stream::new(gpu, data, room, weighted).await?),
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
pub(crate) struct Evaluator {
    data: Dataset,
    source: Source,
    /// How many rows are brought at once.
    batch: usize,
    order: Kernel,
    gather: Kernel,
    /// One a shard.
    groups: Vec<wgpu::BindGroup>,
    /// Where each network has rows of its own: what says which, and what is bound where a kernel has to know it.
    subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    /// Which batch it is.
    cursor: wgpu::Buffer,
}

impl Evaluator {
    /// Uploads a data set, unless it is there, for a predictor of single networks.
    pub(crate) async fn new(
        gpu: &Gpu,
        forward: &Forward,
        members: &Members,
        data: &Dataset,
        held: Held,
    ) -> Result<Self> {
        let source = Source::new(gpu, data, held, (forward.arenas.batch, false)).await?;
        let pass = Pass::new(&forward.arenas, &of_data(members, data, false, false), data);
        let spares = Buffers::spares(gpu).await?;
        Ok(Self::with_rows(gpu, forward, &pass, data, source, (false, spares)).await?.0)
    }

    /// The same, where need be with rows of its own for each network, and what its kernels are bound by.
    async fn with_rows(
        gpu: &Gpu,
        forward: &Forward,
        pass: &Pass,
        data: &Dataset,
        source: Source,
        (has_subsets, buffers): (bool, Buffers),
    ) -> Result<(Self, Set)> {
        let arenas = &forward.arenas;
        [&pass.order, &pass.gather].into_iter().try_for_each(|dispatch| dispatch.check(gpu))?;
        let rows = gpu.buffer("rows", (4 * arenas.batch * arenas.models) as u64, ARENA).await?;
        let buffers = Buffers { rows, activations: forward.activations.clone(), ..buffers };
        let mut shards = source.shards().to_vec();
        let subsets =
            if has_subsets { Some(upload_subsets(gpu, &vec![Subset::whole(1); arenas.models]).await?) } else { None };
        if let Some(subsets) = &subsets {
            // These kernels look at no features: what says which rows to take lies in their place.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (set, mut groups) = bind_window(gpu, arenas, &buffers, &shards, data.scaler()).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, groups.pop()?)));
        let [order, gather] = [set.kernel(gpu, &pass.order).await?, set.kernel(gpu, &pass.gather).await?];
        let data = data.clone();
        Ok((Self { data, source, batch: arenas.batch, order, gather, groups, subsets, cursor: buffers.cursors }, set))
    }

    /// Whether it is of this data set.
    pub(crate) fn is_of(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    /// The outputs of a single network for all rows, some rows after the other.
    pub(crate) async fn outputs(
        &self,
        gpu: &Gpu,
        predictor: &Predictor,
        take: impl FnMut(Range<usize>, Vec<f32>),
    ) -> Result<()> {
        let forward = predictor.forward();
        let bring = |batch| {
            self.bring(gpu, batch, (1, &[]), |pass| forward.record(pass));
        };
        predictor.outputs(self.data.rows(), take, bring).await?;
        self.data.check_read()
    }

    /// Brings a batch of rows for so many networks, for each of its own if there are `subsets`, and does with it what
    /// follows.
    fn bring(
        &self,
        gpu: &Gpu,
        batch: usize,
        (models, subsets): (usize, &[Subset]),
        then: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> wgpu::SubmissionIndex {
        gpu.upload(&self.cursor, 0, bytemuck::cast_slice(&[batch as u32, 0]));
        let mut groups = &*self.groups;
        if let Source::Streamed(stream) = &self.source {
            stream.bring_batch(gpu, (self.batch, batch), subsets);
            groups = &groups[stream.turn()..=stream.turn()];
        }
        gpu.compute(|pass| {
            for (i, group) in groups.iter().enumerate() {
                if i == 0 {
                    pass.set_bind_group(0, self.rows_group().unwrap_or(group), &[0]);
                    self.order.record_over(pass, self.order.groups_over(models));
                }
                pass.set_bind_group(0, group, &[0]);
                self.gather.record_over(pass, self.gather.groups_over(models));
            }
            then(pass);
        })
    }

    /// What says which rows to take, where it is bound apart from the rows.
    fn rows_group(&self) -> Option<&wgpu::BindGroup> {
        self.subsets.as_ref().map(|(_, group)| group)
    }
}

/// What the kernels over a data set that networks are tested on are assembled from.
fn of_data(members: &Members, data: &Dataset, has_subsets: bool, streams: bool) -> Members {
    let scale = data.rest().scale_of_bytes().unwrap_or(1.0);
    let (data_rows, is_scaled) = (data.rows(), data.scaler().is_some());
    Members { shuffle: false, data_rows, scale, noise: 0.0, is_scaled, has_subsets, streams, ..members.clone() }
}

/// Tells what many networks are worth on a data set.
pub(crate) struct Scorer {
    forward: Forward,
    evaluator: Evaluator,
    kernel: Kernel,
    /// What it adds up.
    scores: wgpu::Buffer,
    /// Whether outputs are labels.
    labels: bool,
}

impl Scorer {
    /// For networks of one shape; see [`Evaluator`].
    pub(crate) async fn new(
        gpu: &Gpu,
        (network, models): (&Network, usize),
        members: &Members,
        (set, buffers): (&Set, &Buffers),
        data: &Dataset,
        held: Held,
        (has_subsets, labels): (bool, bool),
    ) -> Result<Self> {
        let members = &Members { labels, ..members.clone() };
        // The loss takes logits.
        let of_logits = Members { ends_with_softmax: false, ..members.clone() };
        let weighted = data.weights().is_some();
        let mut rows = data.rows().min(scored_at_once(gpu, network, data, labels));
        let streams = has_subsets && matches!(held, Held::Never);
        if streams {
            // Each network brings rows of its own: four of each at least.
            rows = rows.min(4 * stream::at_once(gpu, data, 4 * models, weighted)?);
        }
        let design = Design::new(gpu, network, models, &of_logits, (rows.next_multiple_of(4), weighted))?;
        let forward = Forward::new(gpu, design, set, buffers).await?;
        let room = forward.arenas.batch * if streams { models } else { 1 };
        let source = Source::new(gpu, data, held, (room, weighted)).await?;
        let pass = Pass::new(&forward.arenas, &of_data(members, data, has_subsets, streams), data);
        pass.score.check(gpu)?;
        let pairs = score_pairs(&forward.arenas, data.answers(), labels);
        let scores = gpu.buffer("scores", (8 * pairs * models) as u64, ARENA).await?;
        let bound = Buffers { metrics: scores.clone(), ..Buffers::spares(gpu).await? };
        let (evaluator, set) = Evaluator::with_rows(gpu, &forward, &pass, data, source, (has_subsets, bound)).await?;
        let kernel = set.kernel(gpu, &pass.score).await?;
        Ok(Self { forward, evaluator, kernel, scores, labels })
    }

    pub(crate) fn is_of(&self, data: &Dataset, has_subsets: bool, labels: bool) -> bool {
        self.evaluator.is_of(data) && self.labels == labels && self.evaluator.subsets.is_some() == has_subsets
    }

    pub(crate) const fn uploaded(&self) -> Option<&Uploaded> {
        match &self.evaluator.source {
            Source::Resident(uploaded) => Some(uploaded),
            Source::Streamed(_) => None,
        }
    }

    /// What the first networks are worth, as many as there are `rows`, on these rows. One read back.
    pub(crate) async fn score(&self, gpu: &Gpu, rows: &[Option<Subset>]) -> Result<Vec<Score>> {
        let Self { forward, evaluator, kernel, scores, labels } = self;
        let (arenas, data) = (&forward.arenas, &evaluator.data);
        let subsets: Vec<_> =
            rows.iter().map(|rows| rows.unwrap_or_else(|| Subset::whole(data.rows() as u32))).collect();
        let mut own: &[Subset] = &[];
        if let Some((buffer, _)) = &evaluator.subsets {
            gpu.upload(buffer, 0, bytemuck::cast_slice(&subsets));
            own = &subsets;
        }
        let mut encoder = gpu.encoder();
        encoder.clear_buffer(scores, 0, None);
        gpu.submit(encoder);
        let mut in_flight = VecDeque::new();
        let most = subsets.iter().map(|subset| subset.rows as usize).max().unwrap_or(0);
        for batch in 0..most.div_ceil(arenas.batch) {
            if in_flight.len() > IN_FLIGHT
                && let Some(oldest) = in_flight.pop_front()
            {
                gpu.wait(oldest).await?;
            }
            in_flight.push_back(evaluator.bring(gpu, batch, (rows.len(), own), |pass| {
                forward.record_over(pass, rows.len());
                pass.set_bind_group(0, evaluator.rows_group().unwrap_or(&evaluator.groups[0]), &[0]);
                kernel.record_over(pass, kernel.groups_over(rows.len()));
            }));
        }
        let pairs = score_pairs(arenas, data.answers(), *labels);
        let numbers: Vec<f32> = read(gpu, scores, 0, 2 * pairs * rows.len()).await?;
        data.check_read()?;
        let score = |numbers| Score::new(numbers, arenas.outputs(), *labels);
        Ok(numbers.chunks_exact(2 * pairs).map(score).collect())
    }
}
