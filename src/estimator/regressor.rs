//! The regressor.

use crate::{
    data::{
        dataset::Dataset,
        features::{Features, from_values},
        scaling::resolution,
    },
    error::{Error, Result, check_len},
    estimator::{
        core::{FittedState, OutputHead, require_fitted},
        mlp::Mlp,
        settings::MlpSettings,
    },
    nn::{activation::Activation, loss::Loss},
    train::policies::monitor::Monitor,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{device::Device, train::trainer::Trainer, train::training_loop::TrainingLoop};

/// An estimator of values, which minimizes half the squared error, averaged over the rows and the outputs.
///
/// The loss is [`Loss::Huber`] with a threshold that no error reaches. scikit-learn reports the
/// same loss. For several outputs it follows the gradient of the sum over the outputs instead.
#[doc(alias = "MLPRegressor")]
pub type MlpRegressor = Mlp<RegressorTask>;

/// The task of a [`MlpRegressor`]: the number of outputs, and the origin of the targets.
#[derive(Debug, Clone)]
pub struct RegressorTask {
    outputs: usize,
    /// The values that the last fit subtracted from the targets, one per output; see [`TargetValues`].
    origin: Vec<f32>,
}

/// The targets of a [`MlpRegressor`], of shape `[rows, outputs]`.
///
/// f64 targets keep differences that f32 cannot represent, for example between amounts near 1e9. A fit subtracts a
/// nearby value from them in f64, and a prediction adds it again.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetValues {
    /// Targets in f32.
    F32(Vec<f32>),
    /// Targets in f64.
    F64(Vec<f64>),
}

from_values!(TargetValues, f32, Self::F32);
from_values!(TargetValues, f64, Self::F64);

impl TargetValues {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Returns the value to subtract from each output. The list is empty for f32 targets, which need none.
    fn origin(&self, outputs: usize) -> Vec<f32> {
        match self {
            Self::F32(_) => Vec::new(),
            Self::F64(values) => resolution::column_origins(values, outputs.max(1)),
        }
    }

    /// Returns the targets minus the origin of each output. An empty origin is 0.
    fn subtract_origin(self, origin: &[f32]) -> Vec<f32> {
        let values_f64 = match self {
            Self::F32(values) if origin.is_empty() => return values,
            Self::F32(values) => values.into_iter().map(f64::from).collect(),
            Self::F64(values) => values,
        };
        let origin = if origin.is_empty() { &[0.0][..] } else { origin };
        let differences =
            values_f64.iter().zip(origin.iter().cycle()).map(|(value, origin)| value - f64::from(*origin));
        differences.map(|difference| difference as f32).collect()
    }
}

/// Half the squared error: a Huber loss is quadratic up to its threshold, and the square of a larger error overflows
/// f32.
const HALF_SQUARED_ERROR: Loss = Loss::Huber { delta: 1e30 };

impl Default for MlpRegressor {
    fn default() -> Self {
        Self::new()
    }
}

impl MlpRegressor {
    /// Creates a regressor with the defaults of scikit-learn and one output.
    pub fn new() -> Self {
        Self {
            settings: MlpSettings::default(),
            task: RegressorTask { outputs: 1, origin: Vec::new() },
            fitted_state: None,
        }
    }

    /// Sets the number of outputs, which is 1 by default.
    #[must_use]
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.task.outputs = outputs;
        self
    }

    blocking! {
        /// Fits a new network to rows of features and their targets.
        ///
        /// # Shapes
        /// - x: `[rows, features]`
        /// - y: `[rows, outputs]`; see [`MlpRegressor::outputs`]
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if a setting is invalid, or if there are no rows.
        /// - [`Error::Shape`] if the length of `x` is not a multiple of the number of rows, or that of `y` not a
        ///   multiple of the outputs.
        /// - [`Error::NonFinite`] if a feature or a target is not finite.
        /// - The errors of [`Device::auto`], [`Trainer::new`] and [`TrainingLoop::run`].
        pub fn fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self>
            = self.fit_async(x, y);
    }

    /// The asynchronous form of [`MlpRegressor::fit`].
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`].
    pub async fn fit_async(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        let data = self.dataset_with_new_origin(x.into(), y.into(), None)?;
        self.fit_dataset(&data).await
    }

    blocking! {
        /// Like [`MlpRegressor::fit`], with one sample weight per row; see [`Dataset::with_sample_weights`].
        ///
        /// # Errors
        /// The errors of [`MlpRegressor::fit`] and [`Dataset::with_sample_weights`].
        #[doc(alias = "sample_weight")]
        pub fn fit_weighted(
            &mut self,
            x: impl Into<Features>,
            y: impl Into<TargetValues>,
            weights: &[f32],
        ) -> Result<&mut Self> = self.fit_weighted_async(x, y, weights);
    }

    /// The asynchronous form of [`MlpRegressor::fit_weighted`].
    ///
    /// # Errors
    /// As [`MlpRegressor::fit_weighted`].
    pub async fn fit_weighted_async(
        &mut self,
        x: impl Into<Features>,
        y: impl Into<TargetValues>,
        weights: &[f32],
    ) -> Result<&mut Self> {
        let data = self.dataset_with_new_origin(x.into(), y.into(), Some(weights))?;
        self.fit_dataset(&data).await
    }

    blocking! {
        /// Trains the fitted network, or a new one, for one epoch on these rows, in batches.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] with early stopping, or if the settings have a scaling and no fit came before.
        /// - The errors of [`MlpRegressor::fit`].
        #[doc(alias = "warm_start")]
        pub fn partial_fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self>
            = self.partial_fit_async(x, y);
    }

    /// The asynchronous form of [`MlpRegressor::partial_fit`].
    ///
    /// # Errors
    /// As [`MlpRegressor::partial_fit`].
    pub async fn partial_fit_async(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        self.check_partial_fit()?;
        let (x, y) = (x.into(), y.into());
        let data =
            if self.fitted_state.is_none() { self.dataset_with_new_origin(x, y, None)? } else { self.dataset(x, y)? };
        if self.fitted_state.is_none() {
            self.fitted_state = Some(FittedState::untrained(&self.settings, &self.output_head(), data.inputs()).await?);
        }
        require_fitted(self.fitted_state.as_mut())?.partial_fit(&self.settings, &data).await?;
        Ok(self)
    }

    blocking! {
        /// Returns the predictions for rows of features, of shape `[rows, outputs]`.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the regressor is not fitted.
        /// - The errors of [`Trainer::predict`].
        pub fn predict(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> = self.predict_async(x);
    }

    /// The asynchronous form of [`MlpRegressor::predict`].
    ///
    /// # Errors
    /// As [`MlpRegressor::predict`].
    pub async fn predict_async(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        if self.task.origin.is_empty() {
            return Ok(outputs);
        }
        Ok(self.add_origin(&outputs).map(|value| value as f32).collect())
    }

    blocking! {
        /// Returns the predictions in f64, of shape `[rows, outputs]`.
        ///
        /// They resolve small differences between large targets, for example near 1e9, if the fit had f64 targets.
        ///
        /// # Errors
        /// The errors of [`MlpRegressor::predict`].
        pub fn predict_f64(&mut self, x: impl Into<Features>) -> Result<Vec<f64>> = self.predict_f64_async(x);
    }

    /// The asynchronous form of [`MlpRegressor::predict_f64`].
    ///
    /// # Errors
    /// As [`MlpRegressor::predict_f64`].
    pub async fn predict_f64_async(&mut self, x: impl Into<Features>) -> Result<Vec<f64>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        Ok(self.add_origin(&outputs).collect())
    }

    /// Returns the outputs of the network plus the origin of the targets, in f64.
    fn add_origin<'a>(&'a self, outputs: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let columns = self.task.outputs.max(1);
        let origin = move |index: usize| self.task.origin.get(index % columns).copied().map_or(0.0, f64::from);
        outputs.iter().enumerate().map(move |(index, value)| f64::from(*value) + origin(index))
    }

    blocking! {
        /// Returns r² of the predictions, averaged over the outputs. The maximum is 1.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the regressor is not fitted.
        /// - The errors of [`MlpRegressor::fit`] for invalid rows, and of [`Trainer::evaluate`].
        #[doc(alias = "r2_score")]
        pub fn score(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<f64>
            = self.score_async(x, y);
    }

    /// The asynchronous form of [`MlpRegressor::score`].
    ///
    /// # Errors
    /// As [`MlpRegressor::score`].
    pub async fn score_async(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<f64> {
        let data = self.dataset(x.into(), y.into())?;
        let metrics = require_fitted(self.fitted_state.as_mut())?.trainer.evaluate_async(&data).await?;
        Ok(metrics.r2().unwrap_or(f64::NAN))
    }

    async fn fit_dataset(&mut self, data: &Dataset) -> Result<&mut Self> {
        // A fit that fails from here on leaves no fitted state, because the origin has changed already.
        self.fitted_state = None;
        self.fitted_state = Some(FittedState::fit(&self.settings, &self.output_head(), data).await?);
        Ok(self)
    }

    const fn output_head(&self) -> OutputHead {
        OutputHead {
            outputs: self.task.outputs,
            activation: Activation::Identity,
            loss: HALF_SQUARED_ERROR,
            stratified: false,
            validation_monitor: Monitor::ValidationR2,
        }
    }

    /// Returns the data set of a new fit, and stores the origin of its targets.
    fn dataset_with_new_origin(
        &mut self,
        x: Features,
        y: TargetValues,
        sample_weights: Option<&[f32]>,
    ) -> Result<Dataset> {
        let origin = y.origin(self.task.outputs);
        let mut data = self.dataset_with_origin(x, y, &origin)?;
        if let Some(weights) = sample_weights {
            data = data.with_sample_weights(weights)?;
        }
        // Stored last: after an error, the network of the last fit still needs the old origin.
        self.task.origin = origin;
        Ok(data)
    }

    /// Returns a data set whose targets have the origin of the last fit.
    fn dataset(&self, x: Features, y: TargetValues) -> Result<Dataset> {
        self.dataset_with_origin(x, y, &self.task.origin)
    }

    fn dataset_with_origin(&self, x: Features, y: TargetValues, origin: &[f32]) -> Result<Dataset> {
        let outputs = self.task.outputs;
        if outputs == 0 {
            return Err(Error::InvalidSetting { name: "outputs", expected: "at least 1".into(), got: "0".into() });
        }
        check_len(&format!("targets (outputs: {outputs})"), y.len() / outputs * outputs, y.len())?;
        Dataset::new(y.len() / outputs, x, y.subtract_origin(origin))
    }
}
