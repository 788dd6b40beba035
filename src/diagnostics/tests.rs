use crate::{
    device::{
        DeviceRequest, DeviceSelector,
        adapters::{AdapterFilter, AdapterReport},
    },
    diagnostics::*,
};

fn open(adapter: &AdapterReport) -> Device {
    let choice = DeviceSelector::Name(adapter.info.name.clone());
    let request = DeviceRequest { selector: choice, backends: Some(adapter.info.backend.into()), limits: None };
    pollster::block_on(Device::request_async(&request)).expect("the adapter gives a device")
}

/// llvmpipe, if it is there and no other adapter is wanted.
pub(crate) fn llvmpipe() -> Option<Device> {
    let wanted = std::env::var("WGPU_ADAPTER_NAME").map(|name| name.to_lowercase()).unwrap_or_default();
    let found = pollster::block_on(AdapterFilter::default().list()).expect("adapters are listed");
    let found = found.iter().find(|adapter| {
        let name = adapter.info.name.to_lowercase();
        name.contains("llvmpipe") && name.contains(&wanted)
    });
    found.map(open)
}

/// Writes down all that a selftest asks of wgpu, and all that comes back, for another implementation of WebGPU to do the same:
/// see `.ci/browser`. On a device that is like those of browsers: with the default limits, and without subgroups.
#[cfg(feature = "test-backends")]
#[test]
#[ignore = "writes files: .ci/browser"]
fn the_checks_are_written_down() {
    let folder = std::path::PathBuf::from(std::env::var_os("GRADUS_TRACE").expect("GRADUS_TRACE, a folder"));
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let is_llvmpipe = |adapter: &wgpu::Adapter| adapter.get_info().name.contains("llvmpipe");
    let adapter = adapters.into_iter().find(is_llvmpipe).expect("llvmpipe");
    let trace = wgpu::Trace::Directory(folder.clone());
    let descriptor = wgpu::DeviceDescriptor { trace, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let device = Device::from_wgpu(device, queue).expect("the default limits are enough");
    let reads = crate::engine::gpu::device::mutant::collect_reads(|| {
        for check in Check::all(&device) {
            let finding = pollster::block_on(check.run_to_report(&device));
            assert!(finding.passed, "{finding}");
        }
    });
    let bytes: Vec<u8> =
        reads.iter().flat_map(|read| [&(read.len() as u32).to_le_bytes(), &read[..]].concat()).collect();
    std::fs::write(folder.join("reads.bin"), bytes).expect("a file");
}

#[test]
fn a_finding_is_as_bad_as_its_worst_number() {
    let mut found = WorstError::default();
    assert!(!found.passed(), "nothing was compared");
    found.compare("near", &[1.0, 2.001], &[1.0, 2.0], 1e-3);
    assert!(found.passed());
    found.compare("nearer", &[1.0], &[1.0], 1e-6);
    assert_eq!((found.quantity.as_str(), found.tolerance), ("near", 1e-3));
    for wrong in [&[f32::NAN, 2.0][..], &[1.0], &[1.0, 2.1]] {
        let mut found = found.clone();
        found.compare("wrong", wrong, &[1.0, 2.0], 1e-3);
        assert!(!found.passed() && found.quantity == "wrong", "{wrong:?}");
    }
    let mut counts = WorstError::default();
    counts.compare_count("within", 3.0, 2.0, 4.0);
    assert!(counts.passed());
    counts.compare_count("beyond", 5.0, 2.0, 4.0);
    assert!(!counts.passed());
    counts = WorstError::default();
    counts.compare_equal("bits", &[1, 2], &[1, 3]);
    assert!(!counts.passed());
}

#[test]
fn the_list_names_every_member_and_no_check_twice() {
    let all = Check::all(&Device::cpu());
    let names: Vec<_> = all.iter().map(|check| format!("{}: {check}", check.group)).collect();
    let mut once = names.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:#?}");
    let families = crate::nn::activation::Activation::ALL.iter().map(ToString::to_string);
    let families = families.chain(crate::nn::loss::Loss::ALL.iter().map(ToString::to_string));
    let families =
        families.chain(crate::optim::optimizer::Optimizer::ALL.iter().map(|optimizer| optimizer.name().to_owned()));
    for member in families {
        assert!(names.iter().any(|name| name.contains(&member)), "{member} is not checked");
    }
}
