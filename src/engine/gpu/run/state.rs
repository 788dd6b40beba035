//! The training state of single members: read, written, copied to a snapshot, restored, and swapped between slots.

use std::ops::Range;

use crate::{
    engine::{
        gpu::{
            device::readback::read,
            layout::buffers::{ARENA_USAGES, Buffers},
            run::{engine::Engine, snapshot::Snapshot},
        },
        state::TrainingState,
    },
    error::Result,
};

/// A region of a buffer: the buffer, the offset and the length in bytes.
type Region<'a> = (&'a wgpu::Buffer, u64, u64);

/// The regions of the training state of members in consecutive slots.
struct Regions<'a> {
    parameters: Region<'a>,
    state_vectors: Vec<Region<'a>>,
    statistics: Option<Region<'a>>,
    /// The gradients of an update that needs further batches.
    accumulated_gradients: Option<Region<'a>>,
}

impl<'a> Regions<'a> {
    fn all(&self) -> impl Iterator<Item = &Region<'a>> {
        [&self.parameters]
            .into_iter()
            .chain(&self.state_vectors)
            .chain(&self.statistics)
            .chain(&self.accumulated_gradients)
    }
}

impl Engine {
    /// Returns the training state of the member in a slot.
    pub(crate) async fn training_state(&self, slot: usize) -> Result<TrainingState> {
        let Buffers { parameters, state, partial_sums, .. } = &self.buffers;
        self.read_regions(&self.regions(slot..slot + 1, [parameters, state, partial_sums])).await
    }

    /// Returns the training state of the first slot in the last snapshot, if there is one.
    pub(crate) async fn snapshot_state(&self) -> Result<Option<TrainingState>> {
        let Some(snapshot) = &self.snapshot else { return Ok(None) };
        self.read_regions(&self.regions(0..1, snapshot.buffers())).await.map(Some)
    }

    /// Sets the training state of the member in a slot.
    pub(crate) fn set_training_state(&self, slot: usize, training_state: &TrainingState) {
        let Buffers { parameters, state, partial_sums, .. } = &self.buffers;
        let regions = self.regions(slot..slot + 1, [parameters, state, partial_sums]);
        let upload = |(buffer, offset, _): Region<'_>, values: &[f32]| {
            self.gpu.upload(buffer, offset, bytemuck::cast_slice(values));
        };
        upload(regions.parameters, &training_state.parameters);
        for (region, state_vector) in regions.state_vectors.iter().zip(&training_state.optimizer_state) {
            upload(*region, state_vector);
        }
        if let Some(region) = regions.statistics {
            upload(region, &training_state.statistics);
        }
        if let (Some(region), Some(gradients)) = (regions.accumulated_gradients, &training_state.accumulated_gradients)
        {
            upload(region, gradients);
        }
    }

    /// Takes a snapshot of the members in `slots`, which are in ascending order.
    pub(crate) async fn snapshot_slots(&mut self, slots: &[usize]) -> Result<()> {
        let snapshot = self.allocate_snapshot().await?;
        let Buffers { parameters, state, partial_sums, .. } = &self.buffers;
        let mut encoder = self.gpu.encoder();
        // Copy consecutive slots at once.
        for run in slots.chunk_by(|slot, next| slot + 1 == *next) {
            let run = run[0]..run[0] + run.len();
            let from = self.regions(run.clone(), [parameters, state, partial_sums]);
            for ((from, offset, bytes), (to, _, _)) in from.all().zip(self.regions(run, snapshot.buffers()).all()) {
                encoder.copy_buffer_to_buffer(from, *offset, to, *offset, *bytes);
            }
        }
        self.gpu.submit(encoder);
        Ok(())
    }

    /// Restores the member in a slot from the last snapshot, if there is one. With `with_gradients` it restores the
    /// accumulated gradients too; otherwise it clears them.
    pub(crate) fn restore_slot(&self, slot: usize, with_gradients: bool) {
        let Some(snapshot) = &self.snapshot else { return };
        let Buffers { parameters, state, partial_sums, .. } = &self.buffers;
        let mut encoder = self.gpu.encoder();
        let to = self.regions(slot..slot + 1, [parameters, state, partial_sums]);
        let from = self.regions(slot..slot + 1, snapshot.buffers());
        for ((from, offset, bytes), (to, _, _)) in from.all().zip(to.all()) {
            encoder.copy_buffer_to_buffer(from, *offset, to, *offset, *bytes);
        }
        if let Some((gradients, offset, bytes)) = to.accumulated_gradients.filter(|_| !with_gradients) {
            encoder.clear_buffer(gradients, offset, Some(bytes));
        }
        self.gpu.submit(encoder);
    }

    /// Swaps the training states of two slots, and their states in the snapshot.
    pub(crate) async fn swap_slots(&self, slot: usize, other: usize) -> Result<()> {
        let Buffers { parameters, state, partial_sums, .. } = &self.buffers;
        let buffers =
            [[parameters, state, partial_sums]].into_iter().chain(self.snapshot.iter().map(Snapshot::buffers));
        let pairs: Vec<_> =
            buffers.map(|buffers| [slot, other].map(|slot| self.regions(slot..slot + 1, buffers))).collect();
        // WebGPU does not allow copies within a buffer, so copy through a temporary buffer.
        let max_bytes = pairs.iter().flat_map(|[first, _]| first.all()).map(|(.., bytes)| *bytes).max().unwrap_or(0);
        let temporary = self.gpu.buffer("swap", 2 * max_bytes, ARENA_USAGES).await?;
        let mut encoder = self.gpu.encoder();
        for ((buffer, first, bytes), (_, second, _)) in
            pairs.iter().flat_map(|[first, second]| first.all().zip(second.all()))
        {
            encoder.copy_buffer_to_buffer(buffer, *first, &temporary, 0, *bytes);
            encoder.copy_buffer_to_buffer(buffer, *second, &temporary, max_bytes, *bytes);
            encoder.copy_buffer_to_buffer(&temporary, 0, buffer, *second, *bytes);
            encoder.copy_buffer_to_buffer(&temporary, max_bytes, buffer, *first, *bytes);
        }
        self.gpu.submit(encoder);
        Ok(())
    }

    async fn read_regions(&self, regions: &Regions<'_>) -> Result<TrainingState> {
        let values = async |(buffer, offset, bytes): Region<'_>| -> Result<Vec<f32>> {
            read(&self.gpu, buffer, offset, bytes as usize / size_of::<f32>()).await
        };
        let mut optimizer_state = Vec::with_capacity(regions.state_vectors.len());
        for region in &regions.state_vectors {
            optimizer_state.push(values(*region).await?);
        }
        Ok(TrainingState {
            parameters: values(regions.parameters).await?,
            optimizer_state,
            statistics: match regions.statistics {
                Some(region) => values(region).await?,
                None => Vec::new(),
            },
            accumulated_gradients: match regions.accumulated_gradients {
                Some(region) => Some(values(region).await?),
                None => None,
            },
        })
    }

    /// Returns the regions of consecutive slots in the buffers of parameters, state and partial sums.
    ///
    /// A buffer consists of one vector after another, for example the state vectors of an optimizer. A vector holds the
    /// values of all members, in the order of their slots.
    fn regions<'a>(
        &self,
        slots: Range<usize>,
        [parameters, state, partial_sums]: [&'a wgpu::Buffer; 3],
    ) -> Regions<'a> {
        let (member_count, slot, count) = (self.arenas.member_count as u64, slots.start as u64, slots.len() as u64);
        let [vector_bytes, statistics_bytes] =
            [self.arenas.parameters, self.arenas.statistics].map(|vec4s| 16 * vec4s as u64);
        let vector_offset = |index: u64| (index * member_count + slot) * vector_bytes;
        let state_vectors = self.kernel_config.optimizer.state_per_parameter() as u64;
        // The statistics follow all state vectors.
        let statistics_offset = state_vectors * member_count * vector_bytes + slot * statistics_bytes;
        // The full gradients follow this number of vectors of partial sums.
        let full_gradients = self.arenas.full_gradients.filter(|_| self.generators[0].gradient_accumulation > 1);
        Regions {
            parameters: (parameters, vector_offset(0), count * vector_bytes),
            state_vectors: (0..state_vectors).map(|i| (state, vector_offset(i), count * vector_bytes)).collect(),
            statistics: (statistics_bytes > 0).then_some((state, statistics_offset, count * statistics_bytes)),
            accumulated_gradients: full_gradients
                .map(|i| (partial_sums, vector_offset(i as u64), count * vector_bytes)),
        }
    }
}
