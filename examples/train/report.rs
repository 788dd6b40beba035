//! What came of a training: in words, as pictures and as files.

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
        Exit, print_line,
        tables::{self, TestMetrics},
    },
    training::{Trained, TrainingSetup},
};

/// Tells all of it.
pub fn tell(
    arguments: &Arguments,
    device: &Device,
    encoder: &Encoder,
    setup: &TrainingSetup,
    trained: Trained,
    out: &Path,
) -> Result<(), Exit> {
    let Trained { mut model, history, loss } = trained;
    tables::note(&mut model, encoder)?;
    let answers = answers(device, &model, &setup.test)?;
    let metrics = judged(encoder, &setup.test, &answers)?;
    let baselines = baselines::all(&setup.learn, &setup.test, encoder.classes())?;
    print_line!("{}", course(setup, &history));
    print_line!("on the {} rows held out:", setup.test.rows());
    let wide = baselines.iter().map(|(name, _)| name.chars().count() + 10).max().unwrap_or(0);
    print_line!("  {:<wide$}  {}", "the network", metrics.words());
    for (name, baseline) in &baselines {
        print_line!("  {:<wide$}  {}", format!("baseline, {name}"), baseline.words());
    }
    metrics.print_confusion(encoder.classes().unwrap_or_default());
    if metrics.score() < 1.0
        && let Some((name, _)) = baselines.iter().find(|(_, baseline)| baseline.score() >= metrics.score())
    {
        print_line!(
            "the network is no better than the baseline {name:?}; what may help: more rows, --hidden 16, --dropout 0.2"
        );
    }

    let title = format!("{}, {}", encoder.target(), setup.words());
    let drawn = draw(&title, out, device, encoder, setup, &model, (&history, &metrics, &answers))?;
    print_line!("pictures: {}", out.join(drawn).display());
    if let Some(folder) = &arguments.save {
        model.save(folder.join("model.safetensors"))?;
        model.save_onnx(folder.join("model.onnx"))?;
        plot::save(folder.join("history.csv"), history.to_csv())?;
        print_line!("saved: {}", folder.join("{model.safetensors,model.onnx,history.csv}").display());
        print_line!("to use it: cargo run --release --example predict -- {} NEW.csv", quoted(folder));
    }
    let mut own = keys(arguments, encoder, setup, &history, &metrics);
    own["test_loss"] = loss.into();
    let each = baselines.iter().map(|(name, baseline)| {
        let mut keys = baseline.json();
        keys["name"] = name.as_str().into();
        keys
    });
    own["baselines"] = each.collect();
    arguments.json.print("train", device, own);
    Ok(())
}

/// A path as a command line takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    if path.contains(' ') { format!("{path:?}") } else { path }
}

/// What the network says to rows.
fn answers(device: &Device, model: &Model, data: &Dataset) -> Result<Vec<(usize, f32)>, Exit> {
    let Features::F32(features) = data.features() else { return Ok(Vec::new()) };
    tables::answers(device, model, features)
}

fn judged(encoder: &Encoder, data: &Dataset, answers: &[(usize, f32)]) -> Result<TestMetrics, Exit> {
    match data.targets() {
        Targets::Classes(ids) => {
            let pairs = ids.iter().zip(answers).map(|(id, (class, _))| (*id as usize, *class));
            TestMetrics::of_classes(encoder.classes().map_or(0, <[String]>::len), pairs)
        }
        Targets::Values(values) => {
            TestMetrics::of_numbers(values.iter().zip(answers).map(|(value, (_, answer))| (*value, *answer)))
        }
    }
}

/// How the training went, in a line.
fn course(setup: &TrainingSetup, history: &History) -> String {
    let epochs = history.epochs.len();
    let ended = match (history.stop_reason, history.best_epoch) {
        (StopReason::NoImprovement, Some(best)) => {
            format!("{epochs} epochs, then no better than after epoch {}", best + 1)
        }
        (_, Some(best)) if best + 1 < epochs => format!("{epochs} epochs, the best was epoch {}", best + 1),
        (_, Some(_)) => format!("{epochs} epochs, of which the last was the best: --epochs {} may help", 4 * epochs),
        _ => format!("{epochs} epochs, none with a loss that is a number"),
    };
    let optimizer = setup.settings.optimizer;
    let (name, rate, batch) = (optimizer.name(), optimizer.learning_rate, setup.settings.batch_size);
    format!("{}, {name} with rate {rate}, batches of {batch}: {ended}; {:.2} s", setup.words(), history.seconds())
}

/// The keys of `--json` but for those of the baselines. Losses are those of answers with mean 0 and deviation 1, if they are
/// numbers.
fn keys(
    arguments: &Arguments,
    encoder: &Encoder,
    setup: &TrainingSetup,
    history: &History,
    metrics: &TestMetrics,
) -> Value {
    let told = history.best_epoch.and_then(|best| history.epochs.get(best)).or(history.last());
    let validation = told.and_then(|epoch: &Epoch| epoch.validation.as_ref());
    let rows = setup.train.rows() * history.epochs.len();
    let mut keys = json!({
        "seed": setup.settings.seed,
        "epochs": history.epochs.len(),
        "best_epoch": history.best_epoch.map(|best| best + 1),
        "seconds": history.seconds(),
        "samples_per_second": rows as f64 / history.seconds(),
        "train_loss": told.map(|epoch| epoch.loss),
        "train_accuracy": told.and_then(|epoch| epoch.accuracy),
        "validation_loss": validation.map(Metrics::loss),
        "target": encoder.target(),
        "classes": encoder.classes(),
        "features": encoder.feature_names(),
        "network": setup.words(),
        "train_rows": setup.train.rows(),
        "validation_rows": setup.validation.rows(),
        "test_rows": setup.test.rows(),
        "saved": arguments.save,
    });
    if let (Some(keys), Value::Object(more)) = (keys.as_object_mut(), metrics.json()) {
        keys.extend(more);
    }
    keys
}

/// Draws the pictures, and names them.
fn draw(
    title: &str,
    out: &Path,
    device: &Device,
    encoder: &Encoder,
    setup: &TrainingSetup,
    model: &Model,
    (history, metrics, answers): (&History, &TestMetrics, &[(usize, f32)]),
) -> Result<String, Exit> {
    plot::save(out.join("curves.svg"), plot::training_curves(title, history))?;
    let mut names = vec!["curves"];
    match (metrics, setup.test.targets()) {
        (TestMetrics::Classes(confusion), _) => {
            let classes = encoder.classes().unwrap_or_default();
            plot::save(out.join("confusion.svg"), plot::confusion_matrix(title, confusion, classes))?;
            names.push("confusion");
        }
        (_, Targets::Values(expected)) => {
            let predicted: Vec<f32> = answers.iter().map(|(_, answer)| *answer).collect();
            let about = format!("{title}: {}", metrics.words());
            plot::save(out.join("predictions.svg"), plot::predicted_vs_target(&about, expected, &predicted))?;
            names.push("predictions");
        }
        _ => {}
    }
    if let [first, second] = encoder.feature_names().as_slice() {
        let mut predictor = Predictor::from_model(device, model)?;
        let boundary = plot::DecisionBoundary::new(&setup.data, |inputs| predictor.predict(inputs))?;
        let title = format!("{} by {first} (first) and {second} (second)", encoder.target());
        plot::save(out.join("boundary.svg"), boundary.to_svg(&title, encoder.classes().unwrap_or_default()))?;
        names.push("boundary");
    }
    Ok(format!("{{{}}}.svg", names.join(",")))
}
