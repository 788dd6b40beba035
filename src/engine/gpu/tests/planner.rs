//! What the planner chooses, and what that comes to, on devices that are only described: `plans.txt` has it all.

use std::fmt::Write;

use crate::engine::gpu::{device::dispatch::Dispatch, plan::planner, run::engine_layout::EngineLayout, tests::*};

/// An adapter as it says that it is, though nothing runs on it.
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

/// Networks of every size and kind that is planned in a way of its own.
fn cases() -> Vec<Case> {
    let of = |widths: &[usize], batch| Case {
        batch_size: batch,
        rows: batch,
        ..Case::new(network(widths, Activation::Sigmoid), PlanVariant::Planned)
    };
    let norms = Network::new(20).dense(70, Activation::Relu).batch_norm().dense(3, Activation::Identity);
    vec![
        of(&[2, 2, 1], 4),
        Case { member_count: 9, ..of(&[3, 4, 2], 16) },
        of(&[3, 4, 2], 17),
        of(&[5, 12, 3], 16),
        of(&[784, 30, 10], 10),
        of(&[784, 30, 10], 15),
        of(&[784, 128, 10], 64),
        of(&[784, 800, 10], 128),
        of(&[64, 64, 64, 64, 64, 64], 16384),
        Case { member_count: 3, ..of(&[64, 128, 64], 2048) },
        of(&[64, 129, 64], 2048),
        of(&[1024, 1024, 1024, 1024], 512),
        of(&[784, 2500, 2000, 1500, 1000, 500, 10], 256),
        // Sums so long that software ends their loops.
        of(&[600_000, 4, 2], 8),
        Case { network: norms, ..of(&[1], 32) },
        Case {
            optimizer: Optimizer::adam(0.1).clip_norm(1.0),
            gradient_accumulation: 2,
            member_count: 2,
            ..of(&[784, 30, 10], 10)
        },
    ]
}

fn configs_text(scheme: &crate::plan::Scheme) -> String {
    let Some(ways) = scheme.matmul_configs() else { return String::new() };
    let list = |ways: &[MatmulConfig]| ways.iter().map(MatmulConfig::to_string).collect::<Vec<_>>().join(", ");
    format!("; forward {}; input delta {}; gradients {}", list(&ways.forward), list(&ways.input_delta), ways.gradient)
}

fn line_of(dispatch: &Dispatch) -> String {
    let Dispatch { name, workgroups: [x, y, z], loop_iterations: loops, max_steps: steps, flop, bytes, .. } = dispatch;
    format!("  {name}: {x}x{y}x{z} workgroups, {loops} loops, {steps} steps, {flop} FLOP, {bytes} bytes\n")
}

/// Set GRADUS_PLANS to a file's path to write what there is now, and look at what has changed.
#[test]
fn the_planner_chooses_as_it_did() {
    let mut all = String::new();
    for (name, device_type, subgroup) in [
        ("software, subgroups of 8", wgpu::DeviceType::Cpu, 8),
        ("software, subgroups of 4", wgpu::DeviceType::Cpu, 4),
        ("a GPU, subgroups of 32", wgpu::DeviceType::DiscreteGpu, 32),
    ] {
        let gpu = adapter_like(device_type, subgroup);
        for case in cases() {
            let _ = writeln!(all, "{name}: {case}");
            let data = case.rows();
            let setup = case.engine_config(Some(&data), None).expect("a course");
            let draft = match EngineLayout::new(&gpu, setup) {
                Ok(draft) => draft,
                Err(refused) => {
                    let _ = writeln!(all, "  {refused}\n");
                    continue;
                }
            };
            let _ = writeln!(all, "  {}{}", draft.scheme, configs_text(&draft.scheme));
            draft.kernel_set.step.iter().for_each(|dispatch| all += &line_of(dispatch));
            for scheme in planner::candidate_schemes(&gpu, &draft.arenas).iter().skip(1) {
                let _ = writeln!(all, "  or {scheme}{}", configs_text(scheme));
            }
            all.push('\n');
        }
    }
    if let Ok(path) = std::env::var("GRADUS_PLANS") {
        std::fs::write(path, &all).expect("a file");
    }
    let was = include_str!("plans.txt");
    for (i, (is, was)) in all.lines().zip(was.lines()).enumerate() {
        assert_eq!(is, was, "line {} of plans.txt", i + 1);
    }
    assert_eq!(all.lines().count(), was.lines().count(), "plans.txt has other lines");
}
