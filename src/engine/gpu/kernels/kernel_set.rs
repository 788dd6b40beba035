//! The dispatches of a plan: their kernels and workgroups.

use crate::{
    data::{dataset::Targets, features::Features},
    engine::gpu::{
        device::{Gpu, dispatch::Dispatch},
        kernels::kernel_set_builder::{KernelPurpose, KernelSetBuilder},
        layout::{
            arenas::Arenas,
            chunk::ChunkDims,
            kernel_config::KernelConfig,
            matmul::{Epilogue, Matmul, MatmulKind},
        },
    },
    error::Result,
    plan::{matmul::MatmulConfigs, scheme::Scheme},
};

/// All dispatches of a training run.
#[derive(Debug, Clone)]
pub(crate) struct KernelSet {
    /// The dispatches of one step, or of several steps. The last one updates the parameters.
    pub(crate) step: Vec<Dispatch>,
    /// The maximum number of steps per dispatch.
    pub(crate) steps_per_dispatch: usize,
    /// Builds the step table of a chunk.
    pub(crate) build_step_table: Dispatch,
    /// Finds the rows of the steps of a window.
    pub(crate) find_rows: Dispatch,
    /// Copies the rows of the steps of a window.
    pub(crate) gather: Dispatch,
    /// Computes the metrics of the steps of a window.
    pub(crate) batch_metrics: Dispatch,
    /// Adds the metrics of several workgroups, if a step needs more than one.
    pub(crate) sum_metrics: Option<Dispatch>,
}

impl KernelSet {
    /// Creates the dispatches for a scheme and the kinds of features and targets.
    pub(crate) fn new(
        arenas: &Arenas,
        config: &KernelConfig,
        scheme: &Scheme,
        features: Option<&Features>,
        targets: Option<&Targets>,
        chunk: ChunkDims,
    ) -> Self {
        let builder = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Training };
        let (step, steps_per_dispatch) = match scheme {
            Scheme::Cpu(_) => (Vec::new(), 1),
            Scheme::Layered(configs) => {
                (builder.append_update(builder.layered_dispatches(configs, builder.gradient_epilogue())), 1)
            }
            Scheme::Fused { rows, workgroups } => {
                let gradient = Matmul { kind: MatmulKind::Gradient, epilogue: builder.gradient_epilogue() };
                let layers = 0..=builder.last_layer();
                let sum = builder.partial_sum_dispatch(gradient, layers, *workgroups, arenas.parameters);
                (builder.append_update(vec![builder.fused_dispatch(*rows, *workgroups), sum]), 1)
            }
            Scheme::SingleWorkgroup { steps, configs } => {
                (vec![builder.single_workgroup_dispatch(*steps, configs, builder.gradient_epilogue())], *steps)
            }
            Scheme::SingleInvocation { steps, invocations } => {
                (vec![builder.single_invocation_dispatch(*steps, *invocations)], *steps)
            }
        };
        let [find_rows, gather] = builder.gather_dispatches(features, targets, shader!("data/training_window"));
        let (batch_metrics, sum_metrics) = builder.batch_metrics();
        Self {
            step,
            steps_per_dispatch,
            build_step_table: builder.build_step_table(chunk),
            find_rows,
            gather,
            batch_metrics,
            sum_metrics,
        }
    }

    /// Returns the dispatches of a prediction.
    pub(crate) fn prediction_dispatches(
        arenas: &Arenas,
        config: &KernelConfig,
        configs: &MatmulConfigs,
    ) -> Vec<Dispatch> {
        KernelSetBuilder { arenas, config, purpose: KernelPurpose::Prediction }.prediction_dispatches(configs)
    }

    /// Returns the dispatches that store the gradients of all layers, for the host.
    pub(crate) fn gradient_dispatches(
        arenas: &Arenas,
        config: &KernelConfig,
        configs: &MatmulConfigs,
    ) -> Vec<Dispatch> {
        let builder = KernelSetBuilder { arenas, config, purpose: KernelPurpose::Gradients };
        let epilogue = if arenas.has_per_neuron_parameters() { Epilogue::Accumulate } else { Epilogue::Store };
        builder.layered_dispatches(configs, epilogue)
    }

    /// Returns all dispatches.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Dispatch> {
        [&self.build_step_table, &self.find_rows, &self.gather]
            .into_iter()
            .chain(&self.step)
            .chain([&self.batch_metrics])
            .chain(&self.sum_metrics)
    }

    /// Returns an error if the device cannot run a dispatch.
    pub(crate) fn check(&self, gpu: &Gpu) -> Result<()> {
        for dispatch in self.all() {
            gpu.check_dispatch(dispatch)?;
        }
        Ok(())
    }
}

/// Returns the bytes of a matmul with these rows, columns and depth: it reads both operands and writes the result once.
pub(crate) fn matmul_bytes(dims: [usize; 3]) -> u64 {
    let [rows, columns, depth] = dims.map(|n| n as u64);
    4 * (rows * depth + depth * columns + rows * columns)
}
