//! What `train` and `predict` share: CSV files, what a saved model says of its columns, and how good its answers are.

use std::{fs, path::Path};

use gradus::{Average, Confusion, CsvSettings, Device, Encoder, Error, Model, Predictor, Regression, Table};
use serde_json::{Value, json};

use super::{Exit, classifier::percent};

/// Under these names a saved model has its encoder, the column that it tells, and its inputs one by one.
const ENCODER: &str = "encoder";
const TARGET: &str = "target";
const FEATURES: &str = "features";

/// What a beginner's file, not the program, is to blame for.
pub fn refused(error: Error) -> Exit {
    Exit::Refused(error.to_string())
}

/// Reads a CSV file with the names of its columns in the first line.
pub fn open(path: &Path) -> Result<Table, Exit> {
    let of_spreadsheet = ["xlsx", "xls", "ods", "numbers"];
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if of_spreadsheet.contains(&&*extension) && path.is_file() {
        let why = "a spreadsheet's own file; save it as CSV in UTF-8";
        return Err(Exit::Refused(format!("{}: {why}", path.display())));
    }
    let table = Table::open(path, &CsvSettings::default()).map_err(refused)?;
    match table.rows() {
        0 => Err(Exit::Refused(format!("{}: no rows below the names of the columns", path.display()))),
        _ => Ok(table),
    }
}

/// The columns' names, those with spaces or commas in quotes, as a command line takes them.
pub fn names(table: &Table) -> String {
    let quoted = |name: &String| {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
        if is_plain { name.clone() } else { format!("{name:?}") }
    };
    table.names().iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// The place of a column, or what the columns are called.
pub fn find(table: &Table, option: &str, name: &str) -> Result<usize, Exit> {
    let place = |is_it: &dyn Fn(&String) -> bool| table.names().iter().position(is_it);
    place(&|one| one == name).ok_or_else(|| {
        let alike = place(&|one| one.to_lowercase() == name.trim().to_lowercase());
        let hint = alike.map_or(String::new(), |at| format!(" (is it {:?}?)", table.names()[at]));
        Exit::Refused(format!("{option} {name:?}: no such column{hint}; the columns are {}", names(table)))
    })
}

/// Puts into a model's notes what it takes to use it.
pub fn note(model: &mut Model, encoder: &Encoder) -> Result<(), Exit> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| Exit::Failed(error.to_string()));
    model.notes.insert(ENCODER.to_owned(), json(serde_json::to_string(encoder))?);
    model.notes.insert(FEATURES.to_owned(), json(serde_json::to_string(&encoder.feature_names()))?);
    model.notes.insert(TARGET.to_owned(), encoder.answer().to_owned());
    Ok(())
}

/// Reads a model, from its file or from the folder with its `model.safetensors`, and the encoder in its notes.
pub fn load(path: &Path) -> Result<(Model, Encoder), Exit> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let wrong = |why: String| Exit::Refused(format!("{}: {why}", file.display()));
    if fs::metadata(&file).is_err() {
        return Err(wrong(
            "no such file; `train ... --save DIR` writes it, and then DIR is what is to be named here".into(),
        ));
    }
    let model = Model::load(&file).map_err(refused)?;
    let Some(json) = model.notes.get(ENCODER) else {
        return Err(wrong("nothing in its notes says what its inputs are; was it saved by `train`?".into()));
    };
    let encoder: Encoder = serde_json::from_str(json)
        .map_err(|error| wrong(format!("the note {ENCODER:?} is not understood: {error}")))?;
    let outputs = encoder.classes().map_or(1, <[String]>::len);
    if [model.network.inputs(), model.network.outputs()] != [encoder.inputs(), outputs] {
        return Err(wrong(format!("the note {ENCODER:?} is of another network")));
    }
    Ok((model, encoder))
}

/// What a model says to rows of features: for each the class and its probability, or the number alone.
pub fn answers(device: &Device, model: &Model, features: &[f32]) -> Result<Vec<(usize, f32)>, Exit> {
    let outputs = Predictor::of(device, model)?.predict(features)?;
    let largest = |row: &[f32]| {
        let first = (0, row.first().copied().unwrap_or(f32::NAN));
        row.iter().copied().enumerate().fold(first, |best, one| if one.1 > best.1 { one } else { best })
    };
    Ok(outputs.chunks(model.network.outputs()).map(largest).collect())
}

/// How good answers are.
pub enum Quality {
    Classes(Confusion),
    Numbers(Regression),
}

impl Quality {
    /// Of classes: what they should be, and what was answered.
    pub fn of_classes(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Self, Exit> {
        let mut confusion = Confusion::new(classes);
        for (expected, answered) in pairs {
            confusion.add(expected as u32, answered as u32, 1.0)?;
        }
        Ok(Self::Classes(confusion))
    }

    /// Of numbers.
    pub fn of_numbers(pairs: impl IntoIterator<Item = (f32, f32)>) -> Result<Self, Exit> {
        let (mut squared, mut absolute, mut all) = (0.0, 0.0, Vec::new());
        for (expected, answered) in pairs {
            let error = f64::from(answered) - f64::from(expected);
            squared += error * error;
            absolute += error.abs();
            all.push(expected);
        }
        let mut regression = Regression::new(1);
        regression.add(&all, None, &[squared], &[absolute])?;
        Ok(Self::Numbers(regression))
    }

    /// In a line.
    pub fn words(&self) -> String {
        match self {
            Self::Classes(confusion) => {
                format!("accuracy {}, macro F1 {:.4}", percent(confusion.accuracy()), confusion.f1(Average::Macro))
            }
            Self::Numbers(numbers) => format!(
                "RMSE {}, MAE {}, R2 {:.4}",
                digits(numbers.root_mean_squared_error()),
                digits(numbers.mean_absolute_error()),
                numbers.r2()
            ),
        }
    }

    /// The keys of `--json`.
    pub fn json(&self) -> Value {
        match self {
            Self::Classes(confusion) => {
                json!({ "test_accuracy": confusion.accuracy(), "macro_f1": confusion.f1(Average::Macro) })
            }
            Self::Numbers(numbers) => json!({
                "rmse": numbers.root_mean_squared_error(),
                "mae": numbers.mean_absolute_error(),
                "r2": numbers.r2(),
            }),
        }
    }

    /// The more the better: the accuracy, or R2.
    pub fn score(&self) -> f64 {
        match self {
            Self::Classes(confusion) => confusion.accuracy(),
            Self::Numbers(numbers) => numbers.r2(),
        }
    }

    /// Prints which classes were taken for which, if they are few.
    pub fn print_confusion(&self, classes: &[String]) {
        let Self::Classes(confusion) = self else { return };
        if !(1..=12).contains(&classes.len()) {
            return;
        }
        let short = |name: &String| name.chars().take(14).collect::<String>();
        let wide = classes.iter().map(|name| short(name).chars().count()).fold(6, usize::max);
        let line = |first: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:>wide$}")).collect();
            super::say!("  {first:<wide$}{cells}");
        };
        super::say!("a row for each class as it is, with what the network took it for:");
        line("", classes.iter().map(short).collect());
        for (name, row) in classes.iter().zip(confusion.rows()) {
            line(&short(name), row.iter().map(f64::to_string).collect());
        }
    }
}

/// A number with about five digits that count.
pub fn digits(value: f64) -> String {
    let whole = value.abs().max(1e-300).log10().floor();
    match (4.0 - whole) as i32 {
        _ if !value.is_finite() || value == 0.0 => value.to_string(),
        places @ 0..=8 => format!("{value:.*}", places as usize),
        -3..0 => format!("{value:.0}"),
        _ => format!("{value:.4e}"),
    }
}
