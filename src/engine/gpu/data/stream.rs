//! The stream of a data set that the device does not hold: the host uploads the rows of the next steps to a ring of
//! shards while the device runs the previous steps.

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

/// The number of shards in the ring: one per chunk in flight, and one that the host fills.
const RING_SHARDS: usize = MAX_CHUNKS_IN_FLIGHT + 1;

/// The maximum bytes of a buffer of the ring, unless a single step needs more.
const MAX_SHARD_BYTES: usize = 16 << 20;

/// The maximum bytes of a data set in a file that a software adapter holds by default. A software adapter uses host
/// memory, which a data set in a file should not fill.
const MAX_RESIDENT_FILE_BYTES: u64 = 256 << 20;

/// The marker for a slot of a batch without a row.
const NO_ROW: u32 = u32::MAX;

/// The shards that hold the rows of the steps in flight.
pub(crate) struct RowStream {
    data: Dataset,
    ring: Vec<Shard>,
    /// The index of the shard that was filled last. It is atomic because evaluations borrow the stream immutably.
    current: AtomicUsize,
    /// The number of rows that fit into a shard.
    shard_rows: usize,
    has_sample_weights: bool,
}

/// Returns whether the data set exceeds the memory limit for data sets, so that it must be streamed.
pub(crate) fn must_stream(gpu: &Gpu, data: &Dataset, has_sample_weights: bool) -> bool {
    let max_bytes = match gpu.dataset_memory_limit {
        Some(max_bytes) => max_bytes,
        None if gpu.is_software() && data.is_in_file() => MAX_RESIDENT_FILE_BYTES,
        None => u64::MAX,
    };
    rows_bytes(data, data.rows(), has_sample_weights) > max_bytes
}

/// Returns the number of batches of `rows` rows that fit into a shard of the ring; at least 1.
///
/// # Errors
/// [`Error::DeviceLimit`](crate::Error::DeviceLimit) if one batch exceeds the binding limit of the device.
pub(crate) fn batches_per_shard(gpu: &Gpu, data: &Dataset, rows: usize, has_sample_weights: bool) -> Result<usize> {
    let [feature_bytes, target_bytes] = row_bytes(data).map(|bytes| rows * bytes);
    let required = feature_bytes.max(target_bytes + sample_weight_bytes(rows, has_sample_weights));
    let available = gpu.max_binding_bytes();
    check_limit("streamed rows", "max_storage_buffer_binding_size", required as u64, available as u64)?;
    Ok((MAX_SHARD_BYTES.min(available) / required).max(1))
}

/// Returns the bytes of a ring whose shards have room for `shard_rows` rows.
pub(crate) fn ring_bytes(data: &Dataset, shard_rows: usize, has_sample_weights: bool) -> u64 {
    RING_SHARDS as u64 * rows_bytes(data, shard_rows, has_sample_weights)
}

impl RowStream {
    /// Creates a ring whose shards have room for `shard_rows` rows.
    pub(crate) async fn new(gpu: &Gpu, data: &Dataset, shard_rows: usize, has_sample_weights: bool) -> Result<Self> {
        let mut ring = Vec::with_capacity(RING_SHARDS);
        for _ in 0..RING_SHARDS {
            ring.push(Shard::for_dataset(gpu, data, (0, shard_rows), has_sample_weights).await?);
        }
        Ok(Self { data: data.clone(), ring, current: AtomicUsize::new(0), shard_rows, has_sample_weights })
    }

    /// Returns whether this is a stream of `data`.
    pub(crate) fn is_for(&self, data: &Dataset) -> bool {
        self.data.is_same(data)
    }

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.ring
    }

    /// Returns the error of reading rows from a file, if one occurred.
    pub(crate) fn check(&self) -> Result<()> {
        self.data.check_read()
    }

    /// Returns the index of the shard that was filled last.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Uploads the rows of the steps `first..first + steps` to the next shard.
    ///
    /// `generators` contains the generators of the active members, which have the first slots. The rows are ordered by
    /// step and then by member, as in `shaders/data/stream.wgsl`. `steps_since_reset` steps have run before the first.
    pub(crate) fn upload_steps(
        &self,
        gpu: &Gpu,
        (arenas, shuffle): (&Arenas, bool),
        generators: &[StepGenerator],
        (first, steps_since_reset): (u64, u64),
        steps: usize,
    ) {
        let mut rows = vec![NO_ROW; steps * arenas.member_count * arenas.padded_batch];
        for (slot, generator) in generators.iter().enumerate() {
            let range = first..first + steps as u64;
            let mut prefetcher = StepPrefetcher::new(generator.clone(), shuffle, range, steps_since_reset);
            let mut batches = rows.chunks_exact_mut(arenas.padded_batch).skip(slot).step_by(arenas.member_count);
            let mut prefetched = PrefetchedSteps::default();
            while prefetcher.prefetch(&mut prefetched) {
                for ((_, step_rows), batch) in prefetched.steps().zip(&mut batches) {
                    batch[..step_rows.len()].copy_from_slice(step_rows);
                }
            }
        }
        self.upload_rows(gpu, 0, &rows);
    }

    /// Uploads batch number `batch` of an evaluation, of `rows` rows per member. `subsets` are the subsets of the
    /// members; if empty, all members share the rows of the data set in its order.
    pub(crate) fn upload_batch(&self, gpu: &Gpu, (rows, batch): (usize, usize), subsets: &[SubsetParams]) {
        // In u64, because the end of the last batch may exceed u32.
        let first = batch as u64 * rows as u64;
        let positions = first..first + rows as u64;
        if subsets.is_empty() {
            let rows: Vec<u32> = (first..positions.end.min(self.data.rows() as u64)).map(|row| row as u32).collect();
            return self.upload_rows(gpu, first as u32, &rows);
        }
        let member_rows = |subset: &SubsetParams| {
            let row = |position: u64| {
                if position < subset.rows.into() { subset.row(position as u32) } else { NO_ROW }
            };
            positions.clone().map(row).collect::<Vec<_>>()
        };
        let rows: Vec<u32> = subsets.iter().flat_map(member_rows).collect();
        // `shaders/data/stream.wgsl` computes the same first row, modulo 2^32.
        self.upload_rows(gpu, (batch as u32).wrapping_mul(self.shard_rows as u32), &rows);
    }

    /// Uploads `rows`, at most as many as fit into a shard, to the next shard of the ring. Kernels address them by
    /// numbers from `first` on. [`NO_ROW`] leaves a slot unspecified.
    pub(crate) fn upload_rows(&self, gpu: &Gpu, first: u32, rows: &[u32]) {
        let current = (self.current() + 1) % RING_SHARDS;
        self.current.store(current, Ordering::Relaxed);
        let shard = &self.ring[current];
        gpu.upload(&shard.span, 0, bytemuck::bytes_of(&first));
        let row = |slot: usize| (rows[slot] != NO_ROW).then_some(rows[slot] as usize);
        shard.upload_rows(gpu, &self.data, self.shard_rows, rows.len(), self.has_sample_weights, row);
    }
}
