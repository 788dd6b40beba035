//! How the target column becomes classes or numbers.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::Answers,
        table::{
            Table,
            categories::Equality,
            column::{check_count, offset},
            number_format::NumberFormat,
            settings::AnswerKind,
        },
    },
    error::Result,
    util::files::list,
};

/// The most whole numbers that are taken for classes.
const FEW: usize = 20;

/// The target column, and its classes if it has any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub name: String,
    pub classes: Option<Vec<String>>,
    /// Which cells are the same class.
    #[serde(default)]
    equality: Equality,
    /// How its numbers are written.
    #[serde(default)]
    pub format: Option<NumberFormat>,
    /// What is subtracted from its numbers.
    #[serde(default)]
    pub offset: f32,
}

impl Answer {
    /// Learns what the targets are; none may be missing.
    pub fn learn(table: &Table, column: usize, kind: AnswerKind, most: usize) -> Result<Self> {
        let format = table.number_format(column);
        let mut are_whole = format.is_some();
        for (row, cell) in table.cells(column).enumerate() {
            let text = cell.ok_or_else(|| table.wrong(row, column, "a target value"))?;
            let value = format.unwrap_or_default().parse(text);
            if value.is_none() && kind == AnswerKind::Numbers {
                return Err(table.wrong(row, column, "a number"));
            }
            are_whole &= value.is_some_and(|value| value.fract() == 0.0);
        }
        let equality = Equality::of(table, column);
        // Classes that are more than few are not counted for a target of numbers.
        let different = match kind {
            AnswerKind::Numbers => Vec::new(),
            AnswerKind::Auto if format.is_some() && !are_whole => Vec::new(),
            _ => equality.categories(table.cells(column).flatten()),
        };
        let are_few = different.len() <= FEW && 2 * different.len() <= table.rows();
        let are_classes = match kind {
            AnswerKind::Auto => are_whole && are_few || format.is_none(),
            AnswerKind::Classes => true,
            AnswerKind::Numbers => false,
        };
        if are_classes && kind == AnswerKind::Auto {
            check_count(table, column, different.len(), most, "to learn so many classes, ask for classes")?;
        }
        let name = table.names[column].clone();
        let (classes, offset) = match are_classes {
            true => (Some(different.into_iter().map(|(name, _)| name).collect()), 0.0),
            false => (None, offset(table, column)),
        };
        Ok(Self { name, classes, equality, format, offset })
    }

    /// The targets of the rows of a table.
    pub fn encode(&self, table: &Table) -> Result<Answers> {
        let column = table.find(&self.name)?;
        let cells = table.cells(column).enumerate();
        match &self.classes {
            None => {
                let format = self.format.or(table.number_format(column)).unwrap_or_default();
                let value = |(row, cell): (usize, Option<&str>)| {
                    let value = cell.and_then(|text| format.parse_later(text));
                    let value = value.map(|value| (value - f64::from(self.offset)) as f32);
                    value.ok_or_else(|| table.wrong(row, column, format.expected()))
                };
                cells.map(value).collect::<Result<_>>().map(Answers::Values)
            }
            Some(classes) => {
                let index = self.equality.index(classes);
                let id = |(row, cell): (usize, Option<&str>)| {
                    let id = cell.and_then(|text| index.find(text)).map(|id| id as u32);
                    id.ok_or_else(|| table.wrong(row, column, format_args!("one of {}", list(classes))))
                };
                cells.map(id).collect::<Result<_>>().map(Answers::Classes)
            }
        }
    }

    /// The classes of the rows of a table whose target is known.
    pub fn known_classes(&self, table: &Table, column: usize) -> Vec<Option<u32>> {
        let index = self.equality.index(self.classes.as_deref().unwrap_or_default());
        table.cells(column).map(|cell| index.find(cell?).map(|id| id as u32)).collect()
    }

    /// The numbers of the rows of a table whose target is known.
    pub fn known_values(&self, table: &Table, column: usize) -> Vec<Option<f64>> {
        let format = self.format.or(table.number_format(column)).unwrap_or_default();
        table.cells(column).map(|cell| format.parse_later(cell?)).collect()
    }
}
