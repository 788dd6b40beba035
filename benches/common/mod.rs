//! Devices, data and timing that the benches share. The example `doctor` uses this module too.
#![allow(dead_code, reason = "each bench uses only a part of this module, and so does the example `doctor`")]

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings, device::DeviceRequest, plan::Plan, wgpu};

pub type BenchResult<T> = Result<T, Box<dyn Error>>;

/// The number of samples of a measurement.
const SAMPLES: usize = 7;

/// The longest time in seconds for finding the number of repetitions of a sample.
const MAX_CALIBRATION_SECONDS: u64 = 5;

/// The seconds per repetition, over all samples.
pub struct Times {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// A function to time. Its argument is the number of repetitions.
pub type TimedFunction<'a> = &'a mut dyn FnMut(usize) -> BenchResult<()>;

/// Returns the exit status of a bench, and prints its error on standard error.
pub fn exit_code(result: BenchResult<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens a device by its name. Unless `is_quiet`, prints why the device is the CPU engine if the user asked for `auto`.
pub fn open_device(name: &str, is_quiet: bool) -> BenchResult<Device> {
    let device = Device::request(&DeviceRequest { selector: name.parse()?, ..DeviceRequest::default() })?;
    if let (Some(reason), false) = (device.fallback_reason(), is_quiet) {
        println!("{reason}");
    }
    Ok(device)
}

/// Describes the CPU: its model, the number of threads, and the vector instructions of the CPU engine's plan.
pub fn cpu_description(plan: &Plan) -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // Only Linux has this file.
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model);
    let (threads, vectors) = (rayon::current_num_threads(), plan_field(plan, "driver"));
    format!("CPU: {model}, {threads} threads, vectors: {vectors}")
}

/// Returns the value of a field in the text of a plan.
pub fn plan_field(plan: &Plan, name: &str) -> String {
    let text = plan.to_string();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or("unknown").to_owned()
}

/// Returns `count` values in [0, 1], the same in every run.
pub fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// Joins layer sizes: `784-30-10`.
pub fn network_name(layer_sizes: &[usize]) -> String {
    layer_sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

/// Creates a network of sigmoid layers. The first size is the number of inputs.
pub fn network(layer_sizes: &[usize]) -> Network {
    let mut network = Network::new(layer_sizes[0]);
    for outputs in &layer_sizes[1..] {
        network = network.dense(*outputs, Activation::Sigmoid);
    }
    network
}

/// Creates a trainer with a data set of `rows` rows.
pub fn trainer(device: &Device, network: &Network, settings: &TrainerSettings, rows: usize) -> gradus::Result<Trainer> {
    let data = Dataset::new(rows, values(rows * network.inputs()), values(rows * network.outputs()))?;
    Trainer::new(device, network, &data, settings.clone())
}

/// Returns whether the device is a GPU, and not the CPU engine or a software adapter. The largest workload is for GPUs.
pub fn is_hardware(device: &Device) -> bool {
    device.wgpu().is_some_and(|(device, _)| device.adapter_info().device_type != wgpu::DeviceType::Cpu)
}

impl Times {
    /// Returns the median and the range of samples in any order.
    pub fn new(mut samples: [f64; SAMPLES]) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { median: samples[SAMPLES / 2], min: samples[0], max: samples[SAMPLES - 1] }
    }
}

/// Times `run`. After a warmup, the samples together take about `seconds`.
pub fn measure(seconds: f64, mut run: impl FnMut(usize) -> BenchResult<()>) -> BenchResult<Times> {
    let [samples] = measure_in_turn(seconds, [&mut run])?;
    Ok(Times::new(samples))
}

/// Times several functions in alternation, so that other work of the machine slows all of them equally.
///
/// After a warmup, the samples of each function together take about `seconds`.
pub fn measure_in_turn<const N: usize>(
    seconds: f64,
    mut functions: [TimedFunction<'_>; N],
) -> BenchResult<[[f64; SAMPLES]; N]> {
    let sample_time = Duration::from_secs_f64(seconds / SAMPLES as f64);
    let mut repetitions = [0; N];
    for (run, repetitions) in functions.iter_mut().zip(&mut repetitions) {
        *repetitions = repetitions_per_sample(sample_time, run)?;
    }
    let mut samples = [[0.0; SAMPLES]; N];
    for turn in 0..SAMPLES {
        for ((run, repetitions), samples) in functions.iter_mut().zip(repetitions).zip(&mut samples) {
            let start = Instant::now();
            run(repetitions)?;
            samples[turn] = start.elapsed().as_secs_f64() / repetitions as f64;
        }
    }
    Ok(samples)
}

/// Returns the number of repetitions that take about `sample_time`, after one repetition as a warmup.
fn repetitions_per_sample(sample_time: Duration, run: TimedFunction<'_>) -> BenchResult<usize> {
    run(1)?;
    let mut repetitions = 1;
    loop {
        let start = Instant::now();
        run(repetitions)?;
        let elapsed = start.elapsed();
        if elapsed >= sample_time / 4 || elapsed > Duration::from_secs(MAX_CALIBRATION_SECONDS) {
            let ratio = sample_time.as_secs_f64() / elapsed.as_secs_f64();
            return Ok(((repetitions as f64 * ratio) as usize).max(1));
        }
        repetitions *= 2;
    }
}
