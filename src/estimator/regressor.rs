//! Tells numbers.

use crate::{
    data::{
        dataset::Dataset,
        features::{Features, from_values},
        scaling,
    },
    error::{Error, Result, check_len},
    estimator::{
        MlpRegressor,
        core::{FittedState, OutputHead, require_fitted},
        settings::MlpSettings,
    },
    nn::{activation::Activation, loss::Loss},
    train::policies::Monitor,
    util::blocking::blocking,
};
#[cfg(doc)]
use crate::{device::Device, train::trainer::Trainer, train::training_loop::TrainingLoop};

/// What a regressor knows of its answers.
#[derive(Debug, Clone)]
pub struct RegressorTask {
    outputs: usize,
    /// What the last fit subtracted from the targets of each output; see [`TargetValues`].
    origin: Vec<f32>,
}

/// Targets of a [`MlpRegressor`], `[rows, outputs]` row by row.
///
/// Targets in f64 that would be equal as f32, such as amounts near 1e9, keep their resolution: a fit subtracts a number near
/// them in f64, and a prediction adds it again.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetValues {
    /// In f32.
    F32(Vec<f32>),
    /// In f64.
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

    /// What has to be subtracted from each output.
    fn origin(&self, outputs: usize) -> Vec<f32> {
        match self {
            Self::F32(_) => Vec::new(),
            Self::F64(values) => scaling::column_origins(values, outputs.max(1)),
        }
    }

    /// The values without the origin.
    fn subtract_origin(self, origin: &[f32]) -> Vec<f32> {
        let wide = match self {
            Self::F32(values) if origin.is_empty() => return values,
            Self::F32(values) => values.into_iter().map(f64::from).collect(),
            Self::F64(values) => values,
        };
        let origin =
            origin.iter().copied().map(f64::from).chain(std::iter::repeat_n(0.0, usize::from(origin.is_empty())));
        wide.iter().zip(origin.cycle()).map(|(value, origin)| (value - origin) as f32).collect()
    }
}

/// Half the squared error: before an error comes to where it would turn into another, its square is no f32 any more.
const HALF_SQUARED_ERROR: Loss = Loss::Huber { delta: 1e30 };

impl Default for MlpRegressor {
    fn default() -> Self {
        Self::new()
    }
}

impl MlpRegressor {
    /// With scikit-learn's defaults, for one number a row.
    pub fn new() -> Self {
        Self {
            settings: MlpSettings::default(),
            task: RegressorTask { outputs: 1, origin: Vec::new() },
            fitted_state: None,
        }
    }

    /// How many numbers an answer has: 1 unless set otherwise.
    #[must_use]
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.task.outputs = outputs;
        self
    }

    blocking! {
        /// Fits a new network to rows and their answers.
        ///
        /// # Shapes
        /// - x: `[rows, features]`
        /// - y: `[rows, outputs]`; see [`MlpRegressor::outputs`]
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] for settings that cannot be used or no rows, [`Error::Shape`] if `x` does not divide into
        /// the rows of `y`, [`Error::NonFinite`], and as [`Device::auto`], [`Trainer::new`] and [`TrainingLoop::run`].
        pub fn fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self>
            = self.fit_async(x, y);
    }

    /// The asynchronous form of [`MlpRegressor::fit`].
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`].
    pub async fn fit_async(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        let data = self.dataset_with_new_origin(x.into(), y.into())?;
        self.fit_dataset(&data).await
    }

    blocking! {
        /// The same with a weight for each row; see [`Dataset::with_sample_weights`].
        ///
        /// # Errors
        /// As [`MlpRegressor::fit`] and [`Dataset::with_sample_weights`].
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
        let data = self.dataset_with_new_origin(x.into(), y.into())?.with_sample_weights(weights)?;
        self.fit_dataset(&data).await
    }

    blocking! {
        /// Takes what is fitted so far, or a new network, through these rows once, in batches.
        ///
        /// # Errors
        /// As [`MlpRegressor::fit`]; [`Error::InvalidSetting`] with early stopping, and with a scaling that no fit has
        /// learned.
        pub fn partial_fit(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self>
            = self.partial_fit_async(x, y);
    }

    /// The asynchronous form of [`MlpRegressor::partial_fit`].
    ///
    /// # Errors
    /// As [`MlpRegressor::partial_fit`].
    pub async fn partial_fit_async(&mut self, x: impl Into<Features>, y: impl Into<TargetValues>) -> Result<&mut Self> {
        self.check_partial()?;
        let (x, y) = (x.into(), y.into());
        let data = if self.fitted_state.is_none() { self.dataset_with_new_origin(x, y)? } else { self.dataset(x, y)? };
        if self.fitted_state.is_none() {
            self.fitted_state = Some(FittedState::untrained(&self.settings, &self.output_head(), data.inputs()).await?);
        }
        require_fitted(self.fitted_state.as_mut())?.partial_fit(&self.settings, &data).await?;
        Ok(self)
    }

    blocking! {
        /// The answers for each row, `[rows, outputs]`.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if nothing was fitted, and as [`Trainer::predict`].
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
        /// The answers for each row in f64, `[rows, outputs]`: with the resolution of targets near 1e9 that were given
        /// in f64.
        ///
        /// # Errors
        /// Returns the same errors as [`MlpRegressor::predict`].
        pub fn predict_f64(&mut self, x: impl Into<Features>) -> Result<Vec<f64>> = self.predict_f64_async(x);
    }

    /// The asynchronous form of [`MlpRegressor::predict_f64`].
    ///
    /// # Errors
    /// Returns the same errors as [`MlpRegressor::predict`].
    pub async fn predict_f64_async(&mut self, x: impl Into<Features>) -> Result<Vec<f64>> {
        let outputs = require_fitted(self.fitted_state.as_mut())?.outputs(x.into()).await?;
        Ok(self.add_origin(&outputs).collect())
    }

    /// Outputs with the origin of the targets, in f64.
    fn add_origin<'a>(&'a self, outputs: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let columns = self.task.outputs.max(1);
        let origin = move |at: usize| self.task.origin.get(at % columns).copied().map_or(0.0, f64::from);
        outputs.iter().enumerate().map(move |(at, value)| f64::from(*value) + origin(at))
    }

    blocking! {
        /// r², the mean over the outputs; 1 at best.
        ///
        /// # Errors
        /// As [`MlpRegressor::fit`] and [`MlpRegressor::predict`].
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
        // Whatever happens from here on, the fit before is gone.
        self.fitted_state = None;
        self.fitted_state = Some(FittedState::fit(&self.settings, &self.output_head(), data).await?);
        Ok(self)
    }

    const fn output_head(&self) -> OutputHead {
        let (activation, outputs) = (Activation::Identity, self.task.outputs);
        OutputHead {
            outputs,
            activation,
            loss: HALF_SQUARED_ERROR,
            stratified: false,
            validation_monitor: Monitor::ValidationR2,
        }
    }

    /// The data set of a new fit, whose targets decide what is subtracted from them.
    fn dataset_with_new_origin(&mut self, x: Features, y: TargetValues) -> Result<Dataset> {
        let origin = y.origin(self.task.outputs);
        self.dataset_with_origin(x, y, &origin).inspect(|_| self.task.origin = origin)
    }

    fn dataset(&self, x: Features, y: TargetValues) -> Result<Dataset> {
        self.dataset_with_origin(x, y, &self.task.origin)
    }

    fn dataset_with_origin(&self, x: Features, y: TargetValues, origin: &[f32]) -> Result<Dataset> {
        let outputs = self.task.outputs;
        if outputs == 0 {
            let expected = "at least 1".to_owned();
            return Err(Error::InvalidSetting { name: "outputs of a regressor", expected, got: "0".into() });
        }
        check_len("answers", y.len() / outputs * outputs, y.len())?;
        Dataset::new(y.len() / outputs, x, y.subtract_origin(origin))
    }
}
