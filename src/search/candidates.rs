//! The populations of a search, and the members of each candidate.

use crate::{
    data::dataset::Dataset,
    device::Device,
    error::Result,
    metrics::Metrics,
    model::Model,
    nn::network::Network,
    population::{
        Population,
        member::{Member, first_difference},
        training_loop::validation_set,
    },
    search::folds::FoldScores,
    train::{
        history::History,
        policies::monitor::Monitor,
        training_loop::{TrainingLoop, Validation},
    },
};

/// The networks of all candidates, grouped into as few populations as possible.
pub(crate) struct CandidatePopulations {
    populations: Vec<Population>,
    /// The members of each candidate.
    locations: Vec<Vec<MemberLocation>>,
}

/// The population of a member, and its index there.
#[derive(Clone, Copy)]
struct MemberLocation {
    population: usize,
    member: usize,
}

impl CandidatePopulations {
    /// Creates the populations for the members of every candidate.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`](crate::Error::InvalidSetting) if the members do not have the monitored metric.
    /// - The errors of [`Population::new_async`].
    pub(crate) async fn new(
        device: &Device,
        network: &Network,
        data: &Dataset,
        candidates: &[Vec<Member>],
        monitor: Monitor,
        validation: &Validation,
    ) -> Result<Self> {
        let mut groups: Vec<Vec<Member>> = Vec::new();
        let mut locations = Vec::with_capacity(candidates.len());
        for members in candidates {
            let mut candidate_locations = Vec::with_capacity(members.len());
            for member in members {
                let shares_kernels = |group: &Vec<Member>| first_difference(&group[0], member).is_none();
                let population = groups.iter().position(shares_kernels).unwrap_or_else(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[population].push(member.clone());
                candidate_locations.push(MemberLocation { population, member: groups[population].len() - 1 });
            }
            locations.push(candidate_locations);
        }
        let mut populations = Vec::with_capacity(groups.len());
        for members in &groups {
            populations.push(Population::new_async(device, network, data, members).await?);
        }
        let data = validation_set(validation);
        populations.iter().try_for_each(|population| population.check_monitor(monitor, data))?;
        Ok(Self { populations, locations })
    }

    /// Trains all populations, and returns the histories of each candidate.
    pub(crate) async fn train(&mut self, training_loop: &TrainingLoop) -> Result<Vec<Vec<History>>> {
        let mut histories = Vec::with_capacity(self.populations.len());
        for population in &mut self.populations {
            histories.push(training_loop.run_population_async(population).await?);
        }
        let mut take = |location: &MemberLocation| std::mem::take(&mut histories[location.population][location.member]);
        Ok(self.locations.iter().map(|locations| locations.iter().map(&mut take).collect()).collect())
    }

    /// Runs `steps` training steps of all members in training.
    pub(crate) async fn run(&mut self, steps: usize) -> Result<()> {
        for population in &mut self.populations {
            if population.active_members().next().is_some() {
                population.run_async(steps).await?;
            }
        }
        Ok(())
    }

    /// Returns the validation metrics of some candidates. Diverged members have none.
    pub(crate) async fn validate(&mut self, validation: &Validation, candidates: &[usize]) -> Result<Vec<FoldScores>> {
        let data = validation_set(validation);
        let mut metrics_by_population: Vec<Vec<Option<Metrics>>> = Vec::with_capacity(self.populations.len());
        for (index, population) in self.populations.iter_mut().enumerate() {
            let locations = candidates.iter().flat_map(|candidate| &self.locations[*candidate]);
            let members = locations.filter(|location| location.population == index).map(|location| location.member);
            let active: Vec<usize> = members.filter(|member| population.is_active(*member)).collect();
            let mut metrics_by_member = vec![None; population.members().len()];
            if !active.is_empty() {
                let metrics = population.validate(data, &active).await?;
                for (member, metrics) in active.into_iter().zip(metrics) {
                    metrics_by_member[member] = Some(metrics);
                }
            }
            metrics_by_population.push(metrics_by_member);
        }
        let mut take = |location: &MemberLocation| metrics_by_population[location.population][location.member].take();
        let mut scores =
            |candidate: &usize| FoldScores { metrics: self.locations[*candidate].iter().map(&mut take).collect() };
        Ok(candidates.iter().map(&mut scores).collect())
    }

    /// Stops the training of a candidate.
    pub(crate) async fn stop(&mut self, candidate: usize) -> Result<()> {
        for location in &self.locations[candidate] {
            self.populations[location.population].stop_async(location.member).await?;
        }
        Ok(())
    }

    /// Returns the model of a candidate's first member.
    pub(crate) async fn model(&self, candidate: usize) -> Result<Model> {
        let location = self.locations[candidate][0];
        self.populations[location.population].model_async(location.member).await
    }
}
