//! Cross-validation: one network per fold, validated on the fold that it is not trained on.

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
        policies::monitor::Monitor,
        settings::TrainerSettings,
        training_loop::{TrainingLoop, Validation},
    },
    util::{blocking::blocking, rng::Rng},
};

/// A division of a data set into folds. Each fold is the validation set of a network that is trained on the other
/// folds.
///
/// If the targets are classes, [`cross_val_score`](crate::search::cross_val_score) and
/// [`Search`](crate::search::Search) keep the fractions of the classes in every fold, like scikit-learn's
/// `StratifiedKFold`. That is also scikit-learn's default for classifiers. [`KFold::unstratified`] ignores the classes,
/// like scikit-learn's `KFold`.
#[doc(alias = "StratifiedKFold")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KFold {
    /// The number of folds, at least 2.
    pub folds: usize,
    /// The seed of the shuffle. `None` keeps the order of the data set: the rows of a fold, or of each class of a
    /// stratified fold, are consecutive.
    ///
    /// Shuffle unstratified folds of rows that are sorted by their targets. Otherwise a network is validated on targets
    /// that it has never seen.
    pub seed: Option<u64>,
    /// Whether every fold has the same fraction of each class, within rounding. It has no effect if the targets are
    /// values.
    pub stratified: bool,
}

impl KFold {
    /// Creates `folds` folds in the order of the data set, stratified if the targets are classes.
    ///
    /// Shuffle rows that are sorted by values with [`KFold::shuffled`].
    pub const fn new(folds: usize) -> Self {
        Self { folds, seed: None, stratified: true }
    }

    /// Ignores the classes, like scikit-learn's `KFold`.
    #[must_use]
    pub const fn unstratified(self) -> Self {
        Self { stratified: false, ..self }
    }

    /// Shuffles the rows before they are divided into folds.
    #[must_use]
    pub const fn shuffled(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Returns an order of the rows in which the consecutive folds of [`KFold::fold`] are stratified.
    ///
    /// It is `None` if the targets are not classes or the folds are not stratified; the rows then keep their order.
    /// Each fold has the same rows of each class as in scikit-learn's `StratifiedKFold`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than 2 folds, for more folds than rows, or for more folds than the largest
    /// class has rows.
    pub fn order(&self, data: &Dataset) -> Result<Option<Vec<usize>>> {
        self.fold(0).check(data.rows())?;
        let Targets::Classes(classes) = data.targets() else { return Ok(None) };
        if !self.stratified {
            return Ok(None);
        }
        let mut rows_by_class = BTreeMap::<u32, Vec<usize>>::new();
        for (row, class) in classes.iter().enumerate() {
            rows_by_class.entry(*class).or_default().push(row);
        }
        // scikit-learn orders the classes by their first rows.
        let mut rows_by_class: Vec<Vec<usize>> = rows_by_class.into_values().collect();
        rows_by_class.sort_unstable();
        let max_folds = rows_by_class.iter().map(Vec::len).max().unwrap_or(0);
        if self.folds > max_folds {
            return Err(Error::InvalidSetting {
                name: "KFold::folds",
                expected: format!("at most {max_folds}, the number of rows of the largest class"),
                got: format!("{}; use KFold::unstratified", self.folds),
            });
        }
        if let Some(seed) = self.seed {
            let mut rng = Rng::new(seed ^ RNG_STREAM);
            for rows in &mut rows_by_class {
                for position in 0..rows.len() {
                    let other = position + rng.next_below(rows.len() - position);
                    rows.swap(position, other);
                }
            }
        }
        // Every fold takes each `folds`-th entry of the sorted classes, so all folds are as long as unstratified ones.
        // It then takes the next rows of these classes.
        let mut sorted_classes: Vec<usize> = Vec::with_capacity(data.rows());
        for (class, rows) in rows_by_class.iter().enumerate() {
            sorted_classes.extend(std::iter::repeat_n(class, rows.len()));
        }
        let mut remaining: Vec<_> = rows_by_class.into_iter().map(Vec::into_iter).collect();
        let mut order = Vec::with_capacity(data.rows());
        for fold in 0..self.folds {
            for class in sorted_classes.iter().skip(fold).step_by(self.folds) {
                order.extend(remaining[*class].next());
            }
        }
        Ok(Some(order))
    }

    /// Returns the data set in the order of [`KFold::order`], and folds of consecutive rows in it.
    pub(crate) fn prepare(&self, data: &Dataset) -> Result<(Dataset, Self)> {
        Ok(match self.order(data)? {
            Some(order) => (data.select(&order)?, Self { seed: None, ..*self }),
            None => (data.clone(), *self),
        })
    }

    /// Returns the fold of an index, counted from 0.
    pub const fn fold(&self, index: usize) -> Fold {
        Fold { index, count: self.folds, seed: self.seed }
    }

    /// Returns one copy of `member` per fold, each trained on the other folds.
    pub fn members(&self, member: &Member) -> Vec<Member> {
        (0..self.folds).map(|index| member.clone().with_subset(Subset::TrainFold(self.fold(index)))).collect()
    }
}

/// The stream of random numbers for stratified folds, which keeps them independent of other uses of the same seed.
const RNG_STREAM: u64 = 0x53_74_72_61_74;

/// The validation metrics of networks with the same settings, one network per fold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FoldScores {
    /// The metrics of each network; `None` if it diverged before its validation.
    pub metrics: Vec<Option<Metrics>>,
}

impl FoldScores {
    /// Returns one validation metric of every network. It is NaN if a network does not have it.
    pub fn values(&self, monitor: Monitor) -> Vec<f64> {
        let value = |metrics: &Option<Metrics>| metrics.as_ref().and_then(|metrics| monitor.validation_value(metrics));
        self.metrics.iter().map(|metrics| value(metrics).unwrap_or(f64::NAN)).collect()
    }

    /// Returns the mean of a metric over the networks. It is NaN if one of them does not have the metric.
    pub fn mean(&self, monitor: Monitor) -> f64 {
        let values = self.values(monitor);
        values.iter().sum::<f64>() / values.len() as f64
    }

    /// Returns the standard deviation of a metric over the networks. The divisor of the variance is the number of
    /// networks minus 1; the result is 0 for one network.
    pub fn std(&self, monitor: Monitor) -> f64 {
        let (values, mean) = (self.values(monitor), self.mean(monitor));
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        if values.len() < 2 { 0.0 } else { (squares / (values.len() - 1) as f64).sqrt() }
    }
}

blocking! {
    /// Trains one network per fold on the other folds, and returns the metrics of each network on its fold.
    ///
    /// The networks train together as a population. The metrics are those after the last epoch, or after the best one
    /// with early stopping. The folds replace the validation of the training loop. Classes are stratified by default;
    /// see [`KFold`]. A scaler of the data set applies to all folds; if it was fitted on all rows, it has seen the
    /// validation rows.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] for fewer than 2 folds, for more folds than rows or, stratified, for more folds than
    ///   the largest class has rows.
    /// - [`Error::InvalidSetting`] if a policy monitors a metric that the network and the targets do not have.
    /// - The errors of [`Population::new`] and [`TrainingLoop::run_population`].
    #[doc(alias = "cross_validate")]
    pub fn cross_val_score(
        device: &Device,
        network: &Network,
        data: &Dataset,
        settings: &TrainerSettings,
        folds: &KFold,
        training_loop: &TrainingLoop,
    ) -> Result<FoldScores> = cross_val_score_async(device, network, data, settings, folds, training_loop);
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
    training_loop: &TrainingLoop,
) -> Result<FoldScores> {
    // This checks the number of folds before a member per fold is created.
    let (data, folds) = folds.prepare(data)?;
    let members = folds.members(&Member::new(settings.clone()));
    let mut population = Population::new_async(device, network, &data, &members).await?;
    let training_loop = training_loop.clone().validation(Validation::HeldOutFold);
    let histories = training_loop.run_population_async(&mut population).await?;
    Ok(FoldScores { metrics: histories.iter().map(|history| history.final_validation().cloned()).collect() })
}
