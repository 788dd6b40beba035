//! The settings of tables and encoders.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a CSV file is read. A saved [`Encoder`](crate::data::table::Encoder) keeps these settings, so that later files are read alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvSettings {
    /// The delimiter between cells; a space stands for runs of spaces and tabs. By default it is detected: a comma,
    /// semicolon, tab, vertical bar or run of spaces, as the first lines have it alike.
    pub delimiter: Option<u8>,
    /// Whether the first line has the names of the columns; if not, they are called "1", "2" and so on.
    pub header: bool,
    /// The character that begins a comment line, anywhere in the file. By default only lines before the header that begin
    /// with `#` are comments.
    pub comment: Option<u8>,
    /// The decimal mark of all columns, `.` or `,`. By default it is decided for each column from all of its cells.
    pub decimal: Option<char>,
    /// The decimal mark of single columns by their names, where it differs.
    pub column_decimals: BTreeMap<String, char>,
    /// The thousands separator of all columns: `,`, `.`, `'`, `_` or a space. By default it is decided for each column.
    pub thousands: Option<char>,
    /// The character encoding. By default it is detected: UTF-8, or UTF-16.
    pub encoding: Option<Encoding>,
    /// The words for a missing value, besides the empty cell. Case matters. By default
    /// [`CsvSettings::MISSING_VALUES`].
    pub missing_values: Vec<String>,
}

impl CsvSettings {
    /// The words for a missing value of pandas' `read_csv` (3.0), besides the empty cell.
    pub const MISSING_VALUES: [&str; 18] = [
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
}

impl Default for CsvSettings {
    fn default() -> Self {
        Self {
            delimiter: None,
            header: true,
            comment: None,
            decimal: None,
            column_decimals: BTreeMap::new(),
            thousands: None,
            encoding: None,
            missing_values: Self::MISSING_VALUES.map(str::to_owned).into(),
        }
    }
}

/// The character encoding of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8 without a byte order mark.
    Utf8,
    /// UTF-8 with a byte order mark, as spreadsheets write it.
    Utf8Bom,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// Windows-1252, which contains Latin-1. It is never detected: every file is valid in it.
    Windows1252,
}

impl Encoding {
    /// Whether a file in this encoding begins with a byte order mark.
    pub const fn has_byte_order_mark(self) -> bool {
        matches!(self, Self::Utf8Bom | Self::Utf16Le | Self::Utf16Be)
    }
}

/// The words for a missing value, with a quick look first: nearly no cell is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingWords {
    words: Vec<String>,
    /// Bit b % 64 for each first byte b.
    first_byte_mask: u64,
    max_len: usize,
}

impl MissingWords {
    pub fn new(words: &[String]) -> Self {
        let first = words.iter().filter_map(|word| word.bytes().next()).fold(0, |bits, byte| bits | 1 << (byte % 64));
        Self {
            words: words.to_vec(),
            first_byte_mask: first,
            max_len: words.iter().map(String::len).max().unwrap_or(0),
        }
    }

    /// Whether a cell is missing: if it is empty, or one of the words.
    #[inline]
    pub fn contains(&self, cell: &str) -> bool {
        let Some(first) = cell.bytes().next() else { return true };
        self.first_byte_mask & 1 << (first % 64) != 0
            && cell.len() <= self.max_len
            && self.words.iter().any(|word| word == cell)
    }
}

/// Something that a table was read as although its file does not state it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Lines before the header begin with `#`: they were skipped as comments.
    Comments {
        /// The number of these lines.
        lines: usize,
    },
    /// The first line is `sep=` and a character: it was taken for the delimiter.
    DelimiterLine,
    /// Every line but the header ends in a delimiter: the empty cell after it was dropped.
    TrailingDelimiters,
    /// The first line, which was read as the names of the columns, contains only numbers. If it is data, the file has to be
    /// read with [`CsvSettings::header`] `false`.
    NumericHeader,
}

/// How an [`Encoder`](crate::data::table::Encoder) turns a table into numbers.
///
/// A column is numbers if every cell that is not missing is one, and categories otherwise; what is named here is what it
/// is said to be.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSettings {
    /// The columns that a network is shown.
    pub features: FeatureColumns,
    /// Columns that have to be numbers: a cell that is none is an error that says where, not one more category.
    pub numeric: Vec<String>,
    /// Columns that are categories though they look like numbers, as postal codes do.
    pub categorical: Vec<String>,
    /// How categories become numbers.
    pub category_encoding: CategoryEncoding,
    /// How many categories a column may have at most: a column of names or a wrong cell among numbers would make many.
    pub max_categories: usize,
    /// What stands for a missing number.
    pub numeric_imputation: NumericImputation,
    /// What stands for a missing category.
    pub category_imputation: CategoryImputation,
    /// What a category becomes that was not learned.
    pub unknown_category: UnknownCategory,
    /// What the answers are.
    pub target_kind: TargetKind,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            features: FeatureColumns::All,
            numeric: Vec::new(),
            categorical: Vec::new(),
            category_encoding: CategoryEncoding::OneHot,
            max_categories: 128,
            numeric_imputation: NumericImputation::Error,
            category_imputation: CategoryImputation::Error,
            unknown_category: UnknownCategory::Error,
            target_kind: TargetKind::Auto,
        }
    }
}

/// Which columns a network is shown, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureColumns {
    /// All but the answer.
    All,
    /// These.
    Only(Vec<String>),
    /// All but the answer and these.
    Except(Vec<String>),
}

/// How categories become numbers. They are sorted: by their value where all are numbers, else by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CategoryEncoding {
    /// A feature for each category, which is 1 where the row has it and 0 elsewhere.
    OneHot,
    /// One feature: the number of the category, from 0 up.
    Ordinal,
}

/// What stands for a missing number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumericImputation {
    /// Nothing: it is an error.
    Error,
    /// The mean of the numbers that the encoder learned from.
    Mean,
    /// Their median.
    Median,
    /// This number.
    Constant(f32),
}

/// What stands for a missing category.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CategoryImputation {
    /// Nothing: it is an error.
    Error,
    /// The category that most rows have which the encoder learned from; of equals the first.
    MostFrequent,
    /// A category of its own, the last, if one was missing where the encoder learned; else it is an error.
    NewCategory,
}

/// What a category becomes that was not learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum UnknownCategory {
    /// An error.
    Error,
    /// None of those that were: zeros in their features, or the id -1.
    Ignore,
}

/// What the answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Classes if the column is text, or at most 20 different whole numbers of which each stands in two rows or more on
    /// average; numbers otherwise.
    Auto,
    /// Classes, sorted as categories are.
    Classes,
    /// Numbers.
    Values,
}
