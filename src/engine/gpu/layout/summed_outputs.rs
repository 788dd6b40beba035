//! The sums of an evaluation that the device computes per member.

use crate::data::dataset::Targets;

/// The number of output vec4s for which an evaluation sums more than the loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SummedOutputs {
    /// The vec4s whose errors are summed: all of them if the targets are values, otherwise 0.
    pub(crate) error_vec4s: usize,
    /// The vec4s whose labels are counted: all of them in a multi-label task, otherwise 0.
    pub(crate) label_vec4s: usize,
}

impl SummedOutputs {
    /// Returns the counts for rows of `output_stride` vec4s.
    pub(crate) fn new(output_stride: usize, targets: &Targets, is_multi_label: bool) -> Self {
        let error_vec4s = match targets {
            Targets::Values(_) => output_stride,
            Targets::Classes(_) => 0,
        };
        Self { error_vec4s, label_vec4s: if is_multi_label { output_stride } else { 0 } }
    }

    /// Returns the number of pairs of sums per member in `shaders/metrics/evaluation_sums.wgsl`.
    pub(crate) const fn pairs(self) -> usize {
        2 + 4 * self.error_vec4s + 6 * self.label_vec4s
    }
}
