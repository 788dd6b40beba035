//! gradus (Latin: a step) trains neural networks on any GPU that wgpu supports: Vulkan, Metal, DX12.
//!
//! gradus copies the data set to the device once. The device then runs the forward pass, the loss, the backward pass, the
//! update and the shuffling of the rows in WGSL compute shaders. The same API also runs on a CPU engine.
//!
//! ```
#![doc = include_str!("../examples/xor.rs")]
//! ```
//!
//! New to neural networks? The [`guide`] is a short textbook, from one neuron to a trained network, with the WGSL code of
//! each formula.
//!
//! # The step
//!
//! A training step of a [`Network`] with L dense layers takes about 2L dispatches, and gradus submits many steps at once.
//! [`plan::Plan`] lists the dispatches of a network, and `docs/plans.md` in the repository describes the schemes and their
//! kernels.
//!
//! # Many networks
//!
//! A [`Population`] trains many networks of one shape in the same dispatches, because one small network leaves a GPU idle.
//! The module [`population`] covers populations and ensembles, and [`search`] covers hyperparameter search and
//! cross-validation.
//!
//! # Devices
//!
//! - [`Device::auto`] opens the fastest hardware GPU. Without a GPU it falls back to the CPU, and
//!   [`Device::fallback_reason`] returns the reason.
//! - [`Device::request`] opens a device by name, including software adapters such as llvmpipe.
//! - [`Device::from_wgpu`] uses a wgpu device that the caller has opened.
//!
//! gradus respects `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF`. It exports [`wgpu`], because types of wgpu are
//! part of its API. A new major version of wgpu is therefore a breaking change of gradus.
//!
//! # Conventions
//!
//! - All values are f32 in row-major order. Weights have the layout of PyTorch: `[outputs, inputs]`.
//! - The mean squared error is the mean over the batch *and* the outputs, as in PyTorch and Keras. A textbook that sums over
//!   the outputs and halves the sum needs another learning rate: Nielsen's 3.0 for 10 outputs is 15.0 in gradus.
//! - The loss of a step is the loss before the update of that step.
//!
//! # Reproducibility
//!
//! Results are reproducible bit for bit on the same adapter and driver, or on the CPU with the same number of threads. The
//! version of gradus, the network, the settings and the seed must also be the same. The division of steps into calls and
//! chunks has no effect, because every sum has a fixed order and no kernel adds floats atomically.
//!
//! The initial weights and the order of the rows have the same bits on every device. All other results agree between devices
//! within rounding.
//!
//! # Features of the crate
//!
//! Enabled by default:
//!
//! - `csv`: loads tables from CSV files ([`Table::load_csv`](data::table::Table::load_csv)).
//! - `npy`: loads and saves npy and npz files of numpy ([`Npy`](data::formats::Npy)).
//! - `images`: loads folders of PNG and JPEG files ([`ImageSet::from_folder`](data::formats::ImageSet::from_folder)).
//! - `plot`: plots training curves and results as SVG and PNG ([`plot`]).
//! - `progress`: prints the progress of a training run on standard error ([`ProgressBar`](train::ProgressBar)).
//!
//! Disabled by default:
//!
//! - `ndarray`: creates data sets from arrays (`Dataset::from_arrays`).
//!
//! Blocking functions exist on every platform except the web, which has only their `_async` twins.

#![deny(unsafe_code, missing_docs)]

pub mod data;
pub mod device;
pub mod diagnostics;
pub(crate) mod engine;
pub(crate) mod error;
pub mod estimator;
pub mod guide;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod optim;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
pub mod population;
pub mod search;
pub mod train;
pub(crate) mod util;

pub use data::{Dataset, Features, Targets};
pub use device::Device;
#[cfg(not(target_family = "wasm"))]
pub use diagnostics::self_test;
pub use engine::reference;
pub use error::{Error, Result};
pub use estimator::{MlpClassifier, MlpRegressor};
pub use model::{Checkpoint, Model, Predictor};
pub use nn::{Activation, Init, Loss, Network};
pub use optim::{Optimizer, Schedule};
pub use population::{Member, Population};
pub use train::{EarlyStopping, History, Trainer, TrainerSettings, TrainingLoop};
pub use wgpu;

/// Checks that the public types are `Send` and `Sync` on native platforms.
#[cfg(not(target_family = "wasm"))]
const _: fn() = || {
    fn check<T: Send + Sync>() {}
    check::<(Device, Trainer, Dataset, Network, TrainerSettings, train::RunReport, Error, device::AdapterReport)>();
    check::<(
        TrainingLoop,
        History,
        train::LearningRateFinder,
        MlpClassifier<String>,
        MlpRegressor,
        population::Ensemble,
    )>();
};

/// Compiles the Rust code on the pages, so that it stays correct. `cargo test --doc` also runs the program of the README.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/data.md")]
    struct Data;
    #[doc = include_str!("../docs/from-pytorch.md")]
    struct FromPyTorch;
    #[doc = include_str!("../docs/from-scikit-learn.md")]
    struct FromScikitLearn;
    #[doc = include_str!("../docs/plans.md")]
    struct Plans;
    #[doc = include_str!("../docs/populations.md")]
    struct Populations;
}
