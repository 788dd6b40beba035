use naga::{
    AddressSpace, StorageAccess, TypeInner,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};

use crate::{
    data::{dataset::Answers, features::Features, subset::Subset},
    diagnostics::mutants::files,
    engine::{
        gpu::{
            device::pipeline::{Binding, PAIR, SCALED_WINDOW, STEP, STEPS},
            kernels::{
                custom,
                kernel_set::{Dispatch, Dispatches},
                kernel_source::PLACEHOLDER,
                mutant::assembled,
                windows::Pass,
            },
            layout::{
                arenas::{Arenas, Extent, Members},
                chunk::Length,
            },
            run::{
                engine_layout::Draft,
                ensemble,
                ensemble::{ENSEMBLE, Turn},
            },
            tests::*,
        },
        step::{Start, Step},
    },
};

const LENGTH: Length = Length { chunk: 64, behind: 64, models: 1, tempos: 1 };

/// A row of features of either kind.
fn features_of(kind: usize, columns: usize) -> Features {
    if kind == 0 { vec![0.0_f32; columns].into() } else { Features::bytes(vec![0; columns], 1.0 / 255.0) }
}

/// An answer of either kind.
fn answers_of(kind: usize, outputs: usize) -> Answers {
    if kind == 0 { vec![0.0_f32; outputs].into() } else { vec![0_u32].into() }
}

/// Every dispatch that the planner can emit: every tile in every form, every member, every kind of data, one model and three.
pub(crate) fn dispatches() -> Vec<Dispatch> {
    let mut all = Vec::new();
    let features = [Features::F32(vec![]), Features::U8 { bytes: vec![], scale: 0.1 }];
    let answers = [Answers::Values(vec![]), Answers::Classes(vec![])];
    // Each member with several of the other families.
    for turn in 0..Tile::ALL.len() {
        let members = kernels::members(turn).zip(Tile::ALL.iter().cycle().skip(turn)).enumerate();
        for (i, ((activation, loss, optimizer), tile)) in members {
            let j = i + turn;
            let last = loss.output_activation().unwrap_or(*activation);
            let outputs = if loss.looks_at_the_row() { 2 + j } else { 1 + j % 6 };
            let network = network(&[5, 9, 6], *activation).dense(outputs, last);
            let shuffle = i % 2 == 0;
            let (weighted, noise) = (j % 3 == 1, if j % 4 == 1 { 0.1 } else { 0.0 });
            let forms =
                [Form::Layered(*tile, 1), Form::Layered(*tile, 2), Form::Fused(16), Form::Tiny(*tile), Form::Lane];
            let form = forms[j % 5];
            // A lane keeps no gradients.
            let keeps = j % 4 < 2 && !matches!(form, Form::Lane);
            let optimizer = if keeps { optimizer.clip_norm(1.0) } else { *optimizer };
            let members = Members {
                shuffle,
                data_rows: 100,
                scale: 0.1,
                noise,
                is_scaled: i % 3 == 0,
                has_subsets: i % 5 == 2,
                streams: i % 7 == 3,
                has_dropouts: i % 5 == 3,
                labels: i % 7 == 5,
                ends_with_softmax: loss.looks_at_the_row(),
                ..Members::of(&network, *loss, optimizer)
            };
            let scheme = form.scheme(3).expect("a scheme");
            let extent = Extent { weighted, ..extent(77, 1 + 2 * (j % 2), keeps) };
            let arenas = Arenas::new(&network, extent).with_scheme(&scheme);
            let dispatches =
                Dispatches::new(&arenas, &members, &scheme, Some(&features[i % 2]), Some(&answers[j % 2]), LENGTH);
            all.extend(dispatches.all().cloned());
            let ways = Ways::all(3, Way::of(*tile));
            all.extend(Dispatches::predict(&arenas, &members, &ways));
            let data = Dataset::new(1, features_of(i % 2, 5), answers_of(j % 2, outputs)).expect("a data set");
            let Pass { order, gather, score } = Pass::new(&arenas, &members, &data);
            all.extend([order, gather, score]);
            all.extend(Dispatches::gradients(&arenas, &members, &ways));
        }
    }
    all
}

/// What stands around predictions, for one output and for several.
pub(crate) fn around_predictions() -> Vec<Dispatch> {
    let arenas = [1, 7].map(|outputs| Arenas::new(&network(&[5, outputs], Activation::Relu), extent(77, 3, false)));
    arenas
        .iter()
        .flat_map(|arenas| Dispatches::packers(arenas).into_iter().chain([ensemble::dispatch(arenas)]))
        .collect()
}

/// What a selftest trains: with norms, learned slopes and dropout, too.
pub(crate) fn selftested() -> Vec<Dispatch> {
    use wgpu::DeviceType::{Cpu, DiscreteGpu};
    let gpus = [(Cpu, 8), (DiscreteGpu, 32)]
        .map(|(kind, subgroup)| crate::engine::gpu::tests::planner::described(kind, subgroup));
    let of = |gpu: &Gpu, case: &Case| {
        let data = case.rows();
        let plan = case.plan(gpu);
        let setup = case.setup(Some(&data), plan.as_ref()).expect("a course");
        Draft::new(gpu, setup).expect("it can be trained").dispatches.all().cloned().collect::<Vec<_>>()
    };
    let tiles = |gpu: &Gpu| Tile::ALL.iter().copied().filter(|tile| tile.runs_on(gpu)).collect::<Vec<_>>();
    let all = |gpu: &Gpu| {
        crate::diagnostics::cases::all(&tiles(gpu)).iter().flat_map(|(_, case, _)| of(gpu, case)).collect::<Vec<_>>()
    };
    gpus.iter().flat_map(all).collect()
}

fn extent(rows: usize, models: usize, keeps_gradients: bool) -> Extent {
    Extent { rows, models, ring: 64, limit: 1 << 20, keeps_gradients, weighted: false }
}

fn parsed(dispatch: &Dispatch) -> (naga::Module, ModuleInfo) {
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
fn translated(name: &str, module: &naga::Module, info: &ModuleInfo) -> Vec<u32> {
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
    let own = "fn own(z: vec4f) -> vec4f { return z; }\nfn own_gradient(z: vec4f) -> vec4f { return vec4f(1.0); }\n";
    let more = around_predictions().into_iter().chain(selftested()).chain([custom::dispatch("own", &[own], "at", 4)]);
    for dispatch in dispatches().into_iter().chain(more) {
        if !all.insert(dispatch.source.clone()) {
            continue;
        }
        assert!(!has_placeholder(&dispatch.source), "{}", dispatch.name);
        let (module, info) = parsed(&dispatch);
        let words = translated(&dispatch.name, &module, &info);
        if let Some(folder) = &folder {
            let file = |ending| folder.join(format!("{:04}.{ending}", all.len()));
            std::fs::write(file("wgsl"), &dispatch.source).expect("a file");
            std::fs::write(file("spv"), bytemuck::cast_slice(&words)).expect("a file");
        }
    }
    let texts = assembled();
    let left: Vec<_> = files().into_iter().filter(|file| !texts.contains(&file.text)).map(|file| file.name).collect();
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
    for dispatch in around_predictions().iter().filter(|dispatch| dispatch.entry == "ensemble") {
        let (module, _) = parsed(dispatch);
        let expected: Vec<_> = ENSEMBLE.iter().map(|binding| Some(*binding)).collect();
        assert_eq!(declared(dispatch, &module, ENSEMBLE.len()), expected);
        let turn =
            [("before", std::mem::offset_of!(Turn, before)), ("threshold", std::mem::offset_of!(Turn, threshold))];
        agree(&dispatch.name, &module, "Turn", &turn.map(|(name, at)| (name, at as u32)), size_of::<Turn>() as u32);
    }
    for dispatch in dispatches() {
        let (module, _) = parsed(&dispatch);
        let is_window =
            ["order", "stream", "gather", "measure", "measure_small", "total", "score"].contains(&dispatch.entry);
        let is_table = dispatch.entry == "tabulate";
        let expected = if is_window {
            SCALED_WINDOW
        } else if is_table {
            STEPS
        } else {
            STEP
        };
        let declared = declared(&dispatch, &module, expected.len());
        for (at, (declared, expected)) in declared.iter().zip(expected).enumerate() {
            // Only `gather` looks at features and answers, and only where they are scaled at what scales them. In the
            // features' place `order` and `score` find which rows each network takes, if not all.
            let is_declared = match at {
                3 if dispatch.source.contains("struct Subset") => true,
                3 | 4 if is_window => dispatch.entry == "gather",
                8 => dispatch.source.contains("scaling: array<vec4f>"),
                _ => true,
            };
            assert_eq!(*declared, is_declared.then_some(*expected), "{} {at}", dispatch.name);
        }

        macro_rules! subset {
            ($($member:ident)*) => { &[$((stringify!($member), std::mem::offset_of!(Subset, $member) as u32)),*] };
        }
        let subset = subset!(rows width skip_from skipped way of_rows of_width first key);
        agree(&dispatch.name, &module, "Subset", subset, size_of::<Subset>() as u32);

        macro_rules! step {
            ($($member:ident)*; $($number:ident)*) => {
                &[
                    $((stringify!($member), std::mem::offset_of!(Step, $member) as u32),)*
                    $((stringify!($number), std::mem::offset_of!(Step, numbers.$number) as u32),)*
                    ("below", std::mem::offset_of!(Step, below) as u32),
                    ("kept", std::mem::offset_of!(Step, kept) as u32)
                ]
            };
        }
        let step = step!(rows first key scale ring starts updates; learning_rate coefficients decay
            l1 clip_value clip_norm average);
        agree(&dispatch.name, &module, "Step", step, size_of::<Step>() as u32);
        macro_rules! start {
            ($($member:ident)*) => { &[$((stringify!($member), std::mem::offset_of!(Start, $member) as u32)),*] };
        }
        let start = start!(rows batch steps_per_epoch place epoch seed scale last_scale accumulate gathered tempo own below kept padding);
        agree(&dispatch.name, &module, "Start", start, size_of::<Start>() as u32);
        agree(&dispatch.name, &module, "Chunk", &[("steps", 0), ("ring", 4)], PAIR as u32);
        agree(&dispatch.name, &module, "Cursor", &[("step", 0), ("slot", 4)], PAIR as u32);
        agree(&dispatch.name, &module, "Shard", &[("first", 0), ("rows", 4)], PAIR as u32);
    }
}

/// The module's bindings, in order.
fn declared(dispatch: &Dispatch, module: &naga::Module, bindings: usize) -> Vec<Option<Binding>> {
    let mut declared = vec![None; bindings];
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = &variable.binding else {
            continue;
        };
        declared[binding.binding as usize] = Some(match variable.space {
            AddressSpace::Uniform if matches!(variable.name.as_deref(), Some("cursor" | "turn")) => Binding::Cursor,
            AddressSpace::Uniform => Binding::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Binding::Write,
            AddressSpace::Storage { .. } => Binding::Read,
            space => panic!("{}: {space:?}", dispatch.name),
        });
    }
    declared
}

/// Fails unless a struct of the module, if it has it, has these members at these offsets and this size.
fn agree(dispatch: &str, module: &naga::Module, name: &str, members: &[(&str, u32)], size: u32) {
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
            let members = Members { data_rows: 100, ..Members::of(&network, loss, Optimizer::sgd(0.1)) };
            let dispatches = |form: Form| {
                let scheme = form.scheme(layers).expect("a scheme");
                let arenas = Arenas::new(&network, extent(100, 1, false)).with_scheme(&scheme);
                Dispatches::new(&arenas, &members, &scheme, None, None, LENGTH).step.len()
            };
            assert_eq!(dispatches(Form::Layered(Tile::Staged(32), 1)), 2 * layers + more);
            assert_eq!(dispatches(Form::Fused(16)), 2);
            assert_eq!(dispatches(Form::Tiny(Tile::Staged(32))), 1);
        }
    }
}

/// What is not used costs nothing: whatever families grow and features come, the textbook's network is assembled to the same
/// text and dispatched the same way. A change of these numbers has to be one that every network gains by.
#[test]
fn the_plain_sigmoid_network_stays_as_it_is() {
    let network = network(&[784, 30, 10], Activation::Sigmoid);
    let members = Members { data_rows: 60_000, ..Members::of(&network, Loss::Mse, Optimizer::sgd(3.0)) };
    let small = Tile::Sliced { lanes: 64, split: 4 };
    let forms = [Form::Layered(Tile::Staged(32), 1), Form::Fused(16), Form::Tiny(small), Form::Lane];
    let hashes = forms.map(|form| {
        let scheme = form.scheme(2).expect("a scheme");
        let arenas = Arenas::new(&network, extent(10, 1, false)).with_scheme(&scheme);
        let dispatches = Dispatches::new(&arenas, &members, &scheme, None, None, LENGTH);
        // Fowler, Noll and Vo's hash.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for dispatch in dispatches.all() {
            let of = format!("{} {} {:?} {}", dispatch.name, dispatch.entry, dispatch.groups, dispatch.source);
            of.bytes().for_each(|byte| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
        hash
    });
    assert_eq!(hashes, PLAIN);
}

const PLAIN: [u64; 4] = [13091250786703239428, 6443389394803176251, 4688156589146948231, 4225687615258883816];
