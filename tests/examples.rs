//! The examples as a user runs them: programs with arguments, an exit status and what they write.

use std::{fs, path::PathBuf, time::Duration};

use crate::common::{Folder, LIMIT, Outcome, adapters, example, is_quick, run_within};

/// Runs an example with no wish from the environment as to its device.
fn ran(name: &str, arguments: &[&str]) -> Outcome {
    ran_within(name, arguments, LIMIT)
}

fn ran_within(name: &str, arguments: &[&str], limit: Duration) -> Outcome {
    let mut command = example(name);
    command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
    run_within(command.args(arguments), limit)
}

fn trace(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name)
}

/// The CPU and the software adapters, which run anywhere they are and cost nobody's GPU; the names of the arguments.
fn names() -> Vec<String> {
    let software = adapters().into_iter().filter(|adapter| adapter.is_software).map(|adapter| adapter.info.name);
    ["cpu".to_owned()].into_iter().chain(software).collect()
}

#[test]
fn xor_says_where_it_ran_and_what_it_learned() {
    let outcome = ran("xor", &[]);
    outcome.expect(0, &["loss 0.00"]);
    let last = outcome.stdout.lines().last().expect("the predictions");
    let values = last.trim_matches(['[', ']']).split(", ").map(|value| value.parse::<f32>().expect("a number"));
    assert_eq!(values.map(f32::round).collect::<Vec<_>>(), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn neuron_agrees_with_the_hand_on_every_device() {
    for name in names() {
        let outcome = ran("neuron", &["--device", &name, "--json"]);
        outcome.expect(0, &["One neuron", "One hidden layer", "dloss/dw1", "new b_h2", "(y - t)^2"]);
        let json = outcome.json();
        assert!(json["largest_difference"].as_f64().is_some_and(|d| d <= 1e-5), "{json}");
        let quantities = json["quantities"].as_array().expect("quantities");
        assert_eq!(quantities.len(), 12 + 28, "{name}: the quantities of two steps");
        assert_eq!(json["example"], "neuron");
        assert_eq!(json["backend"] == "cpu", name == "cpu", "{json}");
    }
}

#[test]
fn adapters_lists_what_is_there_and_what_auto_takes() {
    let outcome = ran("adapters", &["--json"]);
    outcome.expect(0, &["adapters; auto takes: "]);
    let json = outcome.json();
    assert_eq!(json["example"], "adapters");
    let listed = json["adapters"].as_array().expect("a list");
    assert!(listed.iter().filter(|adapter| adapter["is_automatic"] == true).count() <= 1, "{json}");
    for adapter in adapters() {
        let found = listed.iter().find(|one| one["name"] == adapter.info.name.as_str()).expect("it is listed");
        assert_eq!(found["is_software"], adapter.is_software);
        let binding = found["max_storage_buffer_binding_size"].as_u64();
        assert_eq!(binding, Some(adapter.limits.max_storage_buffer_binding_size));
    }
}

#[test]
fn doctor_passes_every_check_and_times_what_is_right() {
    for name in names() {
        // It compiles as many kernels as many of these tests together.
        let outcome = ran_within("doctor", &["--device", &name, "--json"], 4 * LIMIT);
        outcome.expect(0, &["## gradus selftest: all ", "Adapters that are there:", "% of the products' best"]);
        let json = outcome.json();
        assert!(json["example"] == "doctor" && json["passed"] == true && json["ended"].is_null(), "{json}");
        let findings = json["findings"].as_array().expect("findings");
        assert!(findings.len() > 50 && findings.iter().all(|finding| finding["passed"] == true), "{json}");
        let gemm = json["speed"]["gemm_gflops"].as_f64().expect("a ceiling");
        let timed = json["speed"]["workloads"].as_array().expect("workloads");
        let below = |one: &serde_json::Value| one["gflops"].as_f64().is_some_and(|g| g > 0.0 && g < 2.0 * gemm);
        assert!(timed.len() >= 3 && timed.iter().all(below), "{json}");
    }
    ran("doctor", &["--device", "no such device"]).expect(2, &["device not found"]);
}

#[test]
fn digits_learns_says_so_and_draws_pictures() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    let arguments = ["--epochs", "2", "--seed", "3", "--device", "cpu", "--json", "--out", out];
    let outcome = ran("digits", &arguments);
    outcome.expect(0, &["epoch 2/2: loss", "baseline, the digit whose mean image is nearest", "pictures: "]);
    let json = outcome.json();
    assert_eq!((json["example"].as_str(), json["backend"].as_str()), (Some("digits"), Some("cpu")));
    assert_eq!((json["seed"].as_u64(), json["epochs"].as_u64()), (Some(3), Some(2)));
    for key in ["seconds", "samples_per_second", "train_loss", "test_loss"] {
        assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {json}");
    }
    assert!(json["device"].is_string(), "{json}");
    let accuracy = |key: &str| json[key].as_f64().expect(key);
    assert!((0.85..1.0).contains(&accuracy("test_accuracy")), "{json}");
    assert!((0.85..0.95).contains(&accuracy("baseline_accuracy")), "{json}");
    let mut pictures: Vec<_> = fs::read_dir(out).expect("a folder").map(|file| file.expect("a file").path()).collect();
    pictures.sort();
    let names: Vec<_> = pictures.iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(names, ["answers.svg", "confusion.svg", "curves.svg"]);
    for picture in pictures {
        let svg = fs::read_to_string(&picture).expect("a text");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", picture.display());
    }
}

#[test]
fn frame_trains_in_a_render_loop_and_draws_what_was_learned() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    ran("frame", &["--device", "cpu", "--out", out]).expect(1, &["frames are drawn on a GPU"]);
    for adapter in adapters() {
        let outcome = ran("frame", &["--frames", "16", "--device", &adapter.info.name, "--json", "--out", out]);
        outcome.expect(0, &["16 frames with 16 steps each", "frames.png"]);
        let json = outcome.json();
        let [first, last] = ["first_loss", "train_loss"].map(|key| json[key].as_f64().expect(key));
        assert!(last < 0.2 * first, "{json}");
        let png = fs::read(folder.0.join("frames.png")).expect("a picture");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
    }
}

#[test]
fn rates_suggests_one_that_learns_and_draws_why() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    let outcome = ran("rates", &["--epochs", "2", "--device", "cpu", "--json", "--out", out]);
    outcome.expect(0, &["suggested: ", "2 epochs with it: ", "picture: "]);
    let json = outcome.json();
    assert!(json["suggestion"].as_f64().is_some_and(|rate| (0.01..1.0).contains(&rate)), "{json}");
    assert!(json["test_accuracy"].as_f64().is_some_and(|accuracy| accuracy > 0.85), "{json}");
    let svg = fs::read_to_string(folder.0.join("rates.svg")).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    ran("rates", &["--steps", "1", "--device", "cpu", "--out", out]).expect(2, &["steps of a range test"]);
}

#[test]
fn sweep_finds_a_rate_and_halving_finds_one_as_good_in_a_third_of_the_steps() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    for name in names().into_iter().take(if is_quick() { 1 } else { usize::MAX }) {
        let own = ["--epochs", "8", "--rates", "32", "--json", "--out", out, "--device", &name];
        let outcome = ran("sweep", &own);
        outcome.expect(0, &["32 networks went 8 times through 1442 digits", "best: ", "halving: ", "picture: "]);
        let json = outcome.json();
        let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key}: {json}"));
        assert!(
            number("test_accuracy") > 0.95 && number("halving_accuracy") > number("test_accuracy") - 0.005,
            "{json}"
        );
        assert!(3.0 * number("halving_steps") <= number("steps") && number("steps") == 32.0 * 8.0 * 46.0, "{json}");
        for picture in ["rates.svg", "losses.svg"] {
            let svg = fs::read_to_string(folder.0.join(picture)).expect("a picture");
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        }
    }
    ran("sweep", &["--rates", "1"]).expect(2, &["--rates"]);
}

#[test]
fn ensemble_parts_where_nothing_was_measured_and_draws_it() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    let own = ["--epochs", "100", "--networks", "12", "--seed", "3", "--json", "--out", out];
    for name in names() {
        let outcome = ran("ensemble", &[own.as_slice(), &["--device", &name]].concat());
        outcome.expect(0, &["12 networks took 300 steps each", "cm in the pause (", "picture: "]);
        let json = outcome.json();
        assert_eq!((json["example"].as_str(), json["networks"].as_u64()), (Some("ensemble"), Some(12)), "{json}");
        let deviation = |of: &str| json[format!("deviation_{of}")].as_f64().expect("a number");
        let inside = deviation("inside");
        assert!(inside < 0.15 && deviation("in_the_gap") > 2.0 * inside, "{json}");
        assert!(deviation("outside") > 2.0 * inside && json["train_loss"].as_f64() < Some(0.05), "{json}");
        let svg = fs::read_to_string(folder.0.join("bands.svg")).expect("a picture");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }
    ran("ensemble", &["--networks", "1"]).expect(2, &["--networks"]);
}

/// However short the time, the smallest network is measured; a slow machine may leave out every other one.
#[test]
fn compare_measures_draws_and_says_where_the_device_wins() {
    let folder = Folder::new();
    let out = folder.0.to_str().expect("a plain path");
    let all = adapters();
    for adapter in all.iter().filter(|adapter| adapter.is_software) {
        let arguments = ["--device", &adapter.info.name, "--seconds", "2", "--seed", "5", "--json", "--out", out];
        let outcome = ran("compare", &arguments);
        outcome.expect(0, &["| 16 | 16 | 66 k | ", "a step is ", "than on the CPU engine ", "picture: "]);
        let json = outcome.json();
        assert_eq!((json["example"].as_str(), json["seed"].as_u64()), (Some("compare"), Some(5)), "{json}");
        assert!(json["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{json}");
        assert!(json["crossover"].is_null() || json["crossover"].as_u64().is_some_and(|flop| flop >= 65_536), "{json}");
        let table = json["table"].as_array().expect("a table");
        assert_eq!(table.len(), 7 * 5);
        for cell in table {
            let [cpu, device, ratio] = ["cpu_us", "device_us", "ratio"].map(|key| cell[key].as_f64());
            let is_right =
                |ratio: f64| cpu.zip(device).is_some_and(|(cpu, device)| (ratio - cpu / device).abs() < 1e-9);
            assert!(ratio.map_or(cpu.is_none() && device.is_none(), is_right), "{cell}");
        }
        assert!(table[0]["flop"] == 65_536 && table[0]["ratio"].is_number(), "{}", table[0]);
        let svg = fs::read_to_string(folder.0.join("compare.svg")).expect("a picture");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }
    ran("compare", &["--device", "cpu"]).expect(2, &["nothing to compare the CPU engine with"]);
    ran("compare", &["--seconds", "0"]).expect(2, &["--seconds: expected a number above 0, got 0"]);
    if all.iter().all(|adapter| adapter.is_software) {
        ran("compare", &[]).expect(2, &["to compare the CPU with"]);
    }
}

#[test]
fn replay_judges_by_its_tolerance() {
    let file = trace("sigmoid_mse_sgd.json");
    let file = file.to_str().expect("a plain path");
    for name in names() {
        let outcome = ran("replay", &[file, "--device", &name, "--tolerance", "1e-5", "--json"]);
        outcome.expect(0, &["first gradients 0 weight", "final 1 bias", "predict", "within the tolerance of 1e-5"]);
        let json = outcome.json();
        assert_eq!((json["passed"].as_bool(), json["steps"].as_u64()), (Some(true), Some(120)), "{json}");
        let worst = json["worst"].as_str().expect("a name");
        assert_eq!(json["errors"][worst], json["worst_error"], "{json}");
    }
    let outcome = ran("replay", &[file, "--device", "cpu", "--tolerance", "1e-12", "--json"]);
    outcome.expect(1, &["above the tolerance of 1e-12"]);
    assert_eq!(outcome.json()["passed"], false);
}

#[test]
fn replay_refuses_what_it_cannot_replay_and_says_why() {
    let folder = Folder::new();
    let good = fs::read_to_string(trace("sigmoid_mse_sgd.json")).expect("a trace");
    let path = |path: PathBuf| path.to_str().expect("a plain path").to_owned();
    let cut = path(folder.file("cut.json", &good[..good.len() / 2]));
    let empty = path(folder.file("empty.json", "{}"));
    let unsupported = path(folder.file("unsupported.json", good.replacen("\"sgd\"", "\"lbfgs\"", 1)));
    let good = path(trace("sigmoid_mse_sgd.json"));
    for (arguments, why) in [
        (vec![cut.as_str()], "malformed trace"),
        (vec![&empty], "malformed trace: layers is missing"),
        (vec![&unsupported], "not supported yet: the optimizer lbfgs"),
        (vec!["/nonexistent.json"], "/nonexistent.json: "),
        (vec![&good, "--tolerance=-1"], "--tolerance: expected a number from 0 up, got -1"),
        (vec![&good, "--tolerance", "NaN"], "--tolerance: expected a number from 0 up, got NaN"),
        (vec![&good, "--device", "zzz"], "device not found: requested an adapter with \"zzz\" in its name"),
        (vec![], "FILE"),
    ] {
        ran("replay", &arguments).expect(2, &[why]);
    }
}

#[test]
fn arguments_that_do_not_exist_are_refused() {
    let common = ["--device", "--backend", "--json"];
    let training = ["--epochs", "--seed", "--out"];
    let others: [(&str, &[&str]); 13] = [
        ("neuron", &[]),
        ("doctor", &[]),
        ("replay", &["--tolerance"]),
        ("predict", &["--output"]),
        ("frame", &["--seed", "--out"]),
        ("compare", &["--seed", "--out"]),
        ("digits", &training),
        ("rates", &training),
        ("ensemble", &training),
        ("sweep", &training),
        ("train", &training),
        ("mnist", &["--epochs", "--seed", "--data", "--out"]),
        ("fashion", &["--epochs", "--seed", "--seeds", "--data"]),
    ];
    for (name, options) in others {
        ran(name, &["--frobnicate"]).expect(2, &["--frobnicate", "Usage"]);
        ran(name, &["--backend", "abacus"]).expect(2, &["abacus", "vulkan"]);
        let help = ran(name, &["--help"]);
        help.expect(0, &common).expect(0, options);
        // An option without an effect is an error, and is not listed.
        for option in ["--epochs", "--seed", "--data", "--out"] {
            if !options.contains(&option) {
                assert!(!help.stdout.contains(&format!("{option} ")), "{name} lists {option}");
                ran(name, &[option, "1"]).expect(2, &[option]);
            }
        }
    }
    ran("adapters", &["--backend", "abacus"]).expect(2, &["abacus", "vulkan"]);
    ran("adapters", &["--help"]).expect(0, &["--backend", "--json"]);
    ran("adapters", &["--device", "cpu"]).expect(2, &["--device", "Usage"]);
    ran("digits", &["--epochs", "0"]).expect(2, &["--epochs"]);
    ran("digits", &["--seeds", "0"]).expect(2, &["--seeds"]);
    ran("digits", &["--device", "zzz", "--out", &std::env::temp_dir().to_string_lossy()]).expect(2, &["zzz"]);
}

#[test]
fn mnist_without_data_says_how_to_get_it_in_one_line() {
    let outcome = ran("mnist", &["--data", "/nonexistent"]);
    outcome.expect(2, &["no train-images-idx3-ubyte (or .gz) in /nonexistent", "npm pack", "apt-get install"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

/// Files as `mnist` and `fashion` read them, with 20 images of 28x28 pixels for training and 10 for the test.
fn idx_files() -> Folder {
    let folder = Folder::new();
    for (part, rows) in [("train", 20u32), ("t10k", 10)] {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        let pixels = (0..rows * 784).map(|i| (i * 37 % 251) as u8);
        let images = words(&[0x0803, rows, 28, 28]).into_iter().chain(pixels);
        let labels = words(&[0x0801, rows]).into_iter().chain((0..rows).map(|row| (row % 10) as u8));
        fs::write(folder.0.join(format!("{part}-images-idx3-ubyte")), images.collect::<Vec<_>>()).expect("a file");
        fs::write(folder.0.join(format!("{part}-labels-idx1-ubyte")), labels.collect::<Vec<_>>()).expect("a file");
    }
    folder
}

#[test]
fn fashion_says_how_to_get_the_data_and_trains_on_them() {
    let outcome = ran("fashion", &["--data", "/nonexistent"]);
    outcome.expect(2, &["no train-images-idx3-ubyte (or .gz) in /nonexistent", "apt-get install"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);

    let folder = idx_files();
    let data = folder.0.to_str().expect("a plain path");
    let arguments = ["--device", "cpu", "--epochs", "2", "--seeds", "2", "--batch", "8", "--json", "--data", data];
    let outcome = ran("fashion", &arguments);
    outcome.expect(
        0,
        &[
            "seed 1: 2 epochs of 20 images",
            "epoch 2/2: loss",
            "median of 2 seeds",
            "baseline, the class whose mean image is nearest",
        ],
    );
    let json = outcome.json();
    assert_eq!((json["epochs"].as_u64(), json["seed_accuracies"].as_array().map(Vec::len)), (Some(2), Some(2)));
    assert!(json["median_test_accuracy"].as_f64().is_some_and(|median| (0.0..=1.0).contains(&median)), "{json}");
    ran("fashion", &["--dropout", "1", "--data", data, "--device", "cpu"]).expect(2, &["dropout: expected"]);
}

#[test]
fn mnist_trains_on_idx_files() {
    let folder = idx_files();
    let data = folder.0.to_str().expect("a plain path");
    let out = folder.0.join("out");
    let own = ["--device", "cpu", "--epochs", "2", "--json", "--data", data, "--out", out.to_str().expect("plain")];
    let book = ["--hidden", "30", "--batch", "10", "--learning-rate", "15", "--init", "normal"];
    let outcome = ran("mnist", &[own.as_slice(), &book].concat());
    outcome.expect(0, &["784-30-10, mse", "held out after each epoch"]);
    let json = outcome.json();
    assert_eq!((json["network"].as_str(), json["learning_rate"].as_f64()), (Some("784-30-10"), Some(15.0)));
    assert!(out.join("curves.svg").is_file() && out.join("answers.svg").is_file());

    // One label too few.
    let labels = folder.0.join("t10k-labels-idx1-ubyte");
    let bytes = fs::read(&labels).expect("it was written");
    fs::write(&labels, &bytes[..bytes.len() - 1]).expect("a file");
    ran("mnist", &own).expect(2, &["t10k-labels-idx1-ubyte", "expected 10 bytes, got 9"]);
}
