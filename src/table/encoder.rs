//! From a table to numbers: learned once, applied to every table with these columns, and saved with a model.

use serde::{Deserialize, Serialize};

use super::{EncoderSettings, FeatureColumns, MissingNumber, Table, Unseen, answer::Answer, column::Coded};
use crate::{Dataset, Error, Result, error::room, formats::list};

/// Turns the rows of a table into features and answers, as it learned to from one.
///
/// ```
/// use gradus::{Encoder, EncoderSettings, Table};
/// let names = ["height", "color", "kind"];
/// let cells = ["1.5", "red", "cat", "2.5", "blue", "dog", "2", "red", "cat"];
/// let table = Table::new(&names, &cells)?;
/// let encoder = Encoder::learn(&table, "kind", &EncoderSettings::default())?;
/// assert_eq!(encoder.feature_names(), ["height", "color=blue", "color=red"]);
/// assert_eq!(encoder.classes(), Some(&["cat".to_owned(), "dog".to_owned()][..]));
/// let data = encoder.dataset(&table)?;
/// assert_eq!((data.rows(), data.inputs()), (3, 3));
///
/// let shown = Table::new(&["color", "height"], &["blue", "3"])?;
/// assert_eq!(encoder.features(&shown)?, [3.0, 1.0, 0.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    columns: Vec<Coded>,
    answer: Answer,
    unseen: Unseen,
}

impl Encoder {
    /// Learned from a table: which numbers its columns become, where `answer` names the column that a network should tell.
    ///
    /// # Errors
    /// [`Error::Setting`] for a name that is no column of the table, features without a column or with the answer, or a value
    /// to fill in that is not finite; [`Error::Format`] with line and column for a cell that is missing or no number where
    /// that is refused, and for a column that has no values or too many categories.
    pub fn learn(table: &Table, answer: &str, settings: &EncoderSettings) -> Result<Self> {
        let answer_at = find(table, "column of answers", answer)?;
        for name in settings.numbers.iter().chain(&settings.categories) {
            find(table, "column of numbers or categories", name)?;
        }
        if let Some(name) = settings.numbers.iter().find(|name| settings.categories.contains(name)) {
            return refused("column", "numbers or categories", format!("{name:?} as both"));
        }
        if let MissingNumber::Value(value) = settings.missing_number
            && !value.is_finite()
        {
            return refused("missing number", "a finite number", value.to_string());
        }
        let (FeatureColumns::Only(named) | FeatureColumns::Except(named)) = &settings.features else {
            return Self::of_columns(table, answer_at, (0..table.names.len()).collect(), settings);
        };
        let named = named.iter().map(|name| find(table, "column of features", name)).collect::<Result<Vec<_>>>()?;
        let is_only = matches!(settings.features, FeatureColumns::Only(_));
        if is_only && named.contains(&answer_at) {
            return refused("column of features", "another than that of the answers", answer.to_owned());
        }
        let columns = (0..table.names.len()).filter(|column| named.contains(column) == is_only).collect();
        Self::of_columns(table, answer_at, columns, settings)
    }

    fn of_columns(table: &Table, answer: usize, mut columns: Vec<usize>, settings: &EncoderSettings) -> Result<Self> {
        columns.retain(|column| *column != answer);
        if columns.is_empty() {
            return refused("columns of features", "at least one", "none".into());
        }
        if table.rows() == 0 {
            return refused("rows to learn an encoder from", "at least one", "none".into());
        }
        Ok(Self {
            answer: Answer::learn(table, answer, settings.answers, settings.most_categories)?,
            columns: columns.into_iter().map(|at| Coded::learn(table, at, settings)).collect::<Result<_>>()?,
            unseen: settings.unseen,
        })
    }

    /// Features and answers of a table, whose columns may be in any order and more than those it learned from.
    ///
    /// # Errors
    /// As [`Encoder::features`], for the column of answers too, and [`Error::Setting`] if there are no rows.
    pub fn dataset(&self, table: &Table) -> Result<Dataset> {
        Dataset::new(table.rows(), self.features(table)?, self.answer.encode(table)?)
    }

    /// The features alone; the table need not have the column of answers.
    ///
    /// # Shapes
    /// - returned: `[rows, inputs]`, row by row
    ///
    /// # Errors
    /// [`Error::Format`] if a column is missing, and with line and column for a cell that is missing, no number or a
    /// category that was not learned, where that is refused; [`Error::OutOfMemory`].
    pub fn features(&self, table: &Table) -> Result<Vec<f32>> {
        let width = self.inputs();
        let len = table.rows().saturating_mul(width);
        let mut rows = room(len, "the features of a table")?;
        rows.resize(len, 0.0);
        let mut first = 0;
        for column in &self.columns {
            column.write(table, self.unseen, first, width, &mut rows)?;
            first += column.width();
        }
        Ok(rows)
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(Coded::width).sum()
    }

    /// The names of the features: a column's, or `column=category`.
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(Coded::feature_names).collect()
    }

    /// The name of the column of answers.
    pub fn answer(&self) -> &str {
        &self.answer.name
    }

    /// The names of the classes by their ids; none if the answers are numbers.
    pub fn classes(&self) -> Option<&[String]> {
        self.answer.classes.as_deref()
    }
}

fn find(table: &Table, what: &'static str, name: &str) -> Result<usize> {
    let found = table.names.iter().position(|one| one == name);
    found.ok_or_else(|| Error::Setting {
        what,
        expected: format!("one of {}", list(&table.names)),
        got: name.to_owned(),
    })
}

fn refused<T>(what: &'static str, expected: &str, got: String) -> Result<T> {
    Err(Error::Setting { what, expected: expected.to_owned(), got })
}
