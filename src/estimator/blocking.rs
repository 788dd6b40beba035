//! The blocking twins of what is asynchronous, for platforms where a thread may wait: everywhere but on the web.

#[cfg(doc)]
use crate::{Dataset, Device, Error, Fit, Trainer};
use crate::{Features, Mlp, MlpClassifier, MlpRegressor, Model, Result, TargetValues};

impl<L: Ord + Clone> MlpClassifier<L> {
    /// Fits a new network to rows and their labels.
    ///
    /// # Shapes
    /// - x: `[rows, features]`
    /// - y: `[rows]`
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot be used, no rows, or labels that are all the same, [`Error::Shape`] if `x`
    /// does not divide into the rows of `y`, [`Error::NonFinite`], and as [`Device::auto`], [`Trainer::new`] and [`Fit::run`].
    pub fn fit(&mut self, x: impl Into<Features>, y: &[L]) -> Result<&mut Self> {
        pollster::block_on(self.fit_async(x, y))
    }

    /// The same with a weight for each row; see [`Dataset::with_weights`].
    ///
    /// # Errors
    /// As [`MlpClassifier::fit`] and [`Dataset::with_weights`].
    pub fn fit_weighted(&mut self, x: impl Into<Features>, y: &[L], weights: &[f32]) -> Result<&mut Self> {
        pollster::block_on(self.fit_weighted_async(x, y, weights))
    }

    /// Takes what is fitted so far, or a new network, through these rows once, in batches. The first call names all classes
    /// that will ever come, unless there was a fit before; class weights do not count here.
    ///
    /// # Errors
    /// As [`MlpClassifier::fit`]; [`Error::Setting`] for a label that is none of the classes, for none at the first call or others
    /// later, with early stopping, and with a scaling that no fit has learned.
    pub fn partial_fit(&mut self, x: impl Into<Features>, y: &[L], classes: Option<&[L]>) -> Result<&mut Self> {
        pollster::block_on(self.partial_fit_async(x, y, classes))
    }

    /// The most likely label of each row.
    ///
    /// # Errors
    /// [`Error::Setting`] if nothing was fitted, and as [`Trainer::predict`].
    pub fn predict(&mut self, x: impl Into<Features>) -> Result<Vec<L>> {
        pollster::block_on(self.predict_async(x))
    }

    /// How likely each class is, `[rows, classes]`, in the order of [`MlpClassifier::classes`].
    ///
    /// # Errors
    /// As [`MlpClassifier::predict`].
    pub fn predict_proba(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        pollster::block_on(self.predict_proba_async(x))
    }

    /// The accuracy: the share of the rows whose label is predicted, from 0 to 1. A label that no fit has seen is never
    /// right.
    ///
    /// # Errors
    /// As [`MlpClassifier::predict`], and [`Error::Shape`] if there is not a label for each row.
    pub fn score(&mut self, x: impl Into<Features>, y: &[L]) -> Result<f64> {
        pollster::block_on(self.score_async(x, y))
    }
}

impl<Task> Mlp<Task> {
    /// The network of the last fit with its parameters and what scales its inputs, to save or to export. What the classes
    /// are called may go into its notes.
    ///
    /// # Errors
    /// [`Error::Setting`] if nothing was fitted, and as [`Trainer::parameters`].
    pub fn model(&self) -> Result<Model> {
        pollster::block_on(self.model_async())
    }
}

impl MlpRegressor {
    /// Fits a new network to rows and their answers.
    ///
    /// # Shapes
    /// - x: `[rows, features]`
    /// - y: `[rows, outputs]`; see [`MlpRegressor::outputs`]
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot be used or no rows, [`Error::Shape`] if `x` does not divide into the rows
    /// of `y`, [`Error::NonFinite`], and as [`Device::auto`], [`Trainer::new`] and [`Fit::run`].
    pub fn fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        pollster::block_on(self.fit_async(x, y))
    }

    /// The same with a weight for each row; see [`Dataset::with_weights`].
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`] and [`Dataset::with_weights`].
    pub fn fit_weighted(
        &mut self,
        x: impl Into<Features>,
        y: impl Into<TargetValues>,
        weights: &[f32],
    ) -> Result<&mut Self> {
        pollster::block_on(self.fit_weighted_async(x, y, weights))
    }

    /// Takes what is fitted so far, or a new network, through these rows once, in batches.
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`]; [`Error::Setting`] with early stopping, and with a scaling that no fit has learned.
    pub fn partial_fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        pollster::block_on(self.partial_fit_async(x, y))
    }

    /// The answers for each row, `[rows, outputs]`.
    ///
    /// # Errors
    /// [`Error::Setting`] if nothing was fitted, and as [`Trainer::predict`].
    pub fn predict(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        pollster::block_on(self.predict_async(x))
    }

    /// The answers for each row in f64, `[rows, outputs]`: with the resolution of targets near 1e9 that were given in f64.
    ///
    /// # Errors
    /// Returns the same errors as [`MlpRegressor::predict`].
    pub fn predict_f64(&mut self, x: impl Into<Features>) -> Result<Vec<f64>> {
        pollster::block_on(self.predict_f64_async(x))
    }

    /// r², the mean over the outputs; 1 at best.
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`] and [`MlpRegressor::predict`].
    pub fn score(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<f64> {
        pollster::block_on(self.score_async(x, y))
    }
}
