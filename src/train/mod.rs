//! Training: the trainer, its settings, and the training loop with validation and early stopping.

pub(crate) mod epochs;
pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod learning_rate_finder;
pub(crate) mod policies;
#[cfg(all(feature = "progress", not(target_family = "wasm")))]
pub(crate) mod progress_bar;
pub(crate) mod run_report;
pub(crate) mod settings;
pub(crate) mod trainer;
pub(crate) mod training_loop;
pub use histogram::{LayerHistogram, LayerValues};
pub use history::{Ended, Epoch, History};
pub use learning_rate_finder::{RangeTest, Rates};
pub use policies::{Divergence, EarlyStopping, Monitor, ReduceOnPlateau};
#[cfg(all(feature = "progress", not(target_family = "wasm")))]
pub use progress_bar::ProgressBar;
pub use run_report::Report;
pub use settings::Settings;
pub use trainer::Trainer;
pub use training_loop::{Decision, Fit, Progress, Validation};
