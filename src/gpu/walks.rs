//! The dispatches that hold a whole step, or many: the kernels of `shaders/entry/walk.wgsl` and `shaders/entry/lane.wgsl`.

use std::fmt::Write;

use super::{
    arenas::Arenas,
    dispatches::{Dispatch, Maker, bytes_of, rounds_of_a_row},
    link::{Parts, link},
    product::{Finish, Product},
};
use crate::plan::{Way, Ways};

impl Maker<'_> {
    /// Every product of a step in one dispatch, a workgroup for each block of `rows` rows; `last` says what becomes of
    /// the gradients, and `steps` how many steps are taken.
    pub(super) fn walk(&self, rows: usize, steps: usize, ways: &Ways, last: Finish) -> Dispatch {
        let arenas = self.arenas;
        let (blocks, tile) = (arenas.batch.div_ceil(rows), ways.gradients.tile);
        let loops = steps * loops_of_a_walk(arenas, rows, ways, self.members.loss.looks_at_the_row());
        let splits =
            (0..=self.last()).map(|layer| ways.of_layer(layer).map(|way| way.map_or(1, |way| way.tile.split())));
        let splits = splits.collect();
        let (flop, bytes) = self.whole_step();
        // With a layer that is a constant all that depends on it is one as well; in a loop a step of XOR takes llvmpipe
        // half as long again.
        let mut walk = "fn walk_step(block: u32, model: u32, n: u32, lane: u32) {\n".to_owned();
        let mut line = |call: String, barrier: bool| {
            let _ = writeln!(walk, "    {call};{}", if barrier { " storageBarrier();" } else { "" });
        };
        let last_layer = self.last();
        for l in 0..last_layer {
            let name = self.output(l).name();
            line(format!("{name}_rows(forward_place({l}u, model, n), block, lane)"), true);
        }
        line(format!("output_rows(forward_place({last_layer}u, model, n), block, lane)"), true);
        if self.members.loss.looks_at_the_row() {
            line("softmax_deltas(block * ROWS, ROWS, model, lane)".to_owned(), true);
        }
        for l in (1..=last_layer).rev() {
            line(format!("input_delta_rows(input_delta_place({l}u, model, n), block, lane)"), true);
        }
        for l in 0..=last_layer {
            line(format!("gradient_part(gradient_place({l}u, model, n), block, lane)"), l == last_layer);
        }
        if last == Finish::Accumulate {
            line("update_all(model, n, lane)".to_owned(), true);
        }
        walk += "}\n";
        let mut constants = vec![("WALK", steps), ("ROWS", rows), ("PART", arenas.parameters)];
        constants.extend(tile.constants());
        let mut pieces = vec![shader!("entry/walk"), shader!("tile/block"), shader!("place"), shader!("step")];
        pieces.extend([shader!("softmax_delta"), shader!("normalizer")]);
        pieces.extend(tile.pieces());
        if last == Finish::Accumulate {
            pieces.push(shader!("entry/walk_whole"));
        }
        let mut hidden = vec![("forward", Product::Forward, Finish::Forward)];
        for finish in [Finish::ForwardSlope, Finish::ForwardDropout] {
            if (0..last_layer).any(|layer| self.output(layer) == finish) {
                hidden.push((finish.name(), Product::Forward, finish));
            }
        }
        let products = [
            ("output", Product::Forward, self.output(self.last())),
            ("input_delta", Product::InputDelta, Finish::InputDelta),
            ("gradient", Product::Gradient, last),
        ];
        let products = [hidden.as_slice(), &products].concat();
        let parts = Parts { constants, products, splits, walk, pieces, ..Parts::default() };
        Dispatch {
            name: if steps > 1 { format!("whole steps, {tile}") } else { format!("blocks of {rows} rows, {tile}") },
            entry: "walk",
            source: link(arenas, self.members, &parts),
            groups: [blocks as u32, 1, arenas.models as u32],
            loops,
            steps,
            flop,
            bytes,
        }
    }

    /// Whole steps of a network in one invocation each.
    pub(super) fn lane(&self, steps: usize, lanes: usize) -> Dispatch {
        let arenas = self.arenas;
        let mut blocks = 0;
        let firsts = arenas.layers.iter().map(|l| {
            let first = blocks;
            blocks += l.input_stride * l.output_stride;
            first
        });
        let firsts = firsts.collect();
        let neurons = arenas.layers.iter().map(|l| l.output_stride).sum();
        let constants = vec![("WALK", steps), ("LANES", lanes), ("BLOCKS", blocks), ("NEURONS", neurons)];
        let layers = || 0..=self.last();
        let calls = |name: &str, arguments: &str, layers: &mut dyn Iterator<Item = usize>| {
            layers.fold(String::new(), |calls, l| format!("{calls}    {name}({l}u{arguments});\n"))
        };
        let mut walk = String::new();
        for name in ["load", "update", "store"] {
            let _ = write!(walk, "fn {name}_all(model: u32) {{\n{}}}\n", calls(name, ", model", &mut layers()));
        }
        let (forward, backward) = (calls("forward", "", &mut layers()), calls("backward", "", &mut layers().rev()));
        let _ = write!(
            walk,
            "fn take_row(row: u32, model: u32) {{\n    read_row(row, model);\n{forward}    output_delta(row, model);\n{backward}}}\n"
        );
        let pieces = vec![shader!("entry/lane"), shader!("normalizer"), shader!("step")];
        let parts = Parts { constants, firsts, walk, pieces, ..Parts::default() };
        let (flop, bytes) = self.whole_step();
        Dispatch {
            name: "whole steps, a lane a network".to_owned(),
            entry: "lane",
            source: link(arenas, self.members, &parts),
            groups: [arenas.models.div_ceil(lanes) as u32, 1, 1],
            loops: steps * loops_of_a_lane(arenas),
            steps,
            flop,
            bytes,
        }
    }

    /// Floating-point operations and bytes of all products of a step.
    fn whole_step(&self) -> (u64, u64) {
        let products = (0..=self.last()).flat_map(|layer| PRODUCTS.map(|product| (product, layer)));
        products.fold((0, 0), |(flop, bytes), (product, layer)| {
            (flop + self.flop(product, layer), bytes + bytes_of(self.arenas.size(product, layer)))
        })
    }
}

/// In the order of [`Ways::of_layer`].
const PRODUCTS: [Product; 3] = [Product::Forward, Product::InputDelta, Product::Gradient];

/// How often an invocation goes round its loops for a step of a walk over `rows` rows.
fn loops_of_a_walk(arenas: &Arenas, rows: usize, ways: &Ways, softmax: bool) -> usize {
    let mut loops = 8;
    for layer in 0..arenas.layers.len() {
        for (product, way) in PRODUCTS.into_iter().zip(ways.of_layer(layer)) {
            let Some(Way { tile, .. }) = way else { continue };
            let [height, columns, depth] = arenas.size(product, layer);
            let (height, depth) = if product == Product::Gradient { (height, rows) } else { (rows, depth) };
            loops += 1 + tile.groups(height, columns) * (1 + tile.loops(depth));
        }
    }
    let tile = ways.gradients.tile;
    if arenas.kept.is_some() {
        let (each, layers) = (arenas.parameters.div_ceil(tile.lanes()), arenas.layers.len());
        // Whether penalties reach a parameter is asked of each layer: a loop that llvmpipe unrolls if it is short.
        loops += 2 * each + tile.lanes() + 3 + if layers > 32 { each * (layers + 1) } else { layers };
    }
    loops + if softmax { 1 + rows.div_ceil(tile.lanes()) * (1 + rounds_of_a_row(arenas.output_stride())) } else { 0 }
}

/// The same where an invocation is a network, if the driver unrolls no loop.
pub(super) fn loops_of_a_lane(arenas: &Arenas) -> usize {
    let blocks: usize = arenas.layers.iter().map(|l| (l.input_stride + 1) * (l.output_stride + 1)).sum();
    8 + 2 * blocks + arenas.batch * (1 + arenas.input_stride() + 3 * blocks + 5 * arenas.output_stride())
}

/// How many steps an invocation can take in one dispatch, if the whole batch is one workgroup's.
pub(super) fn steps_a_dispatch(arenas: &Arenas, ways: &Ways, budget: Option<usize>) -> usize {
    budget.map_or(usize::MAX, |budget| budget / loops_of_a_walk(arenas, arenas.batch, ways, true))
}
