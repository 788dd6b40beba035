//! Encoders of table columns.

use gradus::{
    Features, Result, Targets,
    data::table::{
        CategoryEncoding, CategoryImputation, Encoder, EncoderSettings, FeatureColumns, NumericImputation, Table,
        TargetKind, UnknownCategory,
    },
};

use super::expect_error;

const NAMES: [&str; 4] = ["age", "color", "zip", "kind"];

fn table(rows: &[[&str; 4]]) -> Table {
    Table::new(&NAMES, &rows.concat()).unwrap()
}

/// Returns four rows with a missing age and a missing color.
fn table_with_missing_cells() -> Table {
    table(&[["1", "red", "10", "yes"], ["NA", "blue", "9", "no"], ["4", "", "10", "no"], ["10", "red", "9", "yes"]])
}

fn fit(table: &Table, settings: EncoderSettings) -> Result<Encoder> {
    Encoder::fit(table, "kind", &settings)
}

fn imputation(numeric_imputation: NumericImputation, category_imputation: CategoryImputation) -> EncoderSettings {
    EncoderSettings { numeric_imputation, category_imputation, ..EncoderSettings::default() }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn numbers_stay_and_categories_become_one_hot_or_ordinal() {
    let table = table(&[["1.5", "red", "10", "b"], ["2", "blue", "9", "a"], ["-3e1", "red", "10", "b"]]);
    let zip = EncoderSettings { categorical: names(&["zip"]), ..EncoderSettings::default() };
    let encoder = fit(&table, zip.clone()).unwrap();
    assert_eq!(encoder.feature_names(), ["age", "color=blue", "color=red", "zip=9", "zip=10"]);
    assert_eq!((encoder.inputs(), encoder.target()), (5, "kind"));
    assert_eq!(encoder.classes(), Some(&names(&["a", "b"])[..]));
    let data = encoder.dataset(&table).unwrap();
    let hot = [1.5, 0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 0.0, -30.0, 0.0, 1.0, 0.0, 1.0];
    assert_eq!(data.features(), &Features::F32(hot.to_vec()));
    assert_eq!(data.targets(), &Targets::Classes(vec![1, 0, 1]));

    let encoder = fit(&table, EncoderSettings { category_encoding: CategoryEncoding::Ordinal, ..zip }).unwrap();
    assert_eq!(encoder.feature_names(), ["age", "color", "zip"]);
    assert_eq!(encoder.transform(&table).unwrap(), [1.5, 1.0, 1.0, 2.0, 0.0, 0.0, -30.0, 1.0, 1.0]);
}

#[test]
fn columns_are_chosen_by_name() {
    let table = table(&[["1", "red", "10", "b"], ["2", "blue", "9", "a"]]);
    let fit_with = |features| fit(&table, EncoderSettings { features, ..EncoderSettings::default() });
    let encoder = fit_with(FeatureColumns::Only(names(&["zip", "age"]))).unwrap();
    assert_eq!(encoder.feature_names(), ["age", "zip"]);
    assert_eq!(fit_with(FeatureColumns::Except(names(&["color", "kind"]))).unwrap(), encoder);
    expect_error(
        fit_with(FeatureColumns::Only(names(&["size"]))),
        &["features: expected a column of table (age, color, zip, kind), got \"size\""],
    );
    expect_error(
        fit_with(FeatureColumns::Only(names(&["kind"]))),
        &["features: expected columns other than the target, got the target \"kind\""],
    );
    expect_error(
        fit_with(FeatureColumns::Only(vec![])),
        &["features: expected at least 1 column other than the target, got 0"],
    );
    expect_error(
        Encoder::fit(&table, "sort", &EncoderSettings::default()),
        &["target: expected a column of table (", "got \"sort\""],
    );
    let both = EncoderSettings { numeric: names(&["age"]), categorical: names(&["age"]), ..EncoderSettings::default() };
    expect_error(fit(&table, both), &["numeric: expected columns that are not in categorical, got \"age\""]);
    let unknown = EncoderSettings { categorical: names(&["size"]), ..EncoderSettings::default() };
    expect_error(fit(&table, unknown), &["categorical: expected a column of table (", "got \"size\""]);
}

#[test]
fn missing_cells_are_an_error_with_their_location_or_imputed() {
    let table = table_with_missing_cells();
    let transform = |numeric, category| fit(&table, imputation(numeric, category))?.transform(&table);
    expect_error(
        transform(NumericImputation::Error, CategoryImputation::NewCategory),
        &["table: line 3, column \"age\": expected a number, got \"NA\", which is a missing value"],
    );
    expect_error(
        transform(NumericImputation::Mean, CategoryImputation::Error),
        &["line 4, column \"color\": expected one of blue, red, got an empty cell, which is a missing value"],
    );
    let ages = |number| {
        let features = transform(number, CategoryImputation::MostFrequent).unwrap();
        features.chunks(4).map(|row| row[0]).collect::<Vec<_>>()
    };
    assert_eq!(ages(NumericImputation::Mean), [1.0, 5.0, 4.0, 10.0]);
    assert_eq!(ages(NumericImputation::Median), [1.0, 4.0, 4.0, 10.0]);
    assert_eq!(ages(NumericImputation::Constant(-1.0)), [1.0, -1.0, 4.0, 10.0]);
    expect_error(
        transform(NumericImputation::Constant(f32::NAN), CategoryImputation::NewCategory),
        &["numeric_imputation: expected a finite constant, got NaN"],
    );

    let most_frequent = transform(NumericImputation::Mean, CategoryImputation::MostFrequent).unwrap();
    assert_eq!(most_frequent[8..11], [4.0, 0.0, 1.0], "the most frequent color is red");
    let new_category = fit(&table, imputation(NumericImputation::Mean, CategoryImputation::NewCategory)).unwrap();
    assert_eq!(new_category.feature_names(), ["age", "color=blue", "color=red", "color=(missing)", "zip"]);
    assert_eq!(new_category.transform(&table).unwrap()[10..15], [4.0, 0.0, 0.0, 1.0, 10.0]);

    let empty = Table::new(&["a", "kind"], &["", "1", "None", "2"]).unwrap();
    let settings = imputation(NumericImputation::Mean, CategoryImputation::NewCategory);
    expect_error(
        fit(&empty, settings.clone()),
        &["table: column \"a\": expected at least 1 value, got 2 missing values; exclude the column"],
    );
    let no_cells: [&str; 0] = [];
    expect_error(
        fit(&Table::new(&["a", "kind"], &no_cells).unwrap(), settings),
        &["rows of the table: expected at least 1, got 0"],
    );
}

#[test]
fn unknown_categories_are_an_error_with_their_location_or_ignored() {
    let training = table(&[["1", "red", "10", "yes"], ["2", "blue", "9", "no"]]);
    let new = Table::new(&["zip", "color", "age"], &["7", "red", "1", "7", "mauve", "2"]).unwrap();
    let message = &["table: line 3, column \"color\": expected one of blue, red, got \"mauve\""];
    expect_error(fit(&training, EncoderSettings::default()).unwrap().transform(&new), message);
    for (category_encoding, expected) in [
        (CategoryEncoding::OneHot, &[1.0, 0.0, 1.0, 7.0, 2.0, 0.0, 0.0, 7.0][..]),
        (CategoryEncoding::Ordinal, &[1.0, 1.0, 7.0, 2.0, -1.0, 7.0]),
    ] {
        let settings = EncoderSettings {
            category_encoding,
            unknown_category: UnknownCategory::Ignore,
            ..EncoderSettings::default()
        };
        let encoder = fit(&training, settings).unwrap();
        assert_eq!(encoder.transform(&new).unwrap(), expected);
        expect_error(encoder.dataset(&new), &["table: header: expected a column \"kind\", got zip, color, age"]);
        let missing = Table::new(&["zip", "color", "age"], &["7", "NA", "1"]).unwrap();
        expect_error(encoder.transform(&missing), &["line 2, column \"color\"", "a missing value"]);
        let other = table(&[["1", "red", "10", "maybe"]]);
        expect_error(encoder.dataset(&other), &["line 2, column \"kind\": expected one of no, yes, got \"maybe\""]);
    }
    let text = Table::new(&["age", "color", "zip"], &["old", "red", "1"]).unwrap();
    let encoder = fit(&training, EncoderSettings::default()).unwrap();
    expect_error(encoder.transform(&text), &["line 2, column \"age\": expected a number, got \"old\""]);
    expect_error(
        encoder.transform(&Table::new(&["age"], &["1"]).unwrap()),
        &["header: expected a column \"color\", got age"],
    );
    let no_cells: [&str; 0] = [];
    assert_eq!(encoder.transform(&Table::new(&["age", "color", "zip"], &no_cells).unwrap()).unwrap(), [] as [f32; 0]);
}

#[test]
fn an_error_names_the_cell_that_is_not_a_number() {
    let rows: Vec<[&str; 4]> = vec![["1", "red", "1", "a"], ["1O", "red", "2", "b"], ["3", "red", "3", "a"]];
    let table = table(&rows);
    let two_categories = EncoderSettings { max_categories: 2, ..EncoderSettings::default() };
    let words =
        ["table: column \"age\": expected at most 2 categories, got 3; \"1O\" in line 3 is not a number; exclude"];
    expect_error(fit(&table, two_categories), &words);
    let numbers = EncoderSettings { numeric: names(&["age"]), ..EncoderSettings::default() };
    expect_error(fit(&table, numbers), &["table: line 3, column \"age\": expected a number, got \"1O\""]);
    let huge = Table::new(&["a", "kind"], &["1e39", "a", "2", "b"]).unwrap();
    let numbers = EncoderSettings { numeric: names(&["a"]), ..EncoderSettings::default() };
    expect_error(
        fit(&huge, numbers),
        &["line 2, column \"a\": expected a number from -3.4028235e38 to 3.4028235e38, got \"1e39\""],
    );
}

#[test]
fn targets_are_classes_or_values() {
    let encode = |targets: &[&str], kind| {
        let cells: Vec<&str> = targets.iter().flat_map(|target| ["0", *target]).collect();
        let table = Table::new(&["x", "kind"], &cells).unwrap();
        let encoder = fit(&table, EncoderSettings { target_kind: kind, ..EncoderSettings::default() })?;
        Ok((encoder.classes().map(<[String]>::to_vec), encoder.dataset(&table)?.targets().clone()))
    };
    let ids = |classes: &[&str], ids: &[u32]| (Some(names(classes)), Targets::Classes(ids.to_vec()));
    let values = |values: &[f32]| (None, Targets::Values(values.to_vec()));
    assert_eq!(encode(&["10", "9", "10", "9"], TargetKind::Auto).unwrap(), ids(&["9", "10"], &[1, 0, 1, 0]));
    assert_eq!(encode(&["-1", "1", "1", "-1"], TargetKind::Auto).unwrap(), ids(&["-1", "1"], &[0, 1, 1, 0]));
    assert_eq!(encode(&["b", "a"], TargetKind::Auto).unwrap(), ids(&["a", "b"], &[1, 0]));
    assert_eq!(encode(&["10", "9", "8"], TargetKind::Auto).unwrap(), values(&[10.0, 9.0, 8.0]));
    assert_eq!(encode(&["0.5", "0.5", "1"], TargetKind::Auto).unwrap(), values(&[0.5, 0.5, 1.0]));
    assert_eq!(encode(&["0.5", "0.25"], TargetKind::Classes).unwrap(), ids(&["0.25", "0.5"], &[1, 0]));
    assert_eq!(encode(&["1", "1", "2", "2"], TargetKind::Values).unwrap(), values(&[1.0, 1.0, 2.0, 2.0]));
    expect_error(encode(&["1", "x"], TargetKind::Values), &["line 3, column \"kind\": expected a number, got \"x\""]);
    expect_error(
        encode(&["1", "NA"], TargetKind::Auto),
        &["line 3, column \"kind\": expected a target value, got \"NA\", which is a missing value"],
    );
}

#[test]
fn an_encoder_survives_json_and_a_malformed_one_causes_no_panic() {
    let table = table_with_missing_cells();
    let encoder = fit(&table, imputation(NumericImputation::Mean, CategoryImputation::NewCategory)).unwrap();
    let json = serde_json::to_string(&encoder).unwrap();
    let parsed: Encoder = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed, encoder);
    assert_eq!(parsed.transform(&table).unwrap(), encoder.transform(&table).unwrap());
    for (from, to) in [
        ("\"fill_category\":2", "\"fill_category\":99"),
        ("[\"blue\",\"red\",\"\"]", "[]"),
        ("[\"blue\",\"red\",\"\"]", "[\"red\",\"red\"]"),
        ("[\"no\",\"yes\"]", "[]"),
        ("\"age\"", "\"zip\""),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        let malformed: Encoder = serde_json::from_str(&changed).unwrap();
        let _ = (malformed.transform(&table), malformed.dataset(&table), malformed.feature_names());
    }
    for columns in
        ["[]", r#"[{"name":"color","encoding":{"Categorical":{"names":[],"fill_category":0,"one_hot":true}}}]"#]
    {
        let json =
            format!(r#"{{"columns":{columns},"target":{{"name":"kind","classes":null}},"unknown_category":"Ignore"}}"#);
        let malformed: Encoder = serde_json::from_str(&json).unwrap();
        let _ = (malformed.transform(&table), malformed.dataset(&table));
    }
}

#[test]
fn a_table_of_cells_is_validated() {
    expect_error(
        Table::new(&["a", "b"], &["1", "2", "3"]),
        &["cells of a table (columns: 2): expected 2 values, got 3"],
    );
    expect_error(
        Table::new(&["a", " a "], &[]),
        &["table: line 1, column 2: expected a name that no other column has"],
    );
    let no_cells: [&str; 0] = [];
    expect_error(Table::new(&no_cells, &no_cells), &["table: line 1: expected at least 1 column name, got 0"]);
}

/// Returns a table with the column `x`, whose cells are also the targets.
fn one_column(cells: &[&str]) -> Table {
    let both: Vec<&str> = cells.iter().flat_map(|cell| [*cell, *cell]).collect();
    Table::new(&["x", "kind"], &both).unwrap()
}

#[test]
fn equal_numbers_and_booleans_are_one_category() {
    let classes = EncoderSettings {
        categorical: names(&["x"]),
        target_kind: TargetKind::Classes,
        category_encoding: CategoryEncoding::Ordinal,
        ..EncoderSettings::default()
    };
    for (cells, expected, ids) in [
        (["1.0", "0", "01", "0.0"], ["0", "01"], [1, 0, 1, 0]),
        (["1e1", "2", "10", "+2"], ["2", "10"], [1, 0, 1, 0]),
        (["True", "FALSE", "true", "False"], ["FALSE", "True"], [1, 0, 1, 0]),
        (["yes", "No", "YES", "no"], ["No", "yes"], [1, 0, 1, 0]),
    ] {
        let table = one_column(&cells);
        let encoder = fit(&table, classes.clone()).unwrap();
        assert_eq!(encoder.classes(), Some(&names(&expected)[..]), "{cells:?}");
        assert_eq!(encoder.transform(&table).unwrap(), ids.map(|id| id as f32), "{cells:?}");
        assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Classes(ids.to_vec()), "{cells:?}");
    }
    // Later tables are compared by the same rules. A cell that equals no class gets `None`.
    let encoder = fit(&one_column(&["0", "1", "1", "0"]), classes.clone()).unwrap();
    let later = one_column(&["1.00", "x", "00", "2", "NA"]);
    assert_eq!(encoder.target_classes(&later), [Some(1), None, Some(0), None, None]);
    // All other texts are compared letter by letter, including case.
    let texts = fit(&one_column(&["Red", "red", "1", "1.0"]), classes).unwrap();
    assert_eq!(texts.classes(), Some(&names(&["1", "1.0", "Red", "red"])[..]));
}

#[test]
fn numbers_far_from_zero_keep_their_resolution() {
    let seconds: Vec<String> = (0..60).map(|i| (1_700_000_000 + i * 37 % 60).to_string()).collect();
    let cells: Vec<&str> = seconds.iter().map(String::as_str).collect();
    let numbers = EncoderSettings { target_kind: TargetKind::Values, ..EncoderSettings::default() };
    let table = one_column(&cells);
    let encoder = fit(&table, numbers.clone()).unwrap();
    let features = encoder.transform(&table).unwrap();
    let offset = encoder.target_offset();
    assert!((f64::from(offset) - 1.7e9).abs() <= 64.0, "{offset}");
    for (text, feature) in seconds.iter().zip(&features) {
        assert_eq!(f64::from(*feature) + f64::from(offset), text.parse::<f64>().unwrap());
    }
    assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Values(features));
    assert_eq!(encoder.target_values(&table)[0], Some(1.7e9));
    // A column whose numbers differ in f32 keeps its bits.
    for cells in [["2000.5", "2001.25", "2002"], ["0.1", "0.2", "1e6"], ["16777216", "16777218", "1"]] {
        let table = one_column(&cells);
        let encoder = fit(&table, numbers.clone()).unwrap();
        assert_eq!(encoder.target_offset(), 0.0, "{cells:?}");
        assert_eq!(
            encoder.transform(&table).unwrap(),
            cells.map(|cell| cell.parse::<f64>().unwrap() as f32),
            "{cells:?}"
        );
    }
}

#[test]
fn an_encoder_of_an_earlier_version_is_parsed() {
    let json = r#"{"columns":[{"name":"age","encoding":{"Numeric":{"fill_value":2.5}}},
        {"name":"color","encoding":{"Categorical":{"names":["blue","red",""],"fill_category":2,"one_hot":true}}}],
        "target":{"name":"kind","classes":["no","yes"]},"unknown_category":"Error"}"#;
    let encoder: Encoder = serde_json::from_str(json).unwrap();
    let table = Table::new(&NAMES, &["NA", "red", "1", "yes", "3", "", "2", "no"]).unwrap();
    assert_eq!(encoder.transform(&table).unwrap(), [2.5, 0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 1.0]);
    assert_eq!((encoder.csv_settings(), encoder.target_offset()), (None, 0.0));
    assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Classes(vec![1, 0]));
}
