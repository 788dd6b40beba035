//! Networks on one GPU: arenas allocated once, kernels built once, and steps recorded many at a time.

use crate::{
    data::{dataset::Dataset, subset::Subset},
    engine::{
        gpu::{
            data::{
                dataset::{Shard, Uploaded, bind_window, upload_subsets},
                stream::Stream,
            },
            device::{
                Gpu,
                pacer::Pace,
                pipeline::{Kernel, STEP, Set},
                readback::{Pipe, read},
            },
            kernels::{
                custom,
                kernel_set::{Dispatch, Dispatches},
            },
            layout::{
                arenas::{Arenas, Members},
                buffers::Buffers,
            },
            plan::planner,
            run::{
                engine_layout::{Draft, Metric, Setup, identity},
                evaluator::{Evaluator, Scorer},
                manual::{GradientKernels, Waiting},
                predictor::Predictor,
                snapshot::Kept,
                step_table::{Entries, Timetable},
            },
        },
        step::{Course, Earlier},
    },
    error::{Error, Result},
    nn::network::Network,
    plan::{Plan, PlanRow, Scheme},
    util::clock::Clock,
};

pub(crate) struct Engine {
    pub(crate) gpu: Gpu,
    pub(crate) network: Network,
    /// One a slot: those of the networks in training stand first.
    pub(crate) courses: Vec<Course>,
    /// How many networks are in training.
    pub(crate) slots: usize,
    pub(crate) members: Members,
    scheme: Scheme,
    pub(crate) dispatches: Dispatches,
    pub(crate) arenas: Arenas,
    pub(crate) pace: Pace,

    pub(crate) buffers: Buffers,
    pub(crate) timetable: Timetable,
    /// The data set, if there is one and the device holds it.
    pub(crate) uploaded: Option<Uploaded>,
    /// What brings its rows, if the device does not.
    pub(crate) stream: Option<Stream>,
    pub(crate) step_set: Set,
    pub(crate) step_group: wgpu::BindGroup,
    /// One a shard of the data set.
    pub(crate) window_groups: Vec<wgpu::BindGroup>,
    /// Where each network has rows of its own: what says which, and what the order's kernel is bound to.
    pub(crate) subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    pub(crate) kernels: Kernels,
    /// Made when they are first asked for.
    pub(crate) gradients: Option<GradientKernels>,
    pub(crate) predictor: Option<Predictor>,
    /// Of the data set that was evaluated last, and of the one whose outputs were judged on the device.
    pub(crate) evaluator: Option<Evaluator>,
    pub(crate) scorer: Option<Scorer>,
    pub(crate) kept: Option<Kept>,

    /// The ring of metrics is read by halves, one while the other is written.
    pub(crate) losses: Pipe,
    /// The seconds that its kernels took to compile so far, and whether they have run: some drivers compile a kernel when it
    /// is dispatched for the first time.
    compile_seconds: f64,
    has_run: bool,
    /// The steps by hand whose metrics wait in the first half.
    pub(crate) waiting: Vec<Waiting>,
}

/// A compilation that takes more seconds is reported.
pub(crate) const LONG_COMPILATION: f64 = 1.0;

/// What a chunk of steps is recorded from.
pub(crate) struct Kernels {
    pub(crate) order: Kernel,
    pub(crate) gather: Kernel,
    pub(crate) step: Vec<Kernel>,
    pub(crate) measure: Kernel,
    pub(crate) total: Option<Kernel>,
}

/// Logs a compilation that took so long that a user waits for it.
fn tell_of_compilation(scheme: &Scheme, seconds: f64) {
    if seconds > LONG_COMPILATION {
        log::info!("compiling the kernels took {seconds:.1} s (scheme: {scheme})");
    }
}

impl Engine {
    /// [`Draft::new`] and [`Engine::build`]. A data set for which there is no memory is streamed.
    pub(crate) async fn new(gpu: &Gpu, setup: Setup<'_>) -> Result<Self> {
        let again = setup.data.filter(|_| setup.uploaded.is_none()).map(|_| Setup { streams: true, ..setup.clone() });
        let draft = Draft::new(gpu, setup)?;
        let holds_data = !draft.members.streams;
        match (Self::build(gpu, draft).await, again) {
            (Err(Error::OutOfMemory { what }), Some(again)) if holds_data => {
                log::info!("{what}; so the data set is streamed");
                Self::build(gpu, Draft::new(gpu, again)?).await
            }
            (made, _) => made,
        }
    }

    /// Allocates what a draft says, and builds its kernels.
    pub(crate) async fn build(gpu: &Gpu, draft: Draft<'_>) -> Result<Self> {
        let Draft { setup, members, scheme, arenas, dispatches, tempos, length } = draft;
        let Setup { network, courses, data, uploaded, chunk, weighted, .. } = setup;
        gpu.check_alive().await?;
        custom::check(gpu, network, members.loss).await?;
        let buffers = Buffers::new(gpu, &arenas, members.optimizer, length).await?;
        let timetable = Timetable::new(gpu, &dispatches.tabulate, (length, tempos), &buffers.steps).await?;
        let (mut stream, mut resident) = (None, uploaded);
        match (&resident, data) {
            (None, Some(data)) if members.streams => {
                stream = Some(Stream::new(gpu, data, length.chunk * arenas.models * arenas.batch, weighted).await?);
            }
            (None, Some(data)) => resident = Some(Uploaded::new(gpu, data, weighted).await?),
            _ => {}
        }
        let mut shards = match (&resident, &stream) {
            (Some(uploaded), _) => uploaded.shards.clone(),
            (_, Some(stream)) => stream.shards().to_vec(),
            _ => vec![Shard::new(gpu, [16, 16], [0, 0]).await?],
        };
        let scaler = data.and_then(Dataset::scaler);
        let of_each: Vec<_> = courses.iter().map(|course| course.subset(members.data_rows)).collect();
        let subsets = if members.has_subsets { Some(upload_subsets(gpu, &of_each).await?) } else { None };
        if let Some(subsets) = &subsets {
            // The order's kernel looks at no features: what says which rows to take lies in their place.
            shards.push(Shard { features: subsets.clone(), ..shards[0].clone() });
        }
        let (window_set, mut window_groups) = bind_window(gpu, &arenas, &buffers, &shards, scaler).await?;
        let subsets = subsets.and_then(|subsets| Some((subsets, window_groups.pop()?)));
        let step_set = Set::new(gpu, "step", STEP).await?;
        let step_group = step_set.bind(gpu, "step", &buffers.of_step()).await?;

        let clock = Clock::start();
        let kernels = Kernels {
            order: window_set.kernel(gpu, &dispatches.order).await?,
            gather: window_set.kernel(gpu, &dispatches.gather).await?,
            step: step_set.kernels(gpu, &dispatches.step).await?,
            measure: window_set.kernel(gpu, &dispatches.measure).await?,
            total: match &dispatches.total {
                Some(total) => Some(window_set.kernel(gpu, total).await?),
                None => None,
            },
        };
        let half = (arenas.models * arenas.ring / 2 * size_of::<Metric>()) as u64;
        let flop = network.flop(arenas.batch * arenas.models);
        let groups = |dispatch: &Dispatch| dispatch.groups.iter().map(|groups| f64::from(*groups)).product();
        let widest = dispatches.step.iter().map(groups).fold(1.0, f64::max);
        Ok(Self {
            gpu: gpu.clone(),
            network: network.clone(),
            slots: courses.len(),
            courses,
            members,
            scheme,
            pace: Pace::new(gpu.is_software(), chunk, flop, (kernels.step.len(), widest)),
            dispatches,
            losses: Pipe::new(gpu, "losses", half).await?,
            arenas,
            buffers,
            timetable,
            step_set,
            step_group,
            window_groups,
            subsets,
            kernels,
            compile_seconds: clock.seconds(),
            has_run: false,
            gradients: None,
            uploaded: resident,
            stream,
            predictor: None,
            evaluator: None,
            scorer: None,
            kept: None,
            waiting: Vec::new(),
        })
    }

    /// Sets the parameters and the running statistics of all models, flat, and forgets the optimizer's state.
    pub(crate) fn set_parameters(&mut self, flat: &[f32], statistics: &[f32]) {
        self.gpu.upload(&self.buffers.parameters, 0, bytemuck::cast_slice(flat));
        let mut encoder = self.gpu.encoder();
        encoder.clear_buffer(&self.buffers.state, 0, None);
        if self.members.optimizer.average.is_some() {
            // The average starts as the parameters.
            let Buffers { parameters, state, .. } = &self.buffers;
            encoder.copy_buffer_to_buffer(parameters, 0, state, self.average_at(), parameters.size());
        }
        self.gpu.submit(encoder);
        if !statistics.is_empty() {
            self.gpu.upload(&self.buffers.state, self.statistics_at(), bytemuck::cast_slice(statistics));
        }
    }

    /// Where the average of the parameters lies in the state, in bytes: behind what the rule keeps.
    fn average_at(&self) -> u64 {
        self.buffers.parameters.size() * self.members.optimizer.rule.planes() as u64
    }

    /// Where the running statistics lie, in bytes: behind the planes of the optimizer.
    pub(crate) fn statistics_at(&self) -> u64 {
        self.buffers.parameters.size() * self.members.optimizer.planes() as u64
    }

    /// The running statistics of all models, flat.
    pub(crate) async fn statistics(&self) -> Result<Vec<f32>> {
        match 4 * self.arenas.statistics * self.arenas.models {
            0 => Ok(Vec::new()),
            len => read(&self.gpu, &self.buffers.state, self.statistics_at(), len).await,
        }
    }

    pub(crate) const fn parameter_buffer(&self) -> &wgpu::Buffer {
        &self.buffers.parameters
    }

    /// The parameters of all models, flat.
    pub(crate) async fn parameters(&self) -> Result<Vec<f32>> {
        read(&self.gpu, &self.buffers.parameters, 0, 4 * self.arenas.parameters * self.arenas.models).await
    }

    /// The average of the parameters of all models, flat; none if none is kept.
    pub(crate) async fn average(&self) -> Result<Option<Vec<f32>>> {
        if self.members.optimizer.average.is_none() {
            return Ok(None);
        }
        let len = 4 * self.arenas.parameters * self.arenas.models;
        read(&self.gpu, &self.buffers.state, self.average_at(), len).await.map(Some)
    }

    /// Keeps the parameters and the optimizer's state of all models as they are now.
    pub(crate) async fn keep(&mut self) -> Result<()> {
        let kept = self.room().await?;
        kept.take(&self.gpu);
        Ok(())
    }

    /// The room for what is kept, which is made if there is none.
    pub(crate) async fn room(&mut self) -> Result<Kept> {
        let kept = match self.kept.take() {
            Some(kept) => kept,
            None => Kept::new(&self.gpu, &self.buffers, self.courses[0].accumulate > 1).await?,
        };
        Ok(self.kept.insert(kept).clone())
    }

    /// Goes back to what was kept last, if anything was.
    pub(crate) fn restore(&self) {
        if let Some(kept) = &self.kept {
            kept.give_back(&self.gpu);
        }
    }

    /// Sets the learning rate of the network in a slot.
    pub(crate) fn set_learning_rate(&mut self, slot: usize, rate: f64) {
        self.courses[slot].optimizer.learning_rate = rate;
    }

    /// Sets what came before its steps.
    pub(crate) fn set_earlier(&mut self, earlier: Earlier) {
        for course in &mut self.courses {
            course.earlier = earlier;
        }
        self.timetable.set_earlier(earlier);
    }

    /// Steps `first` to `first + steps` on the resident data, after `before` updates. Gives every step's metrics, `[step][model]`.
    pub(crate) async fn run(&mut self, first: u64, before: u64, steps: usize) -> Result<Vec<Metric>> {
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
                // The first step on a software adapter is waited for alone: its driver compiles the kernels in it.
                let compiles = !self.has_run && self.gpu.is_software();
                let steps = if compiles { 1 } else { self.pace.steps() };
                let chunk = steps.min(self.buffers.chunk).min(count - done);
                let taken = (start + done) as u64;
                self.prepare((first + taken, before + taken), side + done, chunk);
                let submission = gpu.compute(|pass| self.visit(chunk, true, |visit| visit.record(pass)));
                if compiles {
                    let clock = Clock::start();
                    gpu.wait(submission).await?;
                    self.compile_seconds += clock.seconds();
                    self.pace.start();
                } else {
                    self.pace.submitted(gpu, submission, chunk).await?;
                }
                if !self.has_run {
                    self.has_run = true;
                    tell_of_compilation(&self.scheme, self.compile_seconds);
                }
                done += chunk;
            }
            flow.read((), &self.buffers.metrics, self.metrics_at(side, count), &mut take).await?;
        }
        flow.finish(&mut take).await?;
        self.pace.drained();
        if let Some(stream) = &self.stream {
            stream.check()?;
        }
        Ok(metrics)
    }

    /// What the table of `steps` steps from `first` on is made from, after `before` updates, whose metrics go to the ring
    /// from `ring` on.
    pub(crate) fn entries(&self, (first, before): (u64, u64), ring: usize, steps: usize) -> Entries {
        self.timetable.entries(&self.courses[..self.slots], (first, before), ring, steps)
    }

    /// Brings to the device what a chunk of steps needs, as [`Engine::entries`] has it: what its table is made from, and its
    /// rows if they are streamed.
    pub(crate) fn prepare(&self, (first, before): (u64, u64), ring: usize, steps: usize) {
        let entries = self.entries((first, before), ring, steps);
        self.timetable.upload(&self.gpu, &entries);
        if let Some(stream) = &self.stream {
            let how = (&self.arenas, self.members.shuffle);
            stream.bring_steps(&self.gpu, how, &self.courses[..self.slots], (first, before), steps);
        }
    }

    /// Takes a network out of training: it changes places with the last that is in it. Its parameters stay.
    pub(crate) async fn stop(&mut self, slot: usize) -> Result<()> {
        let last = self.slots - 1;
        if slot != last {
            // Where there is no room for that, all stays as it was.
            self.swap(slot, last).await?;
        }
        self.slots = last;
        self.courses.swap(slot, last);
        self.timetable.swap(slot, last);
        if let Some((subsets, _)) = &self.subsets {
            // The one that leaves takes no rows any more.
            let subset = self.courses[slot].subset(self.members.data_rows);
            self.gpu.upload(subsets, (slot * size_of::<Subset>()) as u64, bytemuck::bytes_of(&subset));
        }
        Ok(())
    }

    /// The seconds that its kernels took to compile so far.
    pub(crate) const fn compile_seconds(&self) -> f64 {
        self.compile_seconds
    }

    /// The most steps of a submission.
    pub(crate) const fn chunk(&self) -> usize {
        self.buffers.chunk
    }

    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// What decides the steps of the first network.
    pub(crate) const fn course(&self) -> &Course {
        &self.courses.as_slice()[0]
    }

    pub(crate) const fn models(&self) -> usize {
        self.arenas.models
    }

    /// How many networks are in training; theirs are the first slots.
    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    /// How many rows a step of the network in a slot has.
    pub(crate) fn rows_of(&self, slot: usize, step: u64) -> u32 {
        self.courses[slot].span(step).1 as u32
    }

    /// How steps are computed.
    pub(crate) fn plan(&self) -> Plan {
        self.plan_of(self.scheme.clone(), self.dispatches.all().map(Dispatch::row).collect())
    }

    /// Every plan that may be the fastest; the planner's own is the first.
    pub(crate) fn candidates(&self) -> Vec<Plan> {
        let schemes = planner::candidates(&self.gpu, &self.arenas);
        schemes.into_iter().map(|scheme| self.plan_of(scheme, Vec::new())).collect()
    }

    fn plan_of(&self, scheme: Scheme, table: Vec<PlanRow>) -> Plan {
        Plan { of: identity(&self.gpu, &self.network, self.courses[0].batch), scheme, table }
    }

    /// Where the metrics of `steps` steps from `first` on lie in the ring, and their length, in bytes.
    pub(crate) fn metrics_at(&self, first: usize, steps: usize) -> (u64, u64) {
        let one = (self.arenas.models * size_of::<Metric>()) as u64;
        (first as u64 * one, steps as u64 * one)
    }
}
