//! The machines that networks train on, and how one is chosen.

pub use adapters::AdapterReport;

pub(crate) mod adapters;

use std::{fmt, str::FromStr};

use crate::{
    device::adapters::{AdapterFilter, describe_adapter},
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
    pub(crate) backend: Backend,
    fallback_reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Gpu(Box<Gpu>),
    Cpu,
}

/// Which device is meant. Text parses to it: `auto`, `gpu`, `cpu`, and everything else is part of an adapter's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceSelector {
    /// The best real GPU; without one, the CPU, and [`Device::fallback_reason`] says so. Software adapters are never taken, unless
    /// `WGPU_ADAPTER_NAME` names one.
    #[default]
    Auto,
    /// The best real GPU, or an error; the adapter of `WGPU_ADAPTER_NAME`, if that is set.
    Gpu,
    /// The CPU engine.
    Cpu,
    /// The first adapter with this in its name, upper or lower case; also a software adapter.
    Name(String),
}

impl FromStr for DeviceSelector {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            _ => Self::Name(text.to_owned()),
        })
    }
}

/// What is asked of a device.
#[derive(Debug, Clone, Default)]
pub struct DeviceRequest {
    /// Which device.
    pub selector: DeviceSelector,
    /// The backends to look among: those of `WGPU_BACKEND`, or Vulkan, Metal, DX12 and WebGPU, if not given.
    pub backends: Option<wgpu::Backends>,
    /// The limits to ask for: all that the adapter has, if not given.
    pub limits: Option<wgpu::Limits>,
}

impl Device {
    /// The GPU, unless this is the CPU.
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        match &self.backend {
            Backend::Gpu(gpu) => Some(gpu),
            Backend::Cpu => None,
        }
    }

    /// Whether it has no memory but the computer's.
    pub(crate) fn is_software(&self) -> bool {
        self.gpu().is_none_or(Gpu::is_software)
    }

    /// The same device on which nothing has gone wrong yet; see [`Gpu::with_cleared_errors`].
    pub(crate) fn with_cleared_errors(&self) -> Self {
        match &self.backend {
            Backend::Gpu(gpu) => {
                Self { backend: Backend::Gpu(Box::new(gpu.with_cleared_errors(None))), ..self.clone() }
            }
            Backend::Cpu => self.clone(),
        }
    }

    /// The best real GPU, or the CPU where there is none. The environment variables `WGPU_BACKEND`, `WGPU_ADAPTER_NAME`
    /// and `WGPU_POWER_PREF` are respected.
    ///
    /// # Errors
    /// As [`Device::request`].
    #[cfg(not(target_family = "wasm"))]
    pub fn auto() -> Result<Self> {
        Self::request(&DeviceRequest::default())
    }

    blocking! {
        /// The device that is asked for; see [`Device::request_async`].
        ///
        /// # Errors
        /// As [`Device::request_async`].
        pub fn request(request: &DeviceRequest) -> Result<Self> = Self::request_async(request);
    }

    /// The device that is asked for.
    ///
    /// # Errors
    /// [`Error::DeviceNotFound`] if it is not there, with a list of what is; [`Error::DeviceOpen`] if the adapter gives no device
    /// with the limits asked for; [`Error::DeviceLimit`] if a limit is below what every kernel needs; [`Error::InvalidSetting`] if
    /// `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` no preference.
    pub async fn request_async(request: &DeviceRequest) -> Result<Self> {
        let mut search = AdapterFilter { backends: request.backends, ..AdapterFilter::default() };
        match &request.selector {
            DeviceSelector::Cpu => return Ok(Self::cpu()),
            DeviceSelector::Name(name) => search.name = Some(name.clone()),
            DeviceSelector::Auto | DeviceSelector::Gpu => {}
        }
        match search.open(request.limits.as_ref()).await {
            Ok(gpu) => Ok(Self { backend: Backend::Gpu(Box::new(gpu)), fallback_reason: None }),
            Err(Error::DeviceNotFound { found, .. })
                if request.selector == DeviceSelector::Auto && !search.has_name() =>
            {
                let why =
                    if found.is_empty() { "no GPU driver was found" } else { "only software adapters were found" };
                let note = format!("{why}, so this trains on the CPU; {}", search.install_hint());
                log::warn!("{note}");
                Ok(Self { fallback_reason: Some(note), ..Self::cpu() })
            }
            Err(error) => Err(error),
        }
    }

    /// The CPU: always there.
    pub const fn cpu() -> Self {
        Self { backend: Backend::Cpu, fallback_reason: None }
    }

    /// A device and queue of the caller's own application. Its error and loss handlers stay the caller's.
    ///
    /// # Errors
    /// [`Error::DeviceLimit`] if it was made with a limit below what every kernel needs.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let gpu = Gpu::from_caller(device, queue);
        crate::device::adapters::check_limits(&describe_adapter(&gpu.info), &gpu.limits)?;
        Ok(Self { backend: Backend::Gpu(Box::new(gpu)), fallback_reason: None })
    }

    /// The same device, which holds data sets of so many bytes at most; larger ones are streamed: each step's rows are
    /// brought while those before are taken, from memory or from a [file](crate::data::FileRows), with the same bits. Steps on a
    /// streamed data set cannot be [recorded](crate::train::Trainer::record_steps).
    ///
    /// Unless it is said, a GPU streams what it has no memory for, and a software adapter what is in a file of more than
    /// 256 MiB. The CPU engine reads every data set where it is.
    #[must_use]
    pub fn with_dataset_memory_limit(mut self, bytes: u64) -> Self {
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.dataset_memory_limit = Some(bytes);
        }
        self
    }

    /// The same device, which is waited for so long at most: what takes longer is [`Error::Timeout`], and may still come to
    /// its end on the device. Unless it is said, a GPU has 60 seconds for what is submitted at once, which is made to take
    /// tenths of one, and a software adapter ten minutes. Browsers have a patience of their own.
    #[must_use]
    pub fn with_timeout(mut self, patience: std::time::Duration) -> Self {
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.timeout = patience;
        }
        self
    }

    /// The adapter's name, or what the CPU engine runs on.
    pub fn name(&self) -> String {
        match &self.backend {
            Backend::Gpu(gpu) => gpu.info.name.clone(),
            #[cfg(not(target_family = "wasm"))]
            Backend::Cpu => format!("CPU engine, {} threads", rayon::current_num_threads()),
            #[cfg(target_family = "wasm")]
            Backend::Cpu => "CPU engine".to_owned(),
        }
    }

    /// `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub fn backend(&self) -> &'static str {
        self.gpu().map_or("cpu", |gpu| gpu.info.backend.to_str())
    }

    /// Whether kernels run, on a GPU or on a program that pretends to be one.
    pub const fn is_gpu(&self) -> bool {
        matches!(self.backend, Backend::Gpu(_))
    }

    /// The wgpu device and queue, unless this is the CPU.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.gpu().map(|gpu| (&gpu.device, &gpu.queue))
    }

    /// Why [`DeviceSelector::Auto`] took the CPU, and what to do for a GPU.
    pub fn fallback_reason(&self) -> Option<&str> {
        self.fallback_reason.as_deref()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backend {
            Backend::Gpu(gpu) => f.write_str(&describe_adapter(&gpu.info)),
            Backend::Cpu => f.write_str(&self.name()),
        }
    }
}

blocking! {
    /// Every adapter of the backends, the best first; see [`DeviceRequest::backends`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` is none of low, high and none.
    pub fn adapters(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> = adapters_async(backends);
}

/// Every adapter of the backends, the best first; see [`DeviceRequest::backends`].
///
/// # Errors
/// [`Error::InvalidSetting`] if `WGPU_BACKEND` names no backend, or `WGPU_POWER_PREF` no preference.
pub async fn adapters_async(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> {
    AdapterFilter { backends, ..AdapterFilter::default() }.list().await
}
