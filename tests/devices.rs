//! Devices: selection, limits, devices of the application, lost devices, timeouts, and devices shared by threads.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::{
    XOR, adapters, application_device, bits, child_test, devices, is_child_test, numbers, open, process_kib, request,
    run, xor,
};
use gradus::{
    Activation, Dataset, Device, Error, Features, Init, Loss, Member, Network, Optimizer, Population, Predictor,
    Trainer, TrainerSettings, TrainingLoop,
    device::{AdapterReport, DeviceRequest, DeviceSelector},
    metrics::Metrics,
    nn::{Dense, LayerParameters},
    plan::Tuner,
    population::Ensemble,
    reference::Reference,
    train::{LearningRateFinder, RunReport},
    wgpu,
};

fn network() -> Network {
    Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid)
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 3, optimizer: Optimizer::momentum(0.5, 0.9).ema(0.9), ..TrainerSettings::default() }
}

fn trainer(device: &Device) -> Trainer {
    Trainer::new(device, &network(), &xor(), settings()).unwrap_or_else(|error| panic!("{device}: {error}"))
}

/// Panics if `work` panics or takes more than two minutes. A call that destroyer for a lost device might wait forever.
fn run_with_timeout(context: String, work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    if is_done.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{context}: not done after two minutes");
    }
    worker.join().unwrap_or_else(|_| panic!("{context}: the thread panicked"));
}

#[test]
fn public_types_are_send_and_sync() {
    const fn assert_send_and_sync<T: Send + Sync>() {}
    assert_send_and_sync::<(Activation, AdapterReport, DeviceSelector, Dataset, Dense, Device, Error, Metrics)>();
    assert_send_and_sync::<(Features, gradus::Targets, Init, LayerParameters, Loss, Network, Optimizer)>();
    assert_send_and_sync::<(
        RunReport,
        DeviceRequest,
        TrainerSettings,
        Trainer,
        Reference,
        gradus::reference::Parameters,
    )>();
}

#[test]
fn an_adapter_is_found_by_part_of_its_name_in_any_case() {
    for adapter in adapters() {
        let name = &adapter.info.name;
        let half: String = name.chars().take(name.chars().count().div_ceil(2)).collect();
        for part in [name.to_uppercase(), name.to_lowercase(), half] {
            let request = DeviceRequest { selector: DeviceSelector::Name(part.clone()), ..request(&adapter, None) };
            let device = Device::request(&request).expect("a device");
            assert!(device.name().to_lowercase().contains(&part.to_lowercase()), "{part}: {device}");
            assert!(device.is_gpu() && device.fallback_reason().is_none());
        }
    }
}

#[test]
fn an_unknown_adapter_name_is_an_error_that_lists_all_adapters() {
    let request = DeviceRequest { selector: DeviceSelector::Name("zzz".into()), ..DeviceRequest::default() };
    let error = Device::request(&request).expect_err("there is no such adapter");
    let text = error.to_string();
    assert!(matches!(error, Error::DeviceNotFound { .. }), "{text}");
    assert!(text.contains("requested an adapter with \"zzz\" in its name"), "{text}");
    for adapter in adapters() {
        assert!(text.contains(&adapter.info.name), "{text}");
    }
}

#[test]
fn a_limit_above_that_of_the_adapter_is_an_error() {
    for adapter in adapters() {
        let max_storage_buffer_binding_size = 1 << 60;
        let limits = wgpu::Limits { max_storage_buffer_binding_size, ..adapter.limits.clone() };
        let error = Device::request(&request(&adapter, Some(limits))).expect_err("no adapter has that much");
        assert!(matches!(error, Error::DeviceOpen { .. }), "{error}");
        for part in [adapter.info.name.as_str(), "max_storage_buffer_binding_size", &(1u64 << 60).to_string()] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn a_too_small_device_is_an_error_with_the_limit_and_both_values() {
    for adapter in adapters() {
        let few = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..adapter.limits.clone() };
        let (device, queue) = application_device(&adapter, Some(few.clone()));
        for result in [Device::request(&request(&adapter, Some(few))), Device::from_wgpu(device, queue)] {
            let error = result.expect_err("a step needs more");
            let Error::DeviceLimit { limit, required, available, .. } = &error else { panic!("{error}") };
            assert_eq!((*limit, *available), ("max_storage_buffers_per_shader_stage", 4), "{error}");
            assert!((5..=8).contains(required) && error.to_string().contains(&adapter.info.name), "{error}");
        }

        let limits = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..adapter.limits.clone() };
        let small = open(&adapter, Some(limits));
        let large = Network::new(784).dense(800, Activation::Sigmoid).dense(10, Activation::Sigmoid);
        let error =
            Trainer::without_dataset(&small, &large, TrainerSettings::default()).expect_err("2.5 MB of parameters");
        let Error::DeviceLimit { limit, required, available, .. } = &error else { panic!("{error}") };
        assert_eq!((*limit, *available), ("max_storage_buffer_binding_size", 64 << 10), "{error}");
        assert!(*required >= large.parameter_count() as u64 * 4, "{error}");
        assert!(error.to_string().contains(&format!("expected {limit} >= {required}, got 65536")), "{error}");
        trainer(&small).run(20).expect("a small network still trains");
    }
}

/// The default limits are those that WebGPU guarantees.
#[test]
fn a_device_with_default_limits_trains_the_same_bits() {
    for adapter in adapters() {
        let [max, default] = [None, Some(wgpu::Limits::default())].map(|limits| {
            let mut trainer = trainer(&open(&adapter, limits));
            let report = trainer.run(30).expect("steps");
            (report, bits(&trainer.parameters().expect("parameters")))
        });
        assert!(max == default, "{}", adapter.info.name);
    }
}

#[test]
fn a_device_of_the_application_trains_and_keeps_its_handlers() {
    for adapter in adapters() {
        let name = adapter.info.name.clone();
        let (device, queue) = application_device(&adapter, None);
        let (error_count, loss_count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (errors, losses) = (Arc::clone(&error_count), Arc::clone(&loss_count));
        device.on_uncaptured_error(Arc::new(move |_| {
            errors.fetch_add(1, Ordering::SeqCst);
        }));
        device.set_device_lost_callback(move |_, _| {
            losses.fetch_add(1, Ordering::SeqCst);
        });

        let shared = Device::from_wgpu(device.clone(), queue).expect("the adapter's limits are sufficient");
        let mut trained = trainer(&shared);
        let report = trained.run(30).expect("steps");
        assert_eq!(report, trainer(&open(&adapter, None)).run(30).expect("steps"), "{name}");
        assert_eq!(error_count.load(Ordering::SeqCst), 0, "{name}: gradus caused an uncaptured error");

        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE;
        let invalid = wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false };
        let _ = device.create_buffer(&invalid);
        assert_eq!(error_count.load(Ordering::SeqCst), 1, "{name}: gradus replaced the handler of the application");
        trained.run(5).expect("an error of the application does not affect gradus");

        device.destroy();
        let errors = error_count.load(Ordering::SeqCst);
        run_with_timeout(name.clone(), move || {
            assert!(matches!(trained.run(5), Err(Error::DeviceLost { .. })));
            assert!(matches!(trained.predict(&XOR.0), Err(Error::DeviceLost { .. })));
        });
        assert_eq!(error_count.load(Ordering::SeqCst), errors, "{name}: uncaptured errors after the loss");
        // wgpu calls the handler of a destroyed device during a poll.
        let _ = device.poll(wgpu::PollType::Poll);
        assert_eq!(loss_count.load(Ordering::SeqCst), 1, "{name}: the application is not notified of the loss");
    }
}

/// A method call on a trainer, with its name.
type Call = (&'static str, fn(&mut Trainer) -> gradus::Result<()>);

/// Every method that destroyer for the device.
const CALLS: [Call; 13] = [
    ("run", |trainer| trainer.run(5).map(drop)),
    ("run_epoch", |trainer| trainer.run_epoch().map(drop)),
    ("step and take_report", |trainer| {
        trainer.step(&XOR.0[..6], &XOR.1[..3]).and_then(|()| trainer.take_report().map(drop))
    }),
    ("step and last_loss", |trainer| {
        trainer.step(&XOR.0[..6], &XOR.1[..3]).and_then(|()| trainer.last_loss().map(drop))
    }),
    ("predict", |trainer| trainer.predict(&XOR.0).map(drop)),
    ("evaluate", |trainer| trainer.evaluate(&xor()).map(drop)),
    ("gradients", |trainer| trainer.gradients(&XOR.0[..6], &XOR.1[..3]).map(drop)),
    ("histograms", |trainer| trainer.histograms(&XOR.0[..6], &XOR.1[..3], 5).map(drop)),
    ("profile", |trainer| trainer.profile(3).map(drop)),
    ("parameters", |trainer| trainer.parameters().map(drop)),
    ("ema_parameters", |trainer| trainer.ema_parameters().map(drop)),
    ("model", |trainer| trainer.model().map(drop)),
    ("checkpoint", |trainer| trainer.checkpoint().map(drop)),
];

/// Returns a device that gradus opened and one that the application opened, each with the handle to destroy it.
fn opened_and_shared(adapter: &AdapterReport) -> [(Device, wgpu::Device); 2] {
    let opened = open(adapter, None);
    let opened_handle = opened.wgpu().expect("a GPU").0.clone();
    let (handle, queue) = application_device(adapter, None);
    let shared = Device::from_wgpu(handle.clone(), queue).expect("the adapter's limits are sufficient");
    [(opened, opened_handle), (shared, handle)]
}

#[test]
fn every_trainer_method_on_a_lost_device_is_an_error() {
    for adapter in adapters() {
        for (device, handle) in opened_and_shared(&adapter) {
            // A method creates its resources in its first call. The second trainer makes that call after the loss.
            let mut trainers = [trainer(&device), trainer(&device)];
            let parameters = trainers[0].parameters().expect("parameters");
            trainers.iter_mut().for_each(|trainer| trainer.snapshot().expect("a snapshot"));
            for (name, call) in CALLS {
                call(&mut trainers[0]).unwrap_or_else(|error| panic!("{device}: {name}: {error}"));
            }
            let mut encoder = handle.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            handle.destroy();
            run_with_timeout(device.to_string(), move || {
                for trainer in &mut trainers {
                    for (name, call) in CALLS.into_iter().chain(CALLS) {
                        let error = call(trainer).expect_err("a lost device");
                        assert!(matches!(error, Error::DeviceLost { .. }), "{name}: {error}");
                        assert!(error.to_string().starts_with("device lost: "), "{error}");
                    }
                    // These methods do not wait, so they may not notice the loss. They must not panic.
                    let _ = (trainer.set_parameters(&parameters), trainer.snapshot(), trainer.restore());
                    let _ = trainer.record_steps(&mut encoder, 2);
                }
            });
        }
    }
}

/// The other types that train and predict.
struct Others {
    device: Device,
    population: Population,
    trainer: Trainer,
    predictor: Predictor,
    ensemble: Ensemble,
}

impl Others {
    fn new(device: &Device) -> gradus::Result<Self> {
        let members: Vec<_> = (0..4).map(|seed| Member::new(TrainerSettings { seed, ..settings() })).collect();
        let trainer = Trainer::new(device, &network(), &xor(), settings())?;
        let model = trainer.model()?;
        Ok(Self {
            device: device.clone(),
            population: Population::new(device, &network(), &xor(), &members)?,
            trainer,
            predictor: Predictor::from_model(device, &model)?,
            ensemble: Ensemble::new(device, &[model.clone(), model])?,
        })
    }
}

/// A method call on one of these types, with its name.
type OtherCall = (&'static str, fn(&mut Others) -> gradus::Result<()>);

const OTHER_CALLS: [OtherCall; 12] = [
    ("Population::run", |others| others.population.run(5).map(drop)),
    ("Population::stop", |others| {
        let first = others.population.active_members().next();
        others.population.stop(first.expect("an active member"))
    }),
    ("Population::predict", |others| others.population.predict(&XOR.0).map(drop)),
    ("Population::evaluate", |others| others.population.evaluate(&xor()).map(drop)),
    ("Population::model", |others| others.population.model(2).map(drop)),
    ("TrainingLoop::run_population", |others| TrainingLoop::new(2).run_population(&mut others.population).map(drop)),
    ("TrainingLoop::run", |others| TrainingLoop::new(2).validation_data(&xor()).run(&mut others.trainer).map(drop)),
    ("Predictor::predict", |others| others.predictor.predict(&XOR.0).map(drop)),
    ("Ensemble::predict", |others| others.ensemble.predict(&XOR.0).map(drop)),
    ("TrainingLoop::train", |others| {
        TrainingLoop::new(2).train(&others.device, &network(), &xor(), settings()).map(drop)
    }),
    ("LearningRateFinder::run", |others| {
        LearningRateFinder::default().run(&others.device, &network(), &xor(), settings()).map(drop)
    }),
    ("the constructors", |others| Others::new(&others.device).map(drop)),
];

#[test]
fn populations_and_predictors_on_a_lost_device_return_errors() {
    for adapter in adapters() {
        // A method creates its resources in its first call. On the second device that call is after the loss.
        for ((device, handle), calls_before) in opened_and_shared(&adapter).into_iter().zip([true, false]) {
            let mut others = Others::new(&device).unwrap_or_else(|error| panic!("{device}: {error}"));
            for (name, call) in OTHER_CALLS.into_iter().filter(|_| calls_before) {
                call(&mut others).unwrap_or_else(|error| panic!("{device}: {name}: {error}"));
            }
            handle.destroy();
            run_with_timeout(device.to_string(), move || {
                for (name, call) in OTHER_CALLS.into_iter().chain(OTHER_CALLS) {
                    let result = call(&mut others);
                    assert!(matches!(result, Err(Error::DeviceLost { .. })), "{name}: {result:?}");
                }
            });
        }
    }
}

#[test]
fn a_device_loss_ends_the_tuner_with_an_error() {
    for adapter in adapters() {
        for (device, handle) in opened_and_shared(&adapter) {
            let destroyer = thread::spawn(move || {
                thread::sleep(Duration::from_secs(1));
                handle.destroy();
            });
            run_with_timeout(device.to_string(), move || {
                let tuner = Tuner { time_budget: Duration::from_secs(600), cache_dir: None };
                let plan = tuner.tune(&device, &network(), &settings());
                assert!(matches!(plan, Err(Error::DeviceLost { .. })), "{plan:?}");
            });
            destroyer.join().expect("the thread does not panic");
        }
    }
}

/// After a timeout the host stops waiting, but the device completes its work and accepts more.
#[test]
fn a_timeout_is_an_error_and_the_device_still_works() {
    let network = Network::new(200).dense(600, Activation::Sigmoid).dense(3, Activation::Sigmoid);
    let data = Dataset::new(512, vec![0.5; 512 * 200], vec![1_u32; 512]).expect("a data set");
    let settings = TrainerSettings { batch_size: 512, ..settings() };
    for adapter in adapters() {
        let device = open(&adapter, None);
        let train = |device: &Device, steps| {
            let mut trainer = Trainer::new(device, &network, &data, settings.clone())?;
            trainer.run(steps)?;
            trainer.parameters()
        };
        let before = train(&device, 8).expect("parameters");
        // If the operating system suspends the host, the device may finish before the host checks. Then try again.
        let without_patience = device.clone().with_timeout(Duration::ZERO);
        let seconds = (0..5).find_map(|_| match train(&without_patience, 100).err()? {
            Error::Timeout { seconds } => Some(seconds),
            other => panic!("{device}: {other}"),
        });
        assert!(seconds.is_some_and(|seconds| seconds < 0.001), "{device}: {seconds:?}");
        assert!(bits(&train(&device, 8).expect("parameters")) == bits(&before), "{device}");
    }
}

#[test]
fn creating_a_trainer_on_a_lost_device_is_an_error() {
    for adapter in adapters() {
        for (device, handle) in opened_and_shared(&adapter) {
            handle.destroy();
            run_with_timeout(device.to_string(), move || {
                for _ in 0..2 {
                    let error = Trainer::new(&device, &network(), &xor(), settings()).err();
                    let error = error.or_else(|| trainer(&device).run(1).err());
                    assert!(matches!(error, Some(Error::DeviceLost { .. })), "{error:?}");
                }
            });
        }
    }
}

#[test]
fn a_device_loss_ends_a_run_and_a_new_device_resumes() {
    for adapter in adapters() {
        for (device, handle) in opened_and_shared(&adapter) {
            let mut undisturbed = trainer(&device);
            undisturbed.run(40).expect("steps");
            let undisturbed = bits(&undisturbed.parameters().expect("parameters"));
            let mut running = trainer(&device);
            running.run(10).expect("steps");
            let checkpoint = running.checkpoint().expect("a checkpoint");
            let destroyer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(150));
                handle.destroy();
            });
            run_with_timeout(device.to_string(), move || {
                let error = running.run(20_000_000).expect_err("a lost device");
                assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
                assert!(matches!(running.run(1), Err(Error::DeviceLost { .. })));
            });
            destroyer.join().expect("the thread does not panic");
            let new = open(&adapter, None);
            let mut resumed = Trainer::resume(&new, &checkpoint, Some(&xor())).expect("a trainer");
            resumed.run(30).expect("steps");
            assert!(bits(&resumed.parameters().expect("parameters")) == undisturbed, "{}", adapter.info.name);
        }
    }
}

#[test]
fn trainers_on_several_threads_compute_the_bits_of_a_single_trainer() {
    let train = |device: &Device, seed: u64| {
        let network = Network::new(7).dense(20, Activation::Relu).dense(3, Activation::Identity);
        let classes: Vec<u32> = (0..50).map(|row| row % 3).collect();
        let data = Dataset::new(50, numbers(350, 1), classes).expect("a data set");
        let settings =
            TrainerSettings { seed, batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(device, &network, &data, settings).expect("a trainer");
        let report = trainer.run(100).expect("steps");
        let outputs = trainer.predict(&numbers(350, 1)).expect("outputs");
        let outputs: Vec<u32> = outputs.into_iter().map(f32::to_bits).collect();
        (report, outputs, bits(&trainer.parameters().expect("parameters")))
    };
    for device in devices() {
        let sequential: Vec<_> = (0..4).map(|seed| train(&device, seed)).collect();
        let concurrent = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for seed in 0..4 {
                let (device, concurrent) = (device.clone(), &concurrent);
                scope.spawn(move || {
                    let result = train(&device, seed);
                    concurrent.lock().expect("no thread panics").push((seed as usize, result));
                });
            }
        });
        for (seed, result) in concurrent.into_inner().expect("no thread panicked") {
            assert!(result == sequential[seed], "{device}: seed {seed}");
        }
    }
}

#[test]
fn dropping_a_trainer_with_pending_steps_leaks_no_memory() {
    if !is_child_test() {
        run(&mut child_test("devices::dropping_a_trainer_with_pending_steps_leaks_no_memory")).expect(0, &["1 passed"]);
        return;
    }
    for adapter in adapters() {
        let device = open(&adapter, None);
        let without_patience = device.clone().with_timeout(Duration::ZERO);
        let (start, mut timeouts, mut memory_kib) = (Instant::now(), 0, Vec::new());
        // Fewer rounds if the driver compiles for seconds.
        for round in (0..100).take_while(|_| start.elapsed() < Duration::from_secs(90)) {
            let trainer = if round % 2 == 1 {
                // A timeout while the host reads the losses, or while gradus creates the trainer.
                let mut created = Trainer::new(&without_patience, &network(), &xor(), settings());
                match created.as_mut().map_err(|error| error.clone()).and_then(|trainer| trainer.run(1_000)) {
                    Ok(_) => {}
                    Err(Error::Timeout { .. }) => timeouts += 1,
                    Err(other) => panic!("{device}: {other}"),
                }
                created.ok()
            } else {
                // Some of these trainers are the only owner of their device.
                let owned_device = if round % 10 == 0 { open(&adapter, None) } else { device.clone() };
                let mut trainer = Trainer::without_dataset(&owned_device, &network(), settings()).expect("a trainer");
                trainer.step(&XOR.0[..6], &XOR.1[..3]).expect("a step");
                Some(trainer)
            };
            // Drop the trainer on another thread.
            thread::spawn(move || drop(trainer)).join().expect("dropping does not panic");
            if cfg!(target_os = "linux") {
                memory_kib.push(process_kib("VmRSS"));
            }
        }
        println!("{device}: {timeouts} timeouts in {} rounds, KiB after each: {memory_kib:?}", memory_kib.len());
        assert!(timeouts > 0, "{device}: no call timed out");
        let early_and_last = memory_kib.get(memory_kib.len() / 4).zip(memory_kib.last());
        let growth = early_and_last.map_or(0, |(early, last)| last.saturating_sub(*early));
        assert!(growth <= 8192, "{device}: {growth} KiB more, of {memory_kib:?}");
        trainer(&device).run(10).expect("the device still works");
    }
}

/// Environment variables that gradus reads once per process. So the tests run examples in child processes.
mod environment {
    use super::run;
    use crate::common;

    fn neuron(arguments: &[&str], environment: &[(&str, &str)]) -> common::Outcome {
        let mut command = common::example("neuron");
        command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
        run(command.args(arguments).envs(environment.iter().copied()))
    }

    #[test]
    fn an_unknown_backend_is_an_error() {
        let text = "WGPU_BACKEND: expected a list of vulkan, metal, dx12, webgpu, got abacus";
        neuron(&[], &[("WGPU_BACKEND", "abacus")]).expect(2, &[text]);
    }

    #[test]
    fn an_unknown_adapter_in_the_environment_is_an_error() {
        let text = "requested an adapter with \"zzz\" in its name";
        for device in ["auto", "gpu"] {
            neuron(&["--device", device], &[("WGPU_ADAPTER_NAME", "zzz")]).expect(2, &["device not found", text]);
        }
    }

    /// Only on Linux, where a variable names the files of the drivers.
    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_driver_gpu_is_an_error_and_auto_falls_back_to_the_cpu() {
        let no_driver = [("VK_DRIVER_FILES", "/nonexistent.json"), ("WGPU_BACKEND", "vulkan")];
        let hint = "apt-get install mesa-vulkan-drivers";
        neuron(&["--device", "gpu"], &no_driver).expect(2, &["device not found", "no adapter was found", hint]);
        neuron(&["--device", "llvmpipe"], &no_driver).expect(2, &["\"llvmpipe\"", "no adapter was found", hint]);
        neuron(&[], &no_driver).expect(0, &["no GPU driver was found, so gradus uses the CPU engine", hint]);
        neuron(&["--device", "cpu"], &no_driver).expect(0, &["device: CPU engine"]);
        let adapters = run(common::example("adapters").env_remove("WGPU_ADAPTER_NAME").envs(no_driver));
        adapters.expect(0, &["adapters: 0", "auto selects: CPU engine", hint]);
    }

    #[test]
    fn auto_uses_a_software_adapter_that_the_environment_names() {
        let software = common::adapters().into_iter().filter(|adapter| adapter.is_software);
        for adapter in software {
            let name = adapter.info.name.as_str();
            neuron(&[], &[("WGPU_ADAPTER_NAME", name)]).expect(0, &[&format!("device: {name}")]);
        }
    }

    #[test]
    fn gpu_does_not_select_an_unnamed_software_adapter() {
        let adapters = gradus::device::adapters(None).expect("the adapters can be listed");
        if adapters.is_empty() || !adapters.iter().all(|adapter| adapter.is_software) {
            return;
        }
        let named = "to use a software adapter, request its name";
        neuron(&["--device", "gpu"], &[]).expect(2, &["device not found", &adapters[0].info.name, named]);
        neuron(&[], &[]).expect(0, &["only software adapters were found, so gradus uses the CPU engine"]);
    }
}
