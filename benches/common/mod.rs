//! The device, the data and the timing that the benches share.
#![allow(dead_code, reason = "each bench takes its share of it, and so does the doctor among the examples")]

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use gradus::{Activation, Dataset, Device, Network, Trainer, TrainerSettings, device::DeviceRequest, plan::Plan, wgpu};

pub type BenchResult<T> = Result<T, Box<dyn Error>>;

/// How many samples a timing takes.
const SAMPLES: usize = 7;

/// The seconds of one repetition, over all samples.
pub struct Times {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// A function to time; its argument is the number of repetitions.
pub type Timed<'a> = &'a mut dyn FnMut(usize) -> BenchResult<()>;

/// The exit status of a bench; an error goes to standard error.
pub fn exit(result: BenchResult<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The device of this name, which is told why it is another one, if it is.
pub fn open(name: &str, is_quiet: bool) -> BenchResult<Device> {
    let device = Device::request(&DeviceRequest { selector: name.parse()?, ..DeviceRequest::default() })?;
    if let (Some(note), false) = (device.fallback_reason(), is_quiet) {
        println!("{note}");
    }
    Ok(device)
}

/// The CPU, and how the engine uses it.
pub fn cpu(plan: &Plan) -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    // What Linux calls it.
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model);
    format!("CPU: {model}, {} threads, vectors: {}", rayon::current_num_threads(), line(plan, "driver"))
}

/// What stands behind `name` in a plan's text.
pub fn line(plan: &Plan, name: &str) -> String {
    let text = plan.to_string();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or("unknown").to_owned()
}

/// Numbers from 0 to 1.
pub fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

pub fn network(widths: &[usize]) -> Network {
    let first = Network::new(widths[0]);
    widths[1..].iter().fold(first, |network, outputs| network.dense(*outputs, Activation::Sigmoid))
}

/// A trainer with `rows` rows on the device.
pub fn trainer(device: &Device, network: &Network, settings: &TrainerSettings, rows: usize) -> gradus::Result<Trainer> {
    let data = Dataset::new(rows, numbers(rows * network.inputs()), numbers(rows * network.outputs()))?;
    Trainer::new(device, network, &data, settings.clone())
}

/// Whether it is a GPU and not a program; the largest workload is for GPUs.
pub fn is_hardware(device: &Device) -> bool {
    device.wgpu().is_some_and(|(device, _)| device.adapter_info().device_type != wgpu::DeviceType::Cpu)
}

impl Times {
    /// The median and the range of samples in any order.
    pub fn new(mut samples: [f64; SAMPLES]) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { median: samples[SAMPLES / 2], min: samples[0], max: samples[SAMPLES - 1] }
    }
}

/// Times `run`, which gets a number of repetitions. The samples together take `seconds` after a warm-up.
pub fn times(seconds: f64, mut run: impl FnMut(usize) -> BenchResult<()>) -> BenchResult<Times> {
    let [samples] = in_turn(seconds, [&mut run])?;
    Ok(Times::new(samples))
}

/// Times several functions in turn, so that other work of the machine slows all of them alike. Each gets the same time.
pub fn in_turn<const N: usize>(seconds: f64, mut all: [Timed<'_>; N]) -> BenchResult<[[f64; SAMPLES]; N]> {
    let sample = Duration::from_secs_f64(seconds / SAMPLES as f64);
    let mut counts = [0; N];
    for (run, count) in all.iter_mut().zip(&mut counts) {
        *count = count_of(sample, run)?;
    }
    let mut samples = [[0.0; SAMPLES]; N];
    for turn in 0..SAMPLES {
        for ((run, count), samples) in all.iter_mut().zip(counts).zip(&mut samples) {
            let start = Instant::now();
            run(count)?;
            samples[turn] = start.elapsed().as_secs_f64() / count as f64;
        }
    }
    Ok(samples)
}

/// The repetitions that take as long as a sample, after one that warms up.
fn count_of(sample: Duration, run: Timed<'_>) -> BenchResult<usize> {
    run(1)?;
    let mut count = 1;
    loop {
        let start = Instant::now();
        run(count)?;
        let took = start.elapsed();
        if took >= sample / 4 || took > Duration::from_secs(5) {
            return Ok(((count as f64 * sample.as_secs_f64() / took.as_secs_f64()) as usize).max(1));
        }
        count *= 2;
    }
}
