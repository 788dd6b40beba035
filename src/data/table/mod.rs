//! Tables with named columns, and encoders that turn them into data sets.

pub(crate) mod categories;
pub(crate) mod column;
pub(crate) mod column_encoder;
#[cfg(feature = "csv")]
pub(crate) mod csv;
#[cfg(feature = "csv")]
pub(crate) mod decode;
#[cfg(feature = "csv")]
pub(crate) mod dialect;
pub(crate) mod encoder;
pub(crate) mod number_format;
pub(crate) mod raw_table;
pub(crate) mod scan;
pub(crate) mod settings;
pub(crate) mod target_encoder;

pub use column::{Column, ColumnKind};
pub use encoder::Encoder;
pub use number_format::NumberFormat;
pub use scan::NonNumber;
pub use settings::{
    CategoryEncoding, CategoryImputation, CsvSettings, EncoderSettings, Encoding, FeatureColumns, NumericImputation,
    Reading, TargetKind, UnknownCategory,
};

use crate::{
    data::table::{
        categories::Equality,
        raw_table::RawTable,
        scan::{ColumnScan, find_non_number, number_range, scan_columns},
    },
    error::{Error, Result, check_len},
};

/// Rows of text in named columns, for example from a CSV file.
///
/// A cell is missing if it is empty or one of the [`CsvSettings::missing_values`]. A column is numeric if all other
/// cells are numbers in the same [`NumberFormat`]. gradus decides the format of a column from all of its cells.
#[doc(alias = "DataFrame")]
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    raw: RawTable,
    /// One scan per column.
    scans: Vec<ColumnScan>,
}

impl Table {
    /// Creates a table from column names and cells, for example to predict rows that come from no file.
    ///
    /// Errors call it `table`, and count the column names as line 1.
    ///
    /// # Shapes
    /// - `cells`: `[rows, columns]`, row by row
    ///
    /// # Errors
    /// - [`Error::Format`] if there are no names, or if a name is empty or occurs twice.
    /// - [`Error::Shape`] if the number of cells is not a multiple of the number of columns.
    /// - [`Error::OutOfMemory`] if the cells have more than 4 GiB of text.
    pub fn new<S: AsRef<str>>(names: &[S], cells: &[S]) -> Result<Self> {
        let settings = CsvSettings { delimiter: Some(b','), ..CsvSettings::default() };
        let mut raw = RawTable::new("table".into(), 1, names, settings)?;
        let complete_cells = cells.len() / names.len() * names.len();
        check_len(&format!("cells of a table (columns: {})", names.len()), complete_cells, cells.len())?;
        for (row, line) in cells.chunks(names.len()).zip(2..) {
            raw.push(line, row.iter().map(S::as_ref))?;
        }
        Ok(Self::from_raw(raw))
    }

    /// Decides which columns are numeric.
    pub(crate) fn from_raw(raw: RawTable) -> Self {
        Self { scans: scan_columns(&raw, &[]), raw }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.raw.rows()
    }

    /// Returns the delimiter between the cells of the file; a comma for a table that comes from no file.
    #[doc(alias = "sep")]
    pub fn delimiter(&self) -> u8 {
        self.raw.delimiter()
    }

    /// Returns the settings that the file was read with, including those that were detected.
    pub const fn csv_settings(&self) -> &CsvSettings {
        &self.raw.settings
    }

    /// Returns the assumptions that the file does not state.
    pub fn readings(&self) -> &[Reading] {
        &self.raw.readings
    }

    /// Returns the number format of a column; `None` if the column is not numeric.
    pub fn number_format(&self, column: usize) -> Option<NumberFormat> {
        self.scans.get(column).and_then(|scan| scan.format)
    }

    /// Returns a table with the given rows, in the given order. Errors still name the lines of the original file.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if a row is not below [`Table::rows`].
    /// - [`Error::OutOfMemory`] if the cells have more than 4 GiB of text.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let mut raw = self.raw.without_rows();
        for row in rows {
            if *row >= self.rows() {
                let (expected, got) = (format!("a row below {}", self.rows()), row.to_string());
                return Err(Error::InvalidSetting { name: "row to select", expected, got });
            }
            let cells = (0..self.column_names().len()).map(|column| self.raw.cell(*row, column));
            raw.push(self.raw.lines[*row], cells)?;
        }
        // Numeric columns keep the format that fits all rows. A categorical column may be numeric in the selected rows.
        let known_formats: Vec<_> = self.scans.iter().map(|scan| scan.format).collect();
        let mut scans = scan_columns(&raw, &known_formats);
        for (selected, all) in scans.iter_mut().zip(&self.scans) {
            if selected.alternative.is_none() && selected.format == all.format {
                selected.alternative = all.alternative;
            }
        }
        Ok(Self { raw, scans })
    }

    /// Returns the line of a row in the file, counted from 1; `None` if `row` is not below [`Table::rows`].
    pub fn line(&self, row: usize) -> Option<u32> {
        self.raw.lines.get(row).copied()
    }

    /// Returns the names of the columns.
    pub fn column_names(&self) -> &[String] {
        &self.raw.column_names
    }

    /// Returns the text of a cell without surrounding spaces; `None` if the row or the column does not exist.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        (row < self.rows() && column < self.column_names().len()).then(|| self.raw.cell(row, column))
    }

    /// Returns the number in a cell, in the format of its column; `None` if the cell is missing or not a number.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        let format = self.number_format(column).unwrap_or_default();
        format.parse(self.cell(row, column)?)
    }

    /// Returns whether a cell is missing or does not exist.
    #[doc(alias = "isna")]
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        self.cell(row, column).is_none_or(|cell| self.raw.missing_words.contains(cell))
    }

    /// Returns a summary of each column.
    #[doc(alias = "describe")]
    pub fn columns(&self) -> Vec<Column> {
        (0..self.column_names().len()).map(|column| self.column(column)).collect()
    }

    /// Returns the first cell that makes a column categorical although other cells are numbers.
    ///
    /// The cell is neither missing nor a number in the format that fits most cells of the column. `None` if the column
    /// is numeric or does not exist.
    pub fn first_non_number(&self, column: usize) -> Option<NonNumber> {
        if column >= self.column_names().len() || self.number_format(column).is_some() {
            return None;
        }
        find_non_number(&self.raw, column)
    }

    /// Returns the rule by which two cells of a column are the same category.
    pub(crate) fn equality(&self, column: usize) -> Equality {
        Equality::for_cells(self.number_format(column), self.raw.column_cells(column).flatten())
    }

    fn column(&self, column: usize) -> Column {
        let ColumnScan { missing, format, alternative, numbers } = self.scans[column];
        let kind = match format {
            _ if missing == self.rows() => ColumnKind::Empty,
            Some(_) => ColumnKind::Numeric { min: numbers.min, max: numbers.max },
            None => {
                let categories = self.equality(column).count_categories(self.raw.column_cells(column).flatten());
                ColumnKind::Categorical { count: categories.len() }
            }
        };
        let alternative = alternative.map(|format| {
            let numbers = number_range(&self.raw, column, format);
            (format, [numbers.min, numbers.max])
        });
        Column { name: self.column_names()[column].clone(), missing, kind, format, alternative }
    }
}
