//! Networks on one GPU: arenas allocated once, kernels built once, and steps recorded many at a time.

use super::{
    Gpu,
    arenas::{Arenas, Members},
    buffers::{Buffers, CHUNK, CURSOR},
    kernel::{Kernel, STEP, Set, WINDOW},
    pace::Pace,
    plan::Plan,
    predictor::Predictor,
    read_back::{Pipe, read},
    resident::{Shard, rows_a_shard, upload},
    tile::Tile,
};
use crate::{
    Dataset, Features, Network, Result,
    network::padded_rows,
    step::{Course, Step},
};

/// What is trained: networks of one shape, each with its course, on one data set.
pub(crate) struct Setup<'a> {
    pub(crate) network: &'a Network,
    /// One a model.
    pub(crate) courses: Vec<Course>,
    pub(crate) data: Option<&'a Dataset>,
    pub(crate) shuffle: bool,
    /// Steps a chunk; by time if not given.
    pub(crate) chunk: Option<usize>,
    /// The adapter's own if not given.
    pub(crate) tile: Option<Tile>,
}

pub(crate) struct Engine {
    gpu: Gpu,
    network: Network,
    courses: Vec<Course>,
    members: Members,
    tile: Tile,
    arenas: Arenas,
    pace: Pace,

    pub(super) buffers: Buffers,
    step_set: Set,
    step_group: wgpu::BindGroup,
    /// One a shard of the data set.
    window_groups: Vec<wgpu::BindGroup>,
    kernels: Kernels,
    /// Made when they are first asked for.
    gradients: Option<(Kernel, wgpu::Buffer, wgpu::BindGroup)>,
    predictor: Option<Predictor>,

    /// The ring of metrics is read by halves, one while the other is written.
    losses: Pipe,
    /// The rows of the steps by hand whose metrics wait in the first half.
    waiting: Vec<u32>,
}

/// What a chunk of steps is recorded from.
struct Kernels {
    to_deltas: Vec<Kernel>,
    update: Kernel,
    order: Kernel,
    gather: Kernel,
    measure: Kernel,
    total: Kernel,
}

/// Loss and right answers of a step, as `total` writes them.
pub(crate) type Metric = [f32; 2];

impl Engine {
    pub(crate) async fn new(gpu: &Gpu, setup: Setup<'_>) -> Result<Self> {
        let Setup { network, courses, data, shuffle, chunk, tile } = setup;
        let course = courses[0];
        let tile = tile.unwrap_or_else(|| Tile::best_for(gpu, network.flop(course.batch)));
        let ring = (course.steps_per_epoch() as usize).next_power_of_two().clamp(1 << 12, 1 << 16);
        let ring = 2 * ring.min(gpu.most_bytes() / 4 / courses.len() / size_of::<Metric>()).max(1);
        let arenas = Arenas::new(network, course.batch, courses.len(), ring, tile, gpu.most_bytes());
        let scale = match data.map(Dataset::features) {
            Some(Features::U8 { scale, .. }) => *scale,
            _ => 1.0,
        };
        let members = Members {
            activations: network.layers().iter().map(|l| l.activation).collect(),
            loss: course.loss,
            optimizer: course.optimizer,
            shuffle,
            data_rows: data.map_or(1, Dataset::rows),
            scale,
        };
        let plan = Plan::new(&arenas, &members, tile, data.map(Dataset::features), data.map(Dataset::answers));
        arenas.check(members.optimizer, &gpu.limits)?;
        plan.check(gpu)?;
        data.map_or(Ok(0), |data| rows_a_shard(gpu, data, &arenas))?;
        Buffers::check(gpu, &arenas)?;

        gpu.check_alive().await?;
        let buffers = Buffers::new(gpu, &arenas, members.optimizer).await?;
        let shards = match data {
            Some(data) => upload(gpu, data, &arenas).await?,
            None => vec![Shard::new(gpu, [16, 16], [0, 0]).await?],
        };
        let window_set = Set::new(gpu, "window", WINDOW).await?;
        let mut window_groups = Vec::new();
        for shard in &shards {
            window_groups.push(window_set.bind(gpu, "window", &buffers.of_window(shard)).await?);
        }
        let step_set = Set::new(gpu, "step", STEP).await?;
        let step_group = step_set.bind(gpu, "step", &buffers.of_step()).await?;

        let mut to_deltas = Vec::new();
        for dispatch in &plan.deltas {
            to_deltas.push(step_set.kernel(gpu, dispatch).await?);
        }
        let kernels = Kernels {
            to_deltas,
            update: step_set.kernel(gpu, &plan.update).await?,
            order: window_set.kernel(gpu, &plan.order).await?,
            gather: window_set.kernel(gpu, &plan.gather).await?,
            measure: window_set.kernel(gpu, &plan.measure).await?,
            total: window_set.kernel(gpu, &plan.total).await?,
        };
        let half = (arenas.models * arenas.ring / 2 * size_of::<Metric>()) as u64;
        let flop = network.flop(arenas.batch * arenas.models);
        Ok(Self {
            gpu: gpu.clone(),
            network: network.clone(),
            courses,
            members,
            tile,
            pace: Pace::new(gpu.is_software(), chunk, flop, kernels.to_deltas.len() + 1),
            losses: Pipe::new(gpu, "losses", half).await?,
            arenas,
            buffers,
            step_set,
            step_group,
            window_groups,
            kernels,
            gradients: None,
            predictor: None,
            waiting: Vec::new(),
        })
    }

    /// Sets the parameters of all models, flat, and forgets the optimizer's state.
    pub(crate) fn set_parameters(&mut self, flat: &[f32]) {
        self.gpu.upload(&self.buffers.parameters, 0, bytemuck::cast_slice(flat));
        let mut encoder = self.gpu.encoder();
        encoder.clear_buffer(&self.buffers.state, 0, None);
        self.gpu.submit(encoder);
    }

    /// The parameters of all models, flat.
    pub(crate) async fn parameters(&self) -> Result<Vec<f32>> {
        read(&self.gpu, &self.buffers.parameters, 0, 4 * self.arenas.parameters * self.arenas.models).await
    }

    /// Steps `first` to `first + steps` on the resident data. Gives every step's metrics, `[step][model]`.
    pub(crate) async fn run(&mut self, first: u64, steps: usize) -> Result<Vec<Metric>> {
        let models = self.arenas.models;
        let half = self.arenas.ring / 2;
        let mut metrics = Vec::with_capacity(steps.min(self.arenas.ring) * models);
        let mut take = |(), values: Vec<Metric>| metrics.extend(values);
        let (gpu, losses) = (&self.gpu, &self.losses);
        let mut flow = losses.flow(gpu);
        self.pace.start();
        for (segment, start) in (0..steps).step_by(half).enumerate() {
            let side = segment % 2 * half;
            let count = half.min(steps - start);
            let mut done = 0;
            while done < count {
                let chunk = self.pace.steps().min(CHUNK).min(count - done);
                let table = (0..chunk * models).map(|i| {
                    let (step, model) = (done + i / models, i % models);
                    let ring = (side + step) as u32;
                    Step { ring, ..self.courses[model].step(first + (start + step) as u64, model as u64) }
                });
                let table: Vec<Step> = table.collect();
                let submission = self.submit_steps(&table, chunk, true);
                self.pace.submitted(gpu, submission, chunk).await?;
                done += chunk;
            }
            flow.read((), &self.buffers.metrics, self.metrics_at(side, count), &mut take).await?;
        }
        flow.finish(&mut take).await?;
        self.pace.drained();
        Ok(metrics)
    }

    /// One step on rows that the caller brings; its metrics wait for [`Engine::collect`].
    pub(crate) async fn step(&mut self, inputs: &[f32], expected: &[f32]) -> Result<()> {
        let step = Step { ring: self.waiting.len() as u32, ..self.bring(inputs, expected) };
        let submission = self.submit_steps(&[step], 1, false);
        self.waiting.push(step.rows);
        self.pace.submitted(&self.gpu, submission, 1).await
    }

    /// Whether [`Engine::collect`] has to be called before the next step by hand.
    pub(crate) const fn is_full(&self) -> bool {
        self.waiting.len() == self.arenas.ring / 2
    }

    /// The metrics and the rows of the steps by hand since the last call.
    pub(crate) async fn collect(&mut self) -> Result<Vec<(Metric, u32)>> {
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
    pub(crate) async fn gradients(&mut self, inputs: &[f32], expected: &[f32]) -> Result<Vec<f32>> {
        let gpu = self.gpu.clone();
        if self.gradients.is_none() {
            gpu.check_alive().await?;
            let dispatch = Plan::gradients(&self.arenas, &self.members, self.tile);
            let kernel = self.step_set.kernel(&gpu, &dispatch).await?;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let stored = gpu.buffer("gradients", self.buffers.parameters.size(), usage).await?;
            let buffers = Buffers { spare: stored, ..self.buffers.clone() };
            let group = self.step_set.bind(&gpu, "gradients", &buffers.of_step()).await?;
            self.gradients = Some((kernel, buffers.spare, group));
        }
        let step = self.bring(inputs, expected);
        gpu.upload(&self.buffers.steps, 0, bytemuck::bytes_of(&step));
        let Some((kernel, stored, group)) = &self.gradients else { unreachable!("made above") };
        gpu.compute(|pass| {
            pass.set_bind_group(0, group, &[0]);
            self.kernels.to_deltas.iter().chain([kernel]).for_each(|kernel| kernel.record(pass));
        });
        read(&gpu, stored, 0, 4 * self.arenas.parameters).await
    }

    /// The outputs for any number of rows, those of one model after the other's.
    pub(crate) async fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        if self.predictor.is_none() {
            let Self { gpu, network, arenas, members, tile, step_set, buffers, .. } = &*self;
            let made = Predictor::new(gpu, network, arenas, (members, *tile), step_set, buffers).await?;
            self.predictor = Some(made);
        }
        let Some(predictor) = &self.predictor else { unreachable!("made above") };
        predictor.predict(&self.gpu, inputs).await
    }

    /// Brings a batch of the caller's, which fits, into the first slot of the window. One model's: that of a trainer.
    fn bring(&self, inputs: &[f32], expected: &[f32]) -> Step {
        let arenas = &self.arenas;
        debug_assert_eq!(arenas.models, 1);
        let rows = inputs.len() / arenas.inputs();
        let inputs = padded_rows(inputs, arenas.inputs(), arenas.batch);
        let expected = padded_rows(expected, arenas.outputs(), arenas.batch);
        self.gpu.upload(&self.buffers.activations, 0, bytemuck::cast_slice(&inputs));
        self.gpu.upload(&self.buffers.activations, 16 * arenas.expected as u64, bytemuck::cast_slice(&expected));
        self.courses[0].step_of(rows)
    }

    /// Records and submits `steps` steps; `table` has a row for each and model. Nothing is allocated or bound anew.
    fn submit_steps(&self, table: &[Step], steps: usize, gathers: bool) -> wgpu::SubmissionIndex {
        let Self { gpu, arenas, kernels, window_groups, .. } = self;
        gpu.upload(&self.buffers.steps, 0, bytemuck::cast_slice(table));
        let cursor = |step: usize| [(step * CURSOR) as u32];
        gpu.compute(|pass| {
            for first in (0..steps).step_by(arenas.window) {
                let slots = arenas.window.min(steps - first);
                for (i, group) in window_groups.iter().enumerate().filter(|_| gathers) {
                    pass.set_bind_group(0, group, &cursor(first));
                    if i == 0 {
                        kernels.order.record_over(pass, arenas.over_slots(arenas.batch, slots));
                    }
                    kernels.gather.record_over(pass, arenas.over_slots(arenas.gathered(), slots));
                }
                for step in first..first + slots {
                    pass.set_bind_group(0, &self.step_group, &cursor(step));
                    kernels.to_deltas.iter().chain([&kernels.update]).for_each(|kernel| kernel.record(pass));
                }
                pass.set_bind_group(0, &window_groups[0], &cursor(first));
                kernels.measure.record_over(pass, arenas.judged(slots));
                kernels.total.record_over(pass, arenas.totalled(slots));
            }
        })
    }

    /// Where the metrics of `steps` steps from `first` on lie in the ring, and their length, in bytes.
    fn metrics_at(&self, first: usize, steps: usize) -> (u64, u64) {
        let one = (self.arenas.models * size_of::<Metric>()) as u64;
        (first as u64 * one, steps as u64 * one)
    }
}
