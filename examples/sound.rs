//! Tells ten spoken words apart, by speakers and in accents that training never heard. The speech is synthetic: espeak-ng
//! speaks it, and noise 10 dB weaker is added.
//!
//!     sudo apt-get install espeak-ng
//!     cargo run --release --example sound -- --device cpu --seeds 5
//!
//! Training hears 10 speakers in 4 accents, at 3 speeds and 2 pitches: 2,400 sounds, each with two draws of the noise. The
//! test has 6 other speakers in 3 other accents, 1,080 sounds. A sound is a spectrogram, 32 frames of 24 bands.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Dataset, Loss, Network, Optimizer, Schedule, TrainerSettings,
    data::{Scaler, Scaling},
};

use common::{
    Exit, classifier,
    experiment::{self, Baseline, Experiment, SeedRun, SeedRuns, run_seeds},
    options::{DeviceOptions, EpochsOption, JsonOption, OutOption, SeedsOptions},
    percent, print_line,
    speech::{self, BANDS, FRAMES, Spoken},
};

/// Tells spoken words apart.
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

const WORDS: [&str; 10] = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"];

/// espeak-ng's accents of English, and its speakers.
struct Voices {
    accents: &'static [&'static str],
    speakers: &'static [&'static str],
}

const TRAIN: Voices = Voices {
    accents: &["en-us", "en-gb", "en-gb-scotland", "en-029"],
    speakers: &["m1", "m2", "m3", "m4", "m5", "f1", "f2", "f3", "klatt", "klatt3"],
};
const TEST: Voices = Voices {
    accents: &["en-gb-x-rp", "en-gb-x-gbcwmd", "en-gb-x-gbclan"],
    speakers: &["m6", "m7", "m8", "f4", "f5", "klatt2"],
};

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.seeds.range()?;
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/sound")?;
    eprintln!("espeak-ng speaks ...");
    let (train, test) = (dataset(&TRAIN, 2, 0)?, dataset(&TEST, 1, 1)?);
    let scaler = Scaler::fit(Scaling::Standard, &train);
    let train = train.with_scaler(&scaler)?;
    eprintln!("{} sounds of {} words, and {} held out", train.rows(), WORDS.len(), test.rows());

    let epochs = arguments.epochs.or(30);
    let network = Network::new(FRAMES * BANDS).dense(128, Activation::Relu).dropout(0.4);
    let network = network.dense(64, Activation::Relu).dropout(0.2).dense(WORDS.len(), Activation::Identity);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let SeedRuns { scores, first: history } = run_seeds(seeds.clone(), |seed| {
        let history = experiment.run(settings(&experiment, seed))?.history;
        let accuracy = experiment::accuracy(&history);
        print_line!("seed {seed}: {} of {} held-out sounds right", percent(accuracy), test.rows());
        Ok(SeedRun { score: accuracy, result: history })
    })?;
    let mut own = experiment::json(&train, &history, *seeds.start());
    own["classes"] = WORDS.len().into();
    own["held_out"] = test.rows().into();
    let without_hidden = Network::new(FRAMES * BANDS).dense(WORDS.len(), Activation::Identity);
    let linear = Experiment { network: &without_hidden, ..experiment };
    let linear = linear.run(settings(&linear, *seeds.start()))?.history;
    let nearest = classifier::nearest_mean(&train, &test, WORDS.len());
    let baselines = [
        Baseline { name: "nearest class mean", accuracy: nearest },
        Baseline { name: "the same without hidden layers", accuracy: experiment::accuracy(&linear) },
    ];
    experiment::compare(&device, &scores, &baselines, &mut own);
    let title = format!("Ten spoken words, {}-128-64-10, seed {}", FRAMES * BANDS, seeds.start());
    experiment::save_curves(&out.join("curves.svg"), &title, &history)?;
    arguments.json.print("sound", &device, own);
    Ok(())
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch = 64;
    TrainerSettings {
        batch_size: batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adamw(0.001),
        schedule: Schedule::cosine(experiment.steps(batch)),
        seed,
        ..TrainerSettings::default()
    }
}

/// Every word from every voice, with so many draws of the noise.
fn dataset(voices: &Voices, draws: usize, seed: u64) -> Result<Dataset, Exit> {
    let mut spoken = Vec::new();
    let mut classes = Vec::new();
    for (class, word) in (0u32..).zip(WORDS) {
        for (accent, speaker) in voices.accents.iter().flat_map(|a| voices.speakers.iter().map(move |s| (a, s))) {
            for (speed, pitch) in [130, 160, 190].into_iter().flat_map(|speed| [(speed, 35), (speed, 65)]) {
                spoken.push(Spoken { voice: format!("{accent}+{speaker}"), speed, pitch, word });
                classes.extend(std::iter::repeat_n(class, draws));
            }
        }
    }
    Ok(Dataset::new(classes.len(), speech::spectrograms(&spoken, draws, seed)?, classes)?)
}
