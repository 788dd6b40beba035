//! The tuner: measures plans and finds the fastest one.
//!
//! gradus never tunes automatically, because measuring takes time and the plan decides the bits of a training run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    data::dataset::Dataset,
    device::Device,
    engine::reference::Reference,
    error::{Error, Result},
    nn::{network::Network, parameters::LayerParameters},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Plan,
    train::{settings::TrainerSettings, trainer::Trainer},
    util::files,
};

/// A tuner: measures whole steps of every plan that may be the fastest.
///
/// The tuner has no targets, so [`Loss::Auto`](crate::nn::Loss::Auto) is mean squared error here. Set the loss of the
/// training explicitly.
///
/// ```no_run
/// # use gradus::{Activation, Device, Network, TrainerSettings, plan::Tuner};
/// # fn main() -> gradus::Result<()> {
/// let network = Network::new(784).dense(128, Activation::Sigmoid).dense(10, Activation::Sigmoid);
/// let settings = TrainerSettings { batch_size: 64, ..TrainerSettings::default() };
/// let tuner = Tuner { cache_dir: Some("plans".into()), ..Tuner::default() };
/// let plan = tuner.tune(&Device::auto()?, &network, &settings)?;
/// println!("{plan}");
/// let settings = TrainerSettings { plan: Some(plan), ..settings };
/// # Ok(()) }
/// ```
#[doc(alias = "autotune")]
#[derive(Debug, Clone)]
pub struct Tuner {
    /// The approximate time of all measurements together.
    pub time_budget: Duration,
    /// A directory of plans from earlier calls. `None` disables the cache.
    ///
    /// The tuner uses a plan from the cache if it was made for the same device, driver, version of gradus, network and
    /// batch size, and may be the fastest for the settings. Otherwise it logs why the plan is stale and replaces it.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Tuner {
    /// Returns a tuner with a time budget of two seconds and no cache.
    fn default() -> Self {
        Self { time_budget: Duration::from_secs(2), cache_dir: None }
    }
}

/// A plan with its measured speed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TunedPlan {
    /// The plan.
    pub plan: Plan,
    /// Seconds per step; infinite for a plan that fails or computes wrongly.
    pub seconds_per_step: f64,
}

/// The maximum number of rows of the batch that checks a plan.
const MAX_CHECKED_ROWS: usize = 8;

impl Tuner {
    /// Returns the fastest plan for a network and settings on a device, from the cache or measured.
    ///
    /// # Errors
    /// - [`Error::Io`] if the cache cannot be written.
    /// - The errors of [`Trainer::new`].
    pub fn tune(&self, device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Plan> {
        let plans = candidate_plans(device, network, settings)?;
        let default_plan = plans[0].clone();
        let path = self.cache_dir.as_ref().map(|directory| directory.join(file_name(&default_plan)));
        if let Some(plan) = path.as_ref().and_then(|path| load_cached(path, &plans)) {
            return Ok(plan);
        }
        let fastest = self.measure_plans(plans, device, network, settings)?.into_iter().next();
        let plan = fastest.map_or(default_plan, |tuned| tuned.plan);
        if let Some(path) = path {
            files::write(&path, plan.to_string().as_bytes())?;
        }
        Ok(plan)
    }

    /// Measures every plan that may be the fastest, and returns them from the fastest to the slowest.
    ///
    /// The plan that gradus uses without a tuner is one of them. The tuner first checks each plan against the
    /// reference, and does not time a plan that computes wrongly.
    ///
    /// # Errors
    /// The errors of [`Trainer::new`].
    pub fn measure(&self, device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Vec<TunedPlan>> {
        self.measure_plans(candidate_plans(device, network, settings)?, device, network, settings)
    }

    /// Measures each plan with an equal part of the time budget, and sorts them by their speed.
    fn measure_plans(
        &self,
        plans: Vec<Plan>,
        device: &Device,
        network: &Network,
        settings: &TrainerSettings,
    ) -> Result<Vec<TunedPlan>> {
        let rows = 2 * settings.batch_size;
        let outputs = network.outputs();
        let data = Dataset::new(rows, test_values(rows * network.inputs()), test_values(rows * outputs))?;
        let time_per_plan = self.time_budget / plans.len().max(1) as u32;
        let mut tuned = Vec::new();
        for plan in plans {
            let settings = TrainerSettings { plan: Some(plan.clone()), ..settings.clone() };
            let measured = check_plan(device, network, &settings).and_then(|()| {
                // A learning rate of 0 prevents a divergence, which would end the measurement with an error.
                let optimizer = Optimizer { learning_rate: 0.0, ..settings.optimizer };
                let mut trainer = Trainer::new(device, network, &data, TrainerSettings { optimizer, ..settings })?;
                measure_step(&mut trainer, time_per_plan)
            });
            let seconds_per_step = match measured {
                Ok(seconds_per_step) => seconds_per_step,
                // A lost device fails every plan, so stop measuring.
                Err(lost @ Error::DeviceLost { .. }) => return Err(lost),
                Err(error) => {
                    log::warn!("the tuner skips a plan: {error}\n{plan}");
                    f64::INFINITY
                }
            };
            tuned.push(TunedPlan { plan, seconds_per_step });
        }
        tuned.sort_by(|a, b| a.seconds_per_step.total_cmp(&b.seconds_per_step));
        Ok(tuned)
    }
}

/// Returns every plan that may be the fastest. The plan of the planner comes first.
fn candidate_plans(device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Vec<Plan>> {
    let settings = TrainerSettings { plan: None, ..settings.clone() };
    Ok(Trainer::without_dataset(device, network, settings)?.candidate_plans())
}

/// Returns `count` values from 0 to 1, in a fixed order.
fn test_values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// Runs one update on a few rows, and compares the parameters with the reference.
///
/// # Errors
/// [`Error::InvalidPlan`] if the change of a parameter differs by more than 0.1% of the maximum change.
fn check_plan(device: &Device, network: &Network, settings: &TrainerSettings) -> Result<()> {
    // A plan decides how matmuls are computed. Keep everything else simple: no schedule, no noise, and no update rule
    // that follows the sign of a gradient, which rounding can flip.
    let optimizer = if settings.optimizer.is_sign_sensitive() { Optimizer::sgd(0.1) } else { settings.optimizer };
    let settings =
        TrainerSettings { optimizer, schedule: Schedule::Constant, input_noise_std: 0.0, ..settings.clone() };
    let loss = settings.loss;
    let gradient_accumulation = settings.gradient_accumulation;
    let rows = settings.batch_size.min(MAX_CHECKED_ROWS);
    let mut trainer = Trainer::without_dataset(device, network, settings)?;
    let inputs = test_values(rows * network.inputs());
    let outputs = network.outputs();
    // One-hot rows are valid targets for every loss.
    let mut targets = vec![0.0_f32; rows * outputs];
    for (row, targets) in targets.chunks_exact_mut(outputs).enumerate() {
        targets[row % outputs] = 1.0;
    }
    let initial_layers = trainer.parameters()?;
    let mut reference = Reference::new(network, loss, optimizer, &initial_layers)?
        .with_gradient_accumulation(gradient_accumulation as u64);
    for _ in 0..gradient_accumulation {
        let dropout_factors = trainer.next_dropout_factors(rows);
        trainer.step(&inputs, &targets)?;
        reference.step_with_dropout(&to_f64(&inputs), &to_f64(&targets), &[], dropout_factors)?;
    }
    let (initial, updated) = (weights_and_biases(&initial_layers), weights_and_biases(&trainer.parameters()?));
    let expected = reference.parameters().iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias));
    let (mut max_change, mut max_error) = (f64::MIN_POSITIVE, 0.0_f64);
    for ((initial, updated), expected) in initial.iter().zip(&updated).zip(expected) {
        max_change = max_change.max((expected - initial).abs());
        // The update adds a small change to a parameter, so the parameter is rounded relative to its own size.
        let rounding = f64::from(f32::EPSILON) * initial.abs();
        let error = ((updated - expected).abs() - rounding).max(0.0);
        max_error = if error.is_nan() { f64::INFINITY } else { max_error.max(error) };
    }
    if max_error <= 1e-3 * max_change {
        return Ok(());
    }
    Err(Error::InvalidPlan {
        field: "result",
        expected: "parameters that differ from the reference by at most 0.1% of the maximum change".to_owned(),
        got: format!("a difference of {:.1e}%", 100.0 * max_error / max_change),
    })
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Returns the weights and biases of all layers in one vector.
fn weights_and_biases(layers: &[LayerParameters]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias)).map(|value| f64::from(*value)).collect()
}

/// Returns the minimum of the measured seconds per step of several runs, which together take about `time`.
fn measure_step(trainer: &mut Trainer, time: Duration) -> Result<f64> {
    trainer.run(1)?;
    let (mut steps, mut min_seconds) = (1, f64::INFINITY);
    loop {
        let start = Instant::now();
        trainer.run(steps)?;
        let elapsed = start.elapsed();
        min_seconds = min_seconds.min(elapsed.as_secs_f64() / steps as f64);
        if elapsed >= time / 8 {
            break;
        }
        steps *= 2;
    }
    for _ in 0..2 {
        let start = Instant::now();
        trainer.run(steps)?;
        min_seconds = min_seconds.min(start.elapsed().as_secs_f64() / steps as f64);
    }
    Ok(min_seconds)
}

/// Returns the file name of a plan in the cache.
///
/// It contains the batch size, the device and the network, but neither the driver nor the version, so that a stale plan
/// is found and replaced. Long names are cut to the limit of file systems. Two plans whose names differ only after that
/// replace each other.
fn file_name(plan: &Plan) -> String {
    const MAX_NAME_CHARS: usize = 200;
    let name = format!("{} {} {}", plan.key.batch, plan.key.device, plan.key.network);
    let safe_chars = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    safe_chars.take(MAX_NAME_CHARS).collect::<String>() + ".plan"
}

/// Loads a plan from the cache. Returns `None` if there is no file or the plan is stale: it has another key, or is not
/// among `plans`, for example because it was made for other settings.
fn load_cached(path: &Path, plans: &[Plan]) -> Option<Plan> {
    let text = fs::read_to_string(path).ok()?;
    let plan = text.parse::<Plan>().and_then(|plan| {
        plans[0].key.check(&plan.key)?;
        if plans.iter().any(|known| known.scheme == plan.scheme) {
            return Ok(plan);
        }
        let expected = "a scheme that fits the settings".to_owned();
        Err(Error::InvalidPlan { field: "scheme", expected, got: plan.scheme.to_string() })
    });
    plan.inspect_err(|error| log::warn!("replacing the stale plan {}: {error}", path.display())).ok()
}
