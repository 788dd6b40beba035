use crate::{
    engine::{
        cpu::{
            batch::{BatchConfig, BatchLayout},
            engine::{BatchMetrics, Engine},
        },
        reference::{Reference, formulas::Parameters},
        step::{Step, StepGenerator},
    },
    metrics::row_metrics::is_correct,
    nn::{activation::Activation, init::Init, loss::Loss, network::Network, parameters::LayerParameters},
    optim::optimizer::Optimizer,
};

const ROWS: usize = 1100;

/// Returns a number in [-1, 1] without a visible pattern.
fn pseudo_random(i: usize) -> f32 {
    (i as f32 * 12.9898).sin()
}

/// Returns the sample weight of a row, if rows have sample weights.
fn sample_weight(row: usize) -> f32 {
    (row % 5) as f32 * 0.5
}

/// Returns a function that reads the rows of a batch that starts at row `first`.
fn row_reader(first: usize) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync {
    move |row, inputs, targets| {
        inputs.iter_mut().enumerate().for_each(|(i, x)| *x = pseudo_random((first + row) * 31 + i));
        targets.fill(0.0);
        targets[(first + row) * 7 % targets.len()] = ((first + row) % 2) as f32;
        sample_weight(first + row)
    }
}

fn step_generator(network: &Network, loss: Loss, optimizer: Optimizer, batch_size: usize) -> StepGenerator {
    StepGenerator { outputs: network.outputs(), loss, optimizer, ..StepGenerator::plain(ROWS, batch_size) }
}

fn new_engine(network: &Network, generator: &StepGenerator, has_sample_weights: bool) -> Engine {
    Engine::new(network, generator, has_sample_weights, network.initial_parameters(3).unwrap(), None).unwrap()
}

fn train(engine: &mut Engine, generator: &StepGenerator, steps: u64) -> Vec<BatchMetrics> {
    let step = |n| generator.step(n, n);
    (0..steps).map(|n| engine.step(&step(n), row_reader(step(n).first_position as usize))).collect()
}

/// Trains a network with the engine and with the reference, and asserts that all results match.
fn assert_matches_reference(
    network: &Network,
    loss: Loss,
    optimizer: Optimizer,
    batch_size: usize,
    has_sample_weights: bool,
) {
    let network = network.clone().init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
    let generator = step_generator(&network, loss, optimizer, batch_size);
    Comparison::new(&network, &generator, has_sample_weights).run();
}

fn values(layer: &LayerParameters) -> impl Iterator<Item = &f32> + Clone {
    let LayerParameters { weight, bias, gamma, beta, prelu_slope, .. } = layer;
    [weight, bias, gamma, beta, prelu_slope].into_iter().flatten()
}

fn reference_values(layer: &Parameters) -> impl Iterator<Item = &f64> + Clone {
    let Parameters { weight, bias, gamma, beta, prelu_slope } = layer;
    [weight, bias, gamma, beta, prelu_slope].into_iter().flatten()
}

/// The rows of a batch in f64.
struct ReferenceBatch {
    inputs: Vec<f64>,
    targets: Vec<f64>,
    sample_weights: Vec<f64>,
}

/// A training run with the engine and with the reference.
struct Comparison<'a> {
    network: &'a Network,
    generator: &'a StepGenerator,
    has_sample_weights: bool,
    engine: Engine,
    reference: Reference,
    /// The maximum relative error.
    tolerance: f64,
    /// The description of the case.
    case: String,
}

impl<'a> Comparison<'a> {
    fn new(network: &'a Network, generator: &'a StepGenerator, has_sample_weights: bool) -> Self {
        let StepGenerator { loss, optimizer, batch_size, gradient_accumulation, .. } = *generator;
        let engine = new_engine(network, generator, has_sample_weights);
        let initial = network.layers_from_flat(&engine.parameters, engine.statistics());
        let reference = Reference::new(network, loss, optimizer, &initial)
            .unwrap()
            .with_gradient_accumulation(gradient_accumulation);
        // Normalization divides by small numbers, which amplifies rounding errors. A pre-activation near 0 may fall on
        // either side of the kink of a PReLU.
        let tolerance = match (network.has_per_neuron_parameters(), optimizer.is_sign_sensitive()) {
            (true, _) => 1e-2,
            (false, true) => 2e-3,
            (false, false) => 1e-5,
        };
        let case = format!(
            "{:?}, {loss}, {optimizer:?}, batch size {batch_size}, sample weights {has_sample_weights}",
            network.layers()
        );
        Self { network, generator, has_sample_weights, engine, reference, tolerance, case }
    }

    fn is_close(&self, got: f32, expected: f64, scale: f64) -> bool {
        (f64::from(got) - expected).abs() <= self.tolerance * scale
    }

    /// Reads `count` rows, starting at row `first`.
    fn read_batch(&self, first: usize, count: usize) -> ReferenceBatch {
        let (mut inputs, mut targets) = (vec![0.0; self.network.inputs()], vec![0.0; self.network.outputs()]);
        let mut batch = ReferenceBatch { inputs: Vec::new(), targets: Vec::new(), sample_weights: Vec::new() };
        for row in 0..count {
            let weight = row_reader(first)(row, &mut inputs, &mut targets);
            batch.sample_weights.push(if self.has_sample_weights { f64::from(weight) } else { 1.0 });
            batch.inputs.extend(inputs.iter().map(|x| f64::from(*x)));
            batch.targets.extend(targets.iter().map(|t| f64::from(*t)));
        }
        batch
    }

    fn run(mut self) {
        // The reference is slow for large batches.
        let steps = if self.generator.batch_size < 250 { 20 } else { 7 };
        let has_dropout = self.network.layers().iter().any(|layer| layer.dropout > 0.0);
        for n in 0..steps {
            let step = self.generator.step(n, n);
            let batch = self.read_batch(step.first_position as usize, step.rows as usize);
            if n % 6 == 0 && !has_dropout {
                self.compare_gradients(&step, &batch);
            }
            self.compare_step(&step, &batch);
        }
        self.compare_parameters();
        self.compare_predictions();
    }

    fn compare_gradients(&mut self, step: &Step, batch: &ReferenceBatch) {
        let before = (self.engine.parameters.clone(), self.engine.optimizer_state.clone());
        let flat = self.engine.gradients(step, row_reader(step.first_position as usize));
        let after = (self.engine.parameters.clone(), self.engine.optimizer_state.clone());
        assert!(before == after, "gradients changed the training state: {}", self.case);
        let ReferenceBatch { inputs, targets, sample_weights } = batch;
        let expected = self.reference.gradients_weighted(inputs, targets, sample_weights).unwrap();
        for (got, expected) in self.network.layout().to_layers(&flat).iter().zip(&expected) {
            let max = expected.weight.iter().chain(&expected.bias).fold(0.0f64, |max, g| max.max(g.abs()));
            let matches = values(got).zip(reference_values(expected)).all(|(g, e)| self.is_close(*g, *e, max));
            assert!(matches, "gradients at position {}: {}", step.first_position, self.case);
        }
    }

    fn compare_step(&mut self, step: &Step, batch: &ReferenceBatch) {
        let ReferenceBatch { inputs, targets, sample_weights } = batch;
        let (network, case) = (self.network, &self.case);
        let metrics = self.engine.step(step, row_reader(step.first_position as usize));
        let y = self.reference.predict(inputs).unwrap();
        let factors = network.dropout_factors(step.shuffle_key, step.first_position, step.rows);
        let loss = self.reference.step_with_dropout(inputs, targets, sample_weights, factors).unwrap();
        assert!(
            self.is_close(metrics.loss, loss, loss.abs()),
            "step at position {}: expected loss {loss}, got {metrics:?}: {case}",
            step.first_position
        );
        let to_f32 = |row: &[f64]| row.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let rows = y.chunks_exact(network.outputs()).zip(targets.chunks_exact(network.outputs()));
        let mut correct = 0.0;
        for ((y, t), weight) in rows.zip(sample_weights) {
            if is_correct(self.generator.loss, self.generator.is_multi_label, &to_f32(y), &to_f32(t)) {
                correct += weight;
            }
        }
        let max_weight = sample_weights.iter().fold(0.0, |max: f64, weight| max.max(*weight));
        // The prediction of the reference has no dropout. Rounding may change the class of one row near the threshold.
        let has_dropout = network.layers().iter().any(|layer| layer.dropout > 0.0);
        assert!(
            has_dropout || (correct - metrics.correct).abs() <= max_weight * (1.0 + 1e-9),
            "step at position {}: expected {correct} correct, got {metrics:?}: {case}",
            step.first_position
        );
    }

    fn compare_parameters(&self) {
        let (layout, case) = (self.network.layout(), &self.case);
        let layers = layout.to_layers(&self.engine.parameters);
        for (got, expected) in layers.iter().zip(self.reference.parameters()) {
            let max = expected.weight.iter().chain(&expected.bias).fold(0.0f64, |max, p| max.max(p.abs()));
            let matches = values(got).zip(reference_values(expected)).all(|(g, e)| self.is_close(*g, *e, max));
            assert!(matches, "parameters: {case}");
        }
        assert_eq!(layout.to_flat(&layers), self.engine.parameters, "padding is not 0: {case}");
    }

    fn compare_predictions(&self) {
        let ReferenceBatch { inputs, .. } = self.read_batch(0, 300);
        let got = self.engine.predict(&inputs.iter().map(|x| *x as f32).collect::<Vec<_>>());
        let expected = self.reference.predict(&inputs).unwrap();
        let max = expected.iter().fold(0.0f64, |max, y| max.max(y.abs()));
        assert_eq!(got.len(), expected.len());
        let matches = got.iter().zip(&expected).all(|(g, e)| self.is_close(*g, *e, max));
        assert!(matches, "predictions: {}", self.case);
    }
}

#[test]
fn training_matches_the_reference_for_every_activation_loss_and_optimizer() {
    // Each activation is combined with two losses and two optimizers, in a small network and in a larger one.
    for (round, (width, batch_size)) in [(17, 32), (100, 5)].into_iter().enumerate() {
        let losses = Loss::ALL.iter().cycle().skip(round);
        let optimizers = Optimizer::ALL.iter().cycle().skip(3 * round);
        for ((activation, loss), optimizer) in Activation::ALL.iter().zip(losses).zip(optimizers) {
            let output_activation = loss.required_output_activation().unwrap_or(*activation);
            let network = Network::new(7).dense(width, *activation).dense(3, output_activation);
            for has_sample_weights in [false, true] {
                assert_matches_reference(&network, *loss, *optimizer, batch_size, has_sample_weights);
            }
        }
    }
}

#[test]
fn training_matches_the_reference_for_every_network_size() {
    let sigmoid = Activation::Sigmoid;
    // Plain SGD, momentum with sample weights, and an optimizer with clipping, penalties and EMA.
    for (index, has_sample_weights) in [(0, false), (1, true), (13, false)] {
        let optimizer = Optimizer::ALL[index];
        // The last three cases use several threads: with gradients per batch, with gradients per thread, and with rows
        // in SIMD lanes. Batches of up to 8 rows may use another instruction set.
        for (widths, batch_size) in [
            (&[1, 1][..], 1),
            (&[3, 8, 8, 2], 1),
            (&[5, 13, 4], 8),
            (&[5, 13, 4], 9),
            (&[3, 17, 1], 300),
            (&[17, 3, 100, 2], 1100),
            (&[100, 17, 17, 17, 3], 7),
            (&[100, 300, 300, 17], 250),
            (&[17, 100, 100, 3], 1000),
            (&[20, 40, 40, 5], 1000),
        ] {
            let network =
                widths[1..].iter().fold(Network::new(widths[0]), |network, width| network.dense(*width, sigmoid));
            assert_matches_reference(&network, Loss::Mse, optimizer, batch_size, has_sample_weights);
        }
    }
}

/// Returns networks with layer normalization, batch normalization and PReLU, some with dropout.
fn networks_with_per_neuron_parameters(width: usize) -> [Network; 3] {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let first = Network::new(7).dense(width, tanh);
    [
        first.clone().layer_norm().dense(width, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh),
        first.batch_norm().dense(width, Activation::Silu).dropout(0.2).batch_norm().dense(3, tanh),
        Network::new(7).dense(width, prelu).dense(width, prelu).dense(3, tanh),
    ]
}

#[test]
fn training_with_normalization_or_prelu_matches_the_reference() {
    let excludes_biases = Optimizer::momentum(0.05, 0.9).weight_decay(0.01).regularize_biases(false);
    for (width, batch_size) in [(9, 9), (100, 40), (300, 250), (40, 1000)] {
        for network in networks_with_per_neuron_parameters(width) {
            for optimizer in [Optimizer::sgd(0.1), excludes_biases] {
                assert_matches_reference(&network, Loss::Mse, optimizer, batch_size, batch_size == 250);
            }
        }
    }
}

#[test]
fn training_with_dropout_matches_the_reference() {
    for (width, batch_size) in [(9, 9), (100, 5), (300, 250), (40, 1000)] {
        for activation in [Activation::Sigmoid, Activation::Gelu] {
            let network = Network::new(7).dense(width, activation).dropout(0.3).dense(width, Activation::Tanh);
            let network = network.dropout(0.6).dense(3, Activation::Sigmoid);
            assert_matches_reference(&network, Loss::Mse, Optimizer::sgd(0.1), batch_size, false);
        }
    }
}

#[test]
fn training_with_gradient_accumulation_and_clipping_matches_the_reference() {
    let sigmoid = Activation::Sigmoid;
    let sgd = Optimizer::sgd(0.5);
    for (optimizer, gradient_accumulation) in [(sgd.clip_norm(0.02), 1), (sgd, 3), (sgd.clip_norm(0.02).l1(0.01), 2)] {
        for (widths, batch_size) in [(&[5, 13, 4][..], 9), (&[100, 300, 300, 17], 250), (&[17, 100, 100, 3], 1000)] {
            let network =
                widths[1..].iter().fold(Network::new(widths[0]), |network, width| network.dense(*width, sigmoid));
            let network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
            let generator = step_generator(&network, Loss::Mse, optimizer, batch_size);
            let generator = StepGenerator { gradient_accumulation, ..generator };
            Comparison::new(&network, &generator, true).run();
        }
    }
}

/// The sizes of the tests above use every way to divide the work.
#[test]
fn layout_depends_on_width_batch_size_and_threads() {
    let plan = |width, batch_size, threads| {
        let network = Network::new(width).dense(width, Activation::Tanh).dense(width, Activation::Tanh);
        let config = BatchConfig {
            loss: Loss::Mse,
            is_multi_label: false,
            optimizer: Optimizer::sgd(0.1),
            batch_size,
            has_sample_weights: false,
            threads,
        };
        let layout = BatchLayout::new(&network, config);
        (layout.small_network.is_some(), layout.sums_per_thread, layout.ranges.len())
    };
    assert_eq!(plan(100, 1000, 2), (false, true, 2));
    assert_eq!(plan(300, 250, 2), (false, false, 4));
    for (width, batch_size, threads) in [(2, 4, 1), (3, 9, 1), (30, 32, 1), (30, 1000, 2)] {
        assert_eq!(plan(width, batch_size, threads), (true, true, 1), "width {width}, batch size {batch_size}");
    }
    for (width, batch_size) in [(10, 1), (17, 2), (30, 8), (40, 32), (100, 5)] {
        assert_eq!(plan(width, batch_size, 1), (false, false, 2), "width {width}, batch size {batch_size}");
    }
}

#[test]
fn repeated_training_has_the_same_bits() {
    for (width, batch_size) in [(3, 4), (17, 20), (40, 1000), (30, 1), (100, 1000), (300, 250)] {
        let network = Network::new(width).dense(width, Activation::Tanh).dense(3, Activation::Sigmoid);
        let generator = step_generator(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), batch_size);
        let mut first = new_engine(&network, &generator, false);
        let mut second = new_engine(&network, &generator, false);
        assert_eq!(train(&mut first, &generator, 10), train(&mut second, &generator, 10));
        assert_eq!(first.parameters(), second.parameters());
    }
}

#[test]
fn loss_is_nan_for_nan_parameters() {
    for activation in Activation::ALL {
        for loss in Loss::ALL {
            let output_activation = loss.required_output_activation().unwrap_or(*activation);
            let network = Network::new(2).dense(3, *activation).dense(2, output_activation);
            let generator = step_generator(&network, *loss, Optimizer::sgd(0.1), 5);
            let mut engine = new_engine(&network, &generator, false);
            engine.parameters[0] = f32::NAN;
            assert!(train(&mut engine, &generator, 1)[0].loss.is_nan(), "{activation}, {loss}");
        }
    }
}

#[test]
fn set_parameters_resets_the_optimizer() {
    let network = Network::new(2).dense(3, Activation::Tanh).dense(2, Activation::Sigmoid);
    let generator = step_generator(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), 5);
    let mut engine = new_engine(&network, &generator, false);
    train(&mut engine, &generator, 3);
    let flat = engine.parameters.clone();
    engine.set_parameters(&flat, &[]);
    engine.set_parameters(&network.initial_parameters(3).unwrap(), &[]);
    train(&mut engine, &generator, 3);
    let mut fresh_engine = new_engine(&network, &generator, false);
    train(&mut fresh_engine, &generator, 3);
    assert_eq!(engine.parameters(), fresh_engine.parameters());
}
