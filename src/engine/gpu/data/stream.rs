//! A data set that a device does not hold: the rows of the steps to come are brought to a ring of buffers while the device
//! takes those before.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::{
        gpu::{
            data::dataset::{Shard, bytes_of_rows, row_bytes, weight_bytes},
            device::{Gpu, pacer::IN_FLIGHT},
            layout::arenas::Arenas,
        },
        prefetch::{Round, Upcoming},
        step::Course,
    },
    error::{Result, check_limit},
};

/// As many chunks may be under way, and one more is being brought.
const RING: usize = IN_FLIGHT + 1;

/// The most bytes that each buffer of the ring takes, unless a single step needs more.
const BYTES: usize = 16 << 20;

/// How much of a data set in a file a software adapter holds unless it is told: its memory is the computer's, where the
/// data set was not to be.
const OF_A_FILE: u64 = 256 << 20;

/// A place of a batch in which no row lies.
const NO_ROW: u32 = u32::MAX;

/// The rows of the steps under way.
pub(crate) struct Stream {
    data: Dataset,
    ring: Vec<Shard>,
    /// Which of them was filled last. Atomic, so that a network can be evaluated while it is borrowed.
    turn: AtomicUsize,
    /// How many rows each has room for.
    room: usize,
    weighted: bool,
}

/// Whether a device is not to hold a data set.
pub(crate) fn streams(gpu: &Gpu, data: &Dataset, weighted: bool) -> bool {
    let most = match gpu.resident_limit {
        Some(most) => most,
        None if gpu.is_software() && data.is_in_a_file() => OF_A_FILE,
        None => u64::MAX,
    };
    bytes_of_rows(data, data.rows(), weighted) > most
}

/// How many times so many rows each buffer of the ring holds.
pub(crate) fn at_once(gpu: &Gpu, data: &Dataset, rows: usize, weighted: bool) -> Result<usize> {
    let [features, answers] = row_bytes(data).map(|bytes| rows * bytes);
    let need = features.max(answers + weight_bytes(rows, weighted));
    check_limit("rows on their way", "max_storage_buffer_binding_size", need as u64, gpu.most_bytes() as u64)?;
    Ok((BYTES.min(gpu.most_bytes()) / need).max(1))
}

/// Bytes of a ring of so many rows each.
pub(crate) fn bytes_of_ring(data: &Dataset, rows: usize, weighted: bool) -> u64 {
    RING as u64 * bytes_of_rows(data, rows, weighted)
}

impl Stream {
    /// A ring with room for so many rows each.
    pub(crate) async fn new(gpu: &Gpu, data: &Dataset, room: usize, weighted: bool) -> Result<Self> {
        let mut ring = Vec::with_capacity(RING);
        for _ in 0..RING {
            ring.push(Shard::of(gpu, data, (0, room), weighted).await?);
        }
        Ok(Self { data: data.clone(), ring, turn: AtomicUsize::new(0), room, weighted })
    }

    /// Whether it is of this data set.
    pub(crate) fn is_of(&self, data: &Dataset) -> bool {
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
    pub(crate) fn turn(&self) -> usize {
        self.turn.load(Ordering::Relaxed)
    }

    /// Brings the rows of the steps `first` to `first + steps`, after `before` updates: those of the networks in training,
    /// which are in the first slots, where `shaders/stream.wgsl` looks for them.
    pub(crate) fn bring_steps(
        &self,
        gpu: &Gpu,
        (arenas, shuffle): (&Arenas, bool),
        courses: &[Course],
        (first, before): (u64, u64),
        steps: usize,
    ) {
        let mut rows = vec![NO_ROW; steps * arenas.models * arenas.batch];
        for (slot, course) in courses.iter().enumerate() {
            let mut upcoming = Upcoming::new(course.clone(), shuffle, first..first + steps as u64, before);
            let mut batches = rows.chunks_exact_mut(arenas.batch).skip(slot).step_by(arenas.models);
            let mut round = Round::default();
            while upcoming.draw(&mut round) {
                for ((_, taken), batch) in round.steps().zip(&mut batches) {
                    batch[..taken.len()].copy_from_slice(taken);
                }
            }
        }
        self.bring(gpu, 0, &rows);
    }

    /// Brings a batch of so many rows of an evaluation: as they lie, or of each network's own.
    pub(crate) fn bring_batch(&self, gpu: &Gpu, (rows, batch): (usize, usize), subsets: &[Subset]) {
        // The last batch may end behind the last number that a row can have.
        let first = batch as u64 * rows as u64;
        let places = first..first + rows as u64;
        if subsets.is_empty() {
            let rows: Vec<u32> = (first..places.end.min(self.data.rows() as u64)).map(|row| row as u32).collect();
            return self.bring(gpu, first as u32, &rows);
        }
        let of_one = |subset: &Subset| {
            let row = |place: u64| if place < subset.rows.into() { subset.row(place as u32) } else { NO_ROW };
            places.clone().map(row).collect::<Vec<_>>()
        };
        let rows: Vec<u32> = subsets.iter().flat_map(of_one).collect();
        // As `shaders/stream.wgsl` counts them, around the end of u32 if need be.
        self.bring(gpu, (batch as u32).wrapping_mul(self.room as u32), &rows);
    }

    /// Brings rows, as many as there is room for, to the next of the ring; kernels know them by numbers from `first` on.
    pub(crate) fn bring(&self, gpu: &Gpu, first: u32, rows: &[u32]) {
        let turn = (self.turn() + 1) % RING;
        self.turn.store(turn, Ordering::Relaxed);
        let Self { data, ring, room, weighted, .. } = self;
        let shard = &ring[turn];
        gpu.upload(&shard.span, 0, bytemuck::bytes_of(&first));
        let row = |place: usize| Some(rows[place] as usize).filter(|_| rows[place] != NO_ROW);
        shard.fill(gpu, data, *room, rows.len(), *weighted, row);
    }
}
