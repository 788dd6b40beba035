//! What leaves the program and comes back: models, checkpoints, and PyTorch's files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::common::{Folder, adapters, devices, numbers, open};
use gradus::{
    Activation, Checkpoint, Dataset, Device, EarlyStopping, Error, Features, Loss, Model, Network, Optimizer,
    Predictor, Schedule, Trainer, TrainerSettings, TrainingLoop,
    data::{Scaler, Scaling},
    model::{CustomFunctions, TensorNames},
    nn::{CustomActivation, LayerParameters},
    train::{CallbackAction, Monitor, ReduceOnPlateau},
};
use serde_json::Value;

const ROWS: usize = 37;

fn data() -> Dataset {
    let expected: Vec<f32> = (0..ROWS).flat_map(|row| (0..3).map(move |i| f32::from(u8::from(row % 3 == i)))).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), expected).expect("a data set")
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, seed: 7, ..TrainerSettings::default() }
}

fn close(what: &str, tolerance: f32, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1.0), "{what}: {ours} instead of {theirs}");
    }
}

/// Everything that a layer may have, with a learned slope and both norms.
fn rich() -> Network {
    Network::new(5)
        .dense(7, Activation::Relu)
        .batch_norm()
        .dropout(0.2)
        .dense(6, Activation::Gelu)
        .layer_norm()
        .dense(4, Activation::Prelu { initial_slope: 0.25 })
        .dense(3, Activation::Identity)
}

/// A training whose every number differs from those it started with.
fn trained(device: &Device, network: &Network, settings: TrainerSettings, steps: usize) -> Trainer {
    let mut trainer = Trainer::new(device, network, &data(), settings).unwrap_or_else(|e| panic!("{device}: {e}"));
    trainer.run(steps).unwrap_or_else(|error| panic!("{device}: {error}"));
    trainer
}

#[test]
fn a_model_comes_back_as_it_was_and_the_same_model_is_the_same_bytes() {
    let folder = Folder::new();
    let path = folder.join("model.safetensors");
    let data = data();
    let data = data.clone().with_scaler(&Scaler::fit(Scaling::Standard, &data)).expect("a scaler of its columns");
    let mut trainer = Trainer::new(&Device::cpu(), &rich(), &data, settings()).expect("a trainer");
    trainer.run(20).expect("steps");
    let mut model = trainer.model().expect("a model");
    model.metadata.extend([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\"1\"\n".to_owned())]);
    assert_eq!(model.scaler.as_ref(), data.scaler());
    model.save(&path).expect("a file");
    let back = Model::load(&path).expect("the file");
    assert_eq!(back, model);
    assert_eq!(back.to_bytes().expect("bytes"), fs::read(&path).expect("bytes"));
    for device in devices() {
        let mut predictor = Predictor::from_model(&device, &back).expect("a predictor");
        let answers = predictor.predict(&numbers(20, 4)).expect("answers");
        close(&device.to_string(), 1e-5, &answers, &trainer.predict(&numbers(20, 4)).expect("answers"));
    }
}

#[test]
fn a_training_goes_on_with_the_same_bits_whatever_the_optimizer() {
    let steps = (23, 19);
    for device in devices() {
        let optimizers = Optimizer::ALL.iter().map(|optimizer| (rich(), *optimizer, 1));
        let plain = Network::new(5).dense(7, Activation::Sigmoid).dense(3, Activation::Sigmoid);
        // In the middle of an update, clipped, with an average, without norms, and with nothing to keep.
        let more = [
            (rich(), Optimizer::adam(0.01).clip_norm(0.5).ema(0.9), 4),
            (plain.clone(), Optimizer::momentum(0.1, 0.9), 3),
            (plain.clone(), Optimizer::sgd(0.5), 1),
            (plain, Optimizer::adamw(0.01).ema(0.99), 1),
        ];
        for (network, optimizer, accumulate) in optimizers.chain(more) {
            let schedule = Schedule::PerEpoch(Box::new(Schedule::cosine(9)));
            let settings = TrainerSettings {
                optimizer,
                gradient_accumulation: accumulate,
                schedule,
                input_noise_std: 0.01,
                ..settings()
            };
            let what = format!("{device}, {optimizer:?}, {accumulate}");
            let mut whole = trained(&device, &network, settings.clone(), steps.0);
            let mut first = trained(&device, &network, settings, steps.0);
            let checkpoint = first.checkpoint().unwrap_or_else(|error| panic!("{what}: {error}"));
            let bytes = checkpoint.to_bytes().expect("bytes");
            let back = Checkpoint::from_bytes(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(back, checkpoint, "{what}");
            assert_eq!(back.to_bytes().expect("bytes"), bytes, "{what}");
            let mut again = Trainer::resume(&device, &back, Some(&data())).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(again.last_loss().expect("the last one"), first.last_loss().expect("the last one"), "{what}");
            let (expected, found) = (whole.run(steps.1).expect("steps"), again.run(steps.1).expect("steps"));
            assert_eq!(found, expected, "{what}");
            assert_eq!(again.parameters(), whole.parameters(), "{what}");
            assert_eq!(again.dataset_steps(), whole.dataset_steps(), "{what}");
            if optimizer.ema_decay.is_some() {
                assert_eq!(again.ema_parameters(), whole.ema_parameters(), "{what}");
            }
        }
    }
}

#[test]
fn a_fit_decides_after_a_pause_as_it_would_have_without() {
    let monitor = Monitor::TrainingLoss;
    let fit = |epochs| {
        let stopping = EarlyStopping { monitor, patience: 3, ..EarlyStopping::default() };
        TrainingLoop::new(epochs).validation_data(&data()).early_stopping(stopping)
    };
    for device in devices() {
        // A rate at which the loss comes and goes.
        let settings = TrainerSettings { optimizer: Optimizer::momentum(0.9, 0.9), ..settings() };
        let network = Network::new(5).dense(7, Activation::Tanh).dense(3, Activation::Sigmoid);
        let start = || Trainer::new(&device, &network, &data(), settings.clone()).expect("a trainer");
        let mut whole = start();
        let expected = fit(60).run(&mut whole).expect("epochs");
        assert!(
            expected.best_epoch.is_some_and(|best| best + 1 < expected.epochs.len()),
            "{device}: the best was kept"
        );
        // After every third step: of the five of an epoch most pauses are in its middle.
        for pause in 1..5 * expected.epochs.len() / 3 {
            let mut saved = Vec::new();
            let mut first = start();
            let mut calls = 0;
            let paused = fit(60).callback_every(3).run_with_callback(&mut first, |now| {
                calls += 1;
                if calls < pause {
                    return Ok(CallbackAction::Continue);
                }
                saved = now.trainer.checkpoint()?.with_history(now.history).to_bytes()?;
                Ok(CallbackAction::Stop)
            });
            paused.expect("epochs");
            let checkpoint = Checkpoint::from_bytes(&saved).expect("a checkpoint");
            let mut again = Trainer::resume(&device, &checkpoint, Some(&data())).expect("a trainer");
            let done = checkpoint.history.epochs.len();
            let history = fit(60 - done).resume_from(checkpoint.history).run(&mut again).expect("epochs");
            assert_eq!(
                (history.best_epoch, history.stop_reason),
                (expected.best_epoch, expected.stop_reason),
                "{device}, {pause}"
            );
            let told = |history: &gradus::History| {
                history.epochs.iter().map(|e| (e.steps, e.loss, e.accuracy, e.validation.clone())).collect::<Vec<_>>()
            };
            assert_eq!(told(&history), told(&expected), "{device}, {pause}");
            assert_eq!(again.parameters(), whole.parameters(), "{device}, {pause}");
        }
    }
}

#[test]
fn what_surrounds_a_training_goes_on_with_it() {
    let fit = TrainingLoop::new(6).reduce_on_plateau(ReduceOnPlateau {
        monitor: Monitor::TrainingLoss,
        patience: 0,
        threshold: 0.5,
        ..ReduceOnPlateau::default()
    });
    let bytes: Vec<u8> = numbers(ROWS * 5, 1).iter().map(|value| (value * 100.0 + 120.0) as u8).collect();
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row % 3).collect();
    let raw = Dataset::new(ROWS, Features::bytes(bytes, 1.0 / 255.0), classes)
        .and_then(|data| data.with_class_weights(&[1.0, 0.5, 2.0]));
    let raw = raw.expect("a data set of bytes");
    let scaled = raw.clone().with_scaler(&Scaler::fit(Scaling::Standard, &raw)).expect("a scaler");
    let loss = Loss::SoftmaxCrossEntropy;
    let settings = TrainerSettings { loss, gradient_accumulation: 2, optimizer: Optimizer::adam(0.05), ..settings() };
    for device in devices() {
        let mut whole = Trainer::new(&device, &rich(), &scaled, settings.clone()).expect("a trainer");
        let before = fit.run(&mut whole).expect("epochs");
        whole.snapshot().expect("kept");
        whole.run(1).expect("half an update");
        assert!(whole.learning_rate() < 0.05, "{device}: there was a plateau");
        let checkpoint = whole.checkpoint().expect("a checkpoint").with_history(&before);
        // The scaling is the checkpoint's, whether the data bring it or not.
        for data in [&scaled, &raw] {
            let mut again = Trainer::resume(&device, &checkpoint, Some(data)).expect("a trainer");
            assert_eq!(again.learning_rate(), whole.learning_rate(), "{device}");
            assert_eq!(again.run(3), {
                let mut whole = Trainer::resume(&device, &checkpoint, Some(&scaled)).expect("a trainer");
                whole.run(3)
            });
            again.restore().expect("it was kept");
            again.run(7).expect("steps");
            let mut expected = Trainer::new(&device, &rich(), &scaled, settings.clone()).expect("a trainer");
            fit.run(&mut expected).expect("epochs");
            expected.snapshot().expect("kept");
            expected.run(4).expect("steps");
            expected.restore().expect("it was kept");
            expected.run(7).expect("steps");
            assert_eq!(again.parameters(), expected.parameters(), "{device}");
        }
    }
}

#[test]
fn steps_by_hand_go_on_as_well() {
    let (x, t) = (numbers(10, 2), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    for device in devices() {
        let settings = TrainerSettings { optimizer: Optimizer::adam(0.01), ..settings() };
        let mut first = Trainer::without_dataset(&device, &rich(), settings).expect("a trainer");
        (0..5).for_each(|_| first.step(&x, &t).expect("a step"));
        let checkpoint = first.checkpoint().expect("a checkpoint");
        assert_eq!(checkpoint.total_steps(), 5);
        let mut again = Trainer::resume(&device, &checkpoint, None).expect("a trainer");
        for trainer in [&mut first, &mut again] {
            (0..4).for_each(|_| trainer.step(&x, &t).expect("a step"));
        }
        assert_eq!(again.parameters(), first.parameters(), "{device}");
        assert_eq!(first.take_report().expect("losses").losses.len(), 9, "a checkpoint takes no losses away");
        let refused = Trainer::resume(&device, &checkpoint, Some(&data())).expect_err("there was none");
        assert_eq!(refused.to_string(), "data set of the training: expected no data set, got one of 37 rows");
    }
}

#[test]
fn what_does_not_belong_to_a_checkpoint_is_refused() {
    let mut trainer = trained(&Device::cpu(), &rich(), settings(), 3);
    let checkpoint = trainer.checkpoint().expect("a checkpoint");
    let message = |checkpoint: &Checkpoint, data: &Dataset| {
        Trainer::resume(&Device::cpu(), checkpoint, Some(data)).expect_err("it does not belong").to_string()
    };
    let fewer = data().select(&[0, 1, 2]).expect("rows");
    assert_eq!(message(&checkpoint, &fewer), "data set of the training: expected one of 37 rows, got one of 3 rows");
    let scaled = data().with_scaler(&Scaler::fit(Scaling::MinMax, &data())).expect("a scaler");
    assert_eq!(
        message(&checkpoint, &scaled),
        "scaling of the data set: expected the checkpoint's, or none in the data set, got another"
    );
    let mut other = checkpoint.clone();
    other.settings.optimizer = Optimizer::adam(0.1);
    assert!(message(&other, &data()).starts_with("optimizer of a checkpoint's settings: expected sgd, whose state"));
    assert!(other.to_bytes().is_err(), "what cannot be resumed is not saved");
    other.settings.optimizer = Optimizer::sgd(0.1);
    other.settings.gradient_accumulation = 2;
    let refused = message(&other, &data());
    assert!(refused.starts_with("batch size, drop_last and accumulation of a checkpoint's settings: "), "{refused}");
    assert!(refused.contains("rows into epoch 1"), "{refused}");
    let mut other = checkpoint.clone();
    other.model.network = Network::new(5).dense(3, Activation::Tanh);
    assert!(other.to_bytes().is_err());
    assert_eq!(message(&other, &data()), "layers of parameters: expected 1 values, got 4");
    for adapter in adapters() {
        let device = open(&adapter, None);
        let refused = Trainer::resume(&device, &checkpoint, Some(&data())).expect_err("its plan is the CPU's");
        assert!(matches!(refused, Error::InvalidPlan { field: "device", .. }), "{refused}");
        let mut anywhere = checkpoint.clone();
        anywhere.settings.plan = None;
        let mut elsewhere = Trainer::resume(&device, &anywhere, Some(&data())).expect("within rounding");
        let mut here = Trainer::resume(&Device::cpu(), &anywhere, Some(&data())).expect("the same");
        close(&device.to_string(), 1e-3, &elsewhere.run(5).expect("steps").losses, &here.run(5).expect("steps").losses);
    }
    let model = checkpoint.model.to_bytes().expect("bytes");
    assert_eq!(
        Checkpoint::from_bytes(&model).expect_err("it is a model").to_string(),
        "bytes: metadata: expected a checkpoint, got a model, which Model::load reads"
    );
    let model = Model::from_bytes(&checkpoint.to_bytes().expect("bytes")).expect("a checkpoint has a model");
    assert_eq!(model, checkpoint.model);
}

static SQUARE: CustomActivation = CustomActivation::new(
    "square",
    "fn square(z: vec4f) -> vec4f { return z * z; } fn square_derivative(z: vec4f) -> vec4f { return 2.0 * z; }",
    |z| z * z,
    |z| 2.0 * z,
);

#[test]
fn a_formula_of_the_callers_own_is_named_by_the_file_and_given_by_the_caller() {
    let folder = Folder::new();
    let path = folder.join("checkpoint");
    let network = Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Identity);
    let mut trainer = trained(&Device::cpu(), &network, settings(), 5);
    trainer.checkpoint().and_then(|checkpoint| checkpoint.save(&path)).expect("a file");
    assert_eq!(
        Checkpoint::load(&path).expect_err("it is not given").to_string(),
        "activation: expected square, which the file names, among the formulas, got none"
    );
    let formulas = CustomFunctions { activations: &[&SQUARE], ..CustomFunctions::default() };
    let checkpoint = Checkpoint::load_with_custom(&path, &formulas).expect("it is given");
    let mut again = Trainer::resume(&Device::cpu(), &checkpoint, Some(&data())).expect("a trainer");
    assert_eq!(again.run(5), trainer.run(5));
    assert!(Model::load(&path).is_err() && Model::load_with_custom(&path, &formulas).is_ok());
}

fn theirs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn answers(name: &str) -> Vec<f32> {
    let text = fs::read_to_string(theirs("answers.json")).expect("it is committed");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    value[name].as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number") as f32).collect()
}

#[test]
fn networks_of_pytorch_give_pytorchs_answers() {
    let plain = Network::new(5).dense(7, Activation::Tanh).dense(3, Activation::Identity);
    let named = Network::new(5).dense(7, Activation::Sigmoid).batch_norm().dense(3, Activation::Identity);
    let names = TensorNames {
        dense: vec!["fc1".into(), "fc2".into()],
        normalizations: vec!["bn1".into()],
        ..TensorNames::default()
    };
    for (file, network, names, expected) in [
        ("plain", &plain, TensorNames::sequential(&plain), "plain"),
        ("wide", &plain, TensorNames::sequential(&plain), "plain"),
        ("bfloat16", &plain, TensorNames::sequential(&plain), "bfloat16"),
        ("norms", &rich(), TensorNames::sequential(&rich()), "norms"),
        ("named", &named, names, "named"),
    ] {
        let path = theirs(&format!("{file}.safetensors"));
        let model = Model::load_weights(&path, network, &names).unwrap_or_else(|error| panic!("{error}"));
        for device in devices() {
            let mut predictor = Predictor::from_model(&device, &model).expect("a predictor");
            let found = predictor.predict(&answers("inputs")).expect("answers");
            close(&format!("{device}, {file}"), 2e-6, &found, &answers(expected));
        }
        // And back: the same tensors.
        let folder = Folder::new();
        let ours = folder.join(file);
        model.save_weights(&ours, &names).expect("a file");
        assert_eq!(Model::load_weights(&ours, network, &names).as_ref(), Ok(&model));
    }
}

/// Half precision as others save it, with bits that numpy gives these numbers.
#[test]
fn weights_of_half_precision_are_loaded() {
    let network = Network::new(3).dense(1, Activation::Identity);
    let file = |weights: [u16; 3]| {
        let header = concat!(
            r#"{"0.bias":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"#,
            r#""0.weight":{"dtype":"F16","shape":[1,3],"data_offsets":[2,8]}}"#
        );
        let values = [0x3e00].into_iter().chain(weights).flat_map(u16::to_le_bytes);
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &values.collect::<Vec<_>>()].concat()
    };
    let folder = Folder::new();
    let names = TensorNames::sequential(&network);
    let load = |weights| Model::load_weights(folder.file("half", file(weights)), &network, &names);
    let parameters = load([0x3555, 0x0001, 0xfbff]).expect("weights").parameters;
    assert_eq!(parameters, [LayerParameters::new(vec![0.333_251_95, 5.960_464_5e-8, -65504.0], vec![1.5])]);
    let error = load([0x3555, 0x7c00, 0]).expect_err("infinity").to_string();
    assert!(error.ends_with("half: tensor 0.weight: expected finite numbers, got inf at 1"), "{error}");
}

#[test]
fn a_network_that_is_not_the_files_is_refused_with_the_tensor() {
    let file = theirs("plain.safetensors");
    let message = |network: Network, names: Option<TensorNames>| {
        let names = names.unwrap_or_else(|| TensorNames::sequential(&network));
        let error = Model::load_weights(&file, &network, &names).expect_err("it is another network").to_string();
        error.strip_prefix(&format!("{}: ", file.display())).map(str::to_owned).unwrap_or(error)
    };
    let network = |width: usize| Network::new(5).dense(width, Activation::Tanh).dense(3, Activation::Identity);
    assert_eq!(message(network(8), None), "tensor 0.weight: expected the shape [8, 5], got [7, 5]");
    let one = Network::new(5).dense(7, Activation::Tanh);
    assert_eq!(message(one, None), "tensor 2.bias: expected none that the network has no place for, got it");
    let linear = Network::new(5).dense(7, Activation::Identity).dense(3, Activation::Identity);
    assert_eq!(message(linear, None), "tensor 1.weight: expected to be there, got 0.bias, 0.weight, 2.bias, 2.weight");
    let names = |dense: &[&str]| {
        Some(TensorNames { dense: dense.iter().map(|n| (*n).into()).collect(), ..TensorNames::default() })
    };
    assert_eq!(message(network(7), names(&["0"])), "names of layers: expected 2 values, got 1");
    assert_eq!(message(network(7), names(&["0", "0"])), "name of a module: expected a name of its own, got 0 twice");
    let whole = Model::load(&file).expect_err("there is no network in it").to_string();
    assert!(whole.ends_with("metadata: expected what gradus writes; weights alone are read for a network by Model::load_weights, got none of it"), "{whole}");
}

#[test]
fn no_damage_to_a_file_goes_unseen_or_does_harm() {
    let mut trainer = trained(&Device::cpu(), &rich(), TrainerSettings { loss: Loss::Mse, ..settings() }, 3);
    let bytes = trainer.checkpoint().and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    for len in 0..bytes.len() {
        let error = Checkpoint::from_bytes(&bytes[..len]).expect_err("it is cut");
        assert!(matches!(error, Error::Format { .. }), "{len}: {error}");
    }
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    for at in 0..header {
        for bit in [0, 5] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            // A digit of a number may be another one; nothing may panic, or be taken for another shape.
            if let Ok(checkpoint) = Checkpoint::from_bytes(&damaged) {
                checkpoint.to_bytes().expect("what was read can be written");
            }
        }
    }
    let mut infinite = bytes.clone();
    // Behind PyTorch's counter, which has the widest numbers.
    infinite[header + 8..header + 12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let error = Checkpoint::from_bytes(&infinite).expect_err("no number").to_string();
    assert!(error.starts_with("bytes: tensor ") && error.ends_with("expected finite numbers, got inf at 0"), "{error}");
    let text = String::from_utf8(bytes[8..header].to_vec()).expect("JSON");
    for (from, to, expected) in [
        (
            "{\\\"format\\\":1",
            "{\\\"format\\\":2",
            "metadata: expected format 1 at most; a newer gradus may read it, got format 2",
        ),
        ("\\\"outputs\\\":7", "\\\"outputs\\\":9", "tensor 0.weight: expected the shape [9, 5], got [7, 5]"),
        ("\\\"gelu\\\"", "\\\"gulu\\\"", "got gulu"),
        (
            "\\\"steps_since_reset\\\":3",
            "\\\"steps_since_reset\\\":9",
            "steps of a checkpoint: expected at most 3, got 9",
        ),
        ("\\\"batch_size\\\":8", "\\\"batch_size\\\":0", "batch: expected 1 to 2097152 rows, got 0"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let changed = text.replacen(from, to, 1);
        let changed = [&bytes[..8], changed.as_bytes(), &bytes[header..]].concat();
        let error = Checkpoint::from_bytes(&changed).expect_err("changed").to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let nowhere = Model::load("/there/is/no/such/file").expect_err("no file");
    assert!(matches!(nowhere, Error::Io { .. }), "{nowhere}");
}

#[test]
fn files_of_the_first_format_are_read_and_written_as_they_are() {
    // Those from which the fuzzers set out, of version 0.1: a name or a number of the format that changes is seen here.
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    for name in ["plain", "history", "rich"] {
        let bytes = fs::read(inputs.join("checkpoint").join(name)).expect("a file");
        let checkpoint = Checkpoint::from_bytes(&bytes).expect("a checkpoint");
        assert_eq!(checkpoint.to_bytes().expect("bytes"), bytes, "checkpoint {name}");
    }
    for name in ["plain", "rich"] {
        let bytes = fs::read(inputs.join("model").join(name)).expect("a file");
        assert_eq!(Model::from_bytes(&bytes).and_then(|model| model.to_bytes()).expect("bytes"), bytes, "model {name}");
    }
}

/// A header has 100 MB at most, which the matrices of many classes are after some hundred epochs.
#[test]
fn the_epochs_of_a_checkpoint_are_not_in_its_header() {
    let mut trainer = trained(&Device::cpu(), &rich(), settings(), 1);
    let history = TrainingLoop::new(100).validation_data(&data()).run(&mut trainer).expect("epochs");
    let checkpoint = trainer.checkpoint().expect("a checkpoint");
    let header = |checkpoint: &Checkpoint| {
        let bytes = checkpoint.to_bytes().expect("bytes");
        assert_eq!(Checkpoint::from_bytes(&bytes).as_ref(), Ok(checkpoint));
        u64::from_le_bytes(bytes[..8].try_into().expect("eight"))
    };
    let (without, with) = (header(&checkpoint), header(&checkpoint.clone().with_history(&history)));
    assert!((without..=without + 16).contains(&with), "{with} bytes instead of {without}");
}

#[test]
fn an_optimizer_whose_state_is_no_number_is_saved_and_read() {
    let settings = TrainerSettings { optimizer: Optimizer::momentum(0.1, 0.9), ..settings() };
    let mut trainer = trained(&Device::cpu(), &rich(), settings, 3);
    let mut bytes = trainer.checkpoint().and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let about: Value = serde_json::from_slice(&bytes[8..header]).expect("JSON");
    let of_state = |(name, _): &(&String, &Value)| name.starts_with("training.state.");
    let (_, tensor) = about.as_object().expect("tensors").iter().find(of_state).expect("an optimizer with a state");
    let at = header + tensor["data_offsets"][0].as_u64().expect("a place") as usize;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let again = Checkpoint::from_bytes(&bytes).and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    assert!(again == bytes);
}
