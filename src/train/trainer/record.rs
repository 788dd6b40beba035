//! Steps and predictions in the caller's own frame: its encoder, its buffers.

#[cfg(doc)]
use crate::{device::Device, error::Error, nn::network::Network, train::settings::TrainerSettings};
use crate::{
    error::Result,
    train::trainer::{StepCounts, Trainer},
    util::blocking::blocking,
};

impl Trainer {
    /// Records steps on the data set into the caller's encoder, on the caller's device ([`Device::from_wgpu`]): when the
    /// caller submits it, they are taken. Nothing is waited for, no thread is started and no handler is touched. Recordings
    /// have to be submitted in the order in which they were made, and before another call of this trainer that trains or
    /// reads; [`Trainer::take_report`] tells their losses. Where those of a recording have no more room (there is some for the steps of
    /// an epoch, for 4096 at least and 65,536 at most), all that were not asked for are forgotten.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] on the CPU, without a data set or with one that is streamed, or for no step
    /// or more than fit: 4096, on a small device fewer; it says how many.
    pub fn record_steps(&mut self, encoder: &mut wgpu::CommandEncoder, steps: usize) -> Result<()> {
        self.check_data()?;
        let StepCounts { dataset_steps: first, steps_since_reset: before, .. } = self.counts;
        let weights = self.step_weights(first, steps);
        self.engine.record(encoder, first, before, steps, &weights)?;
        self.counts.add(steps as u64);
        Ok(())
    }

    blocking! {
        /// Records a prediction; see [`Trainer::record_prediction_async`].
        ///
        /// # Errors
        /// As [`Trainer::record_prediction_async`].
        pub fn record_prediction(
            &mut self,
            encoder: &mut wgpu::CommandEncoder,
            inputs: &wgpu::Buffer,
            rows: usize,
            outputs: &wgpu::Buffer,
        ) -> Result<()> = self.record_prediction_async(encoder, inputs, rows, outputs);
    }

    /// Records the outputs for `rows` rows of the caller's buffer into another buffer of the caller's, both f32 one after the
    /// other, row by row, and both with the usage `STORAGE`. Nothing is read back.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`, or longer
    /// - outputs: `[rows, outputs]`, or longer
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] on the CPU, for a buffer of another usage, or for no row or more than 4096 (fewer for wide
    /// networks; it says how many), [`Error::Shape`] for a buffer that is too short, [`Error::DeviceLimit`].
    pub async fn record_prediction_async(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        self.engine.record_prediction(encoder, inputs, rows, outputs).await
    }

    /// The buffer of all weights and biases, to be bound and read in shaders of the caller's; none on the CPU. Where each
    /// layer's lie, [`Network::parameter_layout`] says.
    pub const fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        self.engine.parameter_buffer()
    }
}
