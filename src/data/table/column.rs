//! How one column becomes features.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        scaling::resolution_offset,
        table::{
            Table,
            categories::{Equality, Index},
            number_format::NumberFormat,
            quoted,
            settings::{Coding, EncoderSettings, MissingCategory, MissingNumber, Unseen},
        },
    },
    error::{Error, Result},
    util::files::{list, wrong},
};

/// A column by its name, and what its cells become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coded {
    pub name: String,
    code: Code,
}

/// What the cells of a column become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Code {
    Number {
        /// What stands for a missing one.
        fill: Option<f64>,
        /// How they are written; as the table at hand has it if a file of an earlier version does not say it.
        #[serde(default)]
        format: Option<NumberFormat>,
        /// What is subtracted in f64 before a number becomes an f32.
        #[serde(default)]
        offset: f32,
    },
    Categories {
        /// In the order of their features or ids; the empty text is the category of what is missing.
        names: Vec<String>,
        /// Which of them stands for a missing one.
        fill: Option<usize>,
        one_hot: bool,
        /// Which cells are the same category.
        #[serde(default)]
        equality: Equality,
    },
}

impl Coded {
    /// Learns what a column's cells become.
    pub fn learn(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Self> {
        let name = table.names[column].clone();
        let format = table.number_format(column);
        let is_empty = table.scans[column].missing == table.rows();
        let is_number =
            settings.numbers.contains(&name) || (format.is_some() || is_empty) && !settings.categories.contains(&name);
        let code = match is_number {
            true => {
                let fill = fill_of_numbers(table, column, settings)?;
                Code::Number { fill, format, offset: offset(table, column) }
            }
            false => categories(table, column, settings)?,
        };
        Ok(Self { name, code })
    }

    /// How many features it becomes.
    pub fn width(&self) -> usize {
        match &self.code {
            Code::Categories { names, one_hot: true, .. } => names.len(),
            _ => 1,
        }
    }

    /// How its numbers are written.
    pub const fn number_format(&self) -> Option<NumberFormat> {
        if let Code::Number { format, .. } = self.code { format } else { None }
    }

    /// Sets how its numbers are written, if it has numbers.
    pub const fn set_number_format(&mut self, of: NumberFormat) {
        if let Code::Number { format, .. } = &mut self.code {
            *format = Some(of);
        }
    }

    /// The names of those features.
    pub fn feature_names(&self) -> Vec<String> {
        match &self.code {
            Code::Categories { names, one_hot: true, .. } => {
                let of = |name: &String| if name.is_empty() { "(missing)" } else { name }.to_owned();
                names.iter().map(|name| format!("{}={}", self.name, of(name))).collect()
            }
            _ => vec![self.name.clone()],
        }
    }

    /// Prepares to write its features of a table, from the feature `first` on.
    pub fn writer<'a>(&'a self, table: &'a Table, unseen: Unseen, first: usize) -> Result<Writer<'a>> {
        let column = table.find(&self.name)?;
        let (format, index) = match &self.code {
            Code::Number { format, .. } => (format.or(table.number_format(column)).unwrap_or_default(), None),
            Code::Categories { names, equality, .. } => (NumberFormat::PLAIN, Some(equality.index(names))),
        };
        Ok(Writer { table, column, code: &self.code, format, index, unseen, first })
    }
}

/// Writes the features of one column.
pub(crate) struct Writer<'a> {
    table: &'a Table,
    column: usize,
    code: &'a Code,
    format: NumberFormat,
    index: Option<Index>,
    unseen: Unseen,
    first: usize,
}

impl Writer<'_> {
    /// Writes the features of a row to its place in `into`, which is zeros so far.
    pub fn write(&self, row: usize, into: &mut [f32]) -> Result<()> {
        let Self { table, column, first, .. } = *self;
        let text = table.text_of(row, column);
        let cell = Some(text).filter(|cell| !table.missing.contains(cell));
        match self.code {
            Code::Number { fill, offset, .. } => {
                let value = cell.map_or(*fill, |text| self.format.parse_later(text));
                let value = value.ok_or_else(|| table.wrong(row, column, self.format.expected()))?;
                into[first] = (value - f64::from(*offset)) as f32;
            }
            Code::Categories { names, fill, one_hot, .. } => {
                let find = |text| self.index.as_ref().and_then(|index| index.find(text));
                match cell.map_or(*fill, find).filter(|id| *id < names.len()) {
                    Some(id) if *one_hot => into[first + id] = 1.0,
                    Some(id) => into[first] = id as f32,
                    None if cell.is_none() || self.unseen == Unseen::Refuse => {
                        return Err(table.wrong(row, column, format_args!("one of {}", list(names))));
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
pub(crate) fn offset(table: &Table, column: usize) -> f32 {
    let scan = table.scans[column];
    let values = || {
        let format = scan.format.unwrap_or_default();
        table.cells(column).flatten().filter_map(|cell| format.parse(cell)).collect()
    };
    if scan.is_inexact { resolution_offset(scan.range, values) } else { 0.0 }
}

/// What stands for a missing number of a column.
fn fill_of_numbers(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Option<f64>> {
    if table.number_format(column).is_some() && settings.missing_number == MissingNumber::Refuse {
        // All cells are numbers, and nothing is filled in.
        return Ok(None);
    }
    let format = table.number_format(column).unwrap_or_default();
    let mut values = Vec::new();
    for (row, text) in table.cells(column).enumerate().filter_map(|(row, cell)| Some((row, cell?))) {
        values.push(format.parse(text).ok_or_else(|| table.wrong(row, column, "a number"))?);
    }
    if values.is_empty() {
        return Err(nothing_there(table, column));
    }
    Ok(match settings.missing_number {
        MissingNumber::Refuse => None,
        MissingNumber::Mean => Some(values.iter().sum::<f64>() / values.len() as f64),
        MissingNumber::Median => {
            values.sort_by(f64::total_cmp);
            let [low, high] = [(values.len() - 1) / 2, values.len() / 2].map(|at| values[at]);
            Some((low + high) / 2.0)
        }
        MissingNumber::Value(value) => Some(f64::from(value)),
    })
}

/// Refuses more categories than a column may have, with a cell that may be the wrong one among numbers.
pub(crate) fn check_count(table: &Table, column: usize, count: usize, most: usize, advice: &str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let mut cells = table.cells(column).enumerate();
    let is_text = |cell: &(usize, Option<&str>)| cell.1.is_some_and(|text| NumberFormat::PLAIN.parse(text).is_none());
    let example = cells.find(is_text).map_or(String::new(), |(row, cell)| {
        format!("; {} in line {} is no number", quoted(cell.unwrap_or_default()), table.lines[row])
    });
    let place = format!("column {}", quoted(&table.names[column]));
    let got = format!("{count}{example}; {advice}");
    Err(wrong(&table.file, place, format_args!("at most {most} categories"), got))
}

fn categories(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Code> {
    let equality = Equality::of(table, column);
    let categories = equality.categories(table.cells(column).flatten());
    if categories.is_empty() {
        return Err(nothing_there(table, column));
    }
    let (mut names, counts): (Vec<String>, Vec<usize>) = categories.into_iter().unzip();
    check_count(table, column, names.len(), settings.most_categories, "to leave it out, name it in features")?;
    let is_missing_somewhere = table.scans[column].missing > 0;
    let fill = match settings.missing_category {
        MissingCategory::Refuse => None,
        // The last of equals wins, so they are walked backwards.
        MissingCategory::MostFrequent => (0..names.len()).rev().max_by_key(|id| counts[*id]),
        MissingCategory::Own if is_missing_somewhere => {
            names.push(String::new());
            Some(names.len() - 1)
        }
        MissingCategory::Own => None,
    };
    Ok(Code::Categories { names, fill, one_hot: settings.coding == Coding::OneHot, equality })
}

fn nothing_there(table: &Table, column: usize) -> Error {
    let place = format!("column {}", quoted(&table.names[column]));
    wrong(&table.file, place, "at least one value", format_args!("{} missing ones", table.rows()))
}
