//! Networks as plain data: layers, activations, losses, initializers, and the layout of their parameters.

pub(crate) mod activation;
pub(crate) mod custom;
pub(crate) mod dropout;
pub(crate) mod init;
pub(crate) mod layout;
pub(crate) mod loss;
pub(crate) mod network;
pub(crate) mod normalization;
pub(crate) mod task;
pub(crate) mod tensors;
pub use activation::Activation;
pub use custom::{CustomActivation, CustomLoss};
pub use init::Init;
pub use layout::{LayerLayout, LayerParameters};
pub use loss::Loss;
pub use network::{Dense, Network};
pub use normalization::Normalization;
