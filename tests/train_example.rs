//! The examples `train` and `predict`, which train on a CSV file without code.

use std::fs;

use crate::common::{Folder, Outcome, adapters, example, numbers, run};
use gradus::{Model, data::table::Encoder};

fn run_on_cpu(name: &str, arguments: &[&str]) -> Outcome {
    run_on("cpu", name, arguments)
}

fn run_on(device: &str, name: &str, arguments: &[&str]) -> Outcome {
    let mut command = example(name);
    command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND");
    run(command.args(arguments).args(["--device", device]))
}

fn text(path: std::path::PathBuf) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// Returns 120 rows with an index column like that of pandas. The class is whether a point is in a disc; the city is
/// noise.
fn disc_table() -> String {
    let lines = (0..120u8).map(|row| {
        let point = [row % 11, row / 11].map(|i| f32::from(i) / 5.0 - 1.0);
        let kind = if point[0].hypot(point[1]) < 0.75 { "in, side" } else { "out" };
        let city = ["Ulm", "Bonn", "NA"][usize::from(row) % 3];
        format!("{row},{:.3},{:.3},{city},\"{kind}\"\r\n", point[0], point[1])
    });
    format!("\u{feff},x,\"the y\",city,kind\r\n{}", lines.collect::<String>())
}

/// Returns 150 rows of a linear function, with semicolons and decimal commas.
fn plane_table() -> String {
    let values = numbers(300, 5);
    let lines = values.chunks(2).map(|point| {
        let price = format!("{:.2}", 2000.0 + 300.0 * point[0] - 200.0 * point[1]);
        format!("{:.3};{:.3};{price}\n", point[0], point[1]).replace('.', ",")
    });
    format!("a;b;price\n{}", lines.collect::<String>())
}

#[test]
fn train_saves_a_classifier_that_predict_uses() {
    let folder = Folder::new();
    let data = text(folder.file("discs.csv", disc_table()));
    let [saved, output] = ["saved", "out.csv"].map(|name| text(folder.0.join(name)));
    let arguments =
        [&data, "--target", "kind", "--missing", "impute", "--save-dir", &saved, "--epochs", "100", "--json"];
    let outcome = run_on_cpu("train", &arguments);
    outcome.expect(
        0,
        &[
            "120 rows, 5 columns",
            "left out: row numbers (pass --keep ",
            "2 categories, 40 missing; imputed with a separate category",
            "task: classification of \"kind\", 2 classes (rows): in, side (",
            "rows: 81 training, 15 validation, 24 test",
            "baseline, always ",
            "baseline, nearest class mean",
            "confusion matrix (one row per target class",
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
    let baselines =
        json["baselines"].as_array().expect("a list").iter().filter_map(|one| one["test_accuracy"].as_f64());
    let accuracy = json["test_accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.8 && baselines.fold(0.0, f64::max) < accuracy, "{json}");

    let saved = std::path::Path::new(&saved);
    for name in ["model.safetensors", "model.onnx", "history.csv", "curves.svg", "confusion.svg"] {
        assert!(fs::metadata(saved.join(name)).is_ok_and(|file| file.len() > 100), "{name}");
    }
    assert!(!saved.join("boundary.svg").exists(), "a boundary plot needs exactly two features");
    let model = Model::load(saved.join("model.safetensors")).expect("a model");
    let encoder: Encoder = serde_json::from_str(&model.metadata["encoder"]).expect("an encoder");
    assert_eq!((encoder.feature_names(), &*model.metadata["target"]), (features.map(str::to_owned).to_vec(), "kind"));

    // predict accepts the folder or the file, additional columns and another order of the columns.
    let file = text(saved.join("model.safetensors"));
    let outcome = run_on_cpu("predict", &[&file, &data, "--output", &output, "--json"]);
    outcome.expect(0, &["120 predictions: ", "metrics of \"kind\" on 120 of 120 rows: accuracy "]);
    assert_eq!(outcome.json()["evaluated_rows"], 120);
    let written = fs::read_to_string(&output).expect("the output file");
    assert!(written.starts_with("\u{feff}column 1,x,the y,city,kind,predicted_kind,probability\n0,"), "{written}");
    assert_eq!((written.lines().count(), written.matches("\"in, side\"").count() > 20), (121, true));
    let new = text(folder.file("new.csv", "city;the y;x;more\nUlm;0;0;a\n;0.99;-0.99;b\n"));
    let outcome = run_on_cpu("predict", &[&text(saved.to_owned()), &new]);
    outcome
        .expect(0, &["city;the y;x;more;predicted_kind;probability\n", "Ulm;0;0;a;in, side;0.", ";0.99;-0.99;b;out;"]);
    let wrong = text(folder.file("wrong.csv", "city,the y,x\nUlm,0,0\nParis,0,0\n"));
    run_on_cpu("predict", &[&file, &wrong])
        .expect(2, &["wrong.csv: line 3, column \"city\": expected one of Bonn, Ulm"]);
    let less = text(folder.file("less.csv", "city,x\nUlm,0\n"));
    run_on_cpu("predict", &[&file, &less]).expect(2, &["less.csv: header: expected a column \"the y\", got city, x"]);
}

#[test]
fn train_saves_a_regressor_that_predicts_in_the_number_format() {
    let folder = Folder::new();
    let data = text(folder.file("plane.csv", plane_table()));
    let saved = text(folder.0.join("saved"));
    let arguments =
        [&data, "--target", "price", "--save-dir", &saved, "--hidden", "16", "--activation", "tanh", "--json"];
    let outcome = run_on_cpu("train", &arguments);
    outcome.expect(
        0,
        &[
            "numbers from 1842.4 to 2442.4, written with decimal \",\"; target",
            "network: 2-16-1, tanh",
            "optimizer: adam, learning rate 0.003",
            "RMSE ",
            "baseline, least squares",
        ],
    );
    let json = outcome.json();
    assert!(json["r2"].as_f64().is_some_and(|r2| r2 > 0.95) && json["classes"].is_null(), "{json}");
    assert!(json["rmse"].as_f64().is_some_and(|rmse| (0.1..50.0).contains(&rmse)), "{json}");
    // Least squares fits a linear function exactly.
    let [mean, squares] = [0, 1].map(|i| json["baselines"][i]["r2"].as_f64().expect("r2"));
    assert!(mean < 0.1 && squares > 0.9999, "{json}");
    for name in ["curves.svg", "predictions.svg", "boundary.svg", "model.onnx"] {
        assert!(folder.0.join("saved").join(name).is_file(), "{name}");
    }
    let new = text(folder.file("new.csv", "a;b;price\n0,25;-0,5;?\n-0,125;0,75;1.812,5\n"));
    let outcome = run_on_cpu("predict", &[&saved, &new]);
    outcome.expect(0, &["a;b;price;predicted_price", "metrics of \"price\" on 1 of 2 rows: RMSE "]);
    let predicted: Vec<f64> = outcome.stdout.lines().skip(1).map(|line| last_cell(line, ';')).collect();
    assert!((predicted[0] - 2175.0).abs() < 100.0 && (predicted[1] - 1812.5).abs() < 100.0, "{predicted:?}");
}

/// Returns the last cell of a line as a number, which may have a decimal comma.
fn last_cell(line: &str, delimiter: char) -> f64 {
    let cell = line.rsplit(delimiter).next().expect("a cell");
    cell.replace(',', ".").parse().expect("a number")
}

#[test]
fn train_and_predict_run_on_software_adapters() {
    let folder = Folder::new();
    let data = text(folder.file("discs.csv", disc_table()));
    let saved = text(folder.0.join("saved"));
    for adapter in adapters().into_iter().filter(|adapter| adapter.is_software) {
        let arguments = [&data, "--target", "kind", "--ignore", "city", "--epochs", "3", "--save-dir", &saved];
        run_on(&adapter.info.name, "train", &arguments).expect(0, &["epochs: 3, ", "boundary}.svg"]);
        run_on(&adapter.info.name, "predict", &[&saved, &data]).expect(0, &["probability", "accuracy"]);
    }
}

#[test]
fn invalid_arguments_and_tables_have_helpful_messages() {
    let folder = Folder::new();
    let out = text(folder.0.join("out"));
    let file = |name: &str, head: &str, rows: usize, row: &dyn Fn(usize) -> String| {
        text(folder.file(name, &(head.to_owned() + &(0..rows).map(row).collect::<String>())))
    };
    let kind = |i: usize| ["x", "y"][i % 2];
    let good = file("good.csv", "a b,c\n", 40, &|i| format!("{}.5,{}\n", i * 7 % 11, kind(i)));
    let one_class = file("one.csv", "a,c\n", 40, &|i| format!("{}.5,x\n", i % 7));
    let few_rows = file("few.csv", "a,c\n", 3, &|i| format!("{i},{}\n", kind(i)));
    let unique_texts = file("ids.csv", "id,c\n", 40, &|i| format!("no. {i},{}\n", kind(i)));
    let cell = |i: usize| if i == 7 { "1O".to_owned() } else { (i * i).to_string() };
    let wrong_cell = file("cell.csv", "n,c\n", 40, &|i| format!("{},{}\n", cell(i), kind(i)));
    let missing_values = file("gaps.csv", "n,c\n", 40, &|i| format!("{},{}\n", ["1", "2", "NA"][i % 3], kind(i)));
    let missing_targets = file("answers.csv", "n,c\n", 40, &|i| format!("{}.5,{}\n", i % 7, ["x", "y", ""][i % 3]));
    let free_text = file("free.csv", "n,c\n", 40, &|i| format!("{}.5,text {i}\n", i % 7));
    let many_categories = file("names.csv", "n,c\n", 300, &|i| format!("{}.5,name {i}\n", i % 7));
    let constant = file("same.csv", "n,c\n", 40, &|i| format!("{}.5,1.5\n", i % 7));
    let spreadsheet = text(folder.file("table.xlsx", "PK\u{3}\u{4}"));
    for (arguments, message) in [
        (vec![&*good], "no --target; pass the column to predict: the columns are \"a b\", c"),
        (
            vec![&good, "--target", "C"],
            "--target \"C\": no such column (did you mean \"c\"?); the columns are \"a b\", c",
        ),
        (vec![&good, "--target", "c", "--ignore", "d"], "--ignore \"d\": no such column; the columns are"),
        (vec![&good, "--target", "c", "--ignore", "c"], "--ignore c: this column is the target"),
        (vec![&good, "--target", "c", "--ignore", "a b"], "no feature column to predict \"c\" from"),
        (vec![&good, "--target", "c", "--task", "regression"], "line 2, column \"c\": expected a number, got \"x\""),
        (vec![&good, "--target", "c", "--task", "ranking"], "[possible values: classification, regression]"),
        (vec![&good, "--target", "c", "--test-fraction", "1"], "--test-fraction: expected 0.01 to 0.9, got 1"),
        (vec![&good, "--target", "c", "--activation", "step"], "expected one of identity, sigmoid"),
        (vec![&good, "--target", "c", "--save-dir", &good], "--save-dir"),
        (vec!["/nonexistent.csv"], "/nonexistent.csv: No such file"),
        (vec![&spreadsheet], "expected a CSV file, got a spreadsheet (.xlsx); save it as CSV in UTF-8"),
        (
            vec![&one_class, "--target", "c"],
            "target column \"c\": expected at least 2 different values, got only \"x\"",
        ),
        (
            vec![&constant, "--target", "c"],
            "target column \"c\": expected at least 2 different values, got only 1.5000",
        ),
        (vec![&few_rows, "--target", "c"], "expected at least 20 rows, got 3"),
        (vec![&unique_texts, "--target", "c"], "column \"id\" has 40 categories in 40 rows, for example \"no. 0\""),
        (vec![&unique_texts, "--target", "c"], "leave them out with --ignore id"),
        (
            vec![&wrong_cell, "--target", "c"],
            "cell.csv: line 9, column \"n\": expected a number, got \"1O\"; correct the cell",
        ),
        (
            vec![&missing_values, "--target", "c"],
            "missing values: 13 in column \"n\"; use --missing impute to fill them in",
        ),
        (
            vec![&missing_targets, "--target", "c"],
            "target column \"c\": missing values in 13 of 40 rows; pass --missing impute to drop these rows",
        ),
        (vec![&many_categories, "--target", "c"], "column \"c\": expected at most 128 categories, got 300"),
        (
            vec![&many_categories, "--target", "c", "--task", "classification"],
            "target column \"c\": expected at most 150 classes in 300 rows, got 300",
        ),
        (vec![&free_text, "--target", "c"], "target column \"c\": expected at most 20 classes in 40 rows, got 40"),
    ] {
        run_on_cpu("train", &[&arguments[..], &["--out-dir", &out]].concat()).expect(2, &[message]);
    }
    let arguments = [&missing_targets, "--target", "c", "--missing", "impute", "--epochs", "1", "--out-dir", &out];
    run_on_cpu("train", &arguments)
        .expect(0, &["13 rows without a value in the target column \"c\": dropped", "rows: 17 training"]);
    let arguments = [&constant, "--target", "n", "--optimizer", "sgd", "--learning-rate", "1e6", "--out-dir", &out];
    run_on_cpu("train", &arguments).expect(1, &["training diverged"]);

    run_on_cpu("predict", &[&out, &good])
        .expect(2, &["model.safetensors: no such file; create it with `train ... --save-dir DIR`"]);
    run_on_cpu("predict", &[&good, &good]).expect(2, &["good.csv: ", "a safetensors header of 2 to"]);
    let plain = folder.0.join("plain.safetensors");
    let network = gradus::Network::new(1).dense(1, gradus::Activation::Identity);
    let model = Model::new(network, vec![gradus::nn::LayerParameters::new(vec![1.0], vec![0.0])]).expect("a model");
    model.save(&plain).expect("a file");
    run_on_cpu("predict", &[&text(plain), &good])
        .expect(2, &["no metadata key \"encoder\"; pass a model that `train` saved"]);
}
