//! Devices that are not there, too small, shared, the caller's own, or lost.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::{XOR, adapters, again, bits, callers, devices, is_alone, kib, numbers, open, request, run, xor};
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

/// Fails if `work` panics or does not end: what waits for a device that is gone may wait for ever.
fn in_time(what: String, work: impl FnOnce() + Send + 'static) {
    let (done, waits) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    if waits.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{what}: still not done after two minutes");
    }
    worker.join().unwrap_or_else(|_| panic!("{what}: it panicked"));
}

#[test]
fn everything_public_can_be_sent_and_shared() {
    const fn sent_and_shared<T: Send + Sync>() {}
    sent_and_shared::<(Activation, AdapterReport, DeviceSelector, Dataset, Dense, Device, Error, Metrics)>();
    sent_and_shared::<(Features, gradus::Targets, Init, LayerParameters, Loss, Network, Optimizer)>();
    sent_and_shared::<(RunReport, DeviceRequest, TrainerSettings, Trainer, Reference, gradus::reference::Parameters)>();
}

#[test]
fn an_adapter_is_found_by_part_of_its_name_in_any_case() {
    for adapter in adapters() {
        let name = &adapter.info.name;
        let half: String = name.chars().take(name.chars().count().div_ceil(2)).collect();
        for part in [name.to_uppercase(), name.to_lowercase(), half] {
            let request = DeviceRequest { selector: DeviceSelector::Name(part.clone()), ..request(&adapter, None) };
            let device = Device::request(&request).expect("it is there");
            assert!(device.name().to_lowercase().contains(&part.to_lowercase()), "{part}: {device}");
            assert!(device.is_gpu() && device.fallback_reason().is_none());
        }
    }
}

#[test]
fn a_name_that_no_adapter_has_is_refused_with_what_is_there() {
    let refused =
        Device::request(&DeviceRequest { selector: DeviceSelector::Name("zzz".into()), ..DeviceRequest::default() });
    let error = refused.expect_err("there is no such adapter");
    let text = error.to_string();
    assert!(matches!(error, Error::DeviceNotFound { .. }), "{text}");
    assert!(text.contains("requested an adapter with \"zzz\" in its name"), "{text}");
    for adapter in adapters() {
        assert!(text.contains(&adapter.info.name), "{text}");
    }
}

#[test]
fn a_limit_beyond_the_adapters_is_refused() {
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
fn a_device_that_is_too_small_is_refused_with_the_limit_the_need_and_the_have() {
    for adapter in adapters() {
        let few = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..adapter.limits.clone() };
        let (device, queue) = callers(&adapter, Some(few.clone()));
        for refused in [Device::request(&request(&adapter, Some(few))), Device::from_wgpu(device, queue)] {
            let error = refused.expect_err("a step needs more");
            let Error::DeviceLimit { limit, required: need, available: have, .. } = &error else { panic!("{error}") };
            assert_eq!((*limit, *have), ("max_storage_buffers_per_shader_stage", 4), "{error}");
            assert!((5..=8).contains(need) && error.to_string().contains(&adapter.info.name), "{error}");
        }

        let limits = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..adapter.limits.clone() };
        let small = open(&adapter, Some(limits));
        let large = Network::new(784).dense(800, Activation::Sigmoid).dense(10, Activation::Sigmoid);
        let error =
            Trainer::without_dataset(&small, &large, TrainerSettings::default()).expect_err("2.5 MB of parameters");
        let Error::DeviceLimit { limit, required: need, available: have, .. } = &error else { panic!("{error}") };
        assert_eq!((*limit, *have), ("max_storage_buffer_binding_size", 64 << 10), "{error}");
        assert!(*need >= large.parameter_count() as u64 * 4, "{error}");
        assert!(error.to_string().contains(&format!("needs {limit} of {need}, and this device has 65536")), "{error}");
        trainer(&small).run(20).expect("what fits does train");
    }
}

/// WebGPU's guaranteed limits are enough.
#[test]
fn a_device_with_the_default_limits_trains_the_same_bits() {
    for adapter in adapters() {
        let [all, default] = [None, Some(wgpu::Limits::default())].map(|limits| {
            let mut trainer = trainer(&open(&adapter, limits));
            let report = trainer.run(30).expect("steps");
            (report, bits(&trainer.parameters().expect("parameters")))
        });
        assert!(all == default, "{}", adapter.info.name);
    }
}

#[test]
fn a_callers_device_trains_and_keeps_its_handlers() {
    for adapter in adapters() {
        let name = adapter.info.name.clone();
        let (device, queue) = callers(&adapter, None);
        let (heard, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (errors, losses) = (Arc::clone(&heard), Arc::clone(&lost));
        device.on_uncaptured_error(Arc::new(move |_| {
            errors.fetch_add(1, Ordering::SeqCst);
        }));
        device.set_device_lost_callback(move |_, _| {
            losses.fetch_add(1, Ordering::SeqCst);
        });

        let ours = Device::from_wgpu(device.clone(), queue).expect("the adapter's limits are enough");
        let mut trained = trainer(&ours);
        let report = trained.run(30).expect("steps");
        assert_eq!(report, trainer(&open(&adapter, None)).run(30).expect("steps"), "{name}");
        assert_eq!(heard.load(Ordering::SeqCst), 0, "{name}: we made an error of our own");

        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE;
        let wrong = wgpu::BufferDescriptor { label: None, size: 16, usage, mapped_at_creation: false };
        let _ = device.create_buffer(&wrong);
        assert_eq!(heard.load(Ordering::SeqCst), 1, "{name}: the caller's handler is gone");
        trained.run(5).expect("the caller's error is not ours");

        device.destroy();
        let errors = heard.load(Ordering::SeqCst);
        in_time(name.clone(), move || {
            assert!(matches!(trained.run(5), Err(Error::DeviceLost { .. })));
            assert!(matches!(trained.predict(&XOR.0), Err(Error::DeviceLost { .. })));
        });
        assert_eq!(heard.load(Ordering::SeqCst), errors, "{name}: the caller hears of more than the loss");
        // wgpu tells of a device that was destroyed when it is polled.
        let _ = device.poll(wgpu::PollType::Poll);
        assert_eq!(lost.load(Ordering::SeqCst), 1, "{name}: the caller does not hear of the loss");
    }
}

/// One call of a trainer.
type Call = (&'static str, fn(&mut Trainer) -> gradus::Result<()>);

/// Every call that needs the device's answer.
const CALLS: [Call; 13] = [
    ("run", |trainer| trainer.run(5).map(drop)),
    ("epoch", |trainer| trainer.run_epoch().map(drop)),
    ("step and losses", |trainer| {
        trainer.step(&XOR.0[..6], &XOR.1[..3]).and_then(|()| trainer.take_report().map(drop))
    }),
    ("step and loss", |trainer| trainer.step(&XOR.0[..6], &XOR.1[..3]).and_then(|()| trainer.last_loss().map(drop))),
    ("predict", |trainer| trainer.predict(&XOR.0).map(drop)),
    ("evaluate", |trainer| trainer.evaluate(&xor()).map(drop)),
    ("gradients", |trainer| trainer.gradients(&XOR.0[..6], &XOR.1[..3]).map(drop)),
    ("histograms", |trainer| trainer.histograms(&XOR.0[..6], &XOR.1[..3], 5).map(drop)),
    ("profile", |trainer| trainer.profile(3).map(drop)),
    ("parameters", |trainer| trainer.parameters().map(drop)),
    ("averaged_parameters", |trainer| trainer.ema_parameters().map(drop)),
    ("model", |trainer| trainer.model().map(drop)),
    ("checkpoint", |trainer| trainer.checkpoint().map(drop)),
];

/// A device of gradus's own and one of the caller's, each with the handle that destroys it.
fn own_and_callers(adapter: &AdapterReport) -> [(Device, wgpu::Device); 2] {
    let own = open(adapter, None);
    let handle = own.wgpu().expect("it is an adapter").0.clone();
    let (device, queue) = callers(adapter, None);
    let callers = Device::from_wgpu(device.clone(), queue).expect("the adapter's limits are enough");
    [(own, handle), (callers, device)]
}

#[test]
fn every_call_on_a_lost_device_is_an_error_again_and_again() {
    for adapter in adapters() {
        for (device, handle) in own_and_callers(&adapter) {
            // What the calls need is built when they are made for the first time: for one trainer after the loss.
            let mut trainers = [trainer(&device), trainer(&device)];
            let parameters = trainers[0].parameters().expect("parameters");
            trainers.iter_mut().for_each(|trainer| trainer.snapshot().expect("it is there"));
            for (name, call) in CALLS {
                call(&mut trainers[0]).unwrap_or_else(|error| panic!("{device}: {name}: {error}"));
            }
            let mut encoder = handle.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            handle.destroy();
            in_time(device.to_string(), move || {
                for trainer in &mut trainers {
                    for (name, call) in CALLS.into_iter().chain(CALLS) {
                        let error = call(trainer).expect_err("the device is gone");
                        assert!(matches!(error, Error::DeviceLost { .. }), "{name}: {error}");
                        assert!(error.to_string().starts_with("device lost: "), "{error}");
                    }
                    // They wait for nothing, so they may not know; they only must not panic.
                    let _ = (trainer.set_parameters(&parameters), trainer.snapshot(), trainer.restore());
                    let _ = trainer.record_steps(&mut encoder, 2);
                }
            });
        }
    }
}

/// What else trains and answers.
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

/// One call of them.
type Other = (&'static str, fn(&mut Others) -> gradus::Result<()>);

const OTHERS: [Other; 12] = [
    ("Population::run", |of| of.population.run(5).map(drop)),
    ("Population::stop", |of| {
        let first = of.population.active_members().next();
        of.population.stop(first.expect("there were four"))
    }),
    ("Population::predict", |of| of.population.predict(&XOR.0).map(drop)),
    ("Population::evaluate", |of| of.population.evaluate(&xor()).map(drop)),
    ("Population::model", |of| of.population.model(2).map(drop)),
    ("Fit::run_together", |of| TrainingLoop::new(2).run_population(&mut of.population).map(drop)),
    ("Fit::run", |of| TrainingLoop::new(2).validation_data(&xor()).run(&mut of.trainer).map(drop)),
    ("Predictor::predict", |of| of.predictor.predict(&XOR.0).map(drop)),
    ("Ensemble::predict", |of| of.ensemble.predict(&XOR.0).map(drop)),
    ("Fit::train", |of| TrainingLoop::new(2).train(&of.device, &network(), &xor(), settings()).map(drop)),
    ("RangeTest::run", |of| LearningRateFinder::default().run(&of.device, &network(), &xor(), settings()).map(drop)),
    ("any of them", |of| Others::new(&of.device).map(drop)),
];

#[test]
fn whatever_else_trains_or_answers_tells_that_its_device_is_lost() {
    for adapter in adapters() {
        // What the calls need is built when they are made for the first time: once after the loss.
        for ((device, handle), has_answered) in own_and_callers(&adapter).into_iter().zip([true, false]) {
            let mut others = Others::new(&device).unwrap_or_else(|error| panic!("{device}: {error}"));
            for (name, call) in OTHERS.into_iter().filter(|_| has_answered) {
                call(&mut others).unwrap_or_else(|error| panic!("{device}: {name}: {error}"));
            }
            handle.destroy();
            in_time(device.to_string(), move || {
                for (name, call) in OTHERS.into_iter().chain(OTHERS) {
                    let answer = call(&mut others);
                    assert!(matches!(answer, Err(Error::DeviceLost { .. })), "{name}: {answer:?}");
                }
            });
        }
    }
}

#[test]
fn a_device_lost_while_plans_are_measured_gives_none() {
    for adapter in adapters() {
        for (device, handle) in own_and_callers(&adapter) {
            let waits = thread::spawn(move || {
                thread::sleep(Duration::from_secs(1));
                handle.destroy();
            });
            in_time(device.to_string(), move || {
                let tuner = Tuner { time_budget: Duration::from_secs(600), cache_dir: None };
                let plan = tuner.tune(&device, &network(), &settings());
                assert!(matches!(plan, Err(Error::DeviceLost { .. })), "{plan:?}");
            });
            waits.join().expect("it only waits");
        }
    }
}

/// The host gives up, the device does not: what it was given is done, and it takes more.
#[test]
fn what_takes_too_long_is_an_error_and_the_device_goes_on() {
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
        let before = train(&device, 8).expect("there is time");
        // A host that is held up while the device works finds it done: that is no failure, and is tried again.
        let hasty = device.clone().with_timeout(Duration::ZERO);
        let seconds = (0..5).find_map(|_| match train(&hasty, 100).err()? {
            Error::Timeout { seconds } => Some(seconds),
            other => panic!("{device}: {other}"),
        });
        assert!(seconds.is_some_and(|seconds| seconds < 0.001), "{device}: {seconds:?}");
        assert!(bits(&train(&device, 8).expect("it is still there")) == bits(&before), "{device}");
    }
}

#[test]
fn a_trainer_for_a_lost_device_is_refused() {
    for adapter in adapters() {
        for (device, handle) in own_and_callers(&adapter) {
            handle.destroy();
            in_time(device.to_string(), move || {
                for _ in 0..2 {
                    let refused = Trainer::new(&device, &network(), &xor(), settings()).err();
                    let refused = refused.or_else(|| trainer(&device).run(1).err());
                    assert!(matches!(refused, Some(Error::DeviceLost { .. })), "{refused:?}");
                }
            });
        }
    }
}

#[test]
fn a_device_lost_in_the_middle_of_a_run_ends_it() {
    for adapter in adapters() {
        for (device, handle) in own_and_callers(&adapter) {
            let mut undisturbed = trainer(&device);
            undisturbed.run(40).expect("steps");
            let undisturbed = bits(&undisturbed.parameters().expect("parameters"));
            let mut running = trainer(&device);
            running.run(10).expect("steps");
            let checkpoint = running.checkpoint().expect("a checkpoint");
            let waits = thread::spawn(move || {
                thread::sleep(Duration::from_millis(150));
                handle.destroy();
            });
            in_time(device.to_string(), move || {
                let error = running.run(20_000_000).expect_err("the device goes while it trains");
                assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
                assert!(matches!(running.run(1), Err(Error::DeviceLost { .. })));
            });
            waits.join().expect("it only waits");
            let new = open(&adapter, None);
            let mut resumed =
                Trainer::resume(&new, &checkpoint, Some(&xor())).expect("a new device is as good as ever");
            resumed.run(30).expect("steps");
            assert!(bits(&resumed.parameters().expect("parameters")) == undisturbed, "{}", adapter.info.name);
        }
    }
}

#[test]
fn trainers_on_several_threads_share_a_device_and_give_the_bits_they_give_alone() {
    let trained = |device: &Device, seed: u64| {
        let network = Network::new(7).dense(20, Activation::Relu).dense(3, Activation::Identity);
        let classes: Vec<u32> = (0..50).map(|row| row % 3).collect();
        let data = Dataset::new(50, numbers(350, 1), classes).expect("a data set");
        let settings =
            TrainerSettings { seed, batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(device, &network, &data, settings).expect("a trainer");
        let report = trainer.run(100).expect("steps");
        let answers = trainer.predict(&numbers(350, 1)).expect("outputs");
        let answers: Vec<u32> = answers.into_iter().map(f32::to_bits).collect();
        (report, answers, bits(&trainer.parameters().expect("parameters")))
    };
    for device in devices() {
        let alone: Vec<_> = (0..4).map(|seed| trained(&device, seed)).collect();
        let together = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for seed in 0..4 {
                let (device, together) = (device.clone(), &together);
                scope.spawn(move || {
                    let result = trained(&device, seed);
                    together.lock().expect("no thread panics").push((seed as usize, result));
                });
            }
        });
        for (seed, result) in together.into_inner().expect("no thread panicked") {
            assert!(result == alone[seed], "{device}: seed {seed}");
        }
    }
}

#[test]
fn a_trainer_may_go_while_its_steps_are_under_way() {
    if !is_alone() {
        run(&mut again("devices::a_trainer_may_go_while_its_steps_are_under_way")).expect(0, &["1 passed"]);
        return;
    }
    for adapter in adapters() {
        let device = open(&adapter, None);
        let hasty = device.clone().with_timeout(Duration::ZERO);
        let (start, mut given_up, mut taken) = (Instant::now(), 0, Vec::new());
        // Not so many where the driver compiles for seconds.
        for round in (0..100).take_while(|_| start.elapsed() < Duration::from_secs(90)) {
            let trainer = if round % 2 == 1 {
                // Its losses are being read when the host gives up, or it is still being made.
                let mut made = Trainer::new(&hasty, &network(), &xor(), settings());
                match made.as_mut().map_err(|error| error.clone()).and_then(|trainer| trainer.run(1_000)) {
                    Ok(_) => {}
                    Err(Error::Timeout { .. }) => given_up += 1,
                    Err(other) => panic!("{device}: {other}"),
                }
                made.ok()
            } else {
                // Of some, nothing else has the device any more.
                let on = if round % 10 == 0 { open(&adapter, None) } else { device.clone() };
                let mut trainer = Trainer::without_dataset(&on, &network(), settings()).expect("a trainer");
                trainer.step(&XOR.0[..6], &XOR.1[..3]).expect("a step");
                Some(trainer)
            };
            // Another thread may drop it.
            thread::spawn(move || drop(trainer)).join().expect("dropping is quiet");
            if cfg!(target_os = "linux") {
                taken.push(kib("VmRSS"));
            }
        }
        println!("{device}: {given_up} of {} given up, KiB after each: {taken:?}", taken.len());
        assert!(given_up > 0, "{device}: it was always in time");
        let grown = taken.last().zip(taken.get(taken.len() / 4)).map_or(0, |(last, early)| last.saturating_sub(*early));
        assert!(grown <= 8192, "{device}: {grown} KiB more, of {taken:?}");
        trainer(&device).run(10).expect("the device is still good");
    }
}

/// The examples' programs with another environment: what is read once a process cannot be tested in this one.
mod environment {
    use super::run;
    use crate::common;

    fn neuron(arguments: &[&str], environment: &[(&str, &str)]) -> common::Outcome {
        let mut command = common::example("neuron");
        command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
        run(command.args(arguments).envs(environment.iter().copied()))
    }

    #[test]
    fn a_backend_that_does_not_exist_is_refused() {
        let text = "WGPU_BACKEND: expected a list of vulkan, metal, dx12, webgpu, got abacus";
        neuron(&[], &[("WGPU_BACKEND", "abacus")]).expect(2, &[text]);
    }

    #[test]
    fn an_adapter_named_by_the_environment_has_to_be_there() {
        let text = "requested an adapter with \"zzz\" in its name";
        for device in ["auto", "gpu"] {
            neuron(&["--device", device], &[("WGPU_ADAPTER_NAME", "zzz")]).expect(2, &["device not found", text]);
        }
    }

    /// Elsewhere drivers are no files that a variable names.
    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_driver_the_gpu_is_refused_and_auto_takes_the_cpu_and_says_how_to_get_one() {
        let none = [("VK_DRIVER_FILES", "/nonexistent.json"), ("WGPU_BACKEND", "vulkan")];
        let how = "apt-get install mesa-vulkan-drivers";
        neuron(&["--device", "gpu"], &none).expect(2, &["device not found", "no adapter was found", how]);
        neuron(&["--device", "llvmpipe"], &none).expect(2, &["\"llvmpipe\"", "no adapter was found", how]);
        neuron(&[], &none).expect(0, &["no GPU driver was found, so this trains on the CPU", how]);
        neuron(&["--device", "cpu"], &none).expect(0, &["device: CPU engine"]);
        let adapters = run(common::example("adapters").env_remove("WGPU_ADAPTER_NAME").envs(none));
        adapters.expect(0, &["0 adapters; auto takes: CPU engine", how]);
    }

    #[test]
    fn a_software_adapter_is_taken_when_the_environment_names_it() {
        let software = common::adapters().into_iter().filter(|adapter| adapter.is_software);
        for adapter in software {
            let name = adapter.info.name.as_str();
            neuron(&[], &[("WGPU_ADAPTER_NAME", name)]).expect(0, &[&format!("device: {name}")]);
        }
    }

    #[test]
    fn a_software_adapter_is_refused_unless_it_is_named() {
        let all = gradus::device::adapters(None).expect("adapters are listed");
        if all.is_empty() || !all.iter().all(|adapter| adapter.is_software) {
            return;
        }
        let named = "is used when its name is given";
        neuron(&["--device", "gpu"], &[]).expect(2, &["device not found", &all[0].info.name, named]);
        neuron(&[], &[]).expect(0, &["only software adapters were found, so this trains on the CPU"]);
    }
}
