//! Rows with several labels, and targets that are no classes: which metrics they have, on every device.

use gradus::{
    Activation, Checkpoint, Dataset, Device, EarlyStopping, Loss, Member, Network, Optimizer, Population, Result,
    Trainer, TrainerSettings, TrainingLoop,
    data::Subset,
    metrics::{Average, Metrics},
    train::{Monitor, StopReason},
};

use crate::common::{devices, devices_unless_quick};

const ROWS: usize = 90;
const LABELS: usize = 5;

/// Returns features and labels. A row has zero to five labels.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..ROWS * 4).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let label = |row: &[f32], label: usize| f32::from(u8::from(row[label % 4] > 0.3 * label as f32 - 0.8));
    let labels = x.chunks(4).flat_map(|row| (0..LABELS).map(move |number| label(row, number))).collect();
    (x, labels)
}

fn data() -> Dataset {
    let (x, labels) = rows();
    Dataset::new(ROWS, x, labels).expect("a data set")
}

/// Returns the losses for labels, each with a suitable output activation.
fn losses() -> [(Loss, Activation); 3] {
    [
        (Loss::BinaryCrossEntropy, Activation::Sigmoid),
        (Loss::BinaryCrossEntropyWithLogits, Activation::Identity),
        (Loss::Hinge, Activation::Identity),
    ]
}

/// Returns the weighted fractions of correct rows and of correct labels, and the micro-averaged F1 score.
fn expected_metrics(y: &[f32], t: &[f32], threshold: f32, weights: &[f32]) -> [f64; 3] {
    let [mut correct_rows, mut correct_labels, mut true_positives, mut positives, mut total_weight] = [0.0; 5];
    for ((y, t), weight) in y.chunks(LABELS).zip(t.chunks(LABELS)).zip(weights) {
        let weight = f64::from(*weight);
        let correct = y.iter().zip(t).filter(|(y, t)| (**y > threshold) == (**t == 1.0)).count();
        correct_rows += if correct == LABELS { weight } else { 0.0 };
        correct_labels += weight * correct as f64 / LABELS as f64;
        true_positives += weight * y.iter().zip(t).filter(|(y, t)| **y > threshold && **t == 1.0).count() as f64;
        // Predicted positives plus actual positives: the denominator of F1.
        let count = y.iter().filter(|y| **y > threshold).count() + t.iter().filter(|t| **t == 1.0).count();
        positives += weight * count as f64;
        total_weight += weight;
    }
    [correct_rows / total_weight, correct_labels / total_weight, 2.0 * true_positives / positives]
}

#[track_caller]
fn assert_metrics(context: &str, metrics: &Metrics, expected: [f64; 3]) {
    let actual = [metrics.accuracy(), metrics.label_accuracy(), metrics.f1(Average::Micro)].map(Option::unwrap);
    let are_close = actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-6);
    assert!(are_close, "{context}: expected {expected:?}, got {actual:?}");
    assert_eq!(
        (metrics.confusion_matrix(), metrics.balanced_accuracy(), metrics.f1(Average::Binary)),
        (None, None, None)
    );
}

#[test]
fn label_metrics_match_the_predictions_on_every_device() -> Result<()> {
    let (x, t) = rows();
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32 * 0.5).collect();
    for device in devices() {
        for (loss, last) in losses() {
            let network = Network::new(4).dense(6, Activation::Tanh).dense(LABELS, last);
            let (data, weights) = if loss == Loss::BinaryCrossEntropyWithLogits {
                (data().with_sample_weights(weights.clone())?, &weights)
            } else {
                (data(), &vec![1.0; ROWS])
            };
            let settings = TrainerSettings {
                loss,
                batch_size: 16,
                optimizer: Optimizer::adam(0.03),
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            trainer.run(20)?;
            let context = format!("{}, {loss}", device.name());
            let expected = expected_metrics(&trainer.predict(&x)?, &t, loss.decision_threshold(), weights);
            assert!(expected[0] > 0.05 && expected[0] < expected[1] - 0.05, "{context}: {expected:?}");
            assert_metrics(&context, &trainer.evaluate(&data)?, expected);

            let members: Vec<_> =
                (0..3).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            population.run(20)?;
            let metrics = population.evaluate(&data)?;
            let subset_metrics = population.evaluate_subsets(&[Subset::Range { start: 7, len: 40 }; 3])?;
            for (member, y) in population.predict(&x)?.iter().enumerate() {
                assert_metrics(&context, &metrics[member], expected_metrics(y, &t, loss.decision_threshold(), weights));
                let part = 7 * LABELS..47 * LABELS;
                assert_metrics(
                    &context,
                    &subset_metrics[member],
                    expected_metrics(&y[part.clone()], &t[part], loss.decision_threshold(), &weights[7..47]),
                );
            }
        }
    }
    Ok(())
}

/// Covers the engine for small networks, the CPU engine, groups of members, and GPUs.
#[test]
fn training_accuracy_counts_rows_with_all_labels_correct() -> Result<()> {
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32 * 0.5).collect();
    for device in devices_unless_quick() {
        for (hidden, batch, weighted) in
            [(6, 90, false), (6, 7, true), (200, 32, false), (200, 32, true), (6, 1, false)]
        {
            let data = if weighted { data().with_sample_weights(weights.clone())? } else { data() };
            let (loss, last) = losses()[batch % 2];
            let network = Network::new(4).dense(hidden, Activation::Tanh).dense(LABELS, last);
            let settings = TrainerSettings {
                loss,
                batch_size: batch,
                optimizer: Optimizer::sgd(0.0),
                seed: 4,
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let history = TrainingLoop::new(2).validation_data(&data).run(&mut trainer)?;
            let members: Vec<_> =
                (0..20).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            let member_histories = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for epoch in std::iter::once(&history).chain(&member_histories).flat_map(|history| &history.epochs) {
                let context = format!("{}, {hidden} neurons, batches of {batch}", device.name());
                let training = epoch.accuracy.expect("an accuracy");
                let validation = epoch.validation.as_ref().and_then(Metrics::accuracy).expect("an accuracy");
                assert!((training - validation).abs() < 1e-6, "{context}: {training} and {validation}");
            }
            let checkpoint = trainer.checkpoint()?.with_history(&history);
            assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()?)?, checkpoint);
        }
    }
    Ok(())
}

/// The monitored accuracy counts the rows with all labels correct.
#[test]
fn early_stopping_monitors_label_accuracy() -> Result<()> {
    let network = Network::new(4).dense(6, Activation::Tanh).dense(LABELS, Activation::Sigmoid);
    let settings = TrainerSettings {
        loss: Loss::BinaryCrossEntropy,
        optimizer: Optimizer::adam(0.05),
        ..TrainerSettings::default()
    };
    for monitor in [Monitor::ValidationAccuracy, Monitor::TrainingAccuracy] {
        let stopping = EarlyStopping { monitor, patience: 8, ..EarlyStopping::default() };
        let mut trainer = Trainer::new(&Device::cpu(), &network, &data(), settings.clone())?;
        let history = TrainingLoop::new(400).validation_data(&data()).early_stopping(stopping).run(&mut trainer)?;
        let best = history.best_epoch.expect("a best epoch");
        let accuracy = |epoch: usize| match monitor {
            Monitor::TrainingAccuracy => history.epochs[epoch].accuracy,
            _ => history.epochs[epoch].validation.as_ref().and_then(Metrics::accuracy),
        };
        assert!((0..history.epochs.len()).all(|epoch| accuracy(epoch) <= accuracy(best)), "{monitor}");
        assert_eq!(history.stop_reason, StopReason::NoImprovement);
    }
    Ok(())
}

/// Values have no accuracy, so early stopping cannot monitor it.
#[test]
fn values_have_no_accuracy() -> Result<()> {
    let (x, labels) = rows();
    let scaled_x: Vec<f32> = x.iter().map(|v| 0.5 * v + 0.5).collect();
    let soft_labels: Vec<f32> = labels.iter().map(|t| 0.8 * t + 0.1).collect();
    let cases = [
        ("autoencoder, mse", Loss::Mse, Activation::Sigmoid, scaled_x.clone(), 4),
        ("autoencoder, cross-entropy", Loss::BinaryCrossEntropy, Activation::Sigmoid, scaled_x, 4),
        ("soft labels", Loss::BinaryCrossEntropyWithLogits, Activation::Identity, soft_labels, LABELS),
        ("labels under mse", Loss::Mse, Activation::Sigmoid, labels.clone(), LABELS),
        ("labels under softmax", Loss::SoftmaxCrossEntropy, Activation::Identity, labels, LABELS),
    ];
    for device in devices_unless_quick() {
        for (case, loss, last, targets, outputs) in &cases {
            let data = Dataset::new(ROWS, x.clone(), targets.clone())?;
            let network = Network::new(4).dense(3, Activation::Tanh).dense(*outputs, *last);
            let settings = TrainerSettings { loss: *loss, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let history = TrainingLoop::new(1).validation_data(&data).run(&mut trainer)?;
            let validation = history.epochs[0].validation.as_ref().expect("metrics");
            assert_eq!(history.epochs[0].accuracy, None, "{case}");
            assert_eq!(
                (validation.accuracy(), validation.label_accuracy(), validation.f1(Average::Macro)),
                (None, None, None),
                "{case}"
            );
            assert!(validation.r2().is_some(), "{case}");
            for monitor in [Monitor::ValidationAccuracy, Monitor::TrainingAccuracy] {
                let stopping = EarlyStopping { monitor, ..EarlyStopping::default() };
                let result = TrainingLoop::new(9).validation_data(&data).early_stopping(stopping).run(&mut trainer);
                assert!(result.expect_err(case).to_string().contains(&monitor.to_string()), "{case}");
            }
            let mut population = Population::new(&device, &network, &data, &[Member::new(settings)])?;
            assert_eq!(population.run(1)?[0].accuracy(), None, "{case}");
            assert_eq!(population.evaluate(&data)?[0].accuracy(), None, "{case}");
            assert_eq!(population.ensemble(&device, [0])?.predict(&x)?.votes, None, "{case}");
        }
    }
    Ok(())
}

/// Rows with exactly one label look like classes. They are labels if other rows of the training have several, on the
/// data set and in manual steps.
#[test]
fn rows_with_one_label_are_labels_if_others_have_several() -> Result<()> {
    let (x, t) = rows();
    let network = Network::new(4).dense(6, Activation::Tanh).dense(LABELS, Activation::Sigmoid);
    let settings = TrainerSettings { loss: Loss::BinaryCrossEntropy, ..TrainerSettings::default() };
    let single: Vec<f32> = (0..9 * LABELS).map(|i| f32::from(u8::from(i % LABELS == i / LABELS % LABELS))).collect();
    let single_labels = Dataset::new(9, x[..36].to_vec(), single.clone())?;
    for device in devices_unless_quick() {
        let mut trainer = Trainer::new(&device, &network, &data(), settings.clone())?;
        assert!(trainer.evaluate(&single_labels)?.label_accuracy().is_some());
        let mut population = Population::new(&device, &network, &data(), &[Member::new(settings.clone())])?;
        assert!(population.evaluate(&single_labels)?[0].label_accuracy().is_some());

        let mut manual = Trainer::without_dataset(&device, &network, settings.clone())?;
        manual.step(&x[..36], &single)?;
        let report = manual.take_report()?;
        assert!(report.accuracy().is_some(), "rows with one label are classes so far");
        assert!(manual.evaluate(&single_labels)?.confusion_matrix().is_some());
        manual.step(&x[..36], &t[..9 * LABELS])?;
        assert_eq!(manual.take_report()?.accuracy(), None, "manual steps do not count rows with several labels");
        assert!(manual.evaluate(&single_labels)?.label_accuracy().is_some());

        // Manual steps of a trainer with a data set of labels count rows with all labels correct.
        trainer.step(&x[..36], &single)?;
        assert!(trainer.take_report()?.accuracy().is_some());
    }
    Ok(())
}
