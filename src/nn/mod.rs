//! Networks as plain data: layers, activations, losses, initializers, and the layout of their parameters.

pub(crate) mod activation;
pub(crate) mod custom;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod init;
pub(crate) mod layout;
pub(crate) mod loss;
pub(crate) mod network;
pub(crate) mod normalization;
pub(crate) mod parameters;
pub(crate) mod task;
pub(crate) mod tensors;
pub use activation::Activation;
pub use custom::{CustomActivation, CustomLoss};
pub use dense::Dense;
pub use init::Init;
pub use layout::LayerLayout;
pub use loss::Loss;
pub use network::Network;
pub use normalization::Normalization;
pub use parameters::LayerParameters;
