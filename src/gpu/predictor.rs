//! Predictions: the forward pass alone, with arenas and a batch size of its own.

use std::ops::Range;

use super::{
    Gpu,
    arenas::{Arenas, Extent, Members},
    buffers::{ARENA, Buffers},
    dispatches::{Dispatch, Dispatches},
    kernel::{Binding, Kernel, PAIR, STEP, Set},
    planner,
    read_back::Pipe,
};
use crate::{
    Error, Loss, Network, Optimizer, Result,
    error::{check_len, check_limit},
    network::padded_rows,
};

pub(crate) struct Predictor {
    gpu: Gpu,
    arenas: Arenas,
    kernels: Vec<Kernel>,
    group: wgpu::BindGroup,
    parameters: wgpu::Buffer,
    state: wgpu::Buffer,
    activations: wgpu::Buffer,
    outputs: Pipe,
    /// Between the caller's buffers and the arena; made when they are first asked for.
    packers: Option<Packers>,
}

struct Packers {
    set: Set,
    pack: Kernel,
    unpack: Kernel,
    cursor: wgpu::Buffer,
}

/// Rows and bytes that are predicted at once.
const PREDICTED: (usize, usize) = (4096, 16 << 20);

impl Predictor {
    /// A predictor by itself, with parameters of its own and nothing else of a training.
    pub(crate) async fn alone(gpu: &Gpu, network: &Network, flat: &[f32], statistics: &[f32]) -> Result<Self> {
        gpu.check_alive().await?;
        let parameters = gpu.buffer("parameters", 4 * flat.len() as u64, ARENA).await?;
        let state = gpu.buffer("running statistics", 4 * statistics.len() as u64, ARENA).await?;
        gpu.upload(&parameters, 0, bytemuck::cast_slice(flat));
        gpu.upload(&state, 0, bytemuck::cast_slice(statistics));
        let buffers = Buffers { parameters, state, ..Buffers::spares(gpu).await? };
        // Neither says anything about the way forward.
        let members = Members::of(network, Loss::Mse, Optimizer::sgd(0.0));
        let set = Set::new(gpu, "prediction", STEP).await?;
        Self::new(gpu, (network, 1), &members, (&set, &buffers), false).await
    }

    /// A predictor of so many networks whose parameters are in training, with room for the weights of rows if need be.
    pub(super) async fn new(
        gpu: &Gpu,
        (network, models): (&Network, usize),
        members: &Members,
        (set, buffers): (&Set, &Buffers),
        weighted: bool,
    ) -> Result<Self> {
        let vec4s = |n: usize| n.div_ceil(4);
        let hidden: usize = network.layers().iter().map(|l| vec4s(l.outputs)).sum();
        let widths = vec4s(network.inputs()) + hidden + vec4s(network.outputs()) * (1 + usize::from(weighted));
        let room = gpu.most_bytes().min(PREDICTED.1) / (16 * widths * models);
        let rows = (room / 4 * 4).clamp(4, PREDICTED.0);
        // With no room to spare the window has one slot: more would only take memory.
        let extent = Extent { rows, models, ring: 1, limit: 0, keeps_gradients: false, weighted };
        let arenas = Arenas::new(network, extent, None);
        let plan = Dispatches::predict(&arenas, members, &planner::layered(gpu, &arenas));
        plan.iter().try_for_each(|dispatch| dispatch.check(gpu))?;
        let [_, _, (_, bytes), ..] = arenas.bytes(members.optimizer);
        check_limit("prediction", "max_storage_buffer_binding_size", bytes, gpu.most_bytes() as u64)?;
        gpu.check_alive().await?;
        let activations = gpu.buffer("prediction", bytes, ARENA).await?;
        let [deltas, parts] = [gpu.buffer("spare", 16, ARENA).await?, gpu.buffer("spare", 16, ARENA).await?];
        let buffers = Buffers { activations, deltas, parts, ..buffers.clone() };
        let group = set.bind(gpu, "prediction", &buffers.of_step()).await?;
        let kernels = set.kernels(gpu, &plan).await?;
        let outputs = Pipe::new(gpu, "outputs", (16 * arenas.batch * arenas.output_stride()) as u64).await?;
        let (gpu, Buffers { parameters, state, activations, .. }) = (gpu.clone(), buffers);
        Ok(Self { gpu, arenas, kernels, group, parameters, state, activations, outputs, packers: None })
    }

    /// Sets the parameters and the running statistics, flat, of one that is alone.
    pub(crate) fn set_parameters(&self, flat: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.parameters, 0, bytemuck::cast_slice(flat));
        self.gpu.upload(&self.state, 0, bytemuck::cast_slice(statistics));
    }

    /// The most rows of one recording.
    pub(crate) const fn rows(&self) -> usize {
        self.arenas.batch
    }

    /// The outputs for rows of inputs, those of one model after the other's.
    pub(crate) async fn predict(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        let (gpu, arenas) = (&self.gpu, &self.arenas);
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); arenas.models];
        let mut take = |model: usize, values: Vec<f32>| {
            values.chunks_exact(stride).for_each(|row| outputs[model].extend(&row[..columns]));
        };
        let mut flow = self.outputs.flow(gpu);
        for block in inputs.chunks(arenas.batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            let block = padded_rows(block, arenas.inputs(), arenas.batch);
            for model in 0..arenas.models {
                let start = 16 * (model * arenas.activations) as u64;
                gpu.upload(&self.activations, start, bytemuck::cast_slice(&block));
            }
            gpu.compute(|pass| self.forward(pass));
            for model in 0..arenas.models {
                let start = 16 * (model * arenas.activations + arenas.output) as u64;
                let bytes = (rows * stride * size_of::<f32>()) as u64;
                flow.read(model, &self.activations, (start, bytes), &mut take).await?;
            }
        }
        flow.finish(&mut take).await?;
        Ok(outputs.concat())
    }

    pub(super) const fn arenas(&self) -> &Arenas {
        &self.arenas
    }

    pub(super) const fn activations(&self) -> &wgpu::Buffer {
        &self.activations
    }

    /// The outputs of a single network for so many rows, of which `bring` brings a batch by its number and computes it.
    pub(super) async fn outputs(
        &self,
        rows: usize,
        mut take: impl FnMut(Range<usize>, Vec<f32>),
        bring: impl Fn(usize),
    ) -> Result<()> {
        let (gpu, arenas) = (&self.gpu, &self.arenas);
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut take = |rows: Range<usize>, values: Vec<f32>| {
            take(rows, values.chunks_exact(stride).flat_map(|row| &row[..columns]).copied().collect());
        };
        let mut flow = self.outputs.flow(gpu);
        for (batch, first) in (0..rows).step_by(arenas.batch).enumerate() {
            let rows = first..rows.min(first + arenas.batch);
            bring(batch);
            let bytes = (rows.len() * stride * size_of::<f32>()) as u64;
            flow.read(rows, &self.activations, (16 * arenas.output as u64, bytes), &mut take).await?;
        }
        flow.finish(&mut take).await
    }

    /// The way forward of what lies in the arena.
    pub(super) fn forward(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.forward_over(pass, self.arenas.models);
    }

    /// The same of the first networks.
    pub(super) fn forward_over(&self, pass: &mut wgpu::ComputePass<'_>, models: usize) {
        pass.set_bind_group(0, &self.group, &[0]);
        for kernel in &self.kernels {
            let [x, y, _] = kernel.groups();
            kernel.record_over(pass, [x, y, models as u32]);
        }
    }

    /// Records the outputs for `rows` rows of the caller's buffer into another one, both one number after the other, for the
    /// first model. Nothing is submitted, waited for or read back.
    pub(crate) async fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        let arenas = &self.arenas;
        if rows == 0 || rows > arenas.batch {
            let expected = format!("1 to {}", arenas.batch);
            return Err(Error::Setting { what: "rows of a recorded prediction", expected, got: rows.to_string() });
        }
        let [input_bytes, output_bytes] =
            [arenas.inputs(), arenas.outputs()].map(|columns| (4 * rows * columns) as u64);
        for (what, buffer, bytes) in [("inputs", inputs, input_bytes), ("outputs", outputs, output_bytes)] {
            if buffer.size() < bytes {
                check_len(&format!("bytes of the buffer of {what}"), bytes as usize, buffer.size() as usize)?;
            }
            if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
                let (expected, got) = ("STORAGE".to_owned(), format!("{:?}", buffer.usage()));
                return Err(Error::Setting { what: "usage of the caller's buffer", expected, got });
            }
        }
        if self.packers.is_none() {
            self.packers = Some(Packers::new(&self.gpu, &self.arenas).await?);
        }
        let Some(Packers { set, pack, unpack, cursor }) = &self.packers else { unreachable!("made above") };
        let bind = async |dense: &wgpu::Buffer, bytes: u64| {
            let buffers = [(cursor, None), (dense, Some(bytes)), (&self.activations, None)];
            set.bind_parts(&self.gpu, "packing", &buffers).await
        };
        let (from, to) = (bind(inputs, input_bytes).await?, bind(outputs, output_bytes).await?);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &from, &[0]);
        pack.record(&mut pass);
        self.forward(&mut pass);
        pass.set_bind_group(0, &to, &[0]);
        unpack.record(&mut pass);
        Ok(())
    }
}

impl Packers {
    async fn new(gpu: &Gpu, arenas: &Arenas) -> Result<Self> {
        let [pack, unpack] = Dispatches::packers(arenas);
        [&pack, &unpack].into_iter().try_for_each(|dispatch: &Dispatch| dispatch.check(gpu))?;
        let set = Set::new(gpu, "packing", &[Binding::Cursor, Binding::Write, Binding::Write]).await?;
        let (pack, unpack) = (set.kernel(gpu, &pack).await?, set.kernel(gpu, &unpack).await?);
        let cursor = gpu.buffer("cursor", PAIR, wgpu::BufferUsages::UNIFORM).await?;
        Ok(Self { set, pack, unpack, cursor })
    }
}
