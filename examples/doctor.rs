//! Tells whether gradus is right on a device, and how fast it is there: a page to put into an issue.
//!
//!     cargo run --release --example doctor
//!     cargo run --release --example doctor -- --device llvmpipe --json

// The benches' own: what a device reaches at best, and how something is timed.
#[path = "../benches/common/mod.rs"]
mod bench;
#[path = "../benches/ceilings/mod.rs"]
mod ceilings;
mod common;

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{
    Device, TrainerSettings,
    diagnostics::{SelfTestCheck, SelfTestReport},
};
use serde_json::{Value, json};

use bench::{BenchResult, is_hardware, network, times, trainer};
use ceilings::PeakRates;
use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
};

/// How long each workload, and each ceiling, is timed at most.
const SECONDS: f64 = 0.5;

/// Widths and batch of what is timed; sigmoid, mean squared error and SGD. The last are for GPUs.
const WORKLOADS: [(&[usize], usize); 5] = [
    (&[2, 2, 1], 4),
    (&[784, 30, 10], 10),
    (&[784, 128, 10], 64),
    (&[64, 64, 64, 64, 64, 64], 16_384),
    (&[1024, 1024, 1024, 1024], 512),
];

/// Tests a device: every kernel against the reference, and its speed against its peaks.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
}

/// How fast a workload trains.
struct Timed {
    name: String,
    batch: usize,
    /// Seconds a step.
    step: f64,
    gflops: f64,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let start = Instant::now();
    let selftest = gradus::self_test(&device);
    let seconds = start.elapsed().as_secs_f64();
    common::print_line!("{selftest}");
    common::print_line!("The checks took {seconds:.1} s.\n\nAdapters that are there:\n");
    let adapters = gradus::device::adapters(arguments.device.backend.flags())?;
    for adapter in &adapters {
        let info = &adapter.info;
        let automatic = if adapter.is_default { ", taken by auto" } else { "" };
        common::print_line!("- {} ({}), {} {}{automatic}", info.name, info.backend, info.driver, info.driver_info);
    }
    // What is wrong is not timed.
    let speed = if selftest.passed() { Some(speed(&device).map_err(|e| Exit::Failed(e.to_string()))?) } else { None };
    if let Some((peaks, timed)) = &speed {
        print(peaks, timed);
    }
    arguments.json.print("doctor", &device, json_of(&selftest, seconds, speed.as_ref()));
    if selftest.passed() { Ok(()) } else { Err(Exit::Failed("the selftest did not pass".to_owned())) }
}

/// What the device reaches at best, and how fast it trains.
fn speed(device: &Device) -> BenchResult<(PeakRates, Vec<Timed>)> {
    let peaks = PeakRates::measure(device, SECONDS, None)?;
    let workloads = if is_hardware(device) { &WORKLOADS[..] } else { &WORKLOADS[..3] };
    let mut timed = Vec::new();
    for (widths, batch) in workloads {
        let network = network(widths);
        let settings = TrainerSettings { batch_size: *batch, ..TrainerSettings::default() };
        let mut trainer = trainer(device, &network, &settings, 8 * batch)?;
        let step = times(SECONDS, |steps| Ok(trainer.run(steps).map(drop)?))?.median;
        let name = widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-");
        timed.push(Timed { name, batch: *batch, step, gflops: network.flop_per_step(*batch) as f64 / step / 1e9 });
    }
    Ok((peaks, timed))
}

fn print(peaks: &PeakRates, timed: &[Timed]) {
    let dispatch = peaks.dispatch.map_or(String::new(), |us| format!(", a dependent dispatch {us:.2} us"));
    common::print_line!("\nAt best: products {:.1} GFLOP/s, a copy {:.1} GB/s{dispatch}\n", peaks.gemm, peaks.copy);
    common::print_line!("| network | batch | us a step | rows a second | GFLOP/s | % of the products' best |");
    common::print_line!("|---|---|---|---|---|---|");
    for Timed { name, batch, step, gflops } in timed {
        let (rate, share) = (*batch as f64 / step, 100.0 * gflops / peaks.gemm);
        common::print_line!("| {name} | {batch} | {:.1} | {rate:.0} | {gflops:.2} | {share:.1} |", step * 1e6);
    }
}

fn json_of(selftest: &SelfTestReport, seconds: f64, speed: Option<&(PeakRates, Vec<Timed>)>) -> Value {
    let about: serde_json::Map<String, Value> =
        selftest.about.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    let finding = |finding: &SelfTestCheck| {
        let SelfTestCheck { group: part, name: check, quantity: what, error, tolerance, passed, failure, .. } = finding;
        let failure = failure.as_ref().map(ToString::to_string);
        json!({
            "part": part, "check": check, "what": what, "error": error, "tolerance": tolerance, "passed": passed,
            "failure": failure,
        })
    };
    let findings: Vec<Value> = selftest.checks.iter().map(finding).collect();
    let speed = speed.map(|(peaks, timed)| {
        let timed = timed.iter().map(|Timed { name, batch, step, gflops }| {
            json!({ "network": name, "batch": batch, "us_per_step": step * 1e6, "gflops": gflops })
        });
        let timed: Vec<Value> = timed.collect();
        let PeakRates { gemm, copy, dispatch } = peaks;
        json!({ "gemm_gflops": gemm, "copy_gb_per_s": copy, "dispatch_us": dispatch, "workloads": timed })
    });
    let ended = selftest.aborted.as_ref().map(ToString::to_string);
    json!({
        "seconds": seconds, "passed": selftest.passed(), "about": about, "findings": findings, "ended": ended,
        "speed": speed,
    })
}
