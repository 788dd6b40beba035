//! Predicts the target of the rows of a CSV file with a model that the example `train` saved.
//!
//!     cargo run --release --example predict -- out/flowers more-flowers.csv --output predictions.csv
//!
//! The file must have the feature columns of the training file, with the same names, in any order. The output is the file
//! with the predictions as additional columns. If the file contains the target column, the example also prints the metrics
//! of its predictions.

mod common;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use csv::WriterBuilder;
use gradus::data::table::{CsvSettings, Encoder, Encoding, Table};
use serde_json::json;

use common::{
    Exit,
    csv_options::{CsvOptions, detected_properties},
    options::{DeviceOptions, JsonOption},
    tables::{self, Prediction, TestMetrics, UnknownCategories, join_some, shell_quoted, short},
};

/// Predicts the target of the rows of a CSV file with a model that the example `train` saved.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
    /// Directory that `train --save-dir` wrote, or the model.safetensors in it
    model: PathBuf,
    /// CSV file with the rows to predict
    file: PathBuf,
    #[command(flatten)]
    csv: CsvOptions,
    /// Categories that the model does not know: stop with an error, or ignore them [default: as in train]
    #[arg(long, value_enum)]
    unknown_categories: Option<UnknownCategories>,
    /// CSV file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The maximum number of class names in a message.
const MAX_CLASSES: usize = 12;

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let (model, encoder) = tables::load_model(&arguments.model)?;
    let encoder = match arguments.unknown_categories {
        Some(option) => encoder.with_unknown_category(option.into()),
        None => encoder,
    };
    let table = load_table(arguments, &encoder)?;
    let encoder = arguments.csv.with_number_formats(&table, encoder);
    let features = encoder.transform(&table).map_err(|error| encoder_error(&error))?;
    let device = arguments.device.open()?;
    let predictions = tables::predict(&device, &model, &features)?;

    let csv = to_csv(&table, &encoder, &predictions).map_err(|error| Exit::Failed(error.to_string()))?;
    match &arguments.output {
        Some(path) => {
            let write_error = |error| Exit::Failed(format!("--output {}: {error}", path.display()));
            std::fs::write(path, csv).map_err(write_error)?;
            eprintln!("{} predictions: {}", predictions.len(), path.display());
        }
        // The reader may have closed the pipe, as `| head` does.
        None if io::stdout().write_all(&csv).is_err() => return Ok(()),
        None => {}
    }
    let metrics = evaluate(&table, &encoder, &predictions)?;
    let target = encoder.target();
    let mut keys = json!({
        "target": target, "rows": predictions.len(), "output": arguments.output, "evaluated_rows": 0,
    });
    if let Some((metrics, rows)) = &metrics {
        // Standard output may contain the predictions, so the metrics go to standard error.
        eprintln!("metrics of {target:?} on {rows} of {} rows: {}", predictions.len(), metrics.summary());
        eprintln!("(metrics on rows of the training file do not predict the metrics on new rows)");
        keys["evaluated_rows"] = (*rows).into();
        for (key, value) in metrics.json().as_object().into_iter().flatten() {
            keys[key] = value.clone();
        }
    }
    arguments.json.print("predict", &device, keys);
    Ok(())
}

/// Loads the file with the settings of the training file, unless an option overrides them.
fn load_table(arguments: &Arguments, encoder: &Encoder) -> Result<Table, Exit> {
    let (path, options) = (&arguments.file, &arguments.csv);
    let trained = encoder.csv_settings().cloned().unwrap_or_default();
    // gradus detects the Unicode encodings in the file itself.
    let encoding = trained.encoding.filter(|encoding| *encoding == Encoding::Windows1252);
    let settings = options.settings(&CsvSettings { encoding, ..trained.clone() })?;
    let has_feature_columns = |table: &Table| encoder.columns().iter().all(|name| table.column_names().contains(name));
    let mut table = tables::load_table(path, &settings);
    let mut delimiter_differs = false;
    if !options.sets_delimiter() && !table.as_ref().is_ok_and(has_feature_columns) {
        let detected = tables::load_table(path, &CsvSettings { delimiter: None, ..settings });
        if detected.as_ref().is_ok_and(has_feature_columns) {
            (table, delimiter_differs) = (detected, true);
        }
    }
    let table = table?;
    detected_properties(&table).iter().for_each(|line| eprintln!("{line}"));
    if delimiter_differs {
        let [expected, got] = [trained.delimiter.unwrap_or(b','), table.delimiter()].map(char::from);
        eprintln!("the delimiter is {got:?}, that of the training file was {expected:?}");
    }
    if !options.sets_number_format() {
        check_number_formats(path, &table, encoder, delimiter_differs)?;
    }
    Ok(table)
}

/// Compares the number formats of the file with those of the training file.
///
/// A difference is an error if the delimiter differs too, or if the format of the training file cannot parse the numbers.
/// Otherwise it is a warning.
fn check_number_formats(path: &Path, table: &Table, encoder: &Encoder, delimiter_differs: bool) -> Result<(), Exit> {
    for (column, name) in table.column_names().iter().enumerate() {
        let (Some(trained), Some(detected)) = (encoder.number_format(name), table.number_format(column)) else {
            continue;
        };
        let rows = (0..table.rows()).filter(|row| !table.is_missing(*row, column));
        let mut cells = rows.filter_map(|row| table.cell(row, column));
        let Some(cell) = cells.find(|cell| trained.parse(cell) != detected.parse(cell)) else { continue };
        let is_error = delimiter_differs || trained.parse(cell).is_none();
        let difference = format!(
            "{}: column {:?}: expected numbers with {trained}, as in the training file, got numbers that look like \
             {detected}, for example {:?}",
            path.display(),
            short(name),
            short(cell)
        );
        let [as_trained, as_detected] =
            [trained, detected].map(|format| shell_quoted(&format!("{name}={}", format.decimal)));
        if is_error {
            let options = format!("--decimal {as_detected} or --decimal {as_trained}");
            return Err(Exit::Usage(format!("{difference}; pass {options} to select one")));
        }
        eprintln!("{difference}; using the format of the training file (--decimal {as_detected} changes that)");
    }
    Ok(())
}

/// Returns the message of an error of the encoder, followed by the option that helps.
fn encoder_error(error: &gradus::Error) -> Exit {
    let text = error.to_string();
    let gradus::Error::Format { expected, got, .. } = error else { return Exit::Usage(text) };
    let hint = if got.ends_with("a missing value") {
        "; fill in the value, or train the model with `--missing impute` on rows with missing values in this column"
    } else if expected.starts_with("one of") {
        "; pass --unknown-categories ignore to ignore unknown categories"
    } else if expected.starts_with("a number written with") {
        "; pass --decimal to set the number format"
    } else {
        ""
    };
    Exit::Usage(text + hint)
}

/// Returns the file as CSV with the predictions as additional columns.
///
/// The delimiter, the decimal mark and the byte order mark are those of the file.
fn to_csv(table: &Table, encoder: &Encoder, predictions: &[Prediction]) -> csv::Result<Vec<u8>> {
    let has_byte_order_mark = table.csv_settings().encoding.is_some_and(Encoding::has_byte_order_mark);
    let start = if has_byte_order_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    let mut writer = WriterBuilder::new().delimiter(table.delimiter()).from_writer(start);
    let has_decimal_commas = has_decimal_commas(table, encoder);
    let format_number = |text: String| if has_decimal_commas { text.replace('.', ",") } else { text };
    let mut names = table.column_names().to_vec();
    names.push(unused_name(table, &format!("predicted_{}", encoder.target())));
    if encoder.classes().is_some() {
        names.push(unused_name(table, "probability"));
    }
    writer.write_record(&names)?;
    let offset = encoder.target_offset();
    for (row, Prediction { class, value }) in predictions.iter().enumerate() {
        for column in 0..table.column_names().len() {
            writer.write_field(table.cell(row, column).unwrap_or_default())?;
        }
        if let Some(classes) = encoder.classes() {
            writer.write_field(&classes[*class])?;
        }
        let value = if offset == 0.0 { value.to_string() } else { (f64::from(*value) + f64::from(offset)).to_string() };
        writer.write_field(format_number(value))?;
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()).into())
}

/// Returns whether a column of the file or the target of the training file has decimal commas.
fn has_decimal_commas(table: &Table, encoder: &Encoder) -> bool {
    let mut formats = vec![encoder.number_format(encoder.target())];
    for (column, name) in table.column_names().iter().enumerate() {
        // The format of the training file takes precedence over the detected one.
        formats.push(encoder.number_format(name).or(table.number_format(column)));
    }
    formats.into_iter().flatten().any(|format| format.decimal == ',')
}

/// Returns `name` with as many underscores as it takes to differ from all columns of the file.
fn unused_name(table: &Table, name: &str) -> String {
    let mut name = name.to_owned();
    while table.column_names().contains(&name) {
        name.push('_');
    }
    name
}

/// Computes the metrics of the predictions if the file contains the target column.
///
/// Also returns the number of rows with a known target.
fn evaluate(
    table: &Table,
    encoder: &Encoder,
    predictions: &[Prediction],
) -> Result<Option<(TestMetrics, usize)>, Exit> {
    let Some(column) = table.column_names().iter().position(|name| name == encoder.target()) else { return Ok(None) };
    let (metrics, rows) = match encoder.classes() {
        Some(classes) => {
            let targets = encoder.target_classes(table).into_iter().zip(predictions);
            let pairs: Vec<_> =
                targets.filter_map(|(class, prediction)| Some((class? as usize, prediction.class))).collect();
            (TestMetrics::from_classes(classes.len(), pairs.iter().copied())?, pairs.len())
        }
        None => {
            let offset = f64::from(encoder.target_offset());
            let targets = encoder.target_values(table).into_iter().zip(predictions);
            let pairs: Vec<_> =
                targets.filter_map(|(value, prediction)| Some(((value? - offset) as f32, prediction.value))).collect();
            (TestMetrics::from_values(pairs.iter().copied())?, pairs.len())
        }
    };
    let present = (0..table.rows()).filter(|row| !table.is_missing(*row, column)).count();
    if rows < present {
        let expected = match encoder.classes() {
            Some(classes) => format!("a class of the model ({})", join_some(classes, MAX_CLASSES)),
            None => "a number".to_owned(),
        };
        let (target, skipped) = (encoder.target(), present - rows);
        eprintln!("target {target:?}: expected {expected}; the metrics skip {skipped} of {present} values");
    }
    Ok((rows > 0).then_some((metrics, rows)))
}
