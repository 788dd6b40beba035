//! The command-line options of the examples, in groups. An example takes only the groups that have an effect in it.

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

use super::{Exit, described, print_line};

/// The device to train on.
#[derive(Debug, Clone, clap::Args)]
pub struct DeviceOptions {
    /// auto (a real GPU, else the CPU engine), gpu, cpu, or part of an adapter's name
    #[arg(long, default_value = "auto", value_name = "auto|gpu|cpu|NAME")]
    pub device: String,
    #[command(flatten)]
    pub backend: BackendOption,
}

/// The backend to look for adapters on.
#[derive(Debug, Clone, clap::Args)]
pub struct BackendOption {
    /// The only backend to look for adapters on
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
}

/// A graphics interface to reach adapters by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    Vulkan,
    Metal,
    Dx12,
}

impl BackendOption {
    /// The requested backend as wgpu's flags.
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
        // The adapter's driver and wgpu report through `log`; without this, RUST_LOG would show nothing.
        let _ = env_logger::try_init();
        let choice = self.device.parse().unwrap_or(DeviceSelector::Auto);
        let request = DeviceRequest { selector: choice, backends: self.backend.flags(), ..DeviceRequest::default() };
        let device = Device::request(&request)?;
        eprintln!("device: {}", described(&device));
        if let Some(note) = device.fallback_reason() {
            eprintln!("{note}");
        }
        Ok(device)
    }
}

/// How long to train.
#[derive(Debug, Clone, clap::Args)]
pub struct EpochsOption {
    /// How often to go through the training data [default: the example's own]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
}

impl EpochsOption {
    /// The number of epochs, or the example's own.
    pub fn or(&self, default: usize) -> usize {
        self.epochs.map_or(default, |epochs| epochs as usize)
    }
}

/// The seed of random numbers.
#[derive(Debug, Clone, clap::Args)]
pub struct SeedOption {
    /// Where the initial weights and the order of the rows come from
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The seeds of several trainings.
#[derive(Debug, Clone, clap::Args)]
pub struct SeedsOptions {
    #[command(flatten)]
    first: SeedOption,
    /// Train this many networks one after the other, with seeds from --seed on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
}

impl SeedsOptions {
    /// The seeds, at least one.
    pub fn range(&self) -> Result<RangeInclusive<u64>, Exit> {
        let (first, count) = (self.first.seed, self.seeds);
        let Some(last) = first.checked_add(u64::from(count) - 1) else {
            return Err(Exit::Usage(format!("--seeds: {count} seeds from {first} on would pass {}", u64::MAX)));
        };
        Ok(first..=last)
    }
}

/// The folder with the data set.
#[derive(Debug, Clone, clap::Args)]
pub struct DataOption {
    /// The folder with the data set
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataOption {
    /// The requested folder.
    pub fn folder(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

/// The folder for pictures.
#[derive(Debug, Clone, clap::Args)]
pub struct OutOption {
    /// The folder for pictures [default: out/ and the example's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl OutOption {
    /// Creates the requested folder, or the example's own. An example calls this before it trains, so that a training is
    /// not lost when the folder cannot be created.
    pub fn create(&self, default: &str) -> Result<PathBuf, Exit> {
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(default));
        if let Err(error) = std::fs::create_dir_all(&folder) {
            return Err(Exit::Usage(format!("--out {}: {error}", folder.display())));
        }
        Ok(folder)
    }
}

/// Whether to print results for programs.
#[derive(Debug, Clone, clap::Args)]
pub struct JsonOption {
    /// Make the last line of standard output one JSON object
    #[arg(long)]
    json: bool,
}

impl JsonOption {
    /// Prints the JSON object if it is requested: the name of the example, its device, and the keys of `results`.
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
