//! Plans on every device: text, reuse, validation, tuning and profiles.

use std::{fs, time::Duration};

use crate::common::{Folder, adapters, application_device, bits, devices, numbers};
use gradus::{
    Activation, Dataset, Device, Error, Network, Optimizer, Schedule, Trainer, TrainerSettings,
    plan::{Plan, Tuner},
};

const ROWS: usize = 200;

fn network() -> Network {
    Network::new(9).dense(20, Activation::Tanh).dense(3, Activation::Sigmoid)
}

fn data() -> Dataset {
    let targets: Vec<f32> = numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect();
    Dataset::new(ROWS, numbers(ROWS * 9, 1), targets).expect("a data set")
}

fn settings(plan: Option<Plan>) -> TrainerSettings {
    TrainerSettings { batch_size: 70, optimizer: Optimizer::momentum(0.4, 0.9), plan, ..TrainerSettings::default() }
}

fn trainer(device: &Device, plan: Option<Plan>) -> Result<Trainer, Error> {
    Trainer::new(device, &network(), &data(), settings(plan))
}

/// Runs 30 steps and returns the parameters.
fn parameters_after_run(mut trainer: Trainer) -> Vec<u32> {
    trainer.run(30).expect("steps");
    bits(&trainer.parameters().expect("parameters"))
}

/// Returns the text of a plan for every scheme, with tiles that every device supports.
fn schemes(plan: &Plan) -> [String; 5] {
    let text = plan.to_string();
    let head: Vec<&str> = text.lines().take(5).collect();
    let plan_text = |scheme: &str, tile: &str| {
        let matmuls = ["forward 0", "forward 1", "input_delta 1", "gradients"].map(|name| format!("{name}: {tile}"));
        format!("{}\nscheme: {scheme}\n{}\n", head.join("\n"), matmuls.join("\n"))
    };
    [
        plan_text("layered", "register"),
        plan_text("layered", "shared_memory 32 split_k 2"),
        plan_text("layered", "sliced_k 64/16"),
        plan_text("fused, 16 rows in 3 workgroups", "register"),
        plan_text("single_workgroup, 7 steps", "sliced_k 32/4"),
    ]
}

#[test]
fn a_parsed_plan_reproduces_the_bits() {
    for device in devices() {
        let first = trainer(&device, None).expect("a trainer");
        let plan = first.plan();
        assert!(!plan.dispatches().is_empty(), "{device}: {plan}");
        let expected = parameters_after_run(first);
        let parsed = plan.to_string().parse::<Plan>().expect("the text of a plan");
        let second = trainer(&device, Some(parsed)).expect("a trainer");
        assert_eq!(second.plan(), plan, "{device}");
        assert_eq!(parameters_after_run(second), expected, "{device}");

        for text in schemes(&plan).iter().filter(|_| device.is_gpu()) {
            let planned = || trainer(&device, Some(text.parse().expect("a plan"))).expect("a valid plan");
            let actual = planned().plan().to_string();
            assert!(actual.contains(text.lines().nth(5).unwrap_or_default()), "{device}: {actual} for {text}");
            assert_eq!(parameters_after_run(planned()), parameters_after_run(planned()), "{device}: {text}");
        }
    }
}

#[test]
fn a_subgroup_tile_is_an_error_without_subgroups() {
    for adapter in adapters() {
        let (device, queue) = application_device(&adapter, None);
        let device = Device::from_wgpu(device, queue).expect("the adapter's limits are sufficient");
        let plan = trainer(&device, None).expect("a trainer").plan();
        let [layered, ..] = schemes(&plan).map(|text| text.replace("register", "subgroup8 32"));
        let error = trainer(&device, Some(layered.parse().expect("a plan"))).err();
        assert!(matches!(&error, Some(Error::InvalidPlan { field: "tile", .. })), "{device}: {error:?}");
    }
}

#[test]
fn an_invalid_plan_is_an_error_that_names_the_field() {
    for device in devices() {
        let plan = trainer(&device, None).expect("a trainer").plan();
        let text = plan.to_string();
        let expect_error = |text: String, expected: &str| {
            let error = trainer(&device, Some(text.parse().expect("a plan"))).err();
            assert!(
                matches!(&error, Some(Error::InvalidPlan { field, .. }) if *field == expected),
                "{device}: {error:?} for {text}"
            );
        };
        let line =
            |name: &str| text.lines().find(|line| line.starts_with(name)).expect("a line of this name").to_owned();
        for name in ["gradus", "device", "driver", "batch"] {
            expect_error(text.replace(&line(name), &format!("{name}: 77")), name);
        }
        let other_scheme = "scheme: cpu, full batch, 999 threads";
        expect_error(text.replace(&line("scheme"), other_scheme), "scheme");
        expect_error(text.replace(": 9-20-3", ": 9-20-4"), "network");
        let [layered, _, sliced, fused, tiny] = schemes(&plan);
        if device.is_gpu() {
            expect_error(fused.replace("16 rows", "18 rows"), "rows");
            expect_error(fused.replace("16 rows", "4096 rows"), "rows");
            expect_error(
                sliced
                    .replace("layered", "single_workgroup, 5 steps")
                    .replace("1: sliced_k 64/16", "1: sliced_k 64/8 split_k 2"),
                "matmul",
            );
            expect_error(tiny.replace("forward 1: sliced_k 32/4", "forward 1: register"), "matmul");
            expect_error(layered.replace("layered", "single_invocation, 5 steps in 99999 invocations"), "invocations");

            // An invocation cannot hold 4,160 parameters.
            let wide = Network::new(64).dense(64, Activation::Tanh);
            let wide_trainer =
                |plan| Trainer::without_dataset(&device, &wide, TrainerSettings { plan, ..TrainerSettings::default() });
            let [layered, ..] = schemes(&wide_trainer(None).expect("a trainer").plan());
            let plan =
                layered.replace("layered", "single_invocation, 1 steps in 8 invocations").parse().expect("a plan");
            let error = wide_trainer(Some(plan)).err();
            assert!(matches!(error, Some(Error::InvalidPlan { field: "scheme", .. })), "{device}: {error:?}");
        } else {
            expect_error(layered, "scheme");
        }
    }
}

#[test]
fn the_tuner_sorts_plans_by_time_and_caches_the_fastest() {
    let folder = Folder::new();
    let cache = folder.join("cache");
    let tuner = Tuner { time_budget: Duration::from_millis(200), cache_dir: Some(cache.clone()) };
    for device in devices() {
        let measured = tuner.measure(&device, &network(), &settings(None)).expect("measurements");
        assert!(measured.iter().all(|tuned| tuned.seconds_per_step.is_finite()), "{device}: {measured:?}");
        assert!(measured.is_sorted_by(|a, b| a.seconds_per_step <= b.seconds_per_step), "{device}");
        let default = trainer(&device, None).expect("a trainer").plan();
        let has_default = measured.iter().any(|tuned| head(&tuned.plan) == head(&default));
        assert!(has_default, "{device}: the tuner did not measure {default}");

        let fastest = tuner.tune(&device, &network(), &settings(None)).expect("a plan");
        let cached = tuner.tune(&device, &network(), &settings(None)).expect("the plan in the cache");
        assert_eq!(head(&fastest), head(&cached), "{device}");
        parameters_after_run(trainer(&device, Some(cached)).expect("a valid plan"));

        // The tuner replaces the plan of another driver, and a plan that is invalid for these settings.
        let files: Vec<_> = fs::read_dir(&cache).expect("the cache").map(|file| file.expect("a file").path()).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        let text = fastest.to_string();
        let scheme = text.lines().find(|line| line.starts_with("scheme")).expect("a scheme");
        for (current, stale) in [("driver: ", "driver: stale, "), (scheme, "scheme: cpu, stale")] {
            let stale = text.replace(current, stale);
            fs::write(file, &stale).expect("the file");
            let plan = tuner.tune(&device, &network(), &settings(None)).expect("a new plan");
            assert!(!plan.to_string().contains("stale"), "{device}");
            assert_ne!(fs::read_to_string(file).expect("the file"), stale, "{device}");
        }
        fs::remove_dir_all(&cache).expect("the cache");
    }
}

/// The tuner uses its own numbers, on which a training run with the caller's learning rate may diverge.
#[test]
fn the_tuner_measures_settings_that_would_diverge() {
    let network = Network::new(9).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, optimizer: Optimizer::sgd(100.0), ..TrainerSettings::default() };
    let tuner = Tuner { time_budget: Duration::from_millis(200), cache_dir: None };
    for device in devices() {
        let measured = tuner.measure(&device, &network, &settings).expect("measurements");
        assert!(measured.iter().all(|tuned| tuned.seconds_per_step.is_finite()), "{device}: {measured:?}");
    }
}

/// The name of a cache file must not become too long for the file system, even with the widths of 100 layers.
#[test]
fn the_tuner_caches_plans_of_deep_networks() {
    let folder = Folder::new();
    let network = (0..100).fold(Network::new(2), |network, _| network.dense(2, Activation::Tanh));
    let tuner = Tuner { time_budget: Duration::ZERO, cache_dir: Some(folder.join("cache")) };
    let settings = TrainerSettings { batch_size: 1, ..TrainerSettings::default() };
    tuner.tune(&Device::cpu(), &network, &settings).expect("a plan");
}

/// Returns the text of a plan without its table.
fn head(plan: &Plan) -> String {
    let text = plan.to_string();
    text.split("\n\n").next().map(|head| format!("{}\n", head.trim_end())).unwrap_or_default()
}

#[test]
fn a_profile_times_training_steps_and_names_every_kernel() {
    for device in devices() {
        let mut profiled = trainer(&device, None).expect("a trainer");
        let profile = profiled.profile(10).expect("a profile");
        let names: Vec<_> = profile.kernels.iter().map(|kernel| kernel.kernel.clone()).collect();
        let planned: Vec<_> = profiled.plan().dispatches().iter().map(|dispatch| dispatch.kernel.clone()).collect();
        assert_eq!(names, planned, "{device}");
        assert!(profile.seconds_per_step > 0.0 && profile.kernel_seconds() >= 0.0, "{device}: {profile}");

        let mut plain = trainer(&device, None).expect("a trainer");
        plain.run(if device.is_gpu() { 21 } else { 11 }).expect("steps");
        let parameters = [&profiled, &plain].map(|trainer| bits(&trainer.parameters().expect("parameters")));
        assert_eq!(parameters[0], parameters[1], "{device}: profiled steps differ from steps of a run");
    }
}

/// The tuner checks the matmuls of a plan. Dropout, noise, clipping and accumulation must not make the check fail.
#[test]
fn the_tuner_accepts_plans_with_all_training_features() {
    let network = Network::new(9).dense(20, Activation::Gelu).dropout(0.4).dense(3, Activation::Sigmoid);
    let schedule = Schedule::cosine(100).with_warmup(10);
    let optimizer = Optimizer::adam(0.01).clip_norm(0.01);
    let settings =
        TrainerSettings { optimizer, schedule, gradient_accumulation: 3, input_noise_std: 0.5, ..settings(None) };
    for device in devices().iter().filter(|device| device.is_gpu()) {
        let tuner = Tuner { time_budget: Duration::from_millis(10), ..Tuner::default() };
        for tuned in tuner.measure(device, &network, &settings).expect("plans") {
            assert!(tuned.seconds_per_step.is_finite(), "{device}: {}", tuned.plan);
        }
    }
}
