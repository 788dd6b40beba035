//! Learns which of two spirals a point is on, and draws how the boundary between them forms.
//!
//!     cargo run --release --example spirals
//!     cargo run --release --example spirals -- --device cpu --seeds 5
//!
//! Each spiral turns twice round the middle, and its points lie a little off its line: 1,000 to learn from and 1,000 that
//! are held out. No straight line tells them apart, so that the same training without hidden layers, which is a logistic
//! regression, is hardly better than a coin.

mod common;

use std::{f64::consts::TAU, process::ExitCode};

use clap::Parser;
use gradus::{
    Activation, Dataset, Loss, Network, Optimizer, Result, Schedule, TrainerSettings,
    data::{Scaler, Scaling},
    plot,
};

use common::{
    Exit,
    classifier::rows,
    experiment::{self, Baseline, Experiment, SeedRun, SeedRuns, run_seeds},
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedsOptions},
    percent, print_line,
    random::Random,
};

/// Learns which of two spirals a point is on.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seeds: SeedsOptions,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
}

/// Points of each of the two sets.
const POINTS: usize = 1000;

/// How far a point lies off its spiral, as a standard deviation; the arms are 0.25 from each other.
const OFF: f64 = 0.03;

/// A frame of the picture is so many pixels wide and high, and shows the plane from -1.1 to 1.1.
const PIXELS: usize = 220;
const EDGE: f32 = 1.1;

/// The frames, in per cent of all epochs: most happens in the beginning.
const FRAMES: [usize; 6] = [5, 12, 16, 20, 30, 100];

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> std::result::Result<(), Exit> {
    let seeds = arguments.seeds.range()?;
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/spirals")?;
    let (train, test) = (spirals(1)?, spirals(2)?);
    let scaler = Scaler::fit(Scaling::Standard, &train);
    let train = train.with_scaler(&scaler)?;
    let epochs = arguments.epochs.or(200);

    let network = Network::new(2).dense(64, Activation::Relu).dense(64, Activation::Relu).dense(1, Activation::Sigmoid);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let seed = *seeds.start();
    let mut frames = Vec::new();
    let SeedRuns { scores, first: history } = run_seeds(seeds.clone(), |run_seed| {
        let shown = FRAMES.map(|share| (epochs * share / 100).max(1));
        let history = experiment.run_with(settings(&experiment, run_seed), |progress| {
            let epoch = progress.history.epochs.len();
            if run_seed == seed && shown.contains(&epoch) {
                frames.push(Frame { epoch, outputs: progress.trainer.predict(&plane())? });
            }
            Ok(())
        })?;
        let accuracy = experiment::accuracy(&history.history);
        print_line!("seed {run_seed}: {} of {POINTS} held-out points right", percent(accuracy));
        Ok(SeedRun { score: accuracy, result: history.history })
    })?;
    let without_hidden = Network::new(2).dense(1, Activation::Sigmoid);
    let straight = Experiment { network: &without_hidden, ..experiment };
    let straight = straight.run(settings(&straight, seed))?.history;
    let mut own = experiment::json(&train, &history, seed);
    own["frames"] = frames.iter().map(|frame| frame.epoch).collect();
    let baselines = [Baseline { name: "logistic regression", accuracy: experiment::accuracy(&straight) }];
    experiment::compare(&device, &scores, &baselines, &mut own);

    let picture = out.join("boundary.png");
    plot::save(&picture, draw(&frames, &train))?;
    let after: Vec<_> = frames.iter().map(|frame| frame.epoch.to_string()).collect();
    print_line!("picture: {}, after {} epochs", picture.display(), after.join(", "));
    experiment::save_curves(&out.join("curves.svg"), &format!("Two spirals, 2-64-64-1, seed {seed}"), &history)?;
    arguments.json.print("spirals", &device, own);
    Ok(())
}

/// The network's outputs for every pixel of the plane after an epoch.
struct Frame {
    epoch: usize,
    outputs: Vec<f32>,
}

/// The coordinates of every pixel of a frame.
fn plane() -> Vec<f32> {
    let at = |pixel: usize| EDGE * (2 * pixel + 1) as f32 / PIXELS as f32 - EDGE;
    (0..PIXELS * PIXELS).flat_map(|i| [at(i % PIXELS), -at(i / PIXELS)]).collect()
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch = 32;
    TrainerSettings {
        batch_size: batch,
        loss: Loss::BinaryCrossEntropy,
        optimizer: Optimizer::adam(0.002),
        schedule: Schedule::cosine(experiment.steps(batch)),
        seed,
        ..TrainerSettings::default()
    }
}

/// Points on two spirals, the same for the same seed.
fn spirals(seed: u64) -> Result<Dataset> {
    let mut random = Random::new(seed);
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for i in 0..POINTS {
        // The root spreads them evenly over the length of the line.
        let radius = (0.01 + 0.99 * random.uniform()).sqrt();
        let angle = 2.0 * TAU * radius + if i % 2 == 0 { 0.0 } else { TAU / 2.0 };
        points.push((radius * angle.cos() + OFF * random.normal()) as f32);
        points.push((radius * angle.sin() + OFF * random.normal()) as f32);
        classes.push((i % 2) as u32);
    }
    Dataset::new(POINTS, points, classes)
}

/// Draws the frames side by side: what the network tells of each pixel, between blue and orange, and the points.
fn draw(frames: &[Frame], data: &Dataset) -> Vec<u8> {
    const COLORS: [[f32; 3]; 2] = [[0.0, 114.0, 178.0], [213.0, 94.0, 0.0]];
    let mut points = vec![None; PIXELS * PIXELS];
    let pixel = |value: f32| ((value + EDGE) / (2.0 * EDGE) * PIXELS as f32).clamp(0.0, PIXELS as f32 - 2.0) as usize;
    for (point, class) in rows(data) {
        let (x, y) = (pixel(point[0]), pixel(-point[1]));
        for place in [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, down)| (y + down) * PIXELS + x + right) {
            points[place] = Some(class);
        }
    }
    // A line of paper between two frames.
    let width = (frames.len() * (PIXELS + 4)).saturating_sub(4);
    plot::png(width as u32, PIXELS as u32, |x, y| {
        let (frame, x) = (x as usize / (PIXELS + 4), x as usize % (PIXELS + 4));
        if x >= PIXELS {
            return [255; 3];
        }
        let place = y as usize * PIXELS + x;
        if let Some(class) = points[place] {
            return COLORS[class].map(|value| value as u8);
        }
        let share = frames[frame].outputs[place];
        // Half as strong as the points.
        let mixed = |i: usize| 127.5 + 0.5 * (COLORS[0][i] + share * (COLORS[1][i] - COLORS[0][i]));
        [mixed(0) as u8, mixed(1) as u8, mixed(2) as u8]
    })
}
