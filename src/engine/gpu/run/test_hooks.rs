//! What a selftest does to the machine beyond training on it: arenas full of NaN, limits that are not there, and a look at
//! what is never read back otherwise.

use std::sync::Arc;

use crate::{
    engine::{
        gpu::{
            device::{Gpu, readback::read},
            layout::buffers::ARENA,
            run::{engine::Engine, predictor::Predictor},
        },
        step::Step,
    },
    error::Result,
    nn::network::Network,
};

impl Gpu {
    /// The same device on which nothing has gone wrong yet, as if its bindings held no more than `most` bytes: what goes wrong
    /// in one check is not told of the next. That the device is gone is still told of all.
    pub(crate) fn afresh(&self, most: Option<u64>) -> Self {
        let mut limits = self.limits.clone();
        let binding = &mut limits.max_storage_buffer_binding_size;
        *binding = most.map_or(*binding, |most| most.min(*binding));
        Self { limits, is_own: false, fault: Arc::default(), ..self.clone() }
    }
}

impl Engine {
    /// Fills with NaN whatever kernels have to write before they read it.
    pub(crate) fn poison(&self) {
        for buffer in [&self.buffers.activations, &self.buffers.deltas] {
            self.gpu.upload(buffer, 0, bytemuck::cast_slice(&vec![f32::NAN; buffer.size() as usize / 4]));
        }
    }

    /// The table that the device makes of `steps` steps from `first` on, after `before` updates, whose metrics go to the ring
    /// from `ring` on: `[step][model]`, and behind it the steps without rows.
    pub(crate) async fn table(&self, (first, before): (u64, u64), ring: usize, steps: usize) -> Result<Vec<Step>> {
        let entries = self.entries((first, before), ring, steps);
        self.timetable.upload(&self.gpu, &entries);
        let (kernel, group, groups) = self.timetable.dispatch(steps);
        self.gpu.compute(|pass| {
            pass.set_bind_group(0, group, &[0]);
            kernel.record_over(pass, groups);
        });
        let rows = (steps + self.buffers.behind) * self.models();
        read(&self.gpu, &self.buffers.steps, 0, rows).await
    }
}

/// The outputs for rows of inputs that lie in a buffer of the caller's, by a prediction that is recorded.
pub(crate) async fn recorded(gpu: &Gpu, network: &Network, flat: &[f32], inputs: &[f32]) -> Result<Vec<f32>> {
    let mut predictor = Predictor::alone(gpu, network, flat, &network.first_statistics()).await?;
    let rows = inputs.len() / network.inputs();
    let from = gpu.buffer("the caller's inputs", size_of_val(inputs) as u64, ARENA).await?;
    let to = gpu.buffer("the caller's outputs", (4 * rows * network.outputs()) as u64, ARENA).await?;
    gpu.upload(&from, 0, bytemuck::cast_slice(inputs));
    let mut encoder = gpu.encoder();
    predictor.record(&mut encoder, &from, rows, &to).await?;
    gpu.submit(encoder);
    read(gpu, &to, 0, rows * network.outputs()).await
}
