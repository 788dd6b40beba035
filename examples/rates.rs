//! The learning-rate range test (Smith 2017) on the handwritten digits: the rate grows from step to step, and a picture
//! shows what the loss makes of it.
//!
//!     cargo run --release --example rates
//!     cargo run --release --example rates -- --device cpu --optimizer adam
//!
//! A good rate lies where the loss falls fast, and well below the one from which on it grows.

mod common;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gradus::{Activation, Loss, Network, Optimizer, TrainerSettings, plot, train::LearningRateFinder};
use serde_json::json;

use common::{
    Exit, digits,
    experiment::{self, Experiment},
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedOption},
    percent, print_line,
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
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
    /// What the steps do with the rate
    #[arg(long, value_enum, default_value = "momentum")]
    optimizer: Rule,
    /// How many steps the test takes
    #[arg(long, default_value_t = 100)]
    steps: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rule {
    Sgd,
    Momentum,
    Adam,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/rates")?;
    let images = digits::images().map_err(Exit::Failed)?;

    let network = Network::new(64).dense(128, Activation::Relu).dense(10, Activation::Identity);
    let optimizer = |rate| match arguments.optimizer {
        Rule::Sgd => Optimizer::sgd(rate),
        Rule::Momentum => Optimizer::momentum(rate, 0.9),
        Rule::Adam => Optimizer::adam(rate),
    };
    let (loss, seed) = (Loss::SoftmaxCrossEntropy, arguments.seed.seed);
    let settings = |rate| TrainerSettings { loss, optimizer: optimizer(rate), seed, ..TrainerSettings::default() };
    let test = LearningRateFinder { steps: arguments.steps, ..LearningRateFinder::default() };
    let rates = test.run(&device, &network, &images.train, settings(1.0))?;
    for (rate, loss) in rates.points.iter().step_by(10) {
        print_line!("{rate:>10.2e}: loss {loss:.4}");
    }
    let name = optimizer(1.0).name();
    let picture = out.join("rates.svg");
    let title = format!("Learning rates for the digits, 64-128-10, {name}, seed {seed}");
    plot::save(&picture, plot::learning_rate_curve(&title, &rates))?;

    let mut own = json!({ "seed": seed, "optimizer": name, "rates": rates.points, "suggestion": rates.suggestion });
    match rates.suggestion {
        None => print_line!("the loss never fell"),
        Some(rate) => {
            let epochs = arguments.epochs.or(30);
            let experiment =
                Experiment { device: &device, network: &network, train: &images.train, test: &images.test, epochs };
            let accuracy = experiment::accuracy(&experiment.run(settings(rate))?.history);
            print_line!(
                "suggested: {rate:.2e}; {epochs} epochs with it: {} of the held-out digits right",
                percent(accuracy)
            );
            own["test_accuracy"] = accuracy.into();
            own["epochs"] = epochs.into();
        }
    }
    print_line!("picture: {}", picture.display());
    arguments.json.print("rates", &device, own);
    Ok(())
}
