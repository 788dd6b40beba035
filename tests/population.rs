//! Populations: each member has the bits of a trainer with the same settings, subset and plan.

use crate::common::{adapters, bits, devices, numbers, open, xor};
use gradus::{
    Activation, Dataset, Device, EarlyStopping, Error, History, Loss, Member, Network, Optimizer, Population, Schedule,
    Trainer, TrainerSettings, TrainingLoop,
    data::{Fold, Subset},
    train::{ReduceOnPlateau, RunReport, StopReason, Validation},
    wgpu,
};

const ROWS: usize = 53;

fn data() -> Dataset {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), classes).expect("a data set")
}

/// Returns subsets of every kind.
fn mixed_subset(member: usize) -> Subset {
    match member % 5 {
        0 => Subset::All,
        1 => Subset::TrainFold(Fold { index: member % 4, count: 4, seed: Some(9) }),
        2 => Subset::Bootstrap { seed: member as u64 },
        3 => Subset::Range { start: 7, len: 30 },
        _ => Subset::TrainFold(Fold { index: member % 3, count: 3, seed: None }),
    }
}

/// Returns members with different learning rates, weight decays, schedules, seeds and subsets.
fn members(count: usize, settings: &TrainerSettings, subset: fn(usize) -> Subset) -> Vec<Member> {
    let new_member = |index: usize| {
        let factor = 1.0 + index as f64 / 10.0;
        let mut optimizer = settings.optimizer;
        optimizer.learning_rate *= factor;
        optimizer.weight_decay = 0.01 * (index % 3) as f64;
        let schedule =
            if index.is_multiple_of(2) { Schedule::Constant } else { Schedule::exponential(1.0 - 0.01 / factor) };
        let seed = 40 + index as u64;
        Member::new(TrainerSettings { optimizer, schedule, seed, ..settings.clone() }).with_subset(subset(index))
    };
    (0..count).map(new_member).collect()
}

/// Returns a network with the dropout probability `p`.
fn network_with_dropout(p: f64) -> Network {
    let dense = Network::new(5).dense(8, Activation::Tanh).dropout(p).dense(9, Activation::Relu).dropout(p);
    dense.dense(3, Activation::Identity)
}

/// Returns a trainer with the settings, the dropout and the rows of a member, and with the plan of the population.
fn trainer_of_member(
    device: &Device,
    network: &Network,
    data: &Dataset,
    member: &Member,
    plan: &gradus::plan::Plan,
) -> Trainer {
    let rows = member.subset.indices(data.rows()).expect("rows");
    let data = data.select(&rows).expect("rows of the data set");
    let settings = TrainerSettings { plan: Some(plan.clone()), ..member.settings.clone() };
    let network = member.dropout.map_or_else(|| network.clone(), network_with_dropout);
    Trainer::new(device, &network, &data, settings).unwrap_or_else(|error| panic!("{device}: {error}"))
}

/// Compares some members of a population with trainers, over two runs with a stop between them.
fn compare_with_trainers(device: &Device, network: &Network, data: &Dataset, members: &[Member], steps: [usize; 2]) {
    let context = format!("{device}, {} members, {:?}", members.len(), network.layers());
    let mut population =
        Population::new(device, network, data, members).unwrap_or_else(|error| panic!("{context}: {error}"));
    let plan = population.plan();
    let first = population.run(steps[0]).unwrap_or_else(|error| panic!("{context}: {error}"));
    // Stop a member; the last member moves to its slot.
    let stopped = members.len() / 3;
    if members.len() > 1 {
        population.stop(stopped).expect("an active member");
    }
    let second = population.run(steps[1]).expect("steps");
    assert_eq!(population.active_members().count(), members.len() - usize::from(members.len() > 1));
    let inputs = numbers(3 * network.inputs(), 4);
    let outputs = population.predict(&inputs).expect("outputs");
    let mut compared = vec![0, stopped, members.len() / 2, members.len() - 1];
    compared.dedup();
    for member in compared {
        let context = format!("{context}, member {member}");
        let is_stopped = members.len() > 1 && member == stopped;
        let mut trainer = trainer_of_member(device, network, data, &members[member], &plan);
        assert_eq!(trainer.run(steps[0]).as_ref(), Ok(&first[member]), "{context}");
        if is_stopped {
            assert_eq!((second[member].losses.len(), population.steps(member)), (0, Ok(steps[0] as u64)), "{context}");
        } else {
            assert_eq!(trainer.run(steps[1]).as_ref(), Ok(&second[member]), "{context}");
        }
        let expected = trainer.parameters().expect("parameters");
        assert_eq!(bits(&population.parameters(member).expect("parameters")), bits(&expected), "{context}");
        assert_eq!(population.model(member).expect("a model").parameters, expected, "{context}");
        assert_eq!(trainer.predict(&inputs).as_ref(), Ok(&outputs[member]), "{context}");
    }
}

#[test]
fn each_member_computes_the_bits_of_a_trainer() {
    let softmax = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let small = Network::new(5).dense(6, Activation::Tanh).dense(3, Activation::Identity);
    let normalized =
        Network::new(5).dense(7, Activation::Relu).batch_norm().dropout(0.2).dense(3, Activation::Identity);
    for device in devices() {
        for count in [1, 2, 33] {
            let settings = TrainerSettings { optimizer: Optimizer::adam(0.01), ..softmax.clone() };
            compare_with_trainers(&device, &small, &data(), &members(count, &settings, mixed_subset), [11, 9]);
        }
        // The layered scheme with gradient accumulation, noise and EMA.
        let optimizer = Optimizer::momentum(0.05, 0.9).clip_norm(0.5).ema(0.9);
        let settings = TrainerSettings { optimizer, gradient_accumulation: 2, input_noise_std: 0.1, ..softmax.clone() };
        compare_with_trainers(&device, &normalized, &data(), &members(7, &settings, mixed_subset), [5, 6]);
        // Members with different dropout probabilities.
        let mut with_dropout = members(9, &softmax, mixed_subset);
        with_dropout.iter_mut().zip(1..).for_each(|(member, n)| member.dropout = Some(f64::from(n) / 11.0));
        compare_with_trainers(&device, &network_with_dropout(0.5), &data(), &with_dropout, [6, 7]);
        // Networks so small that one invocation can train one.
        let xor_settings =
            TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(0.5), ..TrainerSettings::default() };
        let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Sigmoid);
        for count in [1, 2, 33, 1000] {
            compare_with_trainers(&device, &network, &xor(), &members(count, &xor_settings, |_| Subset::All), [40, 30]);
        }
    }
}

#[test]
fn members_compute_the_bits_of_a_trainer_in_other_schemes() {
    let network = Network::new(5).dense(20, Activation::Tanh).dense(3, Activation::Sigmoid);
    let data = Dataset::new(200, numbers(200 * 5, 1), numbers(200 * 3, 2)).expect("a data set");
    let settings =
        TrainerSettings { batch_size: 70, optimizer: Optimizer::momentum(0.4, 0.9), ..TrainerSettings::default() };
    for device in devices().into_iter().skip(1) {
        let first = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer").plan().to_string();
        let head = first.lines().take(5).collect::<Vec<_>>().join("\n");
        for (scheme, tile) in
            [("fused, 16 rows in 2 workgroups", "register"), ("layered", "shared_memory 32 split_k 2")]
        {
            let matmuls =
                ["forward 0", "forward 1", "input_delta 1", "gradients"].map(|name| format!("{name}: {tile}"));
            let plan = format!("{head}\nscheme: {scheme}\n{}\n", matmuls.join("\n")).parse().expect("a plan");
            let settings = TrainerSettings { plan: Some(plan), ..settings.clone() };
            compare_with_trainers(&device, &network, &data, &members(5, &settings, |_| Subset::All), [5, 4]);
        }
    }
}

#[test]
fn a_diverged_member_stops_and_the_others_continue() {
    let settings =
        |rate| TrainerSettings { batch_size: 8, optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() };
    let network = Network::new(5).dense(6, Activation::Relu).dense(1, Activation::Identity);
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), numbers(ROWS, 2)).expect("a data set");
    for device in devices() {
        let members = [0.01, 1e6, 0.02].map(|rate| Member::new(settings(rate)));
        let mut population = Population::new(&device, &network, &data, &members).expect("a population");
        let reports = population.run(50).expect("steps");
        let is_finite = |report: &RunReport| report.losses.iter().all(|loss| loss.is_finite());
        assert_eq!(reports.iter().map(is_finite).collect::<Vec<_>>(), [true, false, true], "{device}");
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0, 2], "{device}");
        let more = population.run(5).expect("steps");
        assert_eq!(more.iter().map(|report| report.losses.len()).collect::<Vec<_>>(), [5, 0, 5], "{device}");
        population.stop(0).and_then(|()| population.stop(2)).and_then(|()| population.stop(2)).expect("active members");
        assert!(population.run(5).expect("empty reports").iter().all(|report| report.losses.is_empty()), "{device}");
    }
}

/// Every batch has all rows, so all batches between two updates have the same gradients.
#[test]
fn a_restored_snapshot_continues_its_gradient_accumulation() {
    let network = Network::new(5).dense(1, Activation::Identity);
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), numbers(ROWS, 2)).expect("a data set");
    let settings = TrainerSettings {
        batch_size: ROWS,
        gradient_accumulation: 4,
        optimizer: Optimizer::sgd(0.1),
        ..TrainerSettings::default()
    };
    for device in devices() {
        // After 6 steps two batches are accumulated. Take a snapshot there, restore it `between` steps later, and
        // return the change by the next update.
        let change = |between: usize| {
            let members = [Member::new(settings.clone())];
            let mut population = Population::new(&device, &network, &data, &members).expect("a population");
            population.run(6).and_then(|_| population.snapshot(&[0])).expect("a snapshot");
            let before = population.parameters(0).expect("parameters")[0].weight[0];
            population.run(between).and_then(|_| population.restore(0)).expect("a restored snapshot");
            population.run(4 - (6 + between) % 4).expect("an update");
            population.parameters(0).expect("parameters")[0].weight[0] - before
        };
        let full_change = change(0);
        for (between, fraction) in [(4, 1.0), (1, 0.25), (2, 1.0), (3, 0.75)] {
            let error = (change(between) - fraction * full_change).abs() / full_change.abs();
            assert!(error < 1e-4, "{device}: {between} steps between, {error}");
        }
    }
}

#[test]
fn invalid_populations_are_errors() {
    let network = Network::new(5).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for device in devices() {
        let error = |members: &[Member]| {
            Population::new(&device, &network, &data(), members).expect_err("an invalid population").to_string()
        };
        assert_eq!(error(&[]), "population: expected at least 1 member, got 0");
        let member = Member::new(settings.clone());
        for (other, name, values) in [
            (TrainerSettings { batch_size: 9, ..settings.clone() }, "batch_size", ["8", "9"]),
            (TrainerSettings { loss: Loss::Mse, ..settings.clone() }, "loss", ["softmax_cross_entropy", "mse"]),
            (TrainerSettings { shuffle: false, ..settings.clone() }, "shuffle", ["true", "false"]),
            (
                TrainerSettings { optimizer: Optimizer::adam(0.1), ..settings.clone() },
                "optimizer",
                ["sgd (regularize_biases)", "adam (regularize_biases)"],
            ),
            (
                TrainerSettings { optimizer: Optimizer::sgd(0.1).clip_norm(1.0), ..settings.clone() },
                "optimizer",
                ["sgd (regularize_biases)", "sgd (clip_norm, regularize_biases)"],
            ),
        ] {
            let [expected, got] = values;
            assert_eq!(
                error(&[member.clone(), member.clone(), Member::new(other)]),
                format!(
                    "population: expected {name} {expected} in every member, as in member 0, got {got} in \
                     member 2"
                )
            );
        }
        let invalid_fold = member.clone().with_subset(Subset::TrainFold(Fold { index: 5, count: 5, seed: None }));
        assert_eq!(error(&[invalid_fold]), "Fold::index: expected 0 to 4, got 5");
        let with_dropout = member.clone().with_dropout(0.2);
        assert_eq!(
            error(&[with_dropout]),
            "Member::dropout: expected a network with dropout layers, got none in member 0"
        );
        let mut population = Population::new(&device, &network, &data(), &[member]).expect("a population");
        assert!(matches!(population.stop(1), Err(Error::InvalidSetting { .. })));
        assert!(population.parameters(7).is_err() && population.steps(1).is_err());
    }
}

#[test]
fn memory_is_estimated_and_too_large_populations_are_errors() {
    let network = Network::new(5).dense(64, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for device in devices() {
        let estimate =
            |count| Population::estimate_memory(&device, &network, &data(), &members(count, &settings, mixed_subset));
        let [single, many] = [1, 1000].map(|count| estimate(count).expect("an estimate"));
        let (parameters, count) = (network.parameter_count() as u64, many.group_sizes.iter().sum::<usize>());
        assert!(single.bytes() > 8 * parameters && many.bytes() > 8 * 1000 * parameters, "{device}: {single}{many}");
        assert_eq!((single.group_sizes.as_slice(), count), (&[1][..], 1000), "{device}");
        assert!(many.to_string().ends_with("1000 members\n"), "{many}");
        // 1000 networks of 1.6 GB each exceed the memory of any computer.
        let large = Network::new(5).dense(20_000, Activation::Tanh).dense(20_000, Activation::Tanh);
        let large = large.dense(3, Activation::Identity);
        let error = Population::new(&device, &large, &data(), &members(1000, &settings, |_| Subset::All)).err();
        let is_memory_error = matches!(error, Some(Error::OutOfMemory { .. } | Error::DeviceLimit { .. }));
        assert!(is_memory_error, "{device}: {error:?}");
    }
}

#[test]
fn members_in_several_groups_compute_the_same_bits() {
    let network = Network::new(5).dense(16, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for adapter in adapters() {
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..adapter.limits.clone() };
        let [small, large] = [open(&adapter, Some(limits)), open(&adapter, None)];
        let members = members(33, &settings, mixed_subset);
        let estimate = Population::estimate_memory(&small, &network, &data(), &members).expect("an estimate");
        assert!(estimate.group_sizes.len() > 2 && estimate.to_string().contains("groups"), "{estimate}");
        let mut grouped = Population::new(&small, &network, &data(), &members).expect("a population");
        let mut members_with_plan = members.clone();
        members_with_plan.iter_mut().for_each(|member| member.settings.plan = Some(grouped.plan()));
        let mut in_one_group = Population::new(&large, &network, &data(), &members_with_plan).expect("a population");
        for member in [3, 30] {
            assert_eq!(grouped.run(9), in_one_group.run(9), "{small}");
            grouped.stop(member).and_then(|()| in_one_group.stop(member)).expect("an active member");
        }
        let subsets: Vec<Subset> =
            members.iter().map(|member| member.subset.held_out().unwrap_or(member.subset)).collect();
        let metrics = grouped.evaluate_subsets(&subsets).expect("metrics");
        let expected = in_one_group.evaluate_subsets(&subsets).expect("metrics");
        for (metrics, expected) in metrics.iter().zip(&expected) {
            assert!((metrics.loss() - expected.loss()).abs() < 1e-5, "{small}");
            assert_eq!(metrics.accuracy(), expected.accuracy(), "{small}");
        }
        for member in 0..33 {
            let parameters = [&grouped, &in_one_group].map(|p| bits(&p.parameters(member).expect("parameters")));
            assert_eq!(parameters[0], parameters[1], "{small}: {member}");
        }
    }
}

/// Steps, loss, learning rate and accuracy of an epoch, and its rounded validation loss and accuracy.
type ComparableEpoch = (usize, f64, f64, Option<f64>, [i64; 2]);

/// Returns the epochs without their times, and with rounded validation metrics.
fn comparable_epochs(history: &History) -> Vec<ComparableEpoch> {
    let rounded = |value: Option<f64>| (value.unwrap_or(-1.0) * 1e4).round() as i64;
    let epoch = |epoch: &gradus::train::Epoch| {
        let validation = epoch.validation.as_ref();
        let numbers =
            [validation.map(gradus::metrics::Metrics::loss), validation.and_then(gradus::metrics::Metrics::accuracy)];
        (epoch.steps, epoch.loss, epoch.learning_rate, epoch.accuracy, numbers.map(rounded))
    };
    history.epochs.iter().map(epoch).collect()
}

#[test]
fn each_member_of_a_training_loop_trains_like_a_trainer() {
    let network = Network::new(5).dense(12, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings {
        batch_size: 8,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(0.01),
        ..TrainerSettings::default()
    };
    let fold = |member: usize| Subset::TrainFold(Fold { index: member % 6, count: 6, seed: Some(1) });
    let stopping = EarlyStopping { patience: 3, ..EarlyStopping::default() };
    let plateau = ReduceOnPlateau { patience: 1, factor: 0.5, ..ReduceOnPlateau::default() };
    for device in devices() {
        let members = members(6, &settings, fold);
        let mut population = Population::new(&device, &network, &data(), &members).expect("a population");
        let training = TrainingLoop::new(12).early_stopping(stopping).reduce_on_plateau(plateau);
        let histories =
            training.clone().validation(Validation::HeldOutFold).run_population(&mut population).expect("epochs");
        assert!(
            histories.iter().any(|history| history.stop_reason == StopReason::NoImprovement),
            "{device}: no member stops early"
        );
        for (index, (member, history)) in members.iter().zip(&histories).enumerate() {
            let mut trainer = trainer_of_member(&device, &network, &data(), member, &population.plan());
            let held_out = member.subset.held_out().expect("a fold").indices(ROWS).expect("rows");
            let held_out = data().select(&held_out).expect("rows");
            let expected = training.clone().validation_data(&held_out).run(&mut trainer).expect("epochs");
            let context = format!("{device}, member {index}\n{history}\n{expected}");
            assert_eq!(comparable_epochs(history), comparable_epochs(&expected), "{context}");
            assert_eq!(
                (history.best_epoch, history.stop_reason),
                (expected.best_epoch, expected.stop_reason),
                "{context}"
            );
            let parameters = [population.parameters(index), trainer.parameters()].map(|p| p.expect("parameters"));
            assert_eq!(bits(&parameters[0]), bits(&parameters[1]), "{context}");
        }
    }
}

#[test]
fn a_population_loop_rejects_invalid_settings_and_reports_divergence() {
    let network = Network::new(5).dense(6, Activation::Relu).dense(3, Activation::Identity);
    let member = |rate| {
        let optimizer = Optimizer::sgd(rate);
        Member::new(TrainerSettings { batch_size: 8, loss: Loss::Mse, optimizer, ..TrainerSettings::default() })
    };
    for device in devices() {
        let mut population =
            Population::new(&device, &network, &data(), &[0.01, 1e6].map(member)).expect("a population");
        let error = |training: TrainingLoop, population: &mut Population| {
            training.run_population(population).expect_err("invalid settings").to_string()
        };
        assert_eq!(
            error(TrainingLoop::new(1).validation(Validation::HeldOutFold), &mut population),
            "Validation::HeldOutFold: expected Subset::TrainFold in every member, got Subset::All in member 0; pass a \
             validation set instead"
        );
        assert!(error(TrainingLoop::new(1).callback_every(3), &mut population).contains("callback_every"));
        assert!(error(TrainingLoop::new(1).validation_split(0.2), &mut population).contains("split"));
        let histories = TrainingLoop::new(3).validation_data(&data()).run_population(&mut population).expect("epochs");
        assert_eq!(
            histories.iter().map(|h| h.stop_reason).collect::<Vec<_>>(),
            [StopReason::Completed, StopReason::Diverged],
            "{device}"
        );
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0]);
        // max_steps can end the loop within an epoch.
        let histories = TrainingLoop::new(3).max_steps(9).run_population(&mut population).expect("epochs");
        assert_eq!(histories[0].epochs.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [7, 2]);
        assert_eq!(histories[1], History::default());
        let mut trainer = Trainer::new(&device, &network, &data(), member(0.1).settings).expect("a trainer");
        let training = TrainingLoop::new(1).validation(Validation::HeldOutFold);
        assert!(training.run(&mut trainer).expect_err("a single network").to_string().contains("single network"));
    }
}
