//! The machine that is always there: [`mod@reference`] to judge by, and an engine that is fast.

pub(crate) mod dataset_run;
mod elementwise;
pub(crate) mod engine;
pub(crate) mod ensemble;
mod gemm;
pub(crate) mod group;
mod keep;
mod layer;
mod norm;
pub(crate) mod predictor;
pub mod reference;
mod shape;
mod small;
pub(crate) mod training;
mod update;
