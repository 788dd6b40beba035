//! Rows with several labels, and values that nobody classifies: which metrics there are, on every device.

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

/// Inputs, and labels of which a row has from none to five.
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

/// The loss, and a network that fits it.
fn kinds() -> [(Loss, Activation); 3] {
    [
        (Loss::BinaryCrossEntropy, Activation::Sigmoid),
        (Loss::BinaryCrossEntropyWithLogits, Activation::Identity),
        (Loss::Hinge, Activation::Identity),
    ]
}

/// Of these outputs the fraction of rows and of labels that are right, and micro F1, by the weights of the rows.
fn expected(y: &[f32], t: &[f32], threshold: f32, weights: &[f32]) -> [f64; 3] {
    let [mut rows, mut labels, mut both, mut either, mut all] = [0.0; 5];
    for ((y, t), weight) in y.chunks(LABELS).zip(t.chunks(LABELS)).zip(weights) {
        let weight = f64::from(*weight);
        let right = y.iter().zip(t).filter(|(y, t)| (**y > threshold) == (**t == 1.0)).count();
        rows += if right == LABELS { weight } else { 0.0 };
        labels += weight * right as f64 / LABELS as f64;
        both += weight * y.iter().zip(t).filter(|(y, t)| **y > threshold && **t == 1.0).count() as f64;
        let count = y.iter().filter(|y| **y > threshold).count() + t.iter().filter(|t| **t == 1.0).count();
        either += weight * count as f64;
        all += weight;
    }
    [rows / all, labels / all, 2.0 * both / either]
}

#[track_caller]
fn close(what: &str, metrics: &Metrics, theirs: [f64; 3]) {
    let ours = [metrics.accuracy(), metrics.label_accuracy(), metrics.f1(Average::Micro)].map(Option::unwrap);
    let is_near = ours.iter().zip(theirs).all(|(ours, theirs)| (ours - theirs).abs() < 1e-6);
    assert!(is_near, "{what}: {ours:?} and {theirs:?}");
    assert_eq!(
        (metrics.confusion_matrix(), metrics.balanced_accuracy(), metrics.f1(Average::Binary)),
        (None, None, None)
    );
}

#[test]
fn labels_are_counted_on_every_device() -> Result<()> {
    let (x, t) = rows();
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32 * 0.5).collect();
    for device in devices() {
        for (number, (loss, last)) in kinds().into_iter().enumerate() {
            let network = Network::new(4).dense(6, Activation::Tanh).dense(LABELS, last);
            let (data, weights) = if number == 1 {
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
            let what = format!("{}, {loss}", device.name());
            let theirs = expected(&trainer.predict(&x)?, &t, loss.decision_threshold(), weights);
            assert!(theirs[0] > 0.05 && theirs[0] < theirs[1] - 0.05, "{what}: {theirs:?}");
            close(&what, &trainer.evaluate(&data)?, theirs);

            let members: Vec<_> =
                (0..3).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            population.run(20)?;
            let all = population.evaluate(&data)?;
            let some = population.evaluate_subsets(&[Subset::Range { start: 7, len: 40 }; 3])?;
            for (member, y) in population.predict(&x)?.iter().enumerate() {
                close(&what, &all[member], expected(y, &t, loss.decision_threshold(), weights));
                let part = 7 * LABELS..47 * LABELS;
                close(
                    &what,
                    &some[member],
                    expected(&y[part.clone()], &t[part], loss.decision_threshold(), &weights[7..47]),
                );
            }
        }
    }
    Ok(())
}

/// Training accuracies are those of the validation, of the small CPU engine, the larger one and groups, and on GPUs.
#[test]
fn a_history_counts_rows_whose_labels_are_all_right() -> Result<()> {
    let weights: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32 * 0.5).collect();
    for device in devices_unless_quick() {
        for (hidden, batch, weighted) in
            [(6, 90, false), (6, 7, true), (200, 32, false), (200, 32, true), (6, 1, false)]
        {
            let data = if weighted { data().with_sample_weights(weights.clone())? } else { data() };
            let (loss, last) = kinds()[batch % 2];
            let network = Network::new(4).dense(hidden, Activation::Tanh).dense(LABELS, last);
            let settings = TrainerSettings {
                loss,
                batch_size: batch,
                optimizer: Optimizer::sgd(0.0),
                seed: 4,
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let alone = TrainingLoop::new(2).validation_data(&data).run(&mut trainer)?;
            let members: Vec<_> =
                (0..20).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            let together = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for epoch in std::iter::once(&alone).chain(&together).flat_map(|history| &history.epochs) {
                let validation = epoch.validation.as_ref().expect("metrics");
                let (ours, theirs) =
                    (epoch.accuracy.expect("an accuracy"), validation.accuracy().expect("an accuracy"));
                assert!((ours - theirs).abs() < 1e-6, "{}, {hidden}, {batch}: {ours} and {theirs}", device.name());
            }
            let checkpoint = trainer.checkpoint()?.with_history(&alone);
            assert_eq!(Checkpoint::from_bytes(&checkpoint.to_bytes()?)?, checkpoint);
        }
    }
    Ok(())
}

/// Early stopping watches the rows whose labels are all right.
#[test]
fn early_stopping_watches_labels() -> Result<()> {
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
        let of = |number: usize| match monitor {
            Monitor::TrainingAccuracy => history.epochs[number].accuracy,
            _ => history.epochs[number].validation.as_ref().and_then(Metrics::accuracy),
        };
        assert!((0..history.epochs.len()).all(|number| of(number) <= of(best)), "{monitor}");
        assert_eq!(history.stop_reason, StopReason::NoImprovement);
    }
    Ok(())
}

/// Reconstructions and values are neither right nor wrong, and nothing stops by an accuracy that is none.
#[test]
fn values_have_no_accuracy() -> Result<()> {
    let (x, labels) = rows();
    let shares: Vec<f32> = x.iter().map(|v| 0.5 * v + 0.5).collect();
    let halves: Vec<f32> = labels.iter().map(|t| 0.8 * t + 0.1).collect();
    let cases = [
        ("autoencoder, mse", Loss::Mse, Activation::Sigmoid, shares.clone(), 4),
        ("autoencoder, cross-entropy", Loss::BinaryCrossEntropy, Activation::Sigmoid, shares, 4),
        ("labels that are no labels", Loss::BinaryCrossEntropyWithLogits, Activation::Identity, halves, LABELS),
        ("labels under mse", Loss::Mse, Activation::Sigmoid, labels.clone(), LABELS),
        ("labels under softmax", Loss::SoftmaxCrossEntropy, Activation::Identity, labels, LABELS),
    ];
    for device in devices_unless_quick() {
        for (what, loss, last, targets, outputs) in &cases {
            let data = Dataset::new(ROWS, x.clone(), targets.clone())?;
            let network = Network::new(4).dense(3, Activation::Tanh).dense(*outputs, *last);
            let settings = TrainerSettings { loss: *loss, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let history = TrainingLoop::new(1).validation_data(&data).run(&mut trainer)?;
            let validation = history.epochs[0].validation.as_ref().expect("metrics");
            assert_eq!(history.epochs[0].accuracy, None, "{what}");
            assert_eq!(
                (validation.accuracy(), validation.label_accuracy(), validation.f1(Average::Macro)),
                (None, None, None),
                "{what}"
            );
            assert!(validation.r2().is_some(), "{what}");
            for monitor in [Monitor::ValidationAccuracy, Monitor::TrainingAccuracy] {
                let stopping = EarlyStopping { monitor, ..EarlyStopping::default() };
                let refused = TrainingLoop::new(9).validation_data(&data).early_stopping(stopping).run(&mut trainer);
                assert!(refused.expect_err(what).to_string().contains(&monitor.to_string()), "{what}");
            }
            let mut population = Population::new(&device, &network, &data, &[Member::new(settings)])?;
            assert_eq!(population.run(1)?[0].accuracy(), None, "{what}");
            assert_eq!(population.evaluate(&data)?[0].accuracy(), None, "{what}");
            assert_eq!(population.ensemble(&device, [0])?.predict(&x)?.votes, None, "{what}");
        }
    }
    Ok(())
}

/// A few rows that happen to have one label each are labels where the others have several, on the data set and by hand.
#[test]
fn rows_with_one_label_each_stay_labels() -> Result<()> {
    let (x, t) = rows();
    let network = Network::new(4).dense(6, Activation::Tanh).dense(LABELS, Activation::Sigmoid);
    let settings = TrainerSettings { loss: Loss::BinaryCrossEntropy, ..TrainerSettings::default() };
    let single: Vec<f32> = (0..9 * LABELS).map(|i| f32::from(u8::from(i % LABELS == i / LABELS % LABELS))).collect();
    let some = Dataset::new(9, x[..36].to_vec(), single.clone())?;
    for device in devices_unless_quick() {
        let mut trainer = Trainer::new(&device, &network, &data(), settings.clone())?;
        assert!(trainer.evaluate(&some)?.label_accuracy().is_some());
        let mut population = Population::new(&device, &network, &data(), &[Member::new(settings.clone())])?;
        assert!(population.evaluate(&some)?[0].label_accuracy().is_some());

        let mut by_hand = Trainer::without_dataset(&device, &network, settings.clone())?;
        by_hand.step(&x[..36], &single)?;
        let report = by_hand.take_report()?;
        assert!(report.accuracy().is_some(), "one label each: classes so far");
        assert!(by_hand.evaluate(&some)?.confusion_matrix().is_some());
        by_hand.step(&x[..36], &t[..9 * LABELS])?;
        assert_eq!(by_hand.take_report()?.accuracy(), None, "several labels: the steps do not count them");
        assert!(by_hand.evaluate(&some)?.label_accuracy().is_some());

        // A trainer with a data set of labels counts them in steps by hand, too.
        trainer.step(&x[..36], &single)?;
        let right = trainer.take_report()?.accuracy();
        assert!(right.is_some());
    }
    Ok(())
}
