//! Training traces recorded with PyTorch in f64 (`traces/make_reference.py` and `traces/make_traces.py`), replayed on
//! the reference and on every device.

use std::{collections::BTreeMap, path::Path};

use crate::{
    common::{adapters, is_quick, open},
    trace::{TensorError, Trace},
};
use gradus::Device;

/// The tolerance of a device, which computes in f32; see [`TensorError`].
const DEVICE_TOLERANCE: f64 = 1e-5;
/// The tolerance of the reference, which computes in f64.
const REFERENCE_TOLERANCE: f64 = 1e-9;
/// The tolerance of the reference for hardsigmoid: PyTorch rounds its slope of 1/6 to f32, even in f64.
const HARD_SIGMOID_TOLERANCE: f64 = 1e-7;

/// Returns all traces by name.
fn traces() -> BTreeMap<String, Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("the folder exists");
    let paths = entries(&folder).chain(entries(&folder.join("more"))).map(|entry| entry.expect("a file").path());
    let json_files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let parse = |path: std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let trace = Trace::parse(&std::fs::read_to_string(&path).expect("a text"));
        let trace = trace.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, trace)
    };
    let traces: BTreeMap<_, _> = json_files.map(parse).collect();
    assert_eq!(traces.len(), 7 + 61, "a trace is missing");
    traces
}

/// Prints the largest error of a trace. Returns a message if it exceeds the tolerance.
fn check(device: &str, name: &str, errors: &[TensorError], tolerance: f64) -> Option<String> {
    let worst = errors.iter().max_by(|a, b| a.error.total_cmp(&b.error)).expect("tensors");
    let message = format!("{device}: {name}: {}: error {:.1e}", worst.name, worst.error);
    println!("{message}");
    (worst.error > tolerance).then_some(message)
}

/// The traces that a software adapter may skip, because other tests cover them there.
///
/// Most are for a single activation or loss: `src/engine/gpu/tests/kernels.rs` compares these with the reference in
/// every kernel. The others differ from another trace only in numbers, which do not change the kernels.
const COVERED_ELSEWHERE: [&str; 36] = [
    "elu",
    "gaussian",
    "gelu",
    "gelu_tanh",
    "hardsigmoid",
    "hardtanh",
    "leaky_relu",
    "mish",
    "selu",
    "silu",
    "sine",
    "softplus",
    "softsign",
    "loss_bce_with_logits",
    "loss_hinge",
    "loss_huber",
    "loss_l1",
    "loss_label_smoothing",
    "loss_log_cosh",
    "loss_poisson",
    "loss_relative_l2",
    "adadelta_options",
    "adagrad_options",
    "adam_options",
    "adamax_options",
    "adamw_amsgrad",
    "adamw_options",
    "elu_half",
    "leaky_relu_steeper",
    "lion_options",
    "loss_huber_half",
    "nadam_decoupled",
    "nadam_options",
    "rmsprop_options",
    "rprop_options",
    "sine_faster",
];

/// Replays every `step`-th trace, starting with number `first`, on every device.
///
/// A software adapter takes seconds to build the kernels of a trace. So it skips the traces of [`COVERED_ELSEWHERE`]
/// unless `GRADUS_TEST_ALL_TRACES=1` is set, and four of five others in a quick run. The CPU engine and the reference
/// replay all.
fn replay_on_every_device(first: usize, step: usize) {
    let traces = traces();
    assert!(COVERED_ELSEWHERE.iter().all(|name| traces.contains_key(*name)));
    let replays_all = std::env::var("GRADUS_TEST_ALL_TRACES").is_ok_and(|value| value == "1");
    let mut failures = Vec::new();
    let mut replay = |device: &Device, is_slow: bool| {
        let selected = traces.iter().filter(|(name, _)| !is_slow || !COVERED_ELSEWHERE.contains(&name.as_str()));
        let step = if is_slow && is_quick() { 5 * step } else { step };
        for (name, trace) in selected.skip(first).step_by(step) {
            let errors = trace.replay(device).expect("a valid trace");
            failures.extend(check(&device.to_string(), name, &errors, DEVICE_TOLERANCE));
        }
    };
    replay(&Device::cpu(), false);
    for adapter in adapters() {
        replay(&open(&adapter, None), adapter.is_software && !replays_all);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

// Two tests, so that two threads can build kernels.
#[test]
fn every_device_matches_traces_with_even_numbers() {
    replay_on_every_device(0, 2);
}

#[test]
fn every_device_matches_traces_with_odd_numbers() {
    replay_on_every_device(1, 2);
}

#[test]
fn the_reference_matches_every_trace() {
    let mut failures = Vec::new();
    for (name, trace) in traces() {
        let errors = trace.replay_reference().expect("a valid trace");
        let tolerance = if name == "hardsigmoid" { HARD_SIGMOID_TOLERANCE } else { REFERENCE_TOLERANCE };
        failures.extend(check("reference", &name, &errors, tolerance));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
