//! The machines that networks train on, and how one is chosen.

pub use adapters::AdapterReport;

pub(crate) mod adapters;

use std::{fmt, str::FromStr};

use crate::{
    device::adapters::{Search, described},
    engine::gpu::device::Gpu,
    error::{Error, Result},
    util::blocking::blocking,
};

/// A GPU that wgpu reaches, or the CPU. A clone is the same device.
///
/// It keeps some hundreds of compute pipelines, those that were asked for last, so that a second training of a network, with
/// other rows or another seed, starts in milliseconds where the driver takes seconds to compile: share one device rather than
/// to open it again.
#[derive(Debug, Clone)]
pub struct Device {
    pub(crate) machine: Machine,
    note: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Machine {
    Gpu(Box<Gpu>),
    Cpu,
}

/// Which device is meant. Text parses to it: `auto`, `gpu`, `cpu`, and everything else is part of an adapter's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// The best real GPU; without one, the CPU, and [`Device::note`] says so. Software adapters are never taken, unless
    /// `WGPU_ADAPTER_NAME` names one.
    #[default]
    Auto,
    /// The best real GPU, or an error; the adapter of `WGPU_ADAPTER_NAME`, if that is set.
    Gpu,
    /// The CPU engine.
    Cpu,
    /// The first adapter with this in its name, upper or lower case; also a software adapter.
    Named(String),
}

impl FromStr for Choice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            _ => Self::Named(text.to_owned()),
        })
    }
}

/// What is asked of a device.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which device.
    pub choice: Choice,
    /// The backends to look among: those of `WGPU_BACKEND`, or Vulkan, Metal, DX12 and WebGPU, if not given.
    pub backends: Option<wgpu::Backends>,
    /// The limits to ask for: all that the adapter has, if not given.
    pub limits: Option<wgpu::Limits>,
}

impl Device {
    /// The GPU, unless this is the CPU.
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        match &self.machine {
            Machine::Gpu(gpu) => Some(gpu),
            Machine::Cpu => None,
        }
    }

    /// Whether it has no memory but the computer's.
    pub(crate) fn is_software(&self) -> bool {
        self.gpu().is_none_or(Gpu::is_software)
    }

    /// The same device on which nothing has gone wrong yet; see [`Gpu::afresh`].
    pub(crate) fn afresh(&self) -> Self {
        match &self.machine {
            Machine::Gpu(gpu) => Self { machine: Machine::Gpu(Box::new(gpu.afresh(None))), ..self.clone() },
            Machine::Cpu => self.clone(),
        }
    }

    /// The best real GPU, or the CPU where there is none. The environment variables `WGPU_BACKEND`, `WGPU_ADAPTER_NAME`
    /// and `WGPU_POWER_PREF` are respected.
    ///
    /// # Errors
    /// As [`Device::request`].
    #[cfg(not(target_family = "wasm"))]
    pub fn auto() -> Result<Self> {
        Self::request(&Request::default())
    }

    blocking! {
        /// The device that is asked for; see [`Device::request_async`].
        ///
        /// # Errors
        /// As [`Device::request_async`].
        pub fn request(request: &Request) -> Result<Self> = Self::request_async(request);
    }

    /// The device that is asked for.
    ///
    /// # Errors
    /// [`Error::NoDevice`] if it is not there, with a list of what is; [`Error::Device`] if the adapter gives no device
    /// with the limits asked for; [`Error::Limit`] if a limit is below what every kernel needs; [`Error::Setting`] if
    /// `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` no preference.
    pub async fn request_async(request: &Request) -> Result<Self> {
        let mut search = Search { backends: request.backends, ..Search::default() };
        match &request.choice {
            Choice::Cpu => return Ok(Self::cpu()),
            Choice::Named(name) => search.name = Some(name.clone()),
            Choice::Auto | Choice::Gpu => {}
        }
        match search.open(request.limits.as_ref()).await {
            Ok(gpu) => Ok(Self { machine: Machine::Gpu(Box::new(gpu)), note: None }),
            Err(Error::NoDevice { found, .. }) if request.choice == Choice::Auto && !search.names_one() => {
                let why =
                    if found.is_empty() { "no GPU driver was found" } else { "only software adapters were found" };
                let note = format!("{why}, so this trains on the CPU; {}", search.how_to_get_one());
                log::warn!("{note}");
                Ok(Self { note: Some(note), ..Self::cpu() })
            }
            Err(error) => Err(error),
        }
    }

    /// The CPU: always there.
    pub const fn cpu() -> Self {
        Self { machine: Machine::Cpu, note: None }
    }

    /// A device and queue of the caller's own application. Its error and loss handlers stay the caller's.
    ///
    /// # Errors
    /// [`Error::Limit`] if it was made with a limit below what every kernel needs.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let gpu = Gpu::callers(device, queue);
        crate::device::adapters::check_limits(&described(&gpu.info), &gpu.limits)?;
        Ok(Self { machine: Machine::Gpu(Box::new(gpu)), note: None })
    }

    /// The same device, which holds data sets of so many bytes at most; larger ones are streamed: each step's rows are
    /// brought while those before are taken, from memory or from a [file](crate::data::FileRows), with the same bits. Steps on a
    /// streamed data set cannot be [recorded](crate::train::Trainer::record).
    ///
    /// Unless it is said, a GPU streams what it has no memory for, and a software adapter what is in a file of more than
    /// 256 MiB. The CPU engine reads every data set where it is.
    #[must_use]
    pub fn with_resident_limit(mut self, bytes: u64) -> Self {
        if let Machine::Gpu(gpu) = &mut self.machine {
            gpu.resident_limit = Some(bytes);
        }
        self
    }

    /// The same device, which is waited for so long at most: what takes longer is [`Error::Timeout`], and may still come to
    /// its end on the device. Unless it is said, a GPU has 60 seconds for what is submitted at once, which is made to take
    /// tenths of one, and a software adapter ten minutes. Browsers have a patience of their own.
    #[must_use]
    pub fn with_patience(mut self, patience: std::time::Duration) -> Self {
        if let Machine::Gpu(gpu) = &mut self.machine {
            gpu.patience = patience;
        }
        self
    }

    /// The adapter's name, or what the CPU engine runs on.
    pub fn name(&self) -> String {
        match &self.machine {
            Machine::Gpu(gpu) => gpu.info.name.clone(),
            #[cfg(not(target_family = "wasm"))]
            Machine::Cpu => format!("CPU engine, {} threads", rayon::current_num_threads()),
            #[cfg(target_family = "wasm")]
            Machine::Cpu => "CPU engine".to_owned(),
        }
    }

    /// `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub fn backend(&self) -> &'static str {
        self.gpu().map_or("cpu", |gpu| gpu.info.backend.to_str())
    }

    /// Whether kernels run, on a GPU or on a program that pretends to be one.
    pub const fn is_gpu(&self) -> bool {
        matches!(self.machine, Machine::Gpu(_))
    }

    /// The wgpu device and queue, unless this is the CPU.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.gpu().map(|gpu| (&gpu.device, &gpu.queue))
    }

    /// Why [`Choice::Auto`] took the CPU, and what to do for a GPU.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.machine {
            Machine::Gpu(gpu) => f.write_str(&described(&gpu.info)),
            Machine::Cpu => f.write_str(&self.name()),
        }
    }
}

blocking! {
    /// Every adapter of the backends, the best first; see [`Request::backends`].
    ///
    /// # Errors
    /// [`Error::Setting`] if `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` is none of low, high and none.
    pub fn adapters(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> = adapters_async(backends);
}

/// Every adapter of the backends, the best first; see [`Request::backends`].
///
/// # Errors
/// [`Error::Setting`] if `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` no preference.
pub async fn adapters_async(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> {
    Search { backends, ..Search::default() }.report().await
}
