//! What trains and predicts: a GPU or the CPU, behind one interface.
//!
//! Each file has one type with a variant for each. Only these types tell the two apart, so that their callers do not.

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

/// The error of a recording that is asked of the CPU.
fn recording_needs_gpu(expected: &str) -> Error {
    Error::InvalidSetting { name: "recording", expected: expected.into(), got: "the CPU".into() }
}
