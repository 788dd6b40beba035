//! Manual steps and gradients: on a batch from the caller.

use crate::{
    engine::{
        gpu::{
            device::readback::read,
            kernels::kernel_set::KernelSet,
            layout::{arenas::Arenas, buffers::Buffers, chunk::PADDING_STEPS},
            plan::planner,
            run::{
                engine::{Engine, GradientKernels, PendingStep},
                engine_layout::RawStepMetrics,
            },
        },
        step::{Batch, Step},
    },
    error::Result,
    nn::layout::pad_rows,
};

impl Engine {
    /// Submits one step on a batch from the caller. [`Engine::collect_metrics`] returns its metrics.
    pub(crate) async fn step(&mut self, batch: Batch<'_>, step: Step) -> Result<()> {
        self.upload_batch(batch);
        let step = Step { metrics_index: self.pending_metrics.len() as u32, ..step };
        let mut table = [Step::default(); 1 + PADDING_STEPS];
        table[0] = step;
        let table = &table[..=self.buffers.padding_steps];
        self.gpu.upload(&self.buffers.step_table, 0, bytemuck::cast_slice(table));
        let submission = self.gpu.compute(|pass| self.for_each_dispatch(1, false, |dispatch| dispatch.record(pass)));
        self.pending_metrics.push((step.rows, batch.weight_sum()));
        self.pacer.record_submission(&self.gpu, submission, 1).await
    }

    /// Returns the maximum number of steps whose metrics are not collected yet.
    pub(crate) const fn max_pending_steps(&self) -> usize {
        self.arenas.metrics_ring / 2
    }

    /// Reserves a place in the metrics ring for the recorded steps `first..first + steps`, and returns its index. If
    /// the ring has no room, it discards the metrics that are not collected yet.
    pub(crate) fn reserve_metrics(&mut self, first: u64, steps: usize, weight_sums: &[f64]) -> usize {
        if self.pending_metrics.len() + steps > self.max_pending_steps() {
            self.pending_metrics.clear();
        }
        let generator = &self.generators[0];
        let metrics_index = self.pending_metrics.len();
        for i in 0..steps {
            let (_, rows) = generator.batch_span(first + i as u64);
            self.pending_metrics.push((rows as u32, weight_sums.get(i).copied()));
        }
        metrics_index
    }

    /// Returns whether the caller must call [`Engine::collect_metrics`] before the next manual step.
    pub(crate) const fn must_collect(&self) -> bool {
        self.pending_metrics.len() == self.max_pending_steps()
    }

    /// Returns the metrics and the rows of the manual and recorded steps since the last call.
    pub(crate) async fn collect_metrics(&mut self) -> Result<Vec<(RawStepMetrics, PendingStep)>> {
        let steps = std::mem::take(&mut self.pending_metrics);
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let mut metrics: Vec<RawStepMetrics> = Vec::new();
        let mut take = |(), values: Vec<RawStepMetrics>| metrics.extend(values);
        let mut queue = self.metrics_readback.queue(&self.gpu);
        queue.read((), &self.buffers.metrics, self.metrics_range(0, steps.len()), &mut take).await?;
        queue.finish(&mut take).await?;
        self.pacer.record_idle();
        Ok(metrics.into_iter().zip(steps).collect())
    }

    /// Returns the gradients of the loss on a batch from the caller, in the order of the parameter buffer. It changes
    /// no parameters.
    pub(crate) async fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Result<Vec<f32>> {
        let kernels = match self.gradient_kernels.take() {
            Some(kernels) => kernels,
            None => self.create_gradient_kernels().await?,
        };
        let step = Step { clears_gradients: 1, ..step };
        self.upload_batch(batch);
        self.gpu.upload(&self.buffers.step_table, 0, bytemuck::bytes_of(&step));
        self.gpu.compute(|pass| {
            pass.set_bind_group(0, &kernels.bind_group, &[0]);
            kernels.kernels.iter().for_each(|kernel| kernel.record(pass));
        });
        let kernels = self.gradient_kernels.insert(kernels);
        read(&self.gpu, &kernels.gradients, 0, 4 * self.arenas.parameters).await
    }

    /// Creates the kernels that compute gradients without an update. They use no split-K, so the buffer of the partial
    /// sums receives nothing but the gradients.
    async fn create_gradient_kernels(&self) -> Result<GradientKernels> {
        let gpu = &self.gpu;
        gpu.check_alive().await?;
        let full_gradients = self.arenas.has_per_neuron_parameters().then_some(0);
        let arenas = Arenas { full_gradients, ..self.arenas.clone() };
        let dispatches =
            KernelSet::gradient_dispatches(&arenas, &self.kernel_config, &planner::layered_configs(gpu, &arenas));
        for dispatch in &dispatches {
            gpu.check_dispatch(dispatch)?;
        }
        let kernels = self.step_set.kernels(gpu, &dispatches).await?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let gradients = gpu.buffer("gradients", self.buffers.parameters.size(), usage).await?;
        let buffers = Buffers { partial_sums: gradients, ..self.buffers.clone() };
        let bind_group = self.step_set.bind(gpu, "gradients", &buffers.step_bindings()).await?;
        Ok(GradientKernels { kernels, gradients: buffers.partial_sums, bind_group })
    }

    /// Uploads a batch from the caller to the first slot of the window. The batch must fit, and the engine must have
    /// one member.
    fn upload_batch(&self, batch: Batch<'_>) {
        let arenas = &self.arenas;
        debug_assert_eq!(arenas.member_count, 1);
        let inputs = pad_rows(batch.inputs, arenas.inputs(), arenas.padded_batch);
        let targets = pad_rows(batch.targets, arenas.outputs(), arenas.padded_batch);
        let upload = |vec4_offset: usize, values: &[f32]| {
            self.gpu.upload(&self.buffers.activations, 16 * vec4_offset as u64, bytemuck::cast_slice(values));
        };
        upload(0, &inputs);
        upload(arenas.target_offset, &targets);
        if let Some(weight_offset) = arenas.sample_weight_offset {
            let stride = 4 * arenas.output_stride();
            let mut weights = vec![0.0; arenas.padded_batch * stride];
            for row in 0..batch.targets.len() / arenas.outputs() {
                weights[row * stride] = batch.sample_weight(row);
            }
            upload(arenas.target_offset + weight_offset, &weights);
        }
    }
}
