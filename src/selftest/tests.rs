use super::*;

#[test]
fn timing_probe() {
    let name = std::env::var("WGPU_ADAPTER_NAME").unwrap_or("cpu".into());
    let request = crate::Request { choice: name.parse().unwrap(), ..Default::default() };
    let device = pollster::block_on(Device::request_async(&request)).expect("a device");
    let start = std::time::Instant::now();
    for check in Check::all(&device) {
        let t = std::time::Instant::now();
        let finding = pollster::block_on(check.finding(&device));
        println!("{:6.2} s {} {:.2} {finding}", t.elapsed().as_secs_f64(), finding.passed, finding.share());
    }
    println!("{:?}", start.elapsed());
}
