//! Sample weights and input noise, on every device.

use crate::common::{bits, devices, numbers};
use gradus::{
    Activation, Dataset, Device, Error, Loss, Network, Optimizer, Trainer, TrainerSettings, nn::LayerParameters,
    reference::Reference,
};

const ROWS: usize = 37;

fn network(loss: Loss) -> Network {
    let last = loss.required_output_activation().unwrap_or(Activation::Tanh);
    Network::new(5).dense(13, Activation::Sigmoid).dense(3, last)
}

/// Returns one-hot targets, which every loss accepts.
fn one_hot_targets(rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| (0..3).map(move |i| f32::from(u8::from(row * 7 % 3 == i)))).collect()
}

fn data() -> Dataset {
    Dataset::new(ROWS, numbers(ROWS * 5, 1), one_hot_targets(ROWS)).expect("a data set")
}

fn weights() -> Vec<f32> {
    (0..ROWS).map(|row| (row % 5) as f32 * 0.5).collect()
}

fn settings(loss: Loss) -> TrainerSettings {
    TrainerSettings { batch_size: 8, loss, optimizer: Optimizer::sgd(0.3), seed: 7, ..TrainerSettings::default() }
}

/// Panics unless the values are equal within `tolerance`, relative to the largest expected value.
fn assert_close(context: &str, tolerance: f64, actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{context}");
    let largest = expected.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    for (actual, expected) in actual.iter().zip(expected) {
        let error = (f64::from(*actual) - expected).abs();
        assert!(error <= tolerance * largest, "{context}: expected {expected}, got {actual}");
    }
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn flatten(layers: &[LayerParameters]) -> Vec<f32> {
    layers.iter().flat_map(|layer| [layer.weight.clone(), layer.bias.clone()].concat()).collect()
}

#[test]
fn a_sample_weight_counts_like_repetitions_of_the_row() {
    for device in devices() {
        for loss in [Loss::Mse, Loss::BinaryCrossEntropy, Loss::SoftmaxCrossEntropy] {
            let context = format!("{device}, {loss}");
            let (x, t) = (numbers(15, 3), one_hot_targets(3));
            let new_trainer = |sample_weights| {
                let settings = TrainerSettings { sample_weights, ..settings(loss) };
                Trainer::without_dataset(&device, &network(loss), settings).expect("a trainer")
            };
            let (mut weighted, mut plain) = (new_trainer(true), new_trainer(false));
            // The plain trainer gets the first row twice and never the third, so both have batches of three rows.
            let repeat = |values: &[f32], columns: usize| [&values[..columns], &values[..2 * columns]].concat();
            let (repeated_x, repeated_t) = (repeat(&x, 5), repeat(&t, 3));
            let weights = [2.0, 1.0, 0.0];
            let gradients = weighted.gradients_weighted(&x, &t, &weights).expect("gradients");
            let expected = plain.gradients(&repeated_x, &repeated_t).expect("gradients");
            assert_close(&context, 2e-6, &flatten(&gradients), &to_f64(&flatten(&expected)));
            for _ in 0..5 {
                weighted.step_weighted(&x, &t, &weights).expect("a step");
                plain.step(&repeated_x, &repeated_t).expect("a step");
            }
            let [losses, expected] =
                [&mut weighted, &mut plain].map(|trainer| trainer.take_report().expect("losses").losses);
            assert_close(&context, 2e-6, &losses, &to_f64(&expected));
            let [parameters, expected] = [&weighted, &plain].map(|trainer| trainer.parameters().expect("parameters"));
            assert_close(&context, 2e-6, &flatten(&parameters), &to_f64(&flatten(&expected)));

            let before = bits(&parameters);
            weighted.step_weighted(&x, &t, &[0.0; 3]).expect("a step");
            let after = bits(&weighted.parameters().expect("parameters"));
            assert_eq!(after, before, "{context}: a step with weights of 0 changes the parameters");
            assert_eq!(weighted.take_report().expect("losses").losses, [0.0], "{context}");
        }
    }
}

#[test]
fn training_with_sample_weights_matches_the_reference() {
    for device in devices() {
        for loss in [Loss::Mse, Loss::SoftmaxCrossEntropy] {
            let settings = TrainerSettings { shuffle: false, ..settings(loss) };
            let data = data().with_sample_weights(weights()).expect("one weight per row");
            let mut trainer = Trainer::new(&device, &network(loss), &data, settings.clone()).expect("a trainer");
            let initial = trainer.parameters().expect("parameters");
            let mut manual = Trainer::new(&device, &network(loss), &data, settings.clone()).expect("a trainer");
            let mut reference =
                Reference::new(&network(loss), loss, settings.optimizer, &initial).expect("a reference");
            let report = trainer.run(10).expect("two epochs");
            let (x, t, weights) = (numbers(ROWS * 5, 1), one_hot_targets(ROWS), weights());
            let mut losses = Vec::new();
            for step in 0..10 {
                let rows = step % 5 * 8..ROWS.min(step % 5 * 8 + 8);
                let (x, t) = (&x[rows.start * 5..rows.end * 5], &t[rows.start * 3..rows.end * 3]);
                let weights = &weights[rows];
                losses.push(reference.step_weighted(&to_f64(x), &to_f64(t), &to_f64(weights)).expect("a step"));
                manual.step_weighted(x, t, weights).expect("a step");
            }
            assert_close(&format!("{device}, {loss}"), 1e-5, &report.losses, &losses);
            assert_eq!(report, manual.take_report().expect("losses"), "{device}: manual steps");
            let expected: Vec<f64> =
                reference.parameters().iter().flat_map(|layer| [&*layer.weight, &layer.bias].concat()).collect();
            assert_close(
                &format!("{device}, {loss}"),
                1e-5,
                &flatten(&trainer.parameters().expect("parameters")),
                &expected,
            );
            let [trained, manual] = [trainer, manual].map(|trainer| bits(&trainer.parameters().expect("parameters")));
            assert!(trained == manual, "{device}: manual steps");
        }
    }
}

/// Class weights become sample weights. A manual step without sample weights uses a weight of 1 for every row.
#[test]
fn class_weights_become_sample_weights_and_the_default_weight_is_1() {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), classes.clone()).expect("a data set");
    let loss = Loss::SoftmaxCrossEntropy;
    for device in devices() {
        let train = |data: Dataset| {
            let mut trainer = Trainer::new(&device, &network(loss), &data, settings(loss)).expect("a trainer");
            (trainer.run(10).expect("steps"), bits(&trainer.parameters().expect("parameters")))
        };
        let by_class = train(data.clone().with_class_weights(&[0.5, 2.0, 1.0]).expect("three classes"));
        let by_row: Vec<f32> = classes.iter().map(|class| [0.5, 2.0, 1.0][*class as usize]).collect();
        let by_row = train(data.clone().with_sample_weights(by_row).expect("one weight per row"));
        assert!(by_class == by_row, "{device}");
        let (ones, _) = train(data.clone().with_sample_weights(vec![1.0; ROWS]).expect("one weight per row"));
        let (unweighted, _) = train(data.clone());
        assert_ne!(by_class.0.losses, unweighted.losses, "{device}");
        assert_close(&device.to_string(), 1e-6, &ones.losses, &to_f64(&unweighted.losses));
        assert_eq!(ones.correct, unweighted.correct, "{device}");

        let manual_step = |sample_weights| {
            let settings = TrainerSettings { sample_weights, ..settings(loss) };
            let mut trainer = Trainer::without_dataset(&device, &network(loss), settings).expect("a trainer");
            trainer.step(&numbers(40, 1), &one_hot_targets(8)).expect("a step");
            flatten(&trainer.parameters().expect("parameters"))
        };
        assert_close(&device.to_string(), 1e-6, &manual_step(true), &to_f64(&manual_step(false)));
    }
}

#[test]
fn invalid_sample_weights_and_noise_are_errors() {
    let (x, t) = (numbers(15, 3), one_hot_targets(3));
    for device in devices() {
        let new_trainer = |sample_weights| {
            let settings = TrainerSettings { sample_weights, ..settings(Loss::Mse) };
            Trainer::without_dataset(&device, &network(Loss::Mse), settings).expect("a trainer")
        };
        let error = new_trainer(false).step_weighted(&x, &t, &[1.0; 3]).expect_err("no sample weights").to_string();
        let expected = "this trainer does not accept sample weights; set TrainerSettings::sample_weights, or use a data \
                        set with sample weights";
        assert_eq!(error, expected, "{device}");
        let mut trainer = new_trainer(true);
        let result = trainer.step_weighted(&x, &t, &[1.0; 2]);
        assert!(matches!(result, Err(Error::Shape { expected: 3, got: 2, .. })), "{device}: {result:?}");
        for weight in [-1.0, f32::NAN, f32::INFINITY] {
            let result = trainer.gradients_weighted(&x, &t, &[1.0, weight, 1.0]);
            let error = result.expect_err("an invalid weight").to_string();
            let expected = format!("sample weight: expected a finite number >= 0, got {weight} in row 1");
            assert_eq!(error, expected, "{device}");
        }
        let losses = trainer.take_report().expect("an empty report").losses;
        assert!(losses.is_empty(), "{device}: an invalid step is in the report");
        for input_noise_std in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            let settings = TrainerSettings { input_noise_std, ..settings(Loss::Mse) };
            let result = Trainer::without_dataset(&device, &network(Loss::Mse), settings);
            assert!(
                matches!(result, Err(Error::InvalidSetting { name: "input_noise_std", .. })),
                "{device}: {input_noise_std}"
            );
        }
    }
}

/// Returns a trainer whose losses are the mean square of the noise: its network is the identity, its learning rate and
/// all features are 0.
fn noise_trainer(device: &Device, settings: TrainerSettings) -> Trainer {
    let data = Dataset::new(1000, vec![0.0; 1000], vec![0.0; 1000]).expect("a data set");
    let settings = TrainerSettings { batch_size: 100, optimizer: Optimizer::sgd(0.0), ..settings };
    let network = Network::new(1).dense(1, Activation::Identity);
    let mut trainer = Trainer::new(device, &network, &data, settings).expect("a trainer");
    trainer.set_parameters(&[LayerParameters::new(vec![1.0], vec![0.0])]).expect("one weight, one bias");
    trainer
}

#[test]
fn noise_has_the_given_std_and_differs_in_every_step() {
    let noisy = TrainerSettings { input_noise_std: 0.25, ..TrainerSettings::default() };
    for device in devices() {
        let mut trainer = noise_trainer(&device, noisy.clone());
        let report = trainer.run(40).expect("four epochs");
        // 4000 numbers: the standard error of their variance is sqrt(2 / 4000) of it.
        let variance = to_f64(&report.losses).iter().sum::<f64>() / 40.0;
        assert!((variance / 0.0625 - 1.0).abs() < 0.1, "{device}: {variance}");
        for _ in 0..40 {
            trainer.step(&[0.0; 100], &[0.0; 100]).expect("a step");
        }
        let manual = trainer.take_report().expect("losses").losses;
        let all = report.losses.iter().chain(&manual).map(|loss| loss.to_bits());
        assert_eq!(all.collect::<std::collections::HashSet<_>>().len(), 80, "{device}: two steps have equal noise");
        let variance = to_f64(&manual).iter().sum::<f64>() / 40.0;
        assert!((variance / 0.0625 - 1.0).abs() < 0.1, "{device}: {variance} in manual steps");
        let repeated = noise_trainer(&device, noisy.clone()).run(40).expect("steps");
        assert_eq!(repeated, report, "{device}: other noise with the same seed");
        let other_seed = noise_trainer(&device, TrainerSettings { seed: 1, ..noisy.clone() }).run(40).expect("steps");
        assert_ne!(other_seed.losses, report.losses, "{device}: equal noise with another seed");
    }
}

#[test]
fn noise_affects_only_training() {
    for device in devices() {
        let new_trainer = |input_noise_std| {
            let settings = TrainerSettings { input_noise_std, optimizer: Optimizer::sgd(0.0), ..settings(Loss::Mse) };
            Trainer::new(&device, &network(Loss::Mse), &data(), settings).expect("a trainer")
        };
        let (mut noisy, mut plain) = (new_trainer(0.5), new_trainer(0.0));
        let losses = [&mut noisy, &mut plain].map(|trainer| trainer.run_epoch().expect("an epoch").losses);
        assert_ne!(losses[0], losses[1], "{device}");
        let (x, t) = (numbers(40, 1), one_hot_targets(8));
        let results = [&mut noisy, &mut plain].map(|trainer| {
            let gradients = bits(&trainer.gradients(&x, &t).expect("gradients"));
            let evaluation = trainer.evaluate(&data()).expect("the same data set");
            (gradients, evaluation, trainer.predict(&x).expect("outputs"))
        });
        assert!(results[0] == results[1], "{device}");
    }
}

#[test]
fn noise_is_the_same_on_every_device() {
    // The last batch of an epoch is short, and the columns do not fill whole vectors.
    let train = |device: &Device| {
        let settings = TrainerSettings { input_noise_std: 0.4, ..settings(Loss::Mse) };
        let mut trainer = Trainer::new(device, &network(Loss::Mse), &data(), settings).expect("a trainer");
        let mut losses = trainer.run(10).expect("two epochs").losses;
        for _ in 0..3 {
            trainer.step(&numbers(40, 1), &one_hot_targets(8)).expect("a step");
        }
        losses.extend(trainer.take_report().expect("losses").losses);
        (losses, flatten(&trainer.parameters().expect("parameters")))
    };
    let cpu = train(&Device::cpu());
    for device in devices() {
        let (losses, parameters) = train(&device);
        assert_close(&device.to_string(), 1e-4, &losses, &to_f64(&cpu.0));
        assert_close(&device.to_string(), 1e-4, &parameters, &to_f64(&cpu.1));
        assert!(train(&device) == (losses, parameters), "{device}: other noise with the same seed");
    }
}
