//! Tables: named columns of text, and how they become the numbers of a data set.

mod answer;
mod column;
#[cfg(feature = "csv")]
mod csv;
mod encoder;
mod settings;

use std::fmt::{self, Display};

#[cfg(feature = "csv")]
pub use csv::CsvSettings;
pub use encoder::Encoder;
pub use settings::{AnswerKind, Coding, EncoderSettings, FeatureColumns, MissingCategory, MissingNumber, Unseen};

use crate::{
    Error, Result,
    error::check_len,
    formats::{list, wrong},
};

/// Rows of text in named columns, as a CSV file has them.
///
/// A cell is missing if it is empty, `NA`, `N/A`, `#N/A`, `<NA>`, `NaN`, `null` or `?`, in capitals or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What errors call it.
    file: String,
    names: Vec<String>,
    /// All cells, row by row.
    text: String,
    /// Where in the text each cell ends.
    ends: Vec<u32>,
    /// The line of each row, counted from 1.
    lines: Vec<u32>,
    /// What stood between the cells.
    delimiter: u8,
    /// Whether `1,5` is a number.
    has_decimal_commas: bool,
    /// Whether `1.234` is a whole one.
    has_grouping_points: bool,
}

/// What a column of a table has in it. Its [`Display`] says so in a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How many of its cells are missing.
    pub missing: usize,
    /// What the others are.
    pub kind: ColumnKind,
}

/// What the cells of a column are that are not missing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Numbers, every one.
    Numbers {
        /// The least.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// Text.
    Categories {
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
        let mut table = Self::empty("table".into(), 1, names)?;
        check_len("cells of a table", cells.len() / names.len() * names.len(), cells.len())?;
        for (row, line) in cells.chunks(names.len()).zip(2..) {
            table.push(line, row.iter().map(S::as_ref))?;
        }
        Ok(table)
    }

    /// Without rows; the names stand in a line of the file.
    fn empty<S: AsRef<str>>(file: String, line: u32, names: &[S]) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().trim().to_owned()).collect();
        let refused = |column: usize, expected: &str, got: &dyn Display| {
            Err(wrong(&file, format_args!("line {line}, column {}", column + 1), expected, got))
        };
        let mut seen = std::collections::HashSet::new();
        for (column, name) in names.iter().enumerate() {
            if name.is_empty() {
                return refused(column, "a name", &"none");
            }
            if !seen.insert(name) {
                return refused(column, "a name that no other column has", &quoted(name));
            }
        }
        if names.is_empty() {
            return refused(0, "names of columns", &"none");
        }
        let (text, ends, lines) = (String::new(), Vec::new(), Vec::new());
        Ok(Self {
            file,
            names,
            text,
            ends,
            lines,
            delimiter: b',',
            has_decimal_commas: false,
            has_grouping_points: false,
        })
    }

    /// Adds a row, which has a cell for each name.
    fn push<'a>(&mut self, line: u32, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        for cell in cells {
            self.text.push_str(cell.trim());
            let too_much = |_| Error::OutOfMemory { what: format!("{}: more than 4 GiB of text", self.file) };
            self.ends.push(u32::try_from(self.text.len()).map_err(too_much)?);
        }
        self.lines.push(line);
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// What stands between the cells of its file: a comma for a table that is from none.
    pub const fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Whether a comma stands in its numbers where others have a point. A point then stands between thousands in all of the
    /// table if it does so before some comma (`1.234,5`), and is a decimal point as well if it does not.
    pub const fn has_decimal_commas(&self) -> bool {
        self.has_decimal_commas
    }

    /// A table of the given rows of this one, in the order given; errors still tell their lines in the file.
    ///
    /// # Errors
    /// [`Error::Setting`] for a row that is not there, [`Error::OutOfMemory`].
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let (file, names) = (self.file.clone(), self.names.clone());
        let mut some = Self { file, names, text: String::new(), ends: Vec::new(), lines: Vec::new(), ..*self };
        for row in rows {
            if *row >= self.rows() {
                let (expected, got) = (format!("below {}", self.rows()), row.to_string());
                return Err(Error::Setting { what: "row to select", expected, got });
            }
            some.push(self.lines[*row], (0..self.names.len()).map(|column| self.text_of(*row, column)))?;
        }
        Ok(some)
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The text of a cell, without spaces around it; none beyond the table.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        (row < self.rows() && column < self.names.len()).then(|| self.text_of(row, column))
    }

    /// The number in a cell; none for one that is missing or something else.
    pub fn number_at(&self, row: usize, column: usize) -> Option<f64> {
        self.number(self.cell(row, column)?)
    }

    /// Whether a cell is missing, as one beyond the table is.
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        self.cell(row, column).is_none_or(is_missing)
    }

    /// What the columns have in them.
    pub fn columns(&self) -> Vec<Column> {
        (0..self.names.len()).map(|column| self.column(column)).collect()
    }

    fn text_of(&self, row: usize, column: usize) -> &str {
        let at = row * self.names.len() + column;
        let begin = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[begin..self.ends[at] as usize]
    }

    /// The cells of a column from the first row down; none for one that is missing.
    fn cells(&self, column: usize) -> impl Iterator<Item = Option<&str>> {
        (0..self.rows()).map(move |row| Some(self.text_of(row, column)).filter(|cell| !is_missing(cell)))
    }

    fn column(&self, column: usize) -> Column {
        let (mut least, mut most, mut are_numbers) = (f64::INFINITY, f64::NEG_INFINITY, true);
        let mut missing = 0;
        let mut seen = std::collections::HashSet::new();
        for cell in self.cells(column) {
            let Some(text) = cell else {
                missing += 1;
                continue;
            };
            seen.insert(text);
            match self.number(text) {
                Some(value) => (least, most) = (least.min(value), most.max(value)),
                None => are_numbers = false,
            }
        }
        let kind = match (seen.len(), are_numbers) {
            (0, _) => ColumnKind::Empty,
            (_, true) => ColumnKind::Numbers { least, most },
            (count, false) => ColumnKind::Categories { count },
        };
        Column { name: self.names[column].clone(), missing, kind }
    }

    /// The number that a cell is, if it is one and within f32's range.
    fn number(&self, cell: &str) -> Option<f64> {
        if self.has_grouping_points
            && let Some(whole) = ungrouped(cell)
        {
            return number(&whole);
        }
        number(cell).or_else(|| number(&with_point(cell).filter(|_| self.has_decimal_commas)?))
    }

    /// Finds out whether the numbers have commas: where a comma separates no cells, and a column is all numbers with them.
    #[cfg(feature = "csv")]
    fn look_for_decimal_commas(&mut self) {
        let is_number = |cell: &str| number(cell).is_some() || with_point(cell).is_some_and(|n| number(&n).is_some());
        let has_commas = |column: usize| {
            let mut cells = self.cells(column).flatten();
            cells.any(|cell| cell.contains(',')) && self.cells(column).flatten().all(is_number)
        };
        if self.delimiter != b',' {
            let with_commas: Vec<usize> = (0..self.names.len()).filter(|column| has_commas(*column)).collect();
            let is_both = |cell: &str| cell.contains('.') && cell.contains(',');
            let has_both = |column: &usize| self.cells(*column).flatten().any(is_both);
            (self.has_decimal_commas, self.has_grouping_points) =
                (!with_commas.is_empty(), with_commas.iter().any(has_both));
        }
    }

    /// The column of this name.
    fn find(&self, name: &str) -> Result<usize> {
        let found = self.names.iter().position(|one| one == name);
        let missing = || wrong(&self.file, "header", format_args!("a column {}", quoted(name)), list(&self.names));
        found.ok_or_else(missing)
    }

    /// What is wrong with a cell.
    fn wrong(&self, row: usize, column: usize, expected: impl Display) -> Error {
        let place = format!("line {}, column {}", self.lines[row], quoted(&self.names[column]));
        let text = self.text_of(row, column);
        if is_missing(text) {
            return wrong(&self.file, place, expected, format_args!("{}, a missing value", quoted(text)));
        }
        wrong(&self.file, place, expected, quoted(text))
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.kind {
            ColumnKind::Numbers { least, most } => write!(f, "numbers from {least} to {most}")?,
            ColumnKind::Categories { count } => write!(f, "{count} categories")?,
            ColumnKind::Empty => f.write_str("empty")?,
        }
        if self.missing > 0 { write!(f, ", {} missing", self.missing) } else { Ok(()) }
    }
}

fn is_missing(cell: &str) -> bool {
    ["", "NA", "N/A", "#N/A", "<NA>", "NaN", "null", "?"].iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// A number such as `1,5` or `1.234,5` as `1.5` or `1234.5`; none for what has not one comma, or a point behind it.
fn with_point(cell: &str) -> Option<String> {
    let (whole, rest) = cell.split_once(',')?;
    let is_whole = !whole.contains('.') || is_grouped(whole);
    (is_whole && !rest.contains([',', '.'])).then(|| format!("{}.{rest}", whole.replace('.', "")))
}

/// A whole number such as `1.234` as `1234`.
fn ungrouped(cell: &str) -> Option<String> {
    let digits = cell.trim_start_matches(['-', '+']);
    let are_digits = !digits.starts_with('0') && digits.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
    (are_digits && cell.contains('.') && is_grouped(cell)).then(|| cell.replace('.', ""))
}

/// Whether points stand before every three places of a number.
fn is_grouped(cell: &str) -> bool {
    let mut groups = cell.trim_start_matches(['-', '+']).split('.');
    groups.next().is_some_and(|first| (1..=3).contains(&first.len())) && groups.all(|group| group.len() == 3)
}

/// The number that a text is, with a point, if it is one and within f32's range.
fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|value: &f64| (*value as f32).is_finite())
}

/// Text for an error: in quotes, and not too much of it.
fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
