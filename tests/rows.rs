//! What is done with single rows in training, on every device: their weights, and noise on their features.

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

/// Answers that fit every loss: a class, as a row of zeros with a one.
fn expected(rows: usize) -> Vec<f32> {
    (0..rows).flat_map(|row| (0..3).map(move |i| f32::from(u8::from(row * 7 % 3 == i)))).collect()
}

fn data() -> Dataset {
    Dataset::new(ROWS, numbers(ROWS * 5, 1), expected(ROWS)).expect("a data set")
}

fn weights() -> Vec<f32> {
    (0..ROWS).map(|row| (row % 5) as f32 * 0.5).collect()
}

fn settings(loss: Loss) -> TrainerSettings {
    TrainerSettings { batch_size: 8, loss, optimizer: Optimizer::sgd(0.3), seed: 7, ..TrainerSettings::default() }
}

/// Of the largest of theirs.
fn close(what: &str, tolerance: f64, ours: &[f32], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((f64::from(*ours) - theirs).abs() <= tolerance * largest, "{what}: {ours} instead of {theirs}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn flat(layers: &[LayerParameters]) -> Vec<f32> {
    layers.iter().flat_map(|layer| [layer.weight.clone(), layer.bias.clone()].concat()).collect()
}

#[test]
fn a_weight_of_0_teaches_nothing_and_one_of_2_is_a_row_that_stands_twice() {
    for device in devices() {
        for loss in [Loss::Mse, Loss::BinaryCrossEntropy, Loss::SoftmaxCrossEntropy] {
            let what = format!("{device}, {loss}");
            let (x, t) = (numbers(15, 3), expected(3));
            let twice = |values: &[f32], columns: usize| [&values[..columns], &values[..2 * columns]].concat();
            let by_hand = |weighted| {
                let settings = TrainerSettings { sample_weights: weighted, ..settings(loss) };
                Trainer::without_dataset(&device, &network(loss), settings).expect("a trainer")
            };
            let (mut weighted, mut plain) = (by_hand(true), by_hand(false));
            // The first row twice, the third not at all: three rows either way.
            let (twice_x, twice_t) = (twice(&x, 5), twice(&t, 3));
            let ours = weighted.gradients_weighted(&x, &t, &[2.0, 1.0, 0.0]).expect("gradients");
            let theirs = plain.gradients(&twice_x, &twice_t).expect("gradients");
            close(&what, 2e-6, &flat(&ours), &wide(&flat(&theirs)));
            for _ in 0..5 {
                weighted.step_weighted(&x, &t, &[2.0, 1.0, 0.0]).expect("a step");
                plain.step(&twice_x, &twice_t).expect("a step");
            }
            let [ours, theirs] =
                [&mut weighted, &mut plain].map(|trainer| trainer.take_report().expect("losses").losses);
            close(&what, 2e-6, &ours, &wide(&theirs));
            let [ours, theirs] = [&weighted, &plain].map(|trainer| trainer.parameters().expect("parameters"));
            close(&what, 2e-6, &flat(&ours), &wide(&flat(&theirs)));

            let before = bits(&ours);
            weighted.step_weighted(&x, &t, &[0.0; 3]).expect("a step");
            assert_eq!(bits(&weighted.parameters().expect("parameters")), before, "{what}: weights of 0 teach");
            assert_eq!(weighted.take_report().expect("losses").losses, [0.0], "{what}");
        }
    }
}

#[test]
fn the_weights_of_a_data_set_are_those_of_the_reference() {
    for device in devices() {
        for loss in [Loss::Mse, Loss::SoftmaxCrossEntropy] {
            let settings = TrainerSettings { shuffle: false, ..settings(loss) };
            let data = data().with_sample_weights(weights()).expect("a weight a row");
            let mut trainer = Trainer::new(&device, &network(loss), &data, settings.clone()).expect("a trainer");
            let first = trainer.parameters().expect("parameters");
            let mut by_hand = Trainer::new(&device, &network(loss), &data, settings.clone()).expect("a trainer");
            let mut reference = Reference::new(&network(loss), loss, settings.optimizer, &first).expect("a reference");
            let report = trainer.run(10).expect("two epochs");
            let (x, t, weights) = (numbers(ROWS * 5, 1), expected(ROWS), weights());
            let mut losses = Vec::new();
            for step in 0..10 {
                let rows = step % 5 * 8..ROWS.min(step % 5 * 8 + 8);
                let (x, t) = (&x[rows.start * 5..rows.end * 5], &t[rows.start * 3..rows.end * 3]);
                let weights = &weights[rows];
                losses.push(reference.step_weighted(&wide(x), &wide(t), &wide(weights)).expect("a step"));
                by_hand.step_weighted(x, t, weights).expect("a step");
            }
            close(&format!("{device}, {loss}"), 1e-5, &report.losses, &losses);
            assert_eq!(report, by_hand.take_report().expect("losses"), "{device}: by hand");
            let theirs: Vec<f64> =
                reference.parameters().iter().flat_map(|layer| [&*layer.weight, &layer.bias].concat()).collect();
            close(&format!("{device}, {loss}"), 1e-5, &flat(&trainer.parameters().expect("parameters")), &theirs);
            let [ours, theirs] = [trainer, by_hand].map(|trainer| bits(&trainer.parameters().expect("parameters")));
            assert!(ours == theirs, "{device}: by hand");
        }
    }
}

/// Weights of classes become weights of rows; a step by hand that brings none takes each row once.
#[test]
fn classes_may_weigh_and_rows_without_weights_count_once() {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), classes.clone()).expect("a data set");
    let loss = Loss::SoftmaxCrossEntropy;
    for device in devices() {
        let trained = |data: Dataset| {
            let mut trainer = Trainer::new(&device, &network(loss), &data, settings(loss)).expect("a trainer");
            (trainer.run(10).expect("steps"), bits(&trainer.parameters().expect("parameters")))
        };
        let by_class = trained(data.clone().with_class_weights(&[0.5, 2.0, 1.0]).expect("three classes"));
        let by_row: Vec<f32> = classes.iter().map(|class| [0.5, 2.0, 1.0][*class as usize]).collect();
        assert!(by_class == trained(data.clone().with_sample_weights(by_row).expect("a weight a row")), "{device}");
        let (ones, none) =
            (trained(data.clone().with_sample_weights(vec![1.0; ROWS]).expect("ones")), trained(data.clone()));
        assert_ne!(by_class.0.losses, none.0.losses, "{device}");
        close(&device.to_string(), 1e-6, &ones.0.losses, &wide(&none.0.losses));
        assert_eq!(ones.0.correct, none.0.correct, "{device}: answers are right whatever they weigh");

        let by_hand = |weighted| {
            let settings = TrainerSettings { sample_weights: weighted, ..settings(loss) };
            let mut trainer = Trainer::without_dataset(&device, &network(loss), settings).expect("a trainer");
            trainer.step(&numbers(40, 1), &expected(8)).expect("a step");
            flat(&trainer.parameters().expect("parameters"))
        };
        close(&device.to_string(), 1e-6, &by_hand(true), &wide(&by_hand(false)));
    }
}

#[test]
fn weights_that_cannot_be_used_are_refused() {
    let (x, t) = (numbers(15, 3), expected(3));
    for device in devices() {
        let new = |weighted| {
            let settings = TrainerSettings { sample_weights: weighted, ..settings(Loss::Mse) };
            Trainer::without_dataset(&device, &network(Loss::Mse), settings).expect("a trainer")
        };
        let refused = new(false).step_weighted(&x, &t, &[1.0; 3]).expect_err("it was not prepared").to_string();
        let expected = "weights of a batch: expected Settings::weighted, or a data set with weights, got neither";
        assert_eq!(refused, expected, "{device}");
        let mut trainer = new(true);
        let refused = trainer.step_weighted(&x, &t, &[1.0; 2]);
        assert!(matches!(refused, Err(Error::Shape { expected: 3, got: 2, .. })), "{device}: {refused:?}");
        for wrong in [-1.0, f32::NAN, f32::INFINITY] {
            let refused = trainer.gradients_weighted(&x, &t, &[1.0, wrong, 1.0]).expect_err("no weight").to_string();
            assert_eq!(refused, format!("sample weight: expected a finite number >= 0, got {wrong}"), "{device}");
        }
        assert!(trainer.take_report().expect("none").losses.is_empty(), "{device}: a refused step was taken");
        for wrong in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            let settings = TrainerSettings { input_noise_std: wrong, ..settings(Loss::Mse) };
            let refused = Trainer::without_dataset(&device, &network(Loss::Mse), settings);
            assert!(matches!(refused, Err(Error::InvalidSetting { name: "input noise", .. })), "{device}: {wrong}");
        }
    }
}

/// With a network that answers with its input, a rate of 0 and inputs of 0, a step's loss is the mean square of the noise.
fn noise(device: &Device, settings: TrainerSettings) -> Trainer {
    let data = Dataset::new(1000, vec![0.0; 1000], vec![0.0; 1000]).expect("a data set");
    let settings = TrainerSettings { batch_size: 100, optimizer: Optimizer::sgd(0.0), ..settings };
    let network = Network::new(1).dense(1, Activation::Identity);
    let mut trainer = Trainer::new(device, &network, &data, settings).expect("a trainer");
    trainer.set_parameters(&[LayerParameters::new(vec![1.0], vec![0.0])]).expect("one weight, one bias");
    trainer
}

#[test]
fn noise_has_its_deviation_and_is_another_at_every_step() {
    let noisy = TrainerSettings { input_noise_std: 0.25, ..TrainerSettings::default() };
    for device in devices() {
        let mut trainer = noise(&device, noisy.clone());
        let report = trainer.run(40).expect("four epochs");
        // 4000 numbers: the standard error of their variance is sqrt(2 / 4000) of it.
        let variance = wide(&report.losses).iter().sum::<f64>() / 40.0;
        assert!((variance / 0.0625 - 1.0).abs() < 0.1, "{device}: {variance}");
        for _ in 0..40 {
            trainer.step(&[0.0; 100], &[0.0; 100]).expect("a step");
        }
        let by_hand = trainer.take_report().expect("losses").losses;
        let all = report.losses.iter().chain(&by_hand).map(|loss| loss.to_bits());
        assert_eq!(all.collect::<std::collections::HashSet<_>>().len(), 80, "{device}: some noise came again");
        let variance = wide(&by_hand).iter().sum::<f64>() / 40.0;
        assert!((variance / 0.0625 - 1.0).abs() < 0.1, "{device}: {variance} by hand");
        assert_eq!(noise(&device, noisy.clone()).run(40).expect("steps"), report, "{device}: it comes back");
        let other = noise(&device, TrainerSettings { seed: 1, ..noisy.clone() }).run(40).expect("steps");
        assert_ne!(other.losses, report.losses, "{device}: another seed");
    }
}

#[test]
fn noise_is_for_training_alone() {
    let still = settings(Loss::Mse);
    for device in devices() {
        let new = |input_noise| {
            let settings =
                TrainerSettings { input_noise_std: input_noise, optimizer: Optimizer::sgd(0.0), ..still.clone() };
            Trainer::new(&device, &network(Loss::Mse), &data(), settings).expect("a trainer")
        };
        let (mut noisy, mut plain) = (new(0.5), new(0.0));
        let [ours, theirs] = [&mut noisy, &mut plain].map(|trainer| trainer.run_epoch().expect("an epoch").losses);
        assert_ne!(ours, theirs, "{device}");
        let (x, t) = (numbers(40, 1), expected(8));
        let told = [&mut noisy, &mut plain].map(|trainer| {
            let gradients = bits(&trainer.gradients(&x, &t).expect("gradients"));
            let evaluation = trainer.evaluate(&data()).expect("the same data set");
            (gradients, evaluation, trainer.predict(&x).expect("outputs"))
        });
        assert!(told[0] == told[1], "{device}");
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
            trainer.step(&numbers(40, 1), &expected(8)).expect("a step");
        }
        losses.extend(trainer.take_report().expect("losses").losses);
        (losses, flat(&trainer.parameters().expect("parameters")))
    };
    let cpu = train(&Device::cpu());
    for device in devices() {
        let (losses, parameters) = train(&device);
        close(&device.to_string(), 1e-4, &losses, &wide(&cpu.0));
        close(&device.to_string(), 1e-4, &parameters, &wide(&cpu.1));
        let again = train(&device);
        assert!(again.0 == losses && again.1 == parameters, "{device}: it does not come back");
    }
}
