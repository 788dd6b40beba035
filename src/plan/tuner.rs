//! Finds the fastest plan by measuring: opt-in, since it takes a moment, and what it finds decides the bits of a training.

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
    nn::{layout::LayerParameters, network::Network},
    optim::{optimizer::Optimizer, schedule::Schedule},
    plan::Plan,
    train::{settings::TrainerSettings, trainer::Trainer},
};

/// Times whole steps of the plans that may be the fastest.
///
/// It knows no targets, so [`Loss::Auto`](crate::nn::Loss::Auto) is mean squared error here: set the loss of the training before.
///
/// ```no_run
/// # use gradus::{Activation, Device, Network, Settings, plan::Tuner};
/// # fn main() -> gradus::Result<()> {
/// let network = Network::new(784).dense(128, Activation::Sigmoid).dense(10, Activation::Sigmoid);
/// let settings = Settings { batch: 64, ..Settings::default() };
/// let tuner = Tuner { cache: Some("plans".into()), ..Tuner::default() };
/// let plan = tuner.tune(&Device::auto()?, &network, &settings)?;
/// println!("{plan}");
/// let settings = Settings { plan: Some(plan), ..settings };
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Tuner {
    /// About how long all measurements take together.
    pub time_budget: Duration,
    /// A folder of plans that were found before. A plan is taken from there if it was made for the same device, driver,
    /// version of gradus, network and batch, and may be the fastest for these settings; otherwise it is said that it is
    /// stale, and why, and it is replaced.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Tuner {
    /// Two seconds, no cache.
    fn default() -> Self {
        Self { time_budget: Duration::from_secs(2), cache_dir: None }
    }
}

/// A plan and how fast it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TunedPlan {
    /// The plan.
    pub plan: Plan,
    /// Seconds a step; infinite for a plan that computes wrongly or does not run.
    pub seconds_per_step: f64,
}

/// Rows of the batch that a plan is checked with.
const CHECKED_ROWS: usize = 8;

impl Tuner {
    /// The fastest plan for a network and a batch on a device: from the cache, or measured.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`Error::Io`] if the cache cannot be written.
    pub fn tune(&self, device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Plan> {
        let plans = candidate_plans(device, network, settings)?;
        let own = plans[0].clone();
        let file = self.cache_dir.as_ref().map(|folder| folder.join(file_name(&own)));
        if let Some(plan) = file.as_ref().and_then(|file| load_cached(file, &plans)) {
            return Ok(plan);
        }
        let best = self.time_budget(plans, device, network, settings)?.into_iter().next();
        let plan = best.map_or(own, |tuned| tuned.plan);
        if let Some(file) = file {
            crate::util::files::write(&file, plan.to_string().as_bytes())?;
        }
        Ok(plan)
    }

    /// Every plan that may be the fastest, the fastest first. The one that would be taken without measuring is among
    /// them. Each is first checked against the reference: one that computes wrongly is not timed.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn measure(&self, device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Vec<TunedPlan>> {
        self.time_budget(candidate_plans(device, network, settings)?, device, network, settings)
    }

    fn time_budget(
        &self,
        plans: Vec<Plan>,
        device: &Device,
        network: &Network,
        settings: &TrainerSettings,
    ) -> Result<Vec<TunedPlan>> {
        let rows = 2 * settings.batch_size;
        let outputs = network.outputs();
        let data = Dataset::new(rows, test_inputs(rows * network.inputs()), test_inputs(rows * outputs))?;
        let each = self.time_budget / plans.len().max(1) as u32;
        let mut all = Vec::new();
        for plan in plans {
            let settings = TrainerSettings { plan: Some(plan.clone()), ..settings.clone() };
            let measured = check_plan(device, network, &settings).and_then(|()| {
                // At a rate of 0, since nobody knows that these numbers can be learned: where the loss diverges a training ends.
                let optimizer = Optimizer { learning_rate: 0.0, ..settings.optimizer };
                let mut trainer = Trainer::new(device, network, &data, TrainerSettings { optimizer, ..settings })?;
                measure_step(&mut trainer, each)
            });
            let seconds = match measured {
                Ok(seconds) => seconds,
                // That is no plan's fault, and no other would do better.
                Err(lost @ Error::DeviceLost { .. }) => return Err(lost),
                Err(error) => {
                    log::warn!("a plan was passed over: {error}\n{plan}");
                    f64::INFINITY
                }
            };
            all.push(TunedPlan { plan, seconds_per_step: seconds });
        }
        all.sort_by(|a, b| a.seconds_per_step.total_cmp(&b.seconds_per_step));
        Ok(all)
    }
}

/// Every plan that may be the fastest, the planner's own first.
fn candidate_plans(device: &Device, network: &Network, settings: &TrainerSettings) -> Result<Vec<Plan>> {
    let settings = TrainerSettings { plan: None, ..settings.clone() };
    Ok(Trainer::without_dataset(device, network, settings)?.candidate_plans())
}

/// Numbers from 0 to 1.
fn test_inputs(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 251) as f32 / 250.0).collect()
}

/// Takes one step on a few rows and compares the parameters with the reference's.
fn check_plan(device: &Device, network: &Network, settings: &TrainerSettings) -> Result<()> {
    // What is compared are the products, so what comes before and after them is kept as plain as it can be: a rate that is
    // no schedule's, features without noise, and no step that follows the sign of what is rounded.
    let is_coarse = settings.optimizer.is_sign_sensitive();
    let optimizer = if is_coarse { Optimizer::sgd(0.1) } else { settings.optimizer };
    let plain = TrainerSettings { optimizer, schedule: Schedule::Constant, input_noise_std: 0.0, ..settings.clone() };
    let mut trainer = Trainer::without_dataset(device, network, plain)?;
    let rows = settings.batch_size.min(CHECKED_ROWS);
    let x = test_inputs(rows * network.inputs());
    let outputs = network.outputs();
    // A one in each row is an answer for every loss.
    let t: Vec<f32> =
        (0..rows * outputs).map(|i| if i % outputs == i / outputs % outputs { 1.0 } else { 0.0 }).collect();
    let before = trainer.parameters()?;
    let mut reference = Reference::new(network, settings.loss, optimizer, &before)?;
    reference = reference.with_gradient_accumulation(settings.gradient_accumulation as u64);
    let f64s = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    for _ in 0..settings.gradient_accumulation {
        let factors = trainer.next_dropout_factors(rows);
        trainer.step(&x, &t)?;
        reference.step_with_dropout(&f64s(&x), &f64s(&t), &[], factors)?;
    }
    let flat =
        |layers: &[LayerParameters]| layers.iter().flat_map(|l| [&l.weight, &l.bias]).flat_map(|v| f64s(v)).collect();
    let (before, after): (Vec<f64>, Vec<f64>) = (flat(&before), flat(&trainer.parameters()?));
    let expected = reference.parameters().iter().flat_map(|l| l.weight.iter().chain(&l.bias));
    let (mut largest, mut worst) = (f64::MIN_POSITIVE, 0.0_f64);
    for ((before, after), expected) in before.iter().zip(&after).zip(expected) {
        largest = largest.max((expected - before).abs());
        // The change is what the step computed; it is stored in the last digits of a parameter, which round.
        let rounding = f64::from(f32::EPSILON) * before.abs();
        let error = ((after - expected).abs() - rounding).max(0.0);
        worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
    }
    if worst <= 1e-3 * largest {
        return Ok(());
    }
    let expected = "the reference's step".to_owned();
    Err(Error::InvalidPlan {
        field: "result",
        expected,
        got: format!("one that is off by {:.1e} of it", worst / largest),
    })
}

/// The least of three stretches.
fn measure_step(trainer: &mut Trainer, time: Duration) -> Result<f64> {
    trainer.run(1)?;
    let (mut steps, mut best) = (1, f64::INFINITY);
    loop {
        let start = Instant::now();
        trainer.run(steps)?;
        let took = start.elapsed();
        best = best.min(took.as_secs_f64() / steps as f64);
        if took >= time / 8 {
            break;
        }
        steps *= 2;
    }
    for _ in 0..2 {
        let start = Instant::now();
        trainer.run(steps)?;
        best = best.min(start.elapsed().as_secs_f64() / steps as f64);
    }
    Ok(best)
}

/// A name that says for whom the plan is, but not for which driver and version: a newer one has to find the stale file. What
/// is too long for a file's name is cut: two that differ only there take the same file in turn.
fn file_name(plan: &Plan) -> String {
    let name = format!("{} {} {}", plan.key.batch, plan.key.device, plan.key.network);
    let safe = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    safe.take(200).collect::<String>() + ".plan"
}

/// The plan in a file, unless there is none or it is stale: none of those that may be the fastest, for other settings maybe.
fn load_cached(file: &Path, plans: &[Plan]) -> Option<Plan> {
    let text = fs::read_to_string(file).ok()?;
    let plan = text.parse::<Plan>().and_then(|plan| {
        plans[0].key.check(&plan.key)?;
        let (expected, got) = ("one for these settings".to_owned(), plan.scheme.to_string());
        let is_known = plans.iter().any(|known| known.scheme == plan.scheme);
        if is_known { Ok(plan) } else { Err(Error::InvalidPlan { field: "scheme", expected, got }) }
    });
    plan.inspect_err(|error| log::warn!("{} is stale and will be replaced: {error}", file.display())).ok()
}
