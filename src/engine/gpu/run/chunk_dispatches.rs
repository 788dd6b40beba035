//! The dispatches of a chunk of steps, in their order.

use crate::engine::gpu::{device::pipeline::Kernel, layout::buffers::CURSOR_STRIDE, run::engine::Engine};

/// One dispatch of a chunk, where it is dispatched.
pub(crate) struct ChunkDispatch<'a> {
    /// Which of [`KernelSet::all`] it is.
    pub(crate) index: usize,
    kernel: &'a Kernel,
    bind_group: &'a wgpu::BindGroup,
    cursor: u32,
    /// Whether the visit before, if it was recorded in the same pass, has bound the same.
    is_bound: bool,
    workgroups: [u32; 3],
}

impl ChunkDispatch<'_> {
    /// Records it behind the visit before.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if !self.is_bound {
            pass.set_bind_group(0, self.bind_group, &[self.cursor]);
        }
        self.kernel.record_workgroups(pass, self.workgroups);
    }

    /// Records it alone.
    pub(crate) fn record_alone(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_bind_group(0, self.bind_group, &[self.cursor]);
        self.kernel.record_workgroups(pass, self.workgroups);
    }
}

impl Engine {
    /// Walks through the dispatches of `steps` steps in their order: those on the data set, whose table is made first, or
    /// those by hand.
    pub(crate) fn for_each_dispatch<'a>(
        &'a self,
        steps: usize,
        gathers: bool,
        mut each: impl FnMut(ChunkDispatch<'a>),
    ) {
        let Self { arenas, kernels, window_groups, subsets, step_group, row_stream: stream, .. } = self;
        let window_groups = match stream {
            Some(stream) => &window_groups[stream.current()..=stream.current()],
            None => window_groups,
        };
        let order_group = subsets.as_ref().map_or(&window_groups[0], |(_, group)| group);
        let cursor = |step: usize| (step * CURSOR_STRIDE) as u32;
        let mut last = None;
        if gathers {
            let (kernel, group, groups) = self.step_table.dispatch(steps);
            each(ChunkDispatch { index: 0, kernel, bind_group: group, cursor: 0, is_bound: false, workgroups: groups });
        }
        let mut visit = |number: usize, kernel: &'a Kernel, group: &'a wgpu::BindGroup, step: usize, groups| {
            // What is bound already is not bound again.
            let bound = Some((std::ptr::from_ref(group), step));
            let is_bound = std::mem::replace(&mut last, bound) == bound;
            each(ChunkDispatch {
                index: number,
                kernel,
                bind_group: group,
                cursor: cursor(step),
                is_bound,
                workgroups: self.active_workgroups(groups),
            });
        };
        for first in (0..steps).step_by(arenas.window_steps) {
            let slots = arenas.window_steps.min(steps - first);
            for (i, group) in window_groups.iter().enumerate().filter(|_| gathers) {
                if i == 0 {
                    visit(
                        1,
                        &kernels.find_rows,
                        order_group,
                        first,
                        arenas.slot_workgroups(arenas.row_invocations(), slots),
                    );
                }
                visit(2, &kernels.gather, group, first, arenas.slot_workgroups(arenas.gather_vec4s(), slots));
            }
            for step in (first..first + slots).step_by(self.kernel_set.steps_per_dispatch) {
                for (number, kernel) in kernels.step.iter().enumerate() {
                    visit(3 + number, kernel, step_group, step, kernel.workgroups());
                }
            }
            let measure = 3 + kernels.step.len();
            let judged = if kernels.sum_metrics.is_some() {
                arenas.metrics_workgroups(slots)
            } else {
                arenas.slot_workgroups(1, slots)
            };
            visit(measure, &kernels.batch_metrics, &window_groups[0], first, judged);
            if let Some(total) = &kernels.sum_metrics {
                visit(measure + 1, total, &window_groups[0], first, arenas.sum_workgroups(slots));
            }
        }
    }

    /// A dispatch's workgroups over the networks that are in training alone. In the lanes of a workgroup the others stay
    /// idle: they have no steps.
    const fn active_workgroups(&self, [x, y, z]: [u32; 3]) -> [u32; 3] {
        [x, y, if z as usize == self.arenas.member_count { self.active_slots as u32 } else { z }]
    }
}
