//! Tells the language of some twenty letters of text, by the groups of one to three letters in it: ten languages, from
//! the manual pages that Debian's packages have in them.
//!
//!     sudo apt-get install manpages-{cs,da,de,es,fr,it,nl,pl,pt-br,sv}
//!     cargo run --release --example text -- --device cpu --seeds 5
//!
//! Every fifth page is held out in all languages: the 3,500 passages that count are from documents that training never
//! saw. A passage that stands in two languages, and every paragraph with words such as `the`, was not translated and is
//! left out; what is in bold or italics are names of programs, and left out as well.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{Activation, Dataset, Device, Features, History, Loss, Network, Optimizer, Schedule, Settings, Trainer};

use common::{
    Exit, Options,
    classifier::{self, percent},
    manual_pages::{self, LANGUAGES},
    worked::{self, Scores},
};

/// Tells the language of short passages.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Train this many networks one after the other, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
}

/// How many passages of a language are taken at most, for training and for the test.
const MOST: (usize, usize) = (3000, 350);

/// How many numbers stand for a passage.
const FEATURES: usize = 1024;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let options = &arguments.options;
    options.only(&["--epochs", "--seed", "--data", "--out"]);
    let seeds = classifier::seeds(options, arguments.seeds)?;
    let passages = manual_pages::passages(options.data.as_deref(), MOST)?;
    let device = options.open()?;
    let out = options.pictures("out/text")?;
    let [train, test] = [dataset(&passages.train)?, dataset(&passages.test)?];
    eprintln!("{} passages of {} languages, and {} held out", train.rows(), LANGUAGES.len(), test.rows());

    let epochs = options.epochs.unwrap_or(10) as usize;
    let network = Network::new(FEATURES).dense(128, Activation::Relu).dropout(0.3);
    let network = network.dense(LANGUAGES.len(), Activation::Identity);
    let mut scores = Scores::default();
    let mut first = None;
    for seed in seeds.clone() {
        let (trainer, history) = fit(&device, &network, (&train, &test), epochs, seed)?;
        let accuracy = history.last().and_then(worked::accuracy).unwrap_or(f64::NAN);
        common::say!("seed {seed}: the language of {} of {} held-out passages", percent(accuracy), test.rows());
        scores.0.push(accuracy);
        first.get_or_insert((trainer, history));
    }
    let Some((mut trainer, history)) = first else { return Ok(()) };
    for sentence in ["dette er en dansk sætning", "det här är en svensk mening", "esta frase é em português"] {
        common::say!("{sentence:?}: {}", guess(&mut trainer, sentence)?);
    }
    let mut own = worked::json(&history, train.rows(), *seeds.start());
    own["classes"] = LANGUAGES.len().into();
    own["held_out"] = test.rows().into();
    let without_hidden = Network::new(FEATURES).dense(LANGUAGES.len(), Activation::Identity);
    let (_, linear) = fit(&device, &without_hidden, (&train, &test), epochs, *seeds.start())?;
    let baselines = [
        ("nearest class mean", classifier::nearest_mean(&train, &test, LANGUAGES.len())),
        ("naive Bayes", naive_bayes(&train, &test)),
        ("the same without a hidden layer", linear.last().and_then(worked::accuracy).unwrap_or(f64::NAN)),
    ];
    worked::compare(&device, &scores, &baselines, &mut own);
    let title = format!("Ten languages, {FEATURES}-128-10, seed {}", seeds.start());
    worked::curves(&out.join("curves.svg"), &title, &history)?;
    options.print_json("text", Some(&device), own);
    Ok(())
}

/// Trains a network, and tests it on the held-out passages after every epoch.
fn fit(
    device: &Device,
    network: &Network,
    (train, test): (&Dataset, &Dataset),
    epochs: usize,
    seed: u64,
) -> Result<(Trainer, History), gradus::Error> {
    let batch = 64;
    let settings = Settings {
        batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(0.001),
        schedule: Schedule::cosine((epochs * train.rows().div_ceil(batch)) as u64),
        seed,
        ..Settings::default()
    };
    worked::fit(device, network, (train, test), epochs, settings)
}

/// How often each group of one to three letters occurs, words beginning and ending with a space; groups whose hashes
/// fall together are counted together.
fn features(passage: &str) -> [u8; FEATURES] {
    let letters: Vec<char> = [' '].into_iter().chain(passage.to_lowercase().chars()).chain([' ']).collect();
    let mut counts = [0u8; FEATURES];
    for length in 1..=3 {
        for group in letters.windows(length) {
            let hash = manual_pages::hash(String::from_iter(group).as_bytes());
            let count = &mut counts[hash as usize % FEATURES];
            *count = count.saturating_add(1);
        }
    }
    counts
}

/// The counts stay bytes, on the device too.
fn dataset(passages: &[(String, usize)]) -> Result<Dataset, gradus::Error> {
    let bytes = passages.iter().flat_map(|(passage, _)| features(passage)).collect();
    let languages: Vec<u32> = passages.iter().map(|(_, language)| *language as u32).collect();
    Dataset::new(passages.len(), Features::U8 { bytes, scale: 1.0 }, languages)
}

fn guess(trainer: &mut Trainer, sentence: &str) -> Result<&'static str, gradus::Error> {
    let outputs = trainer.predict(&features(sentence).map(f32::from))?;
    let likeliest = outputs.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(likeliest.map_or("?", |(language, _)| LANGUAGES[language].2))
}

/// The usual way without a network: the language for which the product of its groups' frequencies is the largest.
fn naive_bayes(train: &Dataset, test: &Dataset) -> f64 {
    let mut counts = vec![[1.0f64; FEATURES]; LANGUAGES.len()];
    for (row, language) in classifier::rows(train) {
        counts[language].iter_mut().zip(row).for_each(|(sum, count)| *sum += f64::from(count));
    }
    for language in &mut counts {
        let sum: f64 = language.iter().sum();
        language.iter_mut().for_each(|count| *count = (*count / sum).ln());
    }
    let right = classifier::rows(test).filter(|(row, language)| {
        let likelihood = |of: &[f64; FEATURES]| of.iter().zip(row).map(|(log, n)| log * f64::from(*n)).sum::<f64>();
        let all = counts.iter().map(likelihood).enumerate();
        all.max_by(|a, b| a.1.total_cmp(&b.1)).is_some_and(|(likeliest, _)| likeliest == *language)
    });
    right.count() as f64 / test.rows() as f64
}
