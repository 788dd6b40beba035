//! The sums of an evaluation that the device keeps per network.

use crate::data::dataset::Targets;

/// The vec4s of a row's outputs of which more is added up than the loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SummedOutputs {
    /// Those whose errors are: where the answers are values.
    pub(crate) errors: usize,
    /// Those whose labels are counted.
    pub(crate) labels: usize,
}

impl SummedOutputs {
    pub(crate) fn new(output_stride: usize, targets: &Targets, is_multi_label: bool) -> Self {
        let errors = match targets {
            Targets::Values(_) => output_stride,
            Targets::Classes(_) => 0,
        };
        Self { errors, labels: if is_multi_label { output_stride } else { 0 } }
    }

    /// How many pairs of numbers `shaders/metrics/evaluation_sums.wgsl` keeps for a network.
    pub(crate) const fn pairs(self) -> usize {
        2 + 4 * self.errors + 6 * self.labels
    }
}
