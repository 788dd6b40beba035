//! The adapters that wgpu finds, and the selection of one of them.

use crate::{
    engine::gpu::device::{Gpu, WANTED_FEATURES, bindings::MIN_STORAGE_BUFFERS},
    error::{Error, Result, check_limit},
};

/// An adapter that wgpu found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterReport {
    /// Name, type, driver and backend.
    pub info: wgpu::AdapterInfo,
    /// The limits that it supports.
    pub limits: wgpu::Limits,
    /// The optional features that it supports.
    pub features: wgpu::Features,
    /// Whether it is a software adapter, for example llvmpipe or SwiftShader.
    pub is_software: bool,
    /// Whether [`Device::auto`](crate::device::Device::auto) selects it.
    pub is_default: bool,
}

/// A filter of adapters.
///
/// The environment variables `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` replace fields that are `None`, as in the tools of
/// wgpu.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdapterFilter {
    pub(crate) backends: Option<wgpu::Backends>,
    /// A part of the name of the adapter, ignoring case.
    pub(crate) name: Option<String>,
}

impl AdapterFilter {
    /// Returns the backends to search.
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

    /// Returns whether `WGPU_POWER_PREF` prefers an integrated GPU over a discrete one.
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

    /// Returns the requested part of the name in lower case.
    fn name(&self) -> Option<String> {
        let name = self.name.clone().or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
        name.map(|name| name.to_lowercase()).filter(|name| !name.is_empty())
    }

    /// Returns all adapters of the backends, the best first.
    async fn adapters(&self) -> Result<Vec<wgpu::Adapter>> {
        let (backends, prefers_low_power) = (self.backends()?, Self::prefers_low_power()?);
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        descriptor.flags = descriptor.flags.with_env();
        descriptor.backend_options = descriptor.backend_options.with_env();
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters = instance.enumerate_adapters(backends).await;
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type, prefers_low_power));
        Ok(adapters)
    }

    /// Returns whether the filter selects an adapter. Without a name it selects every hardware adapter.
    fn matches(&self, info: &wgpu::AdapterInfo) -> bool {
        match self.name() {
            Some(name) => info.name.to_lowercase().contains(&name),
            None => info.device_type != wgpu::DeviceType::Cpu,
        }
    }

    /// Returns a report of every adapter of the backends.
    pub(crate) async fn list(&self) -> Result<Vec<AdapterReport>> {
        let adapters = self.adapters().await?;
        let default_index = adapters.iter().position(|adapter| self.matches(&adapter.get_info()));
        let report = |(index, adapter): (usize, &wgpu::Adapter)| {
            let info = adapter.get_info();
            let is_software = info.device_type == wgpu::DeviceType::Cpu;
            let (limits, features) = (adapter.limits(), adapter.features());
            AdapterReport { info, limits, features, is_software, is_default: default_index == Some(index) }
        };
        Ok(adapters.iter().enumerate().map(report).collect())
    }

    /// Opens the best adapter that the filter selects. `limits` defaults to all limits of the adapter.
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
            required_features: adapter.features() & WANTED_FEATURES,
            required_limits: limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| Error::DeviceOpen { adapter: name, reason: error.to_string() })?;
        Ok(Gpu::owned(device, queue))
    }

    /// Returns how to get an adapter if there is none.
    pub(crate) fn install_hint(&self) -> &'static str {
        if cfg!(target_os = "linux") && self.backends().is_ok_and(|all| all.contains(wgpu::Backends::VULKAN)) {
            "install the driver of the GPU; on Debian and Ubuntu, `apt-get install mesa-vulkan-drivers` installs Vulkan for \
             AMD and Intel GPUs and the software adapter llvmpipe"
        } else {
            "install the driver of the GPU, or request another backend"
        }
    }

    /// Returns whether the filter has a name.
    pub(crate) fn has_name(&self) -> bool {
        self.name().is_some()
    }

    /// Returns the error for a filter that selects none of these adapters.
    fn not_found(&self, adapters: &[wgpu::Adapter]) -> Error {
        let selection = match self.name() {
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
            "request one of these names, or `auto`"
        } else {
            "to use a software adapter, request its name; the CPU engine (`cpu`) is faster"
        };
        Error::DeviceNotFound { requested: format!("{selection} on {backends}"), found, hint: hint.to_owned() }
    }
}

/// Returns an error if a limit is below the minimum that every kernel needs.
pub(crate) fn check_limits(adapter: &str, limits: &wgpu::Limits) -> Result<()> {
    let requirements = [
        ("max_storage_buffers_per_shader_stage", MIN_STORAGE_BUFFERS, limits.max_storage_buffers_per_shader_stage),
        ("max_uniform_buffers_per_shader_stage", 2, limits.max_uniform_buffers_per_shader_stage),
        ("max_dynamic_uniform_buffers_per_pipeline_layout", 1, limits.max_dynamic_uniform_buffers_per_pipeline_layout),
        // The tile in workgroup memory and the kernels over a window have workgroups of 64 invocations. The tile also
        // needs 8192 bytes of workgroup memory.
        ("max_compute_invocations_per_workgroup", 64, limits.max_compute_invocations_per_workgroup),
        ("max_compute_workgroup_size_x", 64, limits.max_compute_workgroup_size_x),
        ("max_compute_workgroup_storage_size", 8192, limits.max_compute_workgroup_storage_size),
    ];
    for (limit, required, available) in requirements {
        check_limit(adapter, limit, required.into(), available.into())?;
    }
    Ok(())
}

/// Returns the rank of a type of adapter; lower is better.
const fn rank(kind: wgpu::DeviceType, prefers_low_power: bool) -> u8 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 1,
        wgpu::DeviceType::IntegratedGpu => {
            if prefers_low_power {
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

/// Describes an adapter by its name, backend and type.
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
