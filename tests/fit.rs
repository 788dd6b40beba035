//! Training over epochs, on every device: what it decides, when, and that it decides the same again.

use std::time::Duration;

use crate::common::{bits, devices, numbers};
use gradus::{
    Activation, Dataset, Device, EarlyStopping, Error, History, Loss, Network, Optimizer, Schedule, Targets, Trainer,
    TrainerSettings, TrainingLoop,
    data::Split,
    train::{CallbackAction, DivergencePolicy, LearningRateFinder, Monitor, ReduceOnPlateau, StopReason, Validation},
};

const ROWS: usize = 90;

/// Three sectors of a square, some of them told wrongly, so that a network can learn them by heart and be the worse.
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

/// A history without what depends on the clock.
fn timeless(mut history: History) -> History {
    history.epochs.iter_mut().for_each(|epoch| epoch.seconds = 0.0);
    history
}

fn watching(monitor: Monitor, patience: usize) -> EarlyStopping {
    EarlyStopping { monitor, patience, ..EarlyStopping::default() }
}

#[test]
fn epochs_of_a_fit_are_epochs_of_the_trainer() {
    for device in devices() {
        let (mut by_fit, mut by_hand) = (trainer(&device), trainer(&device));
        let history = TrainingLoop::new(3).run(&mut by_fit).expect("three epochs");
        assert_eq!((history.epochs.len(), history.stop_reason, history.best_epoch), (3, StopReason::Completed, None));
        for epoch in &history.epochs {
            let report = by_hand.run_epoch().expect("an epoch");
            assert_eq!(
                (epoch.loss, epoch.accuracy, epoch.steps),
                (report.mean_loss(), report.accuracy(), 6),
                "{device}"
            );
            assert_eq!((epoch.validation.clone(), epoch.learning_rate), (None, 0.03));
        }
        assert_eq!(parameters(&by_fit), parameters(&by_hand), "{device}");
        assert_eq!(history.steps(), 18);
    }
}

#[test]
fn a_fit_with_all_deciders_gives_the_same_bits_again() {
    for device in devices() {
        let fit = || {
            TrainingLoop::new(40)
                .validation(Validation::Split(Split { fraction: 0.3, stratified: true }))
                .early_stopping(watching(Monitor::ValidationLoss, 8))
                .reduce_on_plateau(ReduceOnPlateau { patience: 1, ..ReduceOnPlateau::default() })
        };
        let (trainer, history) = fit().train(&device, &network(), &data(), settings()).expect("a training");
        let (again, same) = fit().train(&device, &network(), &data(), settings()).expect("a training");
        assert!(parameters(&trainer) == parameters(&again), "{device}");
        assert_eq!(timeless(history.clone()), timeless(same), "{device}");
        let rates: Vec<f64> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
        assert!(rates.is_sorted_by(|a, b| a >= b) && rates[0] > 2.0 * rates[rates.len() - 1], "{device}: {rates:?}");
        let text = history.to_string();
        assert!(text.contains("val. accuracy") && text.contains(" best\n"), "{text}");
        assert_eq!(history.to_csv().lines().count(), 1 + history.epochs.len());
    }
}

#[test]
fn early_stopping_restores_the_best() {
    let (train, held_out) = data().split(&Split { fraction: 0.3, stratified: true }, 5).expect("a split");
    for device in devices() {
        let mut fitted = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        let fit =
            TrainingLoop::new(200).validation_data(&held_out).early_stopping(watching(Monitor::ValidationLoss, 6));
        let history = fit.run(&mut fitted).expect("a training");
        let (best, epochs) = (history.best_epoch.expect("there is a best"), history.epochs.len());
        assert_eq!((history.stop_reason, epochs), (StopReason::NoImprovement, best + 7), "{device}");
        let losses: Vec<f64> =
            history.epochs.iter().map(|epoch| epoch.validation.as_ref().expect("it validates").loss()).collect();
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(losses[best], least, "{device}: {losses:?}");
        assert_eq!(fitted.evaluate(&held_out).expect("held out").loss(), least, "{device}: the best is back");

        // As if the training had ended with its best epoch.
        let mut until = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        (0..=best).for_each(|_| drop(until.run_epoch().expect("an epoch")));
        assert_eq!(parameters(&fitted), parameters(&until), "{device}");
        // The optimizer's state as well: the same step from there is the same.
        let (x, t) = (numbers(8, 1), [[1.0, 0.0, 0.0]; 4].concat());
        for trainer in [&mut fitted, &mut until] {
            trainer.step(&x, &t).expect("a step");
        }
        assert_eq!(parameters(&fitted), parameters(&until), "{device}: the optimizer went back too");

        let leaves = EarlyStopping { restore_best: false, ..watching(Monitor::ValidationLoss, 6) };
        let mut left = Trainer::new(&device, &network(), &train, settings()).expect("a trainer");
        let same = fit.clone().early_stopping(leaves).run(&mut left).expect("a training");
        assert_eq!(timeless(same), timeless(history), "{device}");
        assert_ne!(left.evaluate(&held_out).expect("held out").loss(), least, "{device}");
    }
}

#[test]
fn a_fit_that_is_resumed_is_one_that_was_not_interrupted() {
    let (train, held_out) = data().split(&Split { fraction: 0.3, stratified: false }, 1).expect("a split");
    let settings = TrainerSettings { schedule: Schedule::exponential(0.999), ..settings() };
    let fit = TrainingLoop::default()
        .validation_data(&held_out)
        .early_stopping(EarlyStopping { restore_best: false, ..watching(Monitor::ValidationLoss, 9) })
        .reduce_on_plateau(ReduceOnPlateau { patience: 1, cooldown: 1, ..ReduceOnPlateau::default() });
    for device in devices() {
        let made = || Trainer::new(&device, &network(), &train, settings.clone()).expect("a trainer");
        let (mut whole, mut parts) = (made(), made());
        let uninterrupted = TrainingLoop { epochs: 14, ..fit.clone() }.run(&mut whole).expect("a training");
        let mut history = History::default();
        for epochs in [3, 5, 6] {
            history = TrainingLoop { epochs, ..fit.clone() }.resume_from(history).run(&mut parts).expect("a part");
        }
        assert_eq!(timeless(history), timeless(uninterrupted), "{device}");
        assert_eq!(parameters(&parts), parameters(&whole), "{device}");

        // In the middle of an epoch, too.
        let mut cut = made();
        let budget = TrainingLoop::new(9).max_steps(10).run(&mut cut).expect("ten steps");
        assert_eq!(
            (budget.stop_reason, budget.steps(), budget.epochs.len()),
            (StopReason::MaxSteps, 10, 3),
            "{device}"
        );
        let rest = TrainingLoop::new(1).resume_from(budget).run(&mut cut).expect("the rest of an epoch");
        assert_eq!(rest.epochs.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [4, 4, 2, 2], "{device}");
        let mut straight = made();
        straight.run(12).expect("steps");
        assert_eq!(parameters(&cut), parameters(&straight), "{device}");
    }
}

#[test]
fn budgets_end_a_training() {
    let device = Device::cpu();
    for (budget, steps, epochs) in [(0, 0, 0), (1, 1, 1), (6, 6, 1), (7, 7, 2), (18, 18, 3), (1000, 18, 3)] {
        let history = TrainingLoop::new(3).max_steps(budget).run(&mut trainer(&device)).expect("a training");
        assert_eq!((history.steps(), history.epochs.len()), (steps, epochs), "{budget} steps");
        assert_eq!(
            history.stop_reason,
            if budget <= 18 { StopReason::MaxSteps } else { StopReason::Completed },
            "{budget} steps"
        );
    }
    let history = TrainingLoop::new(50).max_time(Duration::ZERO).run(&mut trainer(&device)).expect("a training");
    assert_eq!((history.stop_reason, history.steps()), (StopReason::MaxTime, 6), "an epoch is not broken off");
    let history = TrainingLoop::new(50)
        .max_time(Duration::ZERO)
        .callback_every(2)
        .run(&mut trainer(&device))
        .expect("a training");
    assert_eq!((history.stop_reason, history.steps()), (StopReason::MaxTime, 2), "unless it is looked at in between");
    let history =
        TrainingLoop::new(2).max_time(Duration::from_secs(3600)).run(&mut trainer(&device)).expect("a training");
    assert_eq!(history.stop_reason, StopReason::Completed);
}

#[test]
fn a_callback_sees_all_steps_and_decides() {
    for device in devices() {
        let mut seen = Vec::new();
        let mut kept = None;
        let mut called = trainer(&device);
        let history = TrainingLoop::new(9).callback_every(4).run_with_callback(&mut called, |progress| {
            seen.push((progress.trainer.dataset_steps(), progress.report.losses.len(), progress.is_epoch_end));
            assert_eq!(progress.history.epochs.len() as u64, progress.trainer.dataset_steps() / 6);
            match progress.trainer.dataset_steps() {
                8 => kept = Some(progress.trainer.parameters()?),
                12 => return Ok(CallbackAction::SetLearningRate(0.01)),
                16 => return Ok(CallbackAction::Stop),
                _ => {}
            }
            Ok(CallbackAction::Continue)
        });
        let history = history.expect("a training");
        // The fourth, the eighth and so on of all steps, and the ends of epochs; the twelfth is both.
        let expected = [(4, 4, false), (6, 2, true), (8, 2, false), (12, 4, true), (16, 4, false)];
        assert_eq!(seen, expected, "{device}");
        assert_eq!((history.stop_reason, history.epochs.len(), history.steps()), (StopReason::Callback, 3, 16));
        assert_eq!(history.epochs.iter().map(|e| e.learning_rate).collect::<Vec<_>>(), [0.03, 0.03, 0.01]);

        let mut straight = trainer(&device);
        straight.run(8).expect("steps");
        assert_eq!(Some(bits(&kept.expect("a checkpoint"))), Some(parameters(&straight)), "{device}");
        straight.run(4).expect("steps");
        straight.set_learning_rate(0.01).expect("a rate");
        straight.run(4).expect("steps");
        assert_eq!(parameters(&called), parameters(&straight), "{device}");
    }
    let error = Error::Timeout { seconds: 1.0 };
    let refused = TrainingLoop::new(2).run_with_callback(&mut trainer(&Device::cpu()), |_| Err(error.clone()));
    assert_eq!(refused, Err(error), "what a callback says against it ends the training");
    let refused = TrainingLoop::new(2)
        .run_with_callback(&mut trainer(&Device::cpu()), |_| Ok(CallbackAction::SetLearningRate(f64::NAN)));
    assert!(matches!(refused, Err(Error::InvalidSetting { name: "learning rate", .. })), "{refused:?}");
}

#[test]
fn what_was_kept_comes_back_again_and_again() {
    for device in devices() {
        let mut trainer = trainer(&device);
        assert!(matches!(trainer.restore(), Err(Error::InvalidSetting { name: "parameters to restore", .. })));
        trainer.run(4).expect("steps");
        trainer.snapshot().expect("a copy");
        let kept = parameters(&trainer);
        for _ in 0..2 {
            trainer.run(5).expect("steps");
            assert_ne!(parameters(&trainer), kept, "{device}");
            trainer.restore().expect("it was kept");
            assert_eq!(parameters(&trainer), kept, "{device}");
        }
        assert_eq!(trainer.dataset_steps(), 14, "the place in the data set stays");
        trainer.snapshot().expect("a copy");
        trainer.run(1).expect("a step");
        trainer.restore().expect("it was kept");
        assert_eq!(parameters(&trainer), kept, "{device}");

        // In the middle of batches that are accumulated.
        let settings = TrainerSettings { gradient_accumulation: 3, shuffle: false, batch_size: ROWS, ..settings() };
        let made = || Trainer::new(&device, &network(), &data(), settings.clone()).expect("a trainer");
        let (mut back, mut straight) = (made(), made());
        back.run(5).expect("steps");
        back.snapshot().expect("a copy");
        back.run(2).expect("steps");
        back.restore().expect("it was kept");
        back.run(4).expect("steps");
        straight.run(9).expect("steps");
        assert_eq!(parameters(&back), parameters(&straight), "{device}: the gradients so far were kept too");
    }
}

#[test]
fn what_a_fit_cannot_do_is_refused() {
    let device = Device::cpu();
    let refused = |fit: TrainingLoop| fit.run(&mut trainer(&device)).expect_err("it has to be refused").to_string();
    let split = Validation::Split(Split { fraction: 0.1, stratified: false });
    assert!(refused(TrainingLoop::new(1).validation(split)).contains("as Fit::trainer and Dataset::split give it"));
    for monitor in [Monitor::ValidationLoss, Monitor::ValidationAccuracy, Monitor::ValidationR2] {
        let text = format!("expected one that is there without validation, got the {monitor}");
        assert!(refused(TrainingLoop::new(1).early_stopping(watching(monitor, 1))).ends_with(&text));
        let rule = ReduceOnPlateau { monitor, ..ReduceOnPlateau::default() };
        assert!(refused(TrainingLoop::new(1).reduce_on_plateau(rule)).ends_with(&text));
    }
    let r2 = TrainingLoop::new(1).validation_data(&data()).early_stopping(watching(Monitor::ValidationR2, 1));
    assert!(refused(r2).ends_with("one that this network and its data have, got the validation r2"));
    assert!(refused(TrainingLoop::new(1).callback_every(0)).starts_with("steps between two callbacks"));
    let rule = EarlyStopping { min_delta: f64::NAN, ..watching(Monitor::TrainingLoss, 1) };
    assert!(refused(TrainingLoop::new(1).early_stopping(rule)).starts_with("minimum change of early stopping"));
    let wrong = TrainingLoop::new(1).validation_split(1.0).train(&device, &network(), &data(), settings());
    assert!(matches!(wrong, Err(Error::InvalidSetting { name: "share of a split", .. })));

    // Rates at which it diverges are an error, as everywhere, and the best so far is still there.
    let regression = Dataset::new(4, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(0.01), ..TrainerSettings::default() };
    let mut trainer = Trainer::new(&device, &network, &regression, settings).expect("a trainer");
    let fit =
        TrainingLoop::new(500).validation_data(&regression).early_stopping(watching(Monitor::ValidationLoss, 500));
    let mut kept = Vec::new();
    let diverged = fit.run_with_callback(&mut trainer, |progress| {
        if progress.history.epochs.len() == 3 {
            kept = parameters(progress.trainer);
            return Ok(CallbackAction::SetLearningRate(10.0));
        }
        Ok(CallbackAction::Continue)
    });
    assert!(matches!(diverged, Err(Error::Diverged { .. })), "{diverged:?}");
    trainer.restore().expect("it was kept");
    assert_eq!(parameters(&trainer), kept);
}

/// A trainer that goes on from epochs whose best it has not kept stays where its own lead.
#[test]
fn a_best_that_was_never_kept_is_not_gone_back_to() {
    let slow = TrainerSettings { optimizer: Optimizer::sgd(1e-6), ..settings() };
    for device in devices() {
        let fit = |epochs| TrainingLoop::new(epochs).validation_data(&data()).early_stopping(EarlyStopping::default());
        let before = fit(5).run(&mut trainer(&device)).expect("epochs");
        let ends = [DivergencePolicy::Fail, DivergencePolicy::Stop].map(|rule| {
            let mut another = Trainer::new(&device, &network(), &data(), slow.clone()).expect("a trainer");
            let history = fit(3).resume_from(before.clone()).on_divergence(rule).run(&mut another).expect("epochs");
            assert_eq!((history.epochs.len(), history.best_epoch), (8, before.best_epoch), "{device}");
            (another.dataset_steps(), parameters(&another))
        });
        let untrained = Trainer::new(&device, &network(), &data(), slow.clone()).expect("a trainer");
        assert!(ends[0] == ends[1] && ends[0].1 != parameters(&untrained), "{device}");
    }
}

#[test]
fn a_training_that_diverges_fails_stops_or_tries_again() {
    let data = Dataset::new(4, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings { batch_size: 2, optimizer: Optimizer::sgd(0.01), ..TrainerSettings::default() };
    for device in devices() {
        // After three epochs the rate is far too large; until then each epoch is the best.
        let train = |rule: DivergencePolicy| {
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
            let mut kept = Vec::new();
            let fit = TrainingLoop::new(100).on_divergence(rule);
            let outcome = fit.run_with_callback(&mut trainer, |progress| {
                if progress.history.epochs.len() == 3 && kept.is_empty() {
                    kept = parameters(progress.trainer);
                    return Ok(CallbackAction::SetLearningRate(1e4));
                }
                Ok(CallbackAction::Continue)
            });
            (outcome, kept, trainer)
        };
        let (failed, ..) = train(DivergencePolicy::Fail);
        assert!(matches!(failed, Err(Error::Diverged { .. })), "{device}: {failed:?}");

        let (stopped, kept, trainer) = train(DivergencePolicy::Stop);
        let history = stopped.expect("it stops");
        assert_eq!((history.stop_reason, parameters(&trainer)), (StopReason::Diverged, kept), "{device}");
        let finite = |history: &History| history.epochs.iter().all(|epoch| epoch.loss.is_finite());
        assert!(finite(&history) && history.epochs.len() < 100, "{device}: {history}");

        let (again, _, mut trainer) = train(DivergencePolicy::Retry { factor: 0.01, max_retries: 5 });
        let history = again.expect("it goes on");
        assert!(history.stop_reason == StopReason::Completed && finite(&history), "{device}: {history}");
        assert!(trainer.learning_rate() <= 0.01001, "{device}: {}", trainer.learning_rate());
        assert!(trainer.evaluate(&data).expect("an evaluation").loss() < 0.1, "{device}: {history}");

        let (given_up, ..) = train(DivergencePolicy::Retry { factor: 0.9, max_retries: 2 });
        assert!(matches!(given_up, Err(Error::Diverged { .. })), "{device}: {given_up:?}");
    }

    // The best of the epochs before comes back with a checkpoint.
    for device in devices() {
        let (mut trainer, mut best) =
            (Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer"), Vec::new());
        let fit = TrainingLoop::new(3).validation_data(&data).on_divergence(DivergencePolicy::Stop);
        let history = fit.run_with_callback(&mut trainer, |progress| {
            if progress.history.epochs.len() == 2 {
                best = parameters(progress.trainer);
                return Ok(CallbackAction::SetLearningRate(0.5));
            }
            Ok(CallbackAction::Continue)
        });
        let history = history.expect("three epochs");
        let loss = |epoch: usize| history.epochs[epoch].validation.as_ref().expect("it validates").loss();
        assert!(loss(1) < loss(0) && loss(1) < loss(2), "{device}: {history}");
        let checkpoint = trainer.checkpoint().expect("a checkpoint").with_history(&history);
        let mut again = Trainer::resume(&device, &checkpoint, Some(&data)).expect("a trainer");
        again.set_learning_rate(1e4).expect("a rate");
        let fit = TrainingLoop::new(100)
            .validation_data(&data)
            .on_divergence(DivergencePolicy::Stop)
            .resume_from(checkpoint.history);
        let history = fit.run(&mut again).expect("it stops");
        assert_eq!((history.stop_reason, parameters(&again)), (StopReason::Diverged, best), "{device}");
    }
    let wrong = TrainingLoop::new(1).on_divergence(DivergencePolicy::Retry { factor: 1.0, max_retries: 1 });
    let wrong = wrong.train(&Device::cpu(), &network, &data, settings);
    assert!(matches!(wrong, Err(Error::InvalidSetting { name: "factor of the rate after a divergence", .. })));
}

#[test]
fn a_range_test_finds_where_the_loss_falls() {
    for device in devices() {
        let settings = TrainerSettings { optimizer: Optimizer::sgd(1.0), schedule: Schedule::step(1), ..settings() };
        let test = LearningRateFinder {
            min_learning_rate: 1e-4,
            max_learning_rate: 1e4,
            steps: 80,
            ..LearningRateFinder::default()
        };
        let rates = test.run(&device, &network(), &data(), settings.clone()).expect("a test");
        assert_eq!(rates, test.run(&device, &network(), &data(), settings).expect("a test"), "{device}");
        assert!(rates.points.len() < 80, "{device}: it ends where the loss explodes");
        assert_eq!(rates.points[0].0, 1e-4);
        assert!(rates.points.is_sorted_by(|a, b| a.0 < b.0));
        let suggestion = rates.suggestion.expect("the loss falls");
        assert!((1e-3..10.0).contains(&suggestion), "{device}: {suggestion}");
    }
    // A loss that falls through 0 ends it no sooner: e^y - 10 y is -13 at best.
    let counts = Dataset::new(8, vec![1.0f32; 8], vec![10.0f32; 8]).expect("a data set");
    let network = Network::new(1).dense(1, Activation::Identity);
    let settings = TrainerSettings {
        batch_size: 8,
        loss: Loss::Poisson,
        optimizer: Optimizer::sgd(1.0),
        ..TrainerSettings::default()
    };
    let test = LearningRateFinder {
        min_learning_rate: 1e-4,
        max_learning_rate: 1e-1,
        steps: 80,
        ..LearningRateFinder::default()
    };
    let rates = test.run(&Device::cpu(), &network, &counts, settings).expect("a test");
    assert!(rates.points.len() == 80 && rates.points[79].1 < -10.0, "{:?}", rates.points);
}

#[test]
fn a_stratified_split_is_the_same_wherever_it_is_drawn() {
    let split = Split { fraction: 0.25, stratified: true };
    let (_, held_out) = data().split(&split, 9).expect("a split");
    let Targets::Classes(classes) = held_out.targets() else { panic!("they are classes") };
    // Written down once: a change of the generator or of the way rows are drawn shows here.
    assert_eq!(classes.len(), 23);
    let (_, same) = data().split(&split, 9).expect("a split");
    assert_eq!(same.features(), held_out.features());
    let fit = TrainingLoop::new(1).validation(Validation::Split(split));
    let (trainer, fit) =
        fit.prepare(&Device::cpu(), &network(), &data(), TrainerSettings { seed: 9, ..settings() }).expect("a trainer");
    let Validation::Data(data) = &fit.validation else { panic!("it was drawn") };
    assert_eq!(data.features(), held_out.features());
    assert_eq!(trainer.steps_per_epoch(), 67usize.div_ceil(16));
}
