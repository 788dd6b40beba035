//! How the text of kernels grows with the number of layers, as written and as a driver sees it that copies functions into their
//! calls.

use naga::{Block, Function, Module, Statement};

use crate::engine::gpu::{run::engine_layout::EngineLayout, tests::*};

/// The statements and expressions of a function, with those of every function that it calls as often as it calls it.
fn inlined(module: &Module, function: &Function) -> usize {
    function.expressions.len() + statements(module, &function.body)
}

fn statements(module: &Module, block: &Block) -> usize {
    let count = |statement: &Statement| match statement {
        Statement::Block(block) => statements(module, block),
        Statement::If { accept, reject, .. } => statements(module, accept) + statements(module, reject),
        Statement::Switch { cases, .. } => cases.iter().map(|case| statements(module, &case.body)).sum(),
        Statement::Loop { body, continuing, .. } => statements(module, body) + statements(module, continuing),
        Statement::Call { function, .. } => inlined(module, &module.functions[*function]),
        _ => 0,
    };
    block.iter().map(|statement| 1 + count(statement)).sum()
}

/// The bytes of all kernels of a plan, and what a driver makes of them.
fn plan_size(layout: &EngineLayout<'_>) -> [usize; 2] {
    let each = layout.kernel_set.all().map(|dispatch| {
        let module = naga::front::wgsl::parse_str(&dispatch.source)
            .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(&dispatch.source)));
        let globals = module.global_expressions.len();
        let entries = module.entry_points.iter().map(|entry| inlined(&module, &entry.function)).sum::<usize>();
        [dispatch.source.len(), globals + entries]
    });
    each.fold([0; 2], |[text, code], [more_text, more_code]| [text + more_text, code + more_code])
}

/// A network with so many hidden layers.
fn deep(layers: usize, variant: PlanVariant, drops: bool) -> Case {
    let network = hidden(layers, drops).dense(2, Activation::Sigmoid);
    Case { rows: 32, batch_size: 32, ..Case::new(network, variant) }
}

#[test]
fn the_text_of_a_plan_grows_with_the_number_of_layers_and_not_with_its_square() {
    let gpus = [(wgpu::DeviceType::Cpu, 8), (wgpu::DeviceType::DiscreteGpu, 32)];
    for gpu in gpus.map(|(kind, subgroup)| planner::adapter_like(kind, subgroup)) {
        let forms = [
            (PlanVariant::Planned, true),
            (PlanVariant::Layered(Tile::Register, 1), true),
            (PlanVariant::SingleWorkgroup(SMALL_TILE), true),
            (PlanVariant::SingleWorkgroup(Tile::Register), false),
            (PlanVariant::SingleInvocation, false),
            (PlanVariant::Fused(16), false),
        ];
        for (form, drops) in forms {
            let mut sizes: Vec<[usize; 2]> = Vec::new();
            for layers in [4, 8, 16, 32, 64] {
                let case = deep(layers, form, drops);
                let (data, plan) = (case.rows(), case.plan(&gpu));
                let setup = case.engine_config(Some(&data), plan.as_ref()).expect("a course");
                match EngineLayout::new(&gpu, setup) {
                    Ok(draft) => sizes.push(plan_size(&draft)),
                    // What keeps a layer in registers ends where they do.
                    Err(refused) => {
                        assert!(
                            matches!(form, PlanVariant::SingleInvocation | PlanVariant::Fused(_)) && layers > 8,
                            "{case}: {refused}"
                        );
                    }
                }
            }
            assert!(sizes.len() >= 2, "{form:?}");
            for pair in sizes.windows(2) {
                for (kind, (less, more)) in ["bytes", "statements"].iter().zip(pair[0].iter().zip(&pair[1])) {
                    // Twice as many layers: four times as much would be the square.
                    assert!(10 * more <= 22 * less, "{form:?}: {kind} of 4, 8, 16, 32, 64 hidden layers: {sizes:?}");
                }
            }
        }
    }
}
