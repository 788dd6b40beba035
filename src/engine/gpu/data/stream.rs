//! A data set that a device does not hold: the rows of the steps to come are brought to a ring of buffers while the device
//! takes those before.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::{
        gpu::{
            data::dataset::{Shard, row_bytes, rows_bytes, sample_weight_bytes},
            device::{Gpu, pacer::MAX_CHUNKS_IN_FLIGHT},
            layout::arenas::Arenas,
        },
        prefetch::{PrefetchedSteps, StepPrefetcher},
        step::StepGenerator,
    },
    error::{Result, check_limit},
};

/// As many chunks may be under way, and one more is being brought.
const RING_SHARDS: usize = MAX_CHUNKS_IN_FLIGHT + 1;

/// The most bytes that each buffer of the ring takes, unless a single step needs more.
const MAX_SHARD_BYTES: usize = 16 << 20;

/// How much of a data set in a file a software adapter holds unless it is told: its memory is the computer's, where the
/// data set was not to be.
const MAX_RESIDENT_FILE_BYTES: u64 = 256 << 20;

/// A place of a batch in which no row lies.
const NO_ROW: u32 = u32::MAX;

/// The rows of the steps under way.
pub(crate) struct RowStream {
    data: Dataset,
    ring: Vec<Shard>,
    /// Which of them was filled last. Atomic, so that a network can be evaluated while it is borrowed.
    current: AtomicUsize,
    /// How many rows each has room for.
    shard_rows: usize,
    has_sample_weights: bool,
}

/// Whether a device is not to hold a data set.
pub(crate) fn must_stream(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> bool {
    let most = match gpu.dataset_memory_limit {
        Some(most) => most,
        None if gpu.is_software() && data.is_in_file() => MAX_RESIDENT_FILE_BYTES,
        None => u64::MAX,
    };
    rows_bytes(data, data.rows(), has_sample_weights) > most
}

/// How many times so many rows each buffer of the ring holds.
pub(crate) fn batches_per_shard(gpu: &Gpu, data: &Dataset, rows: usize, has_sample_weights: bool) -> Result<usize> {
    let [features, answers] = row_bytes(data).map(|bytes| rows * bytes);
    let need = features.max(answers + sample_weight_bytes(rows, has_sample_weights));
    check_limit("rows on their way", "max_storage_buffer_binding_size", need as u64, gpu.max_binding_bytes() as u64)?;
    Ok((MAX_SHARD_BYTES.min(gpu.max_binding_bytes()) / need).max(1))
}

/// Bytes of a ring of so many rows each.
pub(crate) fn ring_bytes(data: &Dataset, rows: usize, has_sample_weights: bool) -> u64 {
    RING_SHARDS as u64 * rows_bytes(data, rows, has_sample_weights)
}

impl RowStream {
    /// A ring with room for so many rows each.
    pub(crate) async fn new(gpu: &Gpu, data: &Dataset, room: usize, has_sample_weights: bool) -> Result<Self> {
        let mut ring = Vec::with_capacity(RING_SHARDS);
        for _ in 0..RING_SHARDS {
            ring.push(Shard::for_dataset(gpu, data, (0, room), has_sample_weights).await?);
        }
        Ok(Self { data: data.clone(), ring, current: AtomicUsize::new(0), shard_rows: room, has_sample_weights })
    }

    /// Whether it is of this data set.
    pub(crate) fn is_for(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.ring
    }

    /// What went wrong when rows were read, if anything did.
    pub(crate) fn check(&self) -> Result<()> {
        self.data.check_read()
    }

    /// Which shard was filled last.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Brings the rows of the steps `first` to `first + steps`, after `before` updates: those of the networks in training,
    /// which are in the first slots, where `shaders/data/stream.wgsl` looks for them.
    pub(crate) fn upload_steps(
        &self,
        gpu: &Gpu,
        (arenas, shuffle): (&Arenas, bool),
        generators: &[StepGenerator],
        (first, before): (u64, u64),
        steps: usize,
    ) {
        let mut rows = vec![NO_ROW; steps * arenas.member_count * arenas.padded_batch];
        for (slot, course) in generators.iter().enumerate() {
            let mut upcoming = StepPrefetcher::new(course.clone(), shuffle, first..first + steps as u64, before);
            let mut batches = rows.chunks_exact_mut(arenas.padded_batch).skip(slot).step_by(arenas.member_count);
            let mut round = PrefetchedSteps::default();
            while upcoming.prefetch(&mut round) {
                for ((_, taken), batch) in round.steps().zip(&mut batches) {
                    batch[..taken.len()].copy_from_slice(taken);
                }
            }
        }
        self.upload_rows(gpu, 0, &rows);
    }

    /// Brings a batch of so many rows of an evaluation: as they lie, or of each network's own.
    pub(crate) fn upload_batch(&self, gpu: &Gpu, (rows, batch): (usize, usize), subsets: &[SubsetParams]) {
        // The last batch may end behind the last number that a row can have.
        let first = batch as u64 * rows as u64;
        let places = first..first + rows as u64;
        if subsets.is_empty() {
            let rows: Vec<u32> = (first..places.end.min(self.data.rows() as u64)).map(|row| row as u32).collect();
            return self.upload_rows(gpu, first as u32, &rows);
        }
        let of_one = |subset: &SubsetParams| {
            let row = |place: u64| if place < subset.rows.into() { subset.row(place as u32) } else { NO_ROW };
            places.clone().map(row).collect::<Vec<_>>()
        };
        let rows: Vec<u32> = subsets.iter().flat_map(of_one).collect();
        // As `shaders/data/stream.wgsl` counts them, around the end of u32 if need be.
        self.upload_rows(gpu, (batch as u32).wrapping_mul(self.shard_rows as u32), &rows);
    }

    /// Brings rows, as many as there is room for, to the next of the ring; kernels know them by numbers from `first` on.
    pub(crate) fn upload_rows(&self, gpu: &Gpu, first: u32, rows: &[u32]) {
        let turn = (self.current() + 1) % RING_SHARDS;
        self.current.store(turn, Ordering::Relaxed);
        let Self { data, ring, shard_rows: room, has_sample_weights: weighted, .. } = self;
        let shard = &ring[turn];
        gpu.upload(&shard.span, 0, bytemuck::bytes_of(&first));
        let row = |place: usize| Some(rows[place] as usize).filter(|_| rows[place] != NO_ROW);
        shard.upload_rows(gpu, data, *room, rows.len(), *weighted, row);
    }
}
