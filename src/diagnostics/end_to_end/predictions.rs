//! Checks of what trained networks answer, and what they are told to be worth.

use crate::{
    data::{dataset::Dataset, subset::Subset},
    device::Device,
    diagnostics::{
        case::{network, test_values},
        end_to_end::{members, to_f64},
        worst_error::WorstError,
    },
    engine::{gpu::run::test_hooks::predict_recorded, reference::Reference},
    error::Result,
    metrics::classification::Average,
    model::Model,
    nn::{activation::Activation, loss::Loss, task::Task},
    optim::optimizer::Optimizer,
    population::{Population, ensemble::Ensemble},
    train::{settings::TrainerSettings, trainer::Trainer},
};

pub(crate) async fn evaluation(worst: &mut WorstError, device: &Device) -> Result<()> {
    let network = network(&[5, 4], Activation::Softmax);
    // More than go at once.
    let rows = 4500;
    let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 4).collect();
    let data = Dataset::new(rows, test_values(rows * 5, 1), classes)?;
    let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, Some(&data), settings.clone()).await?;
    let reference = Reference::new(&network, settings.loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let metrics = trainer.evaluate_async(&data).await?;
    let (x, t) = all_rows(&data, &(0..rows).collect::<Vec<_>>(), 4);
    worst.compare("loss", &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
    let right = count_correct(&reference.predict(&x)?, &t, 4);
    worst.compare("accuracy", &[metrics.accuracy().unwrap_or(f64::NAN) as f32], &[right as f64 / rows as f64], 1e-6);
    Ok(())
}

pub(crate) async fn population_metrics(worst: &mut WorstError, device: &Device, task: Task) -> Result<()> {
    let rows = 70;
    let (loss, outputs) = match task {
        Task::Classification => (Loss::SoftmaxCrossEntropy, 4),
        Task::MultiLabel => (Loss::BinaryCrossEntropyWithLogits, 5),
        Task::Regression => (Loss::Mse, 2),
    };
    let network = network(&[5, outputs], Activation::Identity);
    let x = test_values(rows * 5, 1);
    let values = test_values(rows * outputs, 2);
    let data = match task {
        Task::Classification => Dataset::new(rows, x, (0..rows as u32).map(|row| row * 7 % 4).collect::<Vec<_>>())?,
        Task::MultiLabel => {
            Dataset::new(rows, x, values.iter().map(|v| f32::from(u8::from(*v > 0.3))).collect::<Vec<_>>())?
        }
        Task::Regression => Dataset::new(rows, x, values)?,
    };
    let members = members(&TrainerSettings { batch_size: 16, loss, ..TrainerSettings::default() });
    let mut population = Population::new_async(device, &network, &data, &members).await?;
    population.run_async(3).await?;
    let left_out: Vec<Subset> = members.iter().filter_map(|member| member.subset.held_out()).collect();
    let some = population.evaluate_subsets_async(&left_out).await?;
    let all = population.evaluate_async(&data).await?;
    for number in 0..members.len() {
        let parameters = population.parameters_async(number).await?;
        let reference = Reference::new(&network, loss, Optimizer::sgd(0.1), &parameters)?;
        for (metrics, rows) in [(&some[number], left_out[number].indices(rows)?), (&all[number], (0..rows).collect())] {
            let (x, t) = all_rows(&data, &rows, outputs);
            let y = reference.predict(&x)?;
            let of = format!("of network {number} on {} rows", rows.len());
            worst.compare(format!("loss {of}"), &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
            if task != Task::Regression {
                let right = |y: &[f64], t: &[f64]| y.iter().zip(t).all(|(y, t)| (*y > 0.0) == (*t > 0.5));
                let pairs = y.chunks_exact(outputs).zip(t.chunks_exact(outputs));
                let right = match task {
                    Task::MultiLabel => pairs.filter(|(y, t)| right(y, t)).count(),
                    _ => count_correct(&y, &t, outputs),
                };
                let ours = metrics.accuracy().unwrap_or(f64::NAN) as f32;
                worst.compare(format!("accuracy {of}"), &[ours], &[right as f64 / rows.len() as f64], 1e-6);
            }
            if task == Task::MultiLabel {
                let both = y.iter().zip(&t).filter(|(y, t)| **y > 0.0 && **t > 0.5).count() as f64;
                let either = y.iter().filter(|y| **y > 0.0).count() + t.iter().filter(|t| **t > 0.5).count();
                let f1 = metrics.f1(Average::Micro).unwrap_or(f64::NAN) as f32;
                worst.compare(format!("micro f1 {of}"), &[f1], &[2.0 * both / either as f64], 1e-6);
                let right = y.iter().zip(&t).filter(|(y, t)| (**y > 0.0) == (**t > 0.5)).count() as f64;
                let ours = metrics.label_accuracy().unwrap_or(f64::NAN) as f32;
                worst.compare(format!("accuracy of labels {of}"), &[ours], &[right / y.len() as f64], 1e-6);
            }
            if task == Task::Regression {
                let absolute = y.iter().zip(&t).map(|(y, t)| (y - t).abs()).sum::<f64>() / y.len() as f64;
                let ours = metrics.mean_absolute_error().unwrap_or(f64::NAN) as f32;
                worst.compare(format!("mean absolute error {of}"), &[ours], &[absolute], 1e-5);
                let squared = y.iter().zip(&t).map(|(y, t)| (y - t).powi(2)).sum::<f64>() / y.len() as f64;
                let ours = metrics.mean_squared_error().unwrap_or(f64::NAN) as f32;
                worst.compare(format!("mean squared error {of}"), &[ours], &[squared], 1e-5);
            }
        }
    }
    Ok(())
}

pub(crate) async fn ensemble(worst: &mut WorstError, device: &Device, outputs: usize) -> Result<()> {
    let (rows, networks) = (19, 5);
    let network = network(&[4, outputs], Activation::Sigmoid);
    let x = test_values(rows * 4, 3);
    let mut models = Vec::new();
    let mut answers = Vec::new();
    for seed in 0..networks {
        let flat = network.initial_parameters(seed as u64)?;
        let parameters = network.layers_from_flat(&flat, &[]);
        answers.push(Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &parameters)?.predict(&to_f64(&x))?);
        models.push(Model::new(network.clone(), parameters)?);
    }
    let consensus = Ensemble::new_async(device, &models).await?.predict_async(&x).await?;
    let count = networks as f64;
    let over = |of: &dyn Fn(usize) -> f64| (0..rows * outputs).map(of).collect::<Vec<_>>();
    let mean = over(&|i| answers.iter().map(|y| y[i]).sum::<f64>() / count);
    let deviation = over(&|i| (answers.iter().map(|y| (y[i] - mean[i]).powi(2)).sum::<f64>() / count).sqrt());
    worst.compare("means", &consensus.mean, &mean, 1e-5);
    worst.compare("deviations", &consensus.std, &deviation, 1e-4);
    let classes = outputs.max(2);
    let mut shares = vec![0.0; rows * classes];
    for y in &answers {
        for (row, y) in y.chunks_exact(outputs).enumerate() {
            let class = match y {
                [y] => usize::from(*y > 0.5),
                _ => argmax(y),
            };
            shares[row * classes + class] += 1.0 / count;
        }
    }
    let ours = consensus.votes.map(|votes| votes.fractions).unwrap_or_default();
    worst.compare("votes", &ours, &shares, 1e-5);
    Ok(())
}

pub(crate) async fn recording(worst: &mut WorstError, device: &Device) -> Result<()> {
    let Some(gpu) = device.gpu() else { return Ok(()) };
    let network = network(&[5, 3], Activation::Tanh);
    let (flat, x) = (network.initial_parameters(2)?, test_values(7 * 5, 1));
    let ours = predict_recorded(gpu, &network, &flat, &x).await?;
    let reference = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &network.layers_from_flat(&flat, &[]))?;
    worst.compare("outputs", &ours, &reference.predict(&to_f64(&x))?, 1e-5);
    Ok(())
}

/// The rows with these numbers, as the reference takes them.
fn all_rows(data: &Dataset, rows: &[usize], outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut t) = (vec![0.0; data.inputs()], vec![0.0; outputs]);
    let [mut inputs, mut expected] = [const { Vec::new() }; 2];
    for row in rows {
        data.write_features(*row, &mut x);
        data.write_target(*row, &mut t);
        inputs.extend(to_f64(&x));
        expected.extend(to_f64(&t));
    }
    (inputs, expected)
}

/// How many rows have their largest output where the largest is expected.
fn count_correct(y: &[f64], t: &[f64], outputs: usize) -> usize {
    let rows = y.chunks_exact(outputs).zip(t.chunks_exact(outputs));
    rows.filter(|(y, t)| argmax(y) == argmax(t)).count()
}

fn argmax(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}
