//! What a search found.

use std::{cmp::Ordering, fmt};

use crate::{
    model::Model,
    population::member::Member,
    search::folds::FoldScores,
    train::{history::History, policies::Monitor},
};

/// What a search found, in the order in which the combinations were made. Its text is a table, the best first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SearchResult {
    /// The names of the numbers that were tried.
    pub hyperparameters: Vec<String>,
    /// What they were judged by.
    pub monitor: Monitor,
    /// One a combination.
    pub trials: Vec<Trial>,
    /// The network of the best, unless there is one a fold.
    pub best_model: Option<Model>,
}

/// One combination.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The values, in the order of [`SearchResult::hyperparameters`].
    pub values: Vec<f64>,
    /// The settings that they make, to train with them again.
    pub member: Member,
    /// What its networks, one or one a fold, are worth on the rows that validate: those tested last.
    pub scores: FoldScores,
    /// How many steps its networks took, all of them together.
    pub steps: usize,
    /// The epochs of each network; none in a halving.
    pub histories: Vec<History>,
    /// Whether others were better and it was dropped before the end.
    pub pruned: bool,
}

impl Trial {
    /// Orders the better before the worse: what is no number is the worst.
    pub(crate) fn compare(&self, other: &Self, monitor: Monitor) -> Ordering {
        let [ours, theirs] = [self, other].map(|trial| trial.scores.mean(monitor));
        match (ours.is_nan(), theirs.is_nan()) {
            (false, false) if monitor.is_minimized() => ours.total_cmp(&theirs),
            (false, false) => theirs.total_cmp(&ours),
            (ours, theirs) => ours.cmp(&theirs),
        }
    }
}

impl SearchResult {
    /// The best of those that were not dropped; of equals the first. None if all have diverged.
    pub fn best_trial(&self) -> Option<&Trial> {
        self.best_index().map(|number| &self.trials[number])
    }

    pub(crate) fn best_index(&self) -> Option<usize> {
        let best = *self.ranked().first()?;
        self.trials[best].scores.mean(self.monitor).is_finite().then_some(best)
    }

    /// How many steps all networks took together.
    pub fn total_steps(&self) -> usize {
        self.trials.iter().map(|trial| trial.steps).sum()
    }

    /// The numbers of the trials, the best first; those that were dropped come last.
    pub fn ranked(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.trials.len()).collect();
        all.sort_by(|a, b| {
            let (a, b) = (&self.trials[*a], &self.trials[*b]);
            // Of those that were dropped, those that lasted longer are the better.
            let lasted = |trial: &Trial| if trial.pruned { trial.steps } else { 0 };
            a.pruned.cmp(&b.pruned).then(lasted(b).cmp(&lasted(a))).then(a.compare(b, self.monitor))
        });
        all
    }

    /// A line of names and one a combination, with commas between: the values, the mean and the standard deviation over the
    /// folds of what they were judged by, the steps, and whether it was dropped. What is no finite number is empty.
    pub fn to_csv(&self) -> String {
        let quoted = |name: &String| {
            let is_plain = !name.contains([',', '"', '\n', '\r']);
            if is_plain { name.clone() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
        };
        let number = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
        let score = self.monitor.to_string().replace(' ', "_");
        let last = [score.as_str(), "spread", "steps", "dropped"].map(str::to_owned);
        let mut lines = vec![self.hyperparameters.iter().map(quoted).chain(last).collect::<Vec<_>>()];
        for trial in &self.trials {
            let (mean, spread) = (trial.scores.mean(self.monitor), trial.scores.std(self.monitor));
            let last = [number(mean), number(spread), trial.steps.to_string(), trial.pruned.to_string()];
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
        writeln!(f, "{score:>19} {:>8} {:>9}", "spread", "steps")?;
        for trial in self.ranked().into_iter().map(|number| &self.trials[number]) {
            for (value, width) in trial.values.iter().zip(&widths) {
                let text =
                    if *value != 0.0 && value.abs() < 1e-3 { format!("{value:.3e}") } else { format!("{value:.6}") };
                let text = if text.contains(['e']) {
                    text
                } else {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                };
                write!(f, "{text:>width$} ")?;
            }
            let (mean, spread) = (trial.scores.mean(self.monitor), trial.scores.std(self.monitor));
            let mark = if trial.pruned { " dropped" } else { "" };
            writeln!(f, "{mean:>19.6} {spread:>8.4} {:>9}{mark}", trial.steps)?;
        }
        Ok(())
    }
}
