//! Many networks of one shape that train together.

mod cores;
mod estimate;
mod member;
mod tested;
mod waves;
mod workers;

pub use estimate::Estimate;
pub use member::Member;
pub(crate) use member::differs;
use tested::{Judging, Test, Tested};
use workers::Workers;

#[cfg(doc)]
use crate::Trainer;
use crate::{
    Dataset, Device, Ensemble, Error, LayerParameters, Metrics, Model, Monitor, Network, Optimizer, Plan, Report,
    Result, Rows,
    blocking::blocking,
    error::{check_len, first_not_finite},
    features::ByteScale,
    step::Course,
    task::Task,
    upcoming::weights_of_steps,
};

/// Networks of one shape that train together on one data set, each with its own seed, rate, and every other number of its
/// optimizer and schedule, and if need be with rows of its own: seeds for a mean and a spread, rates to choose from, folds
/// of a cross-validation, members of an ensemble. On a GPU the same dispatches train all of them; on the CPU they are spread
/// over the cores.
///
/// Each ends with the bits that it has when it is trained alone on the same device under the same plan.
///
/// ```
/// use gradus::{Activation, Dataset, Device, Member, Network, Optimizer, Population, Settings};
/// let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
/// let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 1.0, 0.0])?;
/// let member = |seed| Member::new(Settings { batch: 4, seed, optimizer: Optimizer::sgd(1.0), ..Settings::default() });
/// let members: Vec<_> = (0..10).map(member).collect();
/// let mut population = Population::new(&Device::cpu(), &network, &data, &members)?;
/// let reports = population.run(2000)?;
/// let learned = reports.iter().filter(|report| report.losses.last().is_some_and(|loss| *loss < 0.01)).count();
/// println!("{learned} of 10 seeds learn XOR");
/// # assert!(learned >= 7);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Population {
    network: Network,
    members: Vec<Member>,
    courses: Vec<Course>,
    workers: Workers,
    /// After how many steps each was stopped, if it was.
    stopped: Vec<Option<u64>>,
    /// Steps that those in training have taken.
    done: u64,
    /// After how many steps something was kept of each, if anything was.
    kept: Vec<Option<u64>>,
    /// The step whose loss was not a finite number, of those that have diverged.
    diverged: Vec<Option<u64>>,
    task: Task,
    data: Dataset,
    byte_scale: ByteScale,
    /// The data set that they were tested on last.
    tested: Option<Tested>,
}

impl Population {
    blocking! {
        /// Networks of one shape, on a data set that moves to the device now and stays there.
        ///
        /// # Errors
        /// [`Error::Setting`] if there is no member, or one that cannot be trained with the first, with what differs,
        /// or rows that are none; and as [`Trainer::new`], before anything is allocated. Where bindings are too small
        /// for all of them, some follow the others.
        pub fn new(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self>
            = Self::new_async(device, network, data, members);
    }

    /// The asynchronous form of [`Population::new`].
    ///
    /// # Errors
    /// As [`Population::new`].
    pub async fn new_async(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self> {
        let members = &member::chosen(network, data, members);
        let courses = Self::checked(network, data, members)?;
        if device.is_software() {
            let estimate = Workers::estimate(device, network, data, members, courses.clone())?;
            check_memory(&estimate)?;
        }
        let task = Task::of(network, members[0].settings.loss, Some(data.answers()));
        let workers = Workers::new(device, network, data, members, courses.clone()).await?;
        Ok(Self {
            network: network.clone(),
            members: members.to_vec(),
            courses,
            workers,
            stopped: vec![None; members.len()],
            done: 0,
            kept: vec![None; members.len()],
            diverged: vec![None; members.len()],
            task,
            data: data.clone(),
            byte_scale: data.features().scale_of_bytes().into(),
            tested: None,
        })
    }

    /// What these networks would take of the device's memory, and how many would train at once; nothing is allocated.
    ///
    /// # Errors
    /// As [`Population::new`], but for what only the allocation shows.
    pub fn estimate(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Estimate> {
        let members = &member::chosen(network, data, members);
        let courses = Self::checked(network, data, members)?;
        Workers::estimate(device, network, data, members, courses)
    }

    /// What each network's steps do, if they can be trained together.
    fn checked(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<Course>> {
        let courses = member::courses(network, data, members)?;
        data.check_for(network.inputs(), network.outputs())?;
        Ok(courses)
    }

    /// The network that they all are.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The networks' settings and rows.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How a step is computed, of all networks that train in the same dispatches; see [`crate::Trainer::plan`]. With it a
    /// trainer gives one of them alone the same bits.
    pub fn plan(&self) -> Plan {
        self.workers.plan()
    }

    /// How many steps a network has taken.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, as all that follow.
    pub fn steps(&self, member: usize) -> Result<u64> {
        self.check(member)?;
        Ok(self.stopped[member].unwrap_or(self.done))
    }

    /// How many steps pass over a network's rows once.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network.
    pub fn steps_per_epoch(&self, member: usize) -> Result<usize> {
        self.check(member)?;
        Ok(self.courses[member].steps_per_epoch() as usize)
    }

    /// How many steps are left of a network's epoch: all of them at its start.
    pub(crate) fn steps_to_epoch(&self, member: usize) -> Result<usize> {
        let all = self.steps_per_epoch(member)?;
        Ok(all - (self.steps(member)? % all as u64) as usize)
    }

    /// Refuses to watch what these networks do not have on the rows that validate: those of a data set, or the rows that each was
    /// trained without.
    pub(crate) fn check_monitor(&self, monitor: Monitor, validation: Option<&Dataset>) -> Result<()> {
        let (loss, training) = (self.members[0].settings.loss, self.data.answers());
        let validation = validation.map_or(training, Dataset::answers);
        monitor.check_for(&self.network, loss, Some(training), Some(validation))
    }

    pub(crate) fn is_in_training(&self, member: usize) -> bool {
        self.stopped[member].is_none()
    }

    /// Which networks are in training: all, until they are stopped or diverge.
    pub fn in_training(&self) -> impl Iterator<Item = usize> + '_ {
        self.stopped.iter().enumerate().filter(|(_, stopped)| stopped.is_none()).map(|(member, _)| member)
    }

    blocking! {
        /// Takes that many steps with every network in training, each in the order of its own rows, and waits for the
        /// last one. Gives what each has told, empty for those that are not in training. One whose loss is no finite
        /// number is stopped.
        ///
        /// # Errors
        /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::File`] if rows are in a file that can no longer be read,
        /// and [`Error::Setting`] for more than 2^32 steps.
        pub fn run(&mut self, steps: usize) -> Result<Vec<Report>> = self.run_async(steps);
    }

    /// The asynchronous form of [`Population::run`].
    ///
    /// # Errors
    /// As [`Population::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<Vec<Report>> {
        if steps > u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::Setting { what: "steps of a run", expected, got: steps.to_string() });
        }
        let mut reports = vec![Report::of(self.task.has_accuracy()); self.members.len()];
        // Whatever becomes of them, they are taken: what a device was told to do it may still do after an error.
        let before = self.done;
        self.done += steps as u64;
        self.workers.run(before, steps, &mut reports).await?;
        if let Some(weights) = self.data.weights() {
            for ((report, course), member) in reports.iter_mut().zip(&self.courses).zip(&self.members) {
                let steps = before..before + report.losses.len() as u64;
                report.weights = weights_of_steps(course, member.settings.shuffle, weights, steps);
            }
        }
        for member in self.in_training().collect::<Vec<_>>() {
            if let Some(at) = reports[member].losses.iter().position(|loss| !loss.is_finite()) {
                self.diverged[member] = Some(before + at as u64);
                self.stop_async(member).await?;
            }
        }
        Ok(reports)
    }

    blocking! {
        /// Takes a network out of training: from here on it costs nothing, and keeps its parameters.
        ///
        /// # Errors
        /// [`Error::Setting`] if there is no such network, [`Error::OutOfMemory`], [`Error::DeviceLost`].
        pub fn stop(&mut self, member: usize) -> Result<()> = self.stop_async(member);
    }

    /// The asynchronous form of [`Population::stop`].
    ///
    /// # Errors
    /// As [`Population::stop`].
    pub async fn stop_async(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        if self.stopped[member].is_none() {
            self.workers.stop(member).await?;
            self.stopped[member] = Some(self.done);
        }
        Ok(())
    }

    blocking! {
        /// The outputs of every network, `[rows, outputs]` each, for raw inputs `[rows, inputs]` of any number of rows.
        ///
        /// # Errors
        /// As [`Trainer::predict`].
        pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> = self.predict_async(inputs);
    }

    /// The asynchronous form of [`Population::predict`].
    ///
    /// # Errors
    /// As [`Population::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        self.network.check_inputs(inputs)?;
        self.byte_scale.look_at(inputs);
        let inputs = crate::scaling::scaled(self.data.scaler(), inputs);
        self.workers.predict(&inputs).await
    }

    blocking! {
        /// What every network is worth on a data set, which stays on the device until another one is asked for; there
        /// it is judged, in 32 bits, and a few numbers a network come back. It is scaled as the training data are,
        /// unless it brings a scaling of its own.
        ///
        /// # Errors
        /// As [`Trainer::evaluate`]; [`Error::Limit`] where it does not fit.
        pub fn evaluate(&mut self, data: &Dataset) -> Result<Vec<Metrics>> = self.evaluate_async(data);
    }

    /// The asynchronous form of [`Population::evaluate`].
    ///
    /// # Errors
    /// As [`Population::evaluate`].
    pub async fn evaluate_async(&mut self, data: &Dataset) -> Result<Vec<Metrics>> {
        let all: Vec<_> = (0..self.members.len()).map(|member| (member, Rows::All)).collect();
        self.evaluate_on(data, &all).await
    }

    blocking! {
        /// What every network is worth on rows of the data set that it learns from: for each network its own, such as
        /// [`Rows::left_out`] of its rows.
        ///
        /// # Errors
        /// [`Error::Shape`] if there are not as many as networks, [`Error::Setting`] for rows that are none, and as
        /// [`Population::evaluate`].
        pub fn evaluate_rows(&mut self, rows: &[Rows]) -> Result<Vec<Metrics>> = self.evaluate_rows_async(rows);
    }

    /// The asynchronous form of [`Population::evaluate_rows`].
    ///
    /// # Errors
    /// As [`Population::evaluate_rows`].
    pub async fn evaluate_rows_async(&mut self, rows: &[Rows]) -> Result<Vec<Metrics>> {
        check_len("rows of the networks", self.members.len(), rows.len())?;
        let all: Vec<_> = rows.iter().copied().enumerate().collect();
        let data = self.data.clone();
        self.evaluate_on(&data, &all).await
    }

    /// What some networks are worth, each on some rows of a data set; on those of its own training set that it was trained
    /// without, if no data set is given.
    pub(crate) async fn validate(&mut self, data: Option<&Dataset>, members: &[usize]) -> Result<Vec<Metrics>> {
        if let Some(data) = data {
            let all: Vec<_> = members.iter().map(|member| (*member, Rows::All)).collect();
            return self.evaluate_on(data, &all).await;
        }
        let all = members.iter().map(|member| Ok((*member, self.left_out(*member)?))).collect::<Result<Vec<_>>>()?;
        let data = self.data.clone();
        self.evaluate_on(&data, &all).await
    }

    /// The rows that a network is trained without.
    pub(crate) fn left_out(&self, member: usize) -> Result<Rows> {
        let none = || Error::Setting {
            what: "rows of a network that leave some out",
            expected: "Rows::WithoutFold".into(),
            got: format!("other rows in number {member}"),
        };
        self.members[member].rows.left_out().ok_or_else(none)
    }

    async fn evaluate_on(&mut self, data: &Dataset, rows: &[(usize, Rows)]) -> Result<Vec<Metrics>> {
        data.check_for(self.network.inputs(), self.network.outputs())?;
        data.check_scale(self.byte_scale.scale)?;
        let mut tested = match self.tested.take() {
            Some(tested) if tested.is_of(data) => tested,
            _ => Tested::new(data, data.scaled_as(self.data.scaler())?),
        };
        let on_the_cpu = matches!(self.workers, Workers::Cpu(_));
        for (_, rows) in rows {
            tested.prepare(*rows, on_the_cpu)?;
        }
        let test = |(member, rows): &(usize, Rows)| Some(Test { member: *member, part: tested.part(*rows)? });
        let tests: Vec<_> = rows.iter().filter_map(test).collect();
        let loss = self.members[0].settings.loss;
        let task = self.task.of_evaluation(&self.network, loss, data.answers());
        let judging = Judging { network: &self.network, loss, task };
        let metrics = self.workers.evaluate(&tested.data, &tests, judging).await;
        self.tested = Some(tested);
        metrics
    }

    blocking! {
        /// Keeps some networks, with the state of their optimizers, as they are now, on the device, for
        /// [`Population::restore`]. What was kept of them before is replaced.
        ///
        /// # Errors
        /// [`Error::Setting`] if there is no such network, [`Error::OutOfMemory`] and [`Error::DeviceLost`].
        pub fn keep(&mut self, members: &[usize]) -> Result<()> = self.keep_async(members);
    }

    /// The asynchronous form of [`Population::keep`].
    ///
    /// # Errors
    /// As [`Population::keep`].
    pub async fn keep_async(&mut self, members: &[usize]) -> Result<()> {
        members.iter().try_for_each(|member| self.check_finite(*member))?;
        self.workers.keep(members).await?;
        members.iter().try_for_each(|member| {
            self.kept[*member] = Some(self.steps(*member)?);
            Ok(())
        })
    }

    /// Puts a network back to what was kept of it last. If it is in training, its optimizer goes on from there, while the
    /// place in its rows and in its schedule stays. Batches that an update was waiting with are taken up again where it waits
    /// for as many now, and are forgotten otherwise.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, or nothing was kept of it; [`Error::MemberDiverged`] instead if it has
    /// diverged.
    pub fn restore(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        let Some(kept) = self.kept[member] else {
            self.check_finite(member)?;
            return Err(Error::Setting {
                what: "parameters to restore",
                expected: "some that Population::keep has kept".into(),
                got: format!("none of number {member}"),
            });
        };
        let batches = |steps: u64| steps % self.members[member].settings.accumulate as u64;
        let with_gradients = batches(kept) == batches(self.steps(member)?);
        self.workers.restore(member, with_gradients);
        self.diverged[member] = None;
        Ok(())
    }

    /// The learning rate of a network, without the schedule's factor.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network.
    pub fn learning_rate(&self, member: usize) -> Result<f64> {
        self.check(member)?;
        Ok(self.members[member].settings.optimizer.learning_rate)
    }

    /// The learning rate of a network's last update, with the schedule's factor; before the first, that of the first.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network.
    pub fn last_learning_rate(&self, member: usize) -> Result<f64> {
        let last = self.steps(member)?.saturating_sub(1);
        let factor = self.courses[member].factor(last);
        Ok(factor * self.learning_rate(member)?)
    }

    /// Sets the learning rate of a network for the steps that follow; a schedule goes on multiplying it.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is no such network, or the rate is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, member: usize, rate: f64) -> Result<()> {
        self.check(member)?;
        let optimizer = Optimizer { learning_rate: rate, ..self.members[member].settings.optimizer };
        optimizer.check()?;
        self.members[member].settings.optimizer = optimizer;
        self.workers.set_learning_rate(member, rate);
        Ok(())
    }

    blocking! {
        /// Weights and biases of a network, layer by layer.
        ///
        /// # Errors
        /// [`Error::Setting`] if there is no such network, and as [`Trainer::parameters`].
        pub fn parameters(&self, member: usize) -> Result<Vec<LayerParameters>> = self.parameters_async(member);
    }

    /// The asynchronous form of [`Population::parameters`].
    ///
    /// # Errors
    /// As [`Population::parameters`].
    pub async fn parameters_async(&self, member: usize) -> Result<Vec<LayerParameters>> {
        self.check_finite(member)?;
        let memory = self.workers.memory(member).await?;
        // The last step may have made numbers that are not finite, and no loss was computed from them yet.
        if first_not_finite(&memory.parameters).is_some() {
            return Err(Error::MemberDiverged { member, step: None });
        }
        Ok(self.network.layers_of(&memory.parameters, &memory.statistics))
    }

    blocking! {
        /// A network with its parameters and what scales its inputs, as if it had been trained alone.
        ///
        /// # Errors
        /// As [`Population::parameters`]; [`Error::NonFinite`] for one that has diverged.
        pub fn model(&self, member: usize) -> Result<Model> = self.model_async(member);
    }

    /// The asynchronous form of [`Population::model`].
    ///
    /// # Errors
    /// As [`Population::model`].
    pub async fn model_async(&self, member: usize) -> Result<Model> {
        let mut model = Model::new(self.network.clone(), self.parameters_async(member).await?)?;
        model.byte_scale = self.byte_scale.scale;
        match self.data.scaler() {
            Some(scaler) => model.with_scaler(scaler.clone()),
            None => Ok(model),
        }
    }

    blocking! {
        /// Some of the networks, put together on a device, which may be another one; they vote if they were trained to
        /// tell classes. [`Population::in_training`] gives those that did not stop; after early stopping that may be
        /// none. Training goes on without them.
        ///
        /// # Errors
        /// As [`Population::model`] and [`Ensemble::new`].
        pub fn ensemble(&self, device: &Device, members: impl IntoIterator<Item = usize>) -> Result<Ensemble>
            = self.ensemble_async(device, members);
    }

    /// The asynchronous form of [`Population::ensemble`].
    ///
    /// # Errors
    /// As [`Population::ensemble`].
    pub async fn ensemble_async(&self, device: &Device, members: impl IntoIterator<Item = usize>) -> Result<Ensemble> {
        let mut models = Vec::new();
        for member in members {
            models.push(self.model_async(member).await?);
        }
        let ensemble = Ensemble::new_async(device, &models).await?;
        let is_of_classes = self.task == Task::Classification;
        let loss = self.members[0].settings.loss;
        Ok(if is_of_classes { ensemble.voting(loss) } else { ensemble.without_votes() })
    }

    /// Refuses a network that is not there, or has diverged.
    fn check_finite(&self, member: usize) -> Result<()> {
        self.check(member)?;
        self.diverged[member].map_or(Ok(()), |step| Err(Error::MemberDiverged { member, step: Some(step) }))
    }

    fn check(&self, member: usize) -> Result<()> {
        if member < self.members.len() {
            return Ok(());
        }
        let expected = format!("below {}", self.members.len());
        Err(Error::Setting { what: "number of a network", expected, got: member.to_string() })
    }
}

/// Refuses what this computer's memory cannot hold, where the device has none of its own. To be told so, the system has to
/// be asked: what is not there is not given.
fn check_memory(estimate: &Estimate) -> Result<()> {
    let mut asked: Vec<u8> = Vec::new();
    let what = || format!("{} networks: {} MiB", estimate.at_once.iter().sum::<usize>(), estimate.bytes() >> 20);
    let bytes = usize::try_from(estimate.bytes()).unwrap_or(usize::MAX);
    asked.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { what: what() })
}

impl std::fmt::Debug for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, members, .. } = self;
        f.debug_struct("Population").field("network", network).field("members", &members.len()).finish_non_exhaustive()
    }
}
