//! The engine: it trains the members of a group on one GPU. It allocates the arenas and builds the kernels once, and
//! submits many steps at a time.

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
            layout::{arenas::Arenas, buffers::Buffers, kernel_config::KernelConfig},
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
    plan::{Plan, PlannedDispatch, scheme::Scheme},
    util::clock::Clock,
};

/// A group of networks of one shape in training on a GPU. A trainer has a group of one network.
pub(crate) struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) network: Network,
    /// The step generators, one per slot. The active members have the first slots.
    pub(crate) generators: Vec<StepGenerator>,
    /// The number of active members.
    pub(crate) active_slots: usize,
    pub(crate) kernel_config: KernelConfig,
    scheme: Scheme,
    pub(crate) kernel_set: KernelSet,
    pub(crate) arenas: Arenas,
    pub(crate) pacer: ChunkPacer,

    pub(crate) buffers: Buffers,
    pub(crate) step_table: StepTable,
    /// The training data set, if the device holds it.
    pub(crate) device_dataset: Option<DeviceDataset>,
    /// The stream of the training data set, if the device does not hold it.
    pub(crate) row_stream: Option<RowStream>,
    pub(crate) step_set: BindingLayout,
    pub(crate) step_group: wgpu::BindGroup,
    /// The bind groups of the window kernels, one per shard of the data set.
    pub(crate) window_groups: Vec<wgpu::BindGroup>,
    /// The buffer of the members' subsets and the bind group of the kernel `find_rows`, if a member trains on a subset.
    pub(crate) subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    pub(crate) kernels: ChunkKernels,
    /// The kernels of gradients without an update, created at the first use.
    pub(crate) gradient_kernels: Option<GradientKernels>,
    /// The predictor of the members, created at the first use.
    pub(crate) predictor: Option<Predictor>,
    /// The loader of the data set that was predicted last, and the evaluator of the data set that was evaluated last.
    pub(crate) batch_loader: Option<BatchLoader>,
    pub(crate) device_evaluator: Option<DeviceEvaluator>,
    pub(crate) snapshot: Option<Snapshot>,

    /// The staging buffers of the metrics ring. The host reads one half of the ring while kernels write the other.
    pub(crate) metrics_readback: ReadbackBuffers,
    /// The time in seconds that the driver has taken to compile the kernels so far.
    compile_seconds: f64,
    /// Whether the kernels have run. Some drivers compile a kernel at its first dispatch.
    has_run: bool,
    /// The manual and recorded steps whose metrics are still in the first half of the ring.
    pub(crate) pending_metrics: Vec<PendingStep>,
}

/// The number of rows of a step, and the sum of their sample weights if they have sample weights.
pub(crate) type PendingStep = (u32, Option<f64>);

/// The kernels that compute gradients without an update, and the buffer that receives the gradients.
pub(crate) struct GradientKernels {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) gradients: wgpu::Buffer,
    pub(crate) bind_group: wgpu::BindGroup,
}

/// The compile time in seconds above which gradus logs it.
pub(crate) const LONG_COMPILATION_SECONDS: f64 = 1.0;

/// The kernels of a chunk of steps.
pub(crate) struct ChunkKernels {
    pub(crate) find_rows: Kernel,
    pub(crate) gather: Kernel,
    pub(crate) step: Vec<Kernel>,
    pub(crate) batch_metrics: Kernel,
    pub(crate) sum_metrics: Option<Kernel>,
}

/// Logs the compile time if it is long enough for a user to notice.
fn log_compilation(scheme: &Scheme, seconds: f64) {
    if seconds > LONG_COMPILATION_SECONDS {
        log::info!("compiling the kernels took {seconds:.1} s (scheme: {scheme})");
    }
}

impl Engine {
    /// Creates an engine. If the device has no memory for the data set, the engine streams it.
    pub(crate) async fn new(gpu: &Gpu, config: EngineConfig<'_>) -> Result<Self> {
        let streamed_config = config
            .data
            .filter(|_| config.device_dataset.is_none())
            .map(|_| EngineConfig { must_stream: true, ..config.clone() });
        let layout = EngineLayout::new(gpu, config)?;
        let holds_data = !layout.kernel_config.is_streamed;
        match (Self::build(gpu, layout).await, streamed_config) {
            (Err(Error::OutOfMemory { context }), Some(streamed_config)) if holds_data => {
                log::info!("out of memory: {context}; gradus streams the data set");
                Self::build(gpu, EngineLayout::new(gpu, streamed_config)?).await
            }
            (result, _) => result,
        }
    }

    /// Allocates the buffers of a layout, uploads the data set and builds the kernels.
    pub(crate) async fn build(gpu: &Gpu, layout: EngineLayout<'_>) -> Result<Self> {
        let EngineLayout { config, kernel_config, scheme, arenas, kernel_set, schedule_groups, chunk_dims } = layout;
        let EngineConfig {
            network,
            generators,
            data,
            mut device_dataset,
            steps_per_submission,
            has_sample_weights,
            ..
        } = config;
        gpu.check_alive().await?;
        custom::check(gpu, network, kernel_config.loss).await?;
        let buffers = Buffers::new(gpu, &arenas, kernel_config.optimizer, chunk_dims).await?;
        let step_table =
            StepTable::new(gpu, &kernel_set.build_step_table, (chunk_dims, schedule_groups), &buffers.step_table)
                .await?;
        let mut row_stream = None;
        match (&device_dataset, data) {
            (None, Some(data)) if kernel_config.is_streamed => {
                let shard_rows = chunk_dims.max_steps * arenas.member_count * arenas.padded_batch;
                row_stream = Some(RowStream::new(gpu, data, shard_rows, has_sample_weights).await?);
            }
            (None, Some(data)) => device_dataset = Some(DeviceDataset::new(gpu, data, has_sample_weights).await?),
            (Some(_), _) | (None, None) => {}
        }
        let mut shards = match (&device_dataset, &row_stream) {
            (Some(dataset), _) => dataset.shards.clone(),
            (None, Some(stream)) => stream.shards().to_vec(),
            // The window kernels need bindings even without a data set.
            (None, None) => vec![Shard::new(gpu, [16, 16], [0, 0]).await?],
        };
        let scaler = data.and_then(Dataset::scaler);
        let member_subsets: Vec<_> =
            generators.iter().map(|generator| generator.subset(kernel_config.dataset_rows)).collect();
        let subsets = if kernel_config.has_subsets { Some(upload_subsets(gpu, &member_subsets).await?) } else { None };
        if let Some(subsets) = &subsets {
            // The kernel `find_rows` reads no features, so the subsets take their binding.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (window_set, mut window_groups) = bind_window(gpu, &arenas, &buffers, &shards, scaler).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, window_groups.pop()?)));
        let step_set = BindingLayout::new(gpu, "step", STEP_BINDINGS).await?;
        let step_group = step_set.bind(gpu, "step", &buffers.step_bindings()).await?;

        let clock = Clock::start();
        let kernels = ChunkKernels {
            find_rows: window_set.kernel(gpu, &kernel_set.find_rows).await?,
            gather: window_set.kernel(gpu, &kernel_set.gather).await?,
            step: step_set.kernels(gpu, &kernel_set.step).await?,
            batch_metrics: window_set.kernel(gpu, &kernel_set.batch_metrics).await?,
            sum_metrics: match &kernel_set.sum_metrics {
                Some(dispatch) => Some(window_set.kernel(gpu, dispatch).await?),
                None => None,
            },
        };
        let half_ring_bytes = (arenas.member_count * arenas.metrics_ring / 2 * size_of::<RawStepMetrics>()) as u64;
        let flop = network.flop_per_step(arenas.padded_batch * arenas.member_count);
        let workgroups = |dispatch: &Dispatch| dispatch.workgroups.iter().map(|n| f64::from(*n)).product();
        let max_workgroups = kernel_set.step.iter().map(workgroups).fold(1.0, f64::max);
        let dispatch_sizes = (kernels.step.len(), max_workgroups);
        Ok(Self {
            gpu: gpu.clone(),
            network: network.clone(),
            active_slots: generators.len(),
            generators,
            kernel_config,
            scheme,
            pacer: ChunkPacer::new(gpu.is_software(), steps_per_submission, flop, dispatch_sizes),
            kernel_set,
            metrics_readback: ReadbackBuffers::new(gpu, "metrics readback", half_ring_bytes).await?,
            arenas,
            buffers,
            step_table,
            step_set,
            step_group,
            window_groups,
            subsets,
            kernels,
            compile_seconds: clock.seconds(),
            has_run: false,
            gradient_kernels: None,
            device_dataset,
            row_stream,
            predictor: None,
            batch_loader: None,
            device_evaluator: None,
            snapshot: None,
            pending_metrics: Vec::new(),
        })
    }

    /// Sets the learning rate of the member in a slot.
    pub(crate) fn set_learning_rate(&mut self, slot: usize, learning_rate: f64) {
        self.generators[slot].optimizer.learning_rate = learning_rate;
    }

    /// Sets the updates and epochs that ran before a resume, for all members.
    pub(crate) fn set_resume_offset(&mut self, resume_offset: ResumeOffset) {
        for generator in &mut self.generators {
            generator.resume_offset = resume_offset;
        }
        self.step_table.set_resume_offset(resume_offset);
    }

    /// Runs the steps `first..first + steps` on the data set. Returns the metrics of every step, `[step][member]`.
    ///
    /// `steps_since_reset` steps have run since the optimizer was reset.
    pub(crate) async fn run(
        &mut self,
        first: u64,
        steps_since_reset: u64,
        steps: usize,
    ) -> Result<Vec<RawStepMetrics>> {
        let half = self.arenas.metrics_ring / 2;
        let mut metrics = Vec::with_capacity(steps.min(self.arenas.metrics_ring) * self.arenas.member_count);
        let mut take = |(), values: Vec<RawStepMetrics>| metrics.extend(values);
        let gpu = &self.gpu;
        let mut queue = self.metrics_readback.queue(gpu);
        self.pacer.start();
        for (segment, start) in (0..steps).step_by(half).enumerate() {
            let half_start = segment % 2 * half;
            let count = half.min(steps - start);
            let mut done = 0;
            while done < count {
                // Wait for the first step on a software adapter alone, because its driver compiles the kernels in it.
                let compiles = !self.has_run && self.gpu.is_software();
                let steps = if compiles { 1 } else { self.pacer.steps() };
                let chunk = steps.min(self.buffers.max_chunk_steps).min(count - done);
                let offset = (start + done) as u64;
                self.prepare_chunk((first + offset, steps_since_reset + offset), half_start + done, chunk);
                let submission =
                    gpu.compute(|pass| self.for_each_dispatch(chunk, true, |dispatch| dispatch.record(pass)));
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
            queue.read((), &self.buffers.metrics, self.metrics_range(half_start, count), &mut take).await?;
        }
        queue.finish(&mut take).await?;
        self.pacer.record_idle();
        if let Some(stream) = &self.row_stream {
            stream.check()?;
        }
        Ok(metrics)
    }

    /// Returns the data from which the device builds the table of the steps `first..first + steps`.
    ///
    /// `steps_since_reset` steps have run before the first. The metrics go to the ring from index `metrics_index` on.
    pub(crate) fn step_table_upload(
        &self,
        (first, steps_since_reset): (u64, u64),
        metrics_index: usize,
        steps: usize,
    ) -> StepTableUpload {
        let generators = &self.generators[..self.active_slots];
        self.step_table.prepare_upload(generators, (first, steps_since_reset), metrics_index, steps)
    }

    /// Uploads the data of a chunk of steps: the input of its step table, and its rows if the data set is streamed. The
    /// arguments are those of [`Engine::step_table_upload`].
    pub(crate) fn prepare_chunk(&self, (first, steps_since_reset): (u64, u64), metrics_index: usize, steps: usize) {
        let upload = self.step_table_upload((first, steps_since_reset), metrics_index, steps);
        self.step_table.upload(&self.gpu, &upload);
        if let Some(stream) = &self.row_stream {
            let order = (&self.arenas, self.kernel_config.shuffle);
            let generators = &self.generators[..self.active_slots];
            stream.upload_steps(&self.gpu, order, generators, (first, steps_since_reset), steps);
        }
    }

    /// Stops the member in a slot: swaps it with the last active member. Its parameters stay on the device.
    pub(crate) async fn stop(&mut self, slot: usize) -> Result<()> {
        let last = self.active_slots - 1;
        if slot != last {
            // Swap the buffers first: if this fails for lack of memory, nothing has changed.
            self.swap_slots(slot, last).await?;
        }
        self.active_slots = last;
        self.generators.swap(slot, last);
        self.step_table.swap(slot, last);
        if let Some((subsets, _)) = &self.subsets {
            // The stopped member gathers no more rows, so upload only the subset of the other one.
            let subset = self.generators[slot].subset(self.kernel_config.dataset_rows);
            self.gpu.upload(subsets, (slot * size_of::<SubsetParams>()) as u64, bytemuck::bytes_of(&subset));
        }
        Ok(())
    }

    /// Returns the time in seconds that the driver has taken to compile the kernels so far.
    pub(crate) const fn compile_seconds(&self) -> f64 {
        self.compile_seconds
    }

    /// Returns the maximum number of steps of a submission.
    pub(crate) const fn max_chunk_steps(&self) -> usize {
        self.buffers.max_chunk_steps
    }

    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the step generator of the first slot.
    pub(crate) const fn step_generator(&self) -> &StepGenerator {
        &self.generators.as_slice()[0]
    }

    pub(crate) const fn member_count(&self) -> usize {
        self.arenas.member_count
    }

    /// Returns the number of active members, which have the first slots.
    pub(crate) const fn active_slots(&self) -> usize {
        self.active_slots
    }

    /// Returns the number of rows of a step, for the member in a slot.
    pub(crate) fn step_rows(&self, slot: usize, step: u64) -> u32 {
        self.generators[slot].batch_span(step).1 as u32
    }

    /// Returns the plan of this engine.
    pub(crate) fn plan(&self) -> Plan {
        self.plan_with(self.scheme.clone(), self.kernel_set.all().map(Dispatch::planned_dispatch).collect())
    }

    /// Returns the plans that may be the fastest. The first is the planner's choice.
    pub(crate) fn candidate_plans(&self) -> Vec<Plan> {
        let schemes = planner::candidate_schemes(&self.gpu, &self.arenas);
        schemes.into_iter().map(|scheme| self.plan_with(scheme, Vec::new())).collect()
    }

    fn plan_with(&self, scheme: Scheme, dispatches: Vec<PlannedDispatch>) -> Plan {
        Plan { key: plan_key(&self.gpu, &self.network, self.generators[0].batch_size), scheme, dispatches }
    }

    /// Returns the offset and the length in bytes of the metrics of `steps` steps, from index `first` of the ring on.
    pub(crate) fn metrics_range(&self, first: usize, steps: usize) -> (u64, u64) {
        let step_bytes = (self.arenas.member_count * size_of::<RawStepMetrics>()) as u64;
        (first as u64 * step_bytes, steps as u64 * step_bytes)
    }
}
