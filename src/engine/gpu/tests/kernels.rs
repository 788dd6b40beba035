//! Tests of the kernels against the f64 reference.

use crate::{
    engine::gpu::{
        device::dispatch::fold_workgroups,
        plan::planner,
        run::engine_layout::{EngineConfig, EngineLayout},
        tests::*,
    },
    error::Error,
    plan::{Plan, scheme::Scheme},
};

/// Returns sizes near multiples of the tile size. The quick selection has one size that needs several tiles.
fn sizes(tile: Tile) -> Vec<usize> {
    let [height, width, _] = tile.dims();
    let mut sizes = if is_quick() { vec![2 * width + 1] } else { vec![1, height + 1, width - 1, 2 * width + 1] };
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn every_matmul_and_epilogue_matches_the_reference_near_tile_sizes() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (tile_index, tile) in tiles(&gpu).into_iter().enumerate() {
            for (size_index, size) in sizes(tile).into_iter().enumerate() {
                let i = size_index + tile_index;
                let case = |widths: &[usize], batch_size, activation| Case {
                    batch_size,
                    rows: batch_size + batch_size.div_ceil(2),
                    member_count: [1, 3][i % 2],
                    ..Case::new(network(widths, activation), PlanVariant::Layered(tile, [1, 1, 2][i % 3]))
                };
                let cases = [
                    case(&[size, 5, 2], 6, Activation::Sigmoid),
                    case(&[3, size, 6], 5, Activation::Tanh),
                    case(&[6, 9, size], 7, Activation::Sigmoid),
                    case(&[5, 7, 3], size, Activation::Tanh),
                ];
                // The quick selection has two of the four cases per tile.
                let selected = cases.into_iter().enumerate().filter(|(n, _)| !is_quick() || n % 2 == i % 2);
                all.extend(selected.map(|(_, case)| (case, 2)));
            }
        }
        check_all(&gpu, all);
    }
}

/// The sizes need several loop iterations, several blocks of rows, and sums that many invocations share. The self-test
/// covers every tile of the layered scheme at these sizes.
#[test]
fn the_single_workgroup_scheme_matches_the_reference_with_every_tile() {
    for gpu in gpus() {
        let case = |tile: Tile| {
            let [height, width, _] = tile.dims();
            let network = network(&[width + 5, height + 3, 9], Activation::Sigmoid);
            (
                Case {
                    batch_size: 2 * height + 7,
                    rows: 5 * height,
                    ..Case::new(network, PlanVariant::SingleWorkgroup(tile))
                },
                7,
            )
        };
        let tiles = tiles(&gpu).into_iter().chain([SMALL_TILE]);
        check_all(&gpu, tiles.step_by(1 + usize::from(is_quick())).map(case).collect());
    }
}

/// The sizes give incomplete blocks, workgroups with several blocks or none, and different numbers of gradient blocks
/// per invocation.
#[test]
fn the_fused_scheme_matches_the_reference_near_block_sizes() {
    for gpu in gpus() {
        let cases: [(usize, usize, &[usize]); 4] =
            [(64, 200, &[64, 61, 10]), (128, 150, &[30, 32, 7]), (32, 33, &[100, 5, 128]), (4, 3, &[1, 1])];
        for (i, (block_rows, batch_size, widths)) in cases.into_iter().enumerate() {
            let case = Case::new(network(widths, Activation::Tanh), PlanVariant::Fused(block_rows));
            Case { batch_size, rows: batch_size + 9, member_count: [1, 3][i % 2], ..case }.check(&gpu, 2);
        }
    }
}

#[test]
fn every_activation_loss_and_optimizer_matches_the_reference() {
    for gpu in gpus() {
        let mut all = Vec::new();
        // The layered scheme covers every function. The other schemes assemble the same WGSL files, so they cover a
        // selection.
        for (offset, variant) in [PlanVariant::Layered(Tile::Register, 1)].iter().chain(&VARIANTS[1..]).enumerate() {
            let step = [1, 4][usize::from(offset > 0)] * [1, 3][usize::from(is_quick())];
            for (i, functions) in function_combinations(offset).skip(offset).step_by(step).enumerate() {
                all.push((function_case(*variant, functions, [3, 1][i % 2]), 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// The cases also have dropout, momentum, gradient clipping, gradient accumulation and small last batches.
#[test]
fn normalization_and_prelu_match_the_reference() {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let layer_norm = Network::new(5).dense(11, tanh).layer_norm().dense(70, Activation::Gelu).layer_norm().dropout(0.3);
    let batch_norm = Network::new(5).dense(11, tanh).batch_norm().dense(70, Activation::Silu).dropout(0.2).batch_norm();
    let both = Network::new(5).dense(9, Activation::Relu).layer_norm().dense(6, prelu).dense(7, tanh).batch_norm();
    let prelus = Network::new(5).dense(11, prelu).dense(6, prelu);
    for gpu in gpus() {
        for (i, network) in [&layer_norm, &batch_norm, &both, &prelus].into_iter().enumerate() {
            let network = network.clone().dense(3, Activation::Sigmoid);
            let optimizer = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)][i % 2];
            let (variant, member_count) =
                [(PlanVariant::Planned, 1), (PlanVariant::Layered(Tile::Register, 2), 3)][i / 2];
            Case { optimizer, member_count, gradient_accumulation: 1 + i as u64 % 2, ..Case::new(network, variant) }
                .check(&gpu, 8);
        }
        let case = Case::new(prelus.clone().dense(3, tanh), PlanVariant::SingleWorkgroup(SMALL_TILE));
        let error = case.build_error(&gpu);
        assert!(matches!(error, Some(Error::InvalidPlan { .. })), "{error:?}");
    }
}

/// Returns the plan variants for tests of functions around the matmuls. The quick selection has only the fused scheme,
/// which the self-test does not combine with them.
fn variants() -> Vec<PlanVariant> {
    let mut all = vec![
        PlanVariant::Fused(8),
        PlanVariant::Layered(Tile::Register, 1),
        PlanVariant::Layered(Tile::Register, 3),
        PlanVariant::SingleWorkgroup(SMALL_TILE),
        PlanVariant::Planned,
    ];
    all.truncate(if is_quick() { 1 } else { all.len() });
    all
}

/// The device drops the same outputs as the host. Members with different seeds drop different outputs.
#[test]
fn dropout_matches_the_reference_in_every_scheme() {
    for gpu in gpus() {
        for (i, variant) in variants().into_iter().enumerate() {
            let activation = [Activation::Sigmoid, Activation::Silu][i % 2];
            let network = Network::new(5).dense(11, activation).dropout(0.5).dense(7, activation);
            let network = network.dense(6, Activation::Tanh).dropout(0.2).dense(3, Activation::Sigmoid);
            Case { member_count: [1, 3][i % 2], ..Case::new(network, variant) }.check(&gpu, 7);
        }
    }
}

/// The square of a gradient norm above 1.8e19 exceeds f32. At 1e18 it does not.
#[test]
fn gradients_whose_squares_overflow_are_clipped_in_every_scheme() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (i, variant) in variants().into_iter().enumerate() {
            for (j, magnitude) in [1e18, 1e19, 1e25, 1e36].into_iter().enumerate() {
                let case = Case {
                    member_count: [1, 3][(i + j) % 2],
                    gradient_accumulation: 1 + j as u64 % 2,
                    ..Case::new(Network::new(6), variant)
                };
                all.push((crate::diagnostics::cases::enlarge(case, magnitude), 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// The networks have so many layers that the multi-step kernels loop over them. The activations of the hidden layers
/// differ.
#[test]
fn deep_networks_with_loops_over_layers_match_the_reference() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (i, variant) in [
            PlanVariant::SingleWorkgroup(SMALL_TILE),
            PlanVariant::SingleWorkgroup(Tile::Register),
            PlanVariant::SingleInvocation,
            PlanVariant::Layered(Tile::Register, 1),
        ]
        .into_iter()
        .enumerate()
        {
            for layers in [3, 6, 11] {
                let has_dropout = i == 0 && layers != 6;
                let network = hidden_layers(layers, has_dropout).dense(3, Activation::Sigmoid);
                let optimizer =
                    if has_dropout { Optimizer::momentum(0.1, 0.9).clip_norm(0.3) } else { Optimizer::sgd(0.5) };
                all.push((Case { optimizer, member_count: [1, 3][i % 2], ..Case::new(network, variant) }, 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// Accumulation and clipping need the full gradients before the first parameter changes.
#[test]
fn accumulated_and_clipped_gradients_match_the_reference_in_every_scheme() {
    for gpu in gpus() {
        let momentum = Optimizer::momentum(0.7, 0.9);
        // Each scheme gets one of these optimizers; all schemes use the same kernels for them.
        let optimizers = [
            (momentum.clip_norm(0.05).weight_decay(0.1).regularize_biases(false), 2),
            (momentum.clip_norm(0.1), 1),
            (momentum.weight_decay(0.1).regularize_biases(false), 3),
        ];
        let combinations = variants().into_iter().zip(optimizers.into_iter().cycle());
        for (i, (variant, (optimizer, gradient_accumulation))) in combinations.enumerate() {
            let network = network(&[6, 11, 9, 5], Activation::Tanh);
            let member_count = [1, 3][i % 2];
            Case { optimizer, gradient_accumulation, member_count, ..Case::new(network, variant) }.check(&gpu, 8);
        }
        let network = network(&[3, 4, 2], Activation::Tanh);
        let case = Case { optimizer: momentum.clip_norm(0.1), ..Case::new(network, PlanVariant::SingleInvocation) };
        let error = case.build_error(&gpu);
        assert!(matches!(error, Some(Error::InvalidPlan { .. })), "{error:?}");
    }
}

/// Returns every activation, each with a loss and an optimizer, which repeat cyclically. Each `offset` gives different
/// combinations.
pub(crate) fn function_combinations(
    offset: usize,
) -> impl Iterator<Item = (&'static Activation, &'static Loss, &'static Optimizer)> {
    let losses = Loss::ALL.iter().cycle().skip(offset);
    let optimizers = Optimizer::ALL.iter().cycle().skip(3 * offset);
    Activation::ALL
        .iter()
        .zip(losses)
        .zip(optimizers)
        .map(|((activation, loss), optimizer)| (activation, loss, optimizer))
}

/// Returns a case with an activation, a loss and an optimizer.
fn function_case(
    variant: PlanVariant,
    (activation, loss, optimizer): (&Activation, &Loss, &Optimizer),
    member_count: usize,
) -> Case {
    let output_activation = loss.required_output_activation().unwrap_or(*activation);
    // The parameters of the single-invocation scheme must fit into registers.
    let widths: &[usize] = if matches!(variant, PlanVariant::SingleInvocation) { &[3, 6] } else { &[6, 11, 9] };
    let network = network(widths, *activation).dense(5, output_activation);
    let optimizer = optimizer_for_loss(*loss, *optimizer);
    Case { loss: *loss, optimizer, member_count, ..Case::new(network, variant) }
}

/// Sample weights multiply the loss, so this test covers every loss.
#[test]
fn sample_weights_match_the_reference_in_every_scheme() {
    for gpu in gpus() {
        for (i, loss) in Loss::ALL.iter().enumerate().step_by(if is_quick() { 3 } else { 1 }) {
            let variant = VARIANTS[i % VARIANTS.len()];
            let functions = (&Activation::ALL[i], loss, &Optimizer::ALL[i % 2]);
            Case { has_sample_weights: true, ..function_case(variant, functions, [3, 1][i % 2]) }.check(&gpu, 4);
        }
        // The loop above does not test softmax with these schemes.
        for variant in &VARIANTS[3..] {
            let functions = (&Activation::Tanh, &Loss::SoftmaxCrossEntropy, &Optimizer::ALL[0]);
            Case { has_sample_weights: true, ..function_case(*variant, functions, 1) }.check(&gpu, 4);
        }
        // Several workgroups compute the metrics of this batch.
        let network = network(&[3, 4, 6], Activation::Sigmoid);
        Case { has_sample_weights: true, batch_size: 150, rows: 400, ..Case::new(network, PlanVariant::Planned) }
            .check(&gpu, 4);
    }
}

/// The reference adds the noise that the host computes.
#[test]
fn input_noise_matches_the_reference_in_every_scheme() {
    for gpu in gpus() {
        for (i, variant) in VARIANTS.iter().enumerate() {
            let functions = (&Activation::Tanh, &Loss::Mse, &Optimizer::ALL[0]);
            let case = function_case(*variant, functions, [1, 3][i % 2]);
            Case { input_noise_std: 0.3, has_sample_weights: i % 2 == 0, ..case }.check(&gpu, 4);
        }
    }
}

#[test]
fn random_cases_match_the_reference() {
    let mut state = 12345_usize;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    for gpu in gpus() {
        for _ in 0..if is_quick() { 2 } else { 8 } {
            let widths: Vec<usize> = (0..2 + draw(3)).map(|_| 1 + draw(70)).collect();
            let activation = Activation::ALL[draw(Activation::ALL.len())];
            let loss = Loss::ALL[draw(Loss::ALL.len())];
            let output_activation = loss.required_output_activation().unwrap_or(Activation::Sigmoid);
            let network = network(&widths, activation).dense(2 + draw(40), output_activation);
            let (batch_size, member_count) = (1 + draw(70), [1, 3][draw(2)]);
            // The last variant, the single-invocation scheme, supports only small networks.
            let variant = VARIANTS[draw(VARIANTS.len() - 1)];
            let optimizer = optimizer_for_loss(loss, Optimizer::ALL[draw(Optimizer::ALL.len())]);
            let rows = batch_size * 2 + draw(9);
            Case { loss, optimizer, batch_size, rows, member_count, ..Case::new(network, variant) }.check(&gpu, 3);
        }
    }
}

#[test]
fn deep_wide_and_narrow_networks_match_the_reference() {
    for gpu in gpus() {
        let variants = [
            PlanVariant::Layered(Tile::Register, 1),
            PlanVariant::Layered(Tile::SharedMemory(32), 1),
            PlanVariant::Planned,
        ];
        for variant in variants.into_iter().skip(2 * usize::from(is_quick())) {
            let widths: &[usize] = &[4, 5, 6, 7, 8, 7, 6, 5, 4, 3, 4, 5, 2];
            // A single kernel for all layers takes minutes to compile.
            let (widths, deep_variant) = if is_quick() { (&widths[5..], variants[0]) } else { (widths, variant) };
            let deep = network(widths, Activation::Tanh);
            Case { member_count: 3, ..Case::new(deep, deep_variant) }.check(&gpu, 3);
            Case::new(network(&[1, 1], Activation::Sigmoid), variant).check(&gpu, 3);
            Case { batch_size: 3, ..Case::new(network(&[2500, 3, 1], Activation::Sigmoid), variant) }.check(&gpu, 2);
            Case { batch_size: 3, ..Case::new(network(&[3, 1000, 2], Activation::Sigmoid), variant) }.check(&gpu, 2);
            let many_classes = network(&[7], Activation::Tanh).dense(1000, Activation::Identity);
            Case { loss: Loss::SoftmaxCrossEntropy, ..Case::new(many_classes, variant) }.check(&gpu, 2);
        }
    }
}

/// A dimension of a dispatch has at most 65,535 workgroups. The weights of the first network need 65,536 workgroups
/// with the register tile, and 128 MiB, the largest binding of llvmpipe. The inputs of the second network need more
/// invocations of the kernel `gather` than 65,535 workgroups have.
#[test]
fn dispatches_with_more_than_65535_workgroups_match_the_reference() {
    for gpu in gpus() {
        let case = |widths, batch_size| {
            let network = network(widths, Activation::Sigmoid);
            Case { batch_size, rows: batch_size, ..Case::new(network, PlanVariant::Layered(Tile::Register, 1)) }
        };
        case(&[8191, 4096], 2).check(&gpu, 1);
        case(&[17_216, 1], 975).check(&gpu, 1);
    }
}

/// At the limit the result is correct. At twice the limit llvmpipe ends the loop early, so the limit is necessary.
#[test]
fn the_loop_limit_of_software_adapters_is_correct_and_necessary() {
    for mut gpu in gpus() {
        let Some(max_iterations) = gpu.max_loop_iterations else {
            continue;
        };
        let case = |batch_size| {
            let network = Network::new(1).dense(1, Activation::Identity);
            Case {
                batch_size,
                rows: batch_size,
                optimizer: Optimizer::sgd(0.1),
                ..Case::new(network, PlanVariant::Layered(Tile::Register, 1))
            }
        };
        let initial = case(1).parameters(0).expect("parameters").remove(0);
        let gradient = |gpu: &Gpu, case: &Case| {
            let mut engine = case.build_engine(gpu, None, None);
            let (inputs, targets) = (vec![1.0; case.batch_size], vec![-1.0; case.batch_size]);
            let batch = Batch { inputs: &inputs, targets: &targets, sample_weights: None };
            let step = case.step_generator(0).expect("a step generator").step(0, 0);
            pollster::block_on(engine.step(batch, step)).expect("a step");
            let parameters = pollster::block_on(engine.parameters()).expect("parameters");
            (initial.bias[0] - case.network.layout().to_layers(&parameters)[0].bias[0]) / 0.1
        };
        let expected = 2.0 * (initial.weight[0] + initial.bias[0] + 1.0);
        let actual = gradient(&gpu, &case(4 * (max_iterations - 1)));
        assert!(
            (actual - expected).abs() < 1e-3 * expected.abs(),
            "{}: expected {expected}, got {actual}",
            gpu.info.name
        );

        let too_large = case(8 * (max_iterations - 1));
        let error = too_large.build_error(&gpu);
        assert!(matches!(error, Some(Error::DeviceLimit { .. })), "{error:?}");
        if gpu.info.name.contains("llvmpipe") {
            gpu.max_loop_iterations = Some(2 * max_iterations);
            let actual = gradient(&gpu, &too_large);
            assert!(
                (actual - expected).abs() > 0.1 * expected.abs(),
                "llvmpipe no longer ends long loops; remove MAX_SOFTWARE_LOOP_ITERATIONS"
            );
        }
    }
}

/// A single-workgroup dispatch runs as many steps as the loop limit allows. If the limit were wrong, the last steps
/// would be incomplete, and the bits would differ from those of dispatches of one step.
#[test]
fn single_workgroup_dispatches_at_the_loop_limit_give_the_same_bits_as_single_steps() {
    for gpu in gpus().into_iter().filter(|gpu| gpu.max_loop_iterations.is_some()) {
        // Both subgroup tiles use the same WGSL file, so the quick selection has one of them.
        let is_skipped =
            |tile: &Tile| matches!(tile, Tile::SharedMemory(_)) || (is_quick() && *tile == Tile::Subgroup8(64));
        for tile in tiles(&gpu).into_iter().filter(|tile| !is_skipped(tile)) {
            let network = network(&[400, 30, 3], Activation::Sigmoid);
            let case = Case { batch_size: 8, rows: 60, ..Case::new(network, PlanVariant::SingleWorkgroup(tile)) };
            let data = case.dataset();
            let config = case.engine_config(Some(&data), None).expect("a step generator");
            let layout = EngineLayout::new(&gpu, config).expect("a layout");
            let configs = MatmulConfigs::uniform(2, MatmulConfig::new(tile));
            let Some(longest) = planner::single_workgroup_with(&gpu, &layout.arenas, configs.clone()) else {
                panic!("{tile}")
            };
            let Scheme::SingleWorkgroup { steps, .. } = longest else { panic!("{longest}") };
            let parameter_bits = |scheme: Scheme| {
                let plan = Plan { scheme, ..case.plan(&gpu).expect("a plan") };
                let config = EngineConfig {
                    steps_per_submission: Some(steps),
                    ..case.engine_config(Some(&data), Some(&plan)).expect("a step generator")
                };
                let mut engine = pollster::block_on(Engine::new(&gpu, config)).expect("an engine");
                let layout = case.network.layout();
                engine.set_parameters(&layout.to_flat(&case.parameters(0).expect("parameters")), &[]);
                pollster::block_on(engine.run(0, 0, steps)).expect("metrics");
                let parameters = pollster::block_on(engine.parameters()).expect("parameters");
                parameters.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let expected = parameter_bits(Scheme::SingleWorkgroup { steps: 1, configs });
            assert!(parameter_bits(longest) == expected, "{}: {tile}, {steps} steps", gpu.info.name);
        }
    }
}

#[test]
fn a_nan_parameter_gives_a_non_finite_loss() {
    for gpu in gpus() {
        for (activation, loss, _) in function_combinations(0) {
            let output_activation = loss.required_output_activation().unwrap_or(*activation);
            let network = network(&[3, 4, 5], *activation).dense(2, output_activation);
            let case = Case { loss: *loss, ..Case::new(network, PlanVariant::Planned) };
            let data = case.dataset();
            let mut engine = case.build_engine(&gpu, Some(&data), None);
            let mut parameters = case.network.layout().to_flat(&case.parameters(0).expect("parameters"));
            parameters[0] = f32::NAN;
            engine.set_parameters(&parameters, &[]);
            let metrics = pollster::block_on(engine.run(0, 0, 1)).expect("a step");
            assert!(!metrics[0][0].is_finite(), "{}: {activation}, {loss}: {}", gpu.info.name, metrics[0][0]);
        }
    }
}

/// For logits far from 0, `e^y` overflows, and a single f32 for `ln(sum e^y)` loses the digits of a small loss.
#[test]
fn the_softmax_loss_is_accurate_for_logits_far_from_zero() {
    for gpu in gpus() {
        let network = Network::new(1).dense(3, Activation::Identity);
        let optimizer = Optimizer::sgd(0.0);
        let loss = Loss::SoftmaxCrossEntropy;
        let case = Case { loss, optimizer, batch_size: 1, rows: 1, ..Case::new(network, PlanVariant::Planned) };
        for shift in [0.0, 1e3, -1e3] {
            let data = Dataset::new(1, &[1.0_f32], &[0_u32]).expect("a data set");
            let mut engine = case.build_engine(&gpu, Some(&data), None);
            let logits = vec![shift + 8.0, shift - 4.0, shift];
            let parameters = LayerParameters::new(vec![0.0; 3], logits);
            engine.set_parameters(&case.network.layout().to_flat(&[parameters]), &[]);
            let [loss, _] = pollster::block_on(engine.run(0, 0, 1)).expect("a step")[0];
            let expected = ((-12.0f64).exp() + (-8.0f64).exp()).ln_1p();
            let error = (f64::from(loss) - expected).abs() / expected;
            assert!(error < 1e-3, "{}, shift {shift}: expected {expected}, got {loss}", gpu.info.name);
        }
    }
}

/// A dimension of a dispatch has at most 65,535 workgroups, so larger dispatches use two dimensions.
#[test]
fn dispatches_over_two_dimensions_match_the_reference() {
    assert_eq!(fold_workgroups(65_535, 3), [65_535, 1, 3]);
    assert_eq!(fold_workgroups(65_536, 3), [32_768, 2, 3]);
    assert_eq!(fold_workgroups(2 * 65_535 + 1, 1), [43_691, 3, 1]);
    let tile = Tile::SlicedK { invocations: 64, slices: 16 };
    for gpu in gpus().into_iter().filter(|gpu| tile.runs_on(gpu)) {
        // A workgroup computes four blocks of 4x4 weights. The first size needs two dimensions, the second just one.
        for inputs in [16 * 65_535, 16 * 65_535 - 4].into_iter().take(if is_quick() { 1 } else { 2 }) {
            let case = Case {
                batch_size: 3,
                rows: 3,
                optimizer: Optimizer::sgd(0.1),
                ..Case::new(network(&[inputs, 4], Activation::Tanh), PlanVariant::Layered(tile, 1))
            };
            case.check(&gpu, 1);
        }
    }
}
