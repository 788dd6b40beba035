//! Training: the trainer, its settings, and the training loop with validation and early stopping.

pub(crate) mod callback;
pub(crate) mod epochs;
pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod learning_rate_finder;
pub(crate) mod policies;
#[cfg(all(feature = "progress", not(target_family = "wasm")))]
pub(crate) mod progress_bar;
pub(crate) mod run;
pub(crate) mod run_report;
pub(crate) mod settings;
pub(crate) mod trainer;
pub(crate) mod training_loop;
pub use callback::{CallbackAction, Progress};
pub use histogram::{LayerHistogram, LayerQuantity};
pub use history::{Epoch, History, StopReason};
pub use learning_rate_finder::{LearningRateCurve, LearningRateFinder};
pub use policies::{
    divergence::DivergencePolicy, early_stopping::EarlyStopping, monitor::Monitor, reduce_on_plateau::ReduceOnPlateau,
};
#[cfg(all(feature = "progress", not(target_family = "wasm")))]
pub use progress_bar::ProgressBar;
pub use run_report::RunReport;
pub use settings::TrainerSettings;
pub use trainer::Trainer;
pub use training_loop::{TrainingLoop, Validation};
