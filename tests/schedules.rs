//! Schedules against the learning rates of PyTorch's schedules (`traces/make_traces.py` records them).

use std::{collections::BTreeMap, mem::discriminant};

use gradus::Schedule;
use serde_json::Value;

/// Returns the schedules of the file by their names in the file.
fn schedules() -> BTreeMap<&'static str, Schedule> {
    let tripled_periods = Schedule::CosineAnnealing { period: 2, period_factor: Some(3), min_factor: 0.0 };
    let step = Schedule::Step { step_size: 9, factor: 0.7 };
    BTreeMap::from([
        ("constant", Schedule::Constant),
        ("step", Schedule::step(20)),
        ("step_options", Schedule::Step { step_size: 7, factor: 0.8 }),
        ("multi_step", Schedule::multi_step([15, 40])),
        ("multi_step_options", Schedule::MultiStep { milestones: vec![50, 3, 20, 20], factor: 0.6 }),
        ("exponential", Schedule::exponential(0.95)),
        ("polynomial", Schedule::polynomial(60)),
        ("polynomial_options", Schedule::Polynomial { total_steps: 70, power: 2.5 }),
        ("cosine", Schedule::cosine(70)),
        ("cosine_options", Schedule::CosineAnnealing { period: 61, period_factor: None, min_factor: 0.05 }),
        ("cosine_restarts", Schedule::cosine_restarts(10)),
        ("cosine_restarts_options", Schedule::CosineAnnealing { period: 7, period_factor: Some(2), min_factor: 0.01 }),
        ("cosine_restarts_thrice", tripled_periods),
        ("one_cycle", Schedule::one_cycle(75)),
        (
            "one_cycle_options",
            Schedule::OneCycle { total_steps: 64, warmup_fraction: 0.45, start_factor: 0.1, end_factor: 0.001 },
        ),
        (
            "one_cycle_down",
            Schedule::OneCycle { total_steps: 60, warmup_fraction: 0.0, start_factor: 0.04, end_factor: 1.0 / 25e4 },
        ),
        ("inverse_scaling", Schedule::inverse_scaling(0.1)),
        ("inverse_scaling_options", Schedule::InverseScaling { scale: 32.0, power: 0.75 }),
        ("warm_up", Schedule::cosine(60).with_warmup(10)),
        ("warm_up_options", Schedule::Warmup { steps: 25, start_factor: 0.01, schedule: Box::new(step) }),
        ("step_per_epoch", Schedule::step(3).per_epoch()),
        ("warm_up_per_epoch", Schedule::exponential(0.9).with_warmup(4).per_epoch()),
    ])
}

#[test]
fn schedules_match_pytorch() {
    let json = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/schedules/pytorch.json"));
    let file: Value = serde_json::from_str(&json.expect("the file exists")).expect("JSON");
    let (file, schedules) = (file.as_object().expect("an object"), schedules());
    assert!(file.keys().eq(schedules.keys()), "the file has other schedules");
    for (name, schedule) in &schedules {
        let updates_per_epoch = file[*name]["updates_per_epoch"].as_u64().expect("a number");
        let factors = file[*name]["factors"].as_array().expect("factors");
        assert!(factors.len() >= 60, "{name}");
        for (update, expected) in (0..).zip(factors) {
            let (factor, expected) = (schedule.factor(update, updates_per_epoch), expected.as_f64().expect("a number"));
            assert!((factor - expected).abs() <= 1e-12, "{name}, update {update}: expected {expected}, got {factor}");
        }
    }
}

#[test]
fn every_schedule_variant_is_compared_with_pytorch() {
    let schedules = schedules();
    for example in Schedule::examples() {
        assert!(schedules.values().any(|s| discriminant(s) == discriminant(&example)), "{example:?}");
    }
}
