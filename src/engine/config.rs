//! What an engine needs to know of a training.

use crate::{nn::network::Network, plan::Plan};

/// What is common to all networks that an engine trains, apart from their steps.
#[derive(Clone, Copy)]
pub(crate) struct TrainingConfig<'a> {
    pub(crate) network: &'a Network,
    /// Whether each epoch has an order of its own.
    pub(crate) shuffle: bool,
    /// The standard deviation of the noise on the features.
    pub(crate) input_noise_std: f32,
    /// Whether rows have weights.
    pub(crate) has_sample_weights: bool,
    /// How many steps the host submits at once. Without a number the time of the steps decides.
    pub(crate) steps_per_submission: Option<usize>,
    /// How steps are computed. Without a plan the engine makes one.
    pub(crate) plan: Option<&'a Plan>,
}
