//! The dispatches that a plan means: kernels, assembled from which files, over how many workgroups.

use crate::{
    data::{dataset::Targets, features::Features},
    engine::gpu::{
        device::{Gpu, dispatch::Dispatch},
        kernels::kernel_set_builder::{KernelPurpose, KernelSetBuilder},
        layout::{
            arenas::{Arenas, KernelConfig},
            chunk::ChunkDims,
            matmul::{Epilogue, Matmul, MatmulKind},
        },
    },
    error::Result,
    plan::{MatmulConfigs, Scheme},
};

/// Everything that a network's kernels do on a device.
#[derive(Debug, Clone)]
pub(crate) struct KernelSet {
    /// What a step is, or some steps; the last of them updates the parameters.
    pub(crate) step: Vec<Dispatch>,
    /// How many steps that is at most.
    pub(crate) steps_per_dispatch: usize,
    /// The kernel over a chunk of steps, which makes their table.
    pub(crate) build_step_table: Dispatch,
    /// The kernels over a window of steps.
    pub(crate) find_rows: Dispatch,
    pub(crate) gather: Dispatch,
    pub(crate) batch_metrics: Dispatch,
    /// Where `measure` needs more than one workgroup for a step.
    pub(crate) sum_metrics: Option<Dispatch>,
}

impl KernelSet {
    pub(crate) fn new(
        arenas: &Arenas,
        config: &KernelConfig,
        scheme: &Scheme,
        features: Option<&Features>,
        targets: Option<&Targets>,
        length: ChunkDims,
    ) -> Self {
        let maker = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Training };
        let (step, walk) = match scheme {
            Scheme::Cpu(_) => (Vec::new(), 1),
            Scheme::Layered(ways) => {
                (maker.append_update(maker.layered_dispatches(ways, maker.gradient_epilogue())), 1)
            }
            Scheme::Fused { rows, workgroups: groups } => {
                let last = Matmul { kind: MatmulKind::Gradient, epilogue: maker.gradient_epilogue() };
                let sum = maker.partial_sum_dispatch(last, 0..=maker.last_layer(), *groups, arenas.parameters);
                (maker.append_update(vec![maker.fused(*rows, *groups), sum]), 1)
            }
            Scheme::SingleWorkgroup { steps, configs: ways } => {
                (vec![maker.walk(*steps, ways, maker.gradient_epilogue())], *steps)
            }
            Scheme::SingleInvocation { steps, invocations: lanes } => (vec![maker.lane(*steps, *lanes)], *steps),
        };
        let [order, gather] = maker.gather_dispatches(features, targets, shader!("data/training_window"));
        let (measure, total) = maker.batch_metrics();
        Self {
            step,
            steps_per_dispatch: walk,
            build_step_table: maker.build_step_table(length),
            find_rows: order,
            gather,
            batch_metrics: measure,
            sum_metrics: total,
        }
    }

    /// Outputs without a loss: for predictions.
    pub(crate) fn prediction_dispatches(
        arenas: &Arenas,
        config: &KernelConfig,
        configs: &MatmulConfigs,
    ) -> Vec<Dispatch> {
        KernelSetBuilder { arenas, config, purpose: KernelPurpose::Prediction }.predicted_dispatches(configs)
    }

    /// All layers' gradients, stored: for who asks for them.
    pub(crate) fn gradient_dispatches(
        arenas: &Arenas,
        config: &KernelConfig,
        configs: &MatmulConfigs,
    ) -> Vec<Dispatch> {
        let maker = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Gradients };
        maker.layered_dispatches(
            configs,
            if arenas.has_per_neuron_parameters() { Epilogue::Accumulate } else { Epilogue::Store },
        )
    }

    /// Every dispatch of a training.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        [&self.build_step_table, &self.find_rows, &self.gather]
            .into_iter()
            .chain(&self.step)
            .chain([&self.batch_metrics])
            .chain(&self.sum_metrics)
    }

    /// Refuses what the device cannot run.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        for dispatch in self.all() {
            gpu.check_dispatch(dispatch)?;
        }
        Ok(())
    }
}

/// Read both operands, write the result, each once.
pub(crate) fn matmul_bytes(size: [usize; 3]) -> u64 {
    let [rows, columns, depth] = size.map(|n| n as u64);
    4 * (rows * depth + depth * columns + rows * columns)
}
