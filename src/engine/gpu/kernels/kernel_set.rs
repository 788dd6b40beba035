//! The dispatches that a plan means: kernels, assembled from which files, over how many workgroups.

use crate::{
    data::{dataset::Answers, features::Features},
    engine::gpu::{
        device::Gpu,
        kernels::kernel_set_builder::{Maker, Purpose},
        layout::{
            arenas::{Arenas, Members},
            chunk::Length,
            matmul::{Finish, Matmul, Product},
        },
    },
    error::{Result, check_limit},
    plan::{PlanRow, Scheme, Ways},
};

/// Invocations of the kernels that compute no product.
pub(crate) const LANES: usize = 64;

/// One dispatch: a kernel and its workgroups.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// What it computes, for labels and for people.
    pub(crate) name: String,
    pub(crate) entry: &'static str,
    pub(crate) source: String,
    pub(crate) groups: [u32; 3],
    /// How often an invocation goes round its loops, all of them together, and comes to their ends.
    pub(crate) loops: usize,
    /// How many steps it takes at most.
    pub(crate) steps: usize,
    /// Floating-point operations and bytes of one of its steps.
    pub(crate) flop: u64,
    pub(crate) bytes: u64,
}

/// Everything that a network's kernels do on a device.
#[derive(Debug, Clone)]
pub(crate) struct Dispatches {
    /// What a step is, or some steps; the last of them updates the parameters.
    pub(crate) step: Vec<Dispatch>,
    /// How many steps that is at most.
    pub(crate) walk: usize,
    /// The kernel over a chunk of steps, which makes their table.
    pub(crate) tabulate: Dispatch,
    /// The kernels over a window of steps.
    pub(crate) order: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) measure: Dispatch,
    /// Where `measure` needs more than one workgroup for a step.
    pub(crate) total: Option<Dispatch>,
}

impl Dispatches {
    pub(crate) fn new(
        arenas: &Arenas,
        members: &Members,
        scheme: &Scheme,
        features: Option<&Features>,
        answers: Option<&Answers>,
        length: Length,
    ) -> Self {
        let maker = Maker { arenas, members, purpose: Purpose::Training };
        let (step, walk) = match scheme {
            Scheme::Cpu(_) => (Vec::new(), 1),
            Scheme::Layered(ways) => (maker.updated(maker.layered(ways, maker.last_finish())), 1),
            Scheme::Fused { rows, groups } => {
                let last = Matmul { product: Product::Gradient, finish: maker.last_finish() };
                let sum = maker.sum(last, 0..=maker.last(), *groups, arenas.parameters);
                (maker.updated(vec![maker.fused(*rows, *groups), sum]), 1)
            }
            Scheme::Tiny { steps, ways } => (vec![maker.walk(*steps, ways, maker.last_finish())], *steps),
            Scheme::Lane { steps, lanes } => (vec![maker.lane(*steps, *lanes)], *steps),
        };
        let [order, gather] = maker.bring(features, answers, shader!("epochs"));
        let (measure, total) = maker.measure();
        Self { step, walk, tabulate: maker.tabulate(length), order, gather, measure, total }
    }

    /// Outputs without a loss: for predictions.
    pub(crate) fn predict(arenas: &Arenas, members: &Members, ways: &Ways) -> Vec<Dispatch> {
        Maker { arenas, members, purpose: Purpose::Prediction }.predicted(ways)
    }

    /// All layers' gradients, stored: for who asks for them.
    pub(crate) fn gradients(arenas: &Arenas, members: &Members, ways: &Ways) -> Vec<Dispatch> {
        let maker = Maker { arenas, members, purpose: Purpose::Gradients };
        maker.layered(ways, if arenas.has_vectors() { Finish::Accumulate } else { Finish::Store })
    }

    /// Every dispatch of a training.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        [&self.tabulate, &self.order, &self.gather]
            .into_iter()
            .chain(&self.step)
            .chain([&self.measure])
            .chain(&self.total)
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        for dispatch in self.all() {
            dispatch.check(gpu)?;
        }
        Ok(())
    }
}

impl Dispatch {
    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        let most = self.groups.into_iter().max().unwrap_or(0);
        let have = gpu.limits.max_compute_workgroups_per_dimension;
        check_limit(&self.name, "max_compute_workgroups_per_dimension", most.into(), have.into())?;
        if let Some(have) = gpu.loop_budget {
            check_limit(&self.name, "loop iterations of a software adapter", self.loops as u64, have as u64)?;
        }
        Ok(())
    }

    pub(crate) fn row(&self) -> PlanRow {
        let workgroups = self.groups.iter().map(|n| u64::from(*n)).product();
        PlanRow { kernel: self.name.clone(), workgroups, steps: self.steps, flop: self.flop, bytes: self.bytes }
    }
}

/// Read both operands, write the result, each once.
pub(crate) fn bytes_of(size: [usize; 3]) -> u64 {
    let [rows, columns, depth] = size.map(|n| n as u64);
    4 * (rows * depth + depth * columns + rows * columns)
}

/// `groups` workgroups over two dimensions, since one holds only 65,535; at most as many too many as the second is long.
pub(crate) fn folded(groups: usize, models: usize) -> [u32; 3] {
    let y = groups.div_ceil(65_535).max(1);
    [groups.div_ceil(y).max(1) as u32, y as u32, models as u32]
}
