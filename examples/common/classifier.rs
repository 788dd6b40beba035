//! Images with classes, a baseline, and the results of a training on them.

use std::path::Path;

use gradus::{Dataset, History, Targets, plot};
use serde_json::{Value, json};

use super::{
    Exit,
    answers::{self, AnsweredImage},
    argmax,
    experiment::{self, Trained},
};

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

/// The keys of `--json` that a training fills.
pub fn json(images: &Images, history: &History, seed: u64) -> Value {
    let mut keys = experiment::json(&images.train, history, seed);
    keys["train_accuracy"] = json!(history.last().and_then(|epoch| epoch.accuracy));
    keys["test_accuracies"] = json!(experiment::accuracies(history));
    keys
}

/// The baseline beside the network: the accuracy on the test rows of the class whose mean image is the nearest, by
/// Euclidean distance.
pub fn nearest_class_mean(images: &Images) -> f64 {
    nearest_mean(&images.train, &images.test, images.classes.len())
}

/// [`nearest_class_mean`] for any rows, before they are scaled.
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
        let class = match set.targets() {
            Targets::Classes(classes) => classes[row] as usize,
            Targets::Values(_) => 0,
        };
        (image, class)
    })
}

/// Writes the pictures of a training into `folder`, and prints where they are.
pub fn write_pictures(folder: &Path, title: &str, images: &Images, trained: &mut Trained) -> Result<(), Exit> {
    let Trained { trainer, history } = trained;
    plot::save(folder.join("curves.svg"), plot::training_curves(title, history))?;
    if let Some(confusion) = trainer.evaluate(&images.test)?.confusion_matrix() {
        plot::save(folder.join("confusion.svg"), plot::confusion_matrix(title, confusion, &images.classes))?;
    }
    let mut answered = Vec::new();
    for (pixels, class) in rows(&images.test) {
        answered.push(AnsweredImage { pixels, class, answer: 0 });
    }
    let inputs: Vec<f32> = answered.iter().flat_map(|image| &image.pixels).copied().collect();
    let outputs = trainer.predict(&inputs)?;
    for (image, outputs) in answered.iter_mut().zip(outputs.chunks(images.classes.len())) {
        image.answer = argmax(outputs);
    }
    let path = folder.join("answers.svg");
    if let Err(error) = answers::draw(&path, title, images, &answered) {
        return Err(Exit::Failed(format!("{}: {error}", path.display())));
    }
    super::print_line!("pictures: {}", folder.join("{curves,confusion,answers}.svg").display());
    Ok(())
}
