//! Code that the examples share: the command-line options, the exit status, and the output of `--json`.
#![allow(dead_code, reason = "each example uses only a part of this module")]

pub mod classifier;
pub mod csv_options;
pub mod digits;
pub mod experiment;
pub mod manual_pages;
pub mod mnist;
pub mod options;
pub mod predictions_plot;
pub mod random;
pub mod speech;
pub mod tables;
pub mod trace;

use std::{error::Error, fmt, io::Write, process::ExitCode};

use gradus::Device;

/// Prints a line like `println!`, but ends the example quietly if the reader closed the pipe, as `| head` does.
macro_rules! print_line {
    ($($text:tt)*) => { $crate::common::write_line(format_args!($($text)*)) };
}
pub(crate) use print_line;

/// Prints a line for [`print_line`].
pub fn write_line(text: fmt::Arguments<'_>) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Returns the index of the largest value. For the outputs of a classifier this is the predicted class.
pub fn argmax<T: Copy + Into<f64>>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        let (value, largest): (f64, f64) = ((*value).into(), values[best].into());
        if value.total_cmp(&largest).is_ge() {
            best = i;
        }
    }
    best
}

/// Formats a fraction in percent: `0.9725` becomes `97.25%`.
pub fn percent(fraction: f64) -> String {
    format!("{:.2}%", 100.0 * fraction)
}

/// Returns the name of a device, followed by its backend if it is a GPU.
pub fn device_name(device: &Device) -> String {
    match device.backend() {
        "cpu" => device.name(),
        backend => format!("{} ({backend})", device.name()),
    }
}

/// The reason why an example ends early, and its exit status.
#[derive(Debug)]
pub enum Exit {
    /// Status 1: the example ran and failed.
    Failed(String),
    /// Status 2: the example could not run, because of bad arguments, missing data or an unavailable device.
    Usage(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(message) | Self::Usage(message)) = self;
        f.write_str(message)
    }
}

impl Error for Exit {}

impl From<gradus::Error> for Exit {
    fn from(error: gradus::Error) -> Self {
        match error {
            gradus::Error::DeviceNotFound { .. } | gradus::Error::InvalidSetting { .. } => {
                Self::Usage(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Returns the exit status of `result`, and prints its error on standard error.
pub fn status(result: Result<(), Exit>) -> ExitCode {
    let Err(exit) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {exit}");
    ExitCode::from(match exit {
        Exit::Failed(_) => 1,
        Exit::Usage(_) => 2,
    })
}
