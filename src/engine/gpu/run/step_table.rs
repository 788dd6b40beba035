//! The step table of a chunk. The device builds it, so that the host uploads no data per member and step, only per
//! member and per step.

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

/// The kernel that builds the step table, with the buffers of its input.
pub(crate) struct StepTable {
    kernel: Kernel,
    bind_group: wgpu::BindGroup,
    /// The struct `ChunkParams`: the number of steps, and the index of their first metrics in the ring.
    header: wgpu::Buffer,
    /// A [`StepTableInput`] per member.
    inputs: wgpu::Buffer,
    /// The coefficients of each step, per schedule group.
    shared_coefficients: wgpu::Buffer,
    chunk_dims: ChunkDims,
    schedule_groups: ScheduleGroups,
}

/// The input of the step table of a chunk: the bytes of the header, the inputs and the shared coefficients.
pub(crate) struct StepTableUpload([Vec<u8>; 3]);

impl StepTable {
    /// Allocates the buffers, and builds the kernel of `dispatch`, which writes the buffer `step_table`.
    pub(crate) async fn new(
        gpu: &Gpu,
        dispatch: &Dispatch,
        (chunk_dims, schedule_groups): (ChunkDims, ScheduleGroups),
        step_table: &wgpu::Buffer,
    ) -> Result<Self> {
        let [_, (inputs_name, inputs_bytes), (shared_name, shared_bytes)] = chunk_dims.bytes();
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let header = gpu.buffer("chunk parameters", PAIR_BYTES, uniform).await?;
        let inputs = gpu.buffer(inputs_name, inputs_bytes, storage).await?;
        let shared_coefficients = gpu.buffer(shared_name, shared_bytes, storage).await?;
        let layout = BindingLayout::new(gpu, "step table", STEP_TABLE_BINDINGS).await?;
        let bind_group = layout.bind(gpu, "step table", &[&header, &inputs, &shared_coefficients, step_table]).await?;
        let kernel = layout.kernel(gpu, dispatch).await?;
        Ok(Self { kernel, bind_group, header, inputs, shared_coefficients, chunk_dims, schedule_groups })
    }

    /// Returns the input of the table of the steps `first..first + steps`. `generators` are those of the active
    /// members.
    ///
    /// `steps_since_reset` steps have run before the first. The metrics go to the ring from index `metrics_index` on.
    pub(crate) fn prepare_upload(
        &self,
        generators: &[StepGenerator],
        (first, steps_since_reset): (u64, u64),
        metrics_index: usize,
        steps: usize,
    ) -> StepTableUpload {
        let ScheduleGroups { generators: group_generators, group_by_slot } = &self.schedule_groups;
        let mut shared_coefficients: Vec<UpdateCoefficients> = Vec::with_capacity(group_generators.len() * steps);
        for generator in group_generators {
            let step_numbers = steps_since_reset..steps_since_reset + steps as u64;
            shared_coefficients.extend(step_numbers.map(|step| generator.shared_coefficients(step)));
        }
        let mut inputs: Vec<StepTableInput> = generators
            .iter()
            .zip(group_by_slot)
            .map(|(generator, group)| generator.table_input(first, steps_since_reset, *group))
            .collect();
        // Stopped members have no rows.
        inputs.resize(self.chunk_dims.member_count, StepTableInput::default());
        let header = [steps as u32, metrics_index as u32];
        StepTableUpload([
            bytemuck::cast_slice(&header).to_vec(),
            bytemuck::cast_slice(&inputs).to_vec(),
            bytemuck::cast_slice(&shared_coefficients).to_vec(),
        ])
    }

    /// Swaps the members in two slots.
    pub(crate) fn swap(&mut self, slot: usize, other: usize) {
        self.schedule_groups.swap(slot, other);
    }

    /// Sets the updates and epochs that ran before a resume, for all members.
    pub(crate) fn set_resume_offset(&mut self, resume_offset: ResumeOffset) {
        for generator in &mut self.schedule_groups.generators {
            generator.resume_offset = resume_offset;
        }
    }

    /// Uploads the input. The next submission reads it.
    pub(crate) fn upload(&self, gpu: &Gpu, upload: &StepTableUpload) {
        for (buffer, bytes) in self.input_buffers().into_iter().zip(&upload.0) {
            gpu.upload(buffer, 0, bytes);
        }
    }

    /// Records copies of the input into an encoder. The buffer `from` holds [`StepTableUpload::bytes`].
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, upload: &StepTableUpload) {
        let mut offset = 0;
        for (buffer, bytes) in self.input_buffers().into_iter().zip(&upload.0) {
            encoder.copy_buffer_to_buffer(from, offset, buffer, 0, bytes.len() as u64);
            offset += bytes.len() as u64;
        }
    }

    const fn input_buffers(&self) -> [&wgpu::Buffer; 3] {
        [&self.header, &self.inputs, &self.shared_coefficients]
    }

    /// Returns the kernel, the bind group and the workgroups of the dispatch that builds the table of `steps` steps.
    pub(crate) fn dispatch(&self, steps: usize) -> (&Kernel, &wgpu::BindGroup, [u32; 3]) {
        let entries = (steps + self.chunk_dims.padding_steps) * self.chunk_dims.member_count;
        (&self.kernel, &self.bind_group, fold_workgroups(entries.div_ceil(WORKGROUP_SIZE), 1))
    }
}

impl StepTableUpload {
    /// Returns the header, the inputs and the shared coefficients, one after another.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}
