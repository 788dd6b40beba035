//! The table of a chunk's steps, made on the device: nothing that grows with networks times steps is brought there.

use crate::{
    engine::{
        gpu::{
            device::{
                Gpu,
                bindings::{PAIR_BYTES, STEP_TABLE_BINDINGS},
                dispatch::{Dispatch, WORKGROUP_SIZE, fold_workgroups},
                pipeline::{BindingLayout, Kernel},
            },
            layout::chunk::{ChunkDims, ScheduleGroups},
        },
        step::{ResumeOffset, StepGenerator, StepTableInput},
    },
    error::Result,
    optim::coefficients::UpdateCoefficients,
};

/// What makes the table.
pub(crate) struct StepTable {
    kernel: Kernel,
    bind_group: wgpu::BindGroup,
    header: wgpu::Buffer,
    inputs: wgpu::Buffer,
    shared_coefficients: wgpu::Buffer,
    chunk_dims: ChunkDims,
    schedule_groups: ScheduleGroups,
}

/// What a chunk's table is made from: bytes for the three buffers.
pub(crate) struct StepTableUpload([Vec<u8>; 3]);

impl StepTable {
    pub(crate) async fn new(
        gpu: &Gpu,
        dispatch: &Dispatch,
        (length, tempos): (ChunkDims, ScheduleGroups),
        steps: &wgpu::Buffer,
    ) -> Result<Self> {
        let [_, starts, shared] = length.bytes();
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let head = gpu.buffer("chunk", PAIR_BYTES, uniform).await?;
        let starts = gpu.buffer(starts.0, starts.1, storage).await?;
        let shared = gpu.buffer(shared.0, shared.1, storage).await?;
        let set = BindingLayout::new(gpu, "timetable", STEP_TABLE_BINDINGS).await?;
        let group = set.bind(gpu, "timetable", &[&head, &starts, &shared, steps]).await?;
        let kernel = set.kernel(gpu, dispatch).await?;
        Ok(Self {
            kernel,
            bind_group: group,
            header: head,
            inputs: starts,
            shared_coefficients: shared,
            chunk_dims: length,
            schedule_groups: tempos,
        })
    }

    /// What the table of `steps` steps from `first` on is made from, after `before` updates, whose metrics go to the ring
    /// from `ring` on. The networks in training are those of the first slots.
    pub(crate) fn prepare_upload(
        &self,
        generators: &[StepGenerator],
        (first, before): (u64, u64),
        ring: usize,
        steps: usize,
    ) -> StepTableUpload {
        let ScheduleGroups { generators: all, group_by_slot: of_slots } = &self.schedule_groups;
        let updates = before..before + steps as u64;
        let of_tempo = |course: &StepGenerator| {
            updates.clone().map(|before| course.shared_coefficients(before)).collect::<Vec<_>>()
        };
        let shared: Vec<UpdateCoefficients> = all.iter().flat_map(of_tempo).collect();
        let start = |(course, tempo): (&StepGenerator, &u32)| course.table_input(first, before, *tempo);
        let idle = std::iter::repeat_n(StepTableInput::default(), self.chunk_dims.member_count - generators.len());
        let starts: Vec<StepTableInput> = generators.iter().zip(of_slots).map(start).chain(idle).collect();
        let head = [steps, ring].map(|number| number as u32);
        let bytes = |values: &[u8]| values.to_vec();
        let parts = [
            bytes(bytemuck::cast_slice(&head)),
            bytes(bytemuck::cast_slice(&starts)),
            bytes(bytemuck::cast_slice(&shared)),
        ];
        StepTableUpload(parts)
    }

    /// Lets the networks in two slots change places.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.schedule_groups.swap(slot, other);
    }

    /// Sets what came before the steps of all networks.
    pub(crate) fn set_resume_offset(&mut self, resume_offset: ResumeOffset) {
        self.schedule_groups.generators.iter_mut().for_each(|course| course.resume_offset = resume_offset);
    }

    /// Brings them to the device, ahead of what is submitted next.
    pub(crate) fn upload(&self, gpu: &Gpu, entries: &StepTableUpload) {
        let to = [&self.header, &self.inputs, &self.shared_coefficients];
        to.into_iter().zip(&entries.0).for_each(|(to, part)| gpu.upload(to, 0, part));
    }

    /// The same by copies in an encoder of the caller's, from a buffer that holds all parts behind each other.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, entries: &StepTableUpload) {
        let mut at = 0;
        for (to, part) in [&self.header, &self.inputs, &self.shared_coefficients].into_iter().zip(&entries.0) {
            encoder.copy_buffer_to_buffer(from, at, to, 0, part.len() as u64);
            at += part.len() as u64;
        }
    }

    /// What makes the table of so many steps: the kernel, what it is bound to, and its workgroups.
    pub(crate) fn dispatch(&self, steps: usize) -> (&Kernel, &wgpu::BindGroup, [u32; 3]) {
        let entries = (steps + self.chunk_dims.padding_steps) * self.chunk_dims.member_count;
        (&self.kernel, &self.bind_group, fold_workgroups(entries.div_ceil(WORKGROUP_SIZE), 1))
    }
}

impl StepTableUpload {
    /// All parts behind each other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
