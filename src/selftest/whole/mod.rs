//! Checks of what a caller calls: whole networks through the doors that a program goes through.

use super::{
    case::{Case, Form, network, numbers},
    found::Found,
};
use crate::{
    Activation, CustomActivation, CustomLoss, Dataset, Device, Ensemble, Fold, LayerParameters, Loss, Member, Model,
    Network, Optimizer, Population, Result, Rows, Schedule, Settings, Trainer,
    cpu::reference::{Parameters, Reference},
    device::Machine,
    gpu::{draft::Setup, engine::Engine, trial::recorded},
    step::{Course, Step},
};

/// What is checked besides what is trained beside the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// The gradients are the slopes of the loss, of a network of this number.
    Slopes(usize),
    /// Values and slopes of every activation, near 0 and where it bends and ends.
    Activations,
    /// XOR is learned, with the losses of the reference, and again with the same bits.
    Training,
    /// What a trainer says a network is worth on a data set.
    Evaluation,
    /// What networks are worth on rows of their own, of classes or of values.
    Scores { classes: bool },
    /// Rows that the device does not hold are the rows that it would hold, on GPUs alone.
    Stream,
    /// What networks answer together, with one output or several.
    Ensemble { outputs: usize },
    /// Formulas of the caller's own.
    Formulas,
    /// Predictions that are recorded, on GPUs alone.
    Recorded,
    /// The table of steps that the device makes, on GPUs alone.
    Steps,
}

static CUBE: CustomActivation = CustomActivation::new(
    "cube",
    "fn cube(z: vec4f) -> vec4f { return z * z * z; } fn cube_gradient(z: vec4f) -> vec4f { return 3.0 * z * z; }",
    |z| z * z * z,
    |z| 3.0 * z * z,
);

static QUARTIC: CustomLoss = CustomLoss::new(
    "quartic",
    "fn quartic(y: vec4f, t: vec4f) -> vec4f { return (y - t) * (y - t) * (y - t) * (y - t); }
    fn quartic_gradient(y: vec4f, t: vec4f) -> vec4f { return 4.0 * (y - t) * (y - t) * (y - t); }",
    |y, t| (y - t).powi(4),
    |y, t| 4.0 * (y - t).powi(3),
);

impl Whole {
    pub(crate) const ALL: [Self; 14] = [
        Self::Slopes(0),
        Self::Slopes(1),
        Self::Slopes(2),
        Self::Activations,
        Self::Training,
        Self::Evaluation,
        Self::Scores { classes: true },
        Self::Scores { classes: false },
        Self::Stream,
        Self::Ensemble { outputs: 1 },
        Self::Ensemble { outputs: 3 },
        Self::Recorded,
        Self::Formulas,
        Self::Steps,
    ];

    pub(crate) const fn part(self) -> &'static str {
        match self {
            Self::Slopes(_) => "finite differences",
            Self::Activations => "activations and losses",
            Self::Training => "training",
            Self::Stream => "data",
            Self::Evaluation | Self::Scores { .. } | Self::Ensemble { .. } | Self::Recorded => "answers",
            Self::Formulas | Self::Steps => "tables",
        }
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Slopes(number) => format!("slopes of the loss: {}", slopes_of(number).2),
            Self::Activations => "every activation from -10000 to 10000".to_owned(),
            Self::Training => "XOR, 2-8-1 tanh sigmoid, mse, momentum, 100 steps, twice".to_owned(),
            Self::Evaluation => "evaluation of classes".to_owned(),
            Self::Scores { classes } => {
                format!("scores of 3 networks on {}", if classes { "classes" } else { "values" })
            }
            Self::Stream => "rows streamed to 3 networks".to_owned(),
            Self::Ensemble { outputs } => format!("5 networks together, outputs: {outputs}"),
            Self::Formulas => "formulas of the caller's own".to_owned(),
            Self::Recorded => "a recorded prediction".to_owned(),
            Self::Steps => "the table of steps".to_owned(),
        }
    }

    pub(crate) const fn needs_gpu(self) -> bool {
        matches!(self, Self::Stream | Self::Recorded | Self::Steps)
    }

    /// # Errors
    /// Whatever goes wrong before there is something to compare.
    pub(crate) async fn run(self, device: &Device) -> Result<Found> {
        let mut found = Found::default();
        match self {
            Self::Slopes(number) => slopes(&mut found, device, number).await?,
            Self::Activations => activations(&mut found, device).await?,
            Self::Training => training(&mut found, device).await?,
            Self::Evaluation => evaluation(&mut found, device).await?,
            Self::Scores { classes } => scores(&mut found, device, classes).await?,
            Self::Stream => stream(&mut found, device).await?,
            Self::Ensemble { outputs } => ensemble(&mut found, device, outputs).await?,
            Self::Formulas => formulas(&mut found, device).await?,
            Self::Recorded => recording(&mut found, device).await?,
            Self::Steps => steps(&mut found, device).await?,
        }
        Ok(found)
    }
}

/// What the slopes are taken of: smooth networks, so that a difference means something.
fn slopes_of(number: usize) -> (Network, Loss, &'static str) {
    let tanh = Activation::Tanh;
    match number {
        0 => (network(&[5, 9, 3], Activation::Sigmoid), Loss::Mse, "sigmoid, mse"),
        1 => {
            let network = Network::new(5).dense(9, Activation::Gelu).dense(4, Activation::Softmax);
            (network, Loss::SoftmaxCrossEntropy, "gelu, softmax cross-entropy")
        }
        _ => {
            let network = Network::new(5).dense(9, tanh).layer_norm().dense(8, Activation::Mish).batch_norm();
            (network.dense(2, tanh), Loss::LogCosh, "layer norm, batch norm, log-cosh")
        }
    }
}

/// The slope of the loss along one direction: the device's gradients against the difference of the reference's losses a
/// little to both sides, which no gradient formula has any part in.
async fn slopes(found: &mut Found, device: &Device, number: usize) -> Result<()> {
    let (network, loss, _) = slopes_of(number);
    let (rows, outputs) = (9, network.outputs());
    let x = numbers(rows * network.inputs(), 3);
    let one_hot = |i: usize| f32::from(u8::from(i % outputs == i / outputs % outputs));
    let t: Vec<f32> = (0..rows * outputs).map(one_hot).collect();
    let settings = Settings { batch: rows, loss, ..Settings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings).await?;
    let first = trainer.parameters_async().await?;
    let ours: Vec<Parameters> = trainer.gradients_async(&x, &t).await?.iter().map(Parameters::from).collect();
    // The points to both sides are f32, so what lies between them is known exactly.
    let moved = |by: f32| {
        let mut layers = first.clone();
        let mut directions = numbers(251, 6).into_iter().cycle();
        for vector in layers.iter_mut().flat_map(vectors_mut) {
            vector.iter_mut().zip(&mut directions).for_each(|(p, d)| *p += by * d);
        }
        layers
    };
    let (up, down) = (moved(1e-3), moved(-1e-3));
    let loss_at = |layers: &[LayerParameters]| {
        Reference::new(&network, loss, Optimizer::sgd(0.1), layers)?.loss(&wide(&x), &wide(&t))
    };
    let difference = loss_at(&up)? - loss_at(&down)?;
    let mut along = 0.0;
    for ((up, down), ours) in up.iter().zip(&down).zip(&ours) {
        let (up, down) = (Parameters::from(up), Parameters::from(down));
        for (((_, up), (_, down)), (_, ours)) in up.vectors().into_iter().zip(down.vectors()).zip(ours.vectors()) {
            along += up.iter().zip(down).zip(ours).map(|((up, down), g)| g * (up - down)).sum::<f64>();
        }
    }
    found.compare("the difference of the loss along a direction", &[along as f32], &[difference], 2e-4);
    Ok(())
}

/// A layer whose weights are the places, for an input of 1: its answers are the activation there, and the slopes of its
/// biases the activation's.
async fn activations(found: &mut Found, device: &Device) -> Result<()> {
    const PLACES: [f32; 14] = [-1e4, -90.0, -20.0, -4.0, -2.6, -0.4, -1e-3, 1e-3, 0.2, 2.4, 5.0, 30.0, 95.0, 1e4];
    for activation in Activation::ALL {
        let network = Network::new(1).dense(PLACES.len(), *activation);
        let settings = Settings { batch: 1, ..Settings::default() };
        let mut trainer = Trainer::new_async(device, &network, None, settings.clone()).await?;
        let mut parameters = trainer.parameters_async().await?;
        parameters[0].weight = PLACES.to_vec();
        parameters[0].bias.fill(0.0);
        trainer.set_parameters(&parameters)?;
        let reference = Reference::new(&network, settings.loss, settings.optimizer, &parameters)?;
        let values = trainer.predict_async(&[1.0]).await?;
        // Expected is what lies opposite, so that the difference loses no digits.
        let t: Vec<f32> = values.iter().map(|a| -a).collect();
        let slopes = &trainer.gradients_async(&[1.0], &t).await?[0].bias;
        let their_values = reference.predict(&[1.0])?;
        let their_slopes = &reference.gradients(&[1.0], &wide(&t))?[0].bias;
        for (i, z) in PLACES.iter().enumerate() {
            let least = f64::from(z.abs().min(1.0));
            found.compare_to(format!("{activation} of {z}"), &values[i..=i], &their_values[i..=i], least, 1e-5);
            let what = format!("slope of {activation} at {z}");
            found.compare_to(what, &slopes[i..=i], &their_slopes[i..=i], least / PLACES.len() as f64, 1e-5);
        }
    }
    Ok(())
}

async fn training(found: &mut Found, device: &Device) -> Result<()> {
    const STEPS: usize = 100;
    let (x, t) = ([0.0_f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0_f32, 1.0, 1.0, 0.0]);
    let data = Dataset::new(4, &x, &t)?;
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let optimizer = Optimizer::momentum(0.5, 0.9);
    let settings = Settings { batch: 4, optimizer, seed: 1, ..Settings::default() };
    let mut runs = Vec::new();
    let mut reference = None;
    for _ in 0..2 {
        let mut trainer = Trainer::new_async(device, &network, Some(&data), settings.clone()).await?;
        if reference.is_none() {
            let first = trainer.parameters_async().await?;
            reference = Some(Reference::new(&network, settings.loss, optimizer, &first)?);
        }
        let losses = trainer.run_async(STEPS).await?.losses;
        runs.push((losses, bits(&trainer.parameters_async().await?)));
    }
    let theirs = reference.iter_mut().flat_map(|reference| (0..STEPS).map(|_| reference.step(&wide(&x), &wide(&t))));
    let theirs = theirs.collect::<Result<Vec<_>>>()?;
    let [(losses, parameters), (again, parameters_again)] = &runs[..] else { return Ok(()) };
    found.compare("losses", losses, &theirs, 1e-3);
    let learned = losses.last().is_some_and(|loss| *loss < 0.02);
    found.same("whether it is learned", &[learned], &[true]);
    found.same("losses of a second run", &bits_of(again), &bits_of(losses));
    found.same("parameters of a second run", parameters_again, parameters);
    Ok(())
}

async fn evaluation(found: &mut Found, device: &Device) -> Result<()> {
    let network = network(&[5, 4], Activation::Softmax);
    // More than go at once.
    let rows = 4500;
    let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 4).collect();
    let data = Dataset::new(rows, numbers(rows * 5, 1), classes)?;
    let settings = Settings { loss: Loss::SoftmaxCrossEntropy, ..Settings::default() };
    let mut trainer = Trainer::new_async(device, &network, Some(&data), settings.clone()).await?;
    let reference = Reference::new(&network, settings.loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let metrics = trainer.evaluate_async(&data).await?;
    let (x, t) = all_rows(&data, &(0..rows).collect::<Vec<_>>(), 4);
    found.compare("loss", &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
    let right = right_of(&reference.predict(&x)?, &t, 4);
    found.compare("accuracy", &[metrics.accuracy().unwrap_or(f64::NAN) as f32], &[right as f64 / rows as f64], 1e-6);
    Ok(())
}

async fn scores(found: &mut Found, device: &Device, classes: bool) -> Result<()> {
    let rows = 70;
    let (network, loss, outputs) = if classes {
        (network(&[5, 4], Activation::Identity), Loss::SoftmaxCrossEntropy, 4)
    } else {
        (network(&[5, 2], Activation::Identity), Loss::Mse, 2)
    };
    let x = numbers(rows * 5, 1);
    let data = if classes {
        Dataset::new(rows, x, (0..rows as u32).map(|row| row * 7 % 4).collect::<Vec<_>>())?
    } else {
        Dataset::new(rows, x, numbers(rows * 2, 2))?
    };
    let member = |fold| {
        let settings = Settings { batch: 16, loss, seed: fold as u64, ..Settings::default() };
        Member::new(settings).on(Rows::WithoutFold(Fold { fold, folds: 3, seed: Some(5) }))
    };
    let members: Vec<Member> = (0..3).map(member).collect();
    let mut population = Population::new_async(device, &network, &data, &members).await?;
    population.run_async(3).await?;
    let left_out: Vec<Rows> = members.iter().filter_map(|member| member.rows.left_out()).collect();
    let some = population.evaluate_rows_async(&left_out).await?;
    let all = population.evaluate_async(&data).await?;
    for number in 0..members.len() {
        let parameters = population.parameters_async(number).await?;
        let reference = Reference::new(&network, loss, Optimizer::sgd(0.1), &parameters)?;
        for (metrics, rows) in [(&some[number], left_out[number].of(rows)?), (&all[number], (0..rows).collect())] {
            let (x, t) = all_rows(&data, &rows, outputs);
            let y = reference.predict(&x)?;
            let of = format!("of network {number} on {} rows", rows.len());
            found.compare(format!("loss {of}"), &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
            if classes {
                let right = right_of(&y, &t, outputs) as f64 / rows.len() as f64;
                let ours = metrics.accuracy().unwrap_or(f64::NAN) as f32;
                found.compare(format!("accuracy {of}"), &[ours], &[right], 1e-6);
            } else {
                let absolute = y.iter().zip(&t).map(|(y, t)| (y - t).abs()).sum::<f64>() / y.len() as f64;
                let ours = metrics.mean_absolute_error().unwrap_or(f64::NAN) as f32;
                found.compare(format!("mean absolute error {of}"), &[ours], &[absolute], 1e-5);
                let squared = y.iter().zip(&t).map(|(y, t)| (y - t).powi(2)).sum::<f64>() / y.len() as f64;
                let ours = metrics.mean_squared_error().unwrap_or(f64::NAN) as f32;
                found.compare(format!("mean squared error {of}"), &[ours], &[squared], 1e-5);
            }
        }
    }
    Ok(())
}

/// The same population on a data set that the device holds, and on one that is brought row by row.
async fn stream(found: &mut Found, device: &Device) -> Result<()> {
    const STEPS: usize = 150;
    let (rows, network) = (500, network(&[3, 2], Activation::Tanh));
    let data = Dataset::new(rows, numbers(rows * 3, 1), numbers(rows * 2, 2))?;
    let member = |fold| {
        let settings = Settings { batch: 8, seed: fold as u64, ..Settings::default() };
        Member::new(settings).on(Rows::WithoutFold(Fold { fold, folds: 3, seed: Some(5) }))
    };
    let members: Vec<Member> = (0..3).map(member).collect();
    let mut trained = Vec::new();
    for device in [device.clone(), device.clone().with_resident_limit(0)] {
        let mut population = Population::new_async(&device, &network, &data, &members).await?;
        let losses = population.run_async(STEPS).await?.into_iter().flat_map(|report| bits_of(&report.losses));
        let mut parameters = Vec::new();
        for number in 0..members.len() {
            parameters.extend(bits(&population.parameters_async(number).await?));
        }
        trained.push((losses.collect::<Vec<_>>(), parameters));
    }
    if let [(losses, parameters), (streamed_losses, streamed_parameters)] = &trained[..] {
        found.same("losses", streamed_losses, losses);
        found.same("parameters", streamed_parameters, parameters);
    }
    Ok(())
}

async fn ensemble(found: &mut Found, device: &Device, outputs: usize) -> Result<()> {
    let (rows, networks) = (19, 5);
    let network = network(&[4, outputs], Activation::Sigmoid);
    let x = numbers(rows * 4, 3);
    let mut models = Vec::new();
    let mut answers = Vec::new();
    for seed in 0..networks {
        let flat = network.initial(seed as u64)?;
        let parameters = network.layers_of(&flat, &[]);
        answers.push(Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &parameters)?.predict(&wide(&x))?);
        models.push(Model::new(network.clone(), parameters)?);
    }
    let consensus = Ensemble::new_async(device, &models).await?.predict_async(&x).await?;
    let count = networks as f64;
    let over = |of: &dyn Fn(usize) -> f64| (0..rows * outputs).map(of).collect::<Vec<_>>();
    let mean = over(&|i| answers.iter().map(|y| y[i]).sum::<f64>() / count);
    let deviation = over(&|i| (answers.iter().map(|y| (y[i] - mean[i]).powi(2)).sum::<f64>() / count).sqrt());
    found.compare("means", &consensus.mean, &mean, 1e-5);
    found.compare("deviations", &consensus.deviation, &deviation, 1e-4);
    let classes = outputs.max(2);
    let mut shares = vec![0.0; rows * classes];
    for y in &answers {
        for (row, y) in y.chunks_exact(outputs).enumerate() {
            let class = match y {
                [y] => usize::from(*y > 0.5),
                _ => first_largest(y),
            };
            shares[row * classes + class] += 1.0 / count;
        }
    }
    let ours = consensus.votes.map(|votes| votes.shares).unwrap_or_default();
    found.compare("votes", &ours, &shares, 1e-5);
    Ok(())
}

/// A training refuses a formula whose WGSL says something else than its Rust; one that it takes is compared like any other.
async fn formulas(found: &mut Found, device: &Device) -> Result<()> {
    let network = Network::new(3).dense(5, Activation::Custom(&CUBE)).dense(2, Activation::Tanh);
    let loss = Loss::Custom(&QUARTIC);
    let settings = Settings { batch: 7, loss, ..Settings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings.clone()).await?;
    let mut reference = Reference::new(&network, loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let (x, t) = (numbers(21, 1), numbers(14, 2));
    trainer.step_async(&x, &t).await?;
    let theirs = reference.step(&wide(&x), &wide(&t))?;
    found.compare("loss", &[trainer.loss_async().await?], &[theirs], 1e-5);
    for (i, (ours, theirs)) in trainer.parameters_async().await?.iter().zip(reference.parameters()).enumerate() {
        found.compare(format!("weights in layer {i}"), &ours.weight, &theirs.weight, 1e-5);
    }
    Ok(())
}

async fn recording(found: &mut Found, device: &Device) -> Result<()> {
    let Machine::Gpu(gpu) = &device.machine else { return Ok(()) };
    let network = network(&[5, 3], Activation::Tanh);
    let (flat, x) = (network.initial(2)?, numbers(7 * 5, 1));
    let ours = recorded(gpu, &network, &flat, &x).await?;
    let reference = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &network.layers_of(&flat, &[]))?;
    found.compare("outputs", &ours, &reference.predict(&wide(&x))?, 1e-5);
    Ok(())
}

/// The table of steps that the device makes is what the host knows of each, to the last bit.
async fn steps(found: &mut Found, device: &Device) -> Result<()> {
    let Machine::Gpu(gpu) = &device.machine else { return Ok(()) };
    let case = Case {
        models: 3,
        accumulate: 3,
        schedule: Schedule::cosine(50),
        optimizer: Optimizer::adam(0.1).weight_decay(0.01),
        ..Case::new(network(&[3, 2], Activation::Tanh), Form::Planned)
    };
    let courses = (0..3).map(|model| Ok(Course { seed: u64::MAX - model as u64, ..case.course(model)? }));
    let courses = courses.collect::<Result<Vec<_>>>()?;
    let data = case.data()?;
    let setup = Setup { courses: courses.clone(), ..case.setup(Some(&data), None)? };
    let engine = Engine::new(gpu, setup).await?;
    // Epochs beyond 32 bits, and a chunk that is neither at the start of one nor of an update.
    let (first, before, ring, count) = ((1 << 33) * 3 + 1, 7, 5, 20);
    let table = engine.table((first, before), ring, count).await?;
    let expected = (0..table.len()).map(|i| {
        let (step, model) = (i / 3, i % 3);
        if step >= count {
            return Step::default();
        }
        let (n, before) = (first + step as u64, before + step as u64);
        Step { ring: (ring + step) as u32, ..courses[model].step(n, before) }
    });
    let expected: Vec<Step> = expected.collect();
    found.same("steps", &table, &expected);
    Ok(())
}

/// The rows with these numbers, as the reference takes them.
fn all_rows(data: &Dataset, rows: &[usize], outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut t) = (vec![0.0; data.inputs()], vec![0.0; outputs]);
    let [mut inputs, mut expected] = [const { Vec::new() }; 2];
    for row in rows {
        data.write_features(*row, &mut x);
        data.write_expected(*row, &mut t);
        inputs.extend(wide(&x));
        expected.extend(wide(&t));
    }
    (inputs, expected)
}

/// How many rows have their largest output where the largest is expected.
fn right_of(y: &[f64], t: &[f64], outputs: usize) -> usize {
    let rows = y.chunks_exact(outputs).zip(t.chunks_exact(outputs));
    rows.filter(|(y, t)| first_largest(y) == first_largest(t)).count()
}

fn first_largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn vectors_mut(layer: &mut LayerParameters) -> [&mut Vec<f32>; 5] {
    let LayerParameters { weight, bias, gain, shift, slope, .. } = layer;
    [weight, bias, gain, shift, slope]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn bits_of(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Weights and biases as bits.
fn bits(layers: &[LayerParameters]) -> Vec<u32> {
    layers.iter().flat_map(|layer| bits_of(&[&layer.weight[..], &layer.bias].concat())).collect()
}
