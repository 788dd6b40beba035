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
use gradus::{Activation, Device, History, Loss, Network, Optimizer, Scaler, Scaling, Schedule, Settings};

use common::{
    Exit, Options,
    classifier::{self, Images, percent},
    mnist,
};

/// Tells clothes apart: Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Train this many networks one after the other, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
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

const HOW_TO_GET: &str = "run `sudo apt-get install dataset-fashion-mnist`";

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let options = &arguments.options;
    options.only(&["--epochs", "--seed", "--data"]);
    let seeds = classifier::seeds(options, arguments.seeds)?;
    let folder = mnist::folder(options.data.as_deref(), HOW_TO_GET)?;
    let mut images = mnist::images(&folder)?;
    let device = options.open()?;
    let scaler = Scaler::learn(Scaling::Standard, &images.train);
    images.train = images.train.with_scaling(&scaler)?;

    let mut accuracies = Vec::new();
    let mut seconds = 0.0;
    for seed in seeds.clone() {
        let history = train(arguments, &device, &images, seed)?;
        let accuracy = classifier::accuracy(&history);
        common::say!("seed {seed}: {} of {} held-out images right", percent(accuracy), images.test.rows());
        seconds += history.seconds();
        accuracies.push(accuracy);
    }
    let mut sorted = accuracies.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    if sorted.len() > 1 {
        common::say!("median of {} seeds: {}", sorted.len(), percent(median));
    }
    let baseline = classifier::nearest_class_mean(&images);
    common::say!("baseline, the class whose mean image is nearest: {}", percent(baseline));
    common::say!("{}: {seconds:.3} s", common::described(&device));
    let own = serde_json::json!({
        "seed": seeds.start(),
        "epochs": epochs(options),
        "seconds": seconds,
        "median_test_accuracy": median,
        "seed_accuracies": accuracies,
        "baseline": "nearest class mean",
        "baseline_accuracy": baseline,
        "data": folder.display().to_string(),
    });
    options.print_json("fashion", Some(&device), own);
    Ok(())
}

fn epochs(options: &Options) -> u32 {
    options.epochs.unwrap_or(30)
}

fn train(arguments: &Arguments, device: &Device, images: &Images, seed: u64) -> Result<History, Exit> {
    let hidden = |network: Network, width| network.dense(width, Activation::Relu).dropout(arguments.dropout);
    let network = [256, 128, 100].into_iter().fold(Network::new(images.train.inputs()), hidden);
    let network = network.dense(mnist::CLASSES, Activation::Identity);
    let epochs = epochs(&arguments.options);
    let steps = epochs as usize * images.train.rows().div_ceil(arguments.batch);
    let settings = Settings {
        batch: arguments.batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(arguments.learning_rate),
        schedule: Schedule::cosine(steps as u64),
        seed,
        ..Settings::default()
    };
    eprintln!("seed {seed}: {epochs} epochs of {} images", images.train.rows());
    let (_, history) = classifier::train(device, &network, images, &settings, epochs)?;
    Ok(history)
}
