//! The options of `train` and `predict` that say how a CSV file is read, and what was read without being stated.

use std::path::Path;

use gradus::{
    Error,
    data::table::{Column, CsvSettings, Encoder, Encoding, Reading, Table},
};

use super::{Exit, tables::shell};

/// How a CSV file is read.
#[derive(Debug, Clone, clap::Args)]
pub struct CsvOptions {
    /// The first line is a row: the columns are called 1, 2, 3, ...
    #[arg(long)]
    no_header: bool,
    /// Delimiter between cells: one character, tab, or space for runs of spaces and tabs [default: detected]
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<String>,
    /// Character that begins a comment line [default: # before the header]
    #[arg(long, value_name = "CHAR")]
    comment: Option<String>,
    /// Decimal mark of all columns, or of one: "," or "price=," [default: decided for each column]
    #[arg(long, value_name = "MARK|COLUMN=MARK")]
    decimal: Vec<String>,
    /// Thousands separator: , . ' _ or space [default: decided for each column]
    #[arg(long, value_name = "CHAR")]
    thousands: Option<String>,
    /// Character encoding [default: UTF-8 or UTF-16, detected]
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    /// More words for a missing value, besides the empty cell and those of pandas (NA, N/A, NaN, None, null, ...)
    #[arg(long, value_name = "WORD,WORD", value_delimiter = ',')]
    missing_values: Vec<String>,
    /// Read the words of pandas for a missing value as values
    #[arg(long)]
    no_default_missing_values: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EncodingName {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "utf-16")]
    Utf16,
    #[value(name = "windows-1252", alias = "latin1")]
    Windows1252,
}

impl CsvOptions {
    /// The settings: the options given, and for all others those of `base`.
    pub fn settings(&self, base: &CsvSettings) -> Result<CsvSettings, Exit> {
        let mut settings = base.clone();
        settings.header &= !self.no_header;
        if let Some(delimiter) = &self.delimiter {
            let byte = if delimiter == "tab" { b'\t' } else { ascii("--delimiter", delimiter)? };
            settings.delimiter = Some(byte);
        }
        if let Some(comment) = &self.comment {
            settings.comment = Some(ascii("--comment", comment)?);
        }
        for decimal in &self.decimal {
            let (column, mark) = decimal.rsplit_once('=').map_or((None, decimal.as_str()), |(c, m)| (Some(c), m));
            let mark = one("--decimal", mark)?;
            match column {
                Some(column) => drop(settings.column_decimals.insert(column.to_owned(), mark)),
                None => settings.decimal = Some(mark),
            }
        }
        if let Some(thousands) = &self.thousands {
            settings.thousands = Some(one("--thousands", thousands)?);
        }
        if let Some(encoding) = self.encoding {
            settings.encoding = match encoding {
                EncodingName::Utf8 => Some(Encoding::Utf8),
                // Which byte comes first is detected.
                EncodingName::Utf16 => None,
                EncodingName::Windows1252 => Some(Encoding::Windows1252),
            };
        }
        if self.no_default_missing_values {
            settings.missing_values.retain(|word| !CsvSettings::MISSING_VALUES.contains(&word.as_str()));
        }
        settings.missing_values.extend(self.missing_values.iter().map(|word| word.trim().to_owned()));
        Ok(settings)
    }

    /// Whether the command line gives the delimiter.
    pub fn has_delimiter(&self) -> bool {
        self.delimiter.is_some()
    }

    /// The encoder with the formats that the command line states for the numbers of a table.
    pub fn restated(&self, table: &Table, encoder: Encoder) -> Encoder {
        let settings = table.csv_settings();
        let are_all = settings.decimal.is_some() || settings.thousands.is_some();
        table.column_names().iter().enumerate().fold(encoder, |encoder, (at, name)| match table.number_format(at) {
            Some(format) if self.has_numbers() && (are_all || settings.column_decimals.contains_key(name)) => {
                encoder.with_number_format(name, format)
            }
            _ => encoder,
        })
    }

    /// Whether the command line says how numbers are written.
    pub fn has_numbers(&self) -> bool {
        !self.decimal.is_empty() || self.thousands.is_some()
    }
}

fn one(option: &str, text: &str) -> Result<char, Exit> {
    let text = if text == "space" { " " } else { text };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Exit::Usage(format!("{option}: expected one character, got {text:?}"))),
    }
}

fn ascii(option: &str, text: &str) -> Result<u8, Exit> {
    let one = one(option, text)?;
    u8::try_from(one).map_err(|_| Exit::Usage(format!("{option}: expected an ASCII character, got {text:?}")))
}

/// The message of an error in a CSV file, with the option that helps.
pub fn explained(error: &Error, path: &Path, settings: &CsvSettings) -> String {
    let text = error.to_string();
    let Error::Format { location: place, expected, got, .. } = error else { return text };
    if place.starts_with("line 1, column") && expected.starts_with("a name") {
        let without = Table::load_csv(path, &CsvSettings { header: false, ..settings.clone() });
        let are_numbers =
            without.is_ok_and(|table| (0..table.column_names().len()).all(|at| table.number(0, at).is_some()));
        let why = if are_numbers {
            "the first line contains only numbers: if it is data"
        } else {
            "if the first line is data"
        };
        return format!("{text}; {why}, pass --no-header");
    }
    if expected.contains(" cells") {
        return text + "; --delimiter CHAR sets what separates the cells, --comment CHAR skips comment lines";
    }
    if got.contains("Windows-1252") {
        return text.replace("set that encoding", "pass --encoding windows-1252");
    }
    text
}

/// What was read although the file does not state it, a line each.
pub fn readings(table: &Table) -> Vec<String> {
    let line = |reading: &Reading| {
        match reading {
        Reading::Comments { lines: 1 } => "line 1 begins with #: it is skipped as a comment".to_owned(),
        Reading::Comments { lines } => format!("{lines} lines before the header begin with #: they are skipped as comments"),
        Reading::DelimiterLine => format!("the first line states the delimiter {:?}", char::from(table.delimiter())),
        Reading::TrailingDelimiters => "every line ends in a delimiter: the empty cell behind it is dropped".to_owned(),
        Reading::NumericHeader => {
            "the first line contains only numbers and is read as the names of the columns: if it is data, pass --no-header"
                .to_owned()
        }
        other => format!("{other:?}"),
    }
    };
    table.readings().iter().map(line).collect()
}

/// How else the numbers of a column can be read, and the option for it.
pub fn ambiguity(column: &Column) -> Option<String> {
    let (alternative, [least, most]) = column.alternative?;
    let option = shell(&format!("{}={}", column.name, alternative.decimal));
    Some(format!("if it should be {least} to {most} instead: --decimal {option}"))
}
