//! The worked examples, one for each kind of data, as a user runs them.

use std::{fs, io::Write, path::Path, process::Command};

use crate::common::{Folder, Outcome, example, run};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

/// Runs an example on the CPU, with pictures in a folder of its own.
fn ran(name: &str, folder: &Folder, arguments: &[&str]) -> Outcome {
    let out = folder.0.join("out");
    run(example(name).args(["--device", "cpu", "--json", "--out", out.to_str().expect("plain")]).args(arguments))
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {json}"))
}

/// The keys that all of them have, and a mean over the seeds.
fn check(json: &Value, name: &str, seeds: usize) {
    assert_eq!((json["example"].as_str(), json["backend"].as_str()), (Some(name), Some("cpu")));
    for key in ["seconds", "samples_per_second", "train_loss", "epochs"] {
        assert!(number(json, key) > 0.0, "{key} in {json}");
    }
    let scores = ["seed_accuracies", "seed_r2s"].into_iter().find_map(|key| json[key].as_array());
    assert_eq!(scores.map(Vec::len), Some(seeds), "{json}");
    assert!(json["device"].is_string() && json["seed"].is_u64() && json["baseline"].is_string(), "{json}");
}

fn check_svg(path: &Path) {
    let svg = fs::read_to_string(path).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", path.display());
}

#[test]
fn spirals_are_told_apart_and_the_boundary_is_drawn() {
    let folder = Folder::new();
    let outcome = ran("spirals", &folder, &["--seeds", "2"]);
    outcome.expect(0, &["epoch 200/200", "2 seeds: ", "baseline, logistic regression: ", "picture: "]);
    let json = outcome.json();
    check(&json, "spirals", 2);
    let [mean, baseline] = ["mean_test_accuracy", "baseline_accuracy"].map(|key| number(&json, key));
    assert!(mean > 0.99 && baseline < 0.7, "{json}");
    check_svg(&folder.0.join("out/curves.svg"));
    let png = fs::read(folder.0.join("out/boundary.png")).expect("a picture");
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{} bytes", png.len());
}

#[test]
fn concrete_is_told_better_than_by_a_line() {
    let folder = Folder::new();
    let outcome = ran("concrete", &folder, &["--seeds", "3"]);
    outcome.expect(0, &["seed 2: r² 0.", "3 seeds: r²", "baseline, linear regression: r² 0.", "picture: "]);
    let json = outcome.json();
    check(&json, "concrete", 3);
    let [mean, linear] = ["mean_test_r2", "baseline_r2"].map(|key| number(&json, key));
    assert!(mean > 0.8 && (0.5..0.7).contains(&linear), "{json}");
    check_svg(&folder.0.join("out/told.svg"));
}

/// Pages as translators leave them, of words that are made up: each language has letters that it likes.
fn pages(folder: &Folder) {
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
fn text_learns_from_any_manual_pages_and_says_how_to_get_some() {
    let folder = Folder::new();
    let data = folder.0.to_str().expect("a plain path");
    let none = ran("text", &folder, &["--data", data]);
    none.expect(2, &["no manual pages of manpages-cs", "apt-get install manpages-cs manpages-da", "dpkg -x"]);
    assert_eq!(none.stderr.lines().count(), 1, "{}", none.stderr);

    pages(&folder);
    let outcome = ran("text", &folder, &["--data", data, "--seeds", "2", "--epochs", "3"]);
    outcome.expect(0, &["epoch 3/3", "baseline, naive Bayes: ", "picture: "]);
    let json = outcome.json();
    check(&json, "text", 2);
    assert!(number(&json, "mean_test_accuracy") > 0.3, "{json}");
    check_svg(&folder.0.join("out/curves.svg"));

    fs::write(folder.0.join("fr/man1/page3.1.gz"), "no gzip").expect("a file");
    ran("text", &folder, &["--data", data]).expect(2, &["page3.1.gz: "]);
}

/// Where Debian's packages are, on their text.
#[test]
fn text_tells_the_languages_of_manual_pages() {
    let folder = Folder::new();
    let outcome = ran("text", &folder, &["--epochs", "2"]);
    if outcome.status == Some(2) && outcome.stderr.contains("apt-get install manpages-cs") {
        eprintln!("not tested: Debian's translated manual pages are not there");
        return;
    }
    let json = outcome.expect(0, &["baseline, naive Bayes: "]).json();
    check(&json, "text", 1);
    assert!(number(&json, "held_out") >= 1000.0, "{json}");
    assert!(number(&json, "test_accuracy") > number(&json, "baseline_accuracy") + 0.1, "{json}");
}

#[test]
fn sound_tells_words_or_says_how_to_get_a_speaker() {
    let folder = Folder::new();
    let nowhere = folder.0.to_str().expect("a plain path");
    let none = run(example("sound").env("PATH", nowhere).args(["--device", "cpu", "--out", nowhere]));
    none.expect(2, &["no espeak-ng; run `sudo apt-get install espeak-ng`"]);
    if Command::new("espeak-ng").arg("--version").output().is_err() {
        eprintln!("not tested: espeak-ng is not there");
        return;
    }
    let outcome = ran("sound", &folder, &["--epochs", "4"]);
    let json = outcome.expect(0, &["epoch 4/4", "baseline, nearest class mean: "]).json();
    check(&json, "sound", 1);
    assert!(number(&json, "test_accuracy") > number(&json, "baseline_accuracy"), "{json}");
    check_svg(&folder.0.join("out/curves.svg"));
}

#[test]
fn arguments_that_cannot_be_are_refused() {
    for name in ["text", "sound", "spirals", "concrete"] {
        run(example(name).arg("--frobnicate")).expect(2, &["--frobnicate", "Usage"]);
        run(example(name).args(["--seeds", "0"])).expect(2, &["--seeds"]);
        run(example(name).args(["--epochs", "none"])).expect(2, &["--epochs"]);
        run(example(name).arg("--help")).expect(0, &["--device", "--epochs", "--seed", "--seeds", "--out", "--json"]);
    }
    run(example("spirals").args(["--device", "zzz"])).expect(2, &["zzz"]);
}
