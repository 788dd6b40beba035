//! Tests of the assembled WGSL: it is valid, translates to all backends, and agrees with the host on bindings and
//! structs.

use naga::{
    AddressSpace, StorageAccess, TypeInner,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};

use crate::{
    data::{dataset::Targets, features::Features, subset::SubsetParams},
    diagnostics::{cases, mutants::shader_files},
    engine::{
        gpu::{
            device::{
                bindings::{Binding, PAIR_BYTES, SCALED_WINDOW_BINDINGS, STEP_BINDINGS, STEP_TABLE_BINDINGS},
                dispatch::Dispatch,
                mutant::assembled,
            },
            kernels::{custom, kernel_set::KernelSet, kernel_source::PLACEHOLDER, windows::EvaluationKernels},
            layout::{
                arenas::{ArenaDims, Arenas},
                chunk::ChunkDims,
                kernel_config::KernelConfig,
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

/// Returns one row of features: f32 if `kind` is 0, otherwise bytes.
fn row_features(kind: usize, columns: usize) -> Features {
    if kind == 0 { vec![0.0_f32; columns].into() } else { Features::bytes(vec![0; columns], 1.0 / 255.0) }
}

/// Returns one target: values if `kind` is 0, otherwise a class id.
fn targets_of(kind: usize, outputs: usize) -> Targets {
    if kind == 0 { vec![0.0_f32; outputs].into() } else { vec![0_u32].into() }
}

/// Returns dispatches for all tiles, schemes, activations, losses, optimizers and data types, with one member and with
/// three.
pub(crate) fn dispatches() -> Vec<Dispatch> {
    let mut all = Vec::new();
    let features = [Features::F32(vec![]), Features::U8 { bytes: vec![], scale: 0.1 }];
    let targets = [Targets::Values(vec![]), Targets::Classes(vec![])];
    // Each function appears in several combinations.
    for offset in 0..Tile::ALL.len() {
        let functions = kernels::function_combinations(offset);
        let combinations = functions.zip(Tile::ALL.iter().cycle().skip(offset)).enumerate();
        for (i, ((activation, loss, optimizer), tile)) in combinations {
            let j = i + offset;
            let output_activation = loss.required_output_activation().unwrap_or(*activation);
            let outputs = if loss.needs_full_row() { 2 + j } else { 1 + j % 6 };
            let network = network(&[5, 9, 6], *activation).dense(outputs, output_activation);
            let variants = [
                PlanVariant::Layered(*tile, 1),
                PlanVariant::Layered(*tile, 2),
                PlanVariant::Fused(16),
                PlanVariant::SingleWorkgroup(*tile),
                PlanVariant::SingleInvocation,
            ];
            let variant = variants[j % 5];
            // The single-invocation scheme does not support full gradients.
            let stores_full_gradients = j % 4 < 2 && !matches!(variant, PlanVariant::SingleInvocation);
            let optimizer = if stores_full_gradients { optimizer.clip_norm(1.0) } else { *optimizer };
            let config = KernelConfig {
                shuffle: i % 2 == 0,
                dataset_rows: 100,
                byte_scale: 0.1,
                input_noise_std: if j % 4 == 1 { 0.1 } else { 0.0 },
                is_scaled: i % 3 == 0,
                has_subsets: i % 5 == 2,
                is_streamed: i % 7 == 3,
                has_member_dropouts: i % 5 == 3,
                is_multi_label: i % 7 == 5,
                ends_with_softmax: loss.needs_full_row(),
                ..KernelConfig::new(&network, *loss, optimizer)
            };
            let scheme = variant.scheme(3).expect("a scheme");
            let member_count = 1 + 2 * (j % 2);
            let dims =
                ArenaDims { has_sample_weights: j % 3 == 1, ..arena_dims(77, member_count, stores_full_gradients) };
            let arenas = Arenas::new(&network, dims).with_scheme(&scheme);
            let (features, targets) = (&features[i % 2], &targets[j % 2]);
            let kernel_set = KernelSet::new(&arenas, &config, &scheme, Some(features), Some(targets), CHUNK_DIMS);
            all.extend(kernel_set.all().cloned());
            let configs = MatmulConfigs::uniform(3, MatmulConfig::new(*tile));
            all.extend(KernelSet::prediction_dispatches(&arenas, &config, &configs));
            let data = Dataset::new(1, row_features(i % 2, 5), targets_of(j % 2, outputs)).expect("a data set");
            let EvaluationKernels { find_rows, gather, sum_metrics } = EvaluationKernels::new(&arenas, &config, &data);
            all.extend([find_rows, gather, sum_metrics]);
            all.extend(KernelSet::gradient_dispatches(&arenas, &config, &configs));
        }
    }
    all
}

/// Returns the dispatches of recorded predictions and ensembles, for one output and for several.
pub(crate) fn packing_dispatches() -> Vec<Dispatch> {
    let mut all = Vec::new();
    for outputs in [1, 7] {
        let arenas = Arenas::new(&network(&[5, outputs], Activation::Relu), arena_dims(77, 3, false));
        all.extend(KernelSet::packing_dispatches(&arenas));
        all.push(ensemble::ensemble_dispatch(&arenas));
    }
    all
}

/// Returns the dispatches of the self-test, which also trains networks with normalization, PReLU and dropout.
pub(crate) fn self_test_dispatches() -> Vec<Dispatch> {
    use wgpu::DeviceType::{Cpu, DiscreteGpu};
    let mut all = Vec::new();
    for (device_type, subgroup_size) in [(Cpu, 8), (DiscreteGpu, 32)] {
        let gpu = planner::adapter_like(device_type, subgroup_size);
        for (_, case, _) in cases::all(&tiles(&gpu)) {
            let data = case.dataset();
            let plan = case.plan(&gpu);
            let config = case.engine_config(Some(&data), plan.as_ref()).expect("a step generator");
            let layout = EngineLayout::new(&gpu, config).expect("a layout");
            all.extend(layout.kernel_set.all().cloned());
        }
    }
    all
}

fn arena_dims(batch_size: usize, member_count: usize, stores_full_gradients: bool) -> ArenaDims {
    ArenaDims {
        batch_size,
        member_count,
        metrics_ring: 64,
        max_arena_bytes: 1 << 20,
        stores_full_gradients,
        has_sample_weights: false,
    }
}

/// Parses and validates the WGSL of a dispatch.
fn parse(dispatch: &Dispatch) -> (naga::Module, ModuleInfo) {
    let source = &dispatch.source;
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(source)));
    // Only the subgroup tile uses subgroups. Every other kernel must run on every device.
    let uses_subgroups = source.contains("subgroup");
    let capabilities = if uses_subgroups { Capabilities::SUBGROUP } else { Capabilities::empty() };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.name, error.emit_to_string(source)));
    (module, info)
}

/// Translates a kernel to MSL, HLSL and SPIR-V. Returns the SPIR-V.
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

/// If `GRADUS_SHADERS` names a folder, the test writes the WGSL and the SPIR-V of every kernel to it, for the tools of
/// `.ci/translate`.
#[test]
fn every_planned_kernel_translates_to_spirv_msl_and_hlsl() {
    let folder = std::env::var_os("GRADUS_SHADERS").map(std::path::PathBuf::from);
    let mut sources = std::collections::HashSet::new();
    // Clear the list of assembled files.
    assembled();
    let own = "fn own(z: vec4f) -> vec4f { return z; }\nfn own_derivative(z: vec4f) -> vec4f { return vec4f(1.0); }\n";
    let mut all = dispatches();
    all.extend(packing_dispatches());
    all.extend(self_test_dispatches());
    all.push(custom::evaluation_dispatch("own", &[own], "x", 4));
    for dispatch in all {
        if !sources.insert(dispatch.source.clone()) {
            continue;
        }
        assert!(!has_placeholder(&dispatch.source), "{}", dispatch.name);
        let (module, info) = parse(&dispatch);
        let words = translate(&dispatch.name, &module, &info);
        if let Some(folder) = &folder {
            let file = |extension| folder.join(format!("{:04}.{extension}", sources.len()));
            std::fs::write(file("wgsl"), &dispatch.source).expect("a file");
            std::fs::write(file("spv"), bytemuck::cast_slice(&words)).expect("a file");
        }
    }
    let texts = assembled();
    let unused: Vec<_> =
        shader_files().into_iter().filter(|file| !texts.contains(&file.text)).map(|file| file.name).collect();
    assert!(unused.is_empty(), "no kernel uses these files: {unused:?}");
}

/// Returns whether the code of a kernel still contains a placeholder of a template. This happens if a template file
/// lacks its marker.
fn has_placeholder(source: &str) -> bool {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.any(|word| word.starts_with(PLACEHOLDER))
}

/// Checks the bindings, and the names, offsets and sizes of the members of shared structs.
#[test]
fn host_and_shader_agree_on_bindings_and_structs() {
    for dispatch in packing_dispatches().iter().filter(|dispatch| dispatch.entry_point == "ensemble") {
        let (module, _) = parse(dispatch);
        let expected: Vec<_> = ENSEMBLE_BINDINGS.iter().map(|binding| Some(*binding)).collect();
        assert_eq!(declared_bindings(dispatch, &module, ENSEMBLE_BINDINGS.len()), expected);
        let members = [
            ("members_before", std::mem::offset_of!(GroupParams, members_before)),
            ("threshold", std::mem::offset_of!(GroupParams, threshold)),
        ];
        assert_layout(
            &dispatch.name,
            &module,
            "GroupParams",
            &members.map(|(name, offset)| (name, offset as u32)),
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
        for (index, (declared, expected)) in declared.iter().zip(expected).enumerate() {
            // Only `gather` reads features and targets, and the scaler if there is one. In other kernels the subsets
            // take the binding of the features.
            let is_declared = match index {
                3 if dispatch.source.contains("struct SubsetParams") => true,
                3 | 4 if is_window => dispatch.entry_point == "gather",
                8 => dispatch.source.contains("scaling: array<vec4f>"),
                _ => true,
            };
            assert_eq!(*declared, is_declared.then_some(*expected), "{}, binding {index}", dispatch.name);
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
        macro_rules! table_input {
            ($($member:ident)*) => { &[$((stringify!($member), std::mem::offset_of!(StepTableInput, $member) as u32)),*] };
        }
        let table_input = table_input!(rows batch_size steps_per_epoch step_in_epoch epoch seed loss_scale last_loss_scale gradient_accumulation accumulated_batches schedule_group member_coefficients dropout_threshold dropout_scale padding);
        assert_layout(&dispatch.name, &module, "StepTableInput", table_input, size_of::<StepTableInput>() as u32);
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

/// Returns the first `count` bindings of a module, in order; `None` for bindings that it does not declare.
fn declared_bindings(dispatch: &Dispatch, module: &naga::Module, count: usize) -> Vec<Option<Binding>> {
    let mut declared = vec![None; count];
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

/// Panics if the struct `name` of a module has other members, offsets or another size. A module without the struct
/// passes.
fn assert_layout(dispatch: &str, module: &naga::Module, name: &str, expected: &[(&str, u32)], size: u32) {
    let found = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name));
    let Some((_, ty)) = found else { return };
    let TypeInner::Struct { members, span } = &ty.inner else { panic!("{name} is not a struct") };
    let members: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset)).collect();
    assert_eq!((members.as_slice(), *span), (expected, size), "{name} in {dispatch}");
}

#[test]
fn a_layered_step_has_two_dispatches_per_layer_and_one_more_for_softmax() {
    for layers in [1, 2, 5] {
        for (loss, softmax_dispatches) in [(Loss::Mse, 0), (Loss::SoftmaxCrossEntropy, 1)] {
            let network = network(&vec![4; layers + 1], Activation::Identity);
            let config = KernelConfig { dataset_rows: 100, ..KernelConfig::new(&network, loss, Optimizer::sgd(0.1)) };
            let dispatch_count = |variant: PlanVariant| {
                let scheme = variant.scheme(layers).expect("a scheme");
                let arenas = Arenas::new(&network, arena_dims(100, 1, false)).with_scheme(&scheme);
                KernelSet::new(&arenas, &config, &scheme, None, None, CHUNK_DIMS).step.len()
            };
            let layered = PlanVariant::Layered(Tile::SharedMemory(32), 1);
            assert_eq!(dispatch_count(layered), 2 * layers + softmax_dispatches);
            assert_eq!(dispatch_count(PlanVariant::Fused(16)), 2);
            assert_eq!(dispatch_count(PlanVariant::SingleWorkgroup(Tile::SharedMemory(32))), 1);
        }
    }
}

/// Features that a network does not use cost nothing: new functions and options do not change the WGSL or the
/// dispatches of a plain network. Update these hashes only for a change that improves every network.
#[test]
fn the_kernels_of_a_plain_sigmoid_network_do_not_change() {
    let network = network(&[784, 30, 10], Activation::Sigmoid);
    let config = KernelConfig { dataset_rows: 60_000, ..KernelConfig::new(&network, Loss::Mse, Optimizer::sgd(3.0)) };
    let sliced = Tile::SlicedK { invocations: 64, slices: 4 };
    let variants = [
        PlanVariant::Layered(Tile::SharedMemory(32), 1),
        PlanVariant::Fused(16),
        PlanVariant::SingleWorkgroup(sliced),
        PlanVariant::SingleInvocation,
    ];
    let hashes = variants.map(|variant| {
        let scheme = variant.scheme(2).expect("a scheme");
        let arenas = Arenas::new(&network, arena_dims(10, 1, false)).with_scheme(&scheme);
        let kernel_set = KernelSet::new(&arenas, &config, &scheme, None, None, CHUNK_DIMS);
        // The 64-bit FNV-1a hash.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for dispatch in kernel_set.all() {
            let text =
                format!("{} {} {:?} {}", dispatch.name, dispatch.entry_point, dispatch.workgroups, dispatch.source);
            text.bytes().for_each(|byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
        hash
    });
    assert_eq!(hashes, PLAIN);
}

const PLAIN: [u64; 4] = [7295794975799860817, 17930680337685578153, 17797214843654256938, 10207659253434700236];
