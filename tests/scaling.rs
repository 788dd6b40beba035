//! Features that are scaled on the device: as if they had been scaled before.

use crate::common::{bits, devices, numbers};
use gradus::{Activation, Dataset, Features, Network, Optimizer, Scaler, Scaling, Settings, Trainer};

const ROWS: usize = 37;
const COLUMNS: usize = 6;

fn network() -> Network {
    Network::new(COLUMNS).dense(13, Activation::Tanh).dense(3, Activation::Sigmoid)
}

fn settings() -> Settings {
    Settings { batch: 8, optimizer: Optimizer::momentum(0.4, 0.9), seed: 7, ..Settings::default() }
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
        Features::File(_) => unreachable!("none is made here"),
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
                let scaler = Scaler::learn(scaling, &data);
                let what = format!("{device}, {scaling:?}, {}", matches!(features, Features::U8 { .. }));
                let data = data.with_scaling(&scaler).expect("as many columns");
                let raw = floats(&features);
                let mut before = raw.clone();
                scaler.apply(&mut before).expect("rows");
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
    let settings = Settings {
        loss: gradus::Loss::SoftmaxCrossEntropy,
        optimizer: Optimizer::momentum(0.1, 0.9),
        ..Settings::default()
    };
    for device in devices() {
        let data = Dataset::new(200, x.as_slice(), y.as_slice()).expect("a data set");
        let scaler = Scaler::learn(Scaling::Standard, &data);
        let accuracy = |data: &Dataset| {
            let mut trainer = Trainer::new(&device, &network, data, settings.clone()).expect("a trainer");
            trainer.run(400).expect("steps");
            trainer.evaluate(data).expect("rows").accuracy().expect("classes")
        };
        let (without, with) = (accuracy(&data), accuracy(&data.clone().with_scaling(&scaler).expect("two columns")));
        assert!(with > 0.97 && with > without, "{device}: {with} with it and {without} without");
    }
}
