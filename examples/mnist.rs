//! Classifies the images of MNIST or Fashion-MNIST: 60,000 training images of 28x28 pixels, and 10,000 test images.
//!
//!     cargo run --release --example mnist -- --data-dir DIR
//!     cargo run --release --example mnist -- --data-dir DIR --hidden 30 --batch-size 10 --learning-rate 15 --init normal
//!
//! DIR contains the four IDX files, optionally gzip-compressed. The second command trains the first network of Nielsen's
//! "Neural Networks and Deep Learning": 784-30-10, all sigmoid, weights and biases from N(0, 1), batches of 10 rows, 30
//! epochs. The book sums the squared error over the outputs and halves it. gradus takes the mean over the 10 outputs, so
//! the book's learning rate of 3.0 becomes 15. The book trains on 50,000 of the images, this example on all 60,000.

mod common;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gradus::{Activation, Init, Loss, Network, Optimizer, TrainerSettings};

use common::{
    Exit, classifier, device_name,
    experiment::{self, Experiment},
    mnist::{self, CLASSES, is_fashion},
    options::{DataDirOption, DeviceOptions, EpochsOption, JsonOption, OutDirOption, SeedOption},
    percent, print_line,
};

/// Trains a network to classify the images of MNIST or Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    data_dir: DataDirOption,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// Number of neurons in each hidden layer
    #[arg(long, value_delimiter = ',', default_value = "128", value_name = "NEURONS,..")]
    hidden: Vec<usize>,
    /// Number of rows per training step
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Learning rate [default: (1 - momentum) * 3 for mse, * 1 for binary_cross_entropy, * 0.1 for softmax_cross_entropy]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Momentum of stochastic gradient descent, in [0, 1)
    #[arg(long, default_value_t = 0.0)]
    momentum: f64,
    /// Activation of the hidden layers
    #[arg(long, default_value = "sigmoid")]
    activation: Activation,
    /// Loss: mse or binary_cross_entropy on ten sigmoid outputs, or softmax_cross_entropy on ten logits
    #[arg(long, default_value = "mse")]
    loss: Loss,
    /// Initialization of the weights. "normal" draws weights and biases from N(0, 1), the others set biases to 0
    #[arg(long, value_enum, default_value = "default")]
    init: InitName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InitName {
    Default,
    Normal,
    Glorot,
    He,
    Lecun,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let data_dir = mnist::directory(arguments.data_dir.path(), mnist::HOW_TO_GET)?;
    let images = mnist::load(&data_dir)?;
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/mnist")?;

    let network = network(arguments, images.train.inputs());
    let (loss, momentum) = (arguments.loss, arguments.momentum);
    let learning_rate = arguments.learning_rate.unwrap_or(default_learning_rate(loss, momentum));
    let optimizer = match momentum {
        0.0 => Optimizer::sgd(learning_rate),
        _ => Optimizer::momentum(learning_rate, momentum),
    };
    let (batch_size, seed) = (arguments.batch_size, arguments.seed.seed);
    let settings = TrainerSettings { batch_size, loss, optimizer, seed, ..TrainerSettings::default() };
    let epochs = arguments.epochs.or(30);

    let sizes: Vec<_> = network.layers().iter().map(|layer| layer.outputs.to_string()).collect();
    let layer_sizes = format!("{}-{}", network.inputs(), sizes.join("-"));
    eprintln!("{}: {} training images; network {layer_sizes}, loss {loss}", data_dir.display(), images.train.rows());
    let experiment =
        Experiment { device: &device, network: &network, train: &images.train, test: &images.test, epochs };
    let mut trained = experiment.run(settings)?;

    let history = &trained.history;
    let per_epoch: Vec<_> = experiment::accuracy_per_epoch(history).into_iter().map(percent).collect();
    print_line!("test accuracy after each epoch: {}", per_epoch.join(" "));
    experiment::print_accuracy(seed, experiment::accuracy(history), &images.test);
    let baseline = classifier::baseline_accuracy(&images);
    print_line!("baseline, nearest class mean: {}", percent(baseline));
    let samples_per_second = experiment::samples_per_second(&images.train, history);
    let (seconds, device_text) = (history.seconds(), device_name(&device));
    print_line!("training time: {seconds:.3} s on {device_text}, {samples_per_second:.0} samples/s");

    let data_set = if is_fashion(&data_dir) { "Fashion-MNIST" } else { "MNIST" };
    let mut keys = classifier::json(&images, history, seed);
    classifier::save_plots(&out_dir, &format!("{data_set}, {layer_sizes}, seed {seed}"), &images, &mut trained)?;
    keys["network"] = layer_sizes.into();
    keys["learning_rate"] = learning_rate.into();
    keys["data"] = data_dir.display().to_string().into();
    keys["baseline"] = "nearest class mean".into();
    keys["baseline_accuracy"] = baseline.into();
    arguments.json.print("mnist", &device, keys);
    Ok(())
}

fn default_learning_rate(loss: Loss, momentum: f64) -> f64 {
    let without_momentum = match loss {
        Loss::Mse => 3.0,
        Loss::BinaryCrossEntropy => 1.0,
        _ => 0.1,
    };
    // Momentum accumulates the gradients of about 1 / (1 - momentum) steps.
    without_momentum * (1.0 - momentum)
}

fn network(arguments: &Arguments, inputs: usize) -> Network {
    let mut network = Network::new(inputs);
    for neurons in &arguments.hidden {
        network = network.dense(*neurons, arguments.activation);
    }
    let output_activation = arguments.loss.required_output_activation().unwrap_or(Activation::Sigmoid);
    let network = network.dense(CLASSES, output_activation);
    match arguments.init {
        InitName::Default => network,
        InitName::Normal => network.init(Init::Normal { std: 1.0 }, Init::Normal { std: 1.0 }),
        InitName::Glorot => network.init(Init::GlorotUniform, Init::Zeros),
        InitName::He => network.init(Init::HeUniform, Init::Zeros),
        InitName::Lecun => network.init(Init::LecunUniform, Init::Zeros),
    }
}
