//! The number of steps in a chunk, and the groups of members with the same schedule.

use crate::{
    engine::{
        gpu::{device::Gpu, layout::arenas::Arenas},
        step::{Step, StepGenerator, StepTableInput},
    },
    error::{Result, check_limit},
    optim::coefficients::UpdateCoefficients,
};

/// The maximum number of steps in a chunk.
const MAX_CHUNK_STEPS: usize = 4096;
/// The maximum size of the step table, in bytes.
const MAX_STEP_TABLE_BYTES: usize = 64 << 20;
/// The maximum size of the shared coefficients of a chunk, in bytes.
const MAX_SHARED_COEFFICIENT_BYTES: usize = 16 << 20;
/// The maximum number of padding steps after the last step of a chunk. They have no rows.
///
/// Kernels run in whole workgroups, and some dispatches run several steps. So a kernel may read steps after the last
/// one, but never beyond the window.
pub(crate) const PADDING_STEPS: usize = 64;

/// The dimensions of a chunk on a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkDims {
    /// The maximum number of steps in a chunk.
    pub(crate) max_steps: usize,
    /// The number of padding steps after the last step of a chunk.
    pub(crate) padding_steps: usize,
    pub(crate) member_count: usize,
    /// The number of groups in [`ScheduleGroups`].
    pub(crate) schedule_groups: usize,
}

/// The groups of members with the same schedule. The members of a group share the coefficients that change from update
/// to update.
pub(crate) struct ScheduleGroups {
    /// The step generator of one member per group.
    pub(crate) generators: Vec<StepGenerator>,
    /// The group index of the member in each slot.
    pub(crate) group_by_slot: Vec<u32>,
}

impl ScheduleGroups {
    /// Groups the step generators of all slots.
    pub(crate) fn new(generators: &[StepGenerator]) -> Self {
        let mut groups: Vec<StepGenerator> = Vec::new();
        let group_index = |generator: &StepGenerator| {
            let known = groups.iter().position(|other| generator.shares_schedule_with(other));
            known.unwrap_or_else(|| {
                groups.push(generator.clone());
                groups.len() - 1
            }) as u32
        };
        let group_by_slot = generators.iter().map(group_index).collect();
        Self { generators: groups, group_by_slot }
    }

    /// Swaps the members in two slots.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.group_by_slot.swap(slot, other);
    }

    /// Returns the number of groups.
    pub(crate) const fn count(&self) -> usize {
        self.generators.len()
    }
}

impl ChunkDims {
    /// Returns the largest chunk that fits into the tables and into the limits of the device.
    pub(crate) fn new(gpu: &Gpu, arenas: &Arenas, schedule_groups: usize) -> Self {
        let padding_steps = PADDING_STEPS.min(arenas.window_steps);
        let table_rows = MAX_STEP_TABLE_BYTES.min(gpu.max_binding_bytes()) / (arenas.member_count * size_of::<Step>());
        let table_steps = table_rows.saturating_sub(padding_steps).clamp(1, MAX_CHUNK_STEPS);
        let shared_steps = MAX_SHARED_COEFFICIENT_BYTES.min(gpu.max_binding_bytes())
            / (schedule_groups * size_of::<UpdateCoefficients>());
        Self {
            max_steps: table_steps.min(shared_steps.max(1)),
            padding_steps,
            member_count: arenas.member_count,
            schedule_groups,
        }
    }

    /// Returns the names and the sizes in bytes of the step table, of its inputs per member, and of the shared
    /// coefficients.
    pub(crate) const fn bytes(self) -> [(&'static str, u64); 3] {
        let Self { max_steps, padding_steps, member_count, schedule_groups } = self;
        [
            ("step table", ((max_steps + padding_steps) * member_count * size_of::<Step>()) as u64),
            ("step table inputs", (member_count * size_of::<StepTableInput>()) as u64),
            ("shared coefficients", (max_steps * schedule_groups * size_of::<UpdateCoefficients>()) as u64),
        ]
    }

    /// Returns an error if a table is larger than a storage buffer binding of the device.
    pub(crate) fn check(self, gpu: &Gpu) -> Result<()> {
        let max_bytes = gpu.max_binding_bytes() as u64;
        let check = |(name, bytes)| check_limit(name, "max_storage_buffer_binding_size", bytes, max_bytes);
        self.bytes().into_iter().try_for_each(check)
    }
}
