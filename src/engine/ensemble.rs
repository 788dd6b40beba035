//! Predictions of several networks of one shape, combined on the device that computes them.

use crate::{
    device::{Backend, Device},
    engine::{cpu::ensemble::Ensemble, gpu::run::inference::ensemble::Ensemble as GpuEnsemble},
    error::Result,
    nn::network::Network,
};

/// An ensemble with its parameters on a GPU or on the CPU.
#[allow(clippy::large_enum_variant, reason = "an ensemble holds exactly one")]
pub(crate) enum EnsembleBackend {
    Gpu(GpuEnsemble),
    Cpu(Ensemble),
}

impl EnsembleBackend {
    /// Creates an ensemble of networks of one shape. Each member is `[parameters, running statistics]`, both flat.
    pub(crate) async fn new(device: &Device, network: &Network, members: Vec<[Vec<f32>; 2]>) -> Result<Self> {
        Ok(match &device.backend {
            Backend::Gpu(gpu) => Self::Gpu(GpuEnsemble::new(gpu, network, &members).await?),
            Backend::Cpu => Self::Cpu(Ensemble::new(network, members)),
        })
    }

    /// Returns `[rows, 3, outputs]`: for each row the means of the outputs, their summed squared deviations, and the
    /// votes.
    ///
    /// A network with one output votes if the output is greater than `threshold`. Otherwise each member votes for its
    /// largest output.
    pub(crate) async fn predict(&self, inputs: &[f32], threshold: f32) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(ensemble) => ensemble.predict(inputs, threshold).await,
            Self::Cpu(ensemble) => Ok(ensemble.predict(inputs, threshold)),
        }
    }
}
