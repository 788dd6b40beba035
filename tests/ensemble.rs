//! Networks that answer together: as a plain computation over the answers of each has it.

use crate::common::{adapters, devices, numbers, open};
use gradus::{
    Activation, Dataset, Device, Error, Init, Loss, Member, Model, Network, Optimizer, Population, Predictor, Trainer,
    TrainerSettings,
    data::{Scaler, Subset},
    population::{Ensemble, EnsemblePrediction},
    wgpu,
};

/// Models of a network from seeds on, with biases that are not 0 and scaled inputs.
fn models(network: &Network, count: usize) -> Vec<Model> {
    let network = network.clone().init(Init::LecunNormal, Init::Uniform { limit: 0.5 });
    let inputs = network.inputs();
    let ends_with_softmax = network.layers().last().is_some_and(|layer| layer.activation == Activation::Softmax);
    let loss = if ends_with_softmax { Loss::SoftmaxCrossEntropy } else { Loss::Mse };
    let scaler = Scaler::new(numbers(inputs, 5), vec![1.5; inputs]).expect("a scaler");
    let model = |seed| {
        let settings = TrainerSettings { loss, seed: seed as u64, ..TrainerSettings::default() };
        let trainer = Trainer::without_dataset(&Device::cpu(), &network, settings).expect("a trainer");
        let model = Model::new(network.clone(), trainer.parameters().expect("parameters")).expect("a model");
        model.with_scaler(scaler.clone()).expect("a scaler of its columns")
    };
    (0..count).map(model).collect()
}

/// The mean, the standard deviation, and of each class the votes, in f64.
struct Plain {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    votes: Vec<f64>,
}

/// What the networks come to whose outputs these are.
fn plain(each: &[Vec<f32>], outputs: usize, threshold: f32) -> Plain {
    let networks = each.len() as f64;
    let of = |i: usize| each.iter().map(move |y| f64::from(y[i]));
    let mean: Vec<f64> = (0..each[0].len()).map(|i| of(i).sum::<f64>() / networks).collect();
    let squares = |(i, mean): (usize, &f64)| (of(i).map(|y| (y - mean).powi(2)).sum::<f64>() / networks).sqrt();
    let deviation = mean.iter().enumerate().map(squares).collect();
    let classes = outputs.max(2);
    let mut votes = vec![0.0; each[0].len() / outputs * classes];
    for y in each {
        for (row, y) in y.chunks(outputs).enumerate() {
            let first =
                y.iter().enumerate().fold(0, |best, (class, value)| if *value > y[best] { class } else { best });
            let class = if outputs == 1 { usize::from(y[0] > threshold) } else { first };
            votes[row * classes + class] += 1.0;
        }
    }
    Plain { mean, deviation, votes }
}

fn close(what: &str, ours: &[f32], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((f64::from(*ours) - theirs).abs() <= 2e-6 * largest, "{what}: {ours}, not {theirs} at {i}");
    }
}

/// Fails unless an answer is what the outputs of the same device's networks come to.
fn check(what: &str, consensus: &EnsemblePrediction, each: &[Vec<f32>], outputs: usize, threshold: Option<f32>) {
    let Plain { mean, deviation, votes } = plain(each, outputs, threshold.unwrap_or_default());
    close(&format!("{what}: mean"), &consensus.mean, &mean);
    close(&format!("{what}: deviation"), &consensus.std, &deviation);
    assert_eq!(consensus.votes.is_some(), threshold.is_some(), "{what}");
    let Some(ours) = &consensus.votes else { return };
    let classes = outputs.max(2);
    assert_eq!(ours.class_count, classes, "{what}");
    let theirs: Vec<f32> = votes.iter().map(|votes| (votes / each.len() as f64) as f32).collect();
    assert_eq!(ours.fractions, theirs, "{what}: shares");
    for (class, votes) in ours.majority.iter().zip(votes.chunks(classes)) {
        let most = votes.iter().copied().fold(0.0, f64::max);
        assert_eq!(votes.iter().position(|votes| *votes == most), Some(*class as usize), "{what}: of equals the first");
    }
}

#[test]
fn the_answer_is_what_the_networks_one_by_one_come_to() {
    let inner = |activation| Network::new(5).dense(9, activation);
    let networks = [
        (inner(Activation::Tanh).dense(4, Activation::Softmax), None, Some(0.5)),
        (inner(Activation::Relu).dense(1, Activation::Sigmoid), None, Some(0.5)),
        (inner(Activation::Tanh).batch_norm().dense(3, Activation::Identity), None, None),
        (inner(Activation::Tanh).dense(6, Activation::Identity), Some(Loss::SoftmaxCrossEntropy), Some(0.5)),
        (inner(Activation::Tanh).dense(1, Activation::Identity), Some(Loss::Hinge), Some(0.0)),
    ];
    let inputs = numbers(5 * 70, 3);
    for device in devices() {
        for (network, loss, threshold) in &networks {
            for count in [1, 2, 33] {
                let what = format!("{device}, {count} of {:?}", network.layers());
                let models = models(network, count);
                let mut ensemble = Ensemble::new(&device, &models).unwrap_or_else(|error| panic!("{what}: {error}"));
                if let Some(loss) = loss {
                    ensemble = ensemble.with_voting(*loss);
                }
                assert_eq!((ensemble.len(), ensemble.network().layers().len()), (count, 2), "{what}");
                let each = one_by_one(&device, &models, &inputs);
                let consensus = ensemble.predict(&inputs).expect("an answer");
                check(&what, &consensus, &each, network.outputs(), *threshold);
                assert_eq!(ensemble.predict(&inputs).as_ref(), Ok(&consensus), "{what}: again");
                if count == 1 {
                    assert_eq!((&consensus.mean, consensus.std.iter().sum()), (&each[0], 0.0), "{what}");
                }
            }
        }
    }
}

/// What each of some models answers alone.
fn one_by_one(device: &Device, models: &[Model], inputs: &[f32]) -> Vec<Vec<f32>> {
    let mut predictor = Predictor::from_model(device, &models[0]).expect("a predictor");
    let mut outputs = |model: &Model| {
        predictor.set_parameters(&model.parameters).and_then(|()| predictor.predict(inputs)).expect("outputs")
    };
    models.iter().map(&mut outputs).collect()
}

#[test]
fn rows_beyond_a_batch_are_answered_as_well() {
    let network = Network::new(3).dense(40, Activation::Tanh).dense(2, Activation::Softmax);
    let models = models(&network, 40);
    // A GPU takes some 2,000 rows of so many networks at once, and 4,096 of one.
    let inputs = numbers(3 * 5003, 7);
    for device in devices() {
        let mut ensemble = Ensemble::new(&device, &models).expect("an ensemble");
        let each = one_by_one(&device, &models, &inputs);
        check(&device.to_string(), &ensemble.predict(&inputs).expect("an answer"), &each, 2, Some(0.5));
    }
}

/// Bindings that hold some of the networks make waves of them, which nobody sees in the answer.
#[test]
fn a_device_with_small_bindings_answers_with_the_same_bits() {
    let network = Network::new(64).dense(64, Activation::Relu).dense(10, Activation::Softmax);
    let models = models(&network, 12);
    let inputs = numbers(64 * 30, 2);
    for adapter in adapters() {
        let answer = |limits| {
            let mut ensemble = Ensemble::new(&open(&adapter, limits), &models).expect("an ensemble");
            ensemble.predict(&inputs).expect("an answer")
        };
        let all = answer(None);
        for bytes in [64 << 10, 22 << 10] {
            let limits = wgpu::Limits { max_storage_buffer_binding_size: bytes, ..adapter.limits.clone() };
            assert_eq!(answer(Some(limits)), all, "{} with bindings of {bytes} bytes", adapter.info.name);
        }
        // Three numbers of every output are more than it and what is expected of it.
        let wide = Network::new(1).dense(1000, Activation::Identity);
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..adapter.limits.clone() };
        let mut ensemble = Ensemble::new(&open(&adapter, Some(limits)), &self::models(&wide, 2)).expect("an ensemble");
        assert!(ensemble.predict(&[0.5; 9]).is_ok_and(|answer| answer.mean.len() == 9000), "{}", adapter.info.name);
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..adapter.limits.clone() };
        let error = Ensemble::new(&open(&adapter, Some(limits)), &models).expect_err("one network is too large");
        let Error::DeviceLimit { name: what, limit, required: need, available: have } = &error else {
            panic!("{error}")
        };
        assert_eq!((what.as_str(), *limit), ("parameters", "max_storage_buffer_binding_size"), "{error}");
        assert!(*need > 4 * 64 * 64 && *have == 16 << 10, "{error}");
    }
}

#[test]
fn a_population_makes_an_ensemble_of_those_that_are_asked_for() {
    const ROWS: usize = 53;
    let network = Network::new(5).dense(8, Activation::Relu).dense(3, Activation::Identity);
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), classes).expect("a data set");
    let data = data.with_scaler(&Scaler::new([0.1; 5], [2.0; 5]).expect("a scaler")).expect("scaled");
    let member = |seed: u64| {
        let rate = if seed == 2 { 1e6 } else { 0.01 };
        let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::sgd(rate));
        Member::new(TrainerSettings { batch_size: 8, loss, optimizer, seed, ..TrainerSettings::default() })
            .with_subset(Subset::Bootstrap { seed })
    };
    let members: Vec<_> = (0..5).map(member).collect();
    let inputs = numbers(5 * 9, 4);
    for device in devices() {
        let mut population = Population::new(&device, &network, &data, &members).expect("a population");
        population.run(20).expect("steps");
        assert_eq!(population.active_members().collect::<Vec<_>>(), [0, 1, 3, 4], "{device}");
        let outputs = population.predict(&inputs).expect("outputs");
        let mut ensemble = population.ensemble(&device, population.active_members()).expect("an ensemble");
        let each = [0, 1, 3, 4].map(|member| outputs[member].clone());
        let consensus = ensemble.predict(&inputs).expect("an answer");
        check(&device.to_string(), &consensus, &each, 3, Some(0.5));
        assert_eq!(population.ensemble(&device, [4, 0]).map(|ensemble| ensemble.len()), Ok(2), "{device}");
        let refused = |members: &[usize]| population.ensemble(&device, members.iter().copied()).map(|_| ());
        assert!(matches!(refused(&[0, 5]), Err(Error::InvalidSetting { .. })), "{device}");
        assert!(matches!(refused(&[1, 2]), Err(Error::MemberDiverged { member: 2, .. })), "{device}");
        assert!(matches!(refused(&[]), Err(Error::InvalidSetting { .. })), "{device}");
    }
}

#[test]
fn what_makes_no_ensemble_is_refused() {
    let network = Network::new(5).dense(6, Activation::Tanh).dense(2, Activation::Identity);
    let good = models(&network, 3);
    let with_last = |other: Model| [good.clone(), vec![other]].concat();
    let other_layers = models(&Network::new(5).dense(6, Activation::Relu).dense(2, Activation::Identity), 1).remove(0);
    let mut unscaled = good[0].clone();
    unscaled.scaler = None;
    let mut broken = good[0].clone();
    broken.parameters[1].bias[0] = f32::NAN;
    for device in devices() {
        let refused = |models: &[Model]| Ensemble::new(&device, models).expect_err("no ensemble");
        assert_eq!(refused(&[]).to_string(), "networks of an ensemble: expected at least 1, got 0");
        let expected = "models of an ensemble: expected the same layers in all, got others in number 3";
        assert_eq!(refused(&with_last(other_layers.clone())).to_string(), expected);
        let expected = "models of an ensemble: expected the same scaling in all, got another in number 3";
        assert_eq!(refused(&with_last(unscaled.clone())).to_string(), expected);
        assert!(matches!(refused(&with_last(broken.clone())), Error::NonFinite { .. }), "{device}");

        let mut ensemble = Ensemble::new(&device, &good).expect("an ensemble");
        assert!(matches!(ensemble.predict(&[0.0; 7]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(ensemble.predict(&[]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(ensemble.predict(&[f32::NAN; 5]), Err(Error::NonFinite { .. })), "{device}");
        assert!(ensemble.predict(&[0.0; 5]).is_ok_and(|answer| answer.votes.is_none()), "{device}");
    }
}
