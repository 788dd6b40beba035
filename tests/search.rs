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

/// Returns points with two classes: inside and outside of a circle.
fn data() -> Dataset {
    let features = numbers(ROWS * 2, 3);
    let classes: Vec<u32> = features.chunks(2).map(|p| u32::from(p[0] * p[0] + p[1] * p[1] < 0.6)).collect();
    Dataset::new(ROWS, features, classes).expect("a data set")
}

fn network() -> Network {
    Network::new(2).dense(12, Activation::Tanh).dense(2, Activation::Identity)
}

fn settings(batch_size: usize) -> TrainerSettings {
    let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::adam(0.03));
    TrainerSettings { batch_size, loss, optimizer, seed: 5, ..TrainerSettings::default() }
}

fn rates(rates: &[f64]) -> Hyperparameter {
    Hyperparameter::choice("rate", rates, |member, rate| member.settings.optimizer.learning_rate = rate)
}

#[test]
fn cross_validation_evaluates_each_fold_on_its_held_out_rows() {
    for device in devices() {
        // A batch larger than the training rows of a fold, and a small one. One fold has a row less than the others.
        for batch in [100, 8] {
            let folds = KFold::new(4).shuffled(2);
            let scores =
                cross_val_score(&device, &network(), &data(), &settings(batch), &folds, &TrainingLoop::new(40));
            let scores = scores.expect("scores");
            // Stratified folds are the folds of rows in another order.
            let order = folds.order(&data()).expect("folds").expect("classes");
            let arranged = data().select(&order).expect("rows");
            for (fold, metrics) in scores.metrics.iter().enumerate() {
                let select =
                    |rows: gradus::data::Subset| arranged.select(&rows.indices(ROWS).expect("rows")).expect("rows");
                let member = &KFold::new(4).members(&Member::new(settings(batch)))[fold];
                let (train, test) = (select(member.subset), select(member.subset.held_out().expect("a fold")));
                let training = TrainingLoop::new(40).validation_data(&test);
                let (_, history) = training.train(&device, &network(), &train, settings(batch)).expect("a training");
                let [metrics, expected] =
                    [metrics.as_ref(), history.final_validation()].map(|metrics| metrics.expect("validation metrics"));
                let context = format!("{device}, fold {fold}, batches of {batch}");
                assert!((metrics.loss() - expected.loss()).abs() < 1e-3 * expected.loss(), "{context}");
                assert_eq!(metrics.accuracy(), expected.accuracy(), "{context}");
            }
            let accuracies = scores.values(Monitor::ValidationAccuracy);
            let mean = scores.mean(Monitor::ValidationAccuracy);
            assert!(accuracies.len() == 4 && mean > 0.75, "{device}: {accuracies:?}");
            assert!((mean - accuracies.iter().sum::<f64>() / 4.0).abs() < 1e-12);
            assert!(scores.std(Monitor::ValidationAccuracy) > 0.0 && scores.mean(Monitor::ValidationR2).is_nan());
        }
        for folds in [0, 1, ROWS + 1] {
            let folding = KFold::new(folds);
            let result = cross_val_score(&device, &network(), &data(), &settings(8), &folding, &TrainingLoop::new(1));
            assert!(matches!(result, Err(Error::InvalidSetting { .. })), "{folds} folds");
        }
    }
}

#[test]
fn a_grid_search_tries_every_combination_and_finds_the_best() {
    // Another batch size needs other kernels, so the search has two populations. A learning rate of 1e6 diverges.
    let batches =
        Hyperparameter::choice("batch", [8.0, 27.0], |member, batch| member.settings.batch_size = batch as usize);
    let grid = [batches, rates(&[1e-5, 0.03, 1e6])];
    let member = Member::new(TrainerSettings { optimizer: Optimizer::sgd(1.0), ..settings(8) });
    for device in devices() {
        let search = Search::grid(&member, &grid).expect("a grid").monitor(Monitor::ValidationAccuracy);
        assert_eq!(search.len(), 6);
        let held_out = Validation::Split(Split { fraction: 0.3, stratified: true });
        let training = TrainingLoop::new(30).early_stopping(EarlyStopping::default());
        let result =
            search.clone().validation(held_out).run(&device, &network(), &data(), &training).expect("a search");
        let values: Vec<_> = result.trials.iter().map(|trial| trial.values.as_slice()).collect();
        let expected = [[8.0, 1e-5], [8.0, 0.03], [8.0, 1e6], [27.0, 1e-5], [27.0, 0.03], [27.0, 1e6]];
        assert_eq!(values, expected, "{device}");
        let best = result.best_trial().expect("a best trial");
        assert_eq!(best.member.settings.batch_size as f64, best.values[0]);
        assert_eq!(best.member.settings.optimizer.learning_rate, best.values[1]);
        assert!(result.trials.iter().all(|trial| trial.histories.len() == 1 && !trial.pruned), "{device}");
        assert!(result.best_model.is_some() && result.total_steps() > 0);
        let (text, csv) = (result.to_string(), result.to_csv());
        assert!(text.lines().count() == 7 && text.contains("validation accuracy"), "{text}");
        assert!(csv.starts_with("batch,rate,validation_accuracy,std,steps,pruned\n8,0.00001,"), "{csv}");
        // With cross-validation there is no single best network.
        let cross_validated =
            search.cross_validation(KFold::new(3).shuffled(1)).run(&device, &network(), &data(), &TrainingLoop::new(3));
        let cross_validated = cross_validated.expect("a search");
        assert!(
            cross_validated.best_model.is_none()
                && cross_validated.trials.iter().all(|trial| trial.scores.metrics.len() == 3)
        );
    }
}

#[test]
fn a_diverged_trial_is_never_the_best() {
    // Nine of ten rows have class 0, and NaN outputs predict class 0.
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
                let result = search.run(&device, &network, &data, &TrainingLoop::new(3)).expect("a search");
                let best_value = result.best_trial().map(|trial| trial.values[0]);
                assert_eq!(
                    (best_value, result.best_model.is_some()),
                    (best, best.is_some()),
                    "{device}, {last}: {result}"
                );
            }
        }
    }
}

/// The best epoch has finite metrics, but its parameters exist only if early stopping restores them.
#[test]
fn a_trial_that_diverged_after_its_best_epoch_keeps_its_result() {
    let network = Network::new(2).dense(2, Activation::Identity);
    for device in devices() {
        for restore_best in [false, true] {
            let rate = 1e2;
            let member =
                Member::new(TrainerSettings { loss: Loss::Mse, optimizer: Optimizer::sgd(rate), ..settings(8) });
            let search = Search::grid(&member, &[rates(&[rate])]).expect("a grid");
            let search = search.validation(Validation::Split(Split { fraction: 0.3, stratified: true }));
            let stopping = EarlyStopping { restore_best, ..EarlyStopping::default() };
            let training = TrainingLoop::new(9).early_stopping(stopping);
            let result = search.run(&device, &network, &data(), &training).expect("a search");
            let history = &result.trials[0].histories[0];
            let is_finite = history.final_validation().map(|metrics| metrics.loss().is_finite());
            assert_eq!((history.stop_reason, is_finite), (StopReason::Diverged, Some(true)), "{device}: {history}");
            assert_eq!(result.best_model.is_some(), restore_best, "{device}: {result}");
        }
    }
}

#[test]
fn successive_halving_prunes_the_worse_half_of_each_round() {
    for device in devices() {
        let search =
            Search::grid(&Member::new(settings(8)), &[rates(&[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0])]);
        let search = search.expect("a grid").cross_validation(KFold::new(3).shuffled(4));
        let halving = SuccessiveHalving::new(20, 160);
        let result = search.run_halving(&device, &network(), &data(), &halving).expect("a search");
        let steps: Vec<usize> = result.trials.iter().map(|trial| trial.steps).collect();
        let count = |steps_per_fold: usize| steps.iter().filter(|steps| **steps == 3 * steps_per_fold).count();
        assert_eq!([20, 40, 80, 160].map(count), [4, 2, 1, 1], "{device}: {steps:?}");
        assert_eq!(result.trials.iter().filter(|trial| !trial.pruned).count(), 1);
        let best = result.best_trial().expect("a best");
        assert!(!best.pruned && best.steps == 480 && (1e-3..0.2).contains(&best.values[0]), "{device}: {result}");
        // Only the better half of each round continues, so the best trials have the most steps.
        let ranked = result.ranked();
        assert!(ranked.is_sorted_by_key(|number| std::cmp::Reverse(result.trials[*number].steps)), "{result}");
        // The best trial equals a training run that is not interrupted.
        let best_only = Search::grid(&Member::new(settings(8)), &[rates(&[best.values[0]])])
            .expect("a grid")
            .cross_validation(KFold::new(3).shuffled(4));
        let uninterrupted =
            best_only.run_halving(&device, &network(), &data(), &SuccessiveHalving::new(160, 160)).expect("a search");
        assert_eq!(uninterrupted.trials[0].scores, best.scores, "{device}");
    }
}

#[test]
fn invalid_searches_are_errors() {
    let member = Member::new(settings(8));
    let creation_error = |result: Result<Search, Error>| result.expect_err("an invalid search").to_string();
    assert!(creation_error(Search::grid(&member, &[])).contains("search: expected 1 to 1000000 combinations"));
    assert_eq!(
        creation_error(Search::grid(&member, &[rates(&[])])),
        "hyperparameter: expected at least 1 value for \"rate\", got 0"
    );
    assert!(creation_error(Search::grid(&member, &[rates(&[f64::NAN])])).contains("finite"));
    let range = |low, high| Hyperparameter::log_uniform("decay", low, high, |_, _| {});
    assert!(creation_error(Search::grid(&member, &[range(1e-4, 1.0)])).contains("in a grid search"));
    assert!(creation_error(Search::random(&member, &[range(0.0, 1.0)], 3, 1)).contains("expected low > 0"));
    assert!(creation_error(Search::random(&member, &[range(1.0, 0.5)], 3, 1)).contains("low <= high"));
    assert!(
        creation_error(Search::random(&member, &[range(0.1, 0.5)], 0, 1))
            .contains("got 0 combinations of 1 hyperparameters")
    );
    let search = Search::grid(&member, &[rates(&[0.1])]).expect("a grid");
    let device = Device::cpu();
    let run_error = |search: &Search| {
        search.run(&device, &network(), &data(), &TrainingLoop::new(1)).expect_err("an invalid search").to_string()
    };
    assert!(run_error(&search).ends_with("got neither"));
    assert!(
        run_error(&search.clone().cross_validation(KFold::new(3)).validation(Validation::Data(data())))
            .ends_with("got both")
    );
    assert!(
        run_error(&search.clone().cross_validation(KFold::new(3)).monitor(Monitor::TrainingLoss))
            .contains("training loss")
    );
    assert!(run_error(&search.clone().cross_validation(KFold::new(1))).contains("expected 2 to 81"));
    for (min_steps, max_steps, factor) in [(0, 10, 2), (11, 10, 2), (1, 10, 1)] {
        let halving = SuccessiveHalving { min_steps, max_steps, factor };
        assert!(
            search.clone().cross_validation(KFold::new(3)).run_halving(&device, &network(), &data(), &halving).is_err()
        );
    }
}

#[test]
fn a_random_search_is_reproducible_and_stays_in_its_ranges() {
    let hyperparameters = [
        Hyperparameter::log_uniform("rate", 1e-4, 1e-1, |member, rate| member.settings.optimizer.learning_rate = rate),
        Hyperparameter::uniform("decay", 0.0, 0.2, |member, decay| member.settings.optimizer.weight_decay = decay),
    ];
    let trial_values = |seed| {
        let search = Search::random(&Member::new(settings(8)), &hyperparameters, 40, seed).expect("a search");
        let result =
            search.cross_validation(KFold::new(2)).run(&Device::cpu(), &network(), &data(), &TrainingLoop::new(1));
        result.expect("a search").trials.into_iter().map(|trial| trial.values).collect::<Vec<_>>()
    };
    let values = trial_values(3);
    assert_eq!(values, trial_values(3));
    assert_ne!(values, trial_values(4));
    assert!(values.iter().all(|v| (1e-4..=0.1).contains(&v[0]) && (0.0..=0.2).contains(&v[1])));
    assert!(
        values.iter().filter(|v| v[0] < 1e-3).count() > 5,
        "a log-uniform value has every power of ten equally often: {values:?}"
    );
}

/// Each fold has the same fraction of each class, even if the rows are sorted by class as in iris. The folds equal
/// those of scikit-learn 1.9.1, `StratifiedKFold(4).split(x, y)`, for any order of the classes.
#[test]
fn folds_of_classes_are_stratified_like_scikit_learn() -> Result<()> {
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
    assert_eq!(
        scores.values(Monitor::ValidationAccuracy),
        [0.0; 3],
        "the class of each fold is absent from its training rows"
    );

    let classes: Vec<u32> = vec![2, 2, 0, 1, 0, 0, 2, 1, 1, 0, 2, 2, 0, 1, 2, 2, 0, 0, 1];
    let data = Dataset::new(19, vec![0.0f32; 19], classes)?;
    let order = KFold::new(4).order(&data)?.expect("classes");
    let mut folds: Vec<Vec<usize>> = Vec::new();
    for fold in 0..4 {
        let rows = Subset::TestFold(KFold::new(4).fold(fold)).indices(19)?;
        folds.push(rows.into_iter().map(|position| order[position]).collect());
        folds[fold].sort_unstable();
    }
    let expected = [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 9, 10], vec![8, 11, 12, 13, 14], vec![15, 16, 17, 18]];
    assert_eq!(folds, expected);
    assert!(KFold::new(8).order(&data).is_err_and(|error| error.to_string().contains("unstratified")));
    assert_eq!(KFold::new(4).unstratified().order(&data)?, None);
    Ok(())
}

/// Covers searches, cross-validation and training loops.
#[test]
fn an_unavailable_monitor_is_an_error_before_the_first_step() -> Result<()> {
    let x: Vec<f32> = (0..200).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let y: Vec<f32> = x.chunks(2).map(|row| 2.0 * row[0] - row[1]).collect();
    let (data, network) = (Dataset::new(100, &x[..], y)?, Network::new(2).dense(1, Activation::Identity));
    let rates = Hyperparameter::choice("rate", [0.1, 0.2], |member: &mut Member, rate| {
        member.settings.optimizer.learning_rate = rate;
    });
    let device = Device::cpu();
    let names_the_monitor =
        |error: Option<Error>| error.is_some_and(|error| error.to_string().contains("validation accuracy"));
    let search = Search::grid(&Member::new(TrainerSettings::default()), &[rates])?.monitor(Monitor::ValidationAccuracy);
    let split = search.clone().validation(Validation::Split(Split { fraction: 0.2, stratified: false }));
    for search in [split, search.cross_validation(KFold::new(3))] {
        assert!(names_the_monitor(search.run(&device, &network, &data, &TrainingLoop::new(3)).err()));
        assert!(names_the_monitor(search.run_halving(&device, &network, &data, &SuccessiveHalving::new(2, 8)).err()));
    }
    let mut trainer = Trainer::new(&device, &network, &data, TrainerSettings::default())?;
    let stopping = EarlyStopping { monitor: Monitor::ValidationAccuracy, ..EarlyStopping::default() };
    assert!(names_the_monitor(
        TrainingLoop::new(1).validation_data(&data).early_stopping(stopping).run(&mut trainer).err()
    ));
    assert_eq!(trainer.dataset_steps(), 0);
    let training = TrainingLoop::new(1).early_stopping(stopping);
    assert!(names_the_monitor(
        cross_val_score(&device, &network, &data, &TrainerSettings::default(), &KFold::new(3), &training).err()
    ));
    Ok(())
}
