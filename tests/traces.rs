//! Trainings that PyTorch recorded in 64 bits (`traces/make_reference.py` and `traces/make_traces.py`), on the reference
//! and on every device.

use std::{collections::BTreeMap, path::Path};

use crate::{
    common::{adapters, is_quick, open},
    trace::{TensorError, Trace},
};
use gradus::Device;

/// How far f32 may be from PyTorch's f64; see [`TensorError`].
const TOLERANCE: f64 = 1e-5;
/// How far f64 may be.
const TOLERANCE_OF_THE_REFERENCE: f64 = 1e-9;
/// The same for hardsigmoid, for which PyTorch rounds its slope of 1/6 to 32 bits even in 64.
const TOLERANCE_OF_A_ROUNDED_SIXTH: f64 = 1e-7;

/// Every trace by its name.
fn traces() -> BTreeMap<String, Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let read = |folder: &Path| std::fs::read_dir(folder).expect("the traces are there");
    let paths = read(&folder).chain(read(&folder.join("more"))).map(|entry| entry.expect("a file").path());
    let json = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let trace = Trace::parse(&std::fs::read_to_string(&path).expect("a text"));
        let trace = trace.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        (name, trace)
    };
    let traces: BTreeMap<_, _> = json.map(read).collect();
    assert_eq!(traces.len(), 7 + 61, "a trace is missing");
    traces
}

/// Prints the largest error, and says so if it is above the tolerance.
fn judge(who: &str, name: &str, errors: &[TensorError], tolerance: f64) -> Option<String> {
    let worst = errors.iter().max_by(|a, b| a.error.total_cmp(&b.error)).expect("tensors");
    println!("{who}: {name}: {} {:.1e}", worst.name, worst.error);
    (worst.error > tolerance).then(|| format!("{who}: {name}: {} is off by {:.1e}", worst.name, worst.error))
}

/// The traces of one activation or one loss each, which meets the reference in every kernel on every adapter in
/// `src/gpu/tests/kernels.rs`, and those of a rule or a formula with other numbers, which are numbers to a kernel.
const FORMULAS: [&str; 36] = [
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

/// Replays every `step`th trace from the `first` on. A software adapter takes seconds to build the kernels of a trace, so
/// those of [`FORMULAS`] are left out there unless `GRADUS_TEST_ALL_TRACES=1`, and where it has to be quick four of five of the
/// others as well. The CPU engine and the reference replay all.
fn every_device_trains_as_pytorch_does(first: usize, step: usize) {
    let traces = traces();
    assert!(FORMULAS.iter().all(|name| traces.contains_key(*name)));
    let all = std::env::var("GRADUS_TEST_ALL_TRACES").is_ok_and(|value| value == "1");
    let mut wrong = Vec::new();
    let mut replay = |device: &Device, is_slow: bool| {
        let taken = traces.iter().filter(|(name, _)| !is_slow || !FORMULAS.contains(&name.as_str()));
        let step = if is_slow && is_quick() { 5 * step } else { step };
        for (name, trace) in taken.skip(first).step_by(step) {
            let errors = trace.replay(device).expect("it runs");
            wrong.extend(judge(&device.to_string(), name, &errors, TOLERANCE));
        }
    };
    replay(&Device::cpu(), false);
    for adapter in adapters() {
        replay(&open(&adapter, None), adapter.is_software && !all);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// Two tests, for two threads: building kernels takes one each.
#[test]
fn every_device_trains_half_of_the_traces_as_pytorch_does() {
    every_device_trains_as_pytorch_does(0, 2);
}

#[test]
fn every_device_trains_the_other_half_as_pytorch_does() {
    every_device_trains_as_pytorch_does(1, 2);
}

#[test]
fn the_reference_trains_as_pytorch_does_in_64_bits() {
    let mut wrong = Vec::new();
    for (name, trace) in traces() {
        let errors = trace.replay_reference().expect("it runs");
        let is_rounded = name == "hardsigmoid";
        let tolerance = if is_rounded { TOLERANCE_OF_A_ROUNDED_SIXTH } else { TOLERANCE_OF_THE_REFERENCE };
        wrong.extend(judge("reference", &name, &errors, tolerance));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
