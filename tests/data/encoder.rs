use gradus::{
    Features, Result, Targets,
    data::table::{
        CategoryEncoding, CategoryImputation, Encoder, EncoderSettings, FeatureColumns, NumericImputation, Table,
        TargetKind, UnknownCategory,
    },
};

use super::refused;

const NAMES: [&str; 4] = ["age", "color", "zip", "kind"];

fn table(rows: &[[&str; 4]]) -> Table {
    Table::new(&NAMES, &rows.concat()).unwrap()
}

/// Four rows with a missing age and a missing color.
fn gaps() -> Table {
    table(&[["1", "red", "10", "yes"], ["NA", "blue", "9", "no"], ["4", "", "10", "no"], ["10", "red", "9", "yes"]])
}

fn learn(table: &Table, settings: EncoderSettings) -> Result<Encoder> {
    Encoder::fit(table, "kind", &settings)
}

/// Fills what is missing in [`gaps`].
fn filling(missing_number: NumericImputation, missing_category: CategoryImputation) -> EncoderSettings {
    EncoderSettings {
        numeric_imputation: missing_number,
        category_imputation: missing_category,
        ..EncoderSettings::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn numbers_stay_and_categories_become_features_or_ids() {
    let table = table(&[["1.5", "red", "10", "b"], ["2", "blue", "9", "a"], ["-3e1", "red", "10", "b"]]);
    let zip = EncoderSettings { categorical: names(&["zip"]), ..EncoderSettings::default() };
    let encoder = learn(&table, zip.clone()).unwrap();
    assert_eq!(encoder.feature_names(), ["age", "color=blue", "color=red", "zip=9", "zip=10"]);
    assert_eq!((encoder.inputs(), encoder.target()), (5, "kind"));
    assert_eq!(encoder.classes(), Some(&names(&["a", "b"])[..]));
    let data = encoder.dataset(&table).unwrap();
    let hot = [1.5, 0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 0.0, -30.0, 0.0, 1.0, 0.0, 1.0];
    assert_eq!(data.features(), &Features::F32(hot.to_vec()));
    assert_eq!(data.targets(), &Targets::Classes(vec![1, 0, 1]));

    let encoder = learn(&table, EncoderSettings { category_encoding: CategoryEncoding::Ordinal, ..zip }).unwrap();
    assert_eq!(encoder.feature_names(), ["age", "color", "zip"]);
    assert_eq!(encoder.transform(&table).unwrap(), [1.5, 1.0, 1.0, 2.0, 0.0, 0.0, -30.0, 1.0, 1.0]);
}

#[test]
fn columns_are_chosen_by_name() {
    let table = table(&[["1", "red", "10", "b"], ["2", "blue", "9", "a"]]);
    let with = |features| learn(&table, EncoderSettings { features, ..EncoderSettings::default() });
    let only = with(FeatureColumns::Only(names(&["zip", "age"]))).unwrap();
    assert_eq!(only.feature_names(), ["age", "zip"]);
    assert_eq!(with(FeatureColumns::Except(names(&["color", "kind"]))).unwrap(), only);
    refused(with(FeatureColumns::Only(names(&["size"]))), &["expected one of age, color, zip, kind, got size"]);
    refused(with(FeatureColumns::Only(names(&["kind"]))), &["column of features: expected another than", "got kind"]);
    refused(with(FeatureColumns::Only(vec![])), &["columns of features: expected at least one, got none"]);
    refused(Encoder::fit(&table, "sort", &EncoderSettings::default()), &["column of answers", "got sort"]);
    let both = EncoderSettings { numeric: names(&["age"]), categorical: names(&["age"]), ..EncoderSettings::default() };
    refused(learn(&table, both), &["column: expected numbers or categories, got \"age\" as both"]);
    let unknown = EncoderSettings { categorical: names(&["size"]), ..EncoderSettings::default() };
    refused(learn(&table, unknown), &["column of numbers or categories", "got size"]);
}

#[test]
fn what_is_missing_is_refused_with_its_place_or_filled() {
    let table = gaps();
    let of = |number, category| learn(&table, filling(number, category))?.transform(&table);
    refused(
        of(NumericImputation::Error, CategoryImputation::NewCategory),
        &["table: line 3, column \"age\": expected a number, got \"NA\", a missing"],
    );
    refused(
        of(NumericImputation::Mean, CategoryImputation::Error),
        &["line 4, column \"color\": expected one of blue, red, got \"\", a missing"],
    );
    let ages = |number| {
        let features = of(number, CategoryImputation::MostFrequent).unwrap();
        features.chunks(4).map(|row| row[0]).collect::<Vec<_>>()
    };
    assert_eq!(ages(NumericImputation::Mean), [1.0, 5.0, 4.0, 10.0]);
    assert_eq!(ages(NumericImputation::Median), [1.0, 4.0, 4.0, 10.0]);
    assert_eq!(ages(NumericImputation::Constant(-1.0)), [1.0, -1.0, 4.0, 10.0]);
    refused(
        of(NumericImputation::Constant(f32::NAN), CategoryImputation::NewCategory),
        &["missing number: expected a finite number"],
    );

    let most = of(NumericImputation::Mean, CategoryImputation::MostFrequent).unwrap();
    assert_eq!(most[8..11], [4.0, 0.0, 1.0], "red");
    let own = learn(&table, filling(NumericImputation::Mean, CategoryImputation::NewCategory)).unwrap();
    assert_eq!(own.feature_names(), ["age", "color=blue", "color=red", "color=(missing)", "zip"]);
    assert_eq!(own.transform(&table).unwrap()[10..15], [4.0, 0.0, 0.0, 1.0, 10.0]);

    let empty = Table::new(&["a", "kind"], &["", "1", "None", "2"]).unwrap();
    let settings = filling(NumericImputation::Mean, CategoryImputation::NewCategory);
    refused(learn(&empty, settings.clone()), &["table: column \"a\": expected at least one value, got 2 missing ones"]);
    let none: [&str; 0] = [];
    refused(learn(&Table::new(&["a", "kind"], &none).unwrap(), settings), &["rows to learn an encoder from"]);
}

#[test]
fn what_was_not_learned_is_refused_with_its_place_or_nothing() {
    let learned = table(&[["1", "red", "10", "yes"], ["2", "blue", "9", "no"]]);
    let shown = Table::new(&["zip", "color", "age"], &["7", "red", "1", "7", "mauve", "2"]).unwrap();
    let words = &["table: line 3, column \"color\": expected one of blue, red, got \"mauve\""];
    refused(learn(&learned, EncoderSettings::default()).unwrap().transform(&shown), words);
    for (coding, expected) in [
        (CategoryEncoding::OneHot, &[1.0, 0.0, 1.0, 7.0, 2.0, 0.0, 0.0, 7.0][..]),
        (CategoryEncoding::Ordinal, &[1.0, 1.0, 7.0, 2.0, -1.0, 7.0]),
    ] {
        let settings = EncoderSettings {
            category_encoding: coding,
            unknown_category: UnknownCategory::Ignore,
            ..EncoderSettings::default()
        };
        let encoder = learn(&learned, settings).unwrap();
        assert_eq!(encoder.transform(&shown).unwrap(), expected);
        refused(encoder.dataset(&shown), &["table: header: expected a column \"kind\", got zip, color, age"]);
        let missing = Table::new(&["zip", "color", "age"], &["7", "NA", "1"]).unwrap();
        refused(encoder.transform(&missing), &["line 2, column \"color\"", "a missing value"]);
        let other = table(&[["1", "red", "10", "maybe"]]);
        refused(encoder.dataset(&other), &["line 2, column \"kind\": expected one of no, yes, got \"maybe\""]);
    }
    let text = Table::new(&["age", "color", "zip"], &["old", "red", "1"]).unwrap();
    let encoder = learn(&learned, EncoderSettings::default()).unwrap();
    refused(encoder.transform(&text), &["line 2, column \"age\": expected a number, got \"old\""]);
    refused(
        encoder.transform(&Table::new(&["age"], &["1"]).unwrap()),
        &["header: expected a column \"color\", got age"],
    );
    let none: [&str; 0] = [];
    assert_eq!(encoder.transform(&Table::new(&["age", "color", "zip"], &none).unwrap()).unwrap(), [] as [f32; 0]);
}

#[test]
fn a_wrong_cell_among_numbers_is_found() {
    let rows: Vec<[&str; 4]> = vec![["1", "red", "1", "a"], ["1O", "red", "2", "b"], ["3", "red", "3", "a"]];
    let table = table(&rows);
    let few = EncoderSettings { max_categories: 2, ..EncoderSettings::default() };
    let words =
        ["table: column \"age\": expected at most 2 categories, got 3; \"1O\" in line 3 is no number; to leave"];
    refused(learn(&table, few), &words);
    let numbers = EncoderSettings { numeric: names(&["age"]), ..EncoderSettings::default() };
    refused(learn(&table, numbers), &["table: line 3, column \"age\": expected a number, got \"1O\""]);
    let huge = Table::new(&["a", "kind"], &["1e39", "a", "2", "b"]).unwrap();
    let numbers = EncoderSettings { numeric: names(&["a"]), ..EncoderSettings::default() };
    refused(learn(&huge, numbers), &["line 2, column \"a\": expected a number, got \"1e39\""]);
}

#[test]
fn answers_are_classes_or_numbers() {
    let of = |answers: &[&str], kind| {
        let cells: Vec<&str> = answers.iter().flat_map(|answer| ["0", *answer]).collect();
        let table = Table::new(&["x", "kind"], &cells).unwrap();
        let encoder = learn(&table, EncoderSettings { target_kind: kind, ..EncoderSettings::default() })?;
        Ok((encoder.classes().map(<[String]>::to_vec), encoder.dataset(&table)?.targets().clone()))
    };
    let ids = |classes: &[&str], ids: &[u32]| (Some(names(classes)), Targets::Classes(ids.to_vec()));
    let values = |values: &[f32]| (None, Targets::Values(values.to_vec()));
    assert_eq!(of(&["10", "9", "10", "9"], TargetKind::Auto).unwrap(), ids(&["9", "10"], &[1, 0, 1, 0]));
    assert_eq!(of(&["-1", "1", "1", "-1"], TargetKind::Auto).unwrap(), ids(&["-1", "1"], &[0, 1, 1, 0]));
    assert_eq!(of(&["b", "a"], TargetKind::Auto).unwrap(), ids(&["a", "b"], &[1, 0]));
    assert_eq!(of(&["10", "9", "8"], TargetKind::Auto).unwrap(), values(&[10.0, 9.0, 8.0]));
    assert_eq!(of(&["0.5", "0.5", "1"], TargetKind::Auto).unwrap(), values(&[0.5, 0.5, 1.0]));
    assert_eq!(of(&["0.5", "0.25"], TargetKind::Classes).unwrap(), ids(&["0.25", "0.5"], &[1, 0]));
    assert_eq!(of(&["1", "1", "2", "2"], TargetKind::Values).unwrap(), values(&[1.0, 1.0, 2.0, 2.0]));
    refused(of(&["1", "x"], TargetKind::Values), &["line 3, column \"kind\": expected a number, got \"x\""]);
    refused(
        of(&["1", "NA"], TargetKind::Auto),
        &["line 3, column \"kind\": expected a target value, got \"NA\", a missing"],
    );
}

#[test]
fn an_encoder_is_saved_and_a_hostile_one_does_not_panic() {
    let table = gaps();
    let encoder = learn(&table, filling(NumericImputation::Mean, CategoryImputation::NewCategory)).unwrap();
    let json = serde_json::to_string(&encoder).unwrap();
    let back: Encoder = serde_json::from_str(&json).unwrap();
    assert_eq!(back, encoder);
    assert_eq!(back.transform(&table).unwrap(), encoder.transform(&table).unwrap());
    for (from, to) in [
        ("\"fill_category\":2", "\"fill_category\":99"),
        ("[\"blue\",\"red\",\"\"]", "[]"),
        ("[\"blue\",\"red\",\"\"]", "[\"red\",\"red\"]"),
        ("[\"no\",\"yes\"]", "[]"),
        ("\"age\"", "\"zip\""),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        let hostile: Encoder = serde_json::from_str(&changed).unwrap();
        let _ = (hostile.transform(&table), hostile.dataset(&table), hostile.feature_names());
    }
    for columns in
        ["[]", r#"[{"name":"color","encoding":{"Categorical":{"names":[],"fill_category":0,"one_hot":true}}}]"#]
    {
        let json =
            format!(r#"{{"columns":{columns},"target":{{"name":"kind","classes":null}},"unknown_category":"Ignore"}}"#);
        let hostile: Encoder = serde_json::from_str(&json).unwrap();
        let _ = (hostile.transform(&table), hostile.dataset(&table));
    }
}

#[test]
fn a_table_of_cells_is_checked() {
    refused(Table::new(&["a", "b"], &["1", "2", "3"]), &["cells of a table: expected 2 values, got 3"]);
    refused(Table::new(&["a", " a "], &[]), &["table: line 1, column 2: expected a name that no other column has"]);
    let none: [&str; 0] = [];
    refused(Table::new(&none, &none), &["expected names of columns, got none"]);
}

/// One column `x`, whose cells are also the targets.
fn one_column(cells: &[&str]) -> Table {
    let both: Vec<&str> = cells.iter().flat_map(|cell| [*cell, *cell]).collect();
    Table::new(&["x", "kind"], &both).unwrap()
}

#[test]
fn equal_numbers_and_truth_words_are_one_class_and_one_category() {
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
        let encoder = learn(&table, classes.clone()).unwrap();
        assert_eq!(encoder.classes(), Some(&names(&expected)[..]), "{cells:?}");
        assert_eq!(encoder.transform(&table).unwrap(), ids.map(|id| id as f32), "{cells:?}");
        assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Classes(ids.to_vec()), "{cells:?}");
    }
    // What comes later is compared alike, and a word that is no number is a class of none.
    let encoder = learn(&one_column(&["0", "1", "1", "0"]), classes.clone()).unwrap();
    let later = one_column(&["1.00", "x", "00", "2", "NA"]);
    assert_eq!(encoder.target_classes(&later), [Some(1), None, Some(0), None, None]);
    // All other texts differ where their letters do.
    let texts = learn(&one_column(&["Red", "red", "1", "1.0"]), classes).unwrap();
    assert_eq!(texts.classes(), Some(&names(&["1", "1.0", "Red", "red"])[..]));
}

#[test]
fn numbers_far_from_zero_stay_different() {
    let seconds: Vec<String> = (0..60).map(|i| (1_700_000_000 + i * 37 % 60).to_string()).collect();
    let cells: Vec<&str> = seconds.iter().map(String::as_str).collect();
    let numbers = EncoderSettings { target_kind: TargetKind::Values, ..EncoderSettings::default() };
    let table = one_column(&cells);
    let encoder = learn(&table, numbers.clone()).unwrap();
    let features = encoder.transform(&table).unwrap();
    let offset = encoder.target_offset();
    assert!((f64::from(offset) - 1.7e9).abs() <= 64.0, "{offset}");
    for (text, feature) in seconds.iter().zip(&features) {
        assert_eq!(f64::from(*feature) + f64::from(offset), text.parse::<f64>().unwrap());
    }
    assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Values(features));
    assert_eq!(encoder.target_values(&table)[0], Some(1.7e9));
    // A column that f32 tells apart stays as it is, to the bit.
    for cells in [["2000.5", "2001.25", "2002"], ["0.1", "0.2", "1e6"], ["16777216", "16777218", "1"]] {
        let table = one_column(&cells);
        let encoder = learn(&table, numbers.clone()).unwrap();
        assert_eq!(encoder.target_offset(), 0.0, "{cells:?}");
        assert_eq!(
            encoder.transform(&table).unwrap(),
            cells.map(|cell| cell.parse::<f64>().unwrap() as f32),
            "{cells:?}"
        );
    }
}

#[test]
fn an_encoder_of_an_earlier_version_is_read() {
    let json = r#"{"columns":[{"name":"age","encoding":{"Numeric":{"fill_value":2.5}}},
        {"name":"color","encoding":{"Categorical":{"names":["blue","red",""],"fill_category":2,"one_hot":true}}}],
        "target":{"name":"kind","classes":["no","yes"]},"unknown_category":"Error"}"#;
    let encoder: Encoder = serde_json::from_str(json).unwrap();
    let table = Table::new(&NAMES, &["NA", "red", "1", "yes", "3", "", "2", "no"]).unwrap();
    assert_eq!(encoder.transform(&table).unwrap(), [2.5, 0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 1.0]);
    assert_eq!((encoder.csv_settings(), encoder.target_offset()), (None, 0.0));
    assert_eq!(encoder.dataset(&table).unwrap().targets(), &Targets::Classes(vec![1, 0]));
}
