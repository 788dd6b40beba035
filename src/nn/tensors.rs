//! The tensors of a layer: one list, from which everything that handles parameters is derived.
//!
//! The list decides the memory layout, the first values, the names in files, the reach of penalties and the exports.
//! A new layer kind or a new per-neuron vector is a [`TensorKind`] and an entry of [`Dense::tensors`].

use crate::nn::{
    activation::Activation, init::Init, layout::LayerParameters, network::Dense, normalization::Normalization,
};

/// What a tensor of a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorKind {
    Weight,
    Bias,
    /// The factor of a normalization.
    Gamma,
    /// The offset of a normalization.
    Beta,
    RunningMean,
    RunningVar,
    PreluSlope,
}

/// The part of a layer that is a module of its own in PyTorch. The tensors of a module share a name in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorModule {
    Dense,
    Normalization,
    Activation,
}

/// The values of a tensor before the first step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum InitialValues {
    Constant(f32),
    Random(Init),
}

/// A tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TensorSpec {
    pub(crate) kind: TensorKind,
    /// Rows in memory; [`LayerParameters`] and files hold the transpose, in PyTorch's layout.
    pub(crate) rows: usize,
    /// Values of a row, one for each neuron.
    pub(crate) columns: usize,
    pub(crate) initial_values: InitialValues,
}

impl TensorKind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Weight, Self::Bias, Self::Gamma, Self::Beta, Self::RunningMean, Self::RunningVar, Self::PreluSlope];

    /// Whether the tensor has gradients. Running statistics have none and lie in a buffer of their own.
    pub(crate) const fn is_trained(self) -> bool {
        match self {
            Self::Weight | Self::Bias | Self::Gamma | Self::Beta | Self::PreluSlope => true,
            Self::RunningMean | Self::RunningVar => false,
        }
    }

    /// Whether penalties always apply. Other tensors are exempt where [`crate::optim::Optimizer::regularize_biases`] is false.
    pub(crate) const fn is_weight(self) -> bool {
        match self {
            Self::Weight => true,
            Self::Bias | Self::Gamma | Self::Beta | Self::RunningMean | Self::RunningVar | Self::PreluSlope => false,
        }
    }

    pub(crate) const fn module(self) -> TensorModule {
        match self {
            Self::Weight | Self::Bias => TensorModule::Dense,
            Self::Gamma | Self::Beta | Self::RunningMean | Self::RunningVar => TensorModule::Normalization,
            Self::PreluSlope => TensorModule::Activation,
        }
    }

    /// The name within its module in files, which is PyTorch's.
    pub(crate) const fn name_in_module(self) -> &'static str {
        match self {
            Self::Weight | Self::Gamma | Self::PreluSlope => "weight",
            Self::Bias | Self::Beta => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVar => "running_var",
        }
    }

    /// The name within its layer, which no other tensor of the layer has.
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

    /// The name of its values in errors.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Weight => "weights",
            Self::Bias => "biases",
            Self::Gamma => "gains",
            Self::Beta => "shifts",
            Self::RunningMean => "running means",
            Self::RunningVar => "running variances",
            Self::PreluSlope => "slopes",
        }
    }
}

impl TensorSpec {
    /// The shape in PyTorch's layout.
    pub(crate) fn shape(&self) -> Vec<usize> {
        if self.kind.is_weight() { vec![self.columns, self.rows] } else { vec![self.columns] }
    }

    pub(crate) const fn len(&self) -> usize {
        self.rows * self.columns
    }
}

impl Dense {
    /// The tensors of the layer. Those that are trained lie in this order in memory, weights first.
    pub(crate) fn tensors(&self) -> Vec<TensorSpec> {
        let vector =
            |kind, first_values| TensorSpec { kind, rows: 1, columns: self.outputs, initial_values: first_values };
        let first_values = InitialValues::Random(self.weight_init);
        let mut tensors = vec![
            TensorSpec {
                kind: TensorKind::Weight,
                rows: self.inputs,
                columns: self.outputs,
                initial_values: first_values,
            },
            vector(TensorKind::Bias, InitialValues::Random(self.bias_init)),
        ];
        if self.normalization.is_some() {
            tensors.push(vector(TensorKind::Gamma, InitialValues::Constant(1.0)));
            tensors.push(vector(TensorKind::Beta, InitialValues::Constant(0.0)));
        }
        if self.normalization == Some(Normalization::Batch) {
            tensors.push(vector(TensorKind::RunningMean, InitialValues::Constant(0.0)));
            tensors.push(vector(TensorKind::RunningVar, InitialValues::Constant(1.0)));
        }
        if let Activation::Prelu { initial_slope: slope } = self.activation {
            tensors.push(vector(TensorKind::PreluSlope, InitialValues::Constant(slope as f32)));
        }
        tensors
    }

    /// Whether something is trained between the sum of a neuron and its activation, or in the activation.
    pub(crate) const fn has_per_neuron_parameters(&self) -> bool {
        self.normalization.is_some() || self.activation.has_parameters()
    }
}

impl LayerParameters {
    /// The values of a tensor in PyTorch's layout. They are empty for a tensor that the layer does not have.
    pub(crate) const fn tensor(&self, kind: TensorKind) -> &Vec<f32> {
        match kind {
            TensorKind::Weight => &self.weight,
            TensorKind::Bias => &self.bias,
            TensorKind::Gamma => &self.gamma,
            TensorKind::Beta => &self.beta,
            TensorKind::RunningMean => &self.running_mean,
            TensorKind::RunningVar => &self.running_var,
            TensorKind::PreluSlope => &self.prelu_slope,
        }
    }

    pub(crate) const fn tensor_mut(&mut self, kind: TensorKind) -> &mut Vec<f32> {
        match kind {
            TensorKind::Weight => &mut self.weight,
            TensorKind::Bias => &mut self.bias,
            TensorKind::Gamma => &mut self.gamma,
            TensorKind::Beta => &mut self.beta,
            TensorKind::RunningMean => &mut self.running_mean,
            TensorKind::RunningVar => &mut self.running_var,
            TensorKind::PreluSlope => &mut self.prelu_slope,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::network::Network;

    /// Layers that have every kind of tensor.
    fn network() -> Network {
        let prelu = Activation::Prelu { initial_slope: 0.25 };
        let network = Network::new(5).dense(7, Activation::Tanh).batch_norm().dense(6, Activation::Relu).layer_norm();
        network.dense(9, prelu).dense(3, Activation::Identity)
    }

    /// The kernels that apply penalties know the rows behind the weights alone.
    #[test]
    fn only_the_first_rows_of_a_layer_are_weights() {
        for layer in network().layout().to_layers {
            for tensor in layer.tensors.iter().filter(|tensor| tensor.spec.kind.is_trained()) {
                let first_row = (tensor.offset - layer.layout.offset) / layer.layout.stride;
                assert_eq!(tensor.spec.kind.is_weight(), first_row < layer.layout.inputs);
                assert!(first_row + tensor.spec.rows <= layer.layout.inputs + layer.layout.vector_rows);
            }
        }
    }

    #[test]
    fn every_tensor_goes_into_a_flat_vector_and_comes_back() {
        let network = network();
        let mut layers =
            network.layers_from_flat(&network.initial_parameters(3).unwrap(), &network.initial_statistics());
        let mut found = Vec::new();
        let mut value = 0.0;
        for (dense, layer) in network.layers().iter().zip(&mut layers) {
            for spec in dense.tensors() {
                found.push(spec.kind);
                assert_eq!(layer.tensor(spec.kind).len(), spec.shape().iter().product::<usize>());
                for v in layer.tensor_mut(spec.kind) {
                    value += 1.0;
                    *v = value;
                }
            }
        }
        assert!(TensorKind::ALL.iter().all(|kind| found.contains(kind)));
        assert_eq!(network.check_parameters(&layers), Ok(()));
        let layout = network.layout();
        let (flat, statistics) = (layout.to_flat(&layers), layout.flat_statistics(&layers));
        assert_eq!(network.layers_from_flat(&flat, &statistics), layers);
        // No two tensors share a place.
        assert_eq!(flat.iter().chain(&statistics).filter(|v| **v != 0.0).count(), value as usize);
    }

    #[test]
    fn the_tensors_of_a_layer_have_names_of_their_own() {
        for dense in network().layers() {
            let tensors = dense.tensors();
            for (i, one) in tensors.iter().enumerate() {
                for other in &tensors[..i] {
                    assert_ne!(one.kind.name(), other.kind.name());
                    let is_same_module = one.kind.module() == other.kind.module();
                    assert!(!is_same_module || one.kind.name_in_module() != other.kind.name_in_module());
                }
            }
        }
    }
}
