//! Reports the results of a training run: printed metrics, plots, and files of the model.

use std::path::Path;

use gradus::{
    Dataset, Device, Features, History, Model, Predictor, Targets,
    data::table::Encoder,
    metrics::Metrics,
    plot,
    train::{Epoch, StopReason},
};
use serde_json::{Value, json};

use crate::{
    Arguments, baselines,
    common::{
        Exit, device_name, print_line,
        tables::{self, Prediction, TestMetrics},
    },
    training::{Trained, TrainingSetup},
};

/// Prints the metrics on the test set, draws the plots, and saves the model.
pub fn report(
    arguments: &Arguments,
    device: &Device,
    encoder: &Encoder,
    setup: &TrainingSetup,
    trained: Trained,
    out_dir: &Path,
) -> Result<(), Exit> {
    let Trained { mut model, history, test_loss } = trained;
    tables::add_metadata(&mut model, encoder)?;
    let predictions = predict(device, &model, &setup.test)?;
    let metrics = test_metrics(encoder, &setup.test, &predictions)?;
    let baselines = baselines::all(&setup.train_and_validation, &setup.test, encoder.classes())?;
    print_training(device, setup, &history);
    print_line!("metrics on {} test rows:", setup.test.rows());
    let labels: Vec<String> = baselines.iter().map(|baseline| format!("baseline, {}", baseline.name)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    print_line!("  {:<width$}  {}", "network", metrics.summary());
    for (label, baseline) in labels.iter().zip(&baselines) {
        print_line!("  {label:<width$}  {}", baseline.metrics.summary());
    }
    metrics.print_confusion(encoder.classes().unwrap_or_default());
    if metrics.score() < 1.0
        && let Some(better) = baselines.iter().find(|baseline| baseline.metrics.score() >= metrics.score())
    {
        print_line!(
            "the network is not better than the baseline {:?}; more rows, --hidden 16 or --dropout 0.2 may help",
            better.name
        );
    }

    let title = format!("{}, {}", encoder.target(), setup.network_description());
    let mut plots = vec!["curves"];
    plot::save(out_dir.join("curves.svg"), plot::training_curves(&title, &history))?;
    plots.push(plot_predictions(&title, out_dir, encoder, &setup.test, &metrics, &predictions)?);
    if plot_boundary(out_dir, device, encoder, &setup.data, &model)? {
        plots.push("boundary");
    }
    print_line!("plots: {}", out_dir.join(format!("{{{}}}.svg", plots.join(","))).display());
    if let Some(directory) = &arguments.save_dir {
        save_model(directory, &model, &history)?;
    }
    let mut keys = json_keys(arguments, encoder, setup, &history, &metrics);
    keys["test_loss"] = test_loss.into();
    let baseline_keys = baselines.iter().map(|baseline| {
        let mut keys = baseline.metrics.json();
        keys["name"] = baseline.name.as_str().into();
        keys
    });
    keys["baselines"] = baseline_keys.collect();
    arguments.json.print("train", device, keys);
    Ok(())
}

fn predict(device: &Device, model: &Model, data: &Dataset) -> Result<Vec<Prediction>, Exit> {
    let Features::F32(features) = data.features() else { return Ok(Vec::new()) };
    tables::predict(device, model, features)
}

fn test_metrics(encoder: &Encoder, data: &Dataset, predictions: &[Prediction]) -> Result<TestMetrics, Exit> {
    match data.targets() {
        Targets::Classes(ids) => {
            let pairs = ids.iter().zip(predictions).map(|(id, prediction)| (*id as usize, prediction.class));
            TestMetrics::from_classes(encoder.classes().map_or(0, <[String]>::len), pairs)
        }
        Targets::Values(values) => TestMetrics::from_values(
            values.iter().zip(predictions).map(|(value, prediction)| (*value, prediction.value)),
        ),
    }
}

/// Prints the network, the optimizer, and how the training ended.
fn print_training(device: &Device, setup: &TrainingSetup, history: &History) {
    let (optimizer, batch_size) = (setup.settings.optimizer, setup.settings.batch_size);
    print_line!("network: {}", setup.network_description());
    let (name, learning_rate) = (optimizer.name(), optimizer.learning_rate);
    print_line!("optimizer: {name}, learning rate {learning_rate}, batch size {batch_size}");
    let epochs = history.epochs.len();
    let end = match (history.stop_reason, history.best_epoch) {
        (StopReason::NoImprovement, Some(best)) => format!("stopped early, best epoch {}", best + 1),
        (_, Some(best)) if best + 1 < epochs => format!("best epoch {}", best + 1),
        (_, Some(_)) => format!("best epoch is the last: --epochs {} may help", 4 * epochs),
        (_, None) => "no epoch with a finite loss".to_owned(),
    };
    print_line!("epochs: {epochs}, {end}");
    print_line!("training time: {:.2} s on {}", history.seconds(), device_name(device));
}

/// Plots the confusion matrix, or the predictions over the targets. Returns the name of the plot.
fn plot_predictions(
    title: &str,
    out_dir: &Path,
    encoder: &Encoder,
    test: &Dataset,
    metrics: &TestMetrics,
    predictions: &[Prediction],
) -> Result<&'static str, Exit> {
    if let Targets::Values(targets) = test.targets() {
        let predicted: Vec<f32> = predictions.iter().map(|prediction| prediction.value).collect();
        let title = format!("{title}: {}", metrics.summary());
        plot::save(out_dir.join("predictions.svg"), plot::predicted_vs_target(&title, targets, &predicted))?;
        return Ok("predictions");
    }
    if let TestMetrics::Classes(confusion) = metrics {
        let classes = encoder.classes().unwrap_or_default();
        plot::save(out_dir.join("confusion.svg"), plot::confusion_matrix(title, confusion, classes))?;
    }
    Ok("confusion")
}

/// Plots the predictions over two features. Returns `false` if there are not exactly two features.
fn plot_boundary(
    out_dir: &Path,
    device: &Device,
    encoder: &Encoder,
    data: &Dataset,
    model: &Model,
) -> Result<bool, Exit> {
    let names = encoder.feature_names();
    let [first, second] = names.as_slice() else { return Ok(false) };
    let mut predictor = Predictor::from_model(device, model)?;
    let boundary = plot::DecisionBoundary::new(data, |inputs| predictor.predict(inputs))?;
    let title = format!("{} by {first} (horizontal) and {second} (vertical)", encoder.target());
    plot::save(out_dir.join("boundary.svg"), boundary.to_svg(&title, encoder.classes().unwrap_or_default()))?;
    Ok(true)
}

/// Saves the model and its history, and prints the command that uses the model.
fn save_model(directory: &Path, model: &Model, history: &History) -> Result<(), Exit> {
    model.save(directory.join("model.safetensors"))?;
    model.save_onnx(directory.join("model.onnx"))?;
    plot::save(directory.join("history.csv"), history.to_csv())?;
    print_line!("saved: {}", directory.join("{model.safetensors,model.onnx,history.csv}").display());
    let directory = tables::shell_quoted(&directory.display().to_string());
    print_line!("to use the model: cargo run --release --example predict -- {directory} NEW.csv");
    Ok(())
}

/// Returns the keys of `--json`, except those of the baselines.
///
/// For a numeric target, the losses are those of targets with mean 0 and standard deviation 1.
fn json_keys(
    arguments: &Arguments,
    encoder: &Encoder,
    setup: &TrainingSetup,
    history: &History,
    metrics: &TestMetrics,
) -> Value {
    let best = history.best_epoch.and_then(|best| history.epochs.get(best)).or(history.last());
    let validation = best.and_then(|epoch: &Epoch| epoch.validation.as_ref());
    let rows = setup.train.rows() * history.epochs.len();
    let mut keys = json!({
        "seed": setup.settings.seed,
        "epochs": history.epochs.len(),
        "best_epoch": history.best_epoch.map(|best| best + 1),
        "seconds": history.seconds(),
        "samples_per_second": rows as f64 / history.seconds(),
        "train_loss": best.map(|epoch| epoch.loss),
        "train_accuracy": best.and_then(|epoch| epoch.accuracy),
        "validation_loss": validation.map(Metrics::loss),
        "target": encoder.target(),
        "classes": encoder.classes(),
        "features": encoder.feature_names(),
        "network": setup.network_description(),
        "train_rows": setup.train.rows(),
        "validation_rows": setup.validation.rows(),
        "test_rows": setup.test.rows(),
        "saved": arguments.save_dir,
    });
    if let (Some(keys), Value::Object(metrics)) = (keys.as_object_mut(), metrics.json()) {
        keys.extend(metrics);
    }
    keys
}
