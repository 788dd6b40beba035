//! Tests whether gradus computes correctly on a device, and how fast it is there. Prints a Markdown page for an issue.
//!
//!     cargo run --release --example doctor
//!     cargo run --release --example doctor -- --device llvmpipe --json

#[path = "../benches/common/mod.rs"]
mod bench;
mod common;
#[path = "../benches/peak_rates/mod.rs"]
mod peak_rates;

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use gradus::{
    Device, TrainerSettings,
    diagnostics::{SelfTestCheck, SelfTestReport},
};
use serde_json::{Value, json};

// `peak_rates` uses these functions of its parent module.
use bench::{BenchResult, is_hardware, measure, network, network_name, trainer};
use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
    print_line,
};
use peak_rates::PeakRates;

/// The maximum number of seconds for timing a workload or a peak rate.
const SECONDS: f64 = 0.5;

/// A network and a batch size to time, with sigmoid, mean squared error and SGD.
struct Workload {
    layer_sizes: &'static [usize],
    batch_size: usize,
}

const fn workload(layer_sizes: &'static [usize], batch_size: usize) -> Workload {
    Workload { layer_sizes, batch_size }
}

/// The workloads of every device.
const WORKLOADS: [Workload; 3] = [workload(&[2, 2, 1], 4), workload(&[784, 30, 10], 10), workload(&[784, 128, 10], 64)];

/// The additional workloads of a GPU. They are too slow for a software adapter.
const GPU_WORKLOADS: [Workload; 2] =
    [workload(&[64, 64, 64, 64, 64, 64], 16_384), workload(&[1024, 1024, 1024, 1024], 512)];

/// Tests every kernel of a device against the f64 reference, and compares its speed with its peak rates.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
}

/// The training speed of a workload.
struct WorkloadTime {
    network: String,
    batch_size: usize,
    seconds_per_step: f64,
    gflops: f64,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let device = arguments.device.open()?;
    let start = Instant::now();
    let report = gradus::self_test(&device);
    let seconds = start.elapsed().as_secs_f64();
    print_line!("{report}");
    print_line!("self-test time: {seconds:.1} s\n\nAdapters:\n");
    for adapter in &gradus::device::adapters(arguments.device.backend.flags())? {
        let info = &adapter.info;
        let default = if adapter.is_default { ", selected by auto" } else { "" };
        print_line!("- {} ({}), {} {}{default}", info.name, info.backend, info.driver, info.driver_info);
    }
    // The speed of incorrect kernels is meaningless.
    let speed = match report.passed() {
        true => Some(measure_speed(&device).map_err(|error| Exit::Failed(error.to_string()))?),
        false => None,
    };
    if let Some((peaks, times)) = &speed {
        print_speed(peaks, times);
    }
    arguments.json.print("doctor", &device, json_keys(&report, seconds, speed.as_ref()));
    if report.passed() { Ok(()) } else { Err(Exit::Failed("the self-test failed; see the report above".to_owned())) }
}

/// Measures the peak rates of a device, and its training speed.
fn measure_speed(device: &Device) -> BenchResult<(PeakRates, Vec<WorkloadTime>)> {
    let peaks = PeakRates::measure(device, SECONDS, None)?;
    let gpu_workloads: &[Workload] = if is_hardware(device) { &GPU_WORKLOADS } else { &[] };
    let mut times = Vec::new();
    for Workload { layer_sizes, batch_size } in WORKLOADS.iter().chain(gpu_workloads) {
        let network = network(layer_sizes);
        let settings = TrainerSettings { batch_size: *batch_size, ..TrainerSettings::default() };
        let mut trainer = trainer(device, &network, &settings, 8 * batch_size)?;
        let seconds_per_step = measure(SECONDS, |steps| Ok(trainer.run(steps).map(drop)?))?.median;
        times.push(WorkloadTime {
            network: network_name(layer_sizes),
            batch_size: *batch_size,
            seconds_per_step,
            gflops: network.flop_per_step(*batch_size) as f64 / seconds_per_step / 1e9,
        });
    }
    Ok((peaks, times))
}

fn print_speed(peaks: &PeakRates, times: &[WorkloadTime]) {
    let dispatch = peaks.dispatch.map_or(String::new(), |us| format!(", dependent dispatch {us:.2} us"));
    print_line!("\nPeak rates: matmul {:.1} GFLOP/s, copy {:.1} GB/s{dispatch}\n", peaks.gemm, peaks.copy);
    print_line!("| network | batch size | us per step | samples/s | GFLOP/s | % of peak matmul |");
    print_line!("|---|---|---|---|---|---|");
    for WorkloadTime { network, batch_size, seconds_per_step, gflops } in times {
        let (us, samples_per_second) = (seconds_per_step * 1e6, *batch_size as f64 / seconds_per_step);
        let percent = 100.0 * gflops / peaks.gemm;
        print_line!("| {network} | {batch_size} | {us:.1} | {samples_per_second:.0} | {gflops:.2} | {percent:.1} |");
    }
}

/// Returns the keys of `--json`.
fn json_keys(report: &SelfTestReport, seconds: f64, speed: Option<&(PeakRates, Vec<WorkloadTime>)>) -> Value {
    let about: serde_json::Map<String, Value> =
        report.about.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    let check = |check: &SelfTestCheck| {
        let SelfTestCheck { group, name, quantity, error, tolerance, passed, failure, .. } = check;
        let failure = failure.as_ref().map(ToString::to_string);
        json!({
            "group": group, "name": name, "quantity": quantity, "error": error, "tolerance": tolerance,
            "passed": passed, "failure": failure,
        })
    };
    let checks: Vec<Value> = report.checks.iter().map(check).collect();
    let speed = speed.map(|(PeakRates { gemm, copy, dispatch }, times)| {
        let workload = |time: &WorkloadTime| {
            let WorkloadTime { network, batch_size, seconds_per_step, gflops } = time;
            let us = seconds_per_step * 1e6;
            json!({ "network": network, "batch_size": batch_size, "us_per_step": us, "gflops": gflops })
        };
        let workloads: Vec<Value> = times.iter().map(workload).collect();
        json!({ "gemm_gflops": gemm, "copy_gb_per_s": copy, "dispatch_us": dispatch, "workloads": workloads })
    });
    json!({
        "seconds": seconds,
        "passed": report.passed(),
        "about": about,
        "checks": checks,
        "aborted": report.aborted.as_ref().map(ToString::to_string),
        "speed": speed,
    })
}
