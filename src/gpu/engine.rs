//! Networks on one GPU: arenas allocated once, kernels built once, and steps recorded many at a time.

use super::{
    Gpu,
    arenas::{Arenas, Members},
    buffers::{Buffers, CURSOR},
    chunk::BEHIND,
    custom,
    dispatches::{Dispatch, Dispatches},
    draft::{Draft, Metric, Setup, identity},
    evaluator::{Evaluator, Scorer},
    keep::Kept,
    kernel::{Kernel, STEP, Set},
    pace::Pace,
    planner,
    predictor::Predictor,
    read_back::{Pipe, read},
    resident::{Shard, Uploaded, bind_window, upload_subsets},
    stream::Stream,
    timetable::{Entries, Timetable},
};
use crate::{
    Dataset, Error, Network, Result,
    clock::Clock,
    network::padded_rows,
    plan::{Plan, PlanRow, Scheme},
    rows::Subset,
    step::{Batch, Course, Earlier, Step},
};

pub(crate) struct Engine {
    pub(super) gpu: Gpu,
    pub(super) network: Network,
    /// One a slot: those of the networks in training stand first.
    pub(super) courses: Vec<Course>,
    /// How many networks are in training.
    slots: usize,
    pub(super) members: Members,
    scheme: Scheme,
    pub(super) dispatches: Dispatches,
    pub(super) arenas: Arenas,
    pub(super) pace: Pace,

    pub(super) buffers: Buffers,
    pub(super) timetable: Timetable,
    /// The data set, if there is one and the device holds it.
    pub(super) uploaded: Option<Uploaded>,
    /// What brings its rows, if the device does not.
    pub(super) stream: Option<Stream>,
    pub(super) step_set: Set,
    step_group: wgpu::BindGroup,
    /// One a shard of the data set.
    window_groups: Vec<wgpu::BindGroup>,
    /// Where each network has rows of its own: what says which, and what the order's kernel is bound to.
    subsets: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    kernels: Kernels,
    /// Made when they are first asked for.
    gradients: Option<(Vec<Kernel>, wgpu::Buffer, wgpu::BindGroup)>,
    pub(super) predictor: Option<Predictor>,
    /// Of the data set that was evaluated last, and of the one whose outputs were judged on the device.
    pub(super) evaluator: Option<Evaluator>,
    pub(super) scorer: Option<Scorer>,
    pub(super) kept: Option<Kept>,

    /// The ring of metrics is read by halves, one while the other is written.
    losses: Pipe,
    /// The seconds that its kernels took to compile so far, and whether they have run: some drivers compile a kernel when it
    /// is dispatched for the first time.
    compile_seconds: f64,
    has_run: bool,
    /// The steps by hand whose metrics wait in the first half.
    waiting: Vec<Waiting>,
}

/// The rows of a step, and the sum of their weights if they have any.
pub(crate) type Waiting = (u32, Option<f64>);

/// A compilation that takes more seconds is reported.
pub(crate) const LONG_COMPILATION: f64 = 1.0;

/// What a chunk of steps is recorded from.
struct Kernels {
    order: Kernel,
    gather: Kernel,
    step: Vec<Kernel>,
    measure: Kernel,
    total: Option<Kernel>,
}

/// One dispatch of a chunk, where it is dispatched.
pub(super) struct Visit<'a> {
    /// Which of [`Dispatches::all`] it is.
    pub(super) number: usize,
    kernel: &'a Kernel,
    group: &'a wgpu::BindGroup,
    cursor: u32,
    /// Whether the visit before, if it was recorded in the same pass, has bound the same.
    is_bound: bool,
    groups: [u32; 3],
}

/// Logs a compilation that took so long that a user waits for it.
fn tell_of_compilation(scheme: &Scheme, seconds: f64) {
    if seconds > LONG_COMPILATION {
        log::info!("compiling the kernels took {seconds:.1} s (scheme: {scheme})");
    }
}

impl Visit<'_> {
    /// Records it behind the visit before.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if !self.is_bound {
            pass.set_bind_group(0, self.group, &[self.cursor]);
        }
        self.kernel.record_over(pass, self.groups);
    }

    /// Records it alone.
    pub(super) fn record_alone(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_bind_group(0, self.group, &[self.cursor]);
        self.kernel.record_over(pass, self.groups);
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
    pub(super) fn statistics_at(&self) -> u64 {
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
        self.make_room().await?;
        self.kept.iter().for_each(|kept| kept.take(&self.gpu));
        Ok(())
    }

    /// Makes room for what is kept, if there is none.
    pub(super) async fn make_room(&mut self) -> Result<()> {
        if self.kept.is_none() {
            let accumulates = self.courses[0].accumulate > 1;
            self.kept = Some(Kept::new(&self.gpu, &self.buffers, accumulates).await?);
        }
        Ok(())
    }

    /// Goes back to what was kept last, if anything was.
    pub(crate) fn restore(&self) {
        self.kept.iter().for_each(|kept| kept.give_back(&self.gpu));
    }

    /// Sets the learning rate of the network in a slot.
    pub(crate) fn set_learning_rate(&mut self, slot: usize, rate: f64) {
        self.courses[slot].optimizer.learning_rate = rate;
    }

    /// Sets what came before its steps.
    pub(crate) fn set_earlier(&mut self, earlier: Earlier) {
        self.courses.iter_mut().for_each(|course| course.earlier = earlier);
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
        self.stream.as_ref().map_or(Ok(()), Stream::check)?;
        Ok(metrics)
    }

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
    pub(super) const fn room_for_metrics(&self) -> usize {
        self.arenas.ring / 2
    }

    /// Where in the ring the metrics of `steps` recorded steps go, to wait there; if there is no room, those that wait are
    /// forgotten.
    pub(super) fn wait_for_metrics(&mut self, first: u64, steps: usize, weights: &[f64]) -> usize {
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
        let gpu = self.gpu.clone();
        if self.gradients.is_none() {
            gpu.check_alive().await?;
            // In no parts, so that all that is stored are the gradients themselves, in the parts' place.
            let kept = self.arenas.has_vectors().then_some(0);
            let arenas = Arenas { kept, ..self.arenas.clone() };
            let dispatches = Dispatches::gradients(&arenas, &self.members, &planner::layered(&gpu, &arenas));
            dispatches.iter().try_for_each(|dispatch| dispatch.check(&gpu))?;
            let kernels = self.step_set.kernels(&gpu, &dispatches).await?;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let parts = gpu.buffer("gradients", self.buffers.parameters.size(), usage).await?;
            let buffers = Buffers { parts, ..self.buffers.clone() };
            let group = self.step_set.bind(&gpu, "gradients", &buffers.of_step()).await?;
            self.gradients = Some((kernels, buffers.parts, group));
        }
        self.bring(batch);
        let step = Step { starts: 1, ..step };
        gpu.upload(&self.buffers.steps, 0, bytemuck::bytes_of(&step));
        let Some((kernels, stored, group)) = &self.gradients else { unreachable!("made above") };
        gpu.compute(|pass| {
            pass.set_bind_group(0, group, &[0]);
            kernels.iter().for_each(|kernel| kernel.record(pass));
        });
        read(&gpu, stored, 0, 4 * self.arenas.parameters).await
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

    /// What the table of `steps` steps from `first` on is made from, after `before` updates, whose metrics go to the ring
    /// from `ring` on.
    pub(super) fn entries(&self, (first, before): (u64, u64), ring: usize, steps: usize) -> Entries {
        self.timetable.entries(&self.courses[..self.slots], (first, before), ring, steps)
    }

    /// Brings to the device what a chunk of steps needs, as [`Engine::entries`] has it: what its table is made from, and its
    /// rows if they are streamed.
    pub(super) fn prepare(&self, (first, before): (u64, u64), ring: usize, steps: usize) {
        let entries = self.entries((first, before), ring, steps);
        self.timetable.upload(&self.gpu, &entries);
        if let Some(stream) = &self.stream {
            let how = (&self.arenas, self.members.shuffle);
            stream.bring_steps(&self.gpu, how, &self.courses[..self.slots], (first, before), steps);
        }
    }

    /// Walks through the dispatches of `steps` steps in their order: those on the data set, whose table is made first, or
    /// those by hand.
    pub(super) fn visit<'a>(&'a self, steps: usize, gathers: bool, mut each: impl FnMut(Visit<'a>)) {
        let Self { arenas, kernels, window_groups, subsets, step_group, stream, .. } = self;
        let window_groups = match stream {
            Some(stream) => &window_groups[stream.turn()..=stream.turn()],
            None => window_groups,
        };
        let order_group = subsets.as_ref().map_or(&window_groups[0], |(_, group)| group);
        let cursor = |step: usize| (step * CURSOR) as u32;
        let mut last = None;
        if gathers {
            let (kernel, group, groups) = self.timetable.dispatch(steps);
            each(Visit { number: 0, kernel, group, cursor: 0, is_bound: false, groups });
        }
        let mut visit = |number: usize, kernel: &'a Kernel, group: &'a wgpu::BindGroup, step: usize, groups| {
            // What is bound already is not bound again.
            let bound = Some((std::ptr::from_ref(group), step));
            let is_bound = std::mem::replace(&mut last, bound) == bound;
            each(Visit { number, kernel, group, cursor: cursor(step), is_bound, groups: self.over_slots(groups) });
        };
        for first in (0..steps).step_by(arenas.window) {
            let slots = arenas.window.min(steps - first);
            for (i, group) in window_groups.iter().enumerate().filter(|_| gathers) {
                if i == 0 {
                    visit(1, &kernels.order, order_group, first, arenas.over_slots(arenas.ordered(), slots));
                }
                visit(2, &kernels.gather, group, first, arenas.over_slots(arenas.gathered(), slots));
            }
            for step in (first..first + slots).step_by(self.dispatches.walk) {
                for (number, kernel) in kernels.step.iter().enumerate() {
                    visit(3 + number, kernel, step_group, step, kernel.groups());
                }
            }
            let measure = 3 + kernels.step.len();
            let judged = if kernels.total.is_some() { arenas.judged(slots) } else { arenas.over_slots(1, slots) };
            visit(measure, &kernels.measure, &window_groups[0], first, judged);
            if let Some(total) = &kernels.total {
                visit(measure + 1, total, &window_groups[0], first, arenas.totalled(slots));
            }
        }
    }

    /// A dispatch's workgroups over the networks that are in training alone. In the lanes of a workgroup the others stay
    /// idle: they have no steps.
    const fn over_slots(&self, [x, y, z]: [u32; 3]) -> [u32; 3] {
        [x, y, if z as usize == self.arenas.models { self.slots as u32 } else { z }]
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
    fn metrics_at(&self, first: usize, steps: usize) -> (u64, u64) {
        let one = (self.arenas.models * size_of::<Metric>()) as u64;
        (first as u64 * one, steps as u64 * one)
    }
}
