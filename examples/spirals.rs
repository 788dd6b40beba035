//! Classifies points on two spirals, and draws how the decision boundary between the spirals forms.
//!
//!     cargo run --release --example spirals
//!     cargo run --release --example spirals -- --device cpu --runs 5
//!
//! Each spiral makes two turns around the center, and its points have noise. The training set and the test set have 1,000
//! points each. No straight line separates the spirals: the baseline, the same training without hidden layers (logistic
//! regression), is hardly better than chance.

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
    experiment::{self, Baseline, Experiment, Run, Runs, run_each},
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, RunsOptions},
    print_line,
    random::Random,
};

/// Trains a network to classify points on two spirals.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    runs: RunsOptions,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
}

/// The number of points in the training set and in the test set.
const POINTS: usize = 1000;

/// The standard deviation of the noise. The distance between the arms is 0.25.
const NOISE_STD: f64 = 0.03;

/// The number of turns of a spiral.
const TURNS: f64 = 2.0;

/// The width and height of a frame of the plot in pixels. A frame shows the plane from -`LIMIT` to `LIMIT`.
const PIXELS: usize = 220;
const LIMIT: f32 = 1.1;

/// The gap between two frames in pixels.
const GAP: usize = 4;

/// The epochs of the frames, in percent of all epochs. The boundary changes most at the beginning.
const FRAME_PERCENTS: [usize; 6] = [5, 12, 16, 20, 30, 100];

/// The colors of the two classes: blue and vermilion of Okabe and Ito's palette, which is safe for color blindness.
const COLORS: [[f32; 3]; 2] = [[0.0, 114.0, 178.0], [213.0, 94.0, 0.0]];

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> std::result::Result<(), Exit> {
    let seeds = arguments.runs.seeds()?;
    let first_seed = *seeds.start();
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/spirals")?;
    let (train, test) = (spirals(1)?, spirals(2)?);
    let scaler = Scaler::fit(Scaling::Standard, &train);
    let train = train.with_scaler(&scaler)?;
    let epochs = arguments.epochs.or(200);

    let network = Network::new(2).dense(64, Activation::Relu).dense(64, Activation::Relu).dense(1, Activation::Sigmoid);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let frame_epochs = FRAME_PERCENTS.map(|percent| (epochs * percent / 100).max(1));
    let mut frames = Vec::new();
    let Runs { scores, first: history } = run_each(seeds, |seed| {
        let trained = experiment.run_with_callback(settings(&experiment, seed), |progress| {
            let epoch = progress.history.epochs.len();
            if seed == first_seed && frame_epochs.contains(&epoch) {
                frames.push(Frame { epoch, outputs: progress.trainer.predict(&pixel_coordinates())? });
            }
            Ok(())
        })?;
        let accuracy = experiment::accuracy(&trained.history);
        experiment::print_accuracy(seed, accuracy, &test);
        Ok(Run { score: accuracy, result: trained.history })
    })?;
    let linear_network = Network::new(2).dense(1, Activation::Sigmoid);
    let linear = Experiment { network: &linear_network, ..experiment };
    let linear_history = linear.run(settings(&linear, first_seed))?.history;
    let mut keys = experiment::json(&train, &history, first_seed);
    keys["frames"] = frames.iter().map(|frame| frame.epoch).collect();
    let baselines = [Baseline { name: "logistic regression", accuracy: experiment::accuracy(&linear_history) }];
    experiment::report_accuracy(&device, &scores, &baselines, &mut keys);

    let boundary_path = out_dir.join("boundary.png");
    plot::save(&boundary_path, draw(&frames, &train))?;
    let epochs: Vec<_> = frames.iter().map(|frame| frame.epoch.to_string()).collect();
    print_line!("plot: {} (frames after epochs {})", boundary_path.display(), epochs.join(", "));
    let title = format!("Two spirals, 2-64-64-1, seed {first_seed}");
    experiment::save_curves(&out_dir.join("curves.svg"), &title, &history)?;
    arguments.json.print("spirals", &device, keys);
    Ok(())
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch_size = 32;
    TrainerSettings {
        batch_size,
        loss: Loss::BinaryCrossEntropy,
        optimizer: Optimizer::adam(0.002),
        schedule: Schedule::cosine(experiment.total_steps(batch_size)),
        seed,
        ..TrainerSettings::default()
    }
}

/// Creates a data set of points on two spirals.
fn spirals(seed: u64) -> Result<Dataset> {
    let mut random = Random::new(seed);
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for i in 0..POINTS {
        // The square root distributes the points evenly along the spiral.
        let radius = (0.01 + 0.99 * random.uniform()).sqrt();
        let angle = TURNS * TAU * radius + if i % 2 == 0 { 0.0 } else { TAU / 2.0 };
        points.push((radius * angle.cos() + NOISE_STD * random.normal()) as f32);
        points.push((radius * angle.sin() + NOISE_STD * random.normal()) as f32);
        classes.push((i % 2) as u32);
    }
    Dataset::new(POINTS, points, classes)
}

/// The decision boundary after an epoch.
struct Frame {
    epoch: usize,
    /// The output of the network for each pixel.
    outputs: Vec<f32>,
}

/// Returns the coordinates of the pixels of a frame, row by row.
fn pixel_coordinates() -> Vec<f32> {
    let coordinate = |pixel: usize| LIMIT * (2 * pixel + 1) as f32 / PIXELS as f32 - LIMIT;
    (0..PIXELS * PIXELS).flat_map(|i| [coordinate(i % PIXELS), -coordinate(i / PIXELS)]).collect()
}

/// Draws the frames next to each other as a PNG: the outputs of the network as colors, and the points of the data set.
fn draw(frames: &[Frame], data: &Dataset) -> Vec<u8> {
    let classes = class_per_pixel(data);
    let width = (frames.len() * (PIXELS + GAP)).saturating_sub(GAP);
    plot::png(width as u32, PIXELS as u32, |x, y| {
        let (frame, x) = (x as usize / (PIXELS + GAP), x as usize % (PIXELS + GAP));
        if x >= PIXELS {
            return [255; 3];
        }
        let pixel = y as usize * PIXELS + x;
        if let Some(class) = classes[pixel] {
            return COLORS[class].map(|value| value as u8);
        }
        let output = frames[frame].outputs[pixel];
        // The background has half the contrast of the points.
        let mixed = |i: usize| 127.5 + 0.5 * (COLORS[0][i] + output * (COLORS[1][i] - COLORS[0][i]));
        [mixed(0) as u8, mixed(1) as u8, mixed(2) as u8]
    })
}

/// Returns the class of the point at each pixel. A point covers 2x2 pixels.
fn class_per_pixel(data: &Dataset) -> Vec<Option<usize>> {
    let mut classes = vec![None; PIXELS * PIXELS];
    let pixel = |value: f32| ((value + LIMIT) / (2.0 * LIMIT) * PIXELS as f32).clamp(0.0, PIXELS as f32 - 2.0) as usize;
    for (point, class) in rows(data) {
        let (x, y) = (pixel(point[0]), pixel(-point[1]));
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            classes[(y + dy) * PIXELS + x + dx] = Some(class);
        }
    }
    classes
}
