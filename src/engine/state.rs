//! The training state in one layout that is the same on every device.

/// All values that a training step may change, as flat vectors.
///
/// Engines may store them in another order. Here every vector of parameter length has the layout of
/// [`crate::nn::Network::layout`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainingState {
    pub(crate) parameters: Vec<f32>,
    /// The running statistics of batch normalization, in the layout of [`crate::nn::Network::statistics`].
    pub(crate) statistics: Vec<f32>,
    /// The optimizer state: one vector per quantity of the update rule, then the EMA of the parameters if there is one.
    pub(crate) optimizer_state: Vec<Vec<f32>>,
    /// The gradients summed since the last update; `None` without gradient accumulation.
    pub(crate) accumulated_gradients: Option<Vec<f32>>,
}
