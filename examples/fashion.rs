//! Classifies images of clothes: Fashion-MNIST, 60,000 training images of 28x28 pixels and 10,000 test images.
//!
//!     sudo apt-get install dataset-fashion-mnist
//!     cargo run --release --example fashion -- --runs 3
//!
//! The network is the 784-256-128-100-10 of the data set's own list of results, whose author reports an accuracy of
//! 88.33%. The pixels stay bytes; the device scales each pixel to mean 0 and standard deviation 1. The optimizer is Adam
//! with cosine annealing, and the hidden layers have dropout. The result is the test accuracy after the last epoch: no
//! choice depends on the test images.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Device, History, Loss, Network, Optimizer, Schedule, TrainerSettings,
    data::{Scaler, Scaling},
};
use serde_json::json;

use common::{
    Exit,
    classifier::{self, ImageSplit},
    experiment::{self, Experiment, Run, run_each},
    mnist,
    options::{DataDirOption, DeviceOptions, EpochsOption, JsonOption, RunsOptions},
    percent, print_line,
};

/// Trains a network to classify the images of Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    runs: RunsOptions,
    #[command(flatten)]
    data_dir: DataDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// Number of rows per training step
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Initial learning rate
    #[arg(long, default_value_t = 0.001)]
    learning_rate: f64,
    /// Dropout probability of the hidden layers, in [0, 1)
    #[arg(long, default_value_t = 0.2)]
    dropout: f64,
}

const EPOCHS: usize = 30;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.runs.seeds()?;
    let first_seed = *seeds.start();
    let data_dir = mnist::directory(arguments.data_dir.path(), mnist::HOW_TO_GET_FASHION)?;
    let mut images = mnist::load(&data_dir)?;
    let device = arguments.device.open()?;
    let scaler = Scaler::fit(Scaling::Standard, &images.train);
    images.train = images.train.with_scaler(&scaler)?;

    let mut seconds = 0.0;
    let scores = run_each(seeds, |seed| {
        let history = train(arguments, &device, &images, seed)?;
        let accuracy = experiment::accuracy(&history);
        experiment::print_accuracy(seed, accuracy, &images.test);
        seconds += history.seconds();
        Ok(Run { score: accuracy, result: () })
    })?
    .scores;
    let median = scores.median();
    if scores.0.len() > 1 {
        print_line!("test accuracy of {} runs: median {}", scores.0.len(), percent(median));
    }
    let baseline = classifier::baseline_accuracy(&images);
    print_line!("baseline, nearest class mean: {}", percent(baseline));
    experiment::print_training_time(&device, seconds);
    let keys = json!({
        "seed": first_seed,
        "epochs": arguments.epochs.or(EPOCHS),
        "seconds": seconds,
        "median_test_accuracy": median,
        "test_accuracy_per_run": scores.0,
        "baseline": "nearest class mean",
        "baseline_accuracy": baseline,
        "data": data_dir.display().to_string(),
    });
    arguments.json.print("fashion", &device, keys);
    Ok(())
}

/// Trains the network with one seed, and returns its history.
fn train(arguments: &Arguments, device: &Device, images: &ImageSplit, seed: u64) -> Result<History, Exit> {
    let mut network = Network::new(images.train.inputs());
    for neurons in [256, 128, 100] {
        network = network.dense(neurons, Activation::Relu).dropout(arguments.dropout);
    }
    let network = network.dense(mnist::CLASSES, Activation::Identity);
    let epochs = arguments.epochs.or(EPOCHS);
    let experiment = Experiment { device, network: &network, train: &images.train, test: &images.test, epochs };
    let settings = TrainerSettings {
        batch_size: arguments.batch_size,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(arguments.learning_rate),
        schedule: Schedule::cosine(experiment.total_steps(arguments.batch_size)),
        seed,
        ..TrainerSettings::default()
    };
    eprintln!("seed {seed}: {epochs} epochs of {} images", images.train.rows());
    Ok(experiment.run(settings)?.history)
}
