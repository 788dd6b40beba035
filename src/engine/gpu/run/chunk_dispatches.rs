//! The dispatches of a chunk of steps, in execution order.

use crate::engine::gpu::{device::pipeline::Kernel, layout::buffers::CURSOR_STRIDE, run::engine::Engine};

/// One dispatch of a chunk, with its bind group and cursor.
pub(crate) struct ChunkDispatch<'a> {
    /// The index of the dispatch in [`KernelSet::all`](crate::engine::gpu::kernels::kernel_set::KernelSet::all).
    pub(crate) index: usize,
    kernel: &'a Kernel,
    bind_group: &'a wgpu::BindGroup,
    /// The dynamic offset of the cursor, in bytes.
    cursor: u32,
    /// Whether the previous dispatch of the chunk has set the same bind group and cursor.
    is_bound: bool,
    workgroups: [u32; 3],
}

impl ChunkDispatch<'_> {
    /// Records the dispatch in a pass that contains the previous dispatch of the chunk.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if !self.is_bound {
            pass.set_bind_group(0, self.bind_group, &[self.cursor]);
        }
        self.kernel.record_workgroups(pass, self.workgroups);
    }

    /// Records the dispatch in a pass that may not contain the previous dispatch of the chunk.
    pub(crate) fn record_alone(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_bind_group(0, self.bind_group, &[self.cursor]);
        self.kernel.record_workgroups(pass, self.workgroups);
    }
}

impl Engine {
    /// Calls `each` with every dispatch of `steps` steps, in execution order.
    ///
    /// If `gathers` is set, the steps use the data set: the first dispatch builds the step table, and further
    /// dispatches gather the rows. Otherwise they are manual steps, for which the host uploads the step table and the
    /// rows.
    pub(crate) fn for_each_dispatch<'a>(
        &'a self,
        steps: usize,
        gathers: bool,
        mut each: impl FnMut(ChunkDispatch<'a>),
    ) {
        let Self { arenas, kernels, window_groups, subsets, step_group, row_stream, .. } = self;
        let window_groups = match row_stream {
            Some(stream) => &window_groups[stream.current()..=stream.current()],
            None => window_groups,
        };
        let find_rows_group = subsets.as_ref().map_or(&window_groups[0], |(_, group)| group);
        if gathers {
            let (kernel, bind_group, workgroups) = self.step_table.dispatch(steps);
            each(ChunkDispatch { index: 0, kernel, bind_group, cursor: 0, is_bound: false, workgroups });
        }
        let mut last_bound = None;
        let mut visit = |index: usize, kernel: &'a Kernel, bind_group: &'a wgpu::BindGroup, step: usize, workgroups| {
            let bound = Some((std::ptr::from_ref(bind_group), step));
            let is_bound = std::mem::replace(&mut last_bound, bound) == bound;
            each(ChunkDispatch {
                index,
                kernel,
                bind_group,
                cursor: (step * CURSOR_STRIDE) as u32,
                is_bound,
                workgroups: self.active_workgroups(workgroups),
            });
        };
        for first in (0..steps).step_by(arenas.window_steps) {
            let window_steps = arenas.window_steps.min(steps - first);
            for (shard, group) in window_groups.iter().enumerate().filter(|_| gathers) {
                if shard == 0 {
                    let workgroups = arenas.slot_workgroups(arenas.row_invocations(), window_steps);
                    visit(1, &kernels.find_rows, find_rows_group, first, workgroups);
                }
                let workgroups = arenas.slot_workgroups(arenas.gather_vec4s(), window_steps);
                visit(2, &kernels.gather, group, first, workgroups);
            }
            for step in (first..first + window_steps).step_by(self.kernel_set.steps_per_dispatch) {
                for (i, kernel) in kernels.step.iter().enumerate() {
                    visit(3 + i, kernel, step_group, step, kernel.workgroups());
                }
            }
            let batch_metrics_index = 3 + kernels.step.len();
            let workgroups = if kernels.sum_metrics.is_some() {
                arenas.metrics_workgroups(window_steps)
            } else {
                arenas.slot_workgroups(1, window_steps)
            };
            visit(batch_metrics_index, &kernels.batch_metrics, &window_groups[0], first, workgroups);
            if let Some(sum_metrics) = &kernels.sum_metrics {
                let workgroups = arenas.sum_workgroups(window_steps);
                visit(batch_metrics_index + 1, sum_metrics, &window_groups[0], first, workgroups);
            }
        }
    }

    /// Limits the workgroups of a dispatch to the active members. A dispatch whose workgroups hold several members runs
    /// unchanged; the invocations of stopped members stay idle, because these members have no steps.
    const fn active_workgroups(&self, [x, y, z]: [u32; 3]) -> [u32; 3] {
        [x, y, if z as usize == self.arenas.member_count { self.active_slots as u32 } else { z }]
    }
}
