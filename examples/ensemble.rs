//! Learns a curve from few noisy rows with many networks at once, and draws where they agree and where they do not.
//!
//!     cargo run --release --example ensemble
//!     cargo run --release --example ensemble -- --device cpu --networks 50
//!
//! A spring swings, and its deflection was measured 60 times, with a pause in the middle. Every network has first weights
//! of its own and learns from rows that are drawn with replacement, a bootstrap (Efron 1979): where there are rows they come
//! to the same curve, and elsewhere each guesses its own. Their standard deviation tells the one from the other; it does not
//! tell how far a measurement lies off the curve.

mod common;

use std::{f64::consts::TAU, ops::Range, process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{
    Activation, Dataset, Init, Loss, Member, Network, Optimizer, Population, Schedule, TrainerSettings,
    data::{Scaler, Scaling, Subset},
    plot,
    plot::UncertaintyBands,
    population::EnsemblePrediction,
};
use serde_json::json;

use common::{
    Exit,
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedOption},
    random::Random,
};

/// Learns a curve with many networks, and draws where they agree and where they do not.
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
    /// So many networks answer together
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..))]
    networks: u32,
}

/// When it was measured, in seconds: before and after a pause.
const MEASURED: [Range<f64>; 2] = [1.5..4.5, 6.5..9.0];
const ROWS: usize = 60;
/// The standard deviation of a measurement, in centimetres.
const NOISE: f64 = 0.1;

/// The picture goes from 0 so far, in seconds, and has so many places.
const END: f64 = 10.5;
const PLACES: usize = 169;

const BATCH: usize = 20;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> std::result::Result<(), Exit> {
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/ensemble")?;
    let seed = arguments.seed.seed;
    let epochs = arguments.epochs.or(600);
    let steps = epochs * ROWS.div_ceil(BATCH);

    let [times, deflections] = measured(seed);
    let data = Dataset::new(ROWS, &times, &deflections)?;
    let data = data.clone().with_scaler(&Scaler::fit(Scaling::Standard, &data))?;
    // First weights so large that the networks start as curves that swing, each in its own way. From small ones they would
    // start as nearly straight lines, and agree where no row has told them to.
    let wide = Init::Normal { std: 3.0 };
    let network = Network::new(1).dense(32, Activation::Tanh).init(wide, wide);
    let network = network.dense(32, Activation::Tanh).dense(1, Activation::Identity);
    let member = |number: u32| {
        let seed = seed + u64::from(number);
        let settings = TrainerSettings {
            batch_size: BATCH,
            loss: Loss::Mse,
            optimizer: Optimizer::adam(0.01),
            schedule: Schedule::cosine(steps as u64),
            seed,
            ..TrainerSettings::default()
        };
        Member::new(settings).with_subset(Subset::Bootstrap { seed })
    };
    let members: Vec<_> = (0..arguments.networks).map(member).collect();
    let start = Instant::now();
    let mut population = Population::new(&device, &network, &data, &members)?;
    let reports = population.run(steps)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut ensemble = population.ensemble(&device, population.active_members())?;
    let loss = reports.iter().filter_map(|report| report.losses.last()).map(|loss| f64::from(*loss)).sum::<f64>()
        / reports.len() as f64;
    common::print_line!(
        "{}: {} networks took {steps} steps each in {seconds:.2} s, and end at a loss of {loss:.4} in the mean",
        common::described(&device),
        reports.len()
    );

    let places: Vec<f32> = (0..PLACES).map(|i| (END * i as f64 / (PLACES - 1) as f64) as f32).collect();
    let truth: Vec<f32> = places.iter().map(|time| deflection(f64::from(*time)) as f32).collect();
    let EnsemblePrediction { mean, std: deviation, .. } = ensemble.predict(&places)?;
    let [first, second] = MEASURED;
    let spread = |is_of: &dyn Fn(f64) -> bool| {
        let those = places.iter().zip(&deviation).filter(|(time, _)| is_of(f64::from(**time)));
        let all: Vec<f64> = those.map(|(_, deviation)| f64::from(*deviation)).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let inside = spread(&|time| first.contains(&time) || second.contains(&time));
    let gap = spread(&|time| (first.end..second.start).contains(&time));
    let outside = spread(&|time| time < first.start || time >= second.end);
    common::print_line!(
        "they lie {inside:.3} cm apart where it was measured, {gap:.3} cm in the pause ({:.0} times as much), and \
         {outside:.3} cm before and after ({:.0} times)",
        gap / inside,
        outside / inside
    );

    let picture = out.join("bands.svg");
    let bands = UncertaintyBands {
        axis_labels: ["time in s", "deflection in cm"],
        x: &places,
        mean: &mean,
        std: &deviation,
        truth: &truth,
        observations: [&times, &deflections],
    };
    let title = format!("A spring, measured {ROWS} times: what {} networks tell", ensemble.len());
    plot::save(&picture, bands.to_svg(&title))?;
    common::print_line!("picture: {}", picture.display());
    let own = json!({
        "seed": seed,
        "epochs": epochs,
        "networks": ensemble.len(),
        "seconds": seconds,
        "samples_per_second": (epochs * ROWS * reports.len()) as f64 / seconds,
        "train_loss": loss,
        "deviation_inside": inside,
        "deviation_in_the_gap": gap,
        "deviation_outside": outside,
    });
    arguments.json.print("ensemble", &device, own);
    Ok(())
}

/// What is right, in centimetres: a swing every 3 seconds that dies down.
fn deflection(time: f64) -> f64 {
    1.5 * (-time / 12.0).exp() * (TAU * time / 3.0).sin()
}

/// Times and deflections that were measured, the same for the same seed.
fn measured(seed: u64) -> [Vec<f32>; 2] {
    let mut random = Random::new(seed);
    let mut times: Vec<f64> = (0..ROWS)
        .map(|row| {
            let Range { start, end } = MEASURED[row % MEASURED.len()].clone();
            start + (end - start) * random.uniform()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let deflections = times.iter().map(|time| (deflection(*time) + NOISE * random.normal()) as f32).collect();
    [times.iter().map(|time| *time as f32).collect(), deflections]
}
