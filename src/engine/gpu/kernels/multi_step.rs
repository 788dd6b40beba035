//! The dispatches that hold a whole step, or many: the kernels of `shaders/entry/` that are called walk, lane and fused. Their
//! calls of one layer after the other are generated.

use std::fmt::Write;

use crate::{
    engine::gpu::{
        kernels::{
            assembly::switch,
            kernel_set::{Dispatch, bytes_of},
            kernel_set_builder::Maker,
            kernel_source::{BindingSet, KernelSource, MatmulInstance, Piece, UNROLLED, shared},
            loop_counts,
        },
        layout::{
            arenas::Arenas,
            matmul::{Finish, Matmul, Product},
        },
    },
    plan::Ways,
};

/// In the order of [`Ways::of_layer`].
pub(crate) const PRODUCTS: [Product; 3] = [Product::Forward, Product::InputDelta, Product::Gradient];

impl Maker<'_> {
    /// Every matmul of some steps in one workgroup; `last` is the epilogue of the gradients.
    pub(crate) fn walk(&self, steps: usize, ways: &Ways, last: Finish) -> Dispatch {
        let arenas = self.arenas;
        let tile = ways.gradients.tile;
        let mut constants = vec![("WALK", steps), ("PART", arenas.parameters)];
        constants.extend(tile.constants());
        let mut pieces =
            shared([shader!("entry/walk"), shader!("place"), shader!("softmax_delta"), shader!("normalizer")]);
        pieces.push(Piece::PerMatmul(shader!("per_matmul/walk")));
        pieces.extend(tile.pieces());
        if last == Finish::Accumulate {
            pieces.push(Piece::Shared(shader!("entry/walk_whole")));
        }
        let mut matmuls = self.forward_and_back();
        matmuls.push(Matmul { product: Product::Gradient, finish: last }.named("gradient"));
        let source = KernelSource {
            constants,
            matmuls,
            splits: (0..=self.last()).map(|layer| splits_of(ways, layer)).collect(),
            calls: self.calls_of_walk(last),
            is_walk: true,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("whole steps, {tile}"),
            entry: "walk",
            source: self.assembled(&source),
            groups: [1, 1, arenas.models as u32],
            loops: steps * loop_counts::step_of_walk(arenas, ways, self.members.loss.looks_at_the_row()),
            steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The function that takes a step of a walk: all matmuls, one behind the other.
    fn calls_of_walk(&self, last: Finish) -> String {
        let last_layer = self.last();
        let mut text = String::new();
        let mut step = String::new();
        let softmax = self.members.loss.looks_at_the_row();
        let is_unrolled = self.arenas.layers.len() <= UNROLLED;
        if is_unrolled {
            // With a layer that is a constant all that depends on it is one as well; in a loop a step of XOR takes llvmpipe
            // half as long again.
            for l in 0..last_layer {
                let _ = writeln!(
                    step,
                    "    {}_all(forward_place({l}u, model, n), lane); storageBarrier();",
                    self.output(l).name()
                );
            }
        } else {
            let (finishes, numbers) = self.hidden_finishes();
            let numbers: Vec<String> = numbers.iter().map(|number| format!("{number}u")).collect();
            text += &switch("hidden_finish(l: u32) -> u32", &numbers);
            step += &forward_loop(last_layer, &finishes);
        }
        let _ = writeln!(step, "    output_all(forward_place({last_layer}u, model, n), lane); storageBarrier();");
        if softmax {
            step += "    softmax_deltas(0u, BATCH, model, lane); storageBarrier();\n";
        }
        if is_unrolled {
            for l in (1..=last_layer).rev() {
                let _ =
                    writeln!(step, "    input_delta_all(input_delta_place({l}u, model, n), lane); storageBarrier();");
            }
            for l in 0..=last_layer {
                let _ = writeln!(step, "    gradient_all(gradient_place({l}u, model, n), lane);");
            }
        } else {
            step += &back_loops(last_layer);
        }
        step += "    storageBarrier();\n";
        if last == Finish::Accumulate {
            step += "    update_all(model, n, lane); storageBarrier();\n";
        }
        format!("{text}fn walk_step(model: u32, n: u32, lane: u32) {{\n{step}}}\n")
    }

    /// The epilogues of the hidden layers' outputs, each once, and of every hidden layer which of them it has.
    fn hidden_finishes(&self) -> (Vec<Finish>, Vec<usize>) {
        let mut all = Vec::new();
        let mut numbers = Vec::new();
        for layer in 0..self.last() {
            let finish = self.output(layer);
            let number = all.iter().position(|other| *other == finish).unwrap_or(all.len());
            if number == all.len() {
                all.push(finish);
            }
            numbers.push(number);
        }
        (all, numbers)
    }

    /// The matmuls of the forward pass and of the deltas, each with the name that it has in a walk.
    fn forward_and_back(&self) -> Vec<MatmulInstance> {
        let forward = |finish: Finish| Matmul { product: Product::Forward, finish };
        let mut all = vec![forward(Finish::Forward).named("forward")];
        for finish in [Finish::ForwardSlope, Finish::ForwardDropout] {
            if (0..self.last()).any(|layer| self.output(layer) == finish) {
                all.push(forward(finish).named(finish.name()));
            }
        }
        all.push(forward(self.output(self.last())).named("output"));
        all.push(Matmul { product: Product::InputDelta, finish: Finish::InputDelta }.named("input_delta"));
        all
    }

    /// The step of a batch but for the sum of the gradients' parts, of which each of so many workgroups leaves one.
    pub(crate) fn fused(&self, rows: usize, groups: usize) -> Dispatch {
        let arenas = self.arenas;
        let Blocks { lanes, owned, .. } = Blocks::of(arenas, rows);
        let calls = self.calls_of_fused(&owned);
        let (firsts, blocks) = running(owned);
        let mut pieces = shared([
            shader!("entry/fused"),
            shader!("tile/block"),
            shader!("place"),
            shader!("softmax_delta"),
            shader!("normalizer"),
        ]);
        pieces.push(Piece::PerMatmul(shader!("per_matmul/fused")));
        let source = KernelSource {
            constants: vec![
                ("ROWS", rows),
                ("GROUPS", groups),
                ("LANES", lanes),
                ("HELD", rows * widest(arenas)),
                ("BLOCKS", blocks),
                ("PART", arenas.parameters),
            ],
            matmuls: self.forward_and_back(),
            firsts,
            calls,
            stores_deltas: false,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("blocks of {rows} rows"),
            entry: "fused",
            source: self.assembled(&source),
            groups: [groups as u32, 1, arenas.models as u32],
            loops: loop_counts::fused(arenas, rows, groups, self.members.loss.looks_at_the_row()),
            steps: 1,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The functions that take a block of rows through all layers, and store all gradients; `owned` says how many blocks of
    /// each layer's gradients an invocation has.
    fn calls_of_fused(&self, owned: &[usize]) -> String {
        let last = self.last();
        let mut take = String::new();
        let mut store = String::new();
        for l in 0..=last {
            let name = if l == last { "output" } else { self.output(l).name() };
            let _ = writeln!(take, "    {name}_block(forward_place({l}u, model, 0u), first, lane);");
        }
        let softmax = self.members.loss.looks_at_the_row();
        take += if softmax { "    hold_deltas(first, model, lane);\n" } else { "    storageBarrier();\n" };
        for l in (0..=last).rev() {
            for own in 0..owned[l] {
                let _ = writeln!(take, "    add_gradients({l}u, {own}u, first, model, lane);");
            }
            if l > 0 {
                let _ = writeln!(take, "    input_delta_block(input_delta_place({l}u, model, 0u), first, lane);");
            }
        }
        for (l, owned) in owned.iter().enumerate() {
            for own in 0..*owned {
                let _ = writeln!(store, "    store_gradients({l}u, {own}u, group, model, lane);");
            }
        }
        format!(
            "fn take_rows(first: u32, model: u32, lane: u32) {{\n    hold_inputs(first, model, lane);\n{take}}}\n\
             fn store_all(group: u32, model: u32, lane: u32) {{\n{store}}}\n"
        )
    }

    /// Whole steps of a network in one invocation each.
    pub(crate) fn lane(&self, steps: usize, lanes: usize) -> Dispatch {
        let arenas = self.arenas;
        let (firsts, blocks) = running(arenas.layers.iter().map(|l| l.input_stride * l.output_stride));
        let neurons = arenas.layers.iter().map(|l| l.output_stride).sum();
        let source = KernelSource {
            constants: vec![("WALK", steps), ("LANES", lanes), ("BLOCKS", blocks), ("NEURONS", neurons)],
            firsts,
            calls: self.calls_of_lane(),
            ..self.source(BindingSet::Step, shared([shader!("entry/lane"), shader!("normalizer")]), None)
        };
        Dispatch {
            name: "whole steps, a lane a network".to_owned(),
            entry: "lane",
            source: self.assembled(&source),
            groups: [arenas.models.div_ceil(lanes) as u32, 1, 1],
            loops: steps * loop_counts::step_of_lane(arenas),
            steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The functions of a lane that go over all layers.
    fn calls_of_lane(&self) -> String {
        let mut text = String::new();
        for name in ["load", "update", "store"] {
            let _ = writeln!(text, "fn {name}_all(model: u32) {{");
            for l in 0..=self.last() {
                let _ = writeln!(text, "    {name}({l}u, model);");
            }
            text += "}\n";
        }
        text += "fn take_row(row: u32, model: u32) {\n    read_row(row, model);\n";
        for l in 0..=self.last() {
            let _ = writeln!(text, "    forward({l}u);");
        }
        text += "    output_delta(row, model);\n";
        for l in (0..=self.last()).rev() {
            let _ = writeln!(text, "    backward({l}u);");
        }
        text + "}\n"
    }

    /// The floating-point operations of all matmuls of a step.
    fn flop_of_step(&self) -> u64 {
        (0..=self.last()).flat_map(|layer| PRODUCTS.map(|product| self.flop(product, layer))).sum()
    }

    /// The bytes that all matmuls of a step read and write at least.
    fn bytes_of_step(&self) -> u64 {
        (0..=self.last()).flat_map(|layer| PRODUCTS.map(|product| bytes_of(self.arenas.size(product, layer)))).sum()
    }
}

/// How many invocations share the sums of an output of each matmul of a layer.
fn splits_of(ways: &Ways, layer: usize) -> [usize; 3] {
    let mut splits = [1; 3];
    for (split, way) in splits.iter_mut().zip(ways.of_layer(layer)) {
        if let Some(way) = way {
            *split = way.tile.split();
        }
    }
    splits
}

/// The hidden layers of a walk in a loop, each with its epilogue.
fn forward_loop(last_layer: usize, finishes: &[Finish]) -> String {
    let mut cases = String::new();
    for (number, finish) in finishes.iter().enumerate() {
        let label = if number + 1 == finishes.len() { "default".to_owned() } else { format!("case {number}u") };
        let _ = writeln!(cases, "            {label}: {{ {}_all(forward_place(l, model, n), lane); }}", finish.name());
    }
    format!(
        "    // rounds: {last_layer}\n    for (var l = 0u; l < {last_layer}u; l++) {{\n        switch hidden_finish(l) {{\n\
         {cases}        }}\n        storageBarrier();\n    }}\n"
    )
}

/// The deltas and the gradients of a walk in loops.
fn back_loops(last_layer: usize) -> String {
    format!(
        "    // rounds: {last_layer}\n    for (var l = {last_layer}u; l > 0u; l--) {{\n        \
         input_delta_all(input_delta_place(l, model, n), lane);\n        storageBarrier();\n    }}\n    \
         // rounds: LAYERS\n    for (var l = 0u; l < LAYERS; l++) {{\n        \
         gradient_all(gradient_place(l, model, n), lane);\n    }}\n"
    )
}

/// Where each of these begins behind the others, and all together.
fn running(counts: impl IntoIterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut firsts = Vec::new();
    let mut all = 0;
    for count in counts {
        firsts.push(all);
        all += count;
    }
    (firsts, all)
}

/// What a workgroup of a fused step has: 4x4 blocks of each matmul of a block of rows.
pub(crate) struct Blocks {
    /// Its invocations: as many as the widest matmul has blocks.
    pub(crate) lanes: usize,
    /// How many blocks of each layer's gradients an invocation keeps in registers.
    pub(crate) owned: Vec<usize>,
    /// Bytes of workgroup memory.
    pub(crate) bytes: u32,
}

impl Blocks {
    pub(crate) fn of(arenas: &Arenas, rows: usize) -> Self {
        let lanes = (rows / 4 * widest(arenas)).next_multiple_of(32);
        let owned = arenas.layers.iter().map(|l| (l.input_stride * l.output_stride).div_ceil(lanes)).collect();
        Self { lanes, owned, bytes: (16 * rows * widest(arenas)) as u32 }
    }
}

/// The vec4s of the widest layer.
fn widest(arenas: &Arenas) -> usize {
    arenas.layers.iter().map(|l| l.input_stride.max(l.output_stride)).max().unwrap_or(1)
}
