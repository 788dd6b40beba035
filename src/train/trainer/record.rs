//! Steps and predictions that gradus records into a command encoder of the caller.

#[cfg(doc)]
use crate::{device::Device, error::Error, nn::network::Network};
use crate::{
    error::Result,
    train::trainer::{StepCounts, Trainer},
    util::blocking::blocking,
};

impl Trainer {
    /// Records training steps on the data set into a command encoder of the caller, on the device of the caller
    /// ([`Device::from_wgpu`]).
    ///
    /// The device runs the steps when the caller submits the encoder. gradus waits for nothing, starts no thread and
    /// changes no handler of the wgpu device.
    ///
    /// Submit recordings in the order in which they were made, and before any other call of this trainer that trains or
    /// reads.
    ///
    /// [`Trainer::take_report`] returns the losses. The buffer of the losses holds one epoch of steps, but at least
    /// 4096 and at most 65,536. If a recording does not fit, the losses of all earlier recordings that were not taken
    /// are lost.
    ///
    /// # Errors
    /// - [`Error::InvalidState`] if the trainer runs on the CPU engine, has no data set, or streams its data set.
    /// - [`Error::InvalidSetting`] if `steps` is 0 or greater than the maximum of the device, at most 4096. The message
    ///   contains the maximum.
    pub fn record_steps(&mut self, encoder: &mut wgpu::CommandEncoder, steps: usize) -> Result<()> {
        self.check_data()?;
        let StepCounts { dataset_steps: first, steps_since_reset, .. } = self.counts;
        let weights = self.step_weights(first, steps);
        self.engine.record(encoder, first, steps_since_reset, steps, &weights)?;
        self.counts.add(steps as u64);
        Ok(())
    }

    blocking! {
        /// Records a prediction into a command encoder of the caller; see [`Trainer::record_prediction_async`].
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

    /// Records a prediction for `rows` rows from a buffer of the caller into another buffer of the caller.
    ///
    /// Both buffers hold f32 values, row by row without gaps, and have the usage `STORAGE`. The device computes the
    /// outputs when the caller submits the encoder. The host reads nothing back.
    ///
    /// # Shapes
    /// - inputs: `[rows, inputs]`, or longer
    /// - outputs: `[rows, outputs]`, or longer
    ///
    /// # Errors
    /// - [`Error::InvalidState`] if the trainer runs on the CPU engine.
    /// - [`Error::InvalidSetting`] if a buffer lacks the usage `STORAGE`.
    /// - [`Error::InvalidSetting`] if `rows` is 0 or greater than the maximum, which is 4096 or less for wide networks.
    ///   The message contains the maximum.
    /// - [`Error::Shape`] if a buffer is too short.
    /// - [`Error::DeviceLimit`] if a limit of the device is too small.
    pub async fn record_prediction_async(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        inputs: &wgpu::Buffer,
        rows: usize,
        outputs: &wgpu::Buffer,
    ) -> Result<()> {
        self.engine.record_prediction(encoder, inputs, rows, outputs).await
    }

    /// Returns the buffer of all parameters, to bind and read it in shaders of the caller. `None` on the CPU engine.
    ///
    /// [`Network::parameter_layout`] returns the offsets of the layers.
    pub const fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        self.engine.parameter_buffer()
    }
}
