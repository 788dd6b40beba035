//! Predictions of several networks of one shape, combined where they are computed.

use crate::{
    device::{Backend, Device},
    engine::{cpu::ensemble::Ensemble, gpu::run::ensemble::Ensemble as GpuEnsemble},
    error::Result,
    nn::network::Network,
};

/// Networks with their parameters on a GPU or on the CPU.
#[allow(clippy::large_enum_variant, reason = "each ensemble has one")]
pub(crate) enum EnsembleBackend {
    Gpu(GpuEnsemble),
    Cpu(Ensemble),
}

impl EnsembleBackend {
    /// Networks of one shape, each with flat parameters and running statistics.
    pub(crate) async fn new(device: &Device, network: &Network, members: Vec<[Vec<f32>; 2]>) -> Result<Self> {
        Ok(match &device.backend {
            Backend::Gpu(gpu) => Self::Gpu(GpuEnsemble::new(gpu, network, &members).await?),
            Backend::Cpu => Self::Cpu(Ensemble::new(network, members)),
        })
    }

    /// For each row the means of the outputs, then their summed squared deviations, then the votes: `[rows, 3, outputs]`.
    pub(crate) async fn predict(&self, inputs: &[f32], threshold: f32) -> Result<Vec<f32>> {
        match self {
            Self::Gpu(ensemble) => ensemble.predict(inputs, threshold).await,
            Self::Cpu(ensemble) => Ok(ensemble.predict(inputs, threshold)),
        }
    }
}
