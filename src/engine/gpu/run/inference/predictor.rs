//! Predictions: the outputs of a forward pass, read back or written to a buffer of the caller.

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
            arenas::{Arenas, MAX_FORWARD_ROWS},
            buffers::Buffers,
            kernel_config::KernelConfig,
        },
        run::inference::forward::{ForwardLayout, ForwardPass},
    },
    error::{Error, Result, check_len},
    nn::{layout::pad_rows, network::Network},
};

/// A forward pass with the buffers that read its outputs back.
pub(crate) struct Predictor {
    forward: ForwardPass,
    readback: ReadbackBuffers,
    /// The kernels of recorded predictions, created at the first use.
    packing: Option<PackingKernels>,
}

/// The kernels that copy rows between the caller's dense buffers and the padded rows of the arena.
struct PackingKernels {
    binding_layout: BindingLayout,
    pack: Kernel,
    unpack: Kernel,
    cursor: wgpu::Buffer,
}

impl Predictor {
    /// Creates a predictor of one network without an engine, with its own copy of the parameters and the running
    /// statistics.
    pub(crate) async fn standalone(
        gpu: &Gpu,
        network: &Network,
        parameters: &[f32],
        statistics: &[f32],
    ) -> Result<Self> {
        let layout = ForwardLayout::standalone(gpu, network, 1, MAX_FORWARD_ROWS)?;
        Self::from_forward(ForwardPass::standalone(gpu, layout, parameters, statistics).await?).await
    }

    /// Creates a predictor of `member_count` members of an engine. `buffers` are the buffers of the engine, and
    /// `binding_layout` is the layout of its step kernels.
    pub(crate) async fn new(
        gpu: &Gpu,
        (network, member_count): (&Network, usize),
        config: &KernelConfig,
        (binding_layout, buffers): (&BindingLayout, &Buffers),
    ) -> Result<Self> {
        let layout = ForwardLayout::new(gpu, network, member_count, config, (MAX_FORWARD_ROWS, false))?;
        Self::from_forward(ForwardPass::new(gpu, layout, binding_layout, buffers).await?).await
    }

    async fn from_forward(forward: ForwardPass) -> Result<Self> {
        let bytes = (16 * forward.arenas.padded_batch * forward.arenas.output_stride()) as u64;
        let readback = ReadbackBuffers::new(&forward.gpu, "outputs readback", bytes).await?;
        Ok(Self { forward, readback, packing: None })
    }

    /// Sets the parameters and the running statistics of a standalone predictor.
    pub(crate) fn set_parameters(&self, parameters: &[f32], statistics: &[f32]) {
        self.forward.set_parameters(parameters, statistics);
    }

    /// Returns the maximum number of rows of a recorded prediction.
    pub(crate) const fn max_rows(&self) -> usize {
        self.forward.arenas.padded_batch
    }

    /// Returns the outputs for any number of rows, member by member.
    pub(crate) async fn predict(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        let ForwardPass { gpu, arenas, activations, .. } = &self.forward;
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); arenas.member_count];
        let mut take = |member: usize, values: Vec<f32>| {
            values.chunks_exact(stride).for_each(|row| outputs[member].extend(&row[..columns]));
        };
        let mut queue = self.readback.queue(gpu);
        for batch in inputs.chunks(arenas.padded_batch * arenas.inputs()) {
            let rows = batch.len() / arenas.inputs();
            let padded = pad_rows(batch, arenas.inputs(), arenas.padded_batch);
            for member in 0..arenas.member_count {
                let offset = 16 * (member * arenas.activations) as u64;
                gpu.upload(activations, offset, bytemuck::cast_slice(&padded));
            }
            gpu.compute(|pass| self.forward.record(pass));
            for member in 0..arenas.member_count {
                let offset = 16 * (member * arenas.activations + arenas.output_offset) as u64;
                let bytes = (rows * stride * size_of::<f32>()) as u64;
                queue.read(member, activations, (offset, bytes), &mut take).await?;
            }
        }
        queue.finish(&mut take).await?;
        Ok(outputs.concat())
    }

    pub(crate) const fn forward(&self) -> &ForwardPass {
        &self.forward
    }

    /// Computes the outputs of one member for `rows` rows. `submit_batch` submits the forward pass of the batch of the
    /// given number. `take` receives a range of rows and their outputs.
    pub(crate) async fn predict_batches(
        &self,
        rows: usize,
        mut take: impl FnMut(Range<usize>, Vec<f32>),
        submit_batch: impl Fn(usize),
    ) -> Result<()> {
        let ForwardPass { gpu, arenas, activations, .. } = &self.forward;
        let (columns, stride) = (arenas.outputs(), 4 * arenas.output_stride());
        let mut take = |rows: Range<usize>, values: Vec<f32>| {
            take(rows, values.chunks_exact(stride).flat_map(|row| &row[..columns]).copied().collect());
        };
        let mut queue = self.readback.queue(gpu);
        for (batch, first) in (0..rows).step_by(arenas.padded_batch).enumerate() {
            let rows = first..rows.min(first + arenas.padded_batch);
            submit_batch(batch);
            let bytes = (rows.len() * stride * size_of::<f32>()) as u64;
            queue.read(rows, activations, (16 * arenas.output_offset as u64, bytes), &mut take).await?;
        }
        queue.finish(&mut take).await
    }

    /// Records a prediction of the first member into the caller's encoder, for `rows` rows of the buffer `inputs` and
    /// into the buffer `outputs`. Both buffers are dense. The caller submits the encoder.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `rows` is 0 or exceeds [`Predictor::max_rows`].
    /// [`Error::InvalidSetting`] if a buffer lacks the usage `STORAGE`.
    /// [`Error::Shape`] if a buffer is too small.
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
                name: "rows of the recorded prediction",
                expected,
                got: rows.to_string(),
            });
        }
        let [input_bytes, output_bytes] =
            [arenas.inputs(), arenas.outputs()].map(|columns| (4 * rows * columns) as u64);
        for (name, buffer, bytes) in [("inputs", inputs, input_bytes), ("outputs", outputs, output_bytes)] {
            if buffer.size() < bytes {
                check_len(&format!("bytes of the {name} buffer"), bytes as usize, buffer.size() as usize)?;
            }
            if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
                let expected = format!("STORAGE for the {name} buffer");
                let got = format!("{:?}", buffer.usage());
                return Err(Error::InvalidSetting { name: "buffer usage", expected, got });
            }
        }
        let packing = match self.packing.take() {
            Some(kernels) => kernels,
            None => PackingKernels::new(gpu, arenas).await?,
        };
        let PackingKernels { binding_layout, pack, unpack, cursor } = &*self.packing.insert(packing);
        let bind = async |dense: &wgpu::Buffer, bytes: u64| {
            let buffers = [(cursor, None), (dense, Some(bytes)), (activations, None)];
            binding_layout.bind_ranges(gpu, "packing", &buffers).await
        };
        let (pack_group, unpack_group) = (bind(inputs, input_bytes).await?, bind(outputs, output_bytes).await?);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_bind_group(0, &pack_group, &[0]);
        pack.record(&mut pass);
        self.forward.record(&mut pass);
        pass.set_bind_group(0, &unpack_group, &[0]);
        unpack.record(&mut pass);
        Ok(())
    }
}

impl PackingKernels {
    async fn new(gpu: &Gpu, arenas: &Arenas) -> Result<Self> {
        let [pack, unpack] = KernelSet::packing_dispatches(arenas);
        [&pack, &unpack].into_iter().try_for_each(|dispatch: &Dispatch| gpu.check_dispatch(dispatch))?;
        let bindings = &[Binding::Cursor, Binding::Write, Binding::Write];
        let binding_layout = BindingLayout::new(gpu, "packing", bindings).await?;
        let (pack, unpack) = (binding_layout.kernel(gpu, &pack).await?, binding_layout.kernel(gpu, &unpack).await?);
        let cursor = gpu.buffer("cursor", PAIR_BYTES, wgpu::BufferUsages::UNIFORM).await?;
        Ok(Self { binding_layout, pack, unpack, cursor })
    }
}
