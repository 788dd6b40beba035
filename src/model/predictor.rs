//! A trained network that only answers: parameters and room for a batch, nothing of a training.

#[cfg(doc)]
use crate::error::Error;
use crate::{
    data::{
        features::ByteScale,
        scaling::{Scaler, transform_inputs},
    },
    device::Device,
    engine::prediction::PredictionBackend,
    error::Result,
    model::Model,
    nn::{layout::LayerParameters, network::Network},
    util::blocking::blocking,
};

/// A network that answers, on a device: it holds parameters and a batch's outputs, and neither gradients nor an optimizer's
/// state.
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
        /// A network with these weights and biases.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] for a network that cannot be built, [`Error::Shape`] and [`Error::NonFinite`] for
        /// parameters that are not its, [`Error::DeviceLimit`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
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
        /// A model that answers: its inputs are raw, and are scaled as it says. Recorded predictions take them scaled.
        /// A model that has learned from bytes takes `byte * byte_scale` ([`Model::byte_scale`]); a warning is logged
        /// once for inputs that cannot be such numbers.
        ///
        /// # Errors
        /// As [`Predictor::new`].
        pub fn from_model(device: &Device, model: &Model) -> Result<Self> = Self::from_model_async(device, model);
    }

    /// The asynchronous form of `Predictor::from_forward`.
    ///
    /// # Errors
    /// As `Predictor::from_forward`.
    pub async fn from_model_async(device: &Device, model: &Model) -> Result<Self> {
        model.check()?;
        let predictor = Self::new_async(device, &model.network, &model.parameters).await?;
        Ok(Self { scaler: model.scaler.clone(), byte_scale: model.byte_scale.into(), ..predictor })
    }

    /// The network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Sets weights and biases.
    ///
    /// # Errors
    /// As [`crate::train::Trainer::set_parameters`].
    pub fn set_parameters(&mut self, parameters: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(parameters)?;
        let (flat, statistics) = (self.network.layout().to_flat(parameters), self.network.statistics(parameters));
        self.backend.set_parameters(flat, statistics);
        Ok(())
    }

    blocking! {
        /// The outputs, `[rows, outputs]`, for inputs `[rows, inputs]` of any number of rows from 1 up.
        ///
        /// # Errors
        /// [`Error::Shape`] if the values do not divide into rows, [`Error::NonFinite`], [`Error::DeviceLost`],
        /// [`Error::Timeout`].
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

    /// The most rows of [`Predictor::record_async`]; none on the CPU.
    pub const fn max_rows(&self) -> Option<usize> {
        self.backend.max_recorded_rows()
    }

    blocking! {
        /// Records a prediction; see [`Predictor::record_async`].
        ///
        /// # Errors
        /// As there.
        pub fn record(
            &mut self,
            encoder: &mut wgpu::CommandEncoder,
            inputs: &wgpu::Buffer,
            rows: usize,
            outputs: &wgpu::Buffer,
        ) -> Result<()> = self.record_async(encoder, inputs, rows, outputs);
    }

    /// Records the outputs for `rows` rows of the caller's buffer into another one; see
    /// [`crate::train::Trainer::record_prediction_async`].
    ///
    /// # Errors
    /// As there.
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
