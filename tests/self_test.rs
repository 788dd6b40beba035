//! The self-test on every device.

use crate::common::{adapters, application_device, devices, open};
use gradus::{Device, Error, self_test};

#[test]
fn self_test_passes_on_every_device_and_names_the_device() {
    for device in devices() {
        let report = self_test(&device);
        let page = report.to_string();
        assert!(report.passed(), "{page}");
        assert!(report.checks.len() > 50 && report.failures().next().is_none(), "{page}");
        assert!(page.starts_with("## gradus self-test: all ") && page.contains(&device.to_string()), "{page}");
        for group in ["matmuls", "optimizers", "finite differences", "training", "predictions and metrics"] {
            assert!(page.contains(&format!("\n| {group} | ")), "no {group} in\n{page}");
        }
        assert!(page.lines().count() < 40, "{page}");
    }
}

#[test]
fn a_lost_device_aborts_the_self_test() {
    for adapter in adapters() {
        let opened = open(&adapter, None);
        let opened_handle = opened.wgpu().expect("a GPU").0.clone();
        let (handle, queue) = application_device(&adapter, None);
        let shared = Device::from_wgpu(handle.clone(), queue).expect("the adapter's limits are sufficient");
        for (device, handle) in [(opened, opened_handle), (shared, handle)] {
            handle.destroy();
            let report = self_test(&device);
            assert!(matches!(report.aborted, Some(Error::DeviceLost { .. })), "{report}");
            assert!(!report.passed() && report.checks.is_empty(), "{report}");
            assert!(report.to_string().contains("aborted after 0 checks"), "{report}");
        }
    }
}
