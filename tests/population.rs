//! Many networks at once: each ends with the bits that it has alone.

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

/// Rows of every kind, by turns.
fn rows(number: usize) -> Subset {
    match number % 5 {
        0 => Subset::All,
        1 => Subset::TrainFold(Fold { index: number % 4, count: 4, seed: Some(9) }),
        2 => Subset::Bootstrap { seed: number as u64 },
        3 => Subset::Range { start: 7, len: 30 },
        _ => Subset::TrainFold(Fold { index: number % 3, count: 3, seed: None }),
    }
}

/// Members whose every number differs.
fn members(count: usize, settings: &TrainerSettings, rows: fn(usize) -> Subset) -> Vec<Member> {
    let member = |number: usize| {
        let share = 1.0 + number as f64 / 10.0;
        let mut optimizer = settings.optimizer;
        optimizer.learning_rate *= share;
        optimizer.weight_decay = 0.01 * (number % 3) as f64;
        let schedule =
            if number.is_multiple_of(2) { Schedule::Constant } else { Schedule::exponential(1.0 - 0.01 / share) };
        let seed = 40 + number as u64;
        Member::new(TrainerSettings { optimizer, schedule, seed, ..settings.clone() }).with_subset(rows(number))
    };
    (0..count).map(member).collect()
}

/// A network that drops this share.
fn dropping(share: f64) -> Network {
    let dense = Network::new(5).dense(8, Activation::Tanh).dropout(share).dense(9, Activation::Relu).dropout(share);
    dense.dense(3, Activation::Identity)
}

/// What a network is when it is trained alone on the same rows under the same plan.
fn alone(device: &Device, network: &Network, data: &Dataset, member: &Member, plan: &gradus::plan::Plan) -> Trainer {
    let all: Vec<usize> = (0..data.rows()).collect();
    let rows = member.subset.indices(all.len()).expect("rows");
    let data = data.select(&rows).expect("rows of the data set");
    let settings = TrainerSettings { plan: Some(plan.clone()), ..member.settings.clone() };
    let network = member.dropout.map_or_else(|| network.clone(), dropping);
    Trainer::new(device, &network, &data, settings).unwrap_or_else(|error| panic!("{device}: {error}"))
}

fn compare(device: &Device, network: &Network, data: &Dataset, members: &[Member], steps: [usize; 2]) {
    let what = format!("{device}, {} of {:?}", members.len(), network.layers());
    let mut population =
        Population::new(device, network, data, members).unwrap_or_else(|error| panic!("{what}: {error}"));
    let plan = population.plan();
    let first = population.run(steps[0]).unwrap_or_else(|error| panic!("{what}: {error}"));
    // One leaves, and the last takes its slot.
    let stopped = members.len() / 3;
    if members.len() > 1 {
        population.stop(stopped).expect("it was in training");
    }
    let second = population.run(steps[1]).expect("steps");
    assert_eq!(population.active_members().count(), members.len() - usize::from(members.len() > 1));
    let inputs = numbers(3 * network.inputs(), 4);
    let outputs = population.predict(&inputs).expect("outputs");
    let mut looked_at = vec![0, stopped, members.len() / 2, members.len() - 1];
    looked_at.dedup();
    for number in looked_at {
        let is_stopped = members.len() > 1 && number == stopped;
        let mut trainer = alone(device, network, data, &members[number], &plan);
        assert_eq!(trainer.run(steps[0]).as_ref(), Ok(&first[number]), "{what}: {number}");
        if is_stopped {
            assert_eq!((second[number].losses.len(), population.steps(number)), (0, Ok(steps[0] as u64)), "{what}");
        } else {
            assert_eq!(trainer.run(steps[1]).as_ref(), Ok(&second[number]), "{what}: {number}");
        }
        let expected = trainer.parameters().expect("parameters");
        assert_eq!(bits(&population.parameters(number).expect("parameters")), bits(&expected), "{what}: {number}");
        assert_eq!(population.model(number).expect("a model").parameters, expected, "{what}: {number}");
        assert_eq!(trainer.predict(&inputs).as_ref(), Ok(&outputs[number]), "{what}: {number}");
    }
}

#[test]
fn each_network_ends_with_the_bits_that_it_has_alone() {
    let softmax = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let small = Network::new(5).dense(6, Activation::Tanh).dense(3, Activation::Identity);
    let rich = Network::new(5).dense(7, Activation::Relu).batch_norm().dropout(0.2).dense(3, Activation::Identity);
    for device in devices() {
        for count in [1, 2, 33] {
            let settings = TrainerSettings { optimizer: Optimizer::adam(0.01), ..softmax.clone() };
            compare(&device, &small, &data(), &members(count, &settings, rows), [11, 9]);
        }
        // Layer by layer, with gradients that wait for more batches, noise, and an average.
        let optimizer = Optimizer::momentum(0.05, 0.9).clip_norm(0.5).ema(0.9);
        let settings = TrainerSettings { optimizer, gradient_accumulation: 2, input_noise_std: 0.1, ..softmax.clone() };
        compare(&device, &rich, &data(), &members(7, &settings, rows), [5, 6]);
        // Each drops another share.
        let mut droppers = members(9, &softmax, rows);
        droppers.iter_mut().zip(1..).for_each(|(member, n)| member.dropout = Some(f64::from(n) / 11.0));
        compare(&device, &dropping(0.5), &data(), &droppers, [6, 7]);
        // A lane each.
        let xor_settings =
            TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(0.5), ..TrainerSettings::default() };
        let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Sigmoid);
        for count in [1, 2, 33, 1000] {
            compare(&device, &network, &xor(), &members(count, &xor_settings, |_| Subset::All), [40, 30]);
        }
    }
}

#[test]
fn blocks_of_rows_and_parts_of_sums_give_each_network_its_bits_too() {
    let network = Network::new(5).dense(20, Activation::Tanh).dense(3, Activation::Sigmoid);
    let data = Dataset::new(200, numbers(200 * 5, 1), numbers(200 * 3, 2)).expect("a data set");
    let settings =
        TrainerSettings { batch_size: 70, optimizer: Optimizer::momentum(0.4, 0.9), ..TrainerSettings::default() };
    for device in devices().into_iter().skip(1) {
        let first = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer").plan().to_string();
        let head = first.lines().take(5).collect::<Vec<_>>().join("\n");
        for (scheme, tile) in [("fused, 16 rows in 2 workgroups", "plain"), ("layered", "staged 32 in 2 parts")] {
            let ways = ["forward 0", "forward 1", "input_delta 1", "gradients"].map(|name| format!("{name}: {tile}"));
            let plan = format!("{head}\nscheme: {scheme}\n{}\n", ways.join("\n")).parse().expect("a plan");
            let settings = TrainerSettings { plan: Some(plan), ..settings.clone() };
            compare(&device, &network, &data, &members(5, &settings, |_| Subset::All), [5, 4]);
        }
    }
}

#[test]
fn what_diverges_is_stopped_and_the_others_go_on() {
    let settings =
        |rate| TrainerSettings { batch_size: 8, optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() };
    let network = Network::new(5).dense(6, Activation::Relu).dense(1, Activation::Identity);
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), numbers(ROWS, 2)).expect("a data set");
    for device in devices() {
        let members = [0.01, 1e6, 0.02].map(|rate| Member::new(settings(rate)));
        let mut population = Population::new(&device, &network, &data, &members).expect("a population");
        let reports = population.run(50).expect("steps");
        let ends = |report: &RunReport| report.losses.iter().all(|loss| loss.is_finite());
        assert_eq!(reports.iter().map(ends).collect::<Vec<_>>(), [true, false, true], "{device}");
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0, 2], "{device}");
        let more = population.run(5).expect("steps");
        assert_eq!(more.iter().map(|report| report.losses.len()).collect::<Vec<_>>(), [5, 0, 5], "{device}");
        population.stop(0).and_then(|()| population.stop(2)).and_then(|()| population.stop(2)).expect("stopped");
        assert!(population.run(5).expect("nothing").iter().all(|report| report.losses.is_empty()), "{device}");
    }
}

/// All batches are all rows, so that each has the same gradients until there is an update.
#[test]
fn batches_that_waited_when_it_was_kept_are_taken_up_where_as_many_wait_now() {
    let network = Network::new(5).dense(1, Activation::Identity);
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), numbers(ROWS, 2)).expect("a data set");
    let settings = TrainerSettings {
        batch_size: ROWS,
        gradient_accumulation: 4,
        optimizer: Optimizer::sgd(0.1),
        ..TrainerSettings::default()
    };
    for device in devices() {
        // After 6 steps two batches wait; what an update changes then, if it is kept and put back after some more.
        let change = |between: usize| {
            let members = [Member::new(settings.clone())];
            let mut population = Population::new(&device, &network, &data, &members).expect("a population");
            population.run(6).and_then(|_| population.snapshot(&[0])).expect("it is kept");
            let before = population.parameters(0).expect("parameters")[0].weight[0];
            population.run(between).and_then(|_| population.restore(0)).expect("it is put back");
            population.run(4 - (6 + between) % 4).expect("an update");
            population.parameters(0).expect("parameters")[0].weight[0] - before
        };
        let whole = change(0);
        for (between, share) in [(4, 1.0), (1, 0.25), (2, 1.0), (3, 0.75)] {
            let error = (change(between) - share * whole).abs() / whole.abs();
            assert!(error < 1e-4, "{device}: {between} steps between, {error}");
        }
    }
}

#[test]
fn what_makes_no_population_is_refused() {
    let network = Network::new(5).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for device in devices() {
        let refused = |members: &[Member]| {
            Population::new(&device, &network, &data(), members).expect_err("no population").to_string()
        };
        assert_eq!(refused(&[]), "networks of a population: expected at least 1, got 0");
        let one = Member::new(settings.clone());
        for (other, what) in [
            (TrainerSettings { batch_size: 9, ..settings.clone() }, "batch"),
            (TrainerSettings { loss: Loss::Mse, ..settings.clone() }, "loss"),
            (TrainerSettings { shuffle: false, ..settings.clone() }, "shuffle"),
            (TrainerSettings { optimizer: Optimizer::adam(0.1), ..settings.clone() }, "kind of optimizer"),
            (
                TrainerSettings { optimizer: Optimizer::sgd(0.1).clip_norm(1.0), ..settings.clone() },
                "kind of optimizer",
            ),
        ] {
            assert_eq!(
                refused(&[one.clone(), one.clone(), Member::new(other)]),
                format!("settings of a population: expected the same {what} in all networks, got another in number 2")
            );
        }
        let empty = one.clone().with_subset(Subset::TrainFold(Fold { index: 5, count: 5, seed: None }));
        assert_eq!(refused(&[empty]), "fold: expected one of 2 to 53 folds, got number 5 of 5");
        let dropper = one.clone().with_dropout(0.2);
        assert_eq!(refused(&[dropper]), "dropout of a population: expected a network with dropout, got one without");
        let mut population = Population::new(&device, &network, &data(), &[one]).expect("one");
        assert!(matches!(population.stop(1), Err(Error::InvalidSetting { .. })));
        assert!(population.parameters(7).is_err() && population.steps(1).is_err());
    }
}

#[test]
fn what_a_population_takes_is_told_before_and_refused_where_it_is_not_there() {
    let network = Network::new(5).dense(64, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for device in devices() {
        let estimate =
            |count| Population::estimate_memory(&device, &network, &data(), &members(count, &settings, rows));
        let [one, many] = [1, 1000].map(|count| estimate(count).expect("an estimate"));
        let (parameters, count) = (network.parameter_count() as u64, many.group_sizes.iter().sum::<usize>());
        assert!(one.bytes() > 8 * parameters && many.bytes() > 8 * 1000 * parameters, "{device}: {one}{many}");
        assert_eq!((one.group_sizes.as_slice(), count), (&[1][..], 1000), "{device}");
        assert!(many.to_string().ends_with("1000 networks\n"), "{many}");
        // A thousand networks of 1.6 GB each are more than any computer has.
        let large = Network::new(5).dense(20_000, Activation::Tanh).dense(20_000, Activation::Tanh);
        let large = large.dense(3, Activation::Identity);
        let refused = Population::new(&device, &large, &data(), &members(1000, &settings, |_| Subset::All)).err();
        let is_refused = matches!(refused, Some(Error::OutOfMemory { .. } | Error::DeviceLimit { .. }));
        assert!(is_refused, "{device}: {refused:?}");
    }
}

#[test]
fn networks_that_do_not_fit_at_once_follow_each_other_with_the_same_bits() {
    let network = Network::new(5).dense(16, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    for adapter in adapters() {
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..adapter.limits.clone() };
        let [small, large] = [open(&adapter, Some(limits)), open(&adapter, None)];
        let members = members(33, &settings, rows);
        let estimate = Population::estimate_memory(&small, &network, &data(), &members).expect("an estimate");
        assert!(estimate.group_sizes.len() > 2 && estimate.to_string().contains("groups"), "{estimate}");
        let mut waves = Population::new(&small, &network, &data(), &members).expect("a population");
        let settings = TrainerSettings { plan: Some(waves.plan()), ..settings.clone() };
        let pinned: Vec<_> = members
            .iter()
            .cloned()
            .map(|mut member| {
                member.settings.plan = settings.plan.clone();
                member
            })
            .collect();
        let mut whole = Population::new(&large, &network, &data(), &pinned).expect("a population");
        for number in [3, 30] {
            assert_eq!(waves.run(9), whole.run(9), "{small}");
            waves.stop(number).and_then(|()| whole.stop(number)).expect("it was in training");
        }
        let folds: Vec<Subset> =
            members.iter().map(|member| member.subset.held_out().unwrap_or(member.subset)).collect();
        let [ours, theirs] = [&mut waves, &mut whole].map(|all| all.evaluate_subsets(&folds).expect("metrics"));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours.loss() - theirs.loss()).abs() < 1e-5 && ours.accuracy() == theirs.accuracy(), "{small}");
        }
        for number in 0..33 {
            let [ours, theirs] = [&waves, &whole].map(|all| bits(&all.parameters(number).expect("parameters")));
            assert_eq!(ours, theirs, "{small}: {number}");
        }
    }
}

/// What is left of an epoch when the clock and the last digits are taken away.
type Told = (usize, f64, f64, Option<f64>, [i64; 2]);

/// A history without what the clock says, and with the numbers of its validations rounded.
fn told(history: &History) -> Vec<Told> {
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
fn each_network_goes_through_the_epochs_as_alone() {
    let network = Network::new(5).dense(12, Activation::Tanh).dense(3, Activation::Identity);
    let settings = TrainerSettings {
        batch_size: 8,
        loss: Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::adam(0.01),
        ..TrainerSettings::default()
    };
    let folds = |number: usize| Subset::TrainFold(Fold { index: number % 6, count: 6, seed: Some(1) });
    let rule = EarlyStopping { patience: 3, ..EarlyStopping::default() };
    let plateau = ReduceOnPlateau { patience: 1, factor: 0.5, ..ReduceOnPlateau::default() };
    for device in devices() {
        let members = members(6, &settings, folds);
        let mut population = Population::new(&device, &network, &data(), &members).expect("a population");
        let fit = TrainingLoop::new(12).early_stopping(rule).reduce_on_plateau(plateau);
        let histories =
            fit.clone().validation(Validation::HeldOutFold).run_population(&mut population).expect("epochs");
        assert!(
            histories.iter().any(|history| history.stop_reason == StopReason::NoImprovement),
            "{device}: nobody stops early"
        );
        for (number, (member, history)) in members.iter().zip(&histories).enumerate() {
            let mut trainer = alone(&device, &network, &data(), member, &population.plan());
            let held_out = member.subset.held_out().expect("a fold").indices(ROWS).expect("rows");
            let held_out = data().select(&held_out).expect("rows");
            let expected = fit.clone().validation_data(&held_out).run(&mut trainer).expect("epochs");
            let what = format!("{device}: {number}\n{history}\n{expected}");
            assert_eq!(told(history), told(&expected), "{what}");
            assert_eq!(
                (history.best_epoch, history.stop_reason),
                (expected.best_epoch, expected.stop_reason),
                "{what}"
            );
            let [ours, theirs] = [population.parameters(number), trainer.parameters()].map(|p| p.expect("parameters"));
            assert_eq!(bits(&ours), bits(&theirs), "{what}");
        }
    }
}

#[test]
fn a_fit_together_says_what_it_cannot_do_and_who_diverged() {
    let network = Network::new(5).dense(6, Activation::Relu).dense(3, Activation::Identity);
    let member = |rate| {
        let optimizer = Optimizer::sgd(rate);
        Member::new(TrainerSettings { batch_size: 8, loss: Loss::Mse, optimizer, ..TrainerSettings::default() })
    };
    for device in devices() {
        let mut population = Population::new(&device, &network, &data(), &[0.01, 1e6].map(member)).expect("two");
        let refused = |fit: TrainingLoop, population: &mut Population| {
            fit.run_population(population).expect_err("refused").to_string()
        };
        assert_eq!(
            refused(TrainingLoop::new(1).validation(Validation::HeldOutFold), &mut population),
            "rows of a network that leave some out: expected Rows::WithoutFold, got other rows in number 0"
        );
        assert!(refused(TrainingLoop::new(1).callback_every(3), &mut population).contains("callbacks"));
        assert!(refused(TrainingLoop::new(1).validation_split(0.2), &mut population).contains("split"));
        let histories = TrainingLoop::new(3).validation_data(&data()).run_population(&mut population).expect("epochs");
        assert_eq!(
            histories.iter().map(|h| h.stop_reason).collect::<Vec<_>>(),
            [StopReason::Completed, StopReason::Diverged],
            "{device}"
        );
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0]);
        // A budget of steps ends it where it ends.
        let histories = TrainingLoop::new(3).max_steps(9).run_population(&mut population).expect("epochs");
        assert_eq!(histories[0].epochs.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [7, 2]);
        assert_eq!(histories[1], History::default());
        let mut trainer = Trainer::new(&device, &network, &data(), member(0.1).settings).expect("a trainer");
        let fit = TrainingLoop::new(1).validation(Validation::HeldOutFold);
        assert!(fit.run(&mut trainer).expect_err("one network").to_string().contains("single network"));
    }
}
