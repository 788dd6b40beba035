//! The encoder of one column: it turns the cells of the column into features.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        scaling::resolution::resolution_offset,
        table::{
            Table,
            categories::{CategoryIndex, Equality},
            number_format::NumberFormat,
            raw_table::{RawTable, quote},
            settings::{CategoryEncoding, CategoryImputation, EncoderSettings, NumericImputation, UnknownCategory},
        },
    },
    error::{Error, Result},
    util::files::join_names,
};

/// The encoder of the column with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ColumnEncoder {
    pub name: String,
    encoding: ColumnEncoding,
}

/// The encoding of the cells of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ColumnEncoding {
    /// Each cell becomes one number.
    Numeric {
        /// The number that replaces missing cells. `None` if a missing cell is an error.
        fill_value: Option<f64>,
        /// The format of the numbers. `None` in files of earlier versions; the format of the given table is used then.
        #[serde(default)]
        format: Option<NumberFormat>,
        /// The number that is subtracted in f64 before a number becomes an f32.
        #[serde(default)]
        offset: f32,
    },
    /// Each cell becomes the id of a category, or one feature per category.
    Categorical {
        /// The names of the categories by id. The empty name is the category of missing cells.
        names: Vec<String>,
        /// The category that replaces missing cells. `None` if a missing cell is an error.
        fill_category: Option<usize>,
        one_hot: bool,
        /// The rule by which two cells are the same category.
        #[serde(default)]
        equality: Equality,
    },
}

impl ColumnEncoder {
    /// Fits an encoder to a column of a table.
    pub fn fit(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Self> {
        let name = table.column_names()[column].clone();
        let format = table.number_format(column);
        let is_empty = table.scans[column].missing == table.rows();
        let looks_numeric = format.is_some() || is_empty;
        let is_numeric = settings.numeric.contains(&name) || (looks_numeric && !settings.categorical.contains(&name));
        let encoding = if is_numeric {
            let fill_value = numeric_fill_value(table, column, settings)?;
            ColumnEncoding::Numeric { fill_value, format, offset: column_offset(table, column) }
        } else {
            fit_categories(table, column, settings)?
        };
        Ok(Self { name, encoding })
    }

    /// Returns the number of features.
    pub fn width(&self) -> usize {
        match &self.encoding {
            ColumnEncoding::Categorical { names, one_hot: true, .. } => names.len(),
            ColumnEncoding::Categorical { one_hot: false, .. } | ColumnEncoding::Numeric { .. } => 1,
        }
    }

    /// Returns the number format; `None` for a categorical column.
    pub const fn number_format(&self) -> Option<NumberFormat> {
        match self.encoding {
            ColumnEncoding::Numeric { format, .. } => format,
            ColumnEncoding::Categorical { .. } => None,
        }
    }

    /// Sets the number format; does nothing for a categorical column.
    pub const fn set_number_format(&mut self, new_format: NumberFormat) {
        if let ColumnEncoding::Numeric { format, .. } = &mut self.encoding {
            *format = Some(new_format);
        }
    }

    /// Returns the names of the features.
    pub fn feature_names(&self) -> Vec<String> {
        match &self.encoding {
            ColumnEncoding::Categorical { names, one_hot: true, .. } => {
                let category = |name: &String| if name.is_empty() { "(missing)".to_owned() } else { name.clone() };
                names.iter().map(|name| format!("{}={}", self.name, category(name))).collect()
            }
            ColumnEncoding::Categorical { one_hot: false, .. } | ColumnEncoding::Numeric { .. } => {
                vec![self.name.clone()]
            }
        }
    }

    /// Returns a writer of the features of a table. `first_feature` is the index of the first feature in a row.
    ///
    /// # Errors
    /// [`Error::Format`] if the table has no column of this name.
    pub fn writer<'a>(
        &'a self,
        table: &'a Table,
        unknown_category: UnknownCategory,
        first_feature: usize,
    ) -> Result<ColumnWriter<'a>> {
        let column = table.raw.find_column(&self.name)?;
        let (format, categories) = match &self.encoding {
            ColumnEncoding::Numeric { format, .. } => {
                (format.or(table.number_format(column)).unwrap_or_default(), None)
            }
            ColumnEncoding::Categorical { names, equality, .. } => (NumberFormat::PLAIN, Some(equality.index(names))),
        };
        let (table, encoding) = (&table.raw, &self.encoding);
        Ok(ColumnWriter { table, column, encoding, format, categories, unknown_category, first_feature })
    }
}

/// A writer of the features of one column.
pub(crate) struct ColumnWriter<'a> {
    table: &'a RawTable,
    column: usize,
    encoding: &'a ColumnEncoding,
    format: NumberFormat,
    categories: Option<CategoryIndex>,
    unknown_category: UnknownCategory,
    first_feature: usize,
}

impl ColumnWriter<'_> {
    /// Writes the features of a row into `features`, which must be zeros at these features.
    pub fn write(&self, row: usize, features: &mut [f32]) -> Result<()> {
        let Self { table, column, first_feature, .. } = *self;
        let cell = table.present_cell(row, column);
        match self.encoding {
            ColumnEncoding::Numeric { fill_value, offset, .. } => {
                let value = match cell {
                    Some(text) => self.format.parse_later(text),
                    None => *fill_value,
                };
                let value = value.ok_or_else(|| table.number_error(row, column, self.format))?;
                features[first_feature] = (value - f64::from(*offset)) as f32;
            }
            ColumnEncoding::Categorical { names, fill_category, one_hot, .. } => {
                let id = match cell {
                    Some(text) => self.categories.as_ref().and_then(|categories| categories.find(text)),
                    None => *fill_category,
                };
                match id.filter(|id| *id < names.len()) {
                    Some(id) if *one_hot => features[first_feature + id] = 1.0,
                    Some(id) => features[first_feature] = id as f32,
                    None if cell.is_none() || self.unknown_category == UnknownCategory::Error => {
                        return Err(table.cell_error(row, column, format_args!("one of {}", join_names(names))));
                    }
                    None if *one_hot => {}
                    None => features[first_feature] = -1.0,
                }
            }
        }
        Ok(())
    }
}

/// Returns the number to subtract from the numbers of a column, so that different numbers stay different in f32. It is
/// 0 if they stay different without it.
pub(crate) fn column_offset(table: &Table, column: usize) -> f32 {
    let scan = table.scans[column];
    if !scan.numbers.is_inexact {
        return 0.0;
    }
    let values = || {
        let format = scan.format.unwrap_or_default();
        table.raw.column_cells(column).flatten().filter_map(|cell| format.parse(cell)).collect()
    };
    resolution_offset([scan.numbers.min, scan.numbers.max], values)
}

/// Returns the number that replaces missing cells of a numeric column. `None` if a missing cell is an error.
fn numeric_fill_value(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Option<f64>> {
    if table.number_format(column).is_some() && settings.numeric_imputation == NumericImputation::Error {
        // All cells are numbers, so nothing is left to check.
        return Ok(None);
    }
    let format = table.number_format(column).unwrap_or_default();
    let mut values = Vec::new();
    for (row, cell) in table.raw.column_cells(column).enumerate() {
        let Some(text) = cell else { continue };
        values.push(format.parse(text).ok_or_else(|| table.raw.number_error(row, column, format))?);
    }
    if values.is_empty() {
        return Err(empty_column_error(table, column));
    }
    Ok(match settings.numeric_imputation {
        NumericImputation::Error => None,
        NumericImputation::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
        NumericImputation::Median => {
            values.sort_by(f64::total_cmp);
            let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
            Some((low + high) / 2.0)
        }
        NumericImputation::Constant(value) => Some(f64::from(value)),
    })
}

/// Returns an error if a column has more than `max` categories. `hint` is the action that may help.
///
/// If only some cells are not numbers, the error names the first of them, because it may be a typing error.
pub(crate) fn check_category_count(table: &Table, column: usize, count: usize, max: usize, hint: &str) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    let is_number = |cell: &str| NumberFormat::PLAIN.parse(cell).is_some();
    let has_numbers = table.raw.column_cells(column).flatten().any(is_number);
    let first_text = table.raw.column_cells(column).position(|cell| cell.is_some_and(|cell| !is_number(cell)));
    let mut got = count.to_string();
    if let Some(row) = first_text.filter(|_| has_numbers) {
        let cell = quote(table.raw.cell(row, column));
        got += &format!("; {cell} in line {} is not a number", table.raw.lines[row]);
    }
    Err(table.raw.column_error(column, format_args!("at most {max} categories"), format_args!("{got}; {hint}")))
}

fn fit_categories(table: &Table, column: usize, settings: &EncoderSettings) -> Result<ColumnEncoding> {
    let equality = table.equality(column);
    let categories = equality.count_categories(table.raw.column_cells(column).flatten());
    if categories.is_empty() {
        return Err(empty_column_error(table, column));
    }
    let (mut names, counts): (Vec<String>, Vec<usize>) = categories.into_iter().unzip();
    let hint = "exclude the column from the features, or raise max_categories";
    check_category_count(table, column, names.len(), settings.max_categories, hint)?;
    let has_missing = table.scans[column].missing > 0;
    let fill_category = match settings.category_imputation {
        CategoryImputation::Error => None,
        // max_by_key returns the last of equal counts, so reverse the order to get the first.
        CategoryImputation::MostFrequent => (0..names.len()).rev().max_by_key(|id| counts[*id]),
        CategoryImputation::NewCategory if has_missing => {
            names.push(String::new());
            Some(names.len() - 1)
        }
        CategoryImputation::NewCategory => None,
    };
    let one_hot = settings.category_encoding == CategoryEncoding::OneHot;
    Ok(ColumnEncoding::Categorical { names, fill_category, one_hot, equality })
}

fn empty_column_error(table: &Table, column: usize) -> Error {
    let got = format!("{} missing values; exclude the column from the features", table.rows());
    table.raw.column_error(column, "at least 1 value", got)
}
