//! The CPU engine, which trains and predicts in f32 with vector instructions and several threads.

pub(crate) mod batch;
pub(crate) mod dataset_run;
pub(crate) mod elementwise;
pub(crate) mod engine;
pub(crate) mod ensemble;
pub(crate) mod gemm;
pub(crate) mod group;
pub(crate) mod layer;
pub(crate) mod normalization;
pub(crate) mod predictor;
pub(crate) mod small_network;
pub(crate) mod snapshot;
pub(crate) mod training;
pub(crate) mod update;
