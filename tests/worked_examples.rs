//! The examples of complete tasks, one for each kind of data: `spirals`, `concrete`, `text` and `speech`.

use std::{fs, io::Write, path::Path, process::Command};

use crate::common::{Folder, Outcome, example, run};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

/// Runs an example on the CPU, with plots in the folder `out` of `folder`.
fn run_example(name: &str, folder: &Folder, arguments: &[&str]) -> Outcome {
    let out = folder.0.join("out");
    run(example(name).args(["--device", "cpu", "--json", "--out-dir", out.to_str().expect("plain")]).args(arguments))
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {json}"))
}

/// Checks the keys that the results of all examples have, and the number of results per seed.
fn check(json: &Value, name: &str, seeds: usize) {
    assert_eq!((json["example"].as_str(), json["backend"].as_str()), (Some(name), Some("cpu")));
    for key in ["seconds", "samples_per_second", "train_loss", "epochs"] {
        assert!(number(json, key) > 0.0, "{key} in {json}");
    }
    let scores = ["test_accuracy_per_run", "test_r2_per_run"].into_iter().find_map(|key| json[key].as_array());
    assert_eq!(scores.map(Vec::len), Some(seeds), "{json}");
    assert!(json["device"].is_string() && json["seed"].is_u64() && json["baseline"].is_string(), "{json}");
}

fn check_svg(path: &Path) {
    let svg = fs::read_to_string(path).expect("a plot");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", path.display());
}

#[test]
fn spirals_beats_its_baseline_and_plots_the_boundary() {
    let folder = Folder::new();
    let outcome = run_example("spirals", &folder, &["--runs", "2"]);
    outcome.expect(0, &["epoch 200/200", "test accuracy of 2 runs: ", "baseline, logistic regression: ", "plot: "]);
    let json = outcome.json();
    check(&json, "spirals", 2);
    let [mean, baseline] = ["mean_test_accuracy", "baseline_accuracy"].map(|key| number(&json, key));
    assert!(mean > 0.99 && baseline < 0.7, "{json}");
    check_svg(&folder.0.join("out/curves.svg"));
    let png = fs::read(folder.0.join("out/boundary.png")).expect("a plot");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
}

#[test]
fn concrete_beats_linear_regression() {
    let folder = Folder::new();
    let outcome = run_example("concrete", &folder, &["--runs", "3"]);
    outcome.expect(0, &["seed 2: r² 0.", "r² of 3 runs: ", "baseline, linear regression: r² 0.", "plot: "]);
    let json = outcome.json();
    check(&json, "concrete", 3);
    let [mean, linear] = ["mean_test_r2", "baseline_r2"].map(|key| number(&json, key));
    assert!(mean > 0.8 && (0.5..0.7).contains(&linear), "{json}");
    check_svg(&folder.0.join("out/predictions.svg"));
}

/// Writes manual pages of invented words in ten languages, each with its own range of letters.
fn write_manual_pages(folder: &Folder) {
    for (language, name) in ["cs", "da", "de", "es", "fr", "it", "nl", "pl", "pt_BR", "sv"].into_iter().enumerate() {
        let section = folder.0.join(name).join("man1");
        fs::create_dir_all(&section).expect("a folder");
        for page in 0..20usize {
            let mut state = (31 * language + page) as u64;
            let mut letter = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (b'a' + language as u8 + ((state >> 33) % 14) as u8) as char
            };
            let words: Vec<String> = (0..60).map(|_| (0..6).map(|_| letter()).collect()).collect();
            let text = format!(
                ".TH X 1\n.SH NAME\n{} \\fBprogram\\fP \\- {}\n.PP\nThis is the English of {name}\n.nf\ncode\n.fi\n",
                words[..30].join(" "),
                words[30..].join(" ")
            );
            let file = fs::File::create(section.join(format!("page{page}.1.gz"))).expect("a file");
            let mut gz = GzEncoder::new(file, Compression::fast());
            gz.write_all(text.as_bytes()).expect("a page");
            gz.finish().expect("a page");
        }
    }
}

#[test]
fn text_trains_on_manual_pages_or_says_how_to_install_them() {
    let folder = Folder::new();
    let data = folder.0.to_str().expect("a plain path");
    let without_data = run_example("text", &folder, &["--data-dir", data]);
    without_data.expect(2, &["no manual pages of manpages-cs", "apt-get install manpages-cs manpages-da", "dpkg -x"]);
    assert_eq!(without_data.stderr.lines().count(), 1, "{}", without_data.stderr);

    write_manual_pages(&folder);
    let outcome = run_example("text", &folder, &["--data-dir", data, "--runs", "2", "--epochs", "3"]);
    outcome.expect(0, &["epoch 3/3", "baseline, naive Bayes: ", "plot: "]);
    let json = outcome.json();
    check(&json, "text", 2);
    assert!(number(&json, "mean_test_accuracy") > 0.3, "{json}");
    check_svg(&folder.0.join("out/curves.svg"));

    fs::write(folder.0.join("fr/man1/page3.1.gz"), "not gzip").expect("a file");
    run_example("text", &folder, &["--data-dir", data]).expect(2, &["page3.1.gz: "]);
}

/// Runs only if Debian's packages with translated manual pages are installed.
#[test]
fn text_beats_its_baseline_on_the_manual_pages_of_debian() {
    let folder = Folder::new();
    let outcome = run_example("text", &folder, &["--epochs", "2"]);
    if outcome.status == Some(2) && outcome.stderr.contains("apt-get install manpages-cs") {
        eprintln!("skipped: Debian's translated manual pages are not installed");
        return;
    }
    let json = outcome.expect(0, &["baseline, naive Bayes: "]).json();
    check(&json, "text", 1);
    assert!(number(&json, "test_rows") >= 1000.0, "{json}");
    assert!(number(&json, "test_accuracy") > number(&json, "baseline_accuracy") + 0.1, "{json}");
}

#[test]
fn speech_beats_its_baseline_or_says_how_to_install_espeak() {
    let folder = Folder::new();
    let nowhere = folder.0.to_str().expect("a plain path");
    let without_espeak = run(example("speech").env("PATH", nowhere).args(["--device", "cpu", "--out-dir", nowhere]));
    without_espeak.expect(2, &["espeak-ng not found; run `sudo apt-get install espeak-ng`"]);
    if Command::new("espeak-ng").arg("--version").output().is_err() {
        eprintln!("skipped: espeak-ng is not installed");
        return;
    }
    let outcome = run_example("speech", &folder, &["--epochs", "4"]);
    let json = outcome.expect(0, &["epoch 4/4", "baseline, nearest class mean: "]).json();
    check(&json, "speech", 1);
    assert!(number(&json, "test_accuracy") > number(&json, "baseline_accuracy"), "{json}");
    check_svg(&folder.0.join("out/curves.svg"));
}

#[test]
fn invalid_arguments_are_usage_errors() {
    for name in ["text", "speech", "spirals", "concrete"] {
        run(example(name).arg("--frobnicate")).expect(2, &["--frobnicate", "Usage"]);
        run(example(name).args(["--runs", "0"])).expect(2, &["--runs"]);
        run(example(name).args(["--epochs", "none"])).expect(2, &["--epochs"]);
        run(example(name).arg("--help"))
            .expect(0, &["--device", "--epochs", "--seed", "--runs", "--out-dir", "--json"]);
    }
    run(example("spirals").args(["--device", "zzz"])).expect(2, &["zzz"]);
}
