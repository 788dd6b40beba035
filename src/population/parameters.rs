//! The parameters, snapshots and learning rates of the members of a population.

#[cfg(doc)]
use crate::train::trainer::Trainer;
use crate::{
    device::Device,
    error::{Error, Result, first_non_finite},
    model::Model,
    nn::{parameters::LayerParameters, task::Task},
    optim::optimizer::Optimizer,
    population::{Population, ensemble::Ensemble},
    util::blocking::blocking,
};

impl Population {
    blocking! {
        /// Takes a snapshot of some members on the device, with their optimizer state, for [`Population::restore`]. It
        /// replaces their earlier snapshots.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if there is no member of an index.
        /// - [`Error::MemberDiverged`] if a member has diverged.
        /// - [`Error::OutOfMemory`] or [`Error::DeviceLost`] if the device fails.
        #[doc(alias = "checkpoint")]
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

    /// Restores the parameters and the optimizer state of a member from its last snapshot.
    ///
    /// A member in training keeps its position in the epoch and in its schedule. Accumulated gradients of an incomplete
    /// update are restored only if the member has accumulated the same number of batches now. Otherwise they are
    /// dropped.
    ///
    /// # Errors
    /// - [`Error::InvalidSetting`] if there is no member with that index.
    /// - [`Error::MemberDiverged`] if the member has diverged and has no snapshot.
    /// - [`Error::InvalidState`] if the member has no snapshot.
    pub fn restore(&mut self, member: usize) -> Result<()> {
        self.check(member)?;
        let Some(snapshot_step) = self.snapshot_steps[member] else {
            self.check_not_diverged(member)?;
            let message = format!("member {member} has no snapshot; call Population::snapshot first");
            return Err(Error::InvalidState { message });
        };
        let accumulated_batches = |steps: u64| steps % self.members[member].settings.gradient_accumulation as u64;
        let with_gradients = accumulated_batches(snapshot_step) == accumulated_batches(self.steps(member)?);
        self.backend.restore(member, with_gradients);
        self.diverged_at[member] = None;
        Ok(())
    }

    /// Returns the learning rate of a member, without the factor of its schedule.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no member with that index.
    pub fn learning_rate(&self, member: usize) -> Result<f64> {
        self.check(member)?;
        Ok(self.members[member].settings.optimizer.learning_rate)
    }

    /// Returns the learning rate of a member's last step, with the factor of its schedule. Before the first step it is
    /// the rate of the first one.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no member with that index.
    pub fn last_learning_rate(&self, member: usize) -> Result<f64> {
        let last = self.steps(member)?.saturating_sub(1);
        let factor = self.generators[member].schedule_factor(last);
        Ok(factor * self.learning_rate(member)?)
    }

    /// Sets the learning rate of a member for the next steps. The schedule of the member still multiplies this rate.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there is no member with that index, or if the rate is negative or not finite.
    pub fn set_learning_rate(&mut self, member: usize, learning_rate: f64) -> Result<()> {
        self.check(member)?;
        let optimizer = Optimizer { learning_rate, ..self.members[member].settings.optimizer };
        optimizer.check()?;
        self.members[member].settings.optimizer = optimizer;
        self.backend.set_learning_rate(member, learning_rate);
        Ok(())
    }

    blocking! {
        /// Returns the parameters of a member, one entry per layer.
        ///
        /// # Errors
        /// - [`Error::InvalidSetting`] if there is no member with that index.
        /// - [`Error::MemberDiverged`] if the member has diverged.
        /// - The errors of [`Trainer::parameters`].
        #[doc(alias = "state_dict")]
        pub fn parameters(&self, member: usize) -> Result<Vec<LayerParameters>> = self.parameters_async(member);
    }

    /// The asynchronous form of [`Population::parameters`].
    ///
    /// # Errors
    /// As [`Population::parameters`].
    pub async fn parameters_async(&self, member: usize) -> Result<Vec<LayerParameters>> {
        self.check_not_diverged(member)?;
        let state = self.backend.training_state(member).await?;
        // The last update may have diverged, and no step has computed a loss with its parameters yet.
        if first_non_finite(&state.parameters).is_some() {
            return Err(Error::MemberDiverged { member, step: None });
        }
        Ok(self.network.layers_from_flat(&state.parameters, &state.statistics))
    }

    blocking! {
        /// Returns the model of a member: the network, its parameters and the scaler of its inputs.
        ///
        /// # Errors
        /// The errors of [`Population::parameters`].
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
        /// Creates an ensemble of some members, on any device. They vote if their targets are classes.
        ///
        /// [`Population::active_members`] returns the members that are not stopped; after early stopping there may be
        /// none. The ensemble copies the parameters, so later training does not change it.
        ///
        /// # Errors
        /// The errors of [`Population::model`] and [`Ensemble::new`].
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
        Ok(match self.task {
            Task::Classification => ensemble.with_voting(self.members[0].settings.loss),
            Task::MultiLabel | Task::Regression => ensemble.without_votes(),
        })
    }
}
