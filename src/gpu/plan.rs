//! The plan of a step: which kernels, linked from which files, over how many workgroups.

use super::{
    Gpu,
    arenas::{Arenas, Members},
    link::link,
    tile::Tile,
};
use crate::{Answers, Features, Result, error::check_limit};

/// One dispatch: a kernel and its workgroups.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// What it computes, for labels and for people.
    pub(crate) name: String,
    pub(crate) entry: &'static str,
    pub(crate) source: String,
    pub(crate) groups: [u32; 3],
    /// How often an invocation goes round its loops, all of them together.
    pub(crate) loops: usize,
}

/// Everything that a network's kernels do on a device.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Outputs and deltas.
    pub(crate) deltas: Vec<Dispatch>,
    /// All layers' gradients and the optimizer, in one dispatch: deltas read the old weights.
    pub(crate) update: Dispatch,
    /// The kernels over a window of steps.
    pub(crate) order: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) measure: Dispatch,
    pub(crate) total: Dispatch,
}

impl Plan {
    pub(crate) fn new(
        arenas: &Arenas,
        members: &Members,
        tile: Tile,
        features: Option<&Features>,
        answers: Option<&Answers>,
    ) -> Self {
        let last = arenas.layers.len() - 1;
        let forward = |layer, finish| forward(arenas, members, tile, layer, finish);
        let input_delta = |layer: usize| {
            let l = arenas.layers[layer];
            let pieces = [shader!("product/input_delta"), shader!("finish/input_delta")];
            let (columns, depth) = (4 * l.input_stride, 4 * l.output_stride);
            product(arenas, members, tile, format!("input_delta {layer}"), layer, [columns, depth], pieces)
        };

        let mut deltas: Vec<_> = (0..last).map(|layer| forward(layer, shader!("finish/forward"))).collect();
        if members.loss.looks_at_the_row() {
            deltas.push(forward(last, shader!("finish/forward")));
            let pieces = [shader!("softmax_delta"), shader!("normalizer"), shader!("step")];
            deltas.push(Dispatch {
                name: "softmax_delta".to_owned(),
                entry: "softmax_delta",
                source: link(arenas, members, None, &pieces),
                groups: folded(arenas.measures(), arenas.models),
                loops: 3 * arenas.output_stride(),
            });
        } else {
            deltas.push(forward(last, shader!("finish/output_delta")));
        }
        deltas.extend((1..=last).rev().map(input_delta));

        let over_window = |entry: &'static str, groups: [u32; 3], loops: usize, pieces: &[&str]| Dispatch {
            name: entry.to_owned(),
            entry,
            source: link(arenas, members, None, &[pieces, &[shader!("window")]].concat()),
            groups,
            loops,
        };
        let feature = match features {
            Some(Features::U8 { .. }) => shader!("features/u8"),
            _ => shader!("features/f32"),
        };
        let answer = match answers {
            Some(Answers::Classes(_)) => shader!("answers/classes"),
            _ => shader!("answers/values"),
        };
        let judges = [shader!("measure"), shader!("normalizer"), shader!("sum")];
        let window = arenas.window;
        Self {
            deltas,
            update: gradient(arenas, members, tile, "update", shader!("finish/update")),
            // A place walks round the grid of rows until it hits one, seldom more than once or twice.
            order: over_window("order", arenas.over_slots(arenas.batch, window), 256, &[shader!("order")]),
            gather: over_window(
                "gather",
                arenas.over_slots(arenas.gathered(), window),
                0,
                &[shader!("gather"), feature, answer],
            ),
            measure: over_window("measure", arenas.judged(window), 3 * arenas.output_stride() + 6, &judges),
            total: over_window(
                "total",
                arenas.totalled(window),
                arenas.measures().div_ceil(64) + 6,
                &[shader!("total"), shader!("sum")],
            ),
        }
    }

    /// Outputs without a loss: for predictions.
    pub(crate) fn predict(arenas: &Arenas, members: &Members, tile: Tile) -> Vec<Dispatch> {
        let layers = 0..arenas.layers.len();
        layers.map(|layer| forward(arenas, members, tile, layer, shader!("finish/forward"))).collect()
    }

    /// All layers' gradients, stored: for who asks for them.
    pub(crate) fn gradients(arenas: &Arenas, members: &Members, tile: Tile) -> Dispatch {
        gradient(arenas, members, tile, "gradients", shader!("finish/store"))
    }

    /// Every dispatch of a training.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        let one = [&self.update, &self.order, &self.gather, &self.measure, &self.total];
        self.deltas.iter().chain(one)
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        self.all().try_for_each(|dispatch| dispatch.check(gpu))
    }
}

impl Dispatch {
    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        let most = self.groups.into_iter().max().unwrap_or(0);
        let have = gpu.limits.max_compute_workgroups_per_dimension;
        check_limit(&self.name, "max_compute_workgroups_per_dimension", most.into(), have.into())?;
        match gpu.loop_budget {
            None => Ok(()),
            Some(have) => {
                check_limit(&self.name, "loop iterations of a software adapter", self.loops as u64, have as u64)
            }
        }
    }
}

/// A layer's product over a batch, of `columns` columns and `depth` terms.
fn product(
    arenas: &Arenas,
    members: &Members,
    tile: Tile,
    name: String,
    layer: usize,
    [columns, depth]: [usize; 2],
    [product, finish]: [&str; 2],
) -> Dispatch {
    let pieces = [tile.wgsl(), shader!("tile/block"), product, finish, shader!("step")];
    Dispatch {
        name,
        entry: tile.name(),
        source: link(arenas, members, Some(layer), &pieces),
        groups: folded(tile.groups(arenas.batch, columns), arenas.models),
        loops: tile.loops(depth),
    }
}

fn forward(arenas: &Arenas, members: &Members, tile: Tile, layer: usize, finish: &str) -> Dispatch {
    let l = arenas.layers[layer];
    let (columns, depth) = (4 * l.output_stride, 4 * l.input_stride);
    let pieces = [shader!("product/forward"), finish];
    product(arenas, members, tile, format!("forward {layer}"), layer, [columns, depth], pieces)
}

impl Arenas {
    /// The `vec4`s that `gather` writes a slot.
    pub(crate) fn gathered(&self) -> usize {
        self.batch * (self.input_stride() + self.output_stride())
    }

    /// Workgroups of 64 for `each` invocations in each of `slots` slots.
    pub(crate) fn over_slots(&self, each: usize, slots: usize) -> [u32; 3] {
        folded((each * slots).div_ceil(64), self.models)
    }

    /// Workgroups of `measure` for `slots` slots.
    pub(crate) fn judged(&self, slots: usize) -> [u32; 3] {
        [self.measures() as u32, slots as u32, self.models as u32]
    }

    /// Workgroups of `total` for `slots` slots.
    pub(crate) const fn totalled(&self, slots: usize) -> [u32; 3] {
        [1, slots as u32, self.models as u32]
    }
}

/// The product of all layers' gradients in one dispatch.
fn gradient(arenas: &Arenas, members: &Members, tile: Tile, name: &str, finish: &str) -> Dispatch {
    let pieces = [tile.wgsl(), shader!("tile/block"), shader!("product/gradient"), finish, shader!("step")];
    Dispatch {
        name: name.to_owned(),
        entry: tile.name(),
        source: link(arenas, members, None, &pieces),
        groups: folded(arenas.gradient_groups, arenas.models),
        loops: tile.loops(arenas.batch) + arenas.layers.len() - 1,
    }
}

/// `groups` workgroups over two dimensions, since one holds only 65,535; at most as many too many as the second is long.
fn folded(groups: usize, models: usize) -> [u32; 3] {
    let y = groups.div_ceil(65_535).max(1);
    [groups.div_ceil(y).max(1) as u32, y as u32, models as u32]
}
