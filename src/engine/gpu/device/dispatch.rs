//! The description of a dispatch: the WGSL of its kernel, its workgroups and its costs.

use crate::plan::PlannedDispatch;

/// The workgroup size of the kernels that compute no matmul.
pub(crate) const WORKGROUP_SIZE: usize = 64;

/// A dispatch: a kernel and the number of its workgroups.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// A short description of the computation, for labels, plans and error messages.
    pub(crate) name: String,
    pub(crate) entry_point: &'static str,
    pub(crate) source: String,
    pub(crate) workgroups: [u32; 3],
    /// The maximum number of loop iterations of an invocation, summed over all its loops. It counts the last check of
    /// each loop condition too.
    pub(crate) loop_iterations: usize,
    /// The maximum number of training steps that the dispatch runs.
    pub(crate) max_steps: usize,
    /// The floating-point operations per step.
    pub(crate) flop: u64,
    /// The bytes that a step reads and writes.
    pub(crate) bytes: u64,
}

impl Dispatch {
    /// Returns the entry of this dispatch in a plan.
    pub(crate) fn planned_dispatch(&self) -> PlannedDispatch {
        let workgroups = self.workgroups.iter().map(|n| u64::from(*n)).product();
        PlannedDispatch {
            kernel: self.name.clone(),
            workgroups,
            steps_per_dispatch: self.max_steps,
            flop: self.flop,
            bytes: self.bytes,
        }
    }
}

/// Distributes workgroups over the dimensions x and y, because a dimension has at most 65,535. The dimension z is the
/// number of members.
///
/// The product of x and y may exceed `groups`, by less than y.
pub(crate) fn fold_workgroups(groups: usize, member_count: usize) -> [u32; 3] {
    let y = groups.div_ceil(65_535).max(1);
    [groups.div_ceil(y).max(1) as u32, y as u32, member_count as u32]
}
