//! Steps in the caller's own command encoder: recorded, and neither submitted nor waited for.

use crate::{
    engine::gpu::run::engine::Engine,
    error::{Error, Result},
};

impl Engine {
    /// Records the steps `first` to `first + steps`, after `before` others, into the caller's encoder. `weights` are the sums of
    /// the weights of their rows, if they have any.
    pub(crate) fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        (first, before): (u64, u64),
        steps: usize,
        weights: &[f64],
    ) -> Result<()> {
        let most = self.max_chunk_steps().min(self.max_pending_steps());
        if steps == 0 || steps > most {
            let expected = format!("1 to {most}");
            return Err(Error::InvalidSetting { name: "steps of a recording", expected, got: steps.to_string() });
        }
        if self.row_stream.is_some() {
            let (expected, got) = ("a data set that the device holds".to_owned(), "one that is streamed".to_owned());
            return Err(Error::InvalidSetting { name: "data set of recorded steps", expected, got });
        }
        let ring = self.reserve_metrics(first, steps, weights);
        let entries = self.step_table_upload((first, before), ring, steps);
        // A write through the queue would overtake what is recorded, and overwrite what a recording before it needs: so
        // the entries travel with the commands.
        let bytes = entries.bytes();
        let descriptor = wgpu::BufferDescriptor {
            label: Some("steps"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        };
        let staged = self.gpu.run_guarded("the table of steps", || self.gpu.device.create_buffer(&descriptor));
        let mapped = staged.slice(..).get_mapped_range_mut();
        let mut mapped =
            mapped.map_err(|error| Error::OutOfMemory { context: format!("the table of steps: {error}") })?;
        mapped.copy_from_slice(&bytes);
        drop(mapped);
        staged.unmap();
        self.step_table.copy(encoder, &staged, &entries);
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.for_each_dispatch(steps, true, |visit| visit.record(&mut pass));
        Ok(())
    }
}
