//! A dense layer and its tensors.

use crate::nn::{
    activation::Activation,
    init::Init,
    normalization::Normalization,
    tensors::{InitialValues, TensorKind, TensorSpec},
};

/// A dense layer: every neuron depends on every input. It computes `activation(normalization(x W + b))`.
///
/// [`Network::dense`](crate::nn::Network::dense) adds a layer, and other methods of
/// [`Network`](crate::nn::Network) change the layer that was added last.
#[doc(alias = "Linear")]
#[doc(alias = "fully connected")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dense {
    /// The number of inputs, which is the number of outputs of the previous layer.
    #[doc(alias = "in_features")]
    pub inputs: usize,
    /// The number of neurons, which is the number of outputs.
    #[doc(alias = "out_features")]
    #[doc(alias = "units")]
    pub outputs: usize,
    /// The activation of all neurons.
    pub activation: Activation,
    /// The dropout probability, in [0, 1) (Srivastava et al. 2014; `nn.Dropout` in PyTorch).
    ///
    /// Every training step sets outputs to 0 at random with this probability, and multiplies the others by
    /// `1 / (1 - dropout)`. Predictions use all outputs unchanged.
    pub dropout: f64,
    /// The normalization of the pre-activations, if there is one.
    pub normalization: Option<Normalization>,
    /// The initializer of the weights.
    #[doc(alias = "kernel_initializer")]
    pub weight_init: Init,
    /// The initializer of the biases.
    #[doc(alias = "bias_initializer")]
    pub bias_init: Init,
}

impl Dense {
    /// Returns the tensors of the layer. The trained ones have the same order in memory, and the weights are the first.
    pub(crate) fn tensors(&self) -> Vec<TensorSpec> {
        let vector = |kind, initial_values| TensorSpec { kind, rows: 1, columns: self.outputs, initial_values };
        let mut tensors = vec![
            TensorSpec {
                kind: TensorKind::Weight,
                rows: self.inputs,
                columns: self.outputs,
                initial_values: InitialValues::Random(self.weight_init),
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
        if let Activation::Prelu { initial_slope } = self.activation {
            tensors.push(vector(TensorKind::PreluSlope, InitialValues::Constant(initial_slope as f32)));
        }
        tensors
    }

    /// Returns whether the layer has trained parameters between the pre-activation and the output: those of a
    /// normalization or of the activation.
    pub(crate) const fn has_per_neuron_parameters(&self) -> bool {
        self.normalization.is_some() || self.activation.has_parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{layout::Layout, network::Network};

    /// Returns a network whose layers have every kind of tensor.
    fn network() -> Network {
        let prelu = Activation::Prelu { initial_slope: 0.25 };
        let network = Network::new(5).dense(7, Activation::Tanh).batch_norm().dense(6, Activation::Relu).layer_norm();
        network.dense(9, prelu).dense(3, Activation::Identity)
    }

    /// The kernels that apply penalties find the weights by their rows.
    #[test]
    fn only_the_first_rows_of_a_layer_are_weights() {
        for layer in Layout::new(network().layers()).layer_tensors {
            for tensor in layer.tensors.iter().filter(|tensor| tensor.spec.kind.is_trained()) {
                let first_row = (tensor.offset - layer.layout.offset) / layer.layout.stride;
                assert_eq!(tensor.spec.kind.is_weight(), first_row < layer.layout.inputs);
                assert!(first_row + tensor.spec.rows <= layer.layout.inputs + layer.layout.vector_rows);
            }
        }
    }

    #[test]
    fn every_tensor_survives_the_round_trip_through_flat_vectors() {
        let network = network();
        let mut layers =
            network.layers_from_flat(&network.initial_parameters(3).unwrap(), &network.initial_statistics());
        let mut kinds = Vec::new();
        let mut next_value = 0.0;
        for (dense, layer) in network.layers().iter().zip(&mut layers) {
            for spec in dense.tensors() {
                kinds.push(spec.kind);
                assert_eq!(layer.tensor(spec.kind).len(), spec.shape().iter().product::<usize>());
                for value in layer.tensor_mut(spec.kind) {
                    next_value += 1.0;
                    *value = next_value;
                }
            }
        }
        assert!(TensorKind::ALL.iter().all(|kind| kinds.contains(kind)));
        assert_eq!(network.check_parameters(&layers), Ok(()));
        let layout = network.layout();
        let (flat, statistics) = (layout.to_flat(&layers), layout.flat_statistics(&layers));
        assert_eq!(network.layers_from_flat(&flat, &statistics), layers);
        let nonzero = flat.iter().chain(&statistics).filter(|value| **value != 0.0).count();
        assert_eq!(nonzero, next_value as usize, "tensors must not overlap");
    }

    #[test]
    fn names_of_tensors_are_unique_in_their_layer_and_module() {
        for dense in network().layers() {
            let tensors = dense.tensors();
            for (i, tensor) in tensors.iter().enumerate() {
                for other in &tensors[..i] {
                    assert_ne!(tensor.kind.name(), other.kind.name());
                    let is_same_module = tensor.kind.module() == other.kind.module();
                    assert!(!is_same_module || tensor.kind.name_in_module() != other.kind.name_in_module());
                }
            }
        }
    }
}
