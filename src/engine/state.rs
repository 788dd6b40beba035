//! All that training changes, in the one order that every device can tell it in.

/// All that a step of training may change, flat: whatever a device's own order is, here each is laid out as
/// [`crate::nn::Network::layout`] says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainingState {
    pub(crate) parameters: Vec<f32>,
    /// As [`crate::nn::Network::statistics`] has them.
    pub(crate) statistics: Vec<f32>,
    /// What the optimizer keeps: the rule's numbers for every parameter, one plane each, and the average last.
    pub(crate) optimizer_state: Vec<Vec<f32>>,
    /// Those that wait for more batches; none if batches are not accumulated.
    pub(crate) accumulated_gradients: Option<Vec<f32>>,
}
