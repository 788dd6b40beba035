//! The summary of a column.

use std::fmt::{self, Display};

use crate::data::table::number_format::NumberFormat;

/// The summary of a column of a [`Table`](crate::data::table::Table).
///
/// Its `Display` text is one line.
#[doc(alias = "dtype")]
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name of the column.
    pub name: String,
    /// The number of missing cells.
    pub missing: usize,
    /// The kind of the other cells.
    pub kind: ColumnKind,
    /// The number format, if the column is numeric.
    pub format: Option<NumberFormat>,
    /// A second number format that fits all cells but gives different numbers, with the minimum and maximum in that
    /// format. The cells alone do not decide between the two formats.
    pub alternative: Option<(NumberFormat, [f64; 2])>,
}

/// The kind of the cells of a column that are not missing.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// All cells are numbers.
    Numeric {
        /// The smallest number.
        min: f64,
        /// The largest number.
        max: f64,
    },
    /// At least one cell is not a number.
    Categorical {
        /// The number of different categories.
        count: usize,
    },
    /// All cells are missing.
    Empty,
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.kind {
            ColumnKind::Numeric { min, max } => {
                write!(f, "numbers from {min} to {max}")?;
                if let Some(format) = self.format.filter(|format| *format != NumberFormat::PLAIN) {
                    write!(f, ", written with {format}")?;
                }
            }
            ColumnKind::Categorical { count } => write!(f, "{count} categories")?,
            ColumnKind::Empty => f.write_str("empty")?,
        }
        if self.missing > 0 { write!(f, ", {} missing", self.missing) } else { Ok(()) }
    }
}
