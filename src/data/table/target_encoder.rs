//! The encoder of the target column, which becomes classes or values.

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::Targets,
        table::{
            Table,
            categories::Equality,
            column_encoder::{check_category_count, column_offset},
            number_format::NumberFormat,
            settings::TargetKind,
        },
    },
    error::Result,
    util::files::join_names,
};

/// The maximum number of different whole numbers that [`TargetKind::Auto`] takes as classes.
const MAX_AUTO_CLASSES: usize = 20;

/// The encoder of the target column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetEncoder {
    pub name: String,
    /// The names of the classes by id. `None` if the targets are values.
    pub classes: Option<Vec<String>>,
    /// The rule by which two cells are the same class.
    #[serde(default)]
    equality: Equality,
    /// The number format, if all cells are numbers.
    #[serde(default)]
    pub format: Option<NumberFormat>,
    /// The number that is subtracted in f64 before a value becomes an f32.
    #[serde(default)]
    pub offset: f32,
}

impl TargetEncoder {
    /// Fits an encoder to the target column. `max_classes` limits the classes of [`TargetKind::Auto`].
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) if a target is missing, if a value is not a number, or if there are too
    /// many classes.
    pub fn fit(table: &Table, column: usize, kind: TargetKind, max_classes: usize) -> Result<Self> {
        let format = table.number_format(column);
        let mut are_whole = format.is_some();
        for (row, cell) in table.raw.column_cells(column).enumerate() {
            let text = cell.ok_or_else(|| table.raw.cell_error(row, column, "a target value"))?;
            let value = format.unwrap_or_default().parse(text);
            if value.is_none() && kind == TargetKind::Values {
                return Err(table.raw.number_error(row, column, NumberFormat::PLAIN));
            }
            are_whole &= value.is_some_and(|value| value.fract() == 0.0);
        }
        let equality = table.equality(column);
        let may_be_classes = match kind {
            TargetKind::Auto => are_whole || format.is_none(),
            TargetKind::Classes => true,
            TargetKind::Values => false,
        };
        let mut categories = Vec::new();
        if may_be_classes {
            categories = equality.count_categories(table.raw.column_cells(column).flatten());
        }
        let are_few = categories.len() <= MAX_AUTO_CLASSES && 2 * categories.len() <= table.rows();
        let are_classes = match kind {
            TargetKind::Auto => are_whole && are_few || format.is_none(),
            TargetKind::Classes => true,
            TargetKind::Values => false,
        };
        if are_classes && kind == TargetKind::Auto {
            let hint = "to allow more classes, set TargetKind::Classes";
            check_category_count(table, column, categories.len(), max_classes, hint)?;
        }
        let name = table.column_names()[column].clone();
        let (classes, offset) = if are_classes {
            (Some(categories.into_iter().map(|(name, _)| name).collect()), 0.0)
        } else {
            (None, column_offset(table, column))
        };
        Ok(Self { name, classes, equality, format, offset })
    }

    /// Returns the targets of a table.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) if the table has no target column, or if a target is missing, not a
    /// number or an unknown class.
    pub fn encode(&self, table: &Table) -> Result<Targets> {
        let column = table.raw.find_column(&self.name)?;
        let cells = table.raw.column_cells(column).enumerate();
        match &self.classes {
            None => {
                let format = self.format_for(table, column);
                let mut values = Vec::with_capacity(table.rows());
                for (row, cell) in cells {
                    let value = cell.and_then(|text| format.parse_later(text));
                    let value = value.ok_or_else(|| table.raw.number_error(row, column, format))?;
                    values.push((value - f64::from(self.offset)) as f32);
                }
                Ok(Targets::Values(values))
            }
            Some(classes) => {
                let index = self.equality.index(classes);
                let mut ids = Vec::with_capacity(table.rows());
                for (row, cell) in cells {
                    let expected = || format!("one of {}", join_names(classes));
                    let id = cell.and_then(|text| index.find(text));
                    ids.push(id.ok_or_else(|| table.raw.cell_error(row, column, expected()))? as u32);
                }
                Ok(Targets::Classes(ids))
            }
        }
    }

    /// Returns the class id of each row; `None` for a missing target or an unknown class.
    pub fn known_classes(&self, table: &Table, column: usize) -> Vec<Option<u32>> {
        let index = self.equality.index(self.classes.as_deref().unwrap_or_default());
        table.raw.column_cells(column).map(|cell| index.find(cell?).map(|id| id as u32)).collect()
    }

    /// Returns the value of each row; `None` for a target that is missing or not a number.
    pub fn known_values(&self, table: &Table, column: usize) -> Vec<Option<f64>> {
        let format = self.format_for(table, column);
        table.raw.column_cells(column).map(|cell| format.parse_later(cell?)).collect()
    }

    /// Returns the number format of the fitted table. Files of earlier versions have none; then returns the format of
    /// `table`.
    fn format_for(&self, table: &Table, column: usize) -> NumberFormat {
        self.format.or(table.number_format(column)).unwrap_or_default()
    }
}
