//! Exports of trained networks to other formats: ONNX and WGSL.

pub(crate) mod onnx;
pub(crate) mod wgsl;

pub use wgsl::{WgslFunction, WgslWeights};
