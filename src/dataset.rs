//! A data set: rows of features, and an answer for each.

use std::sync::Arc;

use crate::{
    Error, Result, Scaler,
    error::{check_finite, check_len},
};

/// Rows of features with an answer each. A clone shares the data.
///
/// Bytes stay bytes, on the device too: they are read as `value * scale`.
#[derive(Debug, Clone)]
pub struct Dataset {
    rows: usize,
    features: Arc<Features>,
    answers: Arc<Answers>,
    weights: Option<Arc<Vec<f32>>>,
    scaler: Option<Arc<Scaler>>,
}

/// What a network is shown, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Numbers as they are.
    F32(Vec<f32>),
    /// Bytes, read as `byte * scale`.
    U8 {
        /// The bytes.
        bytes: Vec<u8>,
        /// What each is multiplied by: 1/255 unless set otherwise.
        scale: f32,
    },
}

/// What a network should answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// The expected outputs, row by row.
    Values(Vec<f32>),
    /// The number of the right class, one a row.
    Classes(Vec<u32>),
}

/// Data comes as a vector, or as a slice, array or vector that is borrowed.
macro_rules! from {
    ($family:ident, $value:ty, $make:expr) => {
        impl From<Vec<$value>> for $family {
            fn from(values: Vec<$value>) -> Self {
                $make(values)
            }
        }
        impl From<&Vec<$value>> for $family {
            fn from(values: &Vec<$value>) -> Self {
                $make(values.clone())
            }
        }
        impl From<&[$value]> for $family {
            fn from(values: &[$value]) -> Self {
                $make(values.to_vec())
            }
        }
        impl<const N: usize> From<&[$value; N]> for $family {
            fn from(values: &[$value; N]) -> Self {
                $make(values.to_vec())
            }
        }
    };
}

from!(Features, f32, Self::F32);
from!(Features, u8, |bytes| Self::U8 { bytes, scale: 1.0 / 255.0 });
from!(Answers, f32, Self::Values);
from!(Answers, u32, Self::Classes);
from!(Answers, u8, |ids: Vec<u8>| Self::Classes(ids.into_iter().map(u32::from).collect()));

impl Dataset {
    /// `rows` rows of features and answers.
    ///
    /// # Shapes
    /// - features: `[rows, inputs]`, row by row
    /// - answers: `[rows, outputs]` values, or `[rows]` class ids
    ///
    /// # Errors
    /// [`Error::Shape`] if the values do not divide into `rows` rows, [`Error::NonFinite`] if one is not a finite number,
    /// [`Error::Setting`] if there are no rows or a scale is not a finite number.
    pub fn new(rows: usize, features: impl Into<Features>, answers: impl Into<Answers>) -> Result<Self> {
        let (features, answers) = (features.into(), answers.into());
        if rows == 0 || u32::try_from(rows).is_err() {
            return Err(Error::Setting {
                what: "rows of a data set",
                expected: "1 to 4294967295".into(),
                got: rows.to_string(),
            });
        }
        let set = Self { rows, features: Arc::new(features), answers: Arc::new(answers), weights: None, scaler: None };
        let whole = |what: &str, len: usize| check_len(what, rows * len.div_ceil(rows).max(1), len);
        match &*set.features {
            Features::F32(values) => {
                whole("features", values.len())?;
                check_finite("features", set.inputs(), values)?;
            }
            Features::U8 { scale, .. } if !scale.is_finite() => {
                let expected = "a finite number".to_owned();
                return Err(Error::Setting { what: "scale of bytes", expected, got: scale.to_string() });
            }
            Features::U8 { bytes, .. } => whole("features", bytes.len())?,
        }
        match &*set.answers {
            Answers::Values(values) => {
                whole("answers", values.len())?;
                check_finite("answers", values.len() / rows, values)?;
            }
            Answers::Classes(classes) => check_len("class ids", rows, classes.len())?,
        }
        Ok(set)
    }

    /// The same with a weight for each row: its loss and what it teaches count so many times. The mean still goes over the number of rows, as
    /// Keras and PyTorch's binary cross-entropy have it, so that a row of weight 2 teaches as two rows do.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one for each row, [`Error::Setting`] for one that is not a finite number from 0 up.
    pub fn with_weights(mut self, weights: impl Into<Vec<f32>>) -> Result<Self> {
        let weights = weights.into();
        check_weights(self.rows, &weights)?;
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
    /// [`Error::Setting`] if the answers are no classes.
    pub fn balanced_class_weights(&self) -> Result<Vec<f32>> {
        let classes = self.classes()?;
        let mut counts = vec![0u32; classes.iter().max().map_or(0, |most| *most as usize + 1)];
        classes.iter().for_each(|class| counts[*class as usize] += 1);
        let present = counts.iter().filter(|count| **count > 0).count() as f64;
        let weight = |count: u32| if count == 0 { 0.0 } else { self.rows as f64 / (present * f64::from(count)) };
        Ok(counts.into_iter().map(|count| weight(count) as f32).collect())
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
        fn some<T: Copy>(values: &[T], rows: &[usize], columns: usize) -> Vec<T> {
            rows.iter().flat_map(|row| &values[row * columns..(row + 1) * columns]).copied().collect()
        }
        let features = match &*self.features {
            Features::F32(values) => Features::F32(some(values, rows, self.inputs())),
            Features::U8 { bytes, scale } => Features::U8 { bytes: some(bytes, rows, self.inputs()), scale: *scale },
        };
        let answers = match &*self.answers {
            Answers::Values(values) => Answers::Values(some(values, rows, values.len() / self.rows)),
            Answers::Classes(classes) => Answers::Classes(some(classes, rows, 1)),
        };
        let set = Self::new(rows.len(), features, answers)?;
        let weights = self.weights.as_ref().map(|weights| Arc::new(some(weights, rows, 1)));
        Ok(Self { weights, scaler: self.scaler.clone(), ..set })
    }

    /// The same with features that are scaled before the network sees them, on the device; the features themselves stay as
    /// they are. A trainer on this data set takes every input as raw and scales it likewise: those of [`Trainer::predict`](crate::Trainer::predict),
    /// [`Trainer::evaluate`](crate::Trainer::evaluate), [`Trainer::step`](crate::Trainer::step) and [`Trainer::gradients`](crate::Trainer::gradients). What is in buffers of the caller's
    /// ([recorded predictions](crate::Trainer::record_prediction_async)) and what a [`Predictor::new`](crate::Predictor::new) is shown has to be scaled already.
    ///
    /// # Errors
    /// [`Error::Shape`] if the scaler has another number of columns.
    pub fn with_scaling(mut self, scaler: &Scaler) -> Result<Self> {
        check_len("columns of a scaler", self.inputs(), scaler.columns())?;
        self.scaler = Some(Arc::new(scaler.clone()));
        Ok(self)
    }

    /// The same, scaled as the data that a network has learned from, unless it brings a scaling of its own.
    pub(crate) fn scaled_as(&self, scaler: Option<&Scaler>) -> Result<Self> {
        match scaler {
            Some(scaler) if self.scaler.is_none() => self.clone().with_scaling(scaler),
            _ => Ok(self.clone()),
        }
    }

    /// What scales the features, if anything does.
    pub fn scaler(&self) -> Option<&Scaler> {
        self.scaler.as_deref()
    }

    /// The rows' weights, if they have any.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_ref().map(|weights| weights.as_slice())
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
        match &*self.features {
            Features::F32(values) => values.len() / self.rows,
            Features::U8 { bytes, .. } => bytes.len() / self.rows,
        }
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The answers.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether it is the same data, and not just equal, and scaled alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_shared = Arc::ptr_eq(&self.features, &other.features) && Arc::ptr_eq(&self.answers, &other.answers);
        let weights = [self, other].map(|data| data.weights.as_ref().map(Arc::as_ptr));
        is_shared && weights[0] == weights[1] && self.scaler == other.scaler
    }

    /// Writes the features of `row` to `into`, as the network sees them.
    #[inline]
    pub(crate) fn write_features(&self, row: usize, into: &mut [f32]) {
        self.write_raw_features(row, into);
        if let Some(scaler) = &self.scaler {
            scaler.apply_to_row(into);
        }
    }

    /// Writes the features of `row` to `into`, before they are scaled.
    #[inline]
    pub(crate) fn write_raw_features(&self, row: usize, into: &mut [f32]) {
        let span = row * into.len()..(row + 1) * into.len();
        match &*self.features {
            Features::F32(values) => into.copy_from_slice(&values[span]),
            Features::U8 { bytes, scale } => {
                for (to, byte) in into.iter_mut().zip(&bytes[span]) {
                    *to = f32::from(*byte) * scale;
                }
            }
        }
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
