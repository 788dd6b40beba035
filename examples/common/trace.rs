//! Training traces: what another framework computed step by step, replayed and compared tensor by tensor.
//!
//! A trace is one JSON object:
//! - `layers`: `[{"inputs", "outputs", "activation", "weight": [[..]], "bias": [..]}]`, the parameters at the start,
//!   each weight as `outputs` rows of `inputs` (PyTorch's layout), and the activation's number if it has one; `norm` with
//!   its `gain` and `shift`, and the `slope` of each neuron that `prelu` learns
//! - `loss`: its name, and its number if it has one
//! - `optimizer`: `{"name", "lr"}` and its options, in PyTorch's names; around it `l1`, `clip_value`, `clip_norm` and `average`
//! - `accumulate`: over how many batches gradients are averaged before an update, if it is not each
//! - `x`, `y`: the inputs and the expected outputs row by row; class ids in `y` under `softmax_cross_entropy`
//! - `weights`, if they are there: one for each row
//! - `batches`: the rows `[start, end)` of each step
//! - `lr_schedule`, if it is there: the rate of each step
//! - `losses`: each step's loss, before its update
//! - `gradients`: `[{"weight", "bias"}]` of the first update, with `gain`, `shift` and `slope` where a layer has them
//! - `final`: the same after the last step, with `running_mean` and `running_var` of a batch norm; and `averaged`, if there
//!   is an average
//! - `predict`: the outputs for all of `x` after the last step, logits under `softmax_cross_entropy`
//!
//! `tests/traces/make_traces.py` says more about each. The error of a tensor is `max|ours - theirs| / max|theirs|`.

#[path = "trace/json.rs"]
mod json;
#[path = "trace/names.rs"]
mod names;

use gradus::{
    Activation, Device, Loss, Network, Optimizer, Result, Trainer, TrainerSettings,
    nn::{Dense, LayerParameters, Normalization},
    reference::{Parameters, Reference},
};
use serde_json::Value;

pub use json::Refusal;
use json::{Object, Refused, array, malformed};

/// A training trace: how it starts, what is done, and what should come out.
#[derive(Debug, Clone)]
pub struct Trace {
    network: Network,
    initial: Vec<LayerParameters>,
    loss: Loss,
    optimizer: Optimizer,
    /// How many batches make an update.
    accumulate: usize,
    x: Vec<f64>,
    /// `[rows, outputs]`; a class id has become a row of zeros with a one.
    y: Vec<f64>,
    /// `[rows]`, or empty.
    weights: Vec<f64>,
    steps: Vec<Step>,
    theirs: TraceResults,
}

#[derive(Debug, Clone)]
struct Step {
    start: usize,
    end: usize,
    /// Where there is a schedule.
    learning_rate: Option<f64>,
}

/// The results of a training.
#[derive(Debug, Clone)]
struct TraceResults {
    losses: Vec<f64>,
    /// Of the first update.
    gradients: Vec<Tensors>,
    last: Vec<Tensors>,
    /// Empty where the optimizer keeps no average.
    averaged: Vec<Tensors>,
    predict: Vec<f64>,
}

/// A layer's tensors by their names in the trace; what it does not have is empty or missing.
type Tensors = Vec<(&'static str, Vec<f64>)>;

/// How far one tensor is from the trace's.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorError {
    /// Which one, such as `final 1 weight`: the weight of the second layer after the last step.
    pub name: String,
    /// `max|ours - theirs| / max|theirs|`; infinite if one of ours is not finite, or theirs are all 0 and ours not. Of the
    /// gradient of a bias before a batch norm it is `max|ours - theirs|`.
    pub error: f64,
}

impl Trace {
    /// Reads a trace, and refuses what does not fit together or is not supported.
    pub fn parse(json: &str) -> Refused<Self> {
        let trace: Value = serde_json::from_str(json).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let trace = Object::new(&trace, "")?;
        let (network, initial) = network(&trace)?;
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let loss = names::loss(&trace, &network)?;
        let optimizer = names::optimizer(&trace)?;
        let accumulate = trace.number_or("accumulate", 1.0)? as usize;
        let x = trace.matrix("x", None, inputs)?;
        let rows = x.len() / inputs;
        let y = match loss {
            Loss::SoftmaxCrossEntropy | Loss::LabelSmoothedCrossEntropy { .. } => {
                one_hot(trace.array("y")?, rows, outputs)?
            }
            _ => trace.matrix("y", Some(rows), outputs)?,
        };
        let has_weights = trace.find("weights").is_some();
        let weights = if has_weights { trace.numbers("weights", Some(rows))? } else { Vec::new() };
        let steps = steps(&trace, rows)?;
        let theirs = TraceResults {
            losses: trace.numbers("losses", Some(steps.len()))?,
            gradients: tensors(&trace, "gradients", &network)?,
            last: tensors(&trace, "final", &network)?,
            averaged: if optimizer.ema_decay.is_some() { tensors(&trace, "averaged", &network)? } else { Vec::new() },
            predict: trace.matrix("predict", Some(rows), outputs)?,
        };
        trace.finish("")?;
        Ok(Self { network, initial, loss, optimizer, accumulate, x, y, weights, steps, theirs })
    }

    /// How many steps it has.
    pub const fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Trains by hand on `device` as the trace did, and compares everything that it holds.
    pub fn replay(&self, device: &Device) -> Result<Vec<TensorError>> {
        let batch = self.steps.iter().map(|step| step.end - step.start).max().unwrap_or(1);
        let Self { loss, optimizer, accumulate, .. } = *self;
        let weighted = !self.weights.is_empty();
        let settings = TrainerSettings {
            batch_size: batch,
            loss,
            optimizer,
            gradient_accumulation: accumulate,
            sample_weights: weighted,
            ..TrainerSettings::default()
        };
        let mut trainer = Trainer::without_dataset(device, &self.network, settings)?;
        trainer.set_parameters(&self.initial)?;
        let (x, y, all_weights) = (narrow(&self.x), narrow(&self.y), narrow(&self.weights));
        let mut gradients = Vec::new();
        for (i, step) in self.steps.iter().enumerate() {
            let (x, y) = (self.inputs_of(step, &x), self.outputs_of(step, &y));
            let weights = all_weights.get(step.start..step.end);
            if i < self.accumulate {
                gradients.push(of_device(&match weights {
                    Some(weights) => trainer.gradients_weighted(x, y, weights)?,
                    None => trainer.gradients(x, y)?,
                }));
            }
            step.learning_rate.map_or(Ok(()), |rate| trainer.set_learning_rate(rate))?;
            match weights {
                Some(weights) => trainer.step_weighted(x, y, weights)?,
                None => trainer.step(x, y)?,
            }
        }
        let average = self.optimizer.ema_decay.is_some();
        Ok(self.compare(&TraceResults {
            losses: wide(&trainer.take_report()?.losses),
            gradients: mean(&gradients),
            last: of_device(&trainer.parameters()?),
            averaged: if average { of_device(&trainer.ema_parameters()?) } else { Vec::new() },
            predict: wide(&trainer.predict(&x)?),
        }))
    }

    /// The same on the reference, in f64. The traces start from numbers that f32 holds.
    #[allow(dead_code, reason = "the tests' own")]
    pub fn replay_reference(&self) -> Result<Vec<TensorError>> {
        let mut reference = Reference::new(&self.network, self.loss, self.optimizer, &self.initial)?;
        reference = reference.with_gradient_accumulation(self.accumulate as u64);
        let (mut gradients, mut losses) = (Vec::new(), Vec::new());
        for (i, step) in self.steps.iter().enumerate() {
            let (x, y) = (self.inputs_of(step, &self.x), self.outputs_of(step, &self.y));
            let weights = self.weights.get(step.start..step.end).unwrap_or_default();
            if i < self.accumulate {
                gradients.push(of_reference(&reference.gradients_weighted(x, y, weights)?));
            }
            step.learning_rate.map_or(Ok(()), |rate| reference.set_learning_rate(rate))?;
            losses.push(reference.step_weighted(x, y, weights)?);
        }
        let mut last = of_reference(reference.parameters());
        for (i, layer) in last.iter_mut().enumerate() {
            let (mean, variance) = reference.running_stats(i);
            layer.extend([("running_mean", mean.to_vec()), ("running_var", variance.to_vec())]);
        }
        let averaged = of_reference(&reference.ema_parameters().unwrap_or_default());
        Ok(self.compare(&TraceResults {
            losses,
            gradients: mean(&gradients),
            last,
            averaged,
            predict: reference.predict(&self.x)?,
        }))
    }

    fn inputs_of<'a, T>(&self, step: &Step, x: &'a [T]) -> &'a [T] {
        &x[step.start * self.network.inputs()..step.end * self.network.inputs()]
    }

    fn outputs_of<'a, T>(&self, step: &Step, y: &'a [T]) -> &'a [T] {
        &y[step.start * self.network.outputs()..step.end * self.network.outputs()]
    }

    fn compare(&self, ours: &TraceResults) -> Vec<TensorError> {
        let theirs = &self.theirs;
        let mut errors = vec![compare("losses".into(), &ours.losses, &theirs.losses)];
        for (when, ours, theirs) in [
            ("first gradients", &ours.gradients, &theirs.gradients),
            ("final", &ours.last, &theirs.last),
            ("averaged", &ours.averaged, &theirs.averaged),
        ] {
            for (i, (theirs, layer)) in theirs.iter().zip(self.network.layers()).enumerate() {
                for (tensor, theirs) in theirs {
                    let has_name = |(name, _): &&(&str, Vec<f64>)| name == tensor;
                    let ours = ours.get(i).and_then(|layer| layer.iter().find(has_name));
                    let ours = ours.map_or(&[][..], |(_, values)| values);
                    let mut error = compare(format!("{when} {i} {tensor}"), ours, theirs);
                    // The norm takes away with the mean what such a bias adds. Its gradient is 0 but for rounding, and
                    // has no size of its own that the rounding could be measured by.
                    if (when, *tensor, layer.normalization) == ("first gradients", "bias", Some(Normalization::Batch)) {
                        error.error = farthest(ours, theirs);
                    }
                    errors.push(error);
                }
            }
        }
        errors.push(compare("predict".into(), &ours.predict, &theirs.predict));
        errors
    }
}

/// The mean of the gradients of some batches, layer by layer.
fn mean(batches: &[Vec<Tensors>]) -> Vec<Tensors> {
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

fn compare(name: String, ours: &[f64], theirs: &[f64]) -> TensorError {
    let scale = theirs.iter().fold(0.0, |most: f64, t| most.max(t.abs()));
    let error = match farthest(ours, theirs) {
        0.0 => 0.0,
        largest => largest / scale,
    };
    TensorError { name, error }
}

/// `max|ours - theirs|`; infinite if one of ours is not finite, or there are not as many.
fn farthest(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs());
    // f64::max would pass over a NaN.
    differences.fold(0.0, |most: f64, d| if d.is_finite() { most.max(d) } else { f64::INFINITY })
}

fn network(trace: &Object) -> Refused<(Network, Vec<LayerParameters>)> {
    let layers = trace.array("layers")?;
    let Some(first) = layers.first() else { return malformed("layers is empty") };
    let mut network = Network::new(Object::new(first, "layers[0]")?.size("inputs")?);
    let mut initial = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let at = format!("layers[{i}]");
        let layer = Object::new(layer, at.as_str())?;
        let (inputs, outputs) = (layer.size("inputs")?, layer.size("outputs")?);
        if inputs != network.outputs() {
            return malformed(format!("{at}.inputs is {inputs}, and {} come in", network.outputs()));
        }
        network = network.dense(outputs, names::activation(&layer, &at)?);
        network = names::norm(network, &layer, &at)?;
        let added = network.layers()[i];
        let mut first = LayerParameters::default();
        for (name, values) in tensors_of(&layer, &added, false)? {
            *match name {
                "weight" => &mut first.weight,
                "bias" => &mut first.bias,
                "gain" => &mut first.gamma,
                "shift" => &mut first.beta,
                _ => &mut first.prelu_slope,
            } = narrow(&values);
        }
        // Behind the tensors, which are as many as the sizes say.
        if added.normalization == Some(Normalization::Batch) {
            (first.running_mean, first.running_var) = (vec![0.0; outputs], vec![1.0; outputs]);
        }
        initial.push(first);
        layer.finish(&at)?;
    }
    Ok((network, initial))
}

fn steps(trace: &Object, rows: usize) -> Refused<Vec<Step>> {
    let batches = trace.array("batches")?;
    if batches.is_empty() {
        return malformed("batches is empty");
    }
    let has_rates = trace.find("lr_schedule").is_some();
    let rates = if has_rates { trace.numbers("lr_schedule", Some(batches.len()))? } else { Vec::new() };
    let step = |(i, batch): (usize, &Value)| {
        let at = format!("batches[{i}]");
        let [start, end] = array(batch, &at)?.as_slice() else {
            return malformed(format!("{at} is not [start, end]"));
        };
        match (start.as_u64().map(usize::try_from), end.as_u64().map(usize::try_from)) {
            (Some(Ok(start)), Some(Ok(end))) if start < end && end <= rows => {
                Ok(Step { start, end, learning_rate: rates.get(i).copied() })
            }
            _ => malformed(format!("{at} is [{start}, {end}], not a range of the {rows} rows")),
        }
    };
    batches.iter().enumerate().map(step).collect()
}

/// Class ids as rows of zeros with a one.
fn one_hot(ids: &[Value], rows: usize, classes: usize) -> Refused<Vec<f64>> {
    if ids.len() != rows {
        return malformed(format!("y has {} class ids, and x {rows} rows", ids.len()));
    }
    let mut hot = vec![0.0; rows * classes];
    for ((row, id), hot) in ids.iter().enumerate().zip(hot.chunks_mut(classes)) {
        match id.as_u64().and_then(|id| hot.get_mut(usize::try_from(id).ok()?)) {
            Some(one) => *one = 1.0,
            None => return malformed(format!("y[{row}] is {id}, not one of the {classes} classes")),
        }
    }
    Ok(hot)
}

fn tensors(trace: &Object, name: &str, network: &Network) -> Refused<Vec<Tensors>> {
    let (layers, expected) = (trace.array(name)?, network.layers().len());
    if layers.len() != expected {
        return malformed(format!("{name} has {} layers instead of {expected}", layers.len()));
    }
    let layer = |(i, (layer, dense)): (usize, (&Value, &Dense))| {
        let at = format!("{name}[{i}]");
        let layer = Object::new(layer, at.as_str())?;
        let tensors = tensors_of(&layer, dense, name == "final")?;
        layer.finish(&at)?;
        Ok(tensors)
    };
    layers.iter().zip(network.layers()).enumerate().map(layer).collect()
}

/// Exactly the tensors that a layer like `dense` has; running statistics where `runs` asks for them.
fn tensors_of(layer: &Object, dense: &Dense, runs: bool) -> Refused<Tensors> {
    let mut tensors = vec![("weight", layer.matrix("weight", Some(dense.outputs), dense.inputs)?)];
    let mut add = |name| layer.numbers(name, Some(dense.outputs)).map(|values| tensors.push((name, values)));
    add("bias")?;
    if dense.normalization.is_some() {
        add("gain")?;
        add("shift")?;
    }
    if matches!(dense.activation, Activation::Prelu { .. }) {
        add("slope")?;
    }
    if runs && dense.normalization == Some(Normalization::Batch) {
        add("running_mean")?;
        add("running_var")?;
    }
    Ok(tensors)
}

/// The numbers as a device takes them.
fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn of_device(layers: &[LayerParameters]) -> Vec<Tensors> {
    let named = |layer: &LayerParameters| {
        let LayerParameters {
            weight,
            bias,
            gamma: gain,
            beta: shift,
            prelu_slope: slope,
            running_mean,
            running_var: running_variance,
        } = layer;
        let own = [("weight", weight), ("bias", bias), ("gain", gain), ("shift", shift), ("slope", slope)];
        let running = [("running_mean", running_mean), ("running_var", running_variance)];
        own.into_iter().chain(running).map(|(name, values)| (name, wide(values))).collect()
    };
    layers.iter().map(named).collect()
}

fn of_reference(layers: &[Parameters]) -> Vec<Tensors> {
    let named = |layer: &Parameters| {
        let Parameters { weight, bias, gamma: gain, beta: shift, prelu_slope: slope } = layer.clone();
        vec![("weight", weight), ("bias", bias), ("gain", gain), ("shift", shift), ("slope", slope)]
    };
    layers.iter().map(named).collect()
}

#[cfg(test)]
#[path = "trace/tests.rs"]
mod tests;
