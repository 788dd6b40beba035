//! Tests of the planner on simulated adapters. The file `plans.txt` holds the expected plans.

use std::fmt::Write;

use crate::engine::gpu::{device::dispatch::Dispatch, plan::planner, run::engine_layout::EngineLayout, tests::*};

/// Returns wgpu's no-op device with the properties of another adapter, for planning. It runs no kernels.
pub(crate) fn adapter_like(device_type: wgpu::DeviceType, subgroup: u32) -> Gpu {
    let features = wgpu::Features::SUBGROUP;
    let descriptor = wgpu::DeviceDescriptor { required_features: features, ..Default::default() };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    let mut gpu = Gpu::from_caller(device, queue);
    (gpu.info.device_type, gpu.info.subgroup_min_size, gpu.info.subgroup_max_size) = (device_type, subgroup, subgroup);
    gpu.max_loop_iterations =
        (device_type == wgpu::DeviceType::Cpu).then_some(crate::engine::gpu::device::MAX_SOFTWARE_LOOP_ITERATIONS);
    gpu
}

/// Returns networks of all sizes and kinds that the planner treats differently.
fn cases() -> Vec<Case> {
    let case = |widths: &[usize], batch_size| Case {
        batch_size,
        rows: batch_size,
        ..Case::new(network(widths, Activation::Sigmoid), PlanVariant::Planned)
    };
    let batch_norm = Network::new(20).dense(70, Activation::Relu).batch_norm().dense(3, Activation::Identity);
    vec![
        case(&[2, 2, 1], 4),
        Case { member_count: 9, ..case(&[3, 4, 2], 16) },
        case(&[3, 4, 2], 17),
        case(&[5, 12, 3], 16),
        case(&[784, 30, 10], 10),
        case(&[784, 30, 10], 15),
        case(&[784, 128, 10], 64),
        case(&[784, 800, 10], 128),
        case(&[64, 64, 64, 64, 64, 64], 16384),
        Case { member_count: 3, ..case(&[64, 128, 64], 2048) },
        case(&[64, 129, 64], 2048),
        case(&[1024, 1024, 1024, 1024], 512),
        case(&[784, 2500, 2000, 1500, 1000, 500, 10], 256),
        // The sums exceed the loop limit of software adapters.
        case(&[600_000, 4, 2], 8),
        Case { network: batch_norm, ..case(&[1], 32) },
        Case {
            optimizer: Optimizer::adam(0.1).clip_norm(1.0),
            gradient_accumulation: 2,
            member_count: 2,
            ..case(&[784, 30, 10], 10)
        },
    ]
}

/// Returns the tiles of the matmuls of a scheme.
fn configs_text(scheme: &crate::plan::scheme::Scheme) -> String {
    let Some(configs) = scheme.matmul_configs() else { return String::new() };
    let list = |configs: &[MatmulConfig]| configs.iter().map(MatmulConfig::to_string).collect::<Vec<_>>().join(", ");
    let (forward, input_delta) = (list(&configs.forward), list(&configs.input_delta));
    format!("; forward {forward}; input delta {input_delta}; gradients {}", configs.gradient)
}

/// Returns the line of a dispatch in `plans.txt`.
fn dispatch_line(dispatch: &Dispatch) -> String {
    let Dispatch { name, workgroups: [x, y, z], loop_iterations: loops, max_steps: steps, flop, bytes, .. } = dispatch;
    format!("  {name}: {x}x{y}x{z} workgroups, {loops} loops, {steps} steps, {flop} FLOP, {bytes} bytes\n")
}

/// To update `plans.txt` after an intended change, set GRADUS_PLANS to its path, and review the difference.
#[test]
fn plans_equal_the_expected_plans() {
    let mut all = String::new();
    for (name, device_type, subgroup) in [
        ("software, subgroups of 8", wgpu::DeviceType::Cpu, 8),
        ("software, subgroups of 4", wgpu::DeviceType::Cpu, 4),
        ("a GPU, subgroups of 32", wgpu::DeviceType::DiscreteGpu, 32),
    ] {
        let gpu = adapter_like(device_type, subgroup);
        for case in cases() {
            let _ = writeln!(all, "{name}: {case}");
            let data = case.dataset();
            let config = case.engine_config(Some(&data), None).expect("a step generator");
            let layout = match EngineLayout::new(&gpu, config) {
                Ok(layout) => layout,
                Err(error) => {
                    let _ = writeln!(all, "  {error}\n");
                    continue;
                }
            };
            let _ = writeln!(all, "  {}{}", layout.scheme, configs_text(&layout.scheme));
            layout.kernel_set.step.iter().for_each(|dispatch| all += &dispatch_line(dispatch));
            for scheme in planner::candidate_schemes(&gpu, &layout.arenas).iter().skip(1) {
                let _ = writeln!(all, "  or {scheme}{}", configs_text(scheme));
            }
            all.push('\n');
        }
    }
    if let Ok(path) = std::env::var("GRADUS_PLANS") {
        std::fs::write(path, &all).expect("a file");
    }
    let expected = include_str!("plans.txt");
    for (i, (actual, expected)) in all.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "line {} of plans.txt", i + 1);
    }
    assert_eq!(all.lines().count(), expected.lines().count(), "number of lines of plans.txt");
}
