//! Networks, batches and settings that nobody thought of, on every device beside the reference, or where dropout and noise
//! are drawn beside the CPU engine: from fixed seeds, so that a case that fails fails again. `src/gpu/tests` walks the kernels
//! one by one; this walks what users put together.
//!
//! `GRADUS_TEST_CASES` says how many cases an adapter has, if it is not 3; the CPU engine has 100 times as many.

use std::ops::Range;

use crate::common::devices;
use gradus::{
    Activation, Dataset, Device, Features, Init, Loss, Network, Optimizer, Result, Schedule, Targets, Trainer,
    TrainerSettings,
    data::Scaler,
    nn::{LayerParameters, Normalization},
    optim::UpdateRule,
    reference::{Parameters, Reference},
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
    settings: TrainerSettings,
    /// Rows of the data set, and steps on it; or of each step by hand.
    rows: usize,
    steps: usize,
    by_hand: bool,
    /// What only a data set has: features that are bytes, answers that are class ids, a scaling.
    has_bytes: bool,
    has_classes: bool,
    scaler: Option<Scaler>,
}

/// What a case is trained on, as the caller has it, and as the network sees it.
struct Given {
    x: Vec<f32>,
    scaled: Vec<f32>,
    t: Vec<f32>,
    weights: Vec<f32>,
    /// None where it is brought by hand.
    data: Option<Dataset>,
}

/// Losses, parameters, and the averages of parameters if there are some.
type Trained = (Vec<f64>, Vec<Parameters>, Option<Vec<Parameters>>);

impl Given {
    /// Some rows as a caller brings them: features, answers and weights.
    fn rows(&self, rows: Range<usize>, of: &Case) -> [&[f32]; 3] {
        let [x, t] = [(&self.x, of.network.inputs()), (&self.t, of.network.outputs())]
            .map(|(values, width)| &values[rows.start * width..rows.end * width]);
        [x, t, self.weights.get(rows).unwrap_or_default()]
    }

    /// Some rows as the network sees them.
    fn seen(&self, rows: Range<usize>, of: &Case) -> [Vec<f64>; 3] {
        let [_, t, weights] = self.rows(rows.clone(), of);
        let inputs = of.network.inputs();
        [&self.scaled[rows.start * inputs..rows.end * inputs], t, weights].map(wide)
    }
}

impl Case {
    fn draw(draws: &mut Draws) -> Self {
        let (loss, mut optimizer) = (draws.one(Loss::ALL), Self::optimizer(draws));
        // The gradients of these are all of one size: their sums may be 0 but for rounding.
        if matches!(loss, Loss::L1 | Loss::Hinge) && follows_signs(&optimizer) {
            optimizer.rule = UpdateRule::Sgd;
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
            if draws.once_in(6) {
                network = network.dropout(draws.number(0.1, 0.6));
            }
        }
        let looks_at_the_row = matches!(loss, Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. });
        let outputs = draws.count(if looks_at_the_row { 2 } else { 1 }, 40);
        let free = draws.one(&[Activation::Identity, Activation::Sigmoid, Activation::Tanh]);
        network = network.dense(outputs, loss.required_output_activation().unwrap_or(free));
        network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.2 });
        // A batch norm over one or two rows divides by what is 0 but for rounding.
        let least =
            if network.layers().iter().any(|layer| layer.normalization == Some(Normalization::Batch)) { 8 } else { 1 };
        let batch = draws.count(least, 70);
        let by_hand = draws.once_in(2);
        // Per epoch, the reference would have to know where epochs end.
        let schedules = Schedule::examples().into_iter().filter(|schedule| !matches!(schedule, Schedule::PerEpoch(_)));
        let schedules: Vec<_> = schedules.collect();
        let settings = TrainerSettings {
            batch_size: batch,
            loss,
            optimizer,
            schedule: schedules[draws.count(0, schedules.len() - 1)].clone(),
            gradient_accumulation: draws.one(&[1, 1, 1, 2, 3]),
            sample_weights: draws.once_in(3),
            shuffle: !by_hand && draws.once_in(3),
            input_noise_std: if draws.once_in(6) { draws.number(0.01, 0.3) } else { 0.0 },
            seed: draws.next(),
            ..TrainerSettings::default()
        };
        let rows = batch + draws.count(least, 70);
        let rows = rows + if (1..least).contains(&(rows % batch)) { least } else { 0 };
        // In whatever order: it is one batch.
        let rows = if settings.shuffle { batch } else { rows };
        let inputs = network.inputs();
        let scaler = |draws: &mut Draws| Scaler::new(draws.numbers(inputs, -0.5, 0.5), draws.numbers(inputs, 0.5, 2.0));
        Self {
            steps: draws.count(1, 6),
            has_bytes: !by_hand && draws.once_in(3),
            has_classes: !by_hand
                && outputs > 1
                && (loss.required_output_activation().is_some() || matches!(loss, Loss::Mse))
                && draws.once_in(2),
            scaler: (!by_hand && draws.once_in(3)).then(|| scaler(draws).expect("a number for each")),
            network,
            settings,
            rows,
            by_hand,
        }
    }

    /// Whether anything is drawn while it is trained.
    fn is_noisy(&self) -> bool {
        self.settings.input_noise_std > 0.0 || self.network.layers().iter().any(|layer| layer.dropout > 0.0)
    }

    /// Any rule and anything around it. Where a rule divides by a root it gets an epsilon that can be seen: a gradient that
    /// is 0 but for rounding is not to become a step.
    fn optimizer(draws: &mut Draws) -> Optimizer {
        let epsilon = draws.number(1e-3, 1e-2);
        let rule = match draws.one(UpdateRule::ALL) {
            UpdateRule::Adam { beta1, beta2, amsgrad, .. } => UpdateRule::Adam { beta1, beta2, amsgrad, epsilon },
            UpdateRule::Adamax { beta1, beta2, .. } => UpdateRule::Adamax { beta1, beta2, epsilon },
            UpdateRule::Nadam { beta1, beta2, momentum_decay, .. } => {
                UpdateRule::Nadam { beta1, beta2, momentum_decay, epsilon }
            }
            UpdateRule::RmsProp { alpha, momentum, centered, .. } => {
                UpdateRule::RmsProp { alpha, momentum, centered, epsilon }
            }
            UpdateRule::Adagrad { learning_rate_decay: decay, initial_accumulator: initial, .. } => {
                UpdateRule::Adagrad { learning_rate_decay: decay, initial_accumulator: initial, epsilon }
            }
            UpdateRule::Adadelta { rho, .. } => UpdateRule::Adadelta { rho, epsilon },
            other => other,
        };
        let mut optimizer = Optimizer::new(rule, draws.number(0.001, 0.02));
        if draws.once_in(3) {
            optimizer = optimizer.weight_decay(draws.number(0.0, 0.1));
            optimizer.decoupled_weight_decay = draws.once_in(2) && !matches!(rule, UpdateRule::Rprop { .. });
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
            optimizer = optimizer.ema(draws.number(0.5, 0.99));
        }
        if draws.once_in(3) { optimizer.spare_biases() } else { optimizer }
    }

    /// Expected outputs that the loss has a meaning for.
    fn expected(&self, rows: usize, draws: &mut Draws) -> Vec<f32> {
        let outputs = self.network.outputs();
        match self.settings.loss {
            // Rows of no class and of more than one, too.
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } if draws.once_in(2) => {
                draws.numbers(rows * outputs, 0.0, 1.0)
            }
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
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

    /// Something to train on.
    fn given(&self, draws: &mut Draws) -> Result<Given> {
        let Self { network, rows, .. } = self;
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let (x, features): (Vec<f32>, Features) = if self.has_bytes {
            let bytes: Vec<u8> = (0..rows * inputs).map(|_| draws.count(0, 255) as u8).collect();
            (bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect(), Features::bytes(bytes, 1.0 / 255.0))
        } else {
            let x = draws.numbers(rows * inputs, -1.0, 1.0);
            (x.clone(), x.into())
        };
        let (t, answers): (Vec<f32>, Targets) = if self.has_classes {
            let classes: Vec<u32> = (0..*rows).map(|_| draws.count(0, outputs - 1) as u32).collect();
            let row = |class: u32| (0..outputs as u32).map(move |i| if i == class { 1.0 } else { 0.0 });
            (classes.iter().copied().flat_map(row).collect(), classes.into())
        } else {
            let t = self.expected(*rows, draws);
            (t.clone(), t.into())
        };
        let weights = if self.settings.sample_weights { draws.numbers(*rows, 0.0, 2.0) } else { Vec::new() };
        let mut scaled = x.clone();
        let mut data = Dataset::new(*rows, features, answers)?;
        if self.settings.sample_weights {
            data = data.with_sample_weights(weights.clone())?;
        }
        if let Some(scaler) = &self.scaler {
            scaler.transform(&mut scaled)?;
            data = data.with_scaler(scaler)?;
        }
        Ok(Given { x, scaled, t, weights, data: (!self.by_hand).then_some(data) })
    }

    fn trainer(&self, device: &Device, given: &Given) -> Result<Trainer> {
        let Self { network, settings, .. } = self;
        match &given.data {
            Some(data) => Trainer::new(device, network, data, settings.clone()),
            None => Trainer::without_dataset(device, network, settings.clone()),
        }
    }

    /// The rows of each step: the batches of one epoch after another, of which the last may be short.
    fn batches(&self) -> Vec<Range<usize>> {
        let batches = (0..self.rows).step_by(self.settings.batch_size);
        let batches = batches.map(|first| first..(first + self.settings.batch_size).min(self.rows));
        batches.collect::<Vec<_>>().into_iter().cycle().take(self.steps).collect()
    }

    /// Takes the steps, on a data set so many at once, and gives their losses.
    fn train(&self, trainer: &mut Trainer, given: &Given, at_once: usize) -> Result<Vec<f32>> {
        let batches = self.batches();
        if !self.by_hand {
            let runs = batches.chunks(at_once).map(|steps| trainer.run(steps.len()).map(|report| report.losses));
            return Ok(runs.collect::<Result<Vec<_>>>()?.concat());
        }
        for batch in batches {
            let [x, t, weights] = given.rows(batch, self);
            match self.settings.sample_weights {
                true => trainer.step_weighted(x, t, weights),
                false => trainer.step(x, t),
            }?;
        }
        Ok(trainer.take_report()?.losses)
    }

    /// Trains on a device and beside it, and compares all that comes out.
    fn check(&self, device: &Device, draws: &mut Draws, what: &str) -> Result<()> {
        let given = self.given(draws)?;
        let mut trainer = self.trainer(device, &given)?;
        let (losses, parameters, averages) =
            if self.is_noisy() { self.on_the_cpu(&given)? } else { self.by_the_reference(&mut trainer, &given, what)? };
        let ours = self.train(&mut trainer, &given, self.steps)?;
        let tolerance = self.tolerance();
        for (step, (ours, theirs)) in ours.iter().zip(&losses).enumerate() {
            let error = (f64::from(*ours) - theirs).abs() / theirs.abs().max(0.1);
            assert!(error <= tolerance, "{what}: the loss of step {step} is {ours} instead of {theirs}");
        }
        assert_eq!(ours.len(), losses.len(), "{what}");
        self.compare(&format!("{what}: parameters"), &trainer.parameters()?, &parameters, true);
        if let Some(theirs) = averages {
            self.compare(&format!("{what}: averages"), &trainer.ema_parameters()?, &theirs, true);
        }
        self.bring_wrong_lengths(&mut trainer, &given, what)
    }

    /// The losses, the parameters and their averages as the reference has them; the gradients of the first batch are compared.
    fn by_the_reference(&self, trainer: &mut Trainer, given: &Given, what: &str) -> Result<Trained> {
        let TrainerSettings {
            loss,
            optimizer,
            gradient_accumulation: accumulate,
            schedule,
            sample_weights: weighted,
            ..
        } = &self.settings;
        let mut reference = Reference::new(&self.network, *loss, *optimizer, &trainer.parameters()?)?;
        reference = reference.with_gradient_accumulation(*accumulate as u64);
        let batches = self.batches();
        let [x, t, weights] = given.rows(batches[0].clone(), self);
        let ours = if *weighted { trainer.gradients_weighted(x, t, weights) } else { trainer.gradients(x, t) };
        let [x, t, weights] = given.seen(batches[0].clone(), self);
        let theirs = reference.gradients_weighted(&x, &t, &weights)?;
        self.compare(&format!("{what}: gradients"), &ours?, &theirs, false);
        let mut losses = Vec::new();
        for (step, batch) in batches.into_iter().enumerate() {
            let [x, t, weights] = given.seen(batch, self);
            let factor = schedule.factor((step / accumulate) as u64, 1);
            reference.set_learning_rate(factor * optimizer.learning_rate)?;
            losses.push(reference.step_weighted(&x, &t, &weights)?);
        }
        Ok((losses, reference.parameters().to_vec(), reference.ema_parameters()))
    }

    /// The same as the CPU engine has it, which takes one step after the other: what is drawn follows from the seed.
    fn on_the_cpu(&self, given: &Given) -> Result<Trained> {
        let mut trainer = self.trainer(&Device::cpu(), given)?;
        let losses = self.train(&mut trainer, given, 1)?.into_iter().map(f64::from).collect();
        let wide = |layers: Vec<LayerParameters>| layers.iter().map(Parameters::from).collect();
        let averages = self.settings.optimizer.ema_decay.map(|_| trainer.ema_parameters()).transpose()?;
        Ok((losses, wide(trainer.parameters()?), averages.map(wide)))
    }

    /// What is too short or too long is refused and changes nothing.
    fn bring_wrong_lengths(&self, trainer: &mut Trainer, given: &Given, what: &str) -> Result<()> {
        let before = trainer.parameters()?;
        let [x, t, _] = given.rows(0..1, self);
        let long = |values: &[f32]| [values, &[0.5]].concat();
        let mut bent = before.clone();
        bent[0].weight.pop();
        let refused = [
            trainer.step(&x[1..], t).err(),
            trainer.step(x, &long(t)).err(),
            trainer.step(&[], &[]).err(),
            trainer.step_weighted(x, t, &[1.0, 1.0]).err(),
            trainer.gradients(&x[1..], t).err(),
            trainer.gradients(x, &t[1..]).err(),
            trainer.predict(if x.len() == 1 { &[] } else { &x[1..] }).err(),
            trainer.set_parameters(&bent).err(),
            trainer.set_parameters(&before[1..]).err(),
            Dataset::new(1, long(x), t).and_then(|data| trainer.evaluate(&data)).err(),
        ];
        for (number, error) in refused.iter().enumerate() {
            assert!(error.is_some(), "{what}: wrong length {number}");
        }
        assert!(trainer.parameters()? == before, "{what}: what was refused changed something");
        Ok(())
    }

    /// Of the largest number: f32 has 6e-8, which grows with the sums and where a norm divides by what is small, and more
    /// where a step follows from a gradient divided by its own size.
    fn tolerance(&self) -> f64 {
        let has_norms = self.network.layers().iter().any(|layer| layer.normalization.is_some());
        match self.settings.optimizer.rule {
            _ if has_norms => 1e-2,
            UpdateRule::Sgd | UpdateRule::Momentum { .. } => 5e-5,
            _ => 2e-3,
        }
    }

    fn compare(&self, what: &str, ours: &[LayerParameters], theirs: &[Parameters], has_stepped: bool) {
        let all = |layer: &Parameters| {
            let Parameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = layer.clone();
            [weight, bias, gain, shift, slope]
        };
        let largest = theirs.iter().flat_map(all).flatten().fold(0.0, |most: f64, value| most.max(value.abs()));
        let (mut off, mut count, mut worst) = (0, 0, (0.0, String::new()));
        for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let LayerParameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope, .. } = ours;
            let norm = self.network.layers()[i].normalization;
            for (tensor, (ours, theirs)) in [weight, bias, gain, shift, slope].into_iter().zip(all(theirs)).enumerate()
            {
                assert_eq!(ours.len(), theirs.len(), "{what}: layer {i}, tensor {tensor}");
                // A batch norm takes away what a bias adds: its gradient is 0 but for rounding.
                if tensor == 1 && norm == Some(Normalization::Batch) {
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
    matches!(optimizer.rule, UpdateRule::Lion { .. } | UpdateRule::Rprop { .. })
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
