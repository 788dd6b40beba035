//! Trainings that PyTorch recorded in 64 bits (`traces/make_reference.py` and `traces/make_traces.py`), on the reference
//! and on every device.

mod common;
/// The reader and player of `--example replay`; its own tests run here as well.
#[path = "../examples/common/trace.rs"]
mod trace;

use std::{collections::BTreeMap, path::Path};

use trace::{TensorError, Trace};

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

#[test]
fn every_device_trains_as_pytorch_does() {
    let (traces, mut wrong) = (traces(), Vec::new());
    for device in common::devices() {
        for (name, trace) in &traces {
            let errors = trace.replay(&device).expect("it runs");
            wrong.extend(judge(&device.to_string(), name, &errors, TOLERANCE));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
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
