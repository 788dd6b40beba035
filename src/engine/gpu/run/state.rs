//! What training changes of each network, told to the host and taken back, or moved to another's place.

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

/// Where numbers of networks lie in a buffer, in bytes.
type Region<'a> = (&'a wgpu::Buffer, u64, u64);

/// The regions of networks whose slots follow each other.
struct Regions<'a> {
    parameters: Region<'a>,
    state_vectors: Vec<Region<'a>>,
    statistics: Option<Region<'a>>,
    /// Those that wait for more batches.
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
    /// All that training has changed so far of the network in a slot.
    pub(crate) async fn training_state(&self, slot: usize) -> Result<TrainingState> {
        let Buffers { parameters, state, partial_sums: parts, .. } = &self.buffers;
        self.read_regions(&self.regions(slot..slot + 1, [parameters, state, parts])).await
    }

    /// All of it as it was kept last.
    pub(crate) async fn snapshot_state(&self) -> Result<Option<TrainingState>> {
        let Some(kept) = &self.snapshot else { return Ok(None) };
        self.read_regions(&self.regions(0..1, kept.buffers())).await.map(Some)
    }

    /// Puts all that training changes where it was.
    pub(crate) fn set_training_state(&self, slot: usize, memory: &TrainingState) {
        let Buffers { parameters, state, partial_sums: parts, .. } = &self.buffers;
        let regions = self.regions(slot..slot + 1, [parameters, state, parts]);
        let upload = |(buffer, at, _): Region<'_>, values: &[f32]| {
            self.gpu.upload(buffer, at, bytemuck::cast_slice(values));
        };
        upload(regions.parameters, &memory.parameters);
        regions.state_vectors.iter().zip(&memory.optimizer_state).for_each(|(region, plane)| upload(*region, plane));
        regions.statistics.iter().for_each(|region| upload(*region, &memory.statistics));
        regions
            .accumulated_gradients
            .iter()
            .zip(&memory.accumulated_gradients)
            .for_each(|(region, gradients)| upload(*region, gradients));
    }

    /// Keeps the networks of some slots, in rising order, as they are now.
    pub(crate) async fn snapshot_slots(&mut self, slots: &[usize]) -> Result<()> {
        let kept = self.allocate_snapshot().await?;
        let Buffers { parameters, state, partial_sums: parts, .. } = &self.buffers;
        let mut encoder = self.gpu.encoder();
        // Those that lie behind each other are copied at once.
        for run in slots.chunk_by(|one, next| one + 1 == *next) {
            let run = run[0]..run[0] + run.len();
            let from = self.regions(run.clone(), [parameters, state, parts]);
            for ((from, at, bytes), (to, _, _)) in from.all().zip(self.regions(run, kept.buffers()).all()) {
                encoder.copy_buffer_to_buffer(from, *at, to, *at, *bytes);
            }
        }
        self.gpu.submit(encoder);
        Ok(())
    }

    /// Puts the network in a slot back to what was kept of it, if anything was; the gradients that wait for more batches may be
    /// forgotten instead.
    pub(crate) fn restore_slot(&self, slot: usize, with_gradients: bool) {
        let Some(kept) = &self.snapshot else { return };
        let Buffers { parameters, state, partial_sums: parts, .. } = &self.buffers;
        let mut encoder = self.gpu.encoder();
        let to = self.regions(slot..slot + 1, [parameters, state, parts]);
        for ((from, at, bytes), (to, _, _)) in self.regions(slot..slot + 1, kept.buffers()).all().zip(to.all()) {
            encoder.copy_buffer_to_buffer(from, *at, to, *at, *bytes);
        }
        if let Some((gradients, at, bytes)) = to.accumulated_gradients.filter(|_| !with_gradients) {
            encoder.clear_buffer(gradients, at, Some(bytes));
        }
        self.gpu.submit(encoder);
    }

    /// Lets two networks change places, and what is kept of them.
    pub(crate) async fn swap_slots(&self, slot: usize, other: usize) -> Result<()> {
        let Buffers { parameters, state, partial_sums: parts, .. } = &self.buffers;
        let places = [[parameters, state, parts]].into_iter().chain(self.snapshot.iter().map(Snapshot::buffers));
        let places: Vec<_> =
            places.map(|buffers| [slot, other].map(|slot| self.regions(slot..slot + 1, buffers))).collect();
        // No buffer may be copied to itself.
        let longest = places.iter().flat_map(|[here, _]| here.all()).map(|region| region.2).max().unwrap_or(0);
        let aside = self.gpu.buffer("aside", 2 * longest, ARENA_USAGES).await?;
        let mut encoder = self.gpu.encoder();
        for ((buffer, here, bytes), (_, there, _)) in
            places.iter().flat_map(|[here, there]| here.all().zip(there.all()))
        {
            encoder.copy_buffer_to_buffer(buffer, *here, &aside, 0, *bytes);
            encoder.copy_buffer_to_buffer(buffer, *there, &aside, longest, *bytes);
            encoder.copy_buffer_to_buffer(&aside, 0, buffer, *there, *bytes);
            encoder.copy_buffer_to_buffer(&aside, longest, buffer, *here, *bytes);
        }
        self.gpu.submit(encoder);
        Ok(())
    }

    async fn read_regions(&self, regions: &Regions<'_>) -> Result<TrainingState> {
        let values = async |(buffer, at, bytes): Region<'_>| -> Result<Vec<f32>> {
            read(&self.gpu, buffer, at, bytes as usize / size_of::<f32>()).await
        };
        let mut planes = Vec::with_capacity(regions.state_vectors.len());
        for region in &regions.state_vectors {
            planes.push(values(*region).await?);
        }
        Ok(TrainingState {
            parameters: values(regions.parameters).await?,
            optimizer_state: planes,
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

    /// Where the networks in some slots lie: in buffers of parameters, state and parts, planes of all networks together behind
    /// each other.
    fn regions<'a>(&self, slots: Range<usize>, [parameters, state, parts]: [&'a wgpu::Buffer; 3]) -> Regions<'a> {
        let (models, slot, count) = (self.arenas.member_count as u64, slots.start as u64, slots.len() as u64);
        let [one, statistics] = [self.arenas.parameters, self.arenas.statistics].map(|vec4s| 16 * vec4s as u64);
        let plane = |plane: u64| (plane * models + slot) * one;
        let planes = self.kernel_config.optimizer.state_per_parameter() as u64;
        // Whole gradients lie behind so many planes of parts.
        let before = self.arenas.full_gradients.filter(|_| self.generators[0].gradient_accumulation > 1);
        Regions {
            parameters: (parameters, plane(0), count * one),
            state_vectors: (0..planes).map(|number| (state, plane(number), count * one)).collect(),
            statistics: (statistics > 0)
                .then(|| (state, planes * models * one + slot * statistics, count * statistics)),
            accumulated_gradients: before.map(|before| (parts, plane(before as u64), count * one)),
        }
    }
}
