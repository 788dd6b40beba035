//! Settings on every device: gradient clipping, batches, sample weights, and training resumed with other settings.

use gradus::{
    Activation, Checkpoint, Dataset, Device, Loss, Member, MlpClassifier, Network, Optimizer, Population, Result,
    Schedule, Trainer, TrainerSettings, TrainingLoop, metrics::Metrics, train::CallbackAction,
};

use crate::common::{devices, devices_unless_quick};

/// Returns 100 rows of two features and a target that is linear in them.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..200).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let y = x.chunks(2).map(|row| 2.0 * row[0] - row[1]).collect();
    (x, y)
}

fn data() -> Dataset {
    let (x, y) = rows();
    Dataset::new(100, x, y).expect("a data set")
}

fn network() -> Network {
    Network::new(2).dense(4, Activation::Tanh).dense(1, Activation::Identity)
}

/// A gradient with four equal parts and the norm 1 changes each weight by half the learning rate.
#[test]
fn a_clipped_step_does_not_depend_on_the_gradient_norm() -> Result<()> {
    for device in devices() {
        for scale in [1.0_f32, 1e18, 1e19, 1e25, 1e37] {
            let data = Dataset::new(1, vec![scale; 4], vec![1.0f32])?;
            let network = Network::new(4).dense(1, Activation::Identity);
            let optimizer = Optimizer::sgd(1.0).clip_norm(1.0);
            let settings = TrainerSettings { batch_size: 1, loss: Loss::L1, optimizer, ..TrainerSettings::default() };
            let distance = |before: f32, after: f32| f64::from((after - before).abs());
            let expected = 1.0 / (4.0 + 1.0 / f64::from(scale).powi(2)).sqrt();
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let before = trainer.parameters()?[0].weight[0];
            trainer.run(1)?;
            let change = distance(before, trainer.parameters()?[0].weight[0]);
            assert!((change - expected).abs() < 1e-5, "{}, {scale:e}: {change}", device.name());

            let members: Vec<_> =
                (0..3).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            for member in 0..3 {
                let before = population.parameters(member)?[0].weight[0];
                if member == 0 {
                    population.run(1)?;
                    let change = distance(before, population.parameters(0)?[0].weight[0]);
                    assert!((change - expected).abs() < 1e-5, "{}, {scale:e}, population: {change}", device.name());
                }
            }
        }
    }
    Ok(())
}

#[test]
fn batch_normalization_of_one_row_is_an_error() -> Result<()> {
    let network = Network::new(2).dense(8, Activation::Relu).batch_norm().dense(1, Activation::Identity);
    let (x, y) = rows();
    for device in devices_unless_quick() {
        let new_trainer = |rows: usize, batch_size: usize, drop_last: bool, gradient_accumulation: usize| {
            let data = Dataset::new(rows, &x[..2 * rows], &y[..rows])?;
            let settings =
                TrainerSettings { batch_size, drop_last, gradient_accumulation, ..TrainerSettings::default() };
            let members = [Member::new(settings.clone()), Member::new(TrainerSettings { seed: 1, ..settings.clone() })];
            let population = Population::new(&device, &network, &data, &members).map(|_| ());
            let trainer = Trainer::new(&device, &network, &data, settings).map(|_| ());
            assert_eq!(population, trainer);
            trainer
        };
        for (rows, batch, accumulate) in [(100, 1, 1), (100, 1, 8), (1, 10, 1), (1, 1, 1)] {
            let error = new_trainer(rows, batch, false, accumulate).expect_err("a batch of one row").to_string();
            assert!(error.contains("batch normalization"), "{error}");
        }
        let error = new_trainer(91, 10, false, 1).expect_err("the last batch has one row").to_string();
        assert!(error.contains("drop_last"), "{error}");
        assert_eq!(new_trainer(91, 10, true, 1), Ok(()));
        assert_eq!(new_trainer(92, 10, false, 1), Ok(()));
        assert_eq!(new_trainer(2, 10, false, 1), Ok(()));
        assert!(new_trainer(5, 10, true, 1).is_err_and(|error| error.to_string().contains("drop_last")));

        let one_row = TrainerSettings { batch_size: 1, ..TrainerSettings::default() };
        assert!(Trainer::without_dataset(&device, &network, one_row).is_err());
        let mut trainer = Trainer::without_dataset(
            &device,
            &network,
            TrainerSettings { batch_size: 4, ..TrainerSettings::default() },
        )?;
        assert!(trainer.step(&x[..2], &y[..1]).is_err() && trainer.gradients(&x[..2], &y[..1]).is_err());
        trainer.step(&x[..4], &y[..2])?;
    }
    Ok(())
}

/// Training with `drop_last` equals training on only the rows of the full batches.
#[test]
fn drop_last_drops_a_short_last_batch() -> Result<()> {
    let (x, y) = rows();
    for device in devices_unless_quick() {
        let settings = |drop_last, shuffle| TrainerSettings {
            batch_size: 30,
            drop_last,
            shuffle,
            schedule: Schedule::Step { step_size: 1, factor: 0.5 }.per_epoch(),
            ..TrainerSettings::default()
        };
        let full_batches = Dataset::new(90, &x[..180], &y[..90])?;
        let mut expected = Trainer::new(&device, &network(), &full_batches, settings(false, false))?;
        let expected = (expected.run(7)?, expected.parameters()?);
        let data = data();
        let mut trainer = Trainer::new(&device, &network(), &data, settings(true, false))?;
        assert_eq!(trainer.steps_per_epoch(), 3);
        assert_eq!((trainer.run(7)?, trainer.parameters()?), expected, "{}", device.name());
        let members: Vec<_> =
            (0..3).map(|seed| Member::new(TrainerSettings { seed, ..settings(true, true) })).collect();
        let mut population = Population::new(&device, &network(), &data, &members)?;
        let reports = population.run(7)?;
        for (member, report) in members.iter().zip(reports) {
            assert_eq!(report.batch_sizes, [30; 7]);
            let settings = TrainerSettings { plan: Some(population.plan()), ..member.settings.clone() };
            let mut single = Trainer::new(&device, &network(), &data, settings)?;
            assert_eq!(single.run(7)?, report, "{}", device.name());
            let checkpoint = single.checkpoint()?;
            assert!(checkpoint.settings.drop_last);
            assert!(Checkpoint::from_bytes(&checkpoint.to_bytes()?)? == checkpoint);
        }
    }
    Ok(())
}

/// With a learning rate of 0 and the same rows, both losses of an epoch must be equal, whatever the sample weights.
#[test]
fn training_and_validation_loss_have_the_same_denominator() -> Result<()> {
    let (uneven, even): (Vec<f32>, Vec<f32>) = ((0..100).map(|i| (i % 4) as f32).collect(), vec![10.0; 100]);
    for device in devices_unless_quick() {
        for (weights, batch) in [(&even, 100), (&even, 30), (&uneven, 100), (&uneven, 7)] {
            let data = data().with_sample_weights(weights.clone())?;
            let settings =
                TrainerSettings { optimizer: Optimizer::sgd(0.0), batch_size: batch, ..TrainerSettings::default() };
            let mut trainer = Trainer::new(&device, &network(), &data, settings.clone())?;
            let history = TrainingLoop::new(2).validation_data(&data).run(&mut trainer)?;
            let members = [Member::new(settings.clone()), Member::new(TrainerSettings { seed: 3, ..settings })];
            let mut population = Population::new(&device, &network(), &data, &members)?;
            let member_histories = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for history in std::iter::once(&history).chain(&member_histories) {
                for epoch in &history.epochs {
                    let validation = epoch.validation.as_ref().map_or(f64::NAN, Metrics::loss);
                    assert!((epoch.loss / validation - 1.0).abs() < 1e-5, "{}: {epoch:?}", device.name());
                }
            }
            // A manual step on all rows.
            let (x, y) = rows();
            let settings = TrainerSettings {
                optimizer: Optimizer::sgd(0.0),
                batch_size: 100,
                sample_weights: true,
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::without_dataset(&device, &network(), settings)?;
            trainer.step_weighted(&x, &y, weights)?;
            let loss = trainer.take_report()?.mean_loss();
            assert!((loss / history.epochs[0].loss - 1.0).abs() < 1e-5, "{}: {loss}", device.name());
        }
    }
    Ok(())
}

/// Covers one output and several, small and large networks, trainers and populations.
#[test]
fn training_and_validation_accuracy_have_the_same_denominator() -> Result<()> {
    let (x, _) = rows();
    let weights: Vec<f32> = (0..100).map(|i| (i % 4) as f32).collect();
    for device in devices_unless_quick() {
        for (outputs, hidden, batch) in [(1, 4, 100), (1, 4, 7), (3, 4, 30), (3, 200, 30), (3, 4, 1)] {
            let classes: Vec<u32> = (0..100).map(|i| i * 7 % 5 % outputs.max(2)).collect();
            let data = Dataset::new(100, x.clone(), classes)?.with_sample_weights(weights.clone())?;
            let network = Network::new(2).dense(hidden, Activation::Tanh).dense(outputs as usize, Activation::Sigmoid);
            let loss = Loss::BinaryCrossEntropy;
            let settings = TrainerSettings {
                optimizer: Optimizer::sgd(0.0),
                batch_size: batch,
                loss,
                seed: 2,
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let history = TrainingLoop::new(2).validation_data(&data).run(&mut trainer)?;
            let members: Vec<_> =
                (2..7).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            let member_histories = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for epoch in std::iter::once(&history).chain(&member_histories).flat_map(|history| &history.epochs) {
                let training = epoch.accuracy.expect("an accuracy");
                let validation = epoch.validation.as_ref().and_then(Metrics::accuracy).expect("an accuracy");
                assert!((training - validation).abs() < 1e-6, "{}, {outputs} outputs: {epoch:?}", device.name());
            }
            // Check the data: an accuracy without sample weights must be another number.
            let unweighted = trainer.evaluate(&Dataset::new(100, x.clone(), data.targets().clone())?)?.accuracy();
            assert_ne!(history.epochs[0].accuracy, unweighted, "{}, {outputs} outputs", device.name());
        }
    }
    Ok(())
}

#[test]
fn sample_weights_that_are_all_0_are_an_error() -> Result<()> {
    let error = data().with_sample_weights(vec![0.0; 100]).expect_err("only weights of 0").to_string();
    assert!(error.contains("at least one number > 0"), "{error}");
    let (x, y) = rows();
    let labels: Vec<&str> = y.iter().map(|v| if *v > 0.0 { "p" } else { "n" }).collect();
    assert!(MlpClassifier::new().device(Device::cpu()).fit_weighted(&x[..], &labels[..], &[0.0; 100]).is_err());
    let weights: Vec<f32> = (0..100).map(|i| f32::from(u8::from(i >= 50))).collect();
    let only_zeros = data().with_sample_weights(weights)?.select(&(0..50).collect::<Vec<_>>())?;
    assert!(Trainer::new(&Device::cpu(), &network(), &only_zeros, TrainerSettings::default()).is_err());
    Ok(())
}

/// After five epochs with batches of 10, the sixth epoch has its learning rate and all its rows with any other batches.
#[test]
fn training_resumes_with_another_batch_size_at_an_epoch_end() -> Result<()> {
    for device in devices_unless_quick() {
        let settings = TrainerSettings {
            batch_size: 10,
            schedule: Schedule::Step { step_size: 2, factor: 0.5 }.per_epoch(),
            optimizer: Optimizer::adam(0.08),
            ..TrainerSettings::default()
        };
        let mut trainer = Trainer::new(&device, &network(), &data(), settings)?;
        let history = TrainingLoop::new(5).run(&mut trainer)?;
        let checkpoint = trainer.checkpoint()?.with_history(&history);
        for (batch, accumulate, drop_last) in
            [(10, 1, false), (1, 1, false), (100, 1, false), (10, 5, false), (3, 2, true), (1000, 1, false)]
        {
            let mut changed = checkpoint.clone();
            (changed.settings.batch_size, changed.settings.gradient_accumulation) = (batch, accumulate);
            (changed.settings.drop_last, changed.settings.plan) = (drop_last, None);
            // A file keeps the changed settings.
            let changed = Checkpoint::from_bytes(&changed.to_bytes()?)?;
            let mut trainer = Trainer::resume(&device, &changed, Some(&data()))?;
            let mut epoch_rows = Vec::new();
            let resumed =
                TrainingLoop::new(2).resume_from(history.clone()).run_with_callback(&mut trainer, |progress| {
                    epoch_rows.push(progress.report.rows());
                    Ok(CallbackAction::Continue)
                })?;
            let learning_rates: Vec<f64> = resumed.epochs[5..].iter().map(|epoch| epoch.learning_rate).collect();
            let rows = if drop_last { 99 } else { 100 };
            let context = format!("batches of {batch}, {accumulate} per update");
            assert_eq!((epoch_rows, learning_rates), (vec![rows; 2], vec![0.02, 0.01]), "{context}");
            // Change the settings a second time.
            let mut changed = trainer.checkpoint()?;
            (changed.settings.batch_size, changed.settings.gradient_accumulation) = (20, 1);
            (changed.settings.drop_last, changed.settings.plan) = (false, None);
            let mut trainer = Trainer::resume(&device, &changed, Some(&data()))?;
            trainer.run_epoch()?;
            assert_eq!((trainer.last_learning_rate(), trainer.dataset_steps() / 5), (0.01, 8));
        }
    }
    Ok(())
}

/// Adam's bias correction counts updates, not rows.
#[test]
fn a_new_batch_size_keeps_the_update_count_of_the_optimizer() -> Result<()> {
    for device in devices_unless_quick() {
        let settings = |batch| TrainerSettings {
            batch_size: batch,
            optimizer: Optimizer::adam(0.01),
            shuffle: false,
            ..TrainerSettings::default()
        };
        let mut trainer = Trainer::new(&device, &network(), &data(), settings(50))?;
        trainer.run(2)?;
        let mut checkpoint = trainer.checkpoint()?;
        (checkpoint.settings.batch_size, checkpoint.settings.plan) = (100, None);
        let mut changed = Trainer::resume(&device, &checkpoint, Some(&data()))?;
        // A trainer with manual steps, whose third step has all rows.
        let mut expected = Trainer::without_dataset(&device, &network(), settings(100))?;
        let (x, y) = rows();
        expected.step(&x[..100], &y[..50])?;
        expected.step(&x[100..], &y[50..])?;
        expected.step(&x, &y)?;
        changed.run(1)?;
        for (actual, expected) in changed.parameters()?.iter().zip(expected.parameters()?) {
            for (actual, expected) in actual.weight.iter().zip(expected.weight) {
                assert!((actual - expected).abs() < 1e-5, "{}: expected {expected}, got {actual}", device.name());
            }
        }
    }
    Ok(())
}

#[test]
fn settings_that_cannot_resume_are_errors_with_the_reason() -> Result<()> {
    let device = Device::cpu();
    let settings = TrainerSettings {
        batch_size: 10,
        gradient_accumulation: 4,
        optimizer: Optimizer::adam(0.01),
        ..TrainerSettings::default()
    };
    let mut trainer = Trainer::new(&device, &network(), &data(), settings)?;
    trainer.run(5)?;
    let resume_with = |change: &dyn Fn(&mut TrainerSettings), trainer: &mut Trainer| {
        let mut checkpoint = trainer.checkpoint()?;
        checkpoint.settings.plan = None;
        change(&mut checkpoint.settings);
        Ok::<_, gradus::Error>(
            Trainer::resume(&device, &checkpoint, Some(&data())).map(|_| ()).map_err(|error| error.to_string()),
        )
    };
    let error = resume_with(&|settings| settings.batch_size = 20, &mut trainer)?.expect_err("within an epoch");
    assert!(error.contains("50 rows into epoch 1"), "{error}");
    let error =
        resume_with(&|settings| settings.gradient_accumulation = 2, &mut trainer)?.expect_err("within an epoch");
    assert!(error.contains("50 rows into epoch 1"), "{error}");
    let error =
        resume_with(&|settings| settings.optimizer = Optimizer::sgd(0.1), &mut trainer)?.expect_err("another rule");
    assert!(error.contains("adam") && error.contains("sgd") && error.contains("set_parameters"), "{error}");
    // The learning rate may change after any step, the accumulation only at the end of both an epoch and an update.
    assert_eq!(resume_with(&|settings| settings.optimizer.learning_rate = 0.5, &mut trainer)?, Ok(()));
    trainer.run(5)?;
    let error =
        resume_with(&|settings| settings.gradient_accumulation = 2, &mut trainer)?.expect_err("within an update");
    assert!(error.contains("2 of 4 batches"), "{error}");
    trainer.run(10)?;
    assert_eq!(resume_with(&|settings| settings.gradient_accumulation = 1, &mut trainer)?, Ok(()));
    Ok(())
}
