//! The parameters of a trainer, their snapshot, and the learning rate.

use crate::{
    error::{Error, Result},
    nn::parameters::LayerParameters,
    optim::optimizer::Optimizer,
    train::trainer::Trainer,
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// Returns the parameters, layer by layer.
        ///
        /// # Errors
        /// [`Error::DeviceLost`] or [`Error::Timeout`] if the device fails.
        #[doc(alias = "state_dict")]
        pub fn parameters(&self) -> Result<Vec<LayerParameters>> = self.parameters_async();
    }

    /// The asynchronous form of [`Trainer::parameters`].
    ///
    /// # Errors
    /// As [`Trainer::parameters`].
    pub async fn parameters_async(&self) -> Result<Vec<LayerParameters>> {
        self.engine.parameters().await
    }

    blocking! {
        /// Returns the exponential moving average (EMA) of the parameters, layer by layer.
        ///
        /// # Errors
        /// - [`Error::InvalidState`] if the optimizer keeps no EMA; see [`Optimizer::ema`].
        /// - The errors of [`Trainer::parameters`].
        pub fn ema_parameters(&self) -> Result<Vec<LayerParameters>> = self.ema_parameters_async();
    }

    /// The asynchronous form of [`Trainer::ema_parameters`].
    ///
    /// # Errors
    /// As [`Trainer::ema_parameters`].
    pub async fn ema_parameters_async(&self) -> Result<Vec<LayerParameters>> {
        let Some(flat) = self.engine.ema_parameters().await? else {
            let message = "the optimizer keeps no moving average of the parameters; enable it with Optimizer::ema";
            return Err(Error::InvalidState { message: message.to_owned() });
        };
        Ok(self.network.layout().to_layers(&flat))
    }

    /// Sets the parameters. This resets the optimizer and the schedule, but not the position in the data set.
    ///
    /// # Errors
    /// - [`Error::Shape`] if the parameters do not fit the network.
    /// - [`Error::NonFinite`] if a parameter is NaN or infinite.
    /// - [`Error::InvalidSetting`] if a running variance is negative.
    #[doc(alias = "load_state_dict")]
    pub fn set_parameters(&mut self, layers: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(layers)?;
        let (flat, statistics) = (self.network.layout().to_flat(layers), self.network.statistics(layers));
        self.counts.steps_since_reset = 0;
        self.engine.set_parameters(&flat, &statistics);
        Ok(())
    }

    blocking! {
        /// Takes a snapshot of the parameters and the optimizer state on the device, for [`Trainer::restore`].
        ///
        /// It replaces the previous snapshot.
        ///
        /// # Errors
        /// [`Error::OutOfMemory`] or [`Error::DeviceLost`] if the device fails.
        pub fn snapshot(&mut self) -> Result<()> = self.snapshot_async();
    }

    /// The asynchronous form of [`Trainer::snapshot`].
    ///
    /// # Errors
    /// As [`Trainer::snapshot`].
    pub async fn snapshot_async(&mut self) -> Result<()> {
        self.engine.take_snapshot().await?;
        self.counts.snapshot_steps = Some(self.counts.steps_since_reset);
        Ok(())
    }

    /// Restores the parameters and the optimizer state of the last [`Trainer::snapshot`].
    ///
    /// The step counter of the schedule is restored too. The learning rate and the position in the data set do not
    /// change. A snapshot can be restored any number of times.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if there is no snapshot.
    pub fn restore(&mut self) -> Result<()> {
        let Some(snapshot_steps) = self.counts.snapshot_steps else {
            let message = "no snapshot to restore; call Trainer::snapshot first".to_owned();
            return Err(Error::InvalidState { message });
        };
        self.counts.steps_since_reset = snapshot_steps;
        self.engine.restore();
        Ok(())
    }

    /// Returns whether there is a snapshot.
    pub(crate) const fn has_snapshot(&self) -> bool {
        self.counts.snapshot_steps.is_some()
    }

    /// Returns the learning rate of the optimizer, without the factor of the schedule.
    pub const fn learning_rate(&self) -> f64 {
        self.settings.optimizer.learning_rate
    }

    /// Sets the learning rate of the optimizer for all later steps. The schedule still multiplies it.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the learning rate is out of range.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate, ..self.settings.optimizer };
        optimizer.check()?;
        self.settings.optimizer = optimizer;
        self.engine.set_learning_rate(learning_rate);
        Ok(())
    }

    /// Returns the learning rate of the last update, including the factor of the schedule. Before the first update it
    /// is that of the first update.
    pub fn last_learning_rate(&self) -> f64 {
        let factor = self.step_generator().schedule_factor(self.counts.steps_since_reset.saturating_sub(1));
        factor * self.settings.optimizer.learning_rate
    }
}
