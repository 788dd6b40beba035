//! How long a chunk of steps is, and which numbers its networks share.

use crate::{
    engine::{
        gpu::{device::Gpu, layout::arenas::Arenas},
        step::{Step, StepGenerator, StepTableInput},
    },
    error::{Result, check_limit},
    optim::coefficients::UpdateCoefficients,
};

/// The most steps a chunk has, and the most bytes of its table of steps.
const MAX_CHUNK_STEPS_AND_BYTES: (usize, usize) = (4096, 64 << 20);
/// The most bytes of what networks share that is brought for a chunk.
const MAX_SHARED_BYTES: usize = 16 << 20;
/// Steps without rows behind a chunk's last, at most: kernels run in whole workgroups and dispatches over several steps, so
/// that they may look at as many more, but never beyond the window.
pub(crate) const PADDING_STEPS: usize = 64;

/// How many steps a chunk has on a device at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkDims {
    pub(crate) max_steps: usize,
    /// How many steps without rows stand behind a chunk's last.
    pub(crate) padding_steps: usize,
    pub(crate) member_count: usize,
    /// How many different numbers the networks share.
    pub(crate) schedule_groups: usize,
}

/// Which networks share the numbers that change from update to update.
pub(crate) struct ScheduleGroups {
    /// One course of each.
    pub(crate) generators: Vec<StepGenerator>,
    /// Which of them is that of the network in a slot.
    pub(crate) group_by_slot: Vec<u32>,
}

impl ScheduleGroups {
    pub(crate) fn new(generators: &[StepGenerator]) -> Self {
        let mut all: Vec<StepGenerator> = Vec::new();
        let tempo = |course: &StepGenerator| {
            let known = all.iter().position(|other| course.shares_schedule_with(other));
            known.unwrap_or_else(|| {
                all.push(course.clone());
                all.len() - 1
            }) as u32
        };
        let of_slots = generators.iter().map(tempo).collect();
        Self { generators: all, group_by_slot: of_slots }
    }

    /// Lets the networks in two slots change places.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.group_by_slot.swap(slot, other);
    }

    pub(crate) const fn count(&self) -> usize {
        self.generators.len()
    }
}

impl ChunkDims {
    pub(crate) fn new(gpu: &Gpu, arenas: &Arenas, schedule_groups: usize) -> Self {
        let behind = PADDING_STEPS.min(arenas.window_steps);
        let rows = MAX_CHUNK_STEPS_AND_BYTES.1.min(gpu.max_binding_bytes()) / (arenas.member_count * size_of::<Step>());
        let chunk = rows.saturating_sub(behind).clamp(1, MAX_CHUNK_STEPS_AND_BYTES.0);
        let shared =
            MAX_SHARED_BYTES.min(gpu.max_binding_bytes()) / (schedule_groups * size_of::<UpdateCoefficients>());
        Self {
            max_steps: chunk.min(shared.max(1)),
            padding_steps: behind,
            member_count: arenas.member_count,
            schedule_groups,
        }
    }

    /// Bytes of the table, of what starts each network, and of what they share.
    pub(crate) const fn bytes(self) -> [(&'static str, u64); 3] {
        let Self { max_steps: chunk, padding_steps: behind, member_count: models, schedule_groups: tempos } = self;
        [
            ("steps", ((chunk + behind) * models * size_of::<Step>()) as u64),
            ("starts", (models * size_of::<StepTableInput>()) as u64),
            ("shared numbers", (chunk * tempos * size_of::<UpdateCoefficients>()) as u64),
        ]
    }

    /// Refuses a device that cannot hold them.
    pub(crate) fn check(self, gpu: &Gpu) -> Result<()> {
        let most = gpu.max_binding_bytes() as u64;
        let check = |(name, bytes)| check_limit(name, "max_storage_buffer_binding_size", bytes, most);
        self.bytes().into_iter().try_for_each(check)
    }
}
