//! What a training was, epoch by epoch.

use std::fmt;

use crate::{metrics::Metrics, train::run_report::RunReport};

/// What a training was. Its text is a table; [`History::to_csv`] and [`History::to_json_lines`] are the same for other programs.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct History {
    /// One for each epoch, in their order. Where something ended an epoch early, it and what was left of it have one each.
    pub epochs: Vec<Epoch>,
    /// Which of them was the best, counted from 0, where there was early stopping.
    pub best_epoch: Option<usize>,
    /// Why the training ended.
    pub stop_reason: StopReason,
    /// What an epoch has brought in whose middle the callback is called: whoever goes on from there has it as well.
    pub(crate) partial_epoch: PartialEpoch,
}

/// A part of an epoch.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartialEpoch {
    pub(crate) report: RunReport,
    pub(crate) seconds: f64,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Epoch {
    /// How many steps it had.
    pub steps: usize,
    /// The mean loss over the training rows, each as it was met: before the update by its batch.
    #[serde(with = "crate::util::number")]
    pub loss: f64,
    /// The fraction of the training rows that were answered rightly when they were met, by their weights, as
    /// [`RunReport::accuracy`] has it; none in a regression. Where a row may have several labels, all of them have to be right.
    pub accuracy: Option<f64>,
    /// What the network was worth after it on the rows that validate, if there are any.
    pub validation: Option<Metrics>,
    /// The learning rate of its last step, with the schedule's factor.
    pub learning_rate: f64,
    /// What its steps took, in seconds, without validation and callbacks; 0 on the web, where there is no clock.
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

    /// The loss on the rows that validate, or on those of training where none do.
    pub(crate) fn monitored_loss(&self) -> f64 {
        self.validation.as_ref().map_or(self.loss, Metrics::loss)
    }
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were done.
    #[default]
    Completed,
    /// It got no better: [`crate::train::TrainingLoop::early_stopping`].
    NoImprovement,
    /// All steps were done: [`crate::train::TrainingLoop::max_steps`].
    MaxSteps,
    /// The time was up: [`crate::train::TrainingLoop::max_time`].
    MaxTime,
    /// The callback said so.
    Callback,
    /// The loss left the finite numbers: of one network among many, or where [`crate::train::TrainingLoop::on_divergence`] says to stop.
    Diverged,
}

/// What [`History::to_csv`] and [`History::to_json_lines`] tell of an epoch.
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
    /// The last epoch.
    pub fn last(&self) -> Option<&Epoch> {
        self.epochs.last()
    }

    /// What the network was worth on the rows that validate: after its best epoch, where there was early stopping, to which it
    /// is put back (unless [`EarlyStopping::restore_best`](crate::train::EarlyStopping::restore_best) is false), or after the last.
    pub fn tested(&self) -> Option<&Metrics> {
        let epoch = self.best_epoch.and_then(|best| self.epochs.get(best)).or_else(|| self.last())?;
        epoch.validation.as_ref()
    }

    /// How many steps all epochs had.
    pub fn steps(&self) -> usize {
        self.epochs.iter().map(|epoch| epoch.steps).sum()
    }

    /// How many seconds all steps took.
    pub fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    /// A line of names and one an epoch, with commas between; what there is not, or is no finite number, is empty.
    ///
    /// `epoch,steps,loss,accuracy,validation_loss,validation_accuracy,validation_r2,learning_rate,seconds`
    pub fn to_csv(&self) -> String {
        let line = |values: [Option<String>; COLUMNS.len()]| values.map(Option::unwrap_or_default).join(",") + "\n";
        line(COLUMNS.map(|name| Some(name.to_owned()))) + &self.rows().map(line).collect::<String>()
    }

    /// A JSON object an epoch and line, with the names of [`History::to_csv`]; what there is not, or is no finite number, is
    /// null.
    pub fn to_json_lines(&self) -> String {
        let member =
            |(name, value): (&str, Option<String>)| format!("\"{name}\":{}", value.as_deref().unwrap_or("null"));
        let line = |values| COLUMNS.into_iter().zip(values).map(member).collect::<Vec<_>>().join(",");
        self.rows().map(|values| format!("{{{}}}\n", line(values))).collect()
    }

    /// The values of [`COLUMNS`], for every epoch.
    fn rows(&self) -> impl Iterator<Item = [Option<String>; COLUMNS.len()]> {
        (1..).zip(&self.epochs).map(|(number, epoch): (usize, _)| {
            let [accuracy, validation_loss, validation_accuracy, r2] = epoch.optional_values();
            let [loss, rate, seconds] = [epoch.loss, epoch.learning_rate, epoch.seconds].map(Some);
            let text = |value: Option<f64>| value.filter(|value| value.is_finite()).map(|value| value.to_string());
            let [loss, accuracy, validation_loss, validation_accuracy, r2, rate, seconds] =
                [loss, accuracy, validation_loss, validation_accuracy, r2, rate, seconds].map(text);
            let counts = [number, epoch.steps].map(|count| Some(count.to_string()));
            let [number, steps] = counts;
            [number, steps, loss, accuracy, validation_loss, validation_accuracy, r2, rate, seconds]
        })
    }
}

impl Epoch {
    /// What need not be there: the accuracy, and the validation's loss, accuracy and r².
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
            Self::Completed => "all epochs are done",
            Self::NoImprovement => "it got no better",
            Self::MaxSteps => "all steps are done",
            Self::MaxTime => "the time is up",
            Self::Callback => "the callback stopped it",
            Self::Diverged => "the loss left the finite numbers",
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The columns that no epoch fills are left out.
        let titles = ["accuracy", "val. loss", "val. accuracy", "val. r2"];
        let shown: Vec<usize> = (0..titles.len())
            .filter(|column| self.epochs.iter().any(|e| e.optional_values()[*column].is_some()))
            .collect();
        write!(f, "{:>5} {:>8} {:>10}", "epoch", "steps", "loss")?;
        shown.iter().try_for_each(|column| write!(f, " {:>13}", titles[*column]))?;
        writeln!(f, " {:>10} {:>9}", "rate", "seconds")?;
        for (number, epoch) in self.epochs.iter().enumerate() {
            write!(f, "{:>5} {:>8} {:>10.6}", number + 1, epoch.steps, epoch.loss)?;
            for column in &shown {
                let value =
                    epoch.optional_values()[*column].map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
                write!(f, " {value:>13}")?;
            }
            let mark = if self.best_epoch == Some(number) { " best" } else { "" };
            writeln!(f, " {:>10.3e} {:>9.3}{mark}", epoch.learning_rate, epoch.seconds)?;
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
    fn the_table_and_the_csv_say_what_there_is() {
        let lines = [
            "epoch    steps       loss      accuracy     val. loss val. accuracy       rate   seconds",
            "    1        7   1.500000      0.250000      0.750000      0.500000    1.000e-1     0.250 best",
            "    2        7   0.750000      0.500000             -             -    1.000e-1     0.250",
            "it got no better, after 14 steps and 0.500 s\n",
        ];
        let text = history().to_string();
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (ours, theirs) in text.lines().zip(lines) {
            assert_eq!(squeezed(ours), squeezed(theirs));
        }
        let widths: Vec<usize> = text.lines().take(3).map(|line| line.trim_end_matches(" best").len()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(!History::default().to_string().contains("accuracy"));
    }

    #[test]
    fn other_programs_read_what_there_is_and_nothing_where_there_is_not() {
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
