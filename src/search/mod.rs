//! Hyperparameter search and cross-validation: many networks that train together as populations.

pub(crate) mod candidates;
pub(crate) mod folds;
pub(crate) mod hyperparameter;
pub(crate) mod result;

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
    search::candidates::CandidatePopulations,
    train::{
        history::{History, StopReason},
        policies::monitor::Monitor,
        training_loop::{TrainingLoop, Validation},
    },
    util::{blocking::blocking, rng::Rng},
};

/// A search for the best hyperparameters of a network. The candidates train together, as a [`Population`].
///
/// Candidates that need different kernels, for example because of their batch size, are divided into several
/// populations, which train one after the other.
///
/// ```
/// use gradus::{
///     Activation, Dataset, Device, Member, Network, TrainerSettings, TrainingLoop,
///     search::{Hyperparameter, KFold, Search},
/// };
/// # let (features, targets): (Vec<f32>, Vec<f32>) = (0..60).map(|i| (i as f32 / 30.0 - 1.0, (i as f32 / 9.0).sin())).unzip();
/// let network = Network::new(1).dense(8, Activation::Tanh).dense(1, Activation::Identity);
/// let data = Dataset::new(60, features, targets)?;
/// let learning_rate = Hyperparameter::choice("learning rate", [0.01, 0.1, 0.5], |member, value| {
///     member.settings.optimizer.learning_rate = value;
/// });
/// let base = Member::new(TrainerSettings::default());
/// let search = Search::grid(&base, &[learning_rate])?.cross_validation(KFold::new(3).shuffled(1));
/// let result = search.run(&Device::cpu(), &network, &data, &TrainingLoop::new(20))?;
/// println!("{result}");
/// # assert_eq!(result.trials.len(), 3);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "GridSearchCV")]
#[doc(alias = "RandomizedSearchCV")]
#[derive(Debug, Clone)]
pub struct Search {
    hyperparameter_names: Vec<String>,
    candidates: Vec<Candidate>,
    cross_validation: Option<KFold>,
    validation: Validation,
    monitor: Monitor,
}

/// A combination of hyperparameter values, and the member with these settings.
#[derive(Debug, Clone)]
struct Candidate {
    values: Vec<f64>,
    member: Member,
}

/// Successive halving (Jamieson and Talwalkar 2016): every round prunes the worst candidates and trains the others for
/// `factor` times as many steps.
#[doc(alias = "HalvingGridSearchCV")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessiveHalving {
    /// The number of steps of the first round, at least 1.
    pub min_steps: usize,
    /// The maximum number of steps per candidate, at least [`min_steps`](Self::min_steps). Candidates that are never
    /// pruned reach it.
    pub max_steps: usize,
    /// The reduction factor, at least 2: each round keeps one in `factor` candidates, and trains it for `factor` times
    /// as many steps.
    pub factor: usize,
}

impl SuccessiveHalving {
    /// Creates a halving with a factor of 2: each round keeps the better half of the candidates.
    pub const fn new(min_steps: usize, max_steps: usize) -> Self {
        Self { min_steps, max_steps, factor: 2 }
    }

    fn check(&self) -> Result<()> {
        let Self { min_steps, max_steps, factor } = *self;
        if min_steps > 0 && min_steps <= max_steps && factor >= 2 {
            return Ok(());
        }
        let expected = "1 <= min_steps <= max_steps and factor >= 2".to_owned();
        let got = format!("min_steps {min_steps}, max_steps {max_steps}, factor {factor}");
        Err(Error::InvalidSetting { name: "SuccessiveHalving", expected, got })
    }
}

impl Search {
    /// Creates a search over every combination of the listed values. The last hyperparameter varies fastest.
    ///
    /// All other settings are those of `base`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a hyperparameter has no values or is a range, if there are no hyperparameters, or
    /// if there are more than 1,000,000 combinations.
    #[doc(alias = "ParameterGrid")]
    pub fn grid(base: &Member, hyperparameters: &[Hyperparameter]) -> Result<Self> {
        let lists = hyperparameters.iter().map(Hyperparameter::grid_values).collect::<Result<Vec<_>>>()?;
        let count = lists.iter().try_fold(1_usize, |count, list| count.checked_mul(list.len()));
        let values = |mut index: usize| {
            let mut values: Vec<f64> = Vec::with_capacity(lists.len());
            for list in lists.iter().rev() {
                values.push(list[index % list.len()]);
                index /= list.len();
            }
            values.reverse();
            values
        };
        Self::new(base, hyperparameters, count.unwrap_or(usize::MAX), values)
    }

    /// Creates a search over `count` combinations of random values. The same seed gives the same values.
    ///
    /// All other settings are those of `base`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if a hyperparameter has no values or an invalid range, if there are no
    /// hyperparameters, or if `count` is not 1 to 1,000,000.
    #[doc(alias = "ParameterSampler")]
    pub fn random(base: &Member, hyperparameters: &[Hyperparameter], count: usize, seed: u64) -> Result<Self> {
        hyperparameters.iter().try_for_each(Hyperparameter::check)?;
        let mut rng = Rng::new(seed);
        Self::new(base, hyperparameters, count, |_| {
            hyperparameters.iter().map(|hyperparameter| hyperparameter.sample(&mut rng)).collect()
        })
    }

    /// Creates a search over `count` combinations; `values` returns the values of a combination.
    fn new(
        base: &Member,
        hyperparameters: &[Hyperparameter],
        count: usize,
        mut values: impl FnMut(usize) -> Vec<f64>,
    ) -> Result<Self> {
        const MAX_CANDIDATES: usize = 1_000_000;
        if hyperparameters.is_empty() || count == 0 || count > MAX_CANDIDATES {
            let expected = format!("1 to {MAX_CANDIDATES} combinations of at least 1 hyperparameter");
            let got = format!("{count} combinations of {} hyperparameters", hyperparameters.len());
            return Err(Error::InvalidSetting { name: "search", expected, got });
        }
        let mut candidates = Vec::with_capacity(count);
        for index in 0..count {
            let (values, mut member) = (values(index), base.clone());
            for (hyperparameter, value) in hyperparameters.iter().zip(&values) {
                hyperparameter.set(&mut member, *value);
            }
            candidates.push(Candidate { values, member });
        }
        Ok(Self {
            hyperparameter_names: hyperparameters.iter().map(|hyperparameter| hyperparameter.name.clone()).collect(),
            candidates,
            cross_validation: None,
            validation: Validation::None,
            monitor: Monitor::ValidationLoss,
        })
    }

    /// Evaluates every candidate by cross-validation, with one network per fold.
    #[doc(alias = "cv")]
    #[must_use]
    pub const fn cross_validation(mut self, folds: KFold) -> Self {
        self.cross_validation = Some(folds);
        self
    }

    /// Evaluates every candidate on a validation set: a separate data set, or a split of the searched data set.
    #[must_use]
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// Sets the validation metric that ranks the candidates. The default is the validation loss.
    #[doc(alias = "scoring")]
    #[must_use]
    pub const fn monitor(mut self, monitor: Monitor) -> Self {
        self.monitor = monitor;
        self
    }

    /// Returns the number of candidates.
    pub const fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Returns false: a search has at least one candidate.
    pub const fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    blocking! {
        /// Trains all candidates with `training_loop`, and ranks them by their metrics after the last epoch, or after
        /// the best epoch with early stopping.
        ///
        /// The validation of the search replaces that of the training loop. A diverged candidate ranks last, unless
        /// early stopping restores its best epoch.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if the search has neither a cross-validation nor a validation, or both.
        /// - The errors of [`Population::new`] and [`TrainingLoop::run_population`].
        pub fn run(
            &self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            training_loop: &TrainingLoop,
        ) -> Result<SearchResult> = self.run_async(device, network, data, training_loop);
    }

    /// The asynchronous form of [`Search::run`].
    ///
    /// # Errors
    /// As [`Search::run`].
    pub async fn run_async(
        &self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        training_loop: &TrainingLoop,
    ) -> Result<SearchResult> {
        let PreparedData { data, folds, validation } = self.prepare(data)?;
        let members = self.members(folds)?;
        let mut populations =
            CandidatePopulations::new(device, network, &data, &members, self.monitor, &validation).await?;
        let training_loop = training_loop.clone().validation(validation);
        let histories = populations.train(&training_loop).await?;
        let mut trials = Vec::with_capacity(self.candidates.len());
        for (candidate, histories) in self.candidates.iter().zip(histories) {
            let metrics = |history: &History| {
                // A diverged network has metrics only if early stopping has restored its best epoch.
                let is_lost = history.stop_reason == StopReason::Diverged && !training_loop.needs_best_snapshot();
                if is_lost { None } else { history.final_validation().cloned() }
            };
            trials.push(Trial {
                scores: FoldScores { metrics: histories.iter().map(metrics).collect() },
                steps: histories.iter().map(History::steps).sum(),
                histories,
                ..candidate.untrained()
            });
        }
        self.collect_result(&populations, trials).await
    }

    blocking! {
        /// Trains all candidates for a few steps, prunes the worst, and continues with the others; see
        /// [`SuccessiveHalving`].
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if `halving` is invalid.
        /// - The errors of [`Search::run`].
        pub fn run_halving(
            &self,
            device: &Device,
            network: &Network,
            data: &Dataset,
            halving: &SuccessiveHalving,
        ) -> Result<SearchResult> = self.run_halving_async(device, network, data, halving);
    }

    /// The asynchronous form of [`Search::run_halving`].
    ///
    /// # Errors
    /// As [`Search::run_halving`].
    pub async fn run_halving_async(
        &self,
        device: &Device,
        network: &Network,
        data: &Dataset,
        halving: &SuccessiveHalving,
    ) -> Result<SearchResult> {
        halving.check()?;
        let PreparedData { data, folds, validation } = self.prepare(data)?;
        let members = self.members(folds)?;
        let mut populations =
            CandidatePopulations::new(device, network, &data, &members, self.monitor, &validation).await?;
        let mut trials: Vec<Trial> = self.candidates.iter().map(Candidate::untrained).collect();
        let mut remaining: Vec<usize> = (0..trials.len()).collect();
        let (mut steps_done, mut round_end) = (0, halving.min_steps);
        loop {
            let steps = round_end.min(halving.max_steps) - steps_done;
            populations.run(steps).await?;
            steps_done += steps;
            let scores = populations.validate(&validation, &remaining).await?;
            for (trial, scores) in remaining.iter().zip(scores) {
                trials[*trial].steps = steps_done * scores.metrics.len();
                trials[*trial].scores = scores;
            }
            if steps_done == halving.max_steps {
                break;
            }
            remaining.sort_by(|a, b| trials[*a].compare(&trials[*b], self.monitor));
            for pruned in remaining.split_off(remaining.len().div_ceil(halving.factor)) {
                trials[pruned].pruned = true;
                populations.stop(pruned).await?;
            }
            remaining.sort_unstable();
            round_end = round_end.saturating_mul(halving.factor);
        }
        self.collect_result(&populations, trials).await
    }

    /// Returns the members of each candidate: one, or one per fold.
    fn members(&self, folds: Option<KFold>) -> Result<Vec<Vec<Member>>> {
        let Some(folds) = folds else {
            return Ok(self.candidates.iter().map(|candidate| vec![candidate.member.clone()]).collect());
        };
        let mut members = Vec::with_capacity(self.candidates.len());
        for candidate in &self.candidates {
            if candidate.member.subset != Subset::All {
                let expected = "Subset::All with cross_validation".to_owned();
                let got = format!("Subset::{:?}", candidate.member.subset);
                return Err(Error::InvalidSetting { name: "Member::subset", expected, got });
            }
            members.push(folds.members(&candidate.member));
        }
        Ok(members)
    }

    /// Returns the training data, the folds and the validation of this search.
    fn prepare(&self, data: &Dataset) -> Result<PreparedData> {
        if !self.monitor.needs_validation() {
            let (expected, got) = ("a validation metric".to_owned(), self.monitor.to_string());
            return Err(Error::InvalidSetting { name: "monitor", expected, got });
        }
        match (&self.cross_validation, &self.validation) {
            (Some(folds), Validation::None | Validation::HeldOutFold) => {
                let (data, folds) = folds.prepare(data)?;
                Ok(PreparedData { data, folds: Some(folds), validation: Validation::HeldOutFold })
            }
            (None, Validation::Split(split)) => {
                let (train, held_out) = data.split(split, self.candidates[0].member.settings.seed)?;
                Ok(PreparedData { data: train, folds: None, validation: Validation::Data(held_out) })
            }
            (None, Validation::Data(_) | Validation::HeldOutFold) => {
                Ok(PreparedData { data: data.clone(), folds: None, validation: self.validation.clone() })
            }
            (None, Validation::None) => Err(validation_error("neither")),
            (Some(_), Validation::Data(_) | Validation::Split(_)) => Err(validation_error("both")),
        }
    }

    async fn collect_result(&self, populations: &CandidatePopulations, trials: Vec<Trial>) -> Result<SearchResult> {
        let mut result = SearchResult {
            hyperparameters: self.hyperparameter_names.clone(),
            monitor: self.monitor,
            trials,
            best_model: None,
        };
        // With cross-validation no fold's network is better than the others.
        if let (None, Some(best)) = (&self.cross_validation, result.best_index()) {
            result.best_model = Some(populations.model(best).await?);
        }
        Ok(result)
    }
}

impl Candidate {
    /// Returns the trial of this candidate before its training.
    fn untrained(&self) -> Trial {
        Trial {
            values: self.values.clone(),
            member: self.member.clone(),
            scores: FoldScores::default(),
            steps: 0,
            histories: Vec::new(),
            pruned: false,
        }
    }
}

/// The training data of a search, with its folds and its validation.
struct PreparedData {
    data: Dataset,
    folds: Option<KFold>,
    validation: Validation,
}

fn validation_error(got: &str) -> Error {
    let expected = "either cross_validation or validation".to_owned();
    Error::InvalidSetting { name: "search", expected, got: got.to_owned() }
}
