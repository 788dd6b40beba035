//! Replays a training trace that another framework recorded, and compares every tensor.
//!
//!     cargo run --release --example replay -- FILE.json --device cpu --tolerance 1e-5
//!
//! `common/trace.rs` describes the file format. The exit status is 1 if an error is above the tolerance, and 2 if the trace
//! is invalid or uses an option that gradus does not support.

mod common;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use serde_json::{Map, json};

use common::{
    Exit,
    options::{DeviceOptions, JsonOption},
    print_line,
    trace::Trace,
};

/// Replays a training trace that another framework recorded, and compares every tensor.
#[derive(Parser)]
struct Arguments {
    /// Trace in JSON
    file: PathBuf,
    /// Maximum error of a tensor, max|ours - theirs| / max|theirs|
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
        return Err(Exit::Usage(format!("--tolerance: expected a number >= 0, got {tolerance}")));
    }
    let file_error = |message: String| Exit::Usage(format!("{}: {message}", file.display()));
    let json = std::fs::read_to_string(file).map_err(|error| file_error(error.to_string()))?;
    let trace = Trace::parse(&json).map_err(|error| file_error(error.to_string()))?;
    let device = arguments.device.open()?;

    let start = Instant::now();
    let errors = trace.replay(&device)?;
    let seconds = start.elapsed().as_secs_f64();
    let Some(worst) = errors.iter().max_by(|a, b| a.error.total_cmp(&b.error)) else {
        return Err(file_error("expected recorded tensors, got none".to_owned()));
    };
    let width = errors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
    print_line!("{:width$}  error", "tensor");
    for tensor in &errors {
        print_line!("{:width$}  {:.2e}", tensor.name, tensor.error);
    }
    let passed = worst.error <= *tolerance;
    let relation = if passed { "within" } else { "above" };
    print_line!("largest error: {:.2e} in {}, {relation} the tolerance of {tolerance:e}", worst.error, worst.name);

    let error_by_tensor: Map<_, _> = errors.iter().map(|tensor| (tensor.name.clone(), tensor.error.into())).collect();
    let keys = json!({
        "file": file.display().to_string(),
        "steps": trace.steps(),
        "seconds": seconds,
        "tolerance": tolerance,
        "passed": passed,
        "worst": worst.name,
        "worst_error": worst.error,
        "errors": error_by_tensor,
    });
    arguments.json.print("replay", &device, keys);
    if passed {
        Ok(())
    } else {
        let (name, error) = (&worst.name, worst.error);
        Err(Exit::Failed(format!("{name}: expected an error of at most {tolerance:e}, got {error:.2e}")))
    }
}
