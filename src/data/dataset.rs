//! A data set: rows of features, and an answer for each.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    data::{
        features::{Features, check_scale_as, from_values, rounded, select},
        scaling,
        scaling::Scaler,
    },
    error::{Error, Result, check_finite, check_len, room},
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
    wide: Option<Arc<Vec<f64>>>,
    /// What is left of the features without the origin of the scaler, if it has one.
    rest: Option<Arc<Features>>,
    answers: Arc<Answers>,
    weights: Option<Arc<Vec<f32>>>,
    scaler: Option<Arc<Scaler>>,
}

/// The largest absolute values of a data set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Largest {
    features: f32,
    answers: f32,
}

impl Largest {
    /// From here on, data that are not scaled are a likely cause of a loss that diverges.
    const LARGE: f32 = 100.0;

    /// What a loss that is not finite is likely due to, and what helps. At the first step the parameters are still those
    /// that were drawn, whatever the learning rate.
    pub(crate) fn hint(self, is_first_step: bool) -> String {
        let Self { features, answers } = self;
        let rate = if is_first_step { "the learning rate is not the cause at the first step: " } else { "" };
        if answers > Self::LARGE && answers >= features {
            format!(
                "{rate}the targets reach {answers:e}; scale them to about 1, for example by subtracting their mean and \
                 dividing by their standard deviation"
            )
        } else if features > Self::LARGE {
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
pub enum Answers {
    /// The expected outputs, row by row.
    Values(Vec<f32>),
    /// The number of the right class, one a row.
    Classes(Vec<u32>),
}

from_values!(Answers, f32, Self::Values);
from_values!(Answers, u32, Self::Classes);
from_values!(Answers, u8, |ids: Vec<u8>| Self::Classes(ids.into_iter().map(u32::from).collect()));

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
    /// [`Error::Setting`] if there are no rows or a scale is not a finite number, [`Error::File`] if they are in a file that
    /// cannot be read: one of f32 or f64 is read once from end to end.
    pub fn new(rows: usize, features: impl Into<Features>, answers: impl Into<Answers>) -> Result<Self> {
        let (features, answers) = (features.into(), answers.into());
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(wrong_count(rows));
        }
        let (features, wide) = match features {
            Features::F64(values) => (Features::F32(rounded(&values)), Some(Arc::new(values))),
            features => (features, None),
        };
        let (features, answers) = (Arc::new(features), Arc::new(answers));
        let set = Self { rows, features, wide, rest: None, answers, weights: None, scaler: None };
        let whole = |what: &str, len: usize| check_len(what, rows * len.div_ceil(rows).max(1), len);
        whole("features", set.features.values())?;
        set.features.check(set.inputs())?;
        match &*set.answers {
            Answers::Values(values) => {
                whole("answers", values.len())?;
                check_finite("answers", values.len() / rows, values)?;
            }
            Answers::Classes(classes) => check_len("class ids", rows, classes.len())?,
        }
        if let (Features::F32(values), None) = (&*set.features, &set.wide) {
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
    /// [`Error::Shape`] if there is not one for each row, [`Error::Setting`] for one that is not a finite number from 0 up, and
    /// if all of them are 0.
    pub fn with_weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        check_weights(self.rows, &weights)?;
        check_some_weight(&weights)?;
        self.weights = Some(Arc::new(weights));
        Ok(self)
    }

    /// The same with a weight for each class, by which the weights of its rows, 1 if there are none, are multiplied.
    ///
    /// # Errors
    /// [`Error::Class`] for a row whose class has none, [`Error::Setting`] if the answers are no classes or a weight is not
    /// a finite number from 0 up.
    pub fn with_class_weights(self, weights: &[f32]) -> Result<Self> {
        let classes = self.classes()?;
        let of = |(row, class): (usize, &u32)| match weights.get(*class as usize) {
            Some(weight) => Ok(weight * self.weight(row)),
            None => Err(Error::Class { row, class: *class, classes: weights.len() }),
        };
        let weights = classes.iter().enumerate().map(of).collect::<Result<Vec<_>>>()?;
        self.with_weights(weights)
    }

    /// For each class up to the largest, `rows / (classes * its rows)`: with these weights all classes count the same
    /// (scikit-learn's `balanced`). A class without rows gets 0.
    ///
    /// # Errors
    /// [`Error::Setting`] if the answers are no classes, [`Error::OutOfMemory`] if the largest has no room for all up to it.
    pub fn balanced_class_weights(&self) -> Result<Vec<f32>> {
        let classes = self.classes()?;
        let mut counts = BTreeMap::new();
        classes.iter().for_each(|class| *counts.entry(*class as usize).or_insert(0u32) += 1);
        let count = counts.last_key_value().map_or(0, |(most, _)| most.saturating_add(1));
        // A class has any number: what cannot be is an error and no abort.
        room::<f32>(count, "weights of the classes")?;
        let mut weights = vec![0.0; count];
        for (class, rows) in &counts {
            weights[*class] = (self.rows as f64 / (counts.len() as f64 * f64::from(*rows))) as f32;
        }
        Ok(weights)
    }

    /// The answers, where they are classes.
    fn classes(&self) -> Result<&[u32]> {
        match &*self.answers {
            Answers::Classes(classes) => Ok(classes),
            Answers::Values(_) => {
                let expected = "answers that are classes".to_owned();
                Err(Error::Setting { what: "class weights", expected, got: "values".into() })
            }
        }
    }

    /// A data set of the given rows of this one, in the order given; a row may be given more than once. Bytes stay bytes.
    ///
    /// # Errors
    /// [`Error::Setting`] if no row is given, or one that is not there.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| **row >= self.rows) {
            let expected = format!("below {}", self.rows);
            return Err(Error::Setting { what: "row to select", expected, got: row.to_string() });
        }
        let features = self.features.select(rows, self.inputs());
        let answers = match &*self.answers {
            Answers::Values(values) => Answers::Values(select(values, rows, values.len() / self.rows)),
            Answers::Classes(classes) => Answers::Classes(select(classes, rows, 1)),
        };
        if rows.is_empty() || u32::try_from(rows.len()).is_err() {
            return Err(wrong_count(rows.len()));
        }
        let weights = self.weights.as_ref().map(|weights| Arc::new(select(weights, rows, 1)));
        let wide = self.wide.as_ref().map(|wide| Arc::new(select(wide, rows, self.inputs())));
        let rest = self.rest.as_ref().map(|rest| Arc::new(rest.select(rows, self.inputs())));
        let (features, answers) = (Arc::new(features), Arc::new(answers));
        Ok(Self { rows: rows.len(), features, wide, rest, answers, weights, scaler: self.scaler.clone() })
    }

    /// The same with features that are scaled before the network sees them, on the device; the features themselves stay as
    /// they are. A trainer on this data set takes every input as raw and scales it likewise: those of [`Trainer::predict`](crate::train::Trainer::predict),
    /// [`Trainer::evaluate`](crate::train::Trainer::evaluate), [`Trainer::step`](crate::train::Trainer::step) and [`Trainer::gradients`](crate::train::Trainer::gradients). What is in buffers of the caller's
    /// ([recorded predictions](crate::train::Trainer::record_prediction_async)) and what a [`Predictor::new`](crate::model::Predictor::new) is shown has to be scaled already.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scaler has another number of columns.
    pub fn with_scaling(mut self, scaler: &Scaler) -> Result<Self> {
        check_len("columns of a scaler", self.inputs(), scaler.columns())?;
        self.rest = None;
        self.scaler = Some(Arc::new(match &*self.features {
            // A file is read as f32, so nothing is gained by two subtractions.
            Features::File(_) => scaler.in_one_shift(),
            _ => scaler.clone(),
        }));
        if self.scaler().is_some_and(|scaler| !scaler.origin().is_empty()) {
            let rest = match &self.wide {
                Some(wide) => scaler.rest(wide),
                None => {
                    let mut values = self.features.as_ref().clone().into_numbers()?;
                    values.chunks_exact_mut(scaler.columns()).for_each(|row| scaler.subtract_origin(row));
                    values
                }
            };
            self.rest = Some(Arc::new(Features::F32(rest)));
        }
        Ok(self)
    }

    /// The same, scaled as the data that a network has learned from, unless it brings a scaling of its own.
    pub(crate) fn scaled_as(&self, scaler: Option<&Scaler>) -> Result<Self> {
        match scaler {
            Some(scaler) if self.scaler.is_none() => self.clone().with_scaling(scaler),
            _ => Ok(self.clone()),
        }
    }

    /// The features of a row, before they are scaled.
    ///
    /// # Errors
    /// [`Error::Setting`] for a row that is not there, [`Error::File`] if it is in a file that cannot be read.
    pub fn row(&self, row: usize) -> Result<Vec<f32>> {
        if row >= self.rows {
            let expected = format!("below {}", self.rows);
            return Err(Error::Setting { what: "row of a data set", expected, got: row.to_string() });
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
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_ref().map(|weights| weights.as_slice())
    }

    /// The answers, shared.
    pub(crate) fn shared_answers(&self) -> Arc<Answers> {
        Arc::clone(&self.answers)
    }

    /// The rows' weights, shared.
    pub(crate) fn shared_weights(&self) -> Option<Arc<Vec<f32>>> {
        self.weights.clone()
    }

    /// What a row weighs.
    #[inline]
    pub(crate) fn weight(&self, row: usize) -> f32 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// How many rows there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.features.values() / self.rows
    }

    /// The features in f64, if they came so.
    pub(crate) fn wide_features(&self) -> Option<&[f64]> {
        self.wide.as_ref().map(|wide| wide.as_slice())
    }

    /// The features as a device gets them, before they are scaled: without the origin of the scaler.
    pub(crate) fn rest(&self) -> &Features {
        self.rest.as_ref().unwrap_or(&self.features)
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The answers.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Refuses bytes of another scale than a network has learned from: the same byte would be another number. Rows of other
    /// numbers are what they are.
    pub(crate) fn check_scale(&self, learned: Option<f32>) -> Result<()> {
        check_scale_as(learned, &self.features)
    }

    /// The largest absolute value of the answers, and of the features as the network sees them: of scaled ones 0, since they
    /// are small, and of rows in a file as well, which would have to be read again.
    pub(crate) fn largest(&self) -> Largest {
        // Without their signs, floats are in the order of their bits, whose maximum the compiler can compute in vectors.
        let bits = |values: &[f32]| values.iter().fold(0, |most: u32, value| most.max(value.abs().to_bits()));
        let of = |values: &[f32]| f32::from_bits(bits(values));
        let answers = if let Answers::Values(values) = &*self.answers { of(values) } else { 0.0 };
        let features = match &*self.features {
            Features::F32(values) if self.scaler.is_none() => of(values),
            Features::U8 { scale, .. } if self.scaler.is_none() => 255.0 * scale.abs(),
            _ => 0.0,
        };
        Largest { features, answers }
    }

    /// Whether its features stay in a file.
    pub(crate) fn is_in_a_file(&self) -> bool {
        matches!(*self.features, Features::File(_))
    }

    /// What went wrong when its rows were read, if they are in a file and anything did: to be asked behind what reads them.
    pub(crate) fn check_read(&self) -> Result<()> {
        self.features.check_read()
    }

    /// Whether it is the same data, and not just equal, and scaled alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_shared = std::ptr::eq(self.rest(), other.rest()) && Arc::ptr_eq(&self.answers, &other.answers);
        let weights = [self, other].map(|data| data.weights.as_ref().map(Arc::as_ptr));
        is_shared && weights[0] == weights[1] && self.scaler == other.scaler
    }

    /// Writes the features of `row` to `into`, as the network sees them.
    #[inline]
    pub(crate) fn write_features(&self, row: usize, into: &mut [f32]) {
        self.rest().write(row, into);
        if let Some(scaler) = &self.scaler {
            scaler.apply_to_rest(into);
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
    pub(crate) fn write_expected(&self, row: usize, into: &mut [f32]) {
        match &*self.answers {
            Answers::Values(values) => into.copy_from_slice(&values[row * into.len()..(row + 1) * into.len()]),
            Answers::Classes(classes) if into.len() == 1 => into[0] = classes[row] as f32,
            Answers::Classes(classes) => {
                into.fill(0.0);
                into[classes[row] as usize] = 1.0;
            }
        }
    }

    /// Refuses to be shown to a network of other sizes.
    pub(crate) fn check_for(&self, inputs: usize, outputs: usize) -> Result<()> {
        check_len("features of a row", inputs, self.inputs())?;
        // The rows may have been selected from a data set of which others have weights.
        self.weights().map_or(Ok(()), check_some_weight)?;
        match &*self.answers {
            Answers::Values(values) => check_len("answers of a row", outputs, values.len() / self.rows),
            Answers::Classes(ids) => {
                let classes = outputs.max(2);
                match ids.iter().position(|id| *id as usize >= classes) {
                    None => Ok(()),
                    Some(row) => Err(Error::Class { row, class: ids[row], classes }),
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
        match &*self.answers {
            Answers::Classes(_) => f.write_str(", with class ids")?,
            Answers::Values(values) => {
                let outputs = values.len() / rows;
                write!(f, ", with {outputs} value{} each", plural(outputs))?;
            }
        }
        if self.scaler.is_some() {
            f.write_str(", scaled")?;
        }
        f.write_str(if self.weights.is_some() { ", weighted" } else { "" })
    }
}

pub(crate) fn wrong_count(rows: usize) -> Error {
    let (expected, got) = ("1 to 4294967295".to_owned(), rows.to_string());
    Error::Setting { what: "rows of a data set", expected, got }
}

/// Refuses weights that are all 0: there would be nothing to learn from, and no mean.
fn check_some_weight(weights: &[f32]) -> Result<()> {
    if weights.iter().any(|weight| *weight > 0.0) {
        return Ok(());
    }
    let expected = "at least one above 0".to_owned();
    Err(Error::Setting { what: "weights of rows", expected, got: format!("{} zeros", weights.len()) })
}

/// Refuses weights that are not one for each of so many rows.
pub(crate) fn check_weights(rows: usize, weights: &[f32]) -> Result<()> {
    check_len("weights of rows", rows, weights.len())?;
    match weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
        None => Ok(()),
        Some(wrong) => {
            let (expected, got) = ("a finite number from 0 up".to_owned(), wrong.to_string());
            Err(Error::Setting { what: "weight of a row", expected, got })
        }
    }
}
