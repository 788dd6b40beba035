//! Networks, batches and settings that nobody thought of, on every device beside the reference: drawn from fixed seeds, so
//! that a case that fails fails again. `src/gpu/tests` walks the kernels one by one; this walks what users put together.
//!
//! `GRADUS_TEST_CASES` says how many cases an adapter has, if it is not 3; the CPU engine has 100 times as many.

mod common;

use common::devices;
use gradus::{
    Activation, Dataset, Device, Init, LayerParameters, Loss, Network, Norm, Optimizer, Result, Rule, Settings,
    Trainer,
    cpu::reference::{Parameters, Reference},
};

/// Numbers that follow from a seed: Vigna's SplitMix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    fn count(&mut self, least: usize, most: usize) -> usize {
        least + (self.next() % (most - least + 1) as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.count(0, of.len() - 1)]
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.count(1, times) == 1
    }

    fn number(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn numbers(&mut self, len: usize, least: f64, most: f64) -> Vec<f32> {
        (0..len).map(|_| self.number(least, most) as f32).collect()
    }
}

/// A training: what is trained on what, and how.
#[derive(Debug)]
struct Case {
    network: Network,
    settings: Settings,
    /// Rows of the data set, and steps on it; or of each step by hand.
    rows: usize,
    steps: usize,
    by_hand: bool,
}

impl Case {
    fn draw(draws: &mut Draws) -> Self {
        let (loss, mut optimizer) = (draws.one(Loss::ALL), Self::optimizer(draws));
        // The gradients of these are all of one size: their sums may be 0 but for rounding.
        if matches!(loss, Loss::L1 | Loss::Hinge) && follows_signs(&optimizer) {
            optimizer.rule = Rule::Sgd;
        }
        let mut network = Network::new(draws.count(1, 40));
        for _ in 0..draws.count(0, 3) {
            let width = draws.count(4, 70);
            let hidden = |a: &&Activation| **a != Activation::Softmax;
            let activation = *draws.one(&Activation::ALL.iter().filter(hidden).collect::<Vec<_>>());
            network = network.dense(width, activation);
            // A batch norm takes away whatever is the same in all rows, and leaves gradients that are 0 but for rounding.
            let may_have_a_norm = !matches!(activation, Activation::Prelu { .. }) && !follows_signs(&optimizer);
            if may_have_a_norm && draws.once_in(4) {
                network = if draws.once_in(2) { network.layer_norm() } else { network.batch_norm() };
            }
        }
        let looks_at_the_row = matches!(loss, Loss::SoftmaxCrossEntropy | Loss::SmoothedCrossEntropy { .. });
        let outputs = draws.count(if looks_at_the_row { 2 } else { 1 }, 40);
        let free = draws.one(&[Activation::Identity, Activation::Sigmoid, Activation::Tanh]);
        network = network.dense(outputs, loss.output_activation().unwrap_or(free));
        network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.2 });
        // A batch norm over one or two rows divides by what is 0 but for rounding.
        let least = if network.layers().iter().any(|layer| layer.norm == Some(Norm::Batch)) { 8 } else { 1 };
        let batch = draws.count(least, 70);
        let settings = Settings {
            batch,
            loss,
            optimizer,
            accumulate: draws.one(&[1, 1, 1, 2, 3]),
            weighted: draws.once_in(3),
            shuffle: false,
            seed: draws.next(),
            ..Settings::default()
        };
        let rows = batch + draws.count(least, 70);
        let rows = rows + if (1..least).contains(&(rows % batch)) { least } else { 0 };
        Self { network, settings, rows, steps: draws.count(1, 6), by_hand: draws.once_in(2) }
    }

    /// Any rule and anything around it. Where a rule divides by a root it gets an epsilon that can be seen: a gradient that
    /// is 0 but for rounding is not to become a step.
    fn optimizer(draws: &mut Draws) -> Optimizer {
        let epsilon = draws.number(1e-3, 1e-2);
        let rule = match draws.one(Rule::ALL) {
            Rule::Adam { beta1, beta2, amsgrad, .. } => Rule::Adam { beta1, beta2, amsgrad, epsilon },
            Rule::Adamax { beta1, beta2, .. } => Rule::Adamax { beta1, beta2, epsilon },
            Rule::Nadam { beta1, beta2, momentum_decay, .. } => Rule::Nadam { beta1, beta2, momentum_decay, epsilon },
            Rule::RmsProp { alpha, momentum, centered, .. } => Rule::RmsProp { alpha, momentum, centered, epsilon },
            Rule::Adagrad { decay, initial, .. } => Rule::Adagrad { decay, initial, epsilon },
            Rule::Adadelta { rho, .. } => Rule::Adadelta { rho, epsilon },
            other => other,
        };
        let mut optimizer = Optimizer::new(rule, draws.number(0.001, 0.02));
        if draws.once_in(3) {
            optimizer = optimizer.weight_decay(draws.number(0.0, 0.1));
            optimizer.decoupled = draws.once_in(2) && !matches!(rule, Rule::Rprop { .. });
        }
        if draws.once_in(4) {
            optimizer = optimizer.l1(draws.number(0.0, 0.01));
        }
        if draws.once_in(4) {
            optimizer = optimizer.clip_value(draws.number(0.01, 0.5));
        }
        if draws.once_in(4) {
            optimizer = optimizer.clip_norm(draws.number(0.1, 2.0));
        }
        if draws.once_in(4) {
            optimizer = optimizer.average(draws.number(0.5, 0.99));
        }
        if draws.once_in(3) { optimizer.spare_biases() } else { optimizer }
    }

    /// Expected outputs that the loss has a meaning for.
    fn expected(&self, rows: usize, draws: &mut Draws) -> Vec<f32> {
        let outputs = self.network.outputs();
        match self.settings.loss {
            Loss::SoftmaxCrossEntropy | Loss::SmoothedCrossEntropy { .. } => {
                let row = |class| (0..outputs).map(move |i| if i == class { 1.0 } else { 0.0 });
                (0..rows).flat_map(|_| row(draws.count(0, outputs - 1))).collect()
            }
            Loss::Hinge => (0..rows * outputs).map(|_| draws.one(&[-1.0, 1.0])).collect(),
            Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWithLogits | Loss::Poisson => {
                draws.numbers(rows * outputs, 0.0, 1.0)
            }
            _ => draws.numbers(rows * outputs, -1.0, 1.0),
        }
    }

    /// Trains on a device and beside it, and compares all that comes out.
    fn check(&self, device: &Device, draws: &mut Draws, what: &str) -> Result<()> {
        let Self { network, settings, rows, steps, by_hand } = self;
        let [inputs, outputs] = [network.inputs(), network.outputs()];
        let (x, t) = (draws.numbers(rows * inputs, -1.0, 1.0), self.expected(*rows, draws));
        let weights = if settings.weighted { draws.numbers(*rows, 0.0, 2.0) } else { Vec::new() };
        let mut trainer = if *by_hand {
            Trainer::by_hand(device, network, settings.clone())
        } else {
            let data = Dataset::new(*rows, x.clone(), t.clone());
            let data =
                data.and_then(|data| if weights.is_empty() { Ok(data) } else { data.with_weights(weights.clone()) });
            Trainer::new(device, network, &data?, settings.clone())
        }?;
        let start = trainer.parameters()?;
        let mut reference = Reference::new(network, settings.loss, settings.optimizer, &start)?;
        reference = reference.accumulating(settings.accumulate as u64);

        // The batches of one epoch after another; the last of each may be short.
        let batches = (0..*rows).step_by(settings.batch).map(|first| first..(first + settings.batch).min(*rows));
        let batches: Vec<_> = batches.cycle().take(*steps).collect();
        let mut theirs = Vec::new();
        for batch in &batches {
            let of = |values: &[f32], width: usize| values[batch.start * width..batch.end * width].to_vec();
            let [x, t] = [of(&x, inputs), of(&t, outputs)];
            let weights = weights.get(batch.clone()).unwrap_or_default();
            if theirs.is_empty() {
                let ours = match settings.weighted {
                    true => trainer.gradients_weighted(&x, &t, weights),
                    false => trainer.gradients(&x, &t),
                };
                let theirs = reference.gradients_weighted(&wide(&x), &wide(&t), &wide(weights))?;
                self.compare(&format!("{what}: gradients"), &ours?, &theirs, false);
            }
            if *by_hand {
                match settings.weighted {
                    true => trainer.step_weighted(&x, &t, weights),
                    false => trainer.step(&x, &t),
                }?;
            }
            theirs.push(reference.step_weighted(&wide(&x), &wide(&t), &wide(weights))?);
        }
        let report = if *by_hand { trainer.losses() } else { trainer.run(*steps) }?;
        let tolerance = self.tolerance();
        for (step, (ours, theirs)) in report.losses.iter().zip(&theirs).enumerate() {
            let error = (f64::from(*ours) - theirs).abs() / theirs.abs().max(0.1);
            assert!(error <= tolerance, "{what}: the loss of step {step} is {ours} instead of {theirs}");
        }
        assert_eq!(report.losses.len(), theirs.len(), "{what}");
        self.compare(&format!("{what}: parameters"), &trainer.parameters()?, reference.parameters(), true);
        if let Some(theirs) = reference.averaged_parameters() {
            self.compare(&format!("{what}: averages"), &trainer.averaged_parameters()?, &theirs, true);
        }
        Ok(())
    }

    /// Of the largest number: f32 has 6e-8, which grows with the sums and where a norm divides by what is small, and more
    /// where a step follows from a gradient divided by its own size.
    fn tolerance(&self) -> f64 {
        let has_norms = self.network.layers().iter().any(|layer| layer.norm.is_some());
        match self.settings.optimizer.rule {
            _ if has_norms => 1e-2,
            Rule::Sgd | Rule::Momentum { .. } => 5e-5,
            _ => 2e-3,
        }
    }

    fn compare(&self, what: &str, ours: &[LayerParameters], theirs: &[Parameters], has_stepped: bool) {
        let all = |layer: &Parameters| {
            let Parameters { weight, bias, gain, shift, slope } = layer.clone();
            [weight, bias, gain, shift, slope]
        };
        let largest = theirs.iter().flat_map(all).flatten().fold(0.0, |most: f64, value| most.max(value.abs()));
        let (mut off, mut count, mut worst) = (0, 0, (0.0, String::new()));
        for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let LayerParameters { weight, bias, gain, shift, slope, .. } = ours;
            let norm = self.network.layers()[i].norm;
            for (tensor, (ours, theirs)) in [weight, bias, gain, shift, slope].into_iter().zip(all(theirs)).enumerate()
            {
                assert_eq!(ours.len(), theirs.len(), "{what}: layer {i}, tensor {tensor}");
                // A batch norm takes away what a bias adds: its gradient is 0 but for rounding.
                if tensor == 1 && norm == Some(Norm::Batch) {
                    continue;
                }
                for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                    let error = (f64::from(*ours) - theirs).abs() / largest.max(1e-6);
                    let error = if error.is_nan() { f64::INFINITY } else { error };
                    count += 1;
                    off += usize::from(error > self.tolerance());
                    if error > worst.0 {
                        worst = (error, format!("{ours} instead of {theirs} in layer {i}, tensor {tensor}, at {at}"));
                    }
                }
            }
        }
        // One that is 0 but for rounding may go either way.
        let most = if has_stepped && follows_signs(&self.settings.optimizer) { count / 50 } else { 0 };
        assert!(off <= most, "{what}: {off} of {count} are off; {} is {:.1e} of the largest", worst.1, worst.0);
    }
}

/// Whether only the sign of a gradient counts.
const fn follows_signs(optimizer: &Optimizer) -> bool {
    matches!(optimizer.rule, Rule::Lion { .. } | Rule::Rprop { .. })
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn what_is_put_together_at_random_trains_as_the_reference_does() {
    let cases: u64 = std::env::var("GRADUS_TEST_CASES").map_or(3, |cases| cases.parse().expect("a number of cases"));
    for device in devices() {
        for seed in 0..cases * if device.is_gpu() { 1 } else { 100 } {
            let mut draws = Draws(seed);
            let case = Case::draw(&mut draws);
            let what = format!("{device}, seed {seed}, {case:?}");
            case.check(&device, &mut draws, &what).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}
