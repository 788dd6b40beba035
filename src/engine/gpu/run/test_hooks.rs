//! Hooks for the self-test: they fill arenas with NaN, lower the device limits, and read the step table.

use std::sync::Arc;

use crate::{
    engine::{
        gpu::{
            device::{Gpu, readback::read},
            layout::buffers::ARENA_USAGES,
            run::{engine::Engine, inference::predictor::Predictor},
        },
        step::Step,
    },
    error::Result,
    nn::network::Network,
};

impl Gpu {
    /// Returns the same device without its previous errors, so that an error in one check does not fail the next. A
    /// lost device stays lost. `max_binding_bytes` lowers the binding limit.
    pub(crate) fn with_cleared_errors(&self, max_binding_bytes: Option<u64>) -> Self {
        let mut limits = self.limits.clone();
        if let Some(max) = max_binding_bytes {
            limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(max);
        }
        Self { limits, is_owned: false, first_error: Arc::default(), ..self.clone() }
    }
}

impl Engine {
    /// Fills the activations and the deltas with NaN. The kernels must write them before they read them.
    pub(crate) fn fill_with_nan(&self) {
        for buffer in [&self.buffers.activations, &self.buffers.deltas] {
            self.gpu.upload(buffer, 0, bytemuck::cast_slice(&vec![f32::NAN; buffer.size() as usize / 4]));
        }
    }

    /// Returns the step table that the device builds, `[step][member]`, followed by the padding steps without rows. The
    /// arguments are those of [`Engine::step_table_upload`].
    pub(crate) async fn read_step_table(
        &self,
        (first, steps_since_reset): (u64, u64),
        metrics_index: usize,
        steps: usize,
    ) -> Result<Vec<Step>> {
        let upload = self.step_table_upload((first, steps_since_reset), metrics_index, steps);
        self.step_table.upload(&self.gpu, &upload);
        let (kernel, bind_group, workgroups) = self.step_table.dispatch(steps);
        self.gpu.compute(|pass| {
            pass.set_bind_group(0, bind_group, &[0]);
            kernel.record_workgroups(pass, workgroups);
        });
        let entries = (steps + self.buffers.padding_steps) * self.member_count();
        read(&self.gpu, &self.buffers.step_table, 0, entries).await
    }
}

/// Computes the outputs for rows of inputs by a recorded prediction, from and to buffers as a caller would pass them.
pub(crate) async fn predict_recorded(
    gpu: &Gpu,
    network: &Network,
    parameters: &[f32],
    inputs: &[f32],
) -> Result<Vec<f32>> {
    let mut predictor = Predictor::standalone(gpu, network, parameters, &network.initial_statistics()).await?;
    let rows = inputs.len() / network.inputs();
    let from = gpu.buffer("inputs of the caller", size_of_val(inputs) as u64, ARENA_USAGES).await?;
    let to = gpu.buffer("outputs of the caller", (4 * rows * network.outputs()) as u64, ARENA_USAGES).await?;
    gpu.upload(&from, 0, bytemuck::cast_slice(inputs));
    let mut encoder = gpu.encoder();
    predictor.record(&mut encoder, &from, rows, &to).await?;
    gpu.submit(encoder);
    read(gpu, &to, 0, rows * network.outputs()).await
}
