//! Searches the learning rate for the handwritten digits: all networks train together in the same dispatches.
//!
//!     cargo run --release --example sweep
//!     cargo run --release --example sweep -- --device cpu --trials 16 --epochs 10
//!
//! One plot shows the final accuracy over the learning rate, another the losses of the best and the worst trial. For
//! comparison, successive halving runs the same search with a fraction of the training steps.

mod common;

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{
    Activation, Loss, Member, Network, Optimizer, TrainerSettings, TrainingLoop, plot,
    search::{Hyperparameter, Search, SearchResult, SuccessiveHalving},
    train::{Monitor, Validation},
};
use serde_json::json;

use common::{
    Exit, device_name, digits,
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, SeedOption},
    percent, print_line,
};

/// Searches the learning rate for the handwritten digits.
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
    /// Number of networks, each with its own learning rate from 0.0001 to 10
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    trials: u32,
}

const BATCH_SIZE: usize = 32;

/// The decimal logarithms of the smallest and the largest learning rate.
const MIN_EXPONENT: f64 = -4.0;
const MAX_EXPONENT: f64 = 1.0;

/// Successive halving drops the first trials after one in this number of the steps.
const FIRST_ROUND_DIVISOR: usize = 16;

/// The number of lines of the search result to print.
const PRINTED_LINES: usize = 6;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/sweep")?;
    let images = digits::load().map_err(Exit::Failed)?;
    let (seed, epochs) = (arguments.seed.seed, arguments.epochs.or(16));

    let trials = arguments.trials;
    let hyperparameter = Hyperparameter::choice("learning rate", learning_rates(trials), |member, learning_rate| {
        member.settings.optimizer.learning_rate = learning_rate;
    });
    let network = Network::new(64).dense(64, Activation::Relu).dense(10, Activation::Identity);
    let settings = TrainerSettings {
        batch_size: BATCH_SIZE,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::momentum(0.1, 0.9),
        seed,
        ..TrainerSettings::default()
    };
    let search = Search::grid(&Member::new(settings), &[hyperparameter])?
        .validation(Validation::Data(images.test.clone()))
        .monitor(Monitor::ValidationAccuracy);

    let start = Instant::now();
    let grid = search.run(&device, &network, &images.train, &TrainingLoop::new(epochs))?;
    let seconds = start.elapsed().as_secs_f64();
    print_line!("{trials} networks, {epochs} epochs of {} digits on {}", images.train.rows(), device_name(&device));
    print_line!("grid search time: {seconds:.2} s, {:.0} steps/s", grid.total_steps() as f64 / seconds);
    grid.to_string().lines().take(PRINTED_LINES).for_each(|line| print_line!("{line}"));
    let best = Best::of(&grid)?;
    // A diverged trial has no losses to plot, so the worst trial is one that completed all epochs.
    let is_complete = |index: &&usize| grid.trials[**index].histories[0].epochs.len() == epochs;
    let worst = grid.ranked().iter().rev().find(is_complete).copied().unwrap_or(best.index);
    let diverged = grid.trials.iter().filter(|trial| trial.scores.mean(grid.monitor).is_nan()).count();
    print_line!("grid search: best {}, {diverged} trials diverged", best.summary());

    let steps = epochs * images.train.rows().div_ceil(BATCH_SIZE);
    let start = Instant::now();
    let halving = SuccessiveHalving::new(steps.div_ceil(FIRST_ROUND_DIVISOR), steps);
    let halved = search.run_halving(&device, &network, &images.train, &halving)?;
    let halving_seconds = start.elapsed().as_secs_f64();
    let halving_best = Best::of(&halved)?;
    let fraction = halved.total_steps() as f64 / grid.total_steps() as f64;
    print_line!(
        "successive halving: best {}, {} of the grid's steps, {halving_seconds:.2} s",
        halving_best.summary(),
        percent(fraction)
    );

    let title = format!("{trials} learning rates for the digits, 64-64-10, {epochs} epochs");
    let plot_path = out_dir.join("learning_rates.svg");
    plot::save(&plot_path, plot::search(&title, &grid))?;
    print_line!("plot: {}", plot_path.display());
    let label = |name: &str, index: usize| format!("{name}: {:.2e}", grid.trials[index].values[0]);
    let labels = [label("best", best.index), label("worst", worst)];
    let curves = [
        (labels[0].as_str(), &grid.trials[best.index].histories[0]),
        (labels[1].as_str(), &grid.trials[worst].histories[0]),
    ];
    let plot_path = out_dir.join("losses.svg");
    plot::save(&plot_path, plot::loss_comparison("Loss of the best and the worst learning rate", &curves))?;
    print_line!("plot: {}", plot_path.display());
    let keys = json!({
        "seed": seed,
        "epochs": epochs,
        "trials": trials,
        "seconds": seconds,
        "steps": grid.total_steps(),
        "best_learning_rate": best.learning_rate,
        "test_accuracy": best.accuracy,
        "diverged": diverged,
        "halving_seconds": halving_seconds,
        "halving_steps": halved.total_steps(),
        "halving_learning_rate": halving_best.learning_rate,
        "halving_accuracy": halving_best.accuracy,
    });
    arguments.json.print("sweep", &device, keys);
    Ok(())
}

/// Returns learning rates at equal distances on a logarithmic scale.
fn learning_rates(count: u32) -> Vec<f64> {
    let exponent = |i: u32| MIN_EXPONENT + (MAX_EXPONENT - MIN_EXPONENT) * f64::from(i) / f64::from(count - 1);
    (0..count).map(|i| 10f64.powf(exponent(i))).collect()
}

/// The best trial of a search.
struct Best {
    index: usize,
    learning_rate: f64,
    /// The accuracy on the test set, which the search monitors.
    accuracy: f64,
}

impl Best {
    fn of(search: &SearchResult) -> Result<Self, Exit> {
        let index = search.ranked()[0];
        let trial = &search.trials[index];
        let accuracy = trial.scores.mean(search.monitor);
        if accuracy.is_nan() {
            return Err(Exit::Failed("all trials diverged; the learning rates are too large".into()));
        }
        Ok(Self { index, learning_rate: trial.values[0], accuracy })
    }

    fn summary(&self) -> String {
        format!("test accuracy {} with learning rate {:.2e}", percent(self.accuracy), self.learning_rate)
    }
}
