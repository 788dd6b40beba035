//! How long a training step takes in other libraries, on the workloads of gradus' own bench and by its rules: sigmoid
//! everywhere, mean squared error, SGD, a resident data set whose rows every epoch takes in a new order, and the loss of
//! every step kept. One JSON object a line.
//!
//!     cargo run --release -- --engine burn-flex --engine candle --workload 784-30-10
//!     cargo run --release -- --engine burn-vulkan --adapter nvidia
//!     cargo run --release --no-default-features -- --engine burn-vulkan --adapter llvmpipe
//!
//! burn on Vulkan writes SPIR-V, its fastest way; without the default features it writes WGSL. Mesa 22.3.6's llvmpipe
//! crashes on its SPIR-V.

mod burn;
mod candle;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

/// The widths and the batch of each workload.
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
/// The batches of the data set.
const BATCHES: usize = 8;
const RATE: f64 = 0.1;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Times training steps in other libraries.
#[derive(Parser)]
struct Arguments {
    /// The library and what it runs on; may be given several times
    #[arg(long, required = true)]
    engine: Vec<Engine>,
    /// Part of the Vulkan adapter's name, for burn-vulkan; the default is burn's own choice
    #[arg(long)]
    adapter: Option<String>,
    /// Only the workloads with this in their widths, such as 784-30-10
    #[arg(long, default_value = "")]
    workload: String,
    /// How long each workload is timed
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Tell every stretch and its mean loss on standard error
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
    /// The library, its version and the device.
    fn name(&self) -> String;
    /// Whether it is a GPU and not a program; the largest workload is for GPUs.
    fn is_gpu(&self) -> bool;
    /// A new network of these widths with its data on the device.
    fn trainer(&self, widths: &[usize], order: Order) -> Result<Box<dyn Trainer>>;
}

/// A network in training.
trait Trainer {
    /// Takes this many steps, waits for the last and gives the loss of each.
    fn run(&mut self, steps: usize) -> Result<Vec<f32>>;
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
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
        for (widths, batch) in WORKLOADS {
            let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            if !name.contains(&arguments.workload) || (*batch > 100_000 && !peer.is_gpu()) {
                continue;
            }
            if arguments.verbose {
                eprintln!("{}: {name}, batch {batch}", peer.name());
            }
            let mut trainer = peer.trainer(widths, Order::new(*batch))?;
            let seconds = time(&mut *trainer, arguments)?;
            println!(
                "{}",
                serde_json::json!({ "engine": peer.name(), "sizes": widths, "batch": batch,
                    "us_per_step": seconds * 1e6, "samples_per_second": *batch as f64 / seconds,
                    "gflops": flop(widths, *batch) as f64 / seconds / 1e9 })
            );
        }
    }
    Ok(())
}

/// Seconds a step, the median of seven stretches.
fn time(trainer: &mut dyn Trainer, arguments: &Arguments) -> Result<f64> {
    let mut stretch = |steps: usize| -> Result<Duration> {
        let start = Instant::now();
        let losses = trainer.run(steps)?;
        let took = start.elapsed();
        let mean = losses.iter().sum::<f32>() / steps as f32;
        if arguments.verbose {
            eprintln!("  {steps} steps of {:.2} us, mean loss {mean:.6}", took.as_secs_f64() / steps as f64 * 1e6);
        }
        if losses.len() == steps && mean.is_finite() { Ok(took) } else { Err("a loss is missing or not finite".into()) }
    };
    // Kernels are tuned and operations fused in the first steps, not all in the first one.
    for _ in 0..10 {
        stretch(1)?;
    }
    let length = Duration::from_secs_f64(arguments.seconds / 7.0);
    let mut steps = 1;
    loop {
        let took = stretch(steps)?;
        if took >= length / 4 {
            steps = ((steps as f64 * length.as_secs_f64() / took.as_secs_f64()) as usize).max(1);
            break;
        }
        steps *= 2;
    }
    let mut stretches = [0.0; 7];
    for one in &mut stretches {
        *one = stretch(steps)?.as_secs_f64() / steps as f64;
    }
    stretches.sort_by(f64::total_cmp);
    Ok(stretches[3])
}

/// The floating-point operations of a step: three products a layer, two in the first.
fn flop(widths: &[usize], batch: usize) -> usize {
    let products = widths.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>();
    batch * (6 * products - 2 * widths[0] * widths[1])
}

/// Numbers from 0 to 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// The version of a package that this program was built with.
fn version(package: &str) -> &'static str {
    let line = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = include_str!("../Cargo.lock").split_once(&line).expect("no such package");
    rest.split('"').next().unwrap_or_default()
}

/// The order in which an epoch takes the rows of the data set, another one each time.
struct Order {
    batch: usize,
    rows: Vec<u32>,
    random: SmallRng,
}

impl Order {
    fn new(batch: usize) -> Self {
        Self { batch, rows: (0..(BATCHES * batch) as u32).collect(), random: SmallRng::seed_from_u64(0) }
    }

    /// The rows of the next epoch.
    fn next(&mut self) -> &[u32] {
        self.rows.shuffle(&mut self.random);
        &self.rows
    }
}
