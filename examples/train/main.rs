//! Trains a network on a CSV file. No code is necessary.
//!
//!     cargo run --release --example train -- flowers.csv --target species --save-dir out/flowers
//!     cargo run --release --example predict -- out/flowers more-flowers.csv
//!
//! A fifth of the rows is the test set: the network never trains on them, and the printed metrics are those of the test
//! set. Some of the other rows are the validation set, which decides when to stop. The encoder, which turns columns into
//! features (categories, imputed values), is fitted to the feature columns of all rows. The scaler is fitted to the
//! training rows only.

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
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, SeedOption},
    tables::{self, UnknownCategories},
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
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
    /// CSV file with the column names in the first line and one row per line
    file: PathBuf,
    /// Column to predict
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    #[command(flatten)]
    csv: CsvOptions,
    /// Columns to leave out. Pass a name that contains a comma in a separate option
    #[arg(long, value_name = "COLUMN,COLUMN")]
    ignore: Vec<String>,
    /// Columns that are categories although they look like numbers, for example postal codes
    #[arg(long, value_name = "COLUMN,COLUMN")]
    categorical: Vec<String>,
    /// Columns to keep although they look like row numbers
    #[arg(long, value_name = "COLUMN,COLUMN")]
    keep: Vec<String>,
    /// Categories that the model does not know when it predicts: stop with an error, or ignore them
    #[arg(long, value_enum, default_value = "error")]
    unknown_categories: UnknownCategories,
    /// Predict a class or a number [default: a class if the target is text or has few different integers]
    #[arg(long, value_enum)]
    task: Option<Task>,
    /// Missing values: stop with an error, or impute the median (numeric) or a separate category (categorical)
    #[arg(long, value_enum, default_value = "error")]
    missing: Missing,
    /// Number of neurons in each hidden layer, or 0 for no hidden layer
    #[arg(long, value_name = "NEURONS,..", value_delimiter = ',', default_value = "64,64")]
    hidden: Vec<usize>,
    /// Activation of the hidden layers: relu, tanh, gelu, silu, elu, sigmoid, ...
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// Dropout probability of the hidden layers, in [0, 1)
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Optimizer
    #[arg(long, value_enum, default_value = "adam")]
    optimizer: OptimizerName,
    /// Learning rate [default: depends on --optimizer]
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Number of rows per training step [default: 8 to 256, depending on the number of rows]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Size of the test set as a fraction of the rows
    #[arg(long, default_value_t = 0.2)]
    test_fraction: f64,
    /// Number of epochs without improvement before the training stops
    #[arg(long, default_value_t = 10)]
    patience: usize,
    /// Directory for the model, its history and the plots [default: the model is not saved]
    #[arg(long, value_name = "DIR")]
    save_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Task {
    Classification,
    Regression,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Missing {
    Error,
    Impute,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OptimizerName {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    Adamw,
    Rmsprop,
    Lion,
}

impl OptimizerName {
    /// Returns the optimizer. The default learning rates suit most scaled data.
    fn optimizer(self, learning_rate: Option<f64>) -> Optimizer {
        let rate_or = |default| learning_rate.unwrap_or(default);
        match self {
            Self::Sgd => Optimizer::sgd(rate_or(0.05)),
            Self::Momentum => Optimizer::momentum(rate_or(0.01), 0.9),
            Self::Nesterov => Optimizer::nesterov(rate_or(0.01), 0.9),
            Self::Adam => Optimizer::adam(rate_or(0.003)),
            Self::Adamw => Optimizer::adamw(rate_or(0.003)),
            Self::Rmsprop => Optimizer::rmsprop(rate_or(0.001)),
            Self::Lion => Optimizer::lion(rate_or(0.0005)),
        }
    }
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let table = tables::load_table(&arguments.file, &arguments.csv.settings(&CsvSettings::default())?)?;
    let file = arguments.file.display().to_string();
    let options = ColumnOptions {
        target: arguments.target.as_deref(),
        ignore: &arguments.ignore,
        categorical: &arguments.categorical,
        keep: &arguments.keep,
        unknown_category: arguments.unknown_categories.into(),
        target_kind: match arguments.task {
            Some(Task::Classification) => TargetKind::Classes,
            Some(Task::Regression) => TargetKind::Values,
            None => TargetKind::Auto,
        },
        imputes: arguments.missing == Missing::Impute,
    };
    let (table, encoder) = columns::fit_encoder(&file, table, &options)?;
    let data = encoder.dataset(&table).map_err(tables::usage)?;
    let setup = TrainingSetup::new(arguments, &encoder, data)?;
    let device = arguments.device.open()?;
    let save_dir = arguments.save_dir.as_ref().map(|directory| directory.display().to_string());
    if let Some(directory) = &save_dir {
        std::fs::create_dir_all(directory).map_err(|error| Exit::Usage(format!("--save-dir {directory}: {error}")))?;
    }
    let out_dir = arguments.out_dir.create(save_dir.as_deref().unwrap_or("out/train"))?;
    let trained = setup.train(&device)?;
    report::report(arguments, &device, &encoder, &setup, trained, &out_dir)
}
