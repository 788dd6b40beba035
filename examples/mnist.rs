//! Trains on MNIST or Fashion-MNIST: 60,000 images of 28x28 pixels, and 10,000 that are held out.
//!
//!     cargo run --release --example mnist -- --data DIR
//!     cargo run --release --example mnist -- --data DIR --hidden 30 --batch 10 --learning-rate 15 --init normal
//!
//! DIR holds the four IDX files, plain or as `.gz`. The second line is the first network of Nielsen's
//! "Neural Networks and Deep Learning" (784-30-10, all sigmoid, weights and biases from N(0, 1), batches of 10, 30
//! epochs). The book sums the squared error over the outputs and halves it; here it is the mean over them, and 10
//! outputs turn its rate of 3.0 into 15. The book trains on 50,000 of the images, this on all 60,000.

mod common;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gradus::{Activation, Init, Loss, Network, Optimizer, TrainerSettings};
use serde_json::json;

use common::{
    Exit, classifier,
    experiment::{self, Experiment},
    mnist::{self, CLASSES, is_fashion},
    options::{DataOption, DeviceOptions, EpochsOption, JsonOption, OutOption, SeedOption},
    percent, print_line,
};

/// Trains on MNIST or Fashion-MNIST.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seed: SeedOption,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
    /// The widths of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "128", value_name = "WIDTH,..")]
    hidden: Vec<usize>,
    /// Images in a batch
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// The length of a step [default: 3 for mse, 1 for binary_cross_entropy, 0.1 for softmax_cross_entropy, times 1 - momentum]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// How much of its velocity a step keeps
    #[arg(long, default_value_t = 0.0)]
    momentum: f64,
    /// What the hidden neurons do with their sum
    #[arg(long, default_value = "sigmoid")]
    activation: Activation,
    /// mse and binary_cross_entropy on ten sigmoid outputs, softmax_cross_entropy on ten logits
    #[arg(long, default_value = "mse")]
    loss: Loss,
    /// Where the first weights come from; normal draws them and the biases from N(0, 1), the others start biases at 0
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
    let folder = mnist::folder(arguments.data.folder(), mnist::HOW_TO_GET)?;
    let images = mnist::images(&folder)?;
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/mnist")?;

    let network = network(arguments, images.train.inputs());
    let loss = arguments.loss;
    let rate = match loss {
        Loss::Mse => 3.0,
        Loss::BinaryCrossEntropy => 1.0,
        _ => 0.1,
    };
    let learning_rate = arguments.learning_rate.unwrap_or(rate * (1.0 - arguments.momentum));
    let optimizer = match arguments.momentum {
        0.0 => Optimizer::sgd(learning_rate),
        momentum => Optimizer::momentum(learning_rate, momentum),
    };
    let seed = arguments.seed.seed;
    let settings = TrainerSettings { batch_size: arguments.batch, loss, optimizer, seed, ..TrainerSettings::default() };
    let epochs = arguments.epochs.or(30);

    let widths: Vec<_> = network.layers().iter().map(|layer| layer.outputs.to_string()).collect();
    let shape = format!("{}-{}", network.inputs(), widths.join("-"));
    eprintln!("{}: {} images, {shape}, {loss}", folder.display(), images.train.rows());
    let experiment =
        Experiment { device: &device, network: &network, train: &images.train, test: &images.test, epochs };
    let mut trained = experiment.run(settings)?;

    let history = &trained.history;
    let accuracies: Vec<_> =
        experiment::accuracies(history).iter().map(|accuracy| format!("{:.2}", 100.0 * accuracy)).collect();
    print_line!("held out after each epoch, in %: {}", accuracies.join(" "));
    print_line!("{} of {} held-out images right", percent(experiment::accuracy(history)), images.test.rows());
    let baseline = classifier::nearest_class_mean(&images);
    print_line!("baseline, the class whose mean image is nearest: {}", percent(baseline));
    let rate = experiment::samples_per_second(&images.train, history);
    print_line!("{}: {:.3} s, {rate:.0} samples/s", common::described(&device), history.seconds());

    let title = format!("{}, {shape}, seed {seed}", if is_fashion(&folder) { "Fashion-MNIST" } else { "MNIST" });
    let mut own = classifier::json(&images, history, seed);
    classifier::write_pictures(&out, &title, &images, &mut trained)?;
    own["network"] = shape.into();
    own["learning_rate"] = learning_rate.into();
    own["data"] = folder.display().to_string().into();
    own["baseline"] = json!("nearest class mean");
    own["baseline_accuracy"] = baseline.into();
    arguments.json.print("mnist", &device, own);
    Ok(())
}

fn network(arguments: &Arguments, inputs: usize) -> Network {
    let dense = |network: Network, width: &usize| network.dense(*width, arguments.activation);
    let hidden = arguments.hidden.iter().fold(Network::new(inputs), dense);
    let network = hidden.dense(CLASSES, arguments.loss.required_output_activation().unwrap_or(Activation::Sigmoid));
    match arguments.init {
        InitName::Default => network,
        InitName::Normal => network.init(Init::Normal { std: 1.0 }, Init::Normal { std: 1.0 }),
        InitName::Glorot => network.init(Init::GlorotUniform, Init::Zeros),
        InitName::He => network.init(Init::HeUniform, Init::Zeros),
        InitName::Lecun => network.init(Init::LecunUniform, Init::Zeros),
    }
}
