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
use gradus::{Activation, Dataset, Device, History, Loss, Network, Optimizer, Scaler, Scaling, Schedule, Settings};

use common::{
    Exit, Options,
    classifier::{self, percent},
    speech::{self, BANDS, FRAMES, Spoken},
    worked::{self, Scores},
};

/// Tells spoken words apart.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Train this many networks one after the other, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
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
    let options = &arguments.options;
    options.only(&["--epochs", "--seed", "--out"]);
    let seeds = classifier::seeds(options, arguments.seeds)?;
    let device = options.open()?;
    let out = options.pictures("out/sound")?;
    eprintln!("espeak-ng speaks ...");
    let (train, test) = (dataset(&TRAIN, 2, 0)?, dataset(&TEST, 1, 1)?);
    let scaler = Scaler::learn(Scaling::Standard, &train);
    let train = train.with_scaling(&scaler)?;
    eprintln!("{} sounds of {} words, and {} held out", train.rows(), WORDS.len(), test.rows());

    let epochs = options.epochs.unwrap_or(30) as usize;
    let network = Network::new(FRAMES * BANDS).dense(128, Activation::Relu).dropout(0.4);
    let network = network.dense(64, Activation::Relu).dropout(0.2).dense(WORDS.len(), Activation::Identity);
    let mut scores = Scores::default();
    let mut first = None;
    for seed in seeds.clone() {
        let history = fit(&device, &network, (&train, &test), epochs, seed)?;
        let accuracy = history.last().and_then(worked::accuracy).unwrap_or(f64::NAN);
        common::say!("seed {seed}: {} of {} held-out sounds right", percent(accuracy), test.rows());
        scores.0.push(accuracy);
        first.get_or_insert(history);
    }
    let Some(history) = first else { return Ok(()) };
    let mut own = worked::json(&history, train.rows(), *seeds.start());
    own["classes"] = WORDS.len().into();
    own["held_out"] = test.rows().into();
    let without_hidden = Network::new(FRAMES * BANDS).dense(WORDS.len(), Activation::Identity);
    let linear = fit(&device, &without_hidden, (&train, &test), epochs, *seeds.start())?;
    let baselines = [
        ("nearest class mean", classifier::nearest_mean(&train, &test, WORDS.len())),
        ("the same without hidden layers", linear.last().and_then(worked::accuracy).unwrap_or(f64::NAN)),
    ];
    worked::compare(&device, &scores, &baselines, &mut own);
    let title = format!("Ten spoken words, {}-128-64-10, seed {}", FRAMES * BANDS, seeds.start());
    worked::curves(&out.join("curves.svg"), &title, &history)?;
    options.print_json("sound", Some(&device), own);
    Ok(())
}

/// Trains a network, and tests it on the held-out voices after every epoch.
fn fit(
    device: &Device,
    network: &Network,
    (train, test): (&Dataset, &Dataset),
    epochs: usize,
    seed: u64,
) -> Result<History, gradus::Error> {
    let batch = 64;
    let settings = Settings {
        batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adamw(0.001),
        schedule: Schedule::cosine((epochs * train.rows().div_ceil(batch)) as u64),
        seed,
        ..Settings::default()
    };
    Ok(worked::fit(device, network, (train, test), epochs, settings)?.1)
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
