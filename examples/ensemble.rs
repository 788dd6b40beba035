//! Trains an ensemble on few noisy measurements, and plots where its networks agree.
//!
//!     cargo run --release --example ensemble
//!     cargo run --release --example ensemble -- --device cpu --networks 50
//!
//! The deflection of a damped spring was measured 60 times, with a gap in the middle. Each network has its own initial
//! weights and its own bootstrap sample: rows drawn with replacement (Efron 1979). All networks train together in the same
//! dispatches. Near the measurements they predict the same curve; elsewhere each predicts another one. Their standard
//! deviation shows the difference. It does not include the noise of a single measurement.

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
    Exit, device_name,
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, SeedOption},
    print_line,
    random::Random,
};

/// Trains an ensemble of networks, and plots the mean and the standard deviation of their predictions.
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
    /// Number of networks in the ensemble
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(2..))]
    networks: u32,
}

/// The times of the measurements in seconds: before and after the gap.
const MEASURED: [Range<f64>; 2] = [1.5..4.5, 6.5..9.0];
/// The number of measurements.
const ROWS: usize = 60;
/// The standard deviation of the noise of a measurement in cm.
const NOISE_STD: f64 = 0.1;

/// The plot shows the time from 0 to `END` in seconds, at `PLOT_POINTS` points.
const END: f64 = 10.5;
const PLOT_POINTS: usize = 169;

const BATCH_SIZE: usize = 20;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/ensemble")?;
    let seed = arguments.seed.seed;
    let epochs = arguments.epochs.or(600);
    let steps = epochs * ROWS.div_ceil(BATCH_SIZE);

    let [times, deflections] = measurements(seed);
    let data = Dataset::new(ROWS, &times, &deflections)?;
    let data = data.clone().with_scaler(&Scaler::fit(Scaling::Standard, &data))?;
    // Large initial weights make each network start as a different oscillating curve. With small weights all networks
    // would start as almost straight lines, and agree where no measurement supports them.
    let wide = Init::Normal { std: 3.0 };
    let network = Network::new(1).dense(32, Activation::Tanh).init(wide, wide);
    let network = network.dense(32, Activation::Tanh).dense(1, Activation::Identity);
    let member = |index: u32| {
        let seed = seed + u64::from(index);
        let settings = TrainerSettings {
            batch_size: BATCH_SIZE,
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
    let final_losses = reports.iter().filter_map(|report| report.losses.last()).map(|loss| f64::from(*loss));
    let mean_loss = final_losses.sum::<f64>() / reports.len() as f64;
    print_line!("{} networks, {steps} steps each", reports.len());
    print_line!("training time: {seconds:.2} s on {}", device_name(&device));
    print_line!("mean training loss: {mean_loss:.4}");

    let plot_times: Vec<f32> = (0..PLOT_POINTS).map(|i| (END * i as f64 / (PLOT_POINTS - 1) as f64) as f32).collect();
    let truth: Vec<f32> = plot_times.iter().map(|time| true_deflection(f64::from(*time)) as f32).collect();
    let EnsemblePrediction { mean, std, .. } = ensemble.predict(&plot_times)?;
    let mean_std = |is_in_region: &dyn Fn(f64) -> bool| {
        let in_region = plot_times.iter().zip(&std).filter(|(time, _)| is_in_region(f64::from(**time)));
        let values: Vec<f64> = in_region.map(|(_, std)| f64::from(*std)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let [before_gap, after_gap] = MEASURED;
    let std_inside = mean_std(&|time| before_gap.contains(&time) || after_gap.contains(&time));
    let std_gap = mean_std(&|time| (before_gap.end..after_gap.start).contains(&time));
    let std_outside = mean_std(&|time| time < before_gap.start || time >= after_gap.end);
    print_line!(
        "mean std: {std_inside:.3} cm at the measurements, {std_gap:.3} cm in the gap ({:.0}x), {std_outside:.3} cm outside \
         ({:.0}x)",
        std_gap / std_inside,
        std_outside / std_inside
    );

    let plot_path = out_dir.join("uncertainty_bands.svg");
    let bands = UncertaintyBands {
        axis_labels: ["time (s)", "deflection (cm)"],
        x: &plot_times,
        mean: &mean,
        std: &std,
        truth: &truth,
        observations: [&times, &deflections],
    };
    let title =
        format!("Damped spring, {ROWS} noisy measurements: mean and standard deviation of {} networks", ensemble.len());
    plot::save(&plot_path, bands.to_svg(&title))?;
    print_line!("plot: {}", plot_path.display());
    let keys = json!({
        "seed": seed,
        "epochs": epochs,
        "networks": ensemble.len(),
        "seconds": seconds,
        "samples_per_second": (epochs * ROWS * reports.len()) as f64 / seconds,
        "train_loss": mean_loss,
        "std_inside": std_inside,
        "std_gap": std_gap,
        "std_outside": std_outside,
    });
    arguments.json.print("ensemble", &device, keys);
    Ok(())
}

/// Returns the deflection in cm without noise: a damped oscillation with a period of 3 seconds.
fn true_deflection(time: f64) -> f64 {
    1.5 * (-time / 12.0).exp() * (TAU * time / 3.0).sin()
}

/// Returns the times and the deflections of the measurements.
fn measurements(seed: u64) -> [Vec<f32>; 2] {
    let mut random = Random::new(seed);
    let mut times: Vec<f64> = (0..ROWS)
        .map(|row| {
            let Range { start, end } = MEASURED[row % MEASURED.len()].clone();
            start + (end - start) * random.uniform()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let deflections = times.iter().map(|time| (true_deflection(*time) + NOISE_STD * random.normal()) as f32).collect();
    [times.iter().map(|time| *time as f32).collect(), deflections]
}
