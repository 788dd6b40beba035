//! What many networks are worth, in one read back, is what each alone is worth.

use crate::common::{bits, devices, numbers, xor};
use gradus::{
    Activation, Dataset, Device, Error, Features, Loss, Member, Network, Optimizer, Population, Targets, Trainer,
    TrainerSettings,
    data::{Fold, Scaler, Scaling, Subset},
    metrics::Metrics,
};

fn rows_of(number: usize) -> Subset {
    match number % 4 {
        0 => Subset::All,
        1 => Subset::TrainFold(Fold { index: number % 5, count: 5, seed: Some(3) }),
        2 => Subset::Bootstrap { seed: 7 },
        _ => Subset::TestFold(Fold { index: 2, count: 3, seed: None }),
    }
}

fn close(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * (1.0 + b.abs());
    assert!(ours.iter().zip(theirs).all(is_close), "{what}: {ours:?}, alone {theirs:?}");
}

fn same(what: &str, ours: &Metrics, theirs: &Metrics) {
    close(&format!("{what}: loss"), &[ours.loss()], &[theirs.loss()], 1e-5);
    assert_eq!(ours.accuracy().is_some(), theirs.accuracy().is_some(), "{what}");
    let accuracies = [ours, theirs].map(|metrics| metrics.accuracy().unwrap_or(0.0));
    close(&format!("{what}: accuracy"), &accuracies[..1], &accuracies[1..], 1e-6);
    let errors = |metrics: &Metrics| {
        [metrics.r2(), metrics.mean_squared_error(), metrics.mean_absolute_error()].map(|value| value.unwrap_or(-7.0))
    };
    close(&format!("{what}: errors"), &errors(ours), &errors(theirs), 1e-4);
}

/// Tests networks together and each alone, by a trainer that is given its parameters.
fn compare(network: &Network, data: &Dataset, test: &Dataset, settings: &TrainerSettings) {
    for device in devices() {
        let what = format!("{device}, {:?}", settings.loss);
        let members: Vec<_> = (0..6)
            .map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() }).with_subset(rows_of(seed as usize)))
            .collect();
        let mut population = Population::new(&device, network, data, &members).expect("a population");
        population.run(3).expect("steps");
        population.stop(1).expect("it was in training");
        let all = population.evaluate(test).expect("metrics");
        let tested: Vec<Subset> =
            members.iter().map(|member| member.subset.held_out().unwrap_or(member.subset)).collect();
        let on_rows = population.evaluate_subsets(&tested).expect("metrics");
        assert_eq!(population.evaluate(test), Ok(all.clone()), "{what}: again");
        for (number, rows) in tested.iter().enumerate() {
            let mut trainer = Trainer::new(&device, network, data, settings.clone()).expect("a trainer");
            trainer.set_parameters(&population.parameters(number).expect("parameters")).expect("they fit");
            same(&format!("{what}: {number}"), &all[number], &trainer.evaluate(test).expect("metrics"));
            let some = data.select(&rows.indices(data.rows()).expect("rows")).expect("rows of the data set");
            same(&format!("{what}: rows of {number}"), &on_rows[number], &trainer.evaluate(&some).expect("metrics"));
        }
    }
}

#[test]
fn classes_that_are_logits() {
    let of = |rows: usize, seed| {
        let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 3).collect();
        Dataset::new(rows, numbers(rows * 5, seed), classes).expect("a data set")
    };
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let hidden = Network::new(5).dense(6, Activation::Tanh);
    // More rows than a predictor takes at once, and a number that no block divides.
    compare(&hidden.clone().dense(3, Activation::Identity), &of(53, 1), &of(5003, 2), &settings);
    compare(&hidden.dense(3, Activation::Softmax), &of(53, 1), &of(70, 2), &settings);
}

#[test]
fn the_errors_of_shares_are_those_of_what_is_answered() {
    let of = |rows: usize, seed| {
        let shares = numbers(rows * 6, seed + 5);
        let shares: Vec<f32> =
            shares.chunks(6).flat_map(|s| s.iter().map(|v| v.abs() / s.iter().map(|v| v.abs()).sum::<f32>())).collect();
        Dataset::new(rows, numbers(rows * 5, seed), shares).expect("a data set")
    };
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let network = Network::new(5).dense(7, Activation::Tanh).dense(6, Activation::Softmax);
    let data = of(150, 2);
    compare(&network, &of(53, 1), &data, &settings);
    let mut trainer = Trainer::new(&Device::cpu(), &network, &of(53, 1), settings).expect("a trainer");
    let (Features::F32(inputs), Targets::Values(expected)) = (data.features(), data.targets()) else {
        panic!("they are")
    };
    let answers = trainer.predict(inputs).expect("answers");
    let squares = answers.iter().zip(expected.iter()).map(|(y, t)| f64::from(y - t).powi(2));
    let mean = squares.sum::<f64>() / answers.len() as f64;
    let told = trainer.evaluate(&data).expect("metrics").mean_squared_error().expect("they are values");
    assert!((told - mean).abs() < 1e-6 * mean, "{told} and {mean}");
}

#[test]
fn values_with_weights_that_are_scaled() {
    let of = |rows: usize, seed| {
        let weights: Vec<f32> = (0..rows).map(|row| (row % 4) as f32 * 0.5).collect();
        let data = Dataset::new(rows, numbers(rows * 3, seed), numbers(rows * 6, seed + 5)).expect("a data set");
        data.with_sample_weights(weights).expect("a weight a row")
    };
    let data = of(41, 1);
    let scaler = Scaler::fit(Scaling::Standard, &data);
    let network = Network::new(3).dense(7, Activation::Relu).layer_norm().dense(6, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::Huber { delta: 0.5 }, ..TrainerSettings::default() };
    compare(&network, &data.with_scaler(&scaler).expect("it fits"), &of(97, 3), &settings);
}

/// The same bytes of another scale are other numbers than the network has learned from.
#[test]
fn bytes_of_another_scale_are_refused() {
    let network = Network::new(2).dense(1, Activation::Sigmoid);
    let of = |scale: f32| Dataset::new(2, Features::bytes([0, 255, 255, 0], scale), &[0.0, 1.0]).expect("a data set");
    let (pixels, raw) = (of(1.0 / 255.0), of(1.0));
    let settings = TrainerSettings { batch_size: 2, ..TrainerSettings::default() };
    let words = "byte scale: expected 0.003921569 as in the training data, got 1;";
    let mut trainer = Trainer::new(&Device::cpu(), &network, &pixels, settings.clone()).expect("a trainer");
    trainer.run(2).expect("steps");
    assert!(trainer.evaluate(&pixels).is_ok());
    let refused = trainer.evaluate(&raw).expect_err("another scale").to_string();
    assert!(refused.starts_with(words), "{refused}");
    // Numbers are what they are.
    assert!(trainer.evaluate(&Dataset::new(1, &[0.0, 1.0], &[1.0]).expect("a data set")).is_ok());
    let checkpoint = trainer.checkpoint().expect("a checkpoint");
    assert_eq!(checkpoint.model.byte_scale, Some(1.0 / 255.0));
    let resumed = Trainer::resume(&Device::cpu(), &checkpoint, Some(&raw)).map(drop).expect_err("another scale");
    assert!(resumed.to_string().starts_with(words), "{resumed}");
    let mut resumed = Trainer::resume(&Device::cpu(), &checkpoint, Some(&pixels)).expect("a trainer");
    assert_eq!(resumed.model(), trainer.model());
    assert!(resumed.evaluate(&raw).is_err());

    let mut population =
        Population::new(&Device::cpu(), &network, &pixels, &[Member::new(settings)]).expect("a population");
    population.run(2).expect("steps");
    assert!(population.evaluate(&raw).is_err() && population.evaluate(&pixels).is_ok());
    assert_eq!(population.model(0).expect("a model").byte_scale, Some(1.0 / 255.0));
}

#[test]
fn one_output_and_bytes() {
    let of = |rows: usize, seed: usize| {
        let bytes: Vec<u8> = (0..rows * 4).map(|i| (i * 31 * seed % 256) as u8).collect();
        let answers: Vec<f32> = (0..rows).map(|row| (row % 3 % 2) as f32).collect();
        Dataset::new(rows, Features::bytes(bytes, 1.0 / 255.0), answers).expect("a data set")
    };
    let network = Network::new(4).dense(5, Activation::Sigmoid).dropout(0.3).dense(1, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 8, input_noise_std: 0.2, ..TrainerSettings::default() };
    compare(&network, &of(30, 1), &of(64, 3), &settings);
}

#[test]
fn what_was_kept_comes_back_and_moves_with_its_network() {
    let network = Network::new(2).dense(3, Activation::Tanh).dense(1, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::adam(0.05), ..TrainerSettings::default() };
    for device in devices() {
        let members: Vec<_> = (0..7).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
        let mut population = Population::new(&device, &network, &xor(), &members).expect("a population");
        assert!(matches!(population.restore(0), Err(Error::InvalidSetting { .. })), "{device}");
        population.run(5).expect("steps");
        let before: Vec<_> = (0..7).map(|i| population.parameters(i).expect("parameters")).collect();
        population.snapshot(&[0, 2, 3, 6]).expect("room");
        population.run(5).expect("steps");
        // The last takes the place of one that leaves, and what was kept of it goes along.
        population.stop(2).expect("it was in training");
        population.run(5).expect("steps");
        assert!(population.restore(1).is_err(), "{device}");
        for kept in [0, 2, 3, 6] {
            assert_ne!(
                bits(&population.parameters(kept).expect("parameters")),
                bits(&before[kept]),
                "{device}: {kept}"
            );
            population.restore(kept).expect("it was kept");
            assert_eq!(
                bits(&population.parameters(kept).expect("parameters")),
                bits(&before[kept]),
                "{device}: {kept}"
            );
        }
        population.set_learning_rate(4, 0.0).expect("a rate");
        let still = population.parameters(4).expect("parameters");
        population.run(5).expect("steps");
        assert_eq!(bits(&population.parameters(4).expect("parameters")), bits(&still), "{device}");
        assert_eq!(population.learning_rate(4), Ok(0.0));
        assert!(population.set_learning_rate(4, f64::NAN).is_err() && population.learning_rate(7).is_err());
    }
}

/// A software adapter lets no invocation go round its loops too often, and a row of many outputs takes many rounds.
#[test]
fn rows_of_many_outputs() {
    let of = |rows: usize, seed: usize| {
        let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 1000).collect();
        Dataset::new(rows, numbers(rows * 3, seed), classes).expect("a data set")
    };
    let network = Network::new(3).dense(1000, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    compare(&network, &of(40, 1), &of(4100, 2), &settings);
}
