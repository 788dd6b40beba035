//! gradus (Latin: a step) trains neural networks on any GPU that wgpu reaches: Vulkan, Metal, DX12, WebGPU.
//!
//! The data set moves to the device once; then the forward pass, the loss, the backward pass, the update, the order of
//! the rows and the epoch run there, in WGSL compute shaders. A CPU engine stands behind the same calls.
//!
//! ```
#![doc = include_str!("../examples/xor.rs")]
//! ```
//!
//! New to neural networks? The [`guide`] is a short textbook, from one neuron to a training, with the WGSL of each formula.
//!
//! # The step
//!
//! A [`Network`] of L dense layers takes 2L dispatches a step: L products forward with bias and activation (the last one
//! also computes the loss's delta), L - 1 products back, and one over all layers' gradients that updates the parameters
//! where the gradients arise. Softmax takes one more. Many steps are recorded into one submission; their losses come
//! back once, when [`Trainer::run`] returns.
//!
//! What a network asks for adds to that, and what it does not ask for is in no kernel: clipping the gradient's norm two, or
//! accumulating batches one, since the update waits for whole gradients; a layer norm one forward and two back, a batch norm
//! one and one, a learned slope one back, and with either the update one. Networks with a norm or a learned slope, and those
//! alone, are always computed layer by layer.
//!
//! # Many networks
//!
//! A [`Population`] trains many networks of one shape in the same dispatches, since small ones leave a device idle: seeds,
//! settings to choose from ([`Search`](search::Search)), folds ([`KFold`](search::KFold)), members of an [`Ensemble`](population::Ensemble). Each has the bits that it has alone.
//!
//! # Devices
//!
//! [`Device::auto`] takes the best real GPU, or the CPU where there is none ([`Device::fallback_reason`] then says why).
//! [`Device::request`] takes one by name, software adapters such as llvmpipe too. [`Device::from_wgpu`] takes the caller's
//! own. `WGPU_BACKEND`, `WGPU_ADAPTER_NAME` and `WGPU_POWER_PREF` are respected. The types of [`wgpu`] are part of this
//! crate's interface, so it is exported: a new major version of wgpu is a version of gradus that breaks with the last.
//!
//! # Conventions
//!
//! - Everything is f32, row by row. Weights are given and taken as PyTorch lays them out: `[outputs, inputs]`.
//! - The mean squared error is the mean over the batch *and* the outputs, as in PyTorch and Keras. A book that sums over
//!   the outputs and halves needs another rate: Nielsen's 3.0 for 10 outputs is 15.0 here.
//! - A step's loss is the loss before its update.
//!
//! # Reproducibility
//!
//! The same adapter and driver (or CPU and number of threads), version of this crate, network, settings and seed give the
//! same bits again, however the steps are cut into calls and chunks: sums are taken in a fixed order, and no float is
//! added atomically. The initial weights and the order of the rows are the same bits on every device; what is computed
//! from them agrees within rounding.
//!
//! # Features of the crate
//!
//! On unless switched off:
//!
//! - `csv`: tables from CSV files ([`Table::load_csv`](data::table::Table::load_csv)).
//! - `npy`: numpy's npy and npz files ([`Npy`](data::formats::Npy)).
//! - `images`: data sets from folders of PNG and JPEG files ([`ImageSet::from_folder`](data::formats::ImageSet::from_folder)).
//! - `plot`: a training and its results as SVG and PNG ([`plot`]).
//! - `progress`: a training's progress on standard error ([`ProgressBar`](train::ProgressBar)).
//!
//! Off unless asked for:
//!
//! - `ndarray`: data sets from arrays (`Dataset::from_arrays`).
//!
//! The blocking calls are there on every platform but the web, where only their `_async` twins are.

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

/// On native platforms everything may go to, and be looked at from, another thread.
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
