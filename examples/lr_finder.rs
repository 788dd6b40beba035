//! Finds a learning rate for the handwritten digits with a learning-rate range test (Smith 2017).
//!
//!     cargo run --release --example lr_finder
//!     cargo run --release --example lr_finder -- --device cpu --optimizer adam
//!
//! The test increases the learning rate from step to step, and plots the loss over the learning rate. A good learning rate
//! is where the loss falls fast, well below the learning rate at which the loss starts to grow.

mod common;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gradus::{Activation, Loss, Network, Optimizer, TrainerSettings, plot, train::LearningRateFinder};
use serde_json::json;

use common::{
    Exit, digits,
    experiment::{self, Experiment},
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, SeedOption},
    print_line,
};

/// Finds a learning rate for the handwritten digits.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// Optimizer
    #[arg(long, value_enum, default_value = "momentum")]
    optimizer: OptimizerName,
    /// Number of training steps of the range test
    #[arg(long, default_value_t = 100)]
    steps: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimizerName {
    Sgd,
    Momentum,
    Adam,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/lr_finder")?;
    let images = digits::load().map_err(Exit::Failed)?;

    let network = Network::new(64).dense(128, Activation::Relu).dense(10, Activation::Identity);
    let optimizer = |learning_rate| match arguments.optimizer {
        OptimizerName::Sgd => Optimizer::sgd(learning_rate),
        OptimizerName::Momentum => Optimizer::momentum(learning_rate, 0.9),
        OptimizerName::Adam => Optimizer::adam(learning_rate),
    };
    let (loss, seed) = (Loss::SoftmaxCrossEntropy, arguments.seed.seed);
    let settings = |optimizer| TrainerSettings { loss, optimizer, seed, ..TrainerSettings::default() };
    let finder = LearningRateFinder { steps: arguments.steps, ..LearningRateFinder::default() };
    // The finder replaces the learning rate of the optimizer.
    let curve = finder.run(&device, &network, &images.train, settings(optimizer(1.0)))?;
    for (learning_rate, loss) in curve.points.iter().step_by(10) {
        print_line!("learning rate {learning_rate:>8.2e}: loss {loss:.4}");
    }
    let optimizer_name = optimizer(1.0).name();
    let plot_path = out_dir.join("learning_rate_curve.svg");
    let title = format!("Learning rates for the digits, 64-128-10, {optimizer_name}, seed {seed}");
    plot::save(&plot_path, plot::learning_rate_curve(&title, &curve))?;

    let mut keys = json!({
        "seed": seed,
        "optimizer": optimizer_name,
        "points": curve.points,
        "suggested_learning_rate": curve.suggestion,
    });
    match curve.suggestion {
        None => print_line!("suggested learning rate: none, because the loss did not fall"),
        Some(learning_rate) => {
            print_line!("suggested learning rate: {learning_rate:.2e}");
            let epochs = arguments.epochs.or(30);
            let experiment =
                Experiment { device: &device, network: &network, train: &images.train, test: &images.test, epochs };
            let history = experiment.run(settings(optimizer(learning_rate)))?.history;
            let accuracy = experiment::accuracy(&history);
            experiment::print_accuracy(seed, accuracy, &images.test);
            keys["test_accuracy"] = accuracy.into();
            keys["epochs"] = epochs.into();
        }
    }
    print_line!("plot: {}", plot_path.display());
    arguments.json.print("lr_finder", &device, keys);
    Ok(())
}
