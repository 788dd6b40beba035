//! Populations: many networks of one shape that train together, and ensembles that predict together.

pub(crate) mod ensemble;
pub(crate) mod evaluate;
pub(crate) mod member;
pub(crate) mod parameters;
pub(crate) mod training_loop;

pub use ensemble::{Ensemble, EnsemblePrediction, Votes};
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

/// A population of networks that train together: one shape and one data set, but many seeds, learning rates or subsets.
///
/// Members may differ in their seed, in their schedule, in all numbers of their optimizer and in their rows. A
/// population can train several seeds, a grid of learning rates, the folds of a cross-validation or the members of an
/// ensemble. On a GPU the same dispatches train all members. On the CPU the members are distributed over the cores.
///
/// Each member ends with the same bits as a [`Trainer`] with the same settings, device and plan.
///
/// ```
/// use gradus::{Activation, Dataset, Device, Member, Network, Optimizer, Population, TrainerSettings};
/// let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
/// let data = Dataset::new(4, &[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 1.0, 0.0])?;
/// let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1.0), ..TrainerSettings::default() };
/// let members: Vec<_> =
///     (0..10).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
/// let mut population = Population::new(&Device::cpu(), &network, &data, &members)?;
/// let reports = population.run(2000)?;
/// let learned = reports.iter().filter(|report| report.losses.last().is_some_and(|loss| *loss < 0.01)).count();
/// println!("{learned} of 10 seeds learn XOR");
/// # assert!(learned >= 7);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "vmap")]
pub struct Population {
    network: Network,
    members: Vec<Member>,
    generators: Vec<StepGenerator>,
    backend: PopulationBackend,
    /// For each stopped member, the number of steps that it has taken.
    stopped_at: Vec<Option<u64>>,
    /// The number of steps of the members in training.
    steps_taken: u64,
    /// For each member with a snapshot, the number of steps before the snapshot.
    snapshot_steps: Vec<Option<u64>>,
    /// For each diverged member, the step whose loss is not finite.
    diverged_at: Vec<Option<u64>>,
    task: Task,
    data: Dataset,
    byte_scale: ByteScale,
    /// The data set of the last evaluation, cached on the device.
    evaluation_set: Option<EvaluationSet>,
}

impl Population {
    blocking! {
        /// Creates a population with the initial parameters of every member, and uploads the data set to the device.
        ///
        /// If the members do not fit into the bindings of the device together, groups of them train one after the
        /// other.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if there is no member, if a member cannot share kernels with the first one, or
        ///   if the data set does not have the rows of a subset.
        /// - The errors of [`Trainer::new`]. gradus checks the limits of the device before it allocates memory.
        pub fn new(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self>
            = Self::new_async(device, network, data, members);
    }

    /// The asynchronous form of [`Population::new`].
    ///
    /// # Errors
    /// As [`Population::new`].
    pub async fn new_async(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self> {
        let members = &member::resolve_losses(network, data, members);
        let generators = Self::check_members(network, data, members)?;
        let config = members[0].settings.training_config(network, Some(data));
        if device.is_software() {
            check_memory(&PopulationBackend::estimate(device, config, data, generators.clone())?)?;
        }
        let task = Task::from_targets(network, members[0].settings.loss, Some(data.targets()));
        let backend = PopulationBackend::new(device, config, data, generators.clone()).await?;
        Ok(Self {
            network: network.clone(),
            members: members.to_vec(),
            generators,
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

    /// Returns an estimate of the device memory of a population, and the groups that would train together. It allocates
    /// no memory on the device.
    ///
    /// # Errors
    /// The errors of [`Population::new`], except for failed allocations.
    pub fn estimate_memory(
        device: &Device,
        network: &Network,
        data: &Dataset,
        members: &[Member],
    ) -> Result<MemoryEstimate> {
        let members = &member::resolve_losses(network, data, members);
        let generators = Self::check_members(network, data, members)?;
        let config = members[0].settings.training_config(network, Some(data));
        PopulationBackend::estimate(device, config, data, generators)
    }

    /// Returns the step generator of every member, or an error if the members cannot train together on `data`.
    fn check_members(network: &Network, data: &Dataset, members: &[Member]) -> Result<Vec<StepGenerator>> {
        let generators = member::step_generators(network, data, members)?;
        data.check_shape(network.inputs(), network.outputs())?;
        Ok(generators)
    }

    /// Returns the network that all members share.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the settings and subsets of the members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the plan of a step for one group of members; see [`Trainer::plan`]. With this
    /// plan, a trainer of one member alone computes the same bits.
    pub fn plan(&self) -> Plan {
        self.backend.plan()
    }

    /// Returns the number of steps that a member has taken.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no member with that index.
    pub fn steps(&self, member: usize) -> Result<u64> {
        self.check(member)?;
        Ok(self.stopped_at[member].unwrap_or(self.steps_taken))
    }

    /// Returns the number of steps per epoch of a member.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no member with that index.
    pub fn steps_per_epoch(&self, member: usize) -> Result<usize> {
        self.check(member)?;
        Ok(self.generators[member].steps_per_epoch() as usize)
    }

    /// Returns the number of steps until the end of a member's epoch. At the start of an epoch these are all its steps.
    pub(crate) fn steps_left_in_epoch(&self, member: usize) -> Result<usize> {
        let steps_per_epoch = self.steps_per_epoch(member)?;
        Ok(steps_per_epoch - (self.steps(member)? % steps_per_epoch as u64) as usize)
    }

    pub(crate) fn is_active(&self, member: usize) -> bool {
        self.stopped_at[member].is_none()
    }

    /// Returns the indices of the members in training, which are neither stopped nor diverged.
    pub fn active_members(&self) -> impl Iterator<Item = usize> + '_ {
        self.stopped_at.iter().enumerate().filter(|(_, stopped)| stopped.is_none()).map(|(member, _)| member)
    }

    blocking! {
        /// Runs `steps` training steps of every member in training, and waits for the last one.
        ///
        /// Returns one report per member, which is empty for members that are not in training. A member whose loss is
        /// not finite is stopped.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] for more than 2^32 - 1 steps.
        /// - [`Error::Io`] if the rows are in a file that can no longer be read.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
        pub fn run(&mut self, steps: usize) -> Result<Vec<RunReport>> = self.run_async(steps);
    }

    /// The asynchronous form of [`Population::run`].
    ///
    /// # Errors
    /// As [`Population::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<Vec<RunReport>> {
        if steps > u32::MAX as usize {
            let expected = format!("at most {} per call", u32::MAX);
            return Err(Error::InvalidSetting { name: "steps", expected, got: steps.to_string() });
        }
        let mut reports = vec![RunReport::new(self.task.has_accuracy()); self.members.len()];
        // Count the steps first: after an error or a dropped future the device may still have run them.
        let before = self.steps_taken;
        self.steps_taken += steps as u64;
        self.backend.run(before, steps, &mut reports).await?;
        if let Some(weights) = self.data.sample_weights() {
            for ((report, generator), member) in reports.iter_mut().zip(&self.generators).zip(&self.members) {
                let steps = before..before + report.losses.len() as u64;
                report.batch_weights = sum_step_weights(generator, member.settings.shuffle, weights, steps);
            }
        }
        for member in self.active_members().collect::<Vec<_>>() {
            if let Some(step) = reports[member].losses.iter().position(|loss| !loss.is_finite()) {
                self.diverged_at[member] = Some(before + step as u64);
                self.stop_async(member).await?;
            }
        }
        Ok(reports)
    }

    blocking! {
        /// Stops the training of a member. It keeps its parameters, and later runs spend no time on it.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if there is no member with that index.
        /// - [`Error::OutOfMemory`] or [`Error::DeviceLost`] if the device fails.
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

    /// Returns an error if there is no member with that index, or if it has diverged.
    fn check_not_diverged(&self, member: usize) -> Result<()> {
        self.check(member)?;
        self.diverged_at[member].map_or(Ok(()), |step| Err(Error::MemberDiverged { member, step: Some(step) }))
    }

    fn check(&self, member: usize) -> Result<()> {
        if member < self.members.len() {
            return Ok(());
        }
        let expected = format!("an index below {}", self.members.len());
        Err(Error::InvalidSetting { name: "member", expected, got: member.to_string() })
    }
}

/// Returns [`Error::OutOfMemory`] if the host cannot hold the population of a software adapter, whose memory is that of
/// the host. Only a trial allocation shows how much memory the system grants.
fn check_memory(estimate: &MemoryEstimate) -> Result<()> {
    let mut trial: Vec<u8> = Vec::new();
    let members: usize = estimate.group_sizes.iter().sum();
    let bytes = usize::try_from(estimate.bytes()).unwrap_or(usize::MAX);
    trial.try_reserve_exact(bytes).map_err(|_| Error::OutOfMemory {
        context: format!("a population of {members} members needs {} MiB", estimate.bytes() >> 20),
    })
}

impl std::fmt::Debug for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, members, .. } = self;
        f.debug_struct("Population").field("network", network).field("members", &members.len()).finish_non_exhaustive()
    }
}
