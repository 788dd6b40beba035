//! Times training steps of other libraries, on the workloads of gradus' bench `training`. Prints one JSON object per line.
//!
//!     cargo run --release -- --engine burn-flex --engine candle --workload 784-30-10
//!     cargo run --release -- --engine burn-vulkan --adapter nvidia
//!     cargo run --release --no-default-features -- --engine burn-vulkan --adapter llvmpipe
//!
//! All libraries do the work of gradus' bench: sigmoid in every layer, mean squared error, SGD, a resident data set with
//! a new permutation of the rows in every epoch, and the loss of every step kept.
//!
//! By default burn generates SPIR-V for Vulkan, its fastest path. Without the default features it generates WGSL. The
//! llvmpipe of Mesa 22.3.6 crashes on burn's SPIR-V.

mod burn;
mod candle;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// The layer sizes and the batch size of each workload.
const WORKLOADS: &[(&[usize], usize)] = &[
    (&[2, 2, 1], 4),
    (&[784, 30, 10], 10),
    (&[784, 128, 10], 64),
    (&[784, 800, 10], 128),
    (&[64, 64, 64, 64, 64, 64], 16_384),
    (&[1024, 1024, 1024, 1024], 512),
    (&[784, 2500, 2000, 1500, 1000, 500, 10], 256),
    (&[64, 64, 64, 64, 64, 64], 262_144),
];
/// The number of batches of the data set.
const BATCHES: usize = 8;
const LEARNING_RATE: f64 = 0.1;
/// The number of samples of a measurement. The result is their median.
const SAMPLES: usize = 7;
/// Workloads with a larger batch size are for GPUs only.
const MAX_CPU_BATCH_SIZE: usize = 100_000;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Times training steps of other libraries.
#[derive(Parser)]
struct Arguments {
    /// Library and its backend; may be repeated
    #[arg(long, required = true)]
    engine: Vec<Engine>,
    /// Part of the name of the Vulkan adapter for burn-vulkan [default: the adapter that burn selects]
    #[arg(long)]
    adapter: Option<String>,
    /// Run only the workloads whose layer sizes contain this text, for example 784-30-10 [default: all]
    #[arg(long, default_value = "", hide_default_value = true)]
    workload: String,
    /// Seconds for timing each workload
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Print every sample and its mean loss on standard error
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    BurnVulkan,
    BurnFlex,
    BurnNdarray,
    Candle,
}

/// A library on a device.
trait Peer {
    /// Returns the library, its version and the device.
    fn name(&self) -> String;
    /// Returns whether the device is a GPU, and not a CPU or a software adapter. The largest workload is for GPUs.
    fn is_gpu(&self) -> bool;
    /// Creates a network with the given layer sizes, with its data on the device.
    fn trainer(&self, layer_sizes: &[usize], permutation: Permutation) -> Result<Box<dyn Trainer>>;
}

/// A network with its optimizer and its data.
trait Trainer {
    /// Runs `steps` training steps, waits for the last one, and returns the loss of each.
    fn run(&mut self, steps: usize) -> Result<Vec<f32>>;
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    for engine in &arguments.engine {
        let peer: Box<dyn Peer> = match engine {
            Engine::BurnVulkan => Box::new(burn::Burn::vulkan(arguments.adapter.as_deref())?),
            Engine::BurnFlex => Box::new(burn::Burn::flex()),
            Engine::BurnNdarray => Box::new(burn::Burn::ndarray()),
            Engine::Candle => Box::new(candle::Candle),
        };
        for (layer_sizes, batch_size) in WORKLOADS {
            let name = layer_sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            let fits = *batch_size <= MAX_CPU_BATCH_SIZE || peer.is_gpu();
            if !name.contains(&arguments.workload) || !fits {
                continue;
            }
            if arguments.verbose {
                eprintln!("{}: {name}, batch size {batch_size}", peer.name());
            }
            let mut trainer = peer.trainer(layer_sizes, Permutation::new(*batch_size))?;
            let seconds = seconds_per_step(&mut *trainer, arguments)?;
            println!(
                "{}",
                serde_json::json!({
                    "engine": peer.name(),
                    "layer_sizes": layer_sizes,
                    "batch_size": batch_size,
                    "us_per_step": seconds * 1e6,
                    "samples_per_second": *batch_size as f64 / seconds,
                    "gflops": flop_per_step(layer_sizes, *batch_size) as f64 / seconds / 1e9,
                })
            );
        }
    }
    Ok(())
}

/// Returns the median over samples that together take about `--seconds`.
fn seconds_per_step(trainer: &mut dyn Trainer, arguments: &Arguments) -> Result<f64> {
    let mut sample = |steps: usize| -> Result<Duration> {
        let start = Instant::now();
        let losses = trainer.run(steps)?;
        let elapsed = start.elapsed();
        let mean = losses.iter().sum::<f32>() / steps as f32;
        if arguments.verbose {
            let us = elapsed.as_secs_f64() / steps as f64 * 1e6;
            eprintln!("  {steps} steps: {us:.2} us per step, mean loss {mean:.6}");
        }
        if losses.len() == steps && mean.is_finite() {
            Ok(elapsed)
        } else {
            Err(format!("expected {steps} finite losses, got {} with the mean {mean}", losses.len()).into())
        }
    };
    // The libraries tune kernels and fuse operations in the first steps, and not all of them in the first step.
    for _ in 0..10 {
        sample(1)?;
    }
    let sample_time = Duration::from_secs_f64(arguments.seconds / SAMPLES as f64);
    let mut steps = 1;
    loop {
        let elapsed = sample(steps)?;
        if elapsed >= sample_time / 4 {
            let ratio = sample_time.as_secs_f64() / elapsed.as_secs_f64();
            steps = ((steps as f64 * ratio) as usize).max(1);
            break;
        }
        steps *= 2;
    }
    let mut samples = [0.0; SAMPLES];
    for seconds in &mut samples {
        *seconds = sample(steps)?.as_secs_f64() / steps as f64;
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[SAMPLES / 2])
}

/// Returns the floating-point operations of a step: three matmuls per layer, two in the first layer.
fn flop_per_step(layer_sizes: &[usize], batch_size: usize) -> usize {
    let weights = layer_sizes.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>();
    batch_size * (6 * weights - 2 * layer_sizes[0] * layer_sizes[1])
}

/// Returns `count` values in [0, 1], the same in every run.
fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// Returns the version of a package in `Cargo.lock`.
fn version(package: &str) -> &'static str {
    let line = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = include_str!("../Cargo.lock").split_once(&line).expect("Cargo.lock has the package");
    rest.split('"').next().unwrap_or_default()
}

/// The permutation of the rows of the data set in an epoch.
struct Permutation {
    batch_size: usize,
    rows: Vec<u32>,
    random: SmallRng,
}

impl Permutation {
    fn new(batch_size: usize) -> Self {
        let rows = (0..(BATCHES * batch_size) as u32).collect();
        Self { batch_size, rows, random: SmallRng::seed_from_u64(0) }
    }

    /// Returns the permutation of the next epoch.
    fn next_epoch(&mut self) -> &[u32] {
        self.rows.shuffle(&mut self.random);
        &self.rows
    }
}
