use crate::{
    data::features::Features,
    engine::{
        gpu::{
            run::{
                engine::PendingStep,
                engine_layout::{EngineConfig, RawStepMetrics},
            },
            tests::*,
        },
        step::Step,
    },
    error::Error,
};

/// Several workgroups in every dimension, and a short last batch. What a lane holds is small.
fn case(variant: PlanVariant) -> Case {
    let widths: &[usize] = if matches!(variant, PlanVariant::SingleInvocation) { &[5, 3, 4, 2] } else { &[70, 40, 35] };
    let network = network(widths, Activation::Sigmoid);
    let optimizer = Optimizer::momentum(0.5, 0.9);
    Case { batch_size: 40, rows: 95, member_count: 3, optimizer, ..Case::new(network, variant) }
}

fn train(
    gpu: &Gpu,
    case: &Case,
    data: &Dataset,
    chunk: Option<usize>,
    steps: usize,
) -> (Vec<RawStepMetrics>, Vec<u32>) {
    let mut engine = case.build_engine(gpu, Some(data), chunk);
    let metrics = pollster::block_on(engine.run(0, 0, steps)).expect("training runs");
    let flat = pollster::block_on(engine.parameters()).expect("parameters come back");
    (metrics, flat.into_iter().map(f32::to_bits).collect())
}

#[test]
fn two_runs_and_every_chunk_length_give_the_same_bits() {
    for gpu in gpus() {
        for form in VARIANTS {
            let (case, steps) = (case(form), 25);
            let data = case.rows();
            let first = train(&gpu, &case, &data, None, steps);
            for chunk in [None, Some(1), Some(7), Some(200)] {
                assert!(train(&gpu, &case, &data, chunk, steps) == first, "{} {form:?} {chunk:?}", gpu.info.name);
            }
        }
    }
}

#[test]
fn a_hundred_steps_by_hand_are_the_same_hundred_through_the_resident_set() {
    for gpu in gpus() {
        for (i, form) in VARIANTS.into_iter().enumerate() {
            let case = Case { member_count: 1, has_sample_weights: i % 2 == 1, ..case(form) };
            let f32s = case.rows();
            let Features::F32(values) = f32s.features() else { unreachable!() };
            let bytes: Vec<u8> = values.iter().map(|v| (v * 100.0 + 120.0) as u8).collect();
            let bytes = Dataset::new(case.rows, Features::bytes(bytes, 1.0 / 255.0), f32s.targets().clone())
                .expect("a data set");
            let weigh = |data: Dataset| {
                f32s.sample_weights().map_or(Ok(data.clone()), |weights| data.with_sample_weights(weights))
            };
            let bytes = weigh(bytes).expect("a weight a row");
            // Where it has to be quick, a form has one of the two.
            let kinds = [f32s, bytes].into_iter().enumerate();
            for (_, data) in kinds.filter(|(kind, _)| !is_quick() || *kind == i / 2 % 2) {
                let (metrics, flat) = train(&gpu, &case, &data, None, 100);
                let mut engine = case.build_engine(&gpu, None, None);
                for step in 0..100 {
                    let f32s = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
                    let brought = case.reference_batch(&data, 0, step).expect("rows").map(f32s);
                    pollster::block_on(
                        engine.step(batch(&brought), case.step_generator(0).expect("a course").step(step, step)),
                    )
                    .expect("a step");
                }
                let by_hand: Vec<_> = pollster::block_on(engine.collect_metrics()).expect("metrics");
                let (by_hand, taken): (Vec<RawStepMetrics>, Vec<PendingStep>) = by_hand.into_iter().unzip();
                let rows: Vec<u32> = taken.into_iter().map(|(rows, _)| rows).collect();
                assert!(rows.chunks_exact(3).all(|epoch| epoch == [40, 40, 15]));
                assert_eq!(by_hand, metrics, "{}", gpu.info.name);
                let parameters = pollster::block_on(engine.parameters()).expect("parameters");
                let bits: Vec<u32> = parameters.into_iter().map(f32::to_bits).collect();
                assert!(bits == flat, "{}: parameters differ", gpu.info.name);
            }
        }
    }
}

#[test]
fn an_epoch_maps_waits_allocates_and_binds_nothing() {
    for gpu in gpus() {
        let network = network(&[8, 12, 4], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 800, ..Case::new(network, PlanVariant::Planned) };
        let data = case.rows();
        let mut engine = case.build_engine(&gpu, Some(&data), None);
        // The first step on a software adapter, in which its driver compiles the kernels, is waited for alone.
        pollster::block_on(engine.run(0, 0, 1)).expect("a step");
        let before = gpu.counts();
        pollster::block_on(engine.run(1, 1, 199)).expect("an epoch");
        let [buffers, bind_groups, pipelines, maps, waits] = std::array::from_fn(|i| gpu.counts()[i] - before[i]);
        assert_eq!([buffers, bind_groups, pipelines], [0, 0, 0], "{}", gpu.info.name);
        assert_eq!([maps, waits], [1, 1], "{}: the losses are read once, after the epoch", gpu.info.name);
    }
}

/// What is built is found again by its text, for trainings of the same network and batch on any rows of one kind.
#[test]
fn a_second_training_of_the_same_network_builds_no_pipelines() {
    for gpu in gpus() {
        let network = network(&[8, 12, 4], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 40, ..Case::new(network, PlanVariant::Planned) };
        let built = |case: &Case| {
            let [_, _, before, ..] = gpu.counts();
            let (metrics, flat) = train(&gpu, case, &case.rows(), None, 20);
            let [_, _, after, ..] = gpu.counts();
            (after - before, metrics, flat)
        };
        let ((first, metrics, flat), (second, again, and_again)) = (built(&case), built(&case));
        assert!(first > 0 && second == 0, "{}: {first}, then {second}", gpu.info.name);
        assert!((metrics, flat) == (again, and_again), "{}: other bits", gpu.info.name);
        assert!(built(&Case { batch_size: 5, ..case.clone() }).0 > 0, "{}: another batch", gpu.info.name);
    }
}

/// Long enough that the ring of metrics goes round and the host waits for chunks.
#[test]
fn a_long_run_tells_every_loss_once() {
    for gpu in gpus() {
        let network = network(&[2, 3, 1], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 4, ..Case::new(network, PlanVariant::Planned) };
        let data = case.rows();
        let (metrics, flat) = train(&gpu, &case, &data, None, 9_000);
        let mut engine = case.build_engine(&gpu, Some(&data), Some(100));
        let mut pieces = Vec::new();
        for (first, steps) in [(0, 4_000), (4_000, 1), (4_001, 4_999)] {
            pieces.extend(pollster::block_on(engine.run(first, first, steps)).expect("training runs"));
        }
        assert_eq!(pieces.len(), 9_000);
        assert!(pieces == metrics, "{}", gpu.info.name);
        let parameters = pollster::block_on(engine.parameters()).expect("parameters");
        assert!(parameters.into_iter().map(f32::to_bits).eq(flat), "{}", gpu.info.name);
    }
}

#[test]
fn padding_is_zero_after_a_hundred_steps() {
    for gpu in gpus() {
        for form in VARIANTS {
            let case = Case { member_count: 1, ..case(form) };
            let data = case.rows();
            let plan = case.plan(&gpu);
            let mut engine = pollster::block_on(Engine::new(
                &gpu,
                case.engine_config(Some(&data), plan.as_ref()).expect("a course"),
            ))
            .expect("an engine");
            let layout = case.network.layout();
            engine.set_parameters(&layout.to_flat(&case.parameters(0).expect("parameters")), &[]);
            pollster::block_on(engine.run(0, 0, 100)).expect("training runs");
            let flat = pollster::block_on(engine.parameters()).expect("parameters");
            assert!(layout.to_flat(&layout.to_layers(&flat)) == flat, "{}: padding was written", gpu.info.name);
        }
    }
}

/// A shard's boundary lies inside a batch, and the bits stay the same.
#[test]
fn a_data_set_beyond_the_binding_limit_is_split() {
    let limits = |limits: &wgpu::Limits| wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..limits.clone() };
    for gpu in gpus() {
        let small = open(&gpu.info, Some(&limits(&gpu.limits)));
        for weighted in [false, true] {
            let network = network(&[30, 12, 4], Activation::Sigmoid);
            let case = Case {
                batch_size: 24,
                rows: 1500,
                has_sample_weights: weighted,
                ..Case::new(network, PlanVariant::Planned)
            };
            let data = case.rows();
            let whole = train(&gpu, &case, &data, None, 130);
            let split = train(&small, &case, &data, None, 130);
            assert!(whole == split, "{}, weighted {weighted}", gpu.info.name);
        }

        let network = crate::diagnostics::case::network(&[100, 300, 4], Activation::Sigmoid);
        let too_large = Case::new(network, PlanVariant::Planned);
        let (before, data) = (small.counts(), too_large.rows());
        let error =
            pollster::block_on(Engine::new(&small, too_large.engine_config(Some(&data), None).expect("a course")))
                .err();
        let Some(crate::error::Error::DeviceLimit { limit, required: need, available: have, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((limit, have), ("max_storage_buffer_binding_size", 64 << 10));
        assert!(need > have);
        assert_eq!(small.counts(), before, "nothing was allocated");
    }
}

/// Software adapters take times, too; only what these mean is not said.
#[test]
fn the_device_takes_a_time_for_every_kernel() {
    for gpu in
        gpus().into_iter().filter(|gpu| gpu.device.features().contains(crate::engine::gpu::device::TIMESTAMP_FEATURES))
    {
        let case = case(PlanVariant::Layered(Tile::Register, 3));
        let data = case.rows();
        let engine = case.build_engine(&gpu, Some(&data), None);
        let entries = engine.step_table_upload((0, 0), 0, 5);
        engine.step_table.upload(&gpu, &entries);
        let seconds = pollster::block_on(engine.time_on_device(&gpu, 5)).expect("times");
        assert_eq!(seconds.len(), engine.plan().dispatches().len(), "{}", gpu.info.name);
        assert!(seconds.iter().all(|s| (0.0..10.0).contains(s)), "{}: {seconds:?}", gpu.info.name);
    }
}

/// wgpu's no-op device checks bindings, sizes and usages without running anything.
#[cfg(feature = "test-backends")]
#[test]
fn a_whole_step_is_valid_on_the_no_op_device() {
    use crate::{
        device::Device,
        train::{settings::TrainerSettings, trainer::Trainer},
    };

    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    let device = Device::from_wgpu(device, queue).expect("the default limits are enough");
    let network = network(&[9, 17, 5], Activation::Relu).dense(3, Activation::Identity);
    let data = Dataset::new(50, test_values(450, 1), vec![2_u32; 50]).expect("a data set");
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
    trainer.run(20).expect("steps");
    trainer.step(&[0.5; 18], &[0.0; 6]).expect("a step by hand");
    trainer.gradients(&[0.5; 18], &[0.0; 6]).expect("gradients");
    trainer.predict(&[0.5; 18]).expect("predictions");
}

/// The table of steps that the device makes is what the host knows of each.
#[test]
fn the_device_finds_the_same_steps_as_the_host() {
    let schedules = crate::optim::schedule::Schedule::examples();
    for gpu in gpus() {
        let case =
            Case { member_count: 9, ..Case::new(Network::new(3).dense(2, Activation::Tanh), PlanVariant::Planned) };
        let data = case.rows();
        for optimizer in Optimizer::ALL {
            let course = |model: usize| {
                let rate = 0.1 + 0.03 * model as f64;
                let schedule = schedules[model % 3 % schedules.len()].clone();
                let optimizer = Optimizer { learning_rate: rate, weight_decay: 0.01 * model as f64, ..*optimizer };
                StepGenerator {
                    optimizer,
                    schedule,
                    gradient_accumulation: 3,
                    seed: u64::MAX - model as u64,
                    ..case.step_generator(model).expect("a course")
                }
            };
            let courses: Vec<StepGenerator> = (0..case.member_count).map(course).collect();
            let setup = EngineConfig {
                generators: courses.clone(),
                ..case.engine_config(Some(&data), None).expect("a course")
            };
            let mut engine = pollster::block_on(Engine::new(&gpu, setup)).expect("an engine");
            pollster::block_on(engine.stop(8)).expect("it was in training");
            // Epochs beyond 32 bits, and a chunk that is neither at the start of one nor of an update.
            let (first, before, ring, steps) = ((1 << 33) * 3 + 1, 7, 5, 20);
            let table = pollster::block_on(engine.read_step_table((first, before), ring, steps)).expect("the table");
            assert_eq!(table.len(), (steps + engine.buffers.padding_steps) * case.member_count);
            for (i, found) in table.iter().enumerate() {
                let (step, model) = (i / case.member_count, i % case.member_count);
                let expected = if step < steps && model < 8 {
                    let (n, before) = (first + step as u64, before + step as u64);
                    Step { metrics_index: (ring + step) as u32, ..courses[model].step(n, before) }
                } else {
                    Step::default()
                };
                assert_eq!(*found, expected, "{}, {optimizer:?}: step {step} of {model}", gpu.info.name);
            }
        }
    }
}

/// A bug of ours is an error and no panic, where it is waited for and where it is not, and a caller's handler hears nothing of it.
#[test]
fn what_wgpu_refuses_is_an_error() {
    for gpu in gpus() {
        let callers = Gpu::from_caller(gpu.device.clone(), gpu.queue.clone());
        for ours in [&callers, &gpu] {
            let wrong = wgpu::ShaderSource::Wgsl("fn nothing() -> f32 {}".into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source: wrong };
            let made =
                pollster::block_on(ours.run_scoped("a kernel", |device| device.create_shader_module(descriptor)));
            assert!(matches!(made, Err(Error::Internal { .. })), "{made:?}");
            ours.check().expect("the device goes on");

            let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let buffer = pollster::block_on(ours.buffer("a small one", 16, usage)).expect("a buffer");
            let mut encoder = ours.encoder();
            encoder.copy_buffer_to_buffer(&buffer, 0, &buffer, 1 << 20, 16);
            ours.submit(encoder);
            assert!(matches!(ours.check(), Err(Error::Internal { .. })), "{:?}", ours.check());
            assert_eq!(gpu.check().is_ok(), std::ptr::eq(ours, &callers), "who hears of it");
        }
    }
}
