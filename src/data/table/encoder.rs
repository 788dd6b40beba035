//! The encoder of a table: it turns the rows into features and targets.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    data::{
        dataset::Dataset,
        table::{
            Table,
            column_encoder::ColumnEncoder,
            number_format::NumberFormat,
            raw_table::quote,
            settings::{CsvSettings, EncoderSettings, FeatureColumns, NumericImputation, UnknownCategory},
            target_encoder::TargetEncoder,
        },
    },
    error::{Error, Result, try_with_capacity},
    util::files::join_names,
};

/// The number of cells that one thread encodes at a time.
const CELLS_PER_THREAD: usize = 1 << 16;

/// An encoder that turns the rows of a table into features and targets. It is fitted to one table, and encodes later
/// tables in the same way.
///
/// Numeric columns become one feature, and categorical columns one feature per category or one ordinal id; see
/// [`EncoderSettings`]. An encoder can be saved with serde, for example in the metadata of a model.
///
/// ```
/// use gradus::data::table::{Encoder, EncoderSettings, Table};
///
/// let names = ["height", "color", "kind"];
/// let cells = ["1.5", "red", "cat", "2.5", "blue", "dog", "2", "red", "cat"];
/// let table = Table::new(&names, &cells)?;
/// let encoder = Encoder::fit(&table, "kind", &EncoderSettings::default())?;
/// assert_eq!(encoder.feature_names(), ["height", "color=blue", "color=red"]);
/// assert_eq!(encoder.classes(), Some(&["cat".to_owned(), "dog".to_owned()][..]));
/// let data = encoder.dataset(&table)?;
/// assert_eq!((data.rows(), data.inputs()), (3, 3));
///
/// let new_table = Table::new(&["color", "height"], &["blue", "3"])?;
/// assert_eq!(encoder.transform(&new_table)?, [3.0, 1.0, 0.0]);
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "ColumnTransformer")]
#[doc(alias = "OneHotEncoder")]
#[doc(alias = "OrdinalEncoder")]
#[doc(alias = "LabelEncoder")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    columns: Vec<ColumnEncoder>,
    target: TargetEncoder,
    unknown_category: UnknownCategory,
    /// The settings that the fitted table was read with. `None` in files of earlier versions.
    #[serde(default)]
    csv: Option<CsvSettings>,
}

impl Encoder {
    /// Fits an encoder to a table. `target` is the name of the column to predict.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if the table has no column of a given name, if the features include the target or
    ///   are empty, or if a column is both numeric and categorical.
    /// - [`Error::InvalidSetting`] if the table has no rows, or if the constant of [`NumericImputation::Constant`] is
    ///   not finite.
    /// - [`Error::Format`] with line and column if a target is missing or invalid, or if a cell of
    ///   [`EncoderSettings::numeric`] is not a number.
    /// - [`Error::Format`] if all cells of a column are missing, or if it has more than
    ///   [`EncoderSettings::max_categories`] categories.
    pub fn fit(table: &Table, target: &str, settings: &EncoderSettings) -> Result<Self> {
        let target_column = find_column(table, "target", target)?;
        for name in &settings.numeric {
            find_column(table, "numeric", name)?;
            if settings.categorical.contains(name) {
                let got = format!("{}, which is in both; remove it from one of them", quote(name));
                return setting_error("numeric", "columns that are not in categorical", got);
            }
        }
        for name in &settings.categorical {
            find_column(table, "categorical", name)?;
        }
        if let NumericImputation::Constant(value) = settings.numeric_imputation
            && !value.is_finite()
        {
            return setting_error("numeric_imputation", "a finite constant", value.to_string());
        }
        if table.rows() == 0 {
            return setting_error("rows of the table", "at least 1", "0".to_owned());
        }
        let columns = select_feature_columns(table, target_column, &settings.features)?;
        let fit_column = |column| ColumnEncoder::fit(table, column, settings);
        Ok(Self {
            target: TargetEncoder::fit(table, target_column, settings.target_kind, settings.max_categories)?,
            columns: columns.into_iter().map(fit_column).collect::<Result<_>>()?,
            unknown_category: settings.unknown_category,
            csv: Some(table.csv_settings().clone()),
        })
    }

    /// Returns the features and targets of a table, as a data set.
    ///
    /// The columns of the table may be in any order. Additional columns are ignored.
    ///
    /// # Errors
    /// - [`Error::Format`] under the conditions of [`Encoder::transform`], also for the target column.
    /// - [`Error::InvalidSetting`] if the table has no rows.
    /// - [`Error::OutOfMemory`] if the host cannot allocate the features.
    pub fn dataset(&self, table: &Table) -> Result<Dataset> {
        Dataset::new(table.rows(), self.transform(table)?, self.target.encode(table)?)
    }

    /// Returns the features of a table, which needs no target column.
    ///
    /// # Shapes
    /// - returned: `[rows, inputs]`, row by row
    ///
    /// # Errors
    /// - [`Error::Format`] if a column is missing.
    /// - [`Error::Format`] with line and column if a cell of a numeric column is not a number, if a cell is missing and
    ///   the encoder has no replacement ([`EncoderSettings::numeric_imputation`],
    ///   [`EncoderSettings::category_imputation`]), or if a category is unknown and
    ///   [`EncoderSettings::unknown_category`] is [`UnknownCategory::Error`].
    /// - [`Error::OutOfMemory`] if the host cannot allocate the features.
    pub fn transform(&self, table: &Table) -> Result<Vec<f32>> {
        let width = self.inputs();
        let len = table.rows().saturating_mul(width);
        let mut features = try_with_capacity(len, "the features of a table")?;
        features.resize(len, 0.0);
        let mut first_feature = 0;
        let mut writers = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            writers.push(column.writer(table, self.unknown_category, first_feature)?);
            first_feature += column.width();
        }
        let rows_per_chunk = (CELLS_PER_THREAD / self.columns.len().max(1)).max(1);
        let write_chunk = |(chunk, chunk_features): (usize, &mut [f32])| -> Result<()> {
            for (row, row_features) in (chunk * rows_per_chunk..).zip(chunk_features.chunks_exact_mut(width)) {
                writers.iter().try_for_each(|writer| writer.write(row, row_features))?;
            }
            Ok(())
        };
        // Return the error of the first invalid row, regardless of the order in which the threads find errors.
        let chunks = features.par_chunks_mut((rows_per_chunk * width).max(1)).enumerate();
        let first_error = chunks.map(write_chunk).find_first(Result::is_err);
        match first_error {
            Some(Err(error)) => Err(error),
            Some(Ok(())) | None => Ok(features),
        }
    }

    /// Returns this encoder with another treatment of unknown categories.
    #[must_use]
    #[doc(alias = "handle_unknown")]
    pub fn with_unknown_category(self, unknown_category: UnknownCategory) -> Self {
        Self { unknown_category, ..self }
    }

    /// Returns this encoder with another number format for a numeric column; does nothing for other columns.
    #[must_use]
    pub fn with_number_format(mut self, column: &str, format: NumberFormat) -> Self {
        for encoder in self.columns.iter_mut().filter(|encoder| encoder.name == column) {
            encoder.set_number_format(format);
        }
        if self.is_numeric_target(column) {
            self.target.format = Some(format);
        }
        self
    }

    /// Returns the settings that the fitted table was read with. Later files must be read with the same settings.
    ///
    /// `None` if an earlier version saved the encoder without them.
    pub const fn csv_settings(&self) -> Option<&CsvSettings> {
        self.csv.as_ref()
    }

    /// Returns the number format of a numeric feature column or target; `None` for other columns.
    pub fn number_format(&self, column: &str) -> Option<NumberFormat> {
        let encoder = self.columns.iter().find(|encoder| encoder.name == column);
        if let Some(format) = encoder.and_then(ColumnEncoder::number_format) {
            return Some(format);
        }
        if self.is_numeric_target(column) { self.target.format } else { None }
    }

    fn is_numeric_target(&self, column: &str) -> bool {
        self.target.name == column && self.target.classes.is_none()
    }

    /// Returns the number that the encoder subtracts in f64 from numeric targets, so that targets far from 0, for
    /// example near 1e9, stay different in f32.
    ///
    /// A network that is trained on [`Encoder::dataset`] predicts the target minus this number. It is 0 if the targets
    /// stay different without it.
    pub const fn target_offset(&self) -> f32 {
        self.target.offset
    }

    /// Returns the class id of each row of a table.
    ///
    /// `None` for a row whose target is missing or an unknown class. `None` for all rows if the table has no target
    /// column, or if the targets are values.
    pub fn target_classes(&self, table: &Table) -> Vec<Option<u32>> {
        match (table.raw.find_column(&self.target.name), &self.target.classes) {
            (Ok(column), Some(_)) => self.target.known_classes(table, column),
            (Ok(_), None) | (Err(_), _) => vec![None; table.rows()],
        }
    }

    /// Returns the numeric target of each row of a table, without subtracting [`Encoder::target_offset`].
    ///
    /// `None` for a row whose target is missing or not a number. `None` for all rows if the table has no target column,
    /// or if the targets are classes.
    pub fn target_values(&self, table: &Table) -> Vec<Option<f64>> {
        match (table.raw.find_column(&self.target.name), &self.target.classes) {
            (Ok(column), None) => self.target.known_values(table, column),
            (Ok(_), Some(_)) | (Err(_), _) => vec![None; table.rows()],
        }
    }

    /// Returns the number of features per row.
    #[doc(alias = "n_features_in_")]
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(ColumnEncoder::width).sum()
    }

    /// Returns the names of the features: the name of the column, or `column=category` for one-hot features.
    #[doc(alias = "get_feature_names_out")]
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(ColumnEncoder::feature_names).collect()
    }

    /// Returns the names of the feature columns.
    pub fn columns(&self) -> Vec<&String> {
        self.columns.iter().map(|column| &column.name).collect()
    }

    /// Returns the name of the target column.
    pub fn target(&self) -> &str {
        &self.target.name
    }

    /// Returns the names of the classes by class id; `None` if the targets are values.
    #[doc(alias = "classes_")]
    pub fn classes(&self) -> Option<&[String]> {
        self.target.classes.as_deref()
    }
}

/// Returns the columns that become features, in the order of the table.
fn select_feature_columns(table: &Table, target: usize, features: &FeatureColumns) -> Result<Vec<usize>> {
    let find_all =
        |names: &[String]| names.iter().map(|name| find_column(table, "features", name)).collect::<Result<Vec<_>>>();
    let mut columns: Vec<usize> = (0..table.column_names().len()).collect();
    match features {
        FeatureColumns::All => {}
        FeatureColumns::Only(names) => {
            let included = find_all(names)?;
            if included.contains(&target) {
                let got = format!("the target {}", quote(&table.column_names()[target]));
                return setting_error("features", "columns other than the target", got);
            }
            columns.retain(|column| included.contains(column));
        }
        FeatureColumns::Except(names) => {
            let excluded = find_all(names)?;
            columns.retain(|column| !excluded.contains(column));
        }
    }
    columns.retain(|column| *column != target);
    if columns.is_empty() {
        return setting_error("features", "at least 1 column other than the target", "0".to_owned());
    }
    Ok(columns)
}

/// Returns the index of the column that a setting names.
fn find_column(table: &Table, setting: &'static str, name: &str) -> Result<usize> {
    let found = table.column_names().iter().position(|column_name| column_name == name);
    found.ok_or_else(|| {
        let expected = format!("a column of {} ({})", table.raw.file, join_names(table.column_names()));
        Error::InvalidSetting { name: setting, expected, got: quote(name) }
    })
}

fn setting_error<T>(name: &'static str, expected: &str, got: String) -> Result<T> {
    Err(Error::InvalidSetting { name, expected: expected.to_owned(), got })
}
