//! Tells numbers.

use super::{
    MlpRegressor, MlpSettings,
    core::{Fitted, Head, fitted},
};
use crate::{Activation, Dataset, Error, Features, Loss, Monitor, Result, error::check_len};

/// What a regressor knows of its answers.
#[derive(Debug, Clone)]
pub struct Regressing {
    outputs: usize,
}

/// Half the squared error: before an error comes to where it would turn into another, its square is no f32 any more.
const HALF_SQUARED: Loss = Loss::Huber { delta: 1e30 };

impl Default for MlpRegressor {
    fn default() -> Self {
        Self::new()
    }
}

impl MlpRegressor {
    /// With scikit-learn's defaults, for one number a row.
    pub fn new() -> Self {
        Self { settings: MlpSettings::default(), task: Regressing { outputs: 1 }, fitted: None }
    }

    /// How many numbers an answer has: 1 unless set otherwise.
    #[must_use]
    pub fn outputs(mut self, outputs: usize) -> Self {
        self.task.outputs = outputs;
        self
    }

    /// [`MlpRegressor::fit`], asynchronously.
    ///
    /// # Errors
    /// As [`MlpRegressor::fit`].
    pub async fn fit_async(&mut self, x: impl Into<Features>, y: &[f32]) -> Result<&mut Self> {
        let data = self.dataset(x.into(), y)?;
        self.fit_to(&data).await
    }

    /// [`MlpRegressor::fit_weighted`], asynchronously.
    ///
    /// # Errors
    /// As [`MlpRegressor::fit_weighted`].
    pub async fn fit_weighted_async(
        &mut self,
        x: impl Into<Features>,
        y: &[f32],
        weights: &[f32],
    ) -> Result<&mut Self> {
        let data = self.dataset(x.into(), y)?.with_weights(weights)?;
        self.fit_to(&data).await
    }

    /// [`MlpRegressor::partial_fit`], asynchronously.
    ///
    /// # Errors
    /// As [`MlpRegressor::partial_fit`].
    pub async fn partial_fit_async(&mut self, x: impl Into<Features>, y: &[f32]) -> Result<&mut Self> {
        self.check_partial()?;
        let data = self.dataset(x.into(), y)?;
        if self.fitted.is_none() {
            self.fitted = Some(Fitted::blank(&self.settings, &self.head(), data.inputs()).await?);
        }
        fitted(self.fitted.as_mut())?.partial_fit(&self.settings, &data).await?;
        Ok(self)
    }

    /// [`MlpRegressor::predict`], asynchronously.
    ///
    /// # Errors
    /// As [`MlpRegressor::predict`].
    pub async fn predict_async(&mut self, x: impl Into<Features>) -> Result<Vec<f32>> {
        fitted(self.fitted.as_mut())?.outputs(x.into()).await
    }

    /// [`MlpRegressor::score`], asynchronously.
    ///
    /// # Errors
    /// As [`MlpRegressor::score`].
    pub async fn score_async(&mut self, x: impl Into<Features>, y: &[f32]) -> Result<f64> {
        let data = self.dataset(x.into(), y)?;
        let metrics = fitted(self.fitted.as_mut())?.trainer.evaluate_async(&data).await?;
        Ok(metrics.r2().unwrap_or(f64::NAN))
    }

    async fn fit_to(&mut self, data: &Dataset) -> Result<&mut Self> {
        // Whatever happens from here on, the fit before is gone.
        self.fitted = None;
        self.fitted = Some(Fitted::fit(&self.settings, &self.head(), data).await?);
        Ok(self)
    }

    const fn head(&self) -> Head {
        let (activation, outputs) = (Activation::Identity, self.task.outputs);
        Head { outputs, activation, loss: HALF_SQUARED, stratified: false, score: Monitor::ValidationR2 }
    }

    fn dataset(&self, x: Features, y: &[f32]) -> Result<Dataset> {
        let outputs = self.task.outputs;
        if outputs == 0 {
            let expected = "at least 1".to_owned();
            return Err(Error::Setting { what: "outputs of a regressor", expected, got: "0".into() });
        }
        check_len("answers", y.len() / outputs * outputs, y.len())?;
        Dataset::new(y.len() / outputs, x, y)
    }
}
