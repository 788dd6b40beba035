//! The training history, one entry per epoch.

use std::fmt;

use crate::{metrics::Metrics, train::run_report::RunReport};

/// The training history, one entry per epoch.
///
/// Its `Display` text is a table. [`History::to_csv`] and [`History::to_json_lines`] write it for other programs.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct History {
    /// The epochs in order. An epoch that was interrupted and resumed has one entry for each part.
    pub epochs: Vec<Epoch>,
    /// The index of the best epoch, counted from 0. `None` without early stopping.
    pub best_epoch: Option<usize>,
    /// The reason why the training ended.
    pub stop_reason: StopReason,
    /// The current epoch, if the callback is called in the middle of it. A resumed training continues it.
    pub(crate) partial_epoch: PartialEpoch,
}

/// The part of an epoch that has run so far.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartialEpoch {
    pub(crate) report: RunReport,
    pub(crate) seconds: f64,
}

/// The losses, metrics and time of one epoch.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Epoch {
    /// The number of steps.
    pub steps: usize,
    /// The mean training loss. The loss of each batch is computed before the update by that batch.
    #[serde(with = "crate::util::number")]
    pub loss: f64,
    /// The training accuracy, weighted by the sample weights; see [`RunReport::accuracy`]. `None` for a regression.
    ///
    /// Each row is evaluated before the update by its batch. A row with several labels is correct if all labels are.
    pub accuracy: Option<f64>,
    /// The metrics on the validation set after the epoch, if there is a validation set.
    pub validation: Option<Metrics>,
    /// The learning rate of the last step, including the schedule's factor.
    pub learning_rate: f64,
    /// The time of the steps in seconds, without validation and callbacks. 0 on the web, which has no clock.
    pub seconds: f64,
}

impl Epoch {
    pub(crate) fn from_report(
        report: &RunReport,
        validation: Option<Metrics>,
        learning_rate: f64,
        seconds: f64,
    ) -> Self {
        let (steps, loss, accuracy) = (report.losses.len(), report.mean_loss(), report.accuracy());
        Self { steps, loss, accuracy, validation, learning_rate, seconds }
    }

    /// Returns the validation loss, or the training loss without a validation set.
    pub(crate) fn monitored_loss(&self) -> f64 {
        self.validation.as_ref().map_or(self.loss, Metrics::loss)
    }
}

/// The reason why a training run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs are completed.
    #[default]
    Completed,
    /// The monitored metric did not improve:
    /// [`TrainingLoop::early_stopping`](crate::train::TrainingLoop::early_stopping).
    NoImprovement,
    /// The step budget is used up: [`TrainingLoop::max_steps`](crate::train::TrainingLoop::max_steps).
    MaxSteps,
    /// The time budget is used up: [`TrainingLoop::max_time`](crate::train::TrainingLoop::max_time).
    MaxTime,
    /// The callback returned [`CallbackAction::Stop`](crate::train::CallbackAction::Stop).
    Callback,
    /// The loss became NaN or infinite. This ends the training of a population member, and of a network with
    /// [`DivergencePolicy::Stop`](crate::train::DivergencePolicy::Stop).
    Diverged,
}

/// The columns of [`History::to_csv`] and the keys of [`History::to_json_lines`].
const COLUMNS: [&str; 9] = [
    "epoch",
    "steps",
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_r2",
    "learning_rate",
    "seconds",
];

impl History {
    /// Returns the last epoch.
    pub fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// Returns the validation metrics of the final parameters.
    ///
    /// With early stopping these are the metrics of the best epoch, otherwise of the last epoch. If
    /// [`EarlyStopping::restore_best`](crate::train::EarlyStopping::restore_best) is false, the parameters are those of
    /// the last epoch, but the metrics are still those of the best epoch.
    pub fn final_validation(&self) -> Option<&Metrics> {
        let epoch = self.best_epoch.and_then(|best| self.epochs.get(best)).or_else(|| self.last())?;
        epoch.validation.as_ref()
    }

    /// Returns the number of steps of all epochs.
    pub fn steps(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.steps).sum()
    }

    /// Returns the time of all steps in seconds.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    /// Returns the history as CSV, one line per epoch after a header line. A missing or non-finite value is an empty
    /// field.
    ///
    /// `epoch,steps,loss,accuracy,validation_loss,validation_accuracy,validation_r2,learning_rate,seconds`
    pub fn to_csv(&self) -> String {
        let line = |values: [Option<String>; COLUMNS.len()]| values.map(Option::unwrap_or_default).join(",") + "\n";
        line(COLUMNS.map(|name| Some(name.to_owned()))) + &self.rows().map(line).collect::<String>()
    }

    /// Returns the history as JSON lines, one object per epoch, with the names of [`History::to_csv`] as keys. A
    /// missing or non-finite value is null.
    pub fn to_json_lines(&self) -> String {
        let member =
            |(name, value): (&str, Option<String>)| format!("\"{name}\":{}", value.as_deref().unwrap_or("null"));
        let line = |values| COLUMNS.into_iter().zip(values).map(member).collect::<Vec<_>>().join(",");
        self.rows().map(|values| format!("{{{}}}\n", line(values))).collect()
    }

    /// Returns the values of [`COLUMNS`] for every epoch.
    fn rows(&self) -> impl Iterator<Item = [Option<String>; COLUMNS.len()]> {
        (1..).zip(&self.epochs).map(|(number, epoch): (usize, _)| {
            let [accuracy, validation_loss, validation_accuracy, r2] = epoch.optional_values();
            let [loss, learning_rate, seconds] = [epoch.loss, epoch.learning_rate, epoch.seconds].map(Some);
            let text = |value: Option<f64>| value.filter(|value| value.is_finite()).map(|value| value.to_string());
            let [loss, accuracy, validation_loss, validation_accuracy, r2, learning_rate, seconds] =
                [loss, accuracy, validation_loss, validation_accuracy, r2, learning_rate, seconds].map(text);
            let counts = [number, epoch.steps].map(|count| Some(count.to_string()));
            let [number, steps] = counts;
            [number, steps, loss, accuracy, validation_loss, validation_accuracy, r2, learning_rate, seconds]
        })
    }
}

impl Epoch {
    /// Returns the values that may be missing: the training accuracy, and the validation loss, accuracy and r².
    fn optional_values(&self) -> [Option<f64>; 4] {
        let validation = self.validation.as_ref();
        [
            self.accuracy,
            validation.map(Metrics::loss),
            validation.and_then(Metrics::accuracy),
            validation.and_then(Metrics::r2),
        ]
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "all epochs completed",
            Self::NoImprovement => "stopped early: no improvement",
            Self::MaxSteps => "step budget reached",
            Self::MaxTime => "time budget reached",
            Self::Callback => "stopped by the callback",
            Self::Diverged => "the loss diverged",
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Omit a column that no epoch has a value for.
        let titles = ["accuracy", "val. loss", "val. accuracy", "val. r2"];
        let shown: Vec<usize> = (0..titles.len())
            .filter(|column| self.epochs.iter().any(|e| e.optional_values()[*column].is_some()))
            .collect();
        write!(f, "{:>5} {:>8} {:>10}", "epoch", "steps", "loss")?;
        shown.iter().try_for_each(|column| write!(f, " {:>13}", titles[*column]))?;
        writeln!(f, " {:>13} {:>9}", "learning rate", "seconds")?;
        for (number, epoch) in self.epochs.iter().enumerate() {
            write!(f, "{:>5} {:>8} {:>10.6}", number + 1, epoch.steps, epoch.loss)?;
            for column in &shown {
                let value =
                    epoch.optional_values()[*column].map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
                write!(f, " {value:>13}")?;
            }
            let mark = if self.best_epoch == Some(number) { " best" } else { "" };
            writeln!(f, " {:>13.3e} {:>9.3}{mark}", epoch.learning_rate, epoch.seconds)?;
        }
        writeln!(f, "{}, after {} steps and {:.3} s", self.stop_reason, self.steps(), self.seconds())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn history() -> History {
        let epoch = |loss, accuracy, validates: bool| Epoch {
            steps: 7,
            loss,
            accuracy,
            validation: validates.then(|| {
                let mut metrics = Metrics::new(Some(2), None);
                metrics.add_row(0, 0, 0, 0.5, 1.0).unwrap();
                metrics.add_row(1, 0, 1, 1.0, 1.0).unwrap();
                metrics
            }),
            learning_rate: 0.1,
            seconds: 0.25,
        };
        let epochs = vec![epoch(1.5, Some(0.25), true), epoch(0.75, Some(0.5), false)];
        History { epochs, best_epoch: Some(0), stop_reason: StopReason::NoImprovement, ..History::default() }
    }

    #[test]
    fn table_omits_missing_columns() {
        let lines = [
            "epoch    steps       loss      accuracy     val. loss val. accuracy learning rate   seconds",
            "    1        7   1.500000      0.250000      0.750000      0.500000    1.000e-1     0.250 best",
            "    2        7   0.750000      0.500000             -             -    1.000e-1     0.250",
            "stopped early: no improvement, after 14 steps and 0.500 s\n",
        ];
        let text = history().to_string();
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (actual, expected) in text.lines().zip(lines) {
            assert_eq!(squeezed(actual), squeezed(expected));
        }
        let widths: Vec<usize> = text.lines().take(3).map(|line| line.trim_end_matches(" best").len()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(!History::default().to_string().contains("accuracy"));
    }

    #[test]
    fn csv_and_json_leave_missing_values_empty() {
        let mut history = history();
        history.epochs[1].loss = f64::NAN;
        history.epochs[1].learning_rate = 1e-12;
        let header = COLUMNS.join(",");
        assert_eq!(
            history.to_csv(),
            format!("{header}\n1,7,1.5,0.25,0.75,0.5,,0.1,0.25\n2,7,,0.5,,,,0.000000000001,0.25\n")
        );
        let lines: Vec<Value> =
            history.to_json_lines().lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        for (line, cells) in lines.iter().zip(history.to_csv().lines().skip(1)) {
            assert_eq!(line.as_object().map(serde_json::Map::len), Some(COLUMNS.len()));
            for (name, cell) in COLUMNS.into_iter().zip(cells.split(',')) {
                assert_eq!(line[name].as_f64(), cell.parse().ok(), "{name}");
            }
        }
        assert_eq!((&lines[1]["loss"], &lines[1]["learning_rate"]), (&Value::Null, &Value::from(1e-12)));
        assert_eq!((History::default().to_csv(), History::default().to_json_lines()), (header + "\n", String::new()));
    }
}
