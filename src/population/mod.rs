//! Many networks of one shape that train together.

mod cores;
mod member;
mod waves;
mod workers;

use crate::{Dataset, Device, Error, LayerParameters, Model, Network, Plan, Report, Result, step::Course};
pub use member::Member;
use workers::Workers;

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
    workers: Workers,
    /// After how many steps each was stopped, if it was.
    stopped: Vec<Option<u64>>,
    /// Steps that those in training have taken.
    done: u64,
    classifies: bool,
    scaler: Option<crate::Scaler>,
}

impl Population {
    /// [`Population::new`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::new`].
    pub async fn new_async(device: &Device, network: &Network, data: &Dataset, members: &[Member]) -> Result<Self> {
        let courses = member::courses(network, data, members)?;
        data.check_for(network.inputs(), network.outputs())?;
        let classifies = crate::trainer::classifies(network, members[0].settings.loss, Some(data.answers()));
        let workers = Workers::new(device, network, data, members, courses).await?;
        Ok(Self {
            network: network.clone(),
            members: members.to_vec(),
            workers,
            stopped: vec![None; members.len()],
            done: 0,
            classifies,
            scaler: data.scaler().cloned(),
        })
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

    /// Which networks are in training: all, until they are stopped or diverge.
    pub fn in_training(&self) -> impl Iterator<Item = usize> + '_ {
        self.stopped.iter().enumerate().filter(|(_, stopped)| stopped.is_none()).map(|(member, _)| member)
    }

    /// [`Population::run`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::run`].
    pub async fn run_async(&mut self, steps: usize) -> Result<Vec<Report>> {
        if steps > u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            return Err(Error::Setting { what: "steps of a run", expected, got: steps.to_string() });
        }
        let mut reports = vec![Report::of(self.classifies); self.members.len()];
        self.workers.run(self.done, steps, &mut reports).await?;
        self.done += steps as u64;
        let diverged: Vec<usize> = self.in_training().filter(|member| has_diverged(&reports[*member])).collect();
        for member in diverged {
            self.stop_async(member).await?;
        }
        Ok(reports)
    }

    /// [`Population::stop`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::stop`].
    pub async fn stop_async(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        if self.stopped[member].is_none() {
            self.stopped[member] = Some(self.done);
            self.workers.stop(member).await?;
        }
        Ok(())
    }

    /// [`Population::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<Vec<f32>>> {
        self.network.check_inputs(inputs)?;
        let inputs = crate::scaling::scaled(self.scaler.as_ref(), inputs);
        self.workers.predict(&inputs).await
    }

    /// [`Population::parameters`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::parameters`].
    pub async fn parameters_async(&self, member: usize) -> Result<Vec<LayerParameters>> {
        self.check(member)?;
        let memory = self.workers.memory(member).await?;
        Ok(self.network.layers_of(&memory.parameters, &memory.statistics))
    }

    /// [`Population::model`], asynchronously.
    ///
    /// # Errors
    /// As [`Population::model`].
    pub async fn model_async(&self, member: usize) -> Result<Model> {
        let model = Model::new(self.network.clone(), self.parameters_async(member).await?)?;
        match &self.scaler {
            Some(scaler) => model.with_scaler(scaler.clone()),
            None => Ok(model),
        }
    }

    fn check(&self, member: usize) -> Result<()> {
        if member < self.members.len() {
            return Ok(());
        }
        let expected = format!("below {}", self.members.len());
        Err(Error::Setting { what: "number of a network", expected, got: member.to_string() })
    }
}

fn has_diverged(report: &Report) -> bool {
    report.losses.iter().any(|loss| !loss.is_finite())
}

impl std::fmt::Debug for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, members, .. } = self;
        f.debug_struct("Population").field("network", network).field("members", &members.len()).finish_non_exhaustive()
    }
}
