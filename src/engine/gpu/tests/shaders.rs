use naga::{
    AddressSpace, StorageAccess, TypeInner,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};

use crate::{
    data::{dataset::Targets, features::Features, subset::SubsetParams},
    diagnostics::mutants::shader_files,
    engine::{
        gpu::{
            device::{
                bindings::{Binding, PAIR_BYTES, SCALED_WINDOW_BINDINGS, STEP_BINDINGS, STEP_TABLE_BINDINGS},
                dispatch::Dispatch,
                mutant::assembled,
            },
            kernels::{custom, kernel_set::KernelSet, kernel_source::PLACEHOLDER, windows::EvaluationKernels},
            layout::{
                arenas::{ArenaDims, Arenas, KernelConfig},
                chunk::ChunkDims,
            },
            run::{
                engine_layout::EngineLayout,
                inference::{
                    ensemble,
                    ensemble::{ENSEMBLE_BINDINGS, GroupParams},
                },
            },
            tests::*,
        },
        step::{Step, StepTableInput},
    },
};

const CHUNK_DIMS: ChunkDims = ChunkDims { max_steps: 64, padding_steps: 64, member_count: 1, schedule_groups: 1 };

/// A row of features of either kind.
fn row_features(kind: usize, columns: usize) -> Features {
    if kind == 0 { vec![0.0_f32; columns].into() } else { Features::bytes(vec![0; columns], 1.0 / 255.0) }
}

/// An answer of either kind.
fn targets_of(kind: usize, outputs: usize) -> Targets {
    if kind == 0 { vec![0.0_f32; outputs].into() } else { vec![0_u32].into() }
}

/// Every dispatch that the planner can emit: every tile in every form, every member, every kind of data, one model and three.
pub(crate) fn dispatches() -> Vec<Dispatch> {
    let mut all = Vec::new();
    let features = [Features::F32(vec![]), Features::U8 { bytes: vec![], scale: 0.1 }];
    let answers = [Targets::Values(vec![]), Targets::Classes(vec![])];
    // Each member with several of the other families.
    for turn in 0..Tile::ALL.len() {
        let members = kernels::members(turn).zip(Tile::ALL.iter().cycle().skip(turn)).enumerate();
        for (i, ((activation, loss, optimizer), tile)) in members {
            let j = i + turn;
            let last = loss.required_output_activation().unwrap_or(*activation);
            let outputs = if loss.needs_full_row() { 2 + j } else { 1 + j % 6 };
            let network = network(&[5, 9, 6], *activation).dense(outputs, last);
            let shuffle = i % 2 == 0;
            let (weighted, noise) = (j % 3 == 1, if j % 4 == 1 { 0.1 } else { 0.0 });
            let forms = [
                PlanVariant::Layered(*tile, 1),
                PlanVariant::Layered(*tile, 2),
                PlanVariant::Fused(16),
                PlanVariant::SingleWorkgroup(*tile),
                PlanVariant::SingleInvocation,
            ];
            let form = forms[j % 5];
            // A lane keeps no gradients.
            let keeps = j % 4 < 2 && !matches!(form, PlanVariant::SingleInvocation);
            let optimizer = if keeps { optimizer.clip_norm(1.0) } else { *optimizer };
            let members = KernelConfig {
                shuffle,
                dataset_rows: 100,
                byte_scale: 0.1,
                input_noise_std: noise,
                is_scaled: i % 3 == 0,
                has_subsets: i % 5 == 2,
                is_streamed: i % 7 == 3,
                has_member_dropouts: i % 5 == 3,
                is_multi_label: i % 7 == 5,
                ends_with_softmax: loss.needs_full_row(),
                ..KernelConfig::new(&network, *loss, optimizer)
            };
            let scheme = form.scheme(3).expect("a scheme");
            let extent = ArenaDims { has_sample_weights: weighted, ..arena_dims(77, 1 + 2 * (j % 2), keeps) };
            let arenas = Arenas::new(&network, extent).with_scheme(&scheme);
            let dispatches =
                KernelSet::new(&arenas, &members, &scheme, Some(&features[i % 2]), Some(&answers[j % 2]), CHUNK_DIMS);
            all.extend(dispatches.all().cloned());
            let ways = MatmulConfigs::uniform(3, MatmulConfig::new(*tile));
            all.extend(KernelSet::prediction_dispatches(&arenas, &members, &ways));
            let data = Dataset::new(1, row_features(i % 2, 5), targets_of(j % 2, outputs)).expect("a data set");
            let EvaluationKernels { find_rows: order, gather, sum_metrics: score } =
                EvaluationKernels::new(&arenas, &members, &data);
            all.extend([order, gather, score]);
            all.extend(KernelSet::gradient_dispatches(&arenas, &members, &ways));
        }
    }
    all
}

/// What stands around predictions, for one output and for several.
pub(crate) fn packing_dispatches() -> Vec<Dispatch> {
    let arenas = [1, 7].map(|outputs| Arenas::new(&network(&[5, outputs], Activation::Relu), arena_dims(77, 3, false)));
    arenas
        .iter()
        .flat_map(|arenas| {
            KernelSet::packing_dispatches(arenas).into_iter().chain([ensemble::ensemble_dispatch(arenas)])
        })
        .collect()
}

/// What a selftest trains: with norms, learned slopes and dropout, too.
pub(crate) fn self_test_dispatches() -> Vec<Dispatch> {
    use wgpu::DeviceType::{Cpu, DiscreteGpu};
    let gpus = [(Cpu, 8), (DiscreteGpu, 32)]
        .map(|(kind, subgroup)| crate::engine::gpu::tests::planner::adapter_like(kind, subgroup));
    let of = |gpu: &Gpu, case: &Case| {
        let data = case.rows();
        let plan = case.plan(gpu);
        let setup = case.engine_config(Some(&data), plan.as_ref()).expect("a course");
        EngineLayout::new(gpu, setup).expect("it can be trained").kernel_set.all().cloned().collect::<Vec<_>>()
    };
    let tiles = |gpu: &Gpu| Tile::ALL.iter().copied().filter(|tile| tile.runs_on(gpu)).collect::<Vec<_>>();
    let all = |gpu: &Gpu| {
        crate::diagnostics::cases::all(&tiles(gpu)).iter().flat_map(|(_, case, _)| of(gpu, case)).collect::<Vec<_>>()
    };
    gpus.iter().flat_map(all).collect()
}

fn arena_dims(rows: usize, member_count: usize, keeps_gradients: bool) -> ArenaDims {
    ArenaDims {
        batch_size: rows,
        member_count,
        metrics_ring: 64,
        max_arena_bytes: 1 << 20,
        stores_full_gradients: keeps_gradients,
        has_sample_weights: false,
    }
}

fn parse(dispatch: &Dispatch) -> (naga::Module, ModuleInfo) {
    let source = &dispatch.source;
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(source)));
    // Only the tile that is for subgroups may use them: every other kernel runs everywhere.
    let uses_subgroups = source.contains("subgroup");
    let capabilities = if uses_subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(source)));
    (module, info)
}

/// Translates a kernel to what every backend takes, and gives the SPIR-V.
fn translate(name: &str, module: &naga::Module, info: &ModuleInfo) -> Vec<u32> {
    let options = naga::back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    naga::back::msl::write_string(module, info, &options, &naga::back::msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("{name}: MSL: {error}"));
    let mut text = String::new();
    let shader_model = naga::back::hlsl::ShaderModel::V6_0;
    let options = naga::back::hlsl::Options { shader_model, fake_missing_bindings: true, ..Default::default() };
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    naga::back::hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|error| panic!("{name}: HLSL: {error}"));
    let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    naga::back::spv::write_vec(module, info, &options, None).unwrap_or_else(|error| panic!("{name}: SPIR-V: {error}"))
}

/// Where `GRADUS_SHADERS` names a folder, every WGSL text is put there beside its SPIR-V, for other tools to look at: see
/// `.ci/translate`.
#[test]
fn everything_the_planner_emits_is_valid_and_translates_to_spirv_msl_and_hlsl() {
    let folder = std::env::var_os("GRADUS_SHADERS").map(std::path::PathBuf::from);
    let mut all = std::collections::HashSet::new();
    assembled();
    let own = "fn own(z: vec4f) -> vec4f { return z; }\nfn own_derivative(z: vec4f) -> vec4f { return vec4f(1.0); }\n";
    let more = packing_dispatches().into_iter().chain(self_test_dispatches()).chain([custom::evaluation_dispatch(
        "own",
        &[own],
        "at",
        4,
    )]);
    for dispatch in dispatches().into_iter().chain(more) {
        if !all.insert(dispatch.source.clone()) {
            continue;
        }
        assert!(!has_placeholder(&dispatch.source), "{}", dispatch.name);
        let (module, info) = parse(&dispatch);
        let words = translate(&dispatch.name, &module, &info);
        if let Some(folder) = &folder {
            let file = |ending| folder.join(format!("{:04}.{ending}", all.len()));
            std::fs::write(file("wgsl"), &dispatch.source).expect("a file");
            std::fs::write(file("spv"), bytemuck::cast_slice(&words)).expect("a file");
        }
    }
    let texts = assembled();
    let left: Vec<_> =
        shader_files().into_iter().filter(|file| !texts.contains(&file.text)).map(|file| file.name).collect();
    assert!(left.is_empty(), "no kernel has these files: {left:?}");
}

/// Whether a name of a template is left in the code of a kernel, which happens where a file was not marked as a template.
fn has_placeholder(source: &str) -> bool {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.any(|word| word.starts_with(PLACEHOLDER))
}

/// What stands on both sides of the seam: bindings, and structs with the names, offsets and sizes of their members.
#[test]
fn host_and_shader_agree_on_bindings_and_structs() {
    for dispatch in packing_dispatches().iter().filter(|dispatch| dispatch.entry_point == "ensemble") {
        let (module, _) = parse(dispatch);
        let expected: Vec<_> = ENSEMBLE_BINDINGS.iter().map(|binding| Some(*binding)).collect();
        assert_eq!(declared_bindings(dispatch, &module, ENSEMBLE_BINDINGS.len()), expected);
        let turn = [
            ("members_before", std::mem::offset_of!(GroupParams, members_before)),
            ("threshold", std::mem::offset_of!(GroupParams, threshold)),
        ];
        assert_layout(
            &dispatch.name,
            &module,
            "GroupParams",
            &turn.map(|(name, at)| (name, at as u32)),
            size_of::<GroupParams>() as u32,
        );
    }
    for dispatch in dispatches() {
        let (module, _) = parse(&dispatch);
        let is_window =
            ["row_order", "stream", "gather", "batch_metrics", "batch_metrics_small", "sum_metrics", "evaluation_sums"]
                .contains(&dispatch.entry_point);
        let is_table = dispatch.entry_point == "build_step_table";
        let expected = if is_window {
            SCALED_WINDOW_BINDINGS
        } else if is_table {
            STEP_TABLE_BINDINGS
        } else {
            STEP_BINDINGS
        };
        let declared = declared_bindings(&dispatch, &module, expected.len());
        for (at, (declared, expected)) in declared.iter().zip(expected).enumerate() {
            // Only `gather` looks at features and answers, and only where they are scaled at what scales them. In the
            // features' place `order` and `score` find which rows each network takes, if not all.
            let is_declared = match at {
                3 if dispatch.source.contains("struct SubsetParams") => true,
                3 | 4 if is_window => dispatch.entry_point == "gather",
                8 => dispatch.source.contains("scaling: array<vec4f>"),
                _ => true,
            };
            assert_eq!(*declared, is_declared.then_some(*expected), "{} {at}", dispatch.name);
        }

        macro_rules! subset {
            ($($member:ident)*) => { &[$((stringify!($member), std::mem::offset_of!(SubsetParams, $member) as u32)),*] };
        }
        let subset = subset!(rows width skip_from skip_count mode source_rows source_width first_row key);
        assert_layout(&dispatch.name, &module, "SubsetParams", subset, size_of::<SubsetParams>() as u32);

        macro_rules! step {
            ($($member:ident)*; $($number:ident)*) => {
                &[
                    $((stringify!($member), std::mem::offset_of!(Step, $member) as u32),)*
                    $((stringify!($number), std::mem::offset_of!(Step, coefficients.$number) as u32),)*
                    ("dropout_threshold", std::mem::offset_of!(Step, dropout_threshold) as u32),
                    ("dropout_scale", std::mem::offset_of!(Step, dropout_scale) as u32)
                ]
            };
        }
        let step = step!(rows first_position shuffle_key loss_scale metrics_index clears_gradients applies_update; learning_rate coefficients decay
            l1 clip_value clip_norm ema_weight);
        assert_layout(&dispatch.name, &module, "Step", step, size_of::<Step>() as u32);
        macro_rules! start {
            ($($member:ident)*) => { &[$((stringify!($member), std::mem::offset_of!(StepTableInput, $member) as u32)),*] };
        }
        let start = start!(rows batch_size steps_per_epoch step_in_epoch epoch seed loss_scale last_loss_scale gradient_accumulation accumulated_batches schedule_group member_coefficients dropout_threshold dropout_scale padding);
        assert_layout(&dispatch.name, &module, "StepTableInput", start, size_of::<StepTableInput>() as u32);
        assert_layout(
            &dispatch.name,
            &module,
            "ChunkParams",
            &[("steps", 0), ("first_metrics_index", 4)],
            PAIR_BYTES as u32,
        );
        assert_layout(&dispatch.name, &module, "Cursor", &[("step", 0), ("slot", 4)], PAIR_BYTES as u32);
        assert_layout(&dispatch.name, &module, "Shard", &[("first", 0), ("rows", 4)], PAIR_BYTES as u32);
    }
}

/// The module's bindings, in order.
fn declared_bindings(dispatch: &Dispatch, module: &naga::Module, bindings: usize) -> Vec<Option<Binding>> {
    let mut declared = vec![None; bindings];
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else {
            continue;
        };
        declared[binding.binding as usize] = Some(match variable.space {
            AddressSpace::Uniform if matches!(variable.name.as_deref(), Some("cursor" | "group_params")) => {
                Binding::Cursor
            }
            AddressSpace::Uniform => Binding::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Binding::Write,
            AddressSpace::Storage { .. } => Binding::Read,
            space => panic!("{}: {space:?}", dispatch.name),
        });
    }
    declared
}

/// Fails unless a struct of the module, if it has it, has these members at these offsets and this size.
fn assert_layout(dispatch: &str, module: &naga::Module, name: &str, members: &[(&str, u32)], size: u32) {
    let found = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name));
    let Some((_, ty)) = found else { return };
    let TypeInner::Struct { members: theirs, span } = &ty.inner else { panic!("{name} is no struct") };
    let theirs: Vec<_> = theirs.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset)).collect();
    assert_eq!((theirs.as_slice(), *span), (members, size), "{name} in {dispatch}");
}

#[test]
fn a_step_is_two_dispatches_a_layer_and_one_more_for_softmax() {
    for layers in [1, 2, 5] {
        for (loss, more) in [(Loss::Mse, 0), (Loss::SoftmaxCrossEntropy, 1)] {
            let network = network(&vec![4; layers + 1], Activation::Identity);
            let members = KernelConfig { dataset_rows: 100, ..KernelConfig::new(&network, loss, Optimizer::sgd(0.1)) };
            let dispatches = |form: PlanVariant| {
                let scheme = form.scheme(layers).expect("a scheme");
                let arenas = Arenas::new(&network, arena_dims(100, 1, false)).with_scheme(&scheme);
                KernelSet::new(&arenas, &members, &scheme, None, None, CHUNK_DIMS).step.len()
            };
            assert_eq!(dispatches(PlanVariant::Layered(Tile::SharedMemory(32), 1)), 2 * layers + more);
            assert_eq!(dispatches(PlanVariant::Fused(16)), 2);
            assert_eq!(dispatches(PlanVariant::SingleWorkgroup(Tile::SharedMemory(32))), 1);
        }
    }
}

/// What is not used costs nothing: whatever families grow and features come, the textbook's network is assembled to the same
/// text and dispatched the same way. A change of these numbers has to be one that every network gains by.
#[test]
fn the_plain_sigmoid_network_stays_as_it_is() {
    let network = network(&[784, 30, 10], Activation::Sigmoid);
    let members = KernelConfig { dataset_rows: 60_000, ..KernelConfig::new(&network, Loss::Mse, Optimizer::sgd(3.0)) };
    let small = Tile::SlicedK { invocations: 64, slices: 4 };
    let forms = [
        PlanVariant::Layered(Tile::SharedMemory(32), 1),
        PlanVariant::Fused(16),
        PlanVariant::SingleWorkgroup(small),
        PlanVariant::SingleInvocation,
    ];
    let hashes = forms.map(|form| {
        let scheme = form.scheme(2).expect("a scheme");
        let arenas = Arenas::new(&network, arena_dims(10, 1, false)).with_scheme(&scheme);
        let dispatches = KernelSet::new(&arenas, &members, &scheme, None, None, CHUNK_DIMS);
        // Fowler, Noll and Vo's hash.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for dispatch in dispatches.all() {
            let of =
                format!("{} {} {:?} {}", dispatch.name, dispatch.entry_point, dispatch.workgroups, dispatch.source);
            of.bytes().for_each(|byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
        hash
    });
    assert_eq!(hashes, PLAIN);
}

const PLAIN: [u64; 4] = [13448262651872138452, 1265072431733361580, 15137200542808256674, 13885074038125660951];
