//! Replays a training that another framework recorded, and says how far every tensor is from the recorded one.
//!
//!     cargo run --release --example replay -- FILE.json --device cpu --tolerance 1e-5
//!
//! `common/trace.rs` describes the format. Exit status 1: an error above the tolerance; 2: a trace that is malformed or
//! asks for what is not there yet.

mod common;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use serde_json::{Map, json};

use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
    trace::Trace,
};

/// Replays a training trace and compares every tensor.
#[derive(Parser)]
struct Arguments {
    /// The trace
    file: PathBuf,
    /// The largest error that passes: max|ours - theirs| / max|theirs| of a tensor
    #[arg(long, default_value_t = 1e-4)]
    tolerance: f64,
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let Arguments { file, tolerance, .. } = arguments;
    if tolerance.is_nan() || *tolerance < 0.0 {
        return Err(Exit::Usage(format!("--tolerance: expected a number from 0 up, got {tolerance}")));
    }
    let refused = |why: String| Exit::Usage(format!("{}: {why}", file.display()));
    let json = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
    let trace = Trace::parse(&json).map_err(|refusal| refused(refusal.to_string()))?;
    let device = arguments.device.open()?;

    let start = Instant::now();
    let errors = trace.replay(&device)?;
    let seconds = start.elapsed().as_secs_f64();
    let Some(worst) = errors.iter().max_by(|a, b| a.error.total_cmp(&b.error)) else {
        return Err(refused("nothing to compare".to_owned()));
    };
    let width = errors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
    common::print_line!("{:width$}  error", "tensor");
    for tensor in &errors {
        common::print_line!("{:width$}  {:.2e}", tensor.name, tensor.error);
    }
    let passed = worst.error <= *tolerance;
    let verdict = if passed { "within" } else { "above" };
    common::print_line!("worst: {} with {:.2e}, {verdict} the tolerance of {tolerance:e}", worst.name, worst.error);

    let all: Map<_, _> = errors.iter().map(|tensor| (tensor.name.clone(), tensor.error.into())).collect();
    let own = json!({
        "file": file.display().to_string(),
        "steps": trace.steps(),
        "seconds": seconds,
        "tolerance": tolerance,
        "passed": passed,
        "worst": worst.name,
        "worst_error": worst.error,
        "errors": all,
    });
    arguments.json.print("replay", &device, own);
    if passed { Ok(()) } else { Err(Exit::Failed(format!("{} is above the tolerance", worst.name))) }
}
