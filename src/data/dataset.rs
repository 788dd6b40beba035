//! Data sets: rows of features with one target each.

use std::sync::Arc;

use crate::{
    data::{
        features::{Features, check_same_scale, from_values, round_to_f32, select},
        scaling::{resolution::warn_about_lost_values, scaler::Scaler},
    },
    error::{Error, Result, check_finite, check_len},
};

/// A data set: rows of features with one target each. A clone shares the data.
///
/// Features of bytes stay bytes, also on the device, and the network reads them as `byte * scale`. The scale is 1
/// unless [`Features::bytes`] or an [`ImageSet`](crate::data::formats::ImageSet) sets it. `Display` prints the scale.
#[doc(alias = "TensorDataset")]
#[derive(Debug, Clone)]
pub struct Dataset {
    rows: usize,
    features: Arc<Features>,
    /// The features in f64, if the caller passed f64.
    features_f64: Option<Arc<Vec<f64>>>,
    /// The features minus the origin of the scaler, if the scaler has an origin.
    features_without_origin: Option<Arc<Features>>,
    targets: Arc<Targets>,
    sample_weights: Option<Arc<Vec<f32>>>,
    scaler: Option<Arc<Scaler>>,
}

/// The targets of a data set: the values or classes that the network should predict.
#[doc(alias = "labels")]
#[doc(alias = "answers")]
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// The target values, row by row.
    Values(Vec<f32>),
    /// The class ids, one per row, counted from 0.
    Classes(Vec<u32>),
}

from_values!(Targets, f32, Self::Values);
from_values!(Targets, u32, Self::Classes);
from_values!(Targets, u8, |ids: Vec<u8>| Self::Classes(ids.into_iter().map(u32::from).collect()));

impl Dataset {
    /// Creates a data set from `rows` rows of features and targets.
    ///
    /// # Shapes
    /// - features: `[rows, inputs]`, row by row
    /// - targets: `[rows, outputs]` values, or `[rows]` class ids from 0 to `outputs - 1`. A network with one output
    ///   takes the class ids 0 (no) and 1 (yes).
    ///
    /// # Errors
    /// [`Error::Shape`] if the features or targets cannot be divided into `rows` rows.
    /// [`Error::NonFinite`] if a value is not finite. To check a file of floats, gradus reads it once completely.
    /// [`Error::InvalidSetting`] if `rows` is 0 or above `u32::MAX`, or if the scale of the features is not finite.
    /// [`Error::Io`] if the features are in a file that cannot be read.
    pub fn new(rows: usize, features: impl Into<Features>, targets: impl Into<Targets>) -> Result<Self> {
        let (features, targets) = (features.into(), targets.into());
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(row_count_error(rows));
        }
        let (features, features_f64) = match features {
            Features::F64(values) => (Features::F32(round_to_f32(&values)), Some(Arc::new(values))),
            features => (features, None),
        };
        let (features, targets) = (Arc::new(features), Arc::new(targets));
        let set = Self {
            rows,
            features,
            features_f64,
            features_without_origin: None,
            targets,
            sample_weights: None,
            scaler: None,
        };
        let check_divides = |name: &str, len: usize| {
            check_len(&format!("{name} (rows: {rows})"), rows * len.div_ceil(rows).max(1), len)
        };
        check_divides("features", set.features.value_count())?;
        set.features.check(set.inputs())?;
        match &*set.targets {
            Targets::Values(values) => {
                check_divides("targets", values.len())?;
                check_finite("targets", values.len() / rows, values)?;
            }
            Targets::Classes(classes) => check_len("class ids", rows, classes.len())?,
        }
        if let (Features::F32(values), None) = (&*set.features, &set.features_f64) {
            warn_about_lost_values(values, set.inputs());
        }
        Ok(set)
    }

    /// Returns the data set with one sample weight `w_i` per row, by which the loss and gradient of the row are
    /// multiplied.
    ///
    /// The optimizer minimizes `sum(w_i loss_i) / rows`, where `rows` is the number of rows in the batch. This is the
    /// definition of Keras and of PyTorch's binary cross-entropy: a row of weight 2 counts like two rows. Reports,
    /// histories and evaluations contain the weighted mean `sum(w_i loss_i) / sum(w_i)`, as in scikit-learn.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of weights differs from the number of rows.
    /// [`Error::InvalidSetting`] if a weight is negative or not finite, or if all weights are 0.
    #[doc(alias = "sample_weight")]
    pub fn with_sample_weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        check_sample_weights(self.rows, &weights)?;
        check_positive_weight(&weights)?;
        self.sample_weights = Some(Arc::new(weights));
        Ok(self)
    }

    /// Returns a data set of the given rows, in the given order. A row may occur more than once. Features stored as
    /// bytes stay bytes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `rows` is empty or contains an index that is not below [`Dataset::rows`].
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| **row >= self.rows) {
            let expected = format!("row indices below {}", self.rows);
            return Err(Error::InvalidSetting { name: "Dataset::select", expected, got: row.to_string() });
        }
        let features = self.features.select(rows, self.inputs());
        let targets = match &*self.targets {
            Targets::Values(values) => Targets::Values(select(values, rows, values.len() / self.rows)),
            Targets::Classes(classes) => Targets::Classes(select(classes, rows, 1)),
        };
        if rows.is_empty() || u32::try_from(rows.len()).is_err() {
            return Err(row_count_error(rows.len()));
        }
        let inputs = self.inputs();
        let sample_weights = self.sample_weights.as_ref().map(|weights| Arc::new(select(weights, rows, 1)));
        let features_f64 = self.features_f64.as_ref().map(|values| Arc::new(select(values, rows, inputs)));
        let features_without_origin =
            self.features_without_origin.as_ref().map(|features| Arc::new(features.select(rows, inputs)));
        Ok(Self {
            rows: rows.len(),
            features: Arc::new(features),
            features_f64,
            features_without_origin,
            targets: Arc::new(targets),
            sample_weights,
            scaler: self.scaler.clone(),
        })
    }

    /// Returns the data set with a scaler, which the device applies to the features before the network reads them.
    ///
    /// [`Dataset::features`] stay unscaled. A trainer on this data set also expects unscaled inputs, and scales them
    /// itself: in [`Trainer::predict`], [`Trainer::evaluate`], [`Trainer::step`] and [`Trainer::gradients`]. The caller
    /// must scale the inputs of [recorded predictions], which are in buffers of the caller, and of a predictor that
    /// [`Predictor::new`](crate::model::Predictor::new) created.
    ///
    /// # Errors
    /// [`Error::Shape`] if the number of columns of the scaler differs from [`Dataset::inputs`].
    ///
    /// [`Trainer::predict`]: crate::train::Trainer::predict
    /// [`Trainer::evaluate`]: crate::train::Trainer::evaluate
    /// [`Trainer::step`]: crate::train::Trainer::step
    /// [`Trainer::gradients`]: crate::train::Trainer::gradients
    /// [recorded predictions]: crate::train::Trainer::record_prediction_async
    pub fn with_scaler(mut self, scaler: &Scaler) -> Result<Self> {
        check_len("scaler columns", self.inputs(), scaler.columns())?;
        self.features_without_origin = None;
        self.scaler = Some(Arc::new(match &*self.features {
            // Rows in a file are read as f32, so subtracting the origin first would not gain precision.
            Features::File(_) => scaler.merge_origin(),
            _ => scaler.clone(),
        }));
        if self.scaler().is_some_and(|scaler| !scaler.origin().is_empty()) {
            let differences = match &self.features_f64 {
                Some(values) => scaler.subtract_origins(values),
                None => {
                    let mut values = self.features.as_ref().clone().into_f32()?;
                    values.chunks_exact_mut(scaler.columns()).for_each(|row| scaler.subtract_origin(row));
                    values
                }
            };
            self.features_without_origin = Some(Arc::new(Features::F32(differences)));
        }
        Ok(self)
    }

    /// Returns the data set with the scaler of a model, unless the data set already has a scaler.
    pub(crate) fn with_model_scaler(&self, scaler: Option<&Scaler>) -> Result<Self> {
        match scaler {
            Some(scaler) if self.scaler.is_none() => self.clone().with_scaler(scaler),
            _ => Ok(self.clone()),
        }
    }

    /// Returns the features of a row before the scaler is applied.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `row` is not below [`Dataset::rows`].
    /// [`Error::Io`] if the row is in a file that cannot be read.
    pub fn row(&self, row: usize) -> Result<Vec<f32>> {
        if row >= self.rows {
            let expected = format!("a row index below {}", self.rows);
            return Err(Error::InvalidSetting { name: "Dataset::row", expected, got: row.to_string() });
        }
        let mut values = vec![0.0; self.inputs()];
        self.write_raw_features(row, &mut values);
        self.check_read().map(|()| values)
    }

    /// Returns the scaler of the features, if there is one.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    /// Returns the sample weights, one per row, if there are any.
    pub fn sample_weights(&self) -> Option<&[f32]> {
        self.sample_weights.as_ref().map(|weights| weights.as_slice())
    }

    /// Returns a shared reference to the targets.
    pub(crate) fn shared_targets(&self) -> Arc<Targets> {
        Arc::clone(&self.targets)
    }

    /// Returns a shared reference to the sample weights, if there are any.
    pub(crate) fn shared_sample_weights(&self) -> Option<Arc<Vec<f32>>> {
        self.sample_weights.clone()
    }

    /// Returns the sample weight of a row; 1 without sample weights.
    #[inline]
    pub(crate) fn sample_weight(&self, row: usize) -> f32 {
        self.sample_weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// Returns the number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of features per row.
    pub fn inputs(&self) -> usize {
        self.features.value_count() / self.rows
    }

    /// Returns the features in f64, if the caller passed f64.
    pub(crate) fn features_f64(&self) -> Option<&[f64]> {
        self.features_f64.as_ref().map(|values| values.as_slice())
    }

    /// Returns the features that are copied to the device: minus the origin of the scaler, but not scaled otherwise.
    pub(crate) fn features_without_origin(&self) -> &Features {
        self.features_without_origin.as_ref().unwrap_or(&self.features)
    }

    /// Returns the features before the scaler is applied.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Returns the targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Returns an error if the features are bytes with a scale that differs from the scale of the training data. The
    /// network would read the same byte as a different number.
    pub(crate) fn check_scale(&self, trained_scale: Option<f32>) -> Result<()> {
        check_same_scale(trained_scale, &self.features)
    }

    /// Returns whether the features are in a file.
    pub(crate) fn is_in_file(&self) -> bool {
        matches!(*self.features, Features::File(_))
    }

    /// Returns the first error that occurred when rows were read from a file. Call it after reading rows.
    pub(crate) fn check_read(&self) -> Result<()> {
        self.features.check_read()
    }

    /// Returns whether both data sets share the same memory and have equal scalers.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_shared = std::ptr::eq(self.features_without_origin(), other.features_without_origin())
            && Arc::ptr_eq(&self.targets, &other.targets);
        let weights = [self, other].map(|data| data.sample_weights.as_ref().map(Arc::as_ptr));
        is_shared && weights[0] == weights[1] && self.scaler == other.scaler
    }

    /// Writes the scaled features of `row` to `into`.
    #[inline]
    pub(crate) fn write_features(&self, row: usize, into: &mut [f32]) {
        self.features_without_origin().write(row, into);
        if let Some(scaler) = &self.scaler {
            scaler.transform_without_origin(into);
        }
    }

    /// Writes the unscaled features of `row` to `into`.
    #[inline]
    pub(crate) fn write_raw_features(&self, row: usize, into: &mut [f32]) {
        self.features.write(row, into);
    }

    /// Writes the targets of `row` to `into`. A class id becomes a one-hot vector, or is written as a number if there
    /// is only one output.
    #[inline]
    pub(crate) fn write_target(&self, row: usize, into: &mut [f32]) {
        match &*self.targets {
            Targets::Values(values) => into.copy_from_slice(&values[row * into.len()..(row + 1) * into.len()]),
            Targets::Classes(classes) if into.len() == 1 => into[0] = classes[row] as f32,
            Targets::Classes(classes) => {
                into.fill(0.0);
                into[classes[row] as usize] = 1.0;
            }
        }
    }

    /// Returns an error if a network with these numbers of inputs and outputs cannot use the data set.
    pub(crate) fn check_shape(&self, inputs: usize, outputs: usize) -> Result<()> {
        check_len("features per row", inputs, self.inputs())?;
        // `select` may have kept only rows of weight 0.
        self.sample_weights().map_or(Ok(()), check_positive_weight)?;
        match &*self.targets {
            Targets::Values(values) => check_len("targets per row", outputs, values.len() / self.rows),
            Targets::Classes(ids) => {
                let classes = outputs.max(2);
                match ids.iter().position(|id| *id as usize >= classes) {
                    None => Ok(()),
                    Some(row) => Err(Error::ClassOutOfRange { row, class: ids[row], classes }),
                }
            }
        }
    }
}

/// Prints the number of rows, the types of the features and targets, and whether there are a scaler and sample weights.
impl std::fmt::Display for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (rows, inputs) = (self.rows, self.inputs());
        write!(f, "{rows} row{} of {inputs} feature{} ({})", plural(rows), plural(inputs), self.features)?;
        match &*self.targets {
            Targets::Classes(_) => f.write_str(", with class ids")?,
            Targets::Values(values) => {
                let outputs = values.len() / rows;
                write!(f, ", with {outputs} value{} each", plural(outputs))?;
            }
        }
        if self.scaler.is_some() {
            f.write_str(", scaled")?;
        }
        f.write_str(if self.sample_weights.is_some() { ", weighted" } else { "" })
    }
}

/// Returns the error for a number of rows that is 0 or does not fit into u32.
pub(crate) fn row_count_error(rows: usize) -> Error {
    let (expected, got) = ("1 to 4294967295 rows".to_owned(), rows.to_string());
    Error::InvalidSetting { name: "dataset", expected, got }
}

/// Returns an error if all sample weights are 0, because the gradient would be 0 and the weighted mean undefined.
fn check_positive_weight(weights: &[f32]) -> Result<()> {
    if weights.iter().any(|weight| *weight > 0.0) {
        return Ok(());
    }
    let expected = "at least one number > 0".to_owned();
    Err(Error::InvalidSetting { name: "sample weights", expected, got: format!("{} zeros", weights.len()) })
}

/// Returns an error unless there is one sample weight >= 0 for each of `rows` rows.
pub(crate) fn check_sample_weights(rows: usize, weights: &[f32]) -> Result<()> {
    check_len("sample weights", rows, weights.len())?;
    match weights.iter().enumerate().find(|(_, weight)| !weight.is_finite() || **weight < 0.0) {
        None => Ok(()),
        Some((row, weight)) => {
            let (expected, got) = ("a finite number >= 0".to_owned(), format!("{weight} in row {row}"));
            Err(Error::InvalidSetting { name: "sample weight", expected, got })
        }
    }
}
