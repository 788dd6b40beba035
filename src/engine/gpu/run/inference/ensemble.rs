//! Ensembles: the device combines the predictions of the members. Members that do not fit into one binding form further
//! groups, which run one after another.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            bindings::{Binding, PAIR_BYTES},
            dispatch::{Dispatch, WORKGROUP_SIZE, fold_workgroups},
            pipeline::{BindingLayout, Kernel},
            readback::ReadbackBuffers,
        },
        kernels::{kernel_source::source_of, loop_counts},
        layout::{
            arenas::{Arenas, MAX_FORWARD_ROWS},
            buffers::ARENA_USAGES,
        },
        run::inference::forward::{ForwardLayout, ForwardPass},
    },
    error::{Error, Result, check_limit},
    nn::{layout::pad_rows, network::Network},
};

/// The bindings of `shaders/metrics/ensemble.wgsl`, in order.
pub(crate) const ENSEMBLE_BINDINGS: &[Binding] = &[Binding::Cursor, Binding::Read, Binding::Write];

/// The parameters of a group, the same struct in `shaders/metrics/ensemble.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct GroupParams {
    /// The number of members in earlier groups.
    pub(crate) members_before: u32,
    /// The output from which a member votes for a label.
    pub(crate) threshold: f32,
}

/// The number of results per output: the mean, the sum of squared deviations, and the votes.
const VALUES_PER_OUTPUT: usize = 3;

const _: () = assert!(size_of::<GroupParams>() as u64 == PAIR_BYTES);

/// An ensemble on the device.
pub(crate) struct Ensemble {
    gpu: Gpu,
    groups: Vec<EnsembleGroup>,
    /// The kernel that adds the outputs of a group to the results of the earlier groups.
    kernel: Kernel,
    /// The inputs of a batch, which are copied to the arena of each member.
    inputs: wgpu::Buffer,
    results: wgpu::Buffer,
    readback: ReadbackBuffers,
}

/// A group of members that run in the same dispatches.
struct EnsembleGroup {
    forward: ForwardPass,
    members_before: u32,
    params: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
}

impl Ensemble {
    /// Creates an ensemble. Each member has its parameters and its running statistics, in the order of their buffers.
    pub(crate) async fn new(gpu: &Gpu, network: &Network, members: &[[Vec<f32>; 2]]) -> Result<Self> {
        let (arenas, dispatch) = first_group_layout(gpu, network, members.len())?;
        gpu.check_alive().await?;
        let binding_layout = BindingLayout::new(gpu, "ensemble", ENSEMBLE_BINDINGS).await?;
        let kernel = binding_layout.kernel(gpu, &dispatch).await?;
        let inputs =
            gpu.buffer("inputs", (16 * arenas.padded_batch * arenas.input_stride()) as u64, ARENA_USAGES).await?;
        let bytes = result_bytes(arenas.padded_batch, &arenas);
        let results = gpu.buffer("predictions", bytes, ARENA_USAGES).await?;
        let readback = ReadbackBuffers::new(gpu, "predictions readback", bytes).await?;
        let mut groups: Vec<EnsembleGroup> = Vec::new();
        for group in members.chunks(arenas.member_count) {
            let layout = ForwardLayout::standalone(gpu, network, group.len(), arenas.padded_batch)?;
            let parameters: Vec<f32> = group.iter().flat_map(|[parameters, _]| parameters).copied().collect();
            let statistics: Vec<f32> = group.iter().flat_map(|[_, statistics]| statistics).copied().collect();
            let forward = ForwardPass::standalone(gpu, layout, &parameters, &statistics).await?;
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let params = gpu.buffer("group parameters", PAIR_BYTES, usage).await?;
            let bind_group = binding_layout.bind(gpu, "ensemble", &[&params, &forward.activations, &results]).await?;
            let members_before = (groups.len() * arenas.member_count) as u32;
            groups.push(EnsembleGroup { forward, members_before, params, bind_group });
        }
        Ok(Self { gpu: gpu.clone(), groups, kernel, inputs, results, readback })
    }

    /// Returns the mean, the sum of squared deviations and the votes of each output, for each row of the inputs:
    /// `[rows, 3, outputs]`.
    pub(crate) async fn predict(&self, inputs: &[f32], threshold: f32) -> Result<Vec<f32>> {
        let Self { gpu, groups, .. } = self;
        let arenas = &groups[0].forward.arenas;
        for EnsembleGroup { params, members_before, .. } in groups {
            let values = GroupParams { members_before: *members_before, threshold };
            gpu.upload(params, 0, bytemuck::bytes_of(&values));
        }
        let mut results = Vec::with_capacity(inputs.len() / arenas.inputs() * VALUES_PER_OUTPUT * arenas.outputs());
        let mut take = |(), values: Vec<f32>| results.extend(values);
        let mut queue = self.readback.queue(gpu);
        for batch in inputs.chunks(arenas.padded_batch * arenas.inputs()) {
            let rows = batch.len() / arenas.inputs();
            let padded = pad_rows(batch, arenas.inputs(), arenas.padded_batch);
            gpu.upload(&self.inputs, 0, bytemuck::cast_slice(&padded));
            let mut encoder = gpu.encoder();
            for ForwardPass { arenas, activations, .. } in groups.iter().map(|group| &group.forward) {
                for member in 0..arenas.member_count {
                    let offset = 16 * (member * arenas.activations) as u64;
                    encoder.copy_buffer_to_buffer(&self.inputs, 0, activations, offset, self.inputs.size());
                }
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for group in groups {
                group.forward.record(&mut pass);
                pass.set_bind_group(0, &group.bind_group, &[0]);
                self.kernel.record(&mut pass);
            }
            drop(pass);
            gpu.submit(encoder);
            queue.read((), &self.results, (0, result_bytes(rows, arenas)), &mut take).await?;
        }
        queue.finish(&mut take).await?;
        Ok(results)
    }

    /// Returns the number of members of each group.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.forward.arenas.member_count).collect()
    }
}

/// Returns the arenas and the ensemble kernel of the first group, the largest one: the number of members is halved
/// until the device can hold them. It allocates nothing on the device.
fn first_group_layout(gpu: &Gpu, network: &Network, member_count: usize) -> Result<(Arenas, Dispatch)> {
    let max_rows = gpu.max_binding_bytes() / (4 * VALUES_PER_OUTPUT * network.outputs()) / 4 * 4;
    let layout = ForwardLayout::standalone(gpu, network, member_count, MAX_FORWARD_ROWS.min(max_rows)).and_then(
        |ForwardLayout { arenas, .. }| {
            let (dispatch, bytes) = (ensemble_dispatch(&arenas), result_bytes(arenas.padded_batch, &arenas));
            gpu.check_dispatch(&dispatch)?;
            check_limit("predictions", "max_storage_buffer_binding_size", bytes, gpu.max_binding_bytes() as u64)?;
            Ok((arenas, dispatch))
        },
    );
    match layout {
        Err(Error::DeviceLimit { .. }) if member_count > 1 => {
            first_group_layout(gpu, network, member_count.div_ceil(2))
        }
        result => result,
    }
}

/// Returns the bytes of the results for `rows` rows.
fn result_bytes(rows: usize, arenas: &Arenas) -> u64 {
    (4 * VALUES_PER_OUTPUT * rows * arenas.outputs()) as u64
}

/// Returns the dispatch that adds the outputs of a group to the results.
pub(crate) fn ensemble_dispatch(arenas: &Arenas) -> Dispatch {
    let constants = [
        ("BATCH", arenas.padded_batch),
        ("ACTIVATIONS", arenas.activations),
        ("OUTPUT", arenas.output_offset),
        ("OUTPUT_STRIDE", arenas.output_stride()),
        ("OUTPUTS", arenas.outputs()),
    ];
    let constants: String = constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
    let outputs = arenas.padded_batch * arenas.outputs();
    Dispatch {
        name: "ensemble".to_owned(),
        entry_point: "ensemble",
        source: constants + &source_of(shader!("metrics/ensemble")),
        workgroups: fold_workgroups(outputs.div_ceil(WORKGROUP_SIZE), 1),
        loop_iterations: loop_counts::ensemble(arenas),
        max_steps: 1,
        flop: (5 * outputs * arenas.member_count) as u64,
        bytes: (4 * outputs * (arenas.member_count + VALUES_PER_OUTPUT)) as u64,
    }
}
