//! What a caller can do wrong, on every device: an error says what was expected and what was found, and nothing panics.

use crate::common::{XOR, bits, devices, xor};
use gradus::{
    Activation, Dataset, Device, Error, Features, Init, Loss, Member, MlpRegressor, Network, Optimizer, Population,
    Trainer, TrainerSettings, data::Scaling, nn::LayerParameters, reference::Reference,
};

fn network() -> Network {
    Network::new(2).dense(3, Activation::Tanh).dense(1, Activation::Sigmoid)
}

/// The text of the error, which has to be there.
fn text<T>(result: gradus::Result<T>) -> String {
    result.err().map_or_else(|| panic!("no error"), |error| error.to_string())
}

#[test]
fn a_data_set_that_is_not_one_is_refused() {
    let (three, none) = ([0.0f32; 3], [0.0f32; 0]);
    for (set, expected) in [
        (Dataset::new(2, &three, &[0.0, 1.0]), "features: expected 4 values, got 3"),
        (Dataset::new(2, vec![0u8; 5], vec![0u32; 2]), "features: expected 6 values, got 5"),
        (Dataset::new(3, &three, &[0.0, 1.0]), "targets: expected 3 values, got 2"),
        (Dataset::new(3, &three, vec![0u32; 4]), "class ids: expected 3 values, got 4"),
        (Dataset::new(3, &none, &three), "features: expected 3 values, got 0"),
        (Dataset::new(3, &three, &none), "targets: expected 3 values, got 0"),
        (Dataset::new(0, &none, &none), "dataset: expected 1 to 4294967295 rows, got 0"),
        (Dataset::new(1 << 32, &three, &three), "dataset: expected 1 to 4294967295 rows, got 4294967296"),
    ] {
        assert_eq!(text(set), expected);
    }
}

#[test]
fn a_value_that_is_not_finite_is_refused_where_it_enters() {
    const FINITE: &str = "expected a finite number";
    let two = [0.5f32, 0.5];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let features = Dataset::new(2, &[0.0, 0.0, 0.0, value], &two);
        assert_eq!(text(features), format!("features: row 1, column 1: {FINITE}, got {value}"));
        let targets = Dataset::new(2, &[0.0; 4], &[0.0, value]);
        assert_eq!(text(targets), format!("targets: row 1, column 0: {FINITE}, got {value}"));
        let scaled = Features::U8 { bytes: vec![1, 2], scale: value };
        let error = text(Dataset::new(2, scaled, &two));
        assert!(error.contains("scale") && error.contains(&value.to_string()), "{error}");
    }
    for device in devices() {
        let mut trainer = Trainer::without_dataset(&device, &network(), TrainerSettings::default()).expect("a trainer");
        let before = trainer.parameters().expect("parameters");
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let inputs = format!("inputs: row 1, column 0: {FINITE}, got {value}");
            assert_eq!(text(trainer.step(&[0.0, 0.0, value, 0.0], &two)), inputs, "{device}");
            assert_eq!(text(trainer.gradients(&[0.0, 0.0, value, 0.0], &two)), inputs, "{device}");
            assert_eq!(text(trainer.predict(&[0.0, 0.0, value, 0.0])), inputs, "{device}");
            let expected = format!("expected outputs: row 1, column 0: {FINITE}, got {value}");
            assert_eq!(text(trainer.step(&[0.0; 4], &[0.0, value])), expected, "{device}");
            let mut layers = before.clone();
            layers[0].weight[5] = value;
            let weights = text(trainer.set_parameters(&layers));
            assert_eq!(weights, format!("weights: row 2, column 1: {FINITE}, got {value}"), "{device}");
            layers[0].weight[5] = 0.0;
            layers[1].bias[0] = value;
            let biases = text(trainer.set_parameters(&layers));
            assert_eq!(biases, format!("biases: row 0, column 0: {FINITE}, got {value}"), "{device}");
        }
        assert_eq!(bits(&trainer.parameters().expect("parameters")), bits(&before), "{device}: it was changed");
        assert_eq!(trainer.take_report().expect("no step").rows(), 0, "{device}: a refused step counts");
    }
}

#[test]
fn data_of_another_size_than_the_network_is_refused() {
    let wide = Dataset::new(2, &[0.0; 6], &[0.0; 2]).expect("three features a row");
    let long = Dataset::new(2, &[0.0; 4], &[0.0; 6]).expect("three answers a row");
    let classes = Dataset::new(3, &[0.0; 6], vec![1u32, 0, 2]).expect("three classes");
    for device in devices() {
        let trainer = |data: &Dataset| Trainer::new(&device, &network(), data, TrainerSettings::default());
        for (data, expected) in [
            (&wide, "features per row: expected 2 values, got 3"),
            (&long, "targets per row: expected 1 values, got 3"),
            (&classes, "target of row 2: expected a class id below 2, got 2"),
        ] {
            assert_eq!(text(trainer(data)), expected, "{device}");
            let evaluation = trainer(&xor()).expect("a trainer").evaluate(data);
            assert_eq!(text(evaluation), expected, "{device}");
        }
        let three = Network::new(2).dense(3, Activation::Identity);
        let beyond = Dataset::new(1, &[0.0; 2], vec![u32::MAX]).expect("a class id");
        let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
        let refused = Trainer::new(&device, &three, &beyond, settings).err();
        assert_eq!(refused, Some(Error::ClassOutOfRange { row: 0, class: u32::MAX, classes: 3 }), "{device}");
    }
}

#[test]
fn a_batch_or_parameters_of_the_wrong_size_are_refused() {
    for device in devices() {
        let settings = TrainerSettings { batch_size: 4, ..TrainerSettings::default() };
        let mut trainer = Trainer::without_dataset(&device, &network(), settings).expect("a trainer");
        for (result, expected) in [
            (trainer.step(&[0.0; 3], &[0.0]), "inputs: expected 2 values, got 3"),
            (trainer.step(&[0.0; 4], &[0.0]), "expected outputs: expected 2 values, got 1"),
            (trainer.step(&[0.0; 4], &[0.0; 3]), "expected outputs: expected 2 values, got 3"),
            (trainer.step(&[], &[]), "inputs: expected 2 values, got 0"),
            (trainer.step(&[0.0; 10], &[0.0; 5]), "rows of a batch: expected 1 to 4, got 5"),
            (trainer.gradients(&[0.0; 10], &[0.0; 5]).map(|_| ()), "rows of a batch: expected 1 to 4, got 5"),
            (trainer.gradients(&[0.0; 2], &[]).map(|_| ()), "expected outputs: expected 1 values, got 0"),
            (trainer.predict(&[0.0; 5]).map(|_| ()), "inputs: expected 4 values, got 5"),
            (trainer.predict(&[]).map(|_| ()), "inputs: expected 2 values, got 0"),
        ] {
            assert_eq!(text(result), expected, "{device}");
        }
        let layers = trainer.parameters().expect("parameters");
        let mut set = |change: fn(&mut Vec<LayerParameters>)| {
            let mut layers = layers.clone();
            change(&mut layers);
            text(trainer.set_parameters(&layers))
        };
        let refused = "layers of parameters: expected 2 values, got 1";
        assert_eq!(set(|layers| layers.truncate(1)), refused, "{device}");
        let refused = "weights of layer 0: expected 6 values, got 7";
        assert_eq!(set(|layers| layers[0].weight.push(0.0)), refused, "{device}");
        let refused = "biases of layer 1: expected 1 values, got 0";
        assert_eq!(set(|layers| layers[1].bias.clear()), refused, "{device}");
        trainer.step(&[0.0; 8], &[0.0; 4]).expect("it still trains");
    }
}

#[test]
fn a_network_that_cannot_be_built_is_refused() {
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
                &text(Trainer::without_dataset(&device, network, TrainerSettings::default())),
                expected,
                "{device}"
            );
        }
    }
    for (network, expected) in &networks {
        assert_eq!(&text(Reference::new(network, Loss::Mse, Optimizer::sgd(0.1), &[])), expected, "the reference");
    }
}

#[test]
fn first_parameters_that_are_no_numbers_are_refused() {
    for value in [f32::NAN, f32::INFINITY] {
        for init in [Init::Uniform { limit: value.into() }, Init::Normal { std: value.into() }] {
            for device in devices() {
                let refused =
                    Trainer::without_dataset(&device, &network().init(init, Init::Zeros), TrainerSettings::default());
                assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{device}: {init:?}");
            }
        }
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let all = TrainerSettings::default;
    let rate = "learning rate: expected a number in [0, 1e9], got";
    let momentum = "momentum: expected a number in [0, 1], got";
    let sgd = |rate| TrainerSettings { optimizer: Optimizer::sgd(rate), ..all() };
    let kept = |momentum| TrainerSettings { optimizer: Optimizer::momentum(0.1, momentum), ..all() };
    let cases = [
        (
            TrainerSettings { steps_per_submission: Some(0), ..all() },
            "chunk: expected at least one step, got 0".to_owned(),
        ),
        (
            TrainerSettings { gradient_accumulation: 0, ..all() },
            "accumulate: expected 1 to 4294967295 batches, got 0".to_owned(),
        ),
        (
            TrainerSettings { gradient_accumulation: 1 << 32, ..all() },
            "accumulate: expected 1 to 4294967295 batches, got 4294967296".to_owned(),
        ),
        (sgd(f64::NAN), format!("{rate} NaN")),
        (sgd(f64::INFINITY), format!("{rate} inf")),
        (sgd(-0.5), format!("{rate} -0.5")),
        (kept(1.5), format!("{momentum} 1.5")),
        (kept(-0.1), format!("{momentum} -0.1")),
        (kept(f64::NAN), format!("{momentum} NaN")),
    ];
    for device in devices() {
        for (settings, expected) in &cases {
            let refused = Trainer::new(&device, &network(), &xor(), settings.clone());
            assert_eq!(&text(refused), expected, "{device}");
        }
        for batch in [0, usize::MAX] {
            let refused =
                text(Trainer::new(&device, &network(), &xor(), TrainerSettings { batch_size: batch, ..all() }));
            assert!(refused.starts_with("batch: expected 1 to "), "{device}: {refused}");
            assert!(refused.ends_with(&format!(" rows, got {batch}")), "{device}: {refused}");
        }
        for (loss, demanded) in [(Loss::BinaryCrossEntropy, "sigmoid"), (Loss::SoftmaxCrossEntropy, "identity")] {
            let network = Network::new(2).dense(2, Activation::Tanh);
            let refused = text(Trainer::without_dataset(&device, &network, TrainerSettings { loss, ..all() }));
            let expected = format!("activation of the output layer: expected {demanded} for {loss}, got tanh");
            assert_eq!(refused, expected, "{device}");
        }
    }
}

#[test]
fn what_needs_data_or_a_step_says_so() {
    for device in devices() {
        let mut trainer = Trainer::without_dataset(&device, &network(), TrainerSettings::default()).expect("a trainer");
        let no_data = "steps on resident data: expected a data set, as Trainer::new takes one, got none";
        assert_eq!(text(trainer.run(1)), no_data, "{device}");
        assert_eq!(text(trainer.run_epoch()), no_data, "{device}");
        assert_eq!(text(trainer.last_loss()), "loss: expected at least one step, got none yet", "{device}");
        trainer.step(&XOR.0, &XOR.1).expect("a step");
        assert!(trainer.last_loss().is_ok_and(f32::is_finite), "{device}");
    }
}

#[test]
fn a_loss_that_leaves_the_numbers_is_an_error_with_its_step() {
    let network = Network::new(2).dense(8, Activation::Relu).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1e6), ..TrainerSettings::default() };
    let features: Vec<f32> = XOR.0.iter().map(|x| x + 1.0).collect();
    let data = Dataset::new(4, features.clone(), &XOR.1).expect("a data set");
    for device in devices() {
        let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
        let initial = trainer.parameters().expect("parameters");
        let first = trainer.run(1).expect("the first step is finite");
        let error = trainer.run(100).expect_err("it diverges");
        let Error::Diverged { step, loss, .. } = error else { panic!("{device}: {error}") };
        assert!((1..20).contains(&step) && !loss.is_finite(), "{device}: {step} {loss}");
        // Neither targets nor features are large here.
        let advice = "reduce the learning rate or scale the inputs";
        assert_eq!(error.to_string(), format!("training diverged: the loss of step {step} is {loss}; {advice}"));
        assert!(trainer.last_loss().is_ok_and(|loss| !loss.is_finite()), "{device}");

        // The trainer is as good as new once its parameters are.
        trainer.set_parameters(&initial).expect("they are finite");
        let loss = trainer.evaluate(&data).expect("outputs").loss();
        assert!((loss - first.mean_loss()).abs() < 1e-5 * loss, "{device}: {loss} instead of {}", first.mean_loss());

        let mut by_hand = Trainer::without_dataset(&device, &network, settings.clone()).expect("a trainer");
        let stepped = (0..20).try_for_each(|_| by_hand.step(&features, &XOR.1));
        let told = stepped.and_then(|()| by_hand.take_report().map(|_| ()));
        assert!(matches!(told, Err(Error::Diverged { step: 1..20, .. })), "{device}: {told:?}");
    }
}

/// A loss of the first step that is not finite is no matter of the learning rate.
#[test]
fn the_advice_for_a_loss_that_diverges_names_the_cause() {
    let network = Network::new(2).dense(1, Activation::Identity);
    let of = |feature: f32, target: f32, rate: f64| {
        let data = Dataset::new(4, &[1.0, -1.0, 0.5, 0.0, 1.0, 1.0, feature, -0.5], &[1.0, 0.0, 0.5, target]);
        let data = data.expect("a data set");
        let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&Device::cpu(), &network, &data, settings).expect("a trainer");
        trainer.run(200).expect_err("it diverges").to_string()
    };
    let first = "training diverged: the loss of step 0 is inf; the learning rate is not the cause at the first step: ";
    let cases = [
        (of(1.0, 5e21, 1e-9), first, "the targets reach 5e21; scale them to about 1"),
        (of(1e30, 1.0, 1e-9), first, "the features reach 1e30; scale them to about 1"),
        (of(1.0, 3e4, 1e3), "training diverged: ", "; the targets reach 3e4; scale them to about 1"),
        (of(5e3, 1.0, 1.0), "training diverged: ", "; the features reach 5e3; scale them to about 1"),
        (of(1.0, 1.0, 1e3), "training diverged: ", "; reduce the learning rate or scale the inputs"),
    ];
    for (message, begin, words) in cases {
        assert!(message.starts_with(begin) && message.contains(words), "{message}");
    }
    let x: Vec<f32> = (0..50).map(|i| i as f32).collect();
    let y: Vec<f32> = x.iter().map(|x| x * 1e20).collect();
    let mut net = MlpRegressor::new().device(Device::cpu()).scaling(Scaling::Standard).learning_rate_init(1e-9);
    let message = net.fit(&x[..], &y[..]).map(drop).expect_err("the square of 5e21 is no f32").to_string();
    assert!(message.starts_with(first) && message.contains("the targets reach 4.9e21"), "{message}");
}

/// What needs the parameters of a network that has diverged says so; the others go on.
#[test]
fn a_network_of_a_population_that_has_diverged_is_named() {
    let x: Vec<f32> = (0..200).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks(2).map(|row| 2.0 * row[0] - row[1]).collect();
    let data = Dataset::new(100, x, y).expect("a data set");
    let network = Network::new(2).dense(4, Activation::Tanh).dense(1, Activation::Identity);
    let member = |rate| Member::new(TrainerSettings { optimizer: Optimizer::sgd(rate), ..TrainerSettings::default() });
    for device in devices() {
        let mut population =
            Population::new(&device, &network, &data, &[member(0.1), member(1e8)]).expect("a population");
        population.snapshot(&[0]).expect("the first parameters");
        population.run(30).expect("steps");
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0]);
        let errors = [
            population.parameters(1).map(drop),
            population.model(1).map(drop),
            population.ensemble(&device, 0..2).map(drop),
            population.snapshot(&[0, 1]),
            population.restore(1),
        ];
        for error in errors.map(|told| told.expect_err("it has diverged")) {
            assert!(matches!(error, Error::MemberDiverged { member: 1, step: Some(1..30) }), "{device}: {error}");
            let words = "member 1 diverged: the loss of step ";
            assert!(error.to_string().starts_with(words), "{error}");
        }
        let of_population = population.ensemble(&device, population.active_members()).expect("those that are left");
        drop(of_population);
        assert!(population.restore(0).is_ok() && population.model(0).is_ok(), "{device}");

        // One that was kept comes back.
        let mut population = Population::new(&device, &network, &data, &[member(1e8)]).expect("a population");
        population.snapshot(&[0]).expect("the first parameters");
        let first = population.parameters(0).expect("they are finite");
        population.run(30).expect("steps");
        assert!(population.model(0).is_err());
        population.restore(0).expect("they were kept");
        assert_eq!(population.parameters(0), Ok(first), "{device}");
    }
}
