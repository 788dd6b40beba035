//! Times steps on a data set that the device does not hold: it streams the rows from memory, or from a file.
//!
//!     cargo bench --bench streaming -- --device llvmpipe
//!
//! The bench alternates with steps on the resident data set. The file is in the page cache of the operating system. Before
//! the bench times a workload, it compares the losses of the three trainers. If their bits differ, it stops with an error.

mod common;

use std::{fs, path::Path, process::ExitCode};

use clap::Parser;
use gradus::{
    Activation, Dataset, Device, Features, Network, Optimizer, Trainer, TrainerSettings,
    data::{FileRows, formats::Npy},
};
use serde_json::json;

use common::{BenchResult, Times, exit_code, measure_in_turn, network_name, open_device, values};

/// A network, and the type of its features.
struct Workload {
    layer_sizes: &'static [usize],
    batch_size: usize,
    /// Whether the features are bytes instead of f32.
    has_bytes: bool,
}

const fn workload(layer_sizes: &'static [usize], batch_size: usize, has_bytes: bool) -> Workload {
    Workload { layer_sizes, batch_size, has_bytes }
}

const WORKLOADS: &[Workload] = &[
    workload(&[784, 30, 10], 10, true),
    workload(&[784, 30, 10], 10, false),
    workload(&[784, 128, 10], 64, true),
    workload(&[784, 128, 10], 64, false),
    workload(&[784, 800, 10], 128, true),
    workload(&[784, 800, 10], 128, false),
    workload(&[64, 64, 64, 64, 64, 64], 16_384, false),
    workload(&[1024, 1024, 1024, 1024], 512, false),
];

/// The number of steps for the comparison of bits.
const COMPARED_STEPS: usize = 5;

/// Times steps on a data set that is streamed to the device.
#[derive(Parser)]
struct Arguments {
    /// Device: auto, gpu, cpu, or part of an adapter's name
    #[arg(long, default_value = "auto")]
    device: String,
    /// Run only the workloads whose layer sizes contain this text, for example 784-30-10 [default: all]
    #[arg(long, default_value = "", hide_default_value = true)]
    workload: String,
    /// Number of rows of the data set; a larger batch size raises it
    #[arg(long, default_value_t = 32_768)]
    rows: usize,
    /// Seconds for timing the three trainers of a workload, per trainer
    #[arg(long, default_value_t = 9.0)]
    seconds: f64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
    /// Ignored: `cargo bench` passes this option to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The times of a step.
struct StepTimes {
    resident: Times,
    from_memory: Times,
    from_file: Times,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    let device = open_device(&arguments.device, arguments.json)?;
    if !arguments.json {
        println!("{device}; us per step, in parentheses relative to the resident data set\n");
        let [resident, memory, file] = ["resident", "from memory", "from a file"];
        println!("{:>24} {:>8} {resident:>9} {memory:>22} {file:>22}", "network, batch size", "features");
    }
    for workload in WORKLOADS {
        let name = network_name(workload.layer_sizes);
        if !name.contains(&arguments.workload) {
            continue;
        }
        let directory = std::env::temp_dir().join(format!("gradus-streaming-{}", std::process::id()));
        let times = workload.measure(&device, arguments, &directory.join("rows.npy"));
        // The file may not exist if the measurement failed.
        let _ = fs::remove_dir_all(&directory);
        let StepTimes { resident, from_memory, from_file } = times?;
        let [resident, memory, file] = [resident, from_memory, from_file].map(|times| 1e6 * times.median);
        let features = if workload.has_bytes { "u8" } else { "f32" };
        let batch_size = workload.batch_size;
        if arguments.json {
            let line = json!({
                "engine": device.to_string(), "layer_sizes": workload.layer_sizes, "batch_size": batch_size,
                "features": features, "us_resident": resident, "us_from_memory": memory, "us_from_file": file,
            });
            println!("{line}");
        } else {
            let with_ratio = |us: f64| format!("{us:.1} ({:.2}x)", us / resident);
            let (network, memory, file) = (format!("{name}, {batch_size}"), with_ratio(memory), with_ratio(file));
            println!("{network:>24} {features:>8} {resident:>9.1} {memory:>22} {file:>22}");
        }
    }
    Ok(())
}

impl Workload {
    /// Times steps with the three data sets. `path` is the file to create.
    fn measure(&self, device: &Device, arguments: &Arguments, path: &Path) -> BenchResult<StepTimes> {
        let (inputs, outputs) = (self.layer_sizes[0], self.layer_sizes[self.layer_sizes.len() - 1]);
        let rows = arguments.rows.max(self.batch_size);
        let features: Features = match self.has_bytes {
            true => (0..rows * inputs).map(|i| (i * 37 % 251) as u8).collect::<Vec<_>>().into(),
            false => values(rows * inputs).into(),
        };
        Npy::new([rows, inputs], features.clone())?.save(path)?;
        let scale = if self.has_bytes { 1.0 / 255.0 } else { 1.0 };
        let features = if self.has_bytes { features.with_scale(scale)? } else { features };
        let targets = values(rows * outputs);
        let in_memory = Dataset::new(rows, features, targets.clone())?;
        let in_file = Dataset::new(rows, FileRows::open_npy(path)?.with_scale(scale), targets)?;
        let mut network = Network::new(inputs);
        for neurons in &self.layer_sizes[1..] {
            network = network.dense(*neurons, Activation::Sigmoid);
        }
        let optimizer = Optimizer::sgd(0.1);
        let settings = TrainerSettings { batch_size: self.batch_size, optimizer, ..TrainerSettings::default() };
        // The memory limit selects whether the device holds the data set or streams it.
        let resident_device = device.clone().with_dataset_memory_limit(u64::MAX);
        let streaming_device = device.clone().with_dataset_memory_limit(0);
        let mut resident = Trainer::new(&resident_device, &network, &in_memory, settings.clone())?;
        let mut from_memory = Trainer::new(&streaming_device, &network, &in_memory, settings.clone())?;
        let mut from_file = Trainer::new(&streaming_device, &network, &in_file, settings)?;
        let mut losses = Vec::new();
        for trainer in [&mut resident, &mut from_memory, &mut from_file] {
            losses.push(trainer.run(COMPARED_STEPS)?.losses.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        }
        if losses[0] != losses[1] || losses[0] != losses[2] {
            return Err(
                format!("streaming: expected the losses of the resident data set (as bits), got {losses:?}").into()
            );
        }
        let [resident, from_memory, from_file] = measure_in_turn(
            arguments.seconds,
            [
                &mut |steps| Ok(resident.run(steps).map(drop)?),
                &mut |steps| Ok(from_memory.run(steps).map(drop)?),
                &mut |steps| Ok(from_file.run(steps).map(drop)?),
            ],
        )?
        .map(Times::new);
        Ok(StepTimes { resident, from_memory, from_file })
    }
}
