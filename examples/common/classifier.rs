//! Image classification: a data set with a test set, a baseline, and the plots of a trained network.

use std::path::Path;

use gradus::{Dataset, History, Targets, plot};
use serde_json::{Value, json};

use super::{
    Exit, argmax,
    experiment::{self, Trained},
    predictions_plot::{self, PredictedImage},
    print_line,
};

/// Grayscale images with class targets, split into a training and a test set.
pub struct ImageSplit {
    /// The width of an image in pixels.
    pub width: usize,
    pub class_names: Vec<String>,
    pub train: Dataset,
    /// The held-out images. The network never trains on them.
    pub test: Dataset,
}

/// Returns the keys of `--json` for a training run on images.
pub fn json(images: &ImageSplit, history: &History, seed: u64) -> Value {
    let mut keys = experiment::json(&images.train, history, seed);
    keys["train_accuracy"] = json!(history.last().and_then(|epoch| epoch.accuracy));
    keys["test_accuracy_per_epoch"] = json!(experiment::accuracy_per_epoch(history));
    keys
}

/// Returns the test accuracy of the nearest-class-mean baseline on images. See [`nearest_mean_accuracy`].
pub fn baseline_accuracy(images: &ImageSplit) -> f64 {
    nearest_mean_accuracy(&images.train, &images.test, images.class_names.len())
}

/// Returns the test accuracy of a baseline that predicts the class with the nearest mean.
///
/// The mean of a class is the mean of its training rows. The distance is Euclidean, on features without a scaler.
pub fn nearest_mean_accuracy(train: &Dataset, test: &Dataset, classes: usize) -> f64 {
    let mut means = vec![vec![0.0; train.inputs()]; classes];
    let mut counts = vec![0.0f64; means.len()];
    for (features, class) in rows(train) {
        counts[class] += 1.0;
        means[class].iter_mut().zip(features).for_each(|(sum, value)| *sum += f64::from(value));
    }
    for (mean, count) in means.iter_mut().zip(counts) {
        mean.iter_mut().for_each(|sum| *sum /= count.max(1.0));
    }
    let correct = rows(test).filter(|(features, class)| {
        let distance = |mean: &[f64]| mean.iter().zip(features).map(|(m, v)| (m - f64::from(*v)).powi(2)).sum::<f64>();
        let distances = means.iter().map(|mean| distance(mean)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).is_some_and(|(nearest, _)| nearest == *class)
    });
    correct.count() as f64 / test.rows() as f64
}

/// Returns the rows of a data set with class targets: the features without a scaler, and the class.
pub fn rows(data: &Dataset) -> impl Iterator<Item = (Vec<f32>, usize)> {
    (0..data.rows()).map(|row| {
        let features = data.row(row).unwrap_or_default();
        let class = match data.targets() {
            Targets::Classes(classes) => classes[row] as usize,
            Targets::Values(_) => 0,
        };
        (features, class)
    })
}

/// Writes the plots of a training run into `directory`, and prints their paths.
pub fn save_plots(directory: &Path, title: &str, images: &ImageSplit, trained: &mut Trained) -> Result<(), Exit> {
    let Trained { trainer, history } = trained;
    plot::save(directory.join("curves.svg"), plot::training_curves(title, history))?;
    if let Some(confusion) = trainer.evaluate(&images.test)?.confusion_matrix() {
        plot::save(directory.join("confusion.svg"), plot::confusion_matrix(title, confusion, &images.class_names))?;
    }
    let mut predicted = Vec::new();
    for (pixels, class) in rows(&images.test) {
        predicted.push(PredictedImage { pixels, class, prediction: 0 });
    }
    let inputs: Vec<f32> = predicted.iter().flat_map(|image| &image.pixels).copied().collect();
    let outputs = trainer.predict(&inputs)?;
    for (image, outputs) in predicted.iter_mut().zip(outputs.chunks(images.class_names.len())) {
        image.prediction = argmax(outputs);
    }
    let path = directory.join("predictions.svg");
    if let Err(error) = predictions_plot::draw(&path, title, images, &predicted) {
        return Err(Exit::Failed(format!("{}: {error}", path.display())));
    }
    print_line!("plots: {}", directory.join("{curves,confusion,predictions}.svg").display());
    Ok(())
}
