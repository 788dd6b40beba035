//! Training through the public calls, on every device: what it promises a user, whatever it runs on.

use std::collections::HashSet;

use crate::common::{XOR, bits, devices, numbers, xor};
use gradus::{
    Activation, Dataset, Device, Init, Loss, Network, Optimizer, Trainer, TrainerSettings,
    nn::LayerParameters,
    reference::{Reference, loss_value},
    train::RunReport,
};

/// How far f32 on different machines may drift apart in the few steps of these tests.
const TOLERANCE: f64 = 1e-5;

/// Widths that are no multiples of anything, and a loss that is a mean over rows and outputs.
fn network() -> Network {
    Network::new(5).dense(13, Activation::Tanh).dense(3, Activation::Sigmoid)
}

const ROWS: usize = 37;

/// The last of its batches of 8 has 5 rows.
fn data() -> Dataset {
    let answers: Vec<f32> = numbers(ROWS * 3, 2).iter().map(|v| 0.5 * v + 0.5).collect();
    Dataset::new(ROWS, numbers(ROWS * 5, 1), answers).expect("a data set")
}

fn settings() -> TrainerSettings {
    TrainerSettings { batch_size: 8, optimizer: Optimizer::momentum(0.4, 0.9), seed: 7, ..TrainerSettings::default() }
}

fn trainer(device: &Device, settings: TrainerSettings) -> Trainer {
    Trainer::new(device, &network(), &data(), settings).unwrap_or_else(|error| panic!("{device}: {error}"))
}

fn close(what: &str, ours: impl IntoIterator<Item = f64>, theirs: impl IntoIterator<Item = f64>) {
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.into_iter().collect(), theirs.into_iter().collect());
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!((ours - theirs).abs() <= TOLERANCE * largest, "{what}: {ours} instead of {theirs} at {i}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The order in which the first `epochs` epochs take the rows of a data set. With batches of one row, a rate of 0 and a
/// network that answers with its input, the loss is the square of the row's number.
fn order(device: &Device, rows: usize, epochs: usize, settings: TrainerSettings) -> Vec<usize> {
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
fn xor_is_learned() {
    for device in devices() {
        let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
        let settings =
            TrainerSettings { batch_size: 4, optimizer: Optimizer::sgd(1.0), seed: 1, ..TrainerSettings::default() };
        let mut trainer = Trainer::new(&device, &network, &xor(), settings).expect("a trainer");
        let report = trainer.run(2000).expect("steps");
        let loss = trainer.last_loss().expect("there were steps");
        assert_eq!(report.losses.last(), Some(&loss), "{device}");
        assert!(report.losses[0] > 0.1 && loss < 0.01, "{device}: {} and then {loss}", report.losses[0]);
        assert_eq!(report.correct.last(), Some(&4.0), "{device}");
        for (y, t) in trainer.predict(&XOR.0).expect("four rows").iter().zip(XOR.1) {
            assert!((y - t).abs() < 0.2, "{device}: {y} instead of {t}");
        }
    }
}

#[test]
fn a_small_softmax_classification_is_learned() {
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
fn the_same_seed_gives_the_same_bits_again() {
    for device in devices() {
        let trained = |seed| {
            let mut trainer = trainer(&device, TrainerSettings { seed, ..settings() });
            let report = trainer.run(60).expect("steps");
            let answers = trainer.predict(&numbers(50, 9)).expect("ten rows");
            let answers: Vec<u32> = answers.into_iter().map(f32::to_bits).collect();
            (report, bits(&trainer.parameters().expect("parameters")), answers)
        };
        let first = trained(7);
        assert!(trained(7) == first, "{device}");
        assert!(trained(8).1 != first.1, "{device}: the seed decides nothing");
    }
}

#[test]
fn a_seed_gives_the_same_first_weights_and_the_same_order_on_all_devices() {
    let cpu = Device::cpu();
    let initial = bits(&trainer(&cpu, settings()).parameters().expect("parameters"));
    let shuffled = order(&cpu, ROWS, 3, settings());
    let epochs: Vec<_> = shuffled.chunks(ROWS).collect();
    for epoch in &epochs {
        assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), ROWS, "every row once an epoch");
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "every epoch has an order of its own");
    for device in devices() {
        assert_eq!(bits(&trainer(&device, settings()).parameters().expect("parameters")), initial, "{device}");
        assert_eq!(order(&device, ROWS, 3, settings()), shuffled, "{device}");
        let unshuffled = order(&device, ROWS, 2, TrainerSettings { shuffle: false, ..settings() });
        assert!(unshuffled.into_iter().eq((0..ROWS).chain(0..ROWS)), "{device}");
    }
}

#[test]
fn the_first_epoch_has_the_same_losses_on_all_devices() {
    for shuffle in [true, false] {
        let epoch =
            |device: &Device| trainer(device, TrainerSettings { shuffle, ..settings() }).run_epoch().expect("an epoch");
        let on_the_cpu = epoch(&Device::cpu());
        assert_eq!(on_the_cpu.batch_sizes, [8, 8, 8, 8, 5]);
        for device in devices() {
            let report = epoch(&device);
            close(&format!("{device}"), wide(&report.losses), wide(&on_the_cpu.losses));
            assert_eq!(
                (report.batch_sizes, report.correct),
                (on_the_cpu.batch_sizes.clone(), on_the_cpu.correct.clone()),
                "{device}"
            );
        }
    }
}

#[test]
fn a_hundred_steps_by_hand_are_the_same_hundred_on_resident_data() {
    let (features, steps) = (numbers(ROWS * 5, 1), 100);
    let data = data();
    let gradus::Targets::Values(answers) = data.targets() else { unreachable!("they are values") };
    let epochs = order(&Device::cpu(), ROWS, 20, settings());
    let batches = epochs.chunks(ROWS).flat_map(|epoch| epoch.chunks(8));
    for device in devices() {
        let mut resident = trainer(&device, settings());
        let report = resident.run(steps).expect("steps");
        let mut by_hand = Trainer::without_dataset(&device, &network(), settings()).expect("a trainer");
        let rows = |batch: &[usize], values: &[f32], columns: usize| {
            batch.iter().flat_map(|row| values[row * columns..(row + 1) * columns].to_vec()).collect::<Vec<_>>()
        };
        for batch in batches.clone().take(steps) {
            by_hand.step(&rows(batch, &features, 5), &rows(batch, answers, 3)).expect("a step");
        }
        assert_eq!(by_hand.take_report().expect("steps"), report, "{device}");
        let [ours, theirs] = [by_hand, resident].map(|one| bits(&one.parameters().expect("parameters")));
        assert!(ours == theirs, "{device}: parameters differ");
    }
}

#[test]
fn an_epoch_ends_where_the_data_set_does() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        assert_eq!(trainer.steps_per_epoch(), 5, "{device}");
        let mut rows = |steps| match steps {
            Some(steps) => trainer.run(steps).expect("steps").batch_sizes,
            None => trainer.run_epoch().expect("an epoch").batch_sizes,
        };
        assert_eq!(rows(Some(3)), [8, 8, 8], "{device}");
        assert_eq!(rows(None), [8, 5], "{device}: what was left of the epoch");
        assert_eq!(rows(None), [8, 8, 8, 8, 5], "{device}: a whole one");
        assert!(rows(Some(0)).is_empty(), "{device}");
        assert_eq!(rows(Some(7)), [8, 8, 8, 8, 5, 8, 8], "{device}: across its end");
        assert_eq!(rows(None), [8, 8, 5], "{device}");

        let many = TrainerSettings { batch_size: 1000, ..settings() };
        let mut trainer = Trainer::new(&device, &network(), &data(), many).expect("a trainer");
        assert_eq!(
            trainer.run_epoch().expect("an epoch").batch_sizes,
            [ROWS as u32],
            "{device}: a batch beyond the data set"
        );
    }
}

#[test]
fn pieces_of_a_run_are_the_run() {
    for device in devices() {
        let whole = trainer(&device, settings()).run(23).expect("steps");
        let mut pieces = trainer(&device, settings());
        let mut joined = RunReport::default();
        for steps in [1, 4, 11, 0, 7] {
            let RunReport { losses, correct: right, batch_sizes: rows, .. } = pieces.run(steps).expect("steps");
            joined.losses.extend(losses);
            joined.correct.extend(right);
            joined.batch_sizes.extend(rows);
        }
        let all = |report: RunReport| (report.losses, report.correct, report.batch_sizes);
        assert_eq!(all(joined), all(whole), "{device}");
    }
}

#[test]
fn steps_by_hand_are_told_once_and_keep_apart_from_the_resident_ones() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        let (x, t) = (numbers(15, 4), vec![0.5; 9]);
        assert_eq!(trainer.take_report().expect("none yet").rows(), 0, "{device}");
        trainer.step(&x, &t).expect("three rows");
        trainer.step(&x[..5], &t[..3]).expect("one row");
        let resident = trainer.run(2).expect("steps");
        trainer.step(&x[..10], &t[..6]).expect("two rows");
        let by_hand = trainer.take_report().expect("steps");
        assert_eq!(
            (by_hand.batch_sizes.as_slice(), resident.batch_sizes.as_slice()),
            ([3, 1, 2].as_slice(), [8, 8].as_slice())
        );
        assert_eq!(by_hand.losses.last(), Some(&trainer.last_loss().expect("the last")), "{device}");
        assert_eq!(trainer.take_report().expect("told already").rows(), 0, "{device}");
        assert_eq!(
            trainer.run_epoch().expect("the rest").batch_sizes,
            [8, 8, 5],
            "{device}: only resident steps count here"
        );
    }
}

#[test]
fn any_number_of_rows_is_predicted() {
    for device in devices() {
        let mut trainer = trainer(&device, settings());
        trainer.run(10).expect("steps");
        let parameters = trainer.parameters().expect("parameters");
        let reference = Reference::new(&network(), Loss::Mse, Optimizer::sgd(0.1), &parameters).expect("a reference");
        for rows in [1, 2, 3, 255, 4096, 4097, 5000] {
            let inputs = numbers(rows * 5, rows);
            let expected = reference.predict(&wide(&inputs)).expect("outputs");
            close(&format!("{device}: {rows} rows"), wide(&trainer.predict(&inputs).expect("outputs")), expected);
        }
        assert_eq!(bits(&trainer.parameters().expect("parameters")), bits(&parameters), "{device}");
    }
}

#[test]
fn an_evaluation_is_what_the_predictions_say() {
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
            let expected = loss_value(*loss, 3, &wide(&y), &hot, &[]);
            let is_right = |(y, class): (&[f32], &u32)| {
                let class = *class as usize;
                (0..3).all(|i| if i < class { y[i] < y[class] } else { y[i] <= y[class] })
            };
            let right = y.chunks(3).zip(&classes).filter(|row| is_right(*row)).count();
            let evaluation = trainer.evaluate(&data).expect("the same data set");
            close(&format!("{device}: {loss}"), [evaluation.loss()], [expected]);
            assert_eq!(evaluation.accuracy(), Some(right as f64 / ROWS as f64), "{device}: {loss}");
        }
    }
}

#[test]
fn a_regression_reports_the_mean_squared_error_of_every_batch() {
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
        assert_eq!(report.accuracy(), None, "{device}: no answer of a regression is right or wrong");
        let batches = x.chunks(40).zip(t.chunks(16));
        let losses: Vec<f64> = batches.map(|(x, t)| reference.step(&wide(x), &wide(t)).expect("a step")).collect();
        close(&format!("{device}"), wide(&report.losses), losses.clone());
        let mean = losses.iter().zip([8.0, 8.0, 8.0, 8.0, 5.0]).map(|(loss, rows)| loss * rows).sum::<f64>() / 37.0;
        close(&format!("{device}: the mean over all rows"), [report.mean_loss()], [mean]);
        assert_eq!(report.rows(), ROWS as u64, "{device}");
        let more = trainer.run(300).expect("steps");
        assert!(more.losses[299] < report.losses[0], "{device}: it does not learn");
    }
}

#[test]
fn gradients_are_right_and_change_nothing() {
    let (x, t) = (numbers(15, 4), vec![0.25; 9]);
    for device in devices() {
        let mut undisturbed = trainer(&device, settings());
        let mut asked = trainer(&device, settings());
        for trainer in [&mut undisturbed, &mut asked] {
            trainer.run(3).expect("steps");
            trainer.step(&x, &t).expect("a step");
        }
        // The step by hand is still on its way here.
        let ours = asked.gradients(&x[..10], &t[..6]).expect("gradients");
        let parameters = asked.parameters().expect("parameters");
        let reference = Reference::new(&network(), Loss::Mse, Optimizer::sgd(0.1), &parameters).expect("a reference");
        let theirs = reference.gradients(&wide(&x[..10]), &wide(&t[..6])).expect("gradients");
        for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            close(&format!("{device}: weights {i}"), wide(&ours.weight), theirs.weight);
            close(&format!("{device}: biases {i}"), wide(&ours.bias), theirs.bias);
        }
        let [undisturbed, asked] = [undisturbed, asked].map(|mut trainer| {
            let by_hand = trainer.take_report().expect("one step");
            let report = trainer.run(20).expect("steps");
            (by_hand, report, bits(&trainer.parameters().expect("parameters")))
        });
        assert!(undisturbed == asked, "{device}");
    }
}

#[test]
fn parameters_that_are_set_come_back_and_momentum_starts_anew() {
    for device in devices() {
        let mut first = trainer(&device, settings());
        let initial = first.parameters().expect("parameters");
        let report = first.run(5).expect("an epoch");
        first.set_parameters(&initial).expect("its own");
        assert_eq!(bits(&first.parameters().expect("parameters")), bits(&initial), "{device}");
        let again = TrainerSettings { shuffle: false, ..settings() };
        let mut fresh = trainer(&device, again.clone());
        let mut used = trainer(&device, again);
        used.run(5).expect("an epoch");
        used.set_parameters(&initial).expect("its own");
        let [ours, theirs] = [&mut used, &mut fresh].map(|trainer| trainer.run_epoch().expect("an epoch"));
        assert_eq!(ours, theirs, "{device}: a velocity is left");
        assert_ne!(ours.losses, report.losses, "{device}: shuffling changes nothing");
    }
}

#[test]
fn class_ids_of_one_output_are_its_expected_values() {
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| u32::from(row % 3 == 0)).collect();
    let values: Vec<f32> = classes.iter().map(|class| *class as f32).collect();
    let network = Network::new(5).dense(13, Activation::Tanh).dense(1, Activation::Sigmoid);
    for device in devices() {
        for loss in [Loss::Mse, Loss::BinaryCrossEntropy] {
            let trained = |data: Dataset| {
                let mut trainer = Trainer::new(&device, &network, &data, TrainerSettings { loss, ..settings() });
                let trainer = trainer.as_mut().expect("a trainer");
                let report = trainer.run(12).expect("steps");
                let evaluation = trainer.evaluate(&data).expect("the same data set");
                // Values have a squared error as well, which ids have not.
                let told = (evaluation.loss(), evaluation.confusion_matrix().cloned());
                (report, told, bits(&trainer.parameters().expect("parameters")))
            };
            let ids = trained(Dataset::new(ROWS, numbers(ROWS * 5, 1), classes.clone()).expect("a data set"));
            assert!(ids == trained(Dataset::new(ROWS, numbers(ROWS * 5, 1), values.clone()).expect("a data set")));
            assert!((0.0..=1.0).contains(&ids.0.accuracy().expect("classes")), "{device}");
        }
    }
}

#[test]
fn softmax_makes_probabilities_of_what_the_loss_takes() {
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
            assert_eq!(logits.1, probabilities.1, "{device}: the training is the same");
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
    let refused = |network: Network, loss| {
        let settings = TrainerSettings { loss, ..TrainerSettings::default() };
        Trainer::without_dataset(&gradus::Device::cpu(), &network, settings).expect_err("it makes no sense").to_string()
    };
    let softmax = Network::new(5).dense(4, Activation::Softmax);
    assert!(refused(softmax.clone(), Loss::Mse).contains("no softmax for mse"));
    assert!(refused(softmax.dense(2, Activation::Sigmoid), Loss::Mse).contains("the output layer"));
}

/// Nielsen's chapter on why deep networks are hard to train: the length of the mean delta of each hidden layer of
/// 784-30-...-30-10, before the first step, from his `norms_during_training_{2,3,4}_layers.json`. These digits are others,
/// but what makes gradients vanish is the sigmoids and the weights, drawn as his.
#[test]
fn gradients_vanish_as_in_the_textbook() {
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
            let mut found = vec![Vec::new(); norms.len()];
            for seed in 0..5 {
                let settings = TrainerSettings {
                    batch_size: 1000,
                    loss: Loss::BinaryCrossEntropy,
                    seed,
                    ..TrainerSettings::default()
                };
                let mut trainer = Trainer::without_dataset(&device, &network, settings).expect("a trainer");
                let gradients = trainer.gradients(&pixels, &expected).expect("gradients");
                // Ours are means over the 10 outputs as well, the book's are sums.
                let length = |l: &LayerParameters| 10.0 * l.bias.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
                found.iter_mut().zip(&gradients).for_each(|(found, layer)| found.push(length(layer)));
            }
            for (found, book) in found.iter_mut().zip(norms) {
                found.sort_by(f64::total_cmp);
                let median = found[2];
                assert!((0.5..2.0).contains(&(median / book)), "{device}: {median:.4} instead of {book}: {found:?}");
            }
        }
    }
}
