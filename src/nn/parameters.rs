//! The parameters of a layer, in the layout of PyTorch.

use crate::nn::tensors::TensorKind;

/// The parameters of one dense layer, in the layout of PyTorch, with its running statistics.
#[doc(alias = "state_dict")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerParameters {
    /// The weights, `[outputs, inputs]` in row-major order: one row per neuron.
    #[doc(alias = "kernel")]
    pub weight: Vec<f32>,
    /// The biases, `[outputs]`.
    pub bias: Vec<f32>,
    /// The factors of the normalization, `[outputs]`; empty without a normalization.
    pub gamma: Vec<f32>,
    /// The offsets of the normalization, `[outputs]`; empty without a normalization.
    pub beta: Vec<f32>,
    /// The trained slopes of [`Activation::Prelu`](crate::nn::Activation::Prelu), `[outputs]`; empty for other
    /// activations.
    pub prelu_slope: Vec<f32>,
    /// The running means of the batch normalization, `[outputs]`; empty without a batch normalization.
    pub running_mean: Vec<f32>,
    /// The running variances of the batch normalization, `[outputs]`; empty without a batch normalization.
    pub running_var: Vec<f32>,
}

impl LayerParameters {
    /// Creates the parameters of a layer that has only weights, `[outputs, inputs]`, and biases, `[outputs]`.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { weight, bias, ..Self::default() }
    }

    /// Returns the values of a tensor in the layout of PyTorch. They are empty if the layer does not have the tensor.
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

    /// Returns the values of a tensor for changing them.
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
