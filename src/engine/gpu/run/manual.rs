//! Steps and gradients on rows that the caller brings.

use crate::{
    engine::{
        gpu::{
            device::{pipeline::Kernel, readback::read},
            kernels::kernel_set::Dispatches,
            layout::{arenas::Arenas, buffers::Buffers, chunk::BEHIND},
            plan::planner,
            run::{engine::Engine, engine_layout::Metric},
        },
        step::{Batch, Step},
    },
    error::Result,
    nn::layout::padded_rows,
};

/// The rows of a step, and the sum of their weights if they have any.
pub(crate) type Waiting = (u32, Option<f64>);

/// What computes gradients alone, and where it stores them.
pub(crate) struct GradientKernels {
    kernels: Vec<Kernel>,
    stored: wgpu::Buffer,
    group: wgpu::BindGroup,
}

impl Engine {
    /// One step on rows that the caller brings; its metrics wait for [`Engine::collect`].
    pub(crate) async fn step(&mut self, batch: Batch<'_>, step: Step) -> Result<()> {
        self.bring(batch);
        let step = Step { ring: self.waiting.len() as u32, ..step };
        let mut table = [Step::default(); 1 + BEHIND];
        table[0] = step;
        let table = &table[..=self.buffers.behind];
        self.gpu.upload(&self.buffers.steps, 0, bytemuck::cast_slice(table));
        let submission = self.gpu.compute(|pass| self.visit(1, false, |visit| visit.record(pass)));
        self.waiting.push((step.rows, batch.weight_of_rows()));
        self.pace.submitted(&self.gpu, submission, 1).await
    }

    /// How many steps' metrics may wait.
    pub(crate) const fn room_for_metrics(&self) -> usize {
        self.arenas.ring / 2
    }

    /// Where in the ring the metrics of `steps` recorded steps go, to wait there; if there is no room, those that wait are
    /// forgotten.
    pub(crate) fn wait_for_metrics(&mut self, first: u64, steps: usize, weights: &[f64]) -> usize {
        if self.waiting.len() + steps > self.room_for_metrics() {
            self.waiting.clear();
        }
        let course = &self.courses[0];
        let at = self.waiting.len();
        let weight = |i: u64| weights.get(i as usize).copied();
        self.waiting.extend((0..steps as u64).map(|i| (course.span(first + i).1 as u32, weight(i))));
        at
    }

    /// Whether [`Engine::collect`] has to be called before the next step by hand.
    pub(crate) const fn is_full(&self) -> bool {
        self.waiting.len() == self.room_for_metrics()
    }

    /// The metrics and the rows of the steps by hand since the last call.
    pub(crate) async fn collect(&mut self) -> Result<Vec<(Metric, Waiting)>> {
        let rows = std::mem::take(&mut self.waiting);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut metrics: Vec<Metric> = Vec::new();
        let mut take = |(), values: Vec<Metric>| metrics.extend(values);
        let mut flow = self.losses.flow(&self.gpu);
        flow.read((), &self.buffers.metrics, self.metrics_at(0, rows.len()), &mut take).await?;
        flow.finish(&mut take).await?;
        self.pace.drained();
        Ok(metrics.into_iter().zip(rows).collect())
    }

    /// The gradients of the loss on rows that the caller brings, flat; changes nothing.
    pub(crate) async fn gradients(&mut self, batch: Batch<'_>, step: Step) -> Result<Vec<f32>> {
        let kernels = match self.gradients.take() {
            Some(made) => made,
            None => self.gradient_kernels().await?,
        };
        let step = Step { starts: 1, ..step };
        self.bring(batch);
        self.gpu.upload(&self.buffers.steps, 0, bytemuck::bytes_of(&step));
        self.gpu.compute(|pass| {
            pass.set_bind_group(0, &kernels.group, &[0]);
            kernels.kernels.iter().for_each(|kernel| kernel.record(pass));
        });
        let kernels = self.gradients.insert(kernels);
        read(&self.gpu, &kernels.stored, 0, 4 * self.arenas.parameters).await
    }

    /// Makes what computes gradients alone. Their sums have no parts, so that all that is stored are the gradients.
    async fn gradient_kernels(&self) -> Result<GradientKernels> {
        let gpu = &self.gpu;
        gpu.check_alive().await?;
        let kept = self.arenas.has_vectors().then_some(0);
        let arenas = Arenas { kept, ..self.arenas.clone() };
        let dispatches = Dispatches::gradients(&arenas, &self.members, &planner::layered(gpu, &arenas));
        for dispatch in &dispatches {
            dispatch.check(gpu)?;
        }
        let kernels = self.step_set.kernels(gpu, &dispatches).await?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let parts = gpu.buffer("gradients", self.buffers.parameters.size(), usage).await?;
        let buffers = Buffers { parts, ..self.buffers.clone() };
        let group = self.step_set.bind(gpu, "gradients", &buffers.of_step()).await?;
        Ok(GradientKernels { kernels, stored: buffers.parts, group })
    }

    /// Brings a batch of the caller's, which fits, into the first slot of the window. One model's: that of a trainer.
    fn bring(&self, batch: Batch<'_>) {
        let arenas = &self.arenas;
        debug_assert_eq!(arenas.models, 1);
        let inputs = padded_rows(batch.inputs, arenas.inputs(), arenas.batch);
        let expected = padded_rows(batch.expected, arenas.outputs(), arenas.batch);
        let upload = |at: usize, values: &[f32]| {
            self.gpu.upload(&self.buffers.activations, 16 * at as u64, bytemuck::cast_slice(values));
        };
        upload(0, &inputs);
        upload(arenas.expected, &expected);
        if let Some(weight) = arenas.weight {
            let stride = 4 * arenas.output_stride();
            let mut weights = vec![0.0; arenas.batch * stride];
            let rows = 0..batch.expected.len() / arenas.outputs();
            weights.iter_mut().step_by(stride).zip(rows).for_each(|(to, row)| *to = batch.weight(row));
            upload(arenas.expected + weight, &weights);
        }
    }
}
