//! Predicts the rows of a CSV file by a model that `train` has saved.
//!
//!     cargo run --release --example predict -- out/flowers more-flowers.csv --output predictions.csv
//!
//! The file needs the columns that the model learned from, by their names and in any order. What comes out is the file
//! with the prediction behind its own columns. If the column is there that is predicted, it is said how good that is.

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
    csv_options::{CsvOptions, readings},
    options::{DeviceOptions, JsonOption},
    tables::{self, TestMetrics, Unknown, few, shell, short},
};

/// Predicts the rows of a CSV file by a model that `train` has saved.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    json: JsonOption,
    /// The folder of `train --save`, or the model.safetensors in it
    model: PathBuf,
    /// The CSV file
    file: PathBuf,
    #[command(flatten)]
    csv: CsvOptions,
    /// Categories that the model does not know: stop with an error, or ignore them [default: as in train]
    #[arg(long, value_enum)]
    unknown_categories: Option<Unknown>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let (model, encoder) = tables::load(&arguments.model)?;
    let encoder = match arguments.unknown_categories {
        Some(unknown) => encoder.with_unknown_category(unknown.unseen()),
        None => encoder,
    };
    let table = opened(arguments, &encoder)?;
    let encoder = arguments.csv.restated(&table, encoder);
    let features = encoder.transform(&table).map_err(|error| explained(&error))?;
    let device = arguments.device.open()?;
    let answers = tables::answers(&device, &model, &features)?;

    let csv = written(&table, &encoder, &answers).map_err(|error| Exit::Failed(error.to_string()))?;
    match &arguments.output {
        Some(path) => {
            let failed = |error| Exit::Failed(format!("--output {}: {error}", path.display()));
            std::fs::write(path, csv).map_err(failed)?;
            eprintln!("{} predictions: {}", answers.len(), path.display());
        }
        // Nobody may be reading any more, as after `| head`.
        None if io::stdout().write_all(&csv).is_err() => return Ok(()),
        None => {}
    }
    let judged = judged(&table, &encoder, &answers)?;
    let mut own = json!({
        "target": encoder.target(), "rows": answers.len(), "output": arguments.output, "judged_rows": 0,
    });
    if let Some((metrics, rows)) = &judged {
        // Standard output may be the predictions' own.
        eprintln!("{:?} is there in {rows} of {} rows: {}", encoder.target(), answers.len(), metrics.words());
        eprintln!("(if the model learned from these very rows, that says little of others)");
        own["judged_rows"] = (*rows).into();
        let more = metrics.json();
        more.as_object().into_iter().flatten().for_each(|(key, value)| own[key] = value.clone());
    }
    arguments.json.print("predict", &device, own);
    Ok(())
}

/// Reads the file in the way in which the model's training file was read.
fn opened(arguments: &Arguments, encoder: &Encoder) -> Result<Table, Exit> {
    let (path, options) = (&arguments.file, &arguments.csv);
    let trained = encoder.csv_settings().cloned().unwrap_or_default();
    // What marks a Unicode file is in the file itself.
    let encoding = trained.encoding.filter(|encoding| *encoding == Encoding::Windows1252);
    let settings = options.settings(&CsvSettings { encoding, ..trained.clone() })?;
    let has_columns = |table: &Table| encoder.columns().iter().all(|name| table.column_names().contains(name));
    let mut table = tables::open(path, &settings);
    let mut is_other = false;
    if !options.has_delimiter() && !table.as_ref().is_ok_and(has_columns) {
        let detected = tables::open(path, &CsvSettings { delimiter: None, ..settings });
        if detected.as_ref().is_ok_and(has_columns) {
            (table, is_other) = (detected, true);
        }
    }
    let table = table?;
    readings(&table).iter().for_each(|line| eprintln!("{line}"));
    if is_other {
        let [ours, theirs] = [trained.delimiter.unwrap_or(b','), table.delimiter()].map(char::from);
        eprintln!("the cells are separated by {theirs:?}, those of the training file by {ours:?}");
    }
    if !options.has_numbers() {
        check_numbers(path, &table, encoder, is_other)?;
    }
    Ok(table)
}

/// Compares how the numbers of the file are written, by themselves, with how the model reads them. It is an error if the
/// file differs from the training file in its delimiter, too, and a warning otherwise.
fn check_numbers(path: &Path, table: &Table, encoder: &Encoder, is_other: bool) -> Result<(), Exit> {
    for (at, column) in table.column_names().iter().enumerate() {
        let (Some(trained), Some(here)) = (encoder.number_format(column), table.number_format(at)) else { continue };
        let cells = (0..table.rows()).filter(|row| !table.is_missing(*row, at)).filter_map(|row| table.cell(row, at));
        let Some(cell) = cells.into_iter().find(|cell| trained.parse(cell) != here.parse(cell)) else { continue };
        let (name, cell, is_refused) = (short(column), short(cell), is_other || trained.parse(cell).is_none());
        let why = format!(
            "{}: column {name:?}: the model learned numbers written with {trained}, but the numbers here look as if written with \
             {here}, such as {cell:?}",
            path.display()
        );
        let [ours, theirs] = [trained, here].map(|format| shell(&format!("{column}={}", format.decimal)));
        if is_refused {
            return Err(Exit::Usage(format!("{why}; --decimal {theirs} or --decimal {ours} says which is right")));
        }
        eprintln!("{why}; they are read as in the training (--decimal {theirs} changes that)");
    }
    Ok(())
}

/// The message of an error of the encoder, with the option that helps.
fn explained(error: &gradus::Error) -> Exit {
    let text = error.to_string();
    let gradus::Error::Format { expected, got, .. } = error else { return Exit::Usage(text) };
    let hint = match () {
        () if got.ends_with("a missing value") => {
            "; a model of `train --missing fill` can do without where it had to learn to"
        }
        () if expected.starts_with("one of") => "; --unknown-categories ignore goes on without it",
        () if expected.starts_with("a number written with") => "; --decimal says how the numbers here are written",
        () => "",
    };
    Exit::Usage(text + hint)
}

/// The file with the predictions behind its own columns, with the delimiter, the decimal mark and the byte order mark of
/// the file.
fn written(table: &Table, encoder: &Encoder, answers: &[(usize, f32)]) -> csv::Result<Vec<u8>> {
    let has_mark = table.csv_settings().encoding.is_some_and(Encoding::has_byte_order_mark);
    let begin = if has_mark { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    let mut writer = WriterBuilder::new().delimiter(table.delimiter()).from_writer(begin);
    let formats = table.column_names().iter().enumerate().filter_map(|(at, name)| {
        // As the model reads the column, if it does, and else as it stands.
        encoder.number_format(name).or(table.number_format(at))
    });
    let has_commas = formats.into_iter().any(|format| format.decimal == ',')
        || encoder.number_format(encoder.target()).is_some_and(|format| format.decimal == ',');
    let number = |text: String| if has_commas { text.replace('.', ",") } else { text };
    let mut names = table.column_names().to_vec();
    let free = |wanted: &str| {
        let taken = |name: &String| table.column_names().contains(name);
        let mut tries = std::iter::successors(Some(wanted.to_owned()), |name| Some(format!("{name}_")));
        tries.find(|name| !taken(name)).unwrap_or_default()
    };
    names.push(free(&format!("predicted_{}", encoder.target())));
    if encoder.classes().is_some() {
        names.push(free("probability"));
    }
    writer.write_record(&names)?;
    for (row, (class, value)) in answers.iter().enumerate() {
        (0..table.column_names().len())
            .try_for_each(|column| writer.write_field(table.cell(row, column).unwrap_or_default()))?;
        if let Some(classes) = encoder.classes() {
            writer.write_field(&classes[*class])?;
        }
        let offset = encoder.target_offset();
        let value = if offset == 0.0 { value.to_string() } else { (f64::from(*value) + f64::from(offset)).to_string() };
        writer.write_field(number(value))?;
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()).into())
}

/// How good the predictions are in the rows whose target is known, and how many those are, if the target column is there.
fn judged(table: &Table, encoder: &Encoder, answers: &[(usize, f32)]) -> Result<Option<(TestMetrics, usize)>, Exit> {
    let Some(column) = table.column_names().iter().position(|name| name == encoder.target()) else { return Ok(None) };
    let (metrics, count) = match encoder.classes() {
        Some(classes) => {
            let known = encoder.target_classes(table).into_iter().zip(answers);
            let pairs: Vec<_> = known.filter_map(|(class, (answer, _))| Some((class? as usize, *answer))).collect();
            (TestMetrics::of_classes(classes.len(), pairs.iter().copied())?, pairs.len())
        }
        None => {
            let known = encoder.target_values(table).into_iter().zip(answers);
            let offset = f64::from(encoder.target_offset());
            let pairs: Vec<_> =
                known.filter_map(|(value, (_, answer))| Some(((value? - offset) as f32, *answer))).collect();
            (TestMetrics::of_numbers(pairs.iter().copied())?, pairs.len())
        }
    };
    let is_there = |row: &usize| !table.is_missing(*row, column);
    let there = (0..table.rows()).filter(is_there).count();
    if count < there {
        let known = encoder
            .classes()
            .map_or("a number".to_owned(), |classes| format!("a class of the model ({})", few(classes, 12)));
        let name = encoder.target();
        match count {
            0 => eprintln!("{name:?} is present, but none of its {there} values is {known}"),
            _ => eprintln!("{name:?}: {} of its {there} values are not {known}, and do not count", there - count),
        }
    }
    Ok((count > 0).then_some((metrics, count)))
}
