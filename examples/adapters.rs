//! Lists every adapter of every backend, and which one `auto` takes.
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
    Exit,
    options::{BackendOption, JsonOption},
};

/// Lists every adapter, and which one `auto` takes.
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
        common::print_line!("{i}: {}", report.info.name);
        for (what, value) in lines(report) {
            common::print_line!("   {what:<34} {value}");
        }
    }
    // Not read off the list: what `auto` takes, and what it says, is what opening it gives.
    let automatic =
        Device::request(&DeviceRequest { selector: DeviceSelector::Auto, backends, ..DeviceRequest::default() })?;
    common::print_line!("{} adapters; auto takes: {}", reports.len(), common::described(&automatic));
    if let Some(note) = automatic.fallback_reason() {
        common::print_line!("{note}");
    }
    let adapters: Vec<Value> = reports.iter().map(json_of).collect();
    arguments.json.print("adapters", &automatic, json!({ "adapters": adapters }));
    Ok(())
}

/// What is said of an adapter besides its name: who drives it, and the limits that decide what fits and what runs.
fn lines(report: &AdapterReport) -> Vec<(&'static str, String)> {
    let AdapterReport { info, limits, features, .. } = report;
    let automatic = if report.is_default { ", taken by auto" } else { "" };
    let mut lines = vec![
        ("backend", info.backend.to_str().to_owned()),
        ("type", format!("{}{automatic}", kind(report))),
        ("driver", format!("{} {}", info.driver, info.driver_info).trim().to_owned()),
        ("max_storage_buffer_binding_size", bytes(limits.max_storage_buffer_binding_size)),
        ("max_buffer_size", bytes(limits.max_buffer_size)),
        ("storage buffers per stage", limits.max_storage_buffers_per_shader_stage.to_string()),
        ("invocations per workgroup", limits.max_compute_invocations_per_workgroup.to_string()),
        ("storage per workgroup", bytes(limits.max_compute_workgroup_storage_size.into())),
    ];
    let subgroups = match (features.contains(Features::SUBGROUP), info.subgroup_min_size, info.subgroup_max_size) {
        (false, ..) => "none".to_owned(),
        (true, least, most) if least == most => format!("of {least}"),
        (true, least, most) => format!("of {least} to {most}"),
    };
    lines.push(("subgroups", subgroups));
    lines
}

fn kind(report: &AdapterReport) -> &'static str {
    match report.info.device_type {
        _ if report.is_software => "software",
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    }
}

fn json_of(report: &AdapterReport) -> Value {
    let AdapterReport { info, limits, features, .. } = report;
    json!({
        "name": info.name,
        "backend": info.backend.to_str(),
        "type": kind(report),
        "driver": info.driver,
        "driver_info": info.driver_info,
        "is_software": report.is_software,
        "is_automatic": report.is_default,
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

/// A size with the largest unit of which it has at least one.
fn bytes(size: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| size >= *unit) {
        Some((name, unit)) if size.is_multiple_of(*unit) => format!("{} {name}", size / unit),
        Some((name, unit)) => format!("{:.1} {name}", size as f64 / *unit as f64),
        None => format!("{size} B"),
    }
}
