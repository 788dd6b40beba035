//! Cross-validation: as many networks as folds, each tested on the rows that it was trained without.

use crate::{
    Dataset, Device, Fit, Fold, Member, Metrics, Monitor, Network, Population, Result, Rows, Settings, Validation,
};

/// A data set in so many parts, each of which tests a network that learns from the others (scikit-learn's `KFold`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KFold {
    /// How many parts, from 2 up.
    pub folds: usize,
    /// Decides which rows are in which part; without, those of a part stand together, which is wrong for rows that are
    /// sorted by what they answer.
    pub seed: Option<u64>,
}

impl KFold {
    /// So many parts of rows that stand together.
    pub const fn new(folds: usize) -> Self {
        Self { folds, seed: None }
    }

    /// The same of rows that were shuffled before.
    #[must_use]
    pub const fn shuffled(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// One of the parts, from 0.
    pub const fn fold(&self, fold: usize) -> Fold {
        Fold { fold, folds: self.folds, seed: self.seed }
    }

    /// A network for each part, which learns from the others.
    pub fn members(&self, member: &Member) -> Vec<Member> {
        (0..self.folds).map(|fold| member.clone().on(Rows::WithoutFold(self.fold(fold)))).collect()
    }
}

/// What networks of the same settings are worth: those of a cross-validation, a fold each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Of each network; none where it diverged before it was tested.
    pub metrics: Vec<Option<Metrics>>,
}

impl Scores {
    /// What the networks are worth by one quantity, one of those that validate; NaN where it is not there.
    pub fn of(&self, monitor: Monitor) -> Vec<f64> {
        let value = |metrics: &Option<Metrics>| metrics.as_ref().and_then(|metrics| monitor.of_validation(metrics));
        self.metrics.iter().map(|metrics| value(metrics).unwrap_or(f64::NAN)).collect()
    }

    /// The mean over the networks; NaN if one of them has no such number.
    pub fn mean(&self, monitor: Monitor) -> f64 {
        let all = self.of(monitor);
        all.iter().sum::<f64>() / all.len() as f64
    }

    /// The standard deviation over the networks, by their number less one; 0 of a single one.
    pub fn spread(&self, monitor: Monitor) -> f64 {
        let (all, mean) = (self.of(monitor), self.mean(monitor));
        let squares: f64 = all.iter().map(|value| (value - mean) * (value - mean)).sum();
        if all.len() < 2 { 0.0 } else { (squares / (all.len() - 1) as f64).sqrt() }
    }
}

/// [`cross_val_score`](crate::cross_val_score), asynchronously.
///
/// # Errors
/// As [`cross_val_score`](crate::cross_val_score).
pub async fn cross_val_score_async(
    device: &Device,
    network: &Network,
    data: &Dataset,
    settings: &Settings,
    folds: &KFold,
    fit: &Fit,
) -> Result<Scores> {
    // As many as the rows at most, before there is a member for each.
    folds.fold(0).check(data.rows())?;
    let members = folds.members(&Member::new(settings.clone()));
    let mut population = Population::new_async(device, network, data, &members).await?;
    let fit = fit.clone().validation(Validation::LeftOut);
    let histories = fit.run_together_async(&mut population).await?;
    Ok(Scores { metrics: histories.iter().map(|history| history.tested().cloned()).collect() })
}
