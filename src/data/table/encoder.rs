//! From a table to numbers: learned once, applied to every table with these columns, and saved with a model.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::Dataset,
        table::{
            Table,
            answer::TargetEncoder,
            column::ColumnEncoder,
            number_format::NumberFormat,
            settings::{CsvSettings, EncoderSettings, FeatureColumns, NumericImputation, UnknownCategory},
        },
    },
    error::{Error, Result, try_with_capacity},
    util::files::join_names,
};

/// The cells that one thread encodes before the next takes over.
const CELLS_PER_THREAD: usize = 1 << 16;

/// Turns the rows of a table into features and answers, as it learned to from one.
///
/// ```
/// use gradus::{data::table::{Encoder, EncoderSettings, Table}};
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
    columns: Vec<ColumnEncoder>,
    target: TargetEncoder,
    unknown_category: UnknownCategory,
    /// How the table that it learned from was read.
    #[serde(default)]
    csv: Option<CsvSettings>,
}

impl Encoder {
    /// Learned from a table: which numbers its columns become, where `answer` names the column that a network should tell.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a name that is no column of the table, features without a column or with the answer, or a value
    /// to fill in that is not finite; [`Error::Format`] with line and column for a cell that is missing or no number where
    /// that is refused, and for a column that has no values or too many categories.
    pub fn fit(table: &Table, target: &str, settings: &EncoderSettings) -> Result<Self> {
        let answer_at = find_column(table, "column of answers", target)?;
        for name in settings.numeric.iter().chain(&settings.categorical) {
            find_column(table, "column of numbers or categories", name)?;
        }
        if let Some(name) = settings.numeric.iter().find(|name| settings.categorical.contains(name)) {
            return setting_error("column", "numbers or categories", format!("{name:?} as both"));
        }
        if let NumericImputation::Constant(value) = settings.numeric_imputation
            && !value.is_finite()
        {
            return setting_error("missing number", "a finite number", value.to_string());
        }
        let (FeatureColumns::Only(named) | FeatureColumns::Except(named)) = &settings.features else {
            return Self::fit_columns(table, answer_at, (0..table.column_names.len()).collect(), settings);
        };
        let named =
            named.iter().map(|name| find_column(table, "column of features", name)).collect::<Result<Vec<_>>>()?;
        let is_only = matches!(settings.features, FeatureColumns::Only(_));
        if is_only && named.contains(&answer_at) {
            return setting_error("column of features", "another than that of the answers", target.to_owned());
        }
        let columns = (0..table.column_names.len()).filter(|column| named.contains(column) == is_only).collect();
        Self::fit_columns(table, answer_at, columns, settings)
    }

    fn fit_columns(table: &Table, answer: usize, mut columns: Vec<usize>, settings: &EncoderSettings) -> Result<Self> {
        columns.retain(|column| *column != answer);
        if columns.is_empty() {
            return setting_error("columns of features", "at least one", "none".into());
        }
        if table.rows() == 0 {
            return setting_error("rows to learn an encoder from", "at least one", "none".into());
        }
        Ok(Self {
            target: TargetEncoder::fit(table, answer, settings.target_kind, settings.max_categories)?,
            columns: columns.into_iter().map(|at| ColumnEncoder::fit(table, at, settings)).collect::<Result<_>>()?,
            unknown_category: settings.unknown_category,
            csv: Some(table.csv_settings().clone()),
        })
    }

    /// Features and answers of a table, whose columns may be in any order and more than those it learned from.
    ///
    /// # Errors
    /// As [`Encoder::transform`], for the column of answers too, and [`Error::InvalidSetting`] if there are no rows.
    pub fn dataset(&self, table: &Table) -> Result<Dataset> {
        Dataset::new(table.rows(), self.transform(table)?, self.target.encode(table)?)
    }

    /// The features alone; the table need not have the column of answers.
    ///
    /// # Shapes
    /// - returned: `[rows, inputs]`, row by row
    ///
    /// # Errors
    /// [`Error::Format`] if a column is missing, and with line and column for a cell that is missing, no number or a
    /// category that was not learned, where that is refused; [`Error::OutOfMemory`].
    pub fn transform(&self, table: &Table) -> Result<Vec<f32>> {
        let width = self.inputs();
        let len = table.rows().saturating_mul(width);
        let mut rows = try_with_capacity(len, "the features of a table")?;
        rows.resize(len, 0.0);
        let mut first = 0;
        let mut writers = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            writers.push(column.writer(table, self.unknown_category, first)?);
            first += column.width();
        }
        let chunk = (CELLS_PER_THREAD / self.columns.len().max(1)).max(1);
        let write = |(at, rows): (usize, &mut [f32])| {
            for (row, into) in (at * chunk..).zip(rows.chunks_exact_mut(width)) {
                writers.iter().try_for_each(|writer| writer.write(row, into))?;
            }
            Ok(())
        };
        // The first error by its row, whichever thread is the first to find one.
        let failed = rows.par_chunks_mut((chunk * width).max(1)).enumerate().map(write).find_first(Result::is_err);
        failed.unwrap_or(Ok(())).map(|()| rows)
    }

    /// The same encoder, with another treatment of categories that it did not learn.
    #[must_use]
    pub fn with_unknown_category(self, unknown_category: UnknownCategory) -> Self {
        Self { unknown_category, ..self }
    }

    /// The same encoder, which reads the numbers of a column in another format; nothing changes for other columns.
    #[must_use]
    pub fn with_number_format(mut self, column: &str, format: NumberFormat) -> Self {
        self.columns.iter_mut().filter(|one| one.name == column).for_each(|one| one.set_number_format(format));
        if self.target.name == column && self.target.classes.is_none() {
            self.target.format = Some(format);
        }
        self
    }

    /// How the file was read that it learned from: later files have to be read alike. None for an encoder that was saved by
    /// a version that did not keep it.
    pub const fn csv_settings(&self) -> Option<&CsvSettings> {
        self.csv.as_ref()
    }

    /// How the numbers of a column are written that it learned from, features or target; none for other columns.
    pub fn number_format(&self, column: &str) -> Option<NumberFormat> {
        let feature = self.columns.iter().find(|one| one.name == column).and_then(ColumnEncoder::number_format);
        feature.or(self.target.format.filter(|_| self.target.name == column && self.target.classes.is_none()))
    }

    /// What is subtracted from a numeric target before it becomes an f32, so that the values of a column near 1e9 stay
    /// different: a network that is trained on [`Encoder::dataset`] predicts the target minus this number. It is 0 if the
    /// targets stay different without it.
    pub const fn target_offset(&self) -> f32 {
        self.target.offset
    }

    /// The class ids of the rows of a table; none in a row whose target is missing or not one of the classes, and in all
    /// rows if the table has no target column or the targets are numbers.
    pub fn target_classes(&self, table: &Table) -> Vec<Option<u32>> {
        match (table.find(&self.target.name), &self.target.classes) {
            (Ok(column), Some(_)) => self.target.known_classes(table, column),
            _ => vec![None; table.rows()],
        }
    }

    /// The numeric targets of the rows of a table, as they stand in it; none in a row whose target is missing or not a
    /// number, and in all rows if the table has no target column or the targets are classes.
    pub fn target_values(&self, table: &Table) -> Vec<Option<f64>> {
        match (table.find(&self.target.name), &self.target.classes) {
            (Ok(column), None) => self.target.known_values(table, column),
            _ => vec![None; table.rows()],
        }
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(ColumnEncoder::width).sum()
    }

    /// The names of the features: a column's, or `column=category`.
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(ColumnEncoder::feature_names).collect()
    }

    /// The names of the columns that it learned from, without the target.
    pub fn columns(&self) -> Vec<&String> {
        self.columns.iter().map(|column| &column.name).collect()
    }

    /// The name of the column of answers.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// The names of the classes by their ids; none if the answers are numbers.
    pub fn classes(&self) -> Option<&[String]> {
        self.target.classes.as_deref()
    }
}

fn find_column(table: &Table, what: &'static str, name: &str) -> Result<usize> {
    let found = table.column_names.iter().position(|one| one == name);
    found.ok_or_else(|| Error::InvalidSetting {
        name: what,
        expected: format!("one of {}", join_names(&table.column_names)),
        got: name.to_owned(),
    })
}

fn setting_error<T>(what: &'static str, expected: &str, got: String) -> Result<T> {
    Err(Error::InvalidSetting { name: what, expected: expected.to_owned(), got })
}
