//! The selftest as a caller runs it: it passes where the tests do, and tells what it was.

use crate::common::{adapters, callers, devices, open};
use gradus::{Device, Error, self_test};

#[test]
fn every_device_passes_and_the_page_says_what_it_is() {
    for device in devices() {
        let report = self_test(&device);
        let page = report.to_string();
        assert!(report.passed(), "{page}");
        assert!(report.checks.len() > 50 && report.failures().next().is_none(), "{page}");
        assert!(page.starts_with("## gradus selftest: all ") && page.contains(&device.to_string()), "{page}");
        for part in ["products", "optimizers", "finite differences", "training", "answers"] {
            assert!(page.contains(&format!("\n| {part} | ")), "no {part} in\n{page}");
        }
        assert!(page.lines().count() < 40, "{page}");
    }
}

#[test]
fn a_lost_device_ends_it_with_what_was_found() {
    for adapter in adapters() {
        let ours = open(&adapter, None);
        let handle = ours.wgpu().expect("a GPU").0.clone();
        let (device, queue) = callers(&adapter, None);
        let theirs = Device::from_wgpu(device.clone(), queue).expect("the adapter's limits are enough");
        for (device, handle) in [(ours, handle), (theirs, device)] {
            handle.destroy();
            let report = self_test(&device);
            assert!(matches!(report.aborted, Some(Error::DeviceLost { .. })), "{report}");
            assert!(!report.passed() && report.checks.is_empty(), "{report}");
            assert!(report.to_string().contains("ended after 0 checks"), "{report}");
        }
    }
}
