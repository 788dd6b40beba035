//! The networks of a search: populations, as few as can be, and where each candidate's networks are.

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
    },
    search::folds::FoldScores,
    train::{
        history::History,
        policies::Monitor,
        training_loop::{TrainingLoop, Validation},
    },
};

pub(crate) struct CandidatePopulations {
    populations: Vec<Population>,
    /// Of each candidate's networks the population and the number there.
    locations: Vec<Vec<[usize; 2]>>,
}

impl CandidatePopulations {
    /// Networks of candidates, some each, which are judged by a quantity that they have.
    pub(crate) async fn new(
        device: &Device,
        network: &Network,
        data: &Dataset,
        candidates: &[Vec<Member>],
        (monitor, validation): (Monitor, &Validation),
    ) -> Result<Self> {
        let mut groups: Vec<Vec<Member>> = Vec::new();
        let mut places = Vec::with_capacity(candidates.len());
        for members in candidates {
            let mut place = |member: &Member| {
                let fits = |group: &Vec<Member>| first_difference(&group[0], member).is_none();
                let number = groups.iter().position(fits).unwrap_or_else(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[number].push(member.clone());
                [number, groups[number].len() - 1]
            };
            places.push(members.iter().map(&mut place).collect());
        }
        let mut populations = Vec::with_capacity(groups.len());
        for members in &groups {
            populations.push(Population::new_async(device, network, data, members).await?);
        }
        let data = if let Validation::Data(data) = validation { Some(data) } else { None };
        populations.iter().try_for_each(|population| population.check_monitor(monitor, data))?;
        Ok(Self { populations, locations: places })
    }

    /// Takes all through the epochs.
    pub(crate) async fn train(&mut self, fit: &TrainingLoop) -> Result<Vec<Vec<History>>> {
        let mut histories = Vec::with_capacity(self.populations.len());
        for population in &mut self.populations {
            histories.push(fit.run_population_async(population).await?);
        }
        let mut take = |[population, member]: &[usize; 2]| std::mem::take(&mut histories[*population][*member]);
        Ok(self.locations.iter().map(|places| places.iter().map(&mut take).collect()).collect())
    }

    /// Takes that many steps with all that are in training.
    pub(crate) async fn run(&mut self, steps: usize) -> Result<()> {
        for population in &mut self.populations {
            if population.active_members().next().is_some() {
                population.run_async(steps).await?;
            }
        }
        Ok(())
    }

    /// What the networks of some candidates are worth; those that have diverged, nothing.
    pub(crate) async fn validate(&mut self, validation: &Validation, candidates: &[usize]) -> Result<Vec<FoldScores>> {
        let data = if let Validation::Data(data) = validation { Some(data) } else { None };
        let mut all: Vec<Vec<Option<Metrics>>> = Vec::with_capacity(self.populations.len());
        for (number, population) in self.populations.iter_mut().enumerate() {
            let places = candidates.iter().flat_map(|candidate| &self.locations[*candidate]);
            let here = places.filter(|[other, _]| *other == number).map(|[_, member]| *member);
            let tested: Vec<usize> = here.filter(|member| population.is_active(*member)).collect();
            let mut of_each = vec![None; population.members().len()];
            if !tested.is_empty() {
                let metrics = population.validate(data, &tested).await?;
                tested.into_iter().zip(metrics).for_each(|(member, metrics)| of_each[member] = Some(metrics));
            }
            all.push(of_each);
        }
        let mut take = |[population, member]: &[usize; 2]| all[*population][*member].take();
        let mut scores =
            |candidate: &usize| FoldScores { metrics: self.locations[*candidate].iter().map(&mut take).collect() };
        Ok(candidates.iter().map(&mut scores).collect())
    }

    /// Takes a candidate's networks out of training.
    pub(crate) async fn stop(&mut self, candidate: usize) -> Result<()> {
        for [population, member] in &self.locations[candidate] {
            self.populations[*population].stop_async(*member).await?;
        }
        Ok(())
    }

    /// A candidate's first network.
    pub(crate) async fn model(&self, candidate: usize) -> Result<Model> {
        let [population, member] = self.locations[candidate][0];
        self.populations[population].model_async(member).await
    }
}
