//! How long a training step takes, on every workload, on the CPU engine and on the adapters that are named. Each
//! workload's gradients are first compared with the reference: a wrong kernel is not timed.
//!
//!     cargo bench --bench step -- --device cpu --device llvmpipe

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use gradus::{
    Activation, Dataset, Device, Loss, Network, Optimizer, Request, Settings, Trainer, cpu::reference::Reference,
};

/// The widths and the batch of each workload; sigmoid, mean squared error and SGD everywhere.
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

/// Times training steps.
#[derive(Parser)]
struct Arguments {
    /// auto, gpu, cpu, or part of an adapter's name; may be given several times
    #[arg(long, default_value = "cpu")]
    device: Vec<String>,
    /// Only the workloads with this in their widths, such as 784-30-10
    #[arg(long, default_value = "")]
    workload: String,
    /// How long each workload is timed
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
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

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    for name in &arguments.device {
        let device = Device::request(&Request { choice: name.parse()?, ..Request::default() })?;
        if !arguments.json {
            println!("\n{device}\n\n| network | batch | us/step | samples/s | GFLOP/s | error |");
            println!("|---|---|---|---|---|---|");
        }
        for (widths, batch) in WORKLOADS {
            let name = widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            if !name.contains(&arguments.workload) || (*batch > 100_000 && !is_hardware(&device)) {
                continue;
            }
            let network = widths[1..]
                .iter()
                .fold(Network::new(widths[0]), |network, outputs| network.dense(*outputs, Activation::Sigmoid));
            let error = check(&device, &network)?;
            let seconds = time(&device, &network, *batch, arguments.seconds)?;
            let (rate, gflops) = (*batch as f64 / seconds, network.flop(*batch) as f64 / seconds / 1e9);
            let us = seconds * 1e6;
            if arguments.json {
                let engine = format!("gradus {}", device.name());
                println!(
                    "{}",
                    serde_json::json!({ "engine": engine, "sizes": widths, "batch": batch, "us_per_step": us,
                        "samples_per_second": rate, "gflops": gflops, "error": error })
                );
            } else {
                println!("| {name} | {batch} | {us:.2} | {rate:.0} | {gflops:.2} | {error:.1e} |");
            }
        }
    }
    Ok(())
}

/// Whether it is a GPU and not a program; the largest workload is for GPUs.
fn is_hardware(device: &Device) -> bool {
    device.wgpu().is_some_and(|(device, _)| device.adapter_info().device_type != gradus::wgpu::DeviceType::Cpu)
}

/// The largest error of the gradients of a small batch, relative to their tensor's largest entry.
fn check(device: &Device, network: &Network) -> Result<f64, Box<dyn std::error::Error>> {
    const ROWS: usize = 5;
    let settings = Settings { batch: ROWS, ..Settings::default() };
    let mut trainer = Trainer::by_hand(device, network, settings)?;
    let (x, t) = (numbers(ROWS * network.inputs()), numbers(ROWS * network.outputs()));
    let ours = trainer.gradients(&x, &t)?;
    let reference = Reference::new(network, Loss::Mse, Optimizer::sgd(0.1), &trainer.parameters()?)?;
    let f64s = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let mut worst: f64 = 0.0;
    for (ours, theirs) in ours.iter().zip(reference.gradients(&f64s(&x), &f64s(&t))?) {
        for (ours, theirs) in [(&ours.weight, &theirs.weight), (&ours.bias, &theirs.bias)] {
            let largest = theirs.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
            let error = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            worst = worst.max(error / largest);
        }
    }
    if worst < 1e-4 { Ok(worst) } else { Err(format!("{device}: the gradients are wrong by {worst:e}").into()) }
}

/// Seconds a step, the median of several stretches of a resident data set of 8 batches.
fn time(device: &Device, network: &Network, batch: usize, seconds: f64) -> gradus::Result<f64> {
    let rows = 8 * batch;
    let data = Dataset::new(rows, numbers(rows * network.inputs()), numbers(rows * network.outputs()))?;
    let mut trainer = Trainer::new(device, network, &data, Settings { batch, ..Settings::default() })?;
    trainer.run(1)?;
    // So many steps that a stretch takes about a seventh of the time, found by doubling.
    let stretch = Duration::from_secs_f64(seconds / 7.0);
    let mut steps = 1;
    loop {
        let start = Instant::now();
        trainer.run(steps)?;
        let took = start.elapsed();
        if took >= stretch / 4 || took > Duration::from_secs(5) {
            steps = ((steps as f64 * stretch.as_secs_f64() / took.as_secs_f64()) as usize).max(1);
            break;
        }
        steps *= 2;
    }
    let mut stretches = [0.0; 7];
    for one in &mut stretches {
        let start = Instant::now();
        trainer.run(steps)?;
        *one = start.elapsed().as_secs_f64() / steps as f64;
    }
    stretches.sort_by(f64::total_cmp);
    Ok(stretches[3])
}

/// Numbers from 0 to 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}
