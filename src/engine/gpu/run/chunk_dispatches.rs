//! The dispatches of a chunk of steps, in their order.

use crate::engine::gpu::{device::pipeline::Kernel, layout::buffers::CURSOR, run::engine::Engine};

/// One dispatch of a chunk, where it is dispatched.
pub(crate) struct Visit<'a> {
    /// Which of [`Dispatches::all`] it is.
    pub(crate) number: usize,
    kernel: &'a Kernel,
    group: &'a wgpu::BindGroup,
    cursor: u32,
    /// Whether the visit before, if it was recorded in the same pass, has bound the same.
    is_bound: bool,
    groups: [u32; 3],
}

impl Visit<'_> {
    /// Records it behind the visit before.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if !self.is_bound {
            pass.set_bind_group(0, self.group, &[self.cursor]);
        }
        self.kernel.record_over(pass, self.groups);
    }

    /// Records it alone.
    pub(crate) fn record_alone(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_bind_group(0, self.group, &[self.cursor]);
        self.kernel.record_over(pass, self.groups);
    }
}

impl Engine {
    /// Walks through the dispatches of `steps` steps in their order: those on the data set, whose table is made first, or
    /// those by hand.
    pub(crate) fn visit<'a>(&'a self, steps: usize, gathers: bool, mut each: impl FnMut(Visit<'a>)) {
        let Self { arenas, kernels, window_groups, subsets, step_group, stream, .. } = self;
        let window_groups = match stream {
            Some(stream) => &window_groups[stream.turn()..=stream.turn()],
            None => window_groups,
        };
        let order_group = subsets.as_ref().map_or(&window_groups[0], |(_, group)| group);
        let cursor = |step: usize| (step * CURSOR) as u32;
        let mut last = None;
        if gathers {
            let (kernel, group, groups) = self.timetable.dispatch(steps);
            each(Visit { number: 0, kernel, group, cursor: 0, is_bound: false, groups });
        }
        let mut visit = |number: usize, kernel: &'a Kernel, group: &'a wgpu::BindGroup, step: usize, groups| {
            // What is bound already is not bound again.
            let bound = Some((std::ptr::from_ref(group), step));
            let is_bound = std::mem::replace(&mut last, bound) == bound;
            each(Visit { number, kernel, group, cursor: cursor(step), is_bound, groups: self.over_slots(groups) });
        };
        for first in (0..steps).step_by(arenas.window) {
            let slots = arenas.window.min(steps - first);
            for (i, group) in window_groups.iter().enumerate().filter(|_| gathers) {
                if i == 0 {
                    visit(1, &kernels.order, order_group, first, arenas.over_slots(arenas.ordered(), slots));
                }
                visit(2, &kernels.gather, group, first, arenas.over_slots(arenas.gathered(), slots));
            }
            for step in (first..first + slots).step_by(self.dispatches.walk) {
                for (number, kernel) in kernels.step.iter().enumerate() {
                    visit(3 + number, kernel, step_group, step, kernel.groups());
                }
            }
            let measure = 3 + kernels.step.len();
            let judged = if kernels.total.is_some() { arenas.judged(slots) } else { arenas.over_slots(1, slots) };
            visit(measure, &kernels.measure, &window_groups[0], first, judged);
            if let Some(total) = &kernels.total {
                visit(measure + 1, total, &window_groups[0], first, arenas.totalled(slots));
            }
        }
    }

    /// A dispatch's workgroups over the networks that are in training alone. In the lanes of a workgroup the others stay
    /// idle: they have no steps.
    const fn over_slots(&self, [x, y, z]: [u32; 3]) -> [u32; 3] {
        [x, y, if z as usize == self.arenas.models { self.slots as u32 } else { z }]
    }
}
