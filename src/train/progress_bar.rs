//! The progress of a training run on standard error: a bar on a terminal, plain lines otherwise.

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
        callback::{CallbackAction, Progress},
        trainer::Trainer,
        training_loop::TrainingLoop,
    },
};

/// Prints the progress of a training run on standard error.
///
/// It shows the epoch, the loss, the metrics, the speed in samples per second and the remaining time. On a terminal it
/// is a bar. Otherwise it prints one line per epoch, but at most one line per second. If the compilation of the kernels
/// took more than one second, it prints that time first.
///
/// ```no_run
/// # use gradus::{Trainer, TrainingLoop, train::ProgressBar};
/// # fn example(mut trainer: Trainer) -> gradus::Result<()> {
/// let training_loop = TrainingLoop::new(30);
/// let mut bar = ProgressBar::new(&training_loop, &trainer);
/// training_loop.run_with_callback(&mut trainer, |progress| bar.update(progress))?;
/// # Ok(()) }
/// ```
///
/// The bar moves at the end of each epoch and every [`TrainingLoop::callback_every`] steps. Dropping it leaves the last
/// line on the screen.
#[doc(alias = "tqdm")]
#[derive(Debug)]
pub struct ProgressBar {
    state: ProgressState,
    start: Instant,
    output: Output,
    /// Whether the compile time has been checked.
    has_checked_compilation: bool,
}

#[derive(Debug)]
enum Output {
    /// The bar, and the line to leave on the screen.
    Bar(indicatif::ProgressBar, String),
    Lines(Lines),
}

impl ProgressBar {
    /// Creates the progress bar of a training run that is about to start.
    pub fn new(training_loop: &TrainingLoop, trainer: &Trainer) -> Self {
        let state = ProgressState::new(training_loop, trainer);
        let output = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:24} {prefix}\n{wide_msg}");
            let bar = indicatif::ProgressBar::new(state.total_steps);
            Output::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), String::new())
        } else {
            Output::Lines(Lines::default())
        };
        Self { state, start: Instant::now(), output, has_checked_compilation: false }
    }

    /// Shows the current progress. Call it in the callback of the training loop, and return its result.
    ///
    /// # Errors
    /// Never fails, and always returns [`CallbackAction::Continue`]. The result type is the one of a callback.
    pub fn update(&mut self, progress: &Progress<'_>) -> Result<CallbackAction> {
        let now = self.start.elapsed();
        let line = self.state.observe(progress, now);
        if !std::mem::replace(&mut self.has_checked_compilation, true)
            && let Some(text) = compilation_text(progress.trainer.compile_seconds())
        {
            match &self.output {
                Output::Bar(bar, _) => bar.println(text),
                Output::Lines(_) => print_line(&text),
            }
        }
        match &mut self.output {
            Output::Bar(bar, last_line) => {
                // Two lines, because a terminal of 80 columns would cut a single one.
                bar.set_prefix(format!("{}; {}", line.position_text(), line.speed_text()));
                bar.set_message(line.metrics_text());
                bar.set_position(self.state.steps_done);
                *last_line = line.to_string();
            }
            Output::Lines(lines) if progress.is_epoch_end => {
                if let Some(text) = lines.next(line.to_string(), now, self.state.is_over()) {
                    print_line(&text);
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
            Output::Bar(bar, last_line) => {
                bar.finish_and_clear();
                if !last_line.is_empty() {
                    print_line(last_line);
                }
            }
            Output::Lines(lines) => {
                if let Some(line) = &lines.pending {
                    print_line(line);
                }
            }
        }
    }
}

/// Prints a line on standard error. A closed standard error must not end the training.
fn print_line(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Returns a line with the compile time if it was long.
fn compilation_text(seconds: f64) -> Option<String> {
    (seconds > LONG_COMPILATION_SECONDS).then(|| format!("compiling the device's kernels took {seconds:.1} s"))
}

/// Selects the lines to print: the first, the last, and at most one per second in between.
#[derive(Debug, Default)]
struct Lines {
    /// The time of the last printed line.
    printed: Option<Duration>,
    /// The last line that was not printed. It is printed at the end if no other line follows.
    pending: Option<String>,
}

impl Lines {
    /// Returns the line if it is due, and stores it otherwise.
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

/// The counts and times of a training run in progress.
#[derive(Debug)]
struct ProgressState {
    /// The maximum number of epochs, including those of the resumed history.
    epochs: usize,
    /// The maximum number of steps.
    total_steps: u64,
    steps_done: u64,
    /// The time budget.
    max_time: Option<Duration>,
    /// The start of the current epoch, as the time since the start of the training.
    epoch_start: Duration,
    /// The number of rows in the current epoch so far.
    epoch_rows: u64,
}

impl ProgressState {
    fn new(training_loop: &TrainingLoop, trainer: &Trainer) -> Self {
        let steps_per_epoch = trainer.steps_per_epoch() as u64;
        // The first epoch is the remaining part of the trainer's current epoch.
        let steps_in_epoch = trainer.dataset_steps() % steps_per_epoch;
        let steps = steps_per_epoch.saturating_mul(training_loop.epochs as u64).saturating_sub(steps_in_epoch);
        Self {
            epochs: training_loop.resume_from.epochs.len().saturating_add(training_loop.epochs),
            total_steps: steps.min(training_loop.max_steps.map_or(u64::MAX, |max_steps| max_steps as u64)),
            steps_done: 0,
            max_time: training_loop.max_time,
            epoch_start: Duration::ZERO,
            epoch_rows: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.steps_done >= self.total_steps
    }

    /// Counts the steps since the last call. `now` is the time since the start of the training.
    fn observe(&mut self, progress: &Progress<'_>, now: Duration) -> ProgressLine {
        self.steps_done += progress.report.losses.len() as u64;
        self.epoch_rows += progress.report.rows();
        let ended_epoch = progress.history.last().filter(|_| progress.is_epoch_end);
        // The time of a whole epoch excludes its validation.
        let seconds = ended_epoch.map_or((now - self.epoch_start).as_secs_f64(), |epoch| epoch.seconds);
        let validation = ended_epoch.and_then(|epoch| epoch.validation.as_ref());
        let line = ProgressLine {
            epoch: progress.history.epochs.len() + usize::from(!progress.is_epoch_end),
            epochs: self.epochs,
            loss: ended_epoch.map_or_else(|| progress.report.mean_loss(), |epoch| epoch.loss),
            accuracy: ended_epoch.map_or_else(|| progress.report.accuracy(), |epoch| epoch.accuracy),
            validation_loss: validation.map(Metrics::loss),
            validation_accuracy: validation.and_then(Metrics::accuracy),
            validation_r2: validation.and_then(Metrics::r2),
            rows_per_second: self.epoch_rows as f64 / seconds,
            time_left: self.time_left(now),
        };
        if progress.is_epoch_end {
            self.epoch_start = now;
            self.epoch_rows = 0;
        }
        line
    }

    /// Returns the remaining time, estimated from the mean time of the steps so far and limited by the time budget.
    fn time_left(&self, now: Duration) -> Option<Duration> {
        let steps_left = self.total_steps.saturating_sub(self.steps_done) as f64;
        let seconds_left = now.as_secs_f64() / self.steps_done as f64 * steps_left;
        let estimate = Duration::try_from_secs_f64(seconds_left).ok();
        let budget = self.max_time.map(|max_time| max_time.saturating_sub(now));
        [estimate, budget].into_iter().flatten().min().filter(|left| !left.is_zero())
    }
}

/// The values of one line of progress.
#[derive(Debug, Clone, Default, PartialEq)]
struct ProgressLine {
    epoch: usize,
    epochs: usize,
    loss: f64,
    accuracy: Option<f64>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    validation_r2: Option<f64>,
    rows_per_second: f64,
    time_left: Option<Duration>,
}

impl ProgressLine {
    fn position_text(&self) -> String {
        let width = self.epochs.to_string().len();
        format!("epoch {:>width$}/{}", self.epoch, self.epochs)
    }

    fn metrics_text(&self) -> String {
        let accuracy = |fraction: f64| format!("accuracy {:.2}%", 100.0 * fraction);
        let mut text = format_loss(self.loss);
        if let Some(fraction) = self.accuracy {
            text += &format!(", {}", accuracy(fraction));
        }
        let validation = [
            self.validation_loss.map(format_loss),
            self.validation_accuracy.map(accuracy),
            self.validation_r2.map(|r2| format!("r2 {r2:.4}")),
        ];
        let validation: Vec<String> = validation.into_iter().flatten().collect();
        if !validation.is_empty() {
            text += &format!("; validation: {}", validation.join(", "));
        }
        text
    }

    fn speed_text(&self) -> String {
        let speed = self.rows_per_second.is_finite().then(|| format!("{:.0} samples/s", self.rows_per_second));
        let left = self.time_left.map(|left| format!("{} left", format_duration(left)));
        [speed, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ProgressLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.position_text(), self.metrics_text(), self.speed_text())
    }
}

/// Formats a loss with its name, as a decimal number or in scientific notation.
fn format_loss(loss: f64) -> String {
    let is_plain = loss == 0.0 || (1e-3..1e5).contains(&loss.abs()) || !loss.is_finite();
    if is_plain { format!("loss {loss:.4}") } else { format!("loss {loss:.2e}") }
}

/// Formats a duration as `1 h 02 min`, `3 min 05 s` or `7 s`.
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
    fn line_contains_only_known_values() {
        let short =
            ProgressLine { epoch: 7, epochs: 120, loss: 0.25, rows_per_second: 123_456.7, ..ProgressLine::default() };
        assert_eq!(short.to_string(), "epoch   7/120: loss 0.2500; 123457 samples/s");
        let full = ProgressLine {
            accuracy: Some(0.97251),
            validation_loss: Some(0.00012),
            validation_accuracy: Some(0.5),
            validation_r2: Some(-0.25),
            time_left: Some(Duration::from_millis(61_200)),
            rows_per_second: f64::INFINITY,
            ..short
        };
        let text = "epoch   7/120: loss 0.2500, accuracy 97.25%; \
                    validation: loss 1.20e-4, accuracy 50.00%, r2 -0.2500; 1 min 02 s left";
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
    fn long_compilation_is_reported() {
        assert_eq!(compilation_text(0.9), None);
        assert_eq!(compilation_text(3.26).as_deref(), Some("compiling the device's kernels took 3.3 s"));
    }

    #[test]
    fn fast_epochs_print_one_line_per_second_and_the_last_line() {
        let mut lines = Lines::default();
        let printed: Vec<String> =
            (0..25).filter_map(|i| lines.next(i.to_string(), Duration::from_millis(100 * i), i == 24)).collect();
        assert_eq!(printed, ["0", "10", "20", "24"]);
        assert_eq!(
            (lines.next("25".into(), Duration::from_millis(2500), false), lines.pending),
            (None, Some("25".into()))
        );
    }

    /// The loop has two epochs of 10 rows in batches of 4, and calls the callback every second step.
    #[test]
    fn progress_counts_steps_and_estimates_the_remaining_time() -> Result<()> {
        let inputs: Vec<f32> = (0..10u8).map(f32::from).collect();
        let data = Dataset::new(10, &inputs, &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])?;
        let network = Network::new(1).dense(1, Activation::Sigmoid);
        let settings = TrainerSettings { batch_size: 4, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings)?;
        let training_loop = TrainingLoop::new(2).callback_every(2).validation_data(&data);
        let mut state = ProgressState::new(&training_loop, &trainer);
        assert_eq!(state.total_steps, 6);
        let (mut seconds, mut observed) = (0, Vec::new());
        training_loop.run_with_callback(&mut trainer, |progress| {
            seconds += 3;
            let line = state.observe(progress, Duration::from_secs(seconds));
            let is_validated = line.validation_loss.is_some() && line.validation_accuracy.is_some();
            assert_eq!(is_validated, progress.is_epoch_end);
            assert!(line.loss.is_finite() && line.accuracy.is_some() && line.rows_per_second > 0.0, "{line}");
            observed.push((line.epoch, state.steps_done, line.time_left.map(|left| left.as_secs())));
            Ok(CallbackAction::Continue)
        })?;
        assert_eq!(observed, [(1, 2, Some(6)), (1, 3, Some(6)), (2, 4, Some(4)), (2, 6, None)]);
        assert!(state.is_over());
        // The trainer is in the middle of an epoch, and the loop has a time budget.
        trainer.run(1)?;
        let training_loop = TrainingLoop::new(2).max_time(Duration::from_secs(5)).max_steps(100);
        let mut state = ProgressState::new(&training_loop, &trainer);
        assert_eq!(state.total_steps, 5);
        state.steps_done = 1;
        assert_eq!(state.time_left(Duration::from_secs(2)), Some(Duration::from_secs(3)));
        Ok(())
    }
}
