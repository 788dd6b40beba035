//! Training steps recorded into the caller's command encoder. gradus neither submits them nor waits for them.

use crate::{
    engine::gpu::run::engine::Engine,
    error::{Error, Result},
};

impl Engine {
    /// Records the steps `first..first + steps` into the caller's encoder. `steps_since_reset` steps have run before
    /// the first.
    ///
    /// `weight_sums` are the sums of the sample weights of each step; it is empty without sample weights.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `steps` is 0 or exceeds the steps of a chunk or of the metrics ring.
    /// [`Error::InvalidState`] if the data set is streamed.
    /// [`Error::OutOfMemory`] if wgpu cannot map the staging buffer.
    pub(crate) fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        (first, steps_since_reset): (u64, u64),
        steps: usize,
        weight_sums: &[f64],
    ) -> Result<()> {
        let max_steps = self.max_chunk_steps().min(self.max_pending_steps());
        if steps == 0 || steps > max_steps {
            let expected = format!("1 to {max_steps}");
            return Err(Error::InvalidSetting { name: "recorded steps", expected, got: steps.to_string() });
        }
        if self.row_stream.is_some() {
            let message = "recording steps needs a data set on the device, but this one is streamed; raise \
                           Device::with_dataset_memory_limit";
            return Err(Error::InvalidState { message: message.to_owned() });
        }
        let metrics_index = self.reserve_metrics(first, steps, weight_sums);
        let upload = self.step_table_upload((first, steps_since_reset), metrics_index, steps);
        // A write through the queue would run before all recorded commands, and overwrite the table input of an earlier
        // recording. So record a copy from a staging buffer.
        let bytes = upload.bytes();
        let descriptor = wgpu::BufferDescriptor {
            label: Some("recorded step table inputs"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        };
        let staging =
            self.gpu.run_guarded("staging buffer of recorded steps", || self.gpu.device.create_buffer(&descriptor));
        let mapped = staging.slice(..).get_mapped_range_mut();
        let out_of_memory =
            |error| Error::OutOfMemory { context: format!("staging buffer of recorded steps: {error}") };
        let mut mapped = mapped.map_err(out_of_memory)?;
        mapped.copy_from_slice(&bytes);
        drop(mapped);
        staging.unmap();
        self.step_table.copy(encoder, &staging, &upload);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.for_each_dispatch(steps, true, |dispatch| dispatch.record(&mut pass));
        Ok(())
    }
}
