//! What the benches share: the device that is asked for, numbers to train on, and how something is timed.
#![allow(dead_code, reason = "each bench takes its share of it, and so does the doctor among the examples")]

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use gradus::{Activation, Dataset, Device, Network, Plan, Request, Settings, Trainer, wgpu};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many stretches something is timed in.
const STRETCHES: usize = 7;

/// Seconds of one of what was timed, in the stretches of it.
pub struct Times {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

/// Something to time, which is told how many to do.
pub type Timed<'a> = &'a mut dyn FnMut(usize) -> Outcome<()>;

/// What a `main` ends with; what went wrong is told.
pub fn exit(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The device of this name, which is told why it is another one, if it is.
pub fn open(name: &str, is_quiet: bool) -> Outcome<Device> {
    let device = Device::request(&Request { choice: name.parse()?, ..Request::default() })?;
    if let (Some(note), false) = (device.note(), is_quiet) {
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
pub fn trainer(device: &Device, network: &Network, settings: &Settings, rows: usize) -> gradus::Result<Trainer> {
    let data = Dataset::new(rows, numbers(rows * network.inputs()), numbers(rows * network.outputs()))?;
    Trainer::new(device, network, &data, settings.clone())
}

/// Whether it is a GPU and not a program; the largest workload is for GPUs.
pub fn is_hardware(device: &Device) -> bool {
    device.wgpu().is_some_and(|(device, _)| device.adapter_info().device_type != wgpu::DeviceType::Cpu)
}

impl Times {
    /// Of stretches in any order.
    pub fn of(mut stretches: [f64; STRETCHES]) -> Self {
        stretches.sort_by(f64::total_cmp);
        Self { median: stretches[STRETCHES / 2], least: stretches[0], most: stretches[STRETCHES - 1] }
    }
}

/// Times `run`, which is told how many to do, in stretches that take the given time together, after a warm-up.
pub fn times(seconds: f64, mut run: impl FnMut(usize) -> Outcome<()>) -> Outcome<Times> {
    let [stretches] = in_turn(seconds, [&mut run])?;
    Ok(Times::of(stretches))
}

/// The stretches of several things in turn, so that what else the machine does falls on all of them; each is timed as long.
pub fn in_turn<const N: usize>(seconds: f64, mut all: [Timed<'_>; N]) -> Outcome<[[f64; STRETCHES]; N]> {
    let stretch = Duration::from_secs_f64(seconds / STRETCHES as f64);
    let mut counts = [0; N];
    for (run, count) in all.iter_mut().zip(&mut counts) {
        *count = count_of(stretch, run)?;
    }
    let mut stretches = [[0.0; STRETCHES]; N];
    for turn in 0..STRETCHES {
        for ((run, count), stretches) in all.iter_mut().zip(counts).zip(&mut stretches) {
            let start = Instant::now();
            run(count)?;
            stretches[turn] = start.elapsed().as_secs_f64() / count as f64;
        }
    }
    Ok(stretches)
}

/// How many take as long as a stretch, after a first that warms up.
fn count_of(stretch: Duration, run: Timed<'_>) -> Outcome<usize> {
    run(1)?;
    let mut count = 1;
    loop {
        let start = Instant::now();
        run(count)?;
        let took = start.elapsed();
        if took >= stretch / 4 || took > Duration::from_secs(5) {
            return Ok(((count as f64 * stretch.as_secs_f64() / took.as_secs_f64()) as usize).max(1));
        }
        count *= 2;
    }
}
