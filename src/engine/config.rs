//! The configuration that an engine needs to train networks.

use crate::{nn::network::Network, plan::Plan};

/// The configuration that all networks of an engine share. [`StepGenerator`](crate::engine::step::StepGenerator) holds
/// the settings of one network.
#[derive(Clone, Copy)]
pub(crate) struct TrainingConfig<'a> {
    pub(crate) network: &'a Network,
    /// Whether each epoch visits the rows in a different order.
    pub(crate) shuffle: bool,
    /// The standard deviation of the Gaussian noise that each step adds to the features; 0 for none.
    pub(crate) input_noise_std: f32,
    /// Whether the rows have sample weights.
    pub(crate) has_sample_weights: bool,
    /// The number of steps that the host submits at once. `None` lets the engine choose it from the measured step time.
    pub(crate) steps_per_submission: Option<usize>,
    /// The plan to use. `None` lets the engine make one.
    pub(crate) plan: Option<&'a Plan>,
}
