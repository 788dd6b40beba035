//! Classifies the language of short passages of text, by their groups of one to three letters.
//!
//!     sudo apt-get install manpages-{cs,da,de,es,fr,it,nl,pl,pt-br,sv}
//!     cargo run --release --example text -- --device cpu --runs 5
//!
//! The passages have about twenty letters, in ten languages, from the translated manual pages in Debian's packages. Every
//! fifth page is held out in all languages, so the 3,500 test passages come from other documents than the training
//! passages. The data set excludes passages that occur in two languages, and paragraphs with English words such as `the`,
//! because nobody translated them. It also excludes text in bold or italics, which is mostly names of programs.

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{Activation, Dataset, Features, Loss, Network, Optimizer, Schedule, Trainer, TrainerSettings};

use common::{
    Exit, argmax, classifier,
    experiment::{self, Baseline, Experiment, Run, Runs, Trained, run_each},
    manual_pages::{self, LANGUAGES, Limits, Passage},
    options::{DataDirOption, DeviceOptions, EpochsOption, JsonOption, OutDirOption, RunsOptions},
    print_line,
};

/// Trains a network to classify the language of short passages of text.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    epochs: EpochsOption,
    #[command(flatten)]
    runs: RunsOptions,
    #[command(flatten)]
    data_dir: DataDirOption,
    #[command(flatten)]
    out_dir: OutDirOption,
    #[command(flatten)]
    json: JsonOption,
}

/// The maximum number of passages per language.
const MAX_PASSAGES: Limits = Limits { train: 3000, test: 350 };

/// The number of features of a passage: counters of hashed letter groups.
const FEATURES: usize = 1024;

/// Sentences to classify after the training.
const SENTENCES: [&str; 3] = ["dette er en dansk sætning", "det här är en svensk mening", "esta frase é em português"];

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let seeds = arguments.runs.seeds()?;
    let first_seed = *seeds.start();
    let passages = manual_pages::load(arguments.data_dir.path(), MAX_PASSAGES)?;
    let device = arguments.device.open()?;
    let out_dir = arguments.out_dir.create("out/text")?;
    let [train, test] = [dataset(&passages.train)?, dataset(&passages.test)?];
    eprintln!("{} languages, {} training passages, {} test passages", LANGUAGES.len(), train.rows(), test.rows());

    let epochs = arguments.epochs.or(10);
    let network = Network::new(FEATURES).dense(128, Activation::Relu).dropout(0.3);
    let network = network.dense(LANGUAGES.len(), Activation::Identity);
    let experiment = Experiment { device: &device, network: &network, train: &train, test: &test, epochs };
    let Runs { scores, first: Trained { mut trainer, history } } = run_each(seeds, |seed| {
        let trained = experiment.run(settings(&experiment, seed))?;
        let accuracy = experiment::accuracy(&trained.history);
        experiment::print_accuracy(seed, accuracy, &test);
        Ok(Run { score: accuracy, result: trained })
    })?;
    for sentence in SENTENCES {
        print_line!("prediction for {sentence:?}: {}", predict_language(&mut trainer, sentence)?);
    }
    let mut keys = experiment::json(&train, &history, first_seed);
    keys["classes"] = LANGUAGES.len().into();
    keys["test_rows"] = test.rows().into();
    let linear_network = Network::new(FEATURES).dense(LANGUAGES.len(), Activation::Identity);
    let linear = Experiment { network: &linear_network, ..experiment };
    let linear_history = linear.run(settings(&linear, first_seed))?.history;
    let nearest_mean = classifier::nearest_mean_accuracy(&train, &test, LANGUAGES.len());
    let baselines = [
        Baseline { name: "nearest class mean", accuracy: nearest_mean },
        Baseline { name: "naive Bayes", accuracy: naive_bayes_accuracy(&train, &test) },
        Baseline { name: "no hidden layer", accuracy: experiment::accuracy(&linear_history) },
    ];
    experiment::report_accuracy(&device, &scores, &baselines, &mut keys);
    let title = format!("Ten languages, {FEATURES}-128-10, seed {first_seed}");
    experiment::save_curves(&out_dir.join("curves.svg"), &title, &history)?;
    arguments.json.print("text", &device, keys);
    Ok(())
}

fn settings(experiment: &Experiment<'_>, seed: u64) -> TrainerSettings {
    let batch_size = 64;
    TrainerSettings {
        batch_size,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(0.001),
        schedule: Schedule::cosine(experiment.total_steps(batch_size)),
        seed,
        ..TrainerSettings::default()
    }
}

/// Counts the groups of one to three letters of a passage. A space before and after the passage is part of the groups.
///
/// The hash of a group selects its counter, so groups with equal hashes share a counter.
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

/// Creates a data set from passages. The counts stay bytes, also on the device.
fn dataset(passages: &[Passage]) -> Result<Dataset, gradus::Error> {
    let bytes = passages.iter().flat_map(|passage| features(&passage.text)).collect();
    let languages: Vec<u32> = passages.iter().map(|passage| passage.language as u32).collect();
    Dataset::new(passages.len(), Features::U8 { bytes, scale: 1.0 }, languages)
}

fn predict_language(trainer: &mut Trainer, sentence: &str) -> Result<&'static str, gradus::Error> {
    let outputs = trainer.predict(&features(sentence).map(f32::from))?;
    Ok(LANGUAGES[argmax(&outputs)].name)
}

/// Returns the test accuracy of a naive Bayes classifier, the usual method without a network.
///
/// It predicts the language with the largest product of the frequencies of the groups in a passage.
fn naive_bayes_accuracy(train: &Dataset, test: &Dataset) -> f64 {
    // Counts start at 1, so that no frequency is 0 (Laplace smoothing).
    let mut counts = vec![[1.0f64; FEATURES]; LANGUAGES.len()];
    for (row, language) in classifier::rows(train) {
        counts[language].iter_mut().zip(row).for_each(|(sum, count)| *sum += f64::from(count));
    }
    let mut log_frequencies = counts;
    for language in &mut log_frequencies {
        let sum: f64 = language.iter().sum();
        language.iter_mut().for_each(|count| *count = (*count / sum).ln());
    }
    let mut correct = 0;
    for (row, language) in classifier::rows(test) {
        let log_likelihood = |frequencies: &[f64; FEATURES]| {
            frequencies.iter().zip(&row).map(|(log, count)| log * f64::from(*count)).sum::<f64>()
        };
        let log_likelihoods: Vec<f64> = log_frequencies.iter().map(log_likelihood).collect();
        if argmax(&log_likelihoods) == language {
            correct += 1;
        }
    }
    f64::from(correct) / test.rows() as f64
}
