//! The plan of a step: which kernels, linked from which files, over how many workgroups.

use super::{
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
    /// Outputs without a loss: for predictions.
    pub(crate) predict: Vec<Dispatch>,
    /// Outputs and deltas.
    pub(crate) deltas: Vec<Dispatch>,
    /// All layers' gradients and the optimizer, in one dispatch: deltas read the old weights.
    pub(crate) update: Dispatch,
    /// All layers' gradients, stored.
    pub(crate) gradients: Dispatch,
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
        let product = |name: &str, layer: usize, columns: usize, depth: usize, pieces: [&str; 2]| {
            let pieces = [tile.wgsl(), shader!("tile/block"), pieces[0], pieces[1], shader!("step")];
            Dispatch {
                name: format!("{name} {layer}"),
                entry: tile.name(),
                source: link(arenas, members, Some(layer), &pieces),
                groups: folded(tile.groups(arenas.batch, columns), arenas.models),
                loops: tile.loops(depth),
            }
        };
        let forward = |layer: usize, finish| {
            let l = arenas.layers[layer];
            let pieces = [shader!("product/forward"), finish];
            product("forward", layer, 4 * l.output_stride, 4 * l.input_stride, pieces)
        };
        let input_delta = |layer: usize| {
            let l = arenas.layers[layer];
            let pieces = [shader!("product/input_delta"), shader!("finish/input_delta")];
            product("input_delta", layer, 4 * l.input_stride, 4 * l.output_stride, pieces)
        };
        let gradient = |name: &str, finish| {
            let l = arenas.layers[last];
            let groups = l.first_group + tile.groups((l.inputs + 1).next_multiple_of(4), 4 * l.output_stride);
            let pieces = [tile.wgsl(), shader!("tile/block"), shader!("product/gradient"), finish, shader!("step")];
            Dispatch {
                name: name.to_owned(),
                entry: tile.name(),
                source: link(arenas, members, None, &pieces),
                groups: folded(groups, arenas.models),
                loops: tile.loops(arenas.batch) + last,
            }
        };

        let predict: Vec<_> = (0..=last).map(|l| forward(l, shader!("finish/forward"))).collect();
        let mut deltas = predict[..last].to_vec();
        if members.loss.looks_at_the_row() {
            deltas.push(predict[last].clone());
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
        let judges = [shader!("measure"), shader!("normalizer")];
        let (measures, models) = (arenas.measures(), arenas.models);
        Self {
            predict,
            deltas,
            update: gradient("update", shader!("finish/update")),
            gradients: gradient("gradients", shader!("finish/store")),
            order: over_window("order", arenas.over_slots(arenas.batch, arenas.window), 0, &[shader!("order")]),
            gather: over_window(
                "gather",
                arenas.over_slots(arenas.gathered(), arenas.window),
                0,
                &[shader!("gather"), feature, answer],
            ),
            measure: over_window(
                "measure",
                [measures as u32, arenas.window as u32, models as u32],
                3 * arenas.output_stride() + 6,
                &judges,
            ),
            total: over_window(
                "total",
                [1, arenas.window as u32, models as u32],
                measures.div_ceil(64) + 6,
                &[shader!("total")],
            ),
        }
    }

    /// Every dispatch there is.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        let one = [&self.update, &self.gradients, &self.order, &self.gather, &self.measure, &self.total];
        self.predict.iter().chain(&self.deltas).chain(one)
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, limits: &wgpu::Limits, loop_budget: Option<usize>) -> Result<()> {
        for dispatch in self.all() {
            let most = dispatch.groups.into_iter().max().unwrap_or(0);
            let have = u64::from(limits.max_compute_workgroups_per_dimension);
            check_limit(&dispatch.name, "max_compute_workgroups_per_dimension", u64::from(most), have)?;
            if let Some(have) = loop_budget {
                let have = have as u64;
                check_limit(&dispatch.name, "loop iterations of a software adapter", dispatch.loops as u64, have)?;
            }
        }
        Ok(())
    }
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
}

/// `groups` workgroups over two dimensions, since one holds only 65,535.
fn folded(groups: usize, models: usize) -> [u32; 3] {
    let x = groups.clamp(1, 65_535);
    [x as u32, groups.div_ceil(x).max(1) as u32, models as u32]
}
