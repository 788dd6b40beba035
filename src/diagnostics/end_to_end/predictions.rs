//! Checks of predictions and metrics: evaluations, ensembles and recorded predictions.

use crate::{
    data::{dataset::Dataset, subset::Subset},
    device::Device,
    diagnostics::{
        case::{network, test_values},
        end_to_end::setup::{fold_members, to_f64},
        worst_error::WorstError,
    },
    engine::{gpu::run::test_hooks::predict_recorded, reference::Reference},
    error::Result,
    metrics::{Metrics, classification::Average},
    model::Model,
    nn::{activation::Activation, loss::Loss, task::Task},
    optim::optimizer::Optimizer,
    population::{Population, ensemble::Ensemble},
    train::{settings::TrainerSettings, trainer::Trainer},
};

/// Compares the loss and the accuracy of a trainer on a data set.
pub(crate) async fn evaluation(worst: &mut WorstError, device: &Device) -> Result<()> {
    let network = network(&[5, 4], Activation::Softmax);
    // More rows than one dispatch evaluates.
    let rows = 4500;
    let classes: Vec<u32> = (0..rows as u32).map(|row| row * 7 % 4).collect();
    let data = Dataset::new(rows, test_values(rows * 5, 1), classes)?;
    let settings = TrainerSettings { loss: Loss::SoftmaxCrossEntropy, ..TrainerSettings::default() };
    let mut trainer = Trainer::new_async(device, &network, Some(&data), settings.clone()).await?;
    let reference = Reference::new(&network, settings.loss, settings.optimizer, &trainer.parameters_async().await?)?;
    let metrics = trainer.evaluate_async(&data).await?;
    let (x, t) = rows_f64(&data, &(0..rows).collect::<Vec<_>>(), 4);
    worst.compare("loss", &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
    let correct = count_correct_classes(&reference.predict(&x)?, &t, 4);
    worst.compare("accuracy", &[metrics.accuracy().unwrap_or(f64::NAN) as f32], &[correct as f64 / rows as f64], 1e-6);
    Ok(())
}

/// Compares the metrics of three members on their held-out folds, and on all rows.
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
            Dataset::new(rows, x, values.iter().map(|value| f32::from(u8::from(*value > 0.3))).collect::<Vec<_>>())?
        }
        Task::Regression => Dataset::new(rows, x, values)?,
    };
    let members = fold_members(&TrainerSettings { batch_size: 16, loss, ..TrainerSettings::default() });
    let mut population = Population::new_async(device, &network, &data, &members).await?;
    population.run_async(3).await?;
    let folds: Vec<Subset> = members.iter().filter_map(|member| member.subset.held_out()).collect();
    let fold_metrics = population.evaluate_subsets_async(&folds).await?;
    let full_metrics = population.evaluate_async(&data).await?;
    for member in 0..members.len() {
        let parameters = population.parameters_async(member).await?;
        let reference = Reference::new(&network, loss, Optimizer::sgd(0.1), &parameters)?;
        for (metrics, indices) in
            [(&fold_metrics[member], folds[member].indices(rows)?), (&full_metrics[member], (0..rows).collect())]
        {
            let (x, t) = rows_f64(&data, &indices, outputs);
            let y = reference.predict(&x)?;
            let suffix = format!("of member {member} on {} rows", indices.len());
            worst.compare(format!("loss {suffix}"), &[metrics.loss() as f32], &[reference.loss(&x, &t)?], 1e-5);
            let evaluated = Evaluated { metrics, y: &y, t: &t, outputs, suffix: &suffix };
            match task {
                Task::Classification => evaluated.compare_accuracy(worst, count_correct_classes(&y, &t, outputs)),
                Task::MultiLabel => evaluated.compare_labels(worst),
                Task::Regression => evaluated.compare_errors(worst),
            }
        }
    }
    Ok(())
}

/// The metrics of a member, with the outputs `y` of the reference and the targets `t` of the same rows.
struct Evaluated<'a> {
    metrics: &'a Metrics,
    y: &'a [f64],
    t: &'a [f64],
    outputs: usize,
    suffix: &'a str,
}

impl Evaluated<'_> {
    /// Compares the accuracy with the number of correct rows.
    fn compare_accuracy(&self, worst: &mut WorstError, correct_rows: usize) {
        let rows = self.y.len() / self.outputs;
        let actual = self.metrics.accuracy().unwrap_or(f64::NAN) as f32;
        worst.compare(format!("accuracy {}", self.suffix), &[actual], &[correct_rows as f64 / rows as f64], 1e-6);
    }

    /// Compares the metrics of labels, whose outputs are logits.
    fn compare_labels(&self, worst: &mut WorstError) {
        let (y, t) = (self.y, self.t);
        let is_correct = |(y, t): (&f64, &f64)| (*y > 0.0) == (*t > 0.5);
        let rows = y.chunks_exact(self.outputs).zip(t.chunks_exact(self.outputs));
        self.compare_accuracy(worst, rows.filter(|(y, t)| y.iter().zip(*t).all(is_correct)).count());
        let true_positives = y.iter().zip(t).filter(|(y, t)| **y > 0.0 && **t > 0.5).count() as f64;
        let positives = y.iter().filter(|y| **y > 0.0).count() + t.iter().filter(|t| **t > 0.5).count();
        let f1 = self.metrics.f1(Average::Micro).unwrap_or(f64::NAN) as f32;
        worst.compare(format!("micro F1 {}", self.suffix), &[f1], &[2.0 * true_positives / positives as f64], 1e-6);
        let correct_labels = y.iter().zip(t).filter(|pair| is_correct(*pair)).count() as f64;
        let actual = self.metrics.label_accuracy().unwrap_or(f64::NAN) as f32;
        worst.compare(format!("label accuracy {}", self.suffix), &[actual], &[correct_labels / y.len() as f64], 1e-6);
    }

    /// Compares the errors of a regression.
    fn compare_errors(&self, worst: &mut WorstError) {
        let differences = || self.y.iter().zip(self.t).map(|(y, t)| y - t);
        let count = self.y.len() as f64;
        let absolute = differences().map(f64::abs).sum::<f64>() / count;
        let actual = self.metrics.mean_absolute_error().unwrap_or(f64::NAN) as f32;
        worst.compare(format!("mean absolute error {}", self.suffix), &[actual], &[absolute], 1e-5);
        let squared = differences().map(|difference| difference.powi(2)).sum::<f64>() / count;
        let actual = self.metrics.mean_squared_error().unwrap_or(f64::NAN) as f32;
        worst.compare(format!("mean squared error {}", self.suffix), &[actual], &[squared], 1e-5);
    }
}

/// Compares the mean, the standard deviation and the votes of an ensemble of five networks.
pub(crate) async fn ensemble(worst: &mut WorstError, device: &Device, outputs: usize) -> Result<()> {
    let (rows, networks) = (19, 5);
    let network = network(&[4, outputs], Activation::Sigmoid);
    let x = test_values(rows * 4, 3);
    let mut models = Vec::new();
    let mut predictions = Vec::new();
    for seed in 0..networks {
        let flat = network.initial_parameters(seed as u64)?;
        let parameters = network.layers_from_flat(&flat, &[]);
        predictions.push(Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &parameters)?.predict(&to_f64(&x))?);
        models.push(Model::new(network.clone(), parameters)?);
    }
    let combined = Ensemble::new_async(device, &models).await?.predict_async(&x).await?;
    let count = networks as f64;
    let mut means = Vec::with_capacity(rows * outputs);
    let mut stds = Vec::with_capacity(rows * outputs);
    for i in 0..rows * outputs {
        let mean = predictions.iter().map(|y| y[i]).sum::<f64>() / count;
        means.push(mean);
        stds.push((predictions.iter().map(|y| (y[i] - mean).powi(2)).sum::<f64>() / count).sqrt());
    }
    worst.compare("means", &combined.mean, &means, 1e-5);
    worst.compare("standard deviations", &combined.std, &stds, 1e-4);
    let classes = outputs.max(2);
    let mut fractions = vec![0.0; rows * classes];
    for y in &predictions {
        for (row, y) in y.chunks_exact(outputs).enumerate() {
            let class = match y {
                [y] => usize::from(*y > 0.5),
                _ => argmax(y),
            };
            fractions[row * classes + class] += 1.0 / count;
        }
    }
    let actual = combined.votes.map(|votes| votes.fractions).unwrap_or_default();
    worst.compare("votes", &actual, &fractions, 1e-5);
    Ok(())
}

/// Compares a prediction that is recorded into a command encoder.
pub(crate) async fn recorded_predictions(worst: &mut WorstError, device: &Device) -> Result<()> {
    let Some(gpu) = device.gpu() else { return Ok(()) };
    let network = network(&[5, 3], Activation::Tanh);
    let (flat, x) = (network.initial_parameters(2)?, test_values(7 * 5, 1));
    let actual = predict_recorded(gpu, &network, &flat, &x).await?;
    let reference = Reference::new(&network, Loss::Mse, Optimizer::sgd(0.1), &network.layers_from_flat(&flat, &[]))?;
    worst.compare("outputs", &actual, &reference.predict(&to_f64(&x))?, 1e-5);
    Ok(())
}

/// Returns the inputs and targets of some rows for the reference.
fn rows_f64(data: &Dataset, rows: &[usize], outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut t) = (vec![0.0; data.inputs()], vec![0.0; outputs]);
    let [mut inputs, mut targets] = [const { Vec::new() }; 2];
    for row in rows {
        data.write_features(*row, &mut x);
        data.write_target(*row, &mut t);
        inputs.extend(to_f64(&x));
        targets.extend(to_f64(&t));
    }
    (inputs, targets)
}

/// Returns the number of rows whose largest output has the index of the largest target.
fn count_correct_classes(y: &[f64], t: &[f64], outputs: usize) -> usize {
    let rows = y.chunks_exact(outputs).zip(t.chunks_exact(outputs));
    rows.filter(|(y, t)| argmax(y) == argmax(t)).count()
}

/// Returns the index of the first maximum.
fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for i in 1..values.len() {
        if values[i] > values[best] {
            best = i;
        }
    }
    best
}
