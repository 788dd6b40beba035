//! What `digits` and `mnist` share: images with classes, training one epoch after the other, a baseline, the results.

use std::{io::IsTerminal, ops::RangeInclusive, path::Path, time::Instant};

use gradus::{Answers, Dataset, Device, Error, Features, Network, Settings, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{Exit, Options, pictures};

/// Grey images and the class of each, in two parts.
pub struct Images {
    /// Pixels in a row of an image.
    pub width: usize,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// What the network learns from.
    pub train: Dataset,
    /// What it is tested on and never learns from.
    pub test: Dataset,
}

/// How well a network does on a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// How many of the answers are right, from 0 to 1.
    pub accuracy: f64,
}

/// A training, epoch by epoch.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// On the training rows, each as it was met: before the update by its batch.
    pub train: Vec<Score>,
    /// On the held-out rows after the epoch.
    pub test: Vec<Score>,
    /// What the epochs took, without the tests between them.
    pub seconds: f64,
    /// Rows that were learned from, over all epochs.
    pub samples: u64,
}

impl History {
    /// Training rows a second.
    pub fn rate(&self) -> f64 {
        self.samples as f64 / self.seconds
    }

    /// The last epoch's scores on the training and on the held-out rows.
    pub fn last(&self) -> (Score, Score) {
        let none = Score { loss: f64::NAN, accuracy: f64::NAN };
        (self.train.last().copied().unwrap_or(none), self.test.last().copied().unwrap_or(none))
    }

    /// The keys of `--json` that this training fills.
    pub fn json(&self, seed: u64) -> Value {
        let (train, test) = self.last();
        let accuracies: Vec<f64> = self.test.iter().map(|score| score.accuracy).collect();
        json!({
            "seed": seed,
            "epochs": self.train.len(),
            "seconds": self.seconds,
            "samples_per_second": self.rate(),
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "test_accuracies": accuracies,
        })
    }
}

/// Trains `network` on `device`, and tests it on the held-out rows after every epoch. Progress goes to standard error:
/// a bar to a terminal, else a line an epoch.
pub fn train(
    device: &Device,
    network: &Network,
    images: &Images,
    settings: &Settings,
    epochs: u32,
) -> Result<(Trainer, History), Error> {
    let mut trainer = Trainer::new(device, network, &images.train, settings.clone())?;
    let mut history = History::default();
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
        ProgressBar::new(u64::from(epochs)).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    for epoch in 1..=epochs {
        let start = Instant::now();
        let report = trainer.epoch()?;
        let seconds = start.elapsed().as_secs_f64();
        let test = trainer.evaluate(&images.test)?;
        let [accuracy, test_accuracy] =
            [report.accuracy(), test.accuracy()].map(|accuracy| accuracy.unwrap_or(f64::NAN));
        let loss = report.loss();
        history.train.push(Score { loss, accuracy });
        history.test.push(Score { loss: test.loss(), accuracy: test_accuracy });
        history.seconds += seconds;
        history.samples += report.samples();
        let now = format!(
            "loss {loss:.4}, accuracy {}, held out {}, {:.0} samples/s",
            percent(accuracy),
            percent(test_accuracy),
            report.samples() as f64 / seconds
        );
        match &bar {
            Some(bar) if epoch < epochs => {
                bar.set_message(now);
                bar.inc(1);
            }
            // The last line stays on a terminal as well, and the bar goes.
            bar => {
                bar.iter().for_each(|bar| bar.finish_and_clear());
                eprintln!("epoch {epoch:>width$}/{epochs}: {now}", width = epochs.to_string().len());
            }
        }
    }
    Ok((trainer, history))
}

/// The baseline beside the network: the accuracy on the test rows of the class whose mean image is the nearest, by
/// Euclidean distance.
pub fn nearest_class_mean(images: &Images) -> f64 {
    nearest_mean(&images.train, &images.test, images.classes.len())
}

/// The same of any rows, before they are scaled.
pub fn nearest_mean(train: &Dataset, test: &Dataset, classes: usize) -> f64 {
    let mut means = vec![vec![0.0; train.inputs()]; classes];
    let mut counts = vec![0.0f64; means.len()];
    for (image, class) in rows(train) {
        counts[class] += 1.0;
        means[class].iter_mut().zip(image).for_each(|(sum, value)| *sum += f64::from(value));
    }
    for (mean, count) in means.iter_mut().zip(counts) {
        mean.iter_mut().for_each(|sum| *sum /= count.max(1.0));
    }
    let right = rows(test).filter(|(image, class)| {
        let distance = |mean: &[f64]| mean.iter().zip(image).map(|(m, v)| (m - f64::from(*v)).powi(2)).sum::<f64>();
        let distances = means.iter().map(|mean| distance(mean)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).is_some_and(|(nearest, _)| nearest == *class)
    });
    right.count() as f64 / test.rows() as f64
}

/// The rows of a set: each as the network sees it before it is scaled, and its class.
pub fn rows(set: &Dataset) -> impl Iterator<Item = (Vec<f32>, usize)> {
    let width = set.inputs();
    (0..set.rows()).map(move |row| {
        let span = row * width..(row + 1) * width;
        let image = match set.features() {
            Features::F32(values) => values[span].to_vec(),
            Features::U8 { bytes, scale } => bytes[span].iter().map(|byte| f32::from(*byte) * scale).collect(),
        };
        let class = match set.answers() {
            Answers::Classes(classes) => classes[row] as usize,
            Answers::Values(_) => 0,
        };
        (image, class)
    })
}

/// Writes the pictures of a training into `folder`, which is there, and says where they are.
pub fn write_pictures(
    folder: &Path,
    title: &str,
    images: &Images,
    trainer: &mut Trainer,
    history: &History,
) -> Result<(), Exit> {
    let failed = |error: &dyn std::error::Error| Exit::Failed(format!("{}: {error}", folder.display()));
    pictures::curves(&folder.join("curves.svg"), title, history).map_err(|error| failed(&*error))?;

    let (tested, classes): (Vec<_>, Vec<_>) = rows(&images.test).unzip();
    let outputs = trainer.predict(&tested.concat())?;
    let answer = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
    let answers = outputs.chunks(images.classes.len()).map(answer);
    let answered: Vec<_> = tested.into_iter().zip(classes).zip(answers).map(|((i, c), a)| (i, c, a)).collect();
    pictures::answers(&folder.join("answers.svg"), title, images, &answered).map_err(|error| failed(&*error))?;
    super::say!("pictures: {}", folder.join("{curves,answers}.svg").display());
    Ok(())
}

/// The seeds of `runs` runs, from `--seed` on; `runs` is at least 1.
pub fn seeds(options: &Options, runs: u32) -> Result<RangeInclusive<u64>, Exit> {
    let first = options.seed.unwrap_or(0);
    match first.checked_add(u64::from(runs) - 1) {
        Some(last) => Ok(first..=last),
        None => Err(Exit::Refused(format!("--seeds: {runs} seeds from {first} on would pass {}", u64::MAX))),
    }
}

/// `0.9725` as `97.25 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
