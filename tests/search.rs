//! Cross-validation, grids, random searches and successive halving, on every device.

use crate::common::{devices, numbers};
use gradus::{
    Activation, Dataset, Device, EarlyStopping, Error, Loss, Member, Network, Optimizer, Result, Trainer,
    TrainerSettings, TrainingLoop,
    data::{Split, Subset},
    search::{Hyperparameter, KFold, Search, SuccessiveHalving, cross_val_score},
    train::{Monitor, StopReason, Validation},
};

const ROWS: usize = 81;

/// Whether a point lies in a circle.
fn data() -> Dataset {
    let features = numbers(ROWS * 2, 3);
    let classes: Vec<u32> = features.chunks(2).map(|p| u32::from(p[0] * p[0] + p[1] * p[1] < 0.6)).collect();
    Dataset::new(ROWS, features, classes).expect("a data set")
}

fn network() -> Network {
    Network::new(2).dense(12, Activation::Tanh).dense(2, Activation::Identity)
}

fn settings(batch: usize) -> TrainerSettings {
    let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::adam(0.03));
    TrainerSettings { batch_size: batch, loss, optimizer, seed: 5, ..TrainerSettings::default() }
}

fn rates(rates: &[f64]) -> Hyperparameter {
    Hyperparameter::choice("rate", rates, |member, rate| member.settings.optimizer.learning_rate = rate)
}

#[test]
fn a_cross_validation_tests_each_fold_on_what_it_has_not_seen() {
    for device in devices() {
        // Batches larger than a fold's rows, of which one has a row less than the others; and small ones.
        for batch in [100, 8] {
            let folds = KFold::new(4).shuffled(2);
            let scores =
                cross_val_score(&device, &network(), &data(), &settings(batch), &folds, &TrainingLoop::new(40));
            let scores = scores.expect("scores");
            // Stratified folds are plain ones of rows in another order.
            let order = folds.order(&data()).expect("folds").expect("classes");
            let arranged = data().select(&order).expect("rows");
            for (fold, metrics) in scores.metrics.iter().enumerate() {
                let rows =
                    |rows: gradus::data::Subset| arranged.select(&rows.indices(ROWS).expect("rows")).expect("rows");
                let member = &KFold::new(4).members(&Member::new(settings(batch)))[fold];
                let (train, test) = (rows(member.subset), rows(member.subset.held_out().expect("a fold")));
                let fit = TrainingLoop::new(40).validation_data(&test);
                let (_, alone) = fit.train(&device, &network(), &train, settings(batch)).expect("a training");
                let [ours, theirs] = [metrics.as_ref(), alone.tested()].map(|metrics| metrics.expect("tested"));
                assert!((ours.loss() - theirs.loss()).abs() < 1e-3 * theirs.loss(), "{device}: {fold} of {batch}");
                assert_eq!(ours.accuracy(), theirs.accuracy(), "{device}: {fold} of {batch}");
            }
            let accuracies = scores.values(Monitor::ValidationAccuracy);
            let mean = scores.mean(Monitor::ValidationAccuracy);
            assert!(accuracies.len() == 4 && mean > 0.75, "{device}: {accuracies:?}");
            assert!((mean - accuracies.iter().sum::<f64>() / 4.0).abs() < 1e-12);
            assert!(scores.std(Monitor::ValidationAccuracy) > 0.0 && scores.mean(Monitor::ValidationR2).is_nan());
        }
        for folds in [0, 1, ROWS + 1] {
            let fit = TrainingLoop::new(1);
            let none = cross_val_score(&device, &network(), &data(), &settings(8), &KFold::new(folds), &fit);
            assert!(matches!(none, Err(Error::InvalidSetting { .. })), "{folds} folds");
        }
    }
}

#[test]
fn a_grid_is_every_combination_and_says_which_is_best() {
    // The batch needs other kernels, so there are two populations; a rate of a million diverges.
    let batches =
        Hyperparameter::choice("batch", [8.0, 27.0], |member, batch| member.settings.batch_size = batch as usize);
    let grid = [batches, rates(&[1e-5, 0.03, 1e6])];
    let member = Member::new(TrainerSettings { optimizer: Optimizer::sgd(1.0), ..settings(8) });
    for device in devices() {
        let search = Search::grid(&member, &grid).expect("a grid").monitor(Monitor::ValidationAccuracy);
        assert_eq!(search.len(), 6);
        let held_out = Validation::Split(Split { fraction: 0.3, stratified: true });
        let fit = TrainingLoop::new(30).early_stopping(EarlyStopping::default());
        let findings = search.clone().validation(held_out).run(&device, &network(), &data(), &fit).expect("a search");
        let values: Vec<_> = findings.trials.iter().map(|trial| trial.values.as_slice()).collect();
        let expected = [[8.0, 1e-5], [8.0, 0.03], [8.0, 1e6], [27.0, 1e-5], [27.0, 0.03], [27.0, 1e6]];
        assert_eq!(values, expected, "{device}");
        let best = findings.best_trial().expect("some learn");
        assert_eq!(best.member.settings.batch_size as f64, best.values[0]);
        assert_eq!(best.member.settings.optimizer.learning_rate, best.values[1]);
        assert!(findings.trials.iter().all(|trial| trial.histories.len() == 1 && !trial.pruned), "{device}");
        assert!(findings.best_model.is_some() && findings.total_steps() > 0);
        let (text, csv) = (findings.to_string(), findings.to_csv());
        assert!(text.lines().count() == 7 && text.contains("validation accuracy"), "{text}");
        assert!(csv.starts_with("batch,rate,validation_accuracy,spread,steps,dropped\n8,0.00001,"), "{csv}");
        // With folds there is no single network.
        let folded =
            search.cross_validation(KFold::new(3).shuffled(1)).run(&device, &network(), &data(), &TrainingLoop::new(3));
        let folded = folded.expect("a search");
        assert!(folded.best_model.is_none() && folded.trials.iter().all(|trial| trial.scores.metrics.len() == 3));
    }
}

#[test]
fn a_network_that_diverged_is_never_the_best() {
    // Nine rows of ten are of the class that stands for outputs that are no numbers.
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| u32::from(row % 10 == 0)).collect();
    let data = Dataset::new(ROWS, numbers(ROWS * 2, 3), classes).expect("a data set");
    for last in [Activation::Identity, Activation::Softmax] {
        let loss = if last == Activation::Softmax { Loss::SoftmaxCrossEntropy } else { Loss::Mse };
        let network = Network::new(2).dense(12, Activation::Identity).dense(2, last);
        let member = Member::new(TrainerSettings { loss, optimizer: Optimizer::sgd(1.0), ..settings(8) });
        for device in devices() {
            for (rates_tried, best) in [([1e9, 1e-6], Some(1e-6)), ([1e9, 1e8], None)] {
                let search = Search::grid(&member, &[rates(&rates_tried)]).expect("a grid");
                let search = search.monitor(Monitor::ValidationAccuracy);
                let search = search.validation(Validation::Split(Split { fraction: 0.3, stratified: true }));
                let findings = search.run(&device, &network, &data, &TrainingLoop::new(3)).expect("a search");
                let found = findings.best_trial().map(|trial| trial.values[0]);
                assert_eq!(
                    (found, findings.best_model.is_some()),
                    (best, best.is_some()),
                    "{device}, {last}: {findings}"
                );
            }
        }
    }
}

/// Its best epoch is worth something, but is not the network that there is.
#[test]
fn a_network_that_diverged_after_its_best_epoch_loses_no_findings() {
    let network = Network::new(2).dense(2, Activation::Identity);
    for device in devices() {
        for restores_best in [false, true] {
            let rate = 1e2;
            let member =
                Member::new(TrainerSettings { loss: Loss::Mse, optimizer: Optimizer::sgd(rate), ..settings(8) });
            let search = Search::grid(&member, &[rates(&[rate])]).expect("a grid");
            let search = search.validation(Validation::Split(Split { fraction: 0.3, stratified: true }));
            let stopping = EarlyStopping { restore_best: restores_best, ..EarlyStopping::default() };
            let fit = TrainingLoop::new(9).early_stopping(stopping);
            let findings = search.run(&device, &network, &data(), &fit).expect("a search");
            let history = &findings.trials[0].histories[0];
            let tested = history.tested().map(|metrics| metrics.loss().is_finite());
            assert_eq!((history.stop_reason, tested), (StopReason::Diverged, Some(true)), "{device}: {history}");
            assert_eq!(findings.best_model.is_some(), restores_best, "{device}: {findings}");
        }
    }
}

#[test]
fn halving_drops_the_worse_and_takes_fewer_steps() {
    for device in devices() {
        let search =
            Search::grid(&Member::new(settings(8)), &[rates(&[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0])]);
        let search = search.expect("a grid").cross_validation(KFold::new(3).shuffled(4));
        let halving = SuccessiveHalving::new(20, 160);
        let findings = search.run_halving(&device, &network(), &data(), &halving).expect("a search");
        let steps: Vec<usize> = findings.trials.iter().map(|trial| trial.steps).collect();
        let count = |of: usize| steps.iter().filter(|steps| **steps == 3 * of).count();
        assert_eq!([20, 40, 80, 160].map(count), [4, 2, 1, 1], "{device}: {steps:?}");
        assert_eq!(findings.trials.iter().filter(|trial| !trial.pruned).count(), 1);
        let best = findings.best_trial().expect("a best");
        assert!(!best.pruned && best.steps == 480 && (1e-3..0.2).contains(&best.values[0]), "{device}: {findings}");
        // The better half of each rung went on: those that were dropped first are no better than those behind them.
        let ranked = findings.ranked();
        assert!(ranked.is_sorted_by_key(|number| std::cmp::Reverse(findings.trials[*number].steps)), "{findings}");
        // What it does to the end is what a training does that is not halved.
        let alone = Search::grid(&Member::new(settings(8)), &[rates(&[best.values[0]])])
            .expect("one")
            .cross_validation(KFold::new(3).shuffled(4));
        let whole =
            alone.run_halving(&device, &network(), &data(), &SuccessiveHalving::new(160, 160)).expect("a search");
        assert_eq!(whole.trials[0].scores, best.scores, "{device}");
    }
}

#[test]
fn what_makes_no_search_is_refused_in_words() {
    let member = Member::new(settings(8));
    let said = |result: Result<Search, Error>| result.expect_err("no search").to_string();
    assert!(said(Search::grid(&member, &[])).contains("combinations of a search: expected 1 to 1000000"));
    assert_eq!(
        said(Search::grid(&member, &[rates(&[])])),
        "values of a search: expected at least one value, got none for the rate"
    );
    assert!(said(Search::grid(&member, &[rates(&[f64::NAN])])).contains("finite"));
    let range = |low, high| Hyperparameter::log_uniform("decay", low, high, |_, _| {});
    assert!(said(Search::grid(&member, &[range(1e-4, 1.0)])).contains("for a grid"));
    assert!(said(Search::random(&member, &[range(0.0, 1.0)], 3, 1)).contains("above 0"));
    assert!(said(Search::random(&member, &[range(1.0, 0.5)], 3, 1)).contains("that rise"));
    assert!(said(Search::random(&member, &[range(0.1, 0.5)], 0, 1)).contains("got 0 of 1 numbers"));
    let search = Search::grid(&member, &[rates(&[0.1])]).expect("one");
    let device = Device::cpu();
    let refused = |search: &Search| {
        search.run(&device, &network(), &data(), &TrainingLoop::new(1)).expect_err("no search").to_string()
    };
    assert!(refused(&search).ends_with("got neither"));
    assert!(
        refused(&search.clone().cross_validation(KFold::new(3)).validation(Validation::Data(data())))
            .ends_with("got both")
    );
    assert!(
        refused(&search.clone().cross_validation(KFold::new(3)).monitor(Monitor::TrainingLoss))
            .contains("training loss")
    );
    assert!(refused(&search.clone().cross_validation(KFold::new(1))).contains("2 to 81 folds"));
    for (first, steps, factor) in [(0, 10, 2), (11, 10, 2), (1, 10, 1)] {
        let halving = SuccessiveHalving { min_steps: first, max_steps: steps, factor };
        assert!(
            search.clone().cross_validation(KFold::new(3)).run_halving(&device, &network(), &data(), &halving).is_err()
        );
    }
}

#[test]
fn a_random_search_draws_the_same_again_and_stays_in_its_ranges() {
    let numbers = [
        Hyperparameter::log_uniform("rate", 1e-4, 1e-1, |member, rate| member.settings.optimizer.learning_rate = rate),
        Hyperparameter::uniform("decay", 0.0, 0.2, |member, decay| member.settings.optimizer.weight_decay = decay),
    ];
    let found = |seed| {
        let search = Search::random(&Member::new(settings(8)), &numbers, 40, seed).expect("a search");
        let findings =
            search.cross_validation(KFold::new(2)).run(&Device::cpu(), &network(), &data(), &TrainingLoop::new(1));
        findings.expect("a search").trials.into_iter().map(|trial| trial.values).collect::<Vec<_>>()
    };
    let values = found(3);
    assert_eq!(values, found(3));
    assert_ne!(values, found(4));
    assert!(values.iter().all(|v| (1e-4..=0.1).contains(&v[0]) && (0.0..=0.2).contains(&v[1])));
    assert!(values.iter().filter(|v| v[0] < 1e-3).count() > 5, "each power of ten is as likely: {values:?}");
}

/// Rows in the order of their classes, as iris has them: every fold has the same share of each class, and the folds are those of
/// scikit-learn 1.9.1, `StratifiedKFold(4).split(x, y)`, whatever the order in which classes appear.
#[test]
fn folds_of_classes_are_stratified() -> Result<()> {
    let x: Vec<f32> = (0..60).map(|i| (i / 20) as f32 + (i as f32 * 1.7).sin() * 0.2).collect();
    let classes: Vec<u32> = (0..60).map(|i| i / 20).collect();
    let data = Dataset::new(60, &x[..], classes)?;
    let network = Network::new(1).dense(16, Activation::Tanh).dense(3, Activation::Identity);
    let optimizer = Optimizer::adam(0.02);
    let settings =
        TrainerSettings { batch_size: 8, loss: Loss::SoftmaxCrossEntropy, optimizer, ..TrainerSettings::default() };
    for folds in [KFold::new(3), KFold::new(3).shuffled(1)] {
        let scores = cross_val_score(&Device::cpu(), &network, &data, &settings, &folds, &TrainingLoop::new(60))?;
        assert_eq!(scores.values(Monitor::ValidationAccuracy), [1.0; 3], "{folds:?}");
    }
    let plain = KFold::new(3).unstratified();
    let scores = cross_val_score(&Device::cpu(), &network, &data, &settings, &plain, &TrainingLoop::new(60))?;
    assert_eq!(scores.values(Monitor::ValidationAccuracy), [0.0; 3], "no class was seen in training");

    let classes: Vec<u32> = vec![2, 2, 0, 1, 0, 0, 2, 1, 1, 0, 2, 2, 0, 1, 2, 2, 0, 0, 1];
    let data = Dataset::new(19, vec![0.0f32; 19], classes)?;
    let order = KFold::new(4).order(&data)?.expect("classes");
    let mut folds: Vec<Vec<usize>> = Vec::new();
    for fold in 0..4 {
        let rows = Subset::TestFold(KFold::new(4).fold(fold)).indices(19)?;
        folds.push(rows.into_iter().map(|place| order[place]).collect());
        folds[fold].sort_unstable();
    }
    let expected = [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 9, 10], vec![8, 11, 12, 13, 14], vec![15, 16, 17, 18]];
    assert_eq!(folds, expected);
    assert!(KFold::new(8).order(&data).is_err_and(|error| error.to_string().contains("unstratified")));
    assert_eq!(KFold::new(4).unstratified().order(&data)?, None);
    Ok(())
}

/// A metric that the data cannot have is refused before a step is taken, by searches as by a fit.
#[test]
fn a_metric_that_the_data_cannot_have_is_refused_before_training() -> Result<()> {
    let x: Vec<f32> = (0..200).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks(2).map(|row| 2.0 * row[0] - row[1]).collect();
    let (data, network) = (Dataset::new(100, &x[..], y)?, Network::new(2).dense(1, Activation::Identity));
    let rates = Hyperparameter::choice("rate", [0.1, 0.2], |member: &mut Member, rate| {
        member.settings.optimizer.learning_rate = rate;
    });
    let device = Device::cpu();
    let refused =
        |error: Option<Error>| error.is_some_and(|error| error.to_string().contains("the validation accuracy"));
    let search = Search::grid(&Member::new(TrainerSettings::default()), &[rates])?.monitor(Monitor::ValidationAccuracy);
    let split = search.clone().validation(Validation::Split(Split { fraction: 0.2, stratified: false }));
    for search in [split, search.cross_validation(KFold::new(3))] {
        assert!(refused(search.run(&device, &network, &data, &TrainingLoop::new(3)).err()));
        assert!(refused(search.run_halving(&device, &network, &data, &SuccessiveHalving::new(2, 8)).err()));
    }
    let mut trainer = Trainer::new(&device, &network, &data, TrainerSettings::default())?;
    let rule = EarlyStopping { monitor: Monitor::ValidationAccuracy, ..EarlyStopping::default() };
    assert!(refused(TrainingLoop::new(1).validation_data(&data).early_stopping(rule).run(&mut trainer).err()));
    assert_eq!(trainer.dataset_steps(), 0);
    let fit = TrainingLoop::new(1).early_stopping(rule);
    assert!(refused(
        cross_val_score(&device, &network, &data, &TrainerSettings::default(), &KFold::new(3), &fit).err()
    ));
    Ok(())
}
