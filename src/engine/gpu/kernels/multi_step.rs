//! The dispatches that run a complete step or several steps: `single_workgroup`, `single_invocation` and `fused` in
//! `shaders/entry/`. The functions that call the layers one after the other are generated here.

use std::fmt::Write;

use crate::{
    engine::gpu::{
        device::dispatch::Dispatch,
        kernels::{
            kernel_set::matmul_bytes,
            kernel_set_builder::KernelSetBuilder,
            kernel_source::{BindingSet, KernelSource, MAX_UNROLLED_LAYERS, MatmulInstance, Piece, shared_pieces},
            loop_counts,
            wgsl_text::switch,
        },
        layout::{
            fused_blocks::{FusedBlocks, max_layer_vec4s},
            matmul::{Epilogue, MATMUL_KINDS, Matmul, MatmulKind},
        },
    },
    plan::matmul::MatmulConfigs,
};

impl KernelSetBuilder<'_> {
    /// Returns the dispatch that runs several steps in one workgroup per member.
    pub(crate) fn single_workgroup_dispatch(
        &self,
        steps: usize,
        configs: &MatmulConfigs,
        gradient_epilogue: Epilogue,
    ) -> Dispatch {
        let arenas = self.arenas;
        let tile = configs.gradient.tile;
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
        if gradient_epilogue == Epilogue::Accumulate {
            pieces.push(Piece::Shared(shader!("entry/single_workgroup_full_gradients")));
        }
        let mut matmuls = self.forward_and_input_delta_matmuls();
        let gradient = Matmul { kind: MatmulKind::Gradient, epilogue: gradient_epilogue };
        matmuls.push(gradient.instance("gradient"));
        let source = KernelSource {
            constants,
            matmuls,
            sliced_k: (0..=self.last_layer()).map(|layer| layer_sliced_k(configs, layer)).collect(),
            calls: self.single_workgroup_calls(gradient_epilogue),
            is_multi_step: true,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("whole steps, {tile}"),
            entry_point: "single_workgroup",
            source: self.assemble(&source),
            workgroups: [1, 1, arenas.member_count as u32],
            loop_iterations: steps
                * loop_counts::single_workgroup_step(arenas, configs, self.config.loss.needs_full_row()),
            max_steps: steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// Returns the WGSL function `run_step`, which calls all matmuls of a step in order.
    fn single_workgroup_calls(&self, gradient_epilogue: Epilogue) -> String {
        let last_layer = self.last_layer();
        let mut text = String::new();
        let mut step = String::new();
        let has_softmax = self.config.loss.needs_full_row();
        let is_unrolled = self.arenas.layers.len() <= MAX_UNROLLED_LAYERS;
        if is_unrolled {
            // The layer number is a constant here, so the driver folds all expressions that depend on it. With a loop,
            // a step of XOR takes 1.5 times as long on llvmpipe.
            for l in 0..last_layer {
                let _ = writeln!(
                    step,
                    "    {}_all(forward_args({l}u, member, n), local); storageBarrier();",
                    self.output_epilogue(l).name()
                );
            }
        } else {
            let (epilogues, indices) = self.hidden_epilogues();
            let indices: Vec<String> = indices.iter().map(|index| format!("{index}u")).collect();
            text += &switch("hidden_epilogue(l: u32) -> u32", &indices);
            step += &forward_loop(last_layer, &epilogues);
        }
        let _ = writeln!(step, "    output_all(forward_args({last_layer}u, member, n), local); storageBarrier();");
        if has_softmax {
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
        if gradient_epilogue == Epilogue::Accumulate {
            step += "    update_all(member, n, local); storageBarrier();\n";
        }
        format!("{text}fn run_step(member: u32, n: u32, local: u32) {{\n{step}}}\n")
    }

    /// Returns the different epilogues of the hidden layers, and for each hidden layer the index of its epilogue.
    fn hidden_epilogues(&self) -> (Vec<Epilogue>, Vec<usize>) {
        let mut epilogues = Vec::new();
        let mut indices = Vec::new();
        for layer in 0..self.last_layer() {
            let epilogue = self.output_epilogue(layer);
            let index = epilogues.iter().position(|other| *other == epilogue).unwrap_or(epilogues.len());
            if index == epilogues.len() {
                epilogues.push(epilogue);
            }
            indices.push(index);
        }
        (epilogues, indices)
    }

    /// Returns the matmuls of the forward pass and of the deltas, with the names in the generated calls.
    fn forward_and_input_delta_matmuls(&self) -> Vec<MatmulInstance> {
        let forward = |epilogue: Epilogue| Matmul { kind: MatmulKind::Forward, epilogue };
        let mut all = vec![forward(Epilogue::Forward).instance("forward")];
        for epilogue in [Epilogue::ForwardDerivative, Epilogue::ForwardDropout] {
            if (0..self.last_layer()).any(|layer| self.output_epilogue(layer) == epilogue) {
                all.push(forward(epilogue).instance(epilogue.name()));
            }
        }
        all.push(forward(self.output_epilogue(self.last_layer())).instance("output"));
        all.push(Matmul { kind: MatmulKind::InputDelta, epilogue: Epilogue::InputDelta }.instance("input_delta"));
        all
    }

    /// Returns the dispatch that runs a step up to the partial sums of the gradients, one per workgroup. A workgroup
    /// processes blocks of `rows` rows.
    pub(crate) fn fused_dispatch(&self, rows: usize, workgroups: usize) -> Dispatch {
        let arenas = self.arenas;
        let FusedBlocks { invocations, register_blocks, .. } = FusedBlocks::new(arenas, rows);
        let calls = self.fused_calls(&register_blocks);
        let (first_blocks, blocks) = prefix_sums(register_blocks);
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
                ("WORKGROUPS", workgroups),
                ("INVOCATIONS", invocations),
                ("STAGED_VEC4S", rows * max_layer_vec4s(arenas)),
                ("BLOCKS", blocks),
                ("PARTIAL_SUM_STRIDE", arenas.parameters),
            ],
            matmuls: self.forward_and_input_delta_matmuls(),
            first_blocks,
            calls,
            stores_deltas: false,
            ..self.source(BindingSet::Step, pieces, None)
        };
        Dispatch {
            name: format!("blocks of {rows} rows"),
            entry_point: "fused",
            source: self.assemble(&source),
            workgroups: [workgroups as u32, 1, arenas.member_count as u32],
            loop_iterations: loop_counts::fused(arenas, rows, workgroups, self.config.loss.needs_full_row()),
            max_steps: 1,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// Returns the WGSL functions `process_block`, which runs a block of rows through all layers, and `store_all`,
    /// which stores all gradients. `register_blocks` is the number of gradient blocks of each layer per invocation.
    fn fused_calls(&self, register_blocks: &[usize]) -> String {
        let last = self.last_layer();
        let mut process = String::new();
        let mut store = String::new();
        for l in 0..=last {
            let name = if l == last { "output" } else { self.output_epilogue(l).name() };
            let _ = writeln!(process, "    {name}_block(forward_args({l}u, member, 0u), first, local);");
        }
        let has_softmax = self.config.loss.needs_full_row();
        process += if has_softmax { "    stage_deltas(first, member, local);\n" } else { "    storageBarrier();\n" };
        for l in (0..=last).rev() {
            for block in 0..register_blocks[l] {
                let _ = writeln!(process, "    add_gradients({l}u, {block}u, first, member, local);");
            }
            if l > 0 {
                let _ = writeln!(process, "    input_delta_block(input_delta_args({l}u, member, 0u), first, local);");
            }
        }
        for (l, blocks) in register_blocks.iter().enumerate() {
            for block in 0..*blocks {
                let _ = writeln!(store, "    store_gradients({l}u, {block}u, workgroup, member, local);");
            }
        }
        format!(
            "fn process_block(first: u32, member: u32, local: u32) {{\n    stage_inputs(first, member, local);\n\
             {process}}}\n\
             fn store_all(workgroup: u32, member: u32, local: u32) {{\n{store}}}\n"
        )
    }

    /// Returns the dispatch that runs several steps in one invocation per member. A workgroup has `invocations`
    /// invocations.
    pub(crate) fn single_invocation_dispatch(&self, steps: usize, invocations: usize) -> Dispatch {
        let arenas = self.arenas;
        let (first_blocks, blocks) = prefix_sums(arenas.layers.iter().map(|l| l.input_stride * l.output_stride));
        let neurons = arenas.layers.iter().map(|l| l.output_stride).sum();
        let source = KernelSource {
            constants: vec![("STEPS", steps), ("INVOCATIONS", invocations), ("BLOCKS", blocks), ("NEURONS", neurons)],
            first_blocks,
            calls: self.single_invocation_calls(),
            ..self.source(
                BindingSet::Step,
                shared_pieces([shader!("entry/single_invocation"), shader!("step/log_sum_exp")]),
                None,
            )
        };
        Dispatch {
            name: "whole steps, one invocation per network".to_owned(),
            entry_point: "single_invocation",
            source: self.assemble(&source),
            workgroups: [arenas.member_count.div_ceil(invocations) as u32, 1, 1],
            loop_iterations: steps * loop_counts::single_invocation_step(arenas),
            max_steps: steps,
            flop: self.flop_of_step(),
            bytes: self.bytes_of_step(),
        }
    }

    /// Returns the WGSL functions of the single-invocation scheme that call the functions of each layer.
    fn single_invocation_calls(&self) -> String {
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

    /// Returns the floating-point operations of all matmuls of a step.
    fn flop_of_step(&self) -> u64 {
        (0..=self.last_layer()).flat_map(|layer| MATMUL_KINDS.map(|kind| self.matmul_flop(kind, layer))).sum()
    }

    /// Returns the minimum number of bytes that all matmuls of a step read and write.
    fn bytes_of_step(&self) -> u64 {
        (0..=self.last_layer())
            .flat_map(|layer| MATMUL_KINDS.map(|kind| matmul_bytes(self.arenas.matmul_dims(kind, layer))))
            .sum()
    }
}

/// Returns the number of invocations per sum for each kind of matmul of a layer.
fn layer_sliced_k(configs: &MatmulConfigs, layer: usize) -> [usize; 3] {
    let mut sliced_k = [1; 3];
    for (invocations, config) in sliced_k.iter_mut().zip(configs.for_layer(layer)) {
        if let Some(config) = config {
            *invocations = config.tile.sliced_k();
        }
    }
    sliced_k
}

/// Returns the WGSL loop over the hidden layers of the forward pass, with the epilogue of each layer.
fn forward_loop(last_layer: usize, epilogues: &[Epilogue]) -> String {
    let mut cases = String::new();
    for (index, epilogue) in epilogues.iter().enumerate() {
        let label = if index + 1 == epilogues.len() { "default".to_owned() } else { format!("case {index}u") };
        let name = epilogue.name();
        let _ = writeln!(cases, "            {label}: {{ {name}_all(forward_args(l, member, n), local); }}");
    }
    format!(
        "    // rounds: {last_layer}\n    for (var l = 0u; l < {last_layer}u; l++) {{\n        switch hidden_epilogue(l) {{\n\
         {cases}        }}\n        storageBarrier();\n    }}\n"
    )
}

/// Returns the WGSL loops over the layers for the deltas and the gradients.
fn backward_loops(last_layer: usize) -> String {
    format!(
        "    // rounds: {last_layer}\n    for (var l = {last_layer}u; l > 0u; l--) {{\n        \
         input_delta_all(input_delta_args(l, member, n), local);\n        storageBarrier();\n    }}\n    \
         // rounds: LAYERS\n    for (var l = 0u; l < LAYERS; l++) {{\n        \
         gradient_all(gradient_args(l, member, n), local);\n    }}\n"
    )
}

/// Returns, for each count, the sum of the counts before it; and the sum of all counts.
fn prefix_sums(counts: impl IntoIterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut offsets = Vec::new();
    let mut sum = 0;
    for count in counts {
        offsets.push(sum);
        sum += count;
    }
    (offsets, sum)
}
