//! The description of a dispatch: the WGSL of its kernel, and its workgroups.

use crate::plan::PlannedDispatch;

/// Invocations of the kernels that compute no product.
pub(crate) const WORKGROUP_SIZE: usize = 64;

/// One dispatch: a kernel and its workgroups.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// What it computes, for labels and for people.
    pub(crate) name: String,
    pub(crate) entry_point: &'static str,
    pub(crate) source: String,
    pub(crate) workgroups: [u32; 3],
    /// How often an invocation goes round its loops, all of them together, and comes to their ends.
    pub(crate) loop_iterations: usize,
    /// How many steps it takes at most.
    pub(crate) max_steps: usize,
    /// Floating-point operations and bytes of one of its steps.
    pub(crate) flop: u64,
    pub(crate) bytes: u64,
}

impl Dispatch {
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

/// `groups` workgroups over two dimensions, since one holds only 65,535; at most as many too many as the second is long.
pub(crate) fn fold_workgroups(groups: usize, member_count: usize) -> [u32; 3] {
    let y = groups.div_ceil(65_535).max(1);
    [groups.div_ceil(y).max(1) as u32, y as u32, member_count as u32]
}
