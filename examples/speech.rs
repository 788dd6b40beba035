//! Classifies ten spoken words, by speakers and in accents that the training set does not contain.
//!
//!     sudo apt-get install espeak-ng
//!     cargo run --release --example speech -- --device cpu --runs 5
//!
//! The speech is synthetic: espeak-ng speaks the words, and the example adds noise that is 10 dB weaker. The training set
//! has 10 speakers in 4 accents, at 3 speeds and 2 pitches: 2,400 utterances, each with two draws of the noise. The test
//! set has 6 other speakers in 3 other accents, 1,080 utterances. A row is a spectrogram with 32 frames of 24 bands.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Activation, Dataset, Loss, Network, Optimizer, Schedule, TrainerSettings,
    data::{Scaler, Scaling},
};

use common::{
    Exit, classifier,
    experiment::{self, Baseline, Experiment, Run, Runs, run_each},
    options::{DeviceOptions, EpochsOption, JsonOption, OutDirOption, RunsOptions},
    speech::{self, BANDS, FRAMES, Utterance},
};

/// Trains a network to classify spoken words.
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

const WORDS: [&str; 10] = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"];

/// Speeds in words per minute, and pitches from 0 to 99.
const SPEEDS: [u32; 3] = [130, 160, 190];
const PITCHES: [u32; 2] = [35, 65];

/// The names of voices in espeak-ng.
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
    let seeds = arguments.runs.seeds()?;
    let first_seed = *seeds.start();
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/speech")?;
    eprintln!("generating speech with espeak-ng ...");
    let (train, test) = (dataset(&TRAIN, 2, 0)?, dataset(&TEST, 1, 1)?);
    let scaler = Scaler::fit(Scaling::Standard, &train);
    let train = train.with_scaler(&scaler)?;
    eprintln!("{} words, {} training rows, {} test rows", WORDS.len(), train.rows(), test.rows());

    let epochs = arguments.epochs.or(30);
    let network = Network::new(FRAMES * BANDS).dense(128, Activation::Relu).dropout(0.4);
    let network = network.dense(64, Activation::Relu).dropout(0.2).dense(WORDS.len(), Activation::Identity);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let Runs { scores, first: history } = run_each(seeds, |seed| {
        let history = experiment.run(settings(&experiment, seed))?.history;
        let accuracy = experiment::accuracy(&history);
        experiment::print_accuracy(seed, accuracy, &test);
        Ok(Run { score: accuracy, result: history })
    })?;
    let mut keys = experiment::json(&train, &history, first_seed);
    keys["classes"] = WORDS.len().into();
    keys["test_rows"] = test.rows().into();
    let linear_network = Network::new(FRAMES * BANDS).dense(WORDS.len(), Activation::Identity);
    let linear = Experiment { network: &linear_network, ..experiment };
    let linear_history = linear.run(settings(&linear, first_seed))?.history;
    let nearest_mean = classifier::nearest_mean_accuracy(&train, &test, WORDS.len());
    let baselines = [
        Baseline { name: "nearest class mean", accuracy: nearest_mean },
        Baseline { name: "no hidden layers", accuracy: experiment::accuracy(&linear_history) },
    ];
    experiment::report_accuracy(&device, &scores, &baselines, &mut keys);
    let title = format!("Ten spoken words, {}-128-64-10, seed {first_seed}", FRAMES * BANDS);
    experiment::save_curves(&out_dir.join("curves.svg"), &title, &history)?;
    arguments.json.print("speech", &device, keys);
    Ok(())
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch_size = 64;
    TrainerSettings {
        batch_size,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adamw(0.001),
        schedule: Schedule::cosine(experiment.total_steps(batch_size)),
        seed,
        ..TrainerSettings::default()
    }
}

/// Creates a data set of all words, spoken by all voices at all speeds and pitches.
///
/// Each utterance gives `noise_draws` rows. `seed` determines the noise.
fn dataset(voices: &Voices, noise_draws: usize, seed: u64) -> Result<Dataset, Exit> {
    let mut utterances = Vec::new();
    let mut classes = Vec::new();
    for (class, word) in (0u32..).zip(WORDS) {
        for accent in voices.accents {
            for speaker in voices.speakers {
                for speed in SPEEDS {
                    for pitch in PITCHES {
                        let voice = format!("{accent}+{speaker}");
                        utterances.push(Utterance { voice, speed, pitch, word });
                        classes.extend(std::iter::repeat_n(class, noise_draws));
                    }
                }
            }
        }
    }
    Ok(Dataset::new(classes.len(), speech::spectrograms(&utterances, noise_draws, seed)?, classes)?)
}
