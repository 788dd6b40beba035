//! The engines that train and predict, on a GPU or on the CPU, behind one interface.
//!
//! Each backend type is an enum with one variant for the GPU and one for the CPU. Only these types distinguish the two;
//! their callers do not.

pub(crate) mod config;
pub(crate) mod cpu;
pub(crate) mod ensemble;
pub(crate) mod gpu;
pub(crate) mod population;
pub(crate) mod prediction;
pub(crate) mod prefetch;
pub mod reference;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod training;

use crate::error::Error;

/// Returns the error for recording into a command encoder on the CPU; `object` is the trainer or the predictor.
fn recording_needs_gpu(object: &str) -> Error {
    Error::InvalidState {
        message: format!("recording needs a GPU; this {object} runs on the CPU engine, create it with a GPU device"),
    }
}
