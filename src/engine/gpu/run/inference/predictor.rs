//! Predictions: the outputs of a forward pass, read back or given to the caller's buffers.

use std::ops::Range;

use crate::{
    engine::gpu::{
        device::{
            Gpu,
            bindings::{Binding, PAIR_BYTES},
            dispatch::Dispatch,
            pipeline::{BindingLayout, Kernel},
            readback::ReadbackBuffers,
        },
        kernels::kernel_set::KernelSet,
        layout::{
            arenas::{Arenas, KernelConfig, MAX_FORWARD_ROWS},
            buffers::Buffers,
        },
        run::inference::forward::{ForwardLayout, ForwardPass},
    },
    error::{Error, Result, check_len},
    nn::{layout::pad_rows, network::Network},
};

pub(crate) struct Predictor {
    forward: ForwardPass,
    readback: ReadbackBuffers,
    /// Between the caller's buffers and the arena; made when they are first asked for.
    packing: Option<PackingKernels>,
}

struct PackingKernels {
    set: BindingLayout,
    pack: Kernel,
    unpack: Kernel,
    cursor: wgpu::Buffer,
}

impl Predictor {
    /// A predictor by itself, with parameters of its own and nothing else of a training.
    pub(crate) async fn standalone(gpu: &Gpu, network: &Network, flat: &[f32], statistics: &[f32]) -> Result<Self> {
        let design = ForwardLayout::standalone(gpu, network, 1, MAX_FORWARD_ROWS)?;
        Self::from_forward(ForwardPass::standalone(gpu, design, flat, statistics).await?).await
    }

    /// A predictor of so many networks whose parameters are in training.
    pub(crate) async fn new(
        gpu: &Gpu,
        (network, models): (&Network, usize),
        config: &KernelConfig,
        (set, buffers): (&BindingLayout, &Buffers),
    ) -> Result<Self> {
        let design = ForwardLayout::new(gpu, network, models, config, (MAX_FORWARD_ROWS, false))?;
        Self::from_forward(ForwardPass::new(gpu, design, set, buffers).await?).await
    }

    async fn from_forward(forward: ForwardPass) -> Result<Self> {
        let bytes = (16 * forward.arenas.padded_batch * forward.arenas.output_stride()) as u64;
        let outputs = ReadbackBuffers::new(&forward.gpu, "outputs", bytes).await?;
        Ok(Self { forward, readback: outputs, packing: None })
    }

    /// Sets the parameters and the running statistics, flat, of one that is alone.
    pub(crate) fn set_parameters(&self, flat: &[f32], statistics: &[f32]) {
        self.forward.set_parameters(flat, statistics);
    }

    /// The most rows of one recording.
    pub(crate) const fn max_rows(&self) -> usize {
        self.forward.arenas.padded_batch
    }

    /// The outputs for rows of inputs, those of one model after the other's.
    pub(crate) async fn predict(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        let ForwardPass { gpu, arenas, activations, .. } = &self.forward;
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); arenas.member_count];
        let mut take = |model: usize, values: Vec<f32>| {
            values.chunks_exact(stride).for_each(|row| outputs[model].extend(&row[..columns]));
        };
        let mut flow = self.readback.queue(gpu);
        for block in inputs.chunks(arenas.padded_batch * arenas.inputs()) {
            let rows = block.len() / arenas.inputs();
            let block = pad_rows(block, arenas.inputs(), arenas.padded_batch);
            for model in 0..arenas.member_count {
                let start = 16 * (model * arenas.activations) as u64;
                gpu.upload(activations, start, bytemuck::cast_slice(&block));
            }
            gpu.compute(|pass| self.forward.record(pass));
            for model in 0..arenas.member_count {
                let start = 16 * (model * arenas.activations + arenas.output_offset) as u64;
                let bytes = (rows * stride * size_of::<f32>()) as u64;
                flow.read(model, activations, (start, bytes), &mut take).await?;
            }
        }
        flow.finish(&mut take).await?;
        Ok(outputs.concat())
    }

    pub(crate) const fn forward(&self) -> &ForwardPass {
        &self.forward
    }

    /// The outputs of a single network for so many rows, of which `bring` brings a batch by its number and computes it.
    pub(crate) async fn predict_batches(
        &self,
        rows: usize,
        mut take: impl FnMut(Range<usize>, Vec<f32>),
        bring: impl Fn(usize),
    ) -> Result<()> {
        let ForwardPass { gpu, arenas, activations, .. } = &self.forward;
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut take = |rows: Range<usize>, values: Vec<f32>| {
            take(rows, values.chunks_exact(stride).flat_map(|row| &row[..columns]).copied().collect());
        };
        let mut flow = self.readback.queue(gpu);
        for (batch, first) in (0..rows).step_by(arenas.padded_batch).enumerate() {
            let rows = first..rows.min(first + arenas.padded_batch);
            bring(batch);
            let bytes = (rows.len() * stride * size_of::<f32>()) as u64;
            flow.read(rows, activations, (16 * arenas.output_offset as u64, bytes), &mut take).await?;
        }
        flow.finish(&mut take).await
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
        let ForwardPass { gpu, arenas, activations, .. } = &self.forward;
        if rows == 0 || rows > arenas.padded_batch {
            let expected = format!("1 to {}", arenas.padded_batch);
            return Err(Error::InvalidSetting {
                name: "rows of a recorded prediction",
                expected,
                got: rows.to_string(),
            });
        }
        let [input_bytes, output_bytes] =
            [arenas.inputs(), arenas.outputs()].map(|columns| (4 * rows * columns) as u64);
        for (what, buffer, bytes) in [("inputs", inputs, input_bytes), ("outputs", outputs, output_bytes)] {
            if buffer.size() < bytes {
                check_len(&format!("bytes of the buffer of {what}"), bytes as usize, buffer.size() as usize)?;
            }
            if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
                let (expected, got) = ("STORAGE".to_owned(), format!("{:?}", buffer.usage()));
                return Err(Error::InvalidSetting { name: "usage of the caller's buffer", expected, got });
            }
        }
        let packers = match self.packing.take() {
            Some(made) => made,
            None => PackingKernels::new(gpu, arenas).await?,
        };
        let PackingKernels { set, pack, unpack, cursor } = &*self.packing.insert(packers);
        let bind = async |dense: &wgpu::Buffer, bytes: u64| {
            let buffers = [(cursor, None), (dense, Some(bytes)), (activations, None)];
            set.bind_ranges(gpu, "packing", &buffers).await
        };
        let (from, to) = (bind(inputs, input_bytes).await?, bind(outputs, output_bytes).await?);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &from, &[0]);
        pack.record(&mut pass);
        self.forward.record(&mut pass);
        pass.set_bind_group(0, &to, &[0]);
        unpack.record(&mut pass);
        Ok(())
    }
}

impl PackingKernels {
    async fn new(gpu: &Gpu, arenas: &Arenas) -> Result<Self> {
        let [pack, unpack] = KernelSet::packing_dispatches(arenas);
        [&pack, &unpack].into_iter().try_for_each(|dispatch: &Dispatch| gpu.check_dispatch(dispatch))?;
        let set = BindingLayout::new(gpu, "packing", &[Binding::Cursor, Binding::Write, Binding::Write]).await?;
        let (pack, unpack) = (set.kernel(gpu, &pack).await?, set.kernel(gpu, &unpack).await?);
        let cursor = gpu.buffer("cursor", PAIR_BYTES, wgpu::BufferUsages::UNIFORM).await?;
        Ok(Self { set, pack, unpack, cursor })
    }
}
