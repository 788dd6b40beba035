//! Tells how strong a concrete is from what is in it and its age: 1,030 samples, which lie in `examples/data/`.
//!
//!     cargo run --release --example concrete -- --device cpu --seeds 5
//!
//! A fifth of the mixtures is held out, which the seed draws, with all samples of theirs: the same mixture is often tested
//! at several ages, and if one sample of it were learned, the others would be too easy. Beside the network stand linear
//! regressions by least squares on the same samples.

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
    experiment::{Scores, SeedRun, SeedRuns, run_seeds},
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedsOptions},
    print_line,
    random::Random,
};

/// Tells how strong a concrete is.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seeds: SeedsOptions,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Seven ingredients in kg a cubic metre, and the age in days.
const FEATURES: usize = 8;

/// What is shown of the first seed.
struct FirstRun {
    network: MlpRegressor,
    train: Samples,
    test: Samples,
    told: Vec<f32>,
}

/// Rows of features, and a strength in MPa for each.
#[derive(Default)]
struct Samples {
    features: Vec<f32>,
    strengths: Vec<f32>,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.seeds.range()?;
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/concrete")?;
    let epochs = arguments.epochs.or(300);

    let mut linear = Scores::default();
    let mut log_linear = Scores::default();
    let SeedRuns { scores, first } = run_seeds(seeds.clone(), |seed| {
        let (train, test) = split(seed)?;
        // The network learns strengths that are scaled, and tells scaled ones; r² is the same of both.
        let scale = Scaler::fit_rows(Scaling::Standard, 1, &train.strengths)?;
        let scaled = |strengths: &[f32]| {
            let mut scaled = strengths.to_vec();
            scale.transform(&mut scaled).map(|()| scaled)
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
        let score = network.score(&test.features, &scaled(&test.strengths)?)?;
        let told = network.predict(&test.features)?;
        let told: Vec<f32> = told.iter().map(|y| y / scale.scale()[0] + scale.offset()[0]).collect();
        let rows = test.strengths.len();
        print_line!("seed {seed}: r² {score:.3} on {rows} held-out samples, off by {:.2} MPa", off(&told, &test));
        linear.0.push(least_squares(&train, &test, |features| features.to_vec()));
        log_linear.0.push(least_squares(&train, &test, |features| {
            let mut features = features.to_vec();
            features[FEATURES - 1] = features[FEATURES - 1].ln();
            features
        }));
        Ok(SeedRun { score, result: FirstRun { network, train, test, told } })
    })?;
    let FirstRun { network, train, test, told } = first;
    if scores.0.len() > 1 {
        let (mean, deviation) = (scores.mean(), scores.deviation());
        print_line!("{} seeds: r² {mean:.3} in the mean, standard deviation {deviation:.3}", scores.0.len());
    }
    print_line!("baseline, linear regression: r² {:.3}", linear.mean());
    print_line!("baseline, linear regression on the logarithm of the age: r² {:.3}", log_linear.mean());

    let picture = out.join("told.svg");
    let title = format!("Strength of concrete in MPa, 8-64-64-1, seed {}", seeds.start());
    plot::save(&picture, plot::predicted_vs_target(&title, &test.strengths, &told))?;
    print_line!("picture: {}", picture.display());
    let seconds = network.history().map_or(f64::NAN, gradus::History::seconds);
    print_line!("{}: {seconds:.3} s of training", common::described(&device));
    let own = json!({
        "seed": seeds.start(),
        "epochs": network.n_iter(),
        "seconds": seconds,
        "samples_per_second": (train.strengths.len() * network.n_iter()) as f64 / seconds,
        "train_loss": network.loss_curve().last(),
        "test_r2": scores.0[0],
        "test_rmse": off(&told, &test),
        "held_out": test.strengths.len(),
        "mean_test_r2": scores.mean(),
        "deviation_of_test_r2": scores.deviation(),
        "seed_r2s": scores.0,
        "baseline": "linear regression",
        "baseline_r2": linear.mean(),
        "baselines": { "linear regression": linear.0, "linear regression, log of the age": log_linear.0 },
    });
    arguments.json.print("concrete", &device, own);
    Ok(())
}

/// The samples in two parts, with a fifth of the mixtures in the second.
fn split(seed: u64) -> Result<(Samples, Samples), Exit> {
    let mut mixtures: Vec<Vec<Vec<f32>>> = Vec::new();
    let mut numbers = HashMap::new();
    for (number, line) in (1..).zip(include_str!("data/concrete.csv").lines()).skip(1) {
        let values: Result<Vec<f32>, _> = line.split(',').map(str::parse).collect();
        let values = values.ok().filter(|values| values.len() == FEATURES + 1);
        let wrong = || Exit::Failed(format!("examples/data/concrete.csv: line {number} is not nine numbers"));
        let values = values.ok_or_else(wrong)?;
        let ingredients: Vec<u32> = values[..FEATURES - 1].iter().map(|value| value.to_bits()).collect();
        let mixture = *numbers.entry(ingredients).or_insert(mixtures.len());
        if mixture == mixtures.len() {
            mixtures.push(Vec::new());
        }
        mixtures[mixture].push(values);
    }
    Random::new(seed).shuffle(&mut mixtures);
    let part = |mixtures: &[Vec<Vec<f32>>]| {
        let mut samples = Samples::default();
        for values in mixtures.iter().flatten() {
            samples.features.extend(&values[..FEATURES]);
            samples.strengths.push(values[FEATURES]);
        }
        samples
    };
    let (test, train) = mixtures.split_at(mixtures.len() / 5);
    Ok((part(train), part(test)))
}

/// The root of the mean squared error.
fn off(told: &[f32], test: &Samples) -> f64 {
    let squares = told.iter().zip(&test.strengths).map(|(y, t)| f64::from(y - t).powi(2));
    (squares.sum::<f64>() / told.len() as f64).sqrt()
}

/// r² on `test` of the linear regression that fits `train` best, on features that `prepare` made.
fn least_squares(train: &Samples, test: &Samples, prepare: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
    const N: usize = FEATURES + 1;
    let rows = |samples: &Samples| -> Vec<[f64; N]> {
        let row = |features| {
            let mut row = [1.0; N];
            row.iter_mut().zip(prepare(features)).for_each(|(to, value)| *to = f64::from(value));
            row
        };
        samples.features.chunks_exact(FEATURES).map(row).collect()
    };
    // The normal equations, with what they equal in the last column.
    let mut a = [[0.0; N + 1]; N];
    for (row, strength) in rows(train).iter().zip(&train.strengths) {
        for i in 0..N {
            (0..N).for_each(|j| a[i][j] += row[i] * row[j]);
            a[i][N] += row[i] * f64::from(*strength);
        }
    }
    // Gauss and Jordan; the matrix is positive definite, so that no pivot is 0.
    for i in 0..N {
        let pivot = a[i].map(|value| value / a[i][i]);
        for row in &mut a {
            let factor = row[i];
            row.iter_mut().zip(pivot).for_each(|(value, p)| *value -= factor * p);
        }
        a[i] = pivot;
    }
    let told = rows(test).into_iter().map(|row| row.iter().zip(&a).map(|(x, a)| x * a[N]).sum::<f64>());
    let answers: Vec<f64> = test.strengths.iter().map(|t| f64::from(*t)).collect();
    let mean = answers.iter().sum::<f64>() / answers.len() as f64;
    let squared: f64 = told.zip(&answers).map(|(y, t)| (y - t).powi(2)).sum();
    1.0 - squared / answers.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
}
