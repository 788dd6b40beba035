//! Which adapters are there, and which one is meant.

use crate::{
    engine::gpu::device::{Gpu, bindings::MIN_STORAGE_BUFFERS},
    error::{Error, Result, check_limit},
};

/// An adapter that wgpu found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterReport {
    /// Name, type, driver and backend.
    pub info: wgpu::AdapterInfo,
    /// What it can hold and run.
    pub limits: wgpu::Limits,
    /// What it can do beyond WebGPU's minimum.
    pub features: wgpu::Features,
    /// Whether it is a program that pretends to be a GPU, as llvmpipe and SwiftShader are.
    pub is_software: bool,
    /// Whether it is the one that [`crate::device::Device::auto`] takes.
    pub is_default: bool,
}

/// Which adapters to look among. The fields that are `None` are filled from `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and
/// `WGPU_POWER_PREF`, as wgpu's own tools do.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdapterFilter {
    pub(crate) backends: Option<wgpu::Backends>,
    /// Part of the adapter's name; upper and lower case are the same.
    pub(crate) name: Option<String>,
}

impl AdapterFilter {
    fn backends(&self) -> Result<wgpu::Backends> {
        match (self.backends, std::env::var("WGPU_BACKEND")) {
            (Some(backends), _) => Ok(backends),
            (None, Ok(text)) if !text.is_empty() => {
                let backends = wgpu::Backends::from_comma_list(&text) & wgpu::Backends::PRIMARY;
                if backends.is_empty() {
                    let expected = "a list of vulkan, metal, dx12, webgpu".to_owned();
                    return Err(Error::InvalidSetting { name: "WGPU_BACKEND", expected, got: text });
                }
                Ok(backends)
            }
            (None, _) => Ok(wgpu::Backends::PRIMARY),
        }
    }

    /// Whether an integrated GPU goes before a discrete one.
    fn prefers_low_power() -> Result<bool> {
        match std::env::var("WGPU_POWER_PREF").unwrap_or_default().to_lowercase().as_str() {
            "low" => Ok(true),
            "" | "high" | "none" => Ok(false),
            got => {
                let expected = "low, high or none".to_owned();
                Err(Error::InvalidSetting { name: "WGPU_POWER_PREF", expected, got: got.to_owned() })
            }
        }
    }

    fn name(&self) -> Option<String> {
        let name = self.name.clone().or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
        name.map(|name| name.to_lowercase()).filter(|name| !name.is_empty())
    }

    /// The adapters of the backends, the best first.
    async fn adapters(&self) -> Result<Vec<wgpu::Adapter>> {
        let (backends, saves_power) = (self.backends()?, Self::prefers_low_power()?);
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = descriptor.flags.with_env();
        descriptor.backend_options = descriptor.backend_options.with_env();
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters = instance.enumerate_adapters(backends).await;
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type, saves_power));
        Ok(adapters)
    }

    /// Whether this search means an adapter.
    fn matches(&self, info: &wgpu::AdapterInfo) -> bool {
        match self.name() {
            Some(name) => info.name.to_lowercase().contains(&name),
            None => info.device_type != wgpu::DeviceType::Cpu,
        }
    }

    /// Every adapter there is.
    pub(crate) async fn list(&self) -> Result<Vec<AdapterReport>> {
        let adapters = self.adapters().await?;
        let automatic = adapters.iter().position(|adapter| self.matches(&adapter.get_info()));
        let report = |(i, adapter): (usize, &wgpu::Adapter)| {
            let info = adapter.get_info();
            let is_software = info.device_type == wgpu::DeviceType::Cpu;
            let (limits, features) = (adapter.limits(), adapter.features());
            AdapterReport { info, limits, features, is_software, is_default: automatic == Some(i) }
        };
        Ok(adapters.iter().enumerate().map(report).collect())
    }

    /// The device of the best adapter that is meant; `limits` are the adapter's own unless given.
    pub(crate) async fn open(&self, limits: Option<&wgpu::Limits>) -> Result<Gpu> {
        let adapters = self.adapters().await?;
        let Some(adapter) = adapters.iter().find(|adapter| self.matches(&adapter.get_info())) else {
            return Err(self.not_found(&adapters));
        };
        let limits = limits.cloned().unwrap_or_else(|| adapter.limits());
        let name = describe_adapter(&adapter.get_info());
        check_limits(&name, &limits)?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gradus"),
            required_features: adapter.features() & crate::engine::gpu::device::WANTED_FEATURES,
            required_limits: limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| Error::DeviceOpen { adapter: name, reason: error.to_string() })?;
        Ok(Gpu::owned(device, queue))
    }

    /// What to do where there is no adapter at all.
    pub(crate) fn install_hint(&self) -> &'static str {
        if cfg!(target_os = "linux") && self.backends().is_ok_and(|all| all.contains(wgpu::Backends::VULKAN)) {
            "install the GPU's driver; on Debian and Ubuntu `apt-get install mesa-vulkan-drivers` brings Vulkan for AMD \
             and Intel GPUs and the software adapter llvmpipe"
        } else {
            "install the GPU's driver, or name another backend"
        }
    }

    /// Whether an adapter is asked for by name.
    pub(crate) fn has_name(&self) -> bool {
        self.name().is_some()
    }

    fn not_found(&self, adapters: &[wgpu::Adapter]) -> Error {
        let asked = match self.name() {
            Some(name) => format!("an adapter with {name:?} in its name"),
            None => "a GPU".to_owned(),
        };
        let backends = self.backends().unwrap_or_default();
        let names = backends.iter_names().map(|(name, _)| name.to_lowercase().replace("browser_", ""));
        let backends = names.collect::<Vec<_>>().join(", ");
        let found: Vec<_> = adapters.iter().map(|adapter| describe_adapter(&adapter.get_info())).collect();
        let hint = if found.is_empty() {
            self.install_hint()
        } else if self.name().is_some() {
            "name one of these, or `auto`"
        } else {
            "a software adapter is used when its name is given; the CPU engine (`cpu`) is faster"
        };
        Error::DeviceNotFound { requested: format!("{asked} on {backends}"), found, hint: hint.to_owned() }
    }
}

/// Refuses a device whose limits are below what every network needs.
pub(crate) fn check_limits(adapter: &str, limits: &wgpu::Limits) -> Result<()> {
    let needs = [
        ("max_storage_buffers_per_shader_stage", MIN_STORAGE_BUFFERS, limits.max_storage_buffers_per_shader_stage),
        ("max_uniform_buffers_per_shader_stage", 2, limits.max_uniform_buffers_per_shader_stage),
        ("max_dynamic_uniform_buffers_per_pipeline_layout", 1, limits.max_dynamic_uniform_buffers_per_pipeline_layout),
        // The largest workgroup, that of the staged tile and of the kernels over a window, and what the tile stages.
        ("max_compute_invocations_per_workgroup", 64, limits.max_compute_invocations_per_workgroup),
        ("max_compute_workgroup_size_x", 64, limits.max_compute_workgroup_size_x),
        ("max_compute_workgroup_storage_size", 8192, limits.max_compute_workgroup_storage_size),
    ];
    needs.into_iter().try_for_each(|(limit, need, have)| check_limit(adapter, limit, need.into(), have.into()))
}

/// The order in which adapters are taken.
const fn rank(kind: wgpu::DeviceType, saves_power: bool) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 1,
        wgpu::DeviceType::IntegratedGpu => {
            if saves_power {
                0
            } else {
                2
            }
        }
        wgpu::DeviceType::VirtualGpu => 3,
        wgpu::DeviceType::Other => 4,
        wgpu::DeviceType::Cpu => 5,
    }
}

/// An adapter in words.
pub(crate) fn describe_adapter(info: &wgpu::AdapterInfo) -> String {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "other",
    };
    format!("{} ({}, {kind})", info.name, info.backend)
}
