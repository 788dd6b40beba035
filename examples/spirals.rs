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
    Activation, Dataset, Device, Fit, History, Loss, Network, Optimizer, ProgressBar, Result, Scaler, Scaling,
    Schedule, Settings, Trainer, pictures,
};

use common::{
    Exit, Options,
    classifier::{self, percent, rows},
    random::Random,
    worked::{self, Scores},
};

/// Learns which of two spirals a point is on.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Train this many networks one after the other, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
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
    let options = &arguments.options;
    options.only(&["--epochs", "--seed", "--out"]);
    let seeds = classifier::seeds(options, arguments.seeds)?;
    let device = options.open()?;
    let out = options.pictures("out/spirals")?;
    let (train, test) = (spirals(1)?, spirals(2)?);
    let scaler = Scaler::learn(Scaling::Standard, &train);
    let train = train.with_scaling(&scaler)?;
    let epochs = options.epochs.unwrap_or(200) as usize;

    let network = Network::new(2).dense(64, Activation::Relu).dense(64, Activation::Relu).dense(1, Activation::Sigmoid);
    let shown = FRAMES.map(|share| (epochs * share / 100).max(1));
    let mut scores = Scores::default();
    let mut first = None;
    for seed in seeds.clone() {
        let shown: &[usize] = if first.is_none() { &shown } else { &[] };
        let (history, frames) = fit(&device, &network, (&train, &test), (epochs, shown), seed)?;
        let accuracy = history.last().and_then(worked::accuracy).unwrap_or(f64::NAN);
        common::say!("seed {seed}: {} of {POINTS} held-out points right", percent(accuracy));
        scores.0.push(accuracy);
        first.get_or_insert((history, frames));
    }
    let Some((history, frames)) = first else { return Ok(()) };
    let seed = *seeds.start();
    let without_hidden = Network::new(2).dense(1, Activation::Sigmoid);
    let (straight, _) = fit(&device, &without_hidden, (&train, &test), (epochs, &[]), seed)?;
    let mut own = worked::json(&history, POINTS, seed);
    own["frames"] = frames.iter().map(|(epoch, _)| *epoch).collect();
    let baselines = [("logistic regression", straight.last().and_then(worked::accuracy).unwrap_or(f64::NAN))];
    worked::compare(&device, &scores, &baselines, &mut own);

    let picture = out.join("boundary.png");
    pictures::save(&picture, draw(&frames, &train))?;
    let after: Vec<_> = frames.iter().map(|(epoch, _)| epoch.to_string()).collect();
    common::say!("picture: {}, after {} epochs", picture.display(), after.join(", "));
    worked::curves(&out.join("curves.svg"), &format!("Two spirals, 2-64-64-1, seed {seed}"), &history)?;
    options.print_json("spirals", Some(&device), own);
    Ok(())
}

/// An epoch, and what the network tells of every pixel after it.
type Frame = (usize, Vec<f32>);

/// Trains a network; after the epochs to be shown it is asked about the whole plane.
fn fit(
    device: &Device,
    network: &Network,
    (train, test): (&Dataset, &Dataset),
    (epochs, shown): (usize, &[usize]),
    seed: u64,
) -> Result<(History, Vec<Frame>)> {
    let batch = 32;
    let settings = Settings {
        batch,
        loss: Loss::BinaryCrossEntropy,
        optimizer: Optimizer::adam(0.002),
        schedule: Schedule::cosine((epochs * POINTS.div_ceil(batch)) as u64),
        seed,
        ..Settings::default()
    };
    let mut trainer = Trainer::new(device, network, train, settings)?;
    let fit = Fit::new(epochs).validate_on(test);
    let mut bar = ProgressBar::new(&fit, &trainer);
    let at = |pixel: usize| EDGE * (2 * pixel + 1) as f32 / PIXELS as f32 - EDGE;
    let plane: Vec<f32> = (0..PIXELS * PIXELS).flat_map(|i| [at(i % PIXELS), -at(i / PIXELS)]).collect();
    let mut frames = Vec::new();
    let history = fit.run_with(&mut trainer, |progress| {
        let epoch = progress.history.epochs.len();
        if shown.contains(&epoch) {
            frames.push((epoch, progress.trainer.predict(&plane)?));
        }
        bar.tell(progress)
    })?;
    Ok((history, frames))
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
    const COLOURS: [[f32; 3]; 2] = [[0.0, 114.0, 178.0], [213.0, 94.0, 0.0]];
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
    pictures::png(width as u32, PIXELS as u32, |x, y| {
        let (frame, x) = (x as usize / (PIXELS + 4), x as usize % (PIXELS + 4));
        if x >= PIXELS {
            return [255; 3];
        }
        let place = y as usize * PIXELS + x;
        if let Some(class) = points[place] {
            return COLOURS[class].map(|value| value as u8);
        }
        let share = frames[frame].1[place];
        // Half as strong as the points.
        let mixed = |i: usize| 127.5 + 0.5 * (COLOURS[0][i] + share * (COLOURS[1][i] - COLOURS[0][i]));
        [mixed(0) as u8, mixed(1) as u8, mixed(2) as u8]
    })
}
