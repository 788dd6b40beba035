//! The kinds of tensors of a layer, and the properties of each kind.
//!
//! [`Dense::tensors`](crate::nn::Dense::tensors) lists the tensors of a layer. The memory layout, the initial values,
//! the names in files, the regularization and the exports follow from that list. A new per-neuron vector needs a
//! [`TensorKind`] and an entry in the list.

use crate::nn::init::Init;

/// The role of a tensor in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorKind {
    Weight,
    Bias,
    /// The trained factor of a normalization.
    Gamma,
    /// The trained offset of a normalization.
    Beta,
    RunningMean,
    RunningVar,
    PreluSlope,
}

/// The part of a layer that is a separate module in PyTorch. In files the tensors of a module share a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorModule {
    Dense,
    Normalization,
    Activation,
}

/// The values of a tensor before the first training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum InitialValues {
    Constant(f32),
    Random(Init),
}

/// The kind, the shape and the initial values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TensorSpec {
    pub(crate) kind: TensorKind,
    /// The number of rows in memory. [`LayerParameters`](crate::nn::LayerParameters) and files hold the transpose, in
    /// the layout of PyTorch.
    pub(crate) rows: usize,
    /// The number of values per row, one per neuron.
    pub(crate) columns: usize,
    pub(crate) initial_values: InitialValues,
}

impl TensorKind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Weight, Self::Bias, Self::Gamma, Self::Beta, Self::RunningMean, Self::RunningVar, Self::PreluSlope];

    /// Returns whether the tensor is trained. Running statistics are not trained and are in a second flat vector.
    pub(crate) const fn is_trained(self) -> bool {
        match self {
            Self::Weight | Self::Bias | Self::Gamma | Self::Beta | Self::PreluSlope => true,
            Self::RunningMean | Self::RunningVar => false,
        }
    }

    /// Returns whether the tensor holds weights. Penalties apply to all other tensors only if
    /// [`Optimizer::regularize_biases`](crate::optim::Optimizer::regularize_biases) is set.
    pub(crate) const fn is_weight(self) -> bool {
        match self {
            Self::Weight => true,
            Self::Bias | Self::Gamma | Self::Beta | Self::RunningMean | Self::RunningVar | Self::PreluSlope => false,
        }
    }

    /// Returns the PyTorch module that owns the tensor.
    pub(crate) const fn module(self) -> TensorModule {
        match self {
            Self::Weight | Self::Bias => TensorModule::Dense,
            Self::Gamma | Self::Beta | Self::RunningMean | Self::RunningVar => TensorModule::Normalization,
            Self::PreluSlope => TensorModule::Activation,
        }
    }

    /// Returns the name within its module, as in PyTorch. Files use it.
    pub(crate) const fn name_in_module(self) -> &'static str {
        match self {
            Self::Weight | Self::Gamma | Self::PreluSlope => "weight",
            Self::Bias | Self::Beta => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
        }
    }

    /// Returns the name within its layer, which is unique there.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Gamma => "gain",
            Self::Beta => "shift",
            Self::RunningMean => "mean",
            Self::RunningVar => "variance",
            Self::PreluSlope => "slope",
        }
    }

    /// Returns the name of its values in error messages.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Weight => "weights",
            Self::Bias => "biases",
            Self::Gamma => "gammas",
            Self::Beta => "betas",
            Self::RunningMean => "running means",
            Self::RunningVar => "running variances",
            Self::PreluSlope => "PReLU slopes",
        }
    }
}

impl TensorSpec {
    /// Returns the shape in the layout of PyTorch.
    pub(crate) fn shape(&self) -> Vec<usize> {
        if self.kind.is_weight() { vec![self.columns, self.rows] } else { vec![self.columns] }
    }

    /// Returns the number of values.
    pub(crate) const fn len(&self) -> usize {
        self.rows * self.columns
    }
}
