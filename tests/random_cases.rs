//! Random combinations of networks, batches and settings on every device, compared with the reference. Cases with
//! dropout or noise are compared with the CPU engine instead.
//!
//! The seeds are fixed, so a failure is reproducible. The tests in `src/engine/gpu/tests` cover single kernels; these
//! cover combinations. `GRADUS_TEST_CASES` is the number of cases per adapter, 3 by default. The CPU engine runs 100
//! times as many.

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

/// A random number generator: Vigna's SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns an integer from `min` to `max`, both included.
    fn integer(&mut self, min: usize, max: usize) -> usize {
        min + (self.next() % (max - min + 1) as u64) as usize
    }

    fn choose<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.integer(0, values.len() - 1)]
    }

    /// Returns true with the probability `1 / n`.
    fn one_in(&mut self, n: usize) -> bool {
        self.integer(1, n) == 1
    }

    fn number(&mut self, min: f64, max: f64) -> f64 {
        min + (max - min) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn numbers(&mut self, len: usize, min: f64, max: f64) -> Vec<f32> {
        (0..len).map(|_| self.number(min, max) as f32).collect()
    }
}

/// A random training: the network, the settings and the kind of data.
#[derive(Debug)]
struct Case {
    network: Network,
    settings: TrainerSettings,
    rows: usize,
    steps: usize,
    /// Whether the caller passes the batches in manual steps, instead of a data set.
    is_manual: bool,
    // The following fields apply only to data sets.
    has_bytes: bool,
    has_classes: bool,
    scaler: Option<Scaler>,
}

/// The data of a case.
struct CaseData {
    /// The features before scaling.
    x: Vec<f32>,
    /// The features after scaling, which are the inputs of the network.
    scaled_x: Vec<f32>,
    /// The targets.
    t: Vec<f32>,
    /// The sample weights; empty if there are none.
    weights: Vec<f32>,
    /// The data set; `None` for manual steps.
    dataset: Option<Dataset>,
}

/// The results of a training run: losses, parameters, and the EMA of the parameters if the optimizer has one.
struct Trained {
    losses: Vec<f64>,
    parameters: Vec<Parameters>,
    ema: Option<Vec<Parameters>>,
}

impl CaseData {
    /// Returns features, targets and sample weights of some rows, as the caller passes them.
    fn rows(&self, rows: Range<usize>, case: &Case) -> [&[f32]; 3] {
        let [x, t] = [(&self.x, case.network.inputs()), (&self.t, case.network.outputs())]
            .map(|(values, width)| &values[rows.start * width..rows.end * width]);
        [x, t, self.weights.get(rows).unwrap_or_default()]
    }

    /// Like [`CaseData::rows`] with scaled features in f64, as the reference needs them.
    fn reference_rows(&self, rows: Range<usize>, case: &Case) -> [Vec<f64>; 3] {
        let [_, t, weights] = self.rows(rows.clone(), case);
        let inputs = case.network.inputs();
        [&self.scaled_x[rows.start * inputs..rows.end * inputs], t, weights].map(to_f64)
    }
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        let (loss, mut optimizer) = (rng.choose(Loss::ALL), Self::random_optimizer(rng));
        // The gradients of these losses have equal magnitudes, so their sums may cancel to a rounding error.
        if matches!(loss, Loss::L1 | Loss::Hinge) && uses_only_signs(&optimizer) {
            optimizer.rule = UpdateRule::Sgd;
        }
        let mut network = Network::new(rng.integer(1, 40));
        for _ in 0..rng.integer(0, 3) {
            let width = rng.integer(4, 70);
            let is_hidden = |a: &&Activation| **a != Activation::Softmax;
            let activation = *rng.choose(&Activation::ALL.iter().filter(is_hidden).collect::<Vec<_>>());
            network = network.dense(width, activation);
            // Batch normalization removes constants, so some gradients are only rounding errors.
            let may_normalize = !matches!(activation, Activation::Prelu { .. }) && !uses_only_signs(&optimizer);
            if may_normalize && rng.one_in(4) {
                network = if rng.one_in(2) { network.layer_norm() } else { network.batch_norm() };
            }
            if rng.one_in(6) {
                network = network.dropout(rng.number(0.1, 0.6));
            }
        }
        let needs_full_row = matches!(loss, Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. });
        let outputs = rng.integer(if needs_full_row { 2 } else { 1 }, 40);
        let output_activation = rng.choose(&[Activation::Identity, Activation::Sigmoid, Activation::Tanh]);
        network = network.dense(outputs, loss.required_output_activation().unwrap_or(output_activation));
        network = network.init(Init::GlorotUniform, Init::Uniform { limit: 0.2 });
        // Batch normalization over one or two rows divides by a standard deviation that is only a rounding error.
        let min_rows =
            if network.layers().iter().any(|layer| layer.normalization == Some(Normalization::Batch)) { 8 } else { 1 };
        let batch_size = rng.integer(min_rows, 70);
        let is_manual = rng.one_in(2);
        // Skip schedules per epoch, because the test does not tell the reference where epochs end.
        let schedules = Schedule::examples().into_iter().filter(|schedule| !matches!(schedule, Schedule::PerEpoch(_)));
        let schedules: Vec<_> = schedules.collect();
        let settings = TrainerSettings {
            batch_size,
            loss,
            optimizer,
            schedule: schedules[rng.integer(0, schedules.len() - 1)].clone(),
            gradient_accumulation: rng.choose(&[1, 1, 1, 2, 3]),
            sample_weights: rng.one_in(3),
            shuffle: !is_manual && rng.one_in(3),
            input_noise_std: if rng.one_in(6) { rng.number(0.01, 0.3) } else { 0.0 },
            seed: rng.next(),
            ..TrainerSettings::default()
        };
        let rows = batch_size + rng.integer(min_rows, 70);
        let rows = rows + if (1..min_rows).contains(&(rows % batch_size)) { min_rows } else { 0 };
        // With a single batch the order of the rows does not matter.
        let rows = if settings.shuffle { batch_size } else { rows };
        let inputs = network.inputs();
        let scaler = |rng: &mut Rng| Scaler::new(rng.numbers(inputs, -0.5, 0.5), rng.numbers(inputs, 0.5, 2.0));
        Self {
            steps: rng.integer(1, 6),
            has_bytes: !is_manual && rng.one_in(3),
            has_classes: !is_manual
                && outputs > 1
                && (loss.required_output_activation().is_some() || matches!(loss, Loss::Mse))
                && rng.one_in(2),
            scaler: (!is_manual && rng.one_in(3)).then(|| scaler(rng).expect("a scaler")),
            network,
            settings,
            rows,
            is_manual,
        }
    }

    /// Returns whether the training uses dropout or noise.
    fn has_dropout_or_noise(&self) -> bool {
        self.settings.input_noise_std > 0.0 || self.network.layers().iter().any(|layer| layer.dropout > 0.0)
    }

    /// Returns an optimizer with any rule and any options. The epsilon is large, so that a gradient that is only a
    /// rounding error does not become a step.
    fn random_optimizer(rng: &mut Rng) -> Optimizer {
        let epsilon = rng.number(1e-3, 1e-2);
        let rule = match rng.choose(UpdateRule::ALL) {
            UpdateRule::Adam { beta1, beta2, amsgrad, .. } => UpdateRule::Adam { beta1, beta2, amsgrad, epsilon },
            UpdateRule::Adamax { beta1, beta2, .. } => UpdateRule::Adamax { beta1, beta2, epsilon },
            UpdateRule::Nadam { beta1, beta2, momentum_decay, .. } => {
                UpdateRule::Nadam { beta1, beta2, momentum_decay, epsilon }
            }
            UpdateRule::RmsProp { alpha, momentum, centered, .. } => {
                UpdateRule::RmsProp { alpha, momentum, centered, epsilon }
            }
            UpdateRule::Adagrad { learning_rate_decay, initial_accumulator, .. } => {
                UpdateRule::Adagrad { learning_rate_decay, initial_accumulator, epsilon }
            }
            UpdateRule::Adadelta { rho, .. } => UpdateRule::Adadelta { rho, epsilon },
            other => other,
        };
        let mut optimizer = Optimizer::new(rule, rng.number(0.001, 0.02));
        if rng.one_in(3) {
            optimizer = optimizer.weight_decay(rng.number(0.0, 0.1));
            optimizer.decoupled_weight_decay = rng.one_in(2) && !matches!(rule, UpdateRule::Rprop { .. });
        }
        if rng.one_in(4) {
            optimizer = optimizer.l1(rng.number(0.0, 0.01));
        }
        if rng.one_in(4) {
            optimizer = optimizer.clip_value(rng.number(0.01, 0.5));
        }
        if rng.one_in(4) {
            optimizer = optimizer.clip_norm(rng.number(0.1, 2.0));
        }
        if rng.one_in(4) {
            optimizer = optimizer.ema(rng.number(0.5, 0.99));
        }
        if rng.one_in(3) { optimizer.regularize_biases(false) } else { optimizer }
    }

    /// Returns targets that are valid for the loss.
    fn random_targets(&self, rows: usize, rng: &mut Rng) -> Vec<f32> {
        let outputs = self.network.outputs();
        match self.settings.loss {
            // Also rows with no class and with several classes.
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } if rng.one_in(2) => {
                rng.numbers(rows * outputs, 0.0, 1.0)
            }
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
                let row = |class| (0..outputs).map(move |i| if i == class { 1.0 } else { 0.0 });
                (0..rows).flat_map(|_| row(rng.integer(0, outputs - 1))).collect()
            }
            Loss::Hinge => (0..rows * outputs).map(|_| rng.choose(&[-1.0, 1.0])).collect(),
            Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWithLogits | Loss::Poisson => {
                rng.numbers(rows * outputs, 0.0, 1.0)
            }
            _ => rng.numbers(rows * outputs, -1.0, 1.0),
        }
    }

    fn random_data(&self, rng: &mut Rng) -> Result<CaseData> {
        let Self { network, rows, .. } = self;
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let (x, features): (Vec<f32>, Features) = if self.has_bytes {
            let bytes: Vec<u8> = (0..rows * inputs).map(|_| rng.integer(0, 255) as u8).collect();
            (bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect(), Features::bytes(bytes, 1.0 / 255.0))
        } else {
            let x = rng.numbers(rows * inputs, -1.0, 1.0);
            (x.clone(), x.into())
        };
        let (t, targets): (Vec<f32>, Targets) = if self.has_classes {
            let classes: Vec<u32> = (0..*rows).map(|_| rng.integer(0, outputs - 1) as u32).collect();
            let row = |class: u32| (0..outputs as u32).map(move |i| if i == class { 1.0 } else { 0.0 });
            (classes.iter().copied().flat_map(row).collect(), classes.into())
        } else {
            let t = self.random_targets(*rows, rng);
            (t.clone(), t.into())
        };
        let weights = if self.settings.sample_weights { rng.numbers(*rows, 0.0, 2.0) } else { Vec::new() };
        let mut scaled_x = x.clone();
        let mut dataset = Dataset::new(*rows, features, targets)?;
        if self.settings.sample_weights {
            dataset = dataset.with_sample_weights(weights.clone())?;
        }
        if let Some(scaler) = &self.scaler {
            scaler.transform(&mut scaled_x)?;
            dataset = dataset.with_scaler(scaler)?;
        }
        Ok(CaseData { x, scaled_x, t, weights, dataset: (!self.is_manual).then_some(dataset) })
    }

    fn trainer(&self, device: &Device, data: &CaseData) -> Result<Trainer> {
        let Self { network, settings, .. } = self;
        match &data.dataset {
            Some(dataset) => Trainer::new(device, network, dataset, settings.clone()),
            None => Trainer::without_dataset(device, network, settings.clone()),
        }
    }

    /// Returns the rows of each step. The last batch of an epoch may be short.
    fn batches(&self) -> Vec<Range<usize>> {
        let batches = (0..self.rows).step_by(self.settings.batch_size);
        let batches = batches.map(|first| first..(first + self.settings.batch_size).min(self.rows));
        batches.collect::<Vec<_>>().into_iter().cycle().take(self.steps).collect()
    }

    /// Runs all steps and returns their losses. On a data set, each run has `steps_per_run` steps.
    fn train(&self, trainer: &mut Trainer, data: &CaseData, steps_per_run: usize) -> Result<Vec<f32>> {
        let batches = self.batches();
        if !self.is_manual {
            let runs = batches.chunks(steps_per_run).map(|steps| trainer.run(steps.len()).map(|report| report.losses));
            return Ok(runs.collect::<Result<Vec<_>>>()?.concat());
        }
        for batch in batches {
            let [x, t, weights] = data.rows(batch, self);
            match self.settings.sample_weights {
                true => trainer.step_weighted(x, t, weights),
                false => trainer.step(x, t),
            }?;
        }
        Ok(trainer.take_report()?.losses)
    }

    /// Trains on a device, and compares the losses and the parameters with the reference or the CPU engine.
    fn check(&self, device: &Device, rng: &mut Rng, context: &str) -> Result<()> {
        let data = self.random_data(rng)?;
        let mut trainer = self.trainer(device, &data)?;
        let expected = if self.has_dropout_or_noise() {
            self.train_on_cpu(&data)?
        } else {
            self.train_reference(&mut trainer, &data, context)?
        };
        let losses = self.train(&mut trainer, &data, self.steps)?;
        let tolerance = self.tolerance();
        for (step, (loss, expected)) in losses.iter().zip(&expected.losses).enumerate() {
            let error = (f64::from(*loss) - expected).abs() / expected.abs().max(0.1);
            assert!(error <= tolerance, "{context}: loss of step {step}: expected {expected}, got {loss}");
        }
        assert_eq!(losses.len(), expected.losses.len(), "{context}");
        self.compare(&format!("{context}: parameters"), &trainer.parameters()?, &expected.parameters, true);
        if let Some(ema) = expected.ema {
            self.compare(&format!("{context}: EMA"), &trainer.ema_parameters()?, &ema, true);
        }
        self.check_wrong_lengths(&mut trainer, &data, context)
    }

    /// Trains the reference. Also compares the gradients of the first batch.
    fn train_reference(&self, trainer: &mut Trainer, data: &CaseData, context: &str) -> Result<Trained> {
        let TrainerSettings { loss, optimizer, gradient_accumulation, schedule, sample_weights, .. } = &self.settings;
        let mut reference = Reference::new(&self.network, *loss, *optimizer, &trainer.parameters()?)?;
        reference = reference.with_gradient_accumulation(*gradient_accumulation as u64);
        let batches = self.batches();
        let [x, t, weights] = data.rows(batches[0].clone(), self);
        let gradients =
            if *sample_weights { trainer.gradients_weighted(x, t, weights) } else { trainer.gradients(x, t) };
        let [x, t, weights] = data.reference_rows(batches[0].clone(), self);
        let expected = reference.gradients_weighted(&x, &t, &weights)?;
        self.compare(&format!("{context}: gradients"), &gradients?, &expected, false);
        let mut losses = Vec::new();
        for (step, batch) in batches.into_iter().enumerate() {
            let [x, t, weights] = data.reference_rows(batch, self);
            let factor = schedule.factor((step / gradient_accumulation) as u64, 1);
            reference.set_learning_rate(factor * optimizer.learning_rate)?;
            losses.push(reference.step_weighted(&x, &t, &weights)?);
        }
        Ok(Trained { losses, parameters: reference.parameters().to_vec(), ema: reference.ema_parameters() })
    }

    /// Trains on the CPU engine with single steps. Dropout and noise follow from the seed, so they are the same there.
    fn train_on_cpu(&self, data: &CaseData) -> Result<Trained> {
        let mut trainer = self.trainer(&Device::cpu(), data)?;
        let losses = self.train(&mut trainer, data, 1)?.into_iter().map(f64::from).collect();
        let to_f64 = |layers: Vec<LayerParameters>| layers.iter().map(Parameters::from).collect();
        let ema = self.settings.optimizer.ema_decay.map(|_| trainer.ema_parameters()).transpose()?;
        Ok(Trained { losses, parameters: to_f64(trainer.parameters()?), ema: ema.map(to_f64) })
    }

    /// Checks that too short and too long arguments are errors and change no parameters.
    fn check_wrong_lengths(&self, trainer: &mut Trainer, data: &CaseData, context: &str) -> Result<()> {
        let before = trainer.parameters()?;
        let [x, t, _] = data.rows(0..1, self);
        let with_one_more = |values: &[f32]| [values, &[0.5]].concat();
        let mut too_few_weights = before.clone();
        too_few_weights[0].weight.pop();
        let errors = [
            trainer.step(&x[1..], t).err(),
            trainer.step(x, &with_one_more(t)).err(),
            trainer.step(&[], &[]).err(),
            trainer.step_weighted(x, t, &[1.0, 1.0]).err(),
            trainer.gradients(&x[1..], t).err(),
            trainer.gradients(x, &t[1..]).err(),
            trainer.predict(if x.len() == 1 { &[] } else { &x[1..] }).err(),
            trainer.set_parameters(&too_few_weights).err(),
            trainer.set_parameters(&before[1..]).err(),
            Dataset::new(1, with_one_more(x), t).and_then(|data| trainer.evaluate(&data)).err(),
        ];
        for (call, error) in errors.iter().enumerate() {
            assert!(error.is_some(), "{context}: no error of the wrong length in call {call}");
        }
        assert!(trainer.parameters()? == before, "{context}: an invalid call changed the parameters");
        Ok(())
    }

    /// Returns the tolerance relative to the largest number. The rounding error of f32, 6e-8, grows in sums, in
    /// normalizations that divide by small numbers, and in rules that divide a gradient by its magnitude.
    fn tolerance(&self) -> f64 {
        let has_normalization = self.network.layers().iter().any(|layer| layer.normalization.is_some());
        match self.settings.optimizer.rule {
            _ if has_normalization => 1e-2,
            UpdateRule::Sgd | UpdateRule::Momentum { .. } => 5e-5,
            _ => 2e-3,
        }
    }

    /// Compares parameters or gradients. `is_after_step` is true for parameters.
    fn compare(&self, context: &str, actual: &[LayerParameters], expected: &[Parameters], is_after_step: bool) {
        let tensors = |layer: &Parameters| {
            let Parameters { weight, bias, gamma, beta, prelu_slope } = layer.clone();
            [weight, bias, gamma, beta, prelu_slope]
        };
        let largest = expected.iter().flat_map(tensors).flatten().fold(0.0, |max: f64, value| max.max(value.abs()));
        let (mut wrong, mut count, mut worst) = (0, 0, (0.0, String::new()));
        for (i, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            let LayerParameters { weight, bias, gamma, beta, prelu_slope, .. } = actual;
            let actual_tensors = [weight, bias, gamma, beta, prelu_slope];
            let normalization = self.network.layers()[i].normalization;
            for (tensor, (actual, expected)) in actual_tensors.into_iter().zip(tensors(expected)).enumerate() {
                assert_eq!(actual.len(), expected.len(), "{context}: layer {i}, tensor {tensor}");
                // Batch normalization cancels the bias, so the gradient of the bias is only a rounding error.
                if tensor == 1 && normalization == Some(Normalization::Batch) {
                    continue;
                }
                for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                    let error = (f64::from(*actual) - expected).abs() / largest.max(1e-6);
                    let error = if error.is_nan() { f64::INFINITY } else { error };
                    count += 1;
                    wrong += usize::from(error > self.tolerance());
                    if error > worst.0 {
                        let location = format!("layer {i}, tensor {tensor}, index {index}");
                        worst = (error, format!("{location}: expected {expected}, got {actual}"));
                    }
                }
            }
        }
        // A gradient that is only a rounding error may have another sign, and a step that uses only signs then differs.
        let max_wrong = if is_after_step && uses_only_signs(&self.settings.optimizer) { count / 50 } else { 0 };
        assert!(
            wrong <= max_wrong,
            "{context}: {wrong} of {count} numbers differ; {} (error {:.1e})",
            worst.1,
            worst.0
        );
    }
}

/// Returns whether the rule uses only the sign of a gradient.
const fn uses_only_signs(optimizer: &Optimizer) -> bool {
    matches!(optimizer.rule, UpdateRule::Lion { .. } | UpdateRule::Rprop { .. })
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn random_cases_match_the_reference() {
    let cases: u64 = std::env::var("GRADUS_TEST_CASES").map_or(3, |cases| cases.parse().expect("a number of cases"));
    for device in devices() {
        for seed in 0..cases * if device.is_gpu() { 1 } else { 100 } {
            let mut rng = Rng(seed);
            let case = Case::random(&mut rng);
            let context = format!("{device}, seed {seed}, {case:?}");
            case.check(&device, &mut rng, &context).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
    }
}
