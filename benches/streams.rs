//! What it costs that a device does not hold the data set: steps on rows that are streamed from memory and from a file in the
//! page cache, beside the same steps on the same rows on the device. The three have to give the same bits first.
//!
//!     cargo bench --bench streams -- --device llvmpipe

mod common;

use std::{fs, process::ExitCode};

use clap::Parser;
use gradus::{Activation, Dataset, Device, Features, Network, Optimizer, Trainer, TrainerSettings, data::formats::Npy};
use serde_json::json;

use common::{BenchResult, Times, exit, in_turn, numbers, open};

/// Widths, rows a batch, and whether features are bytes.
const WORKLOADS: &[(&[usize], usize, bool)] = &[
    (&[784, 30, 10], 10, true),
    (&[784, 30, 10], 10, false),
    (&[784, 128, 10], 64, true),
    (&[784, 128, 10], 64, false),
    (&[784, 800, 10], 128, true),
    (&[784, 800, 10], 128, false),
    (&[64, 64, 64, 64, 64, 64], 16_384, false),
    (&[1024, 1024, 1024, 1024], 512, false),
];

/// The steps of the comparison of bits.
const COMPARED: usize = 5;

/// Times streamed steps.
#[derive(Parser)]
struct Arguments {
    /// auto, gpu, cpu, or part of an adapter's name
    #[arg(long, default_value = "auto")]
    device: String,
    /// Only the workloads with this in their widths, such as 784-30-10
    #[arg(long, default_value = "")]
    workload: String,
    /// Rows of the data set, at least a batch
    #[arg(long, default_value_t = 32_768)]
    rows: usize,
    /// How long the three are timed together
    #[arg(long, default_value_t = 9.0)]
    seconds: f64,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    let device = open(&arguments.device, arguments.json)?;
    if !arguments.json {
        println!("{device}; microseconds a step, and the ratio to the resident data set\n");
        println!(
            "{:>24} {:>7} {:>9} {:>22} {:>22}",
            "network, batch", "rows of", "resident", "from memory", "from a file"
        );
    }
    for (widths, batch, is_bytes) in WORKLOADS {
        let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        if !name.contains(&arguments.workload) {
            continue;
        }
        let folder = std::env::temp_dir().join(format!("gradus-streams-{}", std::process::id()));
        let timed = time(&device, (widths, *batch, *is_bytes), arguments, &folder.join("rows.npy"));
        let _ = fs::remove_dir_all(&folder);
        let kind = if *is_bytes { "u8" } else { "f32" };
        let [resident, memory, file] = timed?.map(|times| 1e6 * times.median);
        if arguments.json {
            let line = json!({
                "engine": device.to_string(), "sizes": widths, "batch": batch, "features": kind,
                "us_resident": resident, "us_from_memory": memory, "us_from_file": file,
            });
            println!("{line}");
        } else {
            let ratio = |us: f64| format!("{us:.1} ({:.2})", us / resident);
            println!(
                "{:>24} {kind:>7} {resident:>9.1} {:>22} {:>22}",
                format!("{name}, {batch}"),
                ratio(memory),
                ratio(file)
            );
        }
    }
    Ok(())
}

/// Resident, streamed from memory, streamed from a file.
fn time(
    device: &Device,
    (widths, batch, is_bytes): (&[usize], usize, bool),
    arguments: &Arguments,
    path: &std::path::Path,
) -> BenchResult<[Times; 3]> {
    let (inputs, outputs) = (widths[0], widths[widths.len() - 1]);
    let rows = arguments.rows.max(batch);
    let features: Features = if is_bytes {
        (0..rows * inputs).map(|i| (i * 37 % 251) as u8).collect::<Vec<_>>().into()
    } else {
        numbers(rows * inputs).into()
    };
    Npy::new([rows, inputs], features.clone())?.save(path)?;
    let scale = if is_bytes { 1.0 / 255.0 } else { 1.0 };
    let features = if is_bytes { features.with_scale(scale)? } else { features };
    let answers = numbers(rows * outputs);
    let here = Dataset::new(rows, features, answers.clone())?;
    let there = Dataset::new(rows, Npy::rows_in(path)?.with_scale(scale), answers)?;
    let hidden = |network: Network, width: &usize| network.dense(*width, Activation::Sigmoid);
    let network = widths[1..].iter().fold(Network::new(inputs), hidden);
    let settings = TrainerSettings { batch_size: batch, optimizer: Optimizer::sgd(0.1), ..TrainerSettings::default() };
    let streaming = device.clone().with_dataset_memory_limit(0);
    let mut trainers = [
        Trainer::new(&device.clone().with_dataset_memory_limit(u64::MAX), &network, &here, settings.clone())?,
        Trainer::new(&streaming, &network, &here, settings.clone())?,
        Trainer::new(&streaming, &network, &there, settings)?,
    ];
    let mut losses = Vec::new();
    for trainer in &mut trainers {
        losses.push(trainer.run(COMPARED)?.losses.into_iter().map(f32::to_bits).collect::<Vec<_>>());
    }
    if losses[0] != losses[1] || losses[0] != losses[2] {
        return Err(format!("other bits where rows are streamed: {losses:?}").into());
    }
    let [a, b, c] = &mut trainers;
    let mut take = [a, b, c].map(|trainer| move |steps: usize| Ok(trainer.run(steps).map(drop)?));
    let [a, b, c] = &mut take;
    Ok(in_turn(arguments.seconds, [a, b, c])?.map(Times::new))
}
