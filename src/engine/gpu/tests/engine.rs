//! Tests of the engine: reproducibility, allocations, shards, timestamps, the step table and errors.

use crate::{
    data::features::Features,
    engine::{
        gpu::{
            device::TIMESTAMP_FEATURES,
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

/// Returns a case with several workgroups in every dimension, and a small last batch. The network of the
/// single-invocation scheme is small, because its parameters must fit into registers.
fn case(variant: PlanVariant) -> Case {
    let widths: &[usize] = if matches!(variant, PlanVariant::SingleInvocation) { &[5, 3, 4, 2] } else { &[70, 40, 35] };
    let network = network(widths, Activation::Sigmoid);
    let optimizer = Optimizer::momentum(0.5, 0.9);
    Case { batch_size: 40, rows: 95, member_count: 3, optimizer, ..Case::new(network, variant) }
}

/// Trains `steps` steps. Returns the metrics and the bits of the parameters.
fn train(
    gpu: &Gpu,
    case: &Case,
    data: &Dataset,
    steps_per_submission: Option<usize>,
    steps: usize,
) -> (Vec<RawStepMetrics>, Vec<u32>) {
    let mut engine = case.build_engine(gpu, Some(data), steps_per_submission);
    let metrics = pollster::block_on(engine.run(0, 0, steps)).expect("metrics");
    let parameters = pollster::block_on(engine.parameters()).expect("parameters");
    (metrics, parameters.into_iter().map(f32::to_bits).collect())
}

#[test]
fn runs_with_any_number_of_steps_per_submission_give_the_same_bits() {
    for gpu in gpus() {
        for variant in VARIANTS {
            let (case, steps) = (case(variant), 25);
            let data = case.dataset();
            let expected = train(&gpu, &case, &data, None, steps);
            for chunk in [None, Some(1), Some(7), Some(200)] {
                let actual = train(&gpu, &case, &data, chunk, steps);
                assert!(actual == expected, "{} {variant:?} {chunk:?}", gpu.info.name);
            }
        }
    }
}

#[test]
fn manual_steps_give_the_same_bits_as_steps_on_the_data_set() {
    for gpu in gpus() {
        for (i, variant) in VARIANTS.into_iter().enumerate() {
            let case = Case { member_count: 1, has_sample_weights: i % 2 == 1, ..case(variant) };
            let f32_data = case.dataset();
            let Features::F32(values) = f32_data.features() else { unreachable!() };
            let bytes: Vec<u8> = values.iter().map(|v| (v * 100.0 + 120.0) as u8).collect();
            let bytes = Features::bytes(bytes, 1.0 / 255.0);
            let mut byte_data = Dataset::new(case.rows, bytes, f32_data.targets().clone()).expect("a data set");
            if let Some(weights) = f32_data.sample_weights() {
                byte_data = byte_data.with_sample_weights(weights).expect("a weight per row");
            }
            // The quick selection tests one of the two data sets per variant.
            let datasets = [f32_data, byte_data].into_iter().enumerate();
            for (_, data) in datasets.filter(|(kind, _)| !is_quick() || *kind == i / 2 % 2) {
                let (expected_metrics, expected_parameters) = train(&gpu, &case, &data, None, 100);
                let mut engine = case.build_engine(&gpu, None, None);
                for step in 0..100 {
                    let to_f32 = |values: Vec<f64>| values.into_iter().map(|v| v as f32).collect::<Vec<_>>();
                    let values = case.reference_batch(&data, 0, step).expect("a batch").map(to_f32);
                    let generator = case.step_generator(0).expect("a step generator");
                    let result = pollster::block_on(engine.step(batch(&values), generator.step(step, step)));
                    result.expect("a step");
                }
                let collected: Vec<_> = pollster::block_on(engine.collect_metrics()).expect("metrics");
                let (metrics, steps): (Vec<RawStepMetrics>, Vec<PendingStep>) = collected.into_iter().unzip();
                let rows: Vec<u32> = steps.into_iter().map(|(rows, _)| rows).collect();
                assert!(rows.chunks_exact(3).all(|epoch| epoch == [40, 40, 15]));
                assert_eq!(metrics, expected_metrics, "{}", gpu.info.name);
                let parameters = pollster::block_on(engine.parameters()).expect("parameters");
                let parameters: Vec<u32> = parameters.into_iter().map(f32::to_bits).collect();
                assert!(parameters == expected_parameters, "{}: parameters differ", gpu.info.name);
            }
        }
    }
}

#[test]
fn an_epoch_allocates_nothing_and_reads_back_once() {
    for gpu in gpus() {
        let network = network(&[8, 12, 4], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 800, ..Case::new(network, PlanVariant::Planned) };
        let data = case.dataset();
        let mut engine = case.build_engine(&gpu, Some(&data), None);
        // On a software adapter the engine waits for the first step alone, because the driver compiles the kernels in
        // it.
        pollster::block_on(engine.run(0, 0, 1)).expect("a step");
        let before = gpu.counts();
        pollster::block_on(engine.run(1, 1, 199)).expect("an epoch");
        let [buffers, bind_groups, pipelines, maps, waits] = std::array::from_fn(|i| gpu.counts()[i] - before[i]);
        assert_eq!([buffers, bind_groups, pipelines], [0, 0, 0], "{}", gpu.info.name);
        assert_eq!([maps, waits], [1, 1], "{}: one readback, after the epoch", gpu.info.name);
    }
}

/// The device caches pipelines by their source, which depends on the network, the batch size and the type of the data.
#[test]
fn a_second_training_of_the_same_network_builds_no_pipelines() {
    for gpu in gpus() {
        let network = network(&[8, 12, 4], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 40, ..Case::new(network, PlanVariant::Planned) };
        let train_and_count = |case: &Case| {
            let [_, _, before, ..] = gpu.counts();
            let results = train(&gpu, case, &case.dataset(), None, 20);
            let [_, _, after, ..] = gpu.counts();
            (after - before, results)
        };
        let (first_count, first_results) = train_and_count(&case);
        let (second_count, second_results) = train_and_count(&case);
        assert!(first_count > 0, "{}", gpu.info.name);
        assert_eq!(second_count, 0, "{}", gpu.info.name);
        assert!(first_results == second_results, "{}: results differ", gpu.info.name);
        let (count, _) = train_and_count(&Case { batch_size: 5, ..case.clone() });
        assert!(count > 0, "{}: a different batch size needs different pipelines", gpu.info.name);
    }
}

/// The run is longer than the metrics ring, and has more chunks than may be in flight.
#[test]
fn a_long_run_returns_the_metrics_of_every_step() {
    for gpu in gpus() {
        let network = network(&[2, 3, 1], Activation::Sigmoid);
        let case = Case { batch_size: 4, rows: 4, ..Case::new(network, PlanVariant::Planned) };
        let data = case.dataset();
        let (expected_metrics, expected_parameters) = train(&gpu, &case, &data, None, 9_000);
        let mut engine = case.build_engine(&gpu, Some(&data), Some(100));
        let mut metrics = Vec::new();
        for (first, steps) in [(0, 4_000), (4_000, 1), (4_001, 4_999)] {
            metrics.extend(pollster::block_on(engine.run(first, first, steps)).expect("metrics"));
        }
        assert_eq!(metrics.len(), 9_000);
        assert!(metrics == expected_metrics, "{}", gpu.info.name);
        let parameters = pollster::block_on(engine.parameters()).expect("parameters");
        assert!(parameters.into_iter().map(f32::to_bits).eq(expected_parameters), "{}", gpu.info.name);
    }
}

#[test]
fn the_padding_of_the_parameters_stays_zero() {
    for gpu in gpus() {
        for variant in VARIANTS {
            let case = Case { member_count: 1, ..case(variant) };
            let data = case.dataset();
            let plan = case.plan(&gpu);
            let config = case.engine_config(Some(&data), plan.as_ref()).expect("a step generator");
            let mut engine = pollster::block_on(Engine::new(&gpu, config)).expect("an engine");
            let layout = case.network.layout();
            engine.set_parameters(&layout.to_flat(&case.parameters(0).expect("parameters")), &[]);
            pollster::block_on(engine.run(0, 0, 100)).expect("metrics");
            let parameters = pollster::block_on(engine.parameters()).expect("parameters");
            // The conversion to layers drops the padding, and the conversion back fills it with 0.
            let with_zero_padding = layout.to_flat(&layout.to_layers(&parameters));
            assert!(with_zero_padding == parameters, "{}: the padding is not 0", gpu.info.name);
        }
    }
}

/// The boundary between two shards lies inside a batch.
#[test]
fn a_data_set_larger_than_the_binding_limit_is_split_into_shards_and_gives_the_same_bits() {
    let limits = |limits: &wgpu::Limits| wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..limits.clone() };
    for gpu in gpus() {
        let small = open(&gpu.info, Some(&limits(&gpu.limits)));
        for has_sample_weights in [false, true] {
            let network = network(&[30, 12, 4], Activation::Sigmoid);
            let case =
                Case { batch_size: 24, rows: 1500, has_sample_weights, ..Case::new(network, PlanVariant::Planned) };
            let data = case.dataset();
            let whole = train(&gpu, &case, &data, None, 130);
            let split = train(&small, &case, &data, None, 130);
            assert!(whole == split, "{}, sample weights: {has_sample_weights}", gpu.info.name);
        }

        let network = network(&[100, 300, 4], Activation::Sigmoid);
        let too_large = Case::new(network, PlanVariant::Planned);
        let (before, data) = (small.counts(), too_large.dataset());
        let config = too_large.engine_config(Some(&data), None).expect("a step generator");
        let error = pollster::block_on(Engine::new(&small, config)).err();
        let Some(Error::DeviceLimit { limit, required, available, .. }) = error else { panic!("{error:?}") };
        assert_eq!((limit, available), ("max_storage_buffer_binding_size", 64 << 10));
        assert!(required > available);
        assert_eq!(small.counts(), before, "nothing was allocated");
    }
}

/// Software adapters write timestamps too, but these do not measure the kernels.
#[test]
fn the_device_writes_timestamps_for_every_kernel() {
    for gpu in gpus().into_iter().filter(|gpu| gpu.device.features().contains(TIMESTAMP_FEATURES)) {
        let case = case(PlanVariant::Layered(Tile::Register, 3));
        let data = case.dataset();
        let engine = case.build_engine(&gpu, Some(&data), None);
        let upload = engine.step_table_upload((0, 0), 0, 5);
        engine.step_table.upload(&gpu, &upload);
        let seconds = pollster::block_on(engine.time_on_device(&gpu, 5)).expect("seconds per kernel");
        assert_eq!(seconds.len(), engine.plan().dispatches().len(), "{}", gpu.info.name);
        assert!(seconds.iter().all(|s| (0.0..10.0).contains(s)), "{}: {seconds:?}", gpu.info.name);
    }
}

/// wgpu's no-op device validates bindings, sizes and usages, but runs no kernels.
#[cfg(feature = "test-backends")]
#[test]
fn training_and_prediction_are_valid_on_the_no_op_device() {
    use crate::{
        device::Device,
        train::{settings::TrainerSettings, trainer::Trainer},
    };

    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    let device = Device::from_wgpu(device, queue).expect("the default limits are sufficient");
    let network = network(&[9, 17, 5], Activation::Relu).dense(3, Activation::Identity);
    let data = Dataset::new(50, test_values(450, 1), vec![2_u32; 50]).expect("a data set");
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
    trainer.run(20).expect("steps");
    trainer.step(&[0.5; 18], &[0.0; 6]).expect("a manual step");
    trainer.gradients(&[0.5; 18], &[0.0; 6]).expect("gradients");
    trainer.predict(&[0.5; 18]).expect("predictions");
}

/// The host computes the steps of the step table in f64.
#[test]
fn the_step_table_of_the_device_equals_the_steps_of_the_host() {
    let schedules = crate::optim::schedule::Schedule::examples();
    for gpu in gpus() {
        let case =
            Case { member_count: 9, ..Case::new(Network::new(3).dense(2, Activation::Tanh), PlanVariant::Planned) };
        let data = case.dataset();
        for optimizer in Optimizer::ALL {
            let step_generator = |member: usize| {
                let learning_rate = 0.1 + 0.03 * member as f64;
                let schedule = schedules[member % 3 % schedules.len()].clone();
                let optimizer = Optimizer { learning_rate, weight_decay: 0.01 * member as f64, ..*optimizer };
                StepGenerator {
                    optimizer,
                    schedule,
                    gradient_accumulation: 3,
                    seed: u64::MAX - member as u64,
                    ..case.step_generator(member).expect("a step generator")
                }
            };
            let generators: Vec<StepGenerator> = (0..case.member_count).map(step_generator).collect();
            let config = EngineConfig {
                generators: generators.clone(),
                ..case.engine_config(Some(&data), None).expect("a step generator")
            };
            let mut engine = pollster::block_on(Engine::new(&gpu, config)).expect("an engine");
            pollster::block_on(engine.stop(8)).expect("an active member");
            // The epoch number exceeds 32 bits, and the chunk starts neither at an epoch nor at an update.
            let (first, steps_since_reset, metrics_index, steps) = ((1 << 33) * 3 + 1, 7, 5, 20);
            let table = pollster::block_on(engine.read_step_table((first, steps_since_reset), metrics_index, steps));
            let table = table.expect("a step table");
            assert_eq!(table.len(), (steps + engine.buffers.padding_steps) * case.member_count);
            for (i, actual) in table.iter().enumerate() {
                let (step, member) = (i / case.member_count, i % case.member_count);
                let expected = if step < steps && member < 8 {
                    let offset = step as u64;
                    Step {
                        metrics_index: (metrics_index + step) as u32,
                        ..generators[member].step(first + offset, steps_since_reset + offset)
                    }
                } else {
                    Step::default()
                };
                assert_eq!(*actual, expected, "{}, {optimizer:?}: step {step} of member {member}", gpu.info.name);
            }
        }
    }
}

/// Errors of wgpu do not panic, whether the host waits for the call or not. On a caller's device they do not reach the
/// caller's handler.
#[test]
fn errors_of_wgpu_are_returned_as_internal_errors() {
    for gpu in gpus() {
        let callers_gpu = Gpu::from_caller(gpu.device.clone(), gpu.queue.clone());
        for tested in [&callers_gpu, &gpu] {
            let invalid = wgpu::ShaderSource::Wgsl("fn nothing() -> f32 {}".into());
            let descriptor = wgpu::ShaderModuleDescriptor { label: None, source: invalid };
            let result =
                pollster::block_on(tested.run_scoped("kernel", |device| device.create_shader_module(descriptor)));
            assert!(matches!(result, Err(Error::Internal { .. })), "{result:?}");
            tested.check().expect("the device still works");

            let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let buffer = pollster::block_on(tested.buffer("small buffer", 16, usage)).expect("a buffer");
            // The destination exceeds the buffer.
            let mut encoder = tested.encoder();
            encoder.copy_buffer_to_buffer(&buffer, 0, &buffer, 1 << 20, 16);
            tested.submit(encoder);
            assert!(matches!(tested.check(), Err(Error::Internal { .. })), "{:?}", tested.check());
            // The handler of the owned device receives an error only if the owned device caused it.
            assert_eq!(gpu.check().is_ok(), std::ptr::eq(tested, &callers_gpu));
        }
    }
}
