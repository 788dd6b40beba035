//! Data sets: rows of features with their targets, in memory or in files, and their preprocessing.

pub(crate) mod class_weights;
pub(crate) mod dataset;
pub(crate) mod features;
pub(crate) mod file_rows;
pub mod formats;
pub(crate) mod max_abs;
pub(crate) mod noise;
pub(crate) mod permutation;
pub(crate) mod scaling;
pub(crate) mod split;
pub(crate) mod subset;
pub mod table;
pub(crate) mod value_type;
pub use dataset::{Dataset, Targets};
pub use features::Features;
pub use file_rows::FileRows;
pub use scaling::{fit::Scaling, scaler::Scaler};
pub use split::Split;
pub use subset::{Fold, Subset};
