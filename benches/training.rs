//! Times training steps on several workloads, next to the peak rates of the device: a bare matmul, a copy and a dispatch.
//!
//!     cargo bench --bench training -- --device cpu --device llvmpipe
//!     cargo bench --bench training -- --device gpu --workload 784-30-10 --tune --profile
//!
//! Before the bench times a workload, it compares a step with the f64 reference. If the device computes incorrectly, the
//! bench stops with an error.

mod common;
mod peak_rates;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use gradus::{
    Device, Network, Trainer, TrainerSettings,
    nn::LayerParameters,
    plan::{KernelTime, Plan, Profile, Tuner},
    reference::{Parameters, Reference},
};
use serde_json::{Value, json};

use common::{
    BenchResult, Times, cpu_description, exit_code, is_hardware, measure, network, network_name, open_device,
    plan_field, trainer, values,
};
use peak_rates::PeakRates;

/// A network and its batch size, with sigmoid, mean squared error and SGD.
struct Workload {
    layer_sizes: &'static [usize],
    batch_size: usize,
}

const fn workload(layer_sizes: &'static [usize], batch_size: usize) -> Workload {
    Workload { layer_sizes, batch_size }
}

const WORKLOADS: &[Workload] = &[
    workload(&[2, 2, 1], 4),
    workload(&[784, 30, 10], 10),
    workload(&[784, 128, 10], 64),
    workload(&[784, 800, 10], 128),
    workload(&[64, 64, 64, 64, 64, 64], 16_384),
    workload(&[1024, 1024, 1024, 1024], 512),
    workload(&[784, 2500, 2000, 1500, 1000, 500, 10], 256),
    workload(&[64, 64, 64, 64, 64, 64], 262_144),
];

/// Workloads with a larger batch size are for GPUs only.
const MAX_SOFTWARE_BATCH_SIZE: usize = 100_000;

/// The network whose epochs are timed too. Its steps are so short that the overhead of an epoch is measurable.
const EPOCH_LAYER_SIZES: &[usize] = &[784, 30, 10];

/// The largest errors of the check against the reference.
const MAX_GRADIENT_ERROR: f64 = 1e-4;
const MAX_PARAMETER_ERROR: f64 = 1e-3;

/// Times training steps, and the peak rates of the device.
#[derive(Parser)]
struct Arguments {
    /// Device: auto, gpu, cpu, or part of an adapter's name; may be repeated
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Run only the workloads whose layer sizes contain this text, for example 784-30-10 [default: all]
    #[arg(long, default_value = "", hide_default_value = true)]
    workload: String,
    /// Seconds for timing each workload, and for tuning it
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Print one JSON object per line instead of tables
    #[arg(long)]
    json: bool,
    /// Also time every plan that may be the fastest, and compare gradus' default plan with the best one
    #[arg(long)]
    tune: bool,
    /// Also time each kernel of a step
    #[arg(long)]
    profile: bool,
    /// Ignored: `cargo bench` passes this option to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The measurement of a workload.
struct Row {
    workload: &'static Workload,
    /// The largest relative error against the reference.
    max_relative_error: f64,
    step: Times,
    gflops: f64,
    scheme: String,
    tuned: Option<Tuned>,
    profile: Option<Profile>,
    /// The time of an epoch relative to that of its steps in one run, minus 1, in percent.
    epoch_overhead_percent: Option<f64>,
}

/// The default plan and the best plan, in seconds per step.
struct Tuned {
    planned_seconds: f64,
    best_seconds: f64,
    best_plan: Plan,
}

fn main() -> ExitCode {
    let _ = env_logger::try_init();
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> BenchResult<()> {
    for name in &arguments.device {
        let device = open_device(name, arguments.json)?;
        let tuner = arguments.tune.then(|| tuner(arguments));
        let peaks = PeakRates::measure(&device, arguments.seconds, tuner.as_ref())?;
        if !arguments.json {
            print_header(&device, &peaks)?;
        }
        let mut rows = Vec::new();
        for workload in WORKLOADS {
            let is_selected = network_name(workload.layer_sizes).contains(&arguments.workload);
            let fits = workload.batch_size <= MAX_SOFTWARE_BATCH_SIZE || is_hardware(&device);
            if !is_selected || !fits {
                continue;
            }
            let row = Row::measure(&device, workload, arguments)?;
            if arguments.json {
                println!("{}", row.json(&device, &peaks));
            } else {
                row.print(&peaks);
                rows.push(row);
            }
        }
        print_details(&rows);
    }
    Ok(())
}

/// Prints the device, the driver, the CPU and the peak rates, and the header of the table.
fn print_header(device: &Device, peaks: &PeakRates) -> BenchResult<()> {
    let plan_on = |device: &Device| -> BenchResult<Plan> {
        Ok(Trainer::without_dataset(device, &network(&[1024, 1024]), TrainerSettings::default())?.plan())
    };
    println!("\ngradus {}: {device}", env!("CARGO_PKG_VERSION"));
    if device.is_gpu() {
        println!("driver: {}", plan_field(&plan_on(device)?, "driver"));
    }
    println!("{}", cpu_description(&plan_on(&Device::cpu())?));
    let dispatch = peaks.dispatch.map_or(String::new(), |us| format!(", dependent dispatch {us:.2} us"));
    println!("peak rates: matmul {:.1} GFLOP/s, copy {:.1} GB/s{dispatch}\n", peaks.gemm, peaks.copy);
    println!(
        "| network | batch size | us per step | min to max | samples/s | GFLOP/s | % of peak matmul | scheme | max relative \
         error |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    Ok(())
}

/// Prints the results of `--tune` and `--profile`, and the overhead of epochs.
fn print_details(rows: &[Row]) {
    if rows.iter().any(|row| row.tuned.is_some()) {
        println!("\n| network | batch size | default plan, us per step | best plan, us per step | ratio | best plan |");
        println!("|---|---|---|---|---|---|");
    }
    for row in rows {
        if let Some(Tuned { planned_seconds, best_seconds, best_plan }) = &row.tuned {
            let (planned_us, best_us, ratio) =
                (planned_seconds * 1e6, best_seconds * 1e6, planned_seconds / best_seconds);
            let (name, batch_size) = (row.name(), row.workload.batch_size);
            let summary = plan_summary(best_plan);
            println!("| {name} | {batch_size} | {planned_us:.2} | {best_us:.2} | {ratio:.2} | {summary} |");
        }
    }
    for row in rows {
        if let Some(profile) = &row.profile {
            println!("\n{}, batch size {}\n{profile}", row.name(), row.workload.batch_size);
        }
    }
    for row in rows {
        if let Some(percent) = row.epoch_overhead_percent {
            println!("\n{}: epochs of 100 steps take {percent:.1}% longer than their steps in one run", row.name());
        }
    }
}

impl Row {
    fn measure(device: &Device, workload: &'static Workload, arguments: &Arguments) -> BenchResult<Self> {
        let Workload { layer_sizes, batch_size } = *workload;
        let network = network(layer_sizes);
        let settings = TrainerSettings { batch_size, ..TrainerSettings::default() };
        let max_relative_error = check(device, &network, &settings)?;
        let mut trainer = trainer(device, &network, &settings, 8 * batch_size)?;
        let step = measure(arguments.seconds, |steps| Ok(trainer.run(steps).map(drop)?))?;
        let profile = match arguments.profile {
            true => Some(trainer.profile((arguments.seconds / 2.0 / step.median) as usize)?),
            false => None,
        };
        let plan = trainer.plan();
        drop(trainer);
        let tuned = match arguments.tune {
            true => Some(Tuned::measure(device, &network, &settings, &plan, arguments)?),
            false => None,
        };
        let epoch_overhead_percent = match layer_sizes == EPOCH_LAYER_SIZES {
            true => Some(epoch_overhead_percent(device, &network, &settings, arguments)?),
            false => None,
        };
        let gflops = network.flop_per_step(batch_size) as f64 / step.median / 1e9;
        let scheme = plan_field(&plan, "scheme");
        Ok(Self { workload, max_relative_error, step, gflops, scheme, tuned, profile, epoch_overhead_percent })
    }

    fn name(&self) -> String {
        network_name(self.workload.layer_sizes)
    }

    fn print(&self, peaks: &PeakRates) {
        let Self { workload, max_relative_error, step, gflops, scheme, .. } = self;
        let [median, min, max] = [step.median, step.min, step.max].map(|seconds| seconds * 1e6);
        let (name, batch_size) = (self.name(), workload.batch_size);
        let (samples_per_second, percent) = (batch_size as f64 / step.median, 100.0 * gflops / peaks.gemm);
        println!(
            "| {name} | {batch_size} | {median:.2} | {min:.2} to {max:.2} | {samples_per_second:.0} | {gflops:.2} | \
             {percent:.1} | {scheme} | {max_relative_error:.1e} |"
        );
    }

    /// Returns the keys of `peers/pytorch.py`, and additional ones.
    fn json(&self, device: &Device, peaks: &PeakRates) -> Value {
        let mut object = json!({
            "engine": format!("gradus {}", device.name()),
            "layer_sizes": self.workload.layer_sizes,
            "batch_size": self.workload.batch_size,
            "us_per_step": self.step.median * 1e6,
            "min_us": self.step.min * 1e6,
            "max_us": self.step.max * 1e6,
            "samples_per_second": self.workload.batch_size as f64 / self.step.median,
            "gflops": self.gflops,
            "scheme": self.scheme,
            "max_relative_error": self.max_relative_error,
            "gemm_gflops": peaks.gemm,
            "copy_gb_per_s": peaks.copy,
            "dispatch_us": peaks.dispatch,
        });
        if let Some(percent) = self.epoch_overhead_percent {
            object["epoch_overhead_percent"] = percent.into();
        }
        if let Some(Tuned { planned_seconds, best_seconds, best_plan }) = &self.tuned {
            object["planned_us"] = (planned_seconds * 1e6).into();
            object["best_us"] = (best_seconds * 1e6).into();
            object["best_scheme"] = plan_field(best_plan, "scheme").into();
            object["best_plan"] = best_plan.to_string().into();
        }
        if let Some(profile) = &self.profile {
            let kernel = |time: &KernelTime| {
                let us = time.seconds_per_step * 1e6;
                json!({ "kernel": time.kernel, "us": us, "flop": time.flop, "bytes": time.bytes })
            };
            object["kernels"] = profile.kernels.iter().map(kernel).collect();
        }
        object
    }
}

impl Tuned {
    /// Times every plan that may be the fastest. `plan` is the default plan.
    fn measure(
        device: &Device,
        network: &Network,
        settings: &TrainerSettings,
        plan: &Plan,
        arguments: &Arguments,
    ) -> BenchResult<Self> {
        let candidates = tuner(arguments).measure(device, network, settings)?;
        // A plan of the tuner has no table of dispatches, so compare the texts without the tables.
        let head = |plan: &Plan| plan.to_string().split("\n\n").next().unwrap_or_default().trim().to_owned();
        let planned = candidates.iter().find(|candidate| head(&candidate.plan) == head(plan));
        let best = candidates.first().ok_or("the tuner measured no plan")?;
        Ok(Self {
            planned_seconds: planned.map_or(f64::NAN, |candidate| candidate.seconds_per_step),
            best_seconds: best.seconds_per_step,
            best_plan: best.plan.clone(),
        })
    }
}

/// Returns the largest error of one step on a few rows, with the batch size of the workload.
///
/// It compares the gradients and the change of the parameters with the reference, relative to the largest value of each
/// tensor. It returns an error if the device computes incorrectly.
fn check(device: &Device, network: &Network, settings: &TrainerSettings) -> BenchResult<f64> {
    let rows = settings.batch_size.min(8);
    let mut trainer = Trainer::without_dataset(device, network, settings.clone())?;
    let (x, t) = (values(rows * network.inputs()), values(rows * network.outputs()));
    let before = trainer.parameters()?;
    let gradients = trainer.gradients(&x, &t)?;
    trainer.step(&x, &t)?;
    let after = trainer.parameters()?;

    let mut reference = Reference::new(network, settings.loss, settings.optimizer, &before)?;
    let (x, t) = (to_f64(&x), to_f64(&t));
    let expected_gradients = reference.gradients(&x, &t)?;
    reference.step(&x, &t)?;

    let zeros = before.iter().map(|layer| Parameters {
        weight: vec![0.0; layer.weight.len()],
        bias: vec![0.0; layer.bias.len()],
        ..Parameters::default()
    });
    let gradient_error = max_relative_error(&zeros.collect::<Vec<_>>(), &gradients, &expected_gradients);
    let before: Vec<_> = before.iter().map(Parameters::from).collect();
    let parameter_error = max_relative_error(&before, &after, reference.parameters());
    for (quantity, error, max) in [
        ("gradients", gradient_error, MAX_GRADIENT_ERROR),
        ("parameters after a step", parameter_error, MAX_PARAMETER_ERROR),
    ] {
        if error > max {
            return Err(format!("{device}: {quantity}: expected a relative error <= {max:e}, got {error:e}").into());
        }
    }
    Ok(gradient_error.max(parameter_error))
}

/// Returns the largest difference between the change from `before` to `ours` and that to `theirs`, relative to the largest
/// change of the tensor.
fn max_relative_error(before: &[Parameters], ours: &[LayerParameters], theirs: &[Parameters]) -> f64 {
    let mut worst: f64 = 0.0;
    for ((before, ours), theirs) in before.iter().zip(ours).zip(theirs) {
        let weights = (&before.weight, &ours.weight, &theirs.weight);
        let biases = (&before.bias, &ours.bias, &theirs.bias);
        for (before, ours, theirs) in [weights, biases] {
            let (mut max_change, mut max_error) = (f64::MIN_POSITIVE, 0.0_f64);
            for ((before, ours), theirs) in before.iter().zip(ours).zip(theirs) {
                max_change = max_change.max((theirs - before).abs());
                // A small change is stored in the last digits of the parameter, which are rounded.
                let rounding = f64::from(f32::EPSILON) * before.abs();
                let error = ((f64::from(*ours) - theirs).abs() - rounding).max(0.0);
                // f64::max alone would ignore NaN.
                max_error = if ours.is_finite() { max_error.max(error) } else { f64::INFINITY };
            }
            worst = worst.max(max_error / max_change);
        }
    }
    worst
}

/// Returns how much longer epochs of 100 steps take than their steps in one run, in percent: the median of several pairs.
fn epoch_overhead_percent(
    device: &Device,
    network: &Network,
    settings: &TrainerSettings,
    arguments: &Arguments,
) -> BenchResult<f64> {
    const EPOCHS: usize = 20;
    const STEPS_PER_EPOCH: usize = 100;
    let mut trainer = trainer(device, network, settings, STEPS_PER_EPOCH * settings.batch_size)?;
    trainer.run(EPOCHS * STEPS_PER_EPOCH)?;
    let mut ratios = Vec::new();
    let measurement_start = Instant::now();
    while ratios.len() < 3 || measurement_start.elapsed().as_secs_f64() < arguments.seconds {
        let start = Instant::now();
        for _ in 0..EPOCHS {
            trainer.run_epoch()?;
        }
        let epochs = start.elapsed();
        trainer.run(EPOCHS * STEPS_PER_EPOCH)?;
        let steps = start.elapsed() - epochs;
        ratios.push(epochs.as_secs_f64() / steps.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    Ok(100.0 * (ratios[ratios.len() / 2] - 1.0))
}

fn tuner(arguments: &Arguments) -> Tuner {
    Tuner { time_budget: Duration::from_secs_f64(arguments.seconds), ..Tuner::default() }
}

/// Returns the scheme of a plan and the configurations of its matmuls, without repetitions.
fn plan_summary(plan: &Plan) -> String {
    let text = plan.to_string();
    let (_, text) = text.split_once("scheme: ").unwrap_or_default();
    let mut configurations: Vec<&str> = Vec::new();
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let configuration = line.split_once(": ").map_or(line, |(_, configuration)| configuration);
        if !configurations.contains(&configuration) {
            configurations.push(configuration);
        }
    }
    configurations.join("; ")
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
