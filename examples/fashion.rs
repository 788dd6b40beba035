//! Tells clothes apart: Fashion-MNIST, 60,000 images of 28x28 pixels and 10,000 that are held out, by the network
//! 784-256-128-100-10 of the data set's own list, whose author reports 88.33 %.
//!
//!     sudo apt-get install dataset-fashion-mnist
//!     cargo run --release --example fashion -- --seeds 3
//!
//! The pixels stay bytes and are scaled on the device to mean 0 and deviation 1 each. Adam's rate falls along a cosine; a
//! share of the hidden outputs is dropped in training. The accuracy that counts is that after the last epoch: nothing is
//! chosen by the held-out images.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Device, History, Loss, Network, Optimizer, Schedule, TrainerSettings,
    data::{Scaler, Scaling},
};

use common::{
    Exit,
    classifier::{self, Images},
    experiment::{self, Experiment, SeedRun, run_seeds},
    mnist,
    options::{DataOption, DeviceOptions, EpochsOption, JsonOption, SeedsOptions},
    percent, print_line,
};

/// Tells clothes apart: Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seeds: SeedsOptions,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    json: JsonOption,
    /// Images in a batch
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// The first learning rate
    #[arg(long, default_value_t = 0.001)]
    learning_rate: f64,
    /// The share of each hidden layer's outputs that is dropped in training
    #[arg(long, default_value_t = 0.2)]
    dropout: f64,
}

const EPOCHS: usize = 30;

const HOW_TO_GET: &str = "run `sudo apt-get install dataset-fashion-mnist`";

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.seeds.range()?;
    let folder = mnist::folder(arguments.data.folder(), HOW_TO_GET)?;
    let mut images = mnist::images(&folder)?;
    let device = arguments.device.open()?;
    let scaler = Scaler::fit(Scaling::Standard, &images.train);
    images.train = images.train.with_scaler(&scaler)?;

    let mut seconds = 0.0;
    let scores = run_seeds(seeds.clone(), |seed| {
        let history = train(arguments, &device, &images, seed)?;
        let accuracy = experiment::accuracy(&history);
        print_line!("seed {seed}: {} of {} held-out images right", percent(accuracy), images.test.rows());
        seconds += history.seconds();
        Ok(SeedRun { score: accuracy, result: () })
    })?
    .scores;
    let median = scores.median();
    if scores.0.len() > 1 {
        print_line!("median of {} seeds: {}", scores.0.len(), percent(median));
    }
    let baseline = classifier::nearest_class_mean(&images);
    print_line!("baseline, the class whose mean image is nearest: {}", percent(baseline));
    print_line!("{}: {seconds:.3} s", common::described(&device));
    let own = serde_json::json!({
        "seed": seeds.start(),
        "epochs": arguments.epochs.or(EPOCHS),
        "seconds": seconds,
        "median_test_accuracy": median,
        "seed_accuracies": scores.0,
        "baseline": "nearest class mean",
        "baseline_accuracy": baseline,
        "data": folder.display().to_string(),
    });
    arguments.json.print("fashion", &device, own);
    Ok(())
}

fn train(arguments: &Arguments, device: &Device, images: &Images, seed: u64) -> Result<History, Exit> {
    let hidden = |network: Network, width| network.dense(width, Activation::Relu).dropout(arguments.dropout);
    let network = [256, 128, 100].into_iter().fold(Network::new(images.train.inputs()), hidden);
    let network = network.dense(mnist::CLASSES, Activation::Identity);
    let epochs = arguments.epochs.or(EPOCHS);
    let experiment = Experiment { device, network: &network, train: &images.train, test: &images.test, epochs };
    let settings = TrainerSettings {
        batch_size: arguments.batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(arguments.learning_rate),
        schedule: Schedule::cosine(experiment.steps(arguments.batch)),
        seed,
        ..TrainerSettings::default()
    };
    eprintln!("seed {seed}: {epochs} epochs of {} images", images.train.rows());
    Ok(experiment.run(settings)?.history)
}
