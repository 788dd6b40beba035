//! Ensembles, compared with a computation in f64 over the predictions of each model.

use crate::common::{adapters, devices, numbers, open};
use gradus::{
    Activation, Dataset, Device, Error, Init, Loss, Member, Model, Network, Optimizer, Population, Predictor, Trainer,
    TrainerSettings,
    data::{Scaler, Subset},
    population::{Ensemble, EnsemblePrediction},
    wgpu,
};

/// Returns models of a network from the seeds 0, 1, .., with biases that are not 0 and a scaler.
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
        model.with_scaler(scaler.clone()).expect("a scaler of these columns")
    };
    (0..count).map(model).collect()
}

/// The mean, the standard deviation and the votes per class, in f64.
struct Expected {
    mean: Vec<f64>,
    std: Vec<f64>,
    votes: Vec<f64>,
}

/// Computes the prediction of an ensemble from the outputs of its models.
fn combine(model_outputs: &[Vec<f32>], outputs: usize, threshold: f32) -> Expected {
    let models = model_outputs.len() as f64;
    let values_at = |i: usize| model_outputs.iter().map(move |y| f64::from(y[i]));
    let mean: Vec<f64> = (0..model_outputs[0].len()).map(|i| values_at(i).sum::<f64>() / models).collect();
    let std_at = |(i, mean): (usize, &f64)| (values_at(i).map(|y| (y - mean).powi(2)).sum::<f64>() / models).sqrt();
    let std = mean.iter().enumerate().map(std_at).collect();
    let classes = outputs.max(2);
    let mut votes = vec![0.0; model_outputs[0].len() / outputs * classes];
    for y in model_outputs {
        for (row, y) in y.chunks(outputs).enumerate() {
            // The first of several largest outputs wins.
            let largest =
                y.iter().enumerate().fold(0, |best, (class, value)| if *value > y[best] { class } else { best });
            let class = if outputs == 1 { usize::from(y[0] > threshold) } else { largest };
            votes[row * classes + class] += 1.0;
        }
    }
    Expected { mean, std, votes }
}

/// Panics unless the values are equal within 2e-6 of the largest expected value.
fn assert_close(context: &str, actual: &[f32], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{context}");
    let largest = expected.iter().fold(1e-3, |max: f64, value| max.max(value.abs()));
    for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*actual) - expected).abs();
        assert!(error <= 2e-6 * largest, "{context}: value {i}: expected {expected}, got {actual}");
    }
}

/// Panics unless a prediction follows from the outputs of the models on the same device.
fn check(
    context: &str,
    prediction: &EnsemblePrediction,
    model_outputs: &[Vec<f32>],
    outputs: usize,
    threshold: Option<f32>,
) {
    let Expected { mean, std, votes: expected_votes } = combine(model_outputs, outputs, threshold.unwrap_or_default());
    assert_close(&format!("{context}: mean"), &prediction.mean, &mean);
    assert_close(&format!("{context}: std"), &prediction.std, &std);
    assert_eq!(prediction.votes.is_some(), threshold.is_some(), "{context}");
    let Some(votes) = &prediction.votes else { return };
    let classes = outputs.max(2);
    assert_eq!(votes.class_count, classes, "{context}");
    let fractions: Vec<f32> = expected_votes.iter().map(|votes| (votes / model_outputs.len() as f64) as f32).collect();
    assert_eq!(votes.fractions, fractions, "{context}: fractions");
    for (class, votes) in votes.majority.iter().zip(expected_votes.chunks(classes)) {
        let max = votes.iter().copied().fold(0.0, f64::max);
        let first = votes.iter().position(|votes| *votes == max);
        assert_eq!(first, Some(*class as usize), "{context}: the first class with the most votes");
    }
}

#[test]
fn an_ensemble_combines_the_predictions_of_its_models() {
    let hidden = |activation| Network::new(5).dense(9, activation);
    let networks = [
        (hidden(Activation::Tanh).dense(4, Activation::Softmax), None, Some(0.5)),
        (hidden(Activation::Relu).dense(1, Activation::Sigmoid), None, Some(0.5)),
        (hidden(Activation::Tanh).batch_norm().dense(3, Activation::Identity), None, None),
        (hidden(Activation::Tanh).dense(6, Activation::Identity), Some(Loss::SoftmaxCrossEntropy), Some(0.5)),
        (hidden(Activation::Tanh).dense(1, Activation::Identity), Some(Loss::Hinge), Some(0.0)),
    ];
    let inputs = numbers(5 * 70, 3);
    for device in devices() {
        for (network, loss, threshold) in &networks {
            for count in [1, 2, 33] {
                let context = format!("{device}, {count} models, {:?}", network.layers());
                let models = models(network, count);
                let mut ensemble = Ensemble::new(&device, &models).unwrap_or_else(|error| panic!("{context}: {error}"));
                if let Some(loss) = loss {
                    ensemble = ensemble.with_voting(*loss);
                }
                assert_eq!((ensemble.len(), ensemble.network().layers().len()), (count, 2), "{context}");
                let model_outputs = predict_each(&device, &models, &inputs);
                let prediction = ensemble.predict(&inputs).expect("a prediction");
                check(&context, &prediction, &model_outputs, network.outputs(), *threshold);
                assert_eq!(ensemble.predict(&inputs).as_ref(), Ok(&prediction), "{context}: a second prediction");
                if count == 1 {
                    let std_sum = prediction.std.iter().sum();
                    assert_eq!((&prediction.mean, std_sum), (&model_outputs[0], 0.0), "{context}");
                }
            }
        }
    }
}

/// Returns the outputs of each model.
fn predict_each(device: &Device, models: &[Model], inputs: &[f32]) -> Vec<Vec<f32>> {
    let mut predictor = Predictor::from_model(device, &models[0]).expect("a predictor");
    let mut outputs = |model: &Model| {
        predictor.set_parameters(&model.parameters).and_then(|()| predictor.predict(inputs)).expect("outputs")
    };
    models.iter().map(&mut outputs).collect()
}

#[test]
fn an_ensemble_predicts_more_rows_than_a_batch() {
    let network = Network::new(3).dense(40, Activation::Tanh).dense(2, Activation::Softmax);
    let models = models(&network, 40);
    // A GPU predicts about 2,000 rows of 40 networks at once, and 4,096 rows of one network.
    let inputs = numbers(3 * 5003, 7);
    for device in devices() {
        let mut ensemble = Ensemble::new(&device, &models).expect("an ensemble");
        let model_outputs = predict_each(&device, &models, &inputs);
        let prediction = ensemble.predict(&inputs).expect("a prediction");
        check(&device.to_string(), &prediction, &model_outputs, 2, Some(0.5));
    }
}

/// If a binding holds only some of the models, gradus runs them in groups.
#[test]
fn small_bindings_predict_the_same_bits() {
    let network = Network::new(64).dense(64, Activation::Relu).dense(10, Activation::Softmax);
    let models = models(&network, 12);
    let inputs = numbers(64 * 30, 2);
    for adapter in adapters() {
        let predict = |limits| {
            let mut ensemble = Ensemble::new(&open(&adapter, limits), &models).expect("an ensemble");
            ensemble.predict(&inputs).expect("a prediction")
        };
        let expected = predict(None);
        for bytes in [64 << 10, 22 << 10] {
            let limits = wgpu::Limits { max_storage_buffer_binding_size: bytes, ..adapter.limits.clone() };
            assert_eq!(predict(Some(limits)), expected, "{} with bindings of {bytes} bytes", adapter.info.name);
        }
        // The results need three numbers per output; outputs and targets need only two.
        let wide = Network::new(1).dense(1000, Activation::Identity);
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..adapter.limits.clone() };
        let mut ensemble = Ensemble::new(&open(&adapter, Some(limits)), &self::models(&wide, 2)).expect("an ensemble");
        let prediction = ensemble.predict(&[0.5; 9]);
        assert!(prediction.is_ok_and(|found| found.mean.len() == 9000), "{}", adapter.info.name);
        let limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..adapter.limits.clone() };
        let error = Ensemble::new(&open(&adapter, Some(limits)), &models).expect_err("one model is too large");
        let Error::DeviceLimit { name, limit, required, available } = &error else { panic!("{error}") };
        assert_eq!((name.as_str(), *limit), ("parameters", "max_storage_buffer_binding_size"), "{error}");
        assert!(*required > 4 * 64 * 64 && *available == 16 << 10, "{error}");
    }
}

#[test]
fn a_population_makes_an_ensemble_of_the_given_members() {
    const ROWS: usize = 53;
    let network = Network::new(5).dense(8, Activation::Relu).dense(3, Activation::Identity);
    let classes: Vec<u32> = (0..ROWS as u32).map(|row| row * 7 % 3).collect();
    let data = Dataset::new(ROWS, numbers(ROWS * 5, 1), classes).expect("a data set");
    let data = data.with_scaler(&Scaler::new([0.1; 5], [2.0; 5]).expect("a scaler")).expect("scaled");
    let member = |seed: u64| {
        let learning_rate = if seed == 2 { 1e6 } else { 0.01 };
        let (loss, optimizer) = (Loss::SoftmaxCrossEntropy, Optimizer::sgd(learning_rate));
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
        let member_outputs = [0, 1, 3, 4].map(|member| outputs[member].clone());
        let prediction = ensemble.predict(&inputs).expect("a prediction");
        check(&device.to_string(), &prediction, &member_outputs, 3, Some(0.5));
        assert_eq!(population.ensemble(&device, [4, 0]).map(|ensemble| ensemble.len()), Ok(2), "{device}");
        let ensemble_of = |members: &[usize]| population.ensemble(&device, members.iter().copied()).map(|_| ());
        assert!(matches!(ensemble_of(&[0, 5]), Err(Error::InvalidSetting { .. })), "{device}");
        assert!(matches!(ensemble_of(&[1, 2]), Err(Error::MemberDiverged { member: 2, .. })), "{device}");
        assert!(matches!(ensemble_of(&[]), Err(Error::InvalidSetting { .. })), "{device}");
    }
}

#[test]
fn invalid_ensembles_and_inputs_are_errors() {
    let network = Network::new(5).dense(6, Activation::Tanh).dense(2, Activation::Identity);
    let good = models(&network, 3);
    let with_last = |other: Model| [good.clone(), vec![other]].concat();
    let other_layers = models(&Network::new(5).dense(6, Activation::Relu).dense(2, Activation::Identity), 1).remove(0);
    let mut unscaled = good[0].clone();
    unscaled.scaler = None;
    let mut broken = good[0].clone();
    broken.parameters[1].bias[0] = f32::NAN;
    for device in devices() {
        let error = |models: &[Model]| Ensemble::new(&device, models).expect_err("an invalid ensemble");
        assert_eq!(error(&[]).to_string(), "ensemble: expected at least 1 model, got 0");
        let expected = "ensemble: expected the layers of model 0 (5-6-2, tanh identity) in every model, got 5-6-2, relu \
                        identity in model 3";
        assert_eq!(error(&with_last(other_layers.clone())).to_string(), expected);
        let expected = "ensemble: expected the scaler of model 0 in every model, got a different scaler in model 3";
        assert_eq!(error(&with_last(unscaled.clone())).to_string(), expected);
        assert!(matches!(error(&with_last(broken.clone())), Error::NonFinite { .. }), "{device}");

        let mut ensemble = Ensemble::new(&device, &good).expect("an ensemble");
        assert!(matches!(ensemble.predict(&[0.0; 7]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(ensemble.predict(&[]), Err(Error::Shape { .. })), "{device}");
        assert!(matches!(ensemble.predict(&[f32::NAN; 5]), Err(Error::NonFinite { .. })), "{device}");
        assert!(ensemble.predict(&[0.0; 5]).is_ok_and(|prediction| prediction.votes.is_none()), "{device}");
    }
}
