//! Networks whose answers are put together on the device: as many at once as its bindings hold, the others behind them.

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            pipeline::{Binding, Kernel, PAIR, Set},
            readback::Pipe,
        },
        kernels::{
            kernel_set::{Dispatch, folded},
            kernel_source::text_of,
            loop_counts,
        },
        layout::{arenas::Arenas, buffers::ARENA},
        run::forward::{Design, Forward, ROWS},
    },
    error::{Error, Result, check_limit},
    nn::{layout::padded_rows, network::Network},
};

/// The bindings of `shaders/ensemble.wgsl`, in order.
pub(crate) const ENSEMBLE: &[Binding] = &[Binding::Cursor, Binding::Read, Binding::Write];

/// `Turn` of `shaders/ensemble.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Turn {
    pub(crate) before: u32,
    pub(crate) threshold: f32,
}

/// Of every output: its mean, its squared deviations, its votes.
const NUMBERS: usize = 3;

const _: () = assert!(size_of::<Turn>() as u64 == PAIR);

pub(crate) struct Ensemble {
    gpu: Gpu,
    waves: Vec<Wave>,
    /// Puts the outputs of a wave to those of the waves before.
    kernel: Kernel,
    /// The inputs of a batch, once, for the networks to copy.
    inputs: wgpu::Buffer,
    answers: wgpu::Buffer,
    pipe: Pipe,
}

/// Networks that go at once.
struct Wave {
    forward: Forward,
    before: u32,
    turn: wgpu::Buffer,
    group: wgpu::BindGroup,
}

impl Ensemble {
    /// Networks with these parameters and running statistics, flat.
    pub(crate) async fn new(gpu: &Gpu, network: &Network, members: &[[Vec<f32>; 2]]) -> Result<Self> {
        let (arenas, dispatch) = first_wave(gpu, network, members.len())?;
        gpu.check_alive().await?;
        let set = Set::new(gpu, "ensemble", ENSEMBLE).await?;
        let kernel = set.kernel(gpu, &dispatch).await?;
        let inputs = gpu.buffer("inputs", (16 * arenas.batch * arenas.input_stride()) as u64, ARENA).await?;
        let bytes = bytes_of(arenas.batch, &arenas);
        let (answers, pipe) = (gpu.buffer("answers", bytes, ARENA).await?, Pipe::new(gpu, "answers", bytes).await?);
        let mut waves: Vec<Wave> = Vec::new();
        for some in members.chunks(arenas.models) {
            let design = Design::alone(gpu, network, some.len(), arenas.batch)?;
            let all = |part: usize| some.iter().flat_map(|member| &member[part]).copied().collect::<Vec<_>>();
            let forward = Forward::alone(gpu, design, &all(0), &all(1)).await?;
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            let turn = gpu.buffer("turn", PAIR, usage).await?;
            let group = set.bind(gpu, "ensemble", &[&turn, &forward.activations, &answers]).await?;
            let before = (waves.len() * arenas.models) as u32;
            waves.push(Wave { forward, before, turn, group });
        }
        Ok(Self { gpu: gpu.clone(), waves, kernel, inputs, answers, pipe })
    }

    /// For each row of inputs the outputs' means, then their summed squared deviations, then the votes: `[rows, 3, outputs]`.
    pub(crate) async fn predict(&self, inputs: &[f32], threshold: f32) -> Result<Vec<f32>> {
        let Self { gpu, waves, .. } = self;
        let arenas = &waves[0].forward.arenas;
        for Wave { turn, before, .. } in waves {
            gpu.upload(turn, 0, bytemuck::bytes_of(&Turn { before: *before, threshold }));
        }
        let mut answers = Vec::with_capacity(inputs.len() / arenas.inputs() * NUMBERS * arenas.outputs());
        let mut take = |(), values: Vec<f32>| answers.extend(values);
        let mut flow = self.pipe.flow(gpu);
        for block in inputs.chunks(arenas.batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            gpu.upload(&self.inputs, 0, bytemuck::cast_slice(&padded_rows(block, arenas.inputs(), arenas.batch)));
            let mut encoder = gpu.encoder();
            for Forward { arenas, activations, .. } in waves.iter().map(|wave| &wave.forward) {
                for model in 0..arenas.models {
                    let start = 16 * (model * arenas.activations) as u64;
                    encoder.copy_buffer_to_buffer(&self.inputs, 0, activations, start, self.inputs.size());
                }
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for wave in waves {
                wave.forward.record(&mut pass);
                pass.set_bind_group(0, &wave.group, &[0]);
                self.kernel.record(&mut pass);
            }
            drop(pass);
            gpu.submit(encoder);
            flow.read((), &self.answers, (0, bytes_of(rows, arenas)), &mut take).await?;
        }
        flow.finish(&mut take).await?;
        Ok(answers)
    }

    /// How many networks go at once.
    #[cfg(test)]
    pub(crate) fn waves(&self) -> Vec<usize> {
        self.waves.iter().map(|wave| wave.forward.arenas.models).collect()
    }
}

/// The first wave of so many networks: as many of them as fit. Nothing is allocated.
fn first_wave(gpu: &Gpu, network: &Network, models: usize) -> Result<(Arenas, Dispatch)> {
    let rows = gpu.most_bytes() / (4 * NUMBERS * network.outputs()) / 4 * 4;
    let found = Design::alone(gpu, network, models, ROWS.min(rows)).and_then(|Design { arenas, .. }| {
        let (dispatch, bytes) = (dispatch(&arenas), bytes_of(arenas.batch, &arenas));
        dispatch.check(gpu)?;
        check_limit("answers", "max_storage_buffer_binding_size", bytes, gpu.most_bytes() as u64)?;
        Ok((arenas, dispatch))
    });
    match found {
        Err(Error::Limit { .. }) if models > 1 => first_wave(gpu, network, models.div_ceil(2)),
        found => found,
    }
}

/// Bytes of the answers for some rows.
fn bytes_of(rows: usize, arenas: &Arenas) -> u64 {
    (4 * NUMBERS * rows * arenas.outputs()) as u64
}

/// The kernel that puts the outputs of a wave to the answers.
pub(crate) fn dispatch(arenas: &Arenas) -> Dispatch {
    let constants = [
        ("BATCH", arenas.batch),
        ("ACTIVATIONS", arenas.activations),
        ("OUTPUT", arenas.output),
        ("OUTPUT_STRIDE", arenas.output_stride()),
        ("OUTPUTS", arenas.outputs()),
    ];
    let constants: String = constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect();
    let numbers = arenas.batch * arenas.outputs();
    Dispatch {
        name: "ensemble".to_owned(),
        entry: "ensemble",
        source: constants + &text_of(shader!("ensemble")),
        groups: folded(numbers.div_ceil(64), 1),
        loops: loop_counts::ensemble(arenas),
        steps: 1,
        flop: (5 * numbers * arenas.models) as u64,
        bytes: (4 * numbers * (arenas.models + NUMBERS)) as u64,
    }
}
