//! Tables: named columns of text, and how they become the numbers of a data set.

pub(crate) mod answer;
pub(crate) mod categories;
pub(crate) mod column;
#[cfg(feature = "csv")]
pub(crate) mod csv;
#[cfg(feature = "csv")]
pub(crate) mod decode;
#[cfg(feature = "csv")]
pub(crate) mod dialect;
pub(crate) mod encoder;
pub(crate) mod number_format;
pub(crate) mod scan;
pub(crate) mod settings;

use std::fmt::{self, Display};

pub use encoder::Encoder;
pub use number_format::NumberFormat;
pub use scan::NonNumber;
pub use settings::{
    CategoryEncoding, CategoryImputation, CsvSettings, EncoderSettings, Encoding, FeatureColumns, NumericImputation,
    Reading, TargetKind, UnknownCategory,
};

use crate::{
    data::table::{scan::Scan, settings::MissingWords},
    error::{Error, Result, check_len},
    util::files::{format_error, join_names},
};

/// Rows of text in named columns, as a CSV file has them.
///
/// A cell is missing if it is empty or one of the [`CsvSettings::missing_values`]. A column is numbers if all of its other
/// cells are, in one [`NumberFormat`], which is decided from all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What errors call it.
    file: String,
    column_names: Vec<String>,
    /// All cells, row by row.
    text: String,
    /// Where in the text each cell ends.
    cell_ends: Vec<u32>,
    /// The line of each row, counted from 1.
    lines: Vec<u32>,
    /// How it was read, with what was detected.
    settings: CsvSettings,
    missing: MissingWords,
    /// What the columns hold.
    scans: Vec<Scan>,
    readings: Vec<Reading>,
}

/// A column of a table. Its [`Display`] describes it in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How many of its cells are missing.
    pub missing: usize,
    /// What the others are.
    pub kind: ColumnKind,
    /// How its numbers are written, if it has numbers.
    pub format: Option<NumberFormat>,
    /// Another format in which all of its cells are numbers too, but other ones, with the smallest and the largest of them:
    /// the cells alone do not decide between the two.
    pub alternative: Option<(NumberFormat, [f64; 2])>,
}

/// What the cells of a column are that are not missing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Numbers, every one.
    Numeric {
        /// The least.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Text.
    Categorical {
        /// How many different ones.
        count: usize,
    },
    /// None is there.
    Empty,
}

impl Table {
    /// Of names and cells, to predict rows that come from no file. Errors count the names as line 1.
    ///
    /// # Shapes
    /// - cells: `[rows, names]`, row by row
    ///
    /// # Errors
    /// [`Error::Format`] for a name that is empty or there twice, [`Error::Shape`] if the cells do not divide into rows.
    pub fn new<S: AsRef<str>>(names: &[S], cells: &[S]) -> Result<Self> {
        let settings = CsvSettings { delimiter: Some(b','), ..CsvSettings::default() };
        let mut table = Self::without_rows("table".into(), 1, names, settings)?;
        check_len("cells of a table", cells.len() / names.len() * names.len(), cells.len())?;
        for (row, line) in cells.chunks(names.len()).zip(2..) {
            table.push(line, row.iter().map(S::as_ref))?;
        }
        table.scans = table.scan(&[]);
        Ok(table)
    }

    /// Without rows; the names stand in a line of the file.
    fn without_rows<S: AsRef<str>>(file: String, line: u32, names: &[S], settings: CsvSettings) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().trim().to_owned()).collect();
        let refused = |column: usize, expected: &str, got: &dyn Display| {
            Err(format_error(&file, format_args!("line {line}, column {}", column + 1), expected, got))
        };
        let mut seen = std::collections::HashSet::new();
        for (column, name) in names.iter().enumerate() {
            if name.is_empty() {
                return refused(column, "a name", &"none");
            }
            if !seen.insert(name) {
                return refused(column, "a name that no other column has", &quote(name));
            }
        }
        if names.is_empty() {
            return refused(0, "names of columns", &"none");
        }
        let (text, ends, lines) = (String::new(), Vec::new(), Vec::new());
        let missing = MissingWords::new(&settings.missing_values);
        Ok(Self {
            file,
            column_names: names,
            text,
            cell_ends: ends,
            lines,
            settings,
            missing,
            scans: Vec::new(),
            readings: Vec::new(),
        })
    }

    /// Adds a row, which has a cell for each name.
    fn push<'a>(&mut self, line: u32, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        for cell in cells {
            self.text.push_str(cell.trim());
            let too_much = |_| Error::OutOfMemory { context: format!("{}: more than 4 GiB of text", self.file) };
            self.cell_ends.push(u32::try_from(self.text.len()).map_err(too_much)?);
        }
        self.lines.push(line);
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The delimiter between the cells of its file: a comma for a table that comes from no file.
    pub fn delimiter(&self) -> u8 {
        self.settings.delimiter.unwrap_or(b',')
    }

    /// How it was read: the settings that it was opened with, and what was detected.
    pub const fn csv_settings(&self) -> &CsvSettings {
        &self.settings
    }

    /// How its file was read where the file does not state it.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// How the numbers of a column are written; none if it is not a column of numbers.
    pub fn number_format(&self, column: usize) -> Option<NumberFormat> {
        self.scans.get(column).and_then(|scan| scan.format)
    }

    /// A table of the given rows of this one, in the order given; errors still tell their lines in the file.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a row that is not there, [`Error::OutOfMemory`].
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let (text, ends, lines) = (String::new(), Vec::new(), Vec::new());
        let (settings, missing) = (self.settings.clone(), self.missing.clone());
        let (file, names, readings) = (self.file.clone(), self.column_names.clone(), self.readings.clone());
        let mut some = Self {
            file,
            column_names: names,
            text,
            cell_ends: ends,
            lines,
            settings,
            missing,
            scans: Vec::new(),
            readings,
        };
        for row in rows {
            if *row >= self.rows() {
                let (expected, got) = (format!("below {}", self.rows()), row.to_string());
                return Err(Error::InvalidSetting { name: "row to select", expected, got });
            }
            let cells = (0..self.column_names.len()).map(|column| self.cell_text(*row, column));
            some.push(self.lines[*row], cells)?;
        }
        // Numbers are still written as in all rows; what was not a column of numbers may be one now.
        let known: Vec<_> = self.scans.iter().map(|scan| scan.format).collect();
        some.scans = some.scan(&known);
        for (some, all) in some.scans.iter_mut().zip(&self.scans) {
            some.alternative = some.alternative.or(all.alternative.filter(|_| some.format == all.format));
        }
        Ok(some)
    }

    /// The line of a row in its file, counted from 1; none beyond the table.
    pub fn line(&self, row: usize) -> Option<u32> {
        self.lines.get(row).copied()
    }

    /// The names of the columns.
    pub fn column_names(&self) -> &[String] {
        &self.column_names
    }

    /// The text of a cell, without spaces around it; none beyond the table.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        (row < self.rows() && column < self.column_names.len()).then(|| self.cell_text(row, column))
    }

    /// The number in a cell, in the format of its column; none for one that is missing or something else.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        let format = self.number_format(column).unwrap_or_default();
        format.parse(self.cell(row, column)?)
    }

    /// Whether a cell is missing, as one beyond the table is.
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        self.cell(row, column).is_none_or(|cell| self.missing.contains(cell))
    }

    /// What the columns have in them.
    pub fn columns(&self) -> Vec<Column> {
        (0..self.column_names.len()).map(|column| self.column(column)).collect()
    }

    fn cell_text(&self, row: usize, column: usize) -> &str {
        let at = row * self.column_names.len() + column;
        let begin = if at == 0 { 0 } else { self.cell_ends[at - 1] as usize };
        &self.text[begin..self.cell_ends[at] as usize]
    }

    /// The cells of a column from the first row down; none for one that is missing.
    fn column_cells(&self, column: usize) -> impl Iterator<Item = Option<&str>> {
        (0..self.rows()).map(move |row| Some(self.cell_text(row, column)).filter(|cell| !self.missing.contains(cell)))
    }

    fn column(&self, column: usize) -> Column {
        let Scan { missing, format, alternative, range: [least, most], .. } = self.scans[column];
        let kind = match format {
            _ if missing == self.rows() => ColumnKind::Empty,
            Some(_) => ColumnKind::Numeric { min: least, max: most },
            None => {
                let equality = categories::Equality::for_column(self, column);
                ColumnKind::Categorical { count: equality.categories(self.column_cells(column).flatten()).len() }
            }
        };
        let alternative = alternative.map(|format| (format, self.range_of(column, format).0));
        Column { name: self.column_names[column].clone(), missing, kind, format, alternative }
    }

    /// The column of this name.
    fn find(&self, name: &str) -> Result<usize> {
        let found = self.column_names.iter().position(|one| one == name);
        let missing = || {
            format_error(&self.file, "header", format_args!("a column {}", quote(name)), join_names(&self.column_names))
        };
        found.ok_or_else(missing)
    }

    /// What is wrong with a cell.
    fn cell_error(&self, row: usize, column: usize, expected: impl Display) -> Error {
        let place = format!("line {}, column {}", self.lines[row], quote(&self.column_names[column]));
        let text = self.cell_text(row, column);
        if self.missing.contains(text) {
            return format_error(&self.file, place, expected, format_args!("{}, a missing value", quote(text)));
        }
        format_error(&self.file, place, expected, quote(text))
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.kind {
            ColumnKind::Numeric { min: least, max: most } => {
                write!(f, "numbers from {least} to {most}")?;
                if let Some(format) = self.format.filter(|format| *format != NumberFormat::PLAIN) {
                    write!(f, ", written with {format}")?;
                }
            }
            ColumnKind::Categorical { count } => write!(f, "{count} categories")?,
            ColumnKind::Empty => f.write_str("empty")?,
        }
        if self.missing > 0 { write!(f, ", {} missing", self.missing) } else { Ok(()) }
    }
}

/// Text for an error: in quotes, and not too much of it.
fn quote(text: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 40;
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
