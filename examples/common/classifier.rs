//! What `digits` and `mnist` share: images with classes, training one epoch after the other, a baseline, the results.

use std::{ops::RangeInclusive, path::Path};

use gradus::{
    Answers, Dataset, Device, Error, Fit, History, Metrics, Network, ProgressBar, Settings, Trainer, pictures,
};
use serde_json::{Value, json};

use super::{Exit, Options, answers::answers};

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

/// Trains `network` on `device`, and tests it on the held-out rows after every epoch. Progress goes to standard error.
pub fn train(
    device: &Device,
    network: &Network,
    images: &Images,
    settings: &Settings,
    epochs: u32,
) -> Result<(Trainer, History), Error> {
    let mut trainer = Trainer::new(device, network, &images.train, settings.clone())?;
    let fit = Fit::new(epochs as usize).validate_on(&images.test);
    let mut bar = ProgressBar::new(&fit, &trainer);
    let history = fit.run_with(&mut trainer, |progress| bar.tell(progress))?;
    drop(bar);
    Ok((trainer, history))
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

/// Training rows a second.
pub fn rate(images: &Images, history: &History) -> f64 {
    (images.train.rows() * history.epochs.len()) as f64 / history.seconds()
}

/// The keys of `--json` that a training fills.
pub fn json(images: &Images, history: &History, seed: u64) -> Value {
    let last = history.last();
    json!({
        "seed": seed,
        "epochs": history.epochs.len(),
        "seconds": history.seconds(),
        "samples_per_second": rate(images, history),
        "train_loss": last.map(|epoch| epoch.loss),
        "train_accuracy": last.and_then(|epoch| epoch.accuracy),
        "test_loss": last.and_then(|epoch| epoch.validation.as_ref()).map(Metrics::loss),
        "test_accuracy": accuracy(history),
        "test_accuracies": accuracies(history),
    })
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
    (0..set.rows()).map(|row| {
        let image = set.row(row).unwrap_or_default();
        let class = match set.answers() {
            Answers::Classes(classes) => classes[row] as usize,
            Answers::Values(_) => 0,
        };
        (image, class)
    })
}

/// Writes the pictures of a training into `folder`, and says where they are.
pub fn write_pictures(
    folder: &Path,
    title: &str,
    images: &Images,
    trainer: &mut Trainer,
    history: &History,
) -> Result<(), Exit> {
    pictures::save(folder.join("curves.svg"), pictures::curves(title, history))?;
    if let Some(confusion) = trainer.evaluate(&images.test)?.confusion() {
        pictures::save(folder.join("confusion.svg"), pictures::confusion(title, confusion, &images.classes))?;
    }
    let (tested, classes): (Vec<_>, Vec<_>) = rows(&images.test).unzip();
    let outputs = trainer.predict(&tested.concat())?;
    let answer = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
    let given = outputs.chunks(images.classes.len()).map(answer);
    let answered: Vec<_> = tested.into_iter().zip(classes).zip(given).map(|((i, c), a)| (i, c, a)).collect();
    let path = folder.join("answers.svg");
    answers(&path, title, images, &answered).map_err(|error| Exit::Failed(format!("{}: {error}", path.display())))?;
    super::say!("pictures: {}", folder.join("{curves,confusion,answers}.svg").display());
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
