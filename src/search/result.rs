//! The result of a search.

use std::{cmp::Ordering, fmt};

use crate::{
    model::Model,
    population::member::Member,
    search::folds::FoldScores,
    train::{history::History, policies::monitor::Monitor},
};

/// The result of a [`Search`](crate::search::Search). Its text is a table of the trials, best first.
#[doc(alias = "cv_results_")]
#[doc(alias = "study")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchResult {
    /// The names of the hyperparameters.
    pub hyperparameters: Vec<String>,
    /// The validation metric that ranks the trials.
    pub monitor: Monitor,
    /// The trials, one per candidate, in the order of the candidates.
    pub trials: Vec<Trial>,
    /// The model of the best trial; `None` with cross-validation, or if every trial has diverged.
    #[doc(alias = "best_estimator_")]
    pub best_model: Option<Model>,
}

/// A candidate of a search, with its metrics.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The values of the hyperparameters, in the order of [`SearchResult::hyperparameters`].
    pub values: Vec<f64>,
    /// The settings of the candidate, for further training.
    pub member: Member,
    /// The validation metrics of its last validation: one entry, or one per fold.
    pub scores: FoldScores,
    /// The number of steps of its networks, summed over the folds.
    pub steps: usize,
    /// The history of each of its networks; empty for successive halving.
    pub histories: Vec<History>,
    /// Whether successive halving pruned it before the last round.
    pub pruned: bool,
}

impl Trial {
    /// Compares two trials by the mean of a metric. The better one is less, and NaN is the greatest.
    pub(crate) fn compare(&self, other: &Self, monitor: Monitor) -> Ordering {
        let [a, b] = [self, other].map(|trial| trial.scores.mean(monitor));
        if a.is_nan() || b.is_nan() {
            return a.is_nan().cmp(&b.is_nan());
        }
        if monitor.is_minimized() { a.total_cmp(&b) } else { b.total_cmp(&a) }
    }
}

impl SearchResult {
    /// Returns the best trial that was not pruned; of equal ones the first. `None` if every trial has diverged.
    pub fn best_trial(&self) -> Option<&Trial> {
        self.best_index().map(|index| &self.trials[index])
    }

    /// Returns the index of [`SearchResult::best_trial`].
    pub(crate) fn best_index(&self) -> Option<usize> {
        let best = *self.ranked().first()?;
        self.trials[best].scores.mean(self.monitor).is_finite().then_some(best)
    }

    /// Returns the number of steps of all networks together.
    pub fn total_steps(&self) -> usize {
        self.trials.iter().map(|trial| trial.steps).sum()
    }

    /// Returns the indices of the trials, best first. Pruned trials come last, those of later rounds first.
    pub fn ranked(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.trials.len()).collect();
        indices.sort_by(|a, b| {
            let (a, b) = (&self.trials[*a], &self.trials[*b]);
            // A trial that was pruned in a later round was better.
            let pruned_after = |trial: &Trial| if trial.pruned { trial.steps } else { 0 };
            a.pruned.cmp(&b.pruned).then(pruned_after(b).cmp(&pruned_after(a))).then(a.compare(b, self.monitor))
        });
        indices
    }

    /// Returns the trials as CSV with a header: the values, the mean and the standard deviation of the metric over the
    /// folds, the steps, and whether the trial was pruned. A value that is not finite gives an empty cell.
    pub fn to_csv(&self) -> String {
        let quoted = |name: &String| {
            let is_plain = !name.contains([',', '"', '\n', '\r']);
            if is_plain { name.clone() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        };
        let number = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
        let score = self.monitor.to_string().replace(' ', "_");
        let last = [score.as_str(), "std", "steps", "pruned"].map(str::to_owned);
        let mut lines = vec![self.hyperparameters.iter().map(quoted).chain(last).collect::<Vec<_>>()];
        for trial in &self.trials {
            let (mean, std) = (trial.scores.mean(self.monitor), trial.scores.std(self.monitor));
            let last = [number(mean), number(std), trial.steps.to_string(), trial.pruned.to_string()];
            lines.push(trial.values.iter().map(|value| number(*value)).chain(last).collect());
        }
        lines.into_iter().map(|cells| cells.join(",") + "\n").collect()
    }
}

impl fmt::Display for SearchResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = self.hyperparameters.iter().map(|name| name.chars().count().max(10)).collect();
        let score = self.monitor.to_string();
        for (name, width) in self.hyperparameters.iter().zip(&widths) {
            write!(f, "{name:>width$} ")?;
        }
        writeln!(f, "{score:>19} {:>8} {:>9}", "std", "steps")?;
        for trial in self.ranked().into_iter().map(|index| &self.trials[index]) {
            for (value, width) in trial.values.iter().zip(&widths) {
                let is_small = *value != 0.0 && value.abs() < 1e-3;
                let text = if is_small { format!("{value:.3e}") } else { format!("{value:.6}") };
                let text = if is_small { text.as_str() } else { text.trim_end_matches('0').trim_end_matches('.') };
                write!(f, "{text:>width$} ")?;
            }
            let (mean, std) = (trial.scores.mean(self.monitor), trial.scores.std(self.monitor));
            let mark = if trial.pruned { " pruned" } else { "" };
            writeln!(f, "{mean:>19.6} {std:>8.4} {:>9}{mark}", trial.steps)?;
        }
        Ok(())
    }
}
