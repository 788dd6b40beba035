//! Training traces: gradus replays a training run that another framework recorded, and compares every tensor.
//!
//! A trace is one JSON object with these keys:
//!
//! - `layers`: `[{"inputs", "outputs", "activation", "weight": [[..]], "bias": [..]}]` with the initial parameters. A weight
//!   has `outputs` rows of `inputs` numbers, PyTorch's layout. An activation may have a parameter. A layer may have `norm`
//!   (`layer` or `batch`) with `gain` and `shift`, and the `slope` of each neuron for the activation `prelu`.
//! - `loss`: the name of the loss, next to its parameter if it has one.
//! - `optimizer`: `{"name", "lr"}` and its options, with PyTorch's names. The trace itself may have `l1`, `clip_value`,
//!   `clip_norm` and `average`, the decay of the moving average of the parameters.
//! - `accumulate`: the number of batches whose gradients are averaged for one update, if it is not 1.
//! - `x`, `y`: the inputs and the targets, row by row. For `softmax_cross_entropy`, `y` has class ids.
//! - `weights`, optional: the sample weight of each row.
//! - `batches`: the rows `[start, end)` of each step.
//! - `lr_schedule`, optional: the learning rate of each step.
//! - `losses`: the loss of each step, before its update.
//! - `gradients`: `[{"weight", "bias"}]` of the first update, with `gain`, `shift` and `slope` if the layer has them.
//! - `final`: the parameters after the last step, with `running_mean` and `running_var` of batch normalization.
//! - `averaged`: the moving average of the parameters after the last step, if the trace has `average`.
//! - `predict`: the outputs for all rows of `x` after the last step; logits for `softmax_cross_entropy`.
//!
//! `tests/traces/make_traces.py` describes each key in detail. The error of a tensor is `max|ours - theirs| / max|theirs|`.

#[path = "trace/json.rs"]
mod json;
#[path = "trace/names.rs"]
mod names;
#[path = "trace/parse.rs"]
mod parse;

use gradus::{
    Device, Loss, Network, Optimizer, Result, Trainer, TrainerSettings,
    nn::{LayerParameters, Normalization},
    reference::{Parameters, Reference},
};
use serde_json::Value;

pub use json::TraceError;
use json::{Object, TraceResult};

/// A training trace: the initial state, the steps, and the recorded results.
#[derive(Debug, Clone)]
pub struct Trace {
    network: Network,
    initial: Vec<LayerParameters>,
    loss: Loss,
    optimizer: Optimizer,
    /// The number of batches per update.
    gradient_accumulation: usize,
    /// The inputs, `[rows, inputs]`.
    x: Vec<f64>,
    /// The targets, `[rows, outputs]`; class ids as one-hot rows.
    y: Vec<f64>,
    /// The sample weights, `[rows]`, or empty.
    sample_weights: Vec<f64>,
    steps: Vec<TraceStep>,
    recorded: TraceResults,
}

/// A training step on the rows from `start` to `end`.
#[derive(Debug, Clone)]
struct TraceStep {
    start: usize,
    end: usize,
    /// The learning rate, if the trace has a schedule.
    learning_rate: Option<f64>,
}

/// The results of a training run.
#[derive(Debug, Clone)]
struct TraceResults {
    losses: Vec<f64>,
    /// The gradients of the first update.
    gradients: Vec<Tensors>,
    final_parameters: Vec<Tensors>,
    /// The moving average of the parameters. It is empty if the optimizer has none.
    ema_parameters: Vec<Tensors>,
    predictions: Vec<f64>,
}

/// The tensors of a layer with their names in the trace. Tensors that the layer does not have are empty or missing.
type Tensors = Vec<(&'static str, Vec<f64>)>;

/// The error of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorError {
    /// The name of the tensor. `final 1 weight` is the weight of the second layer after the last step.
    pub name: String,
    /// `max|ours - theirs| / max|theirs|`.
    ///
    /// It is infinite if one of our values is not finite, or if all of their values are 0 and ours are not. For the
    /// gradient of a bias before batch normalization it is `max|ours - theirs|`.
    pub error: f64,
}

impl Trace {
    /// Parses a trace.
    ///
    /// Returns an error if the trace contradicts itself, or if gradus does not support one of its options.
    pub fn parse(json: &str) -> TraceResult<Self> {
        let trace: Value =
            serde_json::from_str(json).map_err(|error| TraceError::Invalid(format!("not valid JSON: {error}")))?;
        let trace = Object::new(&trace, "")?;
        let (network, initial) = parse::network(&trace)?;
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let loss = names::loss(&trace, &network)?;
        let optimizer = names::optimizer(&trace)?;
        let gradient_accumulation = trace.number_or("accumulate", 1.0)? as usize;
        let x = trace.matrix("x", None, inputs)?;
        let rows = x.len() / inputs;
        let y = match loss {
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
                parse::one_hot(trace.array("y")?, rows, outputs)?
            }
            _ => trace.matrix("y", Some(rows), outputs)?,
        };
        let has_weights = trace.find("weights").is_some();
        let sample_weights = if has_weights { trace.numbers("weights", Some(rows))? } else { Vec::new() };
        let steps = parse::steps(&trace, rows)?;
        let has_ema = optimizer.ema_decay.is_some();
        let recorded = TraceResults {
            losses: trace.numbers("losses", Some(steps.len()))?,
            gradients: parse::tensors(&trace, "gradients", &network)?,
            final_parameters: parse::tensors(&trace, "final", &network)?,
            ema_parameters: if has_ema { parse::tensors(&trace, "averaged", &network)? } else { Vec::new() },
            predictions: trace.matrix("predict", Some(rows), outputs)?,
        };
        trace.finish("")?;
        Ok(Self { network, initial, loss, optimizer, gradient_accumulation, x, y, sample_weights, steps, recorded })
    }

    /// Returns the number of training steps.
    pub const fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Replays the training on `device` with manual steps, and returns the error of every tensor.
    pub fn replay(&self, device: &Device) -> Result<Vec<TensorError>> {
        let settings = TrainerSettings {
            batch_size: self.steps.iter().map(|step| step.end - step.start).max().unwrap_or(1),
            loss: self.loss,
            optimizer: self.optimizer,
            gradient_accumulation: self.gradient_accumulation,
            sample_weights: !self.sample_weights.is_empty(),
            ..TrainerSettings::default()
        };
        let mut trainer = Trainer::without_dataset(device, &self.network, settings)?;
        trainer.set_parameters(&self.initial)?;
        let (x, y, all_weights) = (to_f32(&self.x), to_f32(&self.y), to_f32(&self.sample_weights));
        let mut gradients = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            let (x, y) = (self.batch_inputs(step, &x), self.batch_targets(step, &y));
            let weights = all_weights.get(step.start..step.end);
            if i < self.gradient_accumulation {
                gradients.push(device_tensors(&match weights {
                    Some(weights) => trainer.gradients_weighted(x, y, weights)?,
                    None => trainer.gradients(x, y)?,
                }));
            }
            if let Some(learning_rate) = step.learning_rate {
                trainer.set_learning_rate(learning_rate)?;
            }
            match weights {
                Some(weights) => trainer.step_weighted(x, y, weights)?,
                None => trainer.step(x, y)?,
            }
        }
        let has_ema = self.optimizer.ema_decay.is_some();
        Ok(self.compare(&TraceResults {
            losses: to_f64(&trainer.take_report()?.losses),
            gradients: mean_gradients(&gradients),
            final_parameters: device_tensors(&trainer.parameters()?),
            ema_parameters: if has_ema { device_tensors(&trainer.ema_parameters()?) } else { Vec::new() },
            predictions: to_f64(&trainer.predict(&x)?),
        }))
    }

    /// Replays the training on the f64 reference, and returns the error of every tensor.
    ///
    /// The initial parameters of a trace are exact in f32, so the reference starts from the recorded values.
    #[allow(dead_code, reason = "only the tests replay on the reference")]
    pub fn replay_reference(&self) -> Result<Vec<TensorError>> {
        let mut reference = Reference::new(&self.network, self.loss, self.optimizer, &self.initial)?;
        reference = reference.with_gradient_accumulation(self.gradient_accumulation as u64);
        let (mut gradients, mut losses) = (Vec::new(), Vec::new());
        for (i, step) in self.steps.iter().enumerate() {
            let (x, y) = (self.batch_inputs(step, &self.x), self.batch_targets(step, &self.y));
            let weights = self.sample_weights.get(step.start..step.end).unwrap_or_default();
            if i < self.gradient_accumulation {
                gradients.push(reference_tensors(&reference.gradients_weighted(x, y, weights)?));
            }
            if let Some(learning_rate) = step.learning_rate {
                reference.set_learning_rate(learning_rate)?;
            }
            losses.push(reference.step_weighted(x, y, weights)?);
        }
        let mut final_parameters = reference_tensors(reference.parameters());
        for (i, layer) in final_parameters.iter_mut().enumerate() {
            let (mean, variance) = reference.running_stats(i);
            layer.extend([("running_mean", mean.to_vec()), ("running_var", variance.to_vec())]);
        }
        Ok(self.compare(&TraceResults {
            losses,
            gradients: mean_gradients(&gradients),
            final_parameters,
            ema_parameters: reference_tensors(&reference.ema_parameters().unwrap_or_default()),
            predictions: reference.predict(&self.x)?,
        }))
    }

    fn batch_inputs<'a, T>(&self, step: &TraceStep, x: &'a [T]) -> &'a [T] {
        &x[step.start * self.network.inputs()..step.end * self.network.inputs()]
    }

    fn batch_targets<'a, T>(&self, step: &TraceStep, y: &'a [T]) -> &'a [T] {
        &y[step.start * self.network.outputs()..step.end * self.network.outputs()]
    }

    /// Returns the error of every recorded tensor.
    fn compare(&self, ours: &TraceResults) -> Vec<TensorError> {
        let theirs = &self.recorded;
        let mut errors = vec![tensor_error("losses".into(), &ours.losses, &theirs.losses)];
        for (kind, ours, theirs) in [
            ("first gradients", &ours.gradients, &theirs.gradients),
            ("final", &ours.final_parameters, &theirs.final_parameters),
            ("averaged", &ours.ema_parameters, &theirs.ema_parameters),
        ] {
            for (i, (theirs, layer)) in theirs.iter().zip(self.network.layers()).enumerate() {
                for (name, theirs) in theirs {
                    let ours = ours.get(i).and_then(|layer| layer.iter().find(|tensor| tensor.0 == *name));
                    let ours = ours.map_or(&[][..], |(_, values)| values);
                    let mut error = tensor_error(format!("{kind} {i} {name}"), ours, theirs);
                    // Batch normalization subtracts the mean, and with it the bias before it. The gradient of that bias
                    // is 0 except for rounding, so there is no magnitude to divide by.
                    let is_cancelled_bias = kind == "first gradients" && *name == "bias";
                    if is_cancelled_bias && layer.normalization == Some(Normalization::Batch) {
                        error.error = max_difference(ours, theirs);
                    }
                    errors.push(error);
                }
            }
        }
        errors.push(tensor_error("predict".into(), &ours.predictions, &theirs.predictions));
        errors
    }
}

/// Returns the mean gradients of several batches.
fn mean_gradients(batches: &[Vec<Tensors>]) -> Vec<Tensors> {
    let Some((first, others)) = batches.split_first() else { return Vec::new() };
    let mut means = first.clone();
    for (i, layer) in means.iter_mut().enumerate() {
        for (j, (_, mean)) in layer.iter_mut().enumerate() {
            for batch in others {
                mean.iter_mut().zip(&batch[i][j].1).for_each(|(sum, g)| *sum += g);
            }
            mean.iter_mut().for_each(|sum| *sum /= batches.len() as f64);
        }
    }
    means
}

fn tensor_error(name: String, ours: &[f64], theirs: &[f64]) -> TensorError {
    let scale = theirs.iter().fold(0.0, |max: f64, t| max.max(t.abs()));
    let error = match max_difference(ours, theirs) {
        0.0 => 0.0,
        difference => difference / scale,
    };
    TensorError { name, error }
}

/// Returns `max|ours - theirs|`. It is infinite if one of our values is not finite, or if the lengths differ.
fn max_difference(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs());
    // f64::max alone would ignore NaN.
    differences.fold(0.0, |max: f64, d| if d.is_finite() { max.max(d) } else { f64::INFINITY })
}

fn to_f32(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Returns the tensors of parameters or gradients from a device.
fn device_tensors(layers: &[LayerParameters]) -> Vec<Tensors> {
    let tensors = |layer: &LayerParameters| {
        let LayerParameters { weight, bias, gamma, beta, prelu_slope, running_mean, running_var } = layer;
        let trained = [("weight", weight), ("bias", bias), ("gain", gamma), ("shift", beta), ("slope", prelu_slope)];
        let running = [("running_mean", running_mean), ("running_var", running_var)];
        trained.into_iter().chain(running).map(|(name, values)| (name, to_f64(values))).collect()
    };
    layers.iter().map(tensors).collect()
}

/// Returns the tensors of parameters or gradients from the reference.
fn reference_tensors(layers: &[Parameters]) -> Vec<Tensors> {
    let tensors = |layer: &Parameters| {
        let Parameters { weight, bias, gamma, beta, prelu_slope } = layer.clone();
        vec![("weight", weight), ("bias", bias), ("gain", gamma), ("shift", beta), ("slope", prelu_slope)]
    };
    layers.iter().map(tensors).collect()
}

#[cfg(test)]
#[path = "trace/tests.rs"]
mod tests;
