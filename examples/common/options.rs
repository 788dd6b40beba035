//! The command-line options of the examples, in groups. An example uses only the groups that have an effect in it.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use gradus::{
    Device,
    device::{DeviceRequest, DeviceSelector},
    wgpu::Backends,
};
use serde_json::{Map, Value};

use super::{Exit, device_name, print_line};

/// The options `--device` and `--backend`.
#[derive(Debug, Clone, clap::Args)]
pub struct DeviceOptions {
    /// Device: auto (the best GPU, or the CPU engine if there is none), gpu, cpu, or part of an adapter's name
    #[arg(long, default_value = "auto", value_name = "auto|gpu|cpu|NAME")]
    pub device: String,
    #[command(flatten)]
    pub backend: BackendOption,
}

/// The option `--backend`.
#[derive(Debug, Clone, clap::Args)]
pub struct BackendOption {
    /// Use only the adapters of this backend [default: all backends]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
}

/// A graphics API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    Vulkan,
    Metal,
    Dx12,
}

impl BackendOption {
    /// Returns the requested backend as wgpu's flags.
    pub fn flags(&self) -> Option<Backends> {
        self.backend.map(|backend| match backend {
            Backend::Vulkan => Backends::VULKAN,
            Backend::Metal => Backends::METAL,
            Backend::Dx12 => Backends::DX12,
        })
    }
}

impl DeviceOptions {
    /// Opens the requested device, and prints its name on standard error.
    pub fn open(&self) -> Result<Device, Exit> {
        // The driver and wgpu report through `log`. Without a logger, RUST_LOG would have no effect.
        let _ = env_logger::try_init();
        let selector = self.device.parse().unwrap_or(DeviceSelector::Auto);
        let request = DeviceRequest { selector, backends: self.backend.flags(), ..DeviceRequest::default() };
        let device = Device::request(&request)?;
        eprintln!("device: {}", device_name(&device));
        if let Some(reason) = device.fallback_reason() {
            eprintln!("{reason}");
        }
        Ok(device)
    }
}

/// The option `--epochs`.
#[derive(Debug, Clone, clap::Args)]
pub struct EpochsOption {
    /// Number of passes over the training set [default: depends on the example]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
}

impl EpochsOption {
    /// Returns the requested number of epochs, or `default`.
    pub fn or(&self, default: usize) -> usize {
        self.epochs.map_or(default, |epochs| epochs as usize)
    }
}

/// The option `--seed`.
#[derive(Debug, Clone, clap::Args)]
pub struct SeedOption {
    /// Random seed of the initial weights and the order of the rows
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The options `--seed` and `--runs`.
#[derive(Debug, Clone, clap::Args)]
pub struct RunsOptions {
    #[command(flatten)]
    first: SeedOption,
    /// Number of networks to train one after the other, with consecutive seeds that start at --seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

impl RunsOptions {
    /// Returns the seeds of the runs. There is at least one.
    pub fn seeds(&self) -> Result<RangeInclusive<u64>, Exit> {
        let (first, runs) = (self.first.seed, self.runs);
        let Some(last) = first.checked_add(u64::from(runs) - 1) else {
            let max = u64::MAX;
            let message = format!("--runs: expected a last seed of at most {max}, got {runs} runs from seed {first}");
            return Err(Exit::Usage(message));
        };
        Ok(first..=last)
    }
}

/// The option `--data-dir`.
#[derive(Debug, Clone, clap::Args)]
pub struct DataDirOption {
    /// Directory of the data set [default: where Debian's packages install it]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDirOption {
    /// Returns the requested directory.
    pub fn path(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }
}

/// The option `--out-dir`.
#[derive(Debug, Clone, clap::Args)]
pub struct OutDirOption {
    /// Directory for the plots [default: out/NAME, with the name of the example]
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

impl OutDirOption {
    /// Creates the requested directory, or `default`.
    ///
    /// An example calls this before it trains. If the directory cannot be created, no training is lost.
    pub fn create(&self, default: &str) -> Result<PathBuf, Exit> {
        let directory = self.out_dir.clone().unwrap_or_else(|| PathBuf::from(default));
        if let Err(error) = std::fs::create_dir_all(&directory) {
            return Err(Exit::Usage(format!("--out-dir {}: {error}", directory.display())));
        }
        Ok(directory)
    }
}

/// The option `--json`.
#[derive(Debug, Clone, clap::Args)]
pub struct JsonOption {
    /// Print the results as one JSON object in the last line of standard output
    #[arg(long)]
    json: bool,
}

impl JsonOption {
    /// Prints a JSON object if the user requested it: the name of the example, its device, and the keys of `results`.
    pub fn print(&self, example: &str, device: &Device, results: Value) {
        if !self.json {
            return;
        }
        let mut object = Map::new();
        object.insert("example".to_owned(), example.into());
        object.insert("device".to_owned(), device.name().into());
        object.insert("backend".to_owned(), device.backend().into());
        if let Value::Object(results) = results {
            object.extend(results);
        }
        print_line!("{}", Value::Object(object));
    }
}
