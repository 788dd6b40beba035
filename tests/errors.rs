//! Invalid arguments, on every device: each is an error with the expected and the given value, and none is a panic.

use crate::common::{XOR, bits, devices, xor};
use gradus::{
    Activation, Dataset, Device, Error, Features, Init, Loss, Member, MlpRegressor, Network, Optimizer, Population,
    Trainer, TrainerSettings, data::Scaling, nn::LayerParameters, reference::Reference,
};

fn network() -> Network {
    Network::new(2).dense(3, Activation::Tanh).dense(1, Activation::Sigmoid)
}

/// Returns the message of the error. Panics if there is none.
fn error_text<T>(result: gradus::Result<T>) -> String {
    result.err().map_or_else(|| panic!("no error"), |error| error.to_string())
}

#[test]
fn invalid_data_sets_are_errors() {
    let (three, none) = ([0.0f32; 3], [0.0f32; 0]);
    for (set, expected) in [
        (Dataset::new(2, &three, &[0.0, 1.0]), "features (rows: 2): expected 4 values, got 3"),
        (Dataset::new(2, vec![0u8; 5], vec![0u32; 2]), "features (rows: 2): expected 6 values, got 5"),
        (Dataset::new(3, &three, &[0.0, 1.0]), "targets (rows: 3): expected 3 values, got 2"),
        (Dataset::new(3, &three, vec![0u32; 4]), "class ids: expected 3 values, got 4"),
        (Dataset::new(3, &none, &three), "features (rows: 3): expected 3 values, got 0"),
        (Dataset::new(3, &three, &none), "targets (rows: 3): expected 3 values, got 0"),
        (Dataset::new(0, &none, &none), "dataset: expected 1 to 4294967295 rows, got 0"),
        (Dataset::new(1 << 32, &three, &three), "dataset: expected 1 to 4294967295 rows, got 4294967296"),
    ] {
        assert_eq!(error_text(set), expected);
    }
}

#[test]
fn non_finite_values_are_errors_with_their_location() {
    const FINITE: &str = "expected a finite number";
    let two = [0.5f32, 0.5];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let features = Dataset::new(2, &[0.0, 0.0, 0.0, value], &two);
        assert_eq!(error_text(features), format!("features: row 1, column 1: {FINITE}, got {value}"));
        let targets = Dataset::new(2, &[0.0; 4], &[0.0, value]);
        assert_eq!(error_text(targets), format!("targets: row 1, column 0: {FINITE}, got {value}"));
        let scaled = Features::U8 { bytes: vec![1, 2], scale: value };
        let error = error_text(Dataset::new(2, scaled, &two));
        assert!(error.contains("scale") && error.contains(&value.to_string()), "{error}");
    }
    for device in devices() {
        let mut trainer = Trainer::without_dataset(&device, &network(), TrainerSettings::default()).expect("a trainer");
        let before = trainer.parameters().expect("parameters");
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let inputs = format!("inputs: row 1, column 0: {FINITE}, got {value}");
            assert_eq!(error_text(trainer.step(&[0.0, 0.0, value, 0.0], &two)), inputs, "{device}");
            assert_eq!(error_text(trainer.gradients(&[0.0, 0.0, value, 0.0], &two)), inputs, "{device}");
            assert_eq!(error_text(trainer.predict(&[0.0, 0.0, value, 0.0])), inputs, "{device}");
            let expected = format!("targets: row 1, column 0: {FINITE}, got {value}");
            assert_eq!(error_text(trainer.step(&[0.0; 4], &[0.0, value])), expected, "{device}");
            let mut layers = before.clone();
            layers[0].weight[5] = value;
            let weights = error_text(trainer.set_parameters(&layers));
            assert_eq!(weights, format!("weights: row 2, column 1: {FINITE}, got {value}"), "{device}");
            layers[0].weight[5] = 0.0;
            layers[1].bias[0] = value;
            let biases = error_text(trainer.set_parameters(&layers));
            assert_eq!(biases, format!("biases: row 0, column 0: {FINITE}, got {value}"), "{device}");
        }
        assert_eq!(
            bits(&trainer.parameters().expect("parameters")),
            bits(&before),
            "{device}: an invalid call changed the parameters"
        );
        assert_eq!(trainer.take_report().expect("no step").rows(), 0, "{device}: an invalid step counts");
    }
}

#[test]
fn data_that_does_not_match_the_network_is_an_error() {
    let three_features = Dataset::new(2, &[0.0; 6], &[0.0; 2]).expect("a data set");
    let three_targets = Dataset::new(2, &[0.0; 4], &[0.0; 6]).expect("a data set");
    let three_classes = Dataset::new(3, &[0.0; 6], vec![1u32, 0, 2]).expect("a data set");
    for device in devices() {
        let trainer = |data: &Dataset| Trainer::new(&device, &network(), data, TrainerSettings::default());
        for (data, expected) in [
            (&three_features, "features per row: expected 2 values, got 3"),
            (&three_targets, "targets per row: expected 1 values, got 3"),
            (&three_classes, "target of row 2: expected a class id below 2, got 2"),
        ] {
            assert_eq!(error_text(trainer(data)), expected, "{device}");
            let evaluation = trainer(&xor()).expect("a trainer").evaluate(data);
            assert_eq!(error_text(evaluation), expected, "{device}");
        }
        let three_outputs = Network::new(2).dense(3, Activation::Identity);
        let large_class = Dataset::new(1, &[0.0; 2], vec![u32::MAX]).expect("a data set");
        let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
        let error = Trainer::new(&device, &three_outputs, &large_class, settings).err();
        assert_eq!(error, Some(Error::ClassOutOfRange { row: 0, class: u32::MAX, classes: 3 }), "{device}");
    }
}

#[test]
fn batches_and_parameters_of_the_wrong_size_are_errors() {
    for device in devices() {
        let settings = TrainerSettings { batch_size: 4, ..TrainerSettings::default() };
        let mut trainer = Trainer::without_dataset(&device, &network(), settings).expect("a trainer");
        let too_many_rows = "inputs: expected 1 to 4 rows, the batch_size of the trainer, got 5";
        for (result, expected) in [
            (trainer.step(&[0.0; 3], &[0.0]), "inputs: expected 2 values, got 3"),
            (trainer.step(&[0.0; 4], &[0.0]), "targets: expected 2 values, got 1"),
            (trainer.step(&[0.0; 4], &[0.0; 3]), "targets: expected 2 values, got 3"),
            (trainer.step(&[], &[]), "inputs: expected 2 values, got 0"),
            (trainer.step(&[0.0; 10], &[0.0; 5]), too_many_rows),
            (trainer.gradients(&[0.0; 10], &[0.0; 5]).map(|_| ()), too_many_rows),
            (trainer.gradients(&[0.0; 2], &[]).map(|_| ()), "targets: expected 1 values, got 0"),
            (trainer.predict(&[0.0; 5]).map(|_| ()), "inputs: expected 4 values, got 5"),
            (trainer.predict(&[]).map(|_| ()), "inputs: expected 2 values, got 0"),
        ] {
            assert_eq!(error_text(result), expected, "{device}");
        }
        let layers = trainer.parameters().expect("parameters");
        let mut set = |change: fn(&mut Vec<LayerParameters>)| {
            let mut layers = layers.clone();
            change(&mut layers);
            error_text(trainer.set_parameters(&layers))
        };
        let expected = "layers of parameters: expected 2 values, got 1";
        assert_eq!(set(|layers| layers.truncate(1)), expected, "{device}");
        let expected = "weights of layer 0: expected 6 values, got 7";
        assert_eq!(set(|layers| layers[0].weight.push(0.0)), expected, "{device}");
        let expected = "biases of layer 1: expected 1 values, got 0";
        assert_eq!(set(|layers| layers[1].bias.clear()), expected, "{device}");
        trainer.step(&[0.0; 8], &[0.0; 4]).expect("a valid step after the errors");
    }
}

#[test]
fn invalid_networks_are_errors() {
    let sigmoid = Activation::Sigmoid;
    let deep = (0..257).fold(Network::new(1), |network, _| network.dense(1, sigmoid));
    let width = "width of a layer: expected 1 to 1048576, got";
    let networks = [
        (Network::new(2), "number of layers: expected 1 to 256, got 0".to_owned()),
        (deep, "number of layers: expected 1 to 256, got 257".to_owned()),
        (Network::new(0).dense(1, sigmoid), format!("{width} 0")),
        (Network::new(2).dense(0, sigmoid).dense(1, sigmoid), format!("{width} 0")),
        (Network::new(2).dense(0, sigmoid), format!("{width} 0")),
        (Network::new(2).dense(usize::MAX, sigmoid).dense(1, sigmoid), format!("{width} {}", usize::MAX)),
        (Network::new(usize::MAX).dense(1, sigmoid), format!("{width} {}", usize::MAX)),
        (Network::new(2).dense((1 << 20) + 1, sigmoid), format!("{width} 1048577")),
    ];
    for device in devices() {
        for (network, expected) in &networks {
            assert_eq!(
                &error_text(Trainer::without_dataset(&device, network, TrainerSettings::default())),
                expected,
                "{device}"
            );
        }
    }
    for (network, expected) in &networks {
        assert_eq!(
            &error_text(Reference::new(network, Loss::Mse, Optimizer::sgd(0.1), &[])),
            expected,
            "the reference"
        );
    }
}

#[test]
fn initializers_with_non_finite_numbers_are_errors() {
    for value in [f32::NAN, f32::INFINITY] {
        for init in [Init::Uniform { limit: value.into() }, Init::Normal { std: value.into() }] {
            for device in devices() {
                let network = network().init(init, Init::Zeros);
                let result = Trainer::without_dataset(&device, &network, TrainerSettings::default());
                assert!(matches!(result, Err(Error::InvalidSetting { .. })), "{device}: {init:?}");
            }
        }
    }
}

#[test]
fn invalid_settings_are_errors() {
    let default = TrainerSettings::default;
    let rate = "learning_rate: expected a number in [0, 1e9], got";
    let momentum = "momentum: expected a number in [0, 1], got";
    let sgd = |rate| TrainerSettings { optimizer: Optimizer::sgd(rate), ..default() };
    let with_momentum = |momentum| TrainerSettings { optimizer: Optimizer::momentum(0.1, momentum), ..default() };
    let cases = [
        (
            TrainerSettings { steps_per_submission: Some(0), ..default() },
            "steps_per_submission: expected at least 1, got 0".to_owned(),
        ),
        (
            TrainerSettings { gradient_accumulation: 0, ..default() },
            "gradient_accumulation: expected 1 to 4294967295, got 0".to_owned(),
        ),
        (
            TrainerSettings { gradient_accumulation: 1 << 32, ..default() },
            "gradient_accumulation: expected 1 to 4294967295, got 4294967296".to_owned(),
        ),
        (sgd(f64::NAN), format!("{rate} NaN")),
        (sgd(f64::INFINITY), format!("{rate} inf")),
        (sgd(-0.5), format!("{rate} -0.5")),
        (with_momentum(1.5), format!("{momentum} 1.5")),
        (with_momentum(-0.1), format!("{momentum} -0.1")),
        (with_momentum(f64::NAN), format!("{momentum} NaN")),
    ];
    for device in devices() {
        for (settings, expected) in &cases {
            let result = Trainer::new(&device, &network(), &xor(), settings.clone());
            assert_eq!(&error_text(result), expected, "{device}");
        }
        for batch in [0, usize::MAX] {
            let error = error_text(Trainer::new(
                &device,
                &network(),
                &xor(),
                TrainerSettings { batch_size: batch, ..default() },
            ));
            assert!(error.starts_with("batch_size: expected 1 to "), "{device}: {error}");
            assert!(error.ends_with(&format!(", got {batch}")), "{device}: {error}");
        }
        for (loss, required) in [(Loss::BinaryCrossEntropy, "sigmoid"), (Loss::SoftmaxCrossEntropy, "identity")] {
            let network = Network::new(2).dense(2, Activation::Tanh);
            let error = error_text(Trainer::without_dataset(&device, &network, TrainerSettings { loss, ..default() }));
            let expected = format!("activation of the output layer: expected {required} for {loss}, got tanh");
            assert_eq!(error, expected, "{device}");
        }
    }
}

#[test]
fn calls_without_data_or_steps_are_errors() {
    for device in devices() {
        let mut trainer = Trainer::without_dataset(&device, &network(), TrainerSettings::default()).expect("a trainer");
        let no_data = "this trainer has no data set; create it with Trainer::new, or pass batches to Trainer::step";
        assert_eq!(error_text(trainer.run(1)), no_data, "{device}");
        assert_eq!(error_text(trainer.run_epoch()), no_data, "{device}");
        assert_eq!(error_text(trainer.last_loss()), "this trainer has no loss yet; run a step first", "{device}");
        trainer.step(&XOR.0, &XOR.1).expect("a step");
        assert!(trainer.last_loss().is_ok_and(f32::is_finite), "{device}");
    }
}

#[test]
fn a_diverged_loss_is_an_error_with_its_step() {
    let network = Network::new(2).dense(8, Activation::Relu).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1e6), ..TrainerSettings::default() };
    let features: Vec<f32> = XOR.0.iter().map(|x| x + 1.0).collect();
    let data = Dataset::new(4, features.clone(), &XOR.1).expect("a data set");
    for device in devices() {
        let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
        let initial = trainer.parameters().expect("parameters");
        let first_step = trainer.run(1).expect("a finite loss");
        let error = trainer.run(100).expect_err("a diverged loss");
        let Error::Diverged { step, loss, .. } = error else { panic!("{device}: {error}") };
        assert!((1..20).contains(&step) && !loss.is_finite(), "{device}: {step} {loss}");
        // Neither targets nor features are large here.
        let advice = "reduce the learning rate or scale the inputs";
        assert_eq!(error.to_string(), format!("training diverged: the loss of step {step} is {loss}; {advice}"));
        assert!(trainer.last_loss().is_ok_and(|loss| !loss.is_finite()), "{device}");

        // With finite parameters the trainer works again.
        trainer.set_parameters(&initial).expect("finite parameters");
        let (loss, expected) = (trainer.evaluate(&data).expect("metrics").loss(), first_step.mean_loss());
        assert!((loss - expected).abs() < 1e-5 * loss, "{device}: expected {expected}, got {loss}");

        let mut manual = Trainer::without_dataset(&device, &network, settings.clone()).expect("a trainer");
        let steps = (0..20).try_for_each(|_| manual.step(&features, &XOR.1));
        let result = steps.and_then(|()| manual.take_report().map(|_| ()));
        assert!(matches!(result, Err(Error::Diverged { step: 1..20, .. })), "{device}: {result:?}");
    }
}

/// If the loss of the first step is not finite, the learning rate cannot be the cause.
#[test]
fn the_hint_of_a_diverged_loss_names_the_cause() {
    let network = Network::new(2).dense(1, Activation::Identity);
    let message = |feature: f32, target: f32, rate: f64| {
        let data = Dataset::new(4, &[1.0, -1.0, 0.5, 0.0, 1.0, 1.0, feature, -0.5], &[1.0, 0.0, 0.5, target]);
        let data = data.expect("a data set");
        let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings).expect("a trainer");
        trainer.run(200).expect_err("a diverged loss").to_string()
    };
    let first = "training diverged: the loss of step 0 is inf; the learning rate is not the cause at the first step: ";
    let cases = [
        (message(1.0, 5e21, 1e-9), first, "the targets reach 5e21; scale them to about 1"),
        (message(1e30, 1.0, 1e-9), first, "the features reach 1e30; scale them to about 1"),
        (message(1.0, 3e4, 1e3), "training diverged: ", "; the targets reach 3e4; scale them to about 1"),
        (message(5e3, 1.0, 1.0), "training diverged: ", "; the features reach 5e3; scale them to about 1"),
        (message(1.0, 1.0, 1e3), "training diverged: ", "; reduce the learning rate or scale the inputs"),
    ];
    for (message, begin, words) in cases {
        assert!(message.starts_with(begin) && message.contains(words), "{message}");
    }
    let x: Vec<f32> = (0..50).map(|i| i as f32).collect();
    let y: Vec<f32> = x.iter().map(|x| x * 1e20).collect();
    let mut regressor = MlpRegressor::new().device(Device::cpu()).scaling(Scaling::Standard).learning_rate_init(1e-9);
    let message = regressor.fit(&x[..], &y[..]).map(drop).expect_err("the square of 5e21 is infinite").to_string();
    assert!(message.starts_with(first) && message.contains("the targets reach 4.9e21"), "{message}");
}

/// Methods that need the parameters of a diverged member return an error. The other members continue.
#[test]
fn an_error_names_the_diverged_member() {
    let x: Vec<f32> = (0..200).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks(2).map(|row| 2.0 * row[0] - row[1]).collect();
    let data = Dataset::new(100, x, y).expect("a data set");
    let network = Network::new(2).dense(4, Activation::Tanh).dense(1, Activation::Identity);
    let member = |rate| Member::new(TrainerSettings { optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() });
    for device in devices() {
        let mut population =
            Population::new(&device, &network, &data, &[member(0.1), member(1e8)]).expect("a population");
        population.snapshot(&[0]).expect("a snapshot");
        population.run(30).expect("steps");
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0]);
        let errors = [
            population.parameters(1).map(drop),
            population.model(1).map(drop),
            population.ensemble(&device, 0..2).map(drop),
            population.snapshot(&[0, 1]),
            population.restore(1),
        ];
        for error in errors.map(|result| result.expect_err("a diverged member")) {
            assert!(matches!(error, Error::MemberDiverged { member: 1, step: Some(1..30) }), "{device}: {error}");
            assert!(error.to_string().starts_with("member 1 diverged: the loss of step "), "{error}");
        }
        drop(population.ensemble(&device, population.active_members()).expect("an ensemble of the active members"));
        assert!(population.restore(0).is_ok() && population.model(0).is_ok(), "{device}");

        // A snapshot restores a diverged member.
        let mut population = Population::new(&device, &network, &data, &[member(1e8)]).expect("a population");
        population.snapshot(&[0]).expect("a snapshot");
        let initial = population.parameters(0).expect("finite parameters");
        population.run(30).expect("steps");
        assert!(population.model(0).is_err());
        population.restore(0).expect("a snapshot");
        assert_eq!(population.parameters(0), Ok(initial), "{device}");
    }
}
