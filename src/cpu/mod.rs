//! The machine that is always there: [`reference`] to judge by, and the engine that is fast.

pub(crate) mod engine;
mod gemm;
mod math;
pub mod reference;
