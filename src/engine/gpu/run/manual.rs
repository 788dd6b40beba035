//! Steps and gradients on rows that the caller brings.

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
    /// One step on rows that the caller brings; its metrics wait for [`Engine::collect_metrics`].
    pub(crate) async fn step(&mut self, batch: Batch<'_>, step: Step) -> Result<()> {
        self.upload_batch(batch);
        let step = Step { metrics_index: self.pending_metrics.len() as u32, ..step };
        let mut table = [Step::default(); 1 + PADDING_STEPS];
        table[0] = step;
        let table = &table[..=self.buffers.padding_steps];
        self.gpu.upload(&self.buffers.step_table, 0, bytemuck::cast_slice(table));
        let submission = self.gpu.compute(|pass| self.for_each_dispatch(1, false, |visit| visit.record(pass)));
        self.pending_metrics.push((step.rows, batch.weight_sum()));
        self.pacer.record_submission(&self.gpu, submission, 1).await
    }

    /// How many steps' metrics may wait.
    pub(crate) const fn max_pending_steps(&self) -> usize {
        self.arenas.metrics_ring / 2
    }

    /// Where in the ring the metrics of `steps` recorded steps go, to wait there; if there is no room, those that wait are
    /// forgotten.
    pub(crate) fn reserve_metrics(&mut self, first: u64, steps: usize, weights: &[f64]) -> usize {
        if self.pending_metrics.len() + steps > self.max_pending_steps() {
            self.pending_metrics.clear();
        }
        let course = &self.generators[0];
        let at = self.pending_metrics.len();
        let weight = |i: u64| weights.get(i as usize).copied();
        self.pending_metrics.extend((0..steps as u64).map(|i| (course.batch_span(first + i).1 as u32, weight(i))));
        at
    }

    /// Whether [`Engine::collect_metrics`] has to be called before the next step by hand.
    pub(crate) const fn must_collect(&self) -> bool {
        self.pending_metrics.len() == self.max_pending_steps()
    }

    /// The metrics and the rows of the steps by hand since the last call.
    pub(crate) async fn collect_metrics(&mut self) -> Result<Vec<(RawStepMetrics, PendingStep)>> {
        let rows = std::mem::take(&mut self.pending_metrics);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut metrics: Vec<RawStepMetrics> = Vec::new();
        let mut take = |(), values: Vec<RawStepMetrics>| metrics.extend(values);
        let mut flow = self.metrics_readback.queue(&self.gpu);
        flow.read((), &self.buffers.metrics, self.metrics_range(0, rows.len()), &mut take).await?;
        flow.finish(&mut take).await?;
        self.pacer.record_idle();
        Ok(metrics.into_iter().zip(rows).collect())
    }

    /// The gradients of the loss on rows that the caller brings, flat; changes nothing.
    pub(crate) async fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Result<Vec<f32>> {
        let kernels = match self.gradient_kernels.take() {
            Some(made) => made,
            None => self.gradient_kernels().await?,
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

    /// Makes what computes gradients alone. Their sums have no parts, so that all that is stored are the gradients.
    async fn gradient_kernels(&self) -> Result<GradientKernels> {
        let gpu = &self.gpu;
        gpu.check_alive().await?;
        let kept = self.arenas.has_per_neuron_parameters().then_some(0);
        let arenas = Arenas { full_gradients: kept, ..self.arenas.clone() };
        let dispatches =
            KernelSet::gradient_dispatches(&arenas, &self.kernel_config, &planner::layered_configs(gpu, &arenas));
        for dispatch in &dispatches {
            gpu.check_dispatch(dispatch)?;
        }
        let kernels = self.step_set.kernels(gpu, &dispatches).await?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let parts = gpu.buffer("gradients", self.buffers.parameters.size(), usage).await?;
        let buffers = Buffers { partial_sums: parts, ..self.buffers.clone() };
        let group = self.step_set.bind(gpu, "gradients", &buffers.step_bindings()).await?;
        Ok(GradientKernels { kernels, gradients: buffers.partial_sums, bind_group: group })
    }

    /// Brings a batch of the caller's, which fits, into the first slot of the window. One model's: that of a trainer.
    fn upload_batch(&self, batch: Batch<'_>) {
        let arenas = &self.arenas;
        debug_assert_eq!(arenas.member_count, 1);
        let inputs = pad_rows(batch.inputs, arenas.inputs(), arenas.padded_batch);
        let expected = pad_rows(batch.targets, arenas.outputs(), arenas.padded_batch);
        let upload = |at: usize, values: &[f32]| {
            self.gpu.upload(&self.buffers.activations, 16 * at as u64, bytemuck::cast_slice(values));
        };
        upload(0, &inputs);
        upload(arenas.target_offset, &expected);
        if let Some(weight) = arenas.sample_weight_offset {
            let stride = 4 * arenas.output_stride();
            let mut weights = vec![0.0; arenas.padded_batch * stride];
            let rows = 0..batch.targets.len() / arenas.outputs();
            weights.iter_mut().step_by(stride).zip(rows).for_each(|(to, row)| *to = batch.sample_weight(row));
            upload(arenas.target_offset + weight, &weights);
        }
    }
}
