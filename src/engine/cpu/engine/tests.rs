use crate::{
    engine::{
        cpu::engine::*,
        reference::{Reference, formulas::Parameters},
    },
    nn::{activation::Activation, init::Init, layout::LayerParameters, loss::Loss},
    optim::optimizer::Optimizer,
};

const ROWS: usize = 1100;

/// Numbers between -1 and 1 without a pattern.
fn number(i: usize) -> f32 {
    (i as f32 * 12.9898).sin()
}

/// What a row weighs, if rows have weights.
fn weight(row: usize) -> f32 {
    (row % 5) as f32 * 0.5
}

fn fill(first: usize) -> impl Fn(usize, &mut [f32], &mut [f32]) -> f32 + Sync {
    move |row, inputs, expected| {
        inputs.iter_mut().enumerate().for_each(|(i, x)| *x = number((first + row) * 31 + i));
        expected.fill(0.0);
        expected[(first + row) * 7 % expected.len()] = ((first + row) % 2) as f32;
        weight(first + row)
    }
}

fn course(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize) -> StepGenerator {
    StepGenerator { outputs: network.outputs(), loss, optimizer, ..StepGenerator::plain(ROWS, batch) }
}

fn engine(network: &Network, generator: &StepGenerator, has_sample_weights: bool) -> Engine {
    Engine::new(network, generator, has_sample_weights, network.initial_parameters(3).unwrap(), None).unwrap()
}

fn train(engine: &mut Engine, generator: &StepGenerator, steps: u64) -> Vec<BatchMetrics> {
    let step = |n| generator.step(n, n);
    (0..steps).map(|n| engine.step(&step(n), fill(step(n).first_position as usize))).collect()
}

/// Trains beside the reference and compares all that comes out.
fn compare(network: &Network, loss: Loss, optimizer: Optimizer, batch: usize, has_sample_weights: bool) {
    let network = network.clone().init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
    compare_course(&network, &course(&network, loss, optimizer, batch), has_sample_weights);
}

fn numbers(layer: &LayerParameters) -> impl Iterator<Item = &f32> + Clone {
    let LayerParameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope, .. } = layer;
    [weight, bias, gain, shift, slope].into_iter().flatten()
}

fn their_numbers(layer: &Parameters) -> impl Iterator<Item = &f64> + Clone {
    let Parameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = layer;
    [weight, bias, gain, shift, slope].into_iter().flatten()
}

fn layers(network: &Network, engine: &Engine) -> Vec<LayerParameters> {
    let mut layers = network.layout().to_layers(&engine.parameters);
    network.layout().set_statistics(engine.statistics(), &mut layers);
    layers
}

fn compare_course(network: &Network, generator: &StepGenerator, has_sample_weights: bool) {
    let StepGenerator { loss, is_multi_label: labels, optimizer, batch_size: batch, .. } = *generator;
    let layout = network.layout();
    let mut engine = engine(network, generator, has_sample_weights);
    let mut reference = Reference::new(network, loss, optimizer, &layers(network, &engine))
        .unwrap()
        .with_gradient_accumulation(generator.gradient_accumulation);
    let what = format!("{:?}, {loss}, {optimizer:?}, batch {batch}, weighted {has_sample_weights}", network.layers());
    // A norm divides by what is small at times, so that what was rounded grows, and a sum near 0 may fall to either side
    // of a learned kink.
    let within = match (network.has_per_neuron_parameters(), optimizer.is_sign_sensitive()) {
        (true, _) => 1e-2,
        (false, true) => 2e-3,
        (false, false) => 1e-5,
    };
    let close = |ours: f32, theirs: f64, largest: f64| (f64::from(ours) - theirs).abs() <= within * largest;
    let rows = |first: usize, count: usize| {
        let (mut inputs, mut expected) = (vec![0.0; network.inputs()], vec![0.0; network.outputs()]);
        let (mut all, mut wanted, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..count {
            let weight = fill(first)(row, &mut inputs, &mut expected);
            weights.push(if has_sample_weights { f64::from(weight) } else { 1.0 });
            all.extend(inputs.iter().map(|x| f64::from(*x)));
            wanted.extend(expected.iter().map(|t| f64::from(*t)));
        }
        (all, wanted, weights)
    };
    // The reference takes its time for large batches.
    for n in 0..if batch < 250 { 20 } else { 7 } {
        let step = generator.step(n, n);
        let (inputs, expected, weights) = rows(step.first_position as usize, step.rows as usize);
        if n % 6 == 0 && network.layers().iter().all(|layer| layer.dropout == 0.0) {
            let before = (engine.parameters.clone(), engine.optimizer_state.clone());
            let ours = layout.to_layers(&engine.gradients(&step, fill(step.first_position as usize)));
            assert!(
                before == (engine.parameters.clone(), engine.optimizer_state.clone()),
                "gradients change nothing: {what}"
            );
            let theirs = reference.gradients_weighted(&inputs, &expected, &weights).unwrap();
            for (ours, theirs) in ours.iter().zip(theirs) {
                let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, g| m.max(g.abs()));
                let pairs = numbers(ours).zip(their_numbers(&theirs));
                assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "gradients of step {n}: {what}");
            }
        }
        let outcome = engine.step(&step, fill(step.first_position as usize));
        let y = reference.predict(&inputs).unwrap();
        let drops = network.layers().iter().any(|layer| layer.dropout > 0.0);
        let theirs = reference
            .step_with_dropout(
                &inputs,
                &expected,
                &weights,
                network.dropout_factors(step.shuffle_key, step.first_position, step.rows),
            )
            .unwrap();
        assert!(close(outcome.loss, theirs, theirs.abs()), "step {n}: {outcome:?} and {theirs}: {what}");
        let narrow = |row: &[f64]| row.iter().map(|v| *v as f32).collect::<Vec<_>>();
        let outputs = network.outputs();
        let pairs = y.chunks_exact(outputs).zip(expected.chunks_exact(outputs));
        let is_right =
            pairs.map(|(y, t)| crate::metrics::row_metrics::is_correct(loss, labels, &narrow(y), &narrow(t)));
        let right: f64 = is_right.zip(&weights).filter(|(is_right, _)| *is_right).map(|(_, weight)| weight).sum();
        let heaviest = weights.iter().fold(0.0, |most: f64, weight| most.max(*weight));
        // A row near the threshold may fall to either side.
        assert!(
            drops || (right - outcome.correct).abs() <= heaviest * (1.0 + 1e-9),
            "step {n}: {outcome:?} and {right} right: {what}"
        );
    }
    for (ours, theirs) in layout.to_layers(&engine.parameters).iter().zip(reference.parameters()) {
        let largest = theirs.weight.iter().chain(&theirs.bias).fold(0.0f64, |m, p| m.max(p.abs()));
        let pairs = numbers(ours).zip(their_numbers(theirs));
        assert!(pairs.clone().all(|(o, t)| close(*o, *t, largest)), "parameters: {what}");
    }
    assert_eq!(layout.to_flat(&layout.to_layers(&engine.parameters)), engine.parameters, "padding stays 0: {what}");
    let (inputs, ..) = rows(0, 300);
    let ours = engine.predict(&inputs.iter().map(|x| *x as f32).collect::<Vec<_>>());
    let theirs = reference.predict(&inputs).unwrap();
    let largest = theirs.iter().fold(0.0f64, |m, y| m.max(y.abs()));
    assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(o, t)| close(*o, *t, largest)), "{what}");
}

#[test]
fn a_training_follows_the_reference_for_every_member() {
    // Every member meets two of the other families, in a small network and in one that is not.
    for (turn, (width, batch)) in [(17, 32), (100, 5)].into_iter().enumerate() {
        let losses = Loss::ALL.iter().cycle().skip(turn);
        let optimizers = Optimizer::ALL.iter().cycle().skip(3 * turn);
        for ((activation, loss), optimizer) in Activation::ALL.iter().zip(losses).zip(optimizers) {
            let last = loss.required_output_activation().unwrap_or(*activation);
            let network = Network::new(7).dense(width, *activation).dense(3, last);
            [false, true].iter().for_each(|weighted| compare(&network, *loss, *optimizer, batch, *weighted));
        }
    }
}

#[test]
fn a_training_follows_the_reference_at_every_size() {
    let sigmoid = Activation::Sigmoid;
    // The textbook's, one with a velocity, here with weights, and one with all that surrounds a rule.
    for (optimizer, weighted) in
        [(0, false), (1, true), (13, false)].map(|(i, weighted)| (&Optimizer::ALL[i], weighted))
    {
        // The last three take the paths of many threads: with one gradient for all, with one for each, and with
        // the rows in the lanes. Batches of 8 and fewer have lanes of their own.
        for (widths, batch) in [
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
            let start = Network::new(widths[0]);
            let network = widths[1..].iter().fold(start, |network, width| network.dense(*width, sigmoid));
            compare(&network, Loss::Mse, *optimizer, batch, weighted);
        }
    }
}

/// Networks with norms, dropout among them, and learned slopes.
fn learning_more(width: usize) -> [Network; 3] {
    let (tanh, prelu) = (Activation::Tanh, Activation::Prelu { initial_slope: 0.25 });
    let first = Network::new(7).dense(width, tanh);
    [
        first.clone().layer_norm().dense(width, Activation::Gelu).layer_norm().dropout(0.3).dense(3, tanh),
        first.batch_norm().dense(width, Activation::Silu).dropout(0.2).batch_norm().dense(3, tanh),
        Network::new(7).dense(width, prelu).dense(width, prelu).dense(3, tanh),
    ]
}

#[test]
fn norms_and_learned_slopes_follow_the_reference() {
    for (width, batch) in [(9, 9), (100, 40), (300, 250), (40, 1000)] {
        for network in learning_more(width) {
            for optimizer in [Optimizer::sgd(0.1), Optimizer::momentum(0.05, 0.9).weight_decay(0.01).spare_biases()] {
                compare(&network, Loss::Mse, optimizer, batch, batch == 250);
            }
        }
    }
}

#[test]
fn dropout_follows_the_reference() {
    for (width, batch) in [(9, 9), (100, 5), (300, 250), (40, 1000)] {
        for activation in [Activation::Sigmoid, Activation::Gelu] {
            let network = Network::new(7).dense(width, activation).dropout(0.3).dense(width, Activation::Tanh);
            compare(&network.dropout(0.6).dense(3, Activation::Sigmoid), Loss::Mse, Optimizer::sgd(0.1), batch, false);
        }
    }
}

#[test]
fn accumulated_and_clipped_gradients_follow_the_reference() {
    let sigmoid = Activation::Sigmoid;
    let sgd = Optimizer::sgd(0.5);
    for (optimizer, accumulate) in [(sgd.clip_norm(0.02), 1), (sgd, 3), (sgd.clip_norm(0.02).l1(0.01), 2)] {
        for (widths, batch) in [(&[5, 13, 4][..], 9), (&[100, 300, 300, 17], 250), (&[17, 100, 100, 3], 1000)] {
            let start = Network::new(widths[0]);
            let network = widths[1..].iter().fold(start, |network, width| network.dense(*width, sigmoid));
            let network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.1 });
            let course =
                StepGenerator { gradient_accumulation: accumulate, ..course(&network, Loss::Mse, optimizer, batch) };
            compare_course(&network, &course, true);
        }
    }
}

#[test]
fn every_way_of_sharing_the_work_is_met_by_the_sizes_above() {
    let plan = |width, batch, threads| {
        let network = Network::new(width).dense(width, Activation::Tanh).dense(width, Activation::Tanh);
        let shape = BatchLayout::new(&network, (Loss::Mse, false, Optimizer::sgd(0.1)), (batch, false), threads);
        (shape.small_network.is_some(), shape.sums_per_thread, shape.ranges.len())
    };
    assert_eq!(plan(100, 1000, 2), (false, true, 2));
    assert_eq!(plan(300, 250, 2), (false, false, 4));
    for (width, batch, threads) in [(2, 4, 1), (3, 9, 1), (30, 32, 1), (30, 1000, 2)] {
        assert_eq!(plan(width, batch, threads), (true, true, 1), "width {width}, batch {batch}");
    }
    for (width, batch) in [(10, 1), (17, 2), (30, 8), (40, 32), (100, 5)] {
        assert_eq!(plan(width, batch, 1), (false, false, 2), "width {width}, batch {batch}");
    }
}

#[test]
fn the_same_training_gives_the_same_bits() {
    for (width, batch) in [(3, 4), (17, 20), (40, 1000), (30, 1), (100, 1000), (300, 250)] {
        let network = Network::new(width).dense(width, Activation::Tanh).dense(3, Activation::Sigmoid);
        let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), batch);
        let (mut one, mut other) = (engine(&network, &course, false), engine(&network, &course, false));
        assert_eq!(train(&mut one, &course, 10), train(&mut other, &course, 10));
        assert_eq!(one.parameters(), other.parameters());
    }
}

#[test]
fn a_diverged_training_has_a_loss_of_nan() {
    for activation in Activation::ALL {
        for loss in Loss::ALL {
            let last = loss.required_output_activation().unwrap_or(*activation);
            let network = Network::new(2).dense(3, *activation).dense(2, last);
            let course = course(&network, *loss, Optimizer::sgd(0.1), 5);
            let mut engine = engine(&network, &course, false);
            engine.parameters[0] = f32::NAN;
            assert!(train(&mut engine, &course, 1)[0].loss.is_nan(), "{activation}, {loss}");
        }
    }
}

#[test]
fn a_state_that_was_reset_is_as_new() {
    let network = Network::new(2).dense(3, Activation::Tanh).dense(2, Activation::Sigmoid);
    let course = course(&network, Loss::Mse, Optimizer::momentum(0.1, 0.9), 5);
    let mut engine = engine(&network, &course, false);
    train(&mut engine, &course, 3);
    let flat = engine.parameters.clone();
    engine.set_parameters(&flat, &[]);
    engine.set_parameters(&network.initial_parameters(3).unwrap(), &[]);
    train(&mut engine, &course, 3);
    let mut other = self::engine(&network, &course, false);
    train(&mut other, &course, 3);
    assert_eq!(engine.parameters(), other.parameters());
}
