//! Training traces: what another framework computed step by step, replayed and compared tensor by tensor.
//!
//! A trace is one JSON object:
//! - `layers`: `[{"inputs", "outputs", "activation", "weight": [[..]], "bias": [..]}]`, the parameters at the start,
//!   each weight as `outputs` rows of `inputs` (PyTorch's layout)
//! - `loss`: `mse` or `bce` (the mean over batch and outputs), or `softmax_cross_entropy` (the mean over the batch)
//! - `optimizer`: `{"name": "sgd", "lr"}` and possibly `"momentum"`
//! - `x`, `y`: the inputs and the expected outputs row by row; class ids in `y` under `softmax_cross_entropy`
//! - `batches`: the rows `[start, end)` of each step
//! - `losses`: each step's loss, before its update
//! - `gradients`: `[{"weight", "bias"}]` of the first step
//! - `final`: `[{"weight", "bias"}]` after the last step
//! - `predict`: the outputs for all of `x` after the last step, logits under `softmax_cross_entropy`
//!
//! The error of a tensor is `max|ours - theirs| / max|theirs|`.

use std::fmt;

use gradus::{Activation, Device, LayerParameters, Loss, Network, Optimizer, Result, Settings, Trainer};
use serde_json::{Map, Value};

/// A training trace: how it starts, what is done, and what should come out.
#[derive(Debug, Clone)]
pub struct Trace {
    network: Network,
    initial: Vec<LayerParameters>,
    loss: Loss,
    optimizer: Optimizer,
    x: Vec<f32>,
    /// `[rows, outputs]`; a class id has become a row of zeros with a one.
    y: Vec<f32>,
    batches: Vec<(usize, usize)>,
    losses: Vec<f64>,
    gradients: Vec<Layer>,
    last: Vec<Layer>,
    predict: Vec<f64>,
}

/// A layer's weight or gradient, as the trace has it: `[outputs, inputs]` and `[outputs]`.
#[derive(Debug, Clone)]
struct Layer {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a trace, or contradicts itself.
    Malformed(String),
    /// It is a trace of something that is not there yet.
    Unsupported(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed trace: {why}"),
            Self::Unsupported(why) => write!(f, "not supported yet: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// How far one tensor is from the trace's.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorError {
    /// Which one, such as `final 1 weight`: the weight of the second layer after the last step.
    pub name: String,
    /// `max|ours - theirs| / max|theirs|`; infinite if one of ours is not finite, or theirs are all 0 and ours not.
    pub error: f64,
}

type Refused<T> = std::result::Result<T, Refusal>;

fn malformed<T>(why: impl Into<String>) -> Refused<T> {
    Err(Refusal::Malformed(why.into()))
}

fn unsupported<T>(why: impl Into<String>) -> Refused<T> {
    Err(Refusal::Unsupported(why.into()))
}

impl Trace {
    /// Every key of a trace; another one would be an option that changes the training in a way we do not know.
    const KEYS: [&str; 10] =
        ["layers", "loss", "optimizer", "batches", "x", "y", "losses", "gradients", "final", "predict"];

    /// Reads a trace, and refuses what does not fit together or is not supported.
    pub fn parse(json: &str) -> Refused<Self> {
        let trace: Value = serde_json::from_str(json).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let trace = object(&trace, "the trace")?;
        let (network, initial) = network(trace)?;
        let loss = loss(trace, &network)?;
        let optimizer = optimizer(trace)?;
        if let Some(key) = trace.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            return unsupported(format!("the option {key}"));
        }

        let (inputs, outputs) = (network.inputs(), network.outputs());
        let x = matrix(get(trace, "x")?, "x", None, inputs)?;
        let rows = x.len() / inputs;
        let y = match loss {
            Loss::SoftmaxCrossEntropy => one_hot(get(trace, "y")?, rows, outputs)?,
            _ => to_f32(&matrix(get(trace, "y")?, "y", Some(rows), outputs)?, "y")?,
        };
        let batches = batches(get(trace, "batches")?, rows)?;
        let losses = numbers(get(trace, "losses")?, "losses", Some(batches.len()))?;
        let gradients = tensors(trace, "gradients", &network)?;
        let last = tensors(trace, "final", &network)?;
        let predict = matrix(get(trace, "predict")?, "predict", Some(rows), outputs)?;
        let x = to_f32(&x, "x")?;
        Ok(Self { network, initial, loss, optimizer, x, y, batches, losses, gradients, last, predict })
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.batches.len()
    }

    /// Trains by hand on `device` as the trace did, and compares everything that it holds.
    pub fn replay(&self, device: &Device) -> Result<Vec<TensorError>> {
        let batch = self.batches.iter().map(|(start, end)| end - start).max().unwrap_or(1);
        let settings = Settings { batch, loss: self.loss, optimizer: self.optimizer, ..Settings::default() };
        let mut trainer = Trainer::by_hand(device, &self.network, settings)?;
        trainer.set_parameters(&self.initial)?;

        let rows = |(start, end): (usize, usize)| {
            let (inputs, outputs) = (self.network.inputs(), self.network.outputs());
            (&self.x[start * inputs..end * inputs], &self.y[start * outputs..end * outputs])
        };
        let gradients = match self.batches.first() {
            Some(first) => trainer.gradients(rows(*first).0, rows(*first).1)?,
            None => Vec::new(),
        };
        for batch in &self.batches {
            let (x, y) = rows(*batch);
            trainer.step(x, y)?;
        }
        let mut errors = vec![compare("losses".into(), &trainer.losses()?.losses, &self.losses)];
        let last = trainer.parameters()?;
        for (when, ours, theirs) in [("first gradients", gradients, &self.gradients), ("final", last, &self.last)] {
            for (i, theirs) in theirs.iter().enumerate() {
                let ours = ours.get(i).cloned().unwrap_or_default();
                errors.push(compare(format!("{when} {i} weight"), &ours.weight, &theirs.weight));
                errors.push(compare(format!("{when} {i} bias"), &ours.bias, &theirs.bias));
            }
        }
        errors.push(compare("predict".into(), &trainer.predict(&self.x)?, &self.predict));
        Ok(errors)
    }
}

fn compare(name: String, ours: &[f32], theirs: &[f64]) -> TensorError {
    let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (f64::from(*ours) - theirs).abs());
    // f64::max would pass over a NaN.
    let largest = differences.fold(0.0, |most: f64, d| if d.is_finite() { most.max(d) } else { f64::INFINITY });
    let scale = theirs.iter().fold(0.0, |most: f64, t| most.max(t.abs()));
    let error = match largest {
        _ if ours.len() != theirs.len() => f64::INFINITY,
        0.0 => 0.0,
        largest => largest / scale,
    };
    TensorError { name, error }
}

fn network(trace: &Map<String, Value>) -> Refused<(Network, Vec<LayerParameters>)> {
    let layers = array(get(trace, "layers")?, "layers")?;
    let first = layers.first().ok_or_else(|| Refusal::Malformed("layers is empty".into()))?;
    let mut network = Network::new(size(get(object(first, "layers[0]")?, "inputs")?, "layers[0].inputs")?);
    let mut initial = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let at = format!("layers[{i}]");
        let layer = object(layer, &at)?;
        let inputs = size(get(layer, "inputs")?, &format!("{at}.inputs"))?;
        let outputs = size(get(layer, "outputs")?, &format!("{at}.outputs"))?;
        if inputs != network.outputs() {
            return malformed(format!("{at}.inputs is {inputs}, and {} come in", network.outputs()));
        }
        let name = text(get(layer, "activation")?, &format!("{at}.activation"))?;
        let Some(activation) = Activation::ALL.iter().find(|activation| activation.name() == name) else {
            return unsupported(format!("the activation {name} of {at}"));
        };
        if let Some(key) = layer.keys().find(|k| !LAYER.contains(&k.as_str())) {
            return unsupported(format!("the option {key} of {at}"));
        }
        let Layer { weight, bias } = tensor(layer, &at, inputs, outputs)?;
        initial.push(LayerParameters { weight: to_f32(&weight, &at)?, bias: to_f32(&bias, &at)? });
        network = network.dense(outputs, *activation);
    }
    Ok((network, initial))
}

const LAYER: [&str; 5] = ["inputs", "outputs", "activation", "weight", "bias"];

fn loss(trace: &Map<String, Value>, network: &Network) -> Refused<Loss> {
    let loss = match text(get(trace, "loss")?, "loss")? {
        "mse" => Loss::Mse,
        "bce" => Loss::BinaryCrossEntropy,
        "softmax_cross_entropy" => Loss::SoftmaxCrossEntropy,
        other => return unsupported(format!("the loss {other}")),
    };
    let last = network.layers().last().map(|layer| layer.activation);
    match (loss.output_activation(), last) {
        (Some(needed), Some(last)) if needed != last => unsupported(format!("{loss} on a last layer of {last}")),
        _ => Ok(loss),
    }
}

fn optimizer(trace: &Map<String, Value>) -> Refused<Optimizer> {
    let options = object(get(trace, "optimizer")?, "optimizer")?;
    let name = text(get(options, "name")?, "optimizer.name")?;
    if name != "sgd" {
        return unsupported(format!("the optimizer {name}"));
    }
    if let Some(key) = options.keys().find(|key| !["name", "lr", "momentum"].contains(&key.as_str())) {
        return unsupported(format!("the option {key} of sgd"));
    }
    let learning_rate = number(get(options, "lr")?, "optimizer.lr")?;
    Ok(match options.get("momentum") {
        None => Optimizer::sgd(learning_rate),
        Some(momentum) => Optimizer::momentum(learning_rate, number(momentum, "optimizer.momentum")?),
    })
}

fn batches(value: &Value, rows: usize) -> Refused<Vec<(usize, usize)>> {
    let batch = |(i, batch): (usize, &Value)| {
        let at = format!("batches[{i}]");
        let [start, end] = array(batch, &at)?.as_slice() else {
            return malformed(format!("{at} is not [start, end]"));
        };
        match (start.as_u64().map(usize::try_from), end.as_u64().map(usize::try_from)) {
            (Some(Ok(start)), Some(Ok(end))) if start < end && end <= rows => Ok((start, end)),
            _ => malformed(format!("{at} is [{start}, {end}], not a range of the {rows} rows")),
        }
    };
    let batches: Vec<_> = array(value, "batches")?.iter().enumerate().map(batch).collect::<Refused<_>>()?;
    if batches.is_empty() { malformed("batches is empty") } else { Ok(batches) }
}

/// Class ids as rows of zeros with a one.
fn one_hot(value: &Value, rows: usize, classes: usize) -> Refused<Vec<f32>> {
    let ids = array(value, "y")?;
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

fn tensors(trace: &Map<String, Value>, name: &str, network: &Network) -> Refused<Vec<Layer>> {
    let layers = array(get(trace, name)?, name)?;
    let expected = network.layers().len();
    if layers.len() != expected {
        return malformed(format!("{name} has {} layers instead of {expected}", layers.len()));
    }
    let layer = |(i, (layer, shape)): (usize, (&Value, &gradus::Dense))| {
        let at = format!("{name}[{i}]");
        tensor(object(layer, &at)?, &at, shape.inputs, shape.outputs)
    };
    layers.iter().zip(network.layers()).enumerate().map(layer).collect()
}

fn tensor(layer: &Map<String, Value>, at: &str, inputs: usize, outputs: usize) -> Refused<Layer> {
    Ok(Layer {
        weight: matrix(get(layer, "weight")?, &format!("{at}.weight"), Some(outputs), inputs)?,
        bias: numbers(get(layer, "bias")?, &format!("{at}.bias"), Some(outputs))?,
    })
}

/// `rows` rows of `columns` finite numbers, or any number of rows but none.
fn matrix(value: &Value, at: &str, rows: Option<usize>, columns: usize) -> Refused<Vec<f64>> {
    let given = array(value, at)?;
    if given.is_empty() || rows.is_some_and(|rows| rows != given.len()) {
        let expected = rows.map_or("at least 1".to_owned(), |rows| rows.to_string());
        return malformed(format!("{at} has {} rows instead of {expected}", given.len()));
    }
    let row = |(i, row): (usize, &Value)| numbers(row, &format!("{at}[{i}]"), Some(columns));
    Ok(given.iter().enumerate().map(row).collect::<Refused<Vec<_>>>()?.concat())
}

fn numbers(value: &Value, at: &str, len: Option<usize>) -> Refused<Vec<f64>> {
    let values = array(value, at)?;
    match len {
        Some(len) if len != values.len() => malformed(format!("{at} has {} values instead of {len}", values.len())),
        _ => values.iter().enumerate().map(|(i, value)| number(value, &format!("{at}[{i}]"))).collect(),
    }
}

/// The numbers as the device takes them. One too large for that would arrive there as infinite.
fn to_f32(values: &[f64], at: &str) -> Refused<Vec<f32>> {
    let narrow = values.iter().map(|value| *value as f32).collect::<Vec<_>>();
    match narrow.iter().position(|value| !value.is_finite()) {
        None => Ok(narrow),
        Some(i) => malformed(format!("{at}: {:e} is beyond the numbers of 32 bits", values[i])),
    }
}

fn get<'a>(object: &'a Map<String, Value>, key: &str) -> Refused<&'a Value> {
    object.get(key).ok_or_else(|| Refusal::Malformed(format!("{key} is missing")))
}

fn object<'a>(value: &'a Value, at: &str) -> Refused<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| Refusal::Malformed(format!("{at} is not an object")))
}

fn array<'a>(value: &'a Value, at: &str) -> Refused<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| Refusal::Malformed(format!("{at} is not an array")))
}

fn text<'a>(value: &'a Value, at: &str) -> Refused<&'a str> {
    value.as_str().ok_or_else(|| Refusal::Malformed(format!("{at} is not a string")))
}

fn number(value: &Value, at: &str) -> Refused<f64> {
    match value.as_f64() {
        Some(number) if number.is_finite() => Ok(number),
        _ => malformed(format!("{at} is not a finite number")),
    }
}

fn size(value: &Value, at: &str) -> Refused<usize> {
    match value.as_u64().map(usize::try_from) {
        Some(Ok(size)) if size > 0 => Ok(size),
        _ => malformed(format!("{at} is {value}, not a size")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "layers": [{"inputs": 2, "outputs": 1, "activation": "sigmoid", "weight": [[0.5, -0.25]], "bias": [0.125]}],
        "loss": "mse", "optimizer": {"name": "sgd", "lr": 0.5}, "batches": [[0, 2], [2, 3]],
        "x": [[1, 0], [0, 1], [1, 1]], "y": [[0.5], [1], [0]], "losses": [0.1, 0.2],
        "gradients": [{"weight": [[0, 0]], "bias": [0]}], "final": [{"weight": [[0, 0]], "bias": [0]}],
        "predict": [[0.5], [0.5], [0.5]]
    }"#;

    #[test]
    fn a_good_trace_is_read() {
        let trace = Trace::parse(GOOD).expect("it is good");
        assert_eq!((trace.steps(), trace.x.len(), trace.batches[1]), (2, 6, (2, 3)));
    }

    /// One change to a good trace each, and what the reason has to speak of.
    #[test]
    fn what_contradicts_itself_is_malformed_and_what_is_unknown_is_unsupported() {
        let malformed = [
            ("\"x\": [[1, 0], [0, 1], [1, 1]], ", "", "x is missing"),
            ("[[0, 2], [2, 3]]", "[]", "batches is empty"),
            ("[2, 3]]", "[2, 4]]", "batches[1]"),
            ("[2, 3]]", "[3, 3]]", "batches[1]"),
            ("[2, 3]]", "[2]]", "batches[1]"),
            ("[2, 3]]", "[-1, 3]]", "batches[1]"),
            ("[1, 1]]", "[1]]", "x[2]"),
            ("[0.5], [1], [0]]", "[0.5], [1]]", "y has 2 rows instead of 3"),
            ("[0.1, 0.2]", "[0.1]", "losses"),
            ("[0.1, 0.2]", "[0.1, null]", "losses[1]"),
            ("\"lr\": 0.5", "\"lr\": \"0.5\"", "optimizer.lr"),
            ("\"inputs\": 2", "\"inputs\": 0", "layers[0].inputs"),
            ("\"inputs\": 2", "\"inputs\": 18446744073709551615", "layers[0].weight[0]"),
            ("\"outputs\": 1", "\"outputs\": 99999999999", "layers[0].weight"),
            ("\"bias\": [0.125]", "\"bias\": [1e39]", "32 bits"),
            ("\"bias\": [0.125]", "\"bias\": [1e999]", "number"),
            ("[{\"inputs\"", "[1, {\"inputs\"", "layers[0]"),
            ("\"final\": [", "\"final\": [{}, ", "final has 2 layers"),
        ];
        for (from, to, reason) in malformed {
            let json = GOOD.replacen(from, to, 1);
            assert_ne!(json, GOOD, "{from}");
            let refusal = Trace::parse(&json).map(|_| ()).expect_err(to);
            assert!(matches!(&refusal, Refusal::Malformed(why) if why.contains(reason)), "{to}: {refusal}");
        }
        let unsupported = [
            ("\"sigmoid\"", "\"swish\"", "swish"),
            ("\"mse\"", "\"hinge\"", "hinge"),
            ("\"mse\"", "\"softmax_cross_entropy\"", "softmax_cross_entropy on a last layer of sigmoid"),
            ("\"sgd\"", "\"lion\"", "lion"),
            ("\"lr\": 0.5", "\"lr\": 0.5, \"nesterov\": true", "nesterov"),
            ("\"lr\": 0.5", "\"lr\": 0.5, \"weight_decay\": 0", "weight_decay"),
            ("\"loss\"", "\"lr_schedule\": [0.5, 0.1], \"loss\"", "lr_schedule"),
            ("\"activation\"", "\"dropout\": 0.5, \"activation\"", "dropout"),
        ];
        for (from, to, reason) in unsupported {
            let refusal = Trace::parse(&GOOD.replacen(from, to, 1)).map(|_| ()).expect_err(to);
            assert!(matches!(&refusal, Refusal::Unsupported(why) if why.contains(reason)), "{to}: {refusal}");
        }
    }

    #[test]
    fn every_cut_of_a_trace_is_refused() {
        for end in 0..GOOD.len() - 1 {
            assert!(Trace::parse(&GOOD[..end]).is_err(), "cut after {end} bytes");
        }
        assert!(Trace::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn the_error_is_relative_to_the_largest_entry_and_sees_a_nan() {
        let error = |ours: &[f32], theirs: &[f64]| compare(String::new(), ours, theirs).error;
        assert_eq!(error(&[1.0, 3.0], &[1.0, 4.0]), 0.25);
        assert_eq!(error(&[0.0], &[0.0]), 0.0);
        assert_eq!(error(&[0.5], &[0.0]), f64::INFINITY);
        assert_eq!(error(&[f32::NAN, 1.0], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(error(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }
}
