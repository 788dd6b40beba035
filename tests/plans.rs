//! Plans on every device: printed, saved, pinned, refused, found by measuring, and what a profile tells of them.

use std::{fs, time::Duration};

use crate::common::{Folder, adapters, bits, callers, devices, numbers};
use gradus::{
    Activation, Dataset, Device, Error, Network, Optimizer, Schedule, Trainer, TrainerSettings,
    plan::{Plan, Tuner},
};

const ROWS: usize = 200;

fn network() -> Network {
    Network::new(9).dense(20, Activation::Tanh).dense(3, Activation::Sigmoid)
}

fn data() -> Dataset {
    let answers: Vec<f32> = numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect();
    Dataset::new(ROWS, numbers(ROWS * 9, 1), answers).expect("a data set")
}

fn settings(plan: Option<Plan>) -> TrainerSettings {
    TrainerSettings { batch_size: 70, optimizer: Optimizer::momentum(0.4, 0.9), plan, ..TrainerSettings::default() }
}

fn trainer(device: &Device, plan: Option<Plan>) -> Result<Trainer, Error> {
    Trainer::new(device, &network(), &data(), settings(plan))
}

/// The parameters after some steps.
fn trained(mut trainer: Trainer) -> Vec<u32> {
    trainer.run(30).expect("steps");
    bits(&trainer.parameters().expect("parameters"))
}

/// Every scheme by its text, in tiles that run everywhere.
fn schemes(plan: &Plan) -> [String; 5] {
    let text = plan.to_string();
    let head: Vec<&str> = text.lines().take(5).collect();
    let of = |scheme: &str, tile: &str| {
        let ways = ["forward 0", "forward 1", "input_delta 1", "gradients"].map(|name| format!("{name}: {tile}"));
        format!("{}\nscheme: {scheme}\n{}\n", head.join("\n"), ways.join("\n"))
    };
    [
        of("layered", "plain"),
        of("layered", "staged 32 in 2 parts"),
        of("layered", "sliced 64/16"),
        of("fused, 16 rows in 3 workgroups", "plain"),
        of("tiny, 7 steps", "sliced 32/4"),
    ]
}

#[test]
fn a_plan_that_is_saved_and_pinned_gives_the_same_bits() {
    for device in devices() {
        let first = trainer(&device, None).expect("a trainer");
        let plan = first.plan();
        assert!(!plan.dispatches().is_empty(), "{device}: {plan}");
        let expected = trained(first);
        let read = plan.to_string().parse::<Plan>().expect("its own text");
        let again = trainer(&device, Some(read)).expect("its own plan");
        assert_eq!(again.plan(), plan, "{device}");
        assert_eq!(trained(again), expected, "{device}");

        for text in schemes(&plan).iter().filter(|_| device.is_gpu()) {
            let pinned = || trainer(&device, Some(text.parse().expect("a plan"))).expect("a plan that runs everywhere");
            let followed = pinned().plan().to_string();
            assert!(followed.contains(text.lines().nth(5).unwrap_or_default()), "{device}: {followed} for {text}");
            assert_eq!(trained(pinned()), trained(pinned()), "{device}: {text}");
        }
    }
}

#[test]
fn a_tile_of_subgroups_is_refused_on_a_device_without_them() {
    for adapter in adapters() {
        let (device, queue) = callers(&adapter, None);
        let device = Device::from_wgpu(device, queue).expect("the adapter's limits are enough");
        let plan = trainer(&device, None).expect("a trainer").plan();
        let [layered, ..] = schemes(&plan).map(|text| text.replace("plain", "lanes8 32"));
        let refused = trainer(&device, Some(layered.parse().expect("a plan"))).err();
        assert!(matches!(&refused, Some(Error::InvalidPlan { field: "tile", .. })), "{device}: {refused:?}");
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused_before_anything_is_made() {
    for device in devices() {
        let plan = trainer(&device, None).expect("a trainer").plan();
        let text = plan.to_string();
        let refused = |text: String, what: &str| {
            let error = trainer(&device, Some(text.parse().expect("a plan"))).err();
            assert!(
                matches!(&error, Some(Error::InvalidPlan { field: of, .. }) if *of == what),
                "{device}: {error:?} for {text}"
            );
        };
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).expect("its line").to_owned();
        for name in ["gradus", "device", "driver", "batch"] {
            refused(text.replace(&line(name), &format!("{name}: 77")), name);
        }
        refused(text.replace(&line("scheme"), "scheme: cpu, on another planet"), "scheme");
        refused(text.replace(": 9-20-3", ": 9-20-4"), "network");
        let [layered, _, sliced, fused, tiny] = schemes(&plan);
        if device.is_gpu() {
            refused(fused.replace("16 rows", "18 rows"), "rows");
            refused(fused.replace("16 rows", "4096 rows"), "rows");
            refused(
                sliced.replace("layered", "tiny, 5 steps").replace("1: sliced 64/16", "1: sliced 64/8 in 2 parts"),
                "ways",
            );
            refused(tiny.replace("forward 1: sliced 32/4", "forward 1: plain"), "ways");
            refused(layered.replace("layered", "lane, 5 steps in 99999 lanes"), "lanes");

            // No invocation can hold so many weights.
            let wide = Network::new(64).dense(64, Activation::Tanh);
            let of =
                |plan| Trainer::without_dataset(&device, &wide, TrainerSettings { plan, ..TrainerSettings::default() });
            let [layered, ..] = schemes(&of(None).expect("a trainer").plan());
            let plan = layered.replace("layered", "lane, 1 steps in 8 lanes").parse().expect("a plan");
            let error = of(Some(plan)).err();
            assert!(matches!(error, Some(Error::InvalidPlan { field: "scheme", .. })), "{device}: {error:?}");
        } else {
            refused(layered, "scheme");
        }
    }
}

#[test]
fn the_tuner_measures_plans_that_are_right_and_keeps_the_fastest() {
    let folder = Folder::new();
    let cache = folder.join("cache");
    let tuner = Tuner { time_budget: Duration::from_millis(200), cache_dir: Some(cache.clone()) };
    for device in devices() {
        let measured = tuner.measure(&device, &network(), &settings(None)).expect("measurements");
        assert!(measured.iter().all(|tuned| tuned.seconds_per_step.is_finite()), "{device}: {measured:?}");
        assert!(measured.is_sorted_by(|a, b| a.seconds_per_step <= b.seconds_per_step), "{device}");
        let own = trainer(&device, None).expect("a trainer").plan();
        assert!(measured.iter().any(|tuned| head(&tuned.plan) == head(&own)), "{device}: {own} is none of them");

        let found = tuner.tune(&device, &network(), &settings(None)).expect("a plan");
        let again = tuner.tune(&device, &network(), &settings(None)).expect("the same, from the cache");
        assert_eq!(head(&found), head(&again), "{device}");
        trained(trainer(&device, Some(again)).expect("a plan that fits"));

        // A file of another driver is replaced, and so is one of a plan that other settings may have found.
        let files: Vec<_> = fs::read_dir(&cache).expect("the cache").map(|file| file.expect("a file").path()).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        let scheme = found.to_string().lines().find(|line| line.starts_with("scheme")).expect("its scheme").to_owned();
        for (of_now, of_old) in [("driver: ", "driver: of old, "), (scheme.as_str(), "scheme: cpu, of old")] {
            let stale = found.to_string().replace(of_now, of_old);
            fs::write(file, &stale).expect("the file");
            let plan = tuner.tune(&device, &network(), &settings(None)).expect("a new plan");
            assert!(!plan.to_string().contains("of old"), "{device}");
            assert_ne!(fs::read_to_string(file).expect("the file"), stale, "{device}");
        }
        fs::remove_dir_all(&cache).expect("the cache");
    }
}

/// No plan is slower because a training at the caller's rate would diverge on the tuner's numbers.
#[test]
fn the_tuner_measures_what_would_diverge() {
    let network = Network::new(9).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, optimizer: Optimizer::sgd(100.0), ..TrainerSettings::default() };
    let tuner = Tuner { time_budget: Duration::from_millis(200), cache_dir: None };
    for device in devices() {
        let measured = tuner.measure(&device, &network, &settings).expect("measurements");
        assert!(measured.iter().all(|tuned| tuned.seconds_per_step.is_finite()), "{device}: {measured:?}");
    }
}

/// The names of files have an end, those of devices and widths may have more.
#[test]
fn the_tuner_keeps_plans_of_deep_networks() {
    let folder = Folder::new();
    let network = (0..100).fold(Network::new(2), |network, _| network.dense(2, Activation::Tanh));
    let tuner = Tuner { time_budget: Duration::ZERO, cache_dir: Some(folder.join("cache")) };
    let settings = TrainerSettings { batch_size: 1, ..TrainerSettings::default() };
    tuner.tune(&Device::cpu(), &network, &settings).expect("a plan");
}

/// The text without its table.
fn head(plan: &Plan) -> String {
    let text = plan.to_string();
    text.split("\n\n").next().map(|head| format!("{}\n", head.trim_end())).unwrap_or_default()
}

#[test]
fn a_profile_takes_the_steps_it_times_and_names_every_kernel() {
    for device in devices() {
        let mut profiled = trainer(&device, None).expect("a trainer");
        let profile = profiled.profile(10).expect("a profile");
        let names: Vec<_> = profile.kernels.iter().map(|kernel| kernel.kernel.clone()).collect();
        let planned: Vec<_> = profiled.plan().dispatches().iter().map(|row| row.kernel.clone()).collect();
        assert_eq!(names, planned, "{device}");
        assert!(profile.seconds_per_step > 0.0 && profile.kernel_seconds() >= 0.0, "{device}: {profile}");

        let mut plain = trainer(&device, None).expect("a trainer");
        plain.run(if device.is_gpu() { 21 } else { 11 }).expect("steps");
        let both = [&profiled, &plain].map(|trainer| bits(&trainer.parameters().expect("parameters")));
        assert_eq!(both[0], both[1], "{device}: a profile's steps are steps");
    }
}

/// Whatever is asked of a training, its plans are judged by their products.
#[test]
fn plans_of_a_training_with_everything_are_found_right() {
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
