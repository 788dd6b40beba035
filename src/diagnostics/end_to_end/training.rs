//! Checks of training: gradients, activations, custom functions, streams and whole training runs.

use crate::{
    data::dataset::Dataset,
    device::Device,
    diagnostics::{
        case::{Case, PlanVariant, network, test_values},
        end_to_end::setup::{fold_members, to_f64},
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
        loss::Loss,
        network::Network,
        parameters::LayerParameters,
    },
    optim::{optimizer::Optimizer, schedule::Schedule},
    population::Population,
    train::{settings::TrainerSettings, trainer::Trainer},
};

static CUBE: CustomActivation = CustomActivation::new(
    "cube",
    "fn cube(z: vec4f) -> vec4f { return z * z * z; } fn cube_derivative(z: vec4f) -> vec4f { return 3.0 * z * z; }",
    |z| z * z * z,
    |z| 3.0 * z * z,
);

static QUARTIC: CustomLoss = CustomLoss::new(
    "quartic",
    "fn quartic(y: vec4f, t: vec4f) -> vec4f { return (y - t) * (y - t) * (y - t) * (y - t); }
    fn quartic_derivative(y: vec4f, t: vec4f) -> vec4f { return 4.0 * (y - t) * (y - t) * (y - t); }",
    |y, t| (y - t).powi(4),
    |y, t| 4.0 * (y - t).powi(3),
);

/// A network whose gradients are compared with finite differences.
pub(crate) struct GradientCase {
    pub(crate) network: Network,
    pub(crate) loss: Loss,
    pub(crate) name: &'static str,
}

/// Returns the gradient case of a number, 0 to 2. All networks are smooth, because finite differences are inaccurate at
/// kinks.
pub(crate) fn gradient_case(number: usize) -> GradientCase {
    let tanh = Activation::Tanh;
    match number {
        0 => {
            let network = network(&[5, 9, 3], Activation::Sigmoid);
            GradientCase { network, loss: Loss::Mse, name: "sigmoid, mse" }
        }
        1 => {
            let network = Network::new(5).dense(9, Activation::Gelu).dense(4, Activation::Softmax);
            GradientCase { network, loss: Loss::SoftmaxCrossEntropy, name: "gelu, softmax cross-entropy" }
        }
        _ => {
            let network = Network::new(5).dense(9, tanh).layer_norm().dense(8, Activation::Mish).batch_norm();
            let network = network.dense(2, tanh);
            GradientCase { network, loss: Loss::LogCosh, name: "layer norm, batch norm, log-cosh" }
        }
    }
}

/// Compares the directional derivative of the loss, computed from the gradients of the device, with a central
/// difference of losses of the reference. The difference uses no formula of a gradient.
pub(crate) async fn gradients(worst: &mut WorstError, device: &Device, number: usize) -> Result<()> {
    let GradientCase { network, loss, .. } = gradient_case(number);
    let (rows, outputs) = (9, network.outputs());
    let x = test_values(rows * network.inputs(), 3);
    let one_hot = |i: usize| f32::from(u8::from(i % outputs == i / outputs % outputs));
    let t: Vec<f32> = (0..rows * outputs).map(one_hot).collect();
    let settings = TrainerSettings { batch_size: rows, loss, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings).await?;
    let initial = trainer.parameters_async().await?;
    let gradients: Vec<Parameters> = trainer.gradients_async(&x, &t).await?.iter().map(Parameters::from).collect();
    let shift = |distance: f32| {
        let mut layers = initial.clone();
        let mut directions = test_values(251, 6).into_iter().cycle();
        for vector in layers.iter_mut().flat_map(vectors_mut) {
            vector.iter_mut().zip(&mut directions).for_each(|(p, direction)| *p += distance * direction);
        }
        layers
    };
    // Both points are rounded to f32. The directional derivative uses their actual difference.
    let (up, down) = (shift(1e-3), shift(-1e-3));
    let loss_at = |layers: &[LayerParameters]| {
        Reference::new(&network, loss, Optimizer::sgd(0.1), layers)?.loss(&to_f64(&x), &to_f64(&t))
    };
    let difference = loss_at(&up)? - loss_at(&down)?;
    let mut predicted_difference = 0.0;
    for ((up, down), gradient) in up.iter().zip(&down).zip(&gradients) {
        let (up, down) = (Parameters::from(up), Parameters::from(down));
        let vectors = up.vectors().into_iter().zip(down.vectors()).zip(gradient.vectors());
        for (((_, up), (_, down)), (_, gradient)) in vectors {
            let products = up.iter().zip(down).zip(gradient).map(|((up, down), g)| g * (up - down));
            predicted_difference += products.sum::<f64>();
        }
    }
    worst.compare("loss difference along a direction", &[predicted_difference as f32], &[difference], 2e-4);
    Ok(())
}

/// Compares the values and derivatives of every activation at test points.
///
/// The weights of a layer are the test points. For an input of 1, its outputs are the values of the activation, and the
/// gradients of its biases are proportional to the derivatives.
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
        // Targets with the opposite sign avoid cancellation in y - t.
        let t: Vec<f32> = values.iter().map(|a| -a).collect();
        let gradients = &trainer.gradients_async(&[1.0], &t).await?[0].bias;
        let reference_values = reference.predict(&[1.0])?;
        let reference_gradients = &reference.gradients(&[1.0], &to_f64(&t))?[0].bias;
        for (i, z) in TEST_POINTS.iter().enumerate() {
            let min_scale = f64::from(z.abs().min(1.0));
            let quantity = format!("{activation} at {z}");
            worst.compare_with_floor(quantity, &values[i..=i], &reference_values[i..=i], min_scale, 1e-5);
            // The loss is a mean over the outputs, which divides the gradients by their number.
            let min_scale = min_scale / TEST_POINTS.len() as f64;
            let quantity = format!("derivative of {activation} at {z}");
            worst.compare_with_floor(quantity, &gradients[i..=i], &reference_gradients[i..=i], min_scale, 1e-5);
        }
    }
    Ok(())
}

/// Compares the losses of a training run on XOR with the reference, and a second run bit by bit.
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
            let initial = trainer.parameters_async().await?;
            reference = Some(Reference::new(&network, settings.loss, optimizer, &initial)?);
        }
        let losses = trainer.run_async(STEPS).await?.losses;
        runs.push((losses, parameter_bits(&trainer.parameters_async().await?)));
    }
    let mut reference_losses = Vec::with_capacity(STEPS);
    if let Some(mut reference) = reference {
        for _ in 0..STEPS {
            reference_losses.push(reference.step(&to_f64(&x), &to_f64(&t))?);
        }
    }
    let [(losses, parameters), (repeated_losses, repeated_parameters)] = &runs[..] else { return Ok(()) };
    worst.compare("losses", losses, &reference_losses, 1e-3);
    let has_converged = losses.last().is_some_and(|loss| *loss < 0.02);
    worst.compare_equal("final loss below 0.02", &[has_converged], &[true]);
    worst.compare_equal("losses of a second run", &value_bits(repeated_losses), &value_bits(losses));
    worst.compare_equal("parameters of a second run", repeated_parameters, parameters);
    Ok(())
}

/// Compares a step with a custom activation and a custom loss. [`Trainer::new_async`] itself compares their WGSL with
/// their Rust code.
pub(crate) async fn custom_functions(worst: &mut WorstError, device: &Device) -> Result<()> {
    let network = Network::new(3).dense(5, Activation::Custom(&CUBE)).dense(2, Activation::Tanh);
    let loss = Loss::Custom(&QUARTIC);
    let settings = TrainerSettings { batch_size: 7, loss, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, None, settings.clone()).await?;
    let mut reference = Reference::new(&network, loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let (x, t) = (test_values(21, 1), test_values(14, 2));
    trainer.step_async(&x, &t).await?;
    let reference_loss = reference.step(&to_f64(&x), &to_f64(&t))?;
    worst.compare("loss", &[trainer.last_loss_async().await?], &[reference_loss], 1e-5);
    for (i, (actual, expected)) in trainer.parameters_async().await?.iter().zip(reference.parameters()).enumerate() {
        worst.compare(format!("weights in layer {i}"), &actual.weight, &expected.weight, 1e-5);
    }
    Ok(())
}

/// Compares a population on a data set in device memory with the same population on streamed rows, bit by bit.
pub(crate) async fn stream(worst: &mut WorstError, device: &Device) -> Result<()> {
    const STEPS: usize = 150;
    let (rows, network) = (500, network(&[3, 2], Activation::Tanh));
    let data = Dataset::new(rows, test_values(rows * 3, 1), test_values(rows * 2, 2))?;
    let members = fold_members(&TrainerSettings { batch_size: 8, ..TrainerSettings::default() });
    let mut trained = Vec::new();
    for device in [device.clone(), device.clone().with_dataset_memory_limit(0)] {
        let mut population = Population::new_async(&device, &network, &data, &members).await?;
        let losses = population.run_async(STEPS).await?.into_iter().flat_map(|report| value_bits(&report.losses));
        let mut parameters = Vec::new();
        for member in 0..members.len() {
            parameters.extend(parameter_bits(&population.parameters_async(member).await?));
        }
        trained.push((losses.collect::<Vec<_>>(), parameters));
    }
    if let [(losses, parameters), (streamed_losses, streamed_parameters)] = &trained[..] {
        worst.compare_equal("losses", streamed_losses, losses);
        worst.compare_equal("parameters", streamed_parameters, parameters);
    }
    Ok(())
}

/// Compares the step table that the device builds with the steps of the host, bit by bit.
pub(crate) async fn step_table(worst: &mut WorstError, device: &Device) -> Result<()> {
    let Some(gpu) = device.gpu() else { return Ok(()) };
    let case = Case {
        member_count: 3,
        gradient_accumulation: 3,
        schedule: Schedule::cosine(50),
        optimizer: Optimizer::adam(0.1).weight_decay(0.01),
        ..Case::new(network(&[3, 2], Activation::Tanh), PlanVariant::Planned)
    };
    let mut generators = Vec::new();
    for member in 0..3 {
        generators.push(StepGenerator { seed: u64::MAX - member as u64, ..case.step_generator(member)? });
    }
    let data = case.data()?;
    let config = EngineConfig { generators: generators.clone(), ..case.engine_config(Some(&data), None)? };
    let engine = Engine::new(gpu, config).await?;
    // The epoch exceeds 32 bits, and the chunk starts within an epoch and within an accumulated update.
    let (first_step, steps_since_reset, metrics_offset, count) = ((1 << 33) * 3 + 1, 7, 5, 20);
    let table = engine.read_step_table((first_step, steps_since_reset), metrics_offset, count).await?;
    let mut expected = Vec::with_capacity(table.len());
    for index in 0..table.len() {
        let (step, member) = (index / 3, index % 3);
        expected.push(if step < count {
            let host_step = generators[member].step(first_step + step as u64, steps_since_reset + step as u64);
            Step { metrics_index: (metrics_offset + step) as u32, ..host_step }
        } else {
            Step::default()
        });
    }
    worst.compare_equal("steps", &table, &expected);
    Ok(())
}

fn vectors_mut(layer: &mut LayerParameters) -> [&mut Vec<f32>; 5] {
    let LayerParameters { weight, bias, gamma, beta, prelu_slope, .. } = layer;
    [weight, bias, gamma, beta, prelu_slope]
}

fn value_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Returns the bits of all weights and biases.
fn parameter_bits(layers: &[LayerParameters]) -> Vec<u32> {
    layers.iter().flat_map(|layer| value_bits(&[&layer.weight[..], &layer.bias].concat())).collect()
}
