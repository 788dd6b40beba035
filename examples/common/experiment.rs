//! The training that the examples share: one network, evaluated on a test set after every epoch, in one or several runs.

use std::{ops::RangeInclusive, path::Path};

use gradus::{
    Dataset, Device, History, Network, Result, Trainer, TrainerSettings, TrainingLoop,
    metrics::Metrics,
    plot,
    train::{Progress, ProgressBar},
};
use serde_json::{Value, json};

use super::{Exit, device_name, percent, print_line};

/// A network with its training set and test set.
#[derive(Clone, Copy)]
pub struct Experiment<'a> {
    pub device: &'a Device,
    pub network: &'a Network,
    pub train: &'a Dataset,
    /// The held-out rows. The network never trains on them.
    pub test: &'a Dataset,
    pub epochs: usize,
}

/// A network after its training.
pub struct Trained {
    pub trainer: Trainer,
    /// The history. Its validation metrics are those of the test set.
    pub history: History,
}

impl Experiment<'_> {
    /// Trains the network and evaluates it on the test set after every epoch. Progress goes to standard error.
    pub fn run(&self, settings: TrainerSettings) -> Result<Trained> {
        self.run_with_callback(settings, |_| Ok(()))
    }

    /// Like [`Self::run`], but calls `callback` during the training.
    pub fn run_with_callback(
        &self,
        settings: TrainerSettings,
        mut callback: impl FnMut(&mut Progress<'_>) -> Result<()>,
    ) -> Result<Trained> {
        let mut trainer = Trainer::new(self.device, self.network, self.train, settings)?;
        let training = TrainingLoop::new(self.epochs).validation_data(self.test);
        let mut bar = ProgressBar::new(&training, &trainer);
        let history = training.run_with_callback(&mut trainer, |progress| {
            callback(progress)?;
            bar.update(progress)
        })?;
        Ok(Trained { trainer, history })
    }

    /// Returns the number of training steps of all epochs.
    pub fn total_steps(&self, batch_size: usize) -> u64 {
        (self.epochs * self.train.rows().div_ceil(batch_size)) as u64
    }
}

/// Returns the number of training rows per second.
pub fn samples_per_second(train: &Dataset, history: &History) -> f64 {
    (train.rows() * history.epochs.len()) as f64 / history.seconds()
}

/// Returns the test accuracy after each epoch.
pub fn accuracy_per_epoch(history: &History) -> Vec<f64> {
    let accuracy = |metrics: &Metrics| metrics.accuracy();
    history.epochs.iter().map(|epoch| epoch.validation.as_ref().and_then(accuracy).unwrap_or(f64::NAN)).collect()
}

/// Returns the test accuracy after the last epoch.
pub fn accuracy(history: &History) -> f64 {
    accuracy_per_epoch(history).last().copied().unwrap_or(f64::NAN)
}

/// Returns the keys of `--json` that every training has.
pub fn json(train: &Dataset, history: &History, seed: u64) -> Value {
    let last = history.last();
    let test = last.and_then(|epoch| epoch.validation.as_ref());
    json!({
        "seed": seed,
        "epochs": history.epochs.len(),
        "seconds": history.seconds(),
        "samples_per_second": samples_per_second(train, history),
        "train_loss": last.map(|epoch| epoch.loss),
        "test_loss": test.map(Metrics::loss),
        "test_accuracy": test.and_then(Metrics::accuracy),
    })
}

/// Prints the test accuracy of a run.
pub fn print_accuracy(seed: u64, accuracy: f64, test: &Dataset) {
    print_line!("seed {seed}: test accuracy {} on {} rows", percent(accuracy), test.rows());
}

/// Prints the time of a training run.
pub fn print_training_time(device: &Device, seconds: f64) {
    print_line!("training time: {seconds:.3} s on {}", device_name(device));
}

/// Plots the loss and the accuracy per epoch, and prints the path of the plot.
pub fn save_curves(path: &Path, title: &str, history: &History) -> std::result::Result<(), Exit> {
    plot::save(path, plot::training_curves(title, history))?;
    print_line!("plot: {}", path.display());
    Ok(())
}

/// The result of a run with one seed.
pub struct Run<T> {
    /// The accuracy or another score on the test set.
    pub score: f64,
    pub result: T,
}

/// The results of runs with several seeds.
pub struct Runs<T> {
    /// The scores of all runs.
    pub scores: Scores,
    /// The result of the first run.
    pub first: T,
}

/// Calls `run` for each seed.
pub fn run_each<T>(
    seeds: RangeInclusive<u64>,
    mut run: impl FnMut(u64) -> std::result::Result<Run<T>, Exit>,
) -> std::result::Result<Runs<T>, Exit> {
    let first = run(*seeds.start())?;
    let mut scores = Scores(vec![first.score]);
    for seed in seeds.skip(1) {
        scores.0.push(run(seed)?.score);
    }
    Ok(Runs { scores, first: first.result })
}

/// The scores of several runs on the test set.
#[derive(Debug, Clone, Default)]
pub struct Scores(pub Vec<f64>);

impl Scores {
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Returns the standard deviation of the sample (divisor `n - 1`). It is 0 for a single run.
    pub fn std(&self) -> f64 {
        let squares: f64 = self.0.iter().map(|score| (score - self.mean()).powi(2)).sum();
        (squares / (self.0.len().max(2) - 1) as f64).sqrt()
    }

    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns the median, or the upper of the two middle scores if the number of runs is even.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// The test accuracy of a simpler model.
pub struct Baseline {
    pub name: &'static str,
    pub accuracy: f64,
}

/// Prints the accuracy of the runs next to that of the baselines, and adds both to the keys of `--json`.
pub fn report_accuracy(device: &Device, scores: &Scores, baselines: &[Baseline], keys: &mut Value) {
    if scores.0.len() > 1 {
        let [mean, std, min] = [scores.mean(), scores.std(), scores.min()].map(percent);
        print_line!("test accuracy of {} runs: mean {mean}, std {std}, min {min}", scores.0.len());
    }
    let mut accuracy_by_name = json!({});
    for Baseline { name, accuracy } in baselines {
        print_line!("baseline, {name}: {}", percent(*accuracy));
        accuracy_by_name[*name] = (*accuracy).into();
    }
    print_training_time(device, keys["seconds"].as_f64().unwrap_or(f64::NAN));
    keys["mean_test_accuracy"] = scores.mean().into();
    keys["std_test_accuracy"] = scores.std().into();
    keys["test_accuracy_per_run"] = scores.0.clone().into();
    if let Some(Baseline { name, accuracy }) = baselines.first() {
        keys["baseline"] = (*name).into();
        keys["baseline_accuracy"] = (*accuracy).into();
    }
    keys["baselines"] = accuracy_by_name;
}
