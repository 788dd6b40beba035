//! Trained networks for programs that know nothing of this one.

mod onnx;
mod wgsl;

pub use wgsl::{WgslFunction, WgslWeights};
