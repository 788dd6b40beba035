//! What a selftest does to the machine beyond training on it: arenas full of NaN, limits that are not there, and a look at
//! what is never read back otherwise.

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
    /// The same device on which nothing has gone wrong yet, as if its bindings held no more than `most` bytes: what goes wrong
    /// in one check is not told of the next. That the device is gone is still told of all.
    pub(crate) fn with_cleared_errors(&self, max: Option<u64>) -> Self {
        let mut limits = self.limits.clone();
        let binding = &mut limits.max_storage_buffer_binding_size;
        *binding = max.map_or(*binding, |most| most.min(*binding));
        Self { limits, is_owned: false, first_error: Arc::default(), ..self.clone() }
    }
}

impl Engine {
    /// Fills with NaN whatever kernels have to write before they read it.
    pub(crate) fn fill_with_nan(&self) {
        for buffer in [&self.buffers.activations, &self.buffers.deltas] {
            self.gpu.upload(buffer, 0, bytemuck::cast_slice(&vec![f32::NAN; buffer.size() as usize / 4]));
        }
    }

    /// The table that the device makes of `steps` steps from `first` on, after `before` updates, whose metrics go to the ring
    /// from `ring` on: `[step][model]`, and behind it the steps without rows.
    pub(crate) async fn read_step_table(
        &self,
        (first, before): (u64, u64),
        ring: usize,
        steps: usize,
    ) -> Result<Vec<Step>> {
        let entries = self.step_table_upload((first, before), ring, steps);
        self.step_table.upload(&self.gpu, &entries);
        let (kernel, group, groups) = self.step_table.dispatch(steps);
        self.gpu.compute(|pass| {
            pass.set_bind_group(0, group, &[0]);
            kernel.record_workgroups(pass, groups);
        });
        let rows = (steps + self.buffers.padding_steps) * self.member_count();
        read(&self.gpu, &self.buffers.step_table, 0, rows).await
    }
}

/// The outputs for rows of inputs that lie in a buffer of the caller's, by a prediction that is recorded.
pub(crate) async fn predict_recorded(gpu: &Gpu, network: &Network, flat: &[f32], inputs: &[f32]) -> Result<Vec<f32>> {
    let mut predictor = Predictor::standalone(gpu, network, flat, &network.initial_statistics()).await?;
    let rows = inputs.len() / network.inputs();
    let from = gpu.buffer("the caller's inputs", size_of_val(inputs) as u64, ARENA_USAGES).await?;
    let to = gpu.buffer("the caller's outputs", (4 * rows * network.outputs()) as u64, ARENA_USAGES).await?;
    gpu.upload(&from, 0, bytemuck::cast_slice(inputs));
    let mut encoder = gpu.encoder();
    predictor.record(&mut encoder, &from, rows, &to).await?;
    gpu.submit(encoder);
    read(gpu, &to, 0, rows * network.outputs()).await
}
