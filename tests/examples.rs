//! The examples as a user runs them: their arguments, exit status, output and files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::common::{Folder, LIMIT, Outcome, adapters, example, is_quick, run_within};

/// Runs an example without the environment variables that select a device.
fn run_example(name: &str, arguments: &[&str]) -> Outcome {
    run_example_within(name, arguments, LIMIT)
}

fn run_example_within(name: &str, arguments: &[&str], limit: Duration) -> Outcome {
    let mut command = example(name);
    command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
    run_within(command.args(arguments), limit)
}

fn trace_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name)
}

/// Returns the values of `--device` for the CPU engine and the software adapters. A GPU may be in use by other programs.
fn device_names() -> Vec<String> {
    let software = adapters().into_iter().filter(|adapter| adapter.is_software).map(|adapter| adapter.info.name);
    std::iter::once("cpu".to_owned()).chain(software).collect()
}

/// Panics unless the file is a complete SVG.
fn check_svg(path: &Path) {
    let svg = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", path.display());
}

#[test]
fn xor_prints_the_device_and_correct_predictions() {
    let outcome = run_example("xor", &[]);
    outcome.expect(0, &["loss 0.00"]);
    let last = outcome.stdout.lines().last().expect("the predictions");
    let values = last.trim_matches(['[', ']']).split(", ").map(|value| value.parse::<f32>().expect("a number"));
    assert_eq!(values.map(f32::round).collect::<Vec<_>>(), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn neuron_agrees_with_the_reference_on_every_device() {
    for name in device_names() {
        let outcome = run_example("neuron", &["--device", &name, "--json"]);
        outcome.expect(0, &["One neuron", "One hidden layer", "dloss/dw1", "new b_h2", "(y - t)^2"]);
        let json = outcome.json();
        assert!(json["largest_difference"].as_f64().is_some_and(|d| d <= 1e-5), "{json}");
        assert!(json["largest_difference_in"].is_string(), "{json}");
        let quantities = json["quantities"].as_array().expect("quantities");
        assert_eq!(quantities.len(), 12 + 28, "{name}: the quantities of two steps");
        assert_eq!(json["example"], "neuron");
        assert_eq!(json["backend"] == "cpu", name == "cpu", "{json}");
    }
}

#[test]
fn adapters_lists_every_adapter_and_the_selection_of_auto() {
    let outcome = run_example("adapters", &["--json"]);
    outcome.expect(0, &["adapters: ", "auto selects: "]);
    let json = outcome.json();
    assert_eq!(json["example"], "adapters");
    let listed = json["adapters"].as_array().expect("a list");
    assert!(listed.iter().filter(|adapter| adapter["is_default"] == true).count() <= 1, "{json}");
    for adapter in adapters() {
        let found = listed.iter().find(|listed| listed["name"] == adapter.info.name.as_str()).expect("it is listed");
        assert_eq!(found["is_software"], adapter.is_software);
        let binding_size = found["max_storage_buffer_binding_size"].as_u64();
        assert_eq!(binding_size, Some(adapter.limits.max_storage_buffer_binding_size));
    }
}

#[test]
fn doctor_passes_every_check_and_times_the_workloads() {
    for name in device_names() {
        // The self-test compiles as many kernels as many of these tests together.
        let outcome = run_example_within("doctor", &["--device", &name, "--json"], 4 * LIMIT);
        outcome.expect(0, &["## gradus self-test: all ", "\nAdapters:\n", "% of peak matmul"]);
        let json = outcome.json();
        assert!(json["example"] == "doctor" && json["passed"] == true && json["aborted"].is_null(), "{json}");
        let checks = json["checks"].as_array().expect("checks");
        assert!(checks.len() > 50 && checks.iter().all(|check| check["passed"] == true), "{json}");
        assert!(["group", "name", "quantity"].iter().all(|key| checks[0][key].is_string()), "{json}");
        let gemm = json["speed"]["gemm_gflops"].as_f64().expect("a peak rate");
        let workloads = json["speed"]["workloads"].as_array().expect("workloads");
        let is_plausible =
            |workload: &serde_json::Value| workload["gflops"].as_f64().is_some_and(|g| g > 0.0 && g < 2.0 * gemm);
        assert!(workloads.len() >= 3 && workloads.iter().all(is_plausible), "{json}");
    }
    run_example("doctor", &["--device", "no such device"]).expect(2, &["device not found"]);
}

#[test]
fn digits_trains_and_saves_plots() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    let arguments = ["--epochs", "2", "--seed", "3", "--device", "cpu", "--json", "--out-dir", out_dir];
    let outcome = run_example("digits", &arguments);
    outcome.expect(0, &["epoch 2/2: loss", "seed 3: test accuracy ", "baseline, nearest class mean: ", "plots: "]);
    let json = outcome.json();
    assert_eq!((json["example"].as_str(), json["backend"].as_str()), (Some("digits"), Some("cpu")));
    assert_eq!((json["seed"].as_u64(), json["epochs"].as_u64()), (Some(3), Some(2)));
    for key in ["seconds", "samples_per_second", "train_loss", "test_loss"] {
        assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {json}");
    }
    for (key, len) in [("test_accuracy_per_epoch", 2), ("test_accuracy_per_run", 1)] {
        assert_eq!(json[key].as_array().map(Vec::len), Some(len), "{key} in {json}");
    }
    assert!(json["device"].is_string(), "{json}");
    let accuracy = |key: &str| json[key].as_f64().expect(key);
    assert!((0.85..1.0).contains(&accuracy("test_accuracy")), "{json}");
    assert!((0.85..0.95).contains(&accuracy("baseline_accuracy")), "{json}");
    let mut plots: Vec<_> = fs::read_dir(out_dir).expect("a folder").map(|file| file.expect("a file").path()).collect();
    plots.sort();
    let names: Vec<_> = plots.iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(names, ["confusion.svg", "curves.svg", "predictions.svg"]);
    plots.iter().for_each(|path| check_svg(path));
    let predictions = fs::read_to_string(folder.0.join("predictions.svg")).expect("a plot");
    assert!(predictions.contains("Test accuracy ") && predictions.contains("target: "), "the captions");
}

#[test]
fn render_loop_trains_and_saves_the_frames() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    run_example("render_loop", &["--device", "cpu", "--out-dir", out_dir]).expect(1, &["a render loop needs a GPU"]);
    for adapter in adapters() {
        let name = &adapter.info.name;
        let arguments = ["--frames", "16", "--device", name, "--json", "--out-dir", out_dir];
        let outcome = run_example("render_loop", &arguments);
        outcome.expect(0, &["16 frames, 16 steps each: ", "frames.png"]);
        let json = outcome.json();
        let [first, last] = ["first_loss", "train_loss"].map(|key| json[key].as_f64().expect(key));
        assert!(last < 0.2 * first, "{json}");
        let png = fs::read(folder.0.join("frames.png")).expect("a plot");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
    }
}

#[test]
fn lr_finder_suggests_a_learning_rate_that_works() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    let outcome = run_example("lr_finder", &["--epochs", "2", "--device", "cpu", "--json", "--out-dir", out_dir]);
    outcome.expect(0, &["suggested learning rate: ", "seed 0: test accuracy ", "plot: "]);
    let json = outcome.json();
    let suggested = json["suggested_learning_rate"].as_f64();
    assert!(suggested.is_some_and(|learning_rate| (0.01..1.0).contains(&learning_rate)), "{json}");
    assert!(json["points"].as_array().is_some_and(|points| points.len() > 10), "{json}");
    assert!(json["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.85), "{json}");
    check_svg(&folder.0.join("learning_rate_curve.svg"));
    let arguments = ["--steps", "1", "--device", "cpu", "--out-dir", out_dir];
    run_example("lr_finder", &arguments).expect(2, &["steps: expected at least 2, got 1"]);
}

#[test]
fn sweep_finds_a_good_learning_rate_and_halving_one_in_a_third_of_the_steps() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    for name in device_names().into_iter().take(if is_quick() { 1 } else { usize::MAX }) {
        let arguments = ["--epochs", "8", "--trials", "32", "--json", "--out-dir", out_dir, "--device", &name];
        let outcome = run_example("sweep", &arguments);
        let texts =
            ["32 networks, 8 epochs of 1442 digits on ", "grid search: best ", "successive halving: best ", "plot: "];
        outcome.expect(0, &texts);
        let json = outcome.json();
        let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key}: {json}"));
        assert!(
            number("test_accuracy") > 0.95 && number("halving_accuracy") > number("test_accuracy") - 0.005,
            "{json}"
        );
        assert!(number("best_learning_rate") > 0.0 && number("halving_learning_rate") > 0.0, "{json}");
        assert_eq!((json["trials"].as_u64(), number("steps")), (Some(32), 32.0 * 8.0 * 46.0), "{json}");
        assert!(3.0 * number("halving_steps") <= number("steps"), "{json}");
        for plot in ["learning_rates.svg", "losses.svg"] {
            check_svg(&folder.0.join(plot));
        }
    }
    run_example("sweep", &["--trials", "1"]).expect(2, &["--trials"]);
}

#[test]
fn ensemble_has_a_larger_standard_deviation_without_measurements() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    let common = ["--epochs", "100", "--networks", "12", "--seed", "3", "--json", "--out-dir", out_dir];
    for name in device_names() {
        let outcome = run_example("ensemble", &[common.as_slice(), &["--device", &name]].concat());
        outcome.expect(0, &["12 networks, 300 steps each", "cm in the gap (", "plot: "]);
        let json = outcome.json();
        assert_eq!((json["example"].as_str(), json["networks"].as_u64()), (Some("ensemble"), Some(12)), "{json}");
        let [inside, gap, outside] =
            ["std_inside", "std_gap", "std_outside"].map(|key| json[key].as_f64().expect("a number"));
        assert!(inside < 0.15 && gap > 2.0 * inside && outside > 2.0 * inside, "{json}");
        assert!(json["train_loss"].as_f64() < Some(0.05), "{json}");
        check_svg(&folder.0.join("uncertainty_bands.svg"));
    }
    run_example("ensemble", &["--networks", "1"]).expect(2, &["--networks"]);
}

/// A short measurement always includes the smallest network. A slow machine may skip every other one.
#[test]
fn cpu_vs_gpu_measures_and_plots_the_crossover() {
    let folder = Folder::new();
    let out_dir = folder.0.to_str().expect("a path in UTF-8");
    let all = adapters();
    for adapter in all.iter().filter(|adapter| adapter.is_software) {
        let name = &adapter.info.name;
        let arguments = ["--device", name, "--seconds", "2", "--seed", "5", "--json", "--out-dir", out_dir];
        let outcome = run_example("cpu_vs_gpu", &arguments);
        outcome.expect(0, &["| 16 | 16 | 66 k | ", "crossover: ", "than the CPU engine ", "best speedup: ", "plot: "]);
        let json = outcome.json();
        assert_eq!((json["example"].as_str(), json["seed"].as_u64()), (Some("cpu_vs_gpu"), Some(5)), "{json}");
        assert!(json["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{json}");
        let crossover = &json["crossover_flop"];
        assert!(crossover.is_null() || crossover.as_u64().is_some_and(|flop| flop >= 65_536), "{json}");
        let cells = json["cells"].as_array().expect("cells");
        assert_eq!(cells.len(), 7 * 5);
        for cell in cells {
            let [cpu, device, speedup] = ["cpu_us", "device_us", "speedup"].map(|key| cell[key].as_f64());
            match (cpu, device, speedup) {
                (None, None, None) => {}
                (Some(cpu), Some(device), Some(speedup)) => assert!((speedup - cpu / device).abs() < 1e-9, "{cell}"),
                _ => panic!("only some of the keys are numbers: {cell}"),
            }
        }
        assert!(cells[0]["flop"] == 65_536 && cells[0]["speedup"].is_number(), "{}", cells[0]);
        check_svg(&folder.0.join("cpu_vs_gpu.svg"));
    }
    let cpu = "--device: expected a GPU or a software adapter to compare the CPU engine with, got cpu";
    run_example("cpu_vs_gpu", &["--device", "cpu"]).expect(2, &[cpu]);
    run_example("cpu_vs_gpu", &["--seconds", "0"]).expect(2, &["--seconds: expected a number > 0, got 0"]);
    if all.iter().all(|adapter| adapter.is_software) {
        run_example("cpu_vs_gpu", &[]).expect(2, &["no GPU"]);
    }
}

#[test]
fn replay_compares_the_largest_error_with_the_tolerance() {
    let file = trace_path("sigmoid_mse_sgd.json");
    let file = file.to_str().expect("a path in UTF-8");
    for name in device_names() {
        let outcome = run_example("replay", &[file, "--device", &name, "--tolerance", "1e-5", "--json"]);
        outcome.expect(0, &["first gradients 0 weight", "final 1 bias", "predict", "within the tolerance of 1e-5"]);
        let json = outcome.json();
        assert_eq!((json["passed"].as_bool(), json["steps"].as_u64()), (Some(true), Some(120)), "{json}");
        let worst = json["worst"].as_str().expect("a name");
        assert_eq!(json["errors"][worst], json["worst_error"], "{json}");
    }
    let outcome = run_example("replay", &[file, "--device", "cpu", "--tolerance", "1e-12", "--json"]);
    outcome.expect(1, &["above the tolerance of 1e-12", "expected an error of at most 1e-12, got "]);
    assert_eq!(outcome.json()["passed"], false);
}

#[test]
fn replay_returns_an_error_for_invalid_and_unsupported_traces() {
    let folder = Folder::new();
    let valid = fs::read_to_string(trace_path("sigmoid_mse_sgd.json")).expect("a trace");
    let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let truncated = text(folder.file("truncated.json", &valid[..valid.len() / 2]));
    let empty = text(folder.file("empty.json", "{}"));
    let unsupported = text(folder.file("unsupported.json", valid.replacen("\"sgd\"", "\"lbfgs\"", 1)));
    let valid = text(trace_path("sigmoid_mse_sgd.json"));
    for (arguments, message) in [
        (vec![truncated.as_str()], "invalid trace: "),
        (vec![&empty], "invalid trace: layers is missing"),
        (vec![&unsupported], "unsupported trace: optimizer \"lbfgs\""),
        (vec!["/nonexistent.json"], "/nonexistent.json: "),
        (vec![&valid, "--tolerance=-1"], "--tolerance: expected a number >= 0, got -1"),
        (vec![&valid, "--tolerance", "NaN"], "--tolerance: expected a number >= 0, got NaN"),
        (vec![&valid, "--device", "zzz"], "device not found: requested an adapter with \"zzz\" in its name"),
        (vec![], "FILE"),
    ] {
        run_example("replay", &arguments).expect(2, &[message]);
    }
}

/// An option that has no effect in an example is an error there, and `--help` does not list it.
#[test]
fn every_example_rejects_unknown_options_and_lists_its_own() {
    let common = ["--device", "--backend", "--json"];
    let training = ["--epochs", "--seed", "--out-dir"];
    let options_by_example: [(&str, &[&str]); 13] = [
        ("neuron", &[]),
        ("doctor", &[]),
        ("replay", &["--tolerance"]),
        ("predict", &["--output"]),
        ("render_loop", &["--seed", "--out-dir"]),
        ("cpu_vs_gpu", &["--seed", "--out-dir"]),
        ("digits", &training),
        ("lr_finder", &training),
        ("ensemble", &training),
        ("sweep", &training),
        ("train", &training),
        ("mnist", &["--epochs", "--seed", "--data-dir", "--out-dir"]),
        ("fashion", &["--epochs", "--seed", "--runs", "--data-dir"]),
    ];
    for (name, options) in options_by_example {
        run_example(name, &["--frobnicate"]).expect(2, &["--frobnicate", "Usage"]);
        run_example(name, &["--backend", "abacus"]).expect(2, &["abacus", "vulkan"]);
        let help = run_example(name, &["--help"]);
        help.expect(0, &common).expect(0, options);
        for option in ["--epochs", "--seed", "--data-dir", "--out-dir"] {
            if !options.contains(&option) {
                assert!(!help.stdout.contains(&format!("{option} ")), "{name} lists {option}");
                run_example(name, &[option, "1"]).expect(2, &[option]);
            }
        }
    }
    run_example("adapters", &["--backend", "abacus"]).expect(2, &["abacus", "vulkan"]);
    run_example("adapters", &["--help"]).expect(0, &["--backend", "--json"]);
    run_example("adapters", &["--device", "cpu"]).expect(2, &["--device", "Usage"]);
    run_example("digits", &["--epochs", "0"]).expect(2, &["--epochs"]);
    run_example("digits", &["--runs", "0"]).expect(2, &["--runs"]);
    let temporary = std::env::temp_dir();
    run_example("digits", &["--device", "zzz", "--out-dir", &temporary.to_string_lossy()]).expect(2, &["zzz"]);
}

#[test]
fn mnist_without_data_prints_how_to_get_it_in_one_line() {
    let outcome = run_example("mnist", &["--data-dir", "/nonexistent"]);
    outcome.expect(2, &["no train-images-idx3-ubyte (or .gz) in /nonexistent", "npm pack", "apt-get install"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

/// Creates the four IDX files of `mnist` and `fashion`, with 20 training images of 28x28 pixels and 10 test images.
fn idx_files() -> Folder {
    let folder = Folder::new();
    for (part, rows) in [("train", 20u32), ("t10k", 10)] {
        let header = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        let pixels = (0..rows * 784).map(|i| (i * 37 % 251) as u8);
        let images = header(&[0x0803, rows, 28, 28]).into_iter().chain(pixels);
        let labels = header(&[0x0801, rows]).into_iter().chain((0..rows).map(|row| (row % 10) as u8));
        fs::write(folder.0.join(format!("{part}-images-idx3-ubyte")), images.collect::<Vec<_>>()).expect("a file");
        fs::write(folder.0.join(format!("{part}-labels-idx1-ubyte")), labels.collect::<Vec<_>>()).expect("a file");
    }
    folder
}

#[test]
fn fashion_trains_on_idx_files_or_prints_how_to_get_them() {
    let outcome = run_example("fashion", &["--data-dir", "/nonexistent"]);
    outcome.expect(2, &["no train-images-idx3-ubyte (or .gz) in /nonexistent", "apt-get install"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);

    let folder = idx_files();
    let data_dir = folder.0.to_str().expect("a path in UTF-8");
    let options = ["--device", "cpu", "--epochs", "2", "--runs", "2", "--batch-size", "8", "--json"];
    let outcome = run_example("fashion", &[options.as_slice(), &["--data-dir", data_dir]].concat());
    let texts = [
        "seed 1: 2 epochs of 20 images",
        "epoch 2/2: loss",
        "test accuracy of 2 runs: median ",
        "baseline, nearest class mean: ",
    ];
    outcome.expect(0, &texts);
    let json = outcome.json();
    let runs = json["test_accuracy_per_run"].as_array().map(Vec::len);
    assert_eq!((json["epochs"].as_u64(), runs), (Some(2), Some(2)));
    assert!(json["median_test_accuracy"].as_f64().is_some_and(|median| (0.0..=1.0).contains(&median)), "{json}");
    let invalid = ["--dropout", "1", "--data-dir", data_dir, "--device", "cpu"];
    run_example("fashion", &invalid).expect(2, &["dropout: expected"]);
}

#[test]
fn mnist_trains_on_idx_files() {
    let folder = idx_files();
    let data_dir = folder.0.to_str().expect("a path in UTF-8");
    let out_dir = folder.0.join("out");
    let out_text = out_dir.to_str().expect("a path in UTF-8");
    let common = ["--device", "cpu", "--epochs", "2", "--json", "--data-dir", data_dir, "--out-dir", out_text];
    let nielsen = ["--hidden", "30", "--batch-size", "10", "--learning-rate", "15", "--init", "normal"];
    let outcome = run_example("mnist", &[common.as_slice(), &nielsen].concat());
    outcome.expect(0, &["network 784-30-10, loss mse", "test accuracy after each epoch: "]);
    let json = outcome.json();
    assert_eq!((json["network"].as_str(), json["learning_rate"].as_f64()), (Some("784-30-10"), Some(15.0)));
    assert!(out_dir.join("curves.svg").is_file() && out_dir.join("predictions.svg").is_file());

    // Remove one label.
    let labels = folder.0.join("t10k-labels-idx1-ubyte");
    let bytes = fs::read(&labels).expect("the labels");
    fs::write(&labels, &bytes[..bytes.len() - 1]).expect("a file");
    run_example("mnist", &common).expect(2, &["t10k-labels-idx1-ubyte", "expected 10 bytes, got 9"]);
}
