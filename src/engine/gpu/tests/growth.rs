//! Tests of the size of the kernels: how it grows with the number of layers, before and after a driver inlines all
//! function calls.

use naga::{Block, Function, Module, Statement};

use crate::engine::gpu::{run::engine_layout::EngineLayout, tests::*};

/// Counts the statements and expressions of a function after inlining all calls.
fn inlined_size(module: &Module, function: &Function) -> usize {
    function.expressions.len() + block_size(module, &function.body)
}

/// Counts the statements of a block after inlining all calls.
fn block_size(module: &Module, block: &Block) -> usize {
    let nested_size = |statement: &Statement| match statement {
        Statement::Block(block) => block_size(module, block),
        Statement::If { accept, reject, .. } => block_size(module, accept) + block_size(module, reject),
        Statement::Switch { cases, .. } => cases.iter().map(|case| block_size(module, &case.body)).sum(),
        Statement::Loop { body, continuing, .. } => block_size(module, body) + block_size(module, continuing),
        Statement::Call { function, .. } => inlined_size(module, &module.functions[*function]),
        _ => 0,
    };
    block.iter().map(|statement| 1 + nested_size(statement)).sum()
}

/// Returns the bytes of WGSL of all kernels of a plan, and their statements and expressions after inlining.
fn plan_size(layout: &EngineLayout<'_>) -> [usize; 2] {
    let mut size = [0; 2];
    for dispatch in layout.kernel_set.all() {
        let module = naga::front::wgsl::parse_str(&dispatch.source)
            .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(&dispatch.source)));
        let globals = module.global_expressions.len();
        let entries = module.entry_points.iter().map(|entry| inlined_size(&module, &entry.function)).sum::<usize>();
        size[0] += dispatch.source.len();
        size[1] += globals + entries;
    }
    size
}

/// Returns a case of a network with `layers` hidden layers.
fn deep_case(layers: usize, variant: PlanVariant, has_dropout: bool) -> Case {
    let network = hidden_layers(layers, has_dropout).dense(2, Activation::Sigmoid);
    Case { rows: 32, batch_size: 32, ..Case::new(network, variant) }
}

#[test]
fn kernel_size_grows_linearly_with_the_number_of_layers() {
    let gpus = [(wgpu::DeviceType::Cpu, 8), (wgpu::DeviceType::DiscreteGpu, 32)];
    for gpu in gpus.map(|(kind, subgroup)| planner::adapter_like(kind, subgroup)) {
        let variants = [
            (PlanVariant::Planned, true),
            (PlanVariant::Layered(Tile::Register, 1), true),
            (PlanVariant::SingleWorkgroup(SMALL_TILE), true),
            (PlanVariant::SingleWorkgroup(Tile::Register), false),
            (PlanVariant::SingleInvocation, false),
            (PlanVariant::Fused(16), false),
        ];
        for (variant, has_dropout) in variants {
            let mut sizes: Vec<[usize; 2]> = Vec::new();
            for layers in [4, 8, 16, 32, 64] {
                let case = deep_case(layers, variant, has_dropout);
                let (data, plan) = (case.dataset(), case.plan(&gpu));
                let config = case.engine_config(Some(&data), plan.as_ref()).expect("a step generator");
                match EngineLayout::new(&gpu, config) {
                    Ok(layout) => sizes.push(plan_size(&layout)),
                    // These schemes keep weights or gradients in registers, which limits the number of layers.
                    Err(error) => {
                        assert!(
                            matches!(variant, PlanVariant::SingleInvocation | PlanVariant::Fused(_)) && layers > 8,
                            "{case}: {error}"
                        );
                    }
                }
            }
            assert!(sizes.len() >= 2, "{variant:?}");
            for pair in sizes.windows(2) {
                for (quantity, (smaller, larger)) in ["bytes", "statements"].iter().zip(pair[0].iter().zip(&pair[1])) {
                    // The number of layers doubles. Quadratic growth would give a factor of 4.
                    assert!(
                        10 * larger <= 22 * smaller,
                        "{variant:?}: {quantity} of 4, 8, 16, 32, 64 hidden layers: {sizes:?}"
                    );
                }
            }
        }
    }
}
