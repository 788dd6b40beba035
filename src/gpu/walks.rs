//! The dispatches that hold a whole step, or many: the kernels of `shaders/entry/` that are called walk, lane and fused.

use std::fmt::Write;

use super::{
    arenas::Arenas,
    dispatches::{Dispatch, Maker, bytes_of, rounds_of_a_row},
    link::{Parts, UNROLLED, link, switch},
    product::{Finish, Product},
};
use crate::plan::{Way, Ways};

impl Maker<'_> {
    /// Every product of some steps in one workgroup; `last` says what becomes of the gradients.
    pub(super) fn walk(&self, steps: usize, ways: &Ways, last: Finish) -> Dispatch {
        let arenas = self.arenas;
        let tile = ways.gradients.tile;
        let loops = steps * loops_of_a_walk(arenas, ways, self.members.loss.looks_at_the_row());
        let splits =
            (0..=self.last()).map(|layer| ways.of_layer(layer).map(|way| way.map_or(1, |way| way.tile.split())));
        let splits = splits.collect();
        let (flop, bytes) = self.whole_step();
        let walk = self.walk_of_a_step(last);
        let mut constants = vec![("WALK", steps), ("PART", arenas.parameters)];
        constants.extend(tile.constants());
        let mut pieces = vec![shader!("entry/walk"), shader!("tile/block"), shader!("place"), shader!("step")];
        pieces.extend([shader!("softmax_delta"), shader!("normalizer")]);
        pieces.extend(tile.pieces());
        if last == Finish::Accumulate {
            pieces.push(shader!("entry/walk_whole"));
        }
        let products = [self.hidden().as_slice(), &[("gradient", Product::Gradient, last)]].concat();
        let parts = Parts { constants, products, splits, walk, pieces, ..Parts::default() };
        Dispatch {
            name: format!("whole steps, {tile}"),
            entry: "walk",
            source: link(arenas, self.members, &parts),
            groups: [1, 1, arenas.models as u32],
            loops,
            steps,
            flop,
            bytes,
        }
    }

    /// The function that takes a step: all products, one behind the other.
    fn walk_of_a_step(&self, last: Finish) -> String {
        let last_layer = self.last();
        let mut walk = String::new();
        let mut lines = String::new();
        let mut line = |call: &str, barrier: bool| {
            let _ = writeln!(lines, "    {call};{}", if barrier { " storageBarrier();" } else { "" });
        };
        let output = format!("output_all(forward_place({last_layer}u, model, n), lane)");
        let softmax = self.members.loss.looks_at_the_row();
        if self.is_unrolled() {
            // With a layer that is a constant all that depends on it is one as well; in a loop a step of XOR takes llvmpipe
            // half as long again.
            for l in 0..last_layer {
                line(&format!("{}_all(forward_place({l}u, model, n), lane)", self.output(l).name()), true);
            }
            line(&output, true);
            if softmax {
                line("softmax_deltas(0u, BATCH, model, lane)", true);
            }
            for l in (1..=last_layer).rev() {
                line(&format!("input_delta_all(input_delta_place({l}u, model, n), lane)"), true);
            }
            for l in 0..=last_layer {
                line(&format!("gradient_all(gradient_place({l}u, model, n), lane)"), l == last_layer);
            }
        } else {
            let (finishes, numbers) = self.finishes();
            walk += &switch("hidden_finish(l: u32) -> u32", numbers.iter().map(|number| format!("{number}u")));
            let mut forward = String::new();
            for (number, finish) in finishes.iter().enumerate() {
                let label = if number + 1 == finishes.len() { "default".to_owned() } else { format!("case {number}u") };
                let call = format!("{}_all(forward_place(l, model, n), lane)", finish.name());
                let _ = writeln!(forward, "            {label}: {{ {call}; }}");
            }
            line(
                &format!(
                    "for (var l = 0u; l < {last_layer}u; l++) {{\n        switch hidden_finish(l) {{\n{forward}        }}\n        storageBarrier();\n    }}"
                ),
                false,
            );
            line(&output, true);
            if softmax {
                line("softmax_deltas(0u, BATCH, model, lane)", true);
            }
            line(
                &format!(
                    "for (var l = {last_layer}u; l > 0u; l--) {{\n        input_delta_all(input_delta_place(l, model, n), lane);\n        storageBarrier();\n    }}"
                ),
                false,
            );
            line(
                "for (var l = 0u; l < LAYERS; l++) {\n        gradient_all(gradient_place(l, model, n), lane);\n    }",
                true,
            );
        }
        if last == Finish::Accumulate {
            line("update_all(model, n, lane)", true);
        }
        format!("{walk}fn walk_step(model: u32, n: u32, lane: u32) {{\n{lines}}}\n")
    }

    /// Whether the calls of all layers are written out, and not in loops.
    fn is_unrolled(&self) -> bool {
        self.arenas.layers.len() <= UNROLLED
    }

    /// What becomes of the hidden layers' outputs: each kind once, and of every hidden layer which of them it is.
    fn finishes(&self) -> (Vec<Finish>, Vec<usize>) {
        let mut all = Vec::new();
        let mut number = |layer: usize| {
            let finish = self.output(layer);
            all.iter().position(|other| *other == finish).unwrap_or_else(|| {
                all.push(finish);
                all.len() - 1
            })
        };
        let numbers = (0..self.last()).map(&mut number).collect();
        (all, numbers)
    }

    /// The products on the way forward and back, each with the name that it has in a walk.
    fn hidden(&self) -> Vec<(&'static str, Product, Finish)> {
        let mut all = vec![("forward", Product::Forward, Finish::Forward)];
        for finish in [Finish::ForwardSlope, Finish::ForwardDropout] {
            if (0..self.last()).any(|layer| self.output(layer) == finish) {
                all.push((finish.name(), Product::Forward, finish));
            }
        }
        all.push(("output", Product::Forward, self.output(self.last())));
        all.push(("input_delta", Product::InputDelta, Finish::InputDelta));
        all
    }

    /// The step of a batch but for the sum of the gradients' parts, of which each of so many workgroups leaves one.
    pub(super) fn fused(&self, rows: usize, groups: usize) -> Dispatch {
        let arenas = self.arenas;
        let Blocks { lanes, owned, .. } = Blocks::of(arenas, rows);
        let last = self.last();
        let mut walk =
            "fn take_rows(first: u32, model: u32, lane: u32) {\n    hold_inputs(first, model, lane);\n".to_owned();
        let mut line = |call: String| {
            let _ = writeln!(walk, "    {call};");
        };
        for l in 0..=last {
            let name = if l == last { "output" } else { self.output(l).name() };
            line(format!("{name}_block(forward_place({l}u, model, 0u), first, lane)"));
        }
        let softmax = self.members.loss.looks_at_the_row();
        line(if softmax { "hold_deltas(first, model, lane)" } else { "storageBarrier()" }.to_owned());
        for l in (0..=last).rev() {
            (0..owned[l]).for_each(|own| line(format!("add_gradients({l}u, {own}u, first, model, lane)")));
            if l > 0 {
                line(format!("input_delta_block(input_delta_place({l}u, model, 0u), first, lane)"));
            }
        }
        walk += "}\nfn store_all(group: u32, model: u32, lane: u32) {\n";
        for (l, owned) in owned.iter().enumerate() {
            for own in 0..*owned {
                let _ = writeln!(walk, "    store_gradients({l}u, {own}u, group, model, lane);");
            }
        }
        walk += "}\n";
        let (firsts, blocks) = running(owned);
        let constants = vec![
            ("ROWS", rows),
            ("GROUPS", groups),
            ("LANES", lanes),
            ("HELD", rows * widest(arenas)),
            ("BLOCKS", blocks),
            ("PART", arenas.parameters),
        ];
        let mut pieces = vec![shader!("entry/fused"), shader!("tile/block"), shader!("place"), shader!("step")];
        pieces.extend([shader!("softmax_delta"), shader!("normalizer")]);
        let parts = Parts { constants, firsts, products: self.hidden(), walk, pieces, ..Parts::default() };
        let (flop, bytes) = self.whole_step();
        Dispatch {
            name: format!("blocks of {rows} rows"),
            entry: "fused",
            source: link(arenas, self.members, &parts),
            groups: [groups as u32, 1, arenas.models as u32],
            loops: loops_of_blocks(arenas, rows, groups, softmax),
            steps: 1,
            flop,
            bytes,
        }
    }

    /// Whole steps of a network in one invocation each.
    pub(super) fn lane(&self, steps: usize, lanes: usize) -> Dispatch {
        let arenas = self.arenas;
        let (firsts, blocks) = running(arenas.layers.iter().map(|l| l.input_stride * l.output_stride));
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

/// Where each of these begins behind the others, and all together.
fn running(counts: impl IntoIterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut all = 0;
    let mut first = |count: usize| {
        all += count;
        all - count
    };
    (counts.into_iter().map(&mut first).collect(), all)
}

/// In the order of [`Ways::of_layer`].
const PRODUCTS: [Product; 3] = [Product::Forward, Product::InputDelta, Product::Gradient];

/// What a workgroup of a fused step has: 4x4 blocks of each product of a block of rows.
pub(super) struct Blocks {
    /// Its invocations: as many as the widest product has blocks.
    pub(super) lanes: usize,
    /// How many blocks of each layer's gradients an invocation keeps in registers.
    pub(super) owned: Vec<usize>,
    /// Bytes of workgroup memory.
    pub(super) bytes: u32,
}

impl Blocks {
    pub(super) fn of(arenas: &Arenas, rows: usize) -> Self {
        let lanes = (rows / 4 * widest(arenas)).next_multiple_of(32);
        let owned = arenas.layers.iter().map(|l| (l.input_stride * l.output_stride).div_ceil(lanes)).collect();
        Self { lanes, owned, bytes: (16 * rows * widest(arenas)) as u32 }
    }
}

/// The vec4s of the widest layer.
fn widest(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride.max(l.output_stride)).max().unwrap_or(1)
}

/// How often an invocation goes round its loops for all of a workgroup's blocks of rows.
fn loops_of_blocks(arenas: &Arenas, rows: usize, groups: usize, softmax: bool) -> usize {
    let Blocks { lanes, owned, .. } = Blocks::of(arenas, rows);
    let held = |stride: usize| 1 + (rows * stride).div_ceil(lanes);
    let products = arenas.layers.iter().map(|l| 2 + l.input_stride + l.output_stride).sum::<usize>();
    let gradients = owned.iter().sum::<usize>() * (1 + rows / 4);
    let more = if softmax { loops_over_rows(arenas, rows, lanes) + held(arenas.output_stride()) } else { 0 };
    2 + arenas.batch.div_ceil(rows).div_ceil(groups) * (1 + held(arenas.input_stride()) + products + gradients + more)
}

/// The same for a loss that looks at whole rows of outputs, one an invocation.
fn loops_over_rows(arenas: &Arenas, rows: usize, lanes: usize) -> usize {
    1 + rows.div_ceil(lanes) * (1 + rounds_of_a_row(arenas.output_stride()))
}

/// How often an invocation goes round its loops for a step of a walk.
fn loops_of_a_walk(arenas: &Arenas, ways: &Ways, softmax: bool) -> usize {
    let layers = arenas.layers.len();
    let mut loops = 8 + if layers > UNROLLED { 3 * (layers + 1) } else { 0 };
    for layer in 0..layers {
        for (product, way) in PRODUCTS.into_iter().zip(ways.of_layer(layer)) {
            let Some(Way { tile, .. }) = way else { continue };
            let [height, columns, depth] = arenas.size(product, layer);
            loops += 1 + tile.groups(height, columns) * (1 + tile.loops(depth));
        }
    }
    let tile = ways.gradients.tile;
    if arenas.kept.is_some() {
        let each = arenas.parameters.div_ceil(tile.lanes());
        // Whether penalties reach a parameter is asked of each layer: a loop that llvmpipe unrolls if it is short.
        loops += 2 * each + tile.lanes() + 3 + if layers > 32 { each * (layers + 1) } else { layers };
    }
    loops + if softmax { loops_over_rows(arenas, arenas.batch, tile.lanes()) } else { 0 }
}

/// The same where an invocation is a network, if the driver unrolls no loop.
pub(super) fn loops_of_a_lane(arenas: &Arenas) -> usize {
    let blocks: usize = arenas.layers.iter().map(|l| (l.input_stride + 1) * (l.output_stride + 1)).sum();
    8 + 2 * blocks + arenas.batch * (1 + arenas.input_stride() + 3 * blocks + 5 * arenas.output_stride())
}

/// How many steps an invocation can take in one dispatch.
pub(super) fn steps_a_dispatch(arenas: &Arenas, ways: &Ways, budget: Option<usize>) -> usize {
    budget.map_or(usize::MAX, |budget| budget / loops_of_a_walk(arenas, ways, true))
}
