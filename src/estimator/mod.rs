//! Multilayer perceptrons with the interface of scikit-learn: [`MlpClassifier`] and [`MlpRegressor`].

pub(crate) mod classifier;
pub(crate) mod core;
pub(crate) mod mlp;
pub(crate) mod regressor;
pub(crate) mod settings;

pub use classifier::{ClassWeight, ClassifierTask, MlpClassifier};
pub use mlp::Mlp;
pub use regressor::{MlpRegressor, RegressorTask, TargetValues};
pub use settings::{LearningRate, MlpSettings};
