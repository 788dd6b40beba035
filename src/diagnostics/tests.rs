use crate::{
    device::{
        DeviceRequest, DeviceSelector,
        adapters::{AdapterFilter, AdapterReport},
    },
    diagnostics::*,
    nn::{activation::Activation, loss::Loss},
    optim::optimizer::Optimizer,
};

fn open(adapter: &AdapterReport) -> Device {
    let selector = DeviceSelector::Name(adapter.info.name.clone());
    let request = DeviceRequest { selector, backends: Some(adapter.info.backend.into()), limits: None };
    pollster::block_on(Device::request_async(&request)).expect("the adapter opens as a device")
}

/// Opens llvmpipe. Returns `None` if it is not installed or `WGPU_ADAPTER_NAME` selects another adapter.
pub(crate) fn llvmpipe() -> Option<Device> {
    let wanted = std::env::var("WGPU_ADAPTER_NAME").map(|name| name.to_lowercase()).unwrap_or_default();
    let adapters = pollster::block_on(AdapterFilter::default().list()).expect("wgpu lists the adapters");
    let llvmpipe = adapters.iter().find(|adapter| {
        let name = adapter.info.name.to_lowercase();
        name.contains("llvmpipe") && name.contains(&wanted)
    });
    llvmpipe.map(open)
}

/// Records all wgpu calls of the self-test and the data that they return, so that `.ci/browser` can replay them in
/// another implementation of WebGPU. The device has the default limits and no subgroups, like the devices of browsers.
#[cfg(feature = "test-backends")]
#[test]
#[ignore = "writes files: .ci/browser"]
fn records_every_check_of_the_self_test() {
    let folder = std::path::PathBuf::from(std::env::var_os("GRADUS_TRACE").expect("GRADUS_TRACE is a directory"));
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let is_llvmpipe = |adapter: &wgpu::Adapter| adapter.get_info().name.contains("llvmpipe");
    let adapter = adapters.into_iter().find(is_llvmpipe).expect("llvmpipe is installed");
    let trace = wgpu::Trace::Directory(folder.clone());
    let descriptor = wgpu::DeviceDescriptor { trace, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("llvmpipe opens as a device");
    let device = Device::from_wgpu(device, queue).expect("the default limits are sufficient");
    let reads = crate::engine::gpu::device::mutant::collect_reads(|| {
        for check in Check::all(&device) {
            let result = pollster::block_on(check.run_to_report(&device));
            assert!(result.passed, "{result}");
        }
    });
    let bytes: Vec<u8> =
        reads.iter().flat_map(|read| [&(read.len() as u32).to_le_bytes(), &read[..]].concat()).collect();
    std::fs::write(folder.join("reads.bin"), bytes).expect("the file is written");
}

#[test]
fn worst_error_keeps_the_comparison_with_the_largest_error() {
    let mut worst = WorstError::default();
    assert!(!worst.passed(), "a check without comparisons fails");
    worst.compare("close", &[1.0, 2.001], &[1.0, 2.0], 1e-3);
    assert!(worst.passed());
    worst.compare("closer", &[1.0], &[1.0], 1e-6);
    assert_eq!((worst.quantity.as_str(), worst.tolerance), ("close", 1e-3));
    for values in [&[f32::NAN, 2.0][..], &[1.0], &[1.0, 2.1]] {
        let mut worst = worst.clone();
        worst.compare("different", values, &[1.0, 2.0], 1e-3);
        assert!(!worst.passed() && worst.quantity == "different", "{values:?}");
    }
    let mut counts = WorstError::default();
    counts.compare_count("inside", 3.0, 2.0..=4.0);
    assert!(counts.passed());
    counts.compare_count("outside", 5.0, 2.0..=4.0);
    assert!(!counts.passed());
    counts = WorstError::default();
    counts.compare_equal("bits", &[1, 2], &[1, 3]);
    assert!(!counts.passed());
}

#[test]
fn checks_have_unique_names_and_cover_every_activation_loss_and_optimizer() {
    let checks = Check::all(&Device::cpu());
    let names: Vec<_> = checks.iter().map(|check| format!("{}: {check}", check.group)).collect();
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:#?}");
    let activations = Activation::ALL.iter().map(ToString::to_string);
    let losses = Loss::ALL.iter().map(ToString::to_string);
    let optimizers = Optimizer::ALL.iter().map(|optimizer| optimizer.name().to_owned());
    for member in activations.chain(losses).chain(optimizers) {
        assert!(names.iter().any(|name| name.contains(&member)), "no check covers {member}");
    }
}
