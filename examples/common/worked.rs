//! What the worked examples share: the training, what several seeds come to, and their curves.

use std::path::Path;

use gradus::{Dataset, Device, Epoch, Fit, History, Metrics, Network, ProgressBar, Settings, Trainer, pictures};
use serde_json::{Value, json};

use super::{Exit, classifier::percent};

/// The share of the held-out rows that were answered rightly after an epoch.
pub fn accuracy(epoch: &Epoch) -> Option<f64> {
    epoch.validation.as_ref().and_then(Metrics::accuracy)
}

/// Trains a network, and tests it on the held-out rows after every epoch.
pub fn fit(
    device: &Device,
    network: &Network,
    (train, test): (&Dataset, &Dataset),
    epochs: usize,
    settings: Settings,
) -> gradus::Result<(Trainer, History)> {
    let mut trainer = Trainer::new(device, network, train, settings)?;
    let fit = Fit::new(epochs).validate_on(test);
    let mut bar = ProgressBar::new(&fit, &trainer);
    let history = fit.run_with(&mut trainer, |progress| bar.tell(progress))?;
    Ok((trainer, history))
}

/// What networks from several seeds score on held-out rows, one a seed.
#[derive(Debug, Default)]
pub struct Scores(pub Vec<f64>);

impl Scores {
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The standard deviation from seed to seed; 0 of a single one.
    pub fn deviation(&self) -> f64 {
        let squares: f64 = self.0.iter().map(|score| (score - self.mean()).powi(2)).sum();
        (squares / (self.0.len().max(2) - 1) as f64).sqrt()
    }

    pub fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// The keys of `--json` that a training on so many rows fills.
pub fn json(history: &History, rows: usize, seed: u64) -> Value {
    let seconds = history.seconds();
    let last = history.last();
    let held_out = last.and_then(|epoch| epoch.validation.as_ref());
    json!({
        "seed": seed,
        "epochs": history.epochs.len(),
        "seconds": seconds,
        "samples_per_second": (rows * history.epochs.len()) as f64 / seconds,
        "train_loss": last.map(|epoch| epoch.loss),
        "test_loss": held_out.map(Metrics::loss),
        "test_accuracy": held_out.and_then(Metrics::accuracy),
    })
}

/// Says what the seeds come to beside the baselines, each a name and its accuracy, and adds it to the keys of `--json`.
pub fn compare(device: &Device, scores: &Scores, baselines: &[(&str, f64)], own: &mut Value) {
    if scores.0.len() > 1 {
        let [mean, deviation, least] = [scores.mean(), scores.deviation(), scores.least()].map(percent);
        super::say!("{} seeds: {mean} in the mean, standard deviation {deviation}, the least {least}", scores.0.len());
    }
    for (name, accuracy) in baselines {
        super::say!("baseline, {name}: {}", percent(*accuracy));
    }
    super::say!("{}: {:.3} s of training", super::described(device), own["seconds"].as_f64().unwrap_or(f64::NAN));
    own["mean_test_accuracy"] = scores.mean().into();
    own["deviation_of_test_accuracy"] = scores.deviation().into();
    own["seed_accuracies"] = scores.0.clone().into();
    if let Some((name, accuracy)) = baselines.first() {
        own["baseline"] = (*name).into();
        own["baseline_accuracy"] = (*accuracy).into();
    }
    own["baselines"] = baselines.iter().map(|(name, accuracy)| ((*name).to_owned(), json!(accuracy))).collect();
}

/// Draws the loss and the accuracy over the epochs.
pub fn curves(path: &Path, title: &str, history: &History) -> Result<(), Exit> {
    pictures::save(path, pictures::curves(title, history))?;
    super::say!("picture: {}", path.display());
    Ok(())
}
