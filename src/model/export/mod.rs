//! Trained networks for programs that know nothing of this one.

pub(crate) mod onnx;
pub(crate) mod wgsl;

pub use wgsl::{WgslFunction, WgslWeights};
