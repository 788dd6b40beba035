//! How a training comes along, on standard error: a bar on a terminal, plain lines elsewhere.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::ProgressStyle;

use crate::{
    engine::gpu::run::engine::LONG_COMPILATION_SECONDS,
    error::Result,
    metrics::Metrics,
    train::{
        trainer::Trainer,
        training_loop::{CallbackAction, Progress, TrainingLoop},
    },
};

/// Shows how a training comes along: its epoch, loss and accuracy, on the rows that validate too, samples a second, and the
/// time that is left; before the first of these, how long the device's kernels took to compile, if that was more than a
/// second. To standard error: a bar if that is a terminal, or else a line an epoch, but not more than one a second.
///
/// ```no_run
/// # use gradus::{Fit, Trainer, train::ProgressBar};
/// # fn example(mut trainer: Trainer) -> gradus::Result<()> {
/// let fit = Fit::new(30);
/// let mut bar = ProgressBar::new(&fit, &trainer);
/// fit.run_with(&mut trainer, |progress| bar.tell(progress))?;
/// # Ok(()) }
/// ```
///
/// The bar moves when an epoch ends, and in between where [`TrainingLoop::callback_every`] says so. When it is dropped, the last line stays.
#[derive(Debug)]
pub struct ProgressBar {
    state: ProgressState,
    start: Instant,
    output: Output,
    /// Whether it was looked whether the kernels took long to compile.
    has_reported_compilation: bool,
}

#[derive(Debug)]
enum Output {
    /// With the line that stays.
    Bar(indicatif::ProgressBar, String),
    Lines(Lines),
}

impl ProgressBar {
    /// Of a fit that is about to begin.
    pub fn new(fit: &TrainingLoop, trainer: &Trainer) -> Self {
        let count = ProgressState::new(fit, trainer);
        let output = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {prefix}\n{wide_msg}");
            let bar = indicatif::ProgressBar::new(count.total_steps);
            Output::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), String::new())
        } else {
            Output::Lines(Lines::default())
        };
        Self { state: count, start: Instant::now(), output, has_reported_compilation: false }
    }

    /// Shows where the training stands. To be called by the callback, which may go on as it tells: it always tells to.
    ///
    /// # Errors
    /// None; the type is the callback's.
    pub fn update(&mut self, progress: &Progress<'_>) -> Result<CallbackAction> {
        let now = self.start.elapsed();
        let standing = self.state.observe(progress, now);
        if !std::mem::replace(&mut self.has_reported_compilation, true)
            && let Some(line) = compilation_text(progress.trainer.compile_seconds())
        {
            match &self.output {
                Output::Bar(bar, _) => bar.println(line),
                Output::Lines(_) => print_line(&line),
            }
        }
        match &mut self.output {
            Output::Bar(bar, line) => {
                // Two lines, since one would be cut on a terminal of 80 columns.
                bar.set_prefix(format!("{}; {}", standing.position_text(), standing.speed_text()));
                bar.set_message(standing.metrics_text());
                bar.set_position(self.state.steps_done);
                *line = standing.to_string();
            }
            Output::Lines(lines) if progress.is_epoch_end => {
                if let Some(line) = lines.next(standing.to_string(), now, self.state.is_over()) {
                    print_line(&line);
                }
            }
            Output::Lines(_) => {}
        }
        Ok(CallbackAction::Continue)
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        match &mut self.output {
            Output::Bar(bar, line) => {
                bar.finish_and_clear();
                if !line.is_empty() {
                    print_line(line);
                }
            }
            Output::Lines(lines) => lines.pending.iter().for_each(|line| print_line(line)),
        }
    }
}

/// Nobody need read it.
fn print_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The line about a compilation that took long.
fn compilation_text(seconds: f64) -> Option<String> {
    (seconds > LONG_COMPILATION_SECONDS).then(|| format!("compiling the device's kernels took {seconds:.1} s"))
}

/// What lines are printed: the first, the last, and between them one a second at most.
#[derive(Debug, Default)]
struct Lines {
    printed: Option<Duration>,
    /// The line that may turn out to be the last.
    pending: Option<String>,
}

impl Lines {
    /// The line, if it is to be printed now.
    fn next(&mut self, line: String, now: Duration, is_last: bool) -> Option<String> {
        let is_due = self.printed.is_none_or(|printed| now - printed >= Duration::from_secs(1));
        if is_due || is_last {
            (self.printed, self.pending) = (Some(now), None);
            return Some(line);
        }
        self.pending = Some(line);
        None
    }
}

/// How far a training is.
#[derive(Debug)]
struct ProgressState {
    /// How many epochs it has at most, with those that were before.
    epochs: usize,
    /// How many steps it takes at most, and has taken.
    total_steps: u64,
    steps_done: u64,
    /// How long it may take.
    max_time: Option<Duration>,
    /// When the present epoch began, and how many rows it has met.
    epoch_start: Duration,
    epoch_rows: u64,
}

impl ProgressState {
    fn new(fit: &TrainingLoop, trainer: &Trainer) -> Self {
        let in_epoch = trainer.steps_per_epoch() as u64;
        // The first epoch is what is left of the trainer's.
        let all = in_epoch.saturating_mul(fit.epochs as u64).saturating_sub(trainer.dataset_steps() % in_epoch);
        Self {
            epochs: fit.resume_from.epochs.len().saturating_add(fit.epochs),
            total_steps: all.min(fit.max_steps.map_or(u64::MAX, |steps| steps as u64)),
            steps_done: 0,
            max_time: fit.max_time,
            epoch_start: Duration::ZERO,
            epoch_rows: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.steps_done >= self.total_steps
    }

    /// Counts the steps since the last look, `now` after the beginning.
    fn observe(&mut self, progress: &Progress<'_>, now: Duration) -> ProgressLine {
        self.steps_done += progress.report.losses.len() as u64;
        self.epoch_rows += progress.report.rows();
        let over = progress.history.last().filter(|_| progress.is_epoch_end);
        // Of a whole epoch the seconds without validation are known.
        let seconds = over.map_or((now - self.epoch_start).as_secs_f64(), |epoch| epoch.seconds);
        let validation = over.and_then(|epoch| epoch.validation.as_ref());
        let standing = ProgressLine {
            epoch: progress.history.epochs.len() + usize::from(!progress.is_epoch_end),
            epochs: self.epochs,
            loss: over.map_or_else(|| progress.report.mean_loss(), |epoch| epoch.loss),
            accuracy: over.map_or_else(|| progress.report.accuracy(), |epoch| epoch.accuracy),
            validation_loss: validation.map(Metrics::loss),
            validation_accuracy: validation.and_then(Metrics::accuracy),
            r2: validation.and_then(Metrics::r2),
            learning_rate: self.epoch_rows as f64 / seconds,
            time_left: self.time_left(now),
        };
        if progress.is_epoch_end {
            (self.epoch_start, self.epoch_rows) = (now, 0);
        }
        standing
    }

    /// The time that the steps to come will take, as those before did.
    fn time_left(&self, now: Duration) -> Option<Duration> {
        let steps =
            now.as_secs_f64() / self.steps_done as f64 * self.total_steps.saturating_sub(self.steps_done) as f64;
        let steps = Duration::try_from_secs_f64(steps).ok();
        let budget = self.max_time.map(|time| time.saturating_sub(now));
        [steps, budget].into_iter().flatten().min().filter(|left| !left.is_zero())
    }
}

/// Where a training stands; its text is a line.
#[derive(Debug, Clone, Default, PartialEq)]
struct ProgressLine {
    epoch: usize,
    epochs: usize,
    loss: f64,
    accuracy: Option<f64>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    r2: Option<f64>,
    learning_rate: f64,
    time_left: Option<Duration>,
}

impl ProgressLine {
    fn position_text(&self) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {:>width$}/{}", self.epoch, self.epochs)
    }

    fn metrics_text(&self) -> String {
        let percent = |share: f64| format!("accuracy {:.2} %", 100.0 * share);
        let told = |all: [Option<String>; 3]| all.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let training = told([Some(format_loss(self.loss)), self.accuracy.map(percent), None]);
        let r2 = self.r2.map(|r2| format!("r2 {r2:.4}"));
        match told([self.validation_loss.map(format_loss), self.validation_accuracy.map(percent), r2]) {
            none if none.is_empty() => training,
            validation => format!("{training}; validation: {validation}"),
        }
    }

    fn speed_text(&self) -> String {
        let rate = self.learning_rate.is_finite().then(|| format!("{:.0} samples/s", self.learning_rate));
        let left = self.time_left.map(|left| format!("{} left", format_duration(left)));
        [rate, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ProgressLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.position_text(), self.metrics_text(), self.speed_text())
    }
}

/// A loss with its name, and digits that count.
fn format_loss(loss: f64) -> String {
    let is_plain = loss == 0.0 || (1e-3..1e5).contains(&loss.abs()) || !loss.is_finite();
    if is_plain { format!("loss {loss:.4}") } else { format!("loss {loss:.2e}") }
}

/// `1 h 02 min`, `3 min 05 s` or `7 s`.
fn format_duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::dataset::Dataset,
        device::Device,
        nn::{activation::Activation, network::Network},
        train::settings::TrainerSettings,
    };

    #[test]
    fn a_line_says_what_there_is() {
        let standing =
            ProgressLine { epoch: 7, epochs: 120, loss: 0.25, learning_rate: 123_456.7, ..ProgressLine::default() };
        assert_eq!(standing.to_string(), "epoch   7/120: loss 0.2500; 123457 samples/s");
        let full = ProgressLine {
            accuracy: Some(0.97251),
            validation_loss: Some(0.00012),
            validation_accuracy: Some(0.5),
            r2: Some(-0.25),
            time_left: Some(Duration::from_millis(61_200)),
            learning_rate: f64::INFINITY,
            ..standing
        };
        let text = "epoch   7/120: loss 0.2500, accuracy 97.25 %; \
                    validation: loss 1.20e-4, accuracy 50.00 %, r2 -0.2500; 1 min 02 s left";
        assert_eq!(full.to_string(), text);
        for (value, text) in [(f64::NAN, "NaN"), (0.0, "0.0000"), (-3e38, "-3.00e38"), (99_999.0, "99999.0000")]
            .map(|(value, text)| (value, format!("loss {text}")))
        {
            assert_eq!(format_loss(value), text);
        }
        for (seconds, text) in [(0.1, "1 s"), (59.0, "59 s"), (60.0, "1 min 00 s"), (7384.0, "2 h 03 min")] {
            assert_eq!(format_duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_long_compilation_has_a_line() {
        assert_eq!(compilation_text(0.9), None);
        assert_eq!(compilation_text(3.26).as_deref(), Some("compiling the device's kernels took 3.3 s"));
    }

    #[test]
    fn fast_epochs_have_a_line_a_second_and_the_last_one() {
        let mut lines = Lines::default();
        let printed: Vec<String> =
            (0..25).filter_map(|i| lines.next(i.to_string(), Duration::from_millis(100 * i), i == 24)).collect();
        assert_eq!(printed, ["0", "10", "20", "24"]);
        assert_eq!(
            (lines.next("25".into(), Duration::from_millis(2500), false), lines.pending),
            (None, Some("25".into()))
        );
    }

    /// With 10 rows in batches of 4, two epochs and a look at every second step.
    #[test]
    fn looks_tell_where_a_fit_stands() -> Result<()> {
        let numbers: Vec<f32> = (0..10u8).map(f32::from).collect();
        let data = Dataset::new(10, &numbers, &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])?;
        let network = Network::new(1).dense(1, Activation::Sigmoid);
        let settings = TrainerSettings { batch_size: 4, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings)?;
        let fit = TrainingLoop::new(2).callback_every(2).validation_data(&data);
        let (mut count, mut seconds, mut all) = (ProgressState::new(&fit, &trainer), 0, Vec::new());
        assert_eq!(count.total_steps, 6);
        fit.run_with_callback(&mut trainer, |progress| {
            seconds += 3;
            let standing = count.observe(progress, Duration::from_secs(seconds));
            let of_epoch = standing.validation_loss.is_some() && standing.validation_accuracy.is_some();
            assert_eq!(of_epoch, progress.is_epoch_end);
            assert!(
                standing.loss.is_finite() && standing.accuracy.is_some() && standing.learning_rate > 0.0,
                "{standing}"
            );
            all.push((standing.epoch, count.steps_done, standing.time_left.map(|left| left.as_secs())));
            Ok(CallbackAction::Continue)
        })?;
        assert_eq!(all, [(1, 2, Some(6)), (1, 3, Some(6)), (2, 4, Some(4)), (2, 6, None)]);
        assert!(count.is_over());
        // A trainer in the middle of an epoch, with a budget.
        trainer.run(1)?;
        let fit = TrainingLoop::new(2).max_time(Duration::from_secs(5)).max_steps(100);
        let mut count = ProgressState::new(&fit, &trainer);
        assert_eq!(count.total_steps, 5);
        count.steps_done = 1;
        assert_eq!(count.time_left(Duration::from_secs(2)), Some(Duration::from_secs(3)));
        Ok(())
    }
}
