//! Checks of training: that what is trained with is right, and that it trains.

use crate::{
    data::dataset::Dataset,
    device::Device,
    diagnostics::{
        case::{Case, PlanVariant, network, test_values},
        end_to_end::{members, to_f64},
        worst_error::WorstError,
    },
    engine::{
        gpu::run::{engine::Engine, engine_layout::EngineConfig},
        reference::{Reference, formulas::Parameters},
        step::{Step, StepGenerator},
    },
    error::Result,
    nn::{
        activation::Activation,
        custom::{CustomActivation, CustomLoss},
        layout::LayerParameters,
        loss::Loss,
        network::Network,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    population::Population,
    train::{settings::TrainerSettings, trainer::Trainer},
};

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

/// What the slopes are taken of: smooth networks, so that a difference means something.
pub(crate) fn gradient_case(number: usize) -> (Network, Loss, &'static str) {
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
pub(crate) async fn gradients(worst: &mut WorstError, device: &Device, number: usize) -> Result<()> {
    let (network, loss, _) = gradient_case(number);
    let (rows, outputs) = (9, network.outputs());
    let x = test_values(rows * network.inputs(), 3);
    let one_hot = |i: usize| f32::from(u8::from(i % outputs == i / outputs % outputs));
    let t: Vec<f32> = (0..rows * outputs).map(one_hot).collect();
    let settings = TrainerSettings { batch_size: rows, loss, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings).await?;
    let first = trainer.parameters_async().await?;
    let ours: Vec<Parameters> = trainer.gradients_async(&x, &t).await?.iter().map(Parameters::from).collect();
    // The points to both sides are f32, so what lies between them is known exactly.
    let moved = |by: f32| {
        let mut layers = first.clone();
        let mut directions = test_values(251, 6).into_iter().cycle();
        for vector in layers.iter_mut().flat_map(vectors_mut) {
            vector.iter_mut().zip(&mut directions).for_each(|(p, d)| *p += by * d);
        }
        layers
    };
    let (up, down) = (moved(1e-3), moved(-1e-3));
    let loss_at = |layers: &[LayerParameters]| {
        Reference::new(&network, loss, Optimizer::sgd(0.1), layers)?.loss(&to_f64(&x), &to_f64(&t))
    };
    let difference = loss_at(&up)? - loss_at(&down)?;
    let mut along = 0.0;
    for ((up, down), ours) in up.iter().zip(&down).zip(&ours) {
        let (up, down) = (Parameters::from(up), Parameters::from(down));
        for (((_, up), (_, down)), (_, ours)) in up.vectors().into_iter().zip(down.vectors()).zip(ours.vectors()) {
            along += up.iter().zip(down).zip(ours).map(|((up, down), g)| g * (up - down)).sum::<f64>();
        }
    }
    worst.compare("the difference of the loss along a direction", &[along as f32], &[difference], 2e-4);
    Ok(())
}

/// A layer whose weights are the places, for an input of 1: its answers are the activation there, and the slopes of its
/// biases the activation's.
pub(crate) async fn activations(worst: &mut WorstError, device: &Device) -> Result<()> {
    const TEST_POINTS: [f32; 14] = [-1e4, -90.0, -20.0, -4.0, -2.6, -0.4, -1e-3, 1e-3, 0.2, 2.4, 5.0, 30.0, 95.0, 1e4];
    for activation in Activation::ALL {
        let network = Network::new(1).dense(TEST_POINTS.len(), *activation);
        let settings = TrainerSettings { batch_size: 1, ..TrainerSettings::default() };
        let mut trainer = Trainer::new_async(device, &network, None, settings.clone()).await?;
        let mut parameters = trainer.parameters_async().await?;
        parameters[0].weight = TEST_POINTS.to_vec();
        parameters[0].bias.fill(0.0);
        trainer.set_parameters(&parameters)?;
        let reference = Reference::new(&network, settings.loss, settings.optimizer, &parameters)?;
        let values = trainer.predict_async(&[1.0]).await?;
        // Expected is what lies opposite, so that the difference loses no digits.
        let t: Vec<f32> = values.iter().map(|a| -a).collect();
        let slopes = &trainer.gradients_async(&[1.0], &t).await?[0].bias;
        let their_values = reference.predict(&[1.0])?;
        let their_slopes = &reference.gradients(&[1.0], &to_f64(&t))?[0].bias;
        for (i, z) in TEST_POINTS.iter().enumerate() {
            let least = f64::from(z.abs().min(1.0));
            worst.compare_with_floor(format!("{activation} of {z}"), &values[i..=i], &their_values[i..=i], least, 1e-5);
            let what = format!("slope of {activation} at {z}");
            worst.compare_with_floor(
                what,
                &slopes[i..=i],
                &their_slopes[i..=i],
                least / TEST_POINTS.len() as f64,
                1e-5,
            );
        }
    }
    Ok(())
}

pub(crate) async fn training(worst: &mut WorstError, device: &Device) -> Result<()> {
    const STEPS: usize = 100;
    let (x, t) = ([0.0_f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0_f32, 1.0, 1.0, 0.0]);
    let data = Dataset::new(4, &x, &t)?;
    let network = Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Sigmoid);
    let optimizer = Optimizer::momentum(0.5, 0.9);
    let settings = TrainerSettings { batch_size: 4, optimizer, seed: 1, ..TrainerSettings::default() };
    let mut runs = Vec::new();
    let mut reference = None;
    for _ in 0..2 {
        let mut trainer = Trainer::new_async(device, &network, Some(&data), settings.clone()).await?;
        if reference.is_none() {
            let first = trainer.parameters_async().await?;
            reference = Some(Reference::new(&network, settings.loss, optimizer, &first)?);
        }
        let losses = trainer.run_async(STEPS).await?.losses;
        runs.push((losses, parameter_bits(&trainer.parameters_async().await?)));
    }
    let theirs =
        reference.iter_mut().flat_map(|reference| (0..STEPS).map(|_| reference.step(&to_f64(&x), &to_f64(&t))));
    let theirs = theirs.collect::<Result<Vec<_>>>()?;
    let [(losses, parameters), (again, parameters_again)] = &runs[..] else { return Ok(()) };
    worst.compare("losses", losses, &theirs, 1e-3);
    let learned = losses.last().is_some_and(|loss| *loss < 0.02);
    worst.compare_equal("whether it is learned", &[learned], &[true]);
    worst.compare_equal("losses of a second run", &value_bits(again), &value_bits(losses));
    worst.compare_equal("parameters of a second run", parameters_again, parameters);
    Ok(())
}

/// A training refuses a formula whose WGSL says something else than its Rust; one that it takes is compared like any other.
pub(crate) async fn custom_functions(worst: &mut WorstError, device: &Device) -> Result<()> {
    let network = Network::new(3).dense(5, Activation::Custom(&CUBE)).dense(2, Activation::Tanh);
    let loss = Loss::Custom(&QUARTIC);
    let settings = TrainerSettings { batch_size: 7, loss, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings.clone()).await?;
    let mut reference = Reference::new(&network, loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let (x, t) = (test_values(21, 1), test_values(14, 2));
    trainer.step_async(&x, &t).await?;
    let theirs = reference.step(&to_f64(&x), &to_f64(&t))?;
    worst.compare("loss", &[trainer.last_loss_async().await?], &[theirs], 1e-5);
    for (i, (ours, theirs)) in trainer.parameters_async().await?.iter().zip(reference.parameters()).enumerate() {
        worst.compare(format!("weights in layer {i}"), &ours.weight, &theirs.weight, 1e-5);
    }
    Ok(())
}

/// The same population on a data set that the device holds, and on one that is brought row by row.
pub(crate) async fn stream(worst: &mut WorstError, device: &Device) -> Result<()> {
    const STEPS: usize = 150;
    let (rows, network) = (500, network(&[3, 2], Activation::Tanh));
    let data = Dataset::new(rows, test_values(rows * 3, 1), test_values(rows * 2, 2))?;
    let members = members(&TrainerSettings { batch_size: 8, ..TrainerSettings::default() });
    let mut trained = Vec::new();
    for device in [device.clone(), device.clone().with_dataset_memory_limit(0)] {
        let mut population = Population::new_async(&device, &network, &data, &members).await?;
        let losses = population.run_async(STEPS).await?.into_iter().flat_map(|report| value_bits(&report.losses));
        let mut parameters = Vec::new();
        for number in 0..members.len() {
            parameters.extend(parameter_bits(&population.parameters_async(number).await?));
        }
        trained.push((losses.collect::<Vec<_>>(), parameters));
    }
    if let [(losses, parameters), (streamed_losses, streamed_parameters)] = &trained[..] {
        worst.compare_equal("losses", streamed_losses, losses);
        worst.compare_equal("parameters", streamed_parameters, parameters);
    }
    Ok(())
}

/// The table of steps that the device makes is what the host knows of each, to the last bit.
pub(crate) async fn step_table(worst: &mut WorstError, device: &Device) -> Result<()> {
    let Some(gpu) = device.gpu() else { return Ok(()) };
    let case = Case {
        member_count: 3,
        gradient_accumulation: 3,
        schedule: Schedule::cosine(50),
        optimizer: Optimizer::adam(0.1).weight_decay(0.01),
        ..Case::new(network(&[3, 2], Activation::Tanh), PlanVariant::Planned)
    };
    let courses =
        (0..3).map(|model| Ok(StepGenerator { seed: u64::MAX - model as u64, ..case.step_generator(model)? }));
    let courses = courses.collect::<Result<Vec<_>>>()?;
    let data = case.data()?;
    let setup = EngineConfig { generators: courses.clone(), ..case.engine_config(Some(&data), None)? };
    let engine = Engine::new(gpu, setup).await?;
    // Epochs beyond 32 bits, and a chunk that is neither at the start of one nor of an update.
    let (first, before, ring, count) = ((1 << 33) * 3 + 1, 7, 5, 20);
    let table = engine.read_step_table((first, before), ring, count).await?;
    let expected = (0..table.len()).map(|i| {
        let (step, model) = (i / 3, i % 3);
        if step >= count {
            return Step::default();
        }
        let (n, before) = (first + step as u64, before + step as u64);
        Step { metrics_index: (ring + step) as u32, ..courses[model].step(n, before) }
    });
    let expected: Vec<Step> = expected.collect();
    worst.compare_equal("steps", &table, &expected);
    Ok(())
}

fn vectors_mut(layer: &mut LayerParameters) -> [&mut Vec<f32>; 5] {
    let LayerParameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope, .. } = layer;
    [weight, bias, gain, shift, slope]
}

fn value_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Weights and biases as bits.
fn parameter_bits(layers: &[LayerParameters]) -> Vec<u32> {
    layers.iter().flat_map(|layer| value_bits(&[&layer.weight[..], &layer.bias].concat())).collect()
}
