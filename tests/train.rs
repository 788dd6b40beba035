//! The examples `train` and `predict` as somebody uses them who writes no code.

use std::fs;

use crate::common::{Folder, Outcome, adapters, example, numbers, run};
use gradus::{Model, data::table::Encoder};

fn ran(name: &str, arguments: &[&str]) -> Outcome {
    ran_on("cpu", name, arguments)
}

fn ran_on(device: &str, name: &str, arguments: &[&str]) -> Outcome {
    let mut command = example(name);
    command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
    run(command.args(arguments).args(["--device", device]))
}

fn text(path: std::path::PathBuf) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// 120 rows, numbered as pandas does: whether a point lies in a disc, and the city that comes with it.
fn discs() -> String {
    let lines = (0..120u8).map(|row| {
        let point = [row % 11, row / 11].map(|at| f32::from(at) / 5.0 - 1.0);
        let kind = if point[0].hypot(point[1]) < 0.75 { "in, side" } else { "out" };
        let city = ["Ulm", "Bonn", "NA"][usize::from(row) % 3];
        format!("{row},{:.3},{:.3},{city},\"{kind}\"\r\n", point[0], point[1])
    });
    format!("\u{feff},x,\"the y\",city,kind\r\n{}", lines.collect::<String>())
}

/// 150 rows of a plane with semicolons and decimal commas.
fn plane() -> String {
    let values = numbers(300, 5);
    let lines = values.chunks(2).map(|point| {
        let price = format!("{:.2}", 2000.0 + 300.0 * point[0] - 200.0 * point[1]);
        format!("{:.3};{:.3};{price}\n", point[0], point[1]).replace('.', ",")
    });
    format!("a;b;price\n{}", lines.collect::<String>())
}

#[test]
fn classes_are_learned_saved_and_predicted() {
    let folder = Folder::new();
    let data = text(folder.file("discs.csv", discs()));
    let [saved, output] = ["saved", "out.csv"].map(|name| text(folder.0.join(name)));
    let arguments = [&data, "--target", "kind", "--missing", "fill", "--save", &saved, "--epochs", "100", "--json"];
    let outcome = ran("train", &arguments);
    outcome.expect(
        0,
        &[
            "120 rows, 5 columns",
            "left out, as it numbers the rows",
            "2 categories, 40 missing, to be a category of their own",
            "to predict: kind, 2 classes: in, side ",
            "81 rows to learn from, 15 to tell when to stop, 24 held out",
            "baseline, always ",
            "baseline, nearest class mean",
            "a row for each class as it is",
        ],
    );
    let json = outcome.json();
    assert_eq!((json["example"].as_str(), json["target"].as_str()), (Some("train"), Some("kind")));
    let features = ["x", "the y", "city=Bonn", "city=Ulm", "city=(missing)"];
    assert_eq!(json["features"], serde_json::json!(features));
    assert_eq!(json["classes"], serde_json::json!(["in, side", "out"]));
    for key in
        ["seed", "epochs", "seconds", "samples_per_second", "train_loss", "test_loss", "test_accuracy", "macro_f1"]
    {
        assert!(json[key].as_f64().is_some_and(f64::is_finite), "{key} in {json}");
    }
    let best = json["baselines"].as_array().expect("a list").iter().filter_map(|one| one["test_accuracy"].as_f64());
    let accuracy = json["test_accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.8 && best.fold(0.0, f64::max) < accuracy, "{json}");

    let saved = std::path::Path::new(&saved);
    for name in ["model.safetensors", "model.onnx", "history.csv", "curves.svg", "confusion.svg"] {
        assert!(fs::metadata(saved.join(name)).is_ok_and(|file| file.len() > 100), "{name}");
    }
    assert!(!saved.join("boundary.svg").exists(), "there are five features");
    let model = Model::load(saved.join("model.safetensors")).expect("a model");
    let encoder: Encoder = serde_json::from_str(&model.metadata["encoder"]).expect("an encoder");
    assert_eq!((encoder.feature_names(), &*model.metadata["target"]), (features.map(str::to_owned).to_vec(), "kind"));

    // The folder and the file are the same; other columns and another order do not matter.
    let file = text(saved.join("model.safetensors"));
    let outcome = ran("predict", &[&file, &data, "--output", &output, "--json"]);
    outcome.expect(0, &["120 predictions: ", "\"kind\" is there in 120 of 120 rows: accuracy "]);
    assert_eq!(outcome.json()["judged_rows"], 120);
    let written = fs::read_to_string(&output).expect("it was written");
    assert!(written.starts_with("\u{feff}column 1,x,the y,city,kind,predicted_kind,probability\n0,"), "{written}");
    assert_eq!((written.lines().count(), written.matches("\"in, side\"").count() > 20), (121, true));
    let new = text(folder.file("new.csv", "city;the y;x;more\nUlm;0;0;a\n;0.99;-0.99;b\n"));
    let outcome = ran("predict", &[&text(saved.to_owned()), &new]);
    outcome
        .expect(0, &["city;the y;x;more;predicted_kind;probability\n", "Ulm;0;0;a;in, side;0.", ";0.99;-0.99;b;out;"]);
    let wrong = text(folder.file("wrong.csv", "city,the y,x\nUlm,0,0\nParis,0,0\n"));
    ran("predict", &[&file, &wrong]).expect(2, &["wrong.csv: line 3, column \"city\": expected one of Bonn, Ulm"]);
    let less = text(folder.file("less.csv", "city,x\nUlm,0\n"));
    ran("predict", &[&file, &less]).expect(2, &["less.csv: header: expected a column \"the y\", got city, x"]);
}

#[test]
fn numbers_are_learned_saved_and_predicted_as_they_stand_in_the_file() {
    let folder = Folder::new();
    let data = text(folder.file("plane.csv", plane()));
    let saved = text(folder.0.join("saved"));
    let arguments = [&data, "--target", "price", "--save", &saved, "--hidden", "16", "--activation", "tanh", "--json"];
    let outcome = ran("train", &arguments);
    outcome.expect(
        0,
        &[
            "numbers from 1842.4 to 2442.4, written with decimal \",\"; the target",
            "2-16-1, tanh, adam with rate 0.003",
            "RMSE ",
            "baseline, least squares",
        ],
    );
    let json = outcome.json();
    assert!(json["r2"].as_f64().is_some_and(|r2| r2 > 0.95) && json["classes"].is_null(), "{json}");
    assert!(json["rmse"].as_f64().is_some_and(|rmse| (0.1..50.0).contains(&rmse)), "{json}");
    // A plane is what least squares find.
    let [mean, squares] = [0, 1].map(|i| json["baselines"][i]["r2"].as_f64().expect("r2"));
    assert!(mean < 0.1 && squares > 0.9999, "{json}");
    for name in ["curves.svg", "predictions.svg", "boundary.svg", "model.onnx"] {
        assert!(folder.0.join("saved").join(name).is_file(), "{name}");
    }
    let new = text(folder.file("new.csv", "a;b;price\n0,25;-0,5;?\n-0,125;0,75;1.812,5\n"));
    let outcome = ran("predict", &[&saved, &new]);
    outcome.expect(0, &["a;b;price;predicted_price", "\"price\" is there in 1 of 2 rows: RMSE "]);
    let predicted: Vec<f64> = outcome.stdout.lines().skip(1).map(|line| last_cell(line, ';')).collect();
    assert!((predicted[0] - 2175.0).abs() < 100.0 && (predicted[1] - 1812.5).abs() < 100.0, "{predicted:?}");
}

/// A prediction with a decimal comma.
fn last_cell(line: &str, delimiter: char) -> f64 {
    let cell = line.rsplit(delimiter).next().expect("a cell");
    cell.replace(',', ".").parse().expect("a number")
}

#[test]
fn a_gpu_trains_as_well() {
    let folder = Folder::new();
    let data = text(folder.file("discs.csv", discs()));
    let saved = text(folder.0.join("saved"));
    for adapter in adapters().into_iter().filter(|adapter| adapter.is_software) {
        let arguments = [&data, "--target", "kind", "--ignore", "city", "--epochs", "3", "--save", &saved];
        ran_on(&adapter.info.name, "train", &arguments).expect(0, &["3 epochs", "boundary}.svg"]);
        ran_on(&adapter.info.name, "predict", &[&saved, &data]).expect(0, &["probability", "accuracy"]);
    }
}

#[test]
fn mistakes_are_told_in_a_way_that_helps() {
    let folder = Folder::new();
    let out = text(folder.0.join("out"));
    let file = |name: &str, head: &str, rows: usize, row: &dyn Fn(usize) -> String| {
        text(folder.file(name, &(head.to_owned() + &(0..rows).map(row).collect::<String>())))
    };
    let kind = |i: usize| ["x", "y"][i % 2];
    let good = file("good.csv", "a b,c\n", 40, &|i| format!("{}.5,{}\n", i * 7 % 11, kind(i)));
    let one = file("one.csv", "a,c\n", 40, &|i| format!("{}.5,x\n", i % 7));
    let few = file("few.csv", "a,c\n", 3, &|i| format!("{i},{}\n", kind(i)));
    let ids = file("ids.csv", "id,c\n", 40, &|i| format!("no. {i},{}\n", kind(i)));
    let cell = |i: usize| if i == 7 { "1O".to_owned() } else { (i * i).to_string() };
    let cell = file("cell.csv", "n,c\n", 40, &|i| format!("{},{}\n", cell(i), kind(i)));
    let gaps = file("gaps.csv", "n,c\n", 40, &|i| format!("{},{}\n", ["1", "2", "NA"][i % 3], kind(i)));
    let answers = file("answers.csv", "n,c\n", 40, &|i| format!("{}.5,{}\n", i % 7, ["x", "y", ""][i % 3]));
    let free = file("free.csv", "n,c\n", 40, &|i| format!("{}.5,text {i}\n", i % 7));
    let names = file("names.csv", "n,c\n", 300, &|i| format!("{}.5,name {i}\n", i % 7));
    let same = file("same.csv", "n,c\n", 40, &|i| format!("{}.5,1.5\n", i % 7));
    let sheet = text(folder.file("table.xlsx", "PK\u{3}\u{4}"));
    for (arguments, why) in [
        (vec![&*good], "no --target: which column should be predicted? The columns are \"a b\", c"),
        (vec![&good, "--target", "C"], "--target \"C\": no such column (is it \"c\"?); the columns are \"a b\", c"),
        (vec![&good, "--target", "c", "--ignore", "d"], "--ignore \"d\": no such column; the columns are"),
        (vec![&good, "--target", "c", "--ignore", "c"], "that is the target"),
        (vec![&good, "--target", "c", "--ignore", "a b"], "no column is left to tell \"c\" from"),
        (vec![&good, "--target", "c", "--regress"], "line 2, column \"c\": expected a number, got \"x\""),
        (vec![&good, "--target", "c", "--regress", "--classify"], "cannot be used with"),
        (vec![&good, "--target", "c", "--hold-out", "1"], "--hold-out: expected 0.01 to 0.9, got 1"),
        (vec![&good, "--target", "c", "--activation", "step"], "expected one of identity, sigmoid"),
        (vec![&good, "--target", "c", "--save", &good], "--save"),
        (vec!["/nonexistent.csv"], "/nonexistent.csv: No such file"),
        (vec![&sheet], "a spreadsheet's own file; save it as CSV in UTF-8"),
        (vec![&one, "--target", "c"], "the target \"c\" is \"x\" in every row: nothing to tell apart"),
        (vec![&same, "--target", "c"], "the target is 1.5000 in every row"),
        (vec![&few, "--target", "c"], "3 rows are too few to learn from and to test on: at least 20"),
        (vec![&ids, "--target", "c"], "\"id\" has 40 different texts in 40 rows, such as \"no. 0\""),
        (vec![&ids, "--target", "c"], "leave them out with --ignore id"),
        (vec![&cell, "--target", "c"], "cell.csv: line 9, column \"n\": expected a number, got \"1O\"; mend that cell"),
        (vec![&gaps, "--target", "c"], "values are missing: 13 in \"n\"; --missing fill puts the median"),
        (
            vec![&answers, "--target", "c"],
            "the target \"c\" is missing in 13 of 40 rows; --missing fill goes on without",
        ),
        (vec![&names, "--target", "c"], "column \"c\": expected at most 128 categories, got 300"),
        (vec![&names, "--target", "c", "--classify"], "the target \"c\" has 300 different values in 300 rows"),
        (vec![&free, "--target", "c"], "the target \"c\" has 40 different values in 40 rows: too many to be classes"),
    ] {
        ran("train", &[&arguments[..], &["--out", &out]].concat()).expect(2, &[why]);
    }
    let arguments = [&answers, "--target", "c", "--missing", "fill", "--epochs", "1", "--out", &out];
    ran("train", &arguments).expect(0, &["13 rows have no \"c\": they are left out", "17 rows to learn from"]);
    let arguments = [&same, "--target", "n", "--optimizer", "sgd", "--learning-rate", "1e6", "--out", &out];
    ran("train", &arguments).expect(1, &["training diverged"]);

    ran("predict", &[&out, &good]).expect(2, &["model.safetensors: no such file; `train ... --save DIR` writes it"]);
    ran("predict", &[&good, &good]).expect(2, &["good.csv: ", "as safetensors has it"]);
    let plain = folder.0.join("plain.safetensors");
    let network = gradus::Network::new(1).dense(1, gradus::Activation::Identity);
    let model = Model::new(network, vec![gradus::nn::LayerParameters::new(vec![1.0], vec![0.0])]).expect("a model");
    model.save(&plain).expect("it is written");
    ran("predict", &[&text(plain), &good]).expect(2, &["nothing in its notes says what its inputs are"]);
}
