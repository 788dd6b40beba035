//! Devices: a GPU or the CPU engine, and how to select one.

pub use adapters::AdapterReport;

pub(crate) mod adapters;

use std::{fmt, str::FromStr};

use crate::{
    device::adapters::{AdapterFilter, check_limits, describe_adapter},
    engine::gpu::device::Gpu,
    error::{Error, Result},
    util::blocking::blocking,
};

/// A device: a GPU that wgpu supports, or the CPU engine. Clones refer to the same device.
///
/// A device caches the 256 compute pipelines used last. Training the same network again, with other rows or another
/// seed, then starts in milliseconds instead of the seconds that the driver takes to compile. Share one `Device`
/// instead of opening it again.
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

/// The selection of a device.
///
/// It can be parsed from text: `auto`, `gpu`, `cpu`, or a part of the name of an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceSelector {
    /// The best hardware GPU, or the CPU engine if there is none. [`Device::fallback_reason`] then returns the reason.
    ///
    /// A software adapter is used only if `WGPU_ADAPTER_NAME` names it.
    #[default]
    Auto,
    /// The best hardware GPU, or the adapter that `WGPU_ADAPTER_NAME` names. An error if there is none.
    Gpu,
    /// The CPU engine.
    Cpu,
    /// The first adapter whose name contains this text, ignoring case. It may be a software adapter.
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

/// The requirements for a device.
#[derive(Debug, Clone, Default)]
pub struct DeviceRequest {
    /// The selection of the device.
    pub selector: DeviceSelector,
    /// The backends to search. `None` searches those of `WGPU_BACKEND`, or Vulkan, Metal, DX12 and WebGPU by default.
    pub backends: Option<wgpu::Backends>,
    /// The required limits. `None` requires all limits that the adapter supports.
    pub limits: Option<wgpu::Limits>,
}

impl Device {
    /// Returns the GPU, or `None` for the CPU engine.
    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        match &self.backend {
            Backend::Gpu(gpu) => Some(gpu),
            Backend::Cpu => None,
        }
    }

    /// Returns whether the device is a software adapter or the CPU engine, which use the memory of the host.
    pub(crate) fn is_software(&self) -> bool {
        self.gpu().is_none_or(Gpu::is_software)
    }

    /// Returns the device without its recorded errors; see [`Gpu::with_cleared_errors`].
    pub(crate) fn with_cleared_errors(&self) -> Self {
        match &self.backend {
            Backend::Gpu(gpu) => {
                Self { backend: Backend::Gpu(Box::new(gpu.with_cleared_errors(None))), ..self.clone() }
            }
            Backend::Cpu => self.clone(),
        }
    }

    /// Opens the best hardware GPU, or the CPU engine if there is none.
    ///
    /// It respects the environment variables `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF`.
    ///
    /// # Errors
    /// As [`Device::request`].
    #[cfg(not(target_family = "wasm"))]
    pub fn auto() -> Result<Self> {
        Self::request(&DeviceRequest::default())
    }

    blocking! {
        /// Opens the requested device; see [`Device::request_async`].
        ///
        /// # Errors
        /// As [`Device::request_async`].
        pub fn request(request: &DeviceRequest) -> Result<Self> = Self::request_async(request);
    }

    /// Opens the requested device.
    ///
    /// # Errors
    /// - [`Error::DeviceNotFound`] if no adapter matches. The error lists all adapters.
    /// - [`Error::DeviceOpen`] if the adapter does not support the required limits, or the driver fails.
    /// - [`Error::DeviceLimit`] if a required limit is below the minimum that every kernel needs.
    /// - [`Error::InvalidSetting`] if `WGPU_BACKEND` names no known backend.
    /// - [`Error::InvalidSetting`] if `WGPU_POWER_PREF` is not `low`, `high` or `none`.
    pub async fn request_async(request: &DeviceRequest) -> Result<Self> {
        let mut filter = AdapterFilter { backends: request.backends, ..AdapterFilter::default() };
        match &request.selector {
            DeviceSelector::Cpu => return Ok(Self::cpu()),
            DeviceSelector::Name(name) => filter.name = Some(name.clone()),
            DeviceSelector::Auto | DeviceSelector::Gpu => {}
        }
        match filter.open(request.limits.as_ref()).await {
            Ok(gpu) => Ok(Self { backend: Backend::Gpu(Box::new(gpu)), fallback_reason: None }),
            Err(Error::DeviceNotFound { found, .. })
                if request.selector == DeviceSelector::Auto && !filter.has_name() =>
            {
                let cause =
                    if found.is_empty() { "no GPU driver was found" } else { "only software adapters were found" };
                let reason = format!("{cause}, so gradus uses the CPU engine; {}", filter.install_hint());
                log::warn!("{reason}");
                Ok(Self { fallback_reason: Some(reason), ..Self::cpu() })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the CPU engine, which is always available.
    pub const fn cpu() -> Self {
        Self { backend: Backend::Cpu, fallback_reason: None }
    }

    /// Uses a wgpu device and queue of the caller. gradus does not replace the error handlers of the device.
    ///
    /// # Errors
    /// [`Error::DeviceLimit`] if a limit of the device is below the minimum that every kernel needs.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        let gpu = Gpu::from_caller(device, queue);
        check_limits(&describe_adapter(&gpu.info), &gpu.limits)?;
        Ok(Self { backend: Backend::Gpu(Box::new(gpu)), fallback_reason: None })
    }

    /// Returns the device with a maximum size of data sets in its memory; it streams larger ones.
    ///
    /// For a streamed data set, the host uploads the rows of each step while the device runs earlier steps. The rows
    /// come from memory or from a [file](crate::data::FileRows), and the results have the same bits. Steps on a
    /// streamed data set cannot be [recorded](crate::train::Trainer::record_steps).
    ///
    /// By default a GPU streams data sets that do not fit into its memory, and a software adapter streams files larger
    /// than 256 MiB. The CPU engine reads every data set in place.
    #[must_use]
    pub fn with_dataset_memory_limit(mut self, bytes: u64) -> Self {
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.dataset_memory_limit = Some(bytes);
        }
        self
    }

    /// Returns the device with a maximum time that the host waits for it.
    ///
    /// After that time a call returns [`Error::Timeout`], although the device may still finish the work. The default is
    /// 60 seconds for a GPU and ten minutes for a software adapter. It applies to one submission, which gradus sizes to
    /// take tenths of a second. Browsers have their own timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.timeout = timeout;
        }
        self
    }

    /// Returns the name of the adapter, or `CPU engine` with the number of threads.
    pub fn name(&self) -> String {
        match &self.backend {
            Backend::Gpu(gpu) => gpu.info.name.clone(),
            #[cfg(not(target_family = "wasm"))]
            Backend::Cpu => format!("CPU engine, {} threads", rayon::current_num_threads()),
            #[cfg(target_family = "wasm")]
            Backend::Cpu => "CPU engine".to_owned(),
        }
    }

    /// Returns the name of the backend: `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub fn backend(&self) -> &'static str {
        self.gpu().map_or("cpu", |gpu| gpu.info.backend.to_str())
    }

    /// Returns whether the device runs WGSL kernels: a GPU or a software adapter.
    pub const fn is_gpu(&self) -> bool {
        matches!(self.backend, Backend::Gpu(_))
    }

    /// Returns the wgpu device and queue, or `None` for the CPU engine.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.gpu().map(|gpu| (&gpu.device, &gpu.queue))
    }

    /// Returns why [`DeviceSelector::Auto`] fell back to the CPU engine, and how to get a GPU.
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
    /// Returns all adapters of the backends, the best first; see [`DeviceRequest::backends`].
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if `WGPU_BACKEND` names no known backend.
    /// - [`Error::InvalidSetting`] if `WGPU_POWER_PREF` is not `low`, `high` or `none`.
    pub fn adapters(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> = adapters_async(backends);
}

/// The asynchronous form of [`adapters`](fn@adapters).
///
/// # Errors
/// - [`Error::InvalidSetting`] if `WGPU_BACKEND` names no known backend.
/// - [`Error::InvalidSetting`] if `WGPU_POWER_PREF` is not `low`, `high` or `none`.
pub async fn adapters_async(backends: Option<wgpu::Backends>) -> Result<Vec<AdapterReport>> {
    AdapterFilter { backends, ..AdapterFilter::default() }.list().await
}
