//! A data set: rows of features, and an answer for each.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    data::{
        features::{Features, check_same_scale, from_values, round_to_f32, select},
        scaling,
        scaling::Scaler,
    },
    error::{Error, Result, check_finite, check_len, try_with_capacity},
};

/// Rows of features with an answer each. A clone shares the data.
///
/// Bytes stay bytes, on the device too: they are read as `byte * scale`, and the scale is 1 unless [`Features::bytes`] or an
/// [`ImageSet`](crate::data::formats::ImageSet) sets it. A data set that is printed says so.
#[derive(Debug, Clone)]
pub struct Dataset {
    rows: usize,
    features: Arc<Features>,
    /// The features in f64, if they came so.
    features_f64: Option<Arc<Vec<f64>>>,
    /// What is left of the features without the origin of the scaler, if it has one.
    features_without_origin: Option<Arc<Features>>,
    targets: Arc<Targets>,
    sample_weights: Option<Arc<Vec<f32>>>,
    scaler: Option<Arc<Scaler>>,
}

/// The largest absolute values of a data set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MaxAbs {
    features: f32,
    targets: f32,
}

impl MaxAbs {
    /// From here on, data that are not scaled are a likely cause of a loss that diverges.
    const LARGE_VALUE: f32 = 100.0;

    /// What a loss that is not finite is likely due to, and what helps. At the first step the parameters are still those
    /// that were drawn, whatever the learning rate.
    pub(crate) fn divergence_hint(self, is_first_step: bool) -> String {
        let Self { features, targets: answers } = self;
        let rate = if is_first_step { "the learning rate is not the cause at the first step: " } else { "" };
        if answers > Self::LARGE_VALUE && answers >= features {
            format!(
                "{rate}the targets reach {answers:e}; scale them to about 1, for example by subtracting their mean and \
                 dividing by their standard deviation"
            )
        } else if features > Self::LARGE_VALUE {
            format!("{rate}the features reach {features:e}; scale them to about 1, for example with Scaling::Standard")
        } else if is_first_step {
            format!("{rate}look at the initial parameters, and at the size of inputs and targets")
        } else {
            "a smaller learning rate or scaled inputs may help".to_owned()
        }
    }
}

/// What a network should answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// The expected outputs, row by row.
    Values(Vec<f32>),
    /// The number of the right class, one a row.
    Classes(Vec<u32>),
}

from_values!(Targets, f32, Self::Values);
from_values!(Targets, u32, Self::Classes);
from_values!(Targets, u8, |ids: Vec<u8>| Self::Classes(ids.into_iter().map(u32::from).collect()));

impl Dataset {
    /// `rows` rows of features and answers.
    ///
    /// # Shapes
    /// - features: `[rows, inputs]`, row by row
    /// - answers: `[rows, outputs]` values, or `[rows]` class ids from 0 to `outputs - 1`; a network of one output takes 0 for
    ///   no and 1 for yes
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into `rows` rows, [`Error::NonFinite`] if one is not a finite number,
    /// [`Error::InvalidSetting`] if there are no rows or a scale is not a finite number, [`Error::Io`] if they are in a file that
    /// cannot be read: one of f32 or f64 is read once from end to end.
    pub fn new(rows: usize, features: impl Into<Features>, targets: impl Into<Targets>) -> Result<Self> {
        let (features, answers) = (features.into(), targets.into());
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(row_count_error(rows));
        }
        let (features, wide) = match features {
            Features::F64(values) => (Features::F32(round_to_f32(&values)), Some(Arc::new(values))),
            features => (features, None),
        };
        let (features, answers) = (Arc::new(features), Arc::new(answers));
        let set = Self {
            rows,
            features,
            features_f64: wide,
            features_without_origin: None,
            targets: answers,
            sample_weights: None,
            scaler: None,
        };
        let whole = |what: &str, len: usize| check_len(what, rows * len.div_ceil(rows).max(1), len);
        whole("features", set.features.value_count())?;
        set.features.check(set.inputs())?;
        match &*set.targets {
            Targets::Values(values) => {
                whole("answers", values.len())?;
                check_finite("answers", values.len() / rows, values)?;
            }
            Targets::Classes(classes) => check_len("class ids", rows, classes.len())?,
        }
        if let (Features::F32(values), None) = (&*set.features, &set.features_f64) {
            scaling::warn_of_lost_values(values, set.inputs());
        }
        Ok(set)
    }

    /// The same with a weight `w_i` for each row: its loss and its gradient count so many times. What the optimizer minimizes is
    /// `sum(w_i loss_i) / rows`, over the number of rows of the batch, as Keras and PyTorch's binary cross-entropy have it, so
    /// that a row of weight 2 teaches as two rows do. The losses of reports, histories and evaluations are the weighted mean
    /// `sum(w_i loss_i) / sum(w_i)`, as in scikit-learn.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one for each row, [`Error::InvalidSetting`] for one that is not a finite number from 0 up, and
    /// if all of them are 0.
    pub fn with_sample_weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        check_sample_weights(self.rows, &weights)?;
        check_positive_weight(&weights)?;
        self.sample_weights = Some(Arc::new(weights));
        Ok(self)
    }

    /// The same with a weight for each class, by which the weights of its rows, 1 if there are none, are multiplied.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`] for a row whose class has none, [`Error::InvalidSetting`] if the answers are no classes or a weight is not
    /// a finite number from 0 up.
    pub fn with_class_weights(self, weights: &[f32]) -> Result<Self> {
        let classes = self.class_targets()?;
        let of = |(row, class): (usize, &u32)| match weights.get(*class as usize) {
            Some(weight) => Ok(weight * self.sample_weight(row)),
            None => Err(Error::ClassOutOfRange { row, class: *class, classes: weights.len() }),
        };
        let weights = classes.iter().enumerate().map(of).collect::<Result<Vec<_>>>()?;
        self.with_sample_weights(weights)
    }

    /// For each class up to the largest, `rows / (classes * its rows)`: with these weights all classes count the same
    /// (scikit-learn's `balanced`). A class without rows gets 0.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the answers are no classes, [`Error::OutOfMemory`] if the largest has no room for all up to it.
    pub fn balanced_class_weights(&self) -> Result<Vec<f32>> {
        let classes = self.class_targets()?;
        let mut counts = BTreeMap::new();
        classes.iter().for_each(|class| *counts.entry(*class as usize).or_insert(0u32) += 1);
        let count = counts.last_key_value().map_or(0, |(most, _)| most.saturating_add(1));
        // A class has any number: what cannot be is an error and no abort.
        try_with_capacity::<f32>(count, "weights of the classes")?;
        let mut weights = vec![0.0; count];
        for (class, rows) in &counts {
            weights[*class] = (self.rows as f64 / (counts.len() as f64 * f64::from(*rows))) as f32;
        }
        Ok(weights)
    }

    /// The answers, where they are classes.
    fn class_targets(&self) -> Result<&[u32]> {
        match &*self.targets {
            Targets::Classes(classes) => Ok(classes),
            Targets::Values(_) => {
                let expected = "answers that are classes".to_owned();
                Err(Error::InvalidSetting { name: "class weights", expected, got: "values".into() })
            }
        }
    }

    /// A data set of the given rows of this one, in the order given; a row may be given more than once. Bytes stay bytes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if no row is given, or one that is not there.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| **row >= self.rows) {
            let expected = format!("below {}", self.rows);
            return Err(Error::InvalidSetting { name: "row to select", expected, got: row.to_string() });
        }
        let features = self.features.select(rows, self.inputs());
        let answers = match &*self.targets {
            Targets::Values(values) => Targets::Values(select(values, rows, values.len() / self.rows)),
            Targets::Classes(classes) => Targets::Classes(select(classes, rows, 1)),
        };
        if rows.is_empty() || u32::try_from(rows.len()).is_err() {
            return Err(row_count_error(rows.len()));
        }
        let weights = self.sample_weights.as_ref().map(|weights| Arc::new(select(weights, rows, 1)));
        let wide = self.features_f64.as_ref().map(|wide| Arc::new(select(wide, rows, self.inputs())));
        let rest = self.features_without_origin.as_ref().map(|rest| Arc::new(rest.select(rows, self.inputs())));
        let (features, answers) = (Arc::new(features), Arc::new(answers));
        Ok(Self {
            rows: rows.len(),
            features,
            features_f64: wide,
            features_without_origin: rest,
            targets: answers,
            sample_weights: weights,
            scaler: self.scaler.clone(),
        })
    }

    /// The same with features that are scaled before the network sees them, on the device; the features themselves stay as
    /// they are. A trainer on this data set takes every input as raw and scales it likewise: those of [`Trainer::predict`](crate::train::Trainer::predict),
    /// [`Trainer::evaluate`](crate::train::Trainer::evaluate), [`Trainer::step`](crate::train::Trainer::step) and [`Trainer::gradients`](crate::train::Trainer::gradients). What is in buffers of the caller's
    /// ([recorded predictions](crate::train::Trainer::record_prediction_async)) and what a [`Predictor::new`](crate::model::Predictor::new) is shown has to be scaled already.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scaler has another number of columns.
    pub fn with_scaler(mut self, scaler: &Scaler) -> Result<Self> {
        check_len("columns of a scaler", self.inputs(), scaler.columns())?;
        self.features_without_origin = None;
        self.scaler = Some(Arc::new(match &*self.features {
            // A file is read as f32, so nothing is gained by two subtractions.
            Features::File(_) => scaler.merge_origin(),
            _ => scaler.clone(),
        }));
        if self.scaler().is_some_and(|scaler| !scaler.origin().is_empty()) {
            let rest = match &self.features_f64 {
                Some(wide) => scaler.subtract_origins(wide),
                None => {
                    let mut values = self.features.as_ref().clone().into_f32()?;
                    values.chunks_exact_mut(scaler.columns()).for_each(|row| scaler.subtract_origin(row));
                    values
                }
            };
            self.features_without_origin = Some(Arc::new(Features::F32(rest)));
        }
        Ok(self)
    }

    /// The same, scaled as the data that a network has learned from, unless it brings a scaling of its own.
    pub(crate) fn with_model_scaler(&self, scaler: Option<&Scaler>) -> Result<Self> {
        match scaler {
            Some(scaler) if self.scaler.is_none() => self.clone().with_scaler(scaler),
            _ => Ok(self.clone()),
        }
    }

    /// The features of a row, before they are scaled.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a row that is not there, [`Error::Io`] if it is in a file that cannot be read.
    pub fn row(&self, row: usize) -> Result<Vec<f32>> {
        if row >= self.rows {
            let expected = format!("below {}", self.rows);
            return Err(Error::InvalidSetting { name: "row of a data set", expected, got: row.to_string() });
        }
        let mut values = vec![0.0; self.inputs()];
        self.write_raw_features(row, &mut values);
        self.check_read().map(|()| values)
    }

    /// What scales the features, if anything does.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    /// The rows' weights, if they have any.
    pub fn sample_weights(&self) -> Option<&[f32]> {
        self.sample_weights.as_ref().map(|weights| weights.as_slice())
    }

    /// The answers, shared.
    pub(crate) fn shared_targets(&self) -> Arc<Targets> {
        Arc::clone(&self.targets)
    }

    /// The rows' weights, shared.
    pub(crate) fn shared_sample_weights(&self) -> Option<Arc<Vec<f32>>> {
        self.sample_weights.clone()
    }

    /// What a row weighs.
    #[inline]
    pub(crate) fn sample_weight(&self, row: usize) -> f32 {
        self.sample_weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.features.value_count() / self.rows
    }

    /// The features in f64, if they came so.
    pub(crate) fn features_f64(&self) -> Option<&[f64]> {
        self.features_f64.as_ref().map(|wide| wide.as_slice())
    }

    /// The features as a device gets them, before they are scaled: without the origin of the scaler.
    pub(crate) fn features_without_origin(&self) -> &Features {
        self.features_without_origin.as_ref().unwrap_or(&self.features)
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The answers.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Refuses bytes of another scale than a network has learned from: the same byte would be another number. Rows of other
    /// numbers are what they are.
    pub(crate) fn check_scale(&self, learned: Option<f32>) -> Result<()> {
        check_same_scale(learned, &self.features)
    }

    /// The largest absolute value of the answers, and of the features as the network sees them: of scaled ones 0, since they
    /// are small, and of rows in a file as well, which would have to be read again.
    pub(crate) fn max_abs(&self) -> MaxAbs {
        // Without their signs, floats are in the order of their bits, whose maximum the compiler can compute in vectors.
        let bits = |values: &[f32]| values.iter().fold(0, |most: u32, value| most.max(value.abs().to_bits()));
        let of = |values: &[f32]| f32::from_bits(bits(values));
        let answers = if let Targets::Values(values) = &*self.targets { of(values) } else { 0.0 };
        let features = match &*self.features {
            Features::F32(values) if self.scaler.is_none() => of(values),
            Features::U8 { scale, .. } if self.scaler.is_none() => 255.0 * scale.abs(),
            _ => 0.0,
        };
        MaxAbs { features, targets: answers }
    }

    /// Whether its features stay in a file.
    pub(crate) fn is_in_file(&self) -> bool {
        matches!(*self.features, Features::File(_))
    }

    /// What went wrong when its rows were read, if they are in a file and anything did: to be asked behind what reads them.
    pub(crate) fn check_read(&self) -> Result<()> {
        self.features.check_read()
    }

    /// Whether it is the same data, and not just equal, and scaled alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_shared = std::ptr::eq(self.features_without_origin(), other.features_without_origin())
            && Arc::ptr_eq(&self.targets, &other.targets);
        let weights = [self, other].map(|data| data.sample_weights.as_ref().map(Arc::as_ptr));
        is_shared && weights[0] == weights[1] && self.scaler == other.scaler
    }

    /// Writes the features of `row` to `into`, as the network sees them.
    #[inline]
    pub(crate) fn write_features(&self, row: usize, into: &mut [f32]) {
        self.features_without_origin().write(row, into);
        if let Some(scaler) = &self.scaler {
            scaler.transform_without_origin(into);
        }
    }

    /// Writes the features of `row` to `into`, before they are scaled.
    #[inline]
    pub(crate) fn write_raw_features(&self, row: usize, into: &mut [f32]) {
        self.features.write(row, into);
    }

    /// Writes the expected outputs of `row` to `into`: a class id becomes a row of zeros with a one, or stands for
    /// itself where there is one output.
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

    /// Refuses to be shown to a network of other sizes.
    pub(crate) fn check_shape(&self, inputs: usize, outputs: usize) -> Result<()> {
        check_len("features of a row", inputs, self.inputs())?;
        // The rows may have been selected from a data set of which others have weights.
        self.sample_weights().map_or(Ok(()), check_positive_weight)?;
        match &*self.targets {
            Targets::Values(values) => check_len("answers of a row", outputs, values.len() / self.rows),
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

/// The number of rows, what the features and the answers are, and what else belongs to them.
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

pub(crate) fn row_count_error(rows: usize) -> Error {
    let (expected, got) = ("1 to 4294967295".to_owned(), rows.to_string());
    Error::InvalidSetting { name: "rows of a data set", expected, got }
}

/// Refuses weights that are all 0: there would be nothing to learn from, and no mean.
fn check_positive_weight(weights: &[f32]) -> Result<()> {
    if weights.iter().any(|weight| *weight > 0.0) {
        return Ok(());
    }
    let expected = "at least one above 0".to_owned();
    Err(Error::InvalidSetting { name: "weights of rows", expected, got: format!("{} zeros", weights.len()) })
}

/// Refuses weights that are not one for each of so many rows.
pub(crate) fn check_sample_weights(rows: usize, weights: &[f32]) -> Result<()> {
    check_len("weights of rows", rows, weights.len())?;
    match weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
        None => Ok(()),
        Some(wrong) => {
            let (expected, got) = ("a finite number from 0 up".to_owned(), wrong.to_string());
            Err(Error::InvalidSetting { name: "weight of a row", expected, got })
        }
    }
}
