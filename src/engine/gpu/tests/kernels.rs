use crate::{
    engine::gpu::{
        plan::planner,
        run::engine_layout::{EngineConfig, EngineLayout},
        tests::*,
    },
    plan::{Plan, Scheme},
};

/// Sizes around the edges of a tile; where it has to be quick, the one that goes over two of them.
fn sizes(tile: Tile) -> Vec<usize> {
    let [height, width, _] = tile.dims();
    let mut sizes = if is_quick() { vec![2 * width + 1] } else { vec![1, height + 1, width - 1, 2 * width + 1] };
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn every_product_and_finish_matches_the_reference_at_awkward_sizes() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (turn, tile) in tiles(&gpu).into_iter().enumerate() {
            for (i, size) in sizes(tile).into_iter().enumerate() {
                let i = i + turn;
                let case = |widths: &[usize], batch, activation| Case {
                    batch_size: batch,
                    rows: batch + batch.div_ceil(2),
                    member_count: [1, 3][i % 2],
                    ..Case::new(network(widths, activation), PlanVariant::Layered(tile, [1, 1, 2][i % 3]))
                };
                let places = [
                    case(&[size, 5, 2], 6, Activation::Sigmoid),
                    case(&[3, size, 6], 5, Activation::Tanh),
                    case(&[6, 9, size], 7, Activation::Sigmoid),
                    case(&[5, 7, 3], size, Activation::Tanh),
                ];
                // Where it has to be quick, a tile has two of the four places.
                let some = places.into_iter().enumerate().filter(|(place, _)| !is_quick() || place % 2 == i % 2);
                all.extend(some.map(|(_, case)| (case, 2)));
            }
        }
        check_all(&gpu, all);
    }
}

/// Sizes at which a walk has several rounds, several blocks of rows and sums that many invocations share. Layer by layer the
/// selftest has every tile at these.
#[test]
fn a_walk_in_every_tile_matches_the_reference() {
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

/// Blocks that end short, workgroups that have several of them or none, and shares of the gradients of all sizes.
#[test]
fn blocks_of_rows_match_the_reference_at_awkward_sizes() {
    for gpu in gpus() {
        let cases: [(usize, usize, &[usize]); 4] =
            [(64, 200, &[64, 61, 10]), (128, 150, &[30, 32, 7]), (32, 33, &[100, 5, 128]), (4, 3, &[1, 1])];
        for (i, (rows, batch, widths)) in cases.into_iter().enumerate() {
            let case = Case::new(network(widths, Activation::Tanh), PlanVariant::Fused(rows));
            Case { batch_size: batch, rows: batch + 9, member_count: [1, 3][i % 2], ..case }.check(&gpu, 2);
        }
    }
}

#[test]
fn every_member_matches_the_reference_in_every_kernel() {
    for gpu in gpus() {
        let mut all = Vec::new();
        // Every member meets two of the other families layer by layer; the other forms assemble the same files, and meet some.
        for (turn, form) in [PlanVariant::Layered(Tile::Register, 1)].iter().chain(&VARIANTS[1..]).enumerate() {
            let step = [1, 4][usize::from(turn > 0)] * [1, 3][usize::from(is_quick())];
            for (i, members) in members(turn).skip(turn).step_by(step).enumerate() {
                all.push((member_case(*form, members, [3, 1][i % 2]), 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// What lies between a layer's sum and its activation, or beside it, alone and among dropout, momentum and clipping, with
/// batches that are short at the end.
#[test]
fn norms_and_learned_slopes_match_the_reference() {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let layers = Network::new(5).dense(11, tanh).layer_norm().dense(70, Activation::Gelu).layer_norm().dropout(0.3);
    let batches = Network::new(5).dense(11, tanh).batch_norm().dense(70, Activation::Silu).dropout(0.2).batch_norm();
    let both = Network::new(5).dense(9, Activation::Relu).layer_norm().dense(6, prelu).dense(7, tanh).batch_norm();
    let slopes = Network::new(5).dense(11, prelu).dense(6, prelu);
    for gpu in gpus() {
        for (i, network) in [layers.clone(), batches.clone(), both.clone(), slopes.clone()].into_iter().enumerate() {
            let network = network.dense(3, Activation::Sigmoid);
            let optimizer = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)][i % 2];
            let (form, models) = [(PlanVariant::Planned, 1), (PlanVariant::Layered(Tile::Register, 2), 3)][i / 2];
            Case {
                optimizer,
                member_count: models,
                gradient_accumulation: 1 + i as u64 % 2,
                ..Case::new(network, form)
            }
            .check(&gpu, 8);
        }
        let case = Case::new(slopes.clone().dense(3, tanh), PlanVariant::SingleWorkgroup(SMALL_TILE));
        let refused = case.build_error(&gpu);
        assert!(matches!(refused, Some(crate::error::Error::InvalidPlan { .. })), "{refused:?}");
    }
}

/// The forms for what comes before or after the products; where it has to be quick, the one in which the selftest has none of
/// that.
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

/// The same outputs are dropped as the host's code says, in every form, by models with other seeds others.
#[test]
fn dropout_matches_the_reference_in_every_form() {
    for gpu in gpus() {
        for (i, form) in variants().into_iter().enumerate() {
            let activation = [Activation::Sigmoid, Activation::Silu][i % 2];
            let network = Network::new(5).dense(11, activation).dropout(0.5).dense(7, activation);
            let network = network.dense(6, Activation::Tanh).dropout(0.2).dense(3, Activation::Sigmoid);
            Case { member_count: [1, 3][i % 2], ..Case::new(network, form) }.check(&gpu, 7);
        }
    }
}

/// The length of a gradient is right even where its square exceeds f32, from a length of 1.8e19 on; at 1e18 it does not.
#[test]
fn gradients_whose_squares_overflow_are_clipped_in_every_form() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (i, form) in variants().into_iter().enumerate() {
            for (j, magnitude) in [1e18, 1e19, 1e25, 1e36].into_iter().enumerate() {
                let case = Case {
                    member_count: [1, 3][(i + j) % 2],
                    gradient_accumulation: 1 + j as u64 % 2,
                    ..Case::new(Network::new(6), form)
                };
                all.push((crate::diagnostics::cases::enlarge(case, magnitude), 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// Networks so deep that a walk goes through their layers in loops, with hidden layers that end in several ways.
#[test]
fn networks_that_are_walked_through_in_loops_match_the_reference() {
    for gpu in gpus() {
        let mut all = Vec::new();
        for (i, form) in [
            PlanVariant::SingleWorkgroup(SMALL_TILE),
            PlanVariant::SingleWorkgroup(Tile::Register),
            PlanVariant::SingleInvocation,
            PlanVariant::Layered(Tile::Register, 1),
        ]
        .into_iter()
        .enumerate()
        {
            for layers in [3, 6, 11] {
                let drops = i == 0 && layers != 6;
                let network = hidden(layers, drops).dense(3, Activation::Sigmoid);
                let optimizer = [Optimizer::sgd(0.5), Optimizer::momentum(0.1, 0.9).clip_norm(0.3)][usize::from(drops)];
                all.push((Case { optimizer, member_count: [1, 3][i % 2], ..Case::new(network, form) }, 4));
            }
        }
        check_all(&gpu, all);
    }
}

/// Where the gradients have to be whole before the first parameter changes.
#[test]
fn accumulated_and_clipped_gradients_match_the_reference_in_every_form() {
    for gpu in gpus() {
        let momentum = Optimizer::momentum(0.7, 0.9);
        // Each form meets one of these; that they come before the products is the same in all.
        let kinds = [
            (momentum.clip_norm(0.05).weight_decay(0.1).spare_biases(), 2),
            (momentum.clip_norm(0.1), 1),
            (momentum.weight_decay(0.1).spare_biases(), 3),
        ];
        for (i, (form, (optimizer, accumulate))) in variants().into_iter().zip(kinds.into_iter().cycle()).enumerate() {
            let network = network(&[6, 11, 9, 5], Activation::Tanh);
            let models = [1, 3][i % 2];
            Case { optimizer, gradient_accumulation: accumulate, member_count: models, ..Case::new(network, form) }
                .check(&gpu, 8);
        }
        let network = network(&[3, 4, 2], Activation::Tanh);
        let case = Case { optimizer: momentum.clip_norm(0.1), ..Case::new(network, PlanVariant::SingleInvocation) };
        let refused = case.build_error(&gpu);
        assert!(matches!(refused, Some(crate::error::Error::InvalidPlan { .. })), "{refused:?}");
    }
}

/// All members of the families side by side, the shorter families again from the start; each `turn` has other neighbours.
pub(crate) fn members(turn: usize) -> impl Iterator<Item = (&'static Activation, &'static Loss, &'static Optimizer)> {
    let losses = Loss::ALL.iter().cycle().skip(turn);
    let optimizers = Optimizer::ALL.iter().cycle().skip(3 * turn);
    Activation::ALL
        .iter()
        .zip(losses)
        .zip(optimizers)
        .map(|((activation, loss), optimizer)| (activation, loss, optimizer))
}

fn member_case(
    variant: PlanVariant,
    (activation, loss, optimizer): (&Activation, &Loss, &Optimizer),
    member_count: usize,
) -> Case {
    let last = loss.required_output_activation().unwrap_or(*activation);
    // What a lane holds is small.
    let widths: &[usize] = if matches!(variant, PlanVariant::SingleInvocation) { &[3, 6] } else { &[6, 11, 9] };
    let network = network(widths, *activation).dense(5, last);
    let optimizer = steady_optimizer(*loss, *optimizer);
    Case { loss: *loss, optimizer, member_count, ..Case::new(network, variant) }
}

/// Every loss, for it is there that the weights come in, in every form.
#[test]
fn rows_with_weights_match_the_reference_in_every_form() {
    for gpu in gpus() {
        for (i, loss) in Loss::ALL.iter().enumerate().step_by(if is_quick() { 3 } else { 1 }) {
            let form = VARIANTS[i % VARIANTS.len()];
            let members = (&Activation::ALL[i], loss, &Optimizer::ALL[i % 2]);
            Case { has_sample_weights: true, ..member_case(form, members, [3, 1][i % 2]) }.check(&gpu, 4);
        }
        // Where softmax did not come by.
        for form in &VARIANTS[3..] {
            let members = (&Activation::Tanh, &Loss::SoftmaxCrossEntropy, &Optimizer::ALL[0]);
            Case { has_sample_weights: true, ..member_case(*form, members, 1) }.check(&gpu, 4);
        }
        // So many rows that several workgroups judge them.
        let network = network(&[3, 4, 6], Activation::Sigmoid);
        Case { has_sample_weights: true, batch_size: 150, rows: 400, ..Case::new(network, PlanVariant::Planned) }
            .check(&gpu, 4);
    }
}

/// The reference gets the noise of `src/noise.rs`.
#[test]
fn noise_on_the_inputs_is_that_of_the_cpu_in_every_form() {
    for gpu in gpus() {
        for (i, form) in VARIANTS.iter().enumerate() {
            let members = (&Activation::Tanh, &Loss::Mse, &Optimizer::ALL[0]);
            let case = member_case(*form, members, [1, 3][i % 2]);
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
            let last = loss.required_output_activation().unwrap_or(Activation::Sigmoid);
            let network = network(&widths, activation).dense(2 + draw(40), last);
            let (batch, models) = (1 + draw(70), [1, 3][draw(2)]);
            // A lane holds only small networks.
            let form = VARIANTS[draw(VARIANTS.len() - 1)];
            let optimizer = steady_optimizer(loss, Optimizer::ALL[draw(Optimizer::ALL.len())]);
            let rows = batch * 2 + draw(9);
            Case { loss, optimizer, batch_size: batch, rows, member_count: models, ..Case::new(network, form) }
                .check(&gpu, 3);
        }
    }
}

#[test]
fn deep_wide_and_narrow_networks_match_the_reference() {
    for gpu in gpus() {
        let forms = [
            PlanVariant::Layered(Tile::Register, 1),
            PlanVariant::Layered(Tile::SharedMemory(32), 1),
            PlanVariant::Planned,
        ];
        for form in forms.into_iter().skip(2 * usize::from(is_quick())) {
            let deep: &[usize] = &[4, 5, 6, 7, 8, 7, 6, 5, 4, 3, 4, 5, 2];
            // All of it in one kernel takes minutes to compile.
            let (deep, apart) = if is_quick() { (&deep[5..], forms[0]) } else { (deep, form) };
            let deep = network(deep, Activation::Tanh);
            Case { member_count: 3, ..Case::new(deep, apart) }.check(&gpu, 3);
            Case::new(network(&[1, 1], Activation::Sigmoid), form).check(&gpu, 3);
            Case { batch_size: 3, ..Case::new(network(&[2500, 3, 1], Activation::Sigmoid), form) }.check(&gpu, 2);
            Case { batch_size: 3, ..Case::new(network(&[3, 1000, 2], Activation::Sigmoid), form) }.check(&gpu, 2);
            let classes = network(&[7], Activation::Tanh).dense(1000, Activation::Identity);
            Case { loss: Loss::SoftmaxCrossEntropy, ..Case::new(classes, form) }.check(&gpu, 2);
        }
    }
}

/// The weights of this layer take 65,536 of the plain tile's workgroups, one more than a dimension holds, and 128 MiB,
/// as much as llvmpipe binds; its inputs take 17 vec4s a row more than `gather` has invocations in 65,535 workgroups.
#[test]
fn a_dispatch_may_have_more_workgroups_than_a_dimension_holds() {
    for gpu in gpus() {
        let case = |widths, batch| {
            let network = network(widths, Activation::Sigmoid);
            Case { batch_size: batch, rows: batch, ..Case::new(network, PlanVariant::Layered(Tile::Register, 1)) }
        };
        case(&[8191, 4096], 2).check(&gpu, 1);
        case(&[17_216, 1], 975).check(&gpu, 1);
    }
}

/// The bound of the loops is real: at it the result is right, at twice it llvmpipe ends the loop early.
#[test]
fn the_loop_budget_of_a_software_adapter_is_kept_and_needed() {
    for mut gpu in gpus() {
        let Some(budget) = gpu.max_loop_iterations else {
            continue;
        };
        let case = |batch| {
            let network = Network::new(1).dense(1, Activation::Identity);
            Case {
                batch_size: batch,
                rows: batch,
                optimizer: Optimizer::sgd(0.1),
                ..Case::new(network, PlanVariant::Layered(Tile::Register, 1))
            }
        };
        let p = case(1).parameters(0).expect("parameters").remove(0);
        let gradient = |gpu: &Gpu, case: &Case| {
            let mut engine = case.build_engine(gpu, None, None);
            let (x, t) = (vec![1.0; case.batch_size], vec![-1.0; case.batch_size]);
            pollster::block_on(engine.step(
                Batch { inputs: &x, targets: &t, sample_weights: None },
                case.step_generator(0).expect("a course").step(0, 0),
            ))
            .expect("a step");
            let flat = pollster::block_on(engine.parameters()).expect("parameters");
            (p.bias[0] - case.network.layout().to_layers(&flat)[0].bias[0]) / 0.1
        };
        let expected = 2.0 * (p.weight[0] + p.bias[0] + 1.0);
        let right = gradient(&gpu, &case(4 * (budget - 1)));
        assert!((right - expected).abs() < 1e-3 * expected.abs(), "{}: {right}, not {expected}", gpu.info.name);

        let twice = case(8 * (budget - 1));
        let refused = twice.build_error(&gpu);
        assert!(matches!(refused, Some(crate::error::Error::DeviceLimit { .. })), "{refused:?}");
        if gpu.info.name.contains("llvmpipe") {
            gpu.max_loop_iterations = Some(2 * budget);
            let wrong = gradient(&gpu, &twice);
            assert!((wrong - expected).abs() > 0.1 * expected.abs(), "llvmpipe keeps counting: the budget can go");
        }
    }
}

/// A walk takes as many steps a dispatch as the budget lets it: the last is as whole as the first, or the bits would not be those
/// of a dispatch a step.
#[test]
fn walks_as_long_as_the_loop_budget_lets_them_be_are_whole() {
    for gpu in gpus().into_iter().filter(|gpu| gpu.max_loop_iterations.is_some()) {
        // The wide one of subgroups is the file of the narrow one.
        let is_left =
            |tile: &Tile| matches!(tile, Tile::SharedMemory(_)) || (is_quick() && *tile == Tile::Subgroup8(64));
        for tile in tiles(&gpu).into_iter().filter(|tile| !is_left(tile)) {
            let network = network(&[400, 30, 3], Activation::Sigmoid);
            let case = Case { batch_size: 8, rows: 60, ..Case::new(network, PlanVariant::SingleWorkgroup(tile)) };
            let data = case.rows();
            let draft =
                EngineLayout::new(&gpu, case.engine_config(Some(&data), None).expect("a course")).expect("a plan");
            let ways = MatmulConfigs::uniform(2, MatmulConfig::new(tile));
            let Some(longest) = planner::single_workgroup_with(&gpu, &draft.arenas, ways.clone()) else {
                panic!("{tile}")
            };
            let Scheme::SingleWorkgroup { steps, .. } = longest else { panic!("{longest}") };
            let bits = |scheme: Scheme| {
                let plan = Plan { scheme, ..case.plan(&gpu).expect("a plan") };
                let setup = EngineConfig {
                    steps_per_submission: Some(steps),
                    ..case.engine_config(Some(&data), Some(&plan)).expect("a course")
                };
                let mut engine = pollster::block_on(Engine::new(&gpu, setup)).expect("an engine");
                let layout = case.network.layout();
                engine.set_parameters(&layout.to_flat(&case.parameters(0).expect("parameters")), &[]);
                pollster::block_on(engine.run(0, 0, steps)).expect("steps");
                let flat = pollster::block_on(engine.parameters()).expect("parameters");
                flat.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let single = bits(Scheme::SingleWorkgroup { steps: 1, configs: ways });
            assert!(bits(longest) == single, "{}: {tile}, {steps} steps", gpu.info.name);
        }
    }
}

#[test]
fn a_parameter_that_is_nan_shows_in_the_loss() {
    for gpu in gpus() {
        for (activation, loss, _) in members(0) {
            let last = loss.required_output_activation().unwrap_or(*activation);
            let network = network(&[3, 4, 5], *activation).dense(2, last);
            let case = Case { loss: *loss, ..Case::new(network, PlanVariant::Planned) };
            let data = case.rows();
            let mut engine = case.build_engine(&gpu, Some(&data), None);
            let mut flat = case.network.layout().to_flat(&case.parameters(0).expect("parameters"));
            flat[0] = f32::NAN;
            engine.set_parameters(&flat, &[]);
            let metrics = pollster::block_on(engine.run(0, 0, 1)).expect("a step");
            assert!(!metrics[0][0].is_finite(), "{}: {activation}, {loss}: {}", gpu.info.name, metrics[0][0]);
        }
    }
}

/// Logits far from 0: `ln(sum e^y)` in one f32 would lose the loss of a confident answer, and e^y would overflow.
#[test]
fn softmax_keeps_its_digits_far_from_zero() {
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
            assert!(error < 1e-3, "{}: {loss}, not {expected}, at {shift}", gpu.info.name);
        }
    }
}

/// One dimension of a dispatch has 65,535 workgroups at most; from there on there are two.
#[test]
fn more_workgroups_than_one_dimension_has_compute_all() {
    use crate::engine::gpu::device::dispatch::fold_workgroups;
    assert_eq!(fold_workgroups(65_535, 3), [65_535, 1, 3]);
    assert_eq!(fold_workgroups(65_536, 3), [32_768, 2, 3]);
    assert_eq!(fold_workgroups(2 * 65_535 + 1, 1), [43_691, 3, 1]);
    let tile = Tile::SlicedK { invocations: 64, slices: 16 };
    for gpu in gpus().into_iter().filter(|gpu| tile.runs_on(gpu)) {
        // Four blocks of 4x4 weights a workgroup: the first that has them in two dimensions, and the last that has not.
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
