//! Trainings that PyTorch recorded in 64 bits (`traces/make_reference.py`), on the reference and on every device.

mod common;
/// The reader and player of `--example replay`; its own tests run here as well.
#[path = "../examples/common/trace.rs"]
mod trace;

use std::{collections::BTreeMap, path::Path};

use gradus::{Activation, LayerParameters, Loss, Network, Optimizer, cpu::reference::Reference};
use serde_json::Value;
use trace::{Refusal, Trace};

/// The traces that ask for what is not there yet, and what that is.
const NOT_YET_SUPPORTED: [(&str, &str); 4] = [
    ("gelu_softmax_adamw_cosine", "the activation gelu of layers[0]"),
    ("relu_softmax_nesterov_decay", "the option nesterov of sgd"),
    ("sigmoid_bce_adam", "the optimizer adam"),
    ("silu_huber_rmsprop", "the activation silu of layers[0]"),
];

/// How far f32 may be from PyTorch's f64; see [`trace::TensorError`].
const TOLERANCE: f64 = 1e-5;
/// How far f64 may be.
const TOLERANCE_OF_THE_REFERENCE: f64 = 1e-9;

/// Every trace by its name.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let paths = std::fs::read_dir(&folder).expect("the traces are there").map(|entry| entry.expect("a file").path());
    let json = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("a text"))
    };
    json.map(read).collect()
}

fn supported() -> Vec<(String, String)> {
    let is_there = |name: &str| NOT_YET_SUPPORTED.iter().all(|(not_yet, _)| *not_yet != name);
    files().into_iter().filter(|(name, _)| is_there(name)).collect()
}

#[test]
fn exactly_the_traces_of_what_is_not_there_yet_are_refused() {
    let refused = files().into_iter().filter_map(|(name, json)| match Trace::parse(&json) {
        Ok(_) => None,
        Err(Refusal::Unsupported(why)) => Some((name, why)),
        Err(malformed) => panic!("{name}: {malformed}"),
    });
    let expected = NOT_YET_SUPPORTED.map(|(name, why)| (name.to_owned(), why.to_owned()));
    assert_eq!(refused.collect::<Vec<_>>(), expected);
    assert_eq!(files().len(), 7);
}

#[test]
fn every_device_trains_as_pytorch_does() {
    for device in common::devices() {
        for (name, json) in supported() {
            let trace = Trace::parse(&json).expect("it is supported");
            let errors = trace.replay(&device).expect("it runs");
            let worst = errors.iter().max_by(|a, b| a.error.total_cmp(&b.error)).expect("tensors");
            println!("{device}: {name}: {} {:.1e}", worst.name, worst.error);
            assert!(worst.error <= TOLERANCE, "{device}: {name}: {} is off by {:.1e}", worst.name, worst.error);
        }
    }
}

/// The reference takes f64, so this does not go through `Trace`, which rounds to what devices take. The traces start
/// from numbers that f32 holds.
#[test]
fn the_reference_trains_as_pytorch_does_in_64_bits() {
    for (name, json) in supported() {
        let trace: Value = serde_json::from_str(&json).expect("JSON");
        let (mut network, mut initial) = (None, Vec::new());
        for layer in trace["layers"].as_array().expect("layers") {
            let size = |key: &str| layer[key].as_u64().expect(key) as usize;
            let activation = Activation::ALL.iter().find(|a| layer["activation"] == a.name()).expect("an activation");
            let before = network.take().unwrap_or_else(|| Network::new(size("inputs")));
            network = Some(before.dense(size("outputs"), *activation));
            let narrow = |key: &str| flat(&layer[key]).into_iter().map(|v| v as f32).collect();
            initial.push(LayerParameters { weight: narrow("weight"), bias: narrow("bias") });
        }
        let network = network.expect("a layer");
        let loss = match trace["loss"].as_str() {
            Some("bce") => Loss::BinaryCrossEntropy,
            Some("softmax_cross_entropy") => Loss::SoftmaxCrossEntropy,
            _ => Loss::Mse,
        };
        let rate = trace["optimizer"]["lr"].as_f64().expect("lr");
        let momentum = trace["optimizer"]["momentum"].as_f64();
        let optimizer = momentum.map_or(Optimizer::sgd(rate), |momentum| Optimizer::momentum(rate, momentum));
        let mut reference = Reference::new(&network, loss, optimizer, &initial).expect("a reference");

        let (x, y) = (flat(&trace["x"]), expected(&trace, network.outputs()));
        let check = |what: &str, ours: &[f64], theirs: &[f64]| {
            assert_eq!(ours.len(), theirs.len(), "{name}: {what}");
            let largest = theirs.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
            for (ours, theirs) in ours.iter().zip(theirs) {
                let error = (ours - theirs).abs() / largest;
                assert!(error <= TOLERANCE_OF_THE_REFERENCE, "{name}: {what}: {ours} instead of {theirs}, {error:.1e}");
            }
        };
        let batches: Vec<Vec<f64>> = trace["batches"].as_array().expect("batches").iter().map(flat).collect();
        let rows = |batch: &[f64], values: &[f64], columns: usize| {
            values[batch[0] as usize * columns..batch[1] as usize * columns].to_vec()
        };
        let (inputs, outputs) = (network.inputs(), network.outputs());
        let first = reference.gradients(&rows(&batches[0], &x, inputs), &rows(&batches[0], &y, outputs));
        let steps = batches.iter().map(|batch| reference.step(&rows(batch, &x, inputs), &rows(batch, &y, outputs)));
        let losses: Vec<f64> = steps.collect::<Result<_, _>>().expect("every step");
        check("losses", &losses, &flat(&trace["losses"]));
        let first = first.expect("gradients");
        for (when, ours) in [("gradients", first.as_slice()), ("final", reference.parameters())] {
            for (i, ours) in ours.iter().enumerate() {
                check(&format!("{when} {i} weight"), &ours.weight, &flat(&trace[when][i]["weight"]));
                check(&format!("{when} {i} bias"), &ours.bias, &flat(&trace[when][i]["bias"]));
            }
        }
        check("predict", &reference.predict(&x).expect("outputs"), &flat(&trace["predict"]));
    }
}

/// All numbers of a nest of arrays, in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        value => vec![value.as_f64().expect("a number")],
    }
}

/// The expected outputs; class ids become rows of zeros with a one.
fn expected(trace: &Value, outputs: usize) -> Vec<f64> {
    let y = flat(&trace["y"]);
    if trace["loss"] != "softmax_cross_entropy" {
        return y;
    }
    y.iter().flat_map(|class| (0..outputs).map(move |i| f64::from(u8::from(*class == i as f64)))).collect()
}
