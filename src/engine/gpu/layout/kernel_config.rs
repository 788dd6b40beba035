//! The options of the kernels of a network.

use crate::{
    Loss, Network, Optimizer,
    nn::{Normalization, activation::Activation},
};

/// The options that select the WGSL files and constants of a network's kernels.
#[derive(Debug, Clone)]
pub(crate) struct KernelConfig {
    pub(crate) activations: Vec<Activation>,
    /// Whether predictions apply the softmax to the outputs.
    pub(crate) ends_with_softmax: bool,
    /// The dropout probability of each layer.
    pub(crate) dropouts: Vec<f64>,
    pub(crate) normalizations: Vec<Option<Normalization>>,
    pub(crate) loss: Loss,
    pub(crate) optimizer: Optimizer,
    /// The number of batches per update.
    pub(crate) gradient_accumulation: u64,
    pub(crate) shuffle: bool,
    /// The number of rows of the data set; 1 without a data set.
    pub(crate) dataset_rows: usize,
    /// The factor of features that are bytes.
    pub(crate) byte_scale: f32,
    /// The standard deviation of the noise on the features; 0 for no noise.
    pub(crate) input_noise_std: f32,
    /// Whether the device scales the features, column by column.
    pub(crate) is_scaled: bool,
    /// Whether each member has its own subset of the rows.
    pub(crate) has_subsets: bool,
    /// Whether the data set is streamed, so that the device has only the rows of some steps, in the order of the steps.
    pub(crate) is_streamed: bool,
    /// Whether each member has its own dropout probability, for the layers with dropout.
    pub(crate) has_member_dropouts: bool,
    /// Whether each output is a label, so that a row is correct if all labels are correct.
    pub(crate) is_multi_label: bool,
}

impl KernelConfig {
    /// Creates the options of a training run without a data set.
    pub(crate) fn new(network: &Network, loss: Loss, optimizer: Optimizer) -> Self {
        Self {
            activations: network.layers().iter().map(|l| l.activation).collect(),
            ends_with_softmax: network.ends_with_softmax(),
            dropouts: network.layers().iter().map(|l| l.dropout).collect(),
            normalizations: network.layers().iter().map(|l| l.normalization).collect(),
            loss,
            optimizer,
            gradient_accumulation: 1,
            shuffle: true,
            dataset_rows: 1,
            byte_scale: 1.0,
            input_noise_std: 0.0,
            is_scaled: false,
            has_subsets: false,
            is_streamed: false,
            has_member_dropouts: false,
            is_multi_label: false,
        }
    }

    /// Returns whether a layer has dropout.
    pub(crate) fn has_dropout(&self, layer: usize) -> bool {
        self.dropouts[layer] > 0.0
    }

    /// Returns whether the forward pass stores the derivatives of a layer's activation for the backward pass.
    pub(crate) fn stores_derivative(&self, layer: usize) -> bool {
        self.has_dropout(layer)
            || self.normalizations[layer].is_some()
            || !self.activations[layer].derivative_from_output()
    }
}
