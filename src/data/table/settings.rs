//! The settings of tables and encoders.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[cfg(feature = "csv")]
use crate::{
    data::table::number_format::NumberFormat,
    error::{Error, Result},
};

/// The settings for reading a CSV file.
///
/// An [`Encoder`](crate::data::table::Encoder) stores these settings, so that later files are read in the same way.
#[doc(alias = "read_csv")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvSettings {
    /// The delimiter between cells. A space stands for runs of spaces and tabs.
    ///
    /// By default gradus detects it from the first lines: a comma, semicolon, tab, vertical bar or runs of spaces.
    #[doc(alias = "sep")]
    pub delimiter: Option<u8>,
    /// Whether the first line has the names of the columns. Otherwise the names are "1", "2" and so on.
    pub header: bool,
    /// The character at the start of comment lines, anywhere in the file. By default, only lines before the header that
    /// start with `#` are comments.
    pub comment: Option<u8>,
    /// The decimal mark of all columns, `.` or `,`. By default gradus decides it for each column from all of its cells.
    pub decimal: Option<char>,
    /// The decimal marks of single columns, by the name of the column. They override [`decimal`](Self::decimal) and
    /// [`thousands`](Self::thousands).
    pub column_decimals: BTreeMap<String, char>,
    /// The thousands separator of all columns: `,`, `.`, `'`, `_` or a space. By default gradus decides it for each
    /// column.
    pub thousands: Option<char>,
    /// The character encoding. By default gradus detects UTF-8 and UTF-16.
    pub encoding: Option<Encoding>,
    /// The words for a missing value, besides the empty cell. Case matters. The default is
    /// [`CsvSettings::MISSING_VALUES`].
    #[doc(alias = "na_values")]
    pub missing_values: Vec<String>,
}

impl CsvSettings {
    /// The words for a missing value in `read_csv` of pandas 3.0, besides the empty cell.
    pub const MISSING_VALUES: [&str; 18] = [
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    ];
}

#[cfg(feature = "csv")]
impl CsvSettings {
    /// Returns an error if a mark is not a valid delimiter, comment character, decimal mark or thousands separator.
    pub(crate) fn check(&self) -> Result<()> {
        const DECIMAL_MARKS: &str = "\".\" or \",\"";
        let error =
            |name, expected: &str, got: String| Err(Error::InvalidSetting { name, expected: expected.to_owned(), got });
        let is_valid = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n".contains(&byte);
        for (name, byte) in [("delimiter", self.delimiter), ("comment", self.comment)] {
            if let Some(byte) = byte.filter(|byte| !is_valid(*byte)) {
                let expected = "an ASCII character other than a letter, a digit, a quote or a line end";
                return error(name, expected, format!("\"{}\"", byte.escape_ascii()));
            }
        }
        if let Some(comment) = self.comment
            && self.delimiter == Some(comment)
        {
            let got = format!("\"{}\"", comment.escape_ascii());
            return error("comment", "a character other than the delimiter", got);
        }
        let is_decimal = |mark: char| ['.', ','].contains(&mark);
        if let Some(decimal) = self.decimal.filter(|decimal| !is_decimal(*decimal)) {
            return error("decimal", DECIMAL_MARKS, format!("{decimal:?}"));
        }
        for (column, decimal) in &self.column_decimals {
            if !is_decimal(*decimal) {
                return error("column_decimals", DECIMAL_MARKS, format!("{decimal:?} for column {column:?}"));
            }
        }
        let Some(thousands) = self.thousands else { return Ok(()) };
        if !NumberFormat::CANDIDATES.iter().any(|format| format.thousands == Some(thousands)) {
            return error("thousands", "\",\", \".\", \"'\", \"_\" or a space", format!("{thousands:?}"));
        }
        if self.decimal == Some(thousands) {
            return error("thousands", "a character other than the decimal mark", format!("{thousands:?}"));
        }
        Ok(())
    }
}

impl Default for CsvSettings {
    /// Returns settings that detect the format of the file and expect a header.
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
    /// UTF-8 with a byte order mark, which spreadsheets write.
    Utf8Bom,
    /// UTF-16 with the low byte first.
    Utf16Le,
    /// UTF-16 with the high byte first.
    Utf16Be,
    /// Windows-1252, which contains Latin-1. gradus never detects it, because every file is valid Windows-1252.
    Windows1252,
}

impl Encoding {
    /// Returns whether a file in this encoding starts with a byte order mark.
    pub const fn has_byte_order_mark(self) -> bool {
        matches!(self, Self::Utf8Bom | Self::Utf16Le | Self::Utf16Be)
    }
}

/// The words for a missing value, with a fast check that rejects nearly all other cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingWords {
    words: Vec<String>,
    /// A bit mask of the first bytes of the words; bit `b % 64` stands for byte `b`.
    first_byte_mask: u64,
    max_len: usize,
}

impl MissingWords {
    pub fn new(words: &[String]) -> Self {
        let first_bytes = words.iter().filter_map(|word| word.bytes().next());
        Self {
            words: words.to_vec(),
            first_byte_mask: first_bytes.fold(0, |mask, byte| mask | 1 << (byte % 64)),
            max_len: words.iter().map(String::len).max().unwrap_or(0),
        }
    }

    /// Returns whether a cell is empty or one of the words.
    #[inline]
    pub fn contains(&self, cell: &str) -> bool {
        let Some(first) = cell.bytes().next() else { return true };
        self.first_byte_mask & 1 << (first % 64) != 0
            && cell.len() <= self.max_len
            && self.words.iter().any(|word| word == cell)
    }
}

/// An assumption about a file that the file does not state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Lines before the header start with `#`. They are skipped as comments.
    Comments {
        /// The number of these lines.
        lines: usize,
    },
    /// The first line is `sep=` and a character. This character is the delimiter.
    DelimiterLine,
    /// Every line except the header ends in a delimiter. The empty cell after it is dropped.
    TrailingDelimiters,
    /// The first line has the names of the columns, but contains only numbers.
    ///
    /// If it is data, set [`CsvSettings::header`] to `false`.
    NumericHeader,
}

/// The settings of an [`Encoder`](crate::data::table::Encoder), which turns a table into numbers.
///
/// By default, a column is numeric if every cell that is not missing is a number, and categorical otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderSettings {
    /// The columns that become features.
    pub features: FeatureColumns,
    /// The names of columns that must be numeric. A cell that is not a number is then an error instead of a category.
    pub numeric: Vec<String>,
    /// The names of columns that are categorical although they look numeric, for example postal codes.
    pub categorical: Vec<String>,
    /// The encoding of categories.
    pub category_encoding: CategoryEncoding,
    /// The maximum number of categories of a column. More categories are an error, because a column of names, or one
    /// invalid cell in a numeric column, would create many.
    pub max_categories: usize,
    /// The replacement of missing numbers.
    #[doc(alias = "SimpleImputer")]
    pub numeric_imputation: NumericImputation,
    /// The replacement of missing categories.
    pub category_imputation: CategoryImputation,
    /// The treatment of categories that do not occur in the fitted table.
    #[doc(alias = "handle_unknown")]
    pub unknown_category: UnknownCategory,
    /// The kind of the targets.
    pub target_kind: TargetKind,
}

impl Default for EncoderSettings {
    /// Returns settings with all columns as features, one-hot encoding, at most 128 categories, and errors for missing
    /// values and unknown categories.
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

/// The columns that become features, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureColumns {
    /// All columns except the target.
    All,
    /// The columns with these names.
    Only(Vec<String>),
    /// All columns except the target and the columns with these names.
    Except(Vec<String>),
}

/// The encoding of categories as features.
///
/// The categories of a column are sorted: by value if all of them are numbers, and by text otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CategoryEncoding {
    /// One feature per category: 1 if the row has the category, and 0 otherwise.
    #[doc(alias = "OneHotEncoder")]
    #[doc(alias = "get_dummies")]
    OneHot,
    /// One feature: the id of the category, counted from 0.
    #[doc(alias = "OrdinalEncoder")]
    #[doc(alias = "LabelEncoder")]
    Ordinal,
}

/// The replacement of missing numbers.
#[doc(alias = "SimpleImputer")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumericImputation {
    /// A missing number is an error.
    Error,
    /// The mean of the column in the fitted table.
    Mean,
    /// The median of the column in the fitted table.
    Median,
    /// A constant, which must be finite.
    #[doc(alias = "fillna")]
    Constant(f32),
}

/// The replacement of missing categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CategoryImputation {
    /// A missing category is an error.
    Error,
    /// The most frequent category of the column in the fitted table; of equally frequent categories, the first.
    MostFrequent,
    /// A separate category, sorted last. If the fitted table has no missing category in the column, a missing category
    /// is an error.
    NewCategory,
}

/// The treatment of categories that do not occur in the fitted table.
#[doc(alias = "handle_unknown")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum UnknownCategory {
    /// An unknown category is an error.
    Error,
    /// An unknown category has 0 in all one-hot features, or the ordinal id -1.
    Ignore,
}

/// The kind of the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Decides by the cells of the column.
    ///
    /// Text becomes classes. Whole numbers become classes if there are at most 20 different numbers, each of which
    /// occurs in at least two rows on average. Other numbers become values.
    Auto,
    /// Classes, sorted like categories.
    Classes,
    /// Numbers.
    Values,
}
