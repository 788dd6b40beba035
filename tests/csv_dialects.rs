//! Tests of the examples `train` and `predict` with tables from spreadsheets and other programs. The examples read each
//! table correctly, or print how they read it and which option changes that.

use std::io::Write;

use crate::common::{Folder, Outcome, example, run};

/// A folder with a table, in which the examples run.
struct Case {
    folder: Folder,
}

impl Case {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let folder = Folder::new();
        folder.file(name, content);
        Self { folder }
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Outcome {
        let mut command = example(name);
        command.env_remove("WGPU_ADAPTER_NAME").env_remove("WGPU_BACKEND").current_dir(&self.folder.0);
        run(command.args(arguments).args(["--device", "cpu"]))
    }

    fn train(&self, arguments: &[&str]) -> Outcome {
        self.run("train", &[arguments, &["--out-dir", "plots", "--epochs", "3", "--save-dir", "model"]].concat())
    }

    fn predict(&self, name: &str, content: impl AsRef<[u8]>, arguments: &[&str]) -> Outcome {
        self.folder.file(name, content);
        self.run("predict", &[&["model", name], arguments].concat())
    }
}

/// Returns a table with a header and `rows` rows; `row(i)` returns row `i`.
fn table(header: &str, rows: usize, row: impl Fn(usize) -> String) -> String {
    std::iter::once(header.to_owned()).chain((0..rows).map(row)).map(|line| line + "\n").collect()
}

/// Returns a function that formats numbers with a thousands separator.
fn grouped(separator: char) -> impl Fn(usize) -> String {
    move |n| if n < 1000 { n.to_string() } else { format!("{}{separator}{:03}", n / 1000, n % 1000) }
}

#[test]
fn thousands_separators_are_not_decimal_points() {
    for (delimiter, separator) in [('\t', ','), (';', '.'), (';', ',')] {
        let number = grouped(separator);
        let row = |i: usize| format!("{}{delimiter}{}", number(300 + 100 * i), number(900 + 300 * i));
        let case = Case::new("t.csv", table(&format!("area{delimiter}price"), 24, row));
        let decimal = if separator == ',' { ',' } else { '.' };
        let outcome = case.train(&["t.csv", "--target", "price"]);
        outcome.expect(
            0,
            &["numbers from 300 to 2600", "from 900 to 7800", "column \"area\": the number format is ambiguous"],
        );
        // The option that the message names selects the other reading.
        let option = format!("area={decimal}");
        outcome.expect(0, &[&format!("--decimal {option}")]);
        case.train(&["t.csv", "--target", "price", "--decimal", &option]).expect(0, &["area   numbers from 1 to 900"]);
    }
}

#[test]
fn predict_reads_numbers_in_the_format_of_the_training_file() {
    let row = |i: usize| format!("{},50;{},50", grouped('.')(400 + 150 * i), grouped('.')(1200 + 450 * i));
    let case = Case::new("t.csv", table("area;price", 24, row));
    case.train(&["t.csv", "--target", "price"]).expect(0, &["from 400.5 to 3850.5", "decimal \",\", thousands \".\""]);
    let predicted = |name: &str, content: &str, arguments: &[&str]| {
        let outcome = case.predict(name, content, arguments);
        outcome.expect(0, &["predicted_price"]);
        let lines = outcome.stdout.lines().skip(1);
        (lines.map(|line| line.rsplit(';').next().unwrap().to_owned()).collect::<Vec<_>>(), outcome.stderr)
    };
    let (cents, _) = predicted("a.csv", "area;id\n1.300,00;1\n2.500,00;2\n", &[]);
    let (whole, warning) = predicted("b.csv", "area;id\n1.300;1\n2.500;2\n", &[]);
    let (single_column, _) = predicted("c.csv", "area\n1.300,00\n2.500,00\n", &[]);
    assert_eq!((&cents, &cents), (&whole, &single_column));
    assert!(warning.contains("using the format of the training file (--decimal area=. changes that)"), "{warning}");
    let (changed, _) = predicted("b.csv", "area;id\n1.300;1\n2.500;2\n", &["--decimal", "area=."]);
    assert_ne!(changed, whole);
    // If the delimiter differs from the training file, `predict` stops with an error instead of guessing the number
    // format.
    case.predict("d.csv", "area,id\n1300.50,1\n", &[]).expect(2, &["column \"area\"", "--decimal area=."]);
    case.predict("d.csv", "area,id\n1300.50,1\n", &["--decimal", "area=."]).expect(0, &["1300.50,1,"]);
    case.predict("e.csv", "area;id\nx;1\n", &[])
        .expect(2, &["line 2, column \"area\": expected a number written with"]);
}

#[test]
fn targets_are_compared_by_value() {
    let case = Case::new("t.csv", table("x,y", 24, |i| format!("{}.5,{}", i % 7, ["0", "1", "0.0", "1.0"][i % 4])));
    case.train(&["t.csv", "--target", "y"])
        .expect(0, &["task: classification of \"y\", 2 classes (rows): 0 (12), 1 (12)"]);
    case.predict("a.csv", "x,y\n0.5,0.0\n3.5,1.0\n", &[]).expect(0, &["metrics of \"y\" on 2 of 2 rows: accuracy"]);
    let none = "target \"y\": expected a class of the model (0, 1); the metrics skip 2 of 2 values";
    case.predict("b.csv", "x,y\n0.5,no\n3.5,yes\n", &[]).expect(0, &[none]);
    case.predict("c.csv", "x,y\n0.5,0\n3.5,yes\n", &[])
        .expect(0, &["expected a class of the model (0, 1); the metrics skip 1 of 2 values"]);
    let words = ["False", "TRUE", "FALSE", "true"];
    let case = Case::new("t.csv", table("x,y", 24, |i| format!("{}.5,{}", i % 7, words[i % 4])));
    case.train(&["t.csv", "--target", "y"]).expect(0, &["2 classes (rows): False (12), TRUE (12)"]);
    let case = Case::new("t.csv", table("x,y", 24, |i| format!("{}.5,{}", i % 7, ["Red", "red"][i % 2])));
    case.train(&["t.csv", "--target", "y"]).expect(0, &["differ only in case: two categories"]);
}

#[test]
fn missing_values_are_those_of_pandas_or_of_the_options() {
    let ions = ["Na", "Ca", "K", "Mg"];
    let case = Case::new("t.csv", table("x,ion", 32, |i| format!("{}.5,{}", i % 7, ions[i % 4])));
    case.train(&["t.csv", "--target", "ion"]).expect(0, &["4 classes (rows): Ca (8), K (8), Mg (8), Na (8)"]);
    let countries = ["NA", "DE", "FR", "?"];
    let case = Case::new("t.csv", table("x,c", 64, |i| format!("{}.5,{}", i % 7, countries[i % 4])));
    case.train(&["t.csv", "--target", "c"])
        .expect(2, &["missing values in 16 of 64 rows", "--no-default-missing-values"]);
    let options = ["--no-default-missing-values"];
    case.train(&[&["t.csv", "--target", "c"][..], &options].concat())
        .expect(0, &["4 classes (rows): ? (16), DE (16), FR (16), NA (16)"]);
    let options = ["--missing-values", "?", "--missing", "impute"];
    case.train(&[&["t.csv", "--target", "c"][..], &options].concat()).expect(
        0,
        &["32 rows without a value in the target column \"c\": dropped", "2 classes (rows): DE (16), FR (16)"],
    );
    // Only rows with a target decide whether a column is numeric.
    let row =
        |i: usize| format!("{},{}", if i < 30 { i.to_string() + ".5" } else { "none".into() }, ["a", "b", ""][i / 15]);
    let case = Case::new("t.csv", table("x,y", 40, row));
    case.train(&["t.csv", "--target", "y", "--missing", "impute"]).expect(0, &["x  numbers from 0.5 to 29.5"]);
}

#[test]
fn the_format_of_a_file_is_detected_or_set_by_options() {
    let rows = |delimiter: &str| {
        table(&["A", "B", "C"].join(delimiter), 24, |i| [2 * i, i % 7, i % 2].map(|n| n.to_string()).join(delimiter))
    };
    let comma = rows(",");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(comma.as_bytes()).expect("writing to a vector cannot fail");
    let utf16: Vec<u8> = format!("\u{feff}{comma}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, words) in [
        (rows("|").into_bytes(), ""),
        (rows("  \t").into_bytes(), ""),
        (format!("sep=;\n{}", rows(";")).into_bytes(), "the first line sets the delimiter to ';'"),
        (format!("# a comment, 3 columns\n{comma}").into_bytes(), "line 1 starts with #: skipped as a comment"),
        (comma.replace('\n', ",\n").replacen(",\n", "\n", 1).into_bytes(), "every line ends with a delimiter"),
        (utf16, ""),
        (gzip.finish().expect("writing to a vector cannot fail"), ""),
    ] {
        Case::new("t.csv", content)
            .train(&["t.csv", "--target", "C"])
            .expect(0, &["24 rows, 3 columns", "A  numbers from 0 to 46", words]);
    }
    for (content, options, words) in [
        (rows(":"), ["--delimiter", ":"], "A  numbers from 0 to 46"),
        (rows(",").replace("4,2,0", "4,2,0\n% x"), ["--comment", "%"], "24 rows, 3 columns"),
        (rows(",").replace('A', "\u{e4}"), ["--encoding", "utf-8"], "numbers from 0 to 46"),
    ] {
        let case = Case::new("t.csv", content);
        case.train(&[&["t.csv", "--target", "C"], &options[..]].concat()).expect(0, &[words]);
    }
    let latin =
        Case::new("t.csv", comma.replace('A', "Gr\u{f6}\u{df}e").chars().map(|c| c as u32 as u8).collect::<Vec<u8>>());
    latin
        .train(&["t.csv", "--target", "C"])
        .expect(2, &["line 1, byte 3: expected text in UTF-8", "--encoding windows-1252"]);
    latin.train(&["t.csv", "--target", "C", "--encoding", "windows-1252"]).expect(0, &["Größe  numbers from 0 to 46"]);

    let numbers = comma.split_once('\n').expect("a header").1.to_owned();
    let case = Case::new("t.csv", format!("1,5,0\n{numbers}"));
    case.train(&["t.csv", "--target", "0"]).expect(0, &["the first line contains only numbers", "pass --no-header"]);
    case.train(&["t.csv", "--target", "3", "--no-header"]).expect(0, &["25 rows, 3 columns"]);
    let case = Case::new("t.csv", format!("0,0,1\n{numbers}"));
    case.train(&["t.csv", "--target", "1"]).expect(2, &["line 1, column 2", "if it is data, pass --no-header"]);
    Case::new("t.csv", "a,b\n1,2\n3,4,5\n")
        .train(&["t.csv", "--target", "b"])
        .expect(2, &["line 3: expected 2 cells", "--delimiter"]);
    Case::new("t.csv", b"\x89PNG\r\n\x1a\n")
        .train(&["t.csv"])
        .expect(2, &["expected text in columns (CSV), got a PNG image"]);
}

#[test]
fn predict_keeps_a_byte_order_mark() {
    let case = Case::new("t.csv", table("\u{feff}x,y", 24, |i| format!("{}.5,{}", i % 7, ["a", "b"][i % 2])));
    case.train(&["t.csv", "--target", "y"]).expect(0, &[]);
    assert!(case.predict("a.csv", "\u{feff}x\n1.5\n", &[]).stdout.starts_with("\u{feff}x,predicted_y"));
    assert!(case.predict("a.csv", "x\n1.5\n", &[]).stdout.starts_with("x,predicted_y"));
}

#[test]
fn columns_are_excluded_or_kept_by_name() {
    let case = Case::new("t.csv", table("day,promo,sales", 60, |i| format!("{},{},{}", i + 1, i % 2, 100 + 3 * i)));
    case.train(&["t.csv", "--target", "sales"]).expect(0, &["left out: row numbers (pass --keep day to use it)"]);
    let kept = ["day    numbers from 1 to 60\n", "2-64-64-1"];
    case.train(&["t.csv", "--target", "sales", "--keep", "day"]).expect(0, &kept);
    case.train(&["t.csv", "--target", "sales", "--categorical", "day"]).expect(0, &["61-64-64-1"]);
    // Shuffled row numbers are excluded too.
    let case = Case::new(
        "t.csv",
        table(",noise,y", 60, |i| format!("{},{}.5,{}", i * 37 % 60, i % 7, ["a", "b"][i * 37 % 60 / 30])),
    );
    case.train(&["t.csv", "--target", "y"]).expect(0, &["column 1  numbers from 0 to 59; left out: row numbers"]);
    let case = Case::new(
        "t.csv",
        table("id,noise,y", 60, |i| format!("{},{}.5,{}", 500 + i * 37 % 60, i % 7, ["a", "b"][i % 2])),
    );
    case.train(&["t.csv", "--target", "y"])
        .expect(0, &["column \"id\": contains each integer from 500 to 559 once", "--ignore id"]);

    let case =
        Case::new("t.csv", table("\"Name, first\",\"a \"\"$b\",x,y", 24, |i| format!("n{i},m{i},{i}.5,{}", i % 2)));
    let hint = "leave them out with --ignore \"Name, first\" --ignore 'a \"$b'";
    case.train(&["t.csv", "--target", "y"]).expect(2, &[hint]);
    case.train(&["t.csv", "--target", "y", "--ignore", "Name, first", "--ignore", "a \"$b"]).expect(0, &["1-64-64-2"]);
    case.train(&["t.csv", "--target", "y", "--ignore", "\"Name, first\",\"a \"\"$b\""]).expect(0, &["1-64-64-2"]);
    case.train(&["t.csv", "--target", "y", "--ignore", "Name"]).expect(2, &["--ignore \"Name\": no such column"]);
}

#[test]
fn a_single_non_numeric_cell_is_named() {
    let row = |i: usize| format!("{},{}", if i == 39 { "3O".to_owned() } else { (20 + i % 15).to_string() }, i % 2);
    let case = Case::new("t.csv", table("age,y", 40, row));
    let words =
        ["column \"age\": 39 of 40 cells are numbers, but line 41 is \"3O\"", "--missing-values 3O --missing impute"];
    case.train(&["t.csv", "--target", "y"]).expect(0, &words);
    case.train(&["t.csv", "--target", "y", "--missing-values", "3O", "--missing", "impute"])
        .expect(0, &["age  numbers from 20 to 34, 1 missing; imputed with the median"]);
}

#[test]
fn unknown_categories_are_an_error_or_ignored() {
    let case = Case::new("t.csv", table("c,x,y", 24, |i| format!("{},{}.5,{}", ["red", "blue"][i % 2], i % 7, i % 2)));
    case.train(&["t.csv", "--target", "y"]).expect(0, &[]);
    let new = "c,x\nred,0.1\ngreen,0.2\n";
    let words = "line 3, column \"c\": expected one of blue, red, got \"green\"; pass --unknown-categories ignore";
    case.predict("new.csv", new, &[]).expect(2, &[words]);
    case.predict("new.csv", new, &["--unknown-categories", "ignore"]).expect(0, &["green,0.2,"]);
    case.train(&["t.csv", "--target", "y", "--unknown-categories", "ignore"]).expect(0, &[]);
    case.predict("new.csv", new, &[]).expect(0, &["green,0.2,"]);
}

#[test]
fn messages_stay_short_whatever_the_file_contains() {
    let long = "x".repeat(3000);
    let header: String = (0..2000).map(|i| format!("column_number_{i}_{},", &long[..i % 50])).collect();
    let wide = table(&(header.clone() + "y"), 30, |i| format!("{}{}", format!("{i}.5,").repeat(2000), i % 2));
    let texts = table(&(header + "y"), 30, |i| format!("{}{}", format!("text {i},").repeat(2000), i % 2));
    let names = table(&format!("{long},y"), 30, |i| format!("{long}{i},{}", i % 2));
    let classes = table("x,y", 4000, |i| format!("{i}.5,{long}{}", i % 100));
    for (content, arguments) in [
        (&wide, &["--target", "nope"][..]),
        (&wide, &[]),
        (&texts, &["--target", "y"]),
        (&names, &["--target", "y"]),
        (&names, &["--target", &long]),
        (&names, &["--target", "y", "--ignore", &long]),
        (&classes, &["--target", "y", "--test-fraction", "2"]),
    ] {
        let case = Case::new("t.csv", content);
        let outcome = case.train(&[&["t.csv"], arguments].concat());
        outcome.expect(2, &["error: "]);
        assert!(outcome.stderr.len() < 2048, "{}", outcome.stderr);
    }
    let rare = table("x,y", 400, |i| format!("{i}.5,{}{}", &long[..100], i % 110));
    let outcome = Case::new("t.csv", rare).train(&["t.csv", "--target", "y"]);
    outcome.expect(0, &["110 classes"]);
    assert!(outcome.stdout.lines().all(|line| line.len() < 2048), "{}", outcome.stdout);
}
