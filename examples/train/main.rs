//! Trains a network on a CSV file, for those who write no code.
//!
//!     cargo run --release --example train -- flowers.csv --target species --save out/flowers
//!     cargo run --release --example predict -- out/flowers more-flowers.csv
//!
//! A fifth of the rows is held out: the network never learns from them, and what is said of its answers is said of
//! theirs. Of the others some decide when to stop. How the columns become numbers (which categories there are, what
//! stands for what is missing) is learned from all rows, without their answers; the scaling from those of the training alone.

#[path = "../common/mod.rs"]
mod common;

mod baselines;
mod columns;
mod report;
mod roles;
mod training;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use gradus::{
    Activation, Optimizer,
    data::table::{CsvSettings, TargetKind},
};

use columns::ColumnOptions;
use common::{
    Exit,
    csv_options::CsvOptions,
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedOption},
    tables::{self, Unknown},
};
use training::TrainingSetup;

/// Trains a network on a CSV file.
#[derive(Parser)]
pub struct Arguments {
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
    /// The CSV file: the names of its columns in the first line, a row in each other
    file: PathBuf,
    /// The column to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    #[command(flatten)]
    csv: CsvOptions,
    /// Columns that are not features; a name with a comma in an option of its own
    #[arg(long, value_name = "COLUMN,COLUMN")]
    ignore: Vec<String>,
    /// Columns that are categories although they look like numbers, such as postal codes
    #[arg(long, value_name = "COLUMN,COLUMN")]
    categories: Vec<String>,
    /// Columns that are features although they look like row numbers
    #[arg(long, value_name = "COLUMN,COLUMN")]
    keep: Vec<String>,
    /// Categories that the model does not know when it predicts: stop with an error, or ignore them
    #[arg(long, value_enum, default_value = "error")]
    unknown_categories: Unknown,
    /// Predict a class [default: if the target is text, or few different whole numbers]
    #[arg(long, conflicts_with = "regress")]
    classify: bool,
    /// Predict a number
    #[arg(long)]
    regress: bool,
    /// Missing values: stop with an error, or fill in the median (numbers) or a separate category
    #[arg(long, value_enum, default_value = "error")]
    missing: Missing,
    /// The widths of the hidden layers; 0 for none
    #[arg(long, value_name = "WIDTH,WIDTH", value_delimiter = ',', default_value = "64,64")]
    hidden: Vec<usize>,
    /// What hidden neurons do: relu, tanh, gelu, silu, elu, sigmoid and others
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// The share of hidden neurons that are dropped in each step
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// How the weights are changed
    #[arg(long, value_enum, default_value = "adam")]
    optimizer: Rule,
    /// The length of a step [default: the optimizer's]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// The rows of a step [default: 8 to 256, by the number of rows]
    #[arg(long)]
    batch: Option<usize>,
    /// The share of the rows to test on
    #[arg(long, default_value_t = 0.2)]
    hold_out: f64,
    /// How many epochs may be no better than the best before it stops
    #[arg(long, default_value_t = 10)]
    patience: usize,
    /// The folder for the model, its history and the pictures
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Missing {
    Error,
    Fill,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rule {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    Adamw,
    Rmsprop,
    Lion,
}

impl Rule {
    /// With a rate, or one that is right for most scaled data.
    fn optimizer(self, rate: Option<f64>) -> Optimizer {
        let or = |usual| rate.unwrap_or(usual);
        match self {
            Self::Sgd => Optimizer::sgd(or(0.05)),
            Self::Momentum => Optimizer::momentum(or(0.01), 0.9),
            Self::Nesterov => Optimizer::nesterov(or(0.01), 0.9),
            Self::Adam => Optimizer::adam(or(0.003)),
            Self::Adamw => Optimizer::adamw(or(0.003)),
            Self::Rmsprop => Optimizer::rmsprop(or(0.001)),
            Self::Lion => Optimizer::lion(or(0.0005)),
        }
    }
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let table = tables::open(&arguments.file, &arguments.csv.settings(&CsvSettings::default())?)?;
    let file = arguments.file.display().to_string();
    let options = ColumnOptions {
        target: arguments.target.as_deref(),
        ignore: &arguments.ignore,
        categories: &arguments.categories,
        keep: &arguments.keep,
        unseen: arguments.unknown_categories.unseen(),
        kind: match (arguments.classify, arguments.regress) {
            (true, _) => TargetKind::Classes,
            (_, true) => TargetKind::Values,
            _ => TargetKind::Auto,
        },
        fills: arguments.missing == Missing::Fill,
    };
    let (table, encoder) = columns::learn(&file, table, &options)?;
    let setup = TrainingSetup::new(arguments, &encoder, encoder.dataset(&table).map_err(tables::refused)?)?;
    let device = arguments.device.open()?;
    let saved = arguments.save.as_ref().map(|folder| folder.display().to_string());
    if let Some(folder) = &saved {
        let refused = |error| Exit::Usage(format!("--save {folder}: {error}"));
        std::fs::create_dir_all(folder).map_err(refused)?;
    }
    let out = arguments.out.create(saved.as_deref().unwrap_or("out/train"))?;
    let trained = setup.train(&device)?;
    report::tell(arguments, &device, &encoder, &setup, trained, &out)
}
