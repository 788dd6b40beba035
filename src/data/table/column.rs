//! How one column becomes features.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        scaling::resolution_offset,
        table::{
            Table,
            categories::{CategoryIndex, Equality},
            number_format::NumberFormat,
            quote,
            settings::{CategoryEncoding, CategoryImputation, EncoderSettings, NumericImputation, UnknownCategory},
        },
    },
    error::{Error, Result},
    util::files::{format_error, join_names},
};

/// A column by its name, and what its cells become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ColumnEncoder {
    pub name: String,
    encoding: ColumnEncoding,
}

/// What the cells of a column become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ColumnEncoding {
    Numeric {
        /// What stands for a missing one.
        fill_value: Option<f64>,
        /// How they are written; as the table at hand has it if a file of an earlier version does not say it.
        #[serde(default)]
        format: Option<NumberFormat>,
        /// What is subtracted in f64 before a number becomes an f32.
        #[serde(default)]
        offset: f32,
    },
    Categorical {
        /// In the order of their features or ids; the empty text is the category of what is missing.
        names: Vec<String>,
        /// Which of them stands for a missing one.
        fill_category: Option<usize>,
        one_hot: bool,
        /// Which cells are the same category.
        #[serde(default)]
        equality: Equality,
    },
}

impl ColumnEncoder {
    /// Learns what a column's cells become.
    pub fn fit(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Self> {
        let name = table.column_names[column].clone();
        let format = table.number_format(column);
        let is_empty = table.scans[column].missing == table.rows();
        let is_number =
            settings.numeric.contains(&name) || (format.is_some() || is_empty) && !settings.categorical.contains(&name);
        let code = match is_number {
            true => {
                let fill = numeric_fill(table, column, settings)?;
                ColumnEncoding::Numeric { fill_value: fill, format, offset: column_offset(table, column) }
            }
            false => fit_categories(table, column, settings)?,
        };
        Ok(Self { name, encoding: code })
    }

    /// How many features it becomes.
    pub fn width(&self) -> usize {
        match &self.encoding {
            ColumnEncoding::Categorical { names, one_hot: true, .. } => names.len(),
            _ => 1,
        }
    }

    /// How its numbers are written.
    pub const fn number_format(&self) -> Option<NumberFormat> {
        if let ColumnEncoding::Numeric { format, .. } = self.encoding { format } else { None }
    }

    /// Sets how its numbers are written, if it has numbers.
    pub const fn set_number_format(&mut self, of: NumberFormat) {
        if let ColumnEncoding::Numeric { format, .. } = &mut self.encoding {
            *format = Some(of);
        }
    }

    /// The names of those features.
    pub fn feature_names(&self) -> Vec<String> {
        match &self.encoding {
            ColumnEncoding::Categorical { names, one_hot: true, .. } => {
                let of = |name: &String| if name.is_empty() { "(missing)" } else { name }.to_owned();
                names.iter().map(|name| format!("{}={}", self.name, of(name))).collect()
            }
            _ => vec![self.name.clone()],
        }
    }

    /// Prepares to write its features of a table, from the feature `first` on.
    pub fn writer<'a>(
        &'a self,
        table: &'a Table,
        unknown_category: UnknownCategory,
        first: usize,
    ) -> Result<ColumnWriter<'a>> {
        let column = table.find(&self.name)?;
        let (format, index) = match &self.encoding {
            ColumnEncoding::Numeric { format, .. } => {
                (format.or(table.number_format(column)).unwrap_or_default(), None)
            }
            ColumnEncoding::Categorical { names, equality, .. } => (NumberFormat::PLAIN, Some(equality.index(names))),
        };
        Ok(ColumnWriter {
            table,
            column,
            encoding: &self.encoding,
            format,
            categories: index,
            unknown_category,
            first_feature: first,
        })
    }
}

/// Writes the features of one column.
pub(crate) struct ColumnWriter<'a> {
    table: &'a Table,
    column: usize,
    encoding: &'a ColumnEncoding,
    format: NumberFormat,
    categories: Option<CategoryIndex>,
    unknown_category: UnknownCategory,
    first_feature: usize,
}

impl ColumnWriter<'_> {
    /// Writes the features of a row to its place in `into`, which is zeros so far.
    pub fn write(&self, row: usize, into: &mut [f32]) -> Result<()> {
        let Self { table, column, first_feature: first, .. } = *self;
        let text = table.cell_text(row, column);
        let cell = Some(text).filter(|cell| !table.missing.contains(cell));
        match self.encoding {
            ColumnEncoding::Numeric { fill_value: fill, offset, .. } => {
                let value = cell.map_or(*fill, |text| self.format.parse_later(text));
                let value = value.ok_or_else(|| table.cell_error(row, column, self.format.expected()))?;
                into[first] = (value - f64::from(*offset)) as f32;
            }
            ColumnEncoding::Categorical { names, fill_category: fill, one_hot, .. } => {
                let find = |text| self.categories.as_ref().and_then(|index| index.find(text));
                match cell.map_or(*fill, find).filter(|id| *id < names.len()) {
                    Some(id) if *one_hot => into[first + id] = 1.0,
                    Some(id) => into[first] = id as f32,
                    None if cell.is_none() || self.unknown_category == UnknownCategory::Error => {
                        return Err(table.cell_error(row, column, format_args!("one of {}", join_names(names))));
                    }
                    None if *one_hot => {}
                    None => into[first] = -1.0,
                }
            }
        }
        Ok(())
    }
}

/// What is subtracted from the numbers of a column, so that they stay different as f32: 0 if they do anyway.
pub(crate) fn column_offset(table: &Table, column: usize) -> f32 {
    let scan = table.scans[column];
    let values = || {
        let format = scan.format.unwrap_or_default();
        table.column_cells(column).flatten().filter_map(|cell| format.parse(cell)).collect()
    };
    if scan.is_inexact { resolution_offset(scan.range, values) } else { 0.0 }
}

/// What stands for a missing number of a column.
fn numeric_fill(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Option<f64>> {
    if table.number_format(column).is_some() && settings.numeric_imputation == NumericImputation::Error {
        // All cells are numbers, and nothing is filled in.
        return Ok(None);
    }
    let format = table.number_format(column).unwrap_or_default();
    let mut values = Vec::new();
    for (row, text) in table.column_cells(column).enumerate().filter_map(|(row, cell)| Some((row, cell?))) {
        values.push(format.parse(text).ok_or_else(|| table.cell_error(row, column, "a number"))?);
    }
    if values.is_empty() {
        return Err(empty_column_error(table, column));
    }
    Ok(match settings.numeric_imputation {
        NumericImputation::Error => None,
        NumericImputation::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
        NumericImputation::Median => {
            values.sort_by(f64::total_cmp);
            let [low, high] = [(values.len() - 1) / 2, values.len() / 2].map(|at| values[at]);
            Some((low + high) / 2.0)
        }
        NumericImputation::Constant(value) => Some(f64::from(value)),
    })
}

/// Refuses more categories than a column may have, with a cell that may be the wrong one among numbers.
pub(crate) fn check_count(table: &Table, column: usize, count: usize, max: usize, advice: &str) -> Result<()> {
    if count <= max {
        return Ok(());
    }
    let mut cells = table.column_cells(column).enumerate();
    let is_text = |cell: &(usize, Option<&str>)| cell.1.is_some_and(|text| NumberFormat::PLAIN.parse(text).is_none());
    let example = cells.find(is_text).map_or(String::new(), |(row, cell)| {
        format!("; {} in line {} is no number", quote(cell.unwrap_or_default()), table.lines[row])
    });
    let place = format!("column {}", quote(&table.column_names[column]));
    let got = format!("{count}{example}; {advice}");
    Err(format_error(&table.file, place, format_args!("at most {max} categories"), got))
}

fn fit_categories(table: &Table, column: usize, settings: &EncoderSettings) -> Result<ColumnEncoding> {
    let equality = Equality::for_column(table, column);
    let categories = equality.categories(table.column_cells(column).flatten());
    if categories.is_empty() {
        return Err(empty_column_error(table, column));
    }
    let (mut names, counts): (Vec<String>, Vec<usize>) = categories.into_iter().unzip();
    check_count(table, column, names.len(), settings.max_categories, "to leave it out, name it in features")?;
    let is_missing_somewhere = table.scans[column].missing > 0;
    let fill = match settings.category_imputation {
        CategoryImputation::Error => None,
        // The last of equals wins, so they are walked backwards.
        CategoryImputation::MostFrequent => (0..names.len()).rev().max_by_key(|id| counts[*id]),
        CategoryImputation::NewCategory if is_missing_somewhere => {
            names.push(String::new());
            Some(names.len() - 1)
        }
        CategoryImputation::NewCategory => None,
    };
    Ok(ColumnEncoding::Categorical {
        names,
        fill_category: fill,
        one_hot: settings.category_encoding == CategoryEncoding::OneHot,
        equality,
    })
}

fn empty_column_error(table: &Table, column: usize) -> Error {
    let place = format!("column {}", quote(&table.column_names[column]));
    format_error(&table.file, place, "at least one value", format_args!("{} missing ones", table.rows()))
}
