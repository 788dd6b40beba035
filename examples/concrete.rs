//! Predicts the compressive strength of concrete from its ingredients and age, with `MlpRegressor`.
//!
//!     cargo run --release --example concrete -- --device cpu --runs 5
//!
//! The data set has 1,030 samples, in `examples/data/concrete.csv`. A fifth of the mixtures is held out, with all of their
//! samples. The same mixture is often measured at several ages, so a training set with one of its samples would make the
//! others too easy. The seed selects the mixtures. The baselines are two linear regressions by least squares.

mod common;

use std::{collections::HashMap, process::ExitCode};

use clap::Parser;
use gradus::{
    Activation, MlpRegressor,
    data::{Scaler, Scaling},
    estimator::LearningRate,
    plot,
};
use serde_json::json;

use common::{
    Exit,
    experiment::{self, Run, Runs, Scores, run_each},
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, RunsOptions},
    print_line,
    random::Random,
};

/// Trains a network to predict the compressive strength of concrete.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    runs: RunsOptions,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
}

/// The number of features: seven ingredients in kg/m³, and the age in days.
const FEATURES: usize = 8;

/// Samples of concrete.
#[derive(Default)]
struct Samples {
    /// `[rows, FEATURES]`.
    features: Vec<f32>,
    /// The compressive strength in MPa, `[rows]`.
    strengths: Vec<f32>,
}

/// The result of a run.
struct RunResult {
    network: MlpRegressor,
    train: Samples,
    test: Samples,
    /// The predicted strengths of the test samples in MPa.
    predictions: Vec<f32>,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.runs.seeds()?;
    let first_seed = *seeds.start();
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/concrete")?;
    let epochs = arguments.epochs.or(300);

    let mut linear = Scores::default();
    let mut log_age_linear = Scores::default();
    let Runs { scores, first } = run_each(seeds, |seed| {
        let (train, test) = split(seed)?;
        // The network trains on scaled strengths and predicts scaled strengths. Scaling does not change r².
        let scaler = Scaler::fit_rows(Scaling::Standard, 1, &train.strengths)?;
        let scaled = |strengths: &[f32]| {
            let mut scaled = strengths.to_vec();
            scaler.transform(&mut scaled).map(|()| scaled)
        };
        let mut network = MlpRegressor::new()
            .hidden_layer_sizes([64, 64])
            .activation(Activation::Relu)
            .batch_size(32)
            .learning_rate_init(0.003)
            .learning_rate(LearningRate::Adaptive)
            .max_iter(epochs)
            .scaling(Scaling::Standard)
            .random_state(seed)
            .device(device.clone());
        network.fit(&train.features, &scaled(&train.strengths)?)?;
        let r2 = network.score(&test.features, &scaled(&test.strengths)?)?;
        let scaled_predictions = network.predict(&test.features)?;
        let (scale, offset) = (scaler.scale()[0], scaler.offset()[0]);
        let predictions: Vec<f32> = scaled_predictions.iter().map(|y| y / scale + offset).collect();
        let (rmse, rows) = (root_mean_squared_error(&predictions, &test.strengths), test.strengths.len());
        print_line!("seed {seed}: r² {r2:.3}, RMSE {rmse:.2} MPa on {rows} test samples");
        linear.0.push(linear_regression_r2(&train, &test, |features| features.to_vec()));
        log_age_linear.0.push(linear_regression_r2(&train, &test, |features| {
            let mut features = features.to_vec();
            features[FEATURES - 1] = features[FEATURES - 1].ln();
            features
        }));
        Ok(Run { score: r2, result: RunResult { network, train, test, predictions } })
    })?;
    let RunResult { network, train, test, predictions } = first;
    if scores.0.len() > 1 {
        print_line!("r² of {} runs: mean {:.3}, std {:.3}", scores.0.len(), scores.mean(), scores.std());
    }
    print_line!("baseline, linear regression: r² {:.3}", linear.mean());
    print_line!("baseline, linear regression on the logarithm of the age: r² {:.3}", log_age_linear.mean());

    let plot_path = out_dir.join("predictions.svg");
    let title = format!("Strength of concrete in MPa, 8-64-64-1, seed {first_seed}");
    plot::save(&plot_path, plot::predicted_vs_target(&title, &test.strengths, &predictions))?;
    print_line!("plot: {}", plot_path.display());
    let seconds = network.history().map_or(f64::NAN, gradus::History::seconds);
    experiment::print_training_time(&device, seconds);
    let keys = json!({
        "seed": first_seed,
        "epochs": network.n_iter(),
        "seconds": seconds,
        "samples_per_second": (train.strengths.len() * network.n_iter()) as f64 / seconds,
        "train_loss": network.loss_curve().last(),
        "test_r2": scores.0[0],
        "test_rmse": root_mean_squared_error(&predictions, &test.strengths),
        "test_rows": test.strengths.len(),
        "mean_test_r2": scores.mean(),
        "std_test_r2": scores.std(),
        "test_r2_per_run": scores.0,
        "baseline": "linear regression",
        "baseline_r2": linear.mean(),
        "baselines": {
            "linear regression": linear.0,
            "linear regression on the logarithm of the age": log_age_linear.0,
        },
    });
    arguments.json.print("concrete", &device, keys);
    Ok(())
}

/// Returns the training and the test samples. The test samples are those of a fifth of the mixtures.
fn split(seed: u64) -> Result<(Samples, Samples), Exit> {
    let mut mixtures = load_mixtures()?;
    Random::new(seed).shuffle(&mut mixtures);
    let samples = |mixtures: &[Vec<Vec<f32>>]| {
        let mut samples = Samples::default();
        for values in mixtures.iter().flatten() {
            samples.features.extend(&values[..FEATURES]);
            samples.strengths.push(values[FEATURES]);
        }
        samples
    };
    let (test, train) = mixtures.split_at(mixtures.len() / 5);
    Ok((samples(train), samples(test)))
}

/// Returns the samples of each mixture. A sample is the features, followed by the strength.
fn load_mixtures() -> Result<Vec<Vec<Vec<f32>>>, Exit> {
    let mut mixtures: Vec<Vec<Vec<f32>>> = Vec::new();
    let mut index_by_ingredients = HashMap::new();
    for (number, line) in (1..).zip(include_str!("data/concrete.csv").lines()).skip(1) {
        let values: Result<Vec<f32>, _> = line.split(',').map(str::parse).collect();
        let Some(values) = values.ok().filter(|values| values.len() == FEATURES + 1) else {
            let file = "examples/data/concrete.csv";
            return Err(Exit::Failed(format!("{file}: line {number}: expected 9 numbers, got {line:?}")));
        };
        let ingredients: Vec<u32> = values[..FEATURES - 1].iter().map(|value| value.to_bits()).collect();
        let index = *index_by_ingredients.entry(ingredients).or_insert(mixtures.len());
        if index == mixtures.len() {
            mixtures.push(Vec::new());
        }
        mixtures[index].push(values);
    }
    Ok(mixtures)
}

fn root_mean_squared_error(predictions: &[f32], targets: &[f32]) -> f64 {
    let squares = predictions.iter().zip(targets).map(|(y, t)| f64::from(y - t).powi(2));
    (squares.sum::<f64>() / predictions.len() as f64).sqrt()
}

/// Fits a linear regression to the training samples, and returns its r² on the test samples.
///
/// `prepare` computes the features of the regression from those of a sample.
fn linear_regression_r2(train: &Samples, test: &Samples, prepare: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
    // The number of coefficients: one per feature, and the intercept in the last column.
    const N: usize = FEATURES + 1;
    let rows = |samples: &Samples| -> Vec<[f64; N]> {
        let row = |features| {
            let mut row = [1.0; N];
            row.iter_mut().zip(prepare(features)).for_each(|(to, value)| *to = f64::from(value));
            row
        };
        samples.features.chunks_exact(FEATURES).map(row).collect()
    };
    // The normal equations, with the right-hand side in the last column.
    let mut a = [[0.0; N + 1]; N];
    for (row, strength) in rows(train).iter().zip(&train.strengths) {
        for i in 0..N {
            (0..N).for_each(|j| a[i][j] += row[i] * row[j]);
            a[i][N] += row[i] * f64::from(*strength);
        }
    }
    // Gauss-Jordan elimination. The matrix is positive definite, so no pivot is 0.
    for i in 0..N {
        let pivot = a[i].map(|value| value / a[i][i]);
        for row in &mut a {
            let factor = row[i];
            row.iter_mut().zip(pivot).for_each(|(value, p)| *value -= factor * p);
        }
        a[i] = pivot;
    }
    let predictions = rows(test).into_iter().map(|row| row.iter().zip(&a).map(|(x, a)| x * a[N]).sum::<f64>());
    let targets: Vec<f64> = test.strengths.iter().map(|t| f64::from(*t)).collect();
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let squared_errors: f64 = predictions.zip(&targets).map(|(y, t)| (y - t).powi(2)).sum();
    1.0 - squared_errors / targets.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
}
