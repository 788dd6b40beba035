//! What the examples share: the command line, how a device is opened, the exit status and the last line of `--json`.
#![allow(dead_code, reason = "each example takes its share of it, and none takes all")]

pub mod answers;
pub mod classifier;
pub mod csv_options;
pub mod digits;
pub mod manual_pages;
pub mod mnist;
pub mod random;
pub mod speech;
pub mod tables;
pub mod trace;
pub mod worked;

use std::{error::Error, fmt, io::Write, path::PathBuf, process::ExitCode};

use gradus::{Choice, Device, Request, wgpu::Backends};
use serde_json::{Map, Value};

/// The options that every example accepts.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// auto (a real GPU, else the CPU engine), gpu, cpu, or part of an adapter's name
    #[arg(long, default_value = "auto", value_name = "auto|gpu|cpu|NAME")]
    pub device: String,
    /// The only backend to look for adapters on
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// How often to go through the training data [default: 30]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Where the initial weights and the order of the rows come from [default: 0, or the example's own]
    #[arg(long)]
    pub seed: Option<u64>,
    /// The folder with the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The folder for pictures [default: out/ and the example's name]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Make the last line of standard output one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `println!` that ends the example quietly where nobody reads any more, as after `| head`.
macro_rules! say {
    ($($text:tt)*) => { $crate::common::print_line(format_args!($($text)*)) };
}
pub(crate) use say;

/// Prints a line for [`say`].
pub fn print_line(text: fmt::Arguments<'_>) {
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// A graphics interface to reach adapters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    Vulkan,
    Metal,
    Dx12,
}

impl Backend {
    /// The backend as wgpu's flags.
    pub const fn flags(self) -> Backends {
        match self {
            Self::Vulkan => Backends::VULKAN,
            Self::Metal => Backends::METAL,
            Self::Dx12 => Backends::DX12,
        }
    }
}

impl Options {
    /// Opens the device that was asked for, and says on standard error which one it is.
    pub fn open(&self) -> Result<Device, Exit> {
        // The adapter's driver and wgpu report through `log`; without this, RUST_LOG would show nothing.
        let _ = env_logger::try_init();
        let choice = self.device.parse().unwrap_or(Choice::Auto);
        let backends = self.backend.map(Backend::flags);
        let device = Device::request(&Request { choice, backends, ..Request::default() })?;
        eprintln!("device: {}", described(&device));
        if let Some(note) = device.note() {
            eprintln!("{note}");
        }
        Ok(device)
    }

    /// The folder for pictures, made if it is not there: `--out`, or the example's own. To be called before a training
    /// that would be lost without it.
    pub fn pictures(&self, own: &str) -> Result<PathBuf, Exit> {
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(own));
        let refused = |error| Exit::Refused(format!("--out {}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(refused)?;
        Ok(folder)
    }

    /// Says on standard error which of the options given have no effect in an example that reads only `used`
    /// besides `--device`, `--backend` and `--json`.
    pub fn only(&self, used: &[&str]) {
        let given = [
            ("--epochs", self.epochs.is_some()),
            ("--seed", self.seed.is_some()),
            ("--data", self.data.is_some()),
            ("--out", self.out.is_some()),
        ];
        for (option, _) in given.iter().filter(|(option, given)| *given && !used.contains(option)) {
            eprintln!("{option} has no effect here");
        }
    }

    /// Prints the JSON object if it was asked for: the common keys of a run on `device`, then the example's `own`.
    pub fn print_json(&self, example: &str, device: Option<&Device>, own: Value) {
        if !self.json {
            return;
        }
        let mut object = Map::from_iter([("example".to_owned(), example.into())]);
        if let Some(device) = device {
            object.insert("device".to_owned(), device.name().into());
            object.insert("backend".to_owned(), device.backend().into());
        }
        if let Value::Object(own) = own {
            object.extend(own);
        }
        say!("{}", Value::Object(object));
    }
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
    /// Status 1: it was tried and failed.
    Failed(String),
    /// Status 2: it could not be tried, for bad arguments, missing data or no such device.
    Refused(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl Error for Exit {}

impl From<gradus::Error> for Exit {
    fn from(error: gradus::Error) -> Self {
        match error {
            gradus::Error::NoDevice { .. } | gradus::Error::Setting { .. } => Self::Refused(error.to_string()),
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
        Exit::Refused(_) => 2,
    })
}
