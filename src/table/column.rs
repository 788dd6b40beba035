//! How one column becomes features.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{ColumnKind, EncoderSettings, MissingCategory, MissingNumber, Table, Unseen, quoted};
use crate::{
    Error, Result,
    formats::{list, wrong},
    table::Coding,
};

/// A column by its name, and what its cells become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Coded {
    pub name: String,
    code: Code,
}

/// What the cells of a column become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Code {
    Number {
        /// What stands for a missing one.
        fill: Option<f32>,
    },
    Categories {
        /// In the order of their features or ids; the empty text is the category of what is missing.
        names: Vec<String>,
        /// Which of them stands for a missing one.
        fill: Option<usize>,
        one_hot: bool,
    },
}

impl Coded {
    /// Learns what a column's cells become.
    pub fn learn(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Self> {
        let name = table.names[column].clone();
        let is_text = matches!(table.column(column).kind, ColumnKind::Categories { .. });
        let is_number = settings.numbers.contains(&name) || !is_text && !settings.categories.contains(&name);
        let code = match is_number {
            true => Code::Number { fill: fill_of_numbers(table, column, settings)? },
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

    /// Writes its features to the columns from `first` on of rows that are `width` wide, and zeros so far.
    pub fn write(&self, table: &Table, unseen: Unseen, first: usize, width: usize, rows: &mut [f32]) -> Result<()> {
        let column = table.find(&self.name)?;
        let cells = table.cells(column).enumerate().zip(rows.chunks_exact_mut(width.max(1)));
        match &self.code {
            Code::Number { fill } => {
                for ((row, cell), into) in cells {
                    let value = cell.map_or(*fill, |text| table.number(text).map(|value| value as f32));
                    into[first] = value.ok_or_else(|| table.wrong(row, column, "a number"))?;
                }
            }
            Code::Categories { names, fill, one_hot } => {
                let ids: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
                for ((row, cell), into) in cells {
                    match cell.map_or(*fill, |text| ids.get(text).copied()).filter(|id| *id < names.len()) {
                        Some(id) if *one_hot => into[first + id] = 1.0,
                        Some(id) => into[first] = id as f32,
                        None if cell.is_none() || unseen == Unseen::Refuse => {
                            return Err(table.wrong(row, column, format_args!("one of {}", list(names))));
                        }
                        None if *one_hot => {}
                        None => into[first] = -1.0,
                    }
                }
            }
        }
        Ok(())
    }
}

/// What stands for a missing number of a column.
fn fill_of_numbers(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Option<f32>> {
    let mut values = Vec::new();
    for (row, text) in table.cells(column).enumerate().filter_map(|(row, cell)| Some((row, cell?))) {
        values.push(table.number(text).ok_or_else(|| table.wrong(row, column, "a number"))?);
    }
    if values.is_empty() {
        return Err(nothing_there(table, column));
    }
    Ok(match settings.missing_number {
        MissingNumber::Refuse => None,
        MissingNumber::Mean => Some((values.iter().sum::<f64>() / values.len() as f64) as f32),
        MissingNumber::Median => {
            values.sort_by(f64::total_cmp);
            let [low, high] = [(values.len() - 1) / 2, values.len() / 2].map(|at| values[at]);
            Some(((low + high) / 2.0) as f32)
        }
        MissingNumber::Value(value) => Some(value),
    })
}

/// Refuses more categories than a column may have, with a cell that may be the wrong one among numbers.
pub(super) fn check_count(table: &Table, column: usize, count: usize, most: usize, advice: &str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let mut cells = table.cells(column).enumerate();
    let is_text = |cell: &(usize, Option<&str>)| cell.1.is_some_and(|text| table.number(text).is_none());
    let example = cells.find(is_text).map_or(String::new(), |(row, cell)| {
        format!("; {} in line {} is no number", quoted(cell.unwrap_or_default()), table.lines[row])
    });
    let place = format!("column {}", quoted(&table.names[column]));
    let got = format!("{count}{example}; {advice}");
    Err(wrong(&table.file, place, format_args!("at most {most} categories"), got))
}

fn categories(table: &Table, column: usize, settings: &EncoderSettings) -> Result<Code> {
    let mut counts = HashMap::<&str, usize>::new();
    table.cells(column).flatten().for_each(|text| *counts.entry(text).or_default() += 1);
    if counts.is_empty() {
        return Err(nothing_there(table, column));
    }
    let mut names = sorted(table, counts.keys().copied());
    check_count(table, column, names.len(), settings.most_categories, "to leave it out, name it in features")?;
    let is_missing_somewhere = table.cells(column).any(|cell| cell.is_none());
    let fill = match settings.missing_category {
        MissingCategory::Refuse => None,
        // The last of equals wins, so they are walked backwards.
        MissingCategory::MostFrequent => {
            (0..names.len()).rev().max_by_key(|id| counts.get(names[*id].as_str()).copied())
        }
        MissingCategory::Own if is_missing_somewhere => {
            names.push(String::new());
            Some(names.len() - 1)
        }
        MissingCategory::Own => None,
    };
    Ok(Code::Categories { names, fill, one_hot: settings.coding == Coding::OneHot })
}

/// Different categories: by their value where all are numbers, else by their text.
pub(super) fn sorted<'a>(table: &Table, categories: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = categories.map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    if names.iter().all(|name| table.number(name).is_some()) {
        names.sort_by(|a, b| table.number(a).partial_cmp(&table.number(b)).unwrap_or(std::cmp::Ordering::Equal));
    }
    names
}

fn nothing_there(table: &Table, column: usize) -> Error {
    let place = format!("column {}", quoted(&table.names[column]));
    wrong(&table.file, place, "at least one value", format_args!("{} missing ones", table.rows()))
}
