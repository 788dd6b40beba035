//! The options of `train` and `predict` for reading CSV files, and the messages about how a file was read.

use std::path::Path;

use gradus::{
    Error,
    data::table::{Column, CsvSettings, Encoder, Encoding, Reading, Table},
};

use super::{Exit, tables::shell_quoted};

/// The options for reading a CSV file.
#[derive(Debug, Clone, clap::Args)]
pub struct CsvOptions {
    /// Read the first line as data. The columns are then named 1, 2, 3, ...
    #[arg(long)]
    no_header: bool,
    /// Delimiter between cells: one character, "tab", or "space" for runs of spaces and tabs [default: detected]
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<String>,
    /// Character that starts a comment line [default: # before the header]
    #[arg(long, value_name = "CHAR")]
    comment: Option<String>,
    /// Decimal mark of all columns or of one: "," or "price=," [default: detected per column]
    #[arg(long, value_name = "MARK|COLUMN=MARK")]
    decimal: Vec<String>,
    /// Thousands separator: , . ' _ or space [default: detected per column]
    #[arg(long, value_name = "CHAR")]
    thousands: Option<String>,
    /// Character encoding [default: UTF-8 or UTF-16, detected]
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
    /// Additional words for a missing value, besides the empty cell and those of pandas (NA, N/A, NaN, None, null, ...)
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
    /// Returns the settings: the given options, and the settings of `base` for the others.
    pub fn settings(&self, base: &CsvSettings) -> Result<CsvSettings, Exit> {
        let mut settings = base.clone();
        settings.header &= !self.no_header;
        if let Some(delimiter) = &self.delimiter {
            let byte = if delimiter == "tab" { b'\t' } else { parse_ascii("--delimiter", delimiter)? };
            settings.delimiter = Some(byte);
        }
        if let Some(comment) = &self.comment {
            settings.comment = Some(parse_ascii("--comment", comment)?);
        }
        for decimal in &self.decimal {
            let (column, mark) = decimal.rsplit_once('=').map_or((None, decimal.as_str()), |(c, m)| (Some(c), m));
            let mark = parse_char("--decimal", mark)?;
            match column {
                Some(column) => drop(settings.column_decimals.insert(column.to_owned(), mark)),
                None => settings.decimal = Some(mark),
            }
        }
        if let Some(thousands) = &self.thousands {
            settings.thousands = Some(parse_char("--thousands", thousands)?);
        }
        if let Some(encoding) = self.encoding {
            settings.encoding = match encoding {
                EncodingName::Utf8 => Some(Encoding::Utf8),
                // `None` detects the byte order of UTF-16.
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

    /// Returns whether the command line sets the delimiter.
    pub fn sets_delimiter(&self) -> bool {
        self.delimiter.is_some()
    }

    /// Returns whether the command line sets the format of numbers.
    pub fn sets_number_format(&self) -> bool {
        !self.decimal.is_empty() || self.thousands.is_some()
    }

    /// Returns the encoder with the number formats that the command line sets for the columns of a table.
    pub fn with_number_formats(&self, table: &Table, mut encoder: Encoder) -> Encoder {
        if !self.sets_number_format() {
            return encoder;
        }
        let settings = table.csv_settings();
        let sets_all = settings.decimal.is_some() || settings.thousands.is_some();
        for (column, name) in table.column_names().iter().enumerate() {
            if let Some(format) = table.number_format(column)
                && (sets_all || settings.column_decimals.contains_key(name))
            {
                encoder = encoder.with_number_format(name, format);
            }
        }
        encoder
    }
}

/// Parses the value of an option that is one character. "space" stands for a space.
fn parse_char(option: &str, text: &str) -> Result<char, Exit> {
    let text = if text == "space" { " " } else { text };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(Exit::Usage(format!("{option}: expected one character, got {text:?}"))),
    }
}

fn parse_ascii(option: &str, text: &str) -> Result<u8, Exit> {
    let c = parse_char(option, text)?;
    u8::try_from(c).map_err(|_| Exit::Usage(format!("{option}: expected an ASCII character, got {text:?}")))
}

/// Returns the message of an error in a CSV file, followed by the option that helps.
pub fn error_message(error: &Error, path: &Path, settings: &CsvSettings) -> String {
    let text = error.to_string();
    let Error::Format { location, expected, got, .. } = error else { return text };
    if location.starts_with("line 1, column") && expected.starts_with("a name") {
        let without_header = Table::load_csv(path, &CsvSettings { header: false, ..settings.clone() });
        let has_only_numbers = without_header
            .is_ok_and(|table| (0..table.column_names().len()).all(|column| table.number(0, column).is_some()));
        let reason = match has_only_numbers {
            true => "the first line contains only numbers: if it is data",
            false => "if the first line is data",
        };
        return format!("{text}; {reason}, pass --no-header");
    }
    if expected.contains(" cells") {
        return text + "; pass --delimiter CHAR to set the delimiter, or --comment CHAR to skip comment lines";
    }
    if got.contains("Windows-1252") {
        return text.replace("set that encoding", "pass --encoding windows-1252");
    }
    text
}

/// Returns one line of text for each property that gradus detected in the file.
pub fn detected_properties(table: &Table) -> Vec<String> {
    let line = |reading: &Reading| match reading {
        Reading::Comments { lines: 1 } => "line 1 starts with #: skipped as a comment".to_owned(),
        Reading::Comments { lines } => format!("{lines} lines before the header start with #: skipped as comments"),
        Reading::DelimiterLine => format!("the first line sets the delimiter to {:?}", char::from(table.delimiter())),
        Reading::TrailingDelimiters => {
            "every line ends with a delimiter: the empty cell after it is dropped".to_owned()
        }
        Reading::NumericHeader => {
            "the first line contains only numbers and is read as the column names: if it is data, \
             pass --no-header"
                .to_owned()
        }
        other => format!("{other:?}"),
    };
    table.readings().iter().map(line).collect()
}

/// Returns the other way to read the numbers of a column, and the option for it.
pub fn alternative_reading(column: &Column) -> Option<String> {
    let (format, [min, max]) = column.alternative?;
    let option = shell_quoted(&format!("{}={}", column.name, format.decimal));
    Some(format!("to read them as {min} to {max}, pass --decimal {option}"))
}
