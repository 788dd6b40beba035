//! Forward passes without training: predictions, evaluations and ensembles.

pub(crate) mod ensemble;
pub(crate) mod evaluator;
pub(crate) mod forward;
pub(crate) mod predictor;
