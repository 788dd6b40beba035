//! How the target column becomes classes or numbers.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::Targets,
        table::{
            Table,
            categories::Equality,
            column::{check_count, column_offset},
            number_format::NumberFormat,
            settings::TargetKind,
        },
    },
    error::Result,
    util::files::join_names,
};

/// The most whole numbers that are taken for classes.
const MAX_AUTO_CLASSES: usize = 20;

/// The target column, and its classes if it has any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoder {
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

impl TargetEncoder {
    /// Learns what the targets are; none may be missing.
    pub fn fit(table: &Table, column: usize, kind: TargetKind, max: usize) -> Result<Self> {
        let format = table.number_format(column);
        let mut are_whole = format.is_some();
        for (row, cell) in table.column_cells(column).enumerate() {
            let text = cell.ok_or_else(|| table.cell_error(row, column, "a target value"))?;
            let value = format.unwrap_or_default().parse(text);
            if value.is_none() && kind == TargetKind::Values {
                return Err(table.cell_error(row, column, "a number"));
            }
            are_whole &= value.is_some_and(|value| value.fract() == 0.0);
        }
        let equality = Equality::for_column(table, column);
        // Classes that are more than few are not counted for a target of numbers.
        let different = match kind {
            TargetKind::Values => Vec::new(),
            TargetKind::Auto if format.is_some() && !are_whole => Vec::new(),
            _ => equality.categories(table.column_cells(column).flatten()),
        };
        let are_few = different.len() <= MAX_AUTO_CLASSES && 2 * different.len() <= table.rows();
        let are_classes = match kind {
            TargetKind::Auto => are_whole && are_few || format.is_none(),
            TargetKind::Classes => true,
            TargetKind::Values => false,
        };
        if are_classes && kind == TargetKind::Auto {
            check_count(table, column, different.len(), max, "to learn so many classes, ask for classes")?;
        }
        let name = table.column_names[column].clone();
        let (classes, offset) = match are_classes {
            true => (Some(different.into_iter().map(|(name, _)| name).collect()), 0.0),
            false => (None, column_offset(table, column)),
        };
        Ok(Self { name, classes, equality, format, offset })
    }

    /// The targets of the rows of a table.
    pub fn encode(&self, table: &Table) -> Result<Targets> {
        let column = table.find(&self.name)?;
        let cells = table.column_cells(column).enumerate();
        match &self.classes {
            None => {
                let format = self.format.or(table.number_format(column)).unwrap_or_default();
                let value = |(row, cell): (usize, Option<&str>)| {
                    let value = cell.and_then(|text| format.parse_later(text));
                    let value = value.map(|value| (value - f64::from(self.offset)) as f32);
                    value.ok_or_else(|| table.cell_error(row, column, format.expected()))
                };
                cells.map(value).collect::<Result<_>>().map(Targets::Values)
            }
            Some(classes) => {
                let index = self.equality.index(classes);
                let id = |(row, cell): (usize, Option<&str>)| {
                    let id = cell.and_then(|text| index.find(text)).map(|id| id as u32);
                    id.ok_or_else(|| table.cell_error(row, column, format_args!("one of {}", join_names(classes))))
                };
                cells.map(id).collect::<Result<_>>().map(Targets::Classes)
            }
        }
    }

    /// The classes of the rows of a table whose target is known.
    pub fn known_classes(&self, table: &Table, column: usize) -> Vec<Option<u32>> {
        let index = self.equality.index(self.classes.as_deref().unwrap_or_default());
        table.column_cells(column).map(|cell| index.find(cell?).map(|id| id as u32)).collect()
    }

    /// The numbers of the rows of a table whose target is known.
    pub fn known_values(&self, table: &Table, column: usize) -> Vec<Option<f64>> {
        let format = self.format.or(table.number_format(column)).unwrap_or_default();
        table.column_cells(column).map(|cell| format.parse_later(cell?)).collect()
    }
}
