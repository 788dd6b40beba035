//! Features that are scaled on the device: as if they had been scaled before.

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

fn answers() -> Vec<f32> {
    numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect()
}

/// Raw features of both kinds, each column around a number of its own; the third is the same everywhere.
fn raw() -> [Features; 2] {
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
        Features::F64(_) | Features::File(_) => unreachable!("none is made here"),
    }
}

fn close(what: &str, ours: &[f32], theirs: &[f32]) {
    let largest = theirs.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (a, b) in ours.iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-5 * largest, "{what}: {a} instead of {b}");
    }
}

#[test]
fn a_scaled_data_set_is_one_that_was_scaled_before() {
    for device in devices() {
        for features in raw() {
            for scaling in [Scaling::Standard, Scaling::MinMax] {
                let data = Dataset::new(ROWS, features.clone(), answers()).expect("a data set");
                let scaler = Scaler::fit(scaling, &data);
                let what = format!("{device}, {scaling:?}, {}", matches!(features, Features::U8 { .. }));
                let data = data.with_scaler(&scaler).expect("as many columns");
                let raw = floats(&features);
                let mut before = raw.clone();
                scaler.transform(&mut before).expect("rows");
                let by_hand = Dataset::new(ROWS, before.as_slice(), answers()).expect("a data set");

                let mut ours = Trainer::new(&device, &network(), &data, settings()).expect("a trainer");
                let mut theirs = Trainer::new(&device, &network(), &by_hand, settings()).expect("a trainer");
                assert_eq!((ours.scaler(), theirs.scaler()), (Some(&scaler), None));
                let losses = [&mut ours, &mut theirs].map(|trainer| trainer.run(40).expect("steps").losses);
                close(&what, &losses[0], &losses[1]);
                // Both from the same parameters, whatever was rounded on the way.
                ours.set_parameters(&theirs.parameters().expect("parameters")).expect("its own shape");
                theirs.set_parameters(&theirs.parameters().expect("parameters")).expect("its own shape");

                // What is brought is raw, everywhere.
                let (x, t) = (&raw[..8 * COLUMNS], &answers()[..8 * 3]);
                let scaled = &before[..8 * COLUMNS];
                assert_eq!(ours.predict(&raw).expect("rows"), theirs.predict(&before).expect("rows"), "{what}");
                let gradients = ours.gradients(x, t).expect("gradients");
                assert_eq!(bits(&gradients), bits(&theirs.gradients(scaled, t).expect("gradients")), "{what}");
                ours.step(x, t).expect("a step");
                theirs.step(scaled, t).expect("a step");
                let parameters = [&ours, &theirs].map(|trainer| bits(&trainer.parameters().expect("parameters")));
                assert_eq!(parameters[0], parameters[1], "{what}");
                let unscaled = Dataset::new(ROWS, features.clone(), answers()).expect("a data set");
                let told = theirs.evaluate(&by_hand).expect("rows");
                assert_eq!(ours.evaluate(&data).expect("rows"), told, "{what}: by its own scaling");
                assert_eq!(ours.evaluate(&unscaled).expect("rows"), told, "{what}: by the trainer's");
            }
        }
    }
}

#[test]
fn scaling_makes_a_network_learn_what_it_would_not() {
    // Two features that matter, of which one is a thousand times as large.
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
        assert!(with > 0.97 && with > without, "{device}: {with} with it and {without} without");
    }
}

/// Two columns in f64, 60 values near 1.7e9 and a small one, and whether the first is in the upper half.
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
        // As numpy computes it in f64.
        let near: Vec<f32> =
            x.iter().enumerate().map(|(i, v)| if i % 2 == 0 { (v - 1.7e9) as f32 } else { *v as f32 }).collect();
        let plain = Scaler::fit_rows(scaling, 2, &near).expect("rows");
        let mut expected = near.clone();
        plain.transform(&mut expected).expect("rows");
        let scaled = scaler.transform_f64(&x).expect("rows");
        close("scaled on the host", &scaled, &expected);

        let back: Scaler = serde_json::from_str(&serde_json::to_string(&scaler).expect("JSON")).expect("a scaler");
        assert_eq!(back, scaler);
        let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
        let before = Dataset::new(60, scaled.as_slice(), &t).expect("a data set");
        let data = data.clone().with_scaler(&scaler).expect("as many columns");
        for device in devices() {
            let [mut ours, mut theirs] = [&data, &before].map(|data| {
                let settings =
                    TrainerSettings { batch_size: 10, optimizer: Optimizer::adam(0.02), ..TrainerSettings::default() };
                Trainer::new(&device, &network, data, settings).expect("a trainer")
            });
            let losses = [&mut ours, &mut theirs].map(|trainer| trainer.run(300).expect("steps").losses);
            close(&device.to_string(), &losses[0], &losses[1]);
            assert!(losses[0].last().is_some_and(|loss| *loss < 0.1), "{device}: it is learned");
            let metrics = ours.evaluate(&Dataset::new(60, &x, &t).expect("a data set")).expect("metrics");
            let alike = theirs.evaluate(&before).expect("metrics");
            assert!((metrics.loss() - alike.loss()).abs() < 1e-4, "{device}: {} and {}", metrics.loss(), alike.loss());
        }
    }
    // Columns that f32 tells apart have no origin, and the bits of f32 features.
    let exact: Vec<f64> = (0..60).map(|i| f64::from(i) * 0.25 + 2000.0).collect();
    let single: Vec<f32> = exact.iter().map(|v| *v as f32).collect();
    let of = |data: Dataset| Scaler::fit(Scaling::Standard, &data);
    let wide = of(Dataset::new(60, &exact, &t).expect("a data set"));
    assert!(wide.origin().is_empty());
    assert_eq!(wide, of(Dataset::new(60, &single, &t).expect("a data set")));
}

#[test]
fn estimators_learn_f64_columns_and_targets_far_from_zero() {
    let (x, t) = timestamps();
    let labels: Vec<bool> = t.iter().map(|t| *t > 0.5).collect();
    let mut classifier = MlpClassifier::new().scaling(Scaling::Standard).learning_rate_init(0.02).device(Device::cpu());
    classifier.fit(&x, &labels).expect("a fit");
    assert!(classifier.score(&x, &labels).expect("a score") > 0.95);
    assert_eq!(classifier.predict(&x[..4]).expect("labels"), labels[..2]);

    let amounts: Vec<f64> = (0..60).map(|i| 1e9 + (i * 37 % 60) as f64).collect();
    let inputs: Vec<f64> = amounts.iter().map(|y| (y - 1e9) / 60.0).collect();
    let near: Vec<f32> = amounts.iter().map(|y| (y - 1e9) as f32).collect();
    let fitted = |targets: TargetValues| {
        let mut regressor = MlpRegressor::new().max_iter(50).device(Device::cpu());
        regressor.fit(&inputs, targets).expect("a fit");
        regressor
    };
    let [mut regressor, mut other] = [TargetValues::from(&amounts), TargetValues::from(&near)].map(fitted);
    let wide = regressor.predict_f64(&inputs).expect("predictions");
    let rest: Vec<f32> = wide.iter().map(|y| (y - 1e9) as f32).collect();
    close("without the origin", &rest, &other.predict(&inputs).expect("predictions"));
    let scores = (regressor.score(&inputs, &amounts).expect("a score"), other.score(&inputs, &near).expect("a score"));
    assert!((scores.0 - scores.1).abs() < 1e-6, "{scores:?}");
    let single = regressor.predict(&inputs).expect("predictions");
    assert!(single.iter().zip(&wide).all(|(single, wide)| *single == *wide as f32));
}
