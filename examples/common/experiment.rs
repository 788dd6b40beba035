//! The training that the examples share: one network, tested after every epoch, from one seed or from several.

use std::{ops::RangeInclusive, path::Path};

use gradus::{
    Dataset, Device, History, Network, Result, Trainer, TrainerSettings, TrainingLoop,
    metrics::Metrics,
    plot,
    train::{Progress, ProgressBar},
};
use serde_json::{Value, json};

use super::{Exit, described, percent, print_line};

/// A network and the data that it learns from and is tested on.
#[derive(Clone, Copy)]
pub struct Experiment<'a> {
    pub device: &'a Device,
    pub network: &'a Network,
    pub train: &'a Dataset,
    /// The rows that the network never learns from.
    pub test: &'a Dataset,
    pub epochs: usize,
}

/// A network after its training.
pub struct Trained {
    pub trainer: Trainer,
    pub history: History,
}

impl Experiment<'_> {
    /// Trains the network, and tests it on the held-out rows after every epoch. Progress goes to standard error.
    pub fn run(&self, settings: TrainerSettings) -> Result<Trained> {
        self.run_with(settings, |_| Ok(()))
    }

    /// [`Self::run`] with a callback during the training.
    pub fn run_with(
        &self,
        settings: TrainerSettings,
        mut callback: impl FnMut(&mut Progress<'_>) -> Result<()>,
    ) -> Result<Trained> {
        let mut trainer = Trainer::new(self.device, self.network, self.train, settings)?;
        let fit = TrainingLoop::new(self.epochs).validation_data(self.test);
        let mut bar = ProgressBar::new(&fit, &trainer);
        let history = fit.run_with_callback(&mut trainer, |progress| {
            callback(progress)?;
            bar.update(progress)
        })?;
        Ok(Trained { trainer, history })
    }

    /// The number of steps of a training with this batch size.
    pub fn steps(&self, batch: usize) -> u64 {
        (self.epochs * self.train.rows().div_ceil(batch)) as u64
    }
}

/// The training rows per second.
pub fn samples_per_second(train: &Dataset, history: &History) -> f64 {
    (train.rows() * history.epochs.len()) as f64 / history.seconds()
}

/// The accuracy on the held-out rows after each epoch.
pub fn accuracies(history: &History) -> Vec<f64> {
    let accuracy = |metrics: &Metrics| metrics.accuracy();
    history.epochs.iter().map(|epoch| epoch.validation.as_ref().and_then(accuracy).unwrap_or(f64::NAN)).collect()
}

/// The accuracy on the held-out rows after the last epoch.
pub fn accuracy(history: &History) -> f64 {
    accuracies(history).last().copied().unwrap_or(f64::NAN)
}

/// The keys of `--json` that every training has.
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

/// Draws the loss and the accuracy over the epochs.
pub fn save_curves(path: &Path, title: &str, history: &History) -> std::result::Result<(), Exit> {
    plot::save(path, plot::training_curves(title, history))?;
    print_line!("picture: {}", path.display());
    Ok(())
}

/// What one seed came to.
pub struct SeedRun<T> {
    /// The accuracy or another score on the held-out rows.
    pub score: f64,
    pub result: T,
}

/// What several seeds came to: the scores of all, and the rest of the first.
pub struct SeedRuns<T> {
    pub scores: Scores,
    pub first: T,
}

/// Runs a training once per seed.
pub fn run_seeds<T>(
    seeds: RangeInclusive<u64>,
    mut run: impl FnMut(u64) -> std::result::Result<SeedRun<T>, Exit>,
) -> std::result::Result<SeedRuns<T>, Exit> {
    let first = run(*seeds.start())?;
    let mut scores = Scores(vec![first.score]);
    for seed in seeds.skip(1) {
        scores.0.push(run(seed)?.score);
    }
    Ok(SeedRuns { scores, first: first.result })
}

/// The scores of networks from several seeds on held-out rows, one per seed.
#[derive(Debug, Clone, Default)]
pub struct Scores(pub Vec<f64>);

impl Scores {
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The standard deviation from seed to seed; 0 for a single seed.
    pub fn deviation(&self) -> f64 {
        let squares: f64 = self.0.iter().map(|score| (score - self.mean()).powi(2)).sum();
        (squares / (self.0.len().max(2) - 1) as f64).sqrt()
    }

    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The upper of the two middle scores if their number is even.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// The accuracy of a simpler model on the same rows.
pub struct Baseline {
    pub name: &'static str,
    pub accuracy: f64,
}

/// Prints the accuracies of all seeds beside the baselines, and adds both to the keys of `--json`.
pub fn compare(device: &Device, scores: &Scores, baselines: &[Baseline], keys: &mut Value) {
    if scores.0.len() > 1 {
        let [mean, deviation, min] = [scores.mean(), scores.deviation(), scores.min()].map(percent);
        print_line!("{} seeds: {mean} in the mean, standard deviation {deviation}, the least {min}", scores.0.len());
    }
    let mut all = json!({});
    for Baseline { name, accuracy } in baselines {
        print_line!("baseline, {name}: {}", percent(*accuracy));
        all[*name] = (*accuracy).into();
    }
    let seconds = keys["seconds"].as_f64().unwrap_or(f64::NAN);
    print_line!("{}: {seconds:.3} s of training", described(device));
    keys["mean_test_accuracy"] = scores.mean().into();
    keys["deviation_of_test_accuracy"] = scores.deviation().into();
    keys["seed_accuracies"] = scores.0.clone().into();
    if let Some(Baseline { name, accuracy }) = baselines.first() {
        keys["baseline"] = (*name).into();
        keys["baseline_accuracy"] = (*accuracy).into();
    }
    keys["baselines"] = all;
}
