//! Predictors: trained networks on a device, without the memory of a training run.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    data::{
        features::ByteScale,
        scaling::scaler::{Scaler, transform_inputs},
    },
    device::Device,
    engine::prediction::PredictionBackend,
    error::Result,
    model::Model,
    nn::{network::Network, parameters::LayerParameters},
    util::blocking::blocking,
};

/// A predictor: a trained network on a device.
///
/// It holds the parameters and the outputs of a batch, but neither gradients nor optimizer state.
///
/// ```
/// use gradus::{Activation, Device, Network, Predictor, nn::LayerParameters};
/// let network = Network::new(2).dense(1, Activation::Identity);
/// let parameters = LayerParameters::new(vec![1.0, 2.0], vec![0.5]);
/// let mut predictor = Predictor::new(&Device::cpu(), &network, &[parameters])?;
/// assert_eq!(predictor.predict(&[3.0, 4.0])?, [11.5]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub struct Predictor {
    network: Network,
    scaler: Option<Scaler>,
    byte_scale: ByteScale,
    backend: PredictionBackend,
}

impl Predictor {
    blocking! {
        /// Creates a predictor from a network and its parameters, without a scaler.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if the network is invalid.
        /// - [`Error::Shape`] if the parameters do not fit the network.
        /// - [`Error::NonFinite`] if a parameter is NaN or infinite.
        /// - [`Error::DeviceLimit`] if a limit of the device is too small.
        /// - [`Error::OutOfMemory`] or [`Error::DeviceLost`] if the device fails.
        pub fn new(device: &Device, network: &Network, parameters: &[LayerParameters]) -> Result<Self>
            = Self::new_async(device, network, parameters);
    }

    /// The asynchronous form of [`Predictor::new`].
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub async fn new_async(device: &Device, network: &Network, parameters: &[LayerParameters]) -> Result<Self> {
        network.check()?;
        network.check_parameters(parameters)?;
        let (flat, statistics) = (network.layout().to_flat(parameters), network.statistics(parameters));
        let backend = PredictionBackend::new(device, network, flat, statistics).await?;
        Ok(Self { network: network.clone(), scaler: None, byte_scale: ByteScale::default(), backend })
    }

    blocking! {
        /// Creates a predictor from a model.
        ///
        /// [`Predictor::predict`] scales raw inputs with the scaler of the model. Recorded predictions take scaled
        /// inputs. A model that was trained on bytes takes `byte * byte_scale` ([`Model::byte_scale`]); gradus logs one
        /// warning if an input cannot be a scaled byte.
        ///
        /// # Errors
        /// As [`Predictor::new`].
        pub fn from_model(device: &Device, model: &Model) -> Result<Self> = Self::from_model_async(device, model);
    }

    /// The asynchronous form of [`Predictor::from_model`].
    ///
    /// # Errors
    /// As [`Predictor::from_model`].
    pub async fn from_model_async(device: &Device, model: &Model) -> Result<Self> {
        model.check()?;
        let predictor = Self::new_async(device, &model.network, &model.parameters).await?;
        Ok(Self { scaler: model.scaler.clone(), byte_scale: model.byte_scale.into(), ..predictor })
    }

    /// Returns the network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Sets the parameters.
    ///
    /// # Errors
    /// As [`Trainer::set_parameters`](crate::train::Trainer::set_parameters).
    pub fn set_parameters(&mut self, parameters: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(parameters)?;
        let (flat, statistics) = (self.network.layout().to_flat(parameters), self.network.statistics(parameters));
        self.backend.set_parameters(flat, statistics);
        Ok(())
    }

    blocking! {
        /// Returns the outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of at least one row.
        ///
        /// # Errors
        /// - [`Error::Shape`] if the number of values is not a multiple of the number of inputs.
        /// - [`Error::NonFinite`] if an input is NaN or infinite.
        /// - [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
        pub fn predict(&mut self, inputs: &[f32]) -> Result<Vec<f32>> = self.predict_async(inputs);
    }

    /// The asynchronous form of [`Predictor::predict`].
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub async fn predict_async(&mut self, inputs: &[f32]) -> Result<Vec<f32>> {
        self.network.check_inputs(inputs)?;
        self.byte_scale.warn_if_unscaled(inputs);
        let inputs = transform_inputs(self.scaler.as_ref(), inputs);
        self.backend.predict(&inputs).await
    }

    /// Returns the maximum number of rows of [`Predictor::record_async`], or `None` on the CPU engine, which cannot
    /// record.
    pub const fn max_rows(&self) -> Option<usize> {
        self.backend.max_recorded_rows()
    }

    blocking! {
        /// Records a prediction into a command encoder of the caller; see [`Predictor::record_async`].
        ///
        /// # Errors
        /// As [`Predictor::record_async`].
        pub fn record(
            &mut self,
            encoder: &mut wgpu::CommandEncoder,
            inputs: &wgpu::Buffer,
            rows: usize,
            outputs: &wgpu::Buffer,
        ) -> Result<()> = self.record_async(encoder, inputs, rows, outputs);
    }

    /// Records a prediction for `rows` rows from a buffer of the caller into another buffer of the caller.
    ///
    /// [`Trainer::record_prediction_async`](crate::train::Trainer::record_prediction_async) describes the buffers.
    ///
    /// # Errors
    /// - [`Error::InvalidState`] if the predictor runs on the CPU engine.
    /// - [`Error::InvalidSetting`] if a buffer lacks the usage `STORAGE`, or `rows` is 0 or greater than
    ///   [`Predictor::max_rows`].
    /// - [`Error::Shape`] if a buffer is too short.
    /// - [`Error::DeviceLimit`] if a limit of the device is too small.
    pub async fn record_async(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        self.backend.record(encoder, inputs, rows, outputs).await
    }
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predictor").field("network", &self.network).finish_non_exhaustive()
    }
}
