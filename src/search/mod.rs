//! Settings that are tried together: a grid of them or random ones, each to the end or the better ones alone.

pub(crate) mod candidates;
pub(crate) mod folds;
pub(crate) mod hyperparameter;
pub(crate) mod result;

use crate::search::candidates::CandidatePopulations;
#[cfg(not(target_family = "wasm"))]
pub use folds::cross_val_score;
pub use folds::{FoldScores, KFold, cross_val_score_async};
pub use hyperparameter::Hyperparameter;
pub use result::{SearchResult, Trial};

#[cfg(doc)]
use crate::population::Population;
use crate::{
    data::{dataset::Dataset, subset::Subset},
    device::Device,
    error::{Error, Result},
    nn::network::Network,
    population::member::Member,
    train::{
        history::{History, StopReason},
        policies::Monitor,
        training_loop::{TrainingLoop, Validation},
    },
    util::{blocking::blocking, rng::Rng},
};

/// Many settings of one network, to find the best: all of them train together, as a [`Population`]
/// does. Where kernels have to differ, because of the batch size for example, there are some populations, one after the
/// other.
///
/// ```
/// use gradus::{Activation, Dataset, Device, Fit, Member, Network, Settings, search::{Hyperparameter, KFold, Search}};
/// # let (features, answers): (Vec<f32>, Vec<f32>) = (0..60).map(|i| (i as f32 / 30.0 - 1.0, (i as f32 / 9.0).sin())).unzip();
/// let network = Network::new(1).dense(8, Activation::Tanh).dense(1, Activation::Identity);
/// let data = Dataset::new(60, features, answers)?;
/// let rates = Hyperparameter::listed("learning rate", [0.01, 0.1, 0.5], |member, rate| {
///     member.settings.optimizer.learning_rate = rate;
/// });
/// let search = Search::grid(&Member::new(Settings::default()), &[rates])?.folds(KFold::new(3).shuffled(1));
/// let findings = search.train(&Device::cpu(), &network, &data, &Fit::new(20))?;
/// println!("{findings}");
/// # assert_eq!(findings.trials.len(), 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Search {
    hyperparameter_names: Vec<String>,
    candidates: Vec<Candidate>,
    cross_validation: Option<KFold>,
    validation: Validation,
    monitor: Monitor,
}

/// Settings that are tried.
#[derive(Debug, Clone)]
struct Candidate {
    values: Vec<f64>,
    member: Member,
}

/// Successive halving (Jamieson and Talwalkar 2016): all train for a few steps, the worse are dropped, the others go on for
/// some times as many, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessiveHalving {
    /// After how many steps the first are dropped.
    pub min_steps: usize,
    /// How many steps those take that are never dropped.
    pub max_steps: usize,
    /// Of so many one goes on, and it does for so many times as many steps; from 2 up.
    pub factor: usize,
}

impl SuccessiveHalving {
    /// The better half goes on, again and again.
    pub const fn new(first: usize, steps: usize) -> Self {
        Self { min_steps: first, max_steps: steps, factor: 2 }
    }

    fn check(&self) -> Result<()> {
        let Self { min_steps: first, max_steps: steps, factor } = *self;
        if first > 0 && first <= steps && factor >= 2 {
            return Ok(());
        }
        let expected =
            "at least 1 step before the first are dropped, no more than in all, and a factor from 2 up".to_owned();
        Err(Error::InvalidSetting { name: "halving", expected, got: format!("{first} of {steps}, and {factor}") })
    }
}

impl Search {
    /// Every combination of the values that are listed, the last varying fastest, on top of the same settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a number without values, for a range, and for no numbers or more than a million combinations.
    pub fn grid(base: &Member, hyperparameters: &[Hyperparameter]) -> Result<Self> {
        let lists = hyperparameters.iter().map(Hyperparameter::grid_values).collect::<Result<Vec<_>>>()?;
        let count = lists.iter().try_fold(1_usize, |count, list| count.checked_mul(list.len()));
        let count = count.unwrap_or(usize::MAX);
        let values = |mut number: usize| {
            let mut values: Vec<f64> = Vec::with_capacity(lists.len());
            for list in lists.iter().rev() {
                values.push(list[number % list.len()]);
                number /= list.len();
            }
            values.reverse();
            values
        };
        Self::new(base, hyperparameters, count, values)
    }

    /// So many combinations, each of whose values is drawn, on top of the same settings. The same seed draws the same.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a number without values, and for no numbers, no combination or more than a million.
    pub fn random(base: &Member, hyperparameters: &[Hyperparameter], count: usize, seed: u64) -> Result<Self> {
        hyperparameters.iter().try_for_each(Hyperparameter::check)?;
        let mut draws = Rng::new(seed);
        Self::new(base, hyperparameters, count, |_| {
            hyperparameters.iter().map(|number| number.sample(&mut draws)).collect()
        })
    }

    fn new(
        base: &Member,
        numbers: &[Hyperparameter],
        count: usize,
        mut values: impl FnMut(usize) -> Vec<f64>,
    ) -> Result<Self> {
        const MAX_CANDIDATES: usize = 1_000_000;
        if numbers.is_empty() || count == 0 || count > MAX_CANDIDATES {
            let expected = format!("1 to {MAX_CANDIDATES}, of at least one number");
            let got = format!("{count} of {} numbers", numbers.len());
            return Err(Error::InvalidSetting { name: "combinations of a search", expected, got });
        }
        let candidate = |number: usize| {
            let (values, mut member) = (values(number), base.clone());
            numbers.iter().zip(&values).for_each(|(number, value)| number.set(&mut member, *value));
            Candidate { values, member }
        };
        Ok(Self {
            hyperparameter_names: numbers.iter().map(|number| number.name.clone()).collect(),
            candidates: (0..count).map(candidate).collect(),
            cross_validation: None,
            validation: Validation::None,
            monitor: Monitor::ValidationLoss,
        })
    }

    /// Each judged by a cross-validation: a network for each fold.
    #[must_use]
    pub const fn cross_validation(mut self, folds: KFold) -> Self {
        self.cross_validation = Some(folds);
        self
    }

    /// Each judged on a data set of its own, or on rows of the one that is searched on, which are then held out.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// What they are judged by: one of the quantities that validate. The loss, if nothing else is said.
    #[must_use]
    pub const fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// How many combinations there are.
    pub const fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Whether there is none, which no search has.
    pub const fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    blocking! {
        /// Trains all combinations as `fit` says, whose validation is the search's, and judges each by what it was
        /// worth at last, or after its best epoch where there is early stopping. One that diverges, and is not put back
        /// there, is the worst.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if it is not said what validates or twice, and as [`Population::new`] and
        /// [`TrainingLoop::run_population`].
        pub fn run(&self, device: &Device, network: &Network, data: &Dataset, fit: &TrainingLoop) -> Result<SearchResult>
            = self.run_async(device, network, data, fit);
    }

    /// The asynchronous form of `AdapterFilter::run`.
    ///
    /// # Errors
    /// As `AdapterFilter::run`.
    pub async fn run_async(
        &self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        fit: &TrainingLoop,
    ) -> Result<SearchResult> {
        let (data, folds, validation) = self.prepare(data)?;
        let mut field =
            CandidatePopulations::new(device, network, &data, &self.members(folds)?, (self.monitor, &validation))
                .await?;
        let fit = fit.clone().validation(validation);
        let histories = field.train(&fit).await?;
        // What was put back is worth what it was there.
        let is_lost = |history: &History| history.stop_reason == StopReason::Diverged && !fit.needs_best_snapshot();
        let tested = |history: &History| history.tested().filter(|_| !is_lost(history)).cloned();
        let trial = |(candidate, histories): (&Candidate, Vec<History>)| Trial {
            values: candidate.values.clone(),
            member: candidate.member.clone(),
            scores: FoldScores { metrics: histories.iter().map(tested).collect() },
            steps: histories.iter().map(History::steps).sum(),
            histories,
            pruned: false,
        };
        let trials = self.candidates.iter().zip(histories).map(trial).collect();
        self.collect_result(&field, trials).await
    }

    blocking! {
        /// Trains all combinations for a few steps, drops the worse, and goes on with the others.
        ///
        /// # Errors
        /// As `AdapterFilter::run`; [`Error::InvalidSetting`] for a halving that is none.
        pub fn run_halving(&self, device: &Device, network: &Network, data: &Dataset, halving: &SuccessiveHalving) -> Result<SearchResult>
            = self.run_halving_async(device, network, data, halving);
    }

    /// The asynchronous form of `AdapterFilter::run_halving`.
    ///
    /// # Errors
    /// As `AdapterFilter::run_halving`.
    pub async fn run_halving_async(
        &self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        halving: &SuccessiveHalving,
    ) -> Result<SearchResult> {
        halving.check()?;
        let (data, folds, validation) = self.prepare(data)?;
        let mut field =
            CandidatePopulations::new(device, network, &data, &self.members(folds)?, (self.monitor, &validation))
                .await?;
        let trial = |candidate: &Candidate| Trial {
            values: candidate.values.clone(),
            member: candidate.member.clone(),
            scores: FoldScores::default(),
            steps: 0,
            histories: Vec::new(),
            pruned: false,
        };
        let mut trials: Vec<Trial> = self.candidates.iter().map(trial).collect();
        let mut left: Vec<usize> = (0..trials.len()).collect();
        let (mut done, mut rung) = (0, halving.min_steps);
        loop {
            let steps = rung.min(halving.max_steps) - done;
            field.run(steps).await?;
            done += steps;
            let scores = field.validate(&validation, &left).await?;
            for (trial, scores) in left.iter().zip(scores) {
                trials[*trial].steps = done * scores.metrics.len();
                trials[*trial].scores = scores;
            }
            if done == halving.max_steps {
                break;
            }
            left.sort_by(|a, b| trials[*a].compare(&trials[*b], self.monitor));
            for worse in left.split_off(left.len().div_ceil(halving.factor)) {
                trials[worse].pruned = true;
                field.stop(worse).await?;
            }
            left.sort_unstable();
            rung = rung.saturating_mul(halving.factor);
        }
        self.collect_result(&field, trials).await
    }

    /// The networks of each candidate.
    fn members(&self, folds: Option<KFold>) -> Result<Vec<Vec<Member>>> {
        let members = |candidate: &Candidate| match folds {
            None => Ok(vec![candidate.member.clone()]),
            Some(folds) if candidate.member.subset == Subset::All => Ok(folds.members(&candidate.member)),
            Some(_) => {
                let (expected, got) = ("all of them, which the folds divide".to_owned(), "others".to_owned());
                Err(Error::InvalidSetting { name: "rows of a cross-validation", expected, got })
            }
        };
        self.candidates.iter().map(members).collect()
    }

    /// The rows to learn from, their folds if there are any, and what validates.
    fn prepare(&self, data: &Dataset) -> Result<(Dataset, Option<KFold>, Validation)> {
        if !self.monitor.needs_validation() {
            let (expected, got) = ("one of the validation".to_owned(), format!("the {}", self.monitor));
            return Err(Error::InvalidSetting { name: "quantity to judge by", expected, got });
        }
        match (&self.cross_validation, &self.validation) {
            (Some(folds), Validation::None | Validation::HeldOutFold) => {
                let (data, folds) = folds.prepare(data)?;
                Ok((data, Some(folds), Validation::HeldOutFold))
            }
            (None, Validation::Split(split)) => {
                let (train, held_out) = data.split(split, self.candidates[0].member.settings.seed)?;
                Ok((train, None, Validation::Data(held_out)))
            }
            (None, Validation::Data(_) | Validation::HeldOutFold) => Ok((data.clone(), None, self.validation.clone())),
            (folds, _) => {
                let expected = "either folds or another validation".to_owned();
                let got = if folds.is_some() { "both" } else { "neither" }.to_owned();
                Err(Error::InvalidSetting { name: "validation of a search", expected, got })
            }
        }
    }

    async fn collect_result(&self, field: &CandidatePopulations, trials: Vec<Trial>) -> Result<SearchResult> {
        let mut findings = SearchResult {
            hyperparameters: self.hyperparameter_names.clone(),
            monitor: self.monitor,
            trials,
            best_model: None,
        };
        // Of several folds none is better than the others.
        if let (None, Some(best)) = (&self.cross_validation, findings.best_index()) {
            findings.best_model = Some(field.model(best).await?);
        }
        Ok(findings)
    }
}
