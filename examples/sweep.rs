//! Tries many learning rates on the handwritten digits in one go: all networks train in the same dispatches. A picture shows
//! what became of each, another one how the loss of the best and the worst fell. Then successive halving does the same
//! with a part of the steps.
//!
//!     cargo run --release --example sweep
//!     cargo run --release --example sweep -- --device cpu --rates 16 --epochs 10

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
    Exit, digits,
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedOption},
    percent,
};

/// Tries many learning rates on the handwritten digits, all at once.
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
    /// How many rates, from 0.0001 to 10
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    rates: u32,
}

const BATCH: usize = 32;
/// By powers of ten.
const RANGE: [f64; 2] = [-4.0, 1.0];
/// The first are dropped after so many of the steps.
const FIRST: usize = 16;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/sweep")?;
    let images = digits::images().map_err(Exit::Failed)?;
    let (seed, epochs) = (arguments.seed.seed, arguments.epochs.or(16));

    let count = arguments.rates;
    let rate = |i: u32| 10f64.powf(RANGE[0] + (RANGE[1] - RANGE[0]) * f64::from(i) / f64::from(count - 1));
    let rates: Vec<f64> = (0..count).map(rate).collect();
    let number = Hyperparameter::choice("learning rate", rates, |member, rate| {
        member.settings.optimizer.learning_rate = rate;
    });
    let network = Network::new(64).dense(64, Activation::Relu).dense(10, Activation::Identity);
    let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::momentum(0.1, 0.9));
    let settings = TrainerSettings { batch_size: BATCH, loss, optimizer, seed, ..TrainerSettings::default() };
    let search = Search::grid(&Member::new(settings), &[number])?
        .validation(Validation::Data(images.test.clone()))
        .monitor(Monitor::ValidationAccuracy);

    let start = Instant::now();
    let grid = search.run(&device, &network, &images.train, &TrainingLoop::new(epochs))?;
    let seconds = start.elapsed().as_secs_f64();
    common::print_line!(
        "{}: {count} networks went {epochs} times through {} digits in {seconds:.2} s, {:.0} steps/s",
        common::described(&device),
        images.train.rows(),
        grid.total_steps() as f64 / seconds
    );
    let text = grid.to_string();
    text.lines().take(6).for_each(|line| common::print_line!("{line}"));
    let (best, accuracy) = best(&grid)?;
    let ranked = grid.ranked();
    // Of those that came to their end: one that diverged has no losses to show.
    let is_whole = |number: &&usize| grid.trials[**number].histories[0].epochs.len() == epochs;
    let worst = ranked.iter().rev().find(is_whole).copied().unwrap_or(best);
    let diverged = grid.trials.iter().filter(|trial| trial.scores.mean(grid.monitor).is_nan()).count();
    common::print_line!(
        "best: {} with a rate of {:.2e}; {diverged} diverged",
        percent(accuracy),
        grid.trials[best].values[0]
    );

    let steps = epochs * images.train.rows().div_ceil(BATCH);
    let start = Instant::now();
    let halving = SuccessiveHalving::new(steps.div_ceil(FIRST), steps);
    let halved = search.run_halving(&device, &network, &images.train, &halving)?;
    let halved_seconds = start.elapsed().as_secs_f64();
    let (halved_best, halved_accuracy) = self::best(&halved)?;
    let share = halved.total_steps() as f64 / grid.total_steps() as f64;
    common::print_line!(
        "halving: {} with a rate of {:.2e}, after {:.0} % of the grid's steps, in {halved_seconds:.2} s",
        percent(halved_accuracy),
        halved.trials[halved_best].values[0],
        100.0 * share
    );

    let title = format!("{count} learning rates on the digits, 64-64-10, {epochs} epochs");
    let picture = out.join("rates.svg");
    plot::save(&picture, plot::search(&title, &grid))?;
    common::print_line!("picture: {}", picture.display());
    let names = [("best", best), ("worst", worst)]
        .map(|(name, number)| format!("{name}: {:.2e}", grid.trials[number].values[0]));
    let picture = out.join("losses.svg");
    let lines = [(names[0].as_str(), &grid.trials[best].histories[0]), (&names[1], &grid.trials[worst].histories[0])];
    plot::save(&picture, plot::loss_comparison("The best and the worst of these rates", &lines))?;
    common::print_line!("picture: {}", picture.display());
    let own = json!({
        "seed": seed,
        "epochs": epochs,
        "rates": count,
        "seconds": seconds,
        "steps": grid.total_steps(),
        "best_rate": grid.trials[best].values[0],
        "test_accuracy": accuracy,
        "diverged": diverged,
        "halving_seconds": halved_seconds,
        "halving_steps": halved.total_steps(),
        "halving_rate": halved.trials[halved_best].values[0],
        "halving_accuracy": halved_accuracy,
    });
    arguments.json.print("sweep", &device, own);
    Ok(())
}

/// The best trial and its accuracy.
fn best(findings: &SearchResult) -> Result<(usize, f64), Exit> {
    let best = findings.ranked()[0];
    let accuracy = findings.trials[best].scores.mean(findings.monitor);
    if accuracy.is_nan() { Err(Exit::Failed("every rate diverged".into())) } else { Ok((best, accuracy)) }
}
