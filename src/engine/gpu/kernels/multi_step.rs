//! The dispatches that hold a whole step, or many: the kernels of `shaders/entry/` that are called walk, lane and fused. Their
//! calls of one layer after the other are generated.

use std::fmt::Write;

use crate::{
    engine::gpu::{
        device::dispatch::Dispatch,
        kernels::{
            assembly::switch,
            kernel_set::matmul_bytes,
            kernel_set_builder::KernelSetBuilder,
            kernel_source::{BindingSet, KernelSource, MAX_UNROLLED_LAYERS, MatmulInstance, Piece, shared_pieces},
            loop_counts,
        },
        layout::{
            fused_blocks::{FusedBlocks, max_layer_vec4s},
            matmul::{Epilogue, MATMUL_KINDS, Matmul, MatmulKind},
        },
    },
    plan::MatmulConfigs,
};

impl KernelSetBuilder<'_> {
    /// Every matmul of some steps in one workgroup; `last` is the epilogue of the gradients.
    pub(crate) fn walk(&self, steps: usize, ways: &MatmulConfigs, last: Epilogue) -> Dispatch {
        let arenas = self.arenas;
        let tile = ways.gradient.tile;
        let mut constants = vec![("STEPS", steps), ("PARTIAL_SUM_STRIDE", arenas.parameters)];
        constants.extend(tile.constants());
        let mut pieces = shared_pieces([
            shader!("entry/single_workgroup"),
            shader!("step/matmul_args"),
            shader!("step/softmax_delta"),
            shader!("step/log_sum_exp"),
        ]);
        pieces.push(Piece::PerMatmul(shader!("per_matmul/single_workgroup")));
        pieces.extend(tile.pieces());
        if last == Epilogue::Accumulate {
            pieces.push(Piece::Shared(shader!("entry/single_workgroup_full_gradients")));
        }
        let mut matmuls = self.forward_and_back();
        matmuls.push(Matmul { kind: MatmulKind::Gradient, epilogue: last }.instance("gradient"));
        let source = KernelSource {
            constants,
            matmuls,
            sliced_k: (0..=self.last_layer()).map(|layer| layer_sliced_k(ways, layer)).collect(),
            calls: self.calls_of_walk(last),
            is_multi_step: true,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("whole steps, {tile}"),
            entry_point: "single_workgroup",
            source: self.assemble(&source),
            workgroups: [1, 1, arenas.member_count as u32],
            loop_iterations: steps
                * loop_counts::single_workgroup_step(arenas, ways, self.config.loss.needs_full_row()),
            max_steps: steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The function that takes a step of a walk: all matmuls, one behind the other.
    fn calls_of_walk(&self, last: Epilogue) -> String {
        let last_layer = self.last_layer();
        let mut text = String::new();
        let mut step = String::new();
        let softmax = self.config.loss.needs_full_row();
        let is_unrolled = self.arenas.layers.len() <= MAX_UNROLLED_LAYERS;
        if is_unrolled {
            // With a layer that is a constant all that depends on it is one as well; in a loop a step of XOR takes llvmpipe
            // half as long again.
            for l in 0..last_layer {
                let _ = writeln!(
                    step,
                    "    {}_all(forward_args({l}u, member, n), local); storageBarrier();",
                    self.output_epilogue(l).name()
                );
            }
        } else {
            let (finishes, numbers) = self.hidden_finishes();
            let numbers: Vec<String> = numbers.iter().map(|number| format!("{number}u")).collect();
            text += &switch("hidden_epilogue(l: u32) -> u32", &numbers);
            step += &forward_loop(last_layer, &finishes);
        }
        let _ = writeln!(step, "    output_all(forward_args({last_layer}u, member, n), local); storageBarrier();");
        if softmax {
            step += "    softmax_deltas(0u, BATCH, member, local); storageBarrier();\n";
        }
        if is_unrolled {
            for l in (1..=last_layer).rev() {
                let _ =
                    writeln!(step, "    input_delta_all(input_delta_args({l}u, member, n), local); storageBarrier();");
            }
            for l in 0..=last_layer {
                let _ = writeln!(step, "    gradient_all(gradient_args({l}u, member, n), local);");
            }
        } else {
            step += &backward_loops(last_layer);
        }
        step += "    storageBarrier();\n";
        if last == Epilogue::Accumulate {
            step += "    update_all(member, n, local); storageBarrier();\n";
        }
        format!("{text}fn run_step(member: u32, n: u32, local: u32) {{\n{step}}}\n")
    }

    /// The epilogues of the hidden layers' outputs, each once, and of every hidden layer which of them it has.
    fn hidden_finishes(&self) -> (Vec<Epilogue>, Vec<usize>) {
        let mut all = Vec::new();
        let mut numbers = Vec::new();
        for layer in 0..self.last_layer() {
            let finish = self.output_epilogue(layer);
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
        let forward = |finish: Epilogue| Matmul { kind: MatmulKind::Forward, epilogue: finish };
        let mut all = vec![forward(Epilogue::Forward).instance("forward")];
        for finish in [Epilogue::ForwardDerivative, Epilogue::ForwardDropout] {
            if (0..self.last_layer()).any(|layer| self.output_epilogue(layer) == finish) {
                all.push(forward(finish).instance(finish.name()));
            }
        }
        all.push(forward(self.output_epilogue(self.last_layer())).instance("output"));
        all.push(Matmul { kind: MatmulKind::InputDelta, epilogue: Epilogue::InputDelta }.instance("input_delta"));
        all
    }

    /// The step of a batch but for the sum of the gradients' parts, of which each of so many workgroups leaves one.
    pub(crate) fn fused(&self, rows: usize, groups: usize) -> Dispatch {
        let arenas = self.arenas;
        let FusedBlocks { invocations: lanes, register_blocks: owned, .. } = FusedBlocks::new(arenas, rows);
        let calls = self.calls_of_fused(&owned);
        let (firsts, blocks) = prefix_sums(owned);
        let mut pieces = shared_pieces([
            shader!("entry/fused"),
            shader!("tile/block"),
            shader!("step/matmul_args"),
            shader!("step/softmax_delta"),
            shader!("step/log_sum_exp"),
        ]);
        pieces.push(Piece::PerMatmul(shader!("per_matmul/fused")));
        let source = KernelSource {
            constants: vec![
                ("BLOCK_ROWS", rows),
                ("WORKGROUPS", groups),
                ("INVOCATIONS", lanes),
                ("STAGED_VEC4S", rows * max_layer_vec4s(arenas)),
                ("BLOCKS", blocks),
                ("PARTIAL_SUM_STRIDE", arenas.parameters),
            ],
            matmuls: self.forward_and_back(),
            first_workgroups: firsts,
            calls,
            stores_deltas: false,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("blocks of {rows} rows"),
            entry_point: "fused",
            source: self.assemble(&source),
            workgroups: [groups as u32, 1, arenas.member_count as u32],
            loop_iterations: loop_counts::fused(arenas, rows, groups, self.config.loss.needs_full_row()),
            max_steps: 1,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The functions that take a block of rows through all layers, and store all gradients; `owned` says how many blocks of
    /// each layer's gradients an invocation has.
    fn calls_of_fused(&self, owned: &[usize]) -> String {
        let last = self.last_layer();
        let mut take = String::new();
        let mut store = String::new();
        for l in 0..=last {
            let name = if l == last { "output" } else { self.output_epilogue(l).name() };
            let _ = writeln!(take, "    {name}_block(forward_args({l}u, member, 0u), first, local);");
        }
        let softmax = self.config.loss.needs_full_row();
        take += if softmax { "    stage_deltas(first, member, local);\n" } else { "    storageBarrier();\n" };
        for l in (0..=last).rev() {
            for own in 0..owned[l] {
                let _ = writeln!(take, "    add_gradients({l}u, {own}u, first, member, local);");
            }
            if l > 0 {
                let _ = writeln!(take, "    input_delta_block(input_delta_args({l}u, member, 0u), first, local);");
            }
        }
        for (l, owned) in owned.iter().enumerate() {
            for own in 0..*owned {
                let _ = writeln!(store, "    store_gradients({l}u, {own}u, group, member, local);");
            }
        }
        format!(
            "fn process_block(first: u32, member: u32, local: u32) {{\n    stage_inputs(first, member, local);\n{take}}}\n\
             fn store_all(group: u32, member: u32, local: u32) {{\n{store}}}\n"
        )
    }

    /// Whole steps of a network in one invocation each.
    pub(crate) fn lane(&self, steps: usize, lanes: usize) -> Dispatch {
        let arenas = self.arenas;
        let (firsts, blocks) = prefix_sums(arenas.layers.iter().map(|l| l.input_stride * l.output_stride));
        let neurons = arenas.layers.iter().map(|l| l.output_stride).sum();
        let source = KernelSource {
            constants: vec![("STEPS", steps), ("INVOCATIONS", lanes), ("BLOCKS", blocks), ("NEURONS", neurons)],
            first_workgroups: firsts,
            calls: self.calls_of_lane(),
            ..self.source(
                BindingSet::Step,
                shared_pieces([shader!("entry/single_invocation"), shader!("step/log_sum_exp")]),
                None,
            )
        };
        Dispatch {
            name: "whole steps, a lane a network".to_owned(),
            entry_point: "single_invocation",
            source: self.assemble(&source),
            workgroups: [arenas.member_count.div_ceil(lanes) as u32, 1, 1],
            loop_iterations: steps * loop_counts::single_invocation_step(arenas),
            max_steps: steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// The functions of a lane that go over all layers.
    fn calls_of_lane(&self) -> String {
        let mut text = String::new();
        for name in ["load", "update", "store"] {
            let _ = writeln!(text, "fn {name}_all(member: u32) {{");
            for l in 0..=self.last_layer() {
                let _ = writeln!(text, "    {name}({l}u, member);");
            }
            text += "}\n";
        }
        text += "fn process_row(row: u32, member: u32) {\n    read_row(row, member);\n";
        for l in 0..=self.last_layer() {
            let _ = writeln!(text, "    forward({l}u);");
        }
        text += "    output_delta(row, member);\n";
        for l in (0..=self.last_layer()).rev() {
            let _ = writeln!(text, "    backward({l}u);");
        }
        text + "}\n"
    }

    /// The floating-point operations of all matmuls of a step.
    fn flop_of_step(&self) -> u64 {
        (0..=self.last_layer()).flat_map(|layer| MATMUL_KINDS.map(|product| self.matmul_flop(product, layer))).sum()
    }

    /// The bytes that all matmuls of a step read and write at least.
    fn bytes_of_step(&self) -> u64 {
        (0..=self.last_layer())
            .flat_map(|layer| MATMUL_KINDS.map(|product| matmul_bytes(self.arenas.matmul_dims(product, layer))))
            .sum()
    }
}

/// How many invocations share the sums of an output of each matmul of a layer.
fn layer_sliced_k(configs: &MatmulConfigs, layer: usize) -> [usize; 3] {
    let mut splits = [1; 3];
    for (split, way) in splits.iter_mut().zip(configs.for_layer(layer)) {
        if let Some(way) = way {
            *split = way.tile.sliced_k();
        }
    }
    splits
}

/// The hidden layers of a walk in a loop, each with its epilogue.
fn forward_loop(last_layer: usize, finishes: &[Epilogue]) -> String {
    let mut cases = String::new();
    for (number, finish) in finishes.iter().enumerate() {
        let label = if number + 1 == finishes.len() { "default".to_owned() } else { format!("case {number}u") };
        let _ = writeln!(cases, "            {label}: {{ {}_all(forward_args(l, member, n), local); }}", finish.name());
    }
    format!(
        "    // rounds: {last_layer}\n    for (var l = 0u; l < {last_layer}u; l++) {{\n        switch hidden_epilogue(l) {{\n\
         {cases}        }}\n        storageBarrier();\n    }}\n"
    )
}

/// The deltas and the gradients of a walk in loops.
fn backward_loops(last_layer: usize) -> String {
    format!(
        "    // rounds: {last_layer}\n    for (var l = {last_layer}u; l > 0u; l--) {{\n        \
         input_delta_all(input_delta_args(l, member, n), local);\n        storageBarrier();\n    }}\n    \
         // rounds: LAYERS\n    for (var l = 0u; l < LAYERS; l++) {{\n        \
         gradient_all(gradient_args(l, member, n), local);\n    }}\n"
    )
}

/// Where each of these begins behind the others, and all together.
fn prefix_sums(counts: impl IntoIterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut firsts = Vec::new();
    let mut all = 0;
    for count in counts {
        firsts.push(all);
        all += count;
    }
    (firsts, all)
}
