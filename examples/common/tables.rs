//! What `train` and `predict` share: CSV files, what a saved model says of its columns, and how good its answers are.

use std::{fs, path::Path};

use gradus::{
    Device, Error, Model, Predictor,
    data::table::{CsvSettings, Encoder, Table, UnknownCategory},
    metrics::{Average, ConfusionMatrix, RegressionMetrics},
};
use serde_json::{Value, json};

use super::{Exit, csv_options, percent};

/// Under these names a saved model has its encoder, the column that it tells, and its inputs one by one.
const ENCODER: &str = "encoder";
const TARGET: &str = "target";
const FEATURES: &str = "features";
const TARGET_OFFSET: &str = "target_offset";

/// What a beginner's file, not the program, is to blame for.
pub fn refused(error: Error) -> Exit {
    Exit::Usage(error.to_string())
}

/// Reads a CSV file.
pub fn open(path: &Path, settings: &CsvSettings) -> Result<Table, Exit> {
    let of_spreadsheet = ["xlsx", "xls", "ods", "numbers"];
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if of_spreadsheet.contains(&&*extension) && path.is_file() {
        let why = "a spreadsheet's own file; save it as CSV in UTF-8";
        return Err(Exit::Usage(format!("{}: {why}", path.display())));
    }
    let table =
        Table::load_csv(path, settings).map_err(|error| Exit::Usage(csv_options::explained(&error, path, settings)))?;
    match table.rows() {
        0 => Err(Exit::Usage(format!("{}: no rows below the names of the columns", path.display()))),
        _ => Ok(table),
    }
}

/// At most so many names are listed.
const LISTED: usize = 12;

/// A text of at most 40 characters.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// A few texts, and how many more there are.
pub fn few<T: AsRef<str>>(texts: &[T], most: usize) -> String {
    let mut listed: Vec<String> = texts.iter().take(most).map(|text| short(text.as_ref())).collect();
    if texts.len() > most {
        listed.push(format!("... ({} in all)", texts.len()));
    }
    listed.join(", ")
}

/// The names of the columns, those with spaces or commas in quotes, as a command line takes them.
pub fn names(table: &Table) -> String {
    few(&table.column_names().iter().map(|name| shell(&short(name))).collect::<Vec<_>>(), LISTED)
}

/// A text as a shell takes it for one argument.
pub fn shell(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.,=/:".contains(c));
    match text {
        _ if is_plain => text.to_owned(),
        _ if !text.contains(['"', '$', '`', '\\', '!']) => format!("\"{text}\""),
        _ => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The place of a column, or what the columns are called.
pub fn find(table: &Table, option: &str, name: &str) -> Result<usize, Exit> {
    let place = |is_it: &dyn Fn(&String) -> bool| table.column_names().iter().position(is_it);
    place(&|one| one == name).ok_or_else(|| {
        let alike = place(&|one| one.to_lowercase() == name.trim().to_lowercase());
        let hint = alike.map_or(String::new(), |at| format!(" (is it {:?}?)", short(&table.column_names()[at])));
        let hint = match table.column_names() {
            [only] => {
                format!("{hint}; it has one column, {:?}: --delimiter CHAR sets what separates cells", short(only))
            }
            _ => format!("{hint}; the columns are {}", names(table)),
        };
        Exit::Usage(format!("{option} {:?}: no such column{hint}", short(name)))
    })
}

/// The places of the columns that an option names: each value is the name of a column, or several names between commas,
/// those with a comma in double quotes.
pub fn find_all(table: &Table, option: &str, values: &[String]) -> Result<Vec<usize>, Exit> {
    let mut places = Vec::new();
    for value in values {
        if let Some(at) = table.column_names().iter().position(|name| name == value) {
            places.push(at);
            continue;
        }
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(value.as_bytes());
        for name in reader.records().flatten().flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>()) {
            places.push(find(table, option, &name)?);
        }
    }
    Ok(places)
}

/// What becomes of a category that a model did not learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unknown {
    Error,
    Ignore,
}

impl Unknown {
    /// The same for an encoder.
    pub const fn unseen(self) -> UnknownCategory {
        match self {
            Self::Error => UnknownCategory::Error,
            Self::Ignore => UnknownCategory::Ignore,
        }
    }
}

/// Puts into a model's notes what it takes to use it.
pub fn note(model: &mut Model, encoder: &Encoder) -> Result<(), Exit> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| Exit::Failed(error.to_string()));
    model.metadata.insert(ENCODER.to_owned(), json(serde_json::to_string(encoder))?);
    model.metadata.insert(FEATURES.to_owned(), json(serde_json::to_string(&encoder.feature_names()))?);
    model.metadata.insert(TARGET.to_owned(), encoder.target().to_owned());
    if encoder.target_offset() != 0.0 {
        // Whoever reads the outputs without the encoder has to add it.
        model.metadata.insert(TARGET_OFFSET.to_owned(), encoder.target_offset().to_string());
    }
    Ok(())
}

/// Reads a model, from its file or from the folder with its `model.safetensors`, and the encoder in its notes.
pub fn load(path: &Path) -> Result<(Model, Encoder), Exit> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let wrong = |why: String| Exit::Usage(format!("{}: {why}", file.display()));
    if fs::metadata(&file).is_err() {
        return Err(wrong(
            "no such file; `train ... --save DIR` writes it, and then DIR is what is to be named here".into(),
        ));
    }
    let model = Model::load(&file).map_err(refused)?;
    let Some(json) = model.metadata.get(ENCODER) else {
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
    let outputs = Predictor::from_model(device, model)?.predict(features)?;
    let largest = |row: &[f32]| {
        let first = (0, row.first().copied().unwrap_or(f32::NAN));
        row.iter().copied().enumerate().fold(first, |best, one| if one.1 > best.1 { one } else { best })
    };
    Ok(outputs.chunks(model.network.outputs()).map(largest).collect())
}

/// How good answers are.
pub enum TestMetrics {
    Classes(ConfusionMatrix),
    Numbers(RegressionMetrics),
}

impl TestMetrics {
    /// Of classes: what they should be, and what was answered.
    pub fn of_classes(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Self, Exit> {
        let mut confusion = ConfusionMatrix::new(classes);
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
        let mut regression = RegressionMetrics::new(1);
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
            super::print_line!("  {first:<wide$}{cells}");
        };
        super::print_line!("a row for each class as it is, with what the network took it for:");
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
