//! Predicts the rows of a CSV file by a model that `train` has saved.
//!
//!     cargo run --release --example predict -- out/flowers more-flowers.csv --output predictions.csv
//!
//! The file needs the columns that the model learned from, by their names and in any order. What comes out is the file
//! with the prediction behind its own columns. If the column is there that is predicted, it is said how good that is.

mod common;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use csv::WriterBuilder;
use gradus::{Encoder, Table};
use serde_json::json;

use common::{
    Exit, Options,
    tables::{self, Quality},
};

/// Predicts the rows of a CSV file by a model that `train` has saved.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// The folder of `train --save`, or the model.safetensors in it
    model: PathBuf,
    /// The CSV file
    file: PathBuf,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::status(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Exit> {
    let options = &arguments.options;
    options.only(&[]);
    let (model, encoder) = tables::load(&arguments.model)?;
    let table = tables::open(&arguments.file)?;
    let features = encoder.features(&table).map_err(|error| {
        let text = error.to_string();
        let is_missing = text.ends_with("a missing value");
        let hint =
            if is_missing { "; a model of `train --missing fill` can do without where it had to learn to" } else { "" };
        Exit::Refused(text + hint)
    })?;
    let device = options.open()?;
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
        "target": encoder.answer(), "rows": answers.len(), "output": arguments.output, "judged_rows": 0,
    });
    if let Some((quality, rows)) = &judged {
        // Standard output may be the predictions' own.
        eprintln!("{:?} is there in {rows} of {} rows: {}", encoder.answer(), answers.len(), quality.words());
        eprintln!("(if the model learned from these very rows, that says little of others)");
        own["judged_rows"] = (*rows).into();
        let more = quality.json();
        more.as_object().into_iter().flatten().for_each(|(key, value)| own[key] = value.clone());
    }
    options.print_json("predict", Some(&device), own);
    Ok(())
}

/// The file with the predictions behind its own columns, with what stands between cells and in numbers there.
fn written(table: &Table, encoder: &Encoder, answers: &[(usize, f32)]) -> csv::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().delimiter(table.delimiter()).from_writer(Vec::new());
    let number = |value: f32| {
        let text = value.to_string();
        if table.has_decimal_commas() { text.replace('.', ",") } else { text }
    };
    let mut names = table.names().to_vec();
    let free = |wanted: &str| {
        let taken = |name: &String| table.names().contains(name);
        let mut tries = std::iter::successors(Some(wanted.to_owned()), |name| Some(format!("{name}_")));
        tries.find(|name| !taken(name)).unwrap_or_default()
    };
    names.push(free(&format!("predicted_{}", encoder.answer())));
    if encoder.classes().is_some() {
        names.push(free("probability"));
    }
    writer.write_record(&names)?;
    for (row, (class, value)) in answers.iter().enumerate() {
        (0..table.names().len())
            .try_for_each(|column| writer.write_field(table.cell(row, column).unwrap_or_default()))?;
        if let Some(classes) = encoder.classes() {
            writer.write_field(&classes[*class])?;
        }
        writer.write_field(number(*value))?;
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()).into())
}

/// How good the answers are in the rows that say what is right, and how many those are, if the column is there.
fn judged(table: &Table, encoder: &Encoder, answers: &[(usize, f32)]) -> Result<Option<(Quality, usize)>, Exit> {
    let Some(column) = table.names().iter().position(|name| name == encoder.answer()) else { return Ok(None) };
    let cell = |row: usize| table.cell(row, column).unwrap_or_default();
    let rows = answers.iter().enumerate();
    let (quality, count) = match encoder.classes() {
        Some(classes) => {
            let class = |row| classes.iter().position(|class| class == cell(row));
            let pairs: Vec<_> = rows.filter_map(|(row, (answer, _))| Some((class(row)?, *answer))).collect();
            (Quality::of_classes(classes.len(), pairs.iter().copied())?, pairs.len())
        }
        None => {
            let value = |row| table.number_at(row, column).map(|value| value as f32);
            let pairs: Vec<_> = rows.filter_map(|(row, (_, answer))| Some((value(row)?, *answer))).collect();
            (Quality::of_numbers(pairs.iter().copied())?, pairs.len())
        }
    };
    Ok((count > 0).then_some((quality, count)))
}
