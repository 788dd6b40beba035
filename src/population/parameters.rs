//! The parameters of the networks, their copies, and the learning rates of their updates.

#[cfg(doc)]
use crate::train::trainer::Trainer;
use crate::{
    device::Device,
    error::{Error, Result, first_non_finite},
    model::Model,
    nn::{layout::LayerParameters, task::Task},
    optim::optimizer::Optimizer,
    population::{Population, ensemble::Ensemble},
    util::blocking::blocking,
};

impl Population {
    blocking! {
        /// Keeps some networks, with the state of their optimizers, as they are now, on the device, for
        /// [`Population::restore`]. What was kept of them before is replaced.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there is no such network, [`Error::OutOfMemory`] and [`Error::DeviceLost`].
        pub fn snapshot(&mut self, members: &[usize]) -> Result<()> = self.snapshot_async(members);
    }

    /// The asynchronous form of [`Population::snapshot`].
    ///
    /// # Errors
    /// As [`Population::snapshot`].
    pub async fn snapshot_async(&mut self, members: &[usize]) -> Result<()> {
        members.iter().try_for_each(|member| self.check_not_diverged(*member))?;
        self.backend.take_snapshot(members).await?;
        members.iter().try_for_each(|member| {
            self.snapshot_steps[*member] = Some(self.steps(*member)?);
            Ok(())
        })
    }

    /// Puts a network back to what was kept of it last. If it is in training, its optimizer goes on from there, while the
    /// place in its rows and in its schedule stays. Batches that an update was waiting with are taken up again where it waits
    /// for as many now, and are forgotten otherwise.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network, or nothing was kept of it; [`Error::MemberDiverged`] instead if it has
    /// diverged.
    pub fn restore(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        let Some(kept) = self.snapshot_steps[member] else {
            self.check_not_diverged(member)?;
            return Err(Error::InvalidSetting {
                name: "parameters to restore",
                expected: "some that Population::keep has kept".into(),
                got: format!("none of number {member}"),
            });
        };
        let batches = |steps: u64| steps % self.members[member].settings.gradient_accumulation as u64;
        let with_gradients = batches(kept) == batches(self.steps(member)?);
        self.backend.restore(member, with_gradients);
        self.diverged_at[member] = None;
        Ok(())
    }

    /// The learning rate of a network, without the schedule's factor.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network.
    pub fn learning_rate(&self, member: usize) -> Result<f64> {
        self.check(member)?;
        Ok(self.members[member].settings.optimizer.learning_rate)
    }

    /// The learning rate of a network's last update, with the schedule's factor; before the first, that of the first.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network.
    pub fn last_learning_rate(&self, member: usize) -> Result<f64> {
        let last = self.steps(member)?.saturating_sub(1);
        let factor = self.generators[member].schedule_factor(last);
        Ok(factor * self.learning_rate(member)?)
    }

    /// Sets the learning rate of a network for the steps that follow; a schedule goes on multiplying it.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no such network, or the rate is not a finite number from 0 up.
    pub fn set_learning_rate(&mut self, member: usize, learning_rate: f64) -> Result<()> {
        self.check(member)?;
        let optimizer = Optimizer { learning_rate, ..self.members[member].settings.optimizer };
        optimizer.check()?;
        self.members[member].settings.optimizer = optimizer;
        self.backend.set_learning_rate(member, learning_rate);
        Ok(())
    }

    blocking! {
        /// Weights and biases of a network, layer by layer.
        ///
        /// # Errors
        /// [`Error::InvalidSetting`] if there is no such network, and as [`Trainer::parameters`].
        pub fn parameters(&self, member: usize) -> Result<Vec<LayerParameters>> = self.parameters_async(member);
    }

    /// The asynchronous form of [`Population::parameters`].
    ///
    /// # Errors
    /// As [`Population::parameters`].
    pub async fn parameters_async(&self, member: usize) -> Result<Vec<LayerParameters>> {
        self.check_not_diverged(member)?;
        let memory = self.backend.training_state(member).await?;
        // The last step may have made numbers that are not finite, and no loss was computed from them yet.
        if first_non_finite(&memory.parameters).is_some() {
            return Err(Error::MemberDiverged { member, step: None });
        }
        Ok(self.network.layers_from_flat(&memory.parameters, &memory.statistics))
    }

    blocking! {
        /// A network with its parameters and what scales its inputs, as if it had been trained alone.
        ///
        /// # Errors
        /// As [`Population::parameters`]; [`Error::NonFinite`] for one that has diverged.
        pub fn model(&self, member: usize) -> Result<Model> = self.model_async(member);
    }

    /// The asynchronous form of [`Population::model`].
    ///
    /// # Errors
    /// As [`Population::model`].
    pub async fn model_async(&self, member: usize) -> Result<Model> {
        let mut model = Model::new(self.network.clone(), self.parameters_async(member).await?)?;
        model.byte_scale = self.byte_scale.scale;
        match self.data.scaler() {
            Some(scaler) => model.with_scaler(scaler.clone()),
            None => Ok(model),
        }
    }

    blocking! {
        /// Some of the networks, put together on a device, which may be another one; they vote if they were trained to
        /// tell classes. [`Population::active_members`] gives those that did not stop; after early stopping that may be
        /// none. Training goes on without them.
        ///
        /// # Errors
        /// As [`Population::model`] and [`Ensemble::new`].
        pub fn ensemble(&self, device: &Device, members: impl IntoIterator<Item = usize>) -> Result<Ensemble>
            = self.ensemble_async(device, members);
    }

    /// The asynchronous form of [`Population::ensemble`].
    ///
    /// # Errors
    /// As [`Population::ensemble`].
    pub async fn ensemble_async(&self, device: &Device, members: impl IntoIterator<Item = usize>) -> Result<Ensemble> {
        let mut models = Vec::new();
        for member in members {
            models.push(self.model_async(member).await?);
        }
        let ensemble = Ensemble::new_async(device, &models).await?;
        let is_of_classes = self.task == Task::Classification;
        let loss = self.members[0].settings.loss;
        Ok(if is_of_classes { ensemble.with_voting(loss) } else { ensemble.without_votes() })
    }
}
