//! Predictions of a network outside of a trainer.

use crate::{
    device::{Backend, Device},
    engine::{
        cpu::predictor::Predictor, gpu::run::inference::predictor::Predictor as GpuPredictor, recording_needs_gpu,
    },
    error::Result,
    nn::network::Network,
};

/// A network with its parameters on a GPU or on the CPU.
#[allow(clippy::large_enum_variant, reason = "a predictor holds exactly one")]
pub(crate) enum PredictionBackend {
    Gpu(GpuPredictor),
    Cpu(Predictor),
}

impl PredictionBackend {
    /// Creates the backend for a network with flat parameters and running statistics.
    pub(crate) async fn new(device: &Device, network: &Network, flat: Vec<f32>, statistics: Vec<f32>) -> Result<Self> {
        Ok(match &device.backend {
            Backend::Gpu(gpu) => Self::Gpu(GpuPredictor::standalone(gpu, network, &flat, &statistics).await?),
            Backend::Cpu => Self::Cpu(Predictor::new(network, flat, statistics)),
        })
    }

    /// Sets the flat parameters and the flat running statistics.
    pub(crate) fn set_parameters(&mut self, flat: Vec<f32>, statistics: Vec<f32>) {
        match self {
            Self::Gpu(predictor) => predictor.set_parameters(&flat, &statistics),
            Self::Cpu(predictor) => predictor.set_parameters(flat, statistics),
        }
    }

    /// Returns the outputs, row by row, for any number of rows of inputs.
    pub(crate) async fn predict(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(predictor) => predictor.predict(inputs).await,
            Self::Cpu(predictor) => Ok(predictor.predict(inputs)),
        }
    }

    /// Returns the maximum number of rows of a recorded prediction, or `None` on the CPU, which cannot record.
    pub(crate) const fn max_recorded_rows(&self) -> Option<usize> {
        match self {
            Self::Gpu(predictor) => Some(predictor.max_rows()),
            Self::Cpu(_) => None,
        }
    }

    /// Records a prediction from one buffer of the caller into another.
    ///
    /// # Errors
    /// [`Error::InvalidState`](crate::Error::InvalidState) on the CPU.
    pub(crate) async fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        match self {
            Self::Gpu(predictor) => predictor.record(encoder, inputs, rows, outputs).await,
            Self::Cpu(_) => Err(recording_needs_gpu("predictor")),
        }
    }
}
