//! What settings mean on every device: clipped gradients, batches, weights of rows, and trainings that go on with others.

use gradus::{
    Activation, Checkpoint, Dataset, Device, Loss, Member, MlpClassifier, Network, Optimizer, Population, Result,
    Schedule, Trainer, TrainerSettings, TrainingLoop, metrics::Metrics, train::CallbackAction,
};

use crate::common::{devices, devices_unless_quick};

/// Two inputs in a line of 101, and what a linear network learns of them.
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

/// A gradient of any length that is clipped to 1 moves four equal weights by half the rate each.
#[test]
fn a_clipped_gradient_moves_parameters_by_the_rate_however_long_it_is() -> Result<()> {
    for device in devices() {
        for scale in [1.0_f32, 1e18, 1e19, 1e25, 1e37] {
            let data = Dataset::new(1, vec![scale; 4], vec![1.0f32])?;
            let network = Network::new(4).dense(1, Activation::Identity);
            let optimizer = Optimizer::sgd(1.0).clip_norm(1.0);
            let settings = TrainerSettings { batch_size: 1, loss: Loss::L1, optimizer, ..TrainerSettings::default() };
            let moved = |before: f32, after: f32| f64::from((after - before).abs());
            let expected = 1.0 / (4.0 + 1.0 / f64::from(scale).powi(2)).sqrt();
            let mut trainer = Trainer::new(&device, &network, &data, settings.clone())?;
            let before = trainer.parameters()?[0].weight[0];
            trainer.run(1)?;
            let found = moved(before, trainer.parameters()?[0].weight[0]);
            assert!((found - expected).abs() < 1e-5, "{}, {scale:e}: {found}", device.name());

            let members: Vec<_> =
                (0..3).map(|seed| Member::new(TrainerSettings { seed, ..settings.clone() })).collect();
            let mut population = Population::new(&device, &network, &data, &members)?;
            for member in 0..3 {
                let before = population.parameters(member)?[0].weight[0];
                if member == 0 {
                    population.run(1)?;
                    let found = moved(before, population.parameters(0)?[0].weight[0]);
                    assert!((found - expected).abs() < 1e-5, "{}, {scale:e} of many: {found}", device.name());
                }
            }
        }
    }
    Ok(())
}

#[test]
fn batch_normalization_of_one_row_is_refused() -> Result<()> {
    let network = Network::new(2).dense(8, Activation::Relu).batch_norm().dense(1, Activation::Identity);
    let (x, y) = rows();
    for device in devices_unless_quick() {
        let of = |rows: usize, batch: usize, drop_last: bool, accumulate: usize| {
            let data = Dataset::new(rows, &x[..2 * rows], &y[..rows])?;
            let settings = TrainerSettings {
                batch_size: batch,
                drop_last,
                gradient_accumulation: accumulate,
                ..TrainerSettings::default()
            };
            let members = [Member::new(settings.clone()), Member::new(TrainerSettings { seed: 1, ..settings.clone() })];
            let together = Population::new(&device, &network, &data, &members).map(|_| ());
            let alone = Trainer::new(&device, &network, &data, settings).map(|_| ());
            assert_eq!(together, alone);
            alone
        };
        for (rows, batch, accumulate) in [(100, 1, 1), (100, 1, 8), (1, 10, 1), (1, 1, 1)] {
            let refused = of(rows, batch, false, accumulate).expect_err("of one row").to_string();
            assert!(refused.contains("batch normalization"), "{refused}");
        }
        let refused = of(91, 10, false, 1).expect_err("the last batch has one row").to_string();
        assert!(refused.contains("drop_last"), "{refused}");
        assert_eq!((of(91, 10, true, 1), of(92, 10, false, 1), of(2, 10, false, 1)), (Ok(()), Ok(()), Ok(())));
        assert!(of(5, 10, true, 1).is_err_and(|error| error.to_string().contains("drop_last")));

        let by_hand = TrainerSettings { batch_size: 1, ..TrainerSettings::default() };
        assert!(Trainer::without_dataset(&device, &network, by_hand).is_err());
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

/// With the last batch dropped an epoch has only whole batches; the same rows in whole batches alone are the same training.
#[test]
fn a_short_last_batch_is_dropped() -> Result<()> {
    let (x, y) = rows();
    for device in devices_unless_quick() {
        let settings = |drop_last, shuffle| TrainerSettings {
            batch_size: 30,
            drop_last,
            shuffle,
            schedule: Schedule::Step { step_size: 1, factor: 0.5 }.per_epoch(),
            ..TrainerSettings::default()
        };
        let whole = Dataset::new(90, &x[..180], &y[..90])?;
        let mut expected = Trainer::new(&device, &network(), &whole, settings(false, false))?;
        let expected = (expected.run(7)?, expected.parameters()?);
        {
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
                let pinned = TrainerSettings { plan: Some(population.plan()), ..member.settings.clone() };
                let mut alone = Trainer::new(&device, &network(), &data, pinned)?;
                assert_eq!(alone.run(7)?, report, "{}", device.name());
                let kept = alone.checkpoint()?;
                assert!(kept.settings.drop_last && Checkpoint::from_bytes(&kept.to_bytes()?)? == kept);
            }
        }
    }
    Ok(())
}

/// At a rate of 0 the rows of a training and of its validation are worth the same, whatever they weigh.
#[test]
fn a_history_has_one_denominator() -> Result<()> {
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
            let together = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for history in std::iter::once(&history).chain(&together) {
                for epoch in &history.epochs {
                    let validation = epoch.validation.as_ref().map_or(f64::NAN, Metrics::loss);
                    assert!((epoch.loss / validation - 1.0).abs() < 1e-5, "{}: {epoch:?}", device.name());
                }
            }
            // Steps by hand, all rows in one.
            let (x, y) = rows();
            let by_hand = TrainerSettings {
                optimizer: Optimizer::sgd(0.0),
                batch_size: 100,
                sample_weights: true,
                ..TrainerSettings::default()
            };
            let mut trainer = Trainer::without_dataset(&device, &network(), by_hand)?;
            trainer.step_weighted(&x, &y, weights)?;
            let loss = trainer.take_report()?.mean_loss();
            assert!((loss / history.epochs[0].loss - 1.0).abs() < 1e-5, "{}: {loss}", device.name());
        }
    }
    Ok(())
}

/// The same for accuracies, of one output and of several, for a small network and a larger one, and of many networks.
#[test]
fn an_accuracy_has_the_denominator_of_its_validation() -> Result<()> {
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
            let together = TrainingLoop::new(2).validation_data(&data).run_population(&mut population)?;
            for epoch in std::iter::once(&history).chain(&together).flat_map(|history| &history.epochs) {
                let training = epoch.accuracy.expect("an accuracy");
                let validation = epoch.validation.as_ref().and_then(Metrics::accuracy).expect("an accuracy");
                assert!((training - validation).abs() < 1e-6, "{}, {outputs} outputs: {epoch:?}", device.name());
            }
            // The heavier rows differ from the others, so that an unweighted accuracy is another number.
            let unweighted = trainer.evaluate(&Dataset::new(100, x.clone(), data.targets().clone())?)?.accuracy();
            assert_ne!(history.epochs[0].accuracy, unweighted, "{}, {outputs} outputs", device.name());
        }
    }
    Ok(())
}

#[test]
fn weights_that_are_all_zero_are_refused() -> Result<()> {
    let refused = data().with_sample_weights(vec![0.0; 100]).expect_err("nothing weighs anything").to_string();
    assert!(refused.contains("at least one above 0"), "{refused}");
    let (x, y) = rows();
    let labels: Vec<&str> = y.iter().map(|v| if *v > 0.0 { "p" } else { "n" }).collect();
    let fitted = MlpClassifier::new().device(Device::cpu()).fit_weighted(&x[..], &labels[..], &[0.0; 100]).map(|_| ());
    assert!(fitted.is_err());
    let halves: Vec<f32> = (0..100).map(|i| f32::from(u8::from(i >= 50))).collect();
    let halves = data().with_sample_weights(halves)?.select(&(0..50).collect::<Vec<_>>())?;
    assert!(Trainer::new(&Device::cpu(), &network(), &halves, TrainerSettings::default()).is_err());
    Ok(())
}

/// The rate and the rows of the sixth epoch, after five in batches of 10.
#[test]
fn a_training_goes_on_with_other_batches_from_the_end_of_an_epoch() -> Result<()> {
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
            // The change survives a file.
            let changed = Checkpoint::from_bytes(&changed.to_bytes()?)?;
            let mut trainer = Trainer::resume(&device, &changed, Some(&data()))?;
            let mut seen = Vec::new();
            let after =
                TrainingLoop::new(2).resume_from(history.clone()).run_with_callback(&mut trainer, |progress| {
                    seen.push(progress.report.rows());
                    Ok(CallbackAction::Continue)
                })?;
            let rates: Vec<f64> = after.epochs[5..].iter().map(|epoch| epoch.learning_rate).collect();
            let rows = if drop_last { 99 } else { 100 };
            assert_eq!((seen, rates), (vec![rows; 2], vec![0.02, 0.01]), "batches of {batch}, {accumulate} an update");
            // And again, from a training that was changed before.
            let mut again = trainer.checkpoint()?;
            (again.settings.batch_size, again.settings.gradient_accumulation) = (20, 1);
            (again.settings.drop_last, again.settings.plan) = (false, None);
            let mut trainer = Trainer::resume(&device, &again, Some(&data()))?;
            trainer.run_epoch()?;
            assert_eq!((trainer.last_learning_rate(), trainer.dataset_steps() / 5), (0.01, 8));
        }
    }
    Ok(())
}

/// Adam's bias correction counts updates, whatever the batches.
#[test]
fn an_optimizer_goes_on_after_as_many_updates() -> Result<()> {
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
        // A trainer whose third step is on all rows, by hand.
        let by_hand = TrainerSettings { batch_size: 100, ..settings(100) };
        let mut expected = Trainer::without_dataset(&device, &network(), by_hand)?;
        let (x, y) = rows();
        expected.step(&x[..100], &y[..50])?;
        expected.step(&x[100..], &y[50..])?;
        expected.step(&x, &y)?;
        changed.run(1)?;
        for (found, expected) in changed.parameters()?.iter().zip(expected.parameters()?) {
            for (found, expected) in found.weight.iter().zip(expected.weight) {
                assert!((found - expected).abs() < 1e-5, "{}: {found}, {expected}", device.name());
            }
        }
    }
    Ok(())
}

#[test]
fn what_cannot_go_on_is_refused_with_the_reason() -> Result<()> {
    let device = Device::cpu();
    let settings = TrainerSettings {
        batch_size: 10,
        gradient_accumulation: 4,
        optimizer: Optimizer::adam(0.01),
        ..TrainerSettings::default()
    };
    let mut trainer = Trainer::new(&device, &network(), &data(), settings)?;
    trainer.run(5)?;
    let refused = |change: &dyn Fn(&mut TrainerSettings), trainer: &mut Trainer| {
        let mut checkpoint = trainer.checkpoint()?;
        checkpoint.settings.plan = None;
        change(&mut checkpoint.settings);
        Ok::<_, gradus::Error>(
            Trainer::resume(&device, &checkpoint, Some(&data())).map(|_| ()).map_err(|error| error.to_string()),
        )
    };
    let within_an_epoch = refused(&|settings| settings.batch_size = 20, &mut trainer)?.expect_err("within an epoch");
    assert!(within_an_epoch.contains("50 rows into epoch 1"), "{within_an_epoch}");
    let within_an_epoch =
        refused(&|settings| settings.gradient_accumulation = 2, &mut trainer)?.expect_err("within an epoch");
    assert!(within_an_epoch.contains("50 rows into epoch 1"), "{within_an_epoch}");
    let other = refused(&|settings| settings.optimizer = Optimizer::sgd(0.1), &mut trainer)?.expect_err("another rule");
    assert!(other.contains("adam") && other.contains("sgd") && other.contains("set_parameters"), "{other}");
    // Rates and other numbers of the optimizer may change anywhere, the accumulation where an epoch and an update end.
    assert_eq!(refused(&|settings| settings.optimizer.learning_rate = 0.5, &mut trainer)?, Ok(()));
    trainer.run(5)?;
    let within_an_update =
        refused(&|settings| settings.gradient_accumulation = 2, &mut trainer)?.expect_err("within an update");
    assert!(within_an_update.contains("2 of 4 batches"), "{within_an_update}");
    trainer.run(10)?;
    assert_eq!(refused(&|settings| settings.gradient_accumulation = 1, &mut trainer)?, Ok(()));
    Ok(())
}
