//! gradus
#![deny(unsafe_code, missing_docs)]

mod activation;
#[cfg(not(target_family = "wasm"))]
mod blocking;
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
mod report;
mod step;
mod trainer;

pub use activation::Activation;
#[cfg(not(target_family = "wasm"))]
pub use blocking::adapters;
pub use dataset::{Answers, Dataset, Features};
pub use device::{Choice, Device, Request, adapters_async};
pub use error::{Error, Result};
pub use gpu::adapters::AdapterReport;
pub use init::Init;
pub use loss::Loss;
pub use network::{Dense, LayerParameters, Network};
pub use optimizer::Optimizer;
pub use report::{Evaluation, Report};
pub use trainer::{Settings, Trainer};
pub use wgpu;
