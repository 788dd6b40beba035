//! Networks whose answers are put together on the device: as many at once as its bindings hold, the others behind them.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            bindings::{Binding, PAIR_BYTES},
            dispatch::{Dispatch, fold_workgroups},
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

/// `GroupParams` of `shaders/metrics/ensemble.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct GroupParams {
    pub(crate) members_before: u32,
    pub(crate) threshold: f32,
}

/// Of every output: its mean, its squared deviations, its votes.
const VALUES_PER_OUTPUT: usize = 3;

const _: () = assert!(size_of::<GroupParams>() as u64 == PAIR_BYTES);

pub(crate) struct Ensemble {
    gpu: Gpu,
    groups: Vec<EnsembleGroup>,
    /// Puts the outputs of a wave to those of the waves before.
    kernel: Kernel,
    /// The inputs of a batch, once, for the networks to copy.
    inputs: wgpu::Buffer,
    results: wgpu::Buffer,
    readback: ReadbackBuffers,
}

/// Networks that go at once.
struct EnsembleGroup {
    forward: ForwardPass,
    members_before: u32,
    params: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
}

impl Ensemble {
    /// Networks with these parameters and running statistics, flat.
    pub(crate) async fn new(gpu: &Gpu, network: &Network, members: &[[Vec<f32>; 2]]) -> Result<Self> {
        let (arenas, dispatch) = first_group(gpu, network, members.len())?;
        gpu.check_alive().await?;
        let set = BindingLayout::new(gpu, "ensemble", ENSEMBLE_BINDINGS).await?;
        let kernel = set.kernel(gpu, &dispatch).await?;
        let inputs =
            gpu.buffer("inputs", (16 * arenas.padded_batch * arenas.input_stride()) as u64, ARENA_USAGES).await?;
        let bytes = result_bytes(arenas.padded_batch, &arenas);
        let (answers, pipe) =
            (gpu.buffer("answers", bytes, ARENA_USAGES).await?, ReadbackBuffers::new(gpu, "answers", bytes).await?);
        let mut waves: Vec<EnsembleGroup> = Vec::new();
        for some in members.chunks(arenas.member_count) {
            let design = ForwardLayout::standalone(gpu, network, some.len(), arenas.padded_batch)?;
            let all = |part: usize| some.iter().flat_map(|member| &member[part]).copied().collect::<Vec<_>>();
            let forward = ForwardPass::standalone(gpu, design, &all(0), &all(1)).await?;
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let turn = gpu.buffer("turn", PAIR_BYTES, usage).await?;
            let group = set.bind(gpu, "ensemble", &[&turn, &forward.activations, &answers]).await?;
            let before = (waves.len() * arenas.member_count) as u32;
            waves.push(EnsembleGroup { forward, members_before: before, params: turn, bind_group: group });
        }
        Ok(Self { gpu: gpu.clone(), groups: waves, kernel, inputs, results: answers, readback: pipe })
    }

    /// For each row of inputs the outputs' means, then their summed squared deviations, then the votes: `[rows, 3, outputs]`.
    pub(crate) async fn predict(&self, inputs: &[f32], threshold: f32) -> Result<Vec<f32>> {
        let Self { gpu, groups: waves, .. } = self;
        let arenas = &waves[0].forward.arenas;
        for EnsembleGroup { params: turn, members_before: before, .. } in waves {
            gpu.upload(turn, 0, bytemuck::bytes_of(&GroupParams { members_before: *before, threshold }));
        }
        let mut answers = Vec::with_capacity(inputs.len() / arenas.inputs() * VALUES_PER_OUTPUT * arenas.outputs());
        let mut take = |(), values: Vec<f32>| answers.extend(values);
        let mut flow = self.readback.queue(gpu);
        for block in inputs.chunks(arenas.padded_batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            gpu.upload(&self.inputs, 0, bytemuck::cast_slice(&pad_rows(block, arenas.inputs(), arenas.padded_batch)));
            let mut encoder = gpu.encoder();
            for ForwardPass { arenas, activations, .. } in waves.iter().map(|wave| &wave.forward) {
                for model in 0..arenas.member_count {
                    let start = 16 * (model * arenas.activations) as u64;
                    encoder.copy_buffer_to_buffer(&self.inputs, 0, activations, start, self.inputs.size());
                }
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for wave in waves {
                wave.forward.record(&mut pass);
                pass.set_bind_group(0, &wave.bind_group, &[0]);
                self.kernel.record(&mut pass);
            }
            drop(pass);
            gpu.submit(encoder);
            flow.read((), &self.results, (0, result_bytes(rows, arenas)), &mut take).await?;
        }
        flow.finish(&mut take).await?;
        Ok(answers)
    }

    /// How many networks go at once.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> Vec<usize> {
        self.groups.iter().map(|wave| wave.forward.arenas.member_count).collect()
    }
}

/// The first wave of so many networks: as many of them as fit. Nothing is allocated.
fn first_group(gpu: &Gpu, network: &Network, member_count: usize) -> Result<(Arenas, Dispatch)> {
    let rows = gpu.max_binding_bytes() / (4 * VALUES_PER_OUTPUT * network.outputs()) / 4 * 4;
    let found = ForwardLayout::standalone(gpu, network, member_count, MAX_FORWARD_ROWS.min(rows)).and_then(
        |ForwardLayout { arenas, .. }| {
            let (dispatch, bytes) = (ensemble_dispatch(&arenas), result_bytes(arenas.padded_batch, &arenas));
            gpu.check_dispatch(&dispatch)?;
            check_limit("answers", "max_storage_buffer_binding_size", bytes, gpu.max_binding_bytes() as u64)?;
            Ok((arenas, dispatch))
        },
    );
    match found {
        Err(Error::DeviceLimit { .. }) if member_count > 1 => first_group(gpu, network, member_count.div_ceil(2)),
        found => found,
    }
}

/// Bytes of the answers for some rows.
fn result_bytes(rows: usize, arenas: &Arenas) -> u64 {
    (4 * VALUES_PER_OUTPUT * rows * arenas.outputs()) as u64
}

/// The kernel that puts the outputs of a wave to the answers.
pub(crate) fn ensemble_dispatch(arenas: &Arenas) -> Dispatch {
    let constants = [
        ("BATCH", arenas.padded_batch),
        ("ACTIVATIONS", arenas.activations),
        ("OUTPUT", arenas.output_offset),
        ("OUTPUT_STRIDE", arenas.output_stride()),
        ("OUTPUTS", arenas.outputs()),
    ];
    let constants: String = constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
    let numbers = arenas.padded_batch * arenas.outputs();
    Dispatch {
        name: "ensemble".to_owned(),
        entry_point: "ensemble",
        source: constants + &source_of(shader!("metrics/ensemble")),
        workgroups: fold_workgroups(numbers.div_ceil(64), 1),
        loop_iterations: loop_counts::ensemble(arenas),
        max_steps: 1,
        flop: (5 * numbers * arenas.member_count) as u64,
        bytes: (4 * numbers * (arenas.member_count + VALUES_PER_OUTPUT)) as u64,
    }
}
