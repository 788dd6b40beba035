//! Many networks at once: each ends with the bits that it has alone.

mod common;

use common::{bits, devices, numbers, xor};
use gradus::{
    Activation, Dataset, Device, Error, Fold, Loss, Member, Network, Optimizer, Population, Report, Rows, Schedule,
    Settings, Trainer,
};

const ROWS: usize = 53;

fn data() -> Dataset {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), classes).expect("a data set")
}

/// Rows of every kind, by turns.
fn rows(number: usize) -> Rows {
    match number % 5 {
        0 => Rows::All,
        1 => Rows::WithoutFold(Fold { fold: number % 4, folds: 4, seed: Some(9) }),
        2 => Rows::Bootstrap { seed: number as u64 },
        3 => Rows::Range { first: 7, rows: 30 },
        _ => Rows::WithoutFold(Fold { fold: number % 3, folds: 3, seed: None }),
    }
}

/// Members whose every number differs.
fn members(count: usize, settings: &Settings, rows: fn(usize) -> Rows) -> Vec<Member> {
    let member = |number: usize| {
        let share = 1.0 + number as f64 / 10.0;
        let mut optimizer = settings.optimizer;
        optimizer.learning_rate *= share;
        optimizer.weight_decay = 0.01 * (number % 3) as f64;
        let schedule =
            if number.is_multiple_of(2) { Schedule::Constant } else { Schedule::exponential(1.0 - 0.01 / share) };
        let seed = 40 + number as u64;
        Member::new(Settings { optimizer, schedule, seed, ..settings.clone() }).on(rows(number))
    };
    (0..count).map(member).collect()
}

/// What a network is when it is trained alone on the same rows under the same plan.
fn alone(device: &Device, network: &Network, data: &Dataset, member: &Member, plan: &gradus::Plan) -> Trainer {
    let all: Vec<usize> = (0..data.rows()).collect();
    let rows = member.rows.of(all.len()).expect("rows");
    let data = data.select(&rows).expect("rows of the data set");
    let settings = Settings { plan: Some(plan.clone()), ..member.settings.clone() };
    Trainer::new(device, network, &data, settings).unwrap_or_else(|error| panic!("{device}: {error}"))
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
    assert_eq!(population.in_training().count(), members.len() - usize::from(members.len() > 1));
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
    let softmax = Settings { batch: 8, loss: Loss::SoftmaxCrossEntropy, ..Settings::default() };
    let small = Network::new(5).dense(6, Activation::Tanh).dense(3, Activation::Identity);
    let rich = Network::new(5).dense(7, Activation::Relu).batch_norm().dropout(0.2).dense(3, Activation::Identity);
    for device in devices() {
        for count in [1, 2, 33] {
            let settings = Settings { optimizer: Optimizer::adam(0.01), ..softmax.clone() };
            compare(&device, &small, &data(), &members(count, &settings, rows), [11, 9]);
        }
        // Layer by layer, with gradients that wait for more batches, noise, and an average.
        let optimizer = Optimizer::momentum(0.05, 0.9).clip_norm(0.5).average(0.9);
        let settings = Settings { optimizer, accumulate: 2, input_noise: 0.1, ..softmax.clone() };
        compare(&device, &rich, &data(), &members(7, &settings, rows), [5, 6]);
        // A lane each.
        let xor_settings = Settings { batch: 4, optimizer: Optimizer::sgd(0.5), ..Settings::default() };
        let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Sigmoid);
        for count in [1, 2, 33, 1000] {
            compare(&device, &network, &xor(), &members(count, &xor_settings, |_| Rows::All), [40, 30]);
        }
    }
}

#[test]
fn what_diverges_is_stopped_and_the_others_go_on() {
    let settings = |rate| Settings { batch: 8, optimizer: Optimizer::sgd(rate), ..Settings::default() };
    let network = Network::new(5).dense(6, Activation::Relu).dense(1, Activation::Identity);
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), numbers(ROWS, 2)).expect("a data set");
    for device in devices() {
        let members = [0.01, 1e6, 0.02].map(|rate| Member::new(settings(rate)));
        let mut population = Population::new(&device, &network, &data, &members).expect("a population");
        let reports = population.run(50).expect("steps");
        let ends = |report: &Report| report.losses.iter().all(|loss| loss.is_finite());
        assert_eq!(reports.iter().map(ends).collect::<Vec<_>>(), [true, false, true], "{device}");
        assert_eq!(population.in_training().collect::<Vec<_>>(), [0, 2], "{device}");
        let more = population.run(5).expect("steps");
        assert_eq!(more.iter().map(|report| report.losses.len()).collect::<Vec<_>>(), [5, 0, 5], "{device}");
        population.stop(0).and_then(|()| population.stop(2)).and_then(|()| population.stop(2)).expect("stopped");
        assert!(population.run(5).expect("nothing").iter().all(|report| report.losses.is_empty()), "{device}");
    }
}

#[test]
fn what_makes_no_population_is_refused() {
    let network = Network::new(5).dense(3, Activation::Identity);
    let settings = Settings { batch: 8, loss: Loss::SoftmaxCrossEntropy, ..Settings::default() };
    for device in devices() {
        let refused = |members: &[Member]| {
            Population::new(&device, &network, &data(), members).expect_err("no population").to_string()
        };
        assert_eq!(refused(&[]), "networks of a population: expected at least 1, got 0");
        let one = Member::new(settings.clone());
        for (other, what) in [
            (Settings { batch: 9, ..settings.clone() }, "batch"),
            (Settings { loss: Loss::Mse, ..settings.clone() }, "loss"),
            (Settings { shuffle: false, ..settings.clone() }, "shuffle"),
            (Settings { optimizer: Optimizer::adam(0.1), ..settings.clone() }, "kind of optimizer"),
            (Settings { optimizer: Optimizer::sgd(0.1).clip_norm(1.0), ..settings.clone() }, "kind of optimizer"),
        ] {
            assert_eq!(
                refused(&[one.clone(), one.clone(), Member::new(other)]),
                format!("settings of a population: expected the same {what} in all networks, got another in number 2")
            );
        }
        let empty = one.clone().on(Rows::WithoutFold(Fold { fold: 5, folds: 5, seed: None }));
        assert_eq!(refused(&[empty]), "fold: expected one of 2 to 53 folds, got number 5 of 5");
        let mut population = Population::new(&device, &network, &data(), &[one]).expect("one");
        assert!(matches!(population.stop(1), Err(Error::Setting { .. })));
        assert!(population.parameters(7).is_err() && population.steps(1).is_err());
    }
}
