//! Networks on one GPU: arenas allocated once, kernels built once, and steps recorded many at a time.

use crate::{
    data::{dataset::Dataset, subset::SubsetParams},
    engine::{
        gpu::{
            data::{
                dataset::{DeviceDataset, Shard, bind_window, upload_subsets},
                stream::RowStream,
            },
            device::{
                Gpu,
                bindings::STEP_BINDINGS,
                dispatch::Dispatch,
                pacer::ChunkPacer,
                pipeline::{BindingLayout, Kernel},
                readback::ReadbackBuffers,
            },
            kernels::{custom, kernel_set::KernelSet},
            layout::{
                arenas::{Arenas, KernelConfig},
                buffers::Buffers,
            },
            plan::planner,
            run::{
                engine_layout::{EngineConfig, EngineLayout, RawStepMetrics, plan_key},
                inference::{
                    evaluator::{BatchLoader, DeviceEvaluator},
                    predictor::Predictor,
                },
                snapshot::Snapshot,
                step_table::{StepTable, StepTableUpload},
            },
        },
        step::{ResumeOffset, StepGenerator},
    },
    error::{Error, Result},
    nn::network::Network,
    plan::{Plan, PlannedDispatch, Scheme},
    util::clock::Clock,
};

pub(crate) struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) network: Network,
    /// One a slot: those of the networks in training stand first.
    pub(crate) generators: Vec<StepGenerator>,
    /// How many networks are in training.
    pub(crate) active_slots: usize,
    pub(crate) kernel_config: KernelConfig,
    scheme: Scheme,
    pub(crate) kernel_set: KernelSet,
    pub(crate) arenas: Arenas,
    pub(crate) pacer: ChunkPacer,

    pub(crate) buffers: Buffers,
    pub(crate) step_table: StepTable,
    /// The data set, if there is one and the device holds it.
    pub(crate) device_dataset: Option<DeviceDataset>,
    /// What brings its rows, if the device does not.
    pub(crate) row_stream: Option<RowStream>,
    pub(crate) step_set: BindingLayout,
    pub(crate) step_group: wgpu::BindGroup,
    /// One a shard of the data set.
    pub(crate) window_groups: Vec<wgpu::BindGroup>,
    /// Where each network has rows of its own: what says which, and what the order's kernel is bound to.
    pub(crate) subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    pub(crate) kernels: ChunkKernels,
    /// Made when they are first asked for.
    pub(crate) gradient_kernels: Option<GradientKernels>,
    pub(crate) predictor: Option<Predictor>,
    /// Of the data set that was evaluated last, and of the one whose outputs were judged on the device.
    pub(crate) batch_loader: Option<BatchLoader>,
    pub(crate) device_evaluator: Option<DeviceEvaluator>,
    pub(crate) snapshot: Option<Snapshot>,

    /// The ring of metrics is read by halves, one while the other is written.
    pub(crate) metrics_readback: ReadbackBuffers,
    /// The seconds that its kernels took to compile so far, and whether they have run: some drivers compile a kernel when it
    /// is dispatched for the first time.
    compile_seconds: f64,
    has_run: bool,
    /// The steps by hand whose metrics wait in the first half.
    pub(crate) pending_metrics: Vec<PendingStep>,
}

/// The rows of a step, and the sum of their weights if they have any.
pub(crate) type PendingStep = (u32, Option<f64>);

/// What computes gradients alone, and where it stores them.
pub(crate) struct GradientKernels {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) gradients: wgpu::Buffer,
    pub(crate) bind_group: wgpu::BindGroup,
}

/// A compilation that takes more seconds is reported.
pub(crate) const LONG_COMPILATION_SECONDS: f64 = 1.0;

/// What a chunk of steps is recorded from.
pub(crate) struct ChunkKernels {
    pub(crate) find_rows: Kernel,
    pub(crate) gather: Kernel,
    pub(crate) step: Vec<Kernel>,
    pub(crate) batch_metrics: Kernel,
    pub(crate) sum_metrics: Option<Kernel>,
}

/// Logs a compilation that took so long that a user waits for it.
fn log_compilation(scheme: &Scheme, seconds: f64) {
    if seconds > LONG_COMPILATION_SECONDS {
        log::info!("compiling the kernels took {seconds:.1} s (scheme: {scheme})");
    }
}

impl Engine {
    /// [`EngineLayout::new`] and [`Engine::build`]. A data set for which there is no memory is streamed.
    pub(crate) async fn new(gpu: &Gpu, config: EngineConfig<'_>) -> Result<Self> {
        let again = config
            .data
            .filter(|_| config.device_dataset.is_none())
            .map(|_| EngineConfig { must_stream: true, ..config.clone() });
        let draft = EngineLayout::new(gpu, config)?;
        let holds_data = !draft.kernel_config.is_streamed;
        match (Self::build(gpu, draft).await, again) {
            (Err(Error::OutOfMemory { context: what }), Some(again)) if holds_data => {
                log::info!("{what}; so the data set is streamed");
                Self::build(gpu, EngineLayout::new(gpu, again)?).await
            }
            (made, _) => made,
        }
    }

    /// Allocates what a draft says, and builds its kernels.
    pub(crate) async fn build(gpu: &Gpu, layout: EngineLayout<'_>) -> Result<Self> {
        let EngineLayout {
            config: setup,
            kernel_config: members,
            scheme,
            arenas,
            kernel_set: dispatches,
            schedule_groups: tempos,
            chunk_dims: length,
        } = layout;
        let EngineConfig {
            network,
            generators: courses,
            data,
            device_dataset: uploaded,
            steps_per_submission: chunk,
            has_sample_weights: weighted,
            ..
        } = setup;
        gpu.check_alive().await?;
        custom::check(gpu, network, members.loss).await?;
        let buffers = Buffers::new(gpu, &arenas, members.optimizer, length).await?;
        let timetable =
            StepTable::new(gpu, &dispatches.build_step_table, (length, tempos), &buffers.step_table).await?;
        let (mut stream, mut resident) = (None, uploaded);
        match (&resident, data) {
            (None, Some(data)) if members.is_streamed => {
                stream = Some(
                    RowStream::new(gpu, data, length.max_steps * arenas.member_count * arenas.padded_batch, weighted)
                        .await?,
                );
            }
            (None, Some(data)) => resident = Some(DeviceDataset::new(gpu, data, weighted).await?),
            _ => {}
        }
        let mut shards = match (&resident, &stream) {
            (Some(uploaded), _) => uploaded.shards.clone(),
            (_, Some(stream)) => stream.shards().to_vec(),
            _ => vec![Shard::new(gpu, [16, 16], [0, 0]).await?],
        };
        let scaler = data.and_then(Dataset::scaler);
        let of_each: Vec<_> = courses.iter().map(|course| course.subset(members.dataset_rows)).collect();
        let subsets = if members.has_subsets { Some(upload_subsets(gpu, &of_each).await?) } else { None };
        if let Some(subsets) = &subsets {
            // The order's kernel looks at no features: what says which rows to take lies in their place.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (window_set, mut window_groups) = bind_window(gpu, &arenas, &buffers, &shards, scaler).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, window_groups.pop()?)));
        let step_set = BindingLayout::new(gpu, "step", STEP_BINDINGS).await?;
        let step_group = step_set.bind(gpu, "step", &buffers.step_bindings()).await?;

        let clock = Clock::start();
        let kernels = ChunkKernels {
            find_rows: window_set.kernel(gpu, &dispatches.find_rows).await?,
            gather: window_set.kernel(gpu, &dispatches.gather).await?,
            step: step_set.kernels(gpu, &dispatches.step).await?,
            batch_metrics: window_set.kernel(gpu, &dispatches.batch_metrics).await?,
            sum_metrics: match &dispatches.sum_metrics {
                Some(total) => Some(window_set.kernel(gpu, total).await?),
                None => None,
            },
        };
        let half = (arenas.member_count * arenas.metrics_ring / 2 * size_of::<RawStepMetrics>()) as u64;
        let flop = network.flop_per_step(arenas.padded_batch * arenas.member_count);
        let groups = |dispatch: &Dispatch| dispatch.workgroups.iter().map(|groups| f64::from(*groups)).product();
        let widest = dispatches.step.iter().map(groups).fold(1.0, f64::max);
        Ok(Self {
            gpu: gpu.clone(),
            network: network.clone(),
            active_slots: courses.len(),
            generators: courses,
            kernel_config: members,
            scheme,
            pacer: ChunkPacer::new(gpu.is_software(), chunk, flop, (kernels.step.len(), widest)),
            kernel_set: dispatches,
            metrics_readback: ReadbackBuffers::new(gpu, "losses", half).await?,
            arenas,
            buffers,
            step_table: timetable,
            step_set,
            step_group,
            window_groups,
            subsets,
            kernels,
            compile_seconds: clock.seconds(),
            has_run: false,
            gradient_kernels: None,
            device_dataset: resident,
            row_stream: stream,
            predictor: None,
            batch_loader: None,
            device_evaluator: None,
            snapshot: None,
            pending_metrics: Vec::new(),
        })
    }

    /// Sets the learning rate of the network in a slot.
    pub(crate) fn set_learning_rate(&mut self, slot: usize, learning_rate: f64) {
        self.generators[slot].optimizer.learning_rate = learning_rate;
    }

    /// Sets what came before its steps.
    pub(crate) fn set_resume_offset(&mut self, resume_offset: ResumeOffset) {
        for course in &mut self.generators {
            course.resume_offset = resume_offset;
        }
        self.step_table.set_resume_offset(resume_offset);
    }

    /// Steps `first` to `first + steps` on the resident data, after `before` updates. Gives every step's metrics, `[step][model]`.
    pub(crate) async fn run(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
    ) -> Result<Vec<RawStepMetrics>> {
        let models = self.arenas.member_count;
        let half = self.arenas.metrics_ring / 2;
        let mut metrics = Vec::with_capacity(steps.min(self.arenas.metrics_ring) * models);
        let mut take = |(), values: Vec<RawStepMetrics>| metrics.extend(values);
        let (gpu, losses) = (&self.gpu, &self.metrics_readback);
        let mut flow = losses.queue(gpu);
        self.pacer.start();
        for (segment, start) in (0..steps).step_by(half).enumerate() {
            let side = segment % 2 * half;
            let count = half.min(steps - start);
            let mut done = 0;
            while done < count {
                // The first step on a software adapter is waited for alone: its driver compiles the kernels in it.
                let compiles = !self.has_run && self.gpu.is_software();
                let steps = if compiles { 1 } else { self.pacer.steps() };
                let chunk = steps.min(self.buffers.max_chunk_steps).min(count - done);
                let taken = (start + done) as u64;
                self.prepare_chunk((first + taken, steps_since_reset + taken), side + done, chunk);
                let submission = gpu.compute(|pass| self.for_each_dispatch(chunk, true, |visit| visit.record(pass)));
                if compiles {
                    let clock = Clock::start();
                    gpu.wait(submission).await?;
                    self.compile_seconds += clock.seconds();
                    self.pacer.start();
                } else {
                    self.pacer.record_submission(gpu, submission, chunk).await?;
                }
                if !self.has_run {
                    self.has_run = true;
                    log_compilation(&self.scheme, self.compile_seconds);
                }
                done += chunk;
            }
            flow.read((), &self.buffers.metrics, self.metrics_range(side, count), &mut take).await?;
        }
        flow.finish(&mut take).await?;
        self.pacer.record_idle();
        if let Some(stream) = &self.row_stream {
            stream.check()?;
        }
        Ok(metrics)
    }

    /// What the table of `steps` steps from `first` on is made from, after `before` updates, whose metrics go to the ring
    /// from `ring` on.
    pub(crate) fn step_table_upload(&self, (first, before): (u64, u64), ring: usize, steps: usize) -> StepTableUpload {
        self.step_table.prepare_upload(&self.generators[..self.active_slots], (first, before), ring, steps)
    }

    /// Brings to the device what a chunk of steps needs, as [`Engine::step_table_upload`] has it: what its table is made from, and its
    /// rows if they are streamed.
    pub(crate) fn prepare_chunk(&self, (first, before): (u64, u64), ring: usize, steps: usize) {
        let entries = self.step_table_upload((first, before), ring, steps);
        self.step_table.upload(&self.gpu, &entries);
        if let Some(stream) = &self.row_stream {
            let how = (&self.arenas, self.kernel_config.shuffle);
            stream.upload_steps(&self.gpu, how, &self.generators[..self.active_slots], (first, before), steps);
        }
    }

    /// Takes a network out of training: it changes places with the last that is in it. Its parameters stay.
    pub(crate) async fn stop(&mut self, slot: usize) -> Result<()> {
        let last = self.active_slots - 1;
        if slot != last {
            // Where there is no room for that, all stays as it was.
            self.swap_slots(slot, last).await?;
        }
        self.active_slots = last;
        self.generators.swap(slot, last);
        self.step_table.swap(slot, last);
        if let Some((subsets, _)) = &self.subsets {
            // The one that leaves takes no rows any more.
            let subset = self.generators[slot].subset(self.kernel_config.dataset_rows);
            self.gpu.upload(subsets, (slot * size_of::<SubsetParams>()) as u64, bytemuck::bytes_of(&subset));
        }
        Ok(())
    }

    /// The seconds that its kernels took to compile so far.
    pub(crate) const fn compile_seconds(&self) -> f64 {
        self.compile_seconds
    }

    /// The most steps of a submission.
    pub(crate) const fn max_chunk_steps(&self) -> usize {
        self.buffers.max_chunk_steps
    }

    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// What decides the steps of the first network.
    pub(crate) const fn step_generator(&self) -> &StepGenerator {
        &self.generators.as_slice()[0]
    }

    pub(crate) const fn member_count(&self) -> usize {
        self.arenas.member_count
    }

    /// How many networks are in training; theirs are the first slots.
    pub(crate) const fn active_slots(&self) -> usize {
        self.active_slots
    }

    /// How many rows a step of the network in a slot has.
    pub(crate) fn step_rows(&self, slot: usize, step: u64) -> u32 {
        self.generators[slot].batch_span(step).1 as u32
    }

    /// How steps are computed.
    pub(crate) fn plan(&self) -> Plan {
        self.plan_with(self.scheme.clone(), self.kernel_set.all().map(Dispatch::planned_dispatch).collect())
    }

    /// Every plan that may be the fastest; the planner's own is the first.
    pub(crate) fn candidate_plans(&self) -> Vec<Plan> {
        let schemes = planner::candidate_schemes(&self.gpu, &self.arenas);
        schemes.into_iter().map(|scheme| self.plan_with(scheme, Vec::new())).collect()
    }

    fn plan_with(&self, scheme: Scheme, table: Vec<PlannedDispatch>) -> Plan {
        Plan { key: plan_key(&self.gpu, &self.network, self.generators[0].batch_size), scheme, dispatches: table }
    }

    /// Where the metrics of `steps` steps from `first` on lie in the ring, and their length, in bytes.
    pub(crate) fn metrics_range(&self, first: usize, steps: usize) -> (u64, u64) {
        let one = (self.arenas.member_count * size_of::<RawStepMetrics>()) as u64;
        (first as u64 * one, steps as u64 * one)
    }
}
