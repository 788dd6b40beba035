//! The cells of a table as text, with their lines in the file.

use std::{collections::HashSet, fmt::Display};

use crate::{
    data::table::{
        number_format::NumberFormat,
        settings::{CsvSettings, MissingWords, Reading},
    },
    error::{Error, Result},
    util::files::{format_error, join_names},
};

/// The text of all cells of a table, before gradus decides which columns are numeric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawTable {
    /// The name of the file in errors.
    pub file: String,
    pub column_names: Vec<String>,
    /// The text of all cells, row by row.
    pub text: String,
    /// The end of each cell in the text.
    pub cell_ends: Vec<u32>,
    /// The line of each row in the file, counted from 1.
    pub lines: Vec<u32>,
    /// The settings that the file was read with, including those that were detected.
    pub settings: CsvSettings,
    /// The words of the settings that mark a missing value.
    pub missing_words: MissingWords,
    /// The assumptions that the file does not state.
    pub readings: Vec<Reading>,
}

impl RawTable {
    /// Creates a table without rows. `header_line` is the line of the column names in the file.
    ///
    /// # Errors
    /// [`Error::Format`] if there are no names, or if a name is empty or occurs twice.
    pub fn new<S: AsRef<str>>(file: String, header_line: u32, names: &[S], settings: CsvSettings) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| name.as_ref().trim().to_owned()).collect();
        if names.is_empty() {
            return Err(format_error(&file, format_args!("line {header_line}"), "at least 1 column name", 0));
        }
        let mut seen = HashSet::new();
        for (column, name) in names.iter().enumerate() {
            let location = format!("line {header_line}, column {}", column + 1);
            if name.is_empty() {
                return Err(format_error(&file, location, "a name", "an empty name; name the column"));
            }
            if !seen.insert(name) {
                let got = format!("{}; rename one of the two columns", quote(name));
                return Err(format_error(&file, location, "a name that no other column has", got));
            }
        }
        let missing_words = MissingWords::new(&settings.missing_values);
        Ok(Self {
            file,
            column_names: names,
            text: String::new(),
            cell_ends: Vec::new(),
            lines: Vec::new(),
            settings,
            missing_words,
            readings: Vec::new(),
        })
    }

    /// Returns a table with the same columns and settings, but without rows.
    pub fn without_rows(&self) -> Self {
        Self {
            file: self.file.clone(),
            column_names: self.column_names.clone(),
            text: String::new(),
            cell_ends: Vec::new(),
            lines: Vec::new(),
            settings: self.settings.clone(),
            missing_words: self.missing_words.clone(),
            readings: self.readings.clone(),
        }
    }

    /// Adds a row with one cell per column.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the text of all cells exceeds 4 GiB.
    pub fn push<'a>(&mut self, line: u32, cells: impl Iterator<Item = &'a str>) -> Result<()> {
        for cell in cells {
            self.text.push_str(cell.trim());
            let end = u32::try_from(self.text.len()).map_err(|_| Error::OutOfMemory {
                context: format!("{}: the cells have more than 4 GiB of text; split the table", self.file),
            })?;
            self.cell_ends.push(end);
        }
        self.lines.push(line);
        Ok(())
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Returns the delimiter between the cells.
    pub fn delimiter(&self) -> u8 {
        self.settings.delimiter.unwrap_or(b',')
    }

    /// Returns the text of a cell, without surrounding spaces.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        let index = row * self.column_names.len() + column;
        let start = if index == 0 { 0 } else { self.cell_ends[index - 1] as usize };
        &self.text[start..self.cell_ends[index] as usize]
    }

    /// Returns the text of a cell; `None` if the cell is missing.
    pub fn present_cell(&self, row: usize, column: usize) -> Option<&str> {
        Some(self.cell(row, column)).filter(|cell| !self.missing_words.contains(cell))
    }

    /// Returns the cells of a column in the order of the rows; `None` for each missing cell.
    pub fn column_cells(&self, column: usize) -> impl Iterator<Item = Option<&str>> + Clone {
        (0..self.rows()).map(move |row| self.present_cell(row, column))
    }

    /// Returns the index of the column with this name.
    ///
    /// # Errors
    /// [`Error::Format`] if the table has no column of this name.
    pub fn find_column(&self, name: &str) -> Result<usize> {
        self.column_names.iter().position(|column_name| column_name == name).ok_or_else(|| {
            let expected = format!("a column {}", quote(name));
            format_error(&self.file, "header", expected, join_names(&self.column_names))
        })
    }

    /// Returns the error for the content of a cell.
    pub fn cell_error(&self, row: usize, column: usize, expected: impl Display) -> Error {
        let location = format!("line {}, column {}", self.lines[row], quote(&self.column_names[column]));
        let text = self.cell(row, column);
        let got = if text.is_empty() {
            "an empty cell, which is a missing value".to_owned()
        } else if self.missing_words.contains(text) {
            format!("{}, which is a missing value", quote(text))
        } else {
            quote(text)
        };
        format_error(&self.file, location, expected, got)
    }

    /// Returns the error for a cell that is not a number in this format.
    pub fn number_error(&self, row: usize, column: usize, format: NumberFormat) -> Error {
        let value = self.present_cell(row, column).and_then(|text| text.parse::<f64>().ok());
        let expected = match value {
            Some(value) if !value.is_finite() => "a finite number".to_owned(),
            Some(value) if !(value as f32).is_finite() => format!("a number from {:e} to {:e}", f32::MIN, f32::MAX),
            Some(_) | None => format.expected(),
        };
        self.cell_error(row, column, expected)
    }

    /// Returns the error for the content of a column.
    pub fn column_error(&self, column: usize, expected: impl Display, got: impl Display) -> Error {
        format_error(&self.file, format_args!("column {}", quote(&self.column_names[column])), expected, got)
    }
}

/// Returns a text in quotes for an error message, shortened to 40 characters.
pub(crate) fn quote(text: &str) -> String {
    const MAX_QUOTED_CHARS: usize = 40;
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
