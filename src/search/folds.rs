//! Cross-validation: as many networks as folds, each tested on the rows that it was trained without.

use std::collections::BTreeMap;

use crate::{
    data::{
        dataset::{Dataset, Targets},
        subset::{Fold, Subset},
    },
    device::Device,
    error::{Error, Result},
    metrics::Metrics,
    nn::network::Network,
    population::{Population, member::Member},
    train::{
        policies::Monitor,
        settings::TrainerSettings,
        training_loop::{TrainingLoop, Validation},
    },
    util::{blocking::blocking, rng::Rng},
};

/// A data set in so many parts, each of which tests a network that learns from the others. Where the answers are classes,
/// [`cross_val_score`](crate::search::cross_val_score) and `AdapterFilter` keep the shares of the classes in every part, as
/// scikit-learn's `StratifiedKFold`, which is its default for classifiers; [`KFold::unstratified`] does not, as its `KFold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KFold {
    /// How many parts, from 2 up.
    pub folds: usize,
    /// Decides which rows are in which part. Without a seed the rows of a part (in a stratified one, those of a class) stand
    /// together in the data set: do not use that, unless stratified, for rows that are sorted by their answers, whose parts
    /// would be tested on answers that the network has never seen.
    pub seed: Option<u64>,
    /// Whether each part has the same share of every class, but for rounding, where the answers are classes.
    pub stratified: bool,
}

impl KFold {
    /// So many parts, stratified where the answers are classes, of rows in the order of the data set: shuffle rows that are
    /// sorted by other answers ([`KFold::shuffled`]).
    pub const fn new(folds: usize) -> Self {
        Self { folds, seed: None, stratified: true }
    }

    /// The same without regard to classes, as scikit-learn's `KFold`.
    #[must_use]
    pub const fn unstratified(self) -> Self {
        Self { stratified: false, ..self }
    }

    /// The same of rows that were shuffled before.
    #[must_use]
    pub const fn shuffled(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// The rows of a data set in the order in which the parts, as [`KFold::fold`] has them, are stratified; `None` if the rows stay
    /// as they are, because the answers are no classes or the parts are not to be stratified. The i-th part of `folds` parts
    /// has, of each class, the rows that scikit-learn's `StratifiedKFold` puts there.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than 2 parts, more parts than rows, or more parts than rows of every class.
    pub fn order(&self, data: &Dataset) -> Result<Option<Vec<usize>>> {
        self.fold(0).check(data.rows())?;
        let Targets::Classes(classes) = data.targets() else { return Ok(None) };
        if !self.stratified {
            return Ok(None);
        }
        let mut of_class = BTreeMap::<u32, Vec<usize>>::new();
        (0..).zip(classes).for_each(|(row, class)| of_class.entry(*class).or_default().push(row));
        // In the order in which scikit-learn meets them: by their first rows.
        let mut of_class: Vec<Vec<usize>> = of_class.into_values().collect();
        of_class.sort_unstable();
        let most = of_class.iter().map(Vec::len).max().unwrap_or(0);
        if self.folds > most {
            let expected = format!("at most {most}, the number of rows of the largest class, or KFold::unstratified");
            return Err(Error::InvalidSetting { name: "stratified folds", expected, got: self.folds.to_string() });
        }
        if let Some(seed) = self.seed {
            let mut draws = Rng::new(seed ^ RNG_STREAM);
            for rows in &mut of_class {
                for place in 0..rows.len() {
                    let other = place + draws.next_below(rows.len() - place);
                    rows.swap(place, other);
                }
            }
        }
        // Each part takes every `folds`-th of the sorted classes, so that all parts are as long as plain ones; the rows of a class
        // then come in their order.
        let sorted: Vec<usize> = (0..).zip(&of_class).flat_map(|(class, rows)| vec![class; rows.len()]).collect();
        let mut left: Vec<_> = of_class.into_iter().map(Vec::into_iter).collect();
        let mut order = Vec::with_capacity(data.rows());
        for fold in 0..self.folds {
            for class in sorted.iter().skip(fold).step_by(self.folds) {
                order.extend(left[*class].next());
            }
        }
        Ok(Some(order))
    }

    /// The data set with its rows in that order, and the parts of it, which stand together then.
    pub(crate) fn prepare(&self, data: &Dataset) -> Result<(Dataset, Self)> {
        Ok(match self.order(data)? {
            Some(order) => (data.select(&order)?, Self { seed: None, ..*self }),
            None => (data.clone(), *self),
        })
    }

    /// One of the parts, from 0.
    pub const fn fold(&self, fold: usize) -> Fold {
        Fold { index: fold, count: self.folds, seed: self.seed }
    }

    /// A network for each part, which learns from the others.
    pub fn members(&self, member: &Member) -> Vec<Member> {
        (0..self.folds).map(|fold| member.clone().with_subset(Subset::TrainFold(self.fold(fold)))).collect()
    }
}

/// So that the order of stratified rows has nothing to do with other draws of the same seed.
const RNG_STREAM: u64 = 0x53_74_72_61_74;

/// What networks of the same settings are worth: those of a cross-validation, a fold each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoldScores {
    /// Of each network; none where it diverged before it was tested.
    pub metrics: Vec<Option<Metrics>>,
}

impl FoldScores {
    /// What the networks are worth by one quantity, one of those that validate; NaN where it is not there.
    pub fn values(&self, monitor: Monitor) -> Vec<f64> {
        let value = |metrics: &Option<Metrics>| metrics.as_ref().and_then(|metrics| monitor.validation_value(metrics));
        self.metrics.iter().map(|metrics| value(metrics).unwrap_or(f64::NAN)).collect()
    }

    /// The mean over the networks; NaN if one of them has no such number.
    pub fn mean(&self, monitor: Monitor) -> f64 {
        let all = self.values(monitor);
        all.iter().sum::<f64>() / all.len() as f64
    }

    /// The standard deviation over the networks, by their number less one; 0 of a single one.
    pub fn std(&self, monitor: Monitor) -> f64 {
        let (all, mean) = (self.values(monitor), self.mean(monitor));
        let squares: f64 = all.iter().map(|value| (value - mean) * (value - mean)).sum();
        if all.len() < 2 { 0.0 } else { (squares / (all.len() - 1) as f64).sqrt() }
    }
}

blocking! {
    /// Trains a network for each fold of a data set on the other folds, all of them together, and gives what each is
    /// worth on its own: after the last epoch or the best, as `fit` says, whose validation are the folds. Where the
    /// answers are classes, every fold has the same share of each class, as in scikit-learn ([`KFold`]). Where the data
    /// set is scaled, it is as it was given: its scaling has seen all folds.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for less than 2 folds, more than rows or, stratified, more than rows of every class, for a
    /// quantity to watch that the network and the data do not have, and as [`Population::new`] and
    /// [`TrainingLoop::run_population`].
    pub fn cross_val_score(
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: &TrainerSettings,
        folds: &KFold,
        fit: &TrainingLoop,
    ) -> Result<FoldScores> = cross_val_score_async(device, network, data, settings, folds, fit);
}

/// The asynchronous form of [`cross_val_score`](crate::search::cross_val_score).
///
/// # Errors
/// As [`cross_val_score`](crate::search::cross_val_score).
pub async fn cross_val_score_async(
    device: &Device,
    network: &Network,
    data: &Dataset,
    settings: &TrainerSettings,
    folds: &KFold,
    fit: &TrainingLoop,
) -> Result<FoldScores> {
    // As many as the rows at most, before there is a member for each.
    let (data, folds) = folds.prepare(data)?;
    let members = folds.members(&Member::new(settings.clone()));
    let mut population = Population::new_async(device, network, &data, &members).await?;
    let fit = fit.clone().validation(Validation::HeldOutFold);
    let histories = fit.run_population_async(&mut population).await?;
    Ok(FoldScores { metrics: histories.iter().map(|history| history.tested().cloned()).collect() })
}
