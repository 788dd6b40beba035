//! gradus
#![deny(unsafe_code, missing_docs)]

mod activation;
pub mod cpu;
mod dataset;
mod device;
mod error;
mod gpu;
mod init;
mod judge;
mod loss;
mod network;
mod optimizer;
mod order;
mod step;
mod trainer;

pub use activation::Activation;
pub use dataset::{Answers, Dataset, Features};
pub use device::{Choice, Device, Request, adapters, adapters_async};
pub use error::{Error, Result};
pub use gpu::adapters::AdapterReport;
pub use init::Init;
pub use loss::Loss;
pub use network::{Dense, LayerParameters, Network};
pub use optimizer::Optimizer;
pub use trainer::{Evaluation, Report, Settings, Trainer};
pub use wgpu;
