//! Training loops on every device: early stopping, budgets, callbacks, divergence and the learning rate finder.

use std::time::Duration;

use crate::common::{bits, devices, numbers};
use gradus::{
    Activation, Dataset, Device, EarlyStopping, Error, History, Loss, Network, Optimizer, Schedule, Targets, Trainer,
    TrainerSettings, TrainingLoop,
    data::Split,
    train::{CallbackAction, DivergencePolicy, LearningRateFinder, Monitor, ReduceOnPlateau, StopReason, Validation},
};

const ROWS: usize = 90;

/// Returns three sectors of a square with some wrong classes, so that a network can overfit.
fn data() -> Dataset {
    let features = numbers(ROWS * 2, 3);
    let sector = |p: &[f32]| if p[0].abs() < 0.3 { 2 } else { u32::from(p[0] * p[1] > 0.0) };
    let noisy = |(row, p)| if row % 7 == 0 { row as u32 % 3 } else { sector(p) };
    let classes: Vec<u32> = features.chunks(2).enumerate().map(noisy).collect();
    Dataset::new(ROWS, features, classes).expect("a data set")
}

fn network() -> Network {
    Network::new(2).dense(24, Activation::Tanh).dense(3, Activation::Identity)
}

fn settings() -> TrainerSettings {
    let loss = Loss::SoftmaxCrossEntropy;
    TrainerSettings { batch_size: 16, loss, optimizer: Optimizer::adam(0.03), seed: 5, ..TrainerSettings::default() }
}

fn trainer(device: &Device) -> Trainer {
    Trainer::new(device, &network(), &data(), settings()).unwrap_or_else(|error| panic!("{device}: {error}"))
}

fn parameters(trainer: &Trainer) -> Vec<u32> {
    bits(&trainer.parameters().expect("parameters"))
}

/// Returns the history without the times of its epochs.
fn without_times(mut history: History) -> History {
    history.epochs.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    history
}

fn early_stopping(monitor: Monitor, patience: usize) -> EarlyStopping {
    EarlyStopping { monitor, patience, ..EarlyStopping::default() }
}

#[test]
fn a_training_loop_runs_the_epochs_of_the_trainer() {
    for device in devices() {
        let (mut in_loop, mut single) = (trainer(&device), trainer(&device));
        let history = TrainingLoop::new(3).run(&mut in_loop).expect("three epochs");
        assert_eq!((history.epochs.len(), history.stop_reason, history.best_epoch), (3, StopReason::Completed, None));
        for epoch in &history.epochs {
            let report = single.run_epoch().expect("an epoch");
            assert_eq!(
                (epoch.loss, epoch.accuracy, epoch.steps),
                (report.mean_loss(), report.accuracy(), 6),
                "{device}"
            );
            assert_eq!((epoch.validation.clone(), epoch.learning_rate), (None, 0.03));
        }
        assert_eq!(parameters(&in_loop), parameters(&single), "{device}");
        assert_eq!(history.steps(), 18);
    }
}

#[test]
fn a_training_loop_with_all_policies_is_reproducible() {
    for device in devices() {
        let new_loop = || {
            TrainingLoop::new(40)
                .validation(Validation::Split(Split { fraction: 0.3, stratified: true }))
                .early_stopping(early_stopping(Monitor::ValidationLoss, 8))
                .reduce_on_plateau(ReduceOnPlateau { patience: 1, ..ReduceOnPlateau::default() })
        };
        let (trainer, history) = new_loop().train(&device, &network(), &data(), settings()).expect("a training");
        let (second, second_history) = new_loop().train(&device, &network(), &data(), settings()).expect("a training");
        assert!(parameters(&trainer) == parameters(&second), "{device}");
        assert_eq!(without_times(history.clone()), without_times(second_history), "{device}");
        let rates: Vec<f64> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
        assert!(rates.is_sorted_by(|a, b| a >= b) && rates[0] > 2.0 * rates[rates.len() - 1], "{device}: {rates:?}");
        let text = history.to_string();
        assert!(text.contains("val. accuracy") && text.contains(" best\n"), "{text}");
        assert_eq!(history.to_csv().lines().count(), 1 + history.epochs.len());
    }
}

#[test]
fn early_stopping_restores_the_best_epoch() {
    let (train, held_out) = data().split(&Split { fraction: 0.3, stratified: true }, 5).expect("a split");
    for device in devices() {
        let mut trainer = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        let training = TrainingLoop::new(200)
            .validation_data(&held_out)
            .early_stopping(early_stopping(Monitor::ValidationLoss, 6));
        let history = training.run(&mut trainer).expect("a training");
        let (best, epochs) = (history.best_epoch.expect("a best epoch"), history.epochs.len());
        assert_eq!((history.stop_reason, epochs), (StopReason::NoImprovement, best + 7), "{device}");
        let losses: Vec<f64> =
            history.epochs.iter().map(|epoch| epoch.validation.as_ref().expect("validation metrics").loss()).collect();
        let min_loss = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[best], min_loss, "{device}: {losses:?}");
        let restored_loss = trainer.evaluate(&held_out).expect("metrics").loss();
        assert_eq!(restored_loss, min_loss, "{device}: the best parameters are not restored");

        // The same training without the epochs after the best one.
        let mut shorter = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        (0..=best).for_each(|_| drop(shorter.run_epoch().expect("an epoch")));
        assert_eq!(parameters(&trainer), parameters(&shorter), "{device}");
        // A further step is equal only if the optimizer state is restored too.
        let (x, t) = (numbers(8, 1), [[1.0, 0.0, 0.0]; 4].concat());
        for trainer in [&mut trainer, &mut shorter] {
            trainer.step(&x, &t).expect("a step");
        }
        assert_eq!(parameters(&trainer), parameters(&shorter), "{device}: the optimizer state is not restored");

        let without_restore = EarlyStopping { restore_best: false, ..early_stopping(Monitor::ValidationLoss, 6) };
        let mut last = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        let last_history = training.clone().early_stopping(without_restore).run(&mut last).expect("a training");
        assert_eq!(without_times(last_history), without_times(history), "{device}");
        assert_ne!(last.evaluate(&held_out).expect("metrics").loss(), min_loss, "{device}");
    }
}

#[test]
fn a_resumed_loop_equals_an_uninterrupted_one() {
    let (train, held_out) = data().split(&Split { fraction: 0.3, stratified: false }, 1).expect("a split");
    let settings = TrainerSettings { schedule: Schedule::exponential(0.999), ..settings() };
    let training = TrainingLoop::default()
        .validation_data(&held_out)
        .early_stopping(EarlyStopping { restore_best: false, ..early_stopping(Monitor::ValidationLoss, 9) })
        .reduce_on_plateau(ReduceOnPlateau { patience: 1, cooldown: 1, ..ReduceOnPlateau::default() });
    for device in devices() {
        let new_trainer = || Trainer::new(&device, &network(), &train, settings.clone()).expect("a trainer");
        let (mut whole, mut parts) = (new_trainer(), new_trainer());
        let uninterrupted = TrainingLoop { epochs: 14, ..training.clone() }.run(&mut whole).expect("a training");
        let mut history = History::default();
        for epochs in [3, 5, 6] {
            history = TrainingLoop { epochs, ..training.clone() }.resume_from(history).run(&mut parts).expect("a part");
        }
        assert_eq!(without_times(history), without_times(uninterrupted), "{device}");
        assert_eq!(parameters(&parts), parameters(&whole), "{device}");

        // Interrupt in the middle of an epoch.
        let mut interrupted = new_trainer();
        let first_part = TrainingLoop::new(9).max_steps(10).run(&mut interrupted).expect("ten steps");
        assert_eq!(
            (first_part.stop_reason, first_part.steps(), first_part.epochs.len()),
            (StopReason::MaxSteps, 10, 3),
            "{device}"
        );
        let resumed = TrainingLoop::new(1).resume_from(first_part).run(&mut interrupted).expect("the rest of an epoch");
        assert_eq!(resumed.epochs.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [4, 4, 2, 2], "{device}");
        let mut uninterrupted = new_trainer();
        uninterrupted.run(12).expect("steps");
        assert_eq!(parameters(&interrupted), parameters(&uninterrupted), "{device}");
    }
}

#[test]
fn max_steps_and_max_time_end_a_training() {
    let device = Device::cpu();
    for (max_steps, steps, epochs) in [(0, 0, 0), (1, 1, 1), (6, 6, 1), (7, 7, 2), (18, 18, 3), (1000, 18, 3)] {
        let history = TrainingLoop::new(3).max_steps(max_steps).run(&mut trainer(&device)).expect("a training");
        assert_eq!((history.steps(), history.epochs.len()), (steps, epochs), "max_steps {max_steps}");
        let stop_reason = if max_steps <= 18 { StopReason::MaxSteps } else { StopReason::Completed };
        assert_eq!(history.stop_reason, stop_reason, "max_steps {max_steps}");
    }
    let history = TrainingLoop::new(50).max_time(Duration::ZERO).run(&mut trainer(&device)).expect("a training");
    assert_eq!(
        (history.stop_reason, history.steps()),
        (StopReason::MaxTime, 6),
        "max_time stops at the end of an epoch"
    );
    let history = TrainingLoop::new(50)
        .max_time(Duration::ZERO)
        .callback_every(2)
        .run(&mut trainer(&device))
        .expect("a training");
    assert_eq!((history.stop_reason, history.steps()), (StopReason::MaxTime, 2), "max_time stops at a callback");
    let history =
        TrainingLoop::new(2).max_time(Duration::from_secs(3600)).run(&mut trainer(&device)).expect("a training");
    assert_eq!(history.stop_reason, StopReason::Completed);
}

#[test]
fn a_callback_gets_all_steps_and_controls_the_loop() {
    for device in devices() {
        let mut calls = Vec::new();
        let mut parameters_at_8 = None;
        let mut called = trainer(&device);
        let history = TrainingLoop::new(9).callback_every(4).run_with_callback(&mut called, |progress| {
            calls.push((progress.trainer.dataset_steps(), progress.report.losses.len(), progress.is_epoch_end));
            assert_eq!(progress.history.epochs.len() as u64, progress.trainer.dataset_steps() / 6);
            match progress.trainer.dataset_steps() {
                8 => parameters_at_8 = Some(progress.trainer.parameters()?),
                12 => return Ok(CallbackAction::SetLearningRate(0.01)),
                16 => return Ok(CallbackAction::Stop),
                _ => {}
            }
            Ok(CallbackAction::Continue)
        });
        let history = history.expect("a training");
        // A call after every fourth step and after every epoch; step 12 is both.
        let expected = [(4, 4, false), (6, 2, true), (8, 2, false), (12, 4, true), (16, 4, false)];
        assert_eq!(calls, expected, "{device}");
        assert_eq!((history.stop_reason, history.epochs.len(), history.steps()), (StopReason::Callback, 3, 16));
        assert_eq!(history.epochs.iter().map(|e| e.learning_rate).collect::<Vec<_>>(), [0.03, 0.03, 0.01]);

        let mut expected = trainer(&device);
        expected.run(8).expect("steps");
        assert_eq!(bits(&parameters_at_8.expect("a call at step 8")), parameters(&expected), "{device}");
        expected.run(4).expect("steps");
        expected.set_learning_rate(0.01).expect("a learning rate");
        expected.run(4).expect("steps");
        assert_eq!(parameters(&called), parameters(&expected), "{device}");
    }
    let error = Error::Timeout { seconds: 1.0 };
    let result = TrainingLoop::new(2).run_with_callback(&mut trainer(&Device::cpu()), |_| Err(error.clone()));
    assert_eq!(result, Err(error), "the error of a callback ends the training");
    let result = TrainingLoop::new(2)
        .run_with_callback(&mut trainer(&Device::cpu()), |_| Ok(CallbackAction::SetLearningRate(f64::NAN)));
    assert!(matches!(result, Err(Error::InvalidSetting { name: "learning_rate", .. })), "{result:?}");
}

#[test]
fn a_snapshot_can_be_restored_several_times() {
    for device in devices() {
        let mut trainer = trainer(&device);
        assert!(matches!(trainer.restore(), Err(Error::InvalidState { .. })));
        trainer.run(4).expect("steps");
        trainer.snapshot().expect("a snapshot");
        let expected = parameters(&trainer);
        for _ in 0..2 {
            trainer.run(5).expect("steps");
            assert_ne!(parameters(&trainer), expected, "{device}");
            trainer.restore().expect("a snapshot");
            assert_eq!(parameters(&trainer), expected, "{device}");
        }
        assert_eq!(trainer.dataset_steps(), 14, "restore changed the position in the data set");
        trainer.snapshot().expect("a snapshot");
        trainer.run(1).expect("a step");
        trainer.restore().expect("a snapshot");
        assert_eq!(parameters(&trainer), expected, "{device}");

        // A snapshot between two updates contains the accumulated gradients.
        let settings = TrainerSettings { gradient_accumulation: 3, shuffle: false, batch_size: ROWS, ..settings() };
        let new_trainer = || Trainer::new(&device, &network(), &data(), settings.clone()).expect("a trainer");
        let (mut restored, mut expected) = (new_trainer(), new_trainer());
        restored.run(5).expect("steps");
        restored.snapshot().expect("a snapshot");
        restored.run(2).expect("steps");
        restored.restore().expect("a snapshot");
        restored.run(4).expect("steps");
        expected.run(9).expect("steps");
        assert_eq!(parameters(&restored), parameters(&expected), "{device}: accumulated gradients are not restored");
    }
}

#[test]
fn invalid_training_loops_are_errors() {
    let device = Device::cpu();
    let error = |training: TrainingLoop| training.run(&mut trainer(&device)).expect_err("an invalid loop").to_string();
    let split = Validation::Split(Split { fraction: 0.1, stratified: false });
    assert!(error(TrainingLoop::new(1).validation(split)).contains("use TrainingLoop::prepare or Dataset::split"));
    for monitor in [Monitor::ValidationLoss, Monitor::ValidationAccuracy, Monitor::ValidationR2] {
        let text = format!("monitor \"{monitor}\" needs a validation set; ");
        assert!(error(TrainingLoop::new(1).early_stopping(early_stopping(monitor, 1))).starts_with(&text));
        let rule = ReduceOnPlateau { monitor, ..ReduceOnPlateau::default() };
        assert!(error(TrainingLoop::new(1).reduce_on_plateau(rule)).starts_with(&text));
    }
    let r2 = TrainingLoop::new(1).validation_data(&data()).early_stopping(early_stopping(Monitor::ValidationR2, 1));
    let expected = "a metric that the network and its data have, got validation r2; a regression has no accuracy, and \
                    class ids have no r2";
    assert!(error(r2).ends_with(expected));
    assert!(error(TrainingLoop::new(1).callback_every(0)).starts_with("callback_every: "));
    let rule = EarlyStopping { min_delta: f64::NAN, ..early_stopping(Monitor::TrainingLoss, 1) };
    assert!(error(TrainingLoop::new(1).early_stopping(rule)).starts_with("EarlyStopping::min_delta: "));
    let result = TrainingLoop::new(1).validation_split(1.0).train(&device, &network(), &data(), settings());
    assert!(matches!(result, Err(Error::InvalidSetting { name: "Split::fraction", .. })));

    // After a divergence in a callback-controlled loop the snapshot of the best epoch still exists.
    let regression = Dataset::new(4, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(0.01), ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&device, &network, &regression, settings).expect("a trainer");
    let training = TrainingLoop::new(500)
        .validation_data(&regression)
        .early_stopping(early_stopping(Monitor::ValidationLoss, 500));
    let mut best = Vec::new();
    let diverged = training.run_with_callback(&mut trainer, |progress| {
        if progress.history.epochs.len() == 3 {
            best = parameters(progress.trainer);
            return Ok(CallbackAction::SetLearningRate(10.0));
        }
        Ok(CallbackAction::Continue)
    });
    assert!(matches!(diverged, Err(Error::Diverged { .. })), "{diverged:?}");
    trainer.restore().expect("a snapshot");
    assert_eq!(parameters(&trainer), best);
}

/// The best epoch of a resumed history may be from another trainer. Then there is no snapshot to restore.
#[test]
fn a_best_epoch_without_a_snapshot_is_not_restored() {
    let slow = TrainerSettings { optimizer: Optimizer::sgd(1e-6), ..settings() };
    for device in devices() {
        let training =
            |epochs| TrainingLoop::new(epochs).validation_data(&data()).early_stopping(EarlyStopping::default());
        let before = training(5).run(&mut trainer(&device)).expect("epochs");
        let ends = [DivergencePolicy::Fail, DivergencePolicy::Stop].map(|policy| {
            let mut other = Trainer::new(&device, &network(), &data(), slow.clone()).expect("a trainer");
            let history =
                training(3).resume_from(before.clone()).on_divergence(policy).run(&mut other).expect("epochs");
            assert_eq!((history.epochs.len(), history.best_epoch), (8, before.best_epoch), "{device}");
            (other.dataset_steps(), parameters(&other))
        });
        let untrained = Trainer::new(&device, &network(), &data(), slow.clone()).expect("a trainer");
        assert!(ends[0] == ends[1] && ends[0].1 != parameters(&untrained), "{device}");
    }
}

#[test]
fn a_diverged_training_fails_stops_or_retries() {
    let data = Dataset::new(4, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 2, optimizer: Optimizer::sgd(0.01), ..TrainerSettings::default() };
    for device in devices() {
        // After three epochs the learning rate becomes far too large. Until then each epoch is the best.
        let train = |policy: DivergencePolicy| {
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
            let mut best_parameters = Vec::new();
            let training = TrainingLoop::new(100).on_divergence(policy);
            let outcome = training.run_with_callback(&mut trainer, |progress| {
                if progress.history.epochs.len() == 3 && best_parameters.is_empty() {
                    best_parameters = parameters(progress.trainer);
                    return Ok(CallbackAction::SetLearningRate(1e4));
                }
                Ok(CallbackAction::Continue)
            });
            (outcome, best_parameters, trainer)
        };
        let (failed, ..) = train(DivergencePolicy::Fail);
        assert!(matches!(failed, Err(Error::Diverged { .. })), "{device}: {failed:?}");

        let (stopped, best_parameters, trainer) = train(DivergencePolicy::Stop);
        let history = stopped.expect("a history");
        assert_eq!((history.stop_reason, parameters(&trainer)), (StopReason::Diverged, best_parameters), "{device}");
        let finite = |history: &History| history.epochs.iter().all(|epoch| epoch.loss.is_finite());
        assert!(finite(&history) && history.epochs.len() < 100, "{device}: {history}");

        let (retried, _, mut trainer) = train(DivergencePolicy::Retry { factor: 0.01, max_retries: 5 });
        let history = retried.expect("a history");
        assert!(history.stop_reason == StopReason::Completed && finite(&history), "{device}: {history}");
        assert!(trainer.learning_rate() <= 0.01001, "{device}: {}", trainer.learning_rate());
        assert!(trainer.evaluate(&data).expect("an evaluation").loss() < 0.1, "{device}: {history}");

        let (failed, ..) = train(DivergencePolicy::Retry { factor: 0.9, max_retries: 2 });
        assert!(matches!(failed, Err(Error::Diverged { .. })), "{device}: {failed:?}");
    }

    // A checkpoint contains the snapshot of the best epoch.
    for device in devices() {
        let (mut trainer, mut best) =
            (Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer"), Vec::new());
        let training = TrainingLoop::new(3).validation_data(&data).on_divergence(DivergencePolicy::Stop);
        let history = training.run_with_callback(&mut trainer, |progress| {
            if progress.history.epochs.len() == 2 {
                best = parameters(progress.trainer);
                return Ok(CallbackAction::SetLearningRate(0.5));
            }
            Ok(CallbackAction::Continue)
        });
        let history = history.expect("three epochs");
        let loss = |epoch: usize| history.epochs[epoch].validation.as_ref().expect("validation metrics").loss();
        assert!(loss(1) < loss(0) && loss(1) < loss(2), "{device}: {history}");
        let checkpoint = trainer.checkpoint().expect("a checkpoint").with_history(&history);
        let mut resumed = Trainer::resume(&device, &checkpoint, Some(&data)).expect("a trainer");
        resumed.set_learning_rate(1e4).expect("a learning rate");
        let training = TrainingLoop::new(100)
            .validation_data(&data)
            .on_divergence(DivergencePolicy::Stop)
            .resume_from(checkpoint.history);
        let history = training.run(&mut resumed).expect("a history");
        assert_eq!((history.stop_reason, parameters(&resumed)), (StopReason::Diverged, best), "{device}");
    }
    let result = TrainingLoop::new(1).on_divergence(DivergencePolicy::Retry { factor: 1.0, max_retries: 1 });
    let result = result.train(&Device::cpu(), &network, &data, settings);
    assert!(matches!(result, Err(Error::InvalidSetting { name: "DivergencePolicy::Retry::factor", .. })));
}

#[test]
fn the_learning_rate_finder_finds_a_decreasing_loss() {
    for device in devices() {
        let settings = TrainerSettings { optimizer: Optimizer::sgd(1.0), schedule: Schedule::step(1), ..settings() };
        let finder = LearningRateFinder {
            min_learning_rate: 1e-4,
            max_learning_rate: 1e4,
            steps: 80,
            ..LearningRateFinder::default()
        };
        let curve = finder.run(&device, &network(), &data(), settings.clone()).expect("a curve");
        assert_eq!(curve, finder.run(&device, &network(), &data(), settings).expect("a curve"), "{device}");
        assert!(curve.points.len() < 80, "{device}: the finder does not stop at a diverged loss");
        assert_eq!(curve.points[0].0, 1e-4);
        assert!(curve.points.is_sorted_by(|a, b| a.0 < b.0));
        let suggestion = curve.suggestion.expect("a decreasing loss");
        assert!((1e-3..10.0).contains(&suggestion), "{device}: {suggestion}");
    }
    // A negative loss must not stop the finder: the minimum of e^y - 10 y is -13.
    let counts = Dataset::new(8, vec![1.0f32; 8], vec![10.0f32; 8]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings {
        batch_size: 8,
        loss: Loss::Poisson,
        optimizer: Optimizer::sgd(1.0),
        ..TrainerSettings::default()
    };
    let finder = LearningRateFinder {
        min_learning_rate: 1e-4,
        max_learning_rate: 1e-1,
        steps: 80,
        ..LearningRateFinder::default()
    };
    let curve = finder.run(&Device::cpu(), &network, &counts, settings).expect("a curve");
    assert!(curve.points.len() == 80 && curve.points[79].1 < -10.0, "{:?}", curve.points);
}

#[test]
fn a_stratified_split_is_reproducible_and_used_by_prepare() {
    let split = Split { fraction: 0.25, stratified: true };
    let (_, held_out) = data().split(&split, 9).expect("a split");
    let Targets::Classes(classes) = held_out.targets() else { panic!("other targets") };
    // A recorded number: it changes if the random number generator or the sampling changes.
    assert_eq!(classes.len(), 23);
    let (_, second) = data().split(&split, 9).expect("a split");
    assert_eq!(second.features(), held_out.features());
    let training = TrainingLoop::new(1).validation(Validation::Split(split));
    let (trainer, training) = training
        .prepare(&Device::cpu(), &network(), &data(), TrainerSettings { seed: 9, ..settings() })
        .expect("a trainer");
    let Validation::Data(data) = &training.validation else { panic!("no validation set") };
    assert_eq!(data.features(), held_out.features());
    assert_eq!(trainer.steps_per_epoch(), 67usize.div_ceil(16));
}
