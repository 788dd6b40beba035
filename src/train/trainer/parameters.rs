//! The parameters, their copies, and the learning rate of their updates.

use crate::{
    error::{Error, Result},
    nn::layout::LayerParameters,
    optim::optimizer::Optimizer,
    train::trainer::Trainer,
    util::blocking::blocking,
};

impl Trainer {
    blocking! {
        /// Weights and biases, layer by layer.
        ///
        /// # Errors
        /// [`Error::DeviceLost`], [`Error::Timeout`].
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
        /// The exponential moving average of weights and biases, layer by layer.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if the optimizer keeps none ([`crate::optim::Optimizer::ema`]), and as
        /// [`Trainer::parameters`].
        pub fn ema_parameters(&self) -> Result<Vec<LayerParameters>> = self.ema_parameters_async();
    }

    /// The asynchronous form of [`Trainer::ema_parameters`].
    ///
    /// # Errors
    /// As [`Trainer::ema_parameters`].
    pub async fn ema_parameters_async(&self) -> Result<Vec<LayerParameters>> {
        let flat = self.engine.ema_parameters().await?;
        let none = || Error::InvalidSetting {
            name: "averaged parameters",
            expected: "an optimizer that keeps an average".into(),
            got: "one that does not".into(),
        };
        Ok(self.network.layout().to_layers(&flat.ok_or_else(none)?))
    }

    /// Sets weights and biases; the optimizer and the schedule start anew, and the place in the data set stays.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not this network's, [`Error::NonFinite`], [`Error::InvalidSetting`] for a running variance below 0.
    pub fn set_parameters(&mut self, layers: &[LayerParameters]) -> Result<()> {
        self.network.check_parameters(layers)?;
        let (flat, statistics) = (self.network.layout().to_flat(layers), self.network.statistics(layers));
        self.counts.steps_since_reset = 0;
        self.engine.set_parameters(&flat, &statistics);
        Ok(())
    }

    blocking! {
        /// Keeps weights, biases and the optimizer's state as they are now, on the device, for [`Trainer::restore`].
        /// What was kept before is replaced.
        ///
        /// # Errors
        /// [`Error::OutOfMemory`] and [`Error::DeviceLost`].
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

    /// Goes back to the parameters and the optimizer's state that [`Trainer::snapshot`] kept last, again and again if need be.
    /// The schedule goes back with them; the learning rate that it multiplies stays as it is, and so does the place in the data
    /// set.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if none were kept.
    pub fn restore(&mut self) -> Result<()> {
        let none = || Error::InvalidSetting {
            name: "parameters to restore",
            expected: "some that Trainer::keep has kept".into(),
            got: "none".into(),
        };
        self.counts.steps_since_reset = self.counts.snapshot_steps.ok_or_else(none)?;
        self.engine.restore();
        Ok(())
    }

    /// Whether [`Trainer::snapshot`] has kept something.
    pub(crate) const fn has_snapshot(&self) -> bool {
        self.counts.snapshot_steps.is_some()
    }

    /// The optimizer's learning rate, without the schedule's factor.
    pub const fn learning_rate(&self) -> f64 {
        self.settings.optimizer.learning_rate
    }

    /// Sets the optimizer's learning rate for the steps that follow; a schedule goes on multiplying it.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if it is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        let optimizer = Optimizer { learning_rate, ..self.settings.optimizer };
        optimizer.check()?;
        self.settings.optimizer = optimizer;
        self.engine.set_learning_rate(learning_rate);
        Ok(())
    }

    /// The learning rate of the last update, with the schedule's factor; before the first, that of the first.
    pub fn last_learning_rate(&self) -> f64 {
        let factor = self.step_generator().schedule_factor(self.counts.steps_since_reset.saturating_sub(1));
        factor * self.settings.optimizer.learning_rate
    }
}
