//! Trainers on every device: runs, manual steps, predictions, evaluation, gradients and parameters.

use std::collections::HashSet;

use crate::common::{XOR, bits, devices, numbers, xor};
use gradus::{
    Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings,
    nn::LayerParameters,
    reference::{Reference, loss_value},
    train::RunReport,
};

/// The tolerance between f32 results of different devices after a few steps, relative to the largest value.
const TOLERANCE: f64 = 1e-5;

/// Returns a network with widths that are not multiples of a block size.
fn network() -> Network {
    Network::new(5).dense(13, Activation::Tanh).dense(3, Activation::Sigmoid)
}

const ROWS: usize = 37;

/// Returns a data set whose last batch of 8 has only 5 rows.
fn data() -> Dataset {
    let targets: Vec<f32> = numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), targets).expect("a data set")
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, optimizer: Optimizer::momentum(0.4, 0.9), seed: 7, ..TrainerSettings::default() }
}

fn trainer(device: &Device, settings: TrainerSettings) -> Trainer {
    Trainer::new(device, &network(), &data(), settings).unwrap_or_else(|error| panic!("{device}: {error}"))
}

fn assert_close(context: &str, actual: impl IntoIterator<Item = f64>, expected: impl IntoIterator<Item = f64>) {
    let (actual, expected): (Vec<_>, Vec<_>) = (actual.into_iter().collect(), expected.into_iter().collect());
    assert_eq!(actual.len(), expected.len(), "{context}");
    let largest = expected.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    for (i, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
        let error = (actual - expected).abs();
        assert!(error <= TOLERANCE * largest, "{context}: value {i}: expected {expected}, got {actual}");
    }
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Returns the order of the rows in the first `epochs` epochs. The network is the identity, the learning rate 0, the
/// batch size 1 and the target 0, so the loss is the square of the feature, which is the index of the row.
fn row_order(device: &Device, rows: usize, epochs: usize, settings: TrainerSettings) -> Vec<usize> {
    let features: Vec<f32> = (0..rows).map(|row| row as f32).collect();
    let data = Dataset::new(rows, features, vec![0.0; rows]).expect("a data set");
    let settings = TrainerSettings { batch_size: 1, optimizer: Optimizer::sgd(0.0), loss: Loss::Mse, ..settings };
    let network = Network::new(1).dense(1, Activation::Identity);
    let mut trainer = Trainer::new(device, &network, &data, settings).expect("a trainer");
    trainer.set_parameters(&[LayerParameters::new(vec![1.0], vec![0.0])]).expect("one weight, one bias");
    let report = trainer.run(rows * epochs).expect("steps");
    report.losses.iter().map(|loss| loss.sqrt().round() as usize).collect()
}

#[test]
fn a_network_learns_xor() {
    for device in devices() {
        let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
        let settings =
            TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1.0), seed: 1, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&device, &network, &xor(), settings).expect("a trainer");
        let report = trainer.run(2000).expect("steps");
        let loss = trainer.last_loss().expect("a loss");
        assert_eq!(report.losses.last(), Some(&loss), "{device}");
        assert!(report.losses[0] > 0.1 && loss < 0.01, "{device}: first {}, last {loss}", report.losses[0]);
        assert_eq!(report.correct.last(), Some(&4.0), "{device}");
        for (y, t) in trainer.predict(&XOR.0).expect("four rows").iter().zip(XOR.1) {
            assert!((y - t).abs() < 0.2, "{device}: expected {t}, got {y}");
        }
    }
}

#[test]
fn a_network_learns_three_classes() {
    let rows = 150;
    let features = numbers(rows * 2, 3);
    let sector = |p: &[f32]| if p[0].abs() < 0.3 { 2 } else { u32::from(p[0] * p[1] > 0.0) };
    let classes: Vec<u32> = features.chunks(2).map(sector).collect();
    let data = Dataset::new(rows, features, classes).expect("a data set");
    let network = Network::new(2).dense(24, Activation::Relu).dense(3, Activation::Identity);
    for device in devices() {
        let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::momentum(0.1, 0.9));
        let settings = TrainerSettings { batch_size: 16, loss, optimizer, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
        let before = trainer.evaluate(&data).expect("the same data set");
        let report = trainer.run(60 * trainer.steps_per_epoch()).expect("60 epochs");
        let after = trainer.evaluate(&data).expect("the same data set");
        assert!(before.accuracy() < Some(0.7) && before.loss() > 0.5, "{device}: {before:?}");
        assert!(after.accuracy() > Some(0.95) && after.loss() < 0.2, "{device}: {after:?}");
        assert_eq!(report.rows(), 60 * rows as u64, "{device}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for device in devices() {
        let train = |seed| {
            let mut trainer = trainer(&device, TrainerSettings { seed, ..settings() });
            let report = trainer.run(60).expect("steps");
            let outputs = trainer.predict(&numbers(50, 9)).expect("ten rows");
            let outputs: Vec<u32> = outputs.into_iter().map(f32::to_bits).collect();
            (report, bits(&trainer.parameters().expect("parameters")), outputs)
        };
        let first = train(7);
        assert!(train(7) == first, "{device}");
        assert!(train(8).1 != first.1, "{device}: another seed gives the same parameters");
    }
}

#[test]
fn a_seed_gives_equal_initial_weights_and_row_orders_on_all_devices() {
    let cpu = Device::cpu();
    let initial = bits(&trainer(&cpu, settings()).parameters().expect("parameters"));
    let shuffled = row_order(&cpu, ROWS, 3, settings());
    let epochs: Vec<_> = shuffled.chunks(ROWS).collect();
    for epoch in &epochs {
        assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), ROWS, "every row occurs once per epoch");
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "two epochs have the same order");
    for device in devices() {
        assert_eq!(bits(&trainer(&device, settings()).parameters().expect("parameters")), initial, "{device}");
        assert_eq!(row_order(&device, ROWS, 3, settings()), shuffled, "{device}");
        let unshuffled = row_order(&device, ROWS, 2, TrainerSettings { shuffle: false, ..settings() });
        assert!(unshuffled.into_iter().eq((0..ROWS).chain(0..ROWS)), "{device}");
    }
}

#[test]
fn the_first_epoch_has_equal_losses_on_all_devices() {
    for shuffle in [true, false] {
        let run_epoch =
            |device: &Device| trainer(device, TrainerSettings { shuffle, ..settings() }).run_epoch().expect("an epoch");
        let expected = run_epoch(&Device::cpu());
        assert_eq!(expected.batch_sizes, [8, 8, 8, 8, 5]);
        for device in devices() {
            let report = run_epoch(&device);
            assert_close(&format!("{device}"), to_f64(&report.losses), to_f64(&expected.losses));
            assert_eq!(
                (report.batch_sizes, report.correct),
                (expected.batch_sizes.clone(), expected.correct.clone()),
                "{device}"
            );
        }
    }
}

#[test]
fn manual_steps_equal_steps_on_the_data_set() {
    let (features, steps) = (numbers(ROWS * 5, 1), 100);
    let data = data();
    let gradus::Targets::Values(targets) = data.targets() else { unreachable!("the targets are values") };
    let epochs = row_order(&Device::cpu(), ROWS, 20, settings());
    let batches = epochs.chunks(ROWS).flat_map(|epoch| epoch.chunks(8));
    for device in devices() {
        let mut automatic = trainer(&device, settings());
        let report = automatic.run(steps).expect("steps");
        let mut manual = Trainer::without_dataset(&device, &network(), settings()).expect("a trainer");
        let rows = |batch: &[usize], values: &[f32], columns: usize| {
            batch.iter().flat_map(|row| values[row * columns..(row + 1) * columns].to_vec()).collect::<Vec<_>>()
        };
        for batch in batches.clone().take(steps) {
            manual.step(&rows(batch, &features, 5), &rows(batch, targets, 3)).expect("a step");
        }
        assert_eq!(manual.take_report().expect("steps"), report, "{device}");
        let parameters = [manual, automatic].map(|trainer| bits(&trainer.parameters().expect("parameters")));
        assert!(parameters[0] == parameters[1], "{device}: the parameters differ");
    }
}

#[test]
fn an_epoch_ends_at_the_end_of_the_data_set() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        assert_eq!(trainer.steps_per_epoch(), 5, "{device}");
        let mut batch_sizes = |steps| match steps {
            Some(steps) => trainer.run(steps).expect("steps").batch_sizes,
            None => trainer.run_epoch().expect("an epoch").batch_sizes,
        };
        assert_eq!(batch_sizes(Some(3)), [8, 8, 8], "{device}");
        assert_eq!(batch_sizes(None), [8, 5], "{device}: the rest of the epoch");
        assert_eq!(batch_sizes(None), [8, 8, 8, 8, 5], "{device}: a complete epoch");
        assert!(batch_sizes(Some(0)).is_empty(), "{device}");
        assert_eq!(batch_sizes(Some(7)), [8, 8, 8, 8, 5, 8, 8], "{device}: over the end of an epoch");
        assert_eq!(batch_sizes(None), [8, 8, 5], "{device}");

        let large_batch = TrainerSettings { batch_size: 1000, ..settings() };
        let mut trainer = Trainer::new(&device, &network(), &data(), large_batch).expect("a trainer");
        let report = trainer.run_epoch().expect("an epoch");
        assert_eq!(report.batch_sizes, [ROWS as u32], "{device}: a batch larger than the data set");
    }
}

#[test]
fn several_short_runs_equal_one_long_run() {
    for device in devices() {
        let expected = trainer(&device, settings()).run(23).expect("steps");
        let mut trainer = trainer(&device, settings());
        let mut joined = RunReport::default();
        for steps in [1, 4, 11, 0, 7] {
            let RunReport { losses, correct, batch_sizes, .. } = trainer.run(steps).expect("steps");
            joined.losses.extend(losses);
            joined.correct.extend(correct);
            joined.batch_sizes.extend(batch_sizes);
        }
        let fields = |report: RunReport| (report.losses, report.correct, report.batch_sizes);
        assert_eq!(fields(joined), fields(expected), "{device}");
    }
}

#[test]
fn manual_steps_have_a_separate_report() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        let (x, t) = (numbers(15, 4), vec![0.5; 9]);
        assert_eq!(trainer.take_report().expect("an empty report").rows(), 0, "{device}");
        trainer.step(&x, &t).expect("three rows");
        trainer.step(&x[..5], &t[..3]).expect("one row");
        let automatic = trainer.run(2).expect("steps");
        trainer.step(&x[..10], &t[..6]).expect("two rows");
        let manual = trainer.take_report().expect("steps");
        assert_eq!(manual.batch_sizes, [3, 1, 2]);
        assert_eq!(automatic.batch_sizes, [8, 8]);
        assert_eq!(manual.losses.last(), Some(&trainer.last_loss().expect("a loss")), "{device}");
        assert_eq!(trainer.take_report().expect("an empty report").rows(), 0, "{device}");
        let rest = trainer.run_epoch().expect("the rest of the epoch");
        assert_eq!(rest.batch_sizes, [8, 8, 5], "{device}: manual steps changed the position in the data set");
    }
}

#[test]
fn predictions_match_the_reference_for_any_number_of_rows() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        trainer.run(10).expect("steps");
        let parameters = trainer.parameters().expect("parameters");
        let reference = Reference::new(&network(), Loss::Mse, Optimizer::sgd(0.1), &parameters).expect("a reference");
        for rows in [1, 2, 3, 255, 4096, 4097, 5000] {
            let inputs = numbers(rows * 5, rows);
            let expected = reference.predict(&to_f64(&inputs)).expect("outputs");
            assert_close(
                &format!("{device}: {rows} rows"),
                to_f64(&trainer.predict(&inputs).expect("outputs")),
                expected,
            );
        }
        assert_eq!(bits(&trainer.parameters().expect("parameters")), bits(&parameters), "{device}");
    }
}

#[test]
fn evaluation_matches_the_predictions_for_every_loss() {
    let inputs = numbers(ROWS * 5, 1);
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let hot: Vec<f64> = classes.iter().flat_map(|c| (0..3).map(|i| f64::from(u8::from(*c == i)))).collect();
    let data = Dataset::new(ROWS, inputs.clone(), classes.clone()).expect("a data set");
    for device in devices() {
        for loss in Loss::ALL {
            let last = loss.required_output_activation().unwrap_or(Activation::Sigmoid);
            let network = Network::new(5).dense(13, Activation::Tanh).dense(3, last);
            let settings = TrainerSettings { loss: *loss, ..settings() };
            let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
            trainer.run(10).expect("steps");
            let y = trainer.predict(&inputs).expect("outputs");
            let expected = loss_value(*loss, 3, &to_f64(&y), &hot, &[]);
            let is_correct = |(y, class): (&[f32], &u32)| {
                let class = *class as usize;
                (0..3).all(|i| if i < class { y[i] < y[class] } else { y[i] <= y[class] })
            };
            let correct = y.chunks(3).zip(&classes).filter(|row| is_correct(*row)).count();
            let evaluation = trainer.evaluate(&data).expect("the same data set");
            assert_close(&format!("{device}: {loss}"), [evaluation.loss()], [expected]);
            assert_eq!(evaluation.accuracy(), Some(correct as f64 / ROWS as f64), "{device}: {loss}");
        }
    }
}

#[test]
fn losses_of_a_regression_match_the_reference() {
    let (x, t) = (numbers(ROWS * 5, 1), numbers(ROWS * 2, 5));
    let data = Dataset::new(ROWS, x.clone(), t.clone()).expect("a data set");
    let network = Network::new(5).dense(9, Activation::Tanh).dense(2, Activation::Identity);
    for device in devices() {
        let optimizer = Optimizer::sgd(0.05);
        let settings = TrainerSettings { batch_size: 8, optimizer, shuffle: false, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&device, &network, &data, settings).expect("a trainer");
        let initial = trainer.parameters().expect("parameters");
        let mut reference = Reference::new(&network, Loss::Mse, optimizer, &initial).expect("a reference");
        let report = trainer.run_epoch().expect("an epoch");
        assert_eq!(report.accuracy(), None, "{device}: a regression has no accuracy");
        let batches = x.chunks(40).zip(t.chunks(16));
        let losses: Vec<f64> = batches.map(|(x, t)| reference.step(&to_f64(x), &to_f64(t)).expect("a step")).collect();
        assert_close(&format!("{device}"), to_f64(&report.losses), losses.clone());
        let mean = losses.iter().zip([8.0, 8.0, 8.0, 8.0, 5.0]).map(|(loss, rows)| loss * rows).sum::<f64>() / 37.0;
        assert_close(&format!("{device}: the mean over all rows"), [report.mean_loss()], [mean]);
        assert_eq!(report.rows(), ROWS as u64, "{device}");
        let more = trainer.run(300).expect("steps");
        assert!(more.losses[299] < report.losses[0], "{device}: the loss does not decrease");
    }
}

#[test]
fn gradients_match_the_reference_and_change_no_state() {
    let (x, t) = (numbers(15, 4), vec![0.25; 9]);
    for device in devices() {
        let mut without_gradients = trainer(&device, settings());
        let mut with_gradients = trainer(&device, settings());
        for trainer in [&mut without_gradients, &mut with_gradients] {
            trainer.run(3).expect("steps");
            trainer.step(&x, &t).expect("a step");
        }
        // The manual step may still be pending here.
        let gradients = with_gradients.gradients(&x[..10], &t[..6]).expect("gradients");
        let parameters = with_gradients.parameters().expect("parameters");
        let reference = Reference::new(&network(), Loss::Mse, Optimizer::sgd(0.1), &parameters).expect("a reference");
        let expected = reference.gradients(&to_f64(&x[..10]), &to_f64(&t[..6])).expect("gradients");
        for (i, (gradients, expected)) in gradients.iter().zip(expected).enumerate() {
            assert_close(&format!("{device}: weights {i}"), to_f64(&gradients.weight), expected.weight);
            assert_close(&format!("{device}: biases {i}"), to_f64(&gradients.bias), expected.bias);
        }
        let results = [without_gradients, with_gradients].map(|mut trainer| {
            let manual = trainer.take_report().expect("one step");
            let report = trainer.run(20).expect("steps");
            (manual, report, bits(&trainer.parameters().expect("parameters")))
        });
        assert!(results[0] == results[1], "{device}");
    }
}

#[test]
fn set_parameters_resets_the_optimizer_state() {
    for device in devices() {
        let mut shuffled = trainer(&device, settings());
        let initial = shuffled.parameters().expect("parameters");
        let report = shuffled.run(5).expect("an epoch");
        shuffled.set_parameters(&initial).expect("parameters of this network");
        assert_eq!(bits(&shuffled.parameters().expect("parameters")), bits(&initial), "{device}");
        let unshuffled = TrainerSettings { shuffle: false, ..settings() };
        let mut new = trainer(&device, unshuffled.clone());
        let mut used = trainer(&device, unshuffled);
        used.run(5).expect("an epoch");
        used.set_parameters(&initial).expect("parameters of this network");
        let reports = [&mut used, &mut new].map(|trainer| trainer.run_epoch().expect("an epoch"));
        assert_eq!(reports[0], reports[1], "{device}: the momentum is not reset");
        assert_ne!(reports[0].losses, report.losses, "{device}: shuffling has no effect");
    }
}

#[test]
fn class_ids_of_one_output_equal_values_of_0_and_1() {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| u32::from(row % 3 == 0)).collect();
    let values: Vec<f32> = classes.iter().map(|class| *class as f32).collect();
    let network = Network::new(5).dense(13, Activation::Tanh).dense(1, Activation::Sigmoid);
    for device in devices() {
        for loss in [Loss::Mse, Loss::BinaryCrossEntropy] {
            let train = |data: Dataset| {
                let mut trainer = Trainer::new(&device, &network, &data, TrainerSettings { loss, ..settings() });
                let trainer = trainer.as_mut().expect("a trainer");
                let report = trainer.run(12).expect("steps");
                let evaluation = trainer.evaluate(&data).expect("the same data set");
                // Compare only the loss and the confusion matrix, because class ids have no squared error.
                let metrics = (evaluation.loss(), evaluation.confusion_matrix().cloned());
                (report, metrics, bits(&trainer.parameters().expect("parameters")))
            };
            let with_ids = train(Dataset::new(ROWS, numbers(ROWS * 5, 1), classes.clone()).expect("a data set"));
            let with_values = train(Dataset::new(ROWS, numbers(ROWS * 5, 1), values.clone()).expect("a data set"));
            assert!(with_ids == with_values);
            assert!((0.0..=1.0).contains(&with_ids.0.accuracy().expect("classes")), "{device}");
        }
    }
}

#[test]
fn a_softmax_layer_trains_like_logits_and_predicts_probabilities() {
    let features = numbers(60 * 5, 1);
    let classes: Vec<u32> = (0..60).map(|row| row * 7 % 4).collect();
    let data = Dataset::new(60, &features, &classes).expect("a data set");
    for device in devices() {
        for loss in [Loss::SoftmaxCrossEntropy, Loss::LabelSmoothedCrossEntropy { label_smoothing: 0.1 }] {
            let settings = TrainerSettings { batch_size: 16, loss, ..TrainerSettings::default() };
            let [logits, probabilities] = [Activation::Identity, Activation::Softmax].map(|last| {
                let network = Network::new(5).dense(9, Activation::Tanh).dense(4, last);
                let mut trainer = Trainer::new(&device, &network, &data, settings.clone()).expect("a trainer");
                trainer.run(20).expect("it trains");
                let metrics = trainer.evaluate(&data).expect("metrics");
                (
                    trainer.predict(&features).expect("outputs"),
                    bits(&trainer.parameters().expect("parameters")),
                    metrics,
                )
            });
            assert_eq!(logits.1, probabilities.1, "{device}: the parameters differ");
            for (y, p) in logits.0.chunks_exact(4).zip(probabilities.0.chunks_exact(4)) {
                let sum: f64 = y.iter().map(|y| f64::from(*y).exp()).sum();
                for (y, p) in y.iter().zip(p) {
                    assert!((f64::from(*y).exp() / sum - f64::from(*p)).abs() < 1e-6, "{device}: {y} {p}");
                }
            }
            assert!((logits.2.loss() - probabilities.2.loss()).abs() < 1e-5, "{device}");
            assert_eq!(logits.2.accuracy(), probabilities.2.accuracy(), "{device}");
        }
    }
    let error = |network: Network, loss| {
        let settings = TrainerSettings { loss, ..TrainerSettings::default() };
        let result = Trainer::without_dataset(&gradus::Device::cpu(), &network, settings);
        result.expect_err("an invalid softmax layer").to_string()
    };
    let softmax = Network::new(5).dense(4, Activation::Softmax);
    assert!(error(softmax.clone(), Loss::Mse).contains("any activation except softmax for mse"));
    assert!(error(softmax.dense(2, Activation::Sigmoid), Loss::Mse).contains("the output layer"));
}

/// Nielsen, "Neural Networks and Deep Learning", chapter 5: the norm of the mean delta of each hidden layer of
/// 784-30-...-30-10 before the first step, from `norms_during_training_{2,3,4}_layers.json`. The digits here are
/// others. But the sigmoids and the initialization, which make the gradients vanish, are the same.
#[test]
fn gradients_vanish_as_in_nielsens_book() {
    let book: [&[f64]; 3] = [&[0.0657, 0.3092], &[0.0118, 0.0600, 0.2831], &[0.0030, 0.0171, 0.0695, 0.2851]];
    let lines: Vec<&str> = include_str!("../examples/data/digits.csv").lines().take(1000).collect();
    let (mut pixels, mut expected) = (Vec::new(), Vec::new());
    for line in &lines {
        let values: Vec<f32> = line.split(',').map(|value| value.parse().expect("a number")).collect();
        pixels.extend(values[..64].iter().map(|pixel| pixel / 16.0));
        expected.extend((0..10).map(|digit| f32::from(u8::from(values[64] == digit as f32))));
    }
    for device in devices() {
        for norms in book {
            let sigmoid = Activation::Sigmoid;
            let hidden = norms.iter().fold(Network::new(64), |network, _| network.dense(30, sigmoid));
            let network = hidden.dense(10, sigmoid).init(Init::LecunNormal, Init::Normal { std: 1.0 });
            let mut norms_by_seed = vec![Vec::new(); norms.len()];
            for seed in 0..5 {
                let settings = TrainerSettings {
                    batch_size: 1000,
                    loss: Loss::BinaryCrossEntropy,
                    seed,
                    ..TrainerSettings::default()
                };
                let mut trainer = Trainer::without_dataset(&device, &network, settings).expect("a trainer");
                let gradients = trainer.gradients(&pixels, &expected).expect("gradients");
                // The loss of gradus is a mean over the 10 outputs, that of the book a sum.
                let norm = |l: &LayerParameters| 10.0 * l.bias.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
                norms_by_seed.iter_mut().zip(&gradients).for_each(|(norms, layer)| norms.push(norm(layer)));
            }
            for (norms, expected) in norms_by_seed.iter_mut().zip(norms) {
                norms.sort_by(f64::total_cmp);
                let median = norms[2];
                let context = format!("{device}: expected {expected}, got {median:.4}, all: {norms:?}");
                assert!((0.5..2.0).contains(&(median / expected)), "{context}");
            }
        }
    }
}
