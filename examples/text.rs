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
use gradus::{Activation, Dataset, Features, Loss, Network, Optimizer, Schedule, Trainer, TrainerSettings};

use common::{
    Exit, argmax, classifier,
    experiment::{self, Baseline, Experiment, SeedRun, SeedRuns, Trained, run_seeds},
    manual_pages::{self, LANGUAGES, Limits},
    options::{DataOption, DeviceOptions, EpochsOption, JsonOption, OutOption, SeedsOptions},
    percent, print_line,
};

/// Tells the language of short passages.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    seeds: SeedsOptions,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    out: OutOption,
    #[command(flatten)]
    json: JsonOption,
}

/// How many passages of a language are taken at most, for training and for the test.
const MAX_PASSAGES: Limits = Limits { train: 3000, test: 350 };

/// How many numbers stand for a passage.
const FEATURES: usize = 1024;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.seeds.range()?;
    let passages = manual_pages::passages(arguments.data.folder(), MAX_PASSAGES)?;
    let device = arguments.device.open()?;
    let out = arguments.out.create("out/text")?;
    let [train, test] = [dataset(&passages.train)?, dataset(&passages.test)?];
    eprintln!("{} passages of {} languages, and {} held out", train.rows(), LANGUAGES.len(), test.rows());

    let epochs = arguments.epochs.or(10);
    let network = Network::new(FEATURES).dense(128, Activation::Relu).dropout(0.3);
    let network = network.dense(LANGUAGES.len(), Activation::Identity);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let SeedRuns { scores, first: Trained { mut trainer, history } } = run_seeds(seeds.clone(), |seed| {
        let trained = experiment.run(settings(&experiment, seed))?;
        let accuracy = experiment::accuracy(&trained.history);
        print_line!("seed {seed}: the language of {} of {} held-out passages", percent(accuracy), test.rows());
        Ok(SeedRun { score: accuracy, result: trained })
    })?;
    for sentence in ["dette er en dansk sætning", "det här är en svensk mening", "esta frase é em português"] {
        print_line!("{sentence:?}: {}", guess(&mut trainer, sentence)?);
    }
    let mut own = experiment::json(&train, &history, *seeds.start());
    own["classes"] = LANGUAGES.len().into();
    own["held_out"] = test.rows().into();
    let without_hidden = Network::new(FEATURES).dense(LANGUAGES.len(), Activation::Identity);
    let linear = Experiment { network: &without_hidden, ..experiment };
    let linear = linear.run(settings(&linear, *seeds.start()))?.history;
    let nearest = classifier::nearest_mean(&train, &test, LANGUAGES.len());
    let baselines = [
        Baseline { name: "nearest class mean", accuracy: nearest },
        Baseline { name: "naive Bayes", accuracy: naive_bayes(&train, &test) },
        Baseline { name: "the same without a hidden layer", accuracy: experiment::accuracy(&linear) },
    ];
    experiment::compare(&device, &scores, &baselines, &mut own);
    let title = format!("Ten languages, {FEATURES}-128-10, seed {}", seeds.start());
    experiment::save_curves(&out.join("curves.svg"), &title, &history)?;
    arguments.json.print("text", &device, own);
    Ok(())
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch = 64;
    TrainerSettings {
        batch_size: batch,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(0.001),
        schedule: Schedule::cosine(experiment.steps(batch)),
        seed,
        ..TrainerSettings::default()
    }
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
    Ok(LANGUAGES[argmax(&outputs)].2)
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
    let mut correct = 0;
    for (row, language) in classifier::rows(test) {
        let likelihood = |of: &[f64; FEATURES]| of.iter().zip(&row).map(|(log, n)| log * f64::from(*n)).sum::<f64>();
        let likelihoods: Vec<f64> = counts.iter().map(likelihood).collect();
        if argmax(&likelihoods) == language {
            correct += 1;
        }
    }
    f64::from(correct) / test.rows() as f64
}
