//! Feature scaling on the device, compared with features that the host scaled before.

use crate::common::{bits, devices, numbers};
use gradus::{
    Activation, Dataset, Device, Features, MlpClassifier, MlpRegressor, Network, Optimizer, Trainer, TrainerSettings,
    data::{Scaler, Scaling},
    estimator::TargetValues,
};

const ROWS: usize = 37;
const COLUMNS: usize = 6;

fn network() -> Network {
    Network::new(COLUMNS).dense(13, Activation::Tanh).dense(3, Activation::Sigmoid)
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, optimizer: Optimizer::momentum(0.4, 0.9), seed: 7, ..TrainerSettings::default() }
}

fn targets() -> Vec<f32> {
    numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect()
}

/// Returns unscaled features as f32 and as bytes. Every column has another mean, and the third is constant.
fn unscaled_features() -> [Features; 2] {
    let value = |(i, v): (usize, &f32)| match i % COLUMNS {
        2 => 7.0,
        column => 10.0 * column as f32 + (column + 1) as f32 * v,
    };
    let values: Vec<f32> = numbers(ROWS * COLUMNS, 1).iter().enumerate().map(value).collect();
    let bytes = values.iter().map(|v| (3.0 * v + 10.0) as u8).collect();
    [Features::F32(values), Features::U8 { bytes, scale: 0.3 }]
}

fn floats(features: &Features) -> Vec<f32> {
    match features {
        Features::F32(values) => values.clone(),
        Features::U8 { bytes, scale } => bytes.iter().map(|byte| f32::from(*byte) * scale).collect(),
        Features::F64(_) | Features::File(_) => unreachable!("these tests use only f32 and bytes"),
    }
}

/// Panics unless the values are equal within 1e-5 of the largest expected value.
fn assert_close(context: &str, actual: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0f32, |max, v| max.max(v.abs()));
    assert_eq!(actual.len(), expected.len(), "{context}");
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() <= 1e-5 * largest, "{context}: expected {expected}, got {actual}");
    }
}

#[test]
fn a_scaler_of_the_data_set_equals_scaling_before() {
    for device in devices() {
        for features in unscaled_features() {
            for scaling in [Scaling::Standard, Scaling::MinMax] {
                let data = Dataset::new(ROWS, features.clone(), targets()).expect("a data set");
                let scaler = Scaler::fit(scaling, &data);
                let context = format!("{device}, {scaling:?}, bytes: {}", matches!(features, Features::U8 { .. }));
                let data = data.with_scaler(&scaler).expect("a scaler of these columns");
                let x = floats(&features);
                let mut scaled_x = x.clone();
                scaler.transform(&mut scaled_x).expect("rows");
                let scaled_data = Dataset::new(ROWS, scaled_x.as_slice(), targets()).expect("a data set");

                let mut on_device = Trainer::new(&device, &network(), &data, settings()).expect("a trainer");
                let mut on_host = Trainer::new(&device, &network(), &scaled_data, settings()).expect("a trainer");
                assert_eq!((on_device.scaler(), on_host.scaler()), (Some(&scaler), None));
                let losses = [&mut on_device, &mut on_host].map(|trainer| trainer.run(40).expect("steps").losses);
                assert_close(&context, &losses[0], &losses[1]);
                // Equal parameters remove the rounding differences of the training.
                on_device.set_parameters(&on_host.parameters().expect("parameters")).expect("the same network");
                on_host.set_parameters(&on_host.parameters().expect("parameters")).expect("the same network");

                // Every call takes unscaled rows.
                let (rows, t) = (&x[..8 * COLUMNS], &targets()[..8 * 3]);
                let scaled_rows = &scaled_x[..8 * COLUMNS];
                let outputs = (on_device.predict(&x).expect("rows"), on_host.predict(&scaled_x).expect("rows"));
                assert_eq!(outputs.0, outputs.1, "{context}");
                let gradients = on_device.gradients(rows, t).expect("gradients");
                let expected = on_host.gradients(scaled_rows, t).expect("gradients");
                assert_eq!(bits(&gradients), bits(&expected), "{context}");
                on_device.step(rows, t).expect("a step");
                on_host.step(scaled_rows, t).expect("a step");
                let parameters = [&on_device, &on_host].map(|trainer| bits(&trainer.parameters().expect("parameters")));
                assert_eq!(parameters[0], parameters[1], "{context}");
                let without_scaler = Dataset::new(ROWS, features.clone(), targets()).expect("a data set");
                let expected = on_host.evaluate(&scaled_data).expect("metrics");
                let evaluated = on_device.evaluate(&data).expect("metrics");
                assert_eq!(evaluated, expected, "{context}: the scaler of the data set");
                let evaluated = on_device.evaluate(&without_scaler).expect("metrics");
                assert_eq!(evaluated, expected, "{context}: the scaler of the trainer");
            }
        }
    }
}

#[test]
fn scaling_improves_the_accuracy_of_unequal_features() {
    // Two features that matter equally; one is a thousand times larger.
    let numbers = numbers(400, 3);
    let x: Vec<f32> = numbers.iter().enumerate().map(|(i, v)| if i % 2 == 0 { 1000.0 * v } else { *v }).collect();
    let y: Vec<u32> = numbers.chunks(2).map(|p| u32::from(p[0] + p[1] > 0.0)).collect();
    let network = Network::new(2).dense(8, Activation::Tanh).dense(2, Activation::Identity);
    let settings = TrainerSettings {
        loss: gradus::Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::momentum(0.1, 0.9),
        ..TrainerSettings::default()
    };
    for device in devices() {
        let data = Dataset::new(200, x.as_slice(), y.as_slice()).expect("a data set");
        let scaler = Scaler::fit(Scaling::Standard, &data);
        let accuracy = |data: &Dataset| {
            let mut trainer = Trainer::new(&device, &network, data, settings.clone()).expect("a trainer");
            trainer.run(400).expect("steps");
            trainer.evaluate(data).expect("rows").accuracy().expect("classes")
        };
        let (without, with) = (accuracy(&data), accuracy(&data.clone().with_scaler(&scaler).expect("two columns")));
        assert!(with > 0.97 && with > without, "{device}: {with} with scaling, {without} without");
    }
}

/// Returns 60 rows of two f64 features, one near 1.7e9 and one small. The target is 1 if the first feature is in the
/// upper half.
fn timestamps() -> (Vec<f64>, Vec<f32>) {
    let seconds = |i: usize| (i * 37 % 60) as f64;
    let features = (0..60).flat_map(|i| [1.7e9 + seconds(i), (i % 7) as f64 * 0.1]).collect();
    (features, (0..60).map(|i| f32::from(u8::from(seconds(i) >= 30.0))).collect())
}

#[test]
fn f64_features_far_from_zero_keep_their_resolution_on_every_device() {
    let (x, t) = timestamps();
    let data = Dataset::new(60, &x, &t).expect("a data set");
    for scaling in [Scaling::Standard, Scaling::MinMax] {
        let scaler = Scaler::fit(scaling, &data);
        assert_eq!(scaler.origin().len(), 2);
        assert_eq!(scaler.origin()[1], 0.0);
        // The host computes the same in f64, as numpy does.
        let near: Vec<f32> =
            x.iter().enumerate().map(|(i, v)| if i % 2 == 0 { (v - 1.7e9) as f32 } else { *v as f32 }).collect();
        let plain = Scaler::fit_rows(scaling, 2, &near).expect("rows");
        let mut expected = near.clone();
        plain.transform(&mut expected).expect("rows");
        let scaled = scaler.transform_f64(&x).expect("rows");
        assert_close("transform_f64", &scaled, &expected);

        let parsed: Scaler = serde_json::from_str(&serde_json::to_string(&scaler).expect("JSON")).expect("a scaler");
        assert_eq!(parsed, scaler);
        let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
        let scaled_data = Dataset::new(60, scaled.as_slice(), &t).expect("a data set");
        let data = data.clone().with_scaler(&scaler).expect("a scaler of these columns");
        for device in devices() {
            let [mut on_device, mut on_host] = [&data, &scaled_data].map(|data| {
                let settings =
                    TrainerSettings { batch_size: 10, optimizer: Optimizer::adam(0.02), ..TrainerSettings::default() };
                Trainer::new(&device, &network, data, settings).expect("a trainer")
            });
            let losses = [&mut on_device, &mut on_host].map(|trainer| trainer.run(300).expect("steps").losses);
            assert_close(&device.to_string(), &losses[0], &losses[1]);
            assert!(losses[0].last().is_some_and(|loss| *loss < 0.1), "{device}: {:?}", losses[0].last());
            let unscaled = Dataset::new(60, &x, &t).expect("a data set");
            let loss = on_device.evaluate(&unscaled).expect("metrics").loss();
            let expected = on_host.evaluate(&scaled_data).expect("metrics").loss();
            assert!((loss - expected).abs() < 1e-4, "{device}: expected {expected}, got {loss}");
        }
    }
    // Columns whose values differ in f32 have no origin, and give the bits of f32 features.
    let exact: Vec<f64> = (0..60).map(|i| f64::from(i) * 0.25 + 2000.0).collect();
    let single: Vec<f32> = exact.iter().map(|v| *v as f32).collect();
    let fit = |data: Dataset| Scaler::fit(Scaling::Standard, &data);
    let of_f64 = fit(Dataset::new(60, &exact, &t).expect("a data set"));
    assert!(of_f64.origin().is_empty());
    assert_eq!(of_f64, fit(Dataset::new(60, &single, &t).expect("a data set")));
}

#[test]
fn estimators_fit_f64_features_and_targets_far_from_zero() {
    let (x, t) = timestamps();
    let labels: Vec<bool> = t.iter().map(|t| *t > 0.5).collect();
    let mut classifier = MlpClassifier::new().scaling(Scaling::Standard).learning_rate_init(0.02).device(Device::cpu());
    classifier.fit(&x, &labels).expect("a fit");
    assert!(classifier.score(&x, &labels).expect("a score") > 0.95);
    assert_eq!(classifier.predict(&x[..4]).expect("labels"), labels[..2]);

    let amounts: Vec<f64> = (0..60).map(|i| 1e9 + (i * 37 % 60) as f64).collect();
    let inputs: Vec<f64> = amounts.iter().map(|y| (y - 1e9) / 60.0).collect();
    let near: Vec<f32> = amounts.iter().map(|y| (y - 1e9) as f32).collect();
    let fit = |targets: TargetValues| {
        let mut regressor = MlpRegressor::new().max_iter(50).device(Device::cpu());
        regressor.fit(&inputs, targets).expect("a fit");
        regressor
    };
    let [mut regressor, mut near_zero] = [TargetValues::from(&amounts), TargetValues::from(&near)].map(fit);
    let predicted = regressor.predict_f64(&inputs).expect("predictions");
    let without_origin: Vec<f32> = predicted.iter().map(|y| (y - 1e9) as f32).collect();
    assert_close("without the origin", &without_origin, &near_zero.predict(&inputs).expect("predictions"));
    let score = regressor.score(&inputs, &amounts).expect("a score");
    let expected = near_zero.score(&inputs, &near).expect("a score");
    assert!((score - expected).abs() < 1e-6, "expected {expected}, got {score}");
    let shifted: Vec<f64> = amounts.iter().map(|y| y + 1e9).collect();
    regressor.fit_weighted(&inputs, &shifted, &[-1.0; 60]).expect_err("negative weights");
    assert_eq!(regressor.predict_f64(&inputs).expect("predictions"), predicted, "a failed fit changed the estimator");
    let as_f32 = regressor.predict(&inputs).expect("predictions");
    assert!(as_f32.iter().zip(&predicted).all(|(y, y64)| *y == *y64 as f32));
}
