//! Lists the adapters of all backends, and which one `auto` selects.
//!
//!     cargo run --release --example adapters
//!     cargo run --release --example adapters -- --backend vulkan --json

mod common;

use std::process::ExitCode;

use clap::Parser;
use gradus::{
    Device,
    device::{AdapterReport, DeviceRequest, DeviceSelector},
    wgpu::{DeviceType, Features},
};
use serde_json::{Value, json};

use common::{
    Exit, device_name,
    options::{BackendOption, JsonOption},
    print_line,
};

/// Lists the adapters, and which one `auto` selects.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    backend: BackendOption,
    #[command(flatten)]
    json: JsonOption,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let _ = env_logger::try_init();
    let backends = arguments.backend.flags();
    let reports = gradus::device::adapters(backends)?;
    for (i, report) in reports.iter().enumerate() {
        print_line!("{i}: {}", report.info.name);
        for (name, value) in properties(report) {
            print_line!("   {name:<34} {value}");
        }
    }
    // Opening the device shows more than the list: an adapter may fail to open.
    let default =
        Device::request(&DeviceRequest { selector: DeviceSelector::Auto, backends, ..DeviceRequest::default() })?;
    print_line!("adapters: {}", reports.len());
    print_line!("auto selects: {}", device_name(&default));
    if let Some(reason) = default.fallback_reason() {
        print_line!("{reason}");
    }
    let adapters: Vec<Value> = reports.iter().map(json_keys).collect();
    arguments.json.print("adapters", &default, json!({ "adapters": adapters }));
    Ok(())
}

/// Returns the driver of an adapter, and the limits that gradus depends on.
fn properties(report: &AdapterReport) -> Vec<(&'static str, String)> {
    let AdapterReport { info, limits, features, .. } = report;
    let default = if report.is_default { ", selected by auto" } else { "" };
    let subgroups = match (features.contains(Features::SUBGROUP), info.subgroup_min_size, info.subgroup_max_size) {
        (false, ..) => "not supported".to_owned(),
        (true, min, max) if min == max => min.to_string(),
        (true, min, max) => format!("{min} to {max}"),
    };
    vec![
        ("backend", info.backend.to_str().to_owned()),
        ("type", format!("{}{default}", adapter_type(report))),
        ("driver", format!("{} {}", info.driver, info.driver_info).trim().to_owned()),
        ("max_storage_buffer_binding_size", format_bytes(limits.max_storage_buffer_binding_size)),
        ("max_buffer_size", format_bytes(limits.max_buffer_size)),
        ("storage buffers per shader stage", limits.max_storage_buffers_per_shader_stage.to_string()),
        ("invocations per workgroup", limits.max_compute_invocations_per_workgroup.to_string()),
        ("storage per workgroup", format_bytes(limits.max_compute_workgroup_storage_size.into())),
        ("subgroup size", subgroups),
    ]
}

fn adapter_type(report: &AdapterReport) -> &'static str {
    match report.info.device_type {
        _ if report.is_software => "software",
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    }
}

/// Returns the keys of `--json` for an adapter.
fn json_keys(report: &AdapterReport) -> Value {
    let AdapterReport { info, limits, features, .. } = report;
    json!({
        "name": info.name,
        "backend": info.backend.to_str(),
        "type": adapter_type(report),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "is_software": report.is_software,
        "is_default": report.is_default,
        "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
        "max_buffer_size": limits.max_buffer_size,
        "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
        "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
        "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
        "has_subgroups": features.contains(Features::SUBGROUP),
        "subgroup_min_size": info.subgroup_min_size,
        "subgroup_max_size": info.subgroup_max_size,
    })
}

/// Formats a size in the largest unit that is not larger than the size.
fn format_bytes(size: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| size >= *unit) {
        Some((name, unit)) if size.is_multiple_of(*unit) => format!("{} {name}", size / unit),
        Some((name, unit)) => format!("{:.1} {name}", size as f64 / *unit as f64),
        None => format!("{size} B"),
    }
}
