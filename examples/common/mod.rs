//! What the examples share: the command line, how a device is opened, the exit status and the last line of `--json`.
#![allow(dead_code, reason = "each example takes its share of it, and none takes all")]

pub mod answers;
pub mod classifier;
pub mod csv_options;
pub mod digits;
pub mod experiment;
pub mod manual_pages;
pub mod mnist;
pub mod options;
pub mod random;
pub mod speech;
pub mod tables;
pub mod trace;

use std::{error::Error, fmt, io::Write, process::ExitCode};

use gradus::Device;

/// Prints a line like `println!`, but ends the example quietly when nobody reads the output any more, as after `| head`.
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

/// The index of the largest value, which is the class that the outputs of a network mean.
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

/// `0.9725` as `97.25 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A device in words: its name, and the backend where it has one.
pub fn described(device: &Device) -> String {
    match device.backend() {
        "cpu" => device.name(),
        backend => format!("{} ({backend})", device.name()),
    }
}

/// Why an example ends early, and with which status.
#[derive(Debug)]
pub enum Exit {
    /// Status 1: the example ran and failed.
    Failed(String),
    /// Status 2: the example could not run, because of bad arguments, missing data or an unavailable device.
    Usage(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(why) | Self::Usage(why)) = self;
        f.write_str(why)
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

/// The exit status of `result`; the reason goes to standard error.
pub fn status(result: Result<(), Exit>) -> ExitCode {
    let Err(exit) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {exit}");
    ExitCode::from(match exit {
        Exit::Failed(_) => 1,
        Exit::Usage(_) => 2,
    })
}
