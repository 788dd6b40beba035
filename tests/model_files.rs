//! Files of models and checkpoints, and weights from PyTorch.

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
    let targets: Vec<f32> = (0..ROWS).flat_map(|row| (0..3).map(move |i| f32::from(u8::from(row % 3 == i)))).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), targets).expect("a data set")
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, seed: 7, ..TrainerSettings::default() }
}

fn assert_close(context: &str, tolerance: f32, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{context}");
    for (actual, expected) in actual.iter().zip(expected) {
        let error = (actual - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "{context}: expected {expected}, got {actual}");
    }
}

/// Returns a network with every feature of a layer: both normalizations, dropout and PReLU.
fn complete_network() -> Network {
    Network::new(5)
        .dense(7, Activation::Relu)
        .batch_norm()
        .dropout(0.2)
        .dense(6, Activation::Gelu)
        .layer_norm()
        .dense(4, Activation::Prelu { initial_slope: 0.25 })
        .dense(3, Activation::Identity)
}

/// Returns a trainer after `steps` steps.
fn trained(device: &Device, network: &Network, settings: TrainerSettings, steps: usize) -> Trainer {
    let mut trainer = Trainer::new(device, network, &data(), settings).unwrap_or_else(|e| panic!("{device}: {e}"));
    trainer.run(steps).unwrap_or_else(|error| panic!("{device}: {error}"));
    trainer
}

#[test]
fn a_loaded_model_equals_the_saved_one_and_has_equal_bytes() {
    let folder = Folder::new();
    let path = folder.join("model.safetensors");
    let data = data();
    let data = data.clone().with_scaler(&Scaler::fit(Scaling::Standard, &data)).expect("a scaler of these columns");
    let mut trainer = Trainer::new(&Device::cpu(), &complete_network(), &data, settings()).expect("a trainer");
    trainer.run(20).expect("steps");
    let mut model = trainer.model().expect("a model");
    model.metadata.extend([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\"1\"\n".to_owned())]);
    assert_eq!(model.scaler.as_ref(), data.scaler());
    model.save(&path).expect("a file");
    let loaded = Model::load(&path).expect("the file");
    assert_eq!(loaded, model);
    assert_eq!(loaded.to_bytes().expect("bytes"), fs::read(&path).expect("bytes"));
    for device in devices() {
        let mut predictor = Predictor::from_model(&device, &loaded).expect("a predictor");
        let outputs = predictor.predict(&numbers(20, 4)).expect("outputs");
        assert_close(&device.to_string(), 1e-5, &outputs, &trainer.predict(&numbers(20, 4)).expect("outputs"));
    }
}

#[test]
fn a_resumed_training_computes_the_same_bits_with_every_optimizer() {
    let steps = (23, 19);
    for device in devices() {
        let optimizers = Optimizer::ALL.iter().map(|optimizer| (complete_network(), *optimizer, 1));
        let plain = Network::new(5).dense(7, Activation::Sigmoid).dense(3, Activation::Sigmoid);
        // Between two updates, with clipping, with EMA, without normalization, and without optimizer state.
        let more = [
            (complete_network(), Optimizer::adam(0.01).clip_norm(0.5).ema(0.9), 4),
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
            let context = format!("{device}, {optimizer:?}, {accumulate}");
            let mut uninterrupted = trained(&device, &network, settings.clone(), steps.0);
            let mut saved = trained(&device, &network, settings, steps.0);
            let checkpoint = saved.checkpoint().unwrap_or_else(|error| panic!("{context}: {error}"));
            let bytes = checkpoint.to_bytes().expect("bytes");
            let loaded = Checkpoint::from_bytes(&bytes).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(loaded, checkpoint, "{context}");
            assert_eq!(loaded.to_bytes().expect("bytes"), bytes, "{context}");
            let resumed = Trainer::resume(&device, &loaded, Some(&data()));
            let mut resumed = resumed.unwrap_or_else(|error| panic!("{context}: {error}"));
            let losses = (resumed.last_loss().expect("a loss"), saved.last_loss().expect("a loss"));
            assert_eq!(losses.0, losses.1, "{context}");
            let expected = uninterrupted.run(steps.1).expect("steps");
            assert_eq!(resumed.run(steps.1).expect("steps"), expected, "{context}");
            assert_eq!(resumed.parameters(), uninterrupted.parameters(), "{context}");
            assert_eq!(resumed.dataset_steps(), uninterrupted.dataset_steps(), "{context}");
            if optimizer.ema_decay.is_some() {
                assert_eq!(resumed.ema_parameters(), uninterrupted.ema_parameters(), "{context}");
            }
        }
    }
}

#[test]
fn a_loop_resumed_from_a_checkpoint_equals_an_uninterrupted_one() {
    let monitor = Monitor::TrainingLoss;
    let training = |epochs| {
        let stopping = EarlyStopping { monitor, patience: 3, ..EarlyStopping::default() };
        TrainingLoop::new(epochs).validation_data(&data()).early_stopping(stopping)
    };
    for device in devices() {
        // A learning rate at which the loss oscillates.
        let settings = TrainerSettings { optimizer: Optimizer::momentum(0.9, 0.9), ..settings() };
        let network = Network::new(5).dense(7, Activation::Tanh).dense(3, Activation::Sigmoid);
        let new_trainer = || Trainer::new(&device, &network, &data(), settings.clone()).expect("a trainer");
        let mut uninterrupted = new_trainer();
        let expected = training(60).run(&mut uninterrupted).expect("epochs");
        let best_is_last = expected.best_epoch.is_none_or(|best| best + 1 >= expected.epochs.len());
        assert!(!best_is_last, "{device}: early stopping has no epoch to restore");
        // Interrupt after every third step. An epoch has five steps, so most interruptions are within an epoch.
        for pause in 1..5 * expected.epochs.len() / 3 {
            let mut saved = Vec::new();
            let mut interrupted = new_trainer();
            let mut calls = 0;
            let result = training(60).callback_every(3).run_with_callback(&mut interrupted, |progress| {
                calls += 1;
                if calls < pause {
                    return Ok(CallbackAction::Continue);
                }
                saved = progress.trainer.checkpoint()?.with_history(progress.history).to_bytes()?;
                Ok(CallbackAction::Stop)
            });
            result.expect("epochs");
            let checkpoint = Checkpoint::from_bytes(&saved).expect("a checkpoint");
            let mut resumed = Trainer::resume(&device, &checkpoint, Some(&data())).expect("a trainer");
            let remaining = 60 - checkpoint.history.epochs.len();
            let history = training(remaining).resume_from(checkpoint.history).run(&mut resumed).expect("epochs");
            assert_eq!(
                (history.best_epoch, history.stop_reason),
                (expected.best_epoch, expected.stop_reason),
                "{device}, {pause}"
            );
            let epochs = |history: &gradus::History| {
                history.epochs.iter().map(|e| (e.steps, e.loss, e.accuracy, e.validation.clone())).collect::<Vec<_>>()
            };
            assert_eq!(epochs(&history), epochs(&expected), "{device}, {pause}");
            assert_eq!(resumed.parameters(), uninterrupted.parameters(), "{device}, {pause}");
        }
    }
}

#[test]
fn a_checkpoint_keeps_the_scaler_learning_rate_and_snapshot() {
    let training = TrainingLoop::new(6).reduce_on_plateau(ReduceOnPlateau {
        monitor: Monitor::TrainingLoss,
        patience: 0,
        threshold: 0.5,
        ..ReduceOnPlateau::default()
    });
    let bytes: Vec<u8> = numbers(ROWS * 5, 1).iter().map(|value| (value * 100.0 + 120.0) as u8).collect();
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row % 3).collect();
    let without_scaler = Dataset::new(ROWS, Features::bytes(bytes, 1.0 / 255.0), classes)
        .and_then(|data| data.with_class_weights(&[1.0, 0.5, 2.0]))
        .expect("a data set of bytes");
    let scaler = Scaler::fit(Scaling::Standard, &without_scaler);
    let scaled = without_scaler.clone().with_scaler(&scaler).expect("a scaler of these columns");
    let loss = Loss::SoftmaxCrossEntropy;
    let settings = TrainerSettings { loss, gradient_accumulation: 2, optimizer: Optimizer::adam(0.05), ..settings() };
    for device in devices() {
        let mut trainer = Trainer::new(&device, &complete_network(), &scaled, settings.clone()).expect("a trainer");
        let history = training.run(&mut trainer).expect("epochs");
        trainer.snapshot().expect("a snapshot");
        trainer.run(1).expect("half an update");
        assert!(trainer.learning_rate() < 0.05, "{device}: the learning rate was not reduced");
        let checkpoint = trainer.checkpoint().expect("a checkpoint").with_history(&history);
        // The resumed trainer uses the scaler of the checkpoint, also if the data set has none.
        for data in [&scaled, &without_scaler] {
            let mut resumed = Trainer::resume(&device, &checkpoint, Some(data)).expect("a trainer");
            assert_eq!(resumed.learning_rate(), trainer.learning_rate(), "{device}");
            let mut expected = Trainer::resume(&device, &checkpoint, Some(&scaled)).expect("a trainer");
            assert_eq!(resumed.run(3), expected.run(3));
            resumed.restore().expect("a snapshot");
            resumed.run(7).expect("steps");
            let mut expected =
                Trainer::new(&device, &complete_network(), &scaled, settings.clone()).expect("a trainer");
            training.run(&mut expected).expect("epochs");
            expected.snapshot().expect("a snapshot");
            expected.run(4).expect("steps");
            expected.restore().expect("a snapshot");
            expected.run(7).expect("steps");
            assert_eq!(resumed.parameters(), expected.parameters(), "{device}");
        }
    }
}

#[test]
fn manual_steps_resume_from_a_checkpoint() {
    let (x, t) = (numbers(10, 2), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    for device in devices() {
        let settings = TrainerSettings { optimizer: Optimizer::adam(0.01), ..settings() };
        let mut saved = Trainer::without_dataset(&device, &complete_network(), settings).expect("a trainer");
        (0..5).for_each(|_| saved.step(&x, &t).expect("a step"));
        let checkpoint = saved.checkpoint().expect("a checkpoint");
        assert_eq!(checkpoint.total_steps(), 5);
        let mut resumed = Trainer::resume(&device, &checkpoint, None).expect("a trainer");
        for trainer in [&mut saved, &mut resumed] {
            (0..4).for_each(|_| trainer.step(&x, &t).expect("a step"));
        }
        assert_eq!(resumed.parameters(), saved.parameters(), "{device}");
        assert_eq!(saved.take_report().expect("losses").losses.len(), 9, "a checkpoint removes losses from the report");
        let error = Trainer::resume(&device, &checkpoint, Some(&data())).expect_err("an unexpected data set");
        assert_eq!(error.to_string(), "data: expected no data set as in the checkpoint, got 37 rows");
    }
}

#[test]
fn mismatched_data_settings_and_devices_are_errors_on_resume() {
    let mut trainer = trained(&Device::cpu(), &complete_network(), settings(), 3);
    let checkpoint = trainer.checkpoint().expect("a checkpoint");
    let message = |checkpoint: &Checkpoint, data: &Dataset| {
        Trainer::resume(&Device::cpu(), checkpoint, Some(data)).expect_err("a mismatch").to_string()
    };
    let fewer = data().select(&[0, 1, 2]).expect("rows");
    assert_eq!(message(&checkpoint, &fewer), "data: expected 37 rows as in the checkpoint, got 3 rows");
    let scaled = data().with_scaler(&Scaler::fit(Scaling::MinMax, &data())).expect("a scaler");
    assert_eq!(
        message(&checkpoint, &scaled),
        "the scaler of the data set differs from the checkpoint's; pass the data set without a scaler to use the \
         checkpoint's"
    );
    let mut other = checkpoint.clone();
    other.settings.optimizer = Optimizer::adam(0.1);
    assert!(
        message(&other, &data()).starts_with("checkpoint optimizer: expected sgd as in the checkpoint, got adam; ")
    );
    assert!(other.to_bytes().is_err(), "a checkpoint that cannot be resumed is saved");
    other.settings.optimizer = Optimizer::sgd(0.1);
    other.settings.gradient_accumulation = 2;
    let error = message(&other, &data());
    assert!(error.starts_with("checkpoint settings: expected batch_size 8, "), "{error}");
    assert!(error.contains("rows into epoch 1"), "{error}");
    let mut other = checkpoint.clone();
    other.model.network = Network::new(5).dense(3, Activation::Tanh);
    assert!(other.to_bytes().is_err());
    assert_eq!(message(&other, &data()), "layers of parameters: expected 1 values, got 4");
    for adapter in adapters() {
        let device = open(&adapter, None);
        let error = Trainer::resume(&device, &checkpoint, Some(&data())).expect_err("a plan of the CPU engine");
        assert!(matches!(error, Error::InvalidPlan { field: "device", .. }), "{error}");
        let mut without_plan = checkpoint.clone();
        without_plan.settings.plan = None;
        let mut on_gpu = Trainer::resume(&device, &without_plan, Some(&data())).expect("a trainer");
        let mut on_cpu = Trainer::resume(&Device::cpu(), &without_plan, Some(&data())).expect("a trainer");
        let losses = [on_gpu.run(5).expect("steps").losses, on_cpu.run(5).expect("steps").losses];
        assert_close(&device.to_string(), 1e-3, &losses[0], &losses[1]);
    }
    let model = checkpoint.model.to_bytes().expect("bytes");
    assert_eq!(
        Checkpoint::from_bytes(&model).expect_err("a model is no checkpoint").to_string(),
        "bytes: metadata: expected a checkpoint, got a model; load it with Model::load"
    );
    let model = Model::from_bytes(&checkpoint.to_bytes().expect("bytes")).expect("the model of the checkpoint");
    assert_eq!(model, checkpoint.model);
}

static SQUARE: CustomActivation = CustomActivation::new(
    "square",
    "fn square(z: vec4f) -> vec4f { return z * z; } fn square_derivative(z: vec4f) -> vec4f { return 2.0 * z; }",
    |z| z * z,
    |z| 2.0 * z,
);

#[test]
fn loading_a_custom_activation_needs_its_function() {
    let folder = Folder::new();
    let path = folder.join("checkpoint");
    let network = Network::new(5).dense(4, Activation::Custom(&SQUARE)).dense(3, Activation::Identity);
    let mut trainer = trained(&Device::cpu(), &network, settings(), 5);
    trainer.checkpoint().and_then(|checkpoint| checkpoint.save(&path)).expect("a file");
    assert_eq!(
        Checkpoint::load(&path).expect_err("a missing custom activation").to_string(),
        "custom functions: expected the custom activation square, which the file uses, got none; pass it to \
         load_with_custom"
    );
    let functions = CustomFunctions { activations: &[&SQUARE], ..CustomFunctions::default() };
    let checkpoint = Checkpoint::load_with_custom(&path, &functions).expect("a checkpoint");
    let mut resumed = Trainer::resume(&Device::cpu(), &checkpoint, Some(&data())).expect("a trainer");
    assert_eq!(resumed.run(5), trainer.run(5));
    assert!(Model::load(&path).is_err() && Model::load_with_custom(&path, &functions).is_ok());
}

/// Returns the path of a file that PyTorch wrote (`files/make_files.py`).
fn pytorch_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// Returns a list of numbers that PyTorch computed: the inputs, or the outputs of a network.
fn pytorch_values(name: &str) -> Vec<f32> {
    let text = fs::read_to_string(pytorch_file("outputs.json")).expect("the file exists");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    value[name].as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number") as f32).collect()
}

#[test]
fn pytorch_weights_give_pytorch_outputs() {
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
        ("norms", &complete_network(), TensorNames::sequential(&complete_network()), "norms"),
        ("named", &named, names, "named"),
    ] {
        let path = pytorch_file(&format!("{file}.safetensors"));
        let model = Model::load_weights(&path, network, &names).unwrap_or_else(|error| panic!("{error}"));
        for device in devices() {
            let mut predictor = Predictor::from_model(&device, &model).expect("a predictor");
            let outputs = predictor.predict(&pytorch_values("inputs")).expect("outputs");
            assert_close(&format!("{device}, {file}"), 2e-6, &outputs, &pytorch_values(expected));
        }
        // Saved weights load again.
        let folder = Folder::new();
        let saved = folder.join(file);
        model.save_weights(&saved, &names).expect("a file");
        assert_eq!(Model::load_weights(&saved, network, &names).as_ref(), Ok(&model));
    }
}

/// The bits are those that numpy gives to these numbers.
#[test]
fn half_precision_weights_load() {
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
    assert!(error.ends_with("half: tensor 0.weight: expected finite numbers, got inf at index 1"), "{error}");
}

#[test]
fn loading_weights_of_another_network_is_an_error() {
    let file = pytorch_file("plain.safetensors");
    let message = |network: Network, names: Option<TensorNames>| {
        let names = names.unwrap_or_else(|| TensorNames::sequential(&network));
        let error = Model::load_weights(&file, &network, &names).expect_err("another network").to_string();
        error.strip_prefix(&format!("{}: ", file.display())).map(str::to_owned).unwrap_or(error)
    };
    let network = |width: usize| Network::new(5).dense(width, Activation::Tanh).dense(3, Activation::Identity);
    assert_eq!(message(network(8), None), "tensor 0.weight: expected the shape [8, 5], got [7, 5]");
    let one_layer = Network::new(5).dense(7, Activation::Tanh);
    assert_eq!(
        message(one_layer, None),
        "tensors: expected only tensors of the network, got 2.bias; check the TensorNames"
    );
    let linear = Network::new(5).dense(7, Activation::Identity).dense(3, Activation::Identity);
    assert_eq!(message(linear, None), "tensors: expected a tensor 1.weight, got 0.bias, 0.weight, 2.bias, 2.weight");
    let names = |dense: &[&str]| {
        Some(TensorNames { dense: dense.iter().map(|n| (*n).into()).collect(), ..TensorNames::default() })
    };
    assert_eq!(message(network(7), names(&["0"])), "TensorNames::dense: expected 2 values, got 1");
    assert_eq!(message(network(7), names(&["0", "0"])), "TensorNames: expected unique names, got 0 twice");
    let error = Model::load(&file).expect_err("a file without a network").to_string();
    assert!(error.ends_with("metadata: expected the description of a network, got none; to load plain weights, use Model::load_weights with a network"), "{error}");
}

#[test]
fn damaged_files_are_errors_and_cause_no_panic() {
    let mut trainer =
        trained(&Device::cpu(), &complete_network(), TrainerSettings { loss: Loss::Mse, ..settings() }, 3);
    let bytes = trainer.checkpoint().and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    for len in 0..bytes.len() {
        let error = Checkpoint::from_bytes(&bytes[..len]).expect_err("a truncated file");
        assert!(matches!(error, Error::Format { .. }), "{len}: {error}");
    }
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    for index in 0..header {
        for bit in [0, 5] {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << bit;
            // A changed digit of a number may be valid. Then the checkpoint must be consistent.
            if let Ok(checkpoint) = Checkpoint::from_bytes(&damaged) {
                checkpoint.to_bytes().expect("a loaded checkpoint can be saved");
            }
        }
    }
    let mut infinite = bytes.clone();
    // The first tensor is PyTorch's batch counter, which has 8 bytes. Change the number after it.
    infinite[header + 8..header + 12].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let error = Checkpoint::from_bytes(&infinite).expect_err("an infinite number").to_string();
    assert!(
        error.starts_with("bytes: tensor ") && error.ends_with("expected finite numbers, got inf at index 0"),
        "{error}"
    );
    let text = String::from_utf8(bytes[8..header].to_vec()).expect("JSON");
    for (from, to, expected) in [
        (
            "{\\\"format\\\":1",
            "{\\\"format\\\":2",
            "metadata: expected at most format 1, got format 2; use a newer version of gradus",
        ),
        ("\\\"outputs\\\":7", "\\\"outputs\\\":9", "tensor 0.weight: expected the shape [9, 5], got [7, 5]"),
        ("\\\"gelu\\\"", "\\\"gulu\\\"", "got gulu"),
        (
            "\\\"steps_since_reset\\\":3",
            "\\\"steps_since_reset\\\":9",
            "checkpoint steps: expected at most 3 (total_steps is 3), got steps_since_reset 9",
        ),
        ("\\\"batch_size\\\":8", "\\\"batch_size\\\":0", "batch_size: expected 1 to 2097152, got 0"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let changed = text.replacen(from, to, 1);
        let changed = [&bytes[..8], changed.as_bytes(), &bytes[header..]].concat();
        let error = Checkpoint::from_bytes(&changed).expect_err("a changed header").to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let missing = Model::load("/nonexistent/file").expect_err("no file");
    assert!(matches!(missing, Error::Io { .. }), "{missing}");
}

#[test]
fn files_of_format_1_round_trip_to_equal_bytes() {
    // The seeds of the fuzzers, of version 0.1. This test fails if a name or a number of the format changes.
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

/// A header has at most 100 MB. The confusion matrices of many classes would exceed that after some hundred epochs.
#[test]
fn the_header_of_a_checkpoint_does_not_contain_the_epochs() {
    let mut trainer = trained(&Device::cpu(), &complete_network(), settings(), 1);
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
fn a_non_finite_optimizer_state_is_saved_and_loaded() {
    let settings = TrainerSettings { optimizer: Optimizer::momentum(0.1, 0.9), ..settings() };
    let mut trainer = trained(&Device::cpu(), &complete_network(), settings, 3);
    let mut bytes = trainer.checkpoint().and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let metadata: Value = serde_json::from_slice(&bytes[8..header]).expect("JSON");
    let is_state = |(name, _): &(&String, &Value)| name.starts_with("training.state.");
    let (_, tensor) = metadata.as_object().expect("tensors").iter().find(is_state).expect("an optimizer state");
    let offset = header + tensor["data_offsets"][0].as_u64().expect("an offset") as usize;
    bytes[offset..offset + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let saved = Checkpoint::from_bytes(&bytes).and_then(|checkpoint| checkpoint.to_bytes()).expect("bytes");
    assert!(saved == bytes);
}
