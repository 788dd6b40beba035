//! The metrics of a population, which one readback returns, compared with those of a trainer per member.

use crate::common::{bits, devices, numbers, xor};
use gradus::{
    Activation, Dataset, Device, Error, Features, Loss, Member, Network, Optimizer, Population, Targets, Trainer,
    TrainerSettings,
    data::{Fold, Scaler, Scaling, Subset},
    metrics::Metrics,
};

fn subset(member: usize) -> Subset {
    match member % 4 {
        0 => Subset::All,
        1 => Subset::TrainFold(Fold { index: member % 5, count: 5, seed: Some(3) }),
        2 => Subset::Bootstrap { seed: 7 },
        _ => Subset::TestFold(Fold { index: 2, count: 3, seed: None }),
    }
}

fn assert_close(context: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * (1.0 + b.abs());
    assert!(actual.iter().zip(expected).all(is_close), "{context}: expected {expected:?}, got {actual:?}");
}

fn assert_equal_metrics(context: &str, actual: &Metrics, expected: &Metrics) {
    assert_close(&format!("{context}: loss"), &[actual.loss()], &[expected.loss()], 1e-5);
    assert_eq!(actual.accuracy().is_some(), expected.accuracy().is_some(), "{context}");
    let accuracies = [actual, expected].map(|metrics| metrics.accuracy().unwrap_or(0.0));
    assert_close(&format!("{context}: accuracy"), &accuracies[..1], &accuracies[1..], 1e-6);
    let errors = |metrics: &Metrics| {
        [metrics.r2(), metrics.mean_squared_error(), metrics.mean_absolute_error()].map(|value| value.unwrap_or(-7.0))
    };
    assert_close(&format!("{context}: errors"), &errors(actual), &errors(expected), 1e-4);
}

/// Evaluates a population, and compares each member with a trainer that has its parameters.
fn compare_with_trainers(network: &Network, data: &Dataset, test: &Dataset, settings: &TrainerSettings) {
    for device in devices() {
        let context = format!("{device}, {:?}", settings.loss);
        let members: Vec<_> = (0..6)
            .map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() }).with_subset(subset(seed as usize)))
            .collect();
        let mut population = Population::new(&device, network, data, &members).expect("a population");
        population.run(3).expect("steps");
        population.stop(1).expect("an active member");
        let metrics = population.evaluate(test).expect("metrics");
        let subsets: Vec<Subset> =
            members.iter().map(|member| member.subset.held_out().unwrap_or(member.subset)).collect();
        let subset_metrics = population.evaluate_subsets(&subsets).expect("metrics");
        assert_eq!(population.evaluate(test), Ok(metrics.clone()), "{context}: a second evaluation");
        for (member, subset) in subsets.iter().enumerate() {
            let context = format!("{context}, member {member}");
            let mut trainer = Trainer::new(&device, network, data, settings.clone()).expect("a trainer");
            trainer.set_parameters(&population.parameters(member).expect("parameters")).expect("the same network");
            assert_equal_metrics(&context, &metrics[member], &trainer.evaluate(test).expect("metrics"));
            let rows = data.select(&subset.indices(data.rows()).expect("rows")).expect("rows of the data set");
            let expected = trainer.evaluate(&rows).expect("metrics");
            assert_equal_metrics(&format!("{context}, subset"), &subset_metrics[member], &expected);
        }
    }
}

#[test]
fn population_metrics_of_class_logits_match_trainers() {
    let data_set = |rows: usize, seed| {
        let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 3).collect();
        Dataset::new(rows, numbers(rows * 5, seed), classes).expect("a data set")
    };
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let hidden = Network::new(5).dense(6, Activation::Tanh);
    // More rows than a predictor takes at once, and not a multiple of the block size.
    compare_with_trainers(
        &hidden.clone().dense(3, Activation::Identity),
        &data_set(53, 1),
        &data_set(5003, 2),
        &settings,
    );
    compare_with_trainers(&hidden.dense(3, Activation::Softmax), &data_set(53, 1), &data_set(70, 2), &settings);
}

#[test]
fn errors_of_probability_targets_use_the_predictions() {
    let data_set = |rows: usize, seed| {
        let normalize = |row: &[f32]| {
            let sum: f32 = row.iter().map(|v| v.abs()).sum();
            row.iter().map(move |v| v.abs() / sum).collect::<Vec<f32>>()
        };
        let probabilities: Vec<f32> = numbers(rows * 6, seed + 5).chunks(6).flat_map(normalize).collect();
        Dataset::new(rows, numbers(rows * 5, seed), probabilities).expect("a data set")
    };
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let network = Network::new(5).dense(7, Activation::Tanh).dense(6, Activation::Softmax);
    let data = data_set(150, 2);
    compare_with_trainers(&network, &data_set(53, 1), &data, &settings);
    let mut trainer = Trainer::new(&Device::cpu(), &network, &data_set(53, 1), settings).expect("a trainer");
    let (Features::F32(inputs), Targets::Values(targets)) = (data.features(), data.targets()) else {
        panic!("other features or targets")
    };
    let predictions = trainer.predict(inputs).expect("predictions");
    let squares = predictions.iter().zip(targets.iter()).map(|(y, t)| f64::from(y - t).powi(2));
    let expected = squares.sum::<f64>() / predictions.len() as f64;
    let error = trainer.evaluate(&data).expect("metrics").mean_squared_error().expect("an error of values");
    assert!((error - expected).abs() < 1e-6 * expected, "expected {expected}, got {error}");
}

#[test]
fn population_metrics_of_weighted_scaled_values_match_trainers() {
    let data_set = |rows: usize, seed| {
        let weights: Vec<f32> = (0..rows).map(|row| (row % 4) as f32 * 0.5).collect();
        let data = Dataset::new(rows, numbers(rows * 3, seed), numbers(rows * 6, seed + 5)).expect("a data set");
        data.with_sample_weights(weights).expect("one weight per row")
    };
    let data = data_set(41, 1);
    let scaler = Scaler::fit(Scaling::Standard, &data);
    let network = Network::new(3).dense(7, Activation::Relu).layer_norm().dense(6, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::Huber { delta: 0.5 }, ..TrainerSettings::default() };
    compare_with_trainers(
        &network,
        &data.with_scaler(&scaler).expect("a scaler of these columns"),
        &data_set(97, 3),
        &settings,
    );
}

/// Bytes with another scale are other numbers than those of the training.
#[test]
fn evaluating_bytes_of_another_scale_is_an_error() {
    let network = Network::new(2).dense(1, Activation::Sigmoid);
    let data_set =
        |scale: f32| Dataset::new(2, Features::bytes([0, 255, 255, 0], scale), &[0.0, 1.0]).expect("a data set");
    let (pixels, raw) = (data_set(1.0 / 255.0), data_set(1.0));
    let settings = TrainerSettings { batch_size: 2, ..TrainerSettings::default() };
    let message = "byte scale: expected 0.003921569 as in the training data, got 1;";
    let mut trainer = Trainer::new(&Device::cpu(), &network, &pixels, settings.clone()).expect("a trainer");
    trainer.run(2).expect("steps");
    assert!(trainer.evaluate(&pixels).is_ok());
    let error = trainer.evaluate(&raw).expect_err("another scale").to_string();
    assert!(error.starts_with(message), "{error}");
    // f32 features have no scale.
    assert!(trainer.evaluate(&Dataset::new(1, &[0.0, 1.0], &[1.0]).expect("a data set")).is_ok());
    let checkpoint = trainer.checkpoint().expect("a checkpoint");
    assert_eq!(checkpoint.model.byte_scale, Some(1.0 / 255.0));
    let error = Trainer::resume(&Device::cpu(), &checkpoint, Some(&raw)).map(drop).expect_err("another scale");
    assert!(error.to_string().starts_with(message), "{error}");
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
fn population_metrics_of_one_output_and_bytes_match_trainers() {
    let data_set = |rows: usize, seed: usize| {
        let bytes: Vec<u8> = (0..rows * 4).map(|i| (i * 31 * seed % 256) as u8).collect();
        let targets: Vec<f32> = (0..rows).map(|row| (row % 3 % 2) as f32).collect();
        Dataset::new(rows, Features::bytes(bytes, 1.0 / 255.0), targets).expect("a data set")
    };
    let network = Network::new(4).dense(5, Activation::Sigmoid).dropout(0.3).dense(1, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 8, input_noise_std: 0.2, ..TrainerSettings::default() };
    compare_with_trainers(&network, &data_set(30, 1), &data_set(64, 3), &settings);
}

#[test]
fn snapshots_restore_members_that_changed_their_slot() {
    let network = Network::new(2).dense(3, Activation::Tanh).dense(1, Activation::Sigmoid);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::adam(0.05), ..TrainerSettings::default() };
    for device in devices() {
        let members: Vec<_> = (0..7).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
        let mut population = Population::new(&device, &network, &xor(), &members).expect("a population");
        assert!(matches!(population.restore(0), Err(Error::InvalidState { .. })), "{device}");
        population.run(5).expect("steps");
        let before: Vec<_> = (0..7).map(|i| population.parameters(i).expect("parameters")).collect();
        population.snapshot(&[0, 2, 3, 6]).expect("a snapshot");
        population.run(5).expect("steps");
        // The last member moves to the slot of the stopped one, and its snapshot moves too.
        population.stop(2).expect("an active member");
        population.run(5).expect("steps");
        assert!(population.restore(1).is_err(), "{device}");
        for member in [0, 2, 3, 6] {
            let parameters = bits(&population.parameters(member).expect("parameters"));
            assert_ne!(parameters, bits(&before[member]), "{device}: {member}");
            population.restore(member).expect("a snapshot");
            let parameters = bits(&population.parameters(member).expect("parameters"));
            assert_eq!(parameters, bits(&before[member]), "{device}: {member}");
        }
        population.set_learning_rate(4, 0.0).expect("a learning rate");
        let before = population.parameters(4).expect("parameters");
        population.run(5).expect("steps");
        assert_eq!(bits(&population.parameters(4).expect("parameters")), bits(&before), "{device}");
        assert_eq!(population.learning_rate(4), Ok(0.0));
        assert!(population.set_learning_rate(4, f64::NAN).is_err() && population.learning_rate(7).is_err());
    }
}

/// A software adapter limits the rounds of a loop, and a row with 1000 outputs needs many rounds.
#[test]
fn population_metrics_of_many_outputs_match_trainers() {
    let data_set = |rows: usize, seed: usize| {
        let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 1000).collect();
        Dataset::new(rows, numbers(rows * 3, seed), classes).expect("a data set")
    };
    let network = Network::new(3).dense(1000, Activation::Identity);
    let settings = TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    compare_with_trainers(&network, &data_set(40, 1), &data_set(4100, 2), &settings);
}
