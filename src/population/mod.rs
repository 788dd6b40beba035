//! Many networks of one shape that train together.

pub use ensemble::{Ensemble, EnsemblePrediction, Votes};
pub(crate) mod ensemble;
pub(crate) mod evaluate;
pub(crate) mod member;
pub(crate) mod parameters;
pub(crate) mod training_loop;

pub use member::Member;

#[cfg(doc)]
use crate::train::trainer::Trainer;
use crate::{
    data::{dataset::Dataset, features::ByteScale},
    device::Device,
    engine::{
        population::{PopulationBackend, evaluation::EvaluationSet, memory_estimate::MemoryEstimate},
        prefetch::sum_step_weights,
        step::StepGenerator,
    },
    error::{Error, Result},
    nn::{network::Network, task::Task},
    plan::Plan,
    train::run_report::RunReport,
    util::blocking::blocking,
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
    generators: Vec<StepGenerator>,
    backend: PopulationBackend,
    /// After how many steps each was stopped, if it was.
    stopped_at: Vec<Option<u64>>,
    /// Steps that those in training have taken.
    steps_taken: u64,
    /// After how many steps something was kept of each, if anything was.
    snapshot_steps: Vec<Option<u64>>,
    /// The step whose loss was not a finite number, of those that have diverged.
    diverged_at: Vec<Option<u64>>,
    task: Task,
    data: Dataset,
    byte_scale: ByteScale,
    /// The data set that they were tested on last.
    evaluation_set: Option<EvaluationSet>,
}

impl Population {
    blocking! {
        /// Networks of one shape, on a data set that moves to the device now and stays there.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there is no member, or one that cannot be trained with the first, with what differs,
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
        let members = &member::resolve_losses(network, data, members);
        let courses = Self::check_members(network, data, members)?;
        let config = members[0].settings.training_config(network, Some(data));
        if device.is_software() {
            check_memory(&PopulationBackend::estimate(device, config, data, courses.clone())?)?;
        }
        let task = Task::from_targets(network, members[0].settings.loss, Some(data.targets()));
        let backend = PopulationBackend::new(device, config, data, courses.clone()).await?;
        Ok(Self {
            network: network.clone(),
            members: members.to_vec(),
            generators: courses,
            backend,
            stopped_at: vec![None; members.len()],
            steps_taken: 0,
            snapshot_steps: vec![None; members.len()],
            diverged_at: vec![None; members.len()],
            task,
            data: data.clone(),
            byte_scale: data.features().byte_scale().into(),
            evaluation_set: None,
        })
    }

    /// What these networks would take of the device's memory, and how many would train at once; nothing is allocated.
    ///
    /// # Errors
    /// As [`Population::new`], but for what only the allocation shows.
    pub fn estimate_memory(
        device: &Device,
        network: &Network,
        data: &Dataset,
        members: &[Member],
    ) -> Result<MemoryEstimate> {
        let members = &member::resolve_losses(network, data, members);
        let courses = Self::check_members(network, data, members)?;
        let config = members[0].settings.training_config(network, Some(data));
        PopulationBackend::estimate(device, config, data, courses)
    }

    /// What each network's steps do, if they can be trained together.
    fn check_members(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<StepGenerator>> {
        let courses = member::step_generators(network, data, members)?;
        data.check_shape(network.inputs(), network.outputs())?;
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

    /// How a step is computed, of all networks that train in the same dispatches; see [`crate::train::Trainer::plan`]. With it a
    /// trainer gives one of them alone the same bits.
    pub fn plan(&self) -> Plan {
        self.backend.plan()
    }

    /// How many steps a network has taken.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network, as all that follow.
    pub fn steps(&self, member: usize) -> Result<u64> {
        self.check(member)?;
        Ok(self.stopped_at[member].unwrap_or(self.steps_taken))
    }

    /// How many steps pass over a network's rows once.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network.
    pub fn steps_per_epoch(&self, member: usize) -> Result<usize> {
        self.check(member)?;
        Ok(self.generators[member].steps_per_epoch() as usize)
    }

    /// How many steps are left of a network's epoch: all of them at its start.
    pub(crate) fn steps_left_in_epoch(&self, member: usize) -> Result<usize> {
        let all = self.steps_per_epoch(member)?;
        Ok(all - (self.steps(member)? % all as u64) as usize)
    }

    pub(crate) fn is_active(&self, member: usize) -> bool {
        self.stopped_at[member].is_none()
    }

    /// Which networks are in training: all, until they are stopped or diverge.
    pub fn active_members(&self) -> impl Iterator<Item = usize> + '_ {
        self.stopped_at.iter().enumerate().filter(|(_, stopped)| stopped.is_none()).map(|(member, _)| member)
    }

    blocking! {
        /// Takes that many steps with every network in training, each in the order of its own rows, and waits for the
        /// last one. Gives what each has told, empty for those that are not in training. One whose loss is no finite
        /// number is stopped.
        ///
        /// # Errors
        /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Io`] if rows are in a file that can no longer be read,
        /// and [`Error::InvalidSetting`] for more than 2^32 steps.
        pub fn run(&mut self, steps: usize) -> Result<Vec<RunReport>> = self.run_async(steps);
    }

    /// The asynchronous form of [`Population::run`].
    ///
    /// # Errors
    /// As [`Population::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<Vec<RunReport>> {
        if steps > u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::InvalidSetting { name: "steps of a run", expected, got: steps.to_string() });
        }
        let mut reports = vec![RunReport::new(self.task.has_accuracy()); self.members.len()];
        // Whatever becomes of them, they are taken: what a device was told to do it may still do after an error.
        let before = self.steps_taken;
        self.steps_taken += steps as u64;
        self.backend.run(before, steps, &mut reports).await?;
        if let Some(weights) = self.data.sample_weights() {
            for ((report, course), member) in reports.iter_mut().zip(&self.generators).zip(&self.members) {
                let steps = before..before + report.losses.len() as u64;
                report.batch_weights = sum_step_weights(course, member.settings.shuffle, weights, steps);
            }
        }
        for member in self.active_members().collect::<Vec<_>>() {
            if let Some(at) = reports[member].losses.iter().position(|loss| !loss.is_finite()) {
                self.diverged_at[member] = Some(before + at as u64);
                self.stop_async(member).await?;
            }
        }
        Ok(reports)
    }

    blocking! {
        /// Takes a network out of training: from here on it costs nothing, and keeps its parameters.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there is no such network, [`Error::OutOfMemory`], [`Error::DeviceLost`].
        pub fn stop(&mut self, member: usize) -> Result<()> = self.stop_async(member);
    }

    /// The asynchronous form of [`Population::stop`].
    ///
    /// # Errors
    /// As [`Population::stop`].
    pub async fn stop_async(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        if self.stopped_at[member].is_none() {
            self.backend.stop(member).await?;
            self.stopped_at[member] = Some(self.steps_taken);
        }
        Ok(())
    }

    /// Refuses a network that is not there, or has diverged.
    fn check_not_diverged(&self, member: usize) -> Result<()> {
        self.check(member)?;
        self.diverged_at[member].map_or(Ok(()), |step| Err(Error::MemberDiverged { member, step: Some(step) }))
    }

    fn check(&self, member: usize) -> Result<()> {
        if member < self.members.len() {
            return Ok(());
        }
        let expected = format!("below {}", self.members.len());
        Err(Error::InvalidSetting { name: "number of a network", expected, got: member.to_string() })
    }
}

/// Refuses what this computer's memory cannot hold, where the device has none of its own. To be told so, the system has to
/// be asked: what is not there is not given.
fn check_memory(estimate: &MemoryEstimate) -> Result<()> {
    let mut asked: Vec<u8> = Vec::new();
    let what = || format!("{} networks: {} MiB", estimate.group_sizes.iter().sum::<usize>(), estimate.bytes() >> 20);
    let bytes = usize::try_from(estimate.bytes()).unwrap_or(usize::MAX);
    asked.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory { context: what() })
}

impl std::fmt::Debug for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, members, .. } = self;
        f.debug_struct("Population").field("network", network).field("members", &members.len()).finish_non_exhaustive()
    }
}
