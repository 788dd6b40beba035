//! Code that `train` and `predict` share: CSV files, the metadata of a saved model, predictions and test metrics.

use std::{fs, path::Path};

use gradus::{
    Device, Error, Model, Predictor,
    data::table::{CsvSettings, Encoder, Table, UnknownCategory},
    metrics::{Average, ConfusionMatrix, RegressionMetrics},
};
use serde_json::{Value, json};

use super::{Exit, csv_options, percent};

/// The keys of a saved model's metadata.
const ENCODER_KEY: &str = "encoder";
const TARGET_KEY: &str = "target";
const FEATURES_KEY: &str = "features";
const TARGET_OFFSET_KEY: &str = "target_offset";

/// The maximum number of column names in a message.
const MAX_NAMES: usize = 12;

/// The maximum number of classes of a printed confusion matrix.
const MAX_PRINTED_CLASSES: usize = 12;

/// Returns an error that the content of the user's file caused: exit status 2.
pub fn usage(error: Error) -> Exit {
    Exit::Usage(error.to_string())
}

/// Loads a CSV file.
pub fn load_table(path: &Path, settings: &CsvSettings) -> Result<Table, Exit> {
    let spreadsheet_extensions = ["xlsx", "xls", "ods", "numbers"];
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if spreadsheet_extensions.contains(&&*extension) && path.is_file() {
        let message = format!("expected a CSV file, got a spreadsheet (.{extension}); save it as CSV in UTF-8");
        return Err(Exit::Usage(format!("{}: {message}", path.display())));
    }
    let table = Table::load_csv(path, settings)
        .map_err(|error| Exit::Usage(csv_options::error_message(&error, path, settings)))?;
    match table.rows() {
        0 => Err(Exit::Usage(format!("{}: expected at least 1 row below the header, got 0", path.display()))),
        _ => Ok(table),
    }
}

/// Shortens a text to 40 characters.
pub fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Joins at most `max` texts with commas. If there are more, appends their total number.
pub fn join_some<T: AsRef<str>>(texts: &[T], max: usize) -> String {
    let mut listed: Vec<String> = texts.iter().take(max).map(|text| short(text.as_ref())).collect();
    if texts.len() > max {
        listed.push(format!("... ({} in total)", texts.len()));
    }
    listed.join(", ")
}

/// Returns the column names, quoted for the command line.
pub fn column_list(table: &Table) -> String {
    let quoted: Vec<_> = table.column_names().iter().map(|name| shell_quoted(&short(name))).collect();
    join_some(&quoted, MAX_NAMES)
}

/// Quotes a text so that a shell reads it as one argument.
pub fn shell_quoted(text: &str) -> String {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.,=/:".contains(c));
    match text {
        _ if is_plain => text.to_owned(),
        _ if !text.contains(['"', '$', '`', '\\', '!']) => format!("\"{text}\""),
        _ => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Returns the index of the column that an option names. The error suggests a similar name or lists the columns.
pub fn find_column(table: &Table, option: &str, name: &str) -> Result<usize, Exit> {
    let names = table.column_names();
    if let Some(column) = names.iter().position(|column| column == name) {
        return Ok(column);
    }
    let lower = name.trim().to_lowercase();
    let similar = names.iter().find(|column| column.to_lowercase() == lower);
    let suggestion = similar.map_or(String::new(), |column| format!(" (did you mean {:?}?)", short(column)));
    let hint = match names {
        [only] => format!("the file has one column, {:?}; pass --delimiter CHAR to set the delimiter", short(only)),
        _ => format!("the columns are {}", column_list(table)),
    };
    Err(Exit::Usage(format!("{option} {:?}: no such column{suggestion}; {hint}", short(name))))
}

/// Returns the indices of the columns that an option names.
///
/// Each value is the name of a column, or several names separated by commas. Names with a comma are in double quotes.
pub fn find_columns(table: &Table, option: &str, values: &[String]) -> Result<Vec<usize>, Exit> {
    let mut columns = Vec::new();
    for value in values {
        if let Some(column) = table.column_names().iter().position(|name| name == value) {
            columns.push(column);
            continue;
        }
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(value.as_bytes());
        for record in reader.records().flatten() {
            for name in &record {
                columns.push(find_column(table, option, name)?);
            }
        }
    }
    Ok(columns)
}

/// The value of `--unknown-categories`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UnknownCategories {
    Error,
    Ignore,
}

impl From<UnknownCategories> for UnknownCategory {
    fn from(option: UnknownCategories) -> Self {
        match option {
            UnknownCategories::Error => UnknownCategory::Error,
            UnknownCategories::Ignore => UnknownCategory::Ignore,
        }
    }
}

/// Adds the encoder to the metadata of a model, with the names of the target and the features.
pub fn add_metadata(model: &mut Model, encoder: &Encoder) -> Result<(), Exit> {
    let to_json = |value: serde_json::Result<String>| value.map_err(|error| Exit::Failed(error.to_string()));
    model.metadata.insert(ENCODER_KEY.to_owned(), to_json(serde_json::to_string(encoder))?);
    model.metadata.insert(FEATURES_KEY.to_owned(), to_json(serde_json::to_string(&encoder.feature_names()))?);
    model.metadata.insert(TARGET_KEY.to_owned(), encoder.target().to_owned());
    if encoder.target_offset() != 0.0 {
        // Programs that use the outputs without the encoder must add the offset.
        model.metadata.insert(TARGET_OFFSET_KEY.to_owned(), encoder.target_offset().to_string());
    }
    Ok(())
}

/// Loads a model and the encoder in its metadata. `path` is the file, or the directory with `model.safetensors`.
pub fn load_model(path: &Path) -> Result<(Model, Encoder), Exit> {
    let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
    let usage_error = |message: String| Exit::Usage(format!("{}: {message}", file.display()));
    if fs::metadata(&file).is_err() {
        return Err(usage_error("no such file; create it with `train ... --save-dir DIR` and pass DIR here".into()));
    }
    let model = Model::load(&file).map_err(usage)?;
    let Some(json) = model.metadata.get(ENCODER_KEY) else {
        return Err(usage_error(format!("no metadata key {ENCODER_KEY:?}; pass a model that `train` saved")));
    };
    let encoder: Encoder = serde_json::from_str(json)
        .map_err(|error| usage_error(format!("invalid metadata key {ENCODER_KEY:?}: {error}")))?;
    let outputs = encoder.classes().map_or(1, <[String]>::len);
    let sizes = [model.network.inputs(), model.network.outputs()];
    if sizes != [encoder.inputs(), outputs] {
        return Err(usage_error(format!(
            "metadata key {ENCODER_KEY:?}: expected an encoder for {} inputs and {} outputs, got {} and {outputs}",
            sizes[0],
            sizes[1],
            encoder.inputs()
        )));
    }
    Ok((model, encoder))
}

/// The prediction for a row.
#[derive(Debug, Clone, Copy)]
pub struct Prediction {
    /// The predicted class. It is 0 if the target is a number.
    pub class: usize,
    /// The probability of the class, or the predicted number.
    pub value: f32,
}

/// Returns the predictions of a model for rows of features.
pub fn predict(device: &Device, model: &Model, features: &[f32]) -> Result<Vec<Prediction>, Exit> {
    let outputs = Predictor::from_model(device, model)?.predict(features)?;
    let largest_output = |row: &[f32]| {
        let mut best = Prediction { class: 0, value: row.first().copied().unwrap_or(f32::NAN) };
        for (class, value) in row.iter().copied().enumerate() {
            if value > best.value {
                best = Prediction { class, value };
            }
        }
        best
    };
    Ok(outputs.chunks(model.network.outputs()).map(largest_output).collect())
}

/// The metrics of predictions on rows with known targets.
pub enum TestMetrics {
    Classes(ConfusionMatrix),
    Values(RegressionMetrics),
}

impl TestMetrics {
    /// Computes the metrics of pairs of a target class and a predicted class.
    pub fn from_classes(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Result<Self, Exit> {
        let mut confusion = ConfusionMatrix::new(classes);
        for (target, prediction) in pairs {
            confusion.add(target as u32, prediction as u32, 1.0)?;
        }
        Ok(Self::Classes(confusion))
    }

    /// Computes the metrics of pairs of a target and a predicted number.
    pub fn from_values(pairs: impl IntoIterator<Item = (f32, f32)>) -> Result<Self, Exit> {
        let (mut squared, mut absolute, mut targets) = (0.0, 0.0, Vec::new());
        for (target, prediction) in pairs {
            let error = f64::from(prediction) - f64::from(target);
            squared += error * error;
            absolute += error.abs();
            targets.push(target);
        }
        let mut regression = RegressionMetrics::new(1);
        regression.add(&targets, None, &[squared], &[absolute])?;
        Ok(Self::Values(regression))
    }

    /// Returns the metrics as one line of text.
    pub fn summary(&self) -> String {
        match self {
            Self::Classes(confusion) => {
                format!("accuracy {}, macro F1 {:.4}", percent(confusion.accuracy()), confusion.f1(Average::Macro))
            }
            Self::Values(regression) => format!(
                "RMSE {}, MAE {}, R2 {:.4}",
                format_number(regression.root_mean_squared_error()),
                format_number(regression.mean_absolute_error()),
                regression.r2()
            ),
        }
    }

    /// Returns the metrics as keys of `--json`.
    pub fn json(&self) -> Value {
        match self {
            Self::Classes(confusion) => {
                json!({ "test_accuracy": confusion.accuracy(), "macro_f1": confusion.f1(Average::Macro) })
            }
            Self::Values(regression) => json!({
                "rmse": regression.root_mean_squared_error(),
                "mae": regression.mean_absolute_error(),
                "r2": regression.r2(),
            }),
        }
    }

    /// Returns the accuracy or R2. Higher is better.
    pub fn score(&self) -> f64 {
        match self {
            Self::Classes(confusion) => confusion.accuracy(),
            Self::Values(regression) => regression.r2(),
        }
    }

    /// Prints the confusion matrix, unless there are too many classes for a terminal.
    pub fn print_confusion(&self, class_names: &[String]) {
        let Self::Classes(confusion) = self else { return };
        if !(1..=MAX_PRINTED_CLASSES).contains(&class_names.len()) {
            return;
        }
        let short = |name: &String| name.chars().take(14).collect::<String>();
        let width = class_names.iter().map(|name| short(name).chars().count()).fold(6, usize::max);
        let print_row = |first: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:>width$}")).collect();
            super::print_line!("  {first:<width$}{cells}");
        };
        super::print_line!("confusion matrix (one row per target class, one column per predicted class):");
        print_row("", class_names.iter().map(short).collect());
        for (name, row) in class_names.iter().zip(confusion.rows()) {
            print_row(&short(name), row.iter().map(f64::to_string).collect());
        }
    }
}

/// Formats a number with about five significant digits.
pub fn format_number(value: f64) -> String {
    let exponent = value.abs().max(1e-300).log10().floor();
    match (4.0 - exponent) as i32 {
        _ if !value.is_finite() || value == 0.0 => value.to_string(),
        decimals @ 0..=8 => format!("{value:.*}", decimals as usize),
        -3..0 => format!("{value:.0}"),
        _ => format!("{value:.4e}"),
    }
}
